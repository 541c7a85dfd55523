//! Carrying the feed: what the sequencer kept goes to every stream at once, and none of them waits for another.
//!
//! `hub` has the newest changes of each issuing authority in memory, as many as a client may be behind, and the streams that
//! are open. `stream` is the body of an answer: what the client lacks, then what comes. Whatever is signed was kept in
//! the store before it is here.

mod acks;
mod frame;
mod hub;
mod stream;

pub(crate) use acks::{Acks, Lag, Propagation};
pub(crate) use hub::{Hub, unknown};
pub(crate) use stream::Kind;
