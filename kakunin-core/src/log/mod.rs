//! The transparency log: an owner's receipts in one append-only tree, its head signed by the owner and seen by others.
//!
//! Takes in entries, gives out a signed checkpoint and proofs: that an entry is in the log, that a later log continues an
//! earlier one, that witnesses saw it and when. Formats are those of C2SP (tlog-tiles, signed-note, tlog-checkpoint,
//! tlog-cosignature, tlog-proof, tlog-policy), so others' tools read our logs and ours theirs. An agent never holds the
//! key of a log. Nothing here asks what time it is.

mod checkpoint;
mod copy;
mod cosign;
mod disk;
mod edge;
mod error;
#[cfg(test)]
mod faults;
mod note;
mod policy;
mod proof;
mod reader;
mod runs;
mod tile;
mod vkey;
mod witness;
mod writer;

pub use checkpoint::{Checkpoint, LogKey, OpenedCheckpoint};
pub use copy::LogFile;
pub use cosign::WitnessKey;
pub use error::LogError;
pub use note::{NoteError, NoteSignature, SignedNote};
pub use policy::{PolicyError, WitnessPolicy};
pub use proof::{ProofError, TlogProof};
pub use reader::{LogReader, Reads};
pub use vkey::{KeyKind, VerifierKey, VerifierKeyError};
pub use witness::{Refusal, Witness, WitnessError, keep_witnessed};
pub use writer::Log;
