//! Many agents revoked at once over the network, and the drill for certificates that should not have been issued.

use std::thread;

use kakunin_core::certificate::request_pem;
use kakunin_core::id::SerialNumber;
use kakunin_core::revocation::Standing;
use serde_json::{Value, json};

use super::listener::{Listener, Watcher};
use super::office::Office;
use super::robot::{new_key, now};
use super::web::{Reply, Request};
use crate::desk::{Desk, texts};

fn code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json().get("code").and_then(Value::as_str).unwrap_or("yes").to_owned())
}

fn names(answer: &Value) -> Vec<String> {
    let agents = answer["agents"].as_array().unwrap();
    agents.iter().map(|agent| agent["name"].as_str().unwrap().to_owned()).collect()
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap().to_owned()
}

/// Names an agent and has it certified; gives its id and its certificate's serial number.
fn certified(office: &Office<'_>, name: &str) -> (String, SerialNumber) {
    let made = office.post("/v1/agents", &json!({ "name": name, "scope": { "actions": ["read:*"] } })).json();
    let id = text(&made, "/data/id");
    let papers = office
        .post(&format!("/v1/agents/{name}/certify"), &json!({ "csr": request_pem(&new_key()).unwrap() }));
    assert_eq!(papers.status, 201, "{}", papers.text());
    let serial = text(&papers.json(), "/data/serial_number").to_lowercase();
    (id, SerialNumber::parse(&serial).unwrap())
}

#[test]
fn a_sweep_over_the_network_revokes_whom_it_listed_as_far_as_the_key_reaches() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let (eu, _) = certified(&office, "billing-eu");
    let (us, _) = certified(&office, "billing-us");
    certified(&office, "other");
    let revoker = office.key(&json!({ "role": "revoker" }));
    let sweep = |key: &str, body: &Value| office.send(&Request::post("/v1/sweep", body).bearer(key));
    let by_name = json!(["name=billing-*"]);
    let listed = sweep(&revoker, &json!({ "where": by_name, "dry_run": true })).json()["data"].clone();
    assert_eq!(
        (names(&listed), &listed["count"], &listed["revoked"]),
        (vec!["billing-eu".into(), "billing-us".into()], &json!(2), &json!(false))
    );
    let other = sweep(&revoker, &json!({ "where": by_name, "expect": 3, "reason": "drill" }));
    assert_eq!(code(&other), (409, "sweep.expected".into()));
    for body in [
        json!({ "where": by_name }),
        json!({ "where": by_name, "dry_run": true, "expect": 2 }),
        json!({ "where": [], "expect": 0 }),
        json!({ "where": "name=*", "dry_run": true }),
        json!({ "where": ["tenant=acme"], "dry_run": true }),
        json!({ "where": ["issued=yesterday.."], "dry_run": true }),
        json!({ "where": by_name, "expect": "2" }),
        json!({ "where": by_name, "expect": -2 }),
        json!({ "where": vec!["name=*"; 17], "dry_run": true }),
        json!({ "dry_run": true }),
    ] {
        assert_eq!(code(&sweep(&revoker, &body)), (400, "request.invalid".into()), "{body}");
    }
    let standing =
        |id: &str| office.get_as_owner(&format!("/v1/agents/{id}")).json()["data"]["standing"].clone();
    assert_eq!([standing(&eu), standing(&us)], ["good", "good"]);
    // A key for one agent sweeps that one.
    let bound = office.key(&json!({ "role": "revoker", "agents": [us] }));
    let listed = sweep(&bound, &json!({ "where": ["name=*"], "dry_run": true })).json()["data"].clone();
    assert_eq!(names(&listed), ["billing-us"]);
    let done =
        sweep(&revoker, &json!({ "where": by_name, "expect": 2, "reason": "drill" })).json()["data"].clone();
    assert_eq!((&done["revoked"], done["epoch"].as_u64()), (&json!(true), Some(2)), "{done}");
    assert_eq!(done["list_number"].to_string(), office.get("/v1/crl").header("x-crl-number"));
    assert_eq!(
        [standing(&eu), standing(&us), standing("billing"), standing("other")],
        ["revoked", "revoked", "good", "good"]
    );
    let log = office.get_as_owner("/v1/audit-log?event_type=agent.revoke").json();
    assert_eq!(log["data"].as_array().unwrap().len(), 2, "{log}");
    // Who is revoked is meant no more.
    let again = sweep(&revoker, &json!({ "where": by_name, "expect": 0 })).json()["data"].clone();
    assert_eq!((&again["count"], &again["list_number"]), (&json!(0), &Value::Null));

    // By the command.
    let give = |arguments: &[&str]| {
        let arguments =
            [&["revoke", "--url", office.url(), "--json", "--reason", "drill"], arguments].concat();
        let output = desk.command(&arguments).env("KAKUNIN_TOKEN", &revoker).output().unwrap();
        let (out, text) = texts(&output);
        (output.status.code(), serde_json::from_str::<Value>(&out).unwrap_or_default(), text)
    };
    let (done, listed, text) = give(&["--where", "name=o*", "--dry-run"]);
    assert_eq!((done, names(&listed)), (Some(0), vec!["other".to_owned()]), "{text}");
    let (done, _, text) = give(&["--where", "name=o*"]);
    assert!(done == Some(64) && text.contains("1 agents are meant"), "{text}");
    let (done, _, text) = give(&["--where", "name=o*", "--expect", "2"]);
    assert!(done == Some(1) && text.contains("[sweep.expected, request "), "{text}");
    assert_eq!(standing("other"), "good");
    assert_eq!(give(&["--where", "name=o*", "--expect", "1"]).0, Some(0));
    assert_eq!(standing("other"), "revoked");
    assert_eq!(give(&["--where", "name=o*", "--expect", "0"]).0, Some(1));
}

