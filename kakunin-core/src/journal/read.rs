//! The reading end: receipts of a stream in order, each with its proof and disclosures.
//!
//! Takes in a folder, gives out entries whose form is understood and which nobody has verified. In memory are the receipts
//! whose proof has not come yet. Reading takes no lock: a stream that is being written simply ends somewhere.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::recover::{segments, streams};
use super::scan::SegmentReader;
use super::segment::{FrameKind, Tail, is_empty_of_values, is_segment_header, read_signature, segment_name};
use crate::id::StreamId;
use crate::key::Signature;
use crate::receipt::{Control, Disclosure, Event, ReceiptHash, UnverifiedReceipt, to_jws};

/// Finds the journal folder of an agent's directory, of its state directory, or the folder itself.
#[must_use]
pub fn locate(path: &Path) -> Option<PathBuf> {
    let places = [path.join("state").join("journal"), path.join("journal"), path.to_owned()];
    places.into_iter().find(|place| place.is_dir())
}

/// What a journal holds to prove a receipt by. Nobody has checked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Its own signature.
    Signed(Signature),
    /// The signature of a seal of the same stream and certificate, over a root that its hash is under.
    Sealed(ReceiptHash),
    /// Nothing: it got none before its process ended.
    Unsigned,
}

/// One receipt as it lies in a journal.
#[derive(Clone, Debug)]
pub struct Entry {
    receipt: UnverifiedReceipt,
    proof: Proof,
    disclosures: Vec<Disclosure>,
}

impl Entry {
    /// The receipt.
    #[must_use]
    pub const fn receipt(&self) -> &UnverifiedReceipt {
        &self.receipt
    }

    /// What there is to prove it by.
    #[must_use]
    pub const fn proof(&self) -> Proof {
        self.proof
    }

    /// The values it commits to, as far as they were not erased.
    #[must_use]
    pub fn disclosures(&self) -> &[Disclosure] {
        &self.disclosures
    }

    /// The token, if it has a signature of its own.
    #[must_use]
    pub fn to_jws(&self) -> Option<String> {
        match self.proof {
            Proof::Signed(signature) => Some(to_jws(self.receipt.signing_input(), &signature)),
            Proof::Sealed(_) | Proof::Unsigned => None,
        }
    }

    /// The entry of a log for this receipt (WIRE 4.1); none for one that nothing proves.
    #[must_use]
    pub fn to_log_entry(&self) -> Option<String> {
        match self.proof {
            Proof::Signed(_) => self.to_jws(),
            Proof::Sealed(_) => Some(self.receipt.to_sealed_entry()),
            Proof::Unsigned => None,
        }
    }

    pub(crate) fn into_parts(self) -> (UnverifiedReceipt, Proof, Vec<Disclosure>) {
        (self.receipt, self.proof, self.disclosures)
    }
}

/// Reads one stream from its beginning.
pub struct StreamReader {
    folder: PathBuf,
    stream: StreamId,
    segments: VecDeque<u32>,
    next_segment: u32,
    segment: Option<SegmentReader>,
    /// Whether the next frame is the heading of its segment.
    heading: bool,
    waiting: VecDeque<Entry>,
    disclosures: Vec<Disclosure>,
    given: u64,
    /// How many may wait for their proof.
    most: usize,
    /// Up to which number receipts were given before a proof came.
    overtaken: Option<u64>,
    torn: u64,
    /// Told once, after what could be read before it.
    fault: Option<ReadError>,
}

