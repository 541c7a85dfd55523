//! What agents send is kept when it is answered, and only what is proved.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::journal::{JournalOptions, Sealing, StreamReader, locate};
use kakunin_core::request::ActionRequest;
use serde_json::{Value, json};

use super::office::Office;
use super::web::{Reply, Request};
use crate::desk::Desk;

/// Lets `agent` of the desk decide about `many` requests, and gives the lines of its journal as a log has them.
pub(super) fn work(desk: &Desk, agent: &str, many: usize, sealing: Sealing) -> Vec<String> {
    let directory = desk.path(&format!("agents/{agent}"));
    let journal = JournalOptions { sealing: Some(sealing), ..JournalOptions::default() };
    let options = GuardOptions { journal, ..GuardOptions::default() };
    let guard = Guard::open(AgentHome::open(&directory, None).unwrap(), options).unwrap();
    for number in 0..many {
        let action = if number % 4 == 3 { "write:file" } else { "read:file" };
        if let Ok(permit) = guard.admit(&ActionRequest::new(action)) {
            permit.begin().unwrap().returned();
        }
    }
    guard.close();
    lines_of(desk, agent)
}

fn lines_of(desk: &Desk, agent: &str) -> Vec<String> {
    let journal = locate(&desk.path(&format!("agents/{agent}"))).unwrap();
    let streams = StreamReader::streams(&journal).unwrap();
    let entries = streams.into_iter().flatten().map(Result::unwrap);
    entries.map(|entry| entry.to_log_entry().unwrap()).collect()
}

fn upload(office: &Office<'_>, key: &str, lines: &[String]) -> Reply {
    office.send(&request(key, lines))
}

pub(super) fn request(key: &str, lines: &[String]) -> Request {
    let body = lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
    Request { body, ..Request::new("POST", "/v1/receipts") }.bearer(key)
}

pub(super) fn counts(reply: &Reply) -> (u16, Option<u64>, Option<u64>) {
    let answer = reply.json();
    let number = |name| answer.pointer(name).and_then(Value::as_u64);
    (reply.status, number("/data/accepted"), number("/data/known"))
}

fn refusal(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json().get("code").and_then(Value::as_str).unwrap_or_default().to_owned())
}

#[test]
fn receipts_are_kept_once_and_are_there_after_a_kill() {
    let desk = Desk::with_billing();
    let lines = work(&desk, "billing", 8, Sealing::Each);
    let many = lines.len() as u64;
    let office = Office::open(&desk);
    let key = office.key(&json!({ "role": "ingest" }));
    let (first, rest) = lines.split_at(3);
    assert_eq!(counts(&upload(&office, &key, first)), (200, Some(3), Some(0)));
    assert_eq!(counts(&upload(&office, &key, &lines)), (200, Some(many - 3), Some(3)));
    office.kill();
    let office = Office::open(&desk);
    assert_eq!(counts(&upload(&office, &key, rest)), (200, Some(0), Some(many - 3)));
    // The last line feed is not needed, and the other prefix is as good.
    let bare = Request { body: lines.join("\n").into_bytes(), ..Request::new("POST", "/api/v1/receipts") };
    assert_eq!(counts(&office.send(&bare.bearer(&key))), (200, Some(0), Some(many)));
}

#[test]
fn the_same_request_has_the_same_answer_and_another_one_under_its_key_has_none() {
    let desk = Desk::with_billing();
    let lines = work(&desk, "billing", 4, Sealing::Each);
    let office = Office::open(&desk);
    let (key, other) = (office.key(&json!({ "role": "ingest" })), office.key(&json!({ "role": "ingest" })));
    let send = |key: &str, lines: &[String], name: &str| {
        office.send(&request(key, lines).header("Idempotency-Key", name))
    };
    let many = Some(lines.len() as u64);
    for _ in 0..2 {
        assert_eq!(counts(&send(&key, &lines, "upload-1")), (200, many, Some(0)));
    }
    let reused = send(&key, &lines[..2], "upload-1");
    assert_eq!(refusal(&reused), (409, "idempotency.reused".into()));
    // Another sender's keys are its own.
    assert_eq!(counts(&send(&other, &lines, "upload-1")), (200, Some(0), many));
    for wrong in ["", &"k".repeat(129), "\u{7f}"] {
        assert_eq!(send(&key, &lines, wrong).status, 400, "{wrong:?}");
    }
    let twice = request(&key, &lines).header("Idempotency-Key", "a").header("Idempotency-Key", "a");
    assert_eq!(office.send(&twice).status, 400);
}

