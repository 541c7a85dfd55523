//! The core's public rooms, seen from outside: one binary, a module for each room.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "tests stop at the first surprise"
)]

mod allocation;
mod anchors;
mod arbitrary;
mod attribute;
mod attribute_forms;
mod attribute_probes;
mod authority;
mod behaviour;
mod bundle;
mod callers;
mod bundle_faults;
mod bundle_revoked;
mod bundle_time;
mod called;
mod certificate;
mod chains;
mod crossed;
mod clocks;
mod erasure;
mod delta;
mod fed;
mod feed;
mod floors;
mod following;
mod guard;
mod guard_feed;
mod house;
mod issuers;
mod journal;
mod forgery;
mod leash;
mod levels;
mod log;
mod log_oracles;
mod loose;
mod namesakes;
mod octets;
mod page;
mod possession;
mod proving;
mod reference;
mod renewing;
mod revocation;
mod risk;
mod scope;
mod swapped;
mod segments;

mod tokens;
mod trail;
mod unsigned;
mod unshown;
mod vectors;
mod verifier;