impl StreamReader {
    /// The streams of the journal folder `journal`.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn streams(journal: &Path) -> io::Result<Vec<Self>> {
        Self::names(journal)?.into_iter().map(|stream| Self::open(journal, stream)).collect()
    }

    /// The names of the streams of the journal folder `journal`, ascending, for whoever reads on where one cannot be opened.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn names(journal: &Path) -> io::Result<Vec<StreamId>> {
        streams(journal)
    }

    /// The stream `stream` of the journal folder `journal`.
    ///
    /// # Errors
    /// Its folder cannot be read.
    pub fn open(journal: &Path, stream: StreamId) -> io::Result<Self> {
        let folder = journal.join(stream.to_string());
        Ok(Self {
            segments: segments(&folder)?.into(),
            folder,
            stream,
            next_segment: 1,
            segment: None,
            heading: true,
            waiting: VecDeque::new(),
            disclosures: Vec::new(),
            given: 0,
            most: MAX_WAITING,
            overtaken: None,
            torn: 0,
            fault: None,
        })
    }

    /// The stream's name.
    #[must_use]
    pub const fn stream(&self) -> StreamId {
        self.stream
    }

    /// Bytes of a torn write at the end, known after the last entry.
    #[must_use]
    pub const fn torn(&self) -> u64 {
        self.torn
    }

    /// Puts what was read on the disk. Whoever tells others of a receipt does this before: one that the journal then loses
    /// with the power is known to them, and its number is given to another.
    ///
    /// # Errors
    /// The disk does not take it, or a segment cannot be opened.
    pub fn sync(&self) -> io::Result<()> {
        for segment in segments(&self.folder)? {
            File::open(self.folder.join(segment_name(segment)))?.sync_data()?;
        }
        File::open(&self.folder)?.sync_all()?;
        self.folder.parent().map_or(Ok(()), |journal| File::open(journal)?.sync_all())
    }

    /// Reads the next frame; false when there is none.
    fn read_on(&mut self) -> Result<bool, ReadError> {
        let Some(mut segment) = self.segment.take() else { return self.next_segment() };
        match segment.next()? {
            Some(frame) => {
                let (stream, index) = (self.stream, self.next_segment.saturating_sub(1));
                let heading =
                    frame.kind == FrameKind::Control && is_segment_header(frame.content, &stream, index);
                if std::mem::take(&mut self.heading) != heading {
                    return Err(self.fault("journal.segment"));
                }
                self.take_frame(frame.kind, frame.content)?;
                self.segment = Some(segment);
            }
            None => match segment.tail()? {
                Tail::Clean => {}
                Tail::Torn { bytes } if self.segments.is_empty() => self.torn = bytes,
                Tail::Torn { .. } | Tail::Damaged => return Err(self.fault("journal.frame")),
            },
        }
        Ok(true)
    }

    /// Opens the next segment; false when there is none.
    fn next_segment(&mut self) -> Result<bool, ReadError> {
        let Some(index) = self.segments.pop_front() else { return Ok(false) };
        if index != self.next_segment {
            return Err(self.fault("journal.segment"));
        }
        self.next_segment = index.saturating_add(1);
        self.segment = Some(SegmentReader::open(&self.folder, self.stream, index)?);
        self.heading = true;
        Ok(true)
    }

    fn take_frame(&mut self, kind: FrameKind, content: &[u8]) -> Result<(), ReadError> {
        match kind {
            FrameKind::Control | FrameKind::Synced => {}
            FrameKind::Erased if is_empty_of_values(content) => {}
            FrameKind::Erased => return Err(self.fault("journal.disclosure")),
            FrameKind::Disclosure => {
                let disclosure = Disclosure::parse(content).map_err(|_| self.fault("journal.disclosure"))?;
                if self.disclosures.len() < MAX_DISCLOSURES {
                    self.disclosures.push(disclosure);
                }
            }
            FrameKind::Receipt => {
                let receipt = UnverifiedReceipt::from_signing_input(content);
                let receipt = receipt.map_err(|_| self.fault("receipt.malformed"))?;
                let disclosures = std::mem::take(&mut self.disclosures);
                self.waiting.push_back(Entry { receipt, proof: Proof::Unsigned, disclosures });
            }
            FrameKind::Signature => {
                let (sequence, signature) =
                    read_signature(content).ok_or_else(|| self.fault("journal.signature"))?;
                let signature = Signature::from_bytes(signature);
                match self.sign(sequence, signature) {
                    Some(place) => self.seal(place).ok_or_else(|| self.fault("receipt.seal"))?,
                    // It comes for one that waited for too long.
                    None if self.overtaken.is_some_and(|last| sequence <= last) => {}
                    None => return Err(self.fault("journal.signature")),
                }
            }
        }
        Ok(())
    }

    /// Gives the waiting receipt that a signature frame names its signature, and says which one it is.
    fn sign(&mut self, sequence: u64, signature: Signature) -> Option<usize> {
        let wanted =
            |entry: &Entry| entry.proof == Proof::Unsigned && entry.receipt.statement().sequence == sequence;
        let place = self.waiting.iter().position(wanted)?;
        self.waiting.get_mut(place)?.proof = Proof::Signed(signature);
        Some(place)
    }

    /// If the receipt at `place` is a seal, it proves the receipts under it. The first of them has no signature of
    /// its own, so all of them still wait.
    fn seal(&mut self, place: usize) -> Option<()> {
        let receipt = &self.waiting.get(place)?.receipt;
        let Event::Control(Control::Seal(seal)) = receipt.statement().event else { return Some(()) };
        let (by, certificate) = (receipt.hash(), *receipt.certificate());
        if self.overtaken.is_some_and(|last| seal.first <= last) {
            // It proves nothing any more: some of its receipts waited for too long and count as unsigned, so all do.
            return Some(());
        }
        let first = |entry: &Entry| entry.receipt.statement().sequence == seal.first;
        let start = self.waiting.iter().position(first)?;
        let end = start.checked_add(usize::try_from(seal.count).ok()?)?;
        if end > place || self.waiting.get(start)?.proof != Proof::Unsigned {
            return None;
        }
        let hashes: Vec<ReceiptHash> =
            self.waiting.range(start..end).map(|entry| entry.receipt.hash()).collect();
        if !seal.holds(&hashes) {
            return None;
        }
        for entry in self.waiting.range_mut(start..end).filter(|entry| entry.proof == Proof::Unsigned) {
            // Another certificate's receipts are another key's to prove, and some receipts are their own seal's.
            if *entry.receipt.certificate() != certificate || !entry.receipt.statement().event.may_be_sealed()
            {
                return None;
            }
            entry.proof = Proof::Sealed(by);
        }
        Some(())
    }

    fn fault(&self, code: &'static str) -> ReadError {
        let index = self.given.saturating_add(self.waiting.len() as u64);
        ReadError::Fault { code, stream: self.stream, index }
    }
}

