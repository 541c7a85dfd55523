//! The writing end of a log: one process at a time, entries in batches, a signed checkpoint after each.
//!
//! A batch is written to the right of what was signed: full tiles and bundles, then the partial ones of the new size,
//! all on the disk before the checkpoint that names them. Only the checkpoint makes them part of the log; a crash before
//! it leaves files that the next batch replaces. Nothing that was signed is written again.
//!
//! ```text
//! LOG    checkpoint  vkey  tile/  witnessed/<size>  runs  lock
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;

use super::checkpoint::{LogKey, OpenedCheckpoint};
use super::disk::Disk;
use super::edge::Edge;
use super::error::LogError;
use super::reader::{CHECKPOINT, LogReader, VKEY, read_named, read_note};
use super::runs;
use super::tile::{MAX_ENTRY, TileName, TileOf, WIDTH, push_entry, read_entries, to_octets};
use crate::digest::Digest;
use crate::tree::{leaf_hash, root};

/// A log that this process alone may continue.
#[derive(Debug)]
pub struct Log {
    key: LogKey,
    disk: Disk,
    reader: LogReader,
    /// The octets of the partial bundle.
    tail: Vec<u8>,
    poisoned: bool,
    // Held, never read: the kernel releases it with the process.
    _lock: File,
}

impl Log {
    /// Begins a log in `folder` and signs that it is empty.
    ///
    /// # Errors
    /// [`LogError::Exists`] when there is one, or anything of one.
    pub fn create(folder: &Path, key: LogKey) -> Result<Self, LogError> {
        fs::create_dir_all(folder).map_err(LogError::io(folder))?;
        let lock = lock(folder)?;
        let disk = Disk::at(folder);
        // A folder without a checkpoint but with tiles had one, and may have been seen.
        if [CHECKPOINT, "tile"].iter().any(|name| disk.path(name).exists()) {
            return Err(LogError::Exists { path: folder.to_owned() });
        }
        disk.put(VKEY, format!("{}\n", key.verifier()).as_bytes())?;
        let note = key.sign(0, root([]))?.to_string();
        disk.commit(CHECKPOINT, note.as_bytes())?;
        Self::with(folder, key, disk, lock)
    }

    /// Opens the log in `folder` to continue it, and finishes what a crash had left undone.
    ///
    /// # Errors
    /// [`LogError`] when another process has it open, it is not the key's, or it is not as it was signed.
    pub fn open(folder: &Path, key: LogKey) -> Result<Self, LogError> {
        if !folder.is_dir() {
            return Err(LogError::NoLog { path: folder.to_owned() });
        }
        let lock = lock(folder)?;
        let disk = Disk::at(folder);
        recover(folder, &key, &disk)?;
        Self::with(folder, key, disk, lock)
    }

    fn with(folder: &Path, key: LogKey, disk: Disk, lock: File) -> Result<Self, LogError> {
        let mut reader = LogReader::open(folder, key.verifier())?;
        let (size, seen) = (reader.size(), runs::known(&disk));
        if seen > size {
            // An older checkpoint opens as well as a newer one, and going on from it would be a fork.
            return Err(LogError::RolledBack { path: folder.to_owned(), size, seen });
        }
        let tail = read_tail(folder, reader.edge())?;
        // The index can be made again, so it stops nobody.
        let _ = runs::catch_up(&disk, &mut reader, &[]);
        Ok(Self { key, disk, reader, tail, poisoned: false, _lock: lock })
    }

    /// The checkpoint that was signed last.
    #[must_use]
    pub const fn checkpoint(&self) -> &OpenedCheckpoint {
        self.reader.checkpoint()
    }

    /// How many entries it has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.reader.size()
    }

    /// The reading end, at the present checkpoint.
    pub const fn reader(&mut self) -> &mut LogReader {
        &mut self.reader
    }

    /// Appends `entries`, in their order, and signs the new checkpoint. When it returns, they are on the disk; when it
    /// fails, the log has all of them or none, and opening it again tells which.
    ///
    /// # Errors
    /// [`LogError::EntryTooLong`] and a key that does not sign leave the log as it was; any other error poisons it until
    /// it is opened again.
    pub fn append<E: AsRef<[u8]>>(&mut self, entries: &[E]) -> Result<&OpenedCheckpoint, LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        let entries: Vec<&[u8]> = entries.iter().map(AsRef::as_ref).collect();
        if let Some(long) = entries.iter().find(|entry| entry.len() > MAX_ENTRY) {
            return Err(LogError::EntryTooLong { length: long.len() });
        }
        if !entries.is_empty() {
            let batch = Batch::of(self.reader.edge(), &self.tail, &entries);
            let note = self.key.sign(batch.edge.size(), batch.edge.root())?;
            self.poisoned = true;
            batch.write(&self.disk, self.size())?;
            self.disk.commit(CHECKPOINT, note.to_string().as_bytes())?;
            let path = self.disk.path(CHECKPOINT);
            let head = note.open(self.key.verifier()).map_err(|source| LogError::Note { path, source })?;
            for place in &batch.full {
                self.disk.remove_folder(&place.0.partial_folder());
            }
            self.reader.continued(head, batch.edge);
            self.tail = batch.tail;
            self.poisoned = false;
            // The index can be made again, so it stops nobody.
            let _ = runs::catch_up(&self.disk, &mut self.reader, &entries);
        }
        Ok(self.checkpoint())
    }

    /// The disk, for tests that break it.
    #[cfg(test)]
    pub(super) const fn disk(&self) -> &Disk {
        &self.disk
    }
}

