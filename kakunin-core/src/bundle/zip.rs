//! The one ZIP that a bundle may be: stored members, one layout, every octet accounted for.
//!
//! ```text
//! local header | name | data        for each member, one right after the other, from octet 0
//! central header | name             for each member, in the same order
//! end of central directory          the last 22 octets
//! ```
//!
//! No compression, no encryption, no zip64, no extra field, no comment, no data descriptor; every time is 1980-01-01.
//! Given names, sizes and checksums there is exactly one such file, and the reader compares what it found with it. So
//! nothing can hide between or behind members, and no two programs can see different members.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// One member: its name, and where its octets are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) size: u32,
    crc: u32,
    /// Where its local header begins.
    at: u32,
}

impl Member {
    fn fields(&self) -> [u8; 26] {
        let mut fields = [0; 26];
        let name = u16::try_from(self.name.len()).unwrap_or(u16::MAX);
        let parts: [&[u8]; 9] = [
            &VERSION.to_le_bytes(),
            &[0; 2],
            // Stored, at midnight of the first day that the format knows.
            &[0; 4],
            &FIRST_DAY.to_le_bytes(),
            &self.crc.to_le_bytes(),
            &self.size.to_le_bytes(),
            &self.size.to_le_bytes(),
            &name.to_le_bytes(),
            &[0; 2],
        ];
        // INVARIANT: the parts are 26 octets long.
        for (to, from) in fields.iter_mut().zip(parts.concat()) {
            *to = from;
        }
        fields
    }

    fn local_header(&self) -> Vec<u8> {
        [LOCAL, &self.fields()[..], self.name.as_bytes()].concat()
    }

    fn central_header(&self) -> Vec<u8> {
        let parts: [&[u8]; 6] = [
            CENTRAL,
            &VERSION.to_le_bytes(),
            &self.fields(),
            // No comment, first disk, no attributes.
            &[0; 10],
            &self.at.to_le_bytes(),
            self.name.as_bytes(),
        ];
        parts.concat()
    }

    /// Where its octets begin; names are short and sizes are bounded, so this never wraps.
    fn start(&self) -> u64 {
        u64::from(self.at) + LOCAL_LENGTH + self.name.len() as u64
    }

    fn end(&self) -> u64 {
        self.start() + u64::from(self.size)
    }
}

fn end_of_directory(members: usize, length: u32, at: u32) -> Vec<u8> {
    let count = u16::try_from(members).unwrap_or(u16::MAX).to_le_bytes();
    let parts: [&[u8]; 7] = [END, &[0; 4], &count, &count, &length.to_le_bytes(), &at.to_le_bytes(), &[0; 2]];
    parts.concat()
}

/// Writes members one after the other.
pub(super) struct ZipWriter<W> {
    out: W,
    members: Vec<Member>,
    at: u64,
}

impl<W: Write> ZipWriter<W> {
    pub(super) const fn new(out: W) -> Self {
        Self { out, members: Vec::new(), at: 0 }
    }

    /// Writes a member of `size` octets with the checksum `crc`, read from `data`.
    ///
    /// # Errors
    /// The file cannot be written, `data` is not as announced, or there is too much for this format.
    pub(super) fn member(&mut self, name: &str, size: u64, crc: u32, data: &mut dyn Read) -> io::Result<()> {
        let too_much = || io::Error::new(io::ErrorKind::FileTooLarge, TOO_MUCH);
        let at = u32::try_from(self.at).map_err(|_| too_much())?;
        let size = u32::try_from(size).map_err(|_| too_much())?;
        let member = Member { name: name.to_owned(), size, crc, at };
        self.out.write_all(&member.local_header())?;
        let copied = io::copy(&mut data.take(u64::from(size)), &mut self.out)?;
        if copied != u64::from(size) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a part of the bundle became shorter"));
        }
        self.at = member.end();
        if self.at > MAX_SIZE || self.members.len() >= MAX_MEMBERS {
            return Err(too_much());
        }
        self.members.push(member);
        Ok(())
    }

    /// Writes the directory.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let directory: Vec<u8> = self.members.iter().flat_map(Member::central_header).collect();
        let too_much = |_| io::Error::new(io::ErrorKind::FileTooLarge, TOO_MUCH);
        let length = u32::try_from(directory.len()).map_err(too_much)?;
        let at = u32::try_from(self.at).map_err(too_much)?;
        self.out.write_all(&directory)?;
        self.out.write_all(&end_of_directory(self.members.len(), length, at))?;
        Ok(self.out)
    }
}

