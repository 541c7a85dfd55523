//! The right edge of a tree: the partial tile of each level. It is all that an append needs and all that changes.

use super::tile::{TileName, TileOf, WIDTH, fold};
use crate::digest::Digest;
use crate::tree::node_hash;

/// The partial tiles of a tree, from level 0 up.
#[derive(Clone, Debug, Default)]
pub(super) struct Edge {
    size: u64,
    // INVARIANT: the hashes of level l are (size >> 8l) % 256 in number.
    levels: Vec<Vec<Digest>>,
}

impl Edge {
    /// The edge of a tree of `size` leaves, whose partial tiles `read` gives.
    pub(super) fn load<E>(
        size: u64,
        mut read: impl FnMut(TileName) -> Result<Vec<Digest>, E>,
    ) -> Result<Self, E> {
        let mut levels = Vec::new();
        for level in 0..super::tile::LEVELS {
            let name = TileName::at_edge(TileOf::Hashes { level }, size);
            levels.push(name.map(&mut read).transpose()?.unwrap_or_default());
        }
        Ok(Self { size, levels })
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the partial tile of `level`.
    pub(super) fn hashes(&self, level: u8) -> &[Digest] {
        self.levels.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// Adds a leaf; a tile that it fills goes to `full`.
    pub(super) fn push(&mut self, leaf: Digest, mut full: impl FnMut(TileName, Vec<Digest>)) {
        let mut hash = leaf;
        for level in 0.. {
            let index = usize::from(level);
            if self.levels.len() <= index {
                self.levels.resize_with(index + 1, Vec::new);
            }
            let Some(hashes) = self.levels.get_mut(index) else { break };
            hashes.push(hash);
            if (hashes.len() as u64) < WIDTH {
                break;
            }
            hash = fold(hashes);
            let place = self.size >> (8 * (u32::from(level) + 1));
            full(TileName::full(TileOf::Hashes { level }, place), std::mem::take(hashes));
        }
        self.size += 1;
    }

    /// The root over all leaves.
    pub(super) fn root(&self) -> Digest {
        let mut right: Option<Digest> = None;
        for hashes in &self.levels {
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                let (before, subtree) = rest.split_at(rest.len() - (1 << rest.len().trailing_zeros()));
                let left = fold(subtree);
                right = Some(right.map_or(left, |right| node_hash(&left, &right)));
                rest = before;
            }
        }
        right.unwrap_or_else(|| Digest::of(b""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn the_edge_has_the_root_of_all_leaves() {
        let leaves: Vec<[u8; 8]> = (0..1000_u64).map(u64::to_be_bytes).collect();
        let mut edge = Edge::default();
        assert_eq!(edge.root(), tree::root([]));
        let mut full = Vec::new();
        for (count, leaf) in (1..).zip(&leaves) {
            edge.push(tree::leaf_hash(leaf), |name, hashes| full.push((name.to_string(), hashes.len())));
            if count < 20 || count % 37 == 0 {
                let root = tree::root(leaves[..count].iter().map(<[u8; 8]>::as_slice));
                assert_eq!(edge.root(), root, "{count} leaves");
            }
        }
        let tiles = [("tile/0/000", 256), ("tile/0/001", 256), ("tile/0/002", 256)];
        assert_eq!(full, tiles.map(|(name, width)| (name.to_owned(), width)));
        assert_eq!((edge.hashes(0).len(), edge.hashes(1).len(), edge.size()), (232, 3, 1000));
    }
}
