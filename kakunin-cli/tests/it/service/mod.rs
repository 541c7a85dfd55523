//! The authority as a service: the real binary, asked over a socket.

mod office;
mod public;
mod web;
