//! The binary, run as people and programs run it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests stop at the first surprise")]

mod agents;
mod decisions;
mod desk;
mod manners;
