//! The authority as a service: the real binary, asked over a socket.

mod access;
mod doors;
mod hosted;
mod ingest;
mod office;
mod orders;
mod papers;
mod proofs;
mod public;
mod remote;
mod robot;
mod web;
