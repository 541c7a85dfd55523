//! Watching: what agents do is held against what they used to do, and whoever drifts too far is stopped.
//!
//! [`look()`] takes the receipts of a tenant that nobody looked at yet, and what was handed in beside them, and gives a
//! [`Step`]: what changed, to be kept in one transaction with how far it looked. It only reads, so it happens beside the
//! sequencer. [`Watched`] is one agent under way: its record, its monitor (`kakunin_core::risk`), its events. What has
//! happened is then settled ([`crate::Authority::settle_risk`]): recorded in the audit log, ordered like an operator's
//! order if the level calls for one, and signed.
//!
//! Only receipts whose signatures were proved lead to a revocation. What somebody with a key declares, what is found in
//! texts and what is missing may suspend at most.

mod baseline;
mod cache;
mod gaps;
mod keys;
mod look;
mod receipt;
mod rounds;
mod settle;
mod standings;
mod step;
mod watched;

pub use baseline::{BaselineRefusal, BeforeRelease, Span, history, rebaseline, released};
pub use cache::Cache;
#[cfg(feature = "http")]
pub(crate) use keys::Keys;
pub use look::{Looked, Terms, look};
pub use receipt::RISK_RECEIPT;
pub use rounds::{Heard, rounds};
pub use step::Step;
pub use watched::{Watched, set_policy};
