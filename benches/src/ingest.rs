//! Receipts that the authority keeps: checked, and on the disk when that is said.
//!
//! Once through the library, with a thread for each core that checks and one that keeps, and once over HTTP to a whole
//! service with its senders. Of receipts that are signed one by one most is the check of the signature, so the floor is
//! a bare check for each on all cores, in the same rounds; under seals one signature stands for 256 of them. Time is what
//! is promised and what a machine with other things to do does not hold; processor time says what a quiet one does.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use kakunin_authority::Home;
use kakunin_authority::access::TenantId;
use kakunin_authority::ingest::{KnownCertificate, Upload, records};
use kakunin_authority::store::{Agents as _, Certificates as _, SqliteStore, Store as _};
use kakunin_core::journal::{Entry, Proof, Sealing, StreamReader, locate};
use kakunin_core::receipt::UnverifiedReceipt;
use rustix::time::ClockId;

use crate::agent::BenchAgent;
use crate::desk::Desk;
use crate::harness::{median, nanos_of};
use crate::{Outcome, sample, table};

pub(crate) fn rows(agent: &BenchAgent) -> Outcome<()> {
    let floor = kept(agent, "ingest", Sealing::Each, None)?;
    kept(agent, "ingest-sealed", Sealing::Groups, Some(floor)).map(drop)
}

/// Has receipts kept, and prints it; gives what a bare check took.
fn kept(agent: &BenchAgent, name: &str, sealing: Sealing, floor: Option<Spent>) -> Outcome<Spent> {
    let folder = agent.place(name);
    fs::create_dir_all(&folder)?;
    let sender = BenchAgent::make_in(&folder, agent.now)?;
    sample::act(&sender, RECEIPTS, sealing)?;
    let (bodies, all) = bodies(&sender)?;
    let home = Home::at(&folder.join("home"));
    let copy = folder.join("library.sqlite");
    // The records of an authority that nobody has open.
    fs::copy(home.store(), &copy)?;
    let (mut bare, mut library, mut service, mut kept) = (Vec::new(), Vec::new(), Vec::new(), 0);
    Desk::open(&home, agent.now.plus(60), |desk| {
        let mut store = SqliteStore::open(&copy)?;
        for bodies in bodies.chunks(bodies.len().div_ceil(ROUNDS)) {
            if floor.is_none() {
                bare.push(checks(bodies, &store)?);
            }
            let (spent, new) = by_library(bodies, &mut store)?;
            library.push(spent);
            kept += new;
            service.push(by_service(bodies, desk)?);
        }
        if kept < all { Err("not all were kept".into()) } else { Ok(()) }
    })?;
    let bare = floor.unwrap_or_else(|| Spent::of_rounds(bare));
    let how = match sealing {
        Sealing::Groups => "under seals of 256",
        _ => "each signed",
    };
    show(&format!("receipts kept by the library, {how}"), Spent::of_rounds(library), bare);
    show("… over HTTP by the service", Spent::of_rounds(service), bare);
    Ok(bare)
}

fn show(what: &str, spent: Spent, floor: Spent) {
    let rate = |spent: Spent| 1e9 / spent.wall;
    table::row(
        what,
        &format!("{:.0} a second, load {}", rate(spent), table::load()),
        &format!("a bare check for each, on all cores: {:.0} a second", rate(floor)),
        &format!("{:.2}", spent.wall / floor.wall),
        &format!("≥ {HOLD:.0} a second{}", table::mark(rate(spent) >= HOLD)),
    );
    let floor = ("a bare check", floor.processor);
    table::ratio(
        "… … processor time of one, the sender's too",
        spent.processor,
        floor,
        spent.processor / floor.1,
        None,
    );
}

/// What a receipt took, in nanoseconds: time, and processor time of all threads.
#[derive(Clone, Copy)]
struct Spent {
    wall: f64,
    processor: f64,
}

/// When something began.
struct Began {
    wall: i64,
    processor: i64,
}

impl Began {
    fn now() -> Self {
        Self { wall: nanos_of(ClockId::Monotonic), processor: nanos_of(ClockId::ProcessCPUTime) }
    }

    fn until_now(&self, bodies: &[Vec<u8>]) -> Spent {
        let (now, many) = (Self::now(), bodies.iter().map(|body| lines(body)).sum::<u64>() as f64);
        let each = |from: i64, to: i64| (to - from) as f64 / many;
        Spent { wall: each(self.wall, now.wall), processor: each(self.processor, now.processor) }
    }
}

impl Spent {
    fn of_rounds(rounds: Vec<Self>) -> Self {
        let of = |value: fn(&Self) -> f64| median(rounds.iter().map(value).collect());
        Self { wall: of(|spent| spent.wall), processor: of(|spent| spent.processor) }
    }
}

fn lines(body: &[u8]) -> u64 {
    body.iter().filter(|octet| **octet == b'\n').count() as u64
}