#[test]
fn a_seal_proves_what_is_sent_with_it_and_nothing_else_does() {
    let desk = Desk::with_billing();
    let lines = work(&desk, "billing", 40, Sealing::Groups);
    let sealed: Vec<usize> = (0..lines.len()).filter(|place| lines[*place].ends_with('.')).collect();
    assert!(sealed.len() > 8, "{}", sealed.len());
    let office = Office::open(&desk);
    let key = office.key(&json!({ "role": "ingest" }));
    let without = |place: usize| {
        let mut some = lines.clone();
        some.remove(place);
        some
    };
    // Seals are the receipts that are signed; with any of them gone, or any line under one, something is not proved.
    let last_sealed = *sealed.last().unwrap();
    for place in [sealed[0], sealed[sealed.len() / 2], last_sealed] {
        assert_eq!(refusal(&upload(&office, &key, &without(place))), (422, "receipt.seal".into()), "{place}");
    }
    let seal = (last_sealed + 1..lines.len()).find(|place| !lines[*place].ends_with('.')).unwrap();
    let refused = upload(&office, &key, &without(seal));
    assert_eq!(refusal(&refused), (422, "receipt.seal".into()));
    assert!(refused.json()["error"].as_str().unwrap().starts_with("line "), "{}", refused.text());
    let alone = upload(&office, &key, &lines[sealed[0]..=sealed[0]]);
    assert_eq!(refusal(&alone), (422, "receipt.seal".into()));
    // Nothing of all that was kept.
    assert_eq!(counts(&upload(&office, &key, &lines)), (200, Some(lines.len() as u64), Some(0)));
}

