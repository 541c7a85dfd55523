//! Consistency proofs (RFC 6962 section 2.1.2, verified as RFC 9162 section 2.1.4.2): that tree continues this one.

use super::hash::{node_hash, root};
use super::subtree::{HashSource, range_hash, split};
use crate::digest::Digest;

/// The hashes from which both roots of two sizes of one log follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// How many leaves the earlier tree has.
    pub from: u64,
    /// How many leaves the later tree has.
    pub to: u64,
    /// The hashes, in the order of RFC 6962.
    pub path: Vec<Digest>,
}

impl ConsistencyProof {
    /// Makes the proof that the first `to` leaves begin with the first `from`; `None` when `from` is more than `to`.
    ///
    /// # Errors
    /// A hash of `source` that cannot be had.
    pub fn make<S: HashSource>(source: &mut S, from: u64, to: u64) -> Result<Option<Self>, S::Error> {
        if from > to {
            return Ok(None);
        }
        let mut path = Vec::new();
        // Every tree continues the empty one, and that needs no proof.
        let (mut left, mut right) = (0, if from == 0 { 0 } else { to });
        while from < right {
            let middle = split(left, right);
            if from <= middle {
                path.push(range_hash(source, middle, right)?);
                right = middle;
            } else {
                path.push(range_hash(source, left, middle)?);
                left = middle;
            }
        }
        // The whole earlier tree is known to whoever asks; a part of it is not.
        if left != 0 {
            path.push(range_hash(source, left, right)?);
        }
        path.reverse();
        Ok(Some(Self { from, to, path }))
    }

    /// Checks that the tree of root `later` continues the tree of root `earlier`.
    ///
    /// # Errors
    /// [`Inconsistent`], which says which of the two roots the proof does not lead to.
    pub fn verify(&self, earlier: Digest, later: Digest) -> Result<(), Inconsistent> {
        let expect = |matches, error| if matches { Ok(()) } else { Err(error) };
        if self.from > self.to {
            return Err(Inconsistent::Shape);
        }
        if self.from == 0 || self.from == self.to {
            expect(self.path.is_empty(), Inconsistent::Shape)?;
            if self.from == 0 {
                expect(earlier == root([]), Inconsistent::Earlier)?;
            }
            return expect(self.from != self.to || earlier == later, Inconsistent::Later);
        }
        let mut path = self.path.iter();
        // A complete earlier tree is a node of the later one and is left out of the proof.
        let start = match self.from.is_power_of_two() {
            true => earlier,
            false => *path.next().ok_or(Inconsistent::Shape)?,
        };
        let (mut node, mut last) = (self.from - 1, self.to - 1);
        while node & 1 == 1 {
            node >>= 1;
            last >>= 1;
        }
        let (mut old, mut new) = (start, start);
        for sibling in path {
            if last == 0 {
                return Err(Inconsistent::Shape);
            }
            if node & 1 == 1 || node == last {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
                while node & 1 == 0 && node != 0 {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                new = node_hash(&new, sibling);
            }
            node >>= 1;
            last >>= 1;
        }
        expect(last == 0, Inconsistent::Shape)?;
        expect(old == earlier, Inconsistent::Earlier)?;
        expect(new == later, Inconsistent::Later)
    }
}

/// A proof that does not show that one tree continues another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// The proof has not the form of one for these two sizes.
    #[error("no consistency proof for trees of these sizes")]
    Shape,
    /// It leads to another earlier root.
    #[error("the later tree does not begin with the earlier one")]
    Earlier,
    /// It leads to another later root.
    #[error("the proof leads to another later tree")]
    Later,
}

#[cfg(test)]
mod tests {
    use super::super::{InclusionProof, leaf_hash, root_of};
    use super::*;

    /// Leaves in memory; every subtree is hashed anew.
    struct Leaves(Vec<Vec<u8>>);

    impl HashSource for Leaves {
        type Error = std::convert::Infallible;

        fn complete(&mut self, height: u32, index: u64) -> Result<Digest, Self::Error> {
            let from = usize::try_from(index << height).unwrap();
            let leaves = &self.0[from..from + (1 << height)];
            Ok(root(leaves.iter().map(Vec::as_slice)))
        }
    }

    fn leaves(count: u64) -> Leaves {
        Leaves((0..count).map(|leaf| leaf.to_be_bytes().to_vec()).collect())
    }

    fn plain_root(leaves: &Leaves, size: u64) -> Digest {
        root(leaves.0.iter().take(usize::try_from(size).unwrap()).map(Vec::as_slice))
    }

    const SIZES: u64 = 70;

