//! A segment read frame by frame: however long it is, one frame of it is in memory.
//!
//! Takes in a file as long as it was when it was opened, gives out what [`Frames`] would give for the same octets. Where
//! somebody is erasing disclosures meanwhile, it goes on behind them.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::erasing::Record;
use super::segment::{Frame, FrameKind, Frames, SEGMENT_SIZE, Tail, is_empty_of_values, segment_name};
use crate::file;
use crate::frame::HEADER;
use crate::id::StreamId;

/// A segment that is being read.
pub(super) struct SegmentReader {
    /// The stream's folder, and which of its segments this is.
    folder: PathBuf,
    stream: StreamId,
    index: u32,
    file: BufReader<File>,
    /// How long it was when it was opened: a live stream grows while it is read.
    length: u64,
    /// Where the next frame begins.
    at: u64,
    /// Where the last whole write ends: disclosures without their receipt belong to one that was torn.
    whole: u64,
    unknown: bool,
    body: Vec<u8>,
}

impl SegmentReader {
    /// Opens segment `index` of `stream`, which lies in `folder`.
    pub(super) fn open(folder: &Path, stream: StreamId, index: u32) -> io::Result<Self> {
        let file = file::open(&folder.join(segment_name(index)))?;
        let length = file.metadata()?.len();
        let file = BufReader::with_capacity(BUFFER, file);
        let (folder, body) = (folder.to_owned(), Vec::new());
        Ok(Self { folder, stream, index, file, length, at: 0, whole: 0, unknown: false, body })
    }

    /// The next frame, up to the first that is not readable.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame<'_>>> {
        let mut looks = 0;
        while self.unknown || !self.read_body()? {
            looks += 1;
            if self.unknown || looks > LOOKS || !self.was_erased()? {
                return Ok(None);
            }
        }
        let Some((kind, content)) = self.body.split_first() else { return Ok(None) };
        let Some(kind) = FrameKind::from_octet(*kind) else {
            self.unknown = true;
            return Ok(None);
        };
        if !kind.belongs_to_the_next() {
            self.whole = self.at;
        }
        Ok(Some(Frame { kind, content }))
    }

    /// Reads the body of the next frame; false when it is not whole.
    fn read_body(&mut self) -> io::Result<bool> {
        let left = self.length.saturating_sub(self.at);
        let Some(most) = left.checked_sub(HEADER as u64) else { return Ok(false) };
        let mut word = [0; 4];
        self.file.read_exact(&mut word)?;
        let length = u32::from_le_bytes(word);
        self.file.read_exact(&mut word)?;
        if length == 0 || u64::from(length) > most {
            return Ok(false);
        }
        if u64::from(length) > MAX_BODY {
            // No write of ours begins like this, torn or not.
            self.unknown = true;
            return Ok(false);
        }
        self.body.clear();
        let read = (&mut self.file).take(u64::from(length)).read_to_end(&mut self.body)?;
        if read as u64 != u64::from(length) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a segment became shorter"));
        }
        if crc32c::crc32c(&self.body) != u32::from_le_bytes(word) {
            return Ok(false);
        }
        self.at += HEADER as u64 + u64::from(length);
        Ok(true)
    }

    /// Whether what is not readable are disclosures that somebody is overwriting or just has overwritten; then reading can
    /// go on. An erasure puts one frame over all disclosures of a receipt, which may have begun before this place.
    fn was_erased(&mut self) -> io::Result<bool> {
        let mut behind = self.end_of_erasure();
        if behind.is_none() {
            // What was read in two pieces may have been overwritten in between.
            self.file.seek(SeekFrom::Start(self.whole))?;
            let (at, whole) = (self.at, self.whole);
            self.at = whole;
            let covers = self.read_body()? && self.at > at;
            let erased = self.body.split_first();
            let erased = erased.is_some_and(|(kind, content)| {
                *kind == FrameKind::Erased.octet() && is_empty_of_values(content)
            });
            if covers && erased {
                behind = Some(self.at);
            }
            self.at = at;
        }
        if let Some(behind) = behind {
            self.at = behind;
        }
        self.file.seek(SeekFrom::Start(self.at))?;
        if behind.is_some() {
            return Ok(true);
        }
        let at = self.at;
        let readable = self.read_body()?;
        self.at = at;
        self.file.seek(SeekFrom::Start(at))?;
        Ok(readable)
    }

    /// Where the place ends that the record of an erasure in progress says is being overwritten here.
    fn end_of_erasure(&self) -> Option<u64> {
        // A record that cannot be read heals nothing: what is damaged stays damaged.
        let record = Record::read(self.folder.parent()?).ok()??;
        record.end_of_place(self.stream, self.index, self.at).filter(|end| *end <= self.length)
    }

    /// What lies behind the last whole write, once no frame is left.
    pub(super) fn tail(self) -> io::Result<Tail> {
        let unread = self.length.saturating_sub(self.at);
        // No torn write is as long as a segment, nor is it worth looking for its end.
        if self.unknown || unread > SEGMENT_SIZE {
            return Ok(Tail::Damaged);
        }
        let mut rest = vec![0; usize::try_from(unread).unwrap_or_default()];
        self.file.get_ref().read_exact_at(&mut rest, self.at)?;
        Ok(match (Frames::new(&rest).tail(), self.length.saturating_sub(self.whole)) {
            (Tail::Damaged, _) => Tail::Damaged,
            (_, 0) => Tail::Clean,
            (_, bytes) => Tail::Torn { bytes },
        })
    }
}

const BUFFER: usize = 1 << 16;

/// Erasures that may get in the way of one frame.
const LOOKS: usize = 4;

