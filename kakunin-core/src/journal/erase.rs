//! Erasing disclosed values: finding them, saying so in a signed receipt, and overwriting them where they lie.
//!
//! Takes in a journal and what is to be forgotten; touches salts and values only. Receipts, signatures, hashes and budgets stay
//! as they are, and a guard that runs meanwhile is not disturbed: it appends, and nothing here is behind what it
//! appends. In this order, for up to 16,384 values at a time:
//!
//! 1. the segments are put on the disk, so that what lies at a place stays there;
//! 2. the places are kept in the record `erasing` ([`super::erasing`]), and the commitments in the archive;
//! 3. a receipt `erased`, signed, in a stream of its own, is put on the disk;
//! 4. the octets are overwritten, put on the disk, and the record is removed.
//!
//! Whoever dies in between leaves a record, and the next opening of the journal finishes what its receipt states. A record
//! alone is an order that nobody signed: nothing was destroyed by it yet, and it is taken back. So who can write beside
//! a journal, and has no key, gets no agent to sign an erasure.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{IFlags, ioctl_getflags};

use super::announce::{Announcer, announced};
use super::archive::{Archive, ArchiveError, MOST_ERASED, erased_root};
use super::erasing::{Place, Record, lock, open_for_overwriting};
use super::handle::{Identity, JournalError};
use super::read::StreamReader;
use super::recover::{recover, streams};
use super::search::{Search, Survey, Which, piece_path, search, segment_path};
use crate::id::{AgentId, StreamId};
use crate::modes;
use crate::reason::DenialReason;
use crate::receipt::{ErasureReason, ReceiptHash, Stamp};

/// What was erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// How much.
    pub survey: Survey,
    /// The receipts that say so.
    pub receipts: Vec<ReceiptHash>,
    /// Whether an earlier erasure that was interrupted had to be finished first.
    pub finished_earlier: bool,
}

/// What became of an erasure that may have been interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// There was none.
    Nothing,
    /// It is finished now.
    Done,
    /// Somebody is erasing.
    Busy,
}

