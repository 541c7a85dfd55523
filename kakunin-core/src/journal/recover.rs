//! Streams that a killed process left behind.
//!
//! Takes the lock of a stream that nobody holds and nobody closed, cuts a torn tail, and ends it with two signed
//! receipts: how many receipts were found unsigned (their number and digest, never a signature for them), and the
//! close. What is cut is overwritten before. A stream that is damaged anywhere but at its tail is left as it is: that is for the verifier to say.
//!
//! After a loss of power the tail may be there in pieces, since the kernel wrote what was not asked for in any order. Then
//! it is cut at the first piece that is missing, and what could be read behind is put aside: only if the machine was
//! started again since, and only if nothing there says that the missing piece had been on the disk.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::erase::finish_erasure;
use super::erasing::{open_for_overwriting, read_segment};
use super::handle::Identity;
use super::pen::Pen;
use super::segment::{
    FrameKind, Frames, Tail, is_segment_header, push_segment_header, push_signature, read_signature,
    segment_index, segment_name,
};
use super::sink::{is_marked_closed, lock, mark_closed, write_once};
use crate::file;
use crate::id::StreamId;
use crate::key::SignError;
use crate::modes;
use crate::receipt::{
    CLOSE, CONTROL, Control, Event, Payload, ReceiptError, ReceiptHash, Seal, Stamp, UnverifiedReceipt,
};
use crate::tree;

/// The streams beside a new one, to be recovered one at a time by its signer.
pub(super) struct Abandoned {
    journal: PathBuf,
    own: StreamId,
    identity: Identity,
    stamp: Stamp,
    left: Option<Vec<StreamId>>,
    /// Whether an erasure that was interrupted has been looked for.
    erased: bool,
}

impl Abandoned {
    pub(super) fn beside(journal: &Path, own: StreamId, identity: &Identity, stamp: Stamp) -> Self {
        Self {
            journal: journal.to_owned(),
            own,
            identity: identity.clone(),
            stamp,
            left: None,
            erased: false,
        }
    }

    /// Recovers the next one; false when there are no more.
    pub(super) fn recover_next(&mut self) -> bool {
        if !std::mem::replace(&mut self.erased, true) {
            // One that cannot be finished now stays in its record, and the next opening tries again.
            let _ = finish_erasure(&self.journal);
            return true;
        }
        let left = self.left.get_or_insert_with(|| {
            let mut found = streams(&self.journal).unwrap_or_default();
            found.retain(|stream| {
                *stream != self.own && !is_marked_closed(&self.journal.join(stream.to_string()))
            });
            found
        });
        let Some(stream) = left.pop() else { return false };
        // A stream that cannot be recovered now stays open, and the next opening tries again.
        let _ = recover(&self.journal, stream, &self.identity, self.stamp);
        true
    }
}

