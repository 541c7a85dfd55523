//! The routes, a file for each thing they are about.

pub(crate) mod ca;
pub(crate) mod crl;
pub(crate) mod health;
