//! What the service promises: how soon everyone connected knows of a revocation, what one costs beside many others, and how
//! fast agents are certified.
//!
//! Each client of the feed has a connection and a follower of its own, and checks every signature itself, all in this one
//! process and beside the service: on machines of their own they would share no core. Absolute times, since that is what is
//! promised; the load of the machine stands beside.

use std::thread;
use std::time::{Duration, Instant};

use kakunin_authority::access::TenantId;
use kakunin_authority::store::{Agents as _, IssuerId, Reservation, SqliteStore, Store as _};
use kakunin_authority::{AgentName, Home};
use kakunin_core::certificate::request_pem;
use kakunin_core::digest::Digest;
use kakunin_core::id::SerialNumber;
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::time::{UnixTime, Validity};

use crate::agent::BenchAgent;
use crate::crowd::Crowd;
use crate::desk::Desk;
use crate::{Outcome, table};

pub(crate) fn rows(agent: &BenchAgent) -> Outcome<()> {
    let folder = agent.place("service");
    let agent = BenchAgent::make_in(&folder, agent.now)?;
    let home = Home::at(&folder.join("home"));
    let now = agent.now.plus(60);
    Desk::open(&home, now, |desk| {
        let times = told(desk, now, CLIENTS, ORDERS)?;
        show(
            &format!("a change is known to each of {CLIENTS} clients"),
            times,
            "from the order's first octet",
            100.0,
        );
        certified(desk)
    })?;
    crowd(&home, now)?;
    let began = Instant::now();
    Desk::open(&home, now.plus(3600), |desk| {
        let opened = began.elapsed();
        table::row(
            "the service begins with 100,000 certificates",
            &format!("{:.2} s", opened.as_secs_f64()),
            &"",
            &"",
            &format!("≤ 2 s{}", if opened > Duration::from_secs(2) { ", does not hold" } else { "" }),
        );
        let began = Instant::now();
        let everyone = told_of(desk, now.plus(3600), FEW, || order(desk, "crowd", "revoke"))?;
        let last = everyone.into_iter().max().unwrap_or_default().max(began.elapsed());
        table::row(
            &format!("100,000 certificates are revoked at once, known to {FEW} clients"),
            &format!("{:.2} s", last.as_secs_f64()),
            &"",
            &"",
            &format!("≤ 10 s{}", if last > Duration::from_secs(10) { ", does not hold" } else { "" }),
        );
        let mut times = Vec::new();
        for round in 0..ORDERS {
            let began = Instant::now();
            order(desk, "billing", if round % 2 == 0 { "suspend" } else { "resume" })?;
            times.push(began.elapsed());
        }
        show(
            "an order about one agent beside 100,000 that are revoked",
            times,
            "from the order to its answer",
            50.0,
        );
        Ok(())
    })
}

fn show(what: &str, mut times: Vec<Duration>, from: &str, hold: f64) {
    times.sort_unstable();
    let millis = |part: usize| {
        let at = (times.len() * part / 100).min(times.len().saturating_sub(1));
        times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    };
    let (half, most) = (millis(50), millis(99));
    table::row(
        what,
        &format!("half in {half:.1} ms, 99 % in {most:.1} ms, load {}", table::load()),
        &from,
        &"",
        &format!("99 % ≤ {hold} ms{}", if most <= hold { "" } else { ", does not hold" }),
    );
}

/// Gives an order about an agent; gives back the epoch of the feed that tells it.
pub(crate) fn order(desk: &Desk, agent: &str, verb: &str) -> Outcome<u64> {
    let answer = desk.ask("POST", &format!("/v1/agents/{agent}/{verb}"), b"{}")?;
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    let epoch = answer.pointer("/data/epoch").or_else(|| answer.get("epoch"));
    epoch.and_then(serde_json::Value::as_u64).ok_or_else(|| format!("no epoch in {answer}").into())
}

/// How long it takes from an order until each of the clients knows, for every client and order.
fn told(desk: &Desk, now: UnixTime, clients: usize, orders: usize) -> Outcome<Vec<Duration>> {
    thread::scope(|scope| {
        let mut crowd = Crowd::open(scope, desk, now, clients, clients)?;
        let mut times = Vec::new();
        for round in 0..orders {
            let began = Instant::now();
            let epoch = order(desk, "billing", if round % 2 == 0 { "suspend" } else { "resume" })?;
            times.extend(crowd.until(epoch)?.into_iter().map(|at| at.duration_since(began)));
            thread::sleep(Duration::from_millis(20));
        }
        Ok(times)
    })
}

