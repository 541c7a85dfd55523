//! Many agents revoked at once over the network, and the drill for certificates that should not have been issued.

use std::thread;
use std::time::{Duration, Instant};

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
    // A drill of thousands comes to the limit of a key, which is what others have to wait for as well.
    let post = |path: &str, body: &Value| loop {
        let reply = office.post(path, body);
        if reply.status != 429 {
            assert_eq!(reply.status, 201, "{}", reply.text());
            return reply.json();
        }
        thread::sleep(Duration::from_millis(50));
    };
    let made = post("/v1/agents", &json!({ "name": name, "scope": { "actions": ["read:*"] } }));
    let id = text(&made, "/data/id");
    let request = json!({ "csr": request_pem(&new_key()).unwrap() });
    let papers = post(&format!("/v1/agents/{name}/certify"), &request);
    let serial = text(&papers, "/data/serial_number").to_lowercase();
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

/// Gives the records of a service an instruction of SQL, from beside it.
fn beside(desk: &Desk, sql: &str) {
    let store = rusqlite::Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    store.execute_batch(sql).unwrap();
}

#[test]
fn a_sweep_that_breaks_off_says_how_many_are_left_and_is_given_again_with_that_number() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    for name in ["sweep-a", "sweep-b", "sweep-c"] {
        certified(&office, name);
    }
    let standing =
        |name: &str| office.get_as_owner(&format!("/v1/agents/{name}")).json()["data"]["standing"].clone();
    // The records take every order but one.
    beside(
        &desk,
        "CREATE TRIGGER breaks BEFORE UPDATE OF standing ON agents WHEN new.name = 'sweep-b'
         BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    let order = |expect: u64| json!({ "where": ["name=sweep-*"], "expect": expect, "reason": "drill" });
    let broken = office.post("/v1/sweep", &order(3));
    assert_eq!(code(&broken), (500, "internal".into()), "{}", broken.text());
    let (left, text) = (broken.json()["left"].as_u64().unwrap(), text(&broken.json(), "/error"));
    assert_eq!((left, standing("sweep-b")), (1, json!("good")), "{text}");
    assert!(text.starts_with("2 of 3 agents were revoked") && text.contains("with `expect` 1"), "{text}");
    // The number of before is another one by now, and the answer says which.
    let again = office.post("/v1/sweep", &order(3));
    assert_eq!((code(&again), &again.json()["left"]), ((409, "sweep.expected".into()), &json!(1)));
    beside(&desk, "DROP TRIGGER breaks");
    let done = office.post("/v1/sweep", &order(left)).json()["data"].clone();
    assert_eq!((&done["count"], &done["left"]), (&json!(1), &json!(0)), "{done}");
    assert_eq!(["sweep-a", "sweep-b", "sweep-c"].map(standing), ["revoked", "revoked", "revoked"]);
}

#[test]
fn whoever_meets_the_conditions_of_a_sweep_meanwhile_is_not_passed_over_in_silence() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    certified(&office, "sweep-a");
    certified(&office, "other");
    // As soon as the first one is revoked, another one has such a name.
    beside(
        &desk,
        "CREATE TRIGGER meanwhile AFTER UPDATE OF standing ON agents WHEN new.name = 'sweep-a'
         BEGIN UPDATE agents SET name = 'sweep-late' WHERE name = 'other'; END",
    );
    let give = |expect: &str| {
        let arguments = [
            "revoke",
            "--url",
            office.url(),
            "--where",
            "name=sweep-*",
            "--expect",
            expect,
            "--reason",
            "drill",
        ];
        let output = desk.command(&arguments).env("KAKUNIN_TOKEN", office.owner()).output().unwrap();
        let (out, text) = texts(&output);
        (output.status.code(), out + &text)
    };
    let (done, text) = give("1");
    assert!(done == Some(1) && text.contains("1 more meet the conditions"), "{text}");
    assert_eq!(office.get_as_owner("/v1/agents/sweep-late").json()["data"]["standing"], "good");
    beside(&desk, "DROP TRIGGER meanwhile");
    let (done, text) = give("1");
    assert!(done == Some(0) && !text.contains("more meet"), "{text}");
    assert_eq!(office.get_as_owner("/v1/agents/sweep-late").json()["data"]["standing"], "revoked");
}

