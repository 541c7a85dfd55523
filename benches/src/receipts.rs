//! A decision in the journal beside a bare `write()` of the same payload, and a signed receipt beside a bare signature.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use base64ct::{Base64UrlUnpadded, Encoding};
use kakunin_core::decision::{Decision, DenialReason};
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::journal::{DecisionEntry, Identity, Journal, JournalOptions, Recorded, StreamReader};
use kakunin_core::key::{Signer, SoftKey};
use kakunin_core::receipt::{ListUse, Mode, Stamp};
use kakunin_core::request::ActionRequest;
use kakunin_core::snapshot::Snapshot;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::agent::BenchAgent;
use crate::harness::{Subject, interleave};
use crate::{Outcome, table};

pub(crate) fn rows(agent: &BenchAgent) -> Outcome<()> {
    let appender = Appender::open(agent, Some("journal"))?;
    let memory = Appender::open(agent, None)?;
    let journal = &appender.journal;
    let mut floor = FloorJournal::open(agent)?;
    let rounds = interleave(
        201,
        &mut [Subject::new(BURST, || floor.append()), Subject::new(BURST, || appender.append().is_ok())],
        || rest(journal),
    );
    let what = "a decision in the journal, in bursts of 400";
    let bare = ("bare write() + serde_json of the same payload", rounds.nanos(0));
    table::ratio(what, rounds.nanos(1), bare, rounds.ratio(1, 0), Some(2.5));
    let allocations = measure(|| drop(appender.append())).count_total;
    table::count("… allocations", allocations, 0);
    rest(journal);

    let pkcs8 = agent.pkcs8()?;
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random);
    let pair = pair.map_err(|_| "ring does not read the key")?;
    let message = [0x5a; 900];
    let rounds = interleave(
        41,
        &mut [
            Subject::of_process(BURST, || pair.sign(&random, &message).is_ok(), || {}),
            Subject::of_process(BURST, || memory.append().is_ok(), || memory.journal.quiesce().is_ok()),
            Subject::of_process(BURST, || appender.append().is_ok(), || journal.quiesce().is_ok()),
        ],
        || {},
    );
    let bare = ("bare ring signature", rounds.nanos(0));
    table::ratio("a receipt, made and signed", rounds.nanos(1), bare, rounds.ratio(1, 0), Some(1.15));
    table::ratio("… and written to the journal", rounds.nanos(2), bare, rounds.ratio(2, 0), None);
    let signature = rounds.nanos(0);
    journal.close(stamp())?;

    sustained(agent, signature)
}

/// Nanoseconds of the floor alone, for benches in other languages.
pub(crate) fn bare_write(agent: &BenchAgent) -> Outcome<()> {
    let mut floor = FloorJournal::open(agent)?;
    let rounds = interleave(201, &mut [Subject::new(BURST, || floor.append())], || {});
    println!("{}", rounds.nanos(0));
    Ok(())
}

/// Guarded calls for two seconds without a pause: two receipts each, and one thread that signs them.
fn sustained(agent: &BenchAgent, signature: f64) -> Outcome<()> {
    let guard = Guard::open(agent.home.clone(), GuardOptions::default())?;
    let started = Instant::now();
    let mut calls = 0_u32;
    while started.elapsed() < Duration::from_secs(2) {
        guard.admit(&REQUEST)?.begin()?.returned();
        calls += 1;
    }
    guard.close();
    let nanos = started.elapsed().as_nanos() as f64 / f64::from(calls);
    let what = "… decision and outcome without a pause, wall clock";
    table::ratio(what, nanos, ("two bare ring signatures", 2.0 * signature), nanos / (2.0 * signature), None);
    Ok(())
}

/// One decision, to be recorded again and again.
pub(crate) struct Appender {
    pub(crate) journal: Journal,
    decision: Decision,
    list: ListUse,
}

impl Appender {
    /// A journal in the folder `name`, or in memory, with one signed decision in it.
    pub(crate) fn open(agent: &BenchAgent, name: Option<&str>) -> Outcome<Self> {
        Self::open_with(agent, name, JournalOptions::default())
    }

    /// The same, kept in another way.
    pub(crate) fn open_with(
        agent: &BenchAgent,
        name: Option<&str>,
        options: JournalOptions,
    ) -> Outcome<Self> {
        let snapshot = Snapshot::build(&agent.papers, &agent.lists, agent.now)?;
        let identity = identity(agent)?;
        let journal = match name {
            Some(name) => Journal::open_with(&agent.place(name), identity, stamp(), options)?,
            None => Journal::memory_with(&identity, stamp(), 1_000, options.sealing.unwrap_or_default())?,
        };
        let decision = snapshot.decide(&REQUEST, agent.now.to_millis());
        let list = ListUse::of(snapshot.agent().lists().issuing());
        let appender = Self { journal, decision, list };
        if !matches!(appender.decision, Decision::Allow(_)) {
            return Err("the request is not allowed".into());
        }
        let _first = appender.append().map_err(|reason| reason.code())?;
        rest(&appender.journal);
        Ok(appender)
    }

