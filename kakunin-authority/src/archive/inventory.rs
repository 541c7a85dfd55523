//! The record of what is kept where: one line of JSON an object, appended and synced, never rewritten.
//!
//! Takes in [`Kept`], so nothing is recorded that was not read back. A line without its end was being written when the
//! process died; it is cut, and the object, still in the outbox, is found in the bucket again. Any other line that
//! cannot be read is damage and stops everything: an inventory is not guessed. A later line about the same version has its new
//! end.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use serde::{Deserialize, Serialize};

use super::keep::Claim;
use super::object::{Kept, ObjectKey, VersionId};
use crate::files::FileError;

/// One kept object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// In which bucket.
    pub bucket: String,
    /// Under which key.
    pub key: ObjectKey,
    /// As which version.
    pub version: VersionId,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Their number.
    pub size: u64,
    /// Until when it is locked.
    pub until: UnixTime,
}

impl Record {
    /// What a bucket has to confirm.
    #[must_use]
    pub fn claim(&self) -> Claim<'_> {
        let Self { key, version, sha256, size, until, .. } = self;
        Claim { key, version, sha256, size: *size, until: *until }
    }
}

/// The inventory, read.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    records: Vec<Record>,
    /// Where the last whole line ends.
    end: u64,
}

impl Inventory {
    /// Reads the inventory at `path`; a missing one is empty.
    ///
    /// # Errors
    /// [`InventoryError`] when it cannot be read or is damaged.
    pub fn read(path: &Path) -> Result<Self, InventoryError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(FileError::new("read", path, error).into()),
        };
        let (mut inventory, mut places) = (Self::default(), HashMap::new());
        for (line, number) in bytes.split_inclusive(|&byte| byte == b'\n').zip(1..) {
            let Some(text) = line.strip_suffix(b"\n") else { break };
            let record = Line::read(text);
            let damaged = || InventoryError::Damaged { path: path.to_owned(), line: number };
            let record = record.ok_or_else(damaged)?;
            let named = (record.bucket.clone(), record.key.clone(), record.version.clone());
            let place = *places.entry(named).or_insert(inventory.records.len());
            match inventory.records.get_mut(place) {
                Some(earlier) => *earlier = record,
                None => inventory.records.push(record),
            }
            inventory.end += line.len() as u64;
        }
        Ok(inventory)
    }

    /// Every object, oldest first.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The keys that are kept in one bucket.
    pub(super) fn keys_in(&self, bucket: &str) -> impl Iterator<Item = &ObjectKey> {
        self.records.iter().filter(move |record| record.bucket == bucket).map(|record| &record.key)
    }

    /// Opens it for appending, cutting a line that has no end. The caller holds the archive's lock.
    pub(super) fn append_to(&self, path: &Path) -> Result<InventoryWriter, InventoryError> {
        let open = || {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
            if file.metadata()?.len() > self.end {
                file.set_len(self.end)?;
            }
            file.sync_all()?;
            // Its name has to survive as well.
            if let Some(parent) = path.parent() {
                File::open(parent)?.sync_all()?;
            }
            OpenOptions::new().append(true).open(path)
        };
        let file = open().map_err(|error| FileError::new("open", path, error))?;
        Ok(InventoryWriter { path: path.to_owned(), file: Some(file) })
    }
}

/// The inventory, being written.
#[derive(Debug)]
pub(super) struct InventoryWriter {
    path: PathBuf,
    /// Gone after a write or sync that failed: what is on the disk then is not known, and trying again would lie.
    file: Option<File>,
}

impl InventoryWriter {
    /// Appends records and returns once they are on the disk.
    pub(super) fn record(&mut self, bucket: &str, kept: &[Kept]) -> Result<(), InventoryError> {
        let mut text = Vec::new();
        for kept in kept {
            let line = Line {
                bucket: bucket.to_owned(),
                key: kept.key.to_string(),
                retain_until: kept.until.to_string(),
                sha256: kept.sha256.to_hex(),
                size: kept.size,
                version: kept.version.to_string(),
            };
            serde_json::to_writer(&mut text, &line)
                .map_err(|error| FileError::new("write", &self.path, error.into()))?;
            text.push(b'\n');
        }
        let poisoned = || io::Error::other("an earlier write failed");
        let mut file = self.file.take().ok_or_else(|| FileError::new("write", &self.path, poisoned()))?;
        file.write_all(&text)
            .and_then(|()| file.sync_data())
            .map_err(|error| FileError::new("write", &self.path, error))?;
        self.file = Some(file);
        Ok(())
    }
}