/// The receipts of an agent as bodies of uploads of half a MiB, and how many there are.
///
/// What a seal signs for is in one body with it, and with everything in between. Where a seal was written after the first ones
/// of the next group, those wait for the next body, and what lies between them is in both.
fn bodies(sender: &BenchAgent) -> Outcome<(Vec<Vec<u8>>, u64)> {
    let journal = locate(sender.home.dir()).ok_or("there is no journal")?;
    let (mut bodies, mut all) = (Vec::new(), 0);
    for stream in StreamReader::streams(&journal)? {
        let entries: Vec<Entry> = stream.collect::<Result<_, _>>()?;
        let places: HashMap<_, _> =
            entries.iter().enumerate().map(|(place, entry)| (entry.receipt().hash(), place)).collect();
        // Where the signature stands that proves the one at a place.
        let proofs: Vec<usize> = entries
            .iter()
            .enumerate()
            .map(|(place, entry)| match entry.proof() {
                Proof::Sealed(by) => places.get(&by).copied().unwrap_or(usize::MAX),
                _ => place,
            })
            .collect();
        let lines: Vec<String> = entries.iter().filter_map(Entry::to_log_entry).collect();
        if lines.len() != entries.len() {
            return Err("a receipt without a proof".into());
        }
        all += lines.len() as u64;
        let mut start = 0;
        while let Some(first) = proofs.get(start) {
            let (mut size, mut next) = (0, start);
            // As many as fit, and at least as far as the first one's proof.
            while let Some(line) = lines.get(next).filter(|line| next <= *first || size + line.len() < SIZE) {
                (size, next) = (size + line.len() + 1, next + 1);
            }
            let (mut body, mut held) = (Vec::with_capacity(size), None);
            for place in start..next {
                let Some((line, proof)) = lines.get(place).zip(proofs.get(place)) else { continue };
                if *proof < next {
                    body.extend_from_slice(line.as_bytes());
                    body.push(b'\n');
                } else {
                    held = held.or(Some(place));
                }
            }
            if held == Some(start) {
                return Err("a receipt whose seal is not there".into());
            }
            bodies.push(body);
            start = held.unwrap_or(next);
        }
    }
    Ok((bodies, all))
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn known(store: &SqliteStore) -> Outcome<HashMap<kakunin_core::digest::Digest, KnownCertificate>> {
    let tenant = TenantId::default();
    let mut known = HashMap::new();
    for agent in store.agents(&tenant)? {
        known.extend(store.certificates(&tenant, agent.id)?.iter().filter_map(KnownCertificate::of));
    }
    Ok(known)
}

/// What bare checks take, with everything read beforehand.
fn checks(bodies: &[Vec<u8>], store: &SqliteStore) -> Outcome<Spent> {
    let tenant = TenantId::default();
    let agent = store.agents(&tenant)?.into_iter().next().ok_or("no agent")?;
    let certificates = store.certificates(&tenant, agent.id)?;
    let der = certificates.into_iter().find_map(|known| known.der).ok_or("no certificate")?;
    let certificate = kakunin_core::certificate::AgentCertificate::decode(&der)?;
    let mut read = Vec::new();
    for line in
        bodies.iter().flat_map(|body| body.split(|octet| *octet == b'\n')).filter(|line| !line.is_empty())
    {
        let (receipt, signature) = UnverifiedReceipt::from_jws(std::str::from_utf8(line)?)?;
        read.push((receipt.signing_input().to_vec(), signature));
    }
    let key = certificate.decoded().key();
    let began = Began::now();
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
    if good { Ok(began.until_now(bodies)) } else { Err("a receipt is not signed".into()) }
}

fn by_library(bodies: &[Vec<u8>], store: &mut SqliteStore) -> Outcome<(Spent, u64)> {
    let known = known(store)?;
    let next = AtomicUsize::new(0);
    let (give, take) = mpsc::sync_channel(16);
    let began = Began::now();
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
    Ok((began.until_now(bodies), kept?))
}

fn by_service(bodies: &[Vec<u8>], desk: &Desk) -> Outcome<Spent> {
    let (next, began) = (AtomicUsize::new(0), Began::now());
    let whole = thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let kept = desk.ask("POST", "/v1/receipts", body).unwrap_or_default();
                        if !String::from_utf8_lossy(&kept).contains("\"accepted\":") {
                            return false;
                        }
                    }
                    true
                })
            })
            .collect();
        senders.into_iter().all(|sender| sender.join().unwrap_or(false))
    });
    if whole { Ok(began.until_now(bodies)) } else { Err("an upload was refused".into()) }
}

const RECEIPTS: u64 = 40_000;
/// Of a body: half of what the service takes.
const SIZE: usize = 512 * 1024;
const ROUNDS: usize = 5;
const SENDERS: usize = 8;
const HOLD: f64 = 20_000.0;
