//! Large members, read side by side and line by line. What was hashed when the bundle was opened is hashed again while it is
//! read, so that a file that changes in between is noticed.

use std::io::{self, BufRead, BufReader, Read};

use ring::digest::{Context, SHA256};

use super::form::{Line, SealLine};
use super::zip::MemberReader;
use crate::digest::Digest;
use crate::id::StreamId;
use crate::verify::{Invalid, Place, Stop};

/// The lines of a member, each of a length that no real one passes.
pub(super) struct Lines {
    reader: BufReader<Hashed>,
    name: String,
    digest: Digest,
}

/// Octets that are hashed while they are read.
struct Hashed {
    reader: MemberReader,
    hash: Context,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl Lines {
    /// Of the member `name`, which has to have the SHA-256 `digest`.
    pub(super) fn of(name: &str, reader: MemberReader, digest: Digest) -> Self {
        let reader = Hashed { reader, hash: Context::new(&SHA256) };
        Self { reader: BufReader::with_capacity(BUFFER, reader), name: name.to_owned(), digest }
    }

    pub(super) fn next(&mut self) -> Result<Option<String>, Stop> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        let whole = line.pop() == Some(b'\n');
        match String::from_utf8(line) {
            Ok(text) if whole => Ok(Some(text)),
            _ => Err(self.refuse()),
        }
    }

    /// Nothing may be left, and what was read has to be what the manifest was compared with when the bundle was opened.
    pub(super) fn end(mut self) -> Result<(), Stop> {
        if self.next()?.is_some() {
            return Err(self.refuse());
        }
        let hash = self.reader.into_inner().hash.finish();
        if hash.as_ref() == self.digest.as_bytes() { Ok(()) } else { Err(Stop::Io(changed())) }
    }

    fn refuse(&self) -> Stop {
        Stop::Invalid(Invalid { code: "bundle.form", place: Place::Member(self.name.clone()) })
    }
}

/// Lines about some of the receipts, in their order.
pub(super) struct Beside<T> {
    lines: Lines,
    waiting: Option<T>,
}

impl<T: Line> Beside<T> {
    pub(super) fn new(lines: Lines) -> Result<Self, Stop> {
        let mut beside = Self { lines, waiting: None };
        beside.advance()?;
        Ok(beside)
    }

    /// The line about the receipt on line `wanted`, if there is one.
    pub(super) fn at(&mut self, wanted: u64, line_of: impl Fn(&T) -> u64) -> Result<Option<T>, Stop> {
        match self.waiting.take_if(|found| line_of(found) == wanted) {
            Some(found) => {
                self.advance()?;
                Ok(Some(found))
            }
            None if self.waiting.as_ref().is_some_and(|found| line_of(found) < wanted) => {
                Err(self.lines.refuse())
            }
            None => Ok(None),
        }
    }

    fn advance(&mut self) -> Result<(), Stop> {
        self.waiting = match self.lines.next()? {
            None => None,
            Some(line) => Some(T::read(&line).ok_or_else(|| self.lines.refuse())?),
        };
        Ok(())
    }

    pub(super) fn end(self) -> Result<(), Stop> {
        if self.waiting.is_some() { Err(self.lines.refuse()) } else { self.lines.end() }
    }
}

/// The hashes under seals, ascending by stream and number.
pub(super) struct Seals {
    lines: Beside<SealLine>,
}

impl Seals {
    pub(super) fn new(lines: Lines) -> Result<Self, Stop> {
        Ok(Self { lines: Beside::new(lines)? })
    }

    /// The hashes under the seal `seal` of `stream`, if they are listed.
    pub(super) fn under(&mut self, stream: StreamId, seal: u64) -> Result<Option<Vec<Digest>>, Stop> {
        while let Some(line) = self.lines.waiting.as_ref() {
            let place = (line.stream, line.seal);
            if place > (stream, seal) {
                break;
            }
            let line = self.next()?;
            if place == (stream, seal) {
                return Ok(line.map(|line| line.hashes));
            }
        }
        Ok(None)
    }

