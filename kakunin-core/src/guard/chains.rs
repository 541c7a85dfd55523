//! Decision chains as a guard begins and joins them; the calls of one go through [`Guard::admit_in`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};

use super::open::{Guard, Inner, View};
use crate::decision::DenialReason;
use crate::id::ChainId;
use crate::receipt::{MAX_PARENTS, ReceiptHash};

impl Guard {
    /// The id of a new chain, for whatever begins an incident; `None` when the system gives no randomness.
    #[must_use]
    pub fn new_chain() -> Option<ChainId> {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(ChainId::from_bytes(bytes))
    }

    /// Records that receipts come together in `chain` and gives the receipt to follow from: for a call that waited for
    /// several others. More than a receipt can name take several joins, each naming the one before.
    ///
    /// # Errors
    /// The reason why nothing could be recorded; [`DenialReason::Internal`] for no parents.
    pub fn join(&self, chain: ChainId, parents: &[ReceiptHash]) -> Result<ReceiptHash, DenialReason> {
        let joined = catch_unwind(AssertUnwindSafe(|| self.0.join(chain, parents)));
        joined.unwrap_or(Err(DenialReason::Internal))
    }
}

impl Inner {
    fn join(self: &Arc<Self>, chain: ChainId, parents: &[ReceiptHash]) -> Result<ReceiptHash, DenialReason> {
        if self.current.load().runtime.is_none() {
            self.prepare();
        }
        let current = self.current.load();
        let runtime = current.runtime.as_ref().ok_or(match &current.view {
            View::Ready(_) => DenialReason::JournalUnavailable,
            View::Refused(refusal) => refusal.reason(),
        })?;
        let write = |parents: &[ReceiptHash]| {
            let stamp = self.times.stamp(self.clock.wall(), self.clock.mono_nanos());
            runtime.journal.join(chain, parents, stamp)
        };
        let (first, rest) = parents.split_at(parents.len().min(MAX_PARENTS));
        let mut joined = write(first)?;
        for more in rest.chunks(MAX_PARENTS - 1) {
            joined = write(&[&[joined], more].concat())?;
        }
        Ok(joined)
    }
}
