//! Many clients at once: some that take an octet now and then, some that ask without end. Orders that take power away
//! are carried out and heard meanwhile; how long that takes is printed and not asserted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use kakunin_core::id::SerialNumber;
use kakunin_core::journal::Sealing;
use kakunin_core::revocation::Standing;
use serde_json::{Value, json};

use super::super::ingest::{counts, request, work};
use super::super::listener::{Listener, Watcher};
use super::super::office::Office;
use super::super::web::Request;
use crate::desk::Desk;

const AGENTS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

fn desk() -> Desk {
    let desk = Desk::with_billing();
    for name in AGENTS {
        desk.yes(&["agent", "create", name, "--scope", "scope.toml", "--out", &format!("agents/{name}")]);
    }
    desk
}

fn is_soak() -> bool {
    env::var_os("KAKUNIN_SOAK").is_some()
}

/// Somebody who listens to what happens to an agent.
struct Ear {
    agent: &'static str,
    serial: SerialNumber,
    watcher: Watcher,
    listener: Listener,
}

/// They are there before it gets crowded: the limits of what anyone may ask are not what is looked at here.
fn ears(office: &Office<'_>, agents: &[&'static str]) -> Vec<Ear> {
    let ear = |agent: &&'static str| {
        let (watcher, serial) = Watcher::of(office, agent);
        let listener = Listener::open(office, &watcher.question("/v1/feed", watcher.epoch()));
        Ear { agent, serial, watcher, listener }
    };
    agents.iter().map(ear).collect()
}

/// Suspends, resumes and revokes the agent of each, who hears it; how long the answers took.
fn take_power(office: &Office<'_>, ears: Vec<Ear>) -> Vec<Duration> {
    let mut took = Vec::new();
    for Ear { agent, serial, mut watcher, mut listener } in ears {
        for (order, standing) in
            [("suspend", Standing::Held), ("resume", Standing::Good), ("revoke", Standing::Revoked)]
        {
            let began = Instant::now();
            let done = office.post(&format!("/v1/agents/{agent}/{order}"), &json!({ "reason": "drill" }));
            // What gives power back has no lane of its own, and is given again.
            if order == "resume" && [429, 503].contains(&done.status) {
                continue;
            }
            took.push(began.elapsed());
            assert_eq!(done.status, 200, "{}", done.text());
            let epoch = done.json().pointer("/data/epoch").and_then(Value::as_u64).unwrap();
            watcher.listen(&mut listener, epoch);
            assert_eq!(watcher.standing(&serial), standing);
        }
    }
    took.sort();
    took
}

fn say(what: &str, took: &[Duration]) {
    let at = |share: usize| took.iter().cycle().nth((took.len() * share / 100).min(took.len() - 1)).unwrap();
    eprintln!(
        "{what}: {} orders, p50 {:?}, p90 {:?}, p99 {:?}, max {:?}",
        took.len(),
        at(50),
        at(90),
        at(99),
        at(100)
    );
}

/// A client that asks, again and again on one connection, and takes hardly anything of the answers.
struct Sloth {
    stream: TcpStream,
    taken: usize,
}

impl Sloth {
    fn new(office: &Office<'_>, path: &str, key: Option<&str>, times: usize) -> Self {
        let address = office.url().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        stream.set_nonblocking(true).unwrap();
        let key = key.map_or(String::new(), |key| format!("Authorization: Bearer {key}\r\n"));
        let asked = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{key}\r\n").repeat(times);
        // As much as the service takes of it.
        let _ = stream.write(asked.as_bytes());
        stream.set_nonblocking(false).unwrap();
        Self { stream, taken: 0 }
    }

    fn take_an_octet(&mut self) {
        let mut octet = [0];
        self.taken += self.stream.read(&mut octet).unwrap_or(0);
    }

    fn port(&self) -> u16 {
        self.stream.local_addr().unwrap().port()
    }

    /// Takes what is left, and says whether the service ended the connection.
    fn is_dropped(&mut self) -> bool {
        let mut room = vec![0; 1 << 16];
        loop {
            match self.stream.read(&mut room) {
                Ok(0) => return true,
                Ok(some) => self.taken += some,
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    }
}

/// Whether the other side ended the connection of this port, of which the rest was not read yet (proc_net_tcp(5): 01 is a
/// connection that both sides keep).
fn is_ended(port: u16) -> bool {
    let (own, table) = (format!(":{port:04X}"), fs::read_to_string("/proc/net/tcp").unwrap());
    !table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&own)) && fields.nth(1) == Some("01")
    })
}

