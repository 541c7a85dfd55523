//! Checkpoints that agents were shown: kept when that is answered, and two that cannot both be true are evidence.

use std::path::Path;

use base64ct::{Base64, Encoding as _};
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::log::{Log, LogKey};
use serde_json::{Value, json};

use super::office::{Office, wait};
use super::receiver::Receiver;
use super::robot::Robot;
use super::web::{Reply, Request};
use crate::desk::Desk;

/// A log of which there are two histories after the first three entries: 3 and 5 entries, and 4 and 5 others.
pub(super) struct Forked {
    vkey: String,
    three: String,
    five: String,
    proof: Value,
    other_four: String,
    other_five: String,
    /// From the second history.
    other_proof: Value,
}

impl Forked {
    pub(super) fn new(folder: &Path, origin: &str) -> Self {
        let (_, secret) = SoftKey::generate(Algorithm::Ed25519).unwrap();
        let key = || LogKey::new(origin, Signer::soft(SoftKey::from_pkcs8(&secret).unwrap())).unwrap();
        let vkey = key().verifier().to_string();
        let mut one = Log::create(&folder.join("one"), key()).unwrap();
        let mut other = Log::create(&folder.join("other"), key()).unwrap();
        let grow = |log: &mut Log, entries: &[&str]| log.append(entries).unwrap().note().to_string();
        let three = grow(&mut one, &["a", "b", "c"]);
        let five = grow(&mut one, &["d", "e"]);
        let other_four = grow(&mut other, &["a", "b", "x", "y"]);
        let other_five = grow(&mut other, &["z"]);
        let prove = |log: &mut Log, from, to| {
            let proof = log.reader().consistency(from, to).unwrap();
            let hashes: Vec<_> =
                proof.path.iter().map(|hash| Base64::encode_string(hash.as_bytes())).collect();
            json!({ "from": from, "to": to, "hashes": hashes })
        };
        let (proof, other_proof) = (prove(&mut one, 3, 5), prove(&mut other, 3, 4));
        Self { vkey, three, five, proof, other_four, other_five, other_proof }
    }

    fn body(&self, note: &str) -> Value {
        json!({ "log": self.vkey, "checkpoint": note })
    }
}

fn with(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    body.as_object_mut().unwrap().insert(name.into(), value.into());
    body
}

fn said(reply: &Reply) -> (u16, String) {
    let code = reply.json().get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
    (reply.status, code)
}

fn rows(office: &Office<'_>, path: &str) -> Vec<Value> {
    rows_of(office, path, office.owner())
}

fn rows_of(office: &Office<'_>, path: &str, key: &str) -> Vec<Value> {
    let reply = office.send(&Request::get(path).bearer(key));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json().get("data").and_then(Value::as_array).unwrap().clone()
}

