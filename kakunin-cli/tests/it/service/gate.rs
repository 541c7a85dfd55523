//! The gate of the hosted contract: by receipts that were proved, and never by nothing.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::journal::{JournalOptions, Sealing, StreamReader, locate};
use kakunin_core::receipt::Mode;
use kakunin_core::request::ActionRequest;
use serde_json::{Value, json};

use super::ingest::{counts, request};
use super::office::Office;
use super::web::Request;
use crate::desk::Desk;

/// Small, so that a test need not wait for a fortnight; it suspends by itself and leaves the revocation to others.
const POLICY: &str = "highest = \"suspend\"
average_run_length = 1000
window = 10
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

const USUAL: [&str; 4] = ["read:orders", "read:order", "read:customer", "read:order"];

fn act<'a>(desk: &Desk, actions: impl IntoIterator<Item = &'a str>) {
    act_in(desk, Mode::Enforce, actions);
}

fn act_in<'a>(desk: &Desk, mode: Mode, actions: impl IntoIterator<Item = &'a str>) {
    let journal = JournalOptions { sealing: Some(Sealing::Each), ..JournalOptions::default() };
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions { journal, mode, ..GuardOptions::default() }).unwrap();
    for action in actions {
        if let Ok(pass) = guard.admit(&ActionRequest::new(action)) {
            pass.begin().unwrap().returned();
        }
    }
    guard.close();
}

fn upload(desk: &Desk, office: &Office<'_>, key: &str) {
    let journal = locate(&desk.path("agents/billing")).unwrap();
    let streams = StreamReader::streams(&journal).unwrap();
    let lines: Vec<String> =
        streams.into_iter().flatten().map(|entry| entry.unwrap().to_log_entry().unwrap()).collect();
    for some in lines.chunks(400) {
        assert_eq!(counts(&office.send(&request(key, some))).0, 200);
    }
}

fn ask(office: &Office<'_>, key: &str, body: &Value) -> (u16, Value) {
    let reply = office.send(&Request::post("/v1/integrations/github/gate", body).bearer(key));
    let json = reply.json();
    (reply.status, json.get("data").cloned().unwrap_or(json))
}

