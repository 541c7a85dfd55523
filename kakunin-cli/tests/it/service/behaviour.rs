//! Drift of a real agent leads to its end without a person, and nothing that somebody only says does.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use kakunin_authority::standing::Standing;
use kakunin_authority::store::{Agents, SqliteStore};
use kakunin_authority::watch::RISK_RECEIPT;
use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::journal::{JournalOptions, Sealing, StreamReader, locate};
use kakunin_core::key::Signer;
use kakunin_core::request::ActionRequest;
use kakunin_core::revocation::Standing as Listed;
use serde_json::{Value, json};

use super::ingest::{counts, request};
use super::listener::{Listener, Watcher, ders};
use super::office::{Office, wait};
use super::receiver::Receiver;
use super::robot::Robot;
use super::web::Request;
use crate::desk::Desk;

/// Small, so that a test need not wait for a fortnight: nothing else is different.
const POLICY: &str = "average_run_length = 1000
window = 10
canaries = [\"read:payroll\"]
[baseline]
calls = 150
days = 0
least = 100
[suspend]
score = 750
calls = 10
[revoke]
score = 900
calls = 20
";

/// What the agent usually does.
const USUAL: [&str; 4] = ["read:orders", "read:order", "read:customer", "read:order"];

struct Scene {
    desk: Desk,
}

impl Scene {
    fn new() -> Self {
        Self::with(POLICY)
    }

    fn with(policy: &str) -> Self {
        let desk = Desk::with_billing();
        fs::write(desk.path("policy.toml"), policy).unwrap();
        Self { desk }
    }

    /// The service, whose lists guards read as a file.
    fn office(&self) -> Office<'_> {
        Office::open_with(
            &self.desk,
            &["--risk-policy", "policy.toml", "--without-feed", "--webhooks-to-loopback"],
        )
    }

    fn guard(&self) -> Guard {
        let journal = JournalOptions { sealing: Some(Sealing::Each), ..JournalOptions::default() };
        let options = GuardOptions { journal, ..GuardOptions::default() };
        let home = AgentHome::open(&self.desk.path("agents/billing"), None).unwrap();
        Guard::open(home, options).unwrap()
    }

    /// Lets the agent ask for these, in a stream of their own.
    fn act<'a>(&self, actions: impl IntoIterator<Item = &'a str>) {
        let guard = self.guard();
        for action in actions {
            if let Ok(permit) = guard.admit(&ActionRequest::new(action)) {
                permit.begin().unwrap().returned();
            }
        }
        guard.close();
    }

    fn lines(&self) -> Vec<String> {
        let journal = locate(&self.desk.path("agents/billing")).unwrap();
        let streams = StreamReader::streams(&journal).unwrap();
        let entries = streams.into_iter().flatten().map(Result::unwrap);
        entries.map(|entry| entry.to_log_entry().unwrap()).collect()
    }

    fn upload(&self, office: &Office<'_>, key: &str) {
        for some in self.lines().chunks(400) {
            assert_eq!(counts(&office.send(&request(key, some))).0, 200);
        }
    }

    /// The agent itself, by its own key.
    fn robot(&self, office: &Office<'_>) -> Robot {
        let home = self.desk.path("agents/billing");
        let key = AgentHome::open(&home, None).unwrap().key().unwrap();
        let text = |name: &str| fs::read_to_string(home.join(name)).unwrap();
        let papers = json!({ "pem": text("agent.pem"), "chain_pem": text("chain.pem") });
        Robot::with(office, Arc::new(Signer::soft(key)), papers)
    }

    /// A baseline of usual work, frozen by the service.
    fn learnt(&self, office: &Office<'_>, key: &str) {
        self.act(USUAL.into_iter().cycle().take(240));
        self.upload(office, key);
        let known = until(office, "a baseline", |known| !of(known, "/baseline").is_null());
        assert_eq!(of(&known, "/level"), "clear");
    }

    /// What nobody saw of it before: it looks for something, is refused, and looks on.
    fn drift(&self) {
        let names: Vec<String> = (0..160)
            .map(|number| match number % 3 {
                0 => format!("write:file-{}", number % 7),
                1 => "read:secrets".to_owned(),
                _ => format!("admin:grant-{}", number % 5),
            })
            .collect();
        self.act(names.iter().map(String::as_str));
    }

    fn standing(&self) -> Standing {
        let store = SqliteStore::reader(&self.desk.path(".kakunin/store.sqlite")).unwrap();
        let agents = store.agents(&kakunin_authority::access::TenantId::default()).unwrap();
        agents.first().unwrap().standing
    }
}

