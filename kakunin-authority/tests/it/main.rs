//! The authority seen from outside: one binary, a module for each promise.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests stop at the first surprise")]

mod archive;
mod archive_hostile;
mod behaviour;
mod crash;
mod deltas;
mod enrolling;
mod feed;
mod feeding;
mod issuing;
mod long_lists;
mod office;
mod passphrases;
mod standard_tools;
mod standing;
mod store;
mod tenants;
mod watching;
