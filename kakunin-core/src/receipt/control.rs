//! What a stream says about itself: lists taken up, seals, erasures, recovery, and what it came to.

use std::collections::HashMap;

use super::facts::ListUse;
use super::hash::ReceiptHash;
use crate::digest::Digest;
use crate::id::ChainId;
use crate::tree;

/// What happened to a stream itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// The machine's clock moved by this many milliseconds against the monotonic one.
    Clock {
        /// Forward or back.
        forward: bool,
        /// By how much.
        millis: u64,
    },
    /// Disclosed values were erased; the commitments to them stay where they are.
    Erased {
        /// How many.
        count: u64,
        /// RFC 6962 root over the commitments, ascending.
        digest: Digest,
        /// Why.
        reason: ErasureReason,
    },
    /// Several receipts come together: the parents of this one, more than a single receipt may name or of several
    /// chains.
    Join,
    /// A new revocation list is in use.
    List(ListUse),
    /// An abandoned stream was found; its unsigned receipts are counted and never signed.
    Recovered {
        /// Bytes of a torn tail that were cut.
        cut: u64,
        /// Receipts without a signature.
        unsigned: u64,
        /// RFC 6962 root over their hashes, in order.
        digest: Digest,
    },
    /// The old key names the certificate that signs from the next receipt on.
    Rotate {
        /// SHA-256 of the next certificate.
        next: Digest,
    },
    /// One signature for receipts before this one.
    Seal(Seal),
}

/// Receipts of a stream that share one signature: the one of the receipt that holds this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The sequence number of the first of them.
    pub first: u64,
    /// How many follow one another from there.
    pub count: u64,
    /// RFC 6962 root over their hashes, in order.
    pub root: Digest,
}

impl Seal {
    /// The seal over the receipts from `first` on, whose hashes are `hashes`.
    pub(crate) fn over<'h>(first: u64, hashes: impl IntoIterator<Item = &'h ReceiptHash>) -> Self {
        let mut count = 0;
        let root = tree::root(hashes.into_iter().map(|hash| {
            count += 1;
            &hash.digest().as_bytes()[..]
        }));
        Self { first, count, root }
    }

    /// Whether the seal is over exactly the receipts whose hashes are `hashes`, in this order.
    #[must_use]
    pub fn holds<'h>(&self, hashes: impl IntoIterator<Item = &'h ReceiptHash>) -> bool {
        Self::over(self.first, hashes) == *self
    }

    /// Whether it covers anything, and only what lies before the receipt number `sequence`.
    pub(super) fn ends_before(&self, sequence: u64) -> bool {
        self.count > 0 && self.first.checked_add(self.count).is_some_and(|end| end <= sequence)
    }

    /// Whether the receipt number `sequence` is among them.
    #[must_use]
    pub const fn covers(&self, sequence: u64) -> bool {
        sequence >= self.first && sequence - self.first < self.count
    }
}

/// Why values were erased: one of a few words, so that no receipt says more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErasureReason {
    /// The person they were about asked for it.
    SubjectRequest,
    /// They were kept as long as they had to be.
    Retention,
    /// The owner of the agent wanted it.
    OwnerRequest,
    /// A court or an authority ordered it.
    LegalOrder,
}

impl ErasureReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::SubjectRequest, Self::Retention, Self::OwnerRequest, Self::LegalOrder];

    /// The word in receipts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::SubjectRequest => "subject_request",
            Self::Retention => "retention",
            Self::OwnerRequest => "owner_request",
            Self::LegalOrder => "legal_order",
        }
    }

    /// The reason that `word` stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }
}

/// What a closing receipt counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Decisions that allowed.
    pub allow: u64,
    /// Decisions that denied.
    pub deny: u64,
    /// Outcomes.
    pub outcome: u64,
    /// Chains that took part.
    pub chains: u64,
    /// RFC 6962 root over `<chain> <last counter>`, ascending: shows the length of one chain without the others.
    pub chains_root: Digest,
}

impl Totals {
    /// The leaf that says how far a chain came in a stream.
    pub(crate) fn chain_leaf(chain: &ChainId, last: u64) -> String {
        format!("{chain} {last}")
    }

    /// The leaves over all chains, ascending.
    pub(crate) fn chain_leaves(chains: &HashMap<ChainId, u64>) -> Vec<String> {
        let mut leaves: Vec<String> =
            chains.iter().map(|(chain, last)| Self::chain_leaf(chain, *last)).collect();
        leaves.sort_unstable();
        leaves
    }

    /// The root over them. There may be as many chains as receipts, so their leaves are not all in memory.
    pub(crate) fn root_of(chains: &HashMap<ChainId, u64>) -> Digest {
        let mut ascending: Vec<(ChainId, u64)> = chains.iter().map(|(chain, last)| (*chain, *last)).collect();
        ascending.sort_unstable();
        let mut tree = tree::Growing::default();
        for (chain, last) in ascending {
            tree.push(Self::chain_leaf(&chain, last).as_bytes());
        }
        tree.root()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_holds_exactly_the_hashes_it_was_made_over() {
        let hashes: Vec<ReceiptHash> = (0..9_u8).map(|n| ReceiptHash::of(&[n])).collect();
        let seal = Seal::over(5, &hashes);
        assert_eq!((seal.first, seal.count), (5, 9));
        assert!(seal.holds(&hashes) && seal.covers(5) && seal.covers(13));
        assert!(!seal.covers(4) && !seal.covers(14));
        for lost in 0..hashes.len() {
            let mut others = hashes.clone();
            others.remove(lost);
            assert!(!seal.holds(&others));
            others.insert(lost, ReceiptHash::of(b"another"));
            assert!(!seal.holds(&others));
        }
        assert!(!seal.holds(hashes.iter().rev()) && !seal.holds(&[]));
    }
}