#[test]
fn what_a_sweep_asked_for_is_in_the_audit_log_also_when_nobody_is_revoked() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    certified(&office, "sweep-a");
    let conditions = json!(["name=sweep-*", "issued=2000-01-01T00:00:00Z.."]);
    let sweep = |more: Value| {
        let mut order = json!({ "where": conditions, "reason": "who is there" });
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        office.post("/v1/sweep", &order).status
    };
    let asked = [json!({ "dry_run": true }), json!({ "expect": 7 }), json!({ "expect": 1 })];
    assert_eq!(asked.map(sweep), [200, 409, 200]);
    let log = office.get_as_owner("/v1/audit-log?event_type=agents.sweep").json();
    let rows: Vec<_> = log["data"].as_array().unwrap().iter().rev().collect();
    let said: Vec<_> = rows
        .iter()
        .map(|row| (text(row, "/metadata/before"), text(row, "/metadata/after"), text(row, "/outcome")))
        .collect();
    let row = |before: &str, after: &str, outcome: &str| (before.into(), after.into(), outcome.into());
    assert_eq!(
        said,
        [
            row("1 meant", "a dry run", "done"),
            row("1 meant", "7 to be revoked", "refused"),
            row("1 meant", "1 to be revoked", "done"),
        ],
        "{log}"
    );
    assert_eq!(rows[1]["outcome_detail"], "sweep.expected");
    for row in rows {
        assert_eq!(row["affected_id"], "name=sweep-* & issued=2000-01-01T00:00:00Z..");
        assert_eq!(row["description"], "who is there");
    }
    // What was asked comes before whom it took.
    let log = office.get_as_owner("/v1/audit-log").json();
    let order: Vec<_> = log["data"].as_array().unwrap().iter().map(|row| text(row, "/event_type")).collect();
    assert_eq!(order.iter().take(2).collect::<Vec<_>>(), ["agent.revoke", "agents.sweep"]);
    let long = json!({ "where": [format!("name={}", "a".repeat(257))], "dry_run": true });
    assert_eq!(code(&office.post("/v1/sweep", &long)), (400, "request.invalid".into()));
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
    let ask = |arguments: &[&str]| {
        let arguments = [arguments, &["--url", office.url(), "--json", "--reason", "drill"]].concat();
        let output = desk.command(&arguments).env("KAKUNIN_TOKEN", office.owner()).output().unwrap();
        let (out, text) = texts(&output);
        (output.status.code(), out, format!("{arguments:?}: {text}"))
    };
    let give = |arguments: &[&str]| {
        let (code, out, text) = ask(arguments);
        assert_eq!(code, Some(0), "{text}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let conditions = ["revoke", "--where", &span, "--where", "name=wrong-*"];
    let listed = || give(&[&conditions[..], &["--dry-run"]].concat())["count"].clone();
    assert_eq!(listed(), many());
    let began = Instant::now();
    let (code, out, text) = ask(&[&conditions[..], &["--expect", &many().to_string()]].concat());
    let epoch = if code == Some(0) {
        let done: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(done["revoked"], true);
        assert_eq!(office.get("/v1/crl").header("x-crl-number"), done["list_number"].to_string());
        done["epoch"].as_u64().unwrap()
    } else {
        // Of thousands a slow machine has no answer within half a minute, and carries out all of it.
        assert!(text.contains("[late"), "{text}");
        while listed() != 0 {
            assert!(began.elapsed() < Duration::from_secs(1200), "{} are left", listed());
            thread::sleep(Duration::from_secs(1));
        }
        many() as u64
    };
    eprintln!("{} revoked by what they have in common within {:?}", many(), began.elapsed());

    // Everyone who follows the feed or reads the list denies each of them, and nobody else.
    assert_eq!(epoch, many() as u64, "each has a change of its own, and nothing else was changed");
    watcher.listen(&mut listener, epoch);
    let list = office.get("/v1/crl").text();
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

    let thawed = give(&["thaw"]);
    assert_eq!(thawed["frozen"], false);
    assert_eq!(office.post("/v1/agents/before/certify", &json!({})).status, 201);
}