/// A receipt has at most 88 KB and a disclosure at most 28 KB.
const MAX_BODY: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::super::erasing::Place;
    use super::super::segment::{erased_frame, push_frame};
    use super::*;

    type Found = Vec<(FrameKind, Vec<u8>)>;

    const STREAM: StreamId = StreamId::from_bytes([7; 16]);

    /// A journal with one segment, and the stream's folder.
    fn journal(octets: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(STREAM.to_string());
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(segment_name(1)), octets).unwrap();
        (dir, folder)
    }

    fn rest(reader: &mut SegmentReader) -> Found {
        let mut found = Vec::new();
        while let Some(frame) = reader.next().unwrap() {
            found.push((frame.kind, frame.content.to_vec()));
        }
        found
    }

    /// What both readers say about the same octets.
    fn read(octets: &[u8]) -> [(Found, Tail); 2] {
        let mut frames = Frames::new(octets);
        let all = frames.by_ref().map(|frame| (frame.kind, frame.content.to_vec())).collect();
        let (_dir, folder) = journal(octets);
        let mut reader = SegmentReader::open(&folder, STREAM, 1).unwrap();
        let found = rest(&mut reader);
        [(all, frames.tail()), (found, reader.tail().unwrap())]
    }

    #[test]
    fn every_prefix_and_every_flip_reads_as_it_does_in_memory() {
        let mut octets = Vec::new();
        for (kind, content) in [
            (FrameKind::Control, &b"heading"[..]),
            (FrameKind::Disclosure, b"value"),
            (FrameKind::Receipt, b"receipt"),
            (FrameKind::Disclosure, b"torn"),
        ] {
            push_frame(&mut octets, kind, |out| out.extend_from_slice(content));
        }
        for length in 0..=octets.len() {
            let [one, other] = read(&octets[..length]);
            assert_eq!(one, other, "cut at {length}");
        }
        for at in 0..octets.len() {
            let mut flipped = octets.clone();
            flipped[at] ^= 0x10;
            let [one, other] = read(&flipped);
            assert_eq!(one, other, "flipped at {at}");
        }
        push_frame(&mut octets, FrameKind::Receipt, |out| out.extend_from_slice(b"last"));
        let unknown = octets.len() + HEADER;
        push_frame(&mut octets, FrameKind::Receipt, |_| ());
        octets[unknown] = 9;
        let crc = crc32c::crc32c(&octets[unknown..]).to_le_bytes();
        octets[unknown - 4..unknown].copy_from_slice(&crc);
        let [one, other] = read(&octets);
        assert_eq!(one, other);
        assert_eq!(one.1, Tail::Damaged);
    }

    #[test]
    fn a_frame_larger_than_any_is_not_read() {
        let mut octets = Vec::new();
        push_frame(&mut octets, FrameKind::Receipt, |out| {
            out.extend(std::iter::repeat_n(0, MAX_BODY as usize))
        });
        let [_, (found, tail)] = read(&octets);
        assert_eq!((found.len(), tail), (0, Tail::Damaged));
    }

    #[test]
    fn disclosures_that_are_erased_under_the_reader_are_passed_over() {
        let mut octets = Vec::new();
        push_frame(&mut octets, FrameKind::Receipt, |out| out.extend_from_slice(b"one"));
        let start = octets.len();
        for value in [&b"value"[..], b"another value"] {
            push_frame(&mut octets, FrameKind::Disclosure, |out| out.extend_from_slice(value));
        }
        let second = start + HEADER + 6;
        let end = octets.len();
        push_frame(&mut octets, FrameKind::Receipt, |out| out.extend_from_slice(b"two"));
        let erased = erased_frame(end - start).unwrap();
        let place = Place { stream: STREAM, segment: 1, offset: start as u64, length: (end - start) as u32 };
        let record = |dir: &Path| {
            let (root, reason) = (crate::digest::Digest::of(b"x"), crate::receipt::ErasureReason::Retention);
            Record { count: 2, root, reason, places: vec![place], pieces: Vec::new() }.keep(dir).unwrap();
        };
        // Half of it is overwritten, and the record says so.
        for written in 1..end - start {
            let mut half = octets.clone();
            half[start..start + written].copy_from_slice(&erased[..written]);
            let (dir, folder) = journal(&half);
            record(dir.path());
            let mut reader = SegmentReader::open(&folder, STREAM, 1).unwrap();
            let found: Vec<_> = rest(&mut reader).into_iter().map(|(kind, _)| kind).collect();
            assert_eq!(found, [FrameKind::Receipt, FrameKind::Receipt], "{written}");
            assert_eq!(reader.tail().unwrap(), Tail::Clean, "{written}");
        }
        // The first was read, then everything was overwritten, and the record is gone already.
        let (_dir, folder) = journal(&octets);
        let mut reader = SegmentReader::open(&folder, STREAM, 1).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().content, b"one");
        assert_eq!(reader.next().unwrap().unwrap().content, b"value");
        let mut all = octets.clone();
        all[start..end].copy_from_slice(&erased);
        std::fs::write(folder.join(segment_name(1)), &all).unwrap();
        reader.file.seek(SeekFrom::Start(second as u64)).unwrap();
        assert_eq!(rest(&mut reader), [(FrameKind::Receipt, b"two".to_vec())]);
        assert_eq!(reader.tail().unwrap(), Tail::Clean);
        // Without a record, half of it is damage.
        let mut half = octets.clone();
        half[start + 9..start + 12].copy_from_slice(&erased[9..12]);
        let [one, other] = read(&half);
        assert_eq!(one, other);
        assert_eq!(one.1, Tail::Damaged);
    }
}