    pub(crate) fn append(&self) -> Result<Recorded, DenialReason> {
        self.journal.decision(&DecisionEntry {
            caller: None,
            decision: &self.decision,
            request: &REQUEST,
            list: Some(self.list),
            mode: Mode::Enforce,
            chain: None,
            parents: &[],
            trace: None,
            stamp: stamp(),
        })
    }
}

/// Who writes.
pub(crate) fn identity(agent: &BenchAgent) -> Outcome<Identity> {
    let snapshot = Snapshot::build(&agent.papers, &agent.lists, agent.now)?;
    Ok(Identity {
        agent: snapshot.leash().agent(),
        certificate: agent.papers.agent.clone(),
        chain: agent.papers.chain.clone(),
        signer: Arc::new(Signer::soft(SoftKey::from_pkcs8(&agent.pkcs8()?)?)),
    })
}

fn rest(journal: &Journal) {
    while journal.health().unsigned > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What the guard's clocks give for a receipt.
pub(crate) fn stamp() -> Stamp {
    let (wall, mono) = (clock_gettime(ClockId::RealtimeCoarse), clock_gettime(ClockId::MonotonicCoarse));
    Stamp {
        micros: wall.tv_sec * 1_000_000 + wall.tv_nsec / 1_000,
        boot: [0x42; 16],
        mono_nanos: (mono.tv_sec * 1_000_000_000 + mono.tv_nsec).cast_unsigned(),
    }
}

/// What somebody would write who wants the same facts in a file and nothing else: no hash, no chain, no checksum, no
/// signature.
pub(crate) struct FloorJournal {
    file: File,
    buffer: Vec<u8>,
    payload: FloorPayload,
    values: [(String, &'static str, String); 3],
}

/// The members of a decision's receipt, in their order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FloorPayload {
    act: String,
    crl: FloorList,
    dec: String,
    r#in: FloorInput,
    log: String,
    mode: String,
    mono: String,
    ph: String,
    prev: String,
    seq: u64,
    sub: String,
    tgt: FloorTarget,
    ts: u64,
    v: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FloorList {
    h: String,
    n: String,
    t: u64,
    u: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FloorInput {
    amount: String,
    currency: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FloorTarget {
    counterparties: String,
}

impl FloorJournal {
    /// A file that takes the payload of a decision as a journal writes it.
    pub(crate) fn open(agent: &BenchAgent) -> Outcome<Self> {
        Appender::open(agent, Some("example"))?.journal.close(stamp())?;
        let mut streams = StreamReader::streams(&agent.place("example"))?;
        let stream = streams.first_mut().ok_or("there is no stream")?;
        let entry = stream.nth(1).ok_or("there is no decision")??;
        let token = entry.to_jws().ok_or("the decision is not signed yet")?;
        let payload = token.split('.').nth(1).ok_or("a token without a payload")?;
        let json = Base64UrlUnpadded::decode_vec(payload).map_err(|_| "a payload that is not base64url")?;
        let payload: FloorPayload = serde_json::from_slice(&json)?;
        if serde_json::to_vec(&payload)? != json {
            return Err("the floor does not write the payload that the journal writes".into());
        }
        let value = |name, value: &str| ("0123456789abcdefghijkl".to_owned(), name, value.to_owned());
        let values =
            [value("amount", "125.00"), value("currency", "EUR"), value("counterparties", "vendor-0007")];
        let file = OpenOptions::new().append(true).create(true).open(agent.place("floor"))?;
        Ok(Self { file, buffer: Vec::with_capacity(4096), payload, values })
    }

    fn append(&mut self) -> Outcome<()> {
        self.serialise()?;
        Ok(self.file.write_all(&self.buffer)?)
    }

    /// The values and the payload, and nothing else.
    pub(crate) fn serialise(&mut self) -> Outcome<()> {
        self.buffer.clear();
        for value in &self.values {
            serde_json::to_writer(&mut self.buffer, value)?;
        }
        serde_json::to_writer(&mut self.buffer, &self.payload)?;
        self.payload.seq += 1;
        Ok(())
    }
}

pub(crate) const REQUEST: ActionRequest<'_> =
    ActionRequest::new("payments:send").amount("125.00", "EUR").counterparty("vendor-0007");
/// DESIGN: a burst that the signer need not finish before it ends.
const BURST: u32 = 400;
