//! Checkpoints of the owner's log on their way to the authority.

use std::fs;

use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::log::{Log, LogKey};
use serde_json::{Value, json};

use crate::desk::until;
use crate::office::Office;

/// Two histories of one log, and the settings of the agent pin its key.
fn logs(office: &Office) -> (Log, Log) {
    let (_, secret) = SoftKey::generate(Algorithm::Ed25519).unwrap();
    let log = |name: &str| {
        let key = Signer::soft(SoftKey::from_pkcs8(&secret).unwrap());
        Log::create(&office.folder.path().join(name), LogKey::new("log.example/owner", key).unwrap()).unwrap()
    };
    let (log, other) = (log("log"), log("other"));
    let settings = office.directory().join("agent.toml");
    let before = fs::read_to_string(&settings).unwrap();
    let before: String =
        before.lines().filter(|line| !line.starts_with("log =")).map(|line| format!("{line}\n")).collect();
    let pin = format!("log = \"{}\"\ncheckpoint = \"../log/checkpoint\"\n", log.checkpoint().log());
    fs::write(&settings, format!("{pin}{before}")).unwrap();
    // The guard of an agent makes it; here nobody decides anything.
    fs::create_dir(office.directory().join("state")).unwrap();
    (log, other)
}

fn rows(office: &Office, path: &str) -> Vec<Value> {
    let (status, answer) = office.ask("GET", path, "");
    assert_eq!(status, 200, "{answer}");
    answer["data"].as_array().unwrap().clone()
}

fn shown(office: &Office) -> Vec<(u64, Option<u64>)> {
    let row = |row: &Value| (row["size"].as_u64().unwrap(), row["proven"].as_u64());
    rows(office, "/v1/checkpoints").iter().rev().map(row).collect()
}

#[test]
fn checkpoints_that_an_agent_is_shown_reach_its_authority_over_outages_and_restarts() {
    let mut office = Office::new(0);
    let (mut log, mut other) = logs(&office);
    log.append(&["a", "b"]).unwrap();
    let client = office.connect();
    until("the first is known", || shown(&office) == [(2, None)]);
    until("nothing waits", || client.status().checkpoints_behind == 0);
    // The authority is away, and the log grows twice.
    office.stop();
    for (entries, behind) in [(["c"].as_slice(), 1), (["d", "e"].as_slice(), 2)] {
        log.append(entries).unwrap();
        until("it waits", || client.status().checkpoints_behind == behind);
    }
    // Another process takes what this one leaves.
    drop(client);
    office.start();
    let client = office.connect();
    until("all are known", || shown(&office) == [(2, None), (3, Some(2)), (5, Some(3))]);
    until("nothing waits", || client.status().checkpoints_behind == 0);
    assert!(client.take_alarms().iter().all(|alarm| alarm.kind.code() != "log.contradiction"));
    // The log shows another history: told to whoever runs the agent, and evidence at the authority.
    other.append(&["a", "b", "x", "y", "z"]).unwrap();
    let offered = other.checkpoint().note().to_string();
    fs::write(office.folder.path().join("log/checkpoint"), &offered).unwrap();
    until("an alarm", || client.take_alarms().iter().any(|alarm| alarm.kind.code() == "log.contradiction"));
    let told = rows(&office, "/v1/checkpoints/contradictions");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["code"], &told[0]["known"], &told[0]["offered"]),
        (&json!("checkpoint.fork"), &json!(log.checkpoint().note().to_string()), &json!(offered))
    );
    assert_eq!(shown(&office).len(), 3);
    until("nothing waits", || client.status().checkpoints_behind == 0);
}