#[test]
fn clients_that_take_an_octet_now_and_then_keep_nobody_waiting() {
    let desk = desk();
    let office = Office::open_with(&desk, &["--requests-per-address", "100000"]);
    let (watcher, _) = Watcher::of(&office, "billing");
    let (feed, key) = (watcher.question("/v1/feed", 0), office.owner());
    let alone = take_power(&office, ears(&office, &AGENTS[..2]));
    let others = ears(&office, &AGENTS[2..]);
    let mut sloths = Vec::new();
    for _ in 0..24 {
        sloths.push(Sloth::new(&office, &feed, None, 1));
        sloths.push(Sloth::new(&office, "/v1/crl/all", None, 4000));
        sloths.push(Sloth::new(&office, "/v1/crl", None, 4000));
        sloths.push(Sloth::new(&office, "/v1/audit-log/export", Some(key), 20));
    }
    let of_lists = |number: &usize| [1, 2].contains(&(number % 4));
    let lists: Vec<u16> = (0..sloths.len()).filter(of_lists).map(|number| sloths[number].port()).collect();
    let over = AtomicBool::new(false);
    let crowded = thread::scope(|scope| {
        let (over, lists) = (&over, &lists);
        let slow = scope.spawn(move || {
            while !over.load(Relaxed) {
                sloths.iter_mut().for_each(Sloth::take_an_octet);
                thread::sleep(Duration::from_millis(if is_soak() { 1000 } else { 100 }));
            }
            sloths
        });
        let crowded = take_power(&office, others);
        assert_eq!(office.get("/ready").status, 200);
        assert_eq!(office.get("/v1/crl/all").status, 200);
        if is_soak() {
            // Whoever takes less than a kilobyte a second for half a minute loses his connection; how long a service takes to
            // fill what lies between is the machine's affair.
            let began = Instant::now();
            while !lists.iter().all(|port| is_ended(*port)) {
                assert!(
                    began.elapsed() < Duration::from_secs(1200),
                    "somebody keeps a connection and takes nothing"
                );
                thread::sleep(Duration::from_secs(1));
            }
        }
        over.store(true, Relaxed);
        let mut sloths = slow.join().unwrap();
        if is_soak() {
            for number in (0..sloths.len()).filter(of_lists) {
                assert!(sloths[number].is_dropped(), "{number}");
            }
        }
        crowded
    });
    say("alone", &alone);
    say("beside 96 that take an octet now and then", &crowded);
    assert_eq!(office.end(), Some(0));
}

#[test]
fn a_flood_of_receipts_readers_and_strangers_at_the_limits_keeps_no_revocation_back() {
    let desk = desk();
    let lines = work(&desk, "billing", 200, Sealing::Each);
    let office = Office::open(&desk);
    let address = office.url().strip_prefix("http://").unwrap().to_owned();
    let keys_of =
        |role: &str| -> Vec<String> { (0..4).map(|_| office.key(&json!({ "role": role }))).collect() };
    let (keys, issuers) = (keys_of("ingest"), keys_of("issuer"));
    let alone = take_power(&office, ears(&office, &AGENTS[..2]));
    let others = ears(&office, &AGENTS[2..]);
    let (over, kept, read, refused) =
        (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let crowded = thread::scope(|scope| {
        let (over, kept, read, refused, lines, keys, address) =
            (&over, &kept, &read, &refused, &lines, &keys, &address);
        let count = move |status: u16, good: &AtomicU64| match status {
            200..=299 => drop(good.fetch_add(1, Relaxed)),
            // Told to come again, which is what limits are for.
            _ => {
                assert!([429, 503].contains(&status), "{status}");
                refused.fetch_add(1, Relaxed);
            }
        };
        for sender in 0..16_usize {
            scope.spawn(move || {
                let key = keys.iter().cycle().nth(sender).unwrap();
                let some = lines.chunks(20).nth(sender % lines.chunks(20).len()).unwrap();
                while !over.load(Relaxed) {
                    if let Some(reply) = request(key, some).try_send_whole(address) {
                        count(reply.status, kept);
                    }
                }
            });
        }
        for path in
            ["/v1/crl/all", "/v1/crl", "/v1/ca", "/health", "/v1/verify/00", "/v1/openapi.json"].repeat(3)
        {
            scope.spawn(move || {
                while !over.load(Relaxed) {
                    if let Some(reply) =
                        Request::get(path).try_send(address).filter(|reply| reply.status != 400)
                    {
                        count(reply.status, read);
                    }
                }
            });
        }
        // The same orders as anybody's, who has a key and no patience.
        for (number, issuer) in issuers.iter().enumerate() {
            scope.spawn(move || {
                for turn in 0.. {
                    let name = json!({ "name": format!("many-{number}-{turn}"), "scope": { "actions": ["read:*"] } });
                    if over.load(Relaxed) {
                        break;
                    }
                    if let Some(reply) = Request::post("/v1/agents", &name).bearer(issuer).try_send_whole(address) {
                        count(reply.status, kept);
                    }
                }
            });
        }
        let crowded = take_power(&office, others);
        over.store(true, Relaxed);
        crowded
    });
    say("alone", &alone);
    say("in the flood", &crowded);
    let count = |counted: &AtomicU64| counted.load(Relaxed);
    eprintln!("{} kept, {} read, {} told to come again", count(&kept), count(&read), count(&refused));
    assert!(count(&kept) > 0 && count(&read) > 0);
    let some = lines.chunks(20).next().unwrap();
    assert_eq!(counts(&office.send(&request(&keys[0], some))).0, 200);
    assert_eq!(office.end(), Some(0));
}
