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

/// Nodes of one tree that proven paths led over. Neighbours share most of their way, so that what is known already is not
/// hashed again.
#[derive(Debug, Default)]
pub(crate) struct KnownNodes {
    /// By height, the last one at an even and at an odd place.
    rows: Vec<[Option<(u64, Digest)>; 2]>,
}

impl KnownNodes {
    fn slot(&mut self, (height, index): (usize, u64)) -> Option<&mut Option<(u64, Digest)>> {
        if self.rows.len() <= height {
            self.rows.resize(height + 1, [None; 2]);
        }
        self.rows.get_mut(height)?.get_mut(usize::from(index & 1 == 1))
    }

    fn know(&mut self, place: (usize, u64), hash: Digest) {
        if let Some(slot) = self.slot(place) {
            *slot = Some((place.1, hash));
        }
    }

    fn knows(&self, (height, index): (usize, u64), hash: &Digest) -> bool {
        let row = self.rows.get(height).into_iter().flatten();
        row.flatten().any(|known| *known == (index, *hash))
    }
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

    /// Whether the leaf of hash `leaf` has this proof in the tree of `root`, of which `known` knows some nodes and learns more.
    /// Says the same as [`InclusionProof::root`].
    pub(crate) fn leads_to(&self, leaf: Digest, root: &Digest, known: &mut KnownNodes) -> bool {
        let Some(places) = self.places() else { return false };
        let beside = |(height, index): (usize, u64)| (height, index ^ 1);
        let (mut hash, mut way) = (leaf, Vec::with_capacity(places.len()));
        let mut steps = places.iter().copied().zip(&self.path);
        let proven = loop {
            let rest = steps.clone();
            let Some((place, sibling)) = steps.next() else { break hash == *root };
            // From a known node on, only the siblings that led from it to the root are right.
            if known.knows(place, &hash) && rest.clone().all(|(at, other)| known.knows(beside(at), other)) {
                break true;
            }
            way.push((place, hash));
            hash = if place.1 & 1 == 1 { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) };
        };
        if proven {
            for ((place, hash), sibling) in way.into_iter().zip(&self.path) {
                known.know(place, hash);
                known.know(beside(place), *sibling);
            }
        }
        proven
    }

    /// Height and index of each node on the way that has a sibling; `None` when no tree of this size has a path of this
    /// shape.
    fn places(&self) -> Option<Vec<(usize, u64)>> {
        if self.index >= self.size {
            return None;
        }
        let (mut node, mut last, mut height) = (self.index, self.size - 1, 0);
        let mut places = Vec::with_capacity(self.path.len());
        for _ in &self.path {
            if last == 0 {
                return None;
            }
            // At the right edge, without a sibling, it is its own parent.
            while node & 1 == 0 && node == last {
                (node, last, height) = (node >> 1, last >> 1, height + 1);
            }
            places.push((height, node));
            (node, last, height) = (node >> 1, last >> 1, height + 1);
        }
        (last == 0).then_some(places)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::leaf_hash;

    /// A tree whose leaves are all in memory.
    struct Leaves(Vec<Digest>);

    impl HashSource for Leaves {
        type Error = std::convert::Infallible;

        fn complete(&mut self, height: u32, index: u64) -> Result<Digest, Self::Error> {
            match height.checked_sub(1) {
                None => Ok(self.0[index as usize]),
                Some(below) => {
                    let left = self.complete(below, index * 2)?;
                    Ok(node_hash(&left, &self.complete(below, index * 2 + 1)?))
                }
            }
        }
    }

    #[test]
    fn what_is_known_of_a_tree_changes_no_answer() {
        for size in 1..70_u64 {
            let leaves: Vec<Digest> = (0..size).map(|leaf| leaf_hash(&leaf.to_be_bytes())).collect();
            let mut source = Leaves(leaves.clone());
            let Ok(root) = crate::tree::root_of(&mut source, size);
            // In order, and jumping about.
            for step in [1, 7, 13] {
                let mut known = KnownNodes::default();
                for turn in 0..size {
                    let index = turn * step % size;
                    let Ok(proof) = InclusionProof::make(&mut source, index, size);
                    let (proof, leaf) = (proof.unwrap(), leaves[index as usize]);
                    assert_eq!(proof.root(leaf), Some(root));
                    let mut wrong = vec![InclusionProof { index: index ^ 1, ..proof.clone() }];
                    for place in 0..proof.path.len() {
                        let mut other = proof.clone();
                        other.path[place] = leaf_hash(b"other");
                        wrong.push(other);
                        let mut shorter = proof.clone();
                        shorter.path.remove(place);
                        wrong.push(shorter);
                        let mut longer = proof.clone();
                        longer.path.insert(place, proof.path[place]);
                        wrong.push(longer);
                    }
                    for wrong in wrong.iter().filter(|wrong| wrong.root(leaf) != Some(root)) {
                        assert!(!wrong.leads_to(leaf, &root, &mut known), "{size} {index} {wrong:?}");
                    }
                    assert!(!proof.leads_to(leaf_hash(b"other"), &root, &mut known));
                    assert!(proof.leads_to(leaf, &root, &mut known), "{size} {index}");
                    for wrong in wrong.iter().filter(|wrong| wrong.root(leaf) != Some(root)) {
                        assert!(!wrong.leads_to(leaf, &root, &mut known), "{size} {index} {wrong:?}");
                    }
                }
            }
        }
    }
}
