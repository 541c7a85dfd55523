//! Segment files: frames one after another, appended and never changed, except that disclosures can be erased.
//!
//! ```text
//! frame   = as crate::frame; body = kind octet | content
//! kind 1  = receipt      JWS signing input
//! kind 2  = signature    u64 sequence | 64 octets
//! kind 3  = disclosure   base64url text, committed to by the next receipt
//! kind 4  = control      "kakunin journal 1" | 16 octets stream | u32 index      first frame of each segment
//! kind 5  = synced       u64 length: so much of this segment was on the disk before this frame was written
//! kind 6  = erased       zeros, where disclosures of the next receipt were
//! ```
//! Proof is in the receipts, never in the frames.

use crate::frame::{self, HEADER};
use crate::id::StreamId;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    Receipt,
    Signature,
    Disclosure,
    Control,
    Synced,
    Erased,
}

impl FrameKind {
    pub(super) const fn octet(self) -> u8 {
        match self {
            Self::Receipt => 1,
            Self::Signature => 2,
            Self::Disclosure => 3,
            Self::Control => 4,
            Self::Synced => 5,
            Self::Erased => 6,
        }
    }

    pub(super) const fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            1 => Some(Self::Receipt),
            2 => Some(Self::Signature),
            3 => Some(Self::Disclosure),
            4 => Some(Self::Control),
            5 => Some(Self::Synced),
            6 => Some(Self::Erased),
            _ => None,
        }
    }

    /// Whether it is there for the sake of the receipt behind it.
    pub(super) const fn belongs_to_the_next(self) -> bool {
        matches!(self, Self::Disclosure | Self::Erased)
    }
}

/// Appends a frame of `kind` to `out`; `fill` appends its content.
pub(super) fn push_frame<T>(out: &mut Vec<u8>, kind: FrameKind, fill: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    frame::push(out, |out| {
        out.push(kind.octet());
        fill(out)
    })
}

/// Appends the first frame of segment `index` of `stream`.
pub(super) fn push_segment_header(out: &mut Vec<u8>, stream: &StreamId, index: u32) {
    push_frame(out, FrameKind::Control, |out| {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(stream.as_bytes());
        out.extend_from_slice(&index.to_le_bytes());
    });
}

/// Whether `content` is the first control frame of segment `index` of `stream`.
pub(super) fn is_segment_header(content: &[u8], stream: &StreamId, index: u32) -> bool {
    content.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(stream.as_bytes()))
        == Some(&index.to_le_bytes()[..])
}

/// Appends a signature frame.
pub(super) fn push_signature(out: &mut Vec<u8>, sequence: u64, signature: &[u8; 64]) {
    push_frame(out, FrameKind::Signature, |out| {
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(signature);
    });
}

/// Reads the content of a signature frame.
pub(super) fn read_signature(content: &[u8]) -> Option<(u64, [u8; 64])> {
    let (sequence, signature) = content.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*sequence), signature.try_into().ok()?))
}

/// Appends a frame that says how much of its segment is on the disk.
pub(super) fn push_synced(out: &mut Vec<u8>, length: u64) {
    push_frame(out, FrameKind::Synced, |out| out.extend_from_slice(&length.to_le_bytes()));
}

/// The frame that takes the place of `length` octets of whole frames; none for fewer than a frame has.
pub(super) fn erased_frame(length: usize) -> Option<Vec<u8>> {
    let zeros = length.checked_sub(HEADER + 1)?;
    let mut out = Vec::with_capacity(length);
    push_frame(&mut out, FrameKind::Erased, |out| out.resize(out.len() + zeros, 0));
    Some(out)
}

/// Whether the content of an erased frame holds nothing.
pub(super) fn is_empty_of_values(content: &[u8]) -> bool {
    content.iter().all(|octet| *octet == 0)
}

/// One readable frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: FrameKind,
    pub(super) content: &'a [u8],
}

/// Reads the frames of a segment up to the first that is not readable.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    bodies: frame::Frames<'a>,
    whole: usize,
    unknown: bool,
}

impl<'a> Frames<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, bodies: frame::Frames::new(bytes), whole: 0, unknown: false }
    }

    /// Where the last whole write ends: disclosures without their receipt belong to one that was torn.
    pub(super) const fn whole(&self) -> usize {
        self.whole
    }

    /// Where reading stands: behind the last frame that was given.
    pub(super) const fn offset(&self) -> usize {
        self.bodies.offset()
    }

    /// What cannot be read in order.
    fn unread(&self) -> &'a [u8] {
        self.bytes.get(self.bodies.offset()..).unwrap_or_default().get(1..).unwrap_or_default()
    }

    /// How much of the segment was on the disk once, as the readable frames behind unreadable bytes say. What is not worth
    /// searching counts as all of it, and so does a kind of frame that is not known here.
    pub(super) fn synced_behind(&self) -> u64 {
        if self.unknown {
            return u64::MAX;
        }
        let mut most = 0;
        for found in Search::new(self.unread()) {
            let Some(body) = found else { return u64::MAX };
            let length = match body.split_first() {
                Some((kind, content)) if *kind == FrameKind::Synced.octet() => content.try_into().ok(),
                _ => None,
            };
            most = most.max(length.map_or(0, u64::from_le_bytes));
        }
        most
    }

    /// What lies behind the last whole write.
    pub(super) fn tail(&self) -> Tail {
        let torn = self.bytes.len().saturating_sub(self.whole) as u64;
        // A write that was torn has nothing readable behind it; damage in the middle has.
        if self.unknown || Search::new(self.unread()).next().is_some() {
            Tail::Damaged
        } else if torn == 0 {
            Tail::Clean
        } else {
            Tail::Torn { bytes: torn }
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let (kind, content) = self.bodies.next()?.split_first()?;
        match FrameKind::from_octet(*kind) {
            Some(kind) => {
                if !kind.belongs_to_the_next() {
                    self.whole = self.bodies.offset();
                }
                Some(Frame { kind, content })
            }
            None => {
                self.unknown = true;
                None
            }
        }
    }
}

