//! Kakunin's certificate authority as a library: it names agents, signs their certificates and says how they stand.
//!
//! A [`Home`] is a directory, an [`Authority`] is that directory locked and able to sign. Every change goes the
//! same way: recorded in the store, signed, written to `public/` by rename, and only then answered. Nothing here
//! listens on a network or reads a clock: the caller says what time it is.

pub mod agent;
pub mod authority;
pub mod directory;
pub mod files;
pub mod home;
pub mod issue;
pub mod list;
pub mod profile;
pub mod publish;
pub mod signer;
pub mod standing;
pub mod store;

pub use agent::{AgentName, Who};
pub use authority::{Authority, AuthorityError};
pub use home::Home;