fn of<'a>(value: &'a Value, place: &str) -> &'a Value {
    value.pointer(place).unwrap_or(&Value::Null)
}

fn risk(office: &Office<'_>) -> Value {
    office.get_as_owner("/v1/agents/billing/risk").json().get("data").unwrap().clone()
}

/// Waits until what is known of the agent is so.
fn until(office: &Office<'_>, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let known = risk(office);
        if is_so(&known) {
            return known;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{what}: {known:#}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn stands(office: &Office<'_>, standing: &str) -> Value {
    until(office, standing, |known| of(known, "/standing") == standing)
}

fn events(office: &Office<'_>) -> Vec<Value> {
    let answer = office.get_as_owner("/v1/agents/billing/risk/events?limit=100").json();
    answer.get("data").and_then(Value::as_array).unwrap().clone()
}

/// Waits until the guard refuses with this code.
fn is_denied(guard: &Guard, code: &str) {
    let start = Instant::now();
    loop {
        let refused = match guard.admit(&ActionRequest::new("read:orders")).and_then(|pass| pass.begin()) {
            Err(denied) => denied.reason().code(),
            Ok(running) => {
                running.returned();
                "none"
            }
        };
        if refused == code {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{refused}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether the authority signed the line of an event.
fn is_signed(scene: &Scene, event: &Value) -> bool {
    let chain = fs::read(scene.desk.path("agents/billing/chain.pem")).unwrap();
    let issuing = CaCertificate::decode(ders(&chain).first().unwrap(), CaRole::Issuing).unwrap();
    let key = issuing.decoded().key();
    assert_eq!(of(event, "/signed_by"), &json!(key.key_id().to_hex()));
    let hex = of(event, "/signature").as_str().unwrap();
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap().try_into().unwrap()).collect();
    let octets: Vec<u8> =
        digits.chunks(2).map(|two| two.iter().fold(0, |octet, digit| octet << 4 | digit)).collect();
    let line = of(event, "/line").as_str().unwrap();
    key.verify_x509([RISK_RECEIPT, line.as_bytes()].concat().as_slice(), &octets).is_ok()
}

#[test]
fn drift_revokes_without_a_person_and_the_running_guard_denies() {
    let scene = Scene::new();
    let (office, receiver) = (scene.office(), Receiver::new());
    let key = office.key(&json!({ "role": "ingest" }));
    let hook = json!({ "url": receiver.url(), "events": ["agent.risk", "agent.revoked"] });
    assert_eq!(office.post("/v1/webhooks", &hook).status, 201);
    scene.learnt(&office, &key);
    let running = scene.guard();
    running.admit(&ActionRequest::new("read:orders")).unwrap().begin().unwrap().returned();
    scene.drift();
    scene.upload(&office, &key);
    let known = stands(&office, "revoked");
    is_denied(&running, "certificate.revoked");
    assert_eq!((of(&known, "/level"), of(&known, "/agent_status")), (&json!("revoke"), &json!("retired")));
    assert!(of(&known, "/score").as_u64().unwrap() >= 900, "{known:#}");
    assert!(of(&known, "/features").as_array().unwrap().len() >= 2, "{known:#}");
    // Each step is signed by the authority, with what caused it, and whoever changes a letter has no signature.
    let all = events(&office);
    let levels: Vec<_> = all.iter().rev().map(|event| of(event, "/level").as_str().unwrap()).collect();
    assert!(levels.ends_with(&["suspend", "revoke"]), "{levels:?}");
    for event in &all {
        assert!(is_signed(&scene, event), "{event:#}");
    }
    let last = all.first().unwrap();
    assert_eq!(of(last, "/said/reason"), "drift");
    assert_eq!(of(last, "/said/baseline"), of(&known, "/baseline"));
    assert!(
        !of(last, "/said/change/receipt").is_null()
            && !of(last, "/said/change/evidence/0/sentence").is_null()
    );
    let mut forged = last.clone();
    forged["line"] =
        of(last, "/line").as_str().unwrap().replace("\"to\":\"revoke\"", "\"to\":\"watch\"").into();
    assert!(!is_signed(&scene, &forged));
    // The audit log has the order, by the authority itself, with the same line.
    let log = office.get_as_owner("/v1/audit-log?event_type=risk.revoke").json();
    assert_eq!(of(&log, "/data/0/actor_type"), "authority");
    assert_eq!(of(&log, "/data/0/outcome"), "done");
    assert!(log.to_string().contains("two windows of 10 calls"), "{log:#}");
    // And whoever wants to know was told.
    let told = |word: &str| receiver.heard().iter().any(|heard| heard.event() == word);
    let start = Instant::now();
    while !(told("agent.risk") && told("agent.revoked")) {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", receiver.heard());
        thread::sleep(Duration::from_millis(20));
    }
    let heard = receiver.heard();
    let revoked = heard.iter().find(|heard| of(&heard.body, "/data/level") == "revoke");
    assert!(revoked.is_some_and(|heard| of(&heard.body, "/data/reason") == "drift"), "{heard:?}");
    let text = office.get("/metrics").text().to_owned();
    assert!(text.contains("\nkakunin_risk_agents{level=\"revoke\"} 1\n"), "{text}");
    // What comes of it afterwards is kept all the same.
    scene.upload(&office, &key);
}

#[test]
fn suspension_and_revocation_by_drift_reach_feed_webhooks_log_and_metrics_with_their_evidence() {
    let scene = Scene::new();
    // Guards go by the file here; the service that has a feed looks at what they did afterwards.
    scene.act(USUAL.into_iter().cycle().take(240));
    let usual = scene.lines();
    scene.drift();
    let drifted: Vec<String> = scene.lines().into_iter().filter(|line| !usual.contains(line)).collect();
    let (office, receiver) = (
        Office::open_with(&scene.desk, &["--risk-policy", "policy.toml", "--webhooks-to-loopback"]),
        Receiver::new(),
    );
    let words = ["agent.risk", "agent.suspended", "agent.revoked"];
    let hook = json!({ "url": receiver.url(), "events": words });
    assert_eq!(office.post("/v1/webhooks", &hook).status, 201);
    let (mut watcher, serial) = Watcher::of(&office, "billing");
    let mut feed = Listener::open(&office, &watcher.question("/v1/feed", 0));
    let key = office.key(&json!({ "role": "ingest" }));
    let send = |lines: &[String]| {
        lines.chunks(400).for_each(|some| assert_eq!(counts(&office.send(&request(&key, some))).0, 200));
    };
    send(&usual);
    until(&office, "a baseline", |known| !of(known, "/baseline").is_null());
    send(&drifted);
    // The feed: held first, which can be taken back, and then revoked.
    watcher.listen(&mut feed, 1);
    assert_eq!(watcher.standing(&serial), Listed::Held);
    watcher.listen(&mut feed, 2);
    assert_eq!(watcher.standing(&serial), Listed::Revoked);
    // Each of the two is a line that the authority signed, with the receipt that led there and what spoke for it.
    until(&office, "signed", |_| events(&office).iter().all(|event| !of(event, "/signature").is_null()));
    let all = events(&office);
    for to in ["suspend", "revoke"] {
        let event = all.iter().find(|event| of(event, "/said/change/to") == to).unwrap();
        assert!(is_signed(&scene, event), "{event:#}");
        let led = of(event, "/said/change/receipt").as_str().unwrap();
        let led = office.get_as_owner("/v1/agents/billing/forensics?limit=1000").text().contains(led);
        assert!(led, "the receipt is one that was sent: {event:#}");
        let evidence = of(event, "/said/change/evidence").as_array().unwrap();
        assert!(!evidence.is_empty() && evidence.iter().all(|each| each["sentence"] != ""), "{event:#}");
    }
    // Webhooks: the change of level with its evidence, and the order that it was.
    for (word, order) in [("suspend", "agent.suspended"), ("revoke", "agent.revoked")] {
        let heard = wait(word, || {
            let heard = receiver.heard();
            heard.iter().find(|heard| heard.event() == order)?;
            let of_level = |heard: &&super::receiver::Heard| {
                heard.event() == "agent.risk" && of(&heard.body, "/data/level") == word
            };
            heard.iter().find(of_level).map(|heard| heard.body.clone())
        });
        assert!(!of(&heard, "/data/evidence/0/sentence").is_null(), "{heard:#}");
        office.logs(&["\"event\":\"risk.level\"", &format!("\"level\":\"{word}\"")]);
    }
    let text = office.get("/metrics").text().to_owned();
    assert!(text.contains("\nkakunin_risk_agents{level=\"revoke\"} 1\n"), "{text}");
    assert!(text.contains("\nkakunin_risk_owed 0\n"), "{text}");
    let settled = text.lines().find_map(|line| line.strip_prefix("kakunin_risk_settled_total "));
    assert!(settled.is_some_and(|many| many.parse::<u64>().unwrap() >= 3), "{text}");
}

#[test]
fn what_a_suspended_agent_tries_is_recorded_by_its_own_proof_and_by_nobody_elses_key() {
    let scene = Scene::new();
    let office = scene.office();
    let robot = scene.robot(&office);
    let suspended = office.post("/v1/agents/billing/suspend", &json!({ "reason": "a drill" }));
    assert_eq!(suspended.status, 200, "{}", suspended.text());
    let guard = scene.guard();
    is_denied(&guard, "certificate.held");
    guard.close();
    let lines = scene.lines();
    let body = lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
    let sent = robot.send(Request { body, ..Request::new("POST", "/v1/receipts") });
    assert_eq!(counts(&sent), (200, Some(lines.len() as u64), Some(0)), "{}", sent.text());
    // Its attempts are there to be read, and were looked at; nothing follows from them.
    let known = until(&office, "attempts", |known| !of(known, "/behaviour/last_receipt_at").is_null());
    assert!(of(&known, "/receipts/denied").as_u64().unwrap() > 0, "{known:#}");
    assert_eq!((of(&known, "/level"), of(&known, "/standing")), (&json!("clear"), &json!("held")));
    let kept = office.get_as_owner("/v1/agents/billing/forensics").text().to_owned();
    assert!(kept.contains("\"certificate.held\"") && kept.contains("read:orders"), "{kept}");
    // For anything else its proof counts as little as before.
    let acked = robot.send(Request::post("/v1/feed/ack", &json!({})));
    assert_eq!((acked.status, acked.json()["code"].as_str()), (401, Some("certificate.held")));
}

#[test]
fn a_policy_holds_back_at_suspension_and_a_person_releases() {
    let scene = Scene::new();
    let office = scene.office();
    let key = office.key(&json!({ "role": "ingest" }));
    scene.learnt(&office, &key);
    let put = |text: &str, key: &str| {
        let body = json!({ "policy": text }).to_string().into_bytes();
        office.send(&Request { body, ..Request::new("PUT", "/v1/agents/billing/risk-policy") }.bearer(key))
    };
    let wrong = put("higest = \"suspend\"\n", office.owner());
    assert_eq!((wrong.status, wrong.json()["code"].as_str()), (422, Some("risk.policy")));
    assert!(wrong.text().contains("line 1") && wrong.text().contains("higest"), "{}", wrong.text());
    // Who releases may not set what releases.
    let revoker = office.key(&json!({ "role": "revoker" }));
    assert_eq!(put("", &revoker).status, 403);
    let own = format!("highest = \"suspend\"\n{POLICY}");
    let set = put(&own, office.owner()).json();
    assert_eq!(of(&set, "/data/own"), &json!(true), "{set:#}");
    assert_eq!(of(&set, "/data/effective/highest"), "suspend");
    scene.drift();
    scene.upload(&office, &key);
    let known = stands(&office, "held");
    assert_eq!(of(&known, "/level"), "suspend");
    let held = scene.guard();
    is_denied(&held, "certificate.held");
    held.close();
    // What it tries meanwhile is recorded, and does not make it worse.
    scene.upload(&office, &key);
    let receipts =
        of(&until(&office, "attempts", |known| of(known, "/receipts/denied").as_u64() > Some(0)), "/level")
            .clone();
    assert_eq!(receipts, "suspend");
    let resumed = office.send(
        &Request::post("/v1/agents/billing/resume", &json!({ "reason": "it was a drill" })).bearer(&revoker),
    );
    assert_eq!(resumed.status, 200);
    // By whom says the audit log; usual work goes on from there.
    scene.act(USUAL.into_iter().cycle().take(40));
    scene.upload(&office, &key);
    until(&office, "released", |known| of(known, "/level") == "clear");
    let all = events(&office);
    let released = all.iter().find(|event| of(event, "/said/reason") == "released").unwrap();
    assert!(released.to_string().contains("released by"), "{released:#}");
    assert_eq!(of(&risk(&office), "/standing"), "good");
    // It is learnt anew only by a named person with a reason, and the new baseline names the old one.
    let again = |body: &Value, key: &str| {
        office.send(&Request::post("/v1/agents/billing/risk/rebaseline", body).bearer(key))
    };
    let before = of(&risk(&office), "/baseline").clone();
    assert_eq!(again(&json!({}), &revoker).status, 400);
    assert_eq!(again(&json!({ "reason": "new work" }), &key).status, 403);
    // What led to the suspension is left out, unless somebody says that it is usual, too.
    let short = again(&json!({ "reason": "new work" }), &revoker);
    assert_eq!((short.status, short.json()["code"].as_str()), (422, Some("risk.too_little")));
    assert!(short.text().contains("`before_release` takes that in"), "{}", short.text());
    let done = again(&json!({ "reason": "new work", "before_release": true }), &revoker).json();
    assert_eq!(of(&done, "/data/replaces"), &before, "{done:#}");
    let text = office.get_as_owner("/v1/agents/billing/risk/baseline");
    let digest = kakunin_core::digest::Digest::of(&text.body).to_hex();
    assert_eq!(of(&done, "/data/baseline"), &json!(digest));
    until(&office, "settled", |_| events(&office).iter().all(|event| !of(event, "/signature").is_null()));
    let newest = events(&office).into_iter().find(|event| of(event, "/kind") == "baseline").unwrap();
    assert_eq!((of(&newest, "/said/replaces"), of(&newest, "/said/reason")), (&before, &json!("new work")));
    assert!(is_signed(&scene, &newest));
    // From a terminal it is the same, over the network and at the home.
    let arguments = ["risk", "show", "billing", "--url", office.url(), "--json"];
    let shown = scene.desk.command(&arguments).env("KAKUNIN_TOKEN", office.owner()).output().unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["level"], &shown["baseline"]), (&json!("clear"), of(&done, "/data/baseline")));
    drop(office);
    let here = scene.desk.yes(&["risk", "show", "billing"]);
    assert_eq!((&here["level"], &here["baseline"]), (&json!("clear"), of(&done, "/data/baseline")));
    let again = ["risk", "rebaseline", "billing", "--reason", "at the home", "--policy", "policy.toml"];
    let short = scene.desk.run(&again);
    assert_eq!(short.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&short.stderr).contains("--before-release takes that in"), "{short:?}");
    let frozen = scene.desk.yes(&[&again[..], &["--before-release"]].concat())["baseline"].clone();
    assert_eq!(scene.desk.yes(&["risk", "show", "billing"])["baseline"], frozen);
    // It is owed until a service is there to sign it.
    let office = Office::open_with(
        &scene.desk,
        &["--risk-policy", "policy.toml", "--without-feed", "--new-owner-key"],
    );
    until(&office, "signed", |_| events(&office).iter().all(|event| !of(event, "/signature").is_null()));
    let newest = events(&office).into_iter().find(|event| of(event, "/kind") == "baseline").unwrap();
    assert_eq!(
        (of(&newest, "/said/by"), of(&newest, "/said/reason")),
        (&json!("local"), &json!("at the home"))
    );
}

#[test]
fn events_that_are_only_declared_never_revoke_however_many_there_are() {
    let scene = Scene::new();
    let office = scene.office();
    let key = office.key(&json!({ "role": "ingest" }));
    scene.learnt(&office, &key);
    // Minimum evidence: nobody is suspended before so many calls were watched.
    scene.act(USUAL.into_iter().cycle().take(20));
    scene.upload(&office, &key);
    until(&office, "looked at", |known| of(known, "/behaviour/allowed_calls").as_u64() >= Some(260));
    let declare = |minutes_ago: i64| {
        let at = super::robot::now().plus(-60 * minutes_ago).to_string();
        let event =
            json!({ "agent_id": "billing", "action_type": "unauthorized_access_attempt", "occurred_at": at });
        office.send(&Request::post("/v1/events", &event).bearer(&key)).status
    };
    let accepted =
        (0..60).map(|number| declare(if number % 2 == 0 { 0 } else { 90 })).filter(|it| *it == 200);
    assert!(accepted.count() >= 3);
    // As in the hosted service, a few that are high suspend it; and that is the end of what they can do.
    let known = stands(&office, "held");
    assert_eq!(of(&known, "/level"), "suspend", "{known:#}");
    for _ in 0..40 {
        declare(0);
    }
    scene.act(USUAL.into_iter().cycle().take(80));
    scene.upload(&office, &key);
    let after = until(&office, "attempts", |known| of(known, "/receipts/denied").as_u64() > Some(0));
    assert_eq!((of(&after, "/standing"), of(&after, "/level")), (&json!("held"), &json!("suspend")));
    assert!(events(&office).iter().all(|event| of(event, "/level") != "revoke"));
    assert!(
        after.to_string().contains("after it is said to have happened")
            || after.to_string().contains("declared")
    );
}

#[test]
fn hard_facts_act_at_once_also_while_an_agent_is_learnt() {
    let scene = Scene::new();
    let office = scene.office();
    let key = office.key(&json!({ "role": "ingest" }));
    // Its certificate allows that, and nobody honest asks for it.
    scene.act(["read:orders", "read:payroll"]);
    scene.upload(&office, &key);
    let known = stands(&office, "revoked");
    assert!(of(&known, "/baseline").is_null());
    let last = events(&office).into_iter().next().unwrap();
    assert_eq!((of(&last, "/said/reason"), of(&last, "/level")), (&json!("hard-fact"), &json!("revoke")));
    assert!(of(&last, "/line").as_str().unwrap().contains("canary-touched"), "{last:#}");
}

#[test]
fn an_agent_that_signs_two_receipts_for_one_place_of_its_stream_is_revoked() {
    let scene = Scene::new();
    let office = scene.office();
    let key = office.key(&json!({ "role": "ingest" }));
    scene.act(["read:orders"]);
    scene.upload(&office, &key);
    // The same call with another time, signed by the same key: one history for this owner and another one for the next.
    let lines = scene.lines();
    let parts = |line: &String| {
        let mut parts = line.split('.').map(str::to_owned);
        (parts.next().unwrap(), Base64UrlUnpadded::decode_vec(&parts.next().unwrap()).unwrap())
    };
    let mut calls = lines.iter().map(parts);
    let (header, call) =
        calls.find(|(_, said)| String::from_utf8_lossy(said).contains("\"dec\":\"allow\"")).unwrap();
    let mut call: BTreeMap<String, Value> = serde_json::from_slice(&call).unwrap();
    let time = call["ts"].as_u64().unwrap();
    call.insert("ts".into(), json!(time + 1));
    let said = Base64UrlUnpadded::encode_string(serde_json::to_string(&call).unwrap().as_bytes());
    let signed = format!("{header}.{said}");
    let signature = scene.robot(&office).signer.sign(signed.as_bytes()).unwrap();
    let forged = format!("{signed}.{}", Base64UrlUnpadded::encode_string(signature.as_bytes()));
    assert_eq!(counts(&office.send(&request(&key, &[forged]))), (200, Some(1), Some(0)));
    stands(&office, "revoked");
    let all = events(&office);
    let last = all.iter().find(|event| of(event, "/level") == "revoke").unwrap();
    assert_eq!(of(last, "/said/reason"), "hard-fact");
    assert!(of(last, "/line").as_str().unwrap().contains("forked-stream"), "{last:#}");
    let place = format!("two receipts with the number {}", call["seq"]);
    assert!(of(last, "/line").as_str().unwrap().contains(&place), "{last:#}");
}

#[test]
fn step_up_notifies_and_fails_the_gate() {
    let scene = Scene::with("");
    let (office, receiver) = (scene.office(), Receiver::new());
    let hook = json!({ "url": receiver.url(), "events": ["agent.risk"] });
    assert_eq!(office.post("/v1/webhooks", &hook).status, 201);
    let said = json!({ "agent_id": "billing", "action_type": "unauthorized_access_attempt" });
    assert_eq!([(); 2].map(|()| office.post("/v1/events", &said).status), [200; 2]);
    let known = until(&office, "step-up", |known| of(known, "/level") == "step-up");
    assert_eq!(of(&known, "/standing"), "good", "it is no order");
    let told = wait("it is told", || {
        let heard = receiver.heard();
        heard.iter().find(|heard| of(&heard.body, "/data/level") == "step-up").map(|it| it.body.clone())
    });
    assert_eq!(of(&told, "/data/evidence/0/feature"), "declared", "{told:#}");
    let gate = office.key(&json!({ "role": "gate" }));
    let asked = Request::post("/v1/integrations/github/gate", &json!({ "agentId": "billing" }));
    let said = office.send(&asked.bearer(&gate)).json();
    assert_eq!((of(&said, "/data/decision"), of(&said, "/data/level")), (&json!("fail"), &json!("step-up")));
    assert!(said.to_string().contains("the level was step-up"), "{said:#}");
}

#[test]
fn an_agent_that_sends_no_receipts_is_suspended_by_what_is_declared_and_never_revoked() {
    let scene = Scene::with("");
    let office = scene.office();
    let key = office.key(&json!({ "role": "ingest" }));
    let declare = || {
        let said = json!({ "agent_id": "billing", "action_type": "unauthorized_access_attempt" });
        office.send(&Request::post("/v1/events", &said).bearer(&key)).status
    };
    assert_eq!([declare(), declare(), declare()], [200; 3]);
    stands(&office, "held");
    // From here on each is kept and refused, and however many they are, that is the end of it.
    for _ in 0..40 {
        assert_eq!(declare(), 422);
    }
    let known = until(&office, "all of them", |known| of(known, "/high_risk_count") == 43);
    assert_eq!((of(&known, "/standing"), of(&known, "/level")), (&json!("held"), &json!("suspend")));
    assert!(events(&office).iter().all(|event| of(event, "/level") != "revoke"));
}

#[test]
fn what_cannot_be_learnt_is_told_in_the_log_to_whoever_asks_and_by_the_gate() {
    let scene = Scene::with("[baseline]\ncalls = 30\ndays = 0\nleast = 1000\n");
    let office = scene.office();
    let key = office.key(&json!({ "role": "ingest" }));
    scene.act(USUAL.into_iter().cycle().take(40));
    scene.upload(&office, &key);
    let known = until(&office, "a try", |known| !of(known, "/behaviour/not_learnt").is_null());
    let why = of(&known, "/behaviour/not_learnt").as_str().unwrap();
    assert!(why.contains("too few for a baseline; 1000 are needed"), "{why}");
    assert_eq!(of(&known, "/behaviour/learning"), &json!(true));
    office.logs(&["\"event\":\"risk.not_learnt\"", "too few for a baseline"]);
    let gate = office.key(&json!({ "role": "gate" }));
    let asked = Request::post("/v1/integrations/github/gate", &json!({ "agentId": "billing" }));
    let said = office.send(&asked.bearer(&gate)).json();
    assert_eq!(of(&said, "/data/decision"), "fail");
    assert!(said.to_string().contains("could not be learnt: "), "{said:#}");
    let arguments = ["risk", "show", "billing", "--url", office.url()];
    let shown = scene.desk.command(&arguments).env("KAKUNIN_TOKEN", office.owner()).output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("not learnt"), "{shown:?}");
}

