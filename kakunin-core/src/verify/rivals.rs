//! Other receipts of a stream than those that are shown: whoever has a log finds them there, signed by the stream's own keys.
//!
//! What somebody else wrote into the log under a stream's name is nobody's word, and so is a receipt without a signature of
//! its own. If it belongs to a second history, the seal above it is signed: that one lies where the shown history has
//! another receipt, or none.

use std::sync::Arc;

use super::papers::Signatory;
use crate::receipt::{ReceiptHash, UnverifiedReceipt};

/// The keys that a stream is signed with.
#[derive(Default)]
pub(super) struct Rivals {
    signatories: Vec<Arc<Signatory>>,
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
            other.clone().verify(other.certificate(), signatory.key(), &signature).is_ok()
        };
        self.signatories.iter().any(signs).then_some(other)
    }
}
