//! The side that is asked: who is calling, proven, and what its certificate lets it do here.
//!
//! A service that demands proof is an agent too: it has a directory and a [`Guard`](kakunin_core::guard::Guard) of its own, and
//! callers are judged by the lists and the feed that this guard accepted. A request goes one way:
//!
//! ```text
//! Head --Gateway::prove_head--> ProvenHead, and the body --identify--> Caller --admit--> Pass --begin--> the handler runs
//!   '------ Refused (401, 403, 503) -----------'-- (401, 413, 503) -----'-- Refused (403, 503): the handler does not run
//! ```
//!
//! It knows no HTTP library: whoever has a request hands over its head as it was sent and then its whole body, or both at once
//! ([`Gateway::identify`]). The feature `tower`
//! has a layer for axum and whatever else is made of tower services. What it demands, refuses and does not know is in
//! `docs/gateway.md`.
//!
//! ```no_run
//! use kakunin_core::guard::{Guard, GuardOptions};
//! use kakunin_core::home::AgentHome;
//! use kakunin_core::request::ActionRequest;
//! use kakunin_gateway::{Gateway, GatewayOptions, Head};
//!
//! # fn answer(fields: &[(&str, &[u8])], body: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! let home = AgentHome::open("/var/lib/kakunin/shop".as_ref(), None)?;
//! let guard = Guard::open(home, GuardOptions::default())?;
//! let gateway = Gateway::open(guard, GatewayOptions::named(["shop.example.com"]))?;
//!
//! let head = Head::new("POST", "/orders").fields(fields);
//! let caller = gateway.identify(&head, body)?;
//! let pass = caller.admit(&ActionRequest::new("orders:create").amount("12.50", "EUR"))?;
//! let running = pass.begin()?;
//! // The order is taken here.
//! running.returned();
//! # Ok(())
//! # }
//! ```

mod caller;
mod folder;
mod forwarded;
mod gateway;
mod head;
pub mod json;
mod known;
mod names;
mod networks;
mod nonces;
mod options;
mod proven_head;
mod refused;
mod serials;
mod share;
#[cfg(feature = "tower")]
pub mod tower;

pub use caller::Caller;
pub use folder::FolderNonces;
pub use gateway::{Counts, Gateway};
pub use head::{Head, Peer};
pub use kakunin_core::guard::ProofOfPossession;
pub use networks::{Network, NetworkError};
pub use nonces::{KEPT_SECONDS, MemoryNonces, NonceError, NonceStore};
pub use options::{GatewayOptions, OpenError, ProxyField};
pub use proven_head::ProvenHead;
pub use refused::Refused;
