//! Receipts: what is stated about one decision, one outcome, or the stream itself, and how it is signed.
//!
//! `record` says what a receipt states, in the terms of `facts` and `control`; `payload` and `json` are the one spelling
//! of it, `jws` signs and checks the bytes as written (WIRE 4), `disclosure` keeps the values that are only committed to.
//! Nothing here writes a file.

mod control;
mod disclosure;
mod facts;
mod hash;

mod jws;
mod payload;
mod record;

pub(crate) use disclosure::{Member, SALT_LENGTH, write_disclosure};
pub(crate) use jws::{header_prefix, sealed_entry, to_jws};
pub(crate) use payload::{Parents, Payload};
pub(crate) use record::{CLOSE, CONTROL, DECISION, OPEN, OUTCOME};

pub use control::{Control, ErasureReason, Seal, Totals};
pub use disclosure::{Disclosure, DisclosureError};
pub use facts::{Anchor, Caller, ListUse, Mode, Outcome, Output, ProofOfPossession, Stamp};
pub use hash::ReceiptHash;
pub use jws::{Receipt, ReceiptError, UnverifiedReceipt};
pub use payload::MAX_PARENTS;
pub use record::{Answer, Event, Statement, StatementError};
