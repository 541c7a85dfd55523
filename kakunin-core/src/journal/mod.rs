//! The journal: one append-only stream of signed receipts for each opening of an agent.
//!
//! Takes in decisions and outcomes, gives out their names (hashes) once the bytes are with the kernel, so that a
//! killed process loses none it acknowledged (WIRE 4, level `write`). Signatures follow from a thread of its own.
//! Streams that a killed process left behind are closed by the next one; found receipts are never signed.
//!
//! On disk (WIRE 8): `STATE/journal/<stream>/NNNN.seg` with a `lock` beside, and `STATE/journal/archive/` with every
//! certificate and list that was used, by hash, so that a journal verifies by itself.

mod announce;
mod archive;
mod callers;
mod erase;
#[cfg(test)]
mod erase_faults;
mod erasing;
mod erasures;
#[cfg(test)]
mod faults;
mod group;
mod handle;
mod pen;
mod read;
mod recover;
mod restore;
mod salts;
mod scan;
mod search;
mod segment;
mod signing;
mod sink;
mod writer;

pub(crate) use archive::erased_root;
pub(crate) use pen::genesis;

pub use archive::{Archive, ArchiveError};
pub use erase::{EraseError, Erased, Finish, erase, finish_erasure};
pub use erasing::is_erasing;
pub use erasures::Erasures;
pub use handle::{
    CallerUse, DecisionEntry, Health, Identity, Journal, JournalError, JournalOptions, Recorded,
};
pub use read::{Entry, Proof, ReadError, StreamReader, find, locate};
pub use recover::{RecoverError, Recovery, recover};
pub use restore::{RestoreError, Restoring};
pub use search::{Survey, Unsearched, Which, survey};
pub use signing::Sealing;
