//! Kakunin's core: an agent's identity, its leash and its paper trail, with no network and no runtime.
//!
//! Bytes come in at the bottom and become, room by room, a type that proves more than the one before. The rooms
//! are listed from the lowest floor to the highest; each imports only from rooms above its own line.

pub mod time;
mod base64;
pub mod digest;
mod json;
pub mod id;
mod file;
pub mod modes;
mod frame;
pub mod tree;
pub mod money;
pub mod written;
pub mod environment;
pub mod reason;
pub mod key;
pub mod scope;
pub mod revocation;
pub mod certificate;
pub mod feed;
pub mod request;
pub mod selector;
pub mod decision;
pub mod leash;
pub mod receipt;
pub mod chain;
pub mod possession;
pub mod genesis;
pub mod succession;
pub mod level;
pub mod home;
pub mod risk;
pub mod journal;
pub mod log;
pub mod verify;
pub mod bundle;
pub mod report;
pub mod gate;
pub mod suggest;
pub mod snapshot;
pub mod guard;

/// An unsafe function stays one, and what is written for it is no warning in its crate.
///
/// ```
/// #![deny(warnings)]
/// use kakunin_core::guard::Denied;
/// use kakunin_core::verify_agent_scope;
///
/// /// # Safety
/// /// `at` points to an octet.
/// #[verify_agent_scope("read:memory")]
/// pub unsafe fn peek(at: *const u8) -> Result<u8, Box<Denied>> {
///     Ok(unsafe { *at })
/// }
///
/// // No agent is set, so its body does not run.
/// assert!(unsafe { peek(std::ptr::null()) }.is_err());
/// ```
#[cfg(feature = "macros")]
pub use kakunin_macros::verify_agent_scope;
