//! What may happen to a service that is in use, and what everyone who was answered may still believe then.

mod crowds;
mod disk;
#[cfg(feature = "postgres")]
mod guards;
mod kills;
mod requests;
mod told;
