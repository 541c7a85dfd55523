//! The bundle: one file with everything a stranger needs to check an incident, offline and for ever.
//!
//! `export` collects receipts from journals, with the certificates, lists, disclosures and log proofs that belong to
//! them, and writes one canonical ZIP; [`Bundle`] reads it and refuses every other octet. What the receipts are worth is
//! the verifier's to say, by the caller's roots and keys: nothing in a bundle is believed because it is there.
//!
//! ```text
//! manifest.json              what is in here: digests, chain, streams, logs
//! receipts.jws               one log entry a line, ascending by stream and number
//! certs.pem                  certificates; a root among them is not trusted
//! crls/<TBS SHA-256>.crl     revocation lists that receipts name, the newest of each issuer, and those that revoke
//! disclosures.jsonl          values behind the commitments, by line of receipts.jws
//! erased                     commitments of each erasure, if there was one
//! feed                       changes of feeds, one item a line, if there was one
//! logs/<k>/checkpoints       signed notes with their cosignatures, ascending
//! logs/<k>/consistency       from each checkpoint to the next
//! logs/<k>/proofs            line, place in the log, path to the last checkpoint
//! seals                      hashes under each seal, where not all of them are here
//! totals                     how far the chain goes in each stream, with the path to its closing receipt
//! VERIFY.md                  how to check it with tools of others
//! ```

mod around;
mod export;
mod form;
mod lines;
mod manifest;
mod papers;
mod part;
mod read;
mod seals;
mod selection;
mod zip;

pub use export::{ExportError, Exported, export, export_watched};
pub use read::{Bundle, BundleError};