/// The streams of a journal folder, in the order of their names.
pub(super) fn streams(journal: &Path) -> io::Result<Vec<StreamId>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(journal)? {
        if let Some(stream) = entry?.file_name().to_str().and_then(StreamId::parse) {
            found.push(stream);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The indices of a stream's segments, ascending.
pub(super) fn segments(folder: &Path) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        if let Some(index) = entry?.file_name().to_str().and_then(segment_index) {
            found.push(index);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// How the attempt to recover a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Somebody holds it.
    InUse,
    /// It was closed already, or never began.
    Closed,
    /// It is closed now.
    Recovered {
        /// Bytes of a torn tail that were cut.
        cut: u64,
        /// Receipts found without a signature.
        unsigned: u64,
    },
}

/// A stream that cannot be recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// It cannot be read or written.
    #[error("cannot recover a stream: {0}")]
    Io(#[from] io::Error),
    /// Unreadable bytes lie in front of readable ones, or a segment is another's.
    #[error("segment {index} of stream {stream} is damaged")]
    Damaged {
        /// The stream.
        stream: StreamId,
        /// The segment.
        index: u32,
    },
    /// A receipt in it is not one.
    #[error("a receipt is refused: {0}")]
    Receipt(#[from] ReceiptError),
    /// It is another agent's.
    #[error("stream {0} belongs to another agent")]
    OtherAgent(StreamId),
    /// The key does not sign.
    #[error("cannot sign the recovery: {0}")]
    Sign(#[from] SignError),
}

/// Ends `stream` in the folder `journal`, if nobody holds it and nobody ended it.
///
/// # Errors
/// [`RecoverError`]; the stream is then as it was, save for a tail that was torn already.
pub fn recover(
    journal: &Path,
    stream: StreamId,
    identity: &Identity,
    stamp: Stamp,
) -> Result<Recovery, RecoverError> {
    let folder = journal.join(stream.to_string());
    modes::refuse_link(&folder)?;
    if is_marked_closed(&folder) {
        return Ok(Recovery::Closed);
    }
    // Held until this function returns.
    let Some(_lock) = lock(&folder)? else { return Ok(Recovery::InUse) };
    if is_marked_closed(&folder) {
        return Ok(Recovery::Closed);
    }
    let indices = segments(&folder)?;
    let Some(last) = indices.last().copied() else { return Ok(Recovery::Closed) };
    let mut found = Found::default();
    let bytes = read_segment(&folder, stream, last)?;
    let mut end = found.read(&bytes, stream, last)?;
    // Receipts are signed in their order, so before one that is signed none is left.
    for index in indices.iter().rev().skip(1) {
        if found.has_proven() {
            break;
        }
        let bytes = read_segment(&folder, stream, *index)?;
        match found.read(&bytes, stream, *index)? {
            Ending { tail: Tail::Clean, receipt, .. } => end.receipt = end.receipt.or(receipt),
            _ => return Err(RecoverError::Damaged { stream, index: *index }),
        }
    }
    let Ending { length, tail, synced_behind, receipt } = end;
    let damaged = RecoverError::Damaged { stream, index: last };
    let Some(end) = receipt else {
        // The beginning is on the disk before the stream has its name.
        return if tail == Tail::Damaged { Err(damaged) } else { Ok(Recovery::Closed) };
    };
    let rest = bytes.get(length..).unwrap_or_default();
    let length = length as u64;
    // The machine was started again since: what it had not written is lost, in any order.
    let power_lost = end.statement().stamp.boot != stamp.boot && synced_behind <= length;
    match tail {
        Tail::Clean | Tail::Torn { .. } => {}
        Tail::Damaged if power_lost => put_aside(&folder, last, rest)?,
        Tail::Damaged => return Err(damaged),
    }
    let cut = rest.len() as u64;
    if end.statement().agent != identity.agent {
        return Err(RecoverError::OtherAgent(stream));
    }
    let unsigned = found.unsigned();
    let ended = matches!(end.statement().event, Event::Close { .. });
    if ended && cut == 0 && unsigned.iter().all(|(sequence, _)| found.is_answered(*sequence)) {
        mark_closed(&folder)?;
        return Ok(Recovery::Closed);
    }
    let sequence = end.statement().sequence.saturating_add(1);
    let mut pen = Pen::resume(stream, identity, sequence, *end.hash().digest(), end.statement().memory);
    let digest = tree::root(unsigned.iter().map(|(_, hash)| &hash.digest().as_bytes()[..]));
    let unsigned = unsigned.len() as u64;
    let mut control = Payload::at(CONTROL, stamp);
    control.control = Some(Control::Recovered { cut, unsigned, digest });
    let mut frames = Vec::new();
    if length == 0 {
        // The segment was made, and power was lost before anything in it was on the disk.
        push_segment_header(&mut frames, &stream, last);
    }
    for payload in [control, Payload::at(CLOSE, stamp)] {
        let written = pen.write(&mut frames, payload);
        let signing_input = frames.get(written.signing_input).unwrap_or_default();
        let signature = pen.signer.sign(signing_input)?;
        push_signature(&mut frames, written.sequence, signature.as_bytes());
    }
    let path = folder.join(segment_name(last));
    if cut > 0 {
        // It may hold values, which no erasure would find once the disk has the blocks back.
        blacken(&open_for_overwriting(&path)?, length, cut)?;
        #[cfg(test)]
        super::erase_faults::step(|| {});
    }
    let file = OpenOptions::new().append(true).open(&path)?;
    file.set_len(length)?;
    write_once(&file, &frames)?;
    file.sync_data()?;
    mark_closed(&folder)?;
    Ok(Recovery::Recovered { cut, unsigned })
}

/// Puts zeros over the `cut` octets behind `length`, on the disk. From the end to the beginning, a block at a time: whoever
/// is killed in between leaves a tail that is torn where it was and has nothing readable behind.
fn blacken(file: &File, length: u64, cut: u64) -> io::Result<()> {
    let mut end = length.saturating_add(cut);
    while end > length {
        let start = ((end - 1) / BLOCK * BLOCK).max(length);
        // INVARIANT: at most a block.
        let octets = usize::try_from(end - start).unwrap_or_default();
        file.write_all_at(ZEROS.get(..octets).unwrap_or_default(), start)?;
        end = start;
    }
    file.sync_data()
}

const BLOCK: u64 = 4096;
static ZEROS: [u8; 4096] = [0; 4096];

/// Keeps what could be read behind a piece that is missing: nobody answers for it, and somebody may want to see it.
fn put_aside(folder: &Path, index: u32, pieces: &[u8]) -> io::Result<()> {
    let path = folder.join(segment_name(index)).with_extension("cut");
    // Whoever was killed while overwriting them has left fewer here than were put aside before.
    let is_there = |kept: &[u8]| {
        kept.len() == pieces.len() && kept.iter().zip(pieces).all(|(kept, here)| *here == 0 || here == kept)
    };
    if file::read(&path, pieces.len() as u64).is_ok_and(|kept| is_there(&kept)) {
        return Ok(());
    }
    let mut aside = modes::make_file(&path)?;
    aside.write_all(pieces)?;
    aside.sync_all()?;
    File::open(folder)?.sync_all()
}

/// How a segment ends.
struct Ending {
    /// The length of what can be read in order.
    length: usize,
    tail: Tail,
    /// How much was on the disk once, if that is said behind.
    synced_behind: u64,
    receipt: Option<UnverifiedReceipt>,
}

/// What the end of a stream holds, read from the last segment to the first.
#[derive(Default)]
struct Found {
    /// Descending.
    receipts: Vec<(u64, ReceiptHash)>,
    signed: HashSet<u64>,
    seals: Vec<(u64, Seal)>,
    /// Signed by whoever recovered the stream before.
    recovered: HashSet<u64>,
}

impl Found {
    /// Reads the segment `index`, which lies before all that was read already.
    fn read(&mut self, bytes: &[u8], stream: StreamId, index: u32) -> Result<Ending, RecoverError> {
        let damaged = RecoverError::Damaged { stream, index };
        let mut frames = Frames::new(bytes);
        let mut first = true;
        let mut end = None;
        let mut receipts = Vec::new();
        for frame in frames.by_ref() {
            let heading =
                frame.kind == FrameKind::Control && is_segment_header(frame.content, &stream, index);
            if std::mem::take(&mut first) != heading {
                return Err(damaged);
            }
            match frame.kind {
                FrameKind::Control | FrameKind::Disclosure | FrameKind::Erased | FrameKind::Synced => {}
                FrameKind::Signature => {
                    let Some((sequence, _)) = read_signature(frame.content) else { return Err(damaged) };
                    self.signed.insert(sequence);
                }
                FrameKind::Receipt => {
                    let receipt = UnverifiedReceipt::from_signing_input(frame.content)?;
                    let sequence = receipt.statement().sequence;
                    receipts.push((sequence, receipt.hash()));
                    match receipt.statement().event {
                        Event::Control(Control::Seal(seal)) => self.seals.push((sequence, seal)),
                        Event::Control(Control::Recovered { .. }) | Event::Close { .. } => {
                            self.recovered.insert(sequence);
                        }
                        _ => {}
                    }
                    end = Some(receipt);
                }
            }
        }
        self.receipts.extend(receipts.into_iter().rev());
        let (length, tail, synced_behind) = (frames.whole(), frames.tail(), frames.synced_behind());
        Ok(Ending { length, tail, synced_behind, receipt: end })
    }

    /// Whether one of the receipts got its proof from the process that made it.
    fn has_proven(&self) -> bool {
        let (all, unsigned) = (self.receipts.iter().map(|(sequence, _)| sequence), self.unsigned());
        let unsigned: HashSet<&u64> = unsigned.iter().map(|(sequence, _)| sequence).collect();
        all.into_iter().any(|sequence| !unsigned.contains(sequence) && !self.recovered.contains(sequence))
    }

    /// Whether a recovery counted everything up to `sequence`, and was not ended itself before it was signed.
    fn is_answered(&self, sequence: u64) -> bool {
        self.recovered.iter().any(|later| *later > sequence && self.signed.contains(later))
    }

    /// Receipts that have no signature and lie under no seal that has one, ascending.
    fn unsigned(&self) -> Vec<(u64, ReceiptHash)> {
        let seals: Vec<&Seal> =
            self.seals.iter().filter(|(at, _)| self.signed.contains(at)).map(|(_, seal)| seal).collect();
        let proven = |sequence: &u64| {
            self.signed.contains(sequence) || seals.iter().any(|seal| seal.covers(*sequence))
        };
        self.receipts.iter().rev().filter(|(sequence, _)| !proven(sequence)).copied().collect()
    }
}
