//! The verifier: what a stranger may conclude from receipts, offline and from pinned roots.
//!
//! Takes in receipts with what lies beside them (certificates, lists, disclosures, checkpoints of logs), from journal
//! folders or from a bundle; gives out a [`Report`]. Each receipt is checked as written: its place in its stream,
//! certificate and path, signature, the list its decision names, what it says about other receipts, and when it can have
//! been written. Nothing that comes with the receipts is believed: roots, log keys and witnesses are the caller's.
//!
//! One pass, in the order of the streams: signatures are checked on all cores while the next receipts are read. Memory
//! holds what is open (calls without outcome, links to other streams, chains), not the receipts.

mod crew;
mod logs;
mod papers;
mod replay;
mod report;
mod source;
mod stream;
mod time;
mod timeline;
mod values;
mod verification;

pub(crate) use stream::is_beside;

pub use logs::{OpenedLog, SeenCheckpoint};
pub use report::{
    Extent, Invalid, Place, Reason, ReplayCount, Report, Shown, StreamSummary, ValueCount, Verdict,
};
pub(crate) use source::{ChainLength, Item, Logged, Next, ShownLog, Source, Stop, Visitor, show};
pub use source::{LogPlace, Seen};
pub use timeline::{Step, Timeline};
pub use verification::{Verification, Watch, journal};
