//! The gateway from outside: one binary, a module for each question.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests stop at the first surprise")]

mod closed;
mod folder;
mod identify;
mod names;
mod peers;
mod probes;
mod standing;
mod tower;
mod wire;
mod trail;
mod unread;
mod world;
