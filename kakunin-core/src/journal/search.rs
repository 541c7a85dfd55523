//! Looking for values in a journal: which decisions are meant, and where what they disclose lies.
//!
//! Takes in a journal and a [`Which`], gives out places, counts, and what could not be searched. Changes nothing, and takes
//! no lock: a stream that is being written simply ends somewhere.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::erase::{EraseError, io_at};
use super::erasing::{Place, read_segment};
use super::recover::{segments, streams};
use super::segment::{FrameKind, Frames, Tail, is_segment_header, segment_name};
use crate::digest::Digest;
use crate::id::{ChainId, StreamId};
use crate::receipt::{Disclosure, Event, ReceiptHash, Statement, UnverifiedReceipt};

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
    /// Whether it ends there within a write that was torn, and is not damaged. What such a write left belongs to no receipt,
    /// and may hold values; the next opening or erasure after its process has ended overwrites and cuts it.
    pub torn: bool,
}

/// Says what [`super::erase()`] would erase; changes nothing.
///
/// # Errors
/// [`EraseError`]: the journal cannot be read, or several decisions begin so.
pub fn survey(journal: &Path, which: &Which) -> Result<Survey, EraseError> {
    Ok(search(journal, which)?.survey)
}

/// Disclosures of one receipt, and where they lie.
pub(super) struct Chosen {
    pub(super) place: Place,
    pub(super) commitments: Vec<Digest>,
}

/// A search through a journal.
pub(super) struct Search<'w> {
    which: &'w Which,
    pub(super) survey: Survey,
    pub(super) chosen: Vec<Chosen>,
    pub(super) pieces: Vec<(StreamId, u32)>,
    /// Decisions that were named, whose outcomes go with them.
    named: HashSet<ReceiptHash>,
}

pub(super) fn search<'w>(journal: &Path, which: &'w Which) -> Result<Search<'w>, EraseError> {
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
            let read = read_settled(&folder, stream, segment);
            let octets = read.map_err(|source| io_at(&segment_path(journal, stream, segment), source))?;
            let torn = match search.segment(&octets, stream, segment) {
                Tail::Clean => continue,
                Tail::Torn { .. } => true,
                Tail::Damaged => false,
            };
            search.survey.unsearched.push(Unsearched { stream, segment, torn });
            if !torn {
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

/// Reads a segment when no write to it is going on, or as it is when one does not end.
fn read_settled(folder: &Path, stream: StreamId, segment: u32) -> io::Result<Vec<u8>> {
    for _ in 0..LOOKS {
        let octets = read_segment(folder, stream, segment)?;
        let mut frames = Frames::new(&octets);
        frames.by_ref().for_each(drop);
        if !matches!(frames.tail(), Tail::Torn { .. }) {
            return Ok(octets);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    read_segment(folder, stream, segment)
}

/// A write takes microseconds; one that is still not whole after a quarter of a second was torn.
const LOOKS: usize = 25;

impl Search<'_> {
    /// How the segment ends; damaged also where it holds what no segment does.
    fn segment(&mut self, octets: &[u8], stream: StreamId, segment: u32) -> Tail {
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
                return Tail::Damaged;
            }
            match frame.kind {
                FrameKind::Disclosure => {
                    let Ok(disclosure) = Disclosure::parse(frame.content) else { return Tail::Damaged };
                    if disclosures.is_empty() {
                        start = before;
                    }
                    disclosures.push(disclosure);
                    end = frames.offset();
                }
                FrameKind::Receipt => {
                    let Ok(receipt) = UnverifiedReceipt::from_signing_input(frame.content) else {
                        return Tail::Damaged;
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
        // What a torn write left belongs to no receipt, so nobody can say whose values are in it.
        frames.tail()
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

pub(super) fn segment_path(journal: &Path, stream: StreamId, segment: u32) -> PathBuf {
    journal.join(stream.to_string()).join(segment_name(segment))
}

pub(super) fn piece_path(journal: &Path, stream: StreamId, segment: u32) -> PathBuf {
    segment_path(journal, stream, segment).with_extension("cut")
}
