//! Where things lie in a log (C2SP tlog-tiles): tiles of 256 hashes, bundles of 256 entries, and the names of both.
//!
//! ```text
//! tile/<level>/<index>[.p/<width>]      hashes, 32 octets each: of leaves at level 0, above it of full tiles below
//! tile/entries/<index>[.p/<width>]      entries, each a big-endian u16 length and that many octets
//! ```
//!
//! The index is written in groups of three digits, all but the last with an `x`: 1234067 is `x001/x234/067`. The tile at
//! the right edge is partial and has its width in its name; what a name means never changes.

use std::fmt;

use crate::digest::Digest;
use crate::tree::node_hash;

/// Hashes in a full tile, entries in a full bundle.
pub(super) const WIDTH: u64 = 256;

/// Levels of a tree of 2^64 leaves.
pub(super) const LEVELS: u8 = 8;

/// The longest entry: what a u16 can count.
pub(super) const MAX_ENTRY: usize = 65_535;

/// The name of one tile or bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TileName {
    pub(super) of: TileOf,
    pub(super) index: u64,
    /// 1 to 256; below that the tile is partial.
    pub(super) width: u64,
}

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TileOf {
    Hashes { level: u8 },
    Entries,
}

impl TileName {
    pub(super) const fn full(of: TileOf, index: u64) -> Self {
        Self { of, index, width: WIDTH }
    }

    /// The partial tile at the right edge of a tree of `size` leaves; `None` when it would be empty.
    pub(super) fn at_edge(of: TileOf, size: u64) -> Option<Self> {
        let level = match of {
            TileOf::Hashes { level } => level,
            TileOf::Entries => 0,
        };
        let hashes = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
        let width = hashes % WIDTH;
        (width > 0).then_some(Self { of, index: hashes / WIDTH, width })
    }

    /// The full tile of the same place, which may have replaced a partial one.
    pub(super) const fn grown(self) -> Self {
        Self { width: WIDTH, ..self }
    }

    pub(super) const fn is_partial(&self) -> bool {
        self.width < WIDTH
    }

    /// The folder of the partial tiles of this place.
    pub(super) fn partial_folder(&self) -> String {
        format!("{}.p", self.grown())
    }
}

impl fmt::Display for TileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            TileOf::Hashes { level } => write!(f, "tile/{level}/")?,
            TileOf::Entries => f.write_str("tile/entries/")?,
        }
        // INVARIANT: seven groups of three digits hold every u64.
        let groups = (1..7).rev().map(|group| 1000_u64.pow(group));
        for power in groups.filter(|power| self.index >= *power) {
            write!(f, "x{:03}/", self.index / power % 1000)?;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.is_partial() { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// The octets of a tile of hashes.
pub(super) fn to_octets(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// Reads exactly `width` hashes.
pub(super) fn read_hashes(octets: &[u8], width: usize) -> Option<Vec<Digest>> {
    let (hashes, rest) = octets.as_chunks::<32>();
    (rest.is_empty() && hashes.len() == width)
        .then(|| hashes.iter().map(|hash| Digest::from_bytes(*hash)).collect())
}

/// The root over `hashes`, whose number is a power of two.
pub(super) fn fold(hashes: &[Digest]) -> Digest {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        let (pairs, _) = row.as_chunks::<2>();
        row = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied().unwrap_or_else(|| Digest::of(b""))
}

/// A tile with the hashes of all complete subtrees in it, since a proof asks for some of each height.
#[derive(Debug)]
pub(super) struct Subtrees {
    /// By height; at height 0 lies the tile.
    rows: Vec<Vec<Digest>>,
}

impl Subtrees {
    pub(super) fn over(hashes: Vec<Digest>) -> Self {
        let mut rows = vec![hashes];
        while let Some(row) = rows.last().filter(|row| row.len() > 1) {
            let (pairs, _) = row.as_chunks::<2>();
            let above = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
            rows.push(above);
        }
        Self { rows }
    }

    /// The hashes of the tile.
    pub(super) fn hashes(&self) -> &[Digest] {
        self.rows.first().map_or(&[], Vec::as_slice)
    }

    /// The hash of the complete subtree of `height` at `index`.
    pub(super) fn at(&self, height: u32, index: u64) -> Option<Digest> {
        self.rows.get(height as usize)?.get(usize::try_from(index).ok()?).copied()
    }
}

/// Appends an entry to the octets of a bundle; false when it is too long for one.
pub(super) fn push_entry(out: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else { return false };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(entry);
    true
}

/// Reads the entries of a bundle; `None` when it does not end with one.
pub(super) fn read_entries(octets: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    let mut rest = octets;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        rest = after;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        let name = |of, index, width| TileName { of, index, width }.to_string();
        let level = |level| TileOf::Hashes { level };
        assert_eq!(name(level(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(name(level(1), 0, 17), "tile/1/000.p/17");
        assert_eq!(name(TileOf::Entries, 999, 256), "tile/entries/999");
        assert_eq!(name(TileOf::Entries, 1000, 1), "tile/entries/x001/000.p/1");
        assert_eq!(name(level(0), u64::MAX, 256), "tile/0/x018/x446/x744/x073/x709/x551/615");
    }

    /// The example of C2SP tlog-tiles, "Partial Tiles".
    #[test]
    fn a_tree_of_seventy_thousand_has_three_partial_tiles() {
        let edge =
            |level| TileName::at_edge(TileOf::Hashes { level }, 70_000).map(|name| (name.index, name.width));
        assert_eq!(
            (0..4).map(edge).collect::<Vec<_>>(),
            [Some((273, 112)), Some((1, 17)), Some((0, 1)), None]
        );
        let edge =
            |level| TileName::at_edge(TileOf::Hashes { level }, 256).map(|name| (name.index, name.width));
        assert_eq!((0..3).map(edge).collect::<Vec<_>>(), [None, Some((0, 1)), None]);
    }

    #[test]
    fn bundles_carry_entries_up_to_what_a_length_can_say() {
        let mut bundle = Vec::new();
        for entry in [&b""[..], b"one", &[7; MAX_ENTRY]] {
            assert!(push_entry(&mut bundle, entry));
        }
        let whole = bundle.len();
        assert!(!push_entry(&mut bundle, &[7; MAX_ENTRY + 1]));
        assert_eq!(bundle.len(), whole);
        assert_eq!(read_entries(&bundle).unwrap(), [&b""[..], b"one", &[7; MAX_ENTRY]]);
        for cut in [whole - 1, 6, 3, 1] {
            assert_eq!(read_entries(&bundle[..cut]), None, "{cut}");
        }
    }
}
