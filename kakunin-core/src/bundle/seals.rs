//! Receipts that share a signature, as lines of a bundle: they come before their seal, and wait for it.

use std::collections::VecDeque;

use crate::digest::Digest;
use crate::journal::Proof;
use crate::receipt::{Control, Event, ReceiptHash};
use crate::verify::Item;

/// The receipts of one stream on their way to the verifier.
#[derive(Default)]
pub(super) struct Sealer {
    waiting: VecDeque<Item>,
    /// How many of those that wait are under a seal that did not come yet.
    open: usize,
}

impl Sealer {
    /// The number of the next line, if it is a seal that somebody waits for.
    pub(super) fn seal_of(&self, item: &Item) -> Option<u64> {
        let statement = item.receipt.statement();
        let seals = matches!(statement.event, Event::Control(Control::Seal(_)));
        (seals && self.open > 0).then_some(statement.sequence)
    }

    /// The next line. `listed` are all hashes under it, if it is a seal of which not all receipts are here.
    ///
    /// # Errors
    /// A seal over other receipts or that nobody signed, or receipts that wait for too long.
    pub(super) fn push(&mut self, item: Item, listed: Option<Vec<Digest>>) -> Result<(), &'static str> {
        let wrong = "receipt.seal";
        if matches!(item.proof, Proof::Sealed(_)) {
            self.open += 1;
        }
        if self.open > 0
            && let Event::Control(Control::Seal(seal)) = item.receipt.statement().event
        {
            let (by, certificate) = (item.receipt.hash(), *item.receipt.certificate());
            if !matches!(item.proof, Proof::Signed(_)) {
                return Err(wrong);
            }
            let under = |other: &Item| seal.covers(other.receipt.statement().sequence);
            let hashes: Vec<ReceiptHash> = match listed {
                Some(listed) => listed.into_iter().map(ReceiptHash::from_digest).collect(),
                None => self
                    .waiting
                    .iter()
                    .filter(|other| under(other))
                    .map(|other| other.receipt.hash())
                    .collect(),
            };
            if !seal.holds(&hashes) {
                return Err(wrong);
            }
            for other in self.waiting.iter_mut().filter(|other| under(other)) {
                let statement = other.receipt.statement();
                let place = usize::try_from(statement.sequence.saturating_sub(seal.first)).ok();
                let listed = place.and_then(|place| hashes.get(place));
                if listed != Some(&other.receipt.hash()) {
                    return Err(wrong);
                }
                // Its own until now, as its line was read.
                if other.proof != Proof::Sealed(other.receipt.hash()) {
                    continue;
                }
                // Another certificate's receipts are another key's to prove, and some receipts are their own seal's.
                if *other.receipt.certificate() != certificate || !statement.event.may_be_sealed() {
                    return Err(wrong);
                }
                other.proof = Proof::Sealed(by);
                self.open = self.open.saturating_sub(1);
            }
        }
        self.waiting.push_back(item);
        if self.waiting.len() > MAX_WAITING { Err(wrong) } else { Ok(()) }
    }

    /// The next receipt that waits for nothing any more.
    pub(super) fn pop(&mut self) -> Option<Item> {
        if self.open > 0 { None } else { self.waiting.pop_front() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Receipts under open seals: groups have at most 256, and at most 1,000 receipts are unsigned at any time.
const MAX_WAITING: usize = 4096;
