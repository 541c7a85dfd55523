//! The authority as a service: the real binary, asked over a socket.

mod access;
mod acks;
mod behaviour;
mod checkpoints;
mod enrolment;
mod exports;
mod doors;
mod faults;
mod freezes;
mod gate;
mod handed;
mod feed;
mod declared;
mod hosted;
mod hostile;
mod ingest;
mod listener;
mod networks;
mod losses;
#[cfg(feature = "postgres")]
mod nodes;
mod office;
mod orders;
mod papers;
mod pipelines;
mod proofs;
mod public;
mod receiver;
mod remote;
mod repeats;
mod reports;
#[cfg(feature = "postgres")]
mod restarts;
mod robot;
#[cfg(feature = "postgres")]
mod rollbacks;
mod tenants;
mod starts;
mod streams;
mod strings;
mod sweeps;
mod tiles;
mod web;
mod unread;
mod webhooks;
