//! A signed list as what is new in it beside another one of the same issuer: a list of 100,000 entries has 5 MB, and the
//! next one differs from it in a date, a number, a signature and an entry.
//!
//! A patch is the length of the list and pieces: so many octets of the other list from there on, then so many octets that
//! follow here. Numbers are LEB128. Nothing here knows what a list means: it looks where the entries begin, to compare
//! them one by one, and what it cannot read is kept as it is. Whoever reads back holds the result against the list's hash.

use std::collections::HashMap;

use der::{Decode, Header, Reader, SliceReader, Tag};

/// What makes `list` out of `base`.
pub(super) fn patch(base: &[u8], list: &[u8]) -> Vec<u8> {
    let (old, new) = (Parts::of(base), Parts::of(list));
    let mut pieces = Pieces::new(list.len());
    pieces.literal(new.head);
    // Most lists say what the one before said, and something more at the end.
    let same = whole_entries(new.entries, same_octets(old.entries, new.entries));
    pieces.copy(old.head.len(), same);
    let (rest, mut wanted) = (from(old.entries, same), Entries(from(new.entries, same)));
    let (start, mut at, mut places) = (old.head.len() + same, 0, None);
    for entry in wanted.by_ref() {
        if let Some(place) = next_place(rest, at, entry, &mut places) {
            pieces.copy(start + place, entry.len());
            at = place + entry.len();
        } else {
            pieces.literal(entry);
        }
    }
    pieces.literal(wanted.0);
    pieces.literal(new.tail);
    pieces.end()
}

/// The list that `patch` makes out of `base`; none if it is no patch for it.
pub(super) fn apply(base: &[u8], patch: &[u8]) -> Option<Vec<u8>> {
    let mut left = patch;
    let length = number(&mut left)?;
    // Never more than there can be, whatever the record says.
    let mut list = Vec::with_capacity(length.min(base.len() + patch.len()));
    while !left.is_empty() {
        let (from, copied) = (number(&mut left)?, number(&mut left)?);
        list.extend_from_slice(base.get(from..from.checked_add(copied)?)?);
        let literal = number(&mut left)?;
        let (literal, after) = left.split_at_checked(literal)?;
        list.extend_from_slice(literal);
        left = after;
        if list.len() > length {
            return None;
        }
    }
    (list.len() == length).then_some(list)
}

/// Where `entry` is in `rest`: at `at` or one entry on, as long as the order is the same; otherwise wherever.
fn next_place<'a>(
    rest: &'a [u8],
    at: usize,
    entry: &[u8],
    places: &mut Option<HashMap<&'a [u8], usize>>,
) -> Option<usize> {
    let here = from(rest, at);
    if here.starts_with(entry) {
        return Some(at);
    }
    if let Some(left_out) = Entries(here).next()
        && from(here, left_out.len()).starts_with(entry)
    {
        return Some(at + left_out.len());
    }
    if here.is_empty() && places.is_none() {
        return None;
    }
    let every = || {
        let places = Entries(rest).scan(0, |end, entry| {
            let place = *end;
            *end += entry.len();
            Some((entry, place))
        });
        places.collect()
    };
    places.get_or_insert_with(every).get(entry).copied()
}

/// A list around its entries.
pub(crate) struct Parts<'a> {
    head: &'a [u8],
    pub(crate) entries: &'a [u8],
    tail: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(crate) fn of(list: &'a [u8]) -> Self {
        let whole = Self { head: list, entries: &[], tail: &[] };
        let Some((start, length)) = entries_within(list) else { return whole };
        let Some((head, rest)) = list.split_at_checked(start) else { return whole };
        let Some((entries, tail)) = rest.split_at_checked(length) else { return whole };
        Self { head, entries, tail }
    }
}

/// Where the entries are (RFC 5280 section 5.1): the SEQUENCE after the dates of TBSCertList.
fn entries_within(list: &[u8]) -> Option<(usize, usize)> {
    let mut reader = SliceReader::new(list).ok()?;
    // Into CertificateList, then into TBSCertList.
    for _ in 0..2 {
        Header::decode(&mut reader).ok().filter(|header| header.tag() == Tag::Sequence)?;
    }
    let mut dated = false;
    loop {
        let tag = Tag::peek(&reader).ok()?;
        if dated && tag == Tag::Sequence {
            let length = usize::try_from(Header::decode(&mut reader).ok()?.length()).ok()?;
            return Some((usize::try_from(reader.position()).ok()?, length));
        }
        dated |= matches!(tag, Tag::UtcTime | Tag::GeneralizedTime);
        reader.tlv_bytes().ok()?;
    }
}

/// SHA-256 is over these octets: TBSCertList as it stands in the list.
pub(super) fn tbs(list: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(list).ok()?;
    Header::decode(&mut reader).ok().filter(|header| header.tag() == Tag::Sequence)?;
    reader.tlv_bytes().ok()
}

/// Entries one after the other, up to what is none.
pub(crate) struct Entries<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let entry = SliceReader::new(self.0).ok()?.tlv_bytes().ok()?;
        self.0 = from(self.0, entry.len());
        Some(entry)
    }
}

/// How many octets both begin with.
pub(crate) fn same_octets(one: &[u8], other: &[u8]) -> usize {
    let blocks = one.chunks(BLOCK).zip(other.chunks(BLOCK)).take_while(|(one, other)| one == other);
    let same: usize = blocks.map(|(block, _)| block.len()).sum();
    let rest = from(one, same).iter().zip(from(other, same));
    same + rest.take_while(|(one, other)| one == other).count()
}