/// What an append writes.
struct Batch {
    edge: Edge,
    full: Vec<(TileName, Vec<u8>)>,
    tail: Vec<u8>,
}

impl Batch {
    fn of(edge: &Edge, tail: &[u8], entries: &[&[u8]]) -> Self {
        let (mut edge, mut tail) = (edge.clone(), tail.to_vec());
        let mut full: Vec<(TileName, Vec<u8>)> = Vec::new();
        for entry in entries {
            push_entry(&mut tail, entry);
            if edge.size() % WIDTH == WIDTH - 1 {
                let name = TileName::full(TileOf::Entries, edge.size() / WIDTH);
                full.push((name, std::mem::take(&mut tail)));
            }
            edge.push(leaf_hash(entry), |name, hashes| full.push((name, to_octets(&hashes))));
        }
        Self { edge, full, tail }
    }

    /// Writes every tile and bundle that the tree has and the one of `before` leaves had not.
    fn write(&self, disk: &Disk, before: u64) -> Result<(), LogError> {
        let mut names = Vec::new();
        let mut put = |name: TileName, octets: &[u8]| {
            let name = name.to_string();
            disk.put(&name, octets)?;
            names.push(name);
            Ok::<_, LogError>(())
        };
        for (name, octets) in &self.full {
            put(*name, octets)?;
        }
        let edge_of = |of| {
            TileName::at_edge(of, self.edge.size())
                .filter(|name| TileName::at_edge(of, before) != Some(*name))
        };
        if let Some(name) = edge_of(TileOf::Entries) {
            put(name, &self.tail)?;
        }
        for level in 0..super::tile::LEVELS {
            if let Some(name) = edge_of(TileOf::Hashes { level }) {
                put(name, &to_octets(self.edge.hashes(level)))?;
            }
        }
        disk.sync_folders_of(names.iter().map(String::as_str))
    }
}

/// Finishes or forgets a checkpoint that was being committed.
fn recover(folder: &Path, key: &LogKey, disk: &Disk) -> Result<(), LogError> {
    let Some(octets) = disk.interrupted(CHECKPOINT)? else { return Ok(()) };
    let path = disk.path(CHECKPOINT);
    // A torn note does not open, and was never seen under its own name.
    let Ok(next) = read_note(&path, &octets, key.verifier()) else { return disk.drop_commit(CHECKPOINT) };
    let now = super::disk::read_if_there(&path).map_err(LogError::io(&path))?;
    let now = now.map(|octets| read_note(&path, &octets, key.verifier())).transpose()?;
    if now.is_some_and(|now| now.size() >= next.size()) {
        return disk.drop_commit(CHECKPOINT);
    }
    // Its tiles were on the disk before it was signed.
    LogReader::at(folder, next)?;
    disk.finish_commit(CHECKPOINT)
}

/// Reads the partial bundle at the right edge and compares it with its tile.
fn read_tail(folder: &Path, edge: &Edge) -> Result<Vec<u8>, LogError> {
    let Some(name) = TileName::at_edge(TileOf::Entries, edge.size()) else { return Ok(Vec::new()) };
    let (path, octets) = read_named(folder, name)?;
    let leaves = edge.hashes(0);
    let entries = read_entries(&octets).unwrap_or_default();
    let hashes: Vec<Digest> = entries.iter().take(leaves.len()).map(|entry| leaf_hash(entry)).collect();
    if hashes != leaves {
        return Err(LogError::Damaged { path, what: "its entries are not the ones that were signed" });
    }
    let mut tail = Vec::new();
    for entry in entries.iter().take(leaves.len()) {
        push_entry(&mut tail, entry);
    }
    Ok(tail)
}

/// Takes the log for this process.
fn lock(folder: &Path) -> Result<File, LogError> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(&path).map_err(LogError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Busy { path: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(LogError::Io { path, source }),
    }
}
