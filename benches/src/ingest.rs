//! Receipts that the authority keeps: signed one by one, checked, and on the disk when that is said.
//!
//! Once through the library, with a thread for each core that checks and one that keeps, and once over HTTP to a whole
//! service. Most of it is the check of the signature, so the floor is a bare check for each receipt on all cores. Load of
//! the machine stands beside, since a machine with other things to do has fewer cores.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kakunin_authority::Home;
use kakunin_authority::access::TenantId;
use kakunin_authority::ingest::{KnownCertificate, Upload, records};
use kakunin_authority::store::{Agents as _, Certificates as _, SqliteStore, Store as _};
use kakunin_core::journal::{Sealing, StreamReader, locate};
use kakunin_core::receipt::UnverifiedReceipt;

use crate::agent::BenchAgent;
use crate::desk::Desk;
use crate::{Outcome, sample, table};

pub(crate) fn rows(agent: &BenchAgent) -> Outcome<()> {
    let folder = agent.place("ingest");
    fs::create_dir_all(&folder)?;
    let sender = BenchAgent::make_in(&folder, agent.now)?;
    sample::act(&sender, RECEIPTS, Sealing::Each)?;
    let bodies = bodies(&sender)?;
    let many: usize = bodies.iter().map(|body| body.iter().filter(|octet| **octet == b'\n').count()).sum();
    let home = Home::at(&folder.join("home"));
    let floor = checks(&bodies, &home)?;
    let copy = folder.join("library.sqlite");
    // The records of an authority that nobody has open.
    fs::copy(home.store(), &copy)?;
    show("receipts kept by the library, each signed", library(&bodies, &copy)?, floor, many);
    show("… over HTTP by the service", service(&bodies, &home, agent)?, floor, many);
    Ok(())
}

fn show(what: &str, took: Duration, floor: Duration, many: usize) {
    let rate = |took: Duration| many as f64 / took.as_secs_f64();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    let holds = if rate(took) >= HOLD { "" } else { ", does not hold" };
    table::row(
        what,
        &format!("{:.0} a second, load {load}", rate(took)),
        &format!("bare checks on all cores: {:.0} a second", rate(floor)),
        &format!("{:.2}", took.as_secs_f64() / floor.as_secs_f64()),
        &format!("≥ {HOLD:.0} a second{holds}"),
    );
}

/// The receipts of an agent as bodies of uploads, a little below 1 MiB each.
fn bodies(sender: &BenchAgent) -> Outcome<Vec<Vec<u8>>> {
    let journal = locate(sender.home.dir()).ok_or("there is no journal")?;
    let mut bodies = vec![Vec::new()];
    for stream in StreamReader::streams(&journal)? {
        for entry in stream {
            let line = entry?.to_log_entry().ok_or("a receipt without a proof")?;
            if bodies.last().is_none_or(|body| body.len() + line.len() > 512 * 1024) {
                bodies.push(Vec::new());
            }
            if let Some(body) = bodies.last_mut() {
                body.extend_from_slice(line.as_bytes());
                body.push(b'\n');
            }
        }
    }
    Ok(bodies)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn known(
    store: &SqliteStore,
) -> Outcome<std::collections::HashMap<kakunin_core::digest::Digest, KnownCertificate>> {
    let tenant = TenantId::default();
    let mut known = std::collections::HashMap::new();
    for agent in store.agents(&tenant)? {
        known.extend(store.certificates(&tenant, agent.id)?.iter().filter_map(KnownCertificate::of));
    }
    Ok(known)
}

/// How long the bare checks take, with everything read beforehand.
fn checks(bodies: &[Vec<u8>], home: &Home) -> Outcome<Duration> {
    let store = SqliteStore::reader(&home.store())?;
    let tenant = TenantId::default();
    let agent = store.agents(&tenant)?.into_iter().next().ok_or("no agent")?;
    let der = store
        .certificates(&tenant, agent.id)?
        .into_iter()
        .find_map(|known| known.der)
        .ok_or("no certificate")?;
    let certificate = kakunin_core::certificate::AgentCertificate::decode(&der)?;
    let mut read = Vec::new();
    for line in
        bodies.iter().flat_map(|body| body.split(|octet| *octet == b'\n')).filter(|line| !line.is_empty())
    {
        let (receipt, signature) = UnverifiedReceipt::from_jws(std::str::from_utf8(line)?)?;
        read.push((receipt.signing_input().to_vec(), signature));
    }
    let key = certificate.decoded().key();
    let began = Instant::now();
    let good = thread::scope(|scope| {
        let parts = read.chunks(read.len().div_ceil(cores()));
        let threads: Vec<_> = parts
            .map(|part| {
                scope
                    .spawn(move || part.iter().all(|(input, signature)| key.verify(input, signature).is_ok()))
            })
            .collect();
        threads.into_iter().all(|thread| thread.join().unwrap_or(false))
    });
    if good { Ok(began.elapsed()) } else { Err("a receipt is not signed".into()) }
}

fn library(bodies: &[Vec<u8>], path: &Path) -> Outcome<Duration> {
    let mut store = SqliteStore::open(path)?;
    let known = known(&store)?;
    let next = AtomicUsize::new(0);
    let (give, take) = mpsc::sync_channel(16);
    let began = Instant::now();
    let kept: Result<u64, String> = thread::scope(|scope| {
        for _ in 0..cores() {
            let (give, next, known) = (give.clone(), &next, &known);
            scope.spawn(move || {
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let proved = Upload::read(body).and_then(|upload| {
                        let parts = upload.into_parts(1).into_iter().map(|part| part.prove(known));
                        records(
                            parts.collect::<Result<_, _>>()?,
                            kakunin_core::time::UnixTime::from_seconds(1),
                        )
                    });
                    if give.send(proved).is_err() {
                        return;
                    }
                }
            });
        }
        drop(give);
        let mut kept = 0;
        while let Ok(first) = take.recv() {
            // What waits meanwhile is kept with it.
            let mut group = vec![first];
            group.extend(take.try_iter().take(7));
            let group: Vec<_> =
                group.into_iter().collect::<Result<_, _>>().map_err(|error| error.to_string())?;
            let done = store.batch(&mut |store| {
                for records in &group {
                    kept += store.keep_receipts(records)?;
                }
                Ok(())
            });
            done.map_err(|error| error.to_string())?;
        }
        Ok(kept)
    });
    let took = began.elapsed();
    if kept? < RECEIPTS { Err("not all were kept".into()) } else { Ok(took) }
}

fn service(bodies: &[Vec<u8>], home: &Home, agent: &BenchAgent) -> Outcome<Duration> {
    Desk::open(home, agent.now.plus(60), |desk| {
        let (next, began) = (AtomicUsize::new(0), Instant::now());
        let whole = thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS)
                .map(|_| {
                    scope.spawn(|| {
                        while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                            let kept = desk.ask("POST", "/v1/receipts", body).unwrap_or_default();
                            if !String::from_utf8_lossy(&kept).contains("\"known\":0") {
                                return false;
                            }
                        }
                        true
                    })
                })
                .collect();
            senders.into_iter().all(|sender| sender.join().unwrap_or(false))
        });
        if whole { Ok(began.elapsed()) } else { Err("an upload was refused".into()) }
    })
}

const RECEIPTS: u64 = 40_000;
const SENDERS: usize = 8;
const HOLD: f64 = 20_000.0;