/// A file whose layout is the canonical one. Its members' octets are not checked yet.
#[derive(Debug)]
pub(super) struct Zip {
    file: Arc<File>,
    members: Vec<Member>,
}

impl Zip {
    /// Reads the directory and compares every octet that is no member's with what it has to be.
    ///
    /// # Errors
    /// [`ZipError`]: the file cannot be read, or it is any other file than the canonical one of its members.
    pub(super) fn open(file: File) -> Result<Self, ZipError> {
        let length = file.metadata()?.len();
        if length > MAX_SIZE + MAX_DIRECTORY + END_LENGTH {
            return Err(ZipError::Form("it is larger than a bundle may be"));
        }
        if !has_end(&file, length)? {
            return Err(ZipError::NoEnd);
        }
        let end_at = length.checked_sub(END_LENGTH).ok_or(ZipError::NoEnd)?;
        let end = read(&file, end_at, END_LENGTH)?;
        let (count, size, at) = read_end(&end).ok_or(ZipError::Form("it does not end as a bundle does"))?;
        if u64::from(at) + u64::from(size) != end_at || u64::from(size) > MAX_DIRECTORY {
            return Err(ZipError::Form("its directory lies elsewhere than before its end"));
        }
        let directory = read(&file, u64::from(at), u64::from(size))?;
        let members = read_directory(&directory, count)
            .ok_or(ZipError::Form("its directory is not the one of stored members without extras"))?;
        let mut next = 0;
        for member in &members {
            if u64::from(member.at) != next {
                return Err(ZipError::Form("its members do not follow one another"));
            }
            let header = member.local_header();
            if member.end() > u64::from(at) || read(&file, next, header.len() as u64)? != header {
                return Err(ZipError::Form("a member says something else than the directory"));
            }
            next = member.end();
        }
        if next != u64::from(at) {
            return Err(ZipError::Form("something lies between members and directory"));
        }
        Ok(Self { file: Arc::new(file), members })
    }

    /// The members in their order.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Reads a member from its octet `from` on.
    pub(super) fn reader(&self, member: &Member, from: u64) -> MemberReader {
        MemberReader { file: Arc::clone(&self.file), at: member.start() + from, end: member.end() }
    }

    /// Whether the member has the checksum that its headers say.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn check(&self, member: &Member, each: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        let (mut crc, mut buffer) = (Crc::default(), vec![0; 1 << 16]);
        let mut reader = self.reader(member, 0);
        loop {
            let read = reader.read(&mut buffer)?;
            let Some(octets) = buffer.get(..read).filter(|octets| !octets.is_empty()) else { break };
            crc.update(octets);
            each(octets);
        }
        Ok(crc.value() == member.crc)
    }
}

/// The octets of a member.
pub(super) struct MemberReader {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for MemberReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let read = self.file.read_at(buffer, self.at)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the bundle became shorter"));
        }
        self.at += read as u64;
        Ok(read)
    }
}

/// The checksum of members.
#[derive(Default)]
pub(super) struct Crc(crc32fast::Hasher);

impl Crc {
    pub(super) fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    pub(super) fn value(self) -> u32 {
        self.0.finalize()
    }
}

fn read(file: &File, at: u64, length: u64) -> Result<Vec<u8>, ZipError> {
    let mut octets = vec![0; usize::try_from(length).map_err(|_| ZipError::Form("it is too large"))?];
    file.read_exact_at(&mut octets, at)?;
    Ok(octets)
}

/// Whether a ZIP ends in the file, with whatever behind it: what has no end is none, or a part of one.
fn has_end(file: &File, length: u64) -> Result<bool, ZipError> {
    let from = length.saturating_sub(MAX_TAIL);
    let tail = read(file, from, length - from)?;
    // An end whose comment is longer than what is there was cut.
    let whole = |end: &[u8]| {
        let comment = end.get(20..).and_then(|rest| rest.first_chunk());
        comment.is_some_and(|size| 22 + usize::from(u16::from_le_bytes(*size)) <= end.len())
    };
    let mut rests = (0..tail.len()).filter_map(|at| tail.get(at..));
    Ok(rests.any(|rest| rest.starts_with(END) && whole(rest)))
}

/// Count of members, length and place of the directory.
fn read_end(end: &[u8]) -> Option<(usize, u32, u32)> {
    let count = u16::from_le_bytes(*end.get(8..)?.first_chunk()?);
    let length = u32::from_le_bytes(*end.get(12..)?.first_chunk()?);
    let at = u32::from_le_bytes(*end.get(16..)?.first_chunk()?);
    let count = usize::from(count);
    (count <= MAX_MEMBERS && end == end_of_directory(count, length, at)).then_some((count, length, at))
}

