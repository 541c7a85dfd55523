//! Erasing disclosed values: finding them, saying so in a signed receipt, and overwriting them where they lie.
//!
//! Takes in a journal and what is to be forgotten; touches salts and values only. Receipts, signatures, hashes and budgets stay
//! as they are, and a guard that runs meanwhile is not disturbed: it appends, and nothing here is behind what it
//! appends. In this order, for up to 16,384 values at a time:
//!
//! 1. the segments are put on the disk, so that what lies at a place stays there;
//! 2. the commitments are kept in the archive, and the places in the record `erasing` ([`super::erasing`]);
//! 3. a receipt `erased`, signed, in a stream of its own, is put on the disk;
//! 4. the octets are overwritten, put on the disk, and the record is removed.
//!
//! Whoever dies in between leaves a record, and the next opening of the journal finishes.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rustix::fs::{IFlags, ioctl_getflags};

use super::archive::{Archive, ArchiveError, MOST_ERASED};
use super::erasing::{Place, Record, lock, open_for_overwriting, read_segment};
use super::handle::{Identity, Journal, JournalError};
use super::read::{Proof, ReadError, StreamReader};
use super::recover::{recover, segments, streams};
use super::segment::{FrameKind, Frames, Tail, is_segment_header, segment_name};
use crate::digest::Digest;
use crate::id::{AgentId, ChainId, StreamId};
use crate::reason::DenialReason;
use crate::receipt::{
    Control, Disclosure, ErasureReason, Event, ReceiptHash, Stamp, Statement, UnverifiedReceipt,
};

/// Whose values are erased: all that the decisions it names and their outcomes disclose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Of one decision chain.
    Chain(ChainId),
    /// Of the one decision whose id begins so.
    Decision(String),
    /// Of decisions that name this counterparty, as the caller wrote it.
    Counterparty(String),
    /// Of decisions that name this resource, as the caller wrote it.
    Resource(String),
    /// Of decisions before this time, in microseconds of Unix time, as their receipts claim.
    Before(i64),
}

/// What an erasure would erase, or has erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Decisions that lose values.
    pub decisions: u64,
    /// Values.
    pub values: u64,
    /// Ends of streams that recovery put aside after a loss of power; nobody can say whose values are in them, so they go
    /// with any erasure that is not about a time before them.
    pub pieces: u64,
    /// Decisions with a value that was too long to keep and can be searched for nothing.
    pub unsearchable: u64,
    /// Streams that could not be read to their end.
    pub unsearched: Vec<Unsearched>,
}

/// A stream whose end could not be searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsearched {
    /// The stream.
    pub stream: StreamId,
    /// Its segment in which reading ended.
    pub segment: u32,
}

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

/// Says what [`erase`] would erase; changes nothing.
///
/// # Errors
/// [`EraseError`]: the journal cannot be read, or several decisions begin so.
pub fn survey(journal: &Path, which: &Which) -> Result<Survey, EraseError> {
    Ok(search(journal, which)?.survey)
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
    let _lock = lock(journal).map_err(|source| io_at(journal, source))?.ok_or(EraseError::Busy)?;
    is_of(journal, identity.agent)?;
    let mut announcer = Announcer { journal, identity, stamp, open: None };
    let finished_earlier = finish(journal, &mut announcer)?;
    // What dead processes left half written is cut before, so that no value hides in it.
    for stream in streams(journal).map_err(|source| io_at(journal, source))? {
        let _ = recover(journal, stream, identity, stamp());
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
        let root = Archive::of(journal).keep_erased(&commitments)?;
        let pieces = std::mem::take(&mut pieces);
        let record = Record { count: commitments.len() as u64, root, reason, places, pieces };
        record.keep(journal).map_err(|source| io_at(journal, source))?;
        step();
        receipts.extend(announcer.announce(&record)?);
        step();
        carry_out(journal, &record)?;
    }
    announcer.close()?;
    Ok(Erased { survey, receipts, finished_earlier })
}

/// Finishes an erasure that was interrupted, if there is one.
///
/// # Errors
/// As [`erase`].
pub fn finish_erasure(journal: &Path, identity: &Identity, stamp: Stamp) -> Result<Finish, EraseError> {
    let failed = |source| io_at(journal, source);
    if Record::read(journal).is_ok_and(|record| record.is_none()) {
        return Ok(Finish::Nothing);
    }
    let Some(_lock) = lock(journal).map_err(failed)? else { return Ok(Finish::Busy) };
    let mut announcer = Announcer { journal, identity, stamp: &|| stamp, open: None };
    let done = finish(journal, &mut announcer)?;
    announcer.close()?;
    Ok(if done { Finish::Done } else { Finish::Nothing })
}

fn finish(journal: &Path, announcer: &mut Announcer<'_>) -> Result<bool, EraseError> {
    let Some(record) = Record::read(journal).map_err(|source| io_at(&journal.join("erasing"), source))?
    else {
        return Ok(false);
    };
    if announced(journal, &record)?.is_none() {
        announcer.announce(&record)?;
    }
    carry_out(journal, &record)?;
    Ok(true)
}

