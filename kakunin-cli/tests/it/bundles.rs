//! `export` and `verify` on what guards wrote, with the authority gone.

use std::fs;

use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::request::ActionRequest;

use crate::desk::{Desk, texts};

/// One payment allowed, one denied, logged; gives the key of the log.
fn work(desk: &Desk) -> String {
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions::default()).unwrap();
    let pay =
        |amount| guard.admit(&ActionRequest::new("payments:send").amount(amount, "EUR").counterparty("acme"));
    pay("12.50").unwrap().begin().unwrap().returned();
    drop(pay("12500.00").unwrap_err());
    guard.close();
    let answer = desk.yes(&["log", "--journal", "agents/billing"]);
    answer.get("log").and_then(|it| it.as_str()).unwrap().to_owned()
}

/// The lists of a new issuing authority are counted from the beginning, below those of the one before.
#[test]
fn an_agent_that_runs_on_through_a_rotation_leaves_a_complete_trail() {
    let desk = Desk::with_billing();
    for _ in 0..4 {
        desk.yes(&["crl"]);
    }
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions::default()).unwrap();
    let asked = ActionRequest::new("payments:send").amount("12.50", "EUR").counterparty("acme");
    guard.admit(&asked).unwrap().begin().unwrap().returned();
    desk.yes(&["rotate"]);
    desk.yes(&["agent", "renew", "billing"]);
    guard.refresh();
    guard.admit(&asked).unwrap().begin().unwrap().returned();
    guard.close();
    let logged = desk.yes(&["log", "--journal", "agents/billing"]);
    let key = logged["log"].as_str().unwrap();
    desk.yes(&["export", "--out", "all.zip"]);
    let words = ["verify", "all.zip", "--root", ".kakunin/public/ca.pem", "--log-key", key, "--timeline"];
    let answer = desk.yes(&words);
    assert_eq!(answer["verdict"], "COMPLETE");
    assert_eq!(answer["counts"]["allowed"].as_u64(), Some(2));
    let rotated = |step: &serde_json::Value| step.to_string().contains("renewed certificate");
    assert!(answer["timeline"].as_array().unwrap().iter().any(rotated), "{answer}");
}

#[test]
fn a_bundle_is_complete_by_root_and_log_key_when_everything_else_is_gone() {
    let desk = Desk::with_billing();
    let key = work(&desk);
    // Without further words, everything of this home.
    let exported = desk.yes(&["export", "--out", "incident.zip"]);
    assert_eq!((exported["receipts"].as_u64(), exported["logged"].as_u64()), (Some(5), Some(5)));
    fs::rename(desk.path("agents/billing/ca.pem"), desk.path("root.pem")).unwrap();
    fs::remove_dir_all(desk.path(".kakunin")).unwrap();
    fs::remove_dir_all(desk.path("agents")).unwrap();
    let verify = ["verify", "incident.zip", "--root", "root.pem", "--log-key", &key, "--replay"];
    let answer = desk.yes(&verify);
    assert_eq!(answer["verdict"], "COMPLETE");
    assert_eq!((answer["replay"]["same"].as_u64(), answer["replay"]["open"].as_u64()), (Some(2), Some(0)));
    assert!(answer["timeline"].is_null(), "whole streams tell no story unless asked");
    let told = desk.yes(&[&verify[..], &["--timeline"]].concat());
    let what: Vec<_> =
        told["timeline"].as_array().unwrap().iter().map(|it| it["what"].as_str().unwrap()).collect();
    assert_eq!(what[1], "allow payments:send 12.50 EUR acme");
    assert!(what[3].starts_with("deny payments:send 12500.00 EUR acme [scope.amount]"), "{what:?}");
    let (out, err) = texts(&desk.run(&[&verify[..], &["--timeline"]].concat()));
    assert!(out.starts_with("COMPLETE: 5 receipts in 1 streams, 1 allowed, 1 denied, 1 outcomes"), "{out}");
    assert!(out.contains("allow payments:send") && !out.contains('\x1b'), "{out}{err}");
    assert!(err.lines().count() == 1 && err.contains("no witness was asked"), "{err}");

    // Without the key nobody saw the end, and it says whose key is missing.
    let output = desk.run(&["verify", "incident.zip", "--root", "root.pem"]);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(3), "{out}{err}");
    assert!(out.contains("tail.not_witnessed") && err.contains("--log-key"), "{out}{err}");

    let mut octets = fs::read(desk.path("incident.zip")).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    fs::write(desk.path("incident.zip"), octets).unwrap();
    let answer = desk.answer(&verify, 1);
    assert_eq!(answer["verdict"], "INVALID");
    assert!(answer["invalid"]["code"].as_str().unwrap().starts_with("bundle."));
}