/// How long it takes from one order with so many changes until each of the clients knows the last of them.
fn told_of(
    desk: &Desk,
    now: UnixTime,
    clients: usize,
    order: impl FnOnce() -> Outcome<u64>,
) -> Outcome<Vec<Duration>> {
    thread::scope(|scope| {
        let mut crowd = Crowd::open(scope, desk, now, clients, clients)?;
        let began = Instant::now();
        let epoch = order()?;
        Ok(crowd.until(epoch)?.into_iter().map(|at| at.duration_since(began)).collect())
    })
}

/// Certificates over HTTP for keys that others have, from several callers at once.
fn certified(desk: &Desk) -> Outcome<()> {
    let body = br#"{"name": "NAME", "scope": {"actions": ["read:*"]}}"#;
    let name = |caller: usize| format!("caller-{caller}");
    for caller in 0..CALLERS {
        let body = String::from_utf8_lossy(body).replace("NAME", &name(caller));
        desk.ask("POST", "/v1/agents", body.as_bytes())?;
    }
    let requests: Vec<Vec<String>> =
        (0..CALLERS).map(|_| (0..EACH).map(|_| request()).collect::<Outcome<_>>()).collect::<Outcome<_>>()?;
    let began = Instant::now();
    let done = thread::scope(|scope| {
        let callers: Vec<_> = requests
            .iter()
            .enumerate()
            .map(|(caller, requests)| {
                scope.spawn(move || {
                    let path = format!("/v1/agents/{}/certify", name(caller));
                    requests.iter().all(|body| desk.ask("POST", &path, body.as_bytes()).is_ok())
                })
            })
            .collect();
        callers.into_iter().all(|caller| caller.join().unwrap_or(false))
    });
    if !done {
        return Err("a certificate was refused".into());
    }
    let rate = (CALLERS * EACH) as f64 / began.elapsed().as_secs_f64();
    let holds = if rate >= CERTIFICATES { "" } else { ", does not hold" };
    table::row(
        "certificates by the service, for keys of others",
        &format!("{rate:.0} a second"),
        &"",
        &"",
        &format!("≥ {CERTIFICATES:.0} a second{holds}"),
    );
    Ok(())
}

/// The body that asks for a certificate for a new key.
fn request() -> Outcome<String> {
    let (key, _) = SoftKey::generate(Algorithm::P256)?;
    Ok(serde_json::json!({ "csr": request_pem(&Signer::soft(key))? }).to_string())
}

/// An agent with 100,000 certificates, written straight into the records: what they look like is nobody's business here.
fn crowd(home: &Home, now: UnixTime) -> Outcome<()> {
    let mut store = SqliteStore::open(&home.store())?;
    let tenant = TenantId::default();
    let mut crowd = store.agents(&tenant)?.into_iter().next().ok_or("no agent")?;
    crowd.id = kakunin_core::id::AgentId::parse("5a1e0000-0000-4000-8000-0000000c0e0d").ok_or("no id")?;
    crowd.name = AgentName::parse("crowd")?;
    store.add_agent(&crowd)?;
    let validity = Validity { not_before: now.plus(-60), not_after: now.plus(7 * 24 * 3600) };
    for part in 0..CROWD.div_ceil(PART) {
        store.batch(&mut |store| {
            for number in part * PART..((part + 1) * PART).min(CROWD) {
                let serial = SerialNumber::from_random((number as u128).to_be_bytes());
                let key = Digest::of(&number.to_be_bytes());
                let issuer = IssuerId::ROOT.next();
                store.reserve(&Reservation { serial, issuer, agent: crowd.id, key, validity })?;
                store.keep_tbs(serial, &[0x30, 0])?;
                store.keep_certificate(serial, &[0x30, 0])?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

const CLIENTS: usize = 1_000;
/// Clients that each take up 100,000 entries: 16 MB of feed, parsed and checked beside the service.
const FEW: usize = 8;
const ORDERS: usize = 60;
const CROWD: usize = 100_000;
const PART: usize = 4_000;
const CALLERS: usize = 16;
const EACH: usize = 20;
const CERTIFICATES: f64 = 2_000.0;