    #[test]
    fn roots_from_subtrees_are_the_roots_of_the_leaves() {
        let mut source = leaves(SIZES);
        for size in 0..=SIZES {
            assert_eq!(root_of(&mut source, size), Ok(plain_root(&source, size)), "{size} leaves");
        }
    }

    #[test]
    fn every_leaf_has_a_proof_in_every_tree_and_only_at_its_place() {
        let mut source = leaves(SIZES);
        for size in 1..=SIZES {
            let root = plain_root(&source, size);
            for index in 0..size {
                let proof = InclusionProof::make(&mut source, index, size).unwrap().unwrap();
                let leaf = leaf_hash(&index.to_be_bytes());
                assert_eq!(proof.root(leaf), Some(root), "leaf {index} of {size}");
                assert_ne!(proof.root(leaf_hash(b"another")), Some(root));
                for other in (0..size).filter(|other| *other != index) {
                    let moved = InclusionProof { index: other, ..proof.clone() };
                    assert_ne!(moved.root(leaf), Some(root), "leaf {index} of {size} shown at {other}");
                }
                let mut longer = proof.clone();
                longer.path.push(root);
                assert_ne!(longer.root(leaf), Some(root));
                let mut shorter = proof.clone();
                if shorter.path.pop().is_some() {
                    assert_ne!(shorter.root(leaf), Some(root));
                }
            }
            assert_eq!(InclusionProof::make(&mut source, size, size), Ok(None));
        }
    }

    #[test]
    fn every_tree_continues_every_shorter_one_and_no_other() {
        let mut source = leaves(SIZES);
        for to in 0..=SIZES {
            for from in 0..=to {
                let proof = ConsistencyProof::make(&mut source, from, to).unwrap().unwrap();
                let (earlier, later) = (plain_root(&source, from), plain_root(&source, to));
                assert_eq!(proof.verify(earlier, later), Ok(()), "{from} to {to}");
                let other = leaf_hash(b"another");
                assert!(proof.verify(other, later).is_err(), "{from} to {to}");
                if from > 0 {
                    assert!(proof.verify(earlier, other).is_err(), "{from} to {to}");
                }
                for at in 0..proof.path.len() {
                    let mut wrong = proof.clone();
                    wrong.path[at] = other;
                    assert!(wrong.verify(earlier, later).is_err(), "{from} to {to}, hash {at}");
                    wrong.path.remove(at);
                    assert!(wrong.verify(earlier, later).is_err(), "{from} to {to} without hash {at}");
                }
            }
            assert_eq!(ConsistencyProof::make(&mut source, to + 1, to), Ok(None));
        }
    }

    /// Proofs over the leaves of the certificate-transparency test suite, as reprinted in many implementations.
    #[test]
    fn known_answers_of_certificate_transparency() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut source = Leaves(leaves.map(<[u8]>::to_vec).to_vec());
        let hex = |path: &[Digest]| path.iter().map(Digest::to_hex).collect::<Vec<_>>();
        let (one, two, four) = (
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        );
        let (fifth, seventh, half) = (
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        );
        let first_two = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
        let empty = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        let sixth = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
        for (index, size, path) in [
            (0, 1, &[][..]),
            (0, 8, &[one, two, four]),
            (5, 8, &[fifth, seventh, half]),
            (2, 3, &[first_two]),
            (1, 5, &[empty, two, fifth]),
        ] {
            let proof = InclusionProof::make(&mut source, index, size).unwrap().unwrap();
            assert_eq!(hex(&proof.path), path, "{index} of {size}");
        }
        for (from, to, path) in [
            (1, 1, &[][..]),
            (1, 8, &[one, two, four]),
            (6, 8, &[sixth, seventh, half]),
            (2, 5, &[two, fifth]),
        ] {
            let proof = ConsistencyProof::make(&mut source, from, to).unwrap().unwrap();
            assert_eq!(hex(&proof.path), path, "{from} to {to}");
        }
    }

    #[test]
    fn proofs_of_sizes_that_no_log_reaches_are_refused_in_bounded_time() {
        let path = vec![leaf_hash(b"x"); 65];
        let proof = InclusionProof { index: u64::MAX - 1, size: u64::MAX, path: path.clone() };
        assert_eq!(proof.root(leaf_hash(b"y")), None);
        let proof = ConsistencyProof { from: 1, to: u64::MAX, path };
        assert_eq!(proof.verify(leaf_hash(b"x"), leaf_hash(b"y")), Err(Inconsistent::Shape));
        let backwards = ConsistencyProof { from: 2, to: 1, path: Vec::new() };
        assert_eq!(backwards.verify(leaf_hash(b"x"), leaf_hash(b"x")), Err(Inconsistent::Shape));
    }
}