fn metric(office: &Office<'_>) -> String {
    let text = office.get("/metrics").text();
    let line = text.lines().find(|line| line.starts_with("kakunin_log_contradictions ")).unwrap_or_default();
    line.rsplit(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn checkpoints_are_kept_once_and_are_there_after_a_kill() {
    let desk = Desk::with_billing();
    let log = Forked::new(&desk.path("logs"), "log.example/owner");
    let office = Office::open(&desk);
    let robot = Robot::certified(&office, "billing");
    let show = |body: &Value, key: &str| {
        robot.send(Request::post("/v1/checkpoints", body).header("Idempotency-Key", key))
    };
    let first = show(&log.body(&log.three), "3");
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(first.json()["data"]["known"], json!(false));
    // The same again, with its key and with another one: the answer of then, and that it is known.
    assert_eq!(show(&log.body(&log.three), "3").body, first.body);
    assert_eq!(show(&log.body(&log.three), "3 again").json()["data"]["known"], json!(true));
    assert_eq!(said(&show(&log.body(&log.five), "3")), (409, "idempotency.reused".into()));
    let five = show(&with(log.body(&log.five), "consistency", log.proof.clone()), "5");
    assert_eq!((five.status, &five.json()["data"]["proven"]), (200, &json!(3)));
    // One that was answered before comes late: it is known, and no log that shrank.
    assert_eq!(show(&log.body(&log.three), "late").json()["data"]["known"], json!(true));
    let (owner, key) = (office.key(&json!({ "role": "owner" })), office.key(&json!({ "role": "ingest" })));
    office.kill();
    let office = Office::open(&desk);
    let rows = |path: &str| rows_of(&office, path, &owner);
    let kept = rows("/v1/checkpoints?agent=billing");
    let notes: Vec<_> = kept.iter().map(|row| row["checkpoint"].as_str().unwrap()).collect();
    assert_eq!(notes, [&log.five, &log.three], "newest first, each once");
    assert_eq!(
        (&kept[0]["log"], &kept[0]["size"], &kept[0]["proven"], &kept[1]["proven"]),
        (&json!(log.vkey), &json!(5), &json!(3), &Value::Null)
    );
    let page = office.send(&Request::get("/v1/checkpoints?agent=billing&limit=1").bearer(&owner)).json();
    assert_eq!(page["meta"]["log"]["log"], json!(log.vkey));
    let next = page["pagination"]["next_cursor"].as_str().unwrap();
    let rest = rows(&format!("/v1/checkpoints?before={next}"));
    assert_eq!((rest.len(), &rest[0]["size"]), (1, &json!(3)));
    // By a key of the role, in the name of an agent that it reaches.
    let by_key = |body: &Value| office.send(&Request::post("/v1/checkpoints", body).bearer(&key));
    assert_eq!(said(&by_key(&log.body(&log.five))), (400, "request.invalid".into()));
    assert_eq!(said(&by_key(&with(log.body(&log.five), "agent", "nobody"))), (404, "not_found".into()));
    assert_eq!(by_key(&with(log.body(&log.five), "agent", "billing")).json()["data"]["known"], json!(true));
    assert_eq!((rows("/v1/checkpoints/contradictions").len(), metric(&office).as_str()), (0, "0"));
}

#[test]
fn a_stopped_agent_still_shows_what_it_was_shown_and_names_no_log() {
    let desk = Desk::with_billing();
    desk.yes(&["agent", "create", "other", "--scope", "scope.toml", "--out", "agents/other"]);
    let log = Forked::new(&desk.path("logs"), "log.example/owner");
    let office = Office::open(&desk);
    let (billing, other) = (Robot::certified(&office, "billing"), Robot::certified(&office, "other"));
    let show = |robot: &Robot, body: &Value| robot.send(Request::post("/v1/checkpoints", body));
    assert_eq!(show(&billing, &log.body(&log.three)).status, 200);
    for agent in ["billing", "other"] {
        let order = office.post(&format!("/v1/agents/{agent}/suspend"), &json!({ "reason": "test" }));
        assert_eq!(order.status, 200);
    }
    // Its log is known, so what it was shown of that is evidence.
    let five = with(log.body(&log.five), "consistency", log.proof.clone());
    assert_eq!(show(&billing, &five).json()["data"]["proven"], 3);
    // Nothing is known of this one's, and whoever has its key now does not say it.
    assert_eq!(said(&show(&other, &log.body(&log.three))), (409, "checkpoint.no_log".into()));
    // Two trees are two trees, whoever brings them, and both notes are kept.
    assert_eq!(office.post("/v1/agents/billing/revoke", &json!({ "reason": "test" })).status, 200);
    assert_eq!(said(&show(&billing, &log.body(&log.other_five))), (409, "checkpoint.fork".into()));
    let against = rows(&office, "/v1/checkpoints/contradictions");
    assert_eq!((against.len(), &against[0]["code"]), (1, &json!("checkpoint.fork")), "{against:?}");
}

#[test]
fn what_a_log_shows_twice_differently_is_kept_told_and_refused() {
    let (desk, receiver) = (Desk::with_billing(), Receiver::new());
    desk.yes(&["agent", "create", "other", "--scope", "scope.toml", "--out", "agents/other"]);
    let log = Forked::new(&desk.path("logs"), "log.example/owner");
    let foreign = Forked::new(&desk.path("foreign"), "log.example/foreign");
    let office = Office::open_with(&desk, &["--webhooks-to-loopback"]);
    let hook = json!({ "url": receiver.url(), "events": ["log.contradiction"] });
    assert_eq!(office.post("/v1/webhooks", &hook).status, 201);
    let (billing, other) = (Robot::certified(&office, "billing"), Robot::certified(&office, "other"));
    let show = |robot: &Robot, body: &Value| robot.send(Request::post("/v1/checkpoints", body));
    for body in [log.body(&log.three), with(log.body(&log.five), "consistency", log.proof.clone())] {
        assert_eq!(show(&billing, &body).status, 200);
    }
    let cases = [
        // Another agent is shown another tree of five entries.
        (&other, log.body(&log.other_five), "checkpoint.fork", Some(&log.five)),
        // The agent is shown fewer entries than before, of either history.
        (&billing, log.body(&log.other_four), "checkpoint.shrunk", Some(&log.five)),
        // To another agent this is not the past, and its own proof shows that it is no continuation either.
        (
            &other,
            with(log.body(&log.other_four), "consistency", log.other_proof.clone()),
            "checkpoint.inconsistent",
            Some(&log.three),
        ),
        // Another key is another log.
        (&billing, foreign.body(&foreign.five), "checkpoint.other_key", Some(&log.five)),
    ];
    for (robot, body, code, _) in &cases {
        for _ in 0..2 {
            let refused = show(robot, body);
            assert_eq!(said(&refused), (409, (*code).into()), "{}", refused.text());
        }
    }
    // Each once, with both notes, whoever asks again; nothing of it is among what is believed.
    let told = rows(&office, "/v1/checkpoints/contradictions");
    let kept: Vec<_> = told.iter().rev().map(|row| (&row["code"], &row["known"], &row["offered"])).collect();
    let expected: Vec<_> = cases
        .iter()
        .map(|(_, body, code, known)| (json!(code), json!(known), body["checkpoint"].clone()))
        .collect();
    let expected: Vec<_> = expected.iter().map(|(code, known, offered)| (code, known, offered)).collect();
    assert_eq!(kept, expected);
    assert_eq!(rows(&office, "/v1/checkpoints").len(), 2);
    assert_eq!(rows(&office, "/v1/checkpoints/contradictions?agent=other").len(), 2);
    assert_eq!(metric(&office), "4");
    let heard = receiver.wait_for(4);
    for (heard, (_, body, code, _)) in heard.iter().zip(&cases) {
        assert_eq!(heard.event(), "log.contradiction");
        assert_eq!(
            (&heard.body["data"]["code"], &heard.body["data"]["offered"]),
            (&json!(code), &body["checkpoint"])
        );
    }
    let orders = rows(&office, "/v1/audit-log?event_type=log.contradiction");
    assert_eq!(orders.len(), 4, "{orders:?}");
    wait("the log", || {
        let text = office.log();
        let lines = text.lines().filter(|line| line.contains("\"event\":\"log.contradiction\""));
        (lines.count() == 4).then_some(())
    });
    // An issuer says that the agent has a new log; from then on that one is its own.
    let named = json!({ "log": foreign.vkey });
    let path = "/v1/agents/billing/log";
    let issuer = office.key(&json!({ "role": "issuer" }));
    let put = |body: &Value| {
        let request = Request { method: "PUT".into(), ..Request::post(path, body) };
        office.send(&request.bearer(&issuer))
    };
    assert_eq!(said(&put(&json!({ "log": "log.example/none" }))), (422, "checkpoint.malformed".into()));
    assert_eq!(put(&named).status, 200);
    assert_eq!(show(&billing, &foreign.body(&foreign.five)).status, 200);
    assert_eq!(said(&show(&billing, &log.body(&log.five))), (409, "checkpoint.other_key".into()));
    assert_eq!(rows(&office, "/v1/audit-log?event_type=agent.log").len(), 1);
}

#[test]
fn what_is_no_checkpoint_of_its_log_is_refused_and_nobody_accused() {
    let desk = Desk::with_billing();
    let log = Forked::new(&desk.path("logs"), "log.example/owner");
    let foreign = Forked::new(&desk.path("foreign"), "log.example/owner");
    let office = Office::open(&desk);
    let robot = Robot::certified(&office, "billing");
    let five = log.body(&log.five);
    let flipped = log.five.replace("\n5\n", "\n6\n");
    let proof = |from: u64, to: u64, hashes: Value| json!({ "from": from, "to": to, "hashes": hashes });
    for (body, expected) in [
        (json!({ "log": log.vkey }), (400, "request.invalid")),
        (json!({ "checkpoint": log.five }), (400, "request.invalid")),
        (with(five.clone(), "more", true), (400, "request.invalid")),
        (with(five.clone(), "consistency", "no"), (400, "request.invalid")),
        (with(five.clone(), "consistency", proof(3, 5, json!(["AA=="]))), (400, "request.invalid")),
        (with(five.clone(), "consistency", proof(1, 2, json!([]))), (422, "checkpoint.malformed")),
        (with(five.clone(), "consistency", proof(6, 5, json!([]))), (422, "checkpoint.malformed")),
        (log.body("no note"), (422, "checkpoint.malformed")),
        (with(five.clone(), "log", "no key"), (422, "checkpoint.malformed")),
        (log.body(&flipped), (422, "checkpoint.signature")),
        (log.body(&foreign.five), (422, "checkpoint.signature")),
        (with(five.clone(), "agent", "nobody"), (404, "not_found")),
    ] {
        let refused = robot.send(Request::post("/v1/checkpoints", &body));
        assert_eq!(said(&refused), (expected.0, expected.1.into()), "{body}: {}", refused.text());
    }
    assert_eq!(
        rows(&office, "/v1/checkpoints").len() + rows(&office, "/v1/checkpoints/contradictions").len(),
        0
    );
    // A proof about a tree that is not known here says nothing, and harms nothing.
    let unknown = robot.send(Request::post("/v1/checkpoints", &with(five, "consistency", log.proof.clone())));
    assert_eq!((unknown.status, &unknown.json()["data"]["proven"]), (200, &Value::Null));
    // What another tenant was shown is compared with nothing here.
    let acme = office.post("/v1/tenants", &json!({ "name": "acme" })).json();
    let owner = acme["data"]["owner_key"].as_str().unwrap().to_owned();
    let theirs = |request: Request| office.send(&request.bearer(&owner));
    let scope = json!({ "name": "billing", "scope": { "actions": ["read:*"] } });
    assert_eq!(theirs(Request::post("/v1/agents", &scope)).status, 201);
    let body = with(log.body(&log.other_five), "agent", "billing");
    assert_eq!(theirs(Request::post("/v1/checkpoints", &body)).status, 200);
    assert_eq!(rows(&office, "/v1/checkpoints").len(), 1);
    let listed = theirs(Request::get("/v1/checkpoints")).json()["data"].clone();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["checkpoint"]), (1, &json!(log.other_five)));
}