/// An agent that starts looks whether there is something to finish, which takes a moment; an erasure takes longer.
fn wait_for_lock(journal: &Path) -> Result<File, EraseError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lock(journal).map_err(|source| io_at(journal, source))? {
            Some(held) => return Ok(held),
            None if Instant::now() >= deadline => return Err(EraseError::Busy),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// A receipt of one agent in the journal of another would make it INVALID.
fn is_of(journal: &Path, agent: AgentId) -> Result<(), EraseError> {
    for mut reader in StreamReader::streams(journal).map_err(|source| io_at(journal, source))? {
        let first = reader.next().and_then(Result::ok);
        if first.is_some_and(|entry| entry.receipt().statement().agent != agent) {
            return Err(EraseError::OtherAgent { agent });
        }
    }
    Ok(())
}

/// Erases the values that `which` names, for `reason`. `identity` signs the receipt that says so; `stamp` reads the clocks.
///
/// # Errors
/// [`EraseError`]. Nothing is destroyed before its receipt is on the disk; what is announced and not destroyed yet is
/// finished by the next opening of the journal.
pub fn erase(
    journal: &Path,
    which: &Which,
    reason: ErasureReason,
    identity: &Identity,
    stamp: &dyn Fn() -> Stamp,
) -> Result<Erased, EraseError> {
    let _lock = wait_for_lock(journal)?;
    is_of(journal, identity.agent)?;
    let mut announcer = Announcer::new(journal, identity, stamp);
    let erased = erase_all(journal, which, reason, &mut announcer);
    // After a failure as well: a stream without an end is what a process leaves that died.
    let closed = announcer.close();
    let erased = erased?;
    closed?;
    Ok(erased)
}

fn erase_all(
    journal: &Path,
    which: &Which,
    reason: ErasureReason,
    announcer: &mut Announcer<'_>,
) -> Result<Erased, EraseError> {
    let finished_earlier = finish(journal)?;
    // What dead processes left half written is cut before, so that no value hides in it.
    for stream in streams(journal).map_err(|source| io_at(journal, source))? {
        let folder = journal.join(stream.to_string());
        modes::refuse_link(&folder).map_err(|source| io_at(&folder, source))?;
        let _ = recover(journal, stream, announcer.identity, (announcer.stamp)());
    }
    let Search { survey, mut chosen, mut pieces, .. } = search(journal, which)?;
    let mut places: Vec<Place> = chosen.iter().map(|chosen| chosen.place).collect();
    places.sort_unstable();
    prepare(journal, &places, &pieces)?;
    let mut receipts = Vec::new();
    while !chosen.is_empty() || !pieces.is_empty() {
        let (mut commitments, mut places) = (Vec::new(), Vec::new());
        // One receipt has four values at most; more, which nobody could have written, go alone.
        while let Some(next) = chosen
            .pop_if(|next| places.is_empty() || commitments.len() + next.commitments.len() <= MOST_ERASED)
        {
            commitments.extend(next.commitments);
            places.push(next.place);
        }
        commitments.sort_unstable();
        commitments.dedup();
        places.sort_unstable();
        // Whoever cannot sign or write leaves no order to destroy.
        announcer.open()?;
        let (count, root) = (commitments.len() as u64, erased_root(&commitments));
        let record = Record { count, root, reason, places, pieces: std::mem::take(&mut pieces) };
        // First the record: as long as it is there, somebody knows which commitments no receipt states yet.
        record.keep(journal).map_err(|source| io_at(journal, source))?;
        step();
        if let Err(error) = Archive::of(journal).keep_erased(&commitments) {
            take_back(journal, &record)?;
            return Err(error.into());
        }
        step();
        receipts.extend(announcer.announce(&record)?);
        step();
        carry_out(journal, &record)?;
    }
    Ok(Erased { survey, receipts, finished_earlier })
}

/// Finishes an erasure that was interrupted after its receipt was signed; takes back one that was interrupted before.
///
/// # Errors
/// As [`erase`], and [`EraseError::Unstated`].
pub fn finish_erasure(journal: &Path) -> Result<Finish, EraseError> {
    let failed = |source| io_at(journal, source);
    if Record::read(journal).is_ok_and(|record| record.is_none()) {
        return Ok(Finish::Nothing);
    }
    let Some(_lock) = lock(journal).map_err(failed)? else { return Ok(Finish::Busy) };
    Ok(if finish(journal)? { Finish::Done } else { Finish::Nothing })
}

fn finish(journal: &Path) -> Result<bool, EraseError> {
    let Some(record) = Record::read(journal).map_err(|source| io_at(&journal.join("erasing"), source))?
    else {
        return Ok(false);
    };
    let is_stated = announced(journal, &record)?.is_some();
    if is_stated {
        carry_out(journal, &record)?;
    } else {
        take_back(journal, &record)?;
    }
    Ok(is_stated)
}

/// Undoes what was prepared for an erasure that no receipt states: nothing was destroyed yet.
fn take_back(journal: &Path, record: &Record) -> Result<(), EraseError> {
    for place in &record.places {
        let path = segment_path(journal, place.stream, place.segment);
        let whole = File::open(&path).and_then(|file| place.read(&file));
        // Half-overwritten octets are told from damage by this record alone.
        if !whole.is_ok_and(|octets| place.is_whole(&octets)) {
            return Err(EraseError::Unstated { path: journal.join("erasing"), segment: path });
        }
    }
    Archive::of(journal).forget_erased(&record.root).map_err(|source| io_at(journal, source))?;
    Record::drop_from(journal).map_err(|source| io_at(journal, source))
}

/// Opens everything that will be overwritten and puts it on the disk: a place that could move is no place, and what cannot
/// be overwritten must not be announced.
fn prepare(journal: &Path, places: &[Place], pieces: &[(StreamId, u32)]) -> Result<(), EraseError> {
    for of_one in places.chunk_by(|one, other| (one.stream, one.segment) == (other.stream, other.segment)) {
        let Some(first) = of_one.first() else { continue };
        let path = segment_path(journal, first.stream, first.segment);
        let file = open(&path)?;
        file.sync_data().map_err(|source| io_at(&path, source))?;
    }
    for (stream, segment) in pieces {
        open(&piece_path(journal, *stream, *segment))?;
    }
    Ok(())
}

/// Overwrites what `record` names, puts that on the disk, and takes the record away.
///
/// A receipt says which values go. A record that names others is none of its erasure, and nothing is touched then.
fn carry_out(journal: &Path, record: &Record) -> Result<(), EraseError> {
    let commitments = Archive::of(journal).erased(&record.root).filter(|it| it.len() as u64 == record.count);
    for place in &record.places {
        let path = segment_path(journal, place.stream, place.segment);
        let there = open(&path)?;
        let octets = place.read(&there).map_err(|source| io_at(&path, source))?;
        let known = |commitment| commitments.iter().any(|all| all.binary_search(commitment).is_ok());
        if !place.commitments(&octets).iter().all(known) {
            let wrong =
                "it orders to erase values that its receipt is not about; remove it if it is not yours";
            return Err(io_at(&journal.join("erasing"), io::Error::other(wrong)));
        }
    }
    let same = |one: &Place, other: &Place| (one.stream, one.segment) == (other.stream, other.segment);
    for of_one in record.places.chunk_by(same) {
        let Some(first) = of_one.first() else { continue };
        let path = segment_path(journal, first.stream, first.segment);
        let file = open(&path)?;
        for place in of_one {
            place.overwrite(&file).map_err(|source| io_at(&path, source))?;
            step();
        }
        file.sync_data().map_err(|source| io_at(&path, source))?;
        step();
    }
    for (stream, segment) in &record.pieces {
        destroy(&piece_path(journal, *stream, *segment))?;
        step();
    }
    Record::drop_from(journal).map_err(|source| io_at(journal, source))
}

/// Overwrites a whole file and removes it.
fn destroy(path: &Path) -> Result<(), EraseError> {
    let file = match open(path) {
        Ok(file) => file,
        Err(EraseError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let done = zero(&file).and_then(|()| fs::remove_file(path)).and_then(|()| match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    });
    done.map_err(|source| io_at(path, source))
}

fn zero(file: &File) -> io::Result<()> {
    let (length, zeros) = (file.metadata()?.len(), [0; 1 << 16]);
    let mut at = 0;
    while at < length {
        let octets = usize::try_from(length - at).unwrap_or(zeros.len()).min(zeros.len());
        file.write_all_at(zeros.get(..octets).unwrap_or_default(), at)?;
        at += octets as u64;
    }
    file.sync_all()
}

fn open(path: &Path) -> Result<File, EraseError> {
    // Whoever owns the folders chooses no other ones by a link.
    path.parent().map_or(Ok(()), modes::refuse_link).map_err(|source| io_at(path, source))?;
    open_for_overwriting(path).map_err(|source| {
        let protected = || -> io::Result<bool> {
            let flags = ioctl_getflags(File::open(path)?)?;
            Ok(flags.intersects(IFlags::APPEND | IFlags::IMMUTABLE))
        };
        match protected() {
            Ok(true) => EraseError::Protected { path: path.to_owned() },
            _ => io_at(path, source),
        }
    })
}

pub(super) fn io_at(path: &Path, source: io::Error) -> EraseError {
    EraseError::Io { path: path.to_owned(), source }
}

/// Tests end the process here.
pub(super) fn step() {
    #[cfg(test)]
    super::erase_faults::step(|| {});
}

/// As long as an opening waits for another one.
const PATIENCE: Duration = Duration::from_secs(2);

/// An erasure that was refused or is not finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// Somebody else is erasing in the journal.
    #[error("another process erases in this journal; try again when it is done")]
    Busy,
    /// A file can only be appended to, or not at all.
    #[error(
        "`{}` is protected by the file system (chattr +a or +i); run `kakunin archive protect --undo` or `chattr -ai` on it \
         as root, erase, and protect it again",
        path.display()
    )]
    Protected {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was to be erased is neither whole nor erased, and no receipt that can be read states its erasure.
    #[error(
        "`{}` orders an erasure that no receipt states, and `{}` holds neither the values nor what takes their place: \
         somebody else wrote the order, or the stream of its receipt is damaged; run `kakunin verify`, and remove the \
         file if it is not yours",
        path.display(), segment.display()
    )]
    Unstated {
        /// The record.
        path: PathBuf,
        /// Where the values should be.
        segment: PathBuf,
    },
    /// The journal has receipts of another agent.
    #[error("the journal is not only agent {agent}'s, whose key would sign for it")]
    OtherAgent {
        /// Whose key it is.
        agent: AgentId,
    },
    /// No decision begins so.
    #[error("no decision begins with `{prefix}`")]
    NoDecision {
        /// What was given.
        prefix: String,
    },
    /// Several decisions begin so.
    #[error("several decisions begin so: {}", ids.join(", "))]
    Ambiguous {
        /// Their ids.
        ids: Vec<String>,
    },
    /// The commitments cannot be kept.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The receipt of the erasure cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The same.
    #[error("the receipt of the erasure cannot be written: {}", .0.what())]
    Refused(DenialReason),
}
