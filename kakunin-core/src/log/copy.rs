//! Copying a log: its static files at one checkpoint, each proven before it is handed out.
//!
//! Whoever keeps a copy that cannot be taken back, an archive or a mirror, wants to know of a damaged tile before and not
//! after. What is handed out is written anew from what was proven, so a copy has exactly the octets that the names of C2SP
//! tlog-tiles stand for.

use std::fmt;

use super::checkpoint::OpenedCheckpoint;
use super::error::LogError;
use super::reader::LogReader;
use super::tile::{LEVELS, TileName, TileOf, WIDTH, push_entry, to_octets};

/// One tile or bundle of a log. Its path below the log's folder is its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogFile(TileName);

impl LogFile {
    /// Whether it grows with the log until a full one replaces it.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.0.is_partial()
    }
}

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl LogReader {
    /// The same log as it was at `head`, one of [`LogReader::witnessed`].
    ///
    /// # Errors
    /// [`LogError`] when the log's tiles do not lead to the root of `head`.
    pub fn back_at(&self, head: OpenedCheckpoint) -> Result<Self, LogError> {
        Self::at(self.folder(), head)
    }

    /// Every file that the checkpoint's size names: tiles from level 0 up, then bundles, partial ones last of their kind.
    pub fn files(&self) -> impl Iterator<Item = LogFile> + use<> {
        let size = self.size();
        let levels = (0..LEVELS).map(|level| TileOf::Hashes { level });
        levels.chain([TileOf::Entries]).flat_map(move |of| {
            let height = match of {
                TileOf::Hashes { level } => u32::from(level) * 8,
                TileOf::Entries => 0,
            };
            let full = size.checked_shr(height).unwrap_or(0) / WIDTH;
            let full = (0..full).map(move |index| TileName::full(of, index));
            full.chain(TileName::at_edge(of, size)).map(LogFile)
        })
    }

    /// Whether a full file has replaced this partial one since. A later checkpoint names that, and it holds the same.
    #[must_use]
    pub fn has_grown(&self, file: LogFile) -> bool {
        file.is_partial() && self.folder().join(file.0.grown().to_string()).exists()
    }

    /// The octets of a file of [`LogReader::files`].
    ///
    /// # Errors
    /// [`LogError`] when it is missing, or does not lead to the root that was signed.
    pub fn file(&mut self, file: LogFile) -> Result<Vec<u8>, LogError> {
        let other = |size| LogError::Beyond { asked: file.0.index, size };
        let size = self.size();
        let (octets, width) = match file.0.of {
            TileOf::Hashes { level } => {
                let tile = self.tile(level, file.0.index)?;
                let hashes = tile.hashes();
                (to_octets(hashes), hashes.len())
            }
            TileOf::Entries => {
                let entries = self.bundle(file.0.index)?;
                let mut octets = Vec::new();
                // INVARIANT: they came out of a bundle, so each fits into one.
                let whole = entries.iter().all(|entry| push_entry(&mut octets, entry));
                (octets, if whole { entries.len() } else { 0 })
            }
        };
        // The name is of another size when the file was listed by another reader.
        if width as u64 == file.0.width { Ok(octets) } else { Err(other(size)) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::key::{Algorithm, Signer, SoftKey};
    use crate::log::{Log, LogKey};

    fn log_of(folder: &Path, entries: u32) -> Log {
        let key =
            LogKey::new("log.example/copy", Signer::soft(SoftKey::generate(Algorithm::Ed25519).unwrap().0));
        let mut log = Log::create(folder, key.unwrap()).unwrap();
        append(&mut log, 0..entries);
        log
    }

    fn append(log: &mut Log, range: std::ops::Range<u32>) {
        let entries: Vec<Vec<u8>> = range.map(|index| format!("entry {index}").into_bytes()).collect();
        log.append(&entries).unwrap();
    }

    fn copy(reader: &mut LogReader, to: &Path) {
        for file in reader.files().collect::<Vec<_>>() {
            let path = to.join(file.to_string());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, reader.file(file).unwrap()).unwrap();
        }
        fs::write(to.join("checkpoint"), reader.checkpoint().note().to_string()).unwrap();
    }

    #[test]
    fn a_copy_is_a_log_of_the_same_octets() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let log = log_of(from.path(), 700);
        let key = log.checkpoint().log().clone();
        let mut reader = LogReader::open(from.path(), &key).unwrap();
        copy(&mut reader, to.path());
        for file in reader.files() {
            let octets = |folder: &Path| fs::read(folder.join(file.to_string())).unwrap();
            assert_eq!(octets(from.path()), octets(to.path()), "{file}");
        }
        let mut copied = LogReader::open(to.path(), &key).unwrap();
        for index in 0..700 {
            assert_eq!(copied.entry(index).unwrap(), format!("entry {index}").as_bytes());
        }
    }

    #[test]
    fn an_earlier_checkpoint_is_copied_after_its_tiles_have_grown() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut log = log_of(from.path(), 300);
        let (key, early) = (log.checkpoint().log().clone(), log.checkpoint().clone());
        append(&mut log, 300..600);
        let now = LogReader::open(from.path(), &key).unwrap();
        let mut reader = now.back_at(early).unwrap();
        let partial: Vec<_> = reader.files().filter(LogFile::is_partial).collect();
        assert_eq!(partial.iter().filter(|file| reader.has_grown(**file)).count(), 2);
        copy(&mut reader, to.path());
        let mut copied = LogReader::open(to.path(), &key).unwrap();
        assert_eq!((copied.size(), copied.entry(299).unwrap()), (300, &b"entry 299"[..]));
    }

    #[test]
    fn a_flipped_octet_is_never_copied() {
        let from = tempfile::tempdir().unwrap();
        let log = log_of(from.path(), 520);
        let key = log.checkpoint().log().clone();
        let files: Vec<_> = LogReader::open(from.path(), &key).unwrap().files().collect();
        for file in files {
            let path = from.path().join(file.to_string());
            let octets = fs::read(&path).unwrap();
            for place in [0, octets.len() / 2, octets.len() - 1] {
                let mut wrong = octets.clone();
                wrong[place] ^= 1;
                fs::write(&path, wrong).unwrap();
                let reader = LogReader::open(from.path(), &key);
                assert!(reader.and_then(|mut reader| reader.file(file)).is_err(), "{file} at {place}");
            }
            fs::write(&path, octets).unwrap();
        }
    }
}
