//! Complete subtrees: the hashes that never change once their leaves are there.
//!
//! The subtree of height `h` and index `i` covers the leaves from `i << h` up to `(i + 1) << h`. Every range that RFC
//! 6962 hashes, `MTH(D[from:to])`, is a row of such subtrees, largest first, folded from the right.

use super::hash::node_hash;
use crate::digest::Digest;

/// Whoever knows the hashes of complete subtrees.
pub trait HashSource {
    /// Why a hash cannot be had.
    type Error;

    /// The hash of the complete subtree of `height` at `index`; at height 0 it is a leaf's.
    ///
    /// # Errors
    /// The hash cannot be had, for example because the subtree is not complete.
    fn complete(&mut self, height: u32, index: u64) -> Result<Digest, Self::Error>;
}

/// The root of the first `size` leaves of `source`.
///
/// # Errors
/// A hash of `source` that cannot be had.
pub fn root_of<S: HashSource>(source: &mut S, size: u64) -> Result<Digest, S::Error> {
    range_hash(source, 0, size)
}

/// `MTH(D[from:to])` where `from` is a multiple of a power of two that is at least `to - from`, as it is for every
/// range that RFC 6962 splits a tree into.
pub(super) fn range_hash<S: HashSource>(source: &mut S, from: u64, to: u64) -> Result<Digest, S::Error> {
    let mut end = to;
    let mut right: Option<Digest> = None;
    while end > from {
        // The smallest power of two in what is left is the rightmost subtree.
        let height = (end - from).trailing_zeros();
        end -= 1 << height;
        let left = source.complete(height, end >> height)?;
        right = Some(right.map_or(left, |right| node_hash(&left, &right)));
    }
    Ok(right.unwrap_or_else(|| Digest::of(b"")))
}

/// Where RFC 6962 splits the range of at least two leaves from `from` to `to`: after the largest power of two that is
/// smaller than the number of its leaves.
pub(super) fn split(from: u64, to: u64) -> u64 {
    let width = to.saturating_sub(from);
    // INVARIANT: width >= 2, so the power is at least 1 and smaller than the width.
    from + (1 << width.saturating_sub(1).checked_ilog2().unwrap_or(0))
}