#[test]
fn what_is_not_proved_by_a_certificate_of_the_agent_is_refused_whole() {
    let desk = Desk::with_billing();
    let lines = work(&desk, "billing", 2, Sealing::Each);
    desk.yes(&["agent", "create", "other", "--scope", "scope.toml", "--out", "agents/other"]);
    let others = work(&desk, "other", 2, Sealing::Each);
    let stranger = Desk::with_billing();
    let foreign = work(&stranger, "billing", 2, Sealing::Each);
    let office = Office::open(&desk);
    let key = office.key(&json!({ "role": "ingest" }));
    let good = &lines[0];
    let (head, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let others_head = others[0].split_once('.').unwrap().0;
    let others_signature = others[0].rsplit_once('.').unwrap().1;
    for (line, code) in [
        (String::new(), "receipt.malformed"),
        ("{}".into(), "receipt.malformed"),
        (format!("{good}\r"), "receipt.malformed"),
        (format!(" {good}"), "receipt.malformed"),
        (format!("{head}.{payload}"), "receipt.malformed"),
        (format!("{head}.{payload}.{signature}.{signature}"), "receipt.malformed"),
        (format!("{head}.{}.{signature}", "A".repeat(120_000)), "receipt.malformed"),
        ("\u{1b}[2J'; DROP TABLE receipts; --".into(), "receipt.malformed"),
        (format!("{head}.{payload}.{others_signature}"), "receipt.signature"),
        (format!("{head}.{payload}."), "receipt.seal"),
        // Another agent's certificate says nothing about this one, and one of another authority nothing at all.
        (format!("{others_head}.{payload}.{others_signature}"), "receipt.certificate"),
        (foreign[0].clone(), "receipt.certificate"),
    ] {
        let shown = line.get(..60).unwrap_or(&line);
        let body = [good.clone(), line.clone(), lines[1].clone()];
        let refused = upload(&office, &key, &body);
        assert_eq!(refusal(&refused), (422, code.into()), "{shown:?}");
        assert!(refused.json()["error"].as_str().unwrap().starts_with("line 2: "), "{}", refused.text());
    }
    for body in [&b""[..], b"\n", b"\n\n", b"\xff\xfe\n", b"\0"] {
        let request = Request { body: body.to_vec(), ..Request::new("POST", "/v1/receipts") };
        let refused = office.send(&request.bearer(&key));
        assert_eq!(refusal(&refused), (422, "receipt.malformed".into()), "{body:?}");
    }
    let large = Request { body: vec![b'\n'; 1024 * 1024 + 1], ..Request::new("POST", "/v1/receipts") };
    assert_eq!(refusal(&office.send(&large.bearer(&key))), (413, "request.too_large".into()));
    // A key for another agent has nothing to say about this one: as if there were no such certificate.
    let id = office.get_as_owner("/v1/agents/other").json()["data"]["id"].clone();
    let bound = office.key(&json!({ "role": "ingest", "agents": [id] }));
    assert_eq!(counts(&upload(&office, &bound, &others)).0, 200);
    let without_hash = |reply: &Reply| {
        let text = reply.json()["error"].as_str().unwrap().to_owned();
        text.split(' ').filter(|word| word.len() < 32).collect::<Vec<_>>().join(" ")
    };
    let (not_ours, nobodys) = (upload(&office, &bound, &lines), upload(&office, &bound, &foreign));
    assert_eq!(refusal(&not_ours), (422, "receipt.certificate".into()));
    assert_eq!(without_hash(&not_ours), without_hash(&nobodys));
    // Nothing of a body with one wrong line was kept.
    let many = lines.len() as u64;
    assert_eq!(counts(&upload(&office, &key, &lines)), (200, Some(many), Some(0)));
}

#[test]
fn what_an_agent_did_before_it_was_renewed_or_revoked_stays_evidence() {
    let desk = Desk::with_billing();
    work(&desk, "billing", 2, Sealing::Each);
    desk.yes(&["agent", "renew", "billing"]);
    let lines = work(&desk, "billing", 2, Sealing::Each);
    let office = Office::open(&desk);
    assert_eq!(office.post("/v1/agents/billing/revoke", &json!({ "reason": "drift" })).status, 200);
    let signers: BTreeSet<&str> = lines.iter().map(|line| line.split_once('.').unwrap().0).collect();
    assert_eq!(signers.len(), 2, "two certificates signed");
    let many = lines.len() as u64;
    assert_eq!(counts(&upload(&office, office.owner(), &lines)), (200, Some(many), Some(0)));
}

#[test]
fn a_flood_keeps_all_that_it_was_told_is_kept_and_holds_no_revocation_up() {
    let desk = Desk::with_billing();
    let lines = work(&desk, "billing", 64, Sealing::Each);
    for name in ["one", "two", "three"] {
        desk.yes(&["agent", "create", name, "--scope", "scope.toml", "--out", &format!("agents/{name}")]);
    }
    let office = Office::open(&desk);
    let key = office.key(&json!({ "role": "ingest" }));
    let done = AtomicBool::new(false);
    let acknowledged: BTreeSet<usize> = thread::scope(|scope| {
        let flood: Vec<_> = (0..24)
            .map(|sender: usize| {
                let (office, key, lines, done) = (&office, &key, &lines, &done);
                scope.spawn(move || {
                    let mut kept = BTreeSet::new();
                    for round in 0.. {
                        let start = (sender * 7 + round * 5) % lines.len();
                        let end = (start + 5).min(lines.len());
                        let reply = upload(office, key, &lines[start..end]);
                        match reply.status {
                            200 => kept.extend(start..end),
                            429 | 503 => assert!(!reply.header("retry-after").is_empty()),
                            _ => panic!("{} {}", reply.status, reply.text()),
                        }
                        if done.load(Ordering::Relaxed) && !kept.is_empty() {
                            break;
                        }
                    }
                    kept
                })
            })
            .collect();
        for name in ["one", "two", "three"] {
            for (order, standing) in [("suspend", "held"), ("resume", "good"), ("revoke", "revoked")] {
                let reply = office.post(&format!("/v1/agents/{name}/{order}"), &json!({ "reason": "drill" }));
                assert_eq!((reply.status, &reply.json()["data"]["standing"]), (200, &json!(standing)));
            }
        }
        done.store(true, Ordering::Relaxed);
        flood.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    office.kill();
    let office = Office::open(&desk);
    let kept: Vec<String> = acknowledged.iter().map(|place| lines[*place].clone()).collect();
    assert_eq!(counts(&upload(&office, &key, &kept)), (200, Some(0), Some(kept.len() as u64)));
}

#[test]
fn a_service_that_is_killed_has_every_receipt_that_it_answered_for() {
    let desk = Desk::with_billing();
    let lines = work(&desk, "billing", 200, Sealing::Each);
    let mut key = String::new();
    let mut answered = 0;
    for round in 0..4_u64 {
        let office = Office::open(&desk);
        if key.is_empty() {
            key = office.key(&json!({ "role": "ingest" }));
        }
        if answered > 0 {
            let kept = counts(&upload(&office, &key, &lines[..answered]));
            assert_eq!(kept, (200, Some(0), Some(answered as u64)));
        }
        let address = office.url().strip_prefix("http://").unwrap().to_owned();
        answered += thread::scope(|scope| {
            let (lines, key) = (&lines[answered..], &key);
            let sender = scope.spawn(move || {
                // Whoever is not answered, or not wholly, was not told anything.
                let sent = lines.iter().take_while(|line| {
                    let request = request(key, std::slice::from_ref(*line));
                    std::panic::catch_unwind(|| request.send(&address)).is_ok_and(|reply| {
                        reply.status == 200 && serde_json::from_slice::<Value>(&reply.body).is_ok()
                    })
                });
                sent.count()
            });
            thread::sleep(std::time::Duration::from_millis(40 + 37 * round));
            office.kill();
            sender.join().unwrap()
        });
    }
}

#[test]
fn what_was_sent_comes_out_as_a_bundle_that_a_stranger_checks() {
    let desk = Desk::with_billing();
    let lines = work(&desk, "billing", 8, Sealing::Groups);
    std::fs::copy(desk.path("agents/billing/ca.pem"), desk.path("root.pem")).unwrap();
    let office = Office::open(&desk);
    let read = |query: &str| office.get_as_owner(&format!("/v1/agents/billing/forensics{query}"));
    assert_eq!(refusal(&read("?format=zip")), (404, "bundle.empty".into()));
    assert_eq!(counts(&upload(&office, office.owner(), &lines)).0, 200);
    office.post("/v1/events", &json!({ "agent_id": "billing", "action_type": "transaction_anomaly" }));
    // The list that its receipts name is not the newest one any more, and what that one says comes later than they do.
    for order in ["suspend", "resume", "revoke"] {
        let path = format!("/v1/agents/billing/{order}");
        assert_eq!(office.post(&path, &json!({ "reason": "</script>\u{1b}[2J" })).status, 200, "{order}");
    }
    let shown = read("?min_risk=0.5&limit=3").json();
    let data = &shown["data"];
    assert_eq!((&data["summary"]["receipts"], &data["summary"]["denied"]), (&json!(lines.len()), &json!(2)));
    assert_eq!(
        (data["events"].as_array().unwrap().len(), data["receipts"].as_array().unwrap().len()),
        (1, 3)
    );
    let zip = office.get_as_owner(data["bundle"].as_str().unwrap());
    assert_eq!((zip.status, zip.header("content-type")), (200, "application/zip"));
    std::fs::write(desk.path("incident.zip"), &zip.body).unwrap();
    let verdict = desk.answer(&["verify", "incident.zip", "--root", "root.pem"], 3);
    assert_eq!(verdict["verdict"], "AUTHENTIC-NOT-COMPLETE", "{verdict}");
    let stream = &verdict["streams"][0];
    assert_eq!((stream["allowed"].as_u64(), stream["denied"].as_u64()), (Some(6), Some(2)));
    let hostile = "?action_type=%3Cscript%3E%1b%5B2J%00'%3B--&min_risk=0&to=2999-01-01T00:00:00%2B01:00";
    let strange = read(hostile);
    assert_eq!((strange.status, strange.header("content-type")), (200, "application/json"));
    assert_eq!(strange.json()["data"]["filters"]["action_type"], "<script>\u{1b}[2J\0';--");
    let again = office.get_as_owner(strange.json()["data"]["bundle"].as_str().unwrap());
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!(office.get_as_owner("/v1/agents/nobody/forensics").status, 404);
    assert_eq!(read("?chain=nothing%20like%20one").status, 404);
    for query in ["?format=pdf", "?limit=0", "?min_risk=2", "?from=now", "?unknown=1"] {
        assert_eq!(read(query).status, 400, "{query}");
    }
    assert_eq!(refusal(&read("?format=zip&to=2000-01-01T00:00:00Z")), (404, "bundle.empty".into()));
    let log = office.get_as_owner("/v1/audit-log?event_type=forensics.bundle").json();
    assert_eq!(log["data"].as_array().unwrap().len(), 4);
}
