//! The verifier: what a stranger may conclude from receipts, offline and from pinned roots.
//!
//! Takes in receipts with what lies beside them (certificates, lists, disclosures, checkpoints of logs), from journal
//! folders or from a bundle; gives out a [`Report`]. Each receipt is checked as written: its place in its stream,
//! certificate and path, signature, the list its decision names, what it says about other receipts, and when it can have
//! been written. Nothing that comes with the receipts is believed: roots, log keys and witnesses are the caller's.
//!
//! Receipts go by in the order of the streams: signatures are checked on all cores while the next receipts are read. Where
//! something depends on later ones, on links between streams or on what a revocation makes of a time, they go by again.
//! Memory holds the certificates, those of a gateway's callers among them, what is open, and not the receipts: for each call without an outcome some 80 octets, for each decision chain
//! 60, for each link to another stream 100, and at most 65,536 names of the receipts that went by last; of a log that is at
//! hand, which is read once from end to end, 64 for each run of receipts of one stream that follow one another.

mod again;
mod called;
mod crew;
mod links;
mod feeds;
mod lists;
mod logs;
mod order;
mod owned;
mod papers;
mod paths;
mod replay;
mod report;
mod rivals;
mod source;
mod stream;
mod time;
mod timeline;
mod values;
mod verification;

pub(crate) use stream::is_beside;

pub use logs::{OpenedLog, SeenCheckpoint};
pub use owned::OwnedAgent;
pub use report::{
    Extent, Invalid, Place, Reason, ReplayCount, Report, Shown, StreamSummary, ValueCount, Verdict,
};
pub(crate) use source::{ChainLength, Item, Logged, Next, ShownLog, Source, Stop, Visitor, show};
pub use source::{LogPlace, Seen};
pub use timeline::{Step, Timeline};
pub use verification::{Verification, Watch, journal};
