//! The binary, run as people and programs run it.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod agents;
mod archive;
mod behaviour;
mod bundles;
mod decisions;
mod desk;
mod deeds;
mod erasures;
mod evidence;
mod gate;
mod incident;
mod logs;
mod losses;
mod manners;
mod newcomers;
mod progress;
mod receipts;
#[cfg(feature = "serve")]
mod service;
mod suggested;
mod tenants;
mod verdicts;
