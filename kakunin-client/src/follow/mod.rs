//! Following the feed: from an address to a follower that guards can decide by.
//!
//! One address is asked at a time, the next one when it fails. Streams first; where something on the way holds them back,
//! questions that wait, then plain questions. Everything that comes is the follower's to judge: what it refuses ends the
//! connection, and what it knew before goes on counting for as long as it was good for. Lists come first and again when changes are
//! missing: verified, written, and only then is a follower published that stands on them.

mod connection;
mod delta;
mod events;
mod lists;
mod refuse;
mod run;

pub(crate) use events::hear;
pub(crate) use run::Follow;
