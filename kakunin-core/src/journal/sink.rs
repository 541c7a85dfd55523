//! Where frames go: a segment file held under a lock, or the memory of the latest receipts.
//!
//! A file is written by one system call for the frames of one call, and put on the disk when somebody needs it there.
//! Nothing is written into a new segment before the one before it is on the disk, so what the loss of power takes is always
//! the end. A file that could not be put on the disk once is never asked again: what the kernel then says is worth nothing.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::segment::{SEGMENT_SIZE, push_segment_header, push_synced, segment_name};
use crate::id::StreamId;
use crate::key::Signature;
use crate::modes;
use crate::receipt::{sealed_entry, to_jws};

/// What a journal writes to.
pub(super) enum Sink {
    File(SegmentFile),
    Memory(Ring),
}

/// The disk under a stream; tests put one in its place that fails.
pub(super) trait Disk: Send + Sync {
    /// Makes a file that is only appended to.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Medium>>;
    /// Puts the names in `folder` on the disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Gives a folder its name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// When a segment is left for the next one.
    fn segment_size(&self) -> u64 {
        SEGMENT_SIZE
    }
}

/// A file that is open for appending.
pub(super) trait Medium: Send + Sync {
    /// One system call.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Puts everything written on the disk.
    fn sync(&self) -> io::Result<()>;
    /// Device, inode and length.
    fn identity(&self) -> io::Result<(u64, u64, u64)>;
}

/// The kernel's files.
pub(super) struct Files;

impl Disk for Files {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Medium>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(file))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
}

impl Medium for File {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self;
        io::Write::write(&mut file, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn identity(&self) -> io::Result<(u64, u64, u64)> {
        let data = self.metadata()?;
        Ok((data.dev(), data.ino(), data.len()))
    }
}

/// The segment that a stream grows in, and the lock on the stream.
pub(super) struct SegmentFile {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    stream: StreamId,
    index: u32,
    path: PathBuf,
    file: Arc<dyn Medium>,
    length: u64,
    /// Frames that were accepted and are not with the kernel yet.
    held: Vec<u8>,
    /// Octets of the stream that were accepted, held ones included.
    accepted: u64,
    /// How many of them are on the disk.
    durable: u64,
    /// Up to where the present segment is on the disk, if the segment does not say it yet.
    mark: Option<u64>,
    /// Whether a write failed: what it left must remain the last, so nothing is written behind it, nor into another segment.
    broken: bool,
    // Held, never read: the kernel releases it when the last copy of this descriptor closes.
    _lock: File,
}

impl SegmentFile {
    /// Makes the folder of `stream` with its lock and first segment, under another name than its own.
    pub(super) fn create(disk: Arc<dyn Disk>, journal: &Path, stream: StreamId) -> io::Result<Self> {
        let building = journal.join(format!("{stream}.new"));
        let folder = journal.join(stream.to_string());
        modes::make_folder(&building)?;
        let lock = lock(&building)?.ok_or_else(|| io::Error::other("a fresh stream is locked"))?;
        let (file, length) = create_segment(&*disk, &building, &stream, 1)?;
        let path = folder.join(segment_name(1));
        Ok(Self {
            disk,
            folder,
            stream,
            index: 1,
            path,
            file,
            length,
            held: Vec::new(),
            accepted: 0,
            durable: 0,
            mark: None,
            broken: false,
            _lock: lock,
        })
    }

    /// Gives the stream its name. It is locked and its beginning is on the disk by then, so that nobody can mistake it for
    /// an abandoned one, and nothing it will hold can be there without its beginning.
    fn publish(&mut self) -> io::Result<()> {
        let (Some(journal), name) = (self.folder.parent(), self.stream) else {
            return Err(io::Error::other("a stream without a journal"));
        };
        let building = journal.join(format!("{name}.new"));
        self.file.sync()?;
        self.durable = self.accepted;
        self.disk.sync_folder(&building)?;
        self.disk.rename(&building, &self.folder)?;
        self.disk.sync_folder(journal)
    }

    /// Accepts `frames` without writing them, unless too much is held already.
    fn hold(&mut self, frames: &[u8]) -> io::Result<()> {
        self.held.extend_from_slice(frames);
        self.accepted += frames.len() as u64;
        if self.held.len() > MOST_HELD { self.flush() } else { Ok(()) }
    }

    /// Appends `frames`, behind what is held, by one write.
    fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        self.accepted += frames.len() as u64;
        if self.held.is_empty() && self.mark.is_none() && !self.is_full() {
            return self.write(frames);
        }
        self.held.extend_from_slice(frames);
        self.flush()
    }