/// A line as it is written; members in the order of their names.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    bucket: String,
    key: String,
    retain_until: String,
    sha256: String,
    size: u64,
    version: String,
}

impl Line {
    fn read(text: &[u8]) -> Option<Record> {
        let line: Self = serde_json::from_slice(text).ok()?;
        Some(Record {
            bucket: line.bucket,
            key: ObjectKey::parse(&line.key).ok()?,
            version: VersionId::new(&line.version)?,
            sha256: Digest::from_hex(&line.sha256)?,
            size: line.size,
            until: UnixTime::parse_rfc3339(&line.retain_until).ok()?,
        })
    }
}

/// An inventory that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InventoryError {
    /// Its file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line of it.
    #[error("{}, line {line}: no record of the archive; restore the file, or move it away to have the bucket searched for every object again", path.display())]
    Damaged {
        /// The inventory.
        path: PathBuf,
        /// Which line.
        line: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(key: &str) -> Kept {
        Kept {
            key: ObjectKey::parse(key).unwrap(),
            version: VersionId::new("v1").unwrap(),
            sha256: Digest::of(key.as_bytes()),
            size: key.len() as u64,
            until: UnixTime::from_seconds(2_000_000_000),
        }
    }

    fn written(keys: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory");
        let mut writer = Inventory::read(&path).unwrap().append_to(&path).unwrap();
        for key in keys {
            writer.record("bucket", &[kept(key)]).unwrap();
        }
        (folder, path)
    }

    fn keys(path: &Path) -> Vec<String> {
        Inventory::read(path).unwrap().records().iter().map(|record| record.key.to_string()).collect()
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let (_folder, path) = written(&["log/tile/0/000", "lists/00.crl"]);
        let inventory = Inventory::read(&path).unwrap();
        let [first, _] = inventory.records() else { panic!("two records") };
        let kept = kept("log/tile/0/000");
        assert_eq!((&first.key, &first.version, first.sha256), (&kept.key, &kept.version, kept.sha256));
        assert_eq!((first.size, first.until, first.bucket.as_str()), (kept.size, kept.until, "bucket"));
    }

    #[test]
    fn a_later_line_about_the_same_version_has_its_new_end() {
        let (_folder, path) = written(&["a", "b"]);
        let later = UnixTime::from_seconds(2_100_000_000);
        let mut writer = Inventory::read(&path).unwrap().append_to(&path).unwrap();
        writer.record("bucket", &[Kept { until: later, ..kept("a") }]).unwrap();
        writer.record("other", &[kept("a")]).unwrap();
        writer.record("bucket", &[Kept { version: VersionId::new("v2").unwrap(), ..kept("a") }]).unwrap();
        assert_eq!(keys(&path), ["a", "b", "a", "a"]);
        assert_eq!(Inventory::read(&path).unwrap().records()[0].until, later);
    }

    #[test]
    fn a_line_cut_anywhere_is_no_record_and_the_next_one_is_whole() {
        let (_folder, path) = written(&["a", "b"]);
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        for cut in first..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(keys(&path), ["a"], "cut at {cut}");
            let mut writer = Inventory::read(&path).unwrap().append_to(&path).unwrap();
            writer.record("bucket", &[kept("c")]).unwrap();
            assert_eq!(keys(&path), ["a", "c"], "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_line_is_named_and_not_skipped() {
        let (_folder, path) = written(&["a", "b", "c"]);
        let text = std::fs::read_to_string(&path).unwrap().replace("\"key\":\"b\"", "\"key\":\"/b\"");
        std::fs::write(&path, text).unwrap();
        assert!(matches!(Inventory::read(&path), Err(InventoryError::Damaged { line: 2, .. })));
    }
}
