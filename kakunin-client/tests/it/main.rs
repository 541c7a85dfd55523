//! The client from outside: an authority in memory, served by a script that lies as told, and a guard that decides.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests stop at the first surprise")]

mod acks;
mod clocks;
mod connecting;
mod desk;
mod enrolling;
mod feed;
mod forks;
mod gossip;
mod hostile;
mod middleware;
mod office;
mod service;
mod uploading;