fn read_directory(mut directory: &[u8], count: usize) -> Option<Vec<Member>> {
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        let crc = u32::from_le_bytes(*directory.get(16..)?.first_chunk()?);
        let size = u32::from_le_bytes(*directory.get(20..)?.first_chunk()?);
        let length = usize::from(u16::from_le_bytes(*directory.get(28..)?.first_chunk()?));
        let at = u32::from_le_bytes(*directory.get(42..)?.first_chunk()?);
        let name = directory.get(46..)?.get(..length)?;
        let name = std::str::from_utf8(name).ok()?.to_owned();
        let member = Member { name, size, crc, at };
        directory = directory.strip_prefix(member.central_header().as_slice())?;
        members.push(member);
    }
    directory.is_empty().then_some(members)
}

/// A file that is no bundle.
#[derive(Debug, thiserror::Error)]
pub(super) enum ZipError {
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No ZIP ends there.
    #[error("no ZIP ends there")]
    NoEnd,
    /// It is another file than the canonical one.
    #[error("{0}")]
    Form(&'static str),
}

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const LOCAL_LENGTH: u64 = 30;
const END_LENGTH: u64 = 22;
/// Where the end of a ZIP is looked for: the longest comment lies behind it.
const MAX_TAIL: u64 = END_LENGTH + 0xffff;
/// 1.0: what it takes to read a stored member.
const VERSION: u16 = 10;
/// 1980-01-01.
const FIRST_DAY: u16 = 0x21;
/// Without zip64, offsets have 32 bits.
const MAX_SIZE: u64 = 0xffff_0000;
/// Lists take a member each: one an hour for a year are 8,760.
const MAX_MEMBERS: usize = 16_384;
const MAX_DIRECTORY: u64 = MAX_MEMBERS as u64 * 512;
pub(super) const TOO_MUCH: &str = "more than one bundle can hold; export one chain, or fewer journals";

#[cfg(test)]
mod tests {
    use super::*;

    fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Vec::new());
        for (name, mut data) in members.iter().copied() {
            let mut crc = Crc::default();
            crc.update(data);
            writer.member(name, data.len() as u64, crc.value(), &mut data).unwrap();
        }
        writer.finish().unwrap()
    }

    fn open(octets: &[u8]) -> Result<Zip, ZipError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(octets).unwrap();
        Zip::open(file)
    }

    fn contents(zip: &Zip) -> Vec<(String, Vec<u8>)> {
        let read = |member: &Member| {
            let mut octets = Vec::new();
            zip.reader(member, 0).read_to_end(&mut octets).unwrap();
            (member.name.clone(), octets)
        };
        zip.members().iter().map(read).collect()
    }

    const MEMBERS: [(&str, &[u8]); 3] = [("a", b"one"), ("b/c", b""), ("d", b"three")];

    #[test]
    fn what_is_written_is_read_and_part_of_it_too() {
        let zip = open(&zip(&MEMBERS)).unwrap();
        assert_eq!(contents(&zip), MEMBERS.map(|(name, data)| (name.to_owned(), data.to_vec())));
        let mut rest = String::new();
        zip.reader(&zip.members()[2], 3).read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "ee");
    }

    #[test]
    fn a_flipped_bit_is_refused_wherever_it_is() {
        let original = zip(&MEMBERS);
        for at in 0..original.len() {
            for bit in 0..8 {
                let mut flipped = original.clone();
                flipped[at] ^= 1 << bit;
                let Ok(zip) = open(&flipped) else { continue };
                // A name may change in one place only if it changes in all: that is another bundle, not this one.
                let whole = zip.members().iter().all(|member| zip.check(member, &mut |_| {}).unwrap());
                assert!(!whole, "bit {bit} of octet {at}");
            }
        }
    }

    #[test]
    fn nothing_fits_in_front_between_or_behind() {
        let original = zip(&MEMBERS);
        for at in 0..=original.len() {
            let mut longer = original.clone();
            longer.insert(at, 0);
            assert!(open(&longer).is_err(), "octet {at}");
            assert!(open(&original[..at]).is_err() || at == original.len(), "cut at {at}");
        }
        assert!(open(&[&original[..], &original[..]].concat()).is_err());
        assert!(open(&[0; 22]).is_err() && open(b"").is_err());
    }

    #[test]
    fn an_empty_file_of_members_is_a_file() {
        assert!(open(&zip(&[])).unwrap().members().is_empty());
    }
}
