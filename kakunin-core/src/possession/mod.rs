//! Proof that whoever sends a request has the key of an agent's certificate: HTTP Message Signatures (RFC 9421).
//!
//! ```text
//! request --Prover::prove--> four fields
//! four fields --Presented::find--> Presented --verify--> SignedHead --covers--> SignedRequest --Nonces::admit--> Possession
//! ```
//!
//! `base` is what is signed, `prove` writes the fields, `present` reads and checks them, `nonces` remembers what was used. One form
//! is written and that one form is read: the method, authority, path, query, content and certificates of each request, and
//! the link of its decision chain if it has one, in this order. It knows no HTTP library, reads no clock and asks nobody for standing; whoever verifies does.

mod base;
mod nonces;
mod present;
mod prove;
#[cfg(test)]
mod rfc9421;

pub use base::Target;
pub use nonces::{Nonces, Possession};
pub use present::{PossessionError, Presented, SentCertificates, SentChain, SignedHead, SignedRequest};
pub use prove::{Proof, ProveError, Prover};
