//! What a bundle of one chain needs of the receipts that it does not take: hashes under a seal, counters of all chains.

use std::collections::{HashMap, VecDeque};

use super::form::{SealLine, TotalLine};
use crate::digest::Digest;
use crate::id::ChainId;
use crate::journal::{Entry, Proof};
use crate::receipt::{Control, Event, ReceiptHash, Seal, Totals};
use crate::tree::{HashSource, InclusionProof, leaf_hash, node_hash};
use crate::verify::ChainLength;

/// What was read of one stream so far.
#[derive(Default)]
pub(super) struct Around {
    recent: VecDeque<(u64, ReceiptHash)>,
    chains: HashMap<ChainId, u64>,
    /// Receipts that were taken and wait for their seal.
    sealed: Vec<(u64, ReceiptHash)>,
}

impl Around {
    pub(super) fn pass(&mut self, entry: &Entry) {
        let statement = entry.receipt().statement();
        if self.recent.len() >= LARGEST_SEAL {
            self.recent.pop_front();
        }
        self.recent.push_back((statement.sequence, entry.receipt().hash()));
        if let Some((chain, Some(counter))) = statement.chain {
            self.chains.insert(chain, counter);
        }
    }

    pub(super) fn take(&mut self, entry: &Entry) {
        if let Proof::Sealed(seal) = entry.proof() {
            self.sealed.push((entry.receipt().statement().sequence, seal));
        }
    }

    /// The hashes under `entry`, if it is the seal of a receipt that was taken.
    pub(super) fn seal_line(&mut self, entry: &Entry) -> Option<SealLine> {
        let statement = entry.receipt().statement();
        let Event::Control(Control::Seal(Seal { first, count, .. })) = statement.event else { return None };
        let taken = self.sealed.len();
        self.sealed.retain(|(_, seal)| *seal != entry.receipt().hash());
        if self.sealed.len() == taken {
            return None;
        }
        let under = self.recent.iter().filter(|(number, _)| *number >= first && *number - first < count);
        let hashes = under.map(|(_, hash)| *hash.digest()).collect();
        Some(SealLine { stream: statement.stream, seal: statement.sequence, hashes })
    }

    /// How far `chain` goes, if `entry` is the closing receipt of a stream that has part in it.
    pub(super) fn total_line(&self, entry: &Entry, chain: ChainId) -> Option<TotalLine> {
        let statement = entry.receipt().statement();
        let Event::Close { totals: Some(_) } = statement.event else { return None };
        let last = *self.chains.get(&chain)?;
        let leaves = Totals::chain_leaves(&self.chains);
        let index = leaves.binary_search(&Totals::chain_leaf(&chain, last)).ok()?;
        let size = leaves.len() as u64;
        let mut leaves = Leaves(leaves.iter().map(|leaf| leaf_hash(leaf.as_bytes())).collect());
        let Ok(proof) = InclusionProof::make(&mut leaves, index as u64, size);
        Some(TotalLine { stream: statement.stream, length: ChainLength { last, proof: proof? } })
    }
}

/// A tree whose leaves are all in memory.
struct Leaves(Vec<Digest>);

impl HashSource for Leaves {
    type Error = std::convert::Infallible;

    fn complete(&mut self, height: u32, index: u64) -> Result<Digest, Self::Error> {
        if height == 0 {
            let leaf = usize::try_from(index).ok().and_then(|index| self.0.get(index));
            // INVARIANT: only hashes of complete subtrees of the leaves are asked for.
            return Ok(leaf.copied().unwrap_or(Digest::from_bytes([0; 32])));
        }
        let left = self.complete(height - 1, index * 2)?;
        Ok(node_hash(&left, &self.complete(height - 1, index * 2 + 1)?))
    }
}

/// Receipts that one seal may cover: what the verifier lets wait.
const LARGEST_SEAL: usize = 4096;
