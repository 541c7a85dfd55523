//! What waits to be stored: a file an object, in the order of their numbers.
//!
//! A file is written under another name, synced and renamed, so it is there whole or not at all. It leaves only after the
//! inventory recorded its object. Nothing ever makes it leave otherwise: an outbox that grows raises an alarm, and loses
//! nothing. The log's partial tiles are gone once they are full, which is why there are copies and not paths in here.
//!
//! ```text
//! H/archive/outbox/0000000000000042
//!     {"check":"..","key":"log/tile/0/000.p/17","queued_at":"2026-11-24T09:00:00Z","rank":"part","size":544}
//!     the bytes
//! ```
//!
//! `check` is the SHA-256 of key, queued_at and rank, a line each, and the bytes: what lies here for weeks of an outage
//! may rot, and would then be kept for years.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use serde::{Deserialize, Serialize};

use super::object::{Object, ObjectKey, Rank};
use crate::files::FileError;

/// The number of a waiting object; lower ones came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u64);

/// What is known of a waiting object without reading its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its number.
    pub place: Place,
    /// Its key.
    pub key: ObjectKey,
    /// Whether it waits for those before it.
    pub rank: Rank,
    /// How many bytes it has.
    pub size: u64,
    /// Since when it waits.
    pub since: UnixTime,
}

/// The directory of waiting objects.
#[derive(Clone, Debug)]
pub struct Outbox {
    dir: PathBuf,
}

impl Outbox {
    /// The outbox in `dir`; nothing is made or read yet.
    #[must_use]
    pub(super) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Everything that waits, in order.
    ///
    /// # Errors
    /// [`OutboxError`] when the directory or a file cannot be read.
    pub fn waiting(&self) -> Result<Vec<Waiting>, OutboxError> {
        self.places()?.into_iter().filter_map(|place| self.peek(place).transpose()).collect()
    }

    /// Reads an object. The caller holds the archive's lock, so it does not leave meanwhile.
    ///
    /// # Errors
    /// [`OutboxError`] when it cannot be read or its bytes are not those that were queued.
    pub fn read(&self, place: Place) -> Result<Object, OutboxError> {
        let path = self.path(place);
        let damaged = || OutboxError::Damaged { path: path.clone() };
        let bytes = fs::read(&path).map_err(|error| FileError::new("read", &path, error))?;
        let split = bytes.iter().position(|&byte| byte == b'\n').ok_or_else(damaged)?;
        let (head, rest) = bytes.split_at_checked(split).ok_or_else(damaged)?;
        let head = Head::read(head).ok_or_else(damaged)?;
        let bytes = rest.strip_prefix(b"\n").ok_or_else(damaged)?.to_vec();
        match check(&head.key, head.since, head.rank, &bytes) == head.check && bytes.len() as u64 == head.size
        {
            true => Ok(Object::new(head.key, head.rank, bytes)),
            false => Err(damaged()),
        }
    }

    /// Adds objects behind those that wait, durably and in their order.
    pub(super) fn add(&self, objects: &[Object], now: UnixTime) -> Result<(), OutboxError> {
        let mut next = self.places()?.last().map_or(1, |place| place.0.saturating_add(1));
        for object in objects {
            // What a head states has to be on the disk before the head is.
            if object.rank() == Rank::Head {
                self.sync()?;
            }
            self.write(Place(next), object, now)?;
            next = next.saturating_add(1);
        }
        self.sync()
    }

    /// Lets objects go that the inventory has.
    pub(super) fn release(&self, places: &[Place]) -> Result<(), OutboxError> {
        for place in places {
            let path = self.path(*place);
            fs::remove_file(&path).map_err(|error| FileError::new("remove", &path, error))?;
        }
        Ok(())
    }

    /// Makes the directory and clears what a killed process was writing.
    pub(super) fn sweep(&self) -> Result<(), OutboxError> {
        crate::files::make_directory(&self.dir, crate::files::Readers::Owner)?;
        for name in self.names()? {
            if name.ends_with(TEMPORARY) {
                let path = self.dir.join(name);
                fs::remove_file(&path).map_err(|error| FileError::new("remove", &path, error))?;
            }
        }
        Ok(())
    }