/// Writes receipts of erasures, all into one stream that is opened for the first.
struct Announcer<'a> {
    journal: &'a Path,
    identity: &'a Identity,
    stamp: &'a dyn Fn() -> Stamp,
    open: Option<Journal>,
}

impl Announcer<'_> {
    /// The receipt is signed and on the disk when this returns.
    fn announce(&mut self, record: &Record) -> Result<Option<ReceiptHash>, EraseError> {
        let journal = match self.open.take() {
            Some(journal) => journal,
            None => Journal::open(self.journal, self.identity.clone(), (self.stamp)())?,
        };
        let Record { count, root, reason, .. } = *record;
        let control = Control::Erased { count, digest: root, reason };
        journal.control(control, (self.stamp)()).map_err(EraseError::Refused)?;
        step();
        journal.quiesce().map_err(EraseError::Refused)?;
        let health = journal.health();
        if let Some(reason) = health.failed {
            return Err(EraseError::Refused(reason));
        }
        if health.unsigned > 0 {
            return Err(JournalError::Unsigned(health.unsigned).into());
        }
        journal.persist().map_err(EraseError::Refused)?;
        let stream = journal.stream();
        self.open = Some(journal);
        let reader = stream.map(|stream| StreamReader::open(self.journal, stream)).transpose();
        let reader = reader.map_err(|source| io_at(self.journal, source))?;
        // What was just written is read back before anything is destroyed.
        match reader.map(|reader| announced_in(reader, record)).transpose()?.flatten() {
            Some(receipt) => Ok(Some(receipt)),
            None => Err(EraseError::Refused(DenialReason::JournalUnavailable)),
        }
    }

    fn close(self) -> Result<(), EraseError> {
        let Some(journal) = self.open else { return Ok(()) };
        Ok(journal.close((self.stamp)())?)
    }
}

/// The signed receipt of the erasure that `record` is about, if it was written.
fn announced(journal: &Path, record: &Record) -> Result<Option<ReceiptHash>, EraseError> {
    for reader in StreamReader::streams(journal).map_err(|source| io_at(journal, source))? {
        if let Some(receipt) = announced_in(reader, record)? {
            return Ok(Some(receipt));
        }
    }
    Ok(None)
}

fn announced_in(reader: StreamReader, record: &Record) -> Result<Option<ReceiptHash>, EraseError> {
    let folder = PathBuf::from(reader.stream().to_string());
    for entry in reader {
        let entry = match entry {
            Ok(entry) => entry,
            Err(ReadError::Io(source)) => return Err(io_at(&folder, source)),
            Err(ReadError::Fault { .. }) => break,
        };
        let Event::Control(Control::Erased { count, digest, .. }) = entry.receipt().statement().event else {
            continue;
        };
        if (count, digest) == (record.count, record.root) && entry.proof() != Proof::Unsigned {
            return Ok(Some(entry.receipt().hash()));
        }
    }
    Ok(None)
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
fn carry_out(journal: &Path, record: &Record) -> Result<(), EraseError> {
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

/// Disclosures of one receipt, and where they lie.
struct Chosen {
    place: Place,
    commitments: Vec<Digest>,
}

/// A search through a journal.
struct Search<'w> {
    which: &'w Which,
    survey: Survey,
    chosen: Vec<Chosen>,
    pieces: Vec<(StreamId, u32)>,
    /// Decisions that were named, whose outcomes go with them.
    named: HashSet<ReceiptHash>,
}

fn search<'w>(journal: &Path, which: &'w Which) -> Result<Search<'w>, EraseError> {
    let mut search = Search {
        which,
        survey: Survey::default(),
        chosen: Vec::new(),
        pieces: Vec::new(),
        named: HashSet::new(),
    };
    let mut ids = HashSet::new();
    for stream in streams(journal).map_err(|source| io_at(journal, source))? {
        let folder = journal.join(stream.to_string());
        for segment in segments(&folder).map_err(|source| io_at(&folder, source))? {
            let read = read_segment(&folder, stream, segment);
            let octets = read.map_err(|source| io_at(&segment_path(journal, stream, segment), source))?;
            if !search.segment(&octets, stream, segment) {
                search.survey.unsearched.push(Unsearched { stream, segment });
                break;
            }
        }
        search.pieces(journal, &folder, stream)?;
        // An outcome lies in the stream of its decision.
        match which {
            Which::Decision(_) => ids.extend(search.named.drain()),
            _ => search.named.clear(),
        }
    }
    if ids.len() > 1 {
        let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        ids.sort_unstable();
        return Err(EraseError::Ambiguous { ids });
    }
    if let (Which::Decision(prefix), true) = (which, ids.is_empty()) {
        return Err(EraseError::NoDecision { prefix: prefix.clone() });
    }
    Ok(search)
}

