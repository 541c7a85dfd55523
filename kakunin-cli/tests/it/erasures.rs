//! `erase` on a journal that a guard writes, while it writes and afterwards.

use std::fs;
use std::path::Path;

use kakunin_core::guard::{Clock as _, Guard, GuardOptions, ManualClock, SystemClock};
use kakunin_core::home::AgentHome;
use kakunin_core::request::ActionRequest;

use crate::desk::{Desk, texts};

fn guard(desk: &Desk) -> Guard {
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    Guard::open(home, GuardOptions::default()).unwrap()
}

fn pay(guard: &Guard, amount: &str, name: &str) -> String {
    let running = guard
        .admit(&ActionRequest::new("payments:send").amount(amount, "EUR").counterparty(name))
        .unwrap()
        .begin()
        .unwrap();
    let receipt = running.receipt().unwrap().to_string();
    running.returned();
    receipt
}

fn holds(dir: &Path, text: &str) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds(&path, text),
            false => fs::read(&path).unwrap().windows(text.len()).any(|octets| octets == text.as_bytes()),
        }
    })
}

#[test]
fn values_are_erased_while_their_guard_runs_and_why_says_what_is_gone() {
    let desk = Desk::with_billing();
    let guard = guard(&desk);
    let (gone, kept) = (pay(&guard, "12.50", "acme"), pay(&guard, "13.75", "globex"));
    let erase =
        ["erase", "--journal", "agents/billing", "--counterparty", "acme", "--reason", "subject_request"];
    let planned = desk.yes(&[&erase[..], &["--dry-run"]].concat());
    assert_eq!((planned["values"].as_u64(), planned["erased"].as_bool()), (Some(3), Some(false)));
    let erased = desk.yes(&erase);
    assert_eq!((erased["decisions"].as_u64(), erased["values"].as_u64()), (Some(1), Some(3)));
    assert_eq!(erased["reason"], "subject_request");
    // The guard goes on, and the trail is in order.
    pay(&guard, "14.00", "globex");
    guard.close();
    let answer = desk.answer(
        &["verify", "agents/billing", "--root", "agents/billing/ca.pem", "--replay", "--timeline"],
        3,
    );
    assert_eq!(
        (answer["values"]["disclosed"].as_u64(), answer["values"]["erased"].as_u64()),
        (Some(6), Some(3))
    );
    assert!(
        answer["reasons"].as_array().unwrap().iter().all(|reason| reason["code"] == "tail.not_witnessed")
    );
    assert_eq!((answer["replay"]["same"].as_u64(), answer["replay"]["open"].as_u64()), (Some(2), Some(1)));
    let told: Vec<&str> =
        answer["timeline"].as_array().unwrap().iter().map(|step| step["what"].as_str().unwrap()).collect();
    assert!(told.contains(&"3 values were erased [subject_request]"), "{told:?}");
    let why = desk.yes(&["why", &gone, "--agent", "agents/billing"]);
    assert_eq!(why["erased"], serde_json::json!(["amount", "currency", "counterparties"]));
    assert_eq!(
        (why["erasure"].as_str(), why["erasure_reason"].as_str()),
        (erased["receipts"][0].as_str(), Some("subject_request"))
    );
    assert!(why.get("amount").is_none());
    let why = desk.yes(&["why", &kept, "--agent", "agents/billing"]);
    assert!(why.get("erased").is_none() && why["amount"] == "13.75");
    // base64url of `"acme"]` and of its salt's neighbours lie nowhere any more.
    desk.yes(&["export", "--journal", "agents/billing", "--out", "incident.zip"]);
    fs::create_dir(desk.path("out")).unwrap();
    fs::rename(desk.path("incident.zip"), desk.path("out/incident.zip")).unwrap();
    for text in ["ImFjbWUiX", "iYWNtZSJd", "JhY21lIl0"] {
        assert!(!holds(&desk.path("agents/billing/state/journal"), text), "{text}");
        assert!(!holds(&desk.path("out"), text), "{text}");
    }
    let answer = desk.answer(&["verify", "out/incident.zip", "--root", "agents/billing/ca.pem"], 3);
    assert_eq!(
        (answer["values"]["erased"].as_u64(), answer["values"]["withheld"].as_u64()),
        (Some(3), Some(0))
    );
}

