//! Kakunin for Node: conversions around the guard.
//!
//! Plain values come in and become a request; the guard's answer goes out as a number, and what stands behind it as a plain
//! object. What is allowed is decided in the core and nowhere here. The manners of the language (wrappers, context, classes
//! of errors) are JavaScript, in `lib/`.
//!
//! Everything is a free function on numeric handles: methods of classes cost five times as much as the decision.

mod agent;
#[cfg(feature = "null-journal")]
mod bench;
mod chain;
#[cfg(feature = "connect")]
mod connect;
mod denial;
mod gateway;
mod host;
mod plan;
mod request;
mod risk;
mod room;
mod running;
mod testing;
