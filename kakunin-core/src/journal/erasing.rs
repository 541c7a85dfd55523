//! An erasure in progress: the record of what is about to be overwritten, and reading beside it.
//!
//! A segment only grows, except where disclosures are erased: there zeros of the same length take their place, while a
//! guard may append behind and a verifier may read. Whatever is to be overwritten is named before in the file `erasing` of the
//! journal, on the disk, so that an erasure that was interrupted is finished, or taken back, by whoever opens the journal
//! next, and half-overwritten octets are told from damage by everybody until then.
//!
//! ```text
//! frames as crate::frame; the first body   "kakunin erasing 1" | u64 count | 32 octets root | reason
//! others: kind 1  disclosures   16 octets stream | u32 segment | u64 offset | u32 length
//!         kind 2  a piece       16 octets stream | u32 segment         what recovery put aside (`NNNN.cut`)
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::segment::{FrameKind, Frames, erased_frame, segment_name};
use crate::digest::Digest;
use crate::file;
use crate::frame;
use crate::id::StreamId;
use crate::modes;
use crate::receipt::ErasureReason;

/// Where the disclosures of one receipt lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) stream: StreamId,
    pub(super) segment: u32,
    pub(super) offset: u64,
    pub(super) length: u32,
}

/// What is about to be erased, and what its receipt says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) count: u64,
    pub(super) root: Digest,
    pub(super) reason: ErasureReason,
    /// Ascending.
    pub(super) places: Vec<Place>,
    pub(super) pieces: Vec<(StreamId, u32)>,
}

