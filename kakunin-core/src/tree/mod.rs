//! The Merkle tree of RFC 6962 section 2.1 (RFC 9162 section 2.1) over SHA-256.
//!
//! Takes in leaves, gives out a root and two proofs: that a leaf is in a tree, and that a tree continues another.
//! Proofs are made from the hashes of complete subtrees, wherever those are kept; the room keeps nothing itself.

mod consistency;
mod hash;
mod inclusion;
mod subtree;

pub use consistency::{ConsistencyProof, Inconsistent};
pub(crate) use hash::Growing;
pub use hash::{leaf_hash, node_hash, root};
pub use inclusion::InclusionProof;
pub(crate) use inclusion::KnownNodes;
pub use subtree::{HashSource, root_of};