impl Search<'_> {
    /// Whether the segment could be read to its end.
    fn segment(&mut self, octets: &[u8], stream: StreamId, segment: u32) -> bool {
        let mut frames = Frames::new(octets);
        let mut disclosures: Vec<Disclosure> = Vec::new();
        // Where the disclosures begin that wait for their receipt, and where they end.
        let (mut start, mut end, mut first) = (0, 0, true);
        loop {
            let before = frames.offset();
            let Some(frame) = frames.next() else { break };
            let heading =
                frame.kind == FrameKind::Control && is_segment_header(frame.content, &stream, segment);
            if std::mem::take(&mut first) != heading {
                return false;
            }
            match frame.kind {
                FrameKind::Disclosure => {
                    let Ok(disclosure) = Disclosure::parse(frame.content) else { return false };
                    if disclosures.is_empty() {
                        start = before;
                    }
                    disclosures.push(disclosure);
                    end = frames.offset();
                }
                FrameKind::Receipt => {
                    let Ok(receipt) = UnverifiedReceipt::from_signing_input(frame.content) else {
                        return false;
                    };
                    if self.takes(receipt.statement(), receipt.hash(), &disclosures)
                        && !disclosures.is_empty()
                    {
                        // INVARIANT: a segment has little more than 64 MiB.
                        let length = u32::try_from(end - start).unwrap_or(u32::MAX);
                        let place = Place { stream, segment, offset: start as u64, length };
                        self.survey.values += disclosures.len() as u64;
                        if matches!(receipt.statement().event, Event::Decision { .. }) {
                            self.survey.decisions += 1;
                        }
                        let commitments = disclosures.iter().map(|disclosure| *disclosure.digest()).collect();
                        self.chosen.push(Chosen { place, commitments });
                    }
                    disclosures.clear();
                }
                FrameKind::Signature | FrameKind::Control | FrameKind::Synced | FrameKind::Erased => {}
            }
        }
        // A write that is going on, or was torn, belongs to nobody yet.
        frames.tail() != Tail::Damaged
    }

    /// Whether the values of a receipt are to be erased.
    fn takes(&mut self, statement: &Statement, hash: ReceiptHash, disclosures: &[Disclosure]) -> bool {
        match &statement.event {
            Event::Decision { .. } => {
                let named = match self.which {
                    Which::Chain(chain) => statement.chain.is_some_and(|(its, _)| its == *chain),
                    Which::Decision(prefix) => hash.starts_with(prefix),
                    Which::Counterparty(name) => self.names(disclosures, "counterparties", name),
                    Which::Resource(name) => self.names(disclosures, "resources", name),
                    Which::Before(micros) => statement.stamp.micros < *micros,
                };
                if named {
                    self.named.insert(hash);
                }
                named
            }
            Event::Outcome { decision, .. } => self.named.contains(decision),
            _ => false,
        }
    }

    fn names(&mut self, disclosures: &[Disclosure], what: &str, name: &str) -> bool {
        let mut found = false;
        for disclosure in disclosures.iter().filter(|disclosure| disclosure.name() == what) {
            let value = disclosure.value();
            found |= value.as_str() == Some(name)
                || value.as_array().is_some_and(|names| names.iter().any(|one| one.as_str() == Some(name)));
            self.survey.unsearchable += u64::from(value.is_object());
        }
        found
    }

    /// What recovery put aside of a stream.
    fn pieces(&mut self, journal: &Path, folder: &Path, stream: StreamId) -> Result<(), EraseError> {
        for entry in fs::read_dir(folder).map_err(|source| io_at(folder, source))? {
            let path = entry.map_err(|source| io_at(folder, source))?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            let (Some(segment), Some("cut")) = (stem, path.extension().and_then(|end| end.to_str())) else {
                continue;
            };
            if piece_path(journal, stream, segment) == path && self.is_old(&path) {
                self.pieces.push((stream, segment));
                self.survey.pieces += 1;
            }
        }
        Ok(())
    }

    fn is_old(&self, path: &Path) -> bool {
        let Which::Before(micros) = self.which else { return true };
        let modified = fs::metadata(path).and_then(|data| data.modified()).ok();
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        since.is_none_or(|since| i64::try_from(since.as_micros()).is_ok_and(|at| at < *micros))
    }
}

fn segment_path(journal: &Path, stream: StreamId, segment: u32) -> PathBuf {
    journal.join(stream.to_string()).join(segment_name(segment))
}

fn piece_path(journal: &Path, stream: StreamId, segment: u32) -> PathBuf {
    segment_path(journal, stream, segment).with_extension("cut")
}

fn io_at(path: &Path, source: io::Error) -> EraseError {
    EraseError::Io { path: path.to_owned(), source }
}

/// Tests end the process here.
fn step() {
    #[cfg(test)]
    super::erase_faults::step(|| {});
}

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
