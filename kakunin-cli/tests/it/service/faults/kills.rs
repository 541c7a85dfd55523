//! A service that is killed at any moment, under everything that its clients do.
//!
//! What must hold then needs no clock: whatever anybody was answered is there, whatever anybody saw signed is in the
//! records, nothing was numbered twice. Where the kills hit is left to chance; `make soak` does two hundred of them.

use std::collections::VecDeque;
use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kakunin_authority::Home;
use kakunin_core::certificate::{CaCertificate, CaRole, request_pem};
use kakunin_core::journal::Sealing;
use serde_json::{Value, json};

use super::super::ingest::{counts, request, work};
use super::super::listener::{Listener, ders};
use super::super::office::{Office, wait};
use super::super::robot::{Robot, new_key};
use super::super::web::Request;
use super::told::Told;
use crate::desk::Desk;

#[test]
fn a_service_killed_at_any_moment_under_load_keeps_all_that_it_said() {
    let rounds = if env::var_os("KAKUNIN_SOAK").is_some() { 200 } else { 20 };
    survive(&Desk::with_billing(), rounds);
}

#[test]
fn a_service_that_crashes_leaves_no_core_with_its_keys() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let limits = std::fs::read_to_string(office.status("limits")).unwrap();
    let cores = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
}

#[cfg(feature = "postgres")]
#[test]
fn a_service_killed_on_postgresql_keeps_all_that_it_said() {
    let Some(database) = super::super::nodes::database() else { return };
    let rounds = env::var("KAKUNIN_TEST_POSTGRES_KILLS").ok().and_then(|many| many.parse().ok());
    survive(&super::super::nodes::desk(&database), rounds.unwrap_or(3));
}

/// Kills the desk's service so often, and compares each time.
fn survive(desk: &Desk, rounds: u32) {
    let lines = work(desk, "billing", 4000.min(rounds as usize * 20), Sealing::Each);
    let chain = std::fs::read(desk.path("agents/billing/chain.pem")).unwrap();
    let issuing = CaCertificate::decode(ders(&chain).first().unwrap(), CaRole::Issuing).unwrap();
    let mut office = Office::open(desk);
    let owner = office.owner().to_owned();
    let mut random = Random::new();
    let mut told = Told::default();
    let made =
        office.post("/v1/agents", &json!({ "name": "held", "scope": { "actions": ["read:*"] } })).json();
    let held = made.pointer("/data/id").and_then(Value::as_str).unwrap().to_owned();
    assert_eq!(office.post(&format!("/v1/agents/{held}/certify"), &json!({})).status, 201);
    for round in 0..rounds {
        let address = office.url().strip_prefix("http://").unwrap().to_owned();
        let crew = Crew::new(&address, &owner, round, &issuing);
        let line = Mutex::new(VecDeque::new());
        let (line, receipts) = (&line, lines.get(told.receipts..).unwrap_or_default());
        let epoch = told.epoch();
        // Opening a key that is held here is slow: not every kill hits that.
        if round % 4 == 0 {
            told.add(crew.sign_once(&held, 0));
            crew.answers.store(0, Relaxed);
        }
        thread::scope(|scope| {
            let (crew, held) = (&crew, &held);
            let clients = [
                scope.spawn(move || crew.certify(line)),
                scope.spawn(move || crew.sign(held)),
                scope.spawn(move || crew.enrol()),
                scope.spawn(move || crew.order(line)),
                scope.spawn(move || crew.upload(receipts)),
                scope.spawn(move || crew.listen(epoch)),
                scope.spawn(move || crew.read()),
            ];
            // By what was answered and not by the clock, so that a slow machine does as much; in the first round,
            // something of everything.
            let (answers, pause) = (random.below(60), Duration::from_millis(random.below(20)));
            let all = || crew.orders.load(Relaxed) > 0 && crew.receipts.load(Relaxed) > 0;
            wait("the clients are answered", || {
                (crew.answers.load(Relaxed) >= answers && (round > 0 || all())).then_some(())
            });
            thread::sleep(pause);
            office.kill();
            for client in clients {
                told.add(client.join().unwrap());
            }
        });
        office = Office::open(desk);
        let list = told.lists(&office.get("/v1/crl/all").body, &issuing).unwrap();
        told.is_in(&list);
        let kept = lines.get(told.receipts.saturating_sub(200)..told.receipts).unwrap_or_default();
        if !kept.is_empty() {
            let known = counts(&office.send(&request(&owner, kept)));
            assert_eq!(known, (200, Some(0), Some(kept.len() as u64)));
        }
    }
    let address = office.url().strip_prefix("http://").unwrap();
    let question = Crew::new(address, &owner, rounds, &issuing);
    // A stream goes back by so many changes, and keys that signed them, and each start has a key of its own. What was
    // before was compared as it came, and is in the records.
    let question = question.question(told.epoch().saturating_sub(20));
    told.events(&Listener::open(&office, &question).rest());
    let kept = lines.get(..told.receipts).unwrap_or_default();
    for kept in kept.chunks(100) {
        let known = counts(&office.send(&request(&owner, kept)));
        assert_eq!(known, (200, Some(0), Some(kept.len() as u64)));
    }
    assert_eq!(office.end(), Some(0));
    told.is_recorded(&Home::at(&desk.path(".kakunin")).place().unwrap(), &["billing"]);
    let (certificates, orders) = (told.certificates.len(), told.orders.len());
    eprintln!(
        "{rounds} kills (seed {}): {certificates} certificates, {} signatures, {orders} orders, {} receipts",
        random.seed,
        told.signed.len(),
        told.receipts
    );
    let signed = told.signed.len();
    assert!(
        certificates.min(orders).min(signed).min(told.receipts) > 0,
        "nothing was done between the kills"
    );
}

