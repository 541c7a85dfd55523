//! Something large to look at: an agent's journal with as many receipts as are asked for, a log that holds them, a bundle.
//!
//! ```text
//! DIR/agent            the agent, its journal in state/
//! DIR/log, log.key     the log and the key it is believed by
//! DIR/ca.pem           the root
//! DIR/incident.zip     everything, exported
//! ```

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use kakunin_core::bundle::export;
use kakunin_core::decision::{Decision, DenialReason};
use kakunin_core::journal::{DecisionEntry, Journal, JournalOptions, Sealing, StreamReader, locate};
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::log::{Log, LogKey, LogReader};
use kakunin_core::receipt::{ListUse, Mode, Outcome as Ended};
use kakunin_core::snapshot::Snapshot;
use kakunin_core::time::UnixTime;

use crate::Outcome;
use crate::agent::BenchAgent;
use crate::receipts::{REQUEST, identity, stamp};

/// Makes `receipts` of them in `folder`: an opening, decisions with their outcomes, a closing. Gives the octets of all log
/// entries.
pub(crate) fn make(folder: &Path, receipts: u64, sealing: Sealing, now: UnixTime) -> Outcome<u64> {
    fs::create_dir_all(folder)?;
    let agent = BenchAgent::make_in(folder, now)?;
    fs::copy(folder.join("home/public/ca.pem"), folder.join("ca.pem"))?;
    act(&agent, receipts, sealing)?;
    let octets = log(&agent, folder)?;
    let key = LogReader::key_beside(&folder.join("log"))?;
    fs::write(folder.join("log.key"), key.to_string())?;
    let mut logs = [LogReader::open(&folder.join("log"), &key)?];
    export(&[agent.home.dir()], &mut logs, None, &folder.join("incident.zip"))?;
    Ok(octets)
}

/// The agent pays again and again.
pub(crate) fn act(agent: &BenchAgent, receipts: u64, sealing: Sealing) -> Outcome<()> {
    let snapshot = Snapshot::build(&agent.papers, &agent.lists, agent.now)?;
    let identity = identity(agent)?;
    let place = agent.home.dir().join("state").join("journal");
    let options = JournalOptions { sealing: Some(sealing), ..JournalOptions::default() };
    let journal = Journal::open_with(&place, identity, stamp(), options)?;
    let lists = snapshot.agent().lists();
    for list in [lists.issuing(), lists.root()] {
        journal.archive_list(list.der(), &list.digest())?;
    }
    let decision = snapshot.decide(&REQUEST, agent.now.to_millis());
    if !matches!(decision, Decision::Allow(_)) {
        return Err("the request is not allowed".into());
    }
    let list = ListUse::of(lists.issuing());
    for _ in 0..receipts.saturating_sub(2) / 2 {
        let entry = DecisionEntry {
            caller: None,
            decision: &decision,
            request: &REQUEST,
            list: Some(list),
            mode: Mode::Enforce,
            chain: None,
            parents: &[],
            trace: None,
            stamp: stamp(),
        };
        let recorded = loop {
            match journal.decision(&entry) {
                Ok(recorded) => break recorded,
                // The signer is behind, on a machine that has other things to do.
                Err(DenialReason::JournalUnsignedBacklog) => sleep(Duration::from_millis(1)),
                Err(reason) => return Err(reason.code().into()),
            }
        };
        journal.outcome(recorded, Ended::Returned, None, stamp()).map_err(|reason| reason.code())?;
    }
    Ok(journal.close(stamp())?)
}

/// Puts every receipt into a log; gives the octets of all entries.
fn log(agent: &BenchAgent, folder: &Path) -> Outcome<u64> {
    let (key, _) = SoftKey::generate(Algorithm::Ed25519)?;
    let key = LogKey::new("bench.example/log", Signer::soft(key))?;
    let mut log = Log::create(&folder.join("log"), key)?;
    let journal = locate(agent.home.dir()).ok_or("there is no journal")?;
    let (mut octets, mut batch) = (0, Vec::new());
    for stream in StreamReader::streams(&journal)? {
        for entry in stream {
            let entry = entry?.to_log_entry().ok_or("a receipt without a proof")?;
            octets += entry.len() as u64;
            batch.push(entry);
            if batch.len() == BATCH {
                log.append(&std::mem::take(&mut batch))?;
            }
        }
    }
    log.append(&batch)?;
    Ok(octets)
}

/// Entries that are appended at once.
const BATCH: usize = 16_384;
