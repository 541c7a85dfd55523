//! The index of runs: which receipts of which stream start at which entry.
//!
//! ```text
//! frame body = kind octet | u64 index | u64 count | 16 octets stream | u64 first sequence          little-endian
//! kind 1 = that many receipts of the stream, one after another       0 = entries that are no receipts
//! ```
//!
//! The file grows and can be made again from the entries, so it proves nothing and is not synced: what it says is
//! compared with the entry, and what it does not cover is read from the entries. Where it says that something is not
//! there, nothing can be compared: who has to know that reads every entry ([`Runs::of_entries`]).

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::disk::Disk;
use super::error::LogError;
use super::reader::{LogReader, RUNS};
use crate::frame::{self, Frames, HEADER};
use crate::id::StreamId;
use crate::receipt::UnverifiedReceipt;

/// Receipts of one stream that follow each other in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    index: u64,
    count: u64,
    /// `None`: no receipts.
    first: Option<(StreamId, u64)>,
}

/// What is known about the entries of a log.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Ascending by number, each with the end of those up to it that reaches furthest: a log may hold other receipts with
    /// the same numbers.
    streams: HashMap<StreamId, Vec<(Run, u64)>>,
    covered: u64,
    /// Whether every entry was read for it.
    pub(super) proven: bool,
}

impl Runs {
    /// What the entries say, each compared with the root that was signed; the file is not asked.
    pub(super) fn of_entries(log: &mut LogReader) -> Result<Self, LogError> {
        let mut runs = Self { proven: true, ..Self::default() };
        let mut last = Vec::new();
        for index in 0..log.size() {
            extend(&mut last, index, place_of(log.entry(index)?));
            if last.len() > 1 {
                runs.add(last.swap_remove(0));
            }
        }
        last.into_iter().for_each(|run| runs.add(run));
        runs.streams.values_mut().for_each(|runs| sort(runs));
        Ok(runs)
    }

    /// What the file in `log` says, and for the entries it does not cover what they say themselves.
    pub(super) fn load(log: &mut LogReader) -> Result<Self, LogError> {
        let path = log.folder().join(RUNS);
        let octets = match crate::file::read(&path, MAX_INDEX) {
            Ok(octets) => octets,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(LogError::Io { path, source }),
        };
        let mut runs = Self::default();
        for run in Frames::new(&octets).map_while(Run::read) {
            if run.index != runs.covered || run.end() > log.size() {
                break;
            }
            runs.add(run);
        }
        for run in runs_from(log, runs.covered)? {
            runs.add(run);
        }
        runs.streams.values_mut().for_each(|runs| sort(runs));
        Ok(runs)
    }

    /// Every entry that says it is this receipt; an honest log has one at most.
    pub(super) fn find(&self, stream: StreamId, sequence: u64) -> Vec<u64> {
        let runs = self.streams.get(&stream).map_or(&[][..], Vec::as_slice);
        let begun = runs.partition_point(|(run, _)| run.numbers().start <= sequence);
        let reaching = runs.iter().take(begun).rev().take_while(|(_, furthest)| sequence < *furthest);
        let inside = reaching.filter(|(run, _)| run.numbers().contains(&sequence));
        let mut places: Vec<u64> =
            inside.map(|(run, _)| run.index + (sequence - run.numbers().start)).collect();
        places.sort_unstable();
        places
    }

    /// Every entry that says it is a receipt of `stream` with the number `from` or a later one: the number and the place,
    /// ascending.
    pub(super) fn from(&self, stream: StreamId, from: u64) -> Vec<(u64, u64)> {
        let runs = self.streams.get(&stream).map_or(&[][..], Vec::as_slice);
        let each = runs.iter().flat_map(|(run, _)| run.numbers().zip(run.index..));
        let mut places: Vec<(u64, u64)> = each.filter(|(sequence, _)| *sequence >= from).collect();
        places.sort_unstable();
        places
    }

    /// Every stream that an entry names, ascending.
    pub(super) fn streams(&self) -> Vec<StreamId> {
        let mut streams: Vec<StreamId> = self.streams.keys().copied().collect();
        streams.sort_unstable();
        streams
    }

    fn add(&mut self, run: Run) {
        self.covered = run.end();
        if let Some((stream, _)) = run.first {
            self.streams.entry(stream).or_default().push((run, 0));
        }
    }
}

/// Brings the file up to the size of `log`, of whose entries the last are `new`.
pub(super) fn catch_up(disk: &Disk, log: &mut LogReader, new: &[&[u8]]) -> Result<(), LogError> {
    let before = log.size().saturating_sub(new.len() as u64);
    let (length, covered) =
        end_of(&disk.path(RUNS)).filter(|(_, end)| *end <= log.size()).unwrap_or_default();
    let runs = match covered == before {
        true => gather(covered, new.iter().copied()),
        false => runs_from(log, covered)?,
    };
    let mut octets = Vec::new();
    for run in runs {
        run.push(&mut octets);
    }
    if octets.is_empty() { Ok(()) } else { disk.append(RUNS, length, &octets) }
}

