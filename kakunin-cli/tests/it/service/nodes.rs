//! Two nodes on one database, as processes: who leads, and what becomes of a leader that died or slept.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kakunin_core::feed::Progress;
use kakunin_core::revocation::Standing;
use postgres::{Client, NoTls};
use serde_json::{Value, json};

use super::listener::{Listener, Watcher};
use super::office::{Office, wait};
use super::web::{Reply, Request};
use crate::desk::Desk;

/// A schema of its own on the server of `scripts/postgres.sh`; `None` without one: then a test says so and shows
/// nothing.
pub(super) fn database() -> Option<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = env::var("KAKUNIN_TEST_POSTGRES") else {
        eprintln!("SKIPPED: no PostgreSQL server here; run it by scripts/postgres.sh cargo test ...");
        return None;
    };
    let name = format!("nodes_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    Client::connect(&server, NoTls).unwrap().batch_execute(&format!("CREATE SCHEMA {name}")).unwrap();
    Some(format!("{server}&options=-csearch_path%3D{name}"))
}

/// A desk whose authority has its records in that database, with the agent `billing`.
pub(super) fn desk(database: &str) -> Desk {
    let desk = Desk::empty();
    desk.yes(&["init", "--store", database]);
    desk.yes(&["agent", "create", "billing", "--scope", "scope.toml", "--out", "agents/billing"]);
    desk
}

/// A second node, with a copy of the first one's home.
pub(super) struct Second {
    process: Child,
    url: String,
    ready: PathBuf,
}

