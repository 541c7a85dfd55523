//! The core's public rooms, seen from outside: one binary, a module for each room.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod floors;
mod scope;
