//! `make bench`: what a decision, a chain and a receipt cost, each beside a hand-written floor of the same work.
//!
//! Prints rows of one markdown table and nothing else; `scripts/bench.sh` adds its head and the rows from Python.

mod agent;
mod chain;
mod decision;
mod floor;
mod harness;
mod receipts;
mod table;

use std::time::{SystemTime, UNIX_EPOCH};

use kakunin_core::time::UnixTime;

use crate::agent::BenchAgent;

/// Benches end with the first thing that goes wrong.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let agent = BenchAgent::make(UnixTime::from_seconds(i64::try_from(now)?))?;
    decision::rows(&agent)?;
    chain::rows(&agent)?;
    receipts::rows(&agent)
}
