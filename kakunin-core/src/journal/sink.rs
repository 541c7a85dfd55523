//! Where frames go: a segment file held under a lock, or the memory of the latest receipts.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::segment::{SEGMENT_SIZE, push_segment_header, segment_name};
use crate::id::StreamId;
use crate::key::Signature;
use crate::receipt::to_jws;

/// What a journal writes to.
pub(super) enum Sink {
    File(SegmentFile),
    Memory(Ring),
}

/// The segment that a stream grows in, and the lock on the stream.
pub(super) struct SegmentFile {
    folder: PathBuf,
    stream: StreamId,
    index: u32,
    path: PathBuf,
    file: File,
    length: u64,
    // Held, never read: the kernel releases it when the last copy of this descriptor closes.
    _lock: File,
}

impl SegmentFile {
    /// Makes the folder of `stream` with its lock and first segment. It appears under its name only when locked, so
    /// nobody can mistake it for an abandoned one.
    pub(super) fn create(journal: &Path, stream: StreamId) -> io::Result<Self> {
        let building = journal.join(format!("{stream}.new"));
        let folder = journal.join(stream.to_string());
        fs::create_dir(&building)?;
        let lock = lock(&building)?.ok_or_else(|| io::Error::other("a fresh stream is locked"))?;
        let (file, length) = create_segment(&building, &stream, 1)?;
        fs::rename(&building, &folder)?;
        File::open(journal)?.sync_all()?;
        let path = folder.join(segment_name(1));
        Ok(Self { folder, stream, index: 1, path, file, length, _lock: lock })
    }

    /// Appends `frames` by one write; the next segment is begun first when this one is full.
    fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        if self.length >= SEGMENT_SIZE {
            self.index = self.index.checked_add(1).ok_or_else(|| io::Error::other("too many segments"))?;
            (self.file, self.length) = create_segment(&self.folder, &self.stream, self.index)?;
            self.path = self.folder.join(segment_name(self.index));
        }
        write_once(&mut self.file, frames)?;
        self.length += frames.len() as u64;
        Ok(())
    }

    /// Whether the path still leads to the file that is written, and the file has the length that was written.
    fn still_in_place(&self) -> bool {
        let (Ok(named), Ok(open)) = (fs::metadata(&self.path), self.file.metadata()) else { return false };
        named.dev() == open.dev() && named.ino() == open.ino() && open.len() >= self.length
    }

    /// Puts everything on the disk and marks the stream as one that needs no recovery.
    fn finish(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        mark_closed(&self.folder)
    }
}

impl Sink {
    /// A file that takes nothing: a full disk.
    #[cfg(test)]
    pub(super) fn broken() -> Self {
        let path = PathBuf::from("/dev/full");
        let open = || OpenOptions::new().write(true).open(&path).unwrap();
        let stream = StreamId::from_bytes([0; 16]);
        let folder = PathBuf::new();
        Self::File(SegmentFile { folder, stream, index: 1, file: open(), length: 0, _lock: open(), path })
    }

    pub(super) fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.append(frames),
            Self::Memory(_) => Ok(()),
        }
    }

    pub(super) fn still_in_place(&self) -> bool {
        match self {
            Self::File(file) => file.still_in_place(),
            Self::Memory(_) => true,
        }
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.finish(),
            Self::Memory(_) => Ok(()),
        }
    }
}

/// The latest signed receipts of an agent without a directory.
pub(super) struct Ring {
    tokens: VecDeque<String>,
    capacity: usize,
}

impl Ring {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { tokens: VecDeque::new(), capacity }
    }

    pub(super) fn keep(&mut self, signing_input: &[u8], signature: &Signature) {
        if self.tokens.len() >= self.capacity {
            self.tokens.pop_front();
        }
        self.tokens.push_back(to_jws(signing_input, signature));
    }

    pub(super) fn tokens(&self) -> Vec<String> {
        self.tokens.iter().cloned().collect()
    }
}

/// Takes the lock of a stream's folder; `None` when somebody holds it.
pub(super) fn lock(folder: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a stream was closed and needs no recovery. Only a hint: the verifier reads the receipts.
pub(super) fn is_marked_closed(folder: &Path) -> bool {
    folder.join(CLOSED).exists()
}

pub(super) fn mark_closed(folder: &Path) -> io::Result<()> {
    File::create(folder.join(CLOSED)).map(drop)
}

/// Writes all of `bytes` by one system call or fails.
pub(super) fn write_once(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    loop {
        match file.write(bytes) {
            Ok(written) if written == bytes.len() => return Ok(()),
            Ok(_) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn create_segment(folder: &Path, stream: &StreamId, index: u32) -> io::Result<(File, u64)> {
    let path = folder.join(segment_name(index));
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
    let mut header = Vec::new();
    push_segment_header(&mut header, stream, index);
    write_once(&mut file, &header)?;
    File::open(folder)?.sync_all()?;
    Ok((file, header.len() as u64))
}

const CLOSED: &str = "closed";