#[test]
fn what_was_kept_before_a_kill_is_acted_upon_after_it() {
    // The service may have been faster than the kill; then it is tried again with another one.
    for _ in 0..8 {
        let scene = Scene::new();
        let office = scene.office();
        let key = office.key(&json!({ "role": "ingest" }));
        scene.act(USUAL.into_iter().cycle().take(60));
        scene.upload(&office, &key);
        scene.act(["read:payroll"]);
        scene.upload(&office, &key);
        office.kill();
        let early = scene.standing() == Standing::Good;
        let office = scene.office();
        let start = Instant::now();
        while scene.standing() != Standing::Revoked {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing came of it");
            thread::sleep(Duration::from_millis(20));
        }
        drop(office);
        if early {
            return;
        }
    }
    panic!("eight times it was revoked before the kill");
}

fn check(office: &Office<'_>, key: &str, body: &Value) -> (u16, Value) {
    let reply = office.send(&Request::post("/v1/agents/billing/content-risk", body).bearer(key));
    (reply.status, reply.json())
}

#[test]
fn a_text_is_checked_and_not_kept_and_what_is_found_is_evidence() {
    let scene = Scene::new();
    let office = scene.office();
    let key = office.key(&json!({ "role": "ingest" }));
    let said = "Dear customer, we guarantee it. The key is AKIAIOSFODNN7EXAMPLE and the IBAN DE89370400440532013000.";
    let body = json!({ "text": said, "source": "mail", "message_id": "m-1" });
    let (status, answer) = check(&office, &key, &body);
    assert_eq!((status, of(&answer, "/data/accepted")), (202, &json!(true)));
    assert_eq!(of(&answer, "/data/agent_id"), of(&risk(&office), "/agent_id"));
    let known = until(&office, "evidence", |known| {
        of(known, "/features").as_array().is_some_and(|all| all.contains(&json!("content")))
    });
    assert_eq!((of(&known, "/content/verdict"), of(&known, "/content/found")), (&json!("found"), &json!(1)));
    let found = of(&known, "/content/newest/0/findings").to_string();
    for what in ["aws-access-key", "iban", "guarantee"] {
        assert!(found.contains(what), "{found}");
    }
    assert_eq!(check(&office, &key, &json!({ "text": "The order was sent." })).0, 202);
    assert_eq!(of(&until(&office, "clean", |known| of(known, "/content/clean") == 1), "/content/found"), 1);
    for wrong in [
        json!({}),
        json!({ "text": "" }),
        json!({ "text": "x".repeat(20_001) }),
        json!({ "text": "x", "y": 1 }),
    ] {
        assert_eq!(check(&office, &key, &wrong).0, 400);
    }
    let auditor = office.key(&json!({ "role": "auditor" }));
    assert_eq!(check(&office, &auditor, &body).0, 403);
    drop(office);
    // The words are nowhere.
    for name in ["store.sqlite", "store.sqlite-wal"] {
        let bytes = fs::read(scene.desk.path(".kakunin").join(name)).unwrap_or_default();
        let holds = |words: &str| bytes.windows(words.len()).any(|some| some == words.as_bytes());
        assert!(!holds("AKIAIOSFODNN7EXAMPLE") && !holds("Dear customer"), "{name}");
    }
    assert!(!fs::read_to_string(scene.desk.path("service.log")).unwrap().contains("AKIA"));
}