/// How many entries the index knows of; it is written after their checkpoint, so there were as many.
pub(super) fn known(disk: &Disk) -> u64 {
    end_of(&disk.path(RUNS)).map_or(0, |(_, end)| end)
}

/// The length of the file's whole frames and what they cover, told by the last of them. `None` when it is not whole:
/// then the file is made anew.
fn end_of(path: &Path) -> Option<(u64, u64)> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let length = length - length % FRAME;
    file.seek(SeekFrom::Start(length.checked_sub(FRAME)?)).ok()?;
    let mut last = [0; FRAME as usize];
    file.read_exact(&mut last).ok()?;
    let run = Frames::new(&last).next().and_then(Run::read)?;
    Some((length, run.end()))
}

/// The runs of the entries from `index` on, read from the log.
fn runs_from(log: &mut LogReader, index: u64) -> Result<Vec<Run>, LogError> {
    let mut runs = Vec::new();
    for index in index..log.size() {
        extend(&mut runs, index, place_of(log.entry(index)?));
    }
    Ok(runs)
}

fn gather<'a>(index: u64, entries: impl Iterator<Item = &'a [u8]>) -> Vec<Run> {
    let mut runs = Vec::new();
    for (index, entry) in (index..).zip(entries) {
        extend(&mut runs, index, place_of(entry));
    }
    runs
}

fn extend(runs: &mut Vec<Run>, index: u64, place: Option<(StreamId, u64)>) {
    if let Some(last) = runs.last_mut() {
        let next = last.first.map(|(stream, first)| (stream, first.saturating_add(last.count)));
        if next == place {
            last.count += 1;
            return;
        }
    }
    runs.push(Run { index, count: 1, first: place });
}

/// The stream and the sequence number of an entry that is a receipt, signed or sealed. It is what the entry says.
pub(super) fn place_of(entry: &[u8]) -> Option<(StreamId, u64)> {
    let dot = entry.iter().rposition(|octet| *octet == b'.')?;
    let receipt = UnverifiedReceipt::from_signing_input(entry.get(..dot)?).ok()?;
    let statement = receipt.statement();
    Some((statement.stream, statement.sequence))
}

fn sort(runs: &mut [(Run, u64)]) {
    runs.sort_unstable_by_key(|(run, _)| (run.numbers().start, run.index));
    let mut furthest = 0;
    for (run, reaches) in runs {
        furthest = furthest.max(run.numbers().end);
        *reaches = furthest;
    }
}

impl Run {
    /// The numbers of its receipts.
    fn numbers(&self) -> std::ops::Range<u64> {
        self.first.map_or(0..0, |(_, first)| first..first.saturating_add(self.count))
    }

    const fn end(&self) -> u64 {
        self.index.saturating_add(self.count)
    }

    fn push(&self, out: &mut Vec<u8>) {
        let (stream, sequence) = self.first.unwrap_or((StreamId::from_bytes([0; 16]), 0));
        frame::push(out, |out| {
            out.push(u8::from(self.first.is_some()));
            out.extend_from_slice(&self.index.to_le_bytes());
            out.extend_from_slice(&self.count.to_le_bytes());
            out.extend_from_slice(stream.as_bytes());
            out.extend_from_slice(&sequence.to_le_bytes());
        });
    }

    fn read(body: &[u8]) -> Option<Self> {
        let (kind, rest) = body.split_first()?;
        let (index, rest) = rest.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let (stream, rest) = rest.split_first_chunk::<16>()?;
        let sequence: &[u8; 8] = rest.try_into().ok()?;
        let place = (StreamId::from_bytes(*stream), u64::from_le_bytes(*sequence));
        let first = match kind {
            0 => None,
            1 => Some(place),
            _ => return None,
        };
        Some(Self { index: u64::from_le_bytes(*index), count: u64::from_le_bytes(*count), first })
    }
}

/// Twenty million runs.
const MAX_INDEX: u64 = 1 << 30;

/// Every frame has the same length, so the last is found from the end.
const FRAME: u64 = HEADER as u64 + 41;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_that_says_it_is_a_receipt_is_found() {
        let stream = StreamId::from_bytes([1; 16]);
        let runs = [(0, 5, 10), (5, 3, 0), (8, 100, 15), (108, 1, 12), (109, 2, 3)];
        let mut known = Runs::default();
        for (index, count, first) in runs {
            known.add(Run { index, count, first: Some((stream, first)) });
        }
        known.streams.values_mut().for_each(|runs| sort(runs));
        for sequence in 0..130 {
            let expected: Vec<u64> = runs
                .into_iter()
                .filter(|(_, count, first)| (*first..first + count).contains(&sequence))
                .map(|(index, _, first)| index + sequence - first)
                .collect();
            assert_eq!(known.find(stream, sequence), expected, "{sequence}");
        }
        assert!(known.find(StreamId::from_bytes([2; 16]), 0).is_empty());
        assert!(known.from(StreamId::from_bytes([2; 16]), 0).is_empty());
        let late = [(13, 3), (14, 4), (15, 8), (16, 9)];
        assert_eq!(known.from(stream, 13)[..5], [&late[..], &[(17, 10)]].concat());
        assert_eq!(known.from(stream, 114), [(114, 107)]);
    }
}
