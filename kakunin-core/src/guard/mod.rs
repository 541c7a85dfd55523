//! The guard: the only room with state and clocks.
//!
//! It holds the current snapshot behind one atomic pointer, what was spent, the journal and a thread that looks after
//! them. [`Guard::admit`] is the call that bindings and macros make before a body runs: it answers with a [`Pass`], which
//! is the only way on, or with a [`Denied`]. Every failure inside is a denial; no panic leaves this room.
//!
//! It does not fetch anything: papers and lists come from a directory or from memory, and whoever renews them writes there.

mod admit;
mod anchor;
pub mod attribute;
mod bell;
mod caller;
mod chains;
mod clock;
mod context;
mod current;
mod denied;
mod ending;
mod feed;
mod keeper;
mod known;
mod ledger;
mod open;
mod place;
mod proof;
mod runtime;
mod source;
mod state;
mod thread;
mod turn;

pub use crate::receipt::ProofOfPossession;
pub use admit::{Pass, Running};
pub use caller::{JudgeError, Judged, Leashed};
pub use clock::{Clock, ManualClock, SystemClock};
pub use current::{
    ActsAs, AgentInUse, current_agent, default_agent, in_agent, use_agent, with_agent, without_agent,
};
pub use denied::Denied;
pub use feed::FeedSource;
pub use open::{Guard, GuardOptions, OpenError, StateChoice};
pub use place::{Place, current_place, in_chain, with_chain};
pub use proof::NotProven;
pub use source::MemorySource;