/// Who exports could do so before the revocation, or leave its list out.
#[test]
fn a_revocation_that_the_bundle_does_not_know_counts_by_a_list_of_ones_own() {
    let desk = Desk::with_billing();
    let key = work(&desk);
    desk.yes(&["export", "--out", "incident.zip"]);
    desk.yes(&["revoke", "billing", "--reason", "stolen"]);
    let root = "agents/billing/ca.pem";
    let verify = ["verify", "incident.zip", "--root", root, "--log-key", &key];
    assert_eq!(desk.yes(&verify)["verdict"], "COMPLETE");
    let own = [&verify[..], &["--crl", ".kakunin/public/lists.pem"]].concat();
    let answer = desk.answer(&own, 3);
    assert_eq!(answer["reasons"][0]["code"], "time.unproven", "{answer}");
    // A file without a list is not passed over, and neither is a list of somebody else.
    desk.answer(&[&verify[..], &["--crl", root]].concat(), 2);
    let other = Desk::with_billing();
    let theirs = other.path(".kakunin/public/lists.pem");
    let answer = desk.yes(&[&verify[..], &["--crl", theirs.to_str().unwrap()]].concat());
    assert!(answer["notes"][0].as_str().unwrap().contains("no issuer here"), "{answer}");
}

#[test]
fn a_journal_with_its_log_is_complete_and_a_log_without_a_key_is_wrong_usage() {
    let desk = Desk::with_billing();
    let key = work(&desk);
    let journal = ["verify", "agents/billing", "--root", "agents/billing/ca.pem", "--log", ".kakunin/log"];
    let answer = desk.yes(&[&journal[..], &["--log-key", &key]].concat());
    assert_eq!(answer["verdict"], "COMPLETE");
    assert_eq!(desk.run(&journal).status.code(), Some(64));
    assert_eq!(desk.run(&[&journal[..4], &["--log-key", "nonsense"]].concat()).status.code(), Some(64));
    desk.answer(&["verify", "nothing.zip", "--root", "agents/billing/ca.pem"], 2);
    desk.answer(&["export", "--chain", "00112233445566778899aabbccddeeff", "--out", "none.zip"], 2);
    assert!(!desk.path("none.zip").exists());
}

#[test]
fn a_witness_of_the_policy_is_named_in_a_file() {
    let desk = Desk::with_billing();
    let key = work(&desk);
    let seen = desk.yes(&["witness", "--state", "w", "--log", ".kakunin/log", "--log-key", &key]);
    let witness = seen["witness"].as_str().unwrap();
    fs::write(desk.path("w.txt"), format!("log {key}\nwitness W {witness}\nquorum W\n")).unwrap();
    desk.yes(&["export", "--out", "incident.zip"]);
    let verify = ["verify", "incident.zip", "--root", "agents/billing/ca.pem", "--witness-policy", "w.txt"];
    let answer = desk.yes(&verify);
    assert_eq!(answer["streams"][0]["witnessed"], answer["streams"][0]["receipts"]);
    fs::write(desk.path("w.txt"), "quorum nobody\n").unwrap();
    desk.answer(&verify, 2);
}
