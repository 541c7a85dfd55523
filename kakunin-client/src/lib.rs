//! An agent's line to its authority: the only part of Kakunin that speaks to a network on an agent's behalf.
//!
//! [`Client::connect`] keeps an agent's directory (its papers, its lists) and hands what the authority's feed says to the guard
//! in this process, within a second of a revocation. No decision waits for it: the guard decides by what it knows, for as long
//! as that is good, and denies `revocation.stale` afterwards. Nothing that comes over the network is believed because of where it
//! came from; all of it is signed, and verified before it counts.
//!
//! ```no_run
//! use kakunin_client::{Client, ConnectOptions};
//!
//! let client = Client::connect(ConnectOptions::new("billing").or_environment()?)?;
//! let guard = client.guard()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything runs on one thread of its own with a runtime of its own, so a host needs none. `docs/client.md` has the codes and
//! the numbers.

mod acks;
mod alarm;
#[cfg(feature = "middleware")]
mod asking;
mod body;
mod checkpoints;
mod client;
mod connect;
mod enrol;
mod evidence;
mod files;
mod floor;
mod gossip;
mod follow;
mod install;
#[cfg(feature = "middleware")]
pub mod middleware;
mod papers;
mod moving;
mod place;
mod proof;
mod renewal;
mod scope_change;
mod settings;
mod spool;
mod sse;
mod status;
mod transport;
mod upload;
#[cfg(test)]
mod tested;
mod wait;
mod worker;

pub use alarm::{Alarm, AlarmFn, AlarmKind};
pub use client::Client;
pub use connect::{ConnectError, ConnectOptions};
pub use enrol::Token;
pub use files::FileError;
pub use place::PlaceError;
pub use status::{Status, Transport, Trouble};
pub use transport::{AddressError, TlsError};
