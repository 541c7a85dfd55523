//! `make bench`: what a decision, a chain and a receipt cost, each beside a hand-written floor of the same work.
//!
//! `kakunin-benches [decision|macro|chain|gateway|receipts|sealed|durable|verified|log|journal|records|ingest|service|scale]` prints rows of one markdown table and nothing else, `kakunin-benches
//! bare-write` the nanoseconds of a floor that other languages share, `kakunin-benches sample DIR RECEIPTS [sealed]` makes
//! something large to look at, `kakunin-benches peak DIR` verifies its bundle and prints the most memory that took, `kakunin-benches large DIR` makes a large authority, `kakunin-benches scale DIR` prints the rows of that part for it, `kakunin-benches guard DIR URL` is one guard. `scripts/bench.sh` adds the head and the rows of the other languages.

mod agent;
mod attribute;
mod chain;
mod crowd;
mod decision;
mod desk;
mod floor;
mod gateway;
mod harness;
mod ingest;
mod many;
mod office;
mod paper_trail;
mod receipts;
mod records;
mod sample;
mod scale;
mod service;
mod table;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use kakunin_core::journal::Sealing;
use kakunin_core::time::UnixTime;

use crate::agent::BenchAgent;

/// Benches end with the first thing that goes wrong.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The name of a part of the table, and what measures it.
type Row = (&'static str, fn(&BenchAgent) -> Outcome<()>);

fn main() -> Outcome<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let now = UnixTime::from_seconds(i64::try_from(now)?);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, folder, receipts, sealed @ ..] = arguments.as_slice()
        && command == "sample"
    {
        let sealing = if sealed.is_empty() { Sealing::Each } else { Sealing::Groups };
        return sample::make(Path::new(folder), receipts.parse()?, sealing, now).map(drop);
    }
    if let [command, folder] = arguments.as_slice()
        && command == "peak"
    {
        return paper_trail::peak(Path::new(folder));
    }
    if let [command, folder] = arguments.as_slice()
        && command == "large"
    {
        return scale::large(Path::new(folder), now);
    }
    if let [command, folder, url] = arguments.as_slice()
        && command == "guard"
    {
        return scale::guard(Path::new(folder), url);
    }
    let agent = BenchAgent::make(now)?;
    if let [command, folder] = arguments.as_slice()
        && command == "scale"
    {
        return scale::served(&agent, Path::new(folder));
    }
    let rows: [Row; 14] = [
        ("decision", decision::rows),
        ("macro", attribute::rows),
        ("chain", chain::rows),
        ("gateway", gateway::rows),
        ("receipts", receipts::rows),
        ("sealed", paper_trail::sealed),
        ("durable", paper_trail::durable),
        ("verified", paper_trail::verified),
        ("log", paper_trail::long_log),
        ("journal", paper_trail::long_journal),
        ("records", records::rows),
        ("ingest", ingest::rows),
        ("service", service::rows),
        ("scale", scale::rows),
    ];
    let wanted = arguments.first().cloned();
    if wanted.as_deref() == Some("bare-write") {
        return receipts::bare_write(&agent);
    }
    if let Some(wanted) = wanted.as_ref().filter(|wanted| rows.iter().all(|(name, _)| name != wanted)) {
        return Err(format!("there is no part `{wanted}`").into());
    }
    for (name, rows) in rows {
        if wanted.as_ref().is_none_or(|wanted| wanted == name) {
            rows(&agent)?;
        }
    }
    Ok(())
}
