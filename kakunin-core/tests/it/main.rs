//! The core's public rooms, seen from outside: one binary, a module for each room.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod scope;