impl Iterator for StreamReader {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        // A proof comes some receipts later, in another segment perhaps, so an entry without one waits.
        let waits = |entry: &Entry| entry.proof == Proof::Unsigned;
        while self.waiting.front().is_none_or(waits) && self.waiting.len() < self.most && self.fault.is_none()
        {
            match self.read_on() {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => {
                    self.segments.clear();
                    self.segment = None;
                    self.fault = Some(fault);
                }
            }
        }
        let Some(entry) = self.waiting.pop_front() else { return self.fault.take().map(Err) };
        if entry.proof == Proof::Unsigned {
            self.overtaken = self.overtaken.max(Some(entry.receipt.statement().sequence));
        }
        self.given = self.given.saturating_add(1);
        Some(Ok(entry))
    }
}

/// Receipts that wait for their proof. At most 1,000 decisions do and the outcomes of calls that have begun; whoever has
/// more behind it counts as unsigned.
const MAX_WAITING: usize = 16_384;

/// Values that wait for their receipt. None commits to as many, so whoever has that many in front of it is refused for those.
const MAX_DISCLOSURES: usize = 16;

/// Every decision in the journal folder whose hash starts with `prefix`, with the outcomes that name it.
///
/// # Errors
/// [`ReadError`] when the folder cannot be read or is damaged before the end.
pub fn find(journal: &Path, prefix: &str) -> Result<Vec<Entry>, ReadError> {
    let mut found = Vec::new();
    for reader in StreamReader::streams(journal)? {
        for entry in reader {
            let entry = entry?;
            let names = |hash: &ReceiptHash| hash.starts_with(prefix);
            let about = match &entry.receipt.statement().event {
                Event::Outcome { decision, .. } => names(decision),
                _ => false,
            };
            if about || names(&entry.receipt.hash()) {
                found.push(entry);
            }
        }
    }
    Ok(found)
}

