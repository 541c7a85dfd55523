//! The state directory: what an agent must remember between processes.
//!
//! ```text
//! STATE   lists/<issuer>.crl   the list accepted last of each issuer, DER; the name is the SHA-256 of its key
//!         lists/<issuer>.feed  how far the feed beside it was known, and which certificates here it revoked
//!         evidence/<offered>/  two lists of one issuer that contradict each other; eight at most
//!         clock   marks, two slots        budget.seg   see `ledger`        genesis   the mark that was consumed
//! ```
//!
//! All of it changes only under the lock on `budget.seg`, and never to something lower.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::digest::Digest;
use crate::file;
use crate::home::AgentHome;
use crate::modes::{self, Loose};
use crate::revocation::MAX_LIST;
use crate::time::UnixTime;

/// A state directory.
#[derive(Clone, Debug)]
pub(super) struct StateDir {
    path: PathBuf,
    /// Device and inode of the directory that was opened.
    place: (u64, u64),
}

impl StateDir {
    /// Opens the directory, making it if it is not there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Disclosed values and amounts stand in there in clear.
        modes::make_folders(path)?;
        let lists = path.join(LISTS);
        if !lists.is_dir() {
            modes::make_folder(&lists)?;
            File::open(path)?.sync_all()?;
        }
        Ok(Self { path: path.to_owned(), place: place_of(&fs::metadata(path)?) })
    }

    /// Refuses a directory that others can write into by now.
    pub(super) fn refuse_loose(&self) -> Result<(), Loose> {
        AgentHome::refuse_loose_state(&self.path)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Takes the lock, waiting for as long as `patience` says. The file is the one that stands at its path now.
    pub(super) fn lock(&self, patience: Patience) -> Result<Locked, LockError> {
        let deadline = Instant::now() + patience.duration();
        loop {
            let file = open_append(&self.file(BUDGETS))?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &self.file(BUDGETS))? => {
                    // Whoever puts another directory there would hand out what was spent once more.
                    return match place_of(&fs::metadata(&self.path)?) == self.place {
                        true => Ok(Locked(file)),
                        false => Err(io::Error::other("another directory stands in its place").into()),
                    };
                }
                // Compacted meanwhile: the lock is on a file that is no longer there.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Err(LockError::Busy),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_micros(500)),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }

    /// Takes the lock on a file that is open already, or on its successor.
    pub(super) fn relock(&self, file: File, patience: Patience) -> Result<Locked, LockError> {
        match file.try_lock() {
            Ok(()) if is_at(&file, &self.file(BUDGETS))? => Ok(Locked(file)),
            _ => self.lock(patience),
        }
    }

    /// The list accepted last of the issuer with this key.
    pub(super) fn list(&self, issuer: &Digest) -> io::Result<Option<Vec<u8>>> {
        known(file::read(&self.list_path(issuer), MAX_LIST as u64))
    }

    /// Keeps `der` as the list accepted last of `issuer`; the caller holds the lock.
    pub(super) fn keep_list(&self, _lock: &Locked, issuer: &Digest, der: &[u8]) -> io::Result<()> {
        replace(&self.list_path(issuer), der)
    }

    /// Keeps what proves a contradiction, once and up to a number: whoever can make them must not fill a disk. `None` if there is as
    /// much as is kept.
    pub(super) fn keep_evidence(&self, sides: &[(&str, &[u8])]) -> io::Result<Option<PathBuf>> {
        let offered = sides.last().map_or(&[][..], |(_, bytes)| bytes);
        let name: String = Digest::of(offered).to_hex().chars().take(16).collect();
        let (all, last) = (self.file(EVIDENCE), sides.last().map_or("", |(name, _)| name));
        let place = all.join(name);
        // What was offered comes last: where that is, everything is.
        if place.join(last).exists() {
            return Ok(Some(place));
        }
        if fs::read_dir(&all).is_ok_and(|entries| entries.count() >= MOST_EVIDENCE) {
            return Ok(None);
        }
        modes::make_folders(&place)?;
        sides.iter().try_for_each(|(name, bytes)| replace(&place.join(name), bytes))?;
        Ok(Some(place))
    }

    /// What is kept of the feed of the issuer with this key.
    pub(super) fn feed(&self, issuer: &Digest) -> io::Result<Option<String>> {
        known(file::read_text(&self.feed_path(issuer), MAX_FEED))
    }

    /// Keeps `text` of the feed of `issuer`; the caller holds the lock.
    pub(super) fn keep_feed(&self, _lock: &Locked, issuer: &Digest, text: &str) -> io::Result<()> {
        replace(&self.feed_path(issuer), text.as_bytes())
    }

    /// Where what is known of a feed is kept.
    pub(super) fn feed_path(&self, issuer: &Digest) -> PathBuf {
        self.file(LISTS).join(format!("{issuer}.feed"))
    }

    fn list_path(&self, issuer: &Digest) -> PathBuf {
        self.file(LISTS).join(format!("{issuer}.crl"))
    }

    /// The marks.
    pub(super) fn marks(&self) -> io::Result<Marks> {
        match known(file::read(&self.file(CLOCK), MAX_SMALL))? {
            Some(bytes) if !bytes.is_empty() => Marks::newest(&bytes),
            _ => Ok(Marks::default()),
        }
    }

    /// Writes `marks` over the older of the two slots; the caller holds the lock.
    pub(super) fn keep_marks(&self, _lock: &Locked, marks: &Marks) -> io::Result<()> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.file(CLOCK))?;
        file.write_all_at(&marks.to_bytes(), (marks.version % 2) * MARK_BYTES)
    }

    /// The thumbprint of the genesis mark that was consumed last.
    pub(super) fn consumed_genesis(&self) -> io::Result<Option<String>> {
        Ok(known(file::read_text(&self.file(GENESIS), MAX_SMALL))?.map(|text| text.trim().to_owned()))
    }

    /// Records that a genesis mark was consumed; the caller holds the lock.
    pub(super) fn consume_genesis(&self, _lock: &Locked, thumbprint: &str) -> io::Result<()> {
        replace(&self.file(GENESIS), format!("{thumbprint}\n").as_bytes())
    }
}