#[test]
fn retention_is_a_setting_and_its_day_comes() {
    let desk = Desk::with_billing();
    let guard = guard(&desk);
    pay(&guard, "12.50", "acme");
    guard.close();
    let settings = desk.path("agents/billing/agent.toml");
    let text = fs::read_to_string(&settings).unwrap();
    let retention = ["erase", "--journal", "agents/billing", "--retention"];
    let (_, error) = texts(&desk.run(&retention));
    assert!(error.contains("keep_days"), "{error}");
    desk.answer(&retention, 64);
    for wrong in ["keep_days = 0", "keep_days = \"180\"", "keep_days = -1", "keep_day = 1"] {
        fs::write(&settings, format!("{text}\n[disclosures]\n{wrong}\n")).unwrap();
        desk.answer(&retention, 2);
    }
    fs::write(&settings, format!("{text}\n[disclosures]\nkeep_days = 180\n")).unwrap();
    assert_eq!(desk.yes(&retention)["values"].as_u64(), Some(0));
    // What is younger than the setting is also younger than an hour; a time to come takes everything.
    let before = ["erase", "--journal", "agents/billing/state/journal", "--reason", "retention"];
    assert_eq!(desk.yes(&[&before[..], &["--older-than", "1h"]].concat())["values"].as_u64(), Some(0));
    let erased = desk.yes(&[&before[..], &["--before", "2100-01-01T00:00:00Z"]].concat());
    assert_eq!(erased["values"].as_u64(), Some(3));
    // Renewing the agent keeps the setting.
    desk.yes(&["agent", "renew", "billing"]);
    assert!(fs::read_to_string(&settings).unwrap().contains("keep_days = 180"));
}

#[test]
fn what_is_no_reason_or_names_nothing_is_refused() {
    let desk = Desk::with_billing();
    let guard = guard(&desk);
    let receipt = pay(&guard, "12.50", "acme");
    guard.close();
    let erase =
        |more: &[&str], code| desk.answer(&[&["erase", "--journal", "agents/billing"], more].concat(), code);
    for wrong in [
        &["--chain", "abc", "--reason", "retention"][..],
        &["--counterparty", "acme"],
        &["--counterparty", "acme", "--reason", "because Jane Doe asked"],
        &["--counterparty", "acme", "--resource", "x", "--reason", "retention"],
        &["--older-than", "180", "--reason", "retention"],
        &["--older-than", "-1d", "--reason", "retention"],
        &["--before", "yesterday", "--reason", "retention"],
        &["--decision", "12", "--reason", "retention"],
        &["--reason", "retention"],
    ] {
        let output = desk.run(&[&["erase", "--journal", "agents/billing"], wrong].concat());
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
    }
    erase(&["--decision", "0000000000", "--reason", "owner_request"], 1);
    let answer = erase(&["--decision", receipt.get(..10).unwrap(), "--reason", "owner_request"], 0);
    assert_eq!(answer["values"].as_u64(), Some(3));
    // A journal elsewhere needs to be told whose it is.
    fs::rename(desk.path("agents/billing/state/journal"), desk.path("journal")).unwrap();
    let alone =
        ["erase", "--journal", "journal", "--before", "2100-01-01T00:00:00Z", "--reason", "retention"];
    desk.answer(&alone, 64);
    desk.yes(&[&alone[..], &["--agent", "agents/billing"]].concat());
}

#[test]
fn doctor_warns_of_values_that_should_be_gone() {
    let desk = Desk::with_billing();
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let clock = std::sync::Arc::new(ManualClock::new(SystemClock.wall()));
    let guard = Guard::open(
        home,
        GuardOptions { clock: std::sync::Arc::clone(&clock) as _, ..GuardOptions::default() },
    );
    let guard = guard.unwrap();
    // Three days ago, by the clock of this agent: its certificate is not that old, so it is denied and recorded.
    clock.set_wall(SystemClock.wall().plus_millis(-3 * 86_400_000));
    drop(guard.admit(&ActionRequest::new("payments:send").amount("12.50", "EUR").counterparty("acme")));
    guard.close();
    let settings = desk.path("agents/billing/agent.toml");
    let text = fs::read_to_string(&settings).unwrap();
    let warned = |what: &str| texts(&desk.run(&["doctor", "--agent", "agents/billing"])).0.contains(what);
    for (days, overdue) in [(1, true), (3, false), (30, false)] {
        fs::write(&settings, format!("{text}\n[disclosures]\nkeep_days = {days}\n")).unwrap();
        assert_eq!(warned("values are older than"), overdue, "{days}");
    }
    let erasing = desk.path("agents/billing/state/journal/erasing");
    fs::write(&erasing, "").unwrap();
    assert!(warned("an erasure goes on or was interrupted"));
    fs::remove_file(erasing).unwrap();
    assert!(!warned("erasure"));
}