/// A journal that cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system refuses.
    #[error("cannot read the journal: {0}")]
    Io(#[from] io::Error),
    /// What is there is no journal.
    #[error("{code} at receipt {index} of stream {stream}")]
    Fault {
        /// What is wrong, as a stable code.
        code: &'static str,
        /// The stream.
        stream: StreamId,
        /// How many receipts lie before.
        index: u64,
    },
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::id::AgentId;
    use crate::journal::segment::{Frames, push_frame};
    use crate::journal::{Identity, Journal, JournalOptions, Sealing};
    use crate::key::{Algorithm, Signer, SoftKey};
    use crate::receipt::Stamp;

    /// Sixteen receipts in one stream, proven each in its own way.
    fn stream(dir: &Path, sealing: Sealing) -> StreamId {
        let identity = Identity {
            agent: AgentId::from_random([1; 16]),
            certificate: b"certificate".to_vec(),
            chain: Vec::new(),
            signer: Arc::new(Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0)),
        };
        let stamp = Stamp { micros: 1, boot: [1; 16], mono_nanos: 1 };
        let options = JournalOptions { sealing: Some(sealing), ..JournalOptions::default() };
        let journal = Journal::open_with(dir, identity, stamp, options).unwrap();
        for millis in 0..14 {
            journal.control(Control::Clock { forward: true, millis }, stamp).unwrap();
        }
        journal.close(stamp).unwrap();
        journal.stream().unwrap()
    }

    /// How many are proven, and how many are not, if no more than `most` may wait.
    fn read(dir: &Path, stream: StreamId, most: usize) -> (usize, usize) {
        let reader = StreamReader { most, ..StreamReader::open(dir, stream).unwrap() };
        let entries: Vec<Entry> = reader.map(Result::unwrap).collect();
        let sequences = entries.iter().map(|entry| entry.receipt.statement().sequence);
        assert!(sequences.eq(0..entries.len() as u64));
        let unsigned = entries.iter().filter(|entry| entry.proof == Proof::Unsigned).count();
        (entries.len() - unsigned, unsigned)
    }

    #[test]
    fn what_waits_for_its_proof_for_too_long_counts_as_unsigned() {
        let dir = tempfile::tempdir().unwrap();
        let stream_id = stream(dir.path(), Sealing::Each);
        assert_eq!(read(dir.path(), stream_id, MAX_WAITING), (16, 0));
        // Every signature behind every receipt.
        let path = dir.path().join(stream_id.to_string()).join(segment_name(1));
        let octets = fs::read(&path).unwrap();
        let (mut receipts, mut signatures) = (Vec::new(), Vec::new());
        for frame in Frames::new(&octets) {
            let to = if frame.kind == FrameKind::Signature { &mut signatures } else { &mut receipts };
            push_frame(to, frame.kind, |out| out.extend_from_slice(frame.content));
        }
        fs::write(&path, [receipts, signatures].concat()).unwrap();
        assert_eq!(read(dir.path(), stream_id, MAX_WAITING), (16, 0));
        // Whoever makes the number full is given out before its proof is looked for.
        assert_eq!(read(dir.path(), stream_id, 17), (16, 0));
        assert_eq!(read(dir.path(), stream_id, 16), (15, 1));
        assert_eq!(read(dir.path(), stream_id, 10), (9, 7));

        let sealed = tempfile::tempdir().unwrap();
        let stream_id = stream(sealed.path(), Sealing::Groups);
        let (proven, unsigned) = read(sealed.path(), stream_id, MAX_WAITING);
        assert_eq!(unsigned, 0);
        // The one signature came too late for the first, so it proves none.
        let (few, most) = read(sealed.path(), stream_id, 4);
        assert_eq!(few + most, proven);
        assert!(most >= 12, "{most}");
    }
}