impl Second {
    pub(super) fn open(desk: &Desk, url_of_first: &str) -> Self {
        let home = desk.path("second");
        let copied = Command::new("cp").arg("-r").arg(desk.path(".kakunin")).arg(&home).status().unwrap();
        assert!(copied.success());
        fs::remove_file(home.join("serving")).unwrap();
        let ready = desk.path("second.json");
        let log = fs::File::create(desk.path("second.log")).unwrap();
        let mut command = desk.command(&[
            "serve",
            "--home",
            "second",
            "--listen",
            "127.0.0.1:0",
            "--ready-file",
            "second.json",
        ]);
        let process = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let url = wait("the second node stands by", || {
            fs::read_to_string(home.join("serving")).ok().filter(|url| !url.is_empty())
        });
        let second = Self { process, url, ready };
        wait("the second node knows who leads", || {
            let ready = second.try_send(&Request::get("/ready"))?;
            let leader = ready.json().get("leader").and_then(Value::as_str).map(str::to_owned);
            (ready.status == 503 && leader.as_deref() == Some(url_of_first)).then_some(())
        });
        second
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub(super) fn try_send(&self, request: &Request) -> Option<Reply> {
        request.try_send(self.address())
    }

    /// Sends it a signal, such as `STOP`.
    pub(super) fn signal(&self, name: &str) {
        let (name, id) = (format!("-{name}"), self.process.id().to_string());
        assert!(Command::new("kill").args([name, id]).status().unwrap().success());
    }

    /// Waits until it leads, and says how long that took.
    pub(super) fn leads(&self) -> Duration {
        let start = Instant::now();
        wait("the second node leads", || {
            let ready = self.try_send(&Request::get("/ready"))?;
            (ready.status == 200 && self.ready.exists()).then_some(())
        });
        start.elapsed()
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_node_that_stands_by_takes_over_and_the_feed_goes_on() {
    let Some(database) = database() else { return };
    let desk = desk(&database);
    let first = Office::open(&desk);
    let owner = first.owner().to_owned();
    let (mut watcher, serial) = Watcher::of(&first, "billing");
    let mut listener = Listener::open(&first, &watcher.question("/v1/feed", 0));
    assert_eq!(first.post("/v1/agents/billing/suspend", &json!({ "reason": "drift" })).status, 200);
    watcher.listen(&mut listener, 1);
    assert_eq!(watcher.standing(&serial), Standing::Held);

    let second = Second::open(&desk, first.url());
    assert_eq!(second.try_send(&Request::get("/health")).unwrap().status, 200);
    for request in [
        Request::get("/v1/crl"),
        Request::get("/v1/agents").bearer(&owner),
        Request::post("/v1/agents/billing/revoke", &json!({})).bearer(&owner),
        Request::get(&watcher.question("/v1/feed", 0)),
    ] {
        let refused = second.try_send(&request).unwrap();
        assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{}", refused.text());
        let body = refused.json();
        assert_eq!((&body["code"], &body["leader"]), (&json!("authority.standby"), &json!(first.url())));
    }

    let lists = first.get("/v1/crl");
    let before: u64 = lists.header("x-crl-number").parse().unwrap();
    first.kill();
    let took = second.leads();
    eprintln!("the second node led after {took:?}");
    // The same numbers go on, and what the first one answered is there.
    let lists = second.try_send(&Request::get("/v1/crl")).unwrap();
    assert!(lists.header("x-crl-number").parse::<u64>().unwrap() > before);
    watcher.again();
    let mut listener = Listener::connect(second.address(), &watcher.question("/v1/feed", 1));
    let revoked = Request::post("/v1/agents/billing/revoke", &json!({ "reason": "key compromise" }));
    let revoked = second.try_send(&revoked.bearer(&owner)).unwrap();
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    assert_eq!(revoked.json()["data"]["epoch"], 2);
    watcher.listen(&mut listener, 2);
    assert_eq!((watcher.standing(&serial), watcher.last()), (Standing::Revoked, Some(Progress::Current)));
}

#[test]
fn a_leader_that_slept_through_a_takeover_writes_and_signs_nothing() {
    let Some(database) = database() else { return };
    let desk = desk(&database);
    let mut first = Office::open(&desk);
    let owner = first.owner().to_owned();
    let (watcher, _) = Watcher::of(&first, "billing");
    let second = Second::open(&desk, first.url());
    first.signal("STOP");
    second.leads();
    let revoke = Request::post("/v1/agents/billing/revoke", &json!({ "reason": "stolen" })).bearer(&owner);
    assert_eq!(second.try_send(&revoke).unwrap().status, 200);
    let address = first.url().strip_prefix("http://").unwrap().to_owned();
    // They wait in the kernel until the first one wakes, and are the first that it sees then.
    let (feed, resume) = (
        Request::get(&watcher.question("/v1/feed/poll", 0)),
        Request::post("/v1/agents", &json!({ "name": "late", "scope": { "actions": ["read:*"] } }))
            .bearer(&owner),
    );
    let asked: Vec<_> = [feed, resume]
        .into_iter()
        .map(|request| {
            let address = address.clone();
            thread::spawn(move || request.try_send(&address))
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    first.signal("CONT");
    for asked in asked {
        if let Some(reply) = asked.join().unwrap() {
            let code = reply.json()["code"].as_str().unwrap().to_owned();
            // It ends as soon as it knows.
            assert!(reply.status == 503 && ["authority.standby", "ending"].contains(&&*code), "{code}");
        }
    }
    assert_eq!(first.ended(), Some(2), "{}", first.log());
    let known = second.try_send(&Request::get("/v1/agents").bearer(&owner)).unwrap().json();
    assert_eq!(known["meta"]["total"], 1, "{known}");
}

#[test]
fn a_freeze_holds_at_the_node_that_takes_over() {
    let Some(database) = database() else { return };
    let desk = desk(&database);
    let first = Office::open(&desk);
    let owner = first.owner().to_owned();
    let second = Second::open(&desk, first.url());
    assert_eq!(first.post("/v1/freeze", &json!({ "reason": "leaked" })).status, 200);
    let certify = || Request::post("/v1/agents/billing/certify", &json!({})).bearer(&owner);
    let refused = first.send(&certify());
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("issuance.frozen")));
    first.kill();
    second.leads();
    let refused = second.try_send(&certify()).unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("issuance.frozen")));
    let revoke = Request::post("/v1/agents/billing/suspend", &json!({ "reason": "drift" })).bearer(&owner);
    assert_eq!(second.try_send(&revoke).unwrap().status, 200);
    let thaw = Request::new("DELETE", "/v1/freeze").bearer(&owner);
    assert_eq!(second.try_send(&thaw).unwrap().json()["data"]["frozen"], false);
    let resume = Request::post("/v1/agents/billing/resume", &json!({})).bearer(&owner);
    assert_eq!(second.try_send(&resume).unwrap().status, 200);
    assert_eq!(second.try_send(&certify()).unwrap().status, 201);
}

#[test]
fn what_was_handed_in_at_one_node_is_acted_upon_once_whichever_node_does_it() {
    let Some(database) = database() else { return };
    let desk = desk(&database);
    let first = Office::open(&desk);
    let owner = first.owner().to_owned();
    let second = Second::open(&desk, first.url());
    let said = json!({ "agent_id": "billing", "action_type": "unauthorized_access_attempt" });
    for _ in 0..3 {
        assert_eq!(first.post("/v1/events", &said).status, 200);
    }
    // It may have acted already, or have kept what follows, or neither.
    first.kill();
    second.leads();
    let ask = |path: &str| second.try_send(&Request::get(path).bearer(&owner)).map(|reply| reply.json());
    let settled = wait("it is suspended, and that is signed", || {
        let known = ask("/v1/agents/billing/risk")?;
        let events = known.pointer("/data/behaviour/events").and_then(Value::as_array)?.clone();
        let is_held = known.pointer("/data/standing").is_some_and(|standing| standing == "held");
        (is_held && events.iter().all(|event| event["signature"].is_string())).then_some(events)
    });
    let levels: Vec<_> = settled.iter().map(|event| event["level"].as_str().unwrap()).collect();
    assert_eq!(levels.iter().filter(|level| **level == "suspend").count(), 1, "{levels:?}");
    let log = ask("/v1/audit-log?event_type=risk.suspend").unwrap();
    let rows = log["data"].as_array().unwrap();
    assert_eq!(rows.iter().filter(|row| row["outcome"] == "done").count(), 1, "{log:#}");
    let metrics = second.try_send(&Request::get("/metrics")).unwrap().text();
    assert!(metrics.contains("\nkakunin_feed_epoch 1\n"), "{metrics}");
}

#[test]
fn a_node_without_the_keys_does_not_stand_by() {
    let Some(database) = database() else { return };
    let desk = desk(&database);
    fs::create_dir(desk.path("bare")).unwrap();
    fs::copy(desk.path(".kakunin/store"), desk.path("bare/store")).unwrap();
    let output = desk.run(&["serve", "--home", "bare", "--listen", "127.0.0.1:0"]);
    let (_, text) = crate::desk::texts(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("issuing/1.pem is not here: copy the folders"), "{text}");
}

#[test]
fn a_local_command_names_the_node_that_leads() {
    let Some(database) = database() else { return };
    let desk = desk(&database);
    let first = Office::open(&desk);
    let copied = Command::new("cp").arg("-r").arg(desk.path(".kakunin")).arg(desk.path("other")).status();
    assert!(copied.unwrap().success());
    fs::remove_file(desk.path("other/serving")).unwrap();
    let (_, text) =
        crate::desk::texts(&desk.run(&["revoke", "billing", "--reason", "stolen", "--home", "other"]));
    assert!(text.contains(&format!("pass --url {}", first.url())), "{text}");
    // To read, nobody has to lead.
    desk.yes(&["agent", "show", "billing", "--home", "other"]);
    assert_eq!(first.end(), Some(0));
    desk.yes(&["revoke", "billing", "--reason", "stolen", "--home", "other"]);
}
