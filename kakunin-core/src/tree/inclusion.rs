//! Inclusion proofs (RFC 6962 section 2.1.1, verified as RFC 9162 section 2.1.3.2): this leaf is in that tree.

use super::hash::node_hash;
use super::subtree::{HashSource, range_hash, split};
use crate::digest::Digest;

/// The siblings on the way from a leaf up to the root. It proves something only once its root is compared with one
/// that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The leaf's place, from 0.
    pub index: u64,
    /// How many leaves the tree has.
    pub size: u64,
    /// Sibling hashes, the leaf's first.
    pub path: Vec<Digest>,
}

impl InclusionProof {
    /// Makes the proof for the leaf at `index` in the tree of the first `size` leaves; `None` when it has no such leaf.
    ///
    /// # Errors
    /// A hash of `source` that cannot be had.
    pub fn make<S: HashSource>(source: &mut S, index: u64, size: u64) -> Result<Option<Self>, S::Error> {
        if index >= size {
            return Ok(None);
        }
        let (mut from, mut to) = (0, size);
        let mut path = Vec::new();
        while to - from > 1 {
            let middle = split(from, to);
            if index < middle {
                path.push(range_hash(source, middle, to)?);
                to = middle;
            } else {
                path.push(range_hash(source, from, middle)?);
                from = middle;
            }
        }
        path.reverse();
        Ok(Some(Self { index, size, path }))
    }

    /// The root of the tree in which a leaf of hash `leaf` has this proof; `None` when no tree of this size has a path
    /// of this shape.
    #[must_use]
    pub fn root(&self, leaf: Digest) -> Option<Digest> {
        if self.index >= self.size {
            return None;
        }
        let (mut node, mut last) = (self.index, self.size - 1);
        let mut root = leaf;
        for sibling in &self.path {
            if last == 0 {
                return None;
            }
            if node & 1 == 1 || node == last {
                root = node_hash(sibling, &root);
                while node & 1 == 0 && node != 0 {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                root = node_hash(&root, sibling);
            }
            node >>= 1;
            last >>= 1;
        }
        (last == 0).then_some(root)
    }
}