    fn write(&self, place: Place, object: &Object, now: UnixTime) -> Result<(), OutboxError> {
        let path = self.path(place);
        let temporary = path.with_extension(TEMPORARY.trim_start_matches('.'));
        let head = Text {
            check: check(object.key(), now, object.rank(), object.bytes()).to_hex(),
            key: object.key().to_string(),
            queued_at: now.to_string(),
            rank: rank_word(object.rank()).to_owned(),
            size: object.bytes().len() as u64,
        };
        let write = || {
            let mut text = serde_json::to_vec(&head)?;
            text.push(b'\n');
            text.extend_from_slice(object.bytes());
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&temporary);
            FileError::new("write", &path, error).into()
        })
    }

    fn sync(&self) -> Result<(), OutboxError> {
        let sync = || File::open(&self.dir)?.sync_all();
        sync().map_err(|error| FileError::new("sync", &self.dir, error).into())
    }

    /// What is known of the object at `place`; `None` when it has just been released.
    fn peek(&self, place: Place) -> Result<Option<Waiting>, OutboxError> {
        let path = self.path(place);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::new("read", &path, error).into()),
        };
        let mut line = Vec::new();
        let read = BufReader::new(file.take(MAX_HEAD)).read_until(b'\n', &mut line);
        read.map_err(|error| FileError::new("read", &path, error))?;
        let head = line.strip_suffix(b"\n").and_then(Head::read);
        let Head { key, rank, size, since, .. } = head.ok_or(OutboxError::Damaged { path })?;
        Ok(Some(Waiting { place, key, rank, size, since }))
    }

    fn places(&self) -> Result<Vec<Place>, OutboxError> {
        let names = self.names()?.into_iter();
        let mut places: Vec<Place> = names
            .filter(|name| name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_digit()))
            .filter_map(|name| name.parse().ok().map(Place))
            .collect();
        places.sort_unstable();
        Ok(places)
    }

    fn names(&self) -> Result<Vec<String>, OutboxError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(FileError::new("read", &self.dir, error).into()),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| FileError::new("read", &self.dir, error))?.file_name();
            names.extend(name.into_string().ok());
        }
        Ok(names)
    }

    fn path(&self, place: Place) -> PathBuf {
        self.dir.join(format!("{:0DIGITS$}", place.0))
    }
}

/// The first line of a file, as it is written; members in the order of their names.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Text {
    check: String,
    key: String,
    queued_at: String,
    rank: String,
    size: u64,
}

struct Head {
    check: Digest,
    key: ObjectKey,
    rank: Rank,
    size: u64,
    since: UnixTime,
}

impl Head {
    fn read(line: &[u8]) -> Option<Self> {
        let text: Text = serde_json::from_slice(line).ok()?;
        Some(Self {
            check: Digest::from_hex(&text.check)?,
            key: ObjectKey::parse(&text.key).ok()?,
            rank: [Rank::Part, Rank::Head].into_iter().find(|rank| rank_word(*rank) == text.rank)?,
            size: text.size,
            since: UnixTime::parse_rfc3339(&text.queued_at).ok()?,
        })
    }
}

fn check(key: &ObjectKey, since: UnixTime, rank: Rank, bytes: &[u8]) -> Digest {
    let head = format!("{key}\n{since}\n{}\n", rank_word(rank));
    Digest::of_parts(&[head.as_bytes(), bytes])
}

const fn rank_word(rank: Rank) -> &'static str {
    match rank {
        Rank::Part => "part",
        Rank::Head => "head",
    }
}

/// An outbox that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// A file of it.
    #[error(transparent)]
    File(#[from] FileError),
    /// Bytes that are not those that were queued.
    #[error("{} is not what was queued; move the whole outbox away, and the next push collects again what is not stored", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

const DIGITS: usize = 16;
const TEMPORARY: &str = ".tmp";

/// A key of 512 bytes, a digest, a time and two numbers.
const MAX_HEAD: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str, rank: Rank) -> Object {
        Object::new(ObjectKey::parse(key).unwrap(), rank, key.repeat(100).into_bytes())
    }

    fn filled(keys: &[&str]) -> (tempfile::TempDir, Outbox) {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::at(folder.path().join("outbox"));
        outbox.sweep().unwrap();
        let objects: Vec<_> = keys.iter().map(|key| object(key, Rank::Part)).collect();
        outbox.add(&objects, UnixTime::from_seconds(1_000)).unwrap();
        (folder, outbox)
    }

    fn keys(outbox: &Outbox) -> Vec<String> {
        outbox.waiting().unwrap().iter().map(|waiting| waiting.key.to_string()).collect()
    }

    #[test]
    fn objects_come_out_as_they_went_in_and_in_order() {
        let (_folder, outbox) = filled(&["b", "a"]);
        outbox.add(&[object("c", Rank::Head)], UnixTime::from_seconds(2_000)).unwrap();
        let waiting = outbox.waiting().unwrap();
        assert_eq!(keys(&outbox), ["b", "a", "c"]);
        assert_eq!(outbox.read(waiting[2].place).unwrap(), object("c", Rank::Head));
        assert_eq!((waiting[2].since.seconds(), waiting[2].rank, waiting[2].size), (2_000, Rank::Head, 100));
        outbox.release(&[waiting[0].place]).unwrap();
        assert_eq!(keys(&outbox), ["a", "c"]);
    }

    #[test]
    fn what_a_killed_process_was_writing_never_counts() {
        let (folder, outbox) = filled(&["a"]);
        let half = folder.path().join("outbox/0000000000000002.tmp");
        fs::write(&half, "half").unwrap();
        assert_eq!(keys(&outbox), ["a"]);
        outbox.sweep().unwrap();
        assert!(!half.exists());
        assert_eq!(keys(&outbox), ["a"]);
    }

    #[test]
    fn no_altered_file_is_handed_out() {
        let (folder, outbox) = filled(&["a"]);
        let path = folder.path().join("outbox/0000000000000001");
        let whole = fs::read(&path).unwrap();
        let place = Place(1);
        for index in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[index] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(outbox.read(place).is_err(), "byte {index}");
        }
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(outbox.read(place).is_err(), "cut at {cut}");
        }
    }
}