/// Clients that go on until nobody answers.
pub(super) struct Crew<'a> {
    address: &'a str,
    owner: &'a str,
    round: u32,
    issuing: &'a CaCertificate,
    /// How much they were answered.
    pub(super) answers: AtomicU64,
    orders: AtomicU64,
    receipts: AtomicU64,
}

impl<'a> Crew<'a> {
    pub(super) fn new(address: &'a str, owner: &'a str, round: u32, issuing: &'a CaCertificate) -> Self {
        let none = AtomicU64::default;
        Self { address, owner, round, issuing, answers: none(), orders: none(), receipts: none() }
    }

    /// As the owner; `None` unless it was answered with `status`.
    fn ask(&self, path: &str, body: &Value, status: u16) -> Option<Value> {
        let reply = Request::post(path, body).bearer(self.owner).try_send_whole(self.address)?;
        // Nothing but its end, or a disk without room, keeps the service from doing what it is told here.
        assert!(
            reply.status == status || [500, 503, 507].contains(&reply.status),
            "{path}: {} {}",
            reply.status,
            reply.text()
        );
        self.answers.fetch_add(1, Relaxed);
        (reply.status == status).then(|| reply.json())
    }

    fn name(&self, name: &str, told: &mut Told) -> Option<String> {
        let order = json!({ "name": name, "scope": { "actions": ["read:*"] } });
        let id = self.ask("/v1/agents", &order, 201)?.pointer("/data/id")?.as_str()?.to_owned();
        told.agents.insert(id.clone());
        Some(id)
    }

    /// Agents that others give orders about.
    pub(super) fn certify(&self, line: &Mutex<VecDeque<String>>) -> Told {
        let mut told = Told::default();
        let mut one = |number: u32| {
            let id = self.name(&format!("agent-{}-{number}", self.round), &mut told)?;
            let csr = json!({ "csr": request_pem(&new_key()).unwrap() });
            told.certificate(&self.ask(&format!("/v1/agents/{id}/certify"), &csr, 201)?, "pem");
            line.lock().unwrap().push_back(id);
            Some(())
        };
        (0..).take_while(|number| one(*number).is_some()).for_each(drop);
        told
    }

    /// What the agent whose key is held here signs; in between another one gets such a key, which is slow.
    pub(super) fn sign(&self, agent: &str) -> Told {
        let mut told = Told::default();
        let mut one = |number: u32| {
            if number % 8 == 7 {
                let id = self.name(&format!("held-{}-{number}", self.round), &mut told)?;
                let issued = self.ask(&format!("/v1/agents/{id}/certify"), &json!({}), 201)?;
                told.certificate(&issued, "pem");
            }
            let signed = self.sign_once(agent, number + 1);
            let answered = !signed.signed.is_empty();
            told.add(signed);
            answered.then_some(())
        };
        (0..).take_while(|number| one(*number).is_some()).for_each(drop);
        told
    }

