//! `verify` and `why` on a journal that a guard wrote.

use std::fs;

use kakunin_core::guard::{Clock as _, Guard, GuardOptions, ManualClock, SystemClock};
use kakunin_core::home::AgentHome;
use kakunin_core::request::ActionRequest;

use crate::desk::{Desk, texts};

/// One payment allowed, one denied; gives the receipts of both.
fn work(desk: &Desk) -> (String, String) {
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions::default()).unwrap();
    let pay =
        |amount| guard.admit(&ActionRequest::new("payments:send").amount(amount, "EUR").counterparty("acme"));
    let running = pay("12.50").unwrap().begin().unwrap();
    let allowed = running.receipt().unwrap().to_string();
    running.returned();
    let denied = pay("12500.00").unwrap_err().receipt().unwrap().to_string();
    guard.close();
    (allowed, denied)
}

#[test]
fn a_closed_journal_is_authentic_and_its_end_is_not_witnessed() {
    let desk = Desk::with_billing();
    work(&desk);
    // The authority is not needed any more; its root is kept elsewhere.
    fs::rename(desk.path("agents/billing/ca.pem"), desk.path("root.pem")).unwrap();
    fs::remove_dir_all(desk.path(".kakunin")).unwrap();
    for place in ["agents/billing", "agents/billing/state", "agents/billing/state/journal"] {
        let answer = desk.answer(&["verify", place, "--root", "root.pem"], 3);
        assert_eq!(answer["verdict"], "AUTHENTIC-NOT-COMPLETE", "{place}");
        assert_eq!(answer["reasons"][0]["code"], "tail.not_witnessed");
        let stream = &answer["streams"][0];
        assert_eq!((stream["allowed"].as_u64(), stream["denied"].as_u64()), (Some(1), Some(1)));
        assert_eq!(stream["closed"], true);
    }
    let other = Desk::with_billing();
    let root = other.path("agents/billing/ca.pem");
    let answer = desk.answer(&["verify", "agents/billing", "--root", root.to_str().unwrap()], 1);
    assert_eq!(answer["verdict"], "INVALID");
}

#[test]
fn a_decision_is_explained_by_the_first_digits_of_its_id() {
    let desk = Desk::with_billing();
    let (allowed, denied) = work(&desk);
    let why = desk.yes(&["why", denied.get(..8).unwrap(), "--agent", "agents/billing"]);
    assert_eq!((why["code"].as_str(), why["decision"].as_str()), (Some("scope.amount"), Some("deny")));
    assert_eq!((why["amount"].as_str(), why["currency"].as_str()), (Some("12500.00"), Some("EUR")));
    assert_eq!(why["signed"], true);
    // Without a directory, the home knows where its agents are.
    let why = desk.yes(&["why", &allowed]);
    assert_eq!((why["decision"].as_str(), why["outcome"].as_str()), (Some("allow"), Some("returned")));
    let (out, _) = texts(&desk.run(&["why", denied.get(..8).unwrap()]));
    assert!(out.contains("scope.amount") && out.contains("fix"), "{out}");
}

#[test]
fn an_outcome_that_nobody_signed_is_told_as_nobodys() {
    let desk = Desk::with_billing();
    let (allowed, _) = work(&desk);
    let why = || desk.yes(&["why", &allowed, "--agent", "agents/billing"]);
    assert_eq!(why()["outcome"], "returned");
    let journal = desk.path("agents/billing/state/journal");
    let streams = fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path().join("0001.seg"));
    let segment = streams.into_iter().find(|path| path.is_file()).unwrap();
    // The frames of the journal, but the signature of the third receipt.
    let (octets, mut kept) = (fs::read(&segment).unwrap(), Vec::new());
    let mut rest = octets.as_slice();
    while let Some((length, _)) = rest.split_first_chunk() {
        let (frame, behind) = rest.split_at(8 + u32::from_le_bytes(*length) as usize);
        if !frame.split_at(8).1.starts_with(&[2, 2, 0, 0, 0, 0, 0, 0, 0]) {
            kept.extend_from_slice(frame);
        }
        rest = behind;
    }
    assert_eq!(octets.len() - kept.len(), 8 + 1 + 8 + 64);
    fs::write(&segment, kept).unwrap();
    let said = why();
    assert_eq!((said["outcome"].as_str(), said["unsigned"].as_str()), (Some("not signed"), Some("returned")));
    let answer = desk.answer(&["verify", "agents/billing", "--root", "agents/billing/ca.pem"], 3);
    let codes: Vec<_> = answer["reasons"].as_array().unwrap().iter().map(|it| &it["code"]).collect();
    assert_eq!(codes, ["tail.not_witnessed", "receipt.unsigned", "outcome.missing"]);
}

#[test]
fn a_dry_run_can_leave_receipts_that_prove_no_action() {
    let desk = Desk::with_billing();
    let chain = "00112233445566778899aabbccddeeff";
    let ask = |amount: &str, code| {
        let words = ["check", "--agent", "agents/billing", "--action", "payments:send", "--amount", amount];
        let more = ["--currency", "EUR", "--counterparty", "acme", "--journal", "trail", "--chain", chain];
        desk.answer(&[&words[..], &more[..]].concat(), code)
    };
    ask("12.50", 0);
    let denied = ask("12500.00", 1);
    let answer = desk.answer(&["verify", "trail", "--root", "agents/billing/ca.pem"], 3);
    assert_eq!(answer["verdict"], "AUTHENTIC-NOT-COMPLETE");
    // A question has no outcome, and none is missed.
    let reasons = answer["reasons"].as_array().unwrap();
    assert!(reasons.iter().all(|reason| reason["code"] == "tail.not_witnessed"), "{reasons:?}");
    let why = desk.yes(&["why", denied["receipt"].as_str().unwrap(), "--agent", "trail"]);
    assert_eq!((why["code"].as_str(), why["mode"].as_str()), (Some("scope.amount"), Some("check")));
}

#[test]
fn a_jump_of_the_clock_is_told_by_verify_and_why() {
    let desk = Desk::with_billing();
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let clock = std::sync::Arc::new(ManualClock::new(SystemClock.wall()));
    let options = GuardOptions { clock: std::sync::Arc::clone(&clock) as _, ..GuardOptions::default() };
    let guard = Guard::open(home, options).unwrap();
    let read = || guard.admit(&ActionRequest::new("read:mail")).unwrap().begin().unwrap().returned();
    read();
    clock.sleep(3_600_000);
    read();
    guard.close();
    let answer =
        desk.answer(&["verify", "agents/billing", "--root", "agents/billing/ca.pem", "--timeline"], 3);
    assert_eq!(answer["streams"][0]["clock_jumps"].as_u64(), Some(1));
    let told = answer["timeline"].as_array().unwrap();
    let note = told.iter().find(|step| step["what"] == "the clock moved 3600000 ms forward").unwrap();
    let why = desk.yes(&["why", note["receipt"].as_str().unwrap(), "--agent", "agents/billing"]);
    assert_eq!(why["event"], "the clock moved 3600000 ms forward");
}