    /// The next line, which has to ascend.
    fn next(&mut self) -> Result<Option<SealLine>, Stop> {
        let Some(line) = self.lines.waiting.take() else { return Ok(None) };
        self.lines.advance()?;
        let ascends = |next: &SealLine| (line.stream, line.seal) < (next.stream, next.seal);
        if self.lines.waiting.as_ref().is_some_and(|next| !ascends(next)) {
            return Err(self.lines.lines.refuse());
        }
        Ok(Some(line))
    }

    /// Reads what is left; the number of lines.
    pub(super) fn end(mut self) -> Result<u64, Stop> {
        let mut lines = 0;
        while self.next()?.is_some() {
            lines += 1;
        }
        self.lines.end()?;
        Ok(lines)
    }
}

/// The file is not any more what it was.
pub(super) fn changed() -> io::Error {
    io::Error::other("the bundle was changed while it was read; verify a copy")
}

const BUFFER: usize = 1 << 16;

/// A receipt's line is at most 88 KB, a line of four disclosures of 20 KiB each some 110 KB, one of 4,096 hashes 184 KB,
/// one of an erasure 740 KB.
const MAX_LINE: u64 = (1 << 20) + 1;

#[cfg(test)]
mod tests {
    use super::super::form::write_lines;
    use super::super::zip::{Crc, Zip, ZipWriter};
    use super::*;

    /// The lines of a member with these octets, of which the manifest says `digest`.
    fn lines(octets: &[u8], digest: Digest) -> Lines {
        let (mut zip, mut crc) = (ZipWriter::new(Vec::new()), Crc::default());
        crc.update(octets);
        zip.member("member", octets.len() as u64, crc.value(), &mut &octets[..]).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &zip.finish().unwrap()).unwrap();
        let zip = Zip::open(file).unwrap();
        Lines::of("member", zip.reader(&zip.members()[0], 0), digest)
    }

    #[test]
    fn other_octets_than_those_that_were_hashed_first_are_told() {
        let octets = b"one\ntwo\n";
        let mut same = lines(octets, Digest::of(octets));
        assert_eq!(same.next().unwrap().as_deref(), Some("one"));
        assert_eq!(same.next().unwrap().as_deref(), Some("two"));
        assert!(same.end().is_ok());
        let mut changed = lines(octets, Digest::of(b"one\nTwo\n"));
        while changed.next().unwrap().is_some() {}
        assert!(matches!(changed.end(), Err(Stop::Io(error)) if error.to_string().contains("changed")));
        let left = lines(octets, Digest::of(octets));
        assert!(matches!(left.end(), Err(Stop::Invalid(_))));
    }

    #[test]
    fn hashes_under_seals_are_found_in_their_order_and_only_there() {
        let line = |stream, seal, hash: &[u8]| SealLine {
            stream: StreamId::from_bytes([stream; 16]),
            seal,
            hashes: vec![Digest::of(hash)],
        };
        let all = [line(1, 5, b"a"), line(1, 9, b"b"), line(2, 5, b"c")];
        let open = |all: &[SealLine]| {
            let text = write_lines(all);
            Seals::new(lines(text.as_bytes(), Digest::of(text.as_bytes())))
        };
        let mut seals = open(&all).unwrap();
        for (stream, seal, expected) in
            [(1, 4, None), (1, 9, Some(&all[1])), (2, 4, None), (2, 5, Some(&all[2])), (2, 6, None)]
        {
            let found = seals.under(StreamId::from_bytes([stream; 16]), seal).unwrap();
            assert_eq!(found.as_ref(), expected.map(|line| &line.hashes), "{stream} {seal}");
        }
        assert!(seals.end().is_ok());
        assert_eq!(open(&all).unwrap().end().unwrap(), 3);
        for wrong in [[&all[1], &all[0]], [&all[0], &all[0]], [&all[2], &all[0]]] {
            let wrong: Vec<SealLine> = wrong.into_iter().cloned().collect();
            assert!(open(&wrong).and_then(Seals::end).is_err());
        }
    }
}