/// How many of the first `most` octets are whole entries.
pub(crate) fn whole_entries(entries: &[u8], most: usize) -> usize {
    let ends = Entries(entries).scan(0, |end, entry| {
        *end += entry.len();
        Some(*end)
    });
    ends.take_while(|end| *end <= most).last().unwrap_or(0)
}

pub(crate) fn from(bytes: &[u8], start: usize) -> &[u8] {
    bytes.get(start..).unwrap_or_default()
}

/// A patch in the making.
struct Pieces {
    out: Vec<u8>,
    copied: (usize, usize),
    literal: Vec<u8>,
}

impl Pieces {
    fn new(length: usize) -> Self {
        let mut pieces = Self { out: Vec::new(), copied: (0, 0), literal: Vec::new() };
        pieces.number(length);
        pieces
    }

    fn copy(&mut self, start: usize, length: usize) {
        let (before, so_far) = self.copied;
        if self.literal.is_empty() && before + so_far == start {
            self.copied.1 += length;
        } else if length > 0 {
            self.write();
            self.copied = (start, length);
        }
    }

    fn literal(&mut self, octets: &[u8]) {
        self.literal.extend_from_slice(octets);
    }

    fn write(&mut self) {
        let ((start, length), literal) = (self.copied, std::mem::take(&mut self.literal));
        if length > 0 || !literal.is_empty() {
            self.number(start);
            self.number(length);
            self.number(literal.len());
            self.out.extend_from_slice(&literal);
        }
        self.copied = (0, 0);
    }

    fn number(&mut self, number: usize) {
        let mut left = number;
        while left > 0x7f {
            self.out.push(low(left) | 0x80);
            left >>= 7;
        }
        self.out.push(low(left));
    }

    fn end(mut self) -> Vec<u8> {
        self.write();
        self.out
    }
}

/// The lowest seven bits.
fn low(number: usize) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or(0)
}

fn number(left: &mut &[u8]) -> Option<usize> {
    let mut number = 0_u64;
    // Nine groups hold more than any length.
    for shift in (0..63).step_by(7) {
        let (octet, after) = left.split_first()?;
        *left = after;
        number |= u64::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return usize::try_from(number).ok();
        }
    }
    None
}

const BLOCK: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn what_a_patch_makes_is_the_list(
            (base, list) in (any_entries(), any_entries()),
            cut in any::<prop::sample::Index>(),
        ) {
            let (base, list) = (list_of(&base, 1), list_of(&list, 2));
            let patched = patch(&base, &list);
            let made = apply(&base, &patched);
            prop_assert_eq!(made.as_ref(), Some(&list));
            // A piece of a patch is none, and what somebody wrote into it makes nothing that is too long.
            let cut = cut.index(patched.len());
            prop_assert_eq!(apply(&base, &patched[..cut]), None);
            let mut other = patched.clone();
            other[cut] ^= 0x55;
            prop_assert!(apply(&base, &other).is_none_or(|made| made.len() < 1 << 16));
        }

        #[test]
        fn octets_that_are_no_list_come_back_too(base in vec(any::<u8>(), 0..99), list in vec(any::<u8>(), 0..99)) {
            let patched = patch(&base, &list);
            prop_assert_eq!(apply(&base, &patched), Some(list));
            prop_assert!(apply(&base, &base).is_none_or(|made| made.len() < 1 << 20));
        }
    }

    #[test]
    fn a_patch_is_as_long_as_what_is_new() {
        let many: Vec<u16> = (0..20_000).collect();
        let base = list_of(&many, 1);
        let with = |change: &dyn Fn(&mut Vec<u16>)| {
            let mut entries = many.clone();
            change(&mut entries);
            let list = list_of(&entries, 2);
            let patched = patch(&base, &list);
            assert_eq!(apply(&base, &patched).unwrap(), list);
            patched.len()
        };
        let nothing = with(&|_| {});
        assert!(nothing < 150, "{nothing}");
        let one = with(&|entries| entries.push(30_000));
        assert_eq!(one, nothing + ENTRY);
        // One that leaves is a piece more, in whatever order the others are.
        let left = with(&|entries| entries.retain(|entry| *entry != 77));
        assert!(left < nothing + 20, "{left}");
        let turned = with(&|entries| entries.rotate_left(10_000));
        assert!(turned < nothing + 20, "{turned}");
        let sorted_in = with(&|entries| {
            (1..100).for_each(|nth| entries.insert(usize::from(nth) * 150, 30_000 + nth));
        });
        assert!(sorted_in < nothing + 100 * (ENTRY + 20), "{sorted_in}");
    }

    fn any_entries() -> impl Strategy<Value = Vec<u16>> {
        vec(0..40_u16, 0..60)
    }

    /// Laid out as a list is, without being one.
    fn list_of(entries: &[u16], number: u8) -> Vec<u8> {
        let entry = |nth: &u16| element(0x30, &nth.to_be_bytes().repeat(ENTRY / 2 - 1));
        let entries: Vec<u8> = entries.iter().flat_map(entry).collect();
        let mut tbs = element(0x02, &[number]);
        tbs.extend(element(0x30, b"somebody"));
        tbs.extend(element(0x17, &[number; 13]));
        if !entries.is_empty() {
            tbs.extend(element(0x30, &entries));
        }
        tbs.extend(element(0xa0, b"extensions"));
        element(0x30, &[element(0x30, &tbs), element(0x03, &[number; 64])].concat())
    }

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        der::Encode::encode_to_vec(&der::Length::try_from(content.len()).unwrap(), &mut out).unwrap();
        out.extend(content);
        out
    }

    const ENTRY: usize = 34;
}
