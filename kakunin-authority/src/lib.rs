//! Kakunin's certificate authority as a library: it names agents, signs their certificates and says how they stand.
//!
//! A [`Home`] is a directory, an [`Authority`] is that directory locked and able to sign. Every change goes the
//! same way: recorded in the store, signed, written to `public/` by rename, and only then answered. Nothing here but
//! the room `http` listens on a network, and nothing reads a clock: the caller says what time it is.

pub mod access;
pub mod agent;
#[cfg(feature = "home")]
pub mod api_key;
#[cfg(feature = "home")]
pub mod archive;
#[cfg(feature = "home")]
pub mod audit_export;
#[cfg(feature = "home")]
pub mod authority;
#[cfg(feature = "home")]
pub mod checkpoint;
#[cfg(feature = "home")]
pub mod deed;
#[cfg(feature = "home")]
pub mod delta;
#[cfg(feature = "home")]
pub mod directory;
#[cfg(feature = "home")]
mod enrol;
#[cfg(feature = "home")]
pub mod evidence;
#[cfg(feature = "home")]
mod failure;
pub mod feed;
#[cfg(feature = "home")]
mod feeding;
#[cfg(feature = "home")]
pub mod files;
#[cfg(feature = "home")]
mod founding;
#[cfg(feature = "home")]
pub mod freeze;
#[cfg(feature = "home")]
pub mod grant;
#[cfg(feature = "home")]
mod grouping;
#[cfg(feature = "home")]
pub mod home;
pub mod hook;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "home")]
pub mod ingest;
#[cfg(feature = "home")]
pub mod issue;
#[cfg(feature = "home")]
mod keys;
pub mod list;
#[cfg(feature = "home")]
mod loss;
#[cfg(feature = "home")]
mod marks;
#[cfg(feature = "home")]
mod listed;
#[cfg(feature = "home")]
pub mod log;
pub mod memory;
#[cfg(feature = "home")]
pub mod papers;
pub mod profile;
#[cfg(feature = "home")]
pub mod publish;
#[cfg(feature = "home")]
pub mod signer;
pub mod standing;
#[cfg(feature = "home")]
pub mod store;
#[cfg(feature = "home")]
pub mod sweep;
#[cfg(feature = "home")]
mod tenants;
#[cfg(feature = "home")]
mod term;
#[cfg(feature = "home")]
pub mod token;
#[cfg(feature = "home")]
pub mod watch;
#[cfg(feature = "home")]
pub mod witness;

pub use agent::{AgentName, Who};
#[cfg(feature = "home")]
pub use authority::{Authority, AuthorityError};
#[cfg(feature = "home")]
pub use home::Home;
#[cfg(feature = "home")]
pub use loss::Accepted;
pub use memory::MemoryAuthority;