#[test]
fn a_judge_that_does_not_answer_leaves_the_check_unknown() {
    let scene = Scene::new();
    // It answers every request with a text that is no judgement.
    let judge = Receiver::new();
    let url = format!("http://127.0.0.1:{}/v1", judge.port);
    let asking = ["--webhooks-to-loopback", "--content-judge", &url, "--content-model", "small"];
    let office = Office::open_with(&scene.desk, &asking);
    let key = office.key(&json!({ "role": "ingest" }));
    assert_eq!(check(&office, &key, &json!({ "text": "The order was sent." })).0, 202);
    let known = until(&office, "unknown", |known| of(known, "/content/unknown") == 1);
    assert_eq!(
        (of(&known, "/content/verdict"), of(&known, "/content/clean")),
        (&json!("unknown"), &json!(0))
    );
    let asked = judge.heard().first().unwrap().body.clone();
    assert_eq!((of(&asked, "/model"), of(&asked, "/temperature")), (&json!("small"), &json!(0)));
    assert_eq!(of(&asked, "/messages/1/content"), "The order was sent.");
    // What this machine finds is found, whatever becomes of the other one.
    let secret = json!({ "text": "password: hunter2hunter2" });
    assert_eq!(check(&office, &key, &secret).0, 202);
    until(&office, "found", |known| of(known, "/content/found") == 1);
    // One that hangs is waited for by nobody, and a text that was on its way at the end is unknown.
    judge.then(&[super::receiver::Does::Hang]);
    assert_eq!(check(&office, &key, &json!({ "text": "Another order was sent." })).0, 202);
    until(&office, "pending", |known| of(known, "/content/pending") == 1);
    let owner = office.owner().to_owned();
    office.kill();
    let office = Office::open_with(&scene.desk, &["--without-feed"]);
    let start = Instant::now();
    loop {
        let reply = office.send(&Request::get("/v1/agents/billing/risk").bearer(&owner)).json();
        if of(&reply, "/data/content/unknown") == 2 {
            assert_eq!(of(&reply, "/data/content/pending"), 0);
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{reply:#}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_this_machine_finds_is_evidence_before_another_judge_answers_and_after_a_kill() {
    let scene = Scene::new();
    let judge = Receiver::new();
    judge.then(&[super::receiver::Does::Hang]);
    let url = format!("http://127.0.0.1:{}/v1", judge.port);
    let asking = ["--webhooks-to-loopback", "--content-judge", &url, "--content-model", "small"];
    let office = Office::open_with(&scene.desk, &asking);
    let key = office.key(&json!({ "role": "ingest" }));
    assert_eq!(check(&office, &key, &json!({ "text": "password: hunter2hunter2" })).0, 202);
    let known = until(&office, "evidence", |known| {
        of(known, "/features").as_array().is_some_and(|all| all.contains(&json!("content")))
    });
    assert_eq!((of(&known, "/content/pending"), of(&known, "/content/found")), (&json!(1), &json!(0)));
    let owner = office.owner().to_owned();
    office.kill();
    let office = Office::open_with(&scene.desk, &["--without-feed"]);
    wait("the check has its end", || {
        let known = office.send(&Request::get("/v1/agents/billing/risk").bearer(&owner)).json();
        let content = of(&known, "/data/content").clone();
        assert_eq!(content["unknown"], 0, "{content:#}");
        (content["found"] == 1 && content["newest"][0]["findings"][0]["kind"] == "secret").then_some(())
    });
}
