//! Where the authority's own keys live.
//!
//! `file` keeps them encrypted beside the store, `passphrase` finds what opens them. Hardware and cloud stores
//! join here as further providers behind the core's `Signer`.

mod file;
mod passphrase;
mod sealing;

pub use file::{KeyFileError, create, open, plain_pem};
pub use passphrase::{Passphrase, PassphraseError, PassphraseSources};
pub use sealing::{SealError, SealingKey};