fn until(office: &Office<'_>, what: &str, is_so: impl Fn(&Value) -> bool) {
    let start = Instant::now();
    loop {
        let known = office.get_as_owner("/v1/agents/billing/risk").json();
        if is_so(&known) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{what}: {known:#}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn has(answer: &Value, step: &str, code: &str) -> bool {
    let checks = answer.get("checks").and_then(Value::as_array).unwrap();
    checks
        .iter()
        .any(|check| check.get("step") == Some(&json!(step)) && check.get("code") == Some(&json!(code)))
}

#[test]
fn the_hosted_gate_passes_by_proved_receipts_and_revokes_only_by_a_key_that_may() {
    let desk = Desk::with_billing();
    fs::write(desk.path("policy.toml"), POLICY).unwrap();
    let office = Office::open_with(&desk, &["--risk-policy", "policy.toml", "--without-feed"]);
    let ingest = office.key(&json!({ "role": "ingest" }));
    let gate = office.key(&json!({ "role": "gate" }));
    let revoker = office.key(&json!({ "role": "revoker" }));
    let asked = json!({ "agentId": "billing", "commitSha": "c0ffee", "workflowRunId": "7", "repo": "a/b" });

    // Nothing is no pass, and neither are words.
    let (status, none) = ask(&office, &gate, &asked);
    assert_eq!((status, &none["decision"]), (200, &json!("fail")), "{none:#}");
    assert!(has(&none, "evidence", "gate.evidence_none") && has(&none, "threshold", "gate.not_reached"));
    for _ in 0..40 {
        let event = json!({ "agent_id": "billing", "action_type": "api_call" });
        office.send(&Request::post("/v1/events", &event).bearer(&ingest));
    }
    let (_, said) = ask(&office, &gate, &asked);
    assert_eq!((&said["decision"], &said["receipts_considered"]), (&json!("fail"), &json!(0)), "{said:#}");
    assert!(said["events_considered"].as_u64() > Some(0));

    act(&desk, USUAL.into_iter().cycle().take(240));
    upload(&desk, &office, &ingest);
    until(&office, "a baseline", |known| known.pointer("/data/baseline").is_some_and(|it| !it.is_null()));
    let (status, passed) = ask(&office, &gate, &asked);
    assert_eq!((status, &passed["decision"]), (200, &json!("pass")), "{passed:#}");
    for (name, value) in [
        ("commit_sha", json!("c0ffee")),
        ("workflow_run_id", json!("7")),
        ("cert_revoked", json!(false)),
        ("agent_suspended", json!(false)),
        ("band", json!("low")),
    ] {
        assert_eq!(passed.get(name), Some(&value), "{name}");
    }
    assert!(passed["cert_serial"].is_string() && passed["thresholds"]["fail"] == "step-up");
    // Whose it is not, what cannot be read.
    assert_eq!(ask(&office, &ingest, &asked).0, 403);
    for wrong in [
        json!({}),
        json!({ "agentId": "nobody" }),
        json!({ "agentId": "billing", "windowDays": 0 }),
        json!({ "agentId": "billing", "windowDays": 31 }),
        json!({ "agentId": "billing", "windowDays": 7, "window_days": 8 }),
        json!({ "agentId": "billing", "commitSha": "x".repeat(65) }),
        json!({ "agentId": "billing", "decision": "pass" }),
    ] {
        let (status, answer) = ask(&office, &gate, &wrong);
        assert!([400, 404].contains(&status) && answer.get("decision").is_none(), "{wrong}: {answer}");
    }

    let names: Vec<String> = (0..160).map(|number| format!("admin:grant-{}", number % 5)).collect();
    act(&desk, names.iter().map(String::as_str));
    upload(&desk, &office, &ingest);
    until(&office, "held", |known| known.pointer("/data/standing") == Some(&json!("held")));
    let (_, failed) = ask(&office, &gate, &asked);
    assert_eq!((&failed["decision"], &failed["cert_revoked"]), (&json!("fail"), &json!(false)), "{failed:#}");
    assert!(has(&failed, "threshold", "gate.risk_level") && failed["agent_suspended"] == true);
    // A person let it act again. No pipeline overrules that, and nothing of before speaks for it either.
    let resume = Request::post("/v1/agents/billing/resume", &json!({ "reason": "drill" })).bearer(&revoker);
    assert_eq!(office.send(&resume).status, 200);
    let (_, failed) = ask(&office, &revoker, &asked);
    assert_eq!((&failed["decision"], &failed["cert_revoked"]), (&json!("fail"), &json!(false)), "{failed:#}");
    until(&office, "released", |known| known.pointer("/data/level") == Some(&json!("clear")));
    let (_, failed) = ask(&office, &revoker, &asked);
    assert_eq!((&failed["decision"], &failed["cert_revoked"]), (&json!("fail"), &json!(false)), "{failed:#}");
    assert!(has(&failed, "evidence", "gate.evidence_none"), "{failed:#}");
    // It does the same again, and nobody lets it.
    act(&desk, names.iter().map(String::as_str));
    upload(&desk, &office, &ingest);
    until(&office, "held again", |known| known.pointer("/data/standing") == Some(&json!("held")));
    let (_, revoked) = ask(&office, &revoker, &asked);
    assert_eq!(
        (&revoked["decision"], &revoked["cert_revoked"]),
        (&json!("fail"), &json!(true)),
        "{revoked:#}"
    );
    until(&office, "revoked", |known| known.pointer("/data/standing") == Some(&json!("revoked")));
    // Every check is recorded, with what it said.
    let log = office.get_as_owner("/v1/audit-log?event_type=gate.check").json();
    let rows = log.get("data").and_then(Value::as_array).unwrap();
    assert_eq!(rows.len(), 7, "{log:#}");
    assert!(log.to_string().contains("c0ffee") && log.to_string().contains("gate.risk_level"));
}

#[test]
fn the_hosted_gate_counts_calls_that_the_leash_held_and_no_dry_runs() {
    let desk = Desk::with_billing();
    fs::write(desk.path("policy.toml"), POLICY).unwrap();
    let office = Office::open_with(&desk, &["--risk-policy", "policy.toml", "--without-feed"]);
    let ingest = office.key(&json!({ "role": "ingest" }));
    let gate = office.key(&json!({ "role": "gate" }));
    let asked = json!({ "agentId": "billing" });
    act_in(&desk, Mode::Check, USUAL.into_iter().cycle().take(60));
    upload(&desk, &office, &ingest);
    let (_, dry) = ask(&office, &gate, &asked);
    assert_eq!((&dry["decision"], &dry["receipts_considered"]), (&json!("fail"), &json!(0)), "{dry:#}");
    act(&desk, USUAL.into_iter().cycle().take(240));
    upload(&desk, &office, &ingest);
    // A baseline is frozen before the last of them was looked at.
    until(&office, "all calls", |known| known.pointer("/data/behaviour/allowed_calls") == Some(&json!(240)));
    let (_, passed) = ask(&office, &gate, &asked);
    assert_eq!(
        (&passed["decision"], &passed["receipts_considered"]),
        (&json!("pass"), &json!(240)),
        "{passed:#}"
    );
    // One call that no leash held.
    act_in(&desk, Mode::Observe, ["read:order"]);
    upload(&desk, &office, &ingest);
    let start = Instant::now();
    loop {
        let (_, answer) = ask(&office, &gate, &asked);
        if answer["receipts_considered"] == 241 {
            assert_eq!(answer["decision"], "fail", "{answer:#}");
            assert!(has(&answer, "mode", "gate.observe_mode"), "{answer:#}");
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{answer:#}");
        thread::sleep(Duration::from_millis(20));
    }
}