/// Looks for readable frames anywhere in bytes; gives their bodies. Bytes made to look like many frames cost more to tell than
/// they deserve: past the budget comes one `None`, and no more.
struct Search<'a> {
    rest: &'a [u8],
    budget: Option<usize>,
}

impl<'a> Search<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, budget: Some(SEARCH_BUDGET) }
    }
}

impl<'a> Iterator for Search<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut budget = self.budget?;
        while let Some(length) = self.rest.first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            if length > 0 && length <= self.rest.len().saturating_sub(HEADER) {
                self.budget = budget.checked_sub(length);
                let Some(left) = self.budget else { return Some(None) };
                budget = left;
                let mut frames = frame::Frames::new(self.rest);
                if let Some(body) = frames.next() {
                    self.rest = self.rest.get(frames.offset()..).unwrap_or_default();
                    return Some(Some(body));
                }
            }
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        None
    }
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// With a whole frame.
    Clean,
    /// With part of a write that never completed.
    Torn {
        /// How much of it.
        bytes: u64,
    },
    /// Readable frames follow unreadable ones.
    Damaged,
}

/// The file name of segment `index`.
pub(super) fn segment_name(index: u32) -> String {
    format!("{index:04}.seg")
}

/// The index in a segment's file name.
pub(super) fn segment_index(name: &str) -> Option<u32> {
    let index: u32 = name.strip_suffix(".seg")?.parse().ok()?;
    (segment_name(index) == name).then_some(index)
}

/// A segment is left for the next one when it has grown to this: small enough to read whole at recovery.
pub(super) const SEGMENT_SIZE: u64 = 64 << 20;

/// Octets that may be hashed in looking for a frame: four times a whole segment.
const SEARCH_BUDGET: usize = 256 << 20;

const MAGIC: &[u8] = b"kakunin journal 1";

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Vec<u8> {
        let mut out = Vec::new();
        for text in [&b"one"[..], b"", b"three"] {
            push_frame(&mut out, FrameKind::Receipt, |out| out.extend_from_slice(text));
        }
        out
    }

    fn read(bytes: &[u8]) -> (usize, Tail) {
        let mut frames = Frames::new(bytes);
        (frames.by_ref().count(), frames.tail())
    }

    #[test]
    fn every_torn_prefix_is_cut_at_the_last_whole_frame() {
        let bytes = three();
        let ends = [0, 12, 21, bytes.len()];
        for length in 0..=bytes.len() {
            let whole = ends.iter().filter(|end| **end <= length).count() - 1;
            let cut = (length - ends[whole]) as u64;
            let tail = if cut == 0 { Tail::Clean } else { Tail::Torn { bytes: cut } };
            assert_eq!(read(&bytes[..length]), (whole, tail), "{length}");
        }
    }

    #[test]
    fn a_flip_in_the_middle_is_damage_and_in_the_last_frame_a_tail() {
        let bytes = three();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            let (_, tail) = read(&flipped);
            assert_eq!(tail == Tail::Damaged, at < 21, "{at}");
            assert_ne!(tail, Tail::Clean, "{at}");
        }
    }

    #[test]
    fn disclosures_without_their_receipt_are_part_of_a_torn_write() {
        let mut bytes = three();
        let whole = bytes.len();
        push_frame(&mut bytes, FrameKind::Disclosure, |out| out.extend_from_slice(b"value"));
        let mut frames = Frames::new(&bytes);
        assert_eq!(frames.by_ref().count(), 4);
        assert_eq!(
            (frames.whole(), frames.tail()),
            (whole, Tail::Torn { bytes: (bytes.len() - whole) as u64 })
        );
    }

    #[test]
    fn frames_behind_damage_tell_how_much_was_on_the_disk() {
        let mut bytes = three();
        push_synced(&mut bytes, 12);
        push_frame(&mut bytes, FrameKind::Receipt, |out| out.extend_from_slice(b"four"));
        push_synced(&mut bytes, 21);
        let behind = |bytes: &[u8]| {
            let mut frames = Frames::new(bytes);
            frames.by_ref().for_each(drop);
            frames.synced_behind()
        };
        assert_eq!(behind(&bytes), 0);
        let mut damaged = bytes.clone();
        damaged[9] ^= 1;
        assert_eq!(behind(&damaged), 21);
        // The second mark does not count where nothing is readable.
        let end = damaged.len();
        damaged[end - 1] ^= 1;
        assert_eq!(behind(&damaged), 12);
    }

    #[test]
    fn zeros_of_a_preallocated_tail_are_no_frames() {
        assert_eq!(read(&[0; 64]), (0, Tail::Torn { bytes: 64 }));
    }

    #[test]
    fn headers_name_their_stream_and_index() {
        let stream = StreamId::from_bytes([5; 16]);
        let mut out = Vec::new();
        push_segment_header(&mut out, &stream, 3);
        let frame = Frames::new(&out).next().unwrap();
        assert_eq!(frame.kind, FrameKind::Control);
        assert!(is_segment_header(frame.content, &stream, 3));
        assert!(!is_segment_header(frame.content, &stream, 4));
        assert_eq!(segment_index(&segment_name(12345)), Some(12345));
        assert_eq!(segment_index("1.seg"), None);
    }
}
