//! Receipts in a log beside those that are shown: whoever has the log finds them there.
//!
//! What somebody else wrote into the log in an agent's name is nobody's word, and so is a receipt without a signature of
//! its own. If it belongs to a second history, the seal above it is signed: that one lies where the shown history has
//! another receipt, or none.
//!
//! A second receipt by a key of the stream is a second history. One by another key of the agent need not be the agent's: a
//! key that was stolen and replaced writes on. So it takes nothing from what is shown, and is told.

use std::sync::Arc;

use super::papers::Signatory;
use crate::receipt::{ReceiptHash, UnverifiedReceipt};

/// The keys that a stream, or an agent, signs with.
#[derive(Default)]
pub(super) struct Rivals {
    signatories: Vec<Arc<Signatory>>,
}

impl From<Vec<Arc<Signatory>>> for Rivals {
    fn from(signatories: Vec<Arc<Signatory>>) -> Self {
        Self { signatories }
    }
}

impl Rivals {
    /// The stream has a receipt of `signatory`.
    pub(super) fn knows(&mut self, signatory: &Arc<Signatory>) {
        // Nearly always it is the one of the receipt before.
        if !self.signatories.iter().rev().any(|known| Arc::ptr_eq(known, signatory)) {
            self.signatories.push(Arc::clone(signatory));
        }
    }

    /// The receipt that `entry` is, if it is another than the `shown` one and one of the keys signed it, under whichever
    /// certificate. A second signature of the same receipt is no second receipt.
    pub(super) fn signed(&self, entry: &[u8], shown: Option<ReceiptHash>) -> Option<UnverifiedReceipt> {
        let (other, signature) = UnverifiedReceipt::from_jws(std::str::from_utf8(entry).ok()?).ok()?;
        if shown == Some(other.hash()) {
            return None;
        }
        let signs = |signatory: &Arc<Signatory>| {
            // Whose name it bears costs nothing to see.
            let named = signatory.path().agent().agent() == other.statement().agent;
            named && other.clone().verify(other.certificate(), signatory.key(), &signature).is_ok()
        };
        self.signatories.iter().any(signs).then_some(other)
    }
}