/// The lock is held while this lives, on the budget file it wraps.
#[derive(Debug)]
pub(super) struct Locked(File);

impl Locked {
    pub(super) const fn file(&self) -> &File {
        &self.0
    }

    /// Gives the lock back and keeps the file.
    pub(super) fn release(self) -> io::Result<File> {
        self.0.unlock()?;
        Ok(self.0)
    }
}

/// How long a lock is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// A call waits behind reservations of others, which take microseconds: at most 100 ms (WIRE 4).
    Call,
    /// An opening waits behind openings of others, which make files and wait for disks.
    Start,
}

impl Patience {
    const fn duration(self) -> Duration {
        match self {
            Self::Call => Duration::from_millis(100),
            Self::Start => Duration::from_secs(2),
        }
    }
}

/// A lock that could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum LockError {
    #[error("the state directory is locked by another process")]
    Busy,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Numbers that only rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// Raised with every write; decides which slot is newer.
    version: u64,
    /// The latest thisUpdate of an accepted list.
    pub(super) trusted: UnixTime,
    /// The number of the last budget frame.
    pub(super) frame: u64,
}

impl Default for Marks {
    fn default() -> Self {
        Self { version: 0, trusted: UnixTime::from_seconds(0), frame: 0 }
    }
}

impl Marks {
    /// These marks with higher ones taken over.
    pub(super) fn raised(self, trusted: UnixTime, frame: u64) -> Self {
        Self { version: self.version + 1, trusted: self.trusted.max(trusted), frame: self.frame.max(frame) }
    }

    /// Marks after a genesis: frames count from one again, time does not.
    pub(super) const fn restarted(self) -> Self {
        Self { version: self.version + 1, trusted: self.trusted, frame: 0 }
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        crate::frame::push(&mut bytes, |out| {
            out.extend_from_slice(&self.version.to_le_bytes());
            out.extend_from_slice(&self.trusted.seconds().to_le_bytes());
            out.extend_from_slice(&self.frame.to_le_bytes());
        });
        bytes
    }

    /// The newer of the readable slots. Of two slots a crash spoils one at most, so a file without any was damaged.
    fn newest(bytes: &[u8]) -> io::Result<Self> {
        let slots = bytes.chunks(usize::try_from(MARK_BYTES).unwrap_or(32));
        let read = slots.filter_map(|slot| Self::read(crate::frame::Frames::new(slot).next()?));
        read.max_by_key(|marks| marks.version).ok_or_else(|| io::Error::other("the file `clock` is damaged"))
    }

    fn read(body: &[u8]) -> Option<Self> {
        let (version, rest) = body.split_first_chunk::<8>()?;
        let (trusted, rest) = rest.split_first_chunk::<8>()?;
        Some(Self {
            version: u64::from_le_bytes(*version),
            trusted: UnixTime::from_seconds(i64::from_le_bytes(*trusted)),
            frame: u64::from_le_bytes(rest.try_into().ok()?),
        })
    }
}

/// `None` for what is not there.
fn known<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a file: whole or not at all, and durable when this returns.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temp = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = modes::make_file(&temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temp, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Opens a file that grows, making it if it is not there. A pipe in its place would swallow what is written.
pub(super) fn open_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(file::without_waiting());
    let opened = options.open(path)?;
    file::regular(&opened.metadata()?)?;
    Ok(opened)
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    Ok(place_of(&file.metadata()?) == place_of(&fs::metadata(path)?))
}

fn place_of(data: &fs::Metadata) -> (u64, u64) {
    (data.dev(), data.ino())
}

pub(super) const BUDGETS: &str = "budget.seg";
const EVIDENCE: &str = "evidence";
/// Lists can have megabytes.
const MOST_EVIDENCE: usize = 8;
const LISTS: &str = "lists";
const CLOCK: &str = "clock";
const GENESIS: &str = "genesis";
/// Marks and a hash.
const MAX_SMALL: u64 = 4 << 10;
/// A line for each certificate of one agent that was ever revoked: some twenty thousand.
const MAX_FEED: u64 = 1 << 20;
/// Two numbers of 8 and a frame header: 32 bytes a slot.
const MARK_BYTES: u64 = 32;