    /// Writes what is held; the next segment is begun first when this one is full.
    fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        if self.is_full() {
            self.unless_broken(Self::next_segment)?;
        }
        let mut held = std::mem::take(&mut self.held);
        if let Some(length) = self.mark.take() {
            // In front, so that it still leaves in one write.
            let frames = held.len();
            push_synced(&mut held, length);
            held.rotate_left(frames);
        }
        self.write(&held)?;
        held.clear();
        self.held = held;
        Ok(())
    }

    fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        self.unless_broken(|segment| write_once(&*segment.file, frames))?;
        self.length += frames.len() as u64;
        Ok(())
    }

    /// Whoever was refused once is refused from then on, though there may be room again: the caller was told no.
    fn unless_broken(&mut self, act: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed"));
        }
        let done = act(self);
        self.broken = done.is_err();
        done
    }

    fn is_full(&self) -> bool {
        self.length >= self.disk.segment_size()
    }

    fn next_segment(&mut self) -> io::Result<()> {
        // Or the loss of power could take the end of this one and leave the next.
        self.file.sync()?;
        self.durable = self.accepted.saturating_sub(self.held.len() as u64);
        self.mark = None;
        let index = self.index.checked_add(1).ok_or_else(|| io::Error::other("too many segments"))?;
        let (file, length) = create_segment(&*self.disk, &self.folder, &self.stream, index)?;
        file.sync()?;
        self.disk.sync_folder(&self.folder)?;
        (self.index, self.file, self.length) = (index, file, length);
        self.path = self.folder.join(segment_name(self.index));
        Ok(())
    }

    /// Whether the path still leads to the file that is written, and the file has the length that was written.
    fn still_in_place(&self) -> bool {
        let (Ok(named), Ok(open)) = (fs::metadata(&self.path), self.file.identity()) else { return false };
        (named.dev(), named.ino()) == (open.0, open.1) && open.2 >= self.length
    }

    /// Puts everything on the disk and marks the stream as one that needs no recovery.
    fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync()?;
        mark_closed(&self.folder)
    }
}

/// A stretch of a stream that is to be put on the disk, without the stream's lock.
pub(super) struct Unsynced {
    file: Arc<dyn Medium>,
    index: u32,
    length: u64,
    accepted: u64,
}

impl Unsynced {
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

impl Sink {
    /// A file that takes nothing: a full disk.
    #[cfg(test)]
    pub(super) fn broken() -> Self {
        let path = PathBuf::from("/dev/full");
        let open = || OpenOptions::new().write(true).open(&path).unwrap();
        Self::File(SegmentFile {
            disk: Arc::new(Files),
            folder: PathBuf::new(),
            stream: StreamId::from_bytes([0; 16]),
            index: 1,
            file: Arc::new(open()),
            length: 0,
            held: Vec::new(),
            accepted: 0,
            durable: 0,
            mark: None,
            broken: false,
            _lock: open(),
            path,
        })
    }

    pub(super) fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.append(frames),
            Self::Memory(_) => Ok(()),
        }
    }

    /// As [`Sink::append`], but what is killed before the next write is lost.
    pub(super) fn hold(&mut self, frames: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.hold(frames),
            Self::Memory(_) => Ok(()),
        }
    }

    /// The beginning is written: the stream may be seen.
    pub(super) fn publish(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.publish(),
            Self::Memory(_) => Ok(()),
        }
    }

    /// Writes what is held.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Memory(_) => Ok(()),
        }
    }

    /// Whether everything that was accepted is on the disk. Memory has none, and promises none.
    pub(super) const fn is_durable(&self) -> bool {
        match self {
            Self::File(file) => file.durable >= file.accepted,
            Self::Memory(_) => true,
        }
    }

    /// What is not on the disk yet; what is held is written first.
    pub(super) fn unsynced(&mut self) -> io::Result<Option<Unsynced>> {
        let Self::File(file) = self else { return Ok(None) };
        file.flush()?;
        let whole = file.durable >= file.accepted;
        Ok((!whole).then(|| Unsynced {
            file: Arc::clone(&file.file),
            index: file.index,
            length: file.length,
            accepted: file.accepted,
        }))
    }

    /// Takes note that `stretch` is on the disk.
    pub(super) fn synced(&mut self, stretch: &Unsynced) {
        let Self::File(file) = self else { return };
        file.durable = file.durable.max(stretch.accepted);
        // An earlier segment is followed by the next one only because it is on the disk, and needs no mark.
        if file.index == stretch.index {
            file.mark = Some(stretch.length);
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

    pub(super) const fn is_memory(&self) -> bool {
        matches!(self, Self::Memory(_))
    }
}

/// The latest proven receipts of an agent without a directory.
pub(super) struct Ring {
    entries: VecDeque<String>,
    capacity: usize,
}

impl Ring {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), capacity }
    }

    /// Keeps a receipt with its signature, or one that lies under a seal.
    pub(super) fn keep(&mut self, signing_input: &[u8], signature: Option<&Signature>) {
        if self.entries.len() >= self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(match signature {
            Some(signature) => to_jws(signing_input, signature),
            None => sealed_entry(signing_input),
        });
    }

    pub(super) fn entries(&self) -> Vec<String> {
        self.entries.iter().cloned().collect()
    }
}

/// Takes the lock of a stream's folder; `None` when somebody holds it.
pub(super) fn lock(folder: &Path) -> io::Result<Option<File>> {
    let file = modes::open_lock(&folder.join("lock"))?;
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
    modes::make_file(&folder.join(CLOSED)).map(drop)
}

/// Writes all of `bytes` by one system call or fails.
pub(super) fn write_once(file: &dyn Medium, bytes: &[u8]) -> io::Result<()> {
    loop {
        match file.write(bytes) {
            Ok(written) if written == bytes.len() => return Ok(()),
            Ok(_) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn create_segment(
    disk: &dyn Disk,
    folder: &Path,
    stream: &StreamId,
    index: u32,
) -> io::Result<(Arc<dyn Medium>, u64)> {
    let file = disk.create(&folder.join(segment_name(index)))?;
    let mut header = Vec::new();
    push_segment_header(&mut header, stream, index);
    write_once(&*file, &header)?;
    Ok((file, header.len() as u64))
}

/// Frames that are held in memory at most, 64 KiB: about a hundred calls.
const MOST_HELD: usize = 1 << 16;

const CLOSED: &str = "closed";