#[test]
fn cheap_contradictions_take_no_place_of_real_ones() {
    let (desk, receiver) = (Desk::with_billing(), Receiver::new());
    let log = Forked::new(&desk.path("logs"), "log.example/owner");
    let foreign = Forked::new(&desk.path("foreign"), "log.example/foreign");
    let office = Office::open_with(&desk, &["--webhooks-to-loopback"]);
    let robot = Robot::certified(&office, "billing");
    let show = |body: &Value| robot.send(Request::post("/v1/checkpoints", body));
    // Whatever a stranger writes below a note is not kept, and makes no other one of it.
    let below = |note: &str, number: usize| {
        let line = Base64::encode_string(format!("stranger {number}").as_bytes());
        format!("{note}— log.example/witness {line}\n— log.example/foreign {line}\n")
    };
    for (number, known) in [false, true].into_iter().enumerate() {
        assert_eq!(show(&log.body(&below(&log.five, number))).json()["data"]["known"], json!(known));
    }
    assert_eq!(rows(&office, "/v1/checkpoints")[0]["checkpoint"], json!(log.five));
    for number in 0..3 {
        let refused = show(&foreign.body(&below(&foreign.five, number)));
        assert_eq!(said(&refused), (409, "checkpoint.other_key".into()));
    }
    let against = "/v1/checkpoints/contradictions";
    let told = rows(&office, against);
    assert_eq!((told.len(), &told[0]["offered"]), (1, &json!(foreign.five)));
    // Signed ones of another log are as cheap: a key of one's own is all that it takes.
    let (_, secret) = SoftKey::generate(Algorithm::Ed25519).unwrap();
    let key = LogKey::new("log.example/own", Signer::soft(SoftKey::from_pkcs8(&secret).unwrap())).unwrap();
    let vkey = key.verifier().to_string();
    let mut own = Log::create(&desk.path("own"), key).unwrap();
    for _ in 0..12 {
        let note = own.append(&["entry"]).unwrap().note().to_string();
        let body = json!({ "log": vkey, "checkpoint": note });
        assert_eq!(said(&show(&body)), (409, "checkpoint.other_key".into()));
    }
    assert_eq!((rows(&office, against).len(), metric(&office).as_str()), (8, "8"));
    let text = office.get("/metrics").text();
    assert!(text.contains("\nkakunin_log_contradictions_not_kept_total 5\n"), "{text}");
    wait("the log", || {
        let text = office.log();
        (text.lines().filter(|line| line.contains("\"kept\":false")).count() == 5).then_some(())
    });
    // The second tree of its own log is heard.
    let hook = json!({ "url": receiver.url(), "events": ["log.contradiction"] });
    assert_eq!(office.post("/v1/webhooks", &hook).status, 201);
    assert_eq!(said(&show(&log.body(&log.other_five))), (409, "checkpoint.fork".into()));
    assert_eq!(rows(&office, against)[0]["code"], json!("checkpoint.fork"));
    assert_eq!(receiver.wait_for(1)[0].body["data"]["code"], json!("checkpoint.fork"));
}

#[test]
fn an_ingest_key_names_no_log_of_an_agent() {
    let desk = Desk::with_billing();
    let log = Forked::new(&desk.path("logs"), "log.example/owner");
    let foreign = Forked::new(&desk.path("foreign"), "log.example/foreign");
    let office = Office::open(&desk);
    let robot = Robot::certified(&office, "billing");
    let ingest = office.key(&json!({ "role": "ingest" }));
    let bring = |log: &Forked, key: &str| {
        let body = with(log.body(&log.five), "agent", "billing");
        office.send(&Request::post("/v1/checkpoints", &body).bearer(key))
    };
    assert_eq!(said(&bring(&foreign, &ingest)), (409, "checkpoint.no_log".into()));
    let shown = robot.send(Request::post("/v1/checkpoints", &log.body(&log.five)));
    assert_eq!(shown.status, 200, "{}", shown.text());
    assert_eq!(bring(&log, &ingest).json()["data"]["known"], json!(true));
    assert_eq!(said(&bring(&foreign, office.owner())), (409, "checkpoint.other_key".into()));
    assert_eq!(rows(&office, "/v1/checkpoints").len(), 1);
}
