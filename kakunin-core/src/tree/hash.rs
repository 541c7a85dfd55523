//! Leaves, nodes and the root.
//!
//! Leaves and nodes are hashed under different prefixes, so no node can be shown as a leaf.

use crate::digest::Digest;

/// The hash of one leaf: SHA-256 of 0x00 followed by its bytes.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest::of_parts(&[&[0], leaf])
}

/// The hash of an inner node: SHA-256 of 0x01, the left and the right child.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// The root over `leaves` in their order; the root of none is the hash of nothing.
#[must_use]
pub fn root<'a>(leaves: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut tree = Growing::default();
    leaves.into_iter().for_each(|leaf| tree.push(leaf));
    tree.root()
}

/// A tree of which only the root is wanted, while its leaves come one after another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Growing {
    // Complete subtrees, largest first, exactly like the digits of a binary counter.
    subtrees: Vec<(u32, Digest)>,
}

impl Growing {
    /// The next leaf.
    pub(crate) fn push(&mut self, leaf: &[u8]) {
        let mut subtree = (0, leaf_hash(leaf));
        while let Some((_, left)) = self.subtrees.pop_if(|(height, _)| *height == subtree.0) {
            subtree = (subtree.0 + 1, node_hash(&left, &subtree.1));
        }
        self.subtrees.push(subtree);
    }

    /// The root over the leaves so far.
    pub(crate) fn root(&self) -> Digest {
        let mut smallest_first = self.subtrees.iter().rev().map(|(_, hash)| *hash);
        let Some(smallest) = smallest_first.next() else { return Digest::of(b"") };
        smallest_first.fold(smallest, |right, left| node_hash(&left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leaves and roots of the certificate-transparency test suite, as reprinted in many implementations.
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
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (count, expected) in (1..).zip(roots) {
            assert_eq!(root(leaves[..count].iter().copied()).to_hex(), expected, "{count} leaves");
        }
    }
}