/// How many certificates go wrong; a drill by hand has more of them.
fn many() -> usize {
    std::env::var("KAKUNIN_DRILL").ok().map_or(150, |many| many.parse().unwrap())
}

#[test]
fn a_drill_after_many_certificates_that_should_not_have_been_issued() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let (mut watcher, billing) = Watcher::of(&office, "billing");
    let mut listener = Listener::open(&office, &watcher.question("/v1/feed", 0));
    certified(&office, "before");
    let began = now();
    let wrong: Vec<SerialNumber> = thread::scope(|scope| {
        let office = &office;
        let parts: Vec<_> = (0..4)
            .map(|part| {
                let numbers = (part..many()).step_by(4);
                scope.spawn(move || {
                    numbers
                        .map(|number| certified(office, &format!("wrong-{number:05}")).1)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });

    // First nothing more, then who it was, then all of them.
    assert_eq!(office.post("/v1/freeze", &json!({ "reason": "scopes too wide" })).status, 200);
    let span = format!("issued={began}..{}", now());
    let give = |arguments: &[&str], expected: i32| {
        let arguments = [arguments, &["--url", office.url(), "--json", "--reason", "drill"]].concat();
        let output = desk.command(&arguments).env("KAKUNIN_TOKEN", office.owner()).output().unwrap();
        let (out, text) = texts(&output);
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {text}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let conditions = ["revoke", "--where", &span, "--where", "name=wrong-*"];
    let listed = give(&[&conditions[..], &["--dry-run"]].concat(), 0);
    assert_eq!(listed["count"], many());
    let count = many().to_string();
    let done = give(&[&conditions[..], &["--expect", &count]].concat(), 0);
    assert_eq!(done["revoked"], true);

    // Everyone who follows the feed or reads the list denies each of them, and nobody else.
    watcher.listen(&mut listener, done["epoch"].as_u64().unwrap());
    let list = office.get("/v1/crl").text();
    assert_eq!(office.get("/v1/crl").header("x-crl-number"), done["list_number"].to_string());
    std::fs::write(desk.path("list.pem"), list).unwrap();
    let shown = std::process::Command::new("openssl")
        .args(["crl", "-noout", "-text", "-in"])
        .arg(desk.path("list.pem"))
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap().to_lowercase();
    for serial in &wrong {
        assert_eq!(watcher.standing(serial), Standing::Revoked, "{serial}");
        assert!(shown.contains(&serial.to_string().to_lowercase()), "{serial}");
    }
    assert_eq!(shown.matches("serial number:").count(), many());
    assert_eq!(watcher.standing(&billing), Standing::Good);
    assert_eq!(office.get_as_owner("/v1/agents/before").json()["data"]["standing"], "good");
    assert_eq!(office.post("/v1/agents/before/certify", &json!({})).status, 503, "still frozen");

    let thawed = give(&["thaw"], 0);
    assert_eq!(thawed["frozen"], false);
    assert_eq!(office.post("/v1/agents/before/certify", &json!({})).status, 201);
}
