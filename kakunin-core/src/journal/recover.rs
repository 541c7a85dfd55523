//! Streams that a killed process left behind.
//!
//! Takes the lock of a stream that nobody holds and nobody closed, cuts a torn tail, and ends it with two signed
//! receipts: how many receipts were found unsigned (their number and digest, never a signature for them), and the
//! close. A stream that is damaged anywhere but at its tail is left as it is: that is for the verifier to say.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::handle::Identity;
use super::pen::Pen;
use super::segment::{
    FrameKind, Frames, Tail, is_segment_header, push_signature, read_signature, segment_index, segment_name,
};
use super::sink::{is_marked_closed, lock, mark_closed, write_once};
use crate::id::StreamId;
use crate::key::SignError;
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
}

impl Abandoned {
    pub(super) fn beside(journal: &Path, own: StreamId, identity: &Identity, stamp: Stamp) -> Self {
        Self { journal: journal.to_owned(), own, identity: identity.clone(), stamp, left: None }
    }

    /// Recovers the next one; false when there are no more.
    pub(super) fn recover_next(&mut self) -> bool {
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
    // Unsigned receipts are at most a few thousand, so they lie in the last two segments.
    let mut found = Found::default();
    if indices.len() > 1 {
        found.read(&folder, stream, last.saturating_sub(1), Last::No)?;
    }
    let (length, cut) = found.read(&folder, stream, last, Last::Yes)?;
    let Some(end) = &found.end else { return Ok(Recovery::Closed) };
    if end.statement().agent != identity.agent {
        return Err(RecoverError::OtherAgent(stream));
    }
    let unsigned = found.unsigned();
    let ended = matches!(end.statement().event, Event::Close { .. });
    if ended && unsigned.is_empty() && cut == 0 {
        mark_closed(&folder)?;
        return Ok(Recovery::Closed);
    }
    let sequence = end.statement().sequence.saturating_add(1);
    let mut pen = Pen::resume(stream, identity, sequence, *end.hash().digest(), end.statement().memory);
    let digest = tree::root(unsigned.iter().map(|hash| &hash.digest().as_bytes()[..]));
    let unsigned = unsigned.len() as u64;
    let mut control = Payload::at(CONTROL, stamp);
    control.control = Some(Control::Recovered { cut, unsigned, digest });
    let mut frames = Vec::new();
    for payload in [control, Payload::at(CLOSE, stamp)] {
        let written = pen.write(&mut frames, payload);
        let signing_input = frames.get(written.signing_input).unwrap_or_default();
        let signature = pen.signer.sign(signing_input)?;
        push_signature(&mut frames, written.sequence, signature.as_bytes());
    }
    let mut file = OpenOptions::new().append(true).open(folder.join(segment_name(last)))?;
    file.set_len(length)?;
    write_once(&mut file, &frames)?;
    file.sync_data()?;
    mark_closed(&folder)?;
    Ok(Recovery::Recovered { cut, unsigned })
}

enum Last {
    No,
    Yes,
}

/// What the end of a stream holds.
#[derive(Default)]
struct Found {
    receipts: Vec<(u64, ReceiptHash)>,
    signed: HashSet<u64>,
    seals: Vec<(u64, Seal)>,
    end: Option<UnverifiedReceipt>,
}

impl Found {
    /// Reads segment `index`; gives the length of its readable part and the length of the torn part behind.
    fn read(
        &mut self,
        folder: &Path,
        stream: StreamId,
        index: u32,
        last: Last,
    ) -> Result<(u64, u64), RecoverError> {
        let damaged = RecoverError::Damaged { stream, index };
        let bytes = fs::read(folder.join(segment_name(index)))?;
        let mut frames = Frames::new(&bytes);
        let mut first = true;
        for frame in frames.by_ref() {
            let heading =
                frame.kind == FrameKind::Control && is_segment_header(frame.content, &stream, index);
            if std::mem::take(&mut first) != heading {
                return Err(damaged);
            }
            match frame.kind {
                FrameKind::Control | FrameKind::Disclosure => {}
                FrameKind::Signature => {
                    let Some((sequence, _)) = read_signature(frame.content) else { return Err(damaged) };
                    self.signed.insert(sequence);
                }
                FrameKind::Receipt => {
                    let receipt = UnverifiedReceipt::from_signing_input(frame.content)?;
                    let sequence = receipt.statement().sequence;
                    self.receipts.push((sequence, receipt.hash()));
                    if let Event::Control(Control::Seal(seal)) = receipt.statement().event {
                        self.seals.push((sequence, seal));
                    }
                    self.end = Some(receipt);
                }
            }
        }
        let length = frames.whole() as u64;
        match (frames.tail(), last) {
            (Tail::Clean, _) => Ok((length, 0)),
            (Tail::Torn { bytes }, Last::Yes) => Ok((length, bytes)),
            _ => Err(damaged),
        }
    }

    /// Receipts that have no signature and lie under no seal that has one.
    fn unsigned(&self) -> Vec<ReceiptHash> {
        let seals: Vec<&Seal> =
            self.seals.iter().filter(|(at, _)| self.signed.contains(at)).map(|(_, seal)| seal).collect();
        let proven = |sequence: &u64| {
            self.signed.contains(sequence) || seals.iter().any(|seal| seal.covers(*sequence))
        };
        self.receipts.iter().filter(|(sequence, _)| !proven(sequence)).map(|(_, hash)| *hash).collect()
    }
}