impl Record {
    /// The record in the journal folder `journal`, if an erasure is in progress.
    pub(super) fn read(journal: &Path) -> io::Result<Option<Self>> {
        match file::read(&journal.join(NAME), MAX_RECORD) {
            Ok(octets) => Self::parse(&octets).map(Some).ok_or_else(|| io::Error::other("it is damaged")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(octets: &[u8]) -> Option<Self> {
        let mut bodies = frame::Frames::new(octets);
        let head = bodies.next()?.strip_prefix(MAGIC)?;
        let (count, head) = head.split_first_chunk::<8>()?;
        let (root, reason) = head.split_first_chunk::<32>()?;
        let mut record = Self {
            count: u64::from_le_bytes(*count),
            root: Digest::from_bytes(*root),
            reason: ErasureReason::from_word(std::str::from_utf8(reason).ok()?)?,
            places: Vec::new(),
            pieces: Vec::new(),
        };
        for body in bodies.by_ref() {
            let (kind, body) = body.split_first()?;
            let (stream, body) = body.split_first_chunk::<16>()?;
            let (segment, body) = body.split_first_chunk::<4>()?;
            let (stream, segment) = (StreamId::from_bytes(*stream), u32::from_le_bytes(*segment));
            match kind {
                1 => {
                    let (offset, length) = body.split_first_chunk::<8>()?;
                    let length = u32::from_le_bytes(length.try_into().ok()?);
                    let offset = u64::from_le_bytes(*offset);
                    record.places.push(Place { stream, segment, offset, length });
                }
                2 if body.is_empty() => record.pieces.push((stream, segment)),
                _ => return None,
            }
        }
        (bodies.offset() == octets.len()).then_some(record)
    }

    fn to_octets(&self) -> Vec<u8> {
        let mut out = Vec::new();
        frame::push(&mut out, |out| {
            out.extend_from_slice(MAGIC);
            out.extend_from_slice(&self.count.to_le_bytes());
            out.extend_from_slice(self.root.as_bytes());
            out.extend_from_slice(self.reason.word().as_bytes());
        });
        for place in &self.places {
            frame::push(&mut out, |out| {
                out.push(1);
                out.extend_from_slice(place.stream.as_bytes());
                out.extend_from_slice(&place.segment.to_le_bytes());
                out.extend_from_slice(&place.offset.to_le_bytes());
                out.extend_from_slice(&place.length.to_le_bytes());
            });
        }
        for (stream, segment) in &self.pieces {
            frame::push(&mut out, |out| {
                out.push(2);
                out.extend_from_slice(stream.as_bytes());
                out.extend_from_slice(&segment.to_le_bytes());
            });
        }
        out
    }

    /// Puts the record on the disk.
    pub(super) fn keep(&self, journal: &Path) -> io::Result<()> {
        let temporary = journal.join(format!("{NAME}.tmp"));
        let mut file = modes::make_file(&temporary)?;
        file.write_all(&self.to_octets())?;
        file.sync_all()?;
        fs::rename(&temporary, journal.join(NAME))?;
        File::open(journal)?.sync_all()
    }

    /// Takes the record away: everything in it is overwritten, on the disk.
    pub(super) fn drop_from(journal: &Path) -> io::Result<()> {
        fs::remove_file(journal.join(NAME))?;
        File::open(journal)?.sync_all()
    }

    /// Puts the erased frames where they belong in `octets` of a segment, unless whole frames are there.
    fn heal(&self, stream: StreamId, segment: u32, octets: &mut [u8]) {
        let of_it = |place: &&Place| place.stream == stream && place.segment == segment;
        for place in self.places.iter().filter(of_it) {
            let Some(range) = place.range() else { continue };
            let Some(there) = octets.get_mut(range) else { continue };
            if !place.is_whole(there)
                && let Some(erased) = erased_frame(there.len())
            {
                there.copy_from_slice(&erased);
            }
        }
    }
}

impl Record {
    /// Where a place of the segment ends that covers the octet `at`.
    pub(super) fn end_of_place(&self, stream: StreamId, segment: u32, at: u64) -> Option<u64> {
        let of_it = |place: &&Place| place.stream == stream && place.segment == segment;
        let ends = self.places.iter().filter(of_it).filter_map(|place| {
            let end = place.offset.checked_add(u64::from(place.length))?;
            (place.offset..end).contains(&at).then_some(end)
        });
        ends.max()
    }
}

impl Place {
    fn range(&self) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(self.offset).ok()?;
        Some(start..start.checked_add(usize::try_from(self.length).ok()?)?)
    }

    /// What lies there in `segment`.
    pub(super) fn read(&self, segment: &File) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        // The record may be anybody's: no more is asked for than a segment can have.
        if self.offset.saturating_add(u64::from(self.length)) > segment.metadata()?.len() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let mut there = vec![0; length];
        segment.read_exact_at(&mut there, self.offset)?;
        Ok(there)
    }

    /// The commitments of the disclosures in `octets` that can still be read.
    pub(super) fn commitments(&self, octets: &[u8]) -> Vec<Digest> {
        let frames = Frames::new(octets).filter(|frame| frame.kind == FrameKind::Disclosure);
        frames.map(|frame| Digest::of(frame.content)).collect()
    }

    /// Whether `octets` are whole frames, as before the erasure or after it.
    pub(super) fn is_whole(&self, octets: &[u8]) -> bool {
        let mut frames = Frames::new(octets);
        let fitting = frames.by_ref().all(|frame| frame.kind.belongs_to_the_next());
        fitting && frames.offset() == octets.len()
    }

    /// Overwrites the place in `segment`, which is open for writing.
    ///
    /// # Errors
    /// The segment is shorter, or holds something else there: nothing of it is touched then.
    pub(super) fn overwrite(&self, segment: &File) -> io::Result<()> {
        let wrong = || io::Error::other("the record of the erasure is about another file");
        let there = self.read(segment)?;
        let length = there.len();
        // Half-overwritten octets begin with no readable frame, or with one of ours.
        if !Frames::new(&there).all(|frame| frame.kind.belongs_to_the_next()) {
            return Err(wrong());
        }
        let erased = erased_frame(length).ok_or_else(wrong)?;
        #[cfg(test)]
        super::erase_faults::step(|| {
            // Half of it is there.
            let half = erased.get(..length / 2).unwrap_or_default();
            let _ = segment.write_all_at(half, self.offset);
        });
        segment.write_all_at(&erased, self.offset)
    }
}

/// Reads a segment as it is when nobody is in the middle of overwriting a part of it.
pub(super) fn read_segment(folder: &Path, stream: StreamId, index: u32) -> io::Result<Vec<u8>> {
    let path = folder.join(segment_name(index));
    let Some(journal) = folder.parent() else { return file::read(&path, MAX_SEGMENT) };
    let mut octets = Vec::new();
    for _ in 0..LOOKS {
        let before = changed(journal)?;
        octets = file::read(&path, MAX_SEGMENT)?;
        // A record that cannot be read heals nothing: what is damaged stays damaged.
        if let Ok(Some(record)) = Record::read(journal) {
            record.heal(stream, index, &mut octets);
        }
        // An erasure that began or ended meanwhile has changed the folder.
        if changed(journal)? == before {
            break;
        }
    }
    Ok(octets)
}

fn changed(folder: &Path) -> io::Result<(i64, i64)> {
    let data = fs::metadata(folder)?;
    Ok((data.mtime(), data.mtime_nsec()))
}

/// Whether an erasure in the journal folder `journal` goes on, or was interrupted.
#[must_use]
pub fn is_erasing(journal: &Path) -> bool {
    journal.join(NAME).exists()
}

/// Opens a segment, or what was put aside of one, for overwriting.
pub(super) fn open_for_overwriting(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed() | file::without_waiting();
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    file::regular(&file.metadata()?)?;
    Ok(file)
}

/// The one who erases in the journal, until this is dropped; `None` when somebody else does.
pub(super) fn lock(journal: &Path) -> io::Result<Option<File>> {
    let file = modes::open_lock(&journal.join(format!("{NAME}.lock")))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

const NAME: &str = "erasing";
const MAGIC: &[u8] = b"kakunin erasing 1";
/// Erasures that may begin or end while one segment is read.
const LOOKS: usize = 4;
/// At 41 octets for the values of one receipt, more than one erasure names.
const MAX_RECORD: u64 = 64 << 20;
/// Far above what a writer lets a segment become before it begins the next.
const MAX_SEGMENT: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::super::segment::push_frame;
    use super::*;

    fn record() -> Record {
        let stream = StreamId::from_bytes([7; 16]);
        Record {
            count: 3,
            root: Digest::of(b"x"),
            reason: ErasureReason::Retention,
            places: vec![Place { stream, segment: 1, offset: 12, length: 40 }],
            pieces: vec![(stream, 2)],
        }
    }

    #[test]
    fn a_record_is_read_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(dir.path()).unwrap(), None);
        record().keep(dir.path()).unwrap();
        assert_eq!(Record::read(dir.path()).unwrap(), Some(record()));
        let octets = record().to_octets();
        for length in 0..octets.len() {
            fs::write(dir.path().join(NAME), &octets[..length]).unwrap();
            let read = Record::read(dir.path());
            assert!(read.is_err() || read.unwrap().unwrap() != record(), "{length}");
        }
        Record::drop_from(dir.path()).unwrap();
        assert_eq!(Record::read(dir.path()).unwrap(), None);
    }

    #[test]
    fn half_overwritten_octets_are_read_as_erased_and_whole_ones_as_they_are() {
        let mut octets = Vec::new();
        push_frame(&mut octets, FrameKind::Receipt, |out| out.extend_from_slice(b"one"));
        let start = octets.len();
        for value in [&b"value"[..], b"another value"] {
            push_frame(&mut octets, FrameKind::Disclosure, |out| out.extend_from_slice(value));
        }
        let length = octets.len() - start;
        push_frame(&mut octets, FrameKind::Receipt, |out| out.extend_from_slice(b"two"));
        let stream = StreamId::from_bytes([7; 16]);
        let place =
            Place { stream, segment: 1, offset: start as u64, length: u32::try_from(length).unwrap() };
        let record = Record { places: vec![place], ..record() };
        let mut healed = octets.clone();
        record.heal(stream, 1, &mut healed);
        assert_eq!(healed, octets);
        let erased = erased_frame(length).unwrap();
        for written in 1..length {
            let mut torn = octets.clone();
            torn[start..start + written].copy_from_slice(&erased[..written]);
            record.heal(stream, 1, &mut torn);
            let frames: Vec<_> = Frames::new(&torn).map(|frame| frame.kind).collect();
            assert_eq!(frames, [FrameKind::Receipt, FrameKind::Erased, FrameKind::Receipt], "{written}");
        }
        // The loss of power leaves some octets as they were and others as they should be, in any pattern.
        let mut pattern = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..2_000 {
            let mut mixed = octets.clone();
            for (at, octet) in erased.iter().enumerate() {
                pattern = pattern.rotate_left(7).wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
                if pattern & 0x100 == 0 {
                    mixed[start + at] = *octet;
                }
            }
            record.heal(stream, 1, &mut mixed);
            let frames: Vec<_> = Frames::new(&mixed).map(|frame| frame.kind).collect();
            assert_eq!(frames, [FrameKind::Receipt, FrameKind::Erased, FrameKind::Receipt]);
        }
    }

    #[test]
    fn a_place_that_holds_a_receipt_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let mut octets = Vec::new();
        push_frame(&mut octets, FrameKind::Receipt, |out| out.extend_from_slice(&[b'x'; 64]));
        let path = dir.path().join("0001.seg");
        fs::write(&path, &octets).unwrap();
        let place = Place { offset: 0, length: u32::try_from(octets.len()).unwrap(), ..record().places[0] };
        let file = open_for_overwriting(&path).unwrap();
        assert!(place.overwrite(&file).is_err());
        let beyond = Place { offset: 9, ..place };
        assert!(beyond.overwrite(&file).is_err());
        assert_eq!(fs::read(&path).unwrap(), octets);
    }
}
