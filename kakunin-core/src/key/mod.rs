//! Keys and signatures: what can be checked, and what can sign without showing its key.
//!
//! `public` verifies, `signer` is the seam every key store stands behind, `soft` is the key in a file.

mod public;
mod signer;
mod soft;

pub use public::{Algorithm, InvalidSignature, KeyError, PublicKey, Signature};
pub use signer::{KeyProvider, SignError, SignInput, Signer};
pub use soft::SoftKey;