    fn sign_once(&self, agent: &str, number: u32) -> Told {
        let mut told = Told::default();
        let payload = json!({ "payload": { "round": self.round, "number": number } });
        let signed = self.ask(&format!("/v1/agents/{agent}/sign"), &payload, 200);
        let hash = signed.as_ref().and_then(|signed| signed.pointer("/data/payload_hash"));
        told.signed.extend(hash.and_then(Value::as_str).map(|hash| (agent.to_owned(), hash.to_owned())));
        told
    }

    /// Agents elsewhere, which enrol and renew.
    pub(super) fn enrol(&self) -> Told {
        let mut told = Told::default();
        let mut one = |number: u32| {
            let id = self.name(&format!("robot-{}-{number}", self.round), &mut told)?;
            let made = self.ask(&format!("/v1/agents/{id}/tokens"), &json!({ "minutes": 5 }), 201)?;
            let token = made.pointer("/data/token")?.as_str()?.to_owned();
            let signer = new_key();
            let csr = json!({ "csr": request_pem(&signer).unwrap() });
            let enrol = Request::post(&format!("/v1/agents/{id}/enrol"), &csr).bearer(&token);
            let papers = enrol.try_send_whole(self.address).filter(|reply| reply.status == 201)?.json();
            told.certificate(&papers, "certificate_pem");
            let robot = Robot::at(self.address, signer, papers.get("data")?.clone());
            let renew = robot.prove(Request::post(&format!("/v1/agents/{id}/renew"), &json!({})));
            let renewed = renew.try_send_whole(self.address)?;
            // A proof made in the second of a start is not taken.
            if renewed.status == 201 {
                told.certificate(&renewed.json(), "certificate_pem");
            }
            Some(())
        };
        (0..).take_while(|number| one(*number).is_some()).for_each(drop);
        told
    }

    /// Suspends, resumes and revokes whoever was certified.
    fn order(&self, line: &Mutex<VecDeque<String>>) -> Told {
        let mut told = Told::default();
        loop {
            let next = line.lock().unwrap().pop_front();
            let Some(agent) = next else {
                if Request::get("/health").try_send(self.address).is_none() {
                    return told;
                }
                thread::sleep(Duration::from_millis(5));
                continue;
            };
            for order in ["suspend", "resume", "suspend", "revoke"] {
                let done =
                    self.ask(&format!("/v1/agents/{agent}/{order}"), &json!({ "reason": "drill" }), 200);
                let epoch =
                    done.as_ref().and_then(|done| done.pointer("/data/epoch")).and_then(Value::as_u64);
                let Some(epoch) = epoch else {
                    told.unsure.insert(agent);
                    return told;
                };
                told.orders.push((agent.clone(), order, epoch));
                self.orders.fetch_add(1, Relaxed);
            }
        }
    }

    /// Receipts, a few at a time.
    pub(super) fn upload(&self, lines: &[String]) -> Told {
        let mut told = Told::default();
        for some in lines.chunks(3) {
            let reply = request(self.owner, some).try_send_whole(self.address);
            match reply.filter(|reply| reply.status == 200) {
                Some(_) => told.receipts += some.len(),
                None => break,
            }
            self.answers.fetch_add(1, Relaxed);
            self.receipts.fetch_add(1, Relaxed);
        }
        told
    }

    pub(super) fn question(&self, since: u64) -> String {
        let issuer = self.issuing.decoded().key().key_id().to_hex();
        format!("/v1/feed/poll?issuer={issuer}&since={since}&nonce={:032x}", self.round)
    }

    /// The feed, as a stream.
    fn listen(&self, since: u64) -> Told {
        let mut told = Told::default();
        let path = self.question(since).replace("/poll", "");
        if let Some(mut listener) = Listener::try_connect(self.address, &path) {
            told.events(&listener.rest());
        }
        told
    }

    /// The lists, again and again.
    fn read(&self) -> Told {
        let mut told = Told::default();
        while let Some(reply) = Request::get("/v1/crl/all").try_send_whole(self.address) {
            if reply.status == 200 {
                told.lists(&reply.body, self.issuing);
            }
            thread::sleep(Duration::from_millis(10));
        }
        told
    }
}

/// Where kills hit. The seed is told, so that a moment that breaks something is not lost.
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn new() -> Self {
        let told = env::var("KAKUNIN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = told
            .unwrap_or_else(|| u64::from(now.subsec_nanos()) << 16 | u64::from(std::process::id() & 0xffff));
        Self { seed, state: seed | 1 }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % end
    }
}
