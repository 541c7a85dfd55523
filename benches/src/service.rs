//! What the service promises: how soon everyone connected knows of a revocation, what one costs beside many others, and how
//! fast agents are certified.
//!
//! Each client of the feed has a connection and a follower of its own, and checks every signature itself, all in this one
//! process and beside the service: on machines of their own they would share no core. Absolute times, since that is what is
//! promised; the load of the machine stands beside.

use std::fs;
use std::io::BufRead as _;
use std::net::TcpStream;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use kakunin_authority::access::TenantId;
use kakunin_authority::store::{Agents as _, IssuerId, Reservation, SqliteStore, Store as _};
use kakunin_authority::{AgentName, Home};
use kakunin_core::certificate::{CaCertificate, CaRole, request_pem};
use kakunin_core::digest::{Digest, hex};
use kakunin_core::feed::Follower;
use kakunin_core::id::SerialNumber;
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::time::{UnixTime, Validity};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::agent::BenchAgent;
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
        // One change for each 4,096 certificates.
        let everyone =
            told_of(desk, now.plus(3600), FEW, || order(desk, "crowd", "revoke"), CROWD.div_ceil(4096))?;
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
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    table::row(
        what,
        &format!("half in {half:.1} ms, 99 % in {most:.1} ms, load {load}"),
        &from,
        &"",
        &format!("99 % ≤ {hold} ms{}", if most <= hold { "" } else { ", does not hold" }),
    );
}

fn order(desk: &Desk, agent: &str, verb: &str) -> Outcome<()> {
    desk.ask("POST", &format!("/v1/agents/{agent}/{verb}"), b"{}").map(drop)
}

/// How long it takes from an order until each of the clients knows, for every client and order.
fn told(desk: &Desk, now: UnixTime, clients: usize, orders: usize) -> Outcome<Vec<Duration>> {
    thread::scope(|scope| {
        let crowd = Crowd::open(scope, desk, now, clients)?;
        let mut times = Vec::new();
        for round in 0..orders {
            let began = Instant::now();
            order(desk, "billing", if round % 2 == 0 { "suspend" } else { "resume" })?;
            times.extend(crowd.hear(1)?.into_iter().map(|at| at.duration_since(began)));
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
    order: impl FnOnce() -> Outcome<()>,
    changes: usize,
) -> Outcome<Vec<Duration>> {
    thread::scope(|scope| {
        let crowd = Crowd::open(scope, desk, now, clients)?;
        let began = Instant::now();
        order()?;
        Ok(crowd.hear(changes)?.into_iter().map(|at| at.duration_since(began)).collect())
    })
}

/// Clients that listen, each on a thread of its own.
struct Crowd {
    clients: usize,
    heard: mpsc::Receiver<Result<Instant, String>>,
    streams: Vec<TcpStream>,
}

impl Crowd {
    fn open<'scope>(
        scope: &'scope thread::Scope<'scope, '_>,
        desk: &Desk,
        now: UnixTime,
        clients: usize,
    ) -> Outcome<Self> {
        let chain = desk.ask("GET", "/v1/ca/chain", b"")?;
        let chain: serde_json::Value = serde_json::from_slice(&chain)?;
        let chain = chain.pointer("/data/chain_pem").and_then(|pem| pem.as_str()).ok_or("no chain")?;
        let issuing = CertificateDer::pem_slice_iter(chain.as_bytes()).next().ok_or("no issuer")?;
        let issuing = issuing.map_err(|_| "the chain is no PEM")?;
        let issuing = CaCertificate::decode(&issuing, CaRole::Issuing)?;
        let lists = desk.ask("GET", "/v1/crl/all", b"")?;
        let lists = CertificateRevocationListDer::pem_slice_iter(&lists).flatten();
        let base = lists.filter_map(|list| Follower::new(&issuing, &list).ok()).next().ok_or("no list")?;
        let (say, heard) = mpsc::channel();
        let mut streams = Vec::new();
        for client in 0..clients {
            let nonce = (client as u128).to_be_bytes();
            let query = format!(
                "issuer={}&since={}&nonce={}",
                base.issuer().to_hex(),
                base.head().epoch(),
                hex(&nonce)
            );
            let reader = desk.listen(&query)?;
            streams.push(reader.get_ref().try_clone()?);
            let (follower, say) = (base.clone(), say.clone());
            let builder = thread::Builder::new().stack_size(256 * 1024);
            builder.spawn_scoped(scope, move || {
                if let Err(error) = follow(reader, follower, nonce, now, &say) {
                    let _ = say.send(Err(error.to_string()));
                }
            })?;
        }
        let crowd = Self { clients, heard, streams };
        // The first signed word of each.
        let _ = crowd.hear(1)?;
        Ok(crowd)
    }

    /// When each client had heard so many more times; the last times only.
    fn hear(&self, times: usize) -> Outcome<Vec<Instant>> {
        let mut last = Vec::new();
        for heard in 0..self.clients * times {
            let at = self.heard.recv_timeout(Duration::from_secs(120))??;
            if heard >= self.clients * (times - 1) {
                last.push(at);
            }
        }
        Ok(last)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // Their threads end with their connections.
        for stream in &self.streams {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Follows the feed and says when the first word and each change was taken up.
fn follow(
    mut reader: std::io::BufReader<TcpStream>,
    mut follower: Follower,
    nonce: [u8; 16],
    now: UnixTime,
    say: &Sender<Result<Instant, String>>,
) -> Outcome<()> {
    let began = Instant::now();
    let mono = || i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    follower.begin(nonce, 0);
    let (mut known, mut line, mut kind) = (None, String::new(), String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return Ok(());
        }
        match line.trim_end().split_once(": ") {
            Some(("event", event)) => kind = event.to_owned(),
            Some(("data", data)) if kind == "certificate" => {
                let der = Base64::decode_vec(data).map_err(|_| "a certificate is no base64")?;
                follower.certify(&der, now, mono())?;
            }
            Some(("data", data)) => {
                let _ = follower.take(data, mono())?;
                let epoch = follower.head().epoch();
                if known != Some(epoch) {
                    known = Some(epoch);
                    let _ = say.send(Ok(Instant::now()));
                }
            }
            _ => {}
        }
    }
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
