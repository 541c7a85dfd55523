//! The routes, a file for each thing they are about.

pub(crate) mod acks;
pub(crate) mod agents;
pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod ca;
pub(crate) mod certify;
pub(crate) mod chains;
pub(crate) mod checkpoints;
pub(crate) mod crl;
pub(crate) mod elsewhere;
pub(crate) mod enrol;
pub(crate) mod events;
pub(crate) mod feed;
pub(crate) mod feed_numbers;
pub(crate) mod forensics;
pub(crate) mod freeze;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod logs;
pub(crate) mod receipts;
pub(crate) mod risk;
pub(crate) mod sign;
pub(crate) mod standing;
pub(crate) mod tenants;
pub(crate) mod verify;
pub(crate) mod webhooks;
