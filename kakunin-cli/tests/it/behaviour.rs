//! `risk` on a journal that a guard wrote.

use std::fs;

use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::request::ActionRequest;

use crate::desk::{Desk, texts};

/// Opens the agent's journal, asks for `calls` payments of `amount`, and closes it.
fn pays(desk: &Desk, calls: usize, amount: &str) {
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions::default()).unwrap();
    for _ in 0..calls {
        let request = ActionRequest::new("payments:send").amount(amount, "EUR").counterparty("acme");
        if let Ok(pass) = guard.admit(&request) {
            pass.begin().unwrap().returned();
        }
    }
    guard.close();
}

#[test]
fn a_history_is_learned_from_and_judged_the_same_from_journal_file_and_bundle() {
    let desk = Desk::with_billing();
    pays(&desk, 120, "12.50");
    let learned = desk.yes(&["risk", "baseline", "agents/billing", "--out", "b.json"]);
    assert_eq!(learned["calls"], 120);
    let replay = |what: &str, code| desk.answer(&["risk", "replay", what, "--baseline", "b.json"], code);
    let clean = replay("agents/billing", 0);
    assert_eq!((clean["level"].as_str(), clean["calls"].as_u64()), (Some("clear"), Some(120)));
    assert_eq!(clean["baseline"], learned["digest"]);

    pays(&desk, 60, "12500.00");
    let drifted = replay("agents/billing", 1);
    assert_eq!((drifted["highest"].as_str(), drifted["denied"].as_u64()), (Some("suspend"), Some(60)));
    let first = &drifted["changes"][0];
    assert!(first["receipt"].is_string() && first["evidence"][0]["sentence"].is_string(), "{first}");
    desk.yes(&["risk", "receipts", "agents/billing", "--out", "receipts.jsonl"]);
    desk.yes(&["export", "--journal", "agents/billing", "--out", "incident.zip"]);
    for what in ["receipts.jsonl", "incident.zip", "agents/billing/state"] {
        assert_eq!(replay(what, 1)["digest"], drifted["digest"], "{what}");
    }
    let (out, _) = texts(&desk.run(&["risk", "replay", "agents/billing", "--baseline", "b.json"]));
    assert!(out.contains(drifted["digest"].as_str().unwrap()) && out.contains("clear -> "), "{out}");

    // Learned anew it names the one before, and what stands there is never overwritten.
    let anew = ["risk", "baseline", "receipts.jsonl", "--calls", "110", "--replaces", "b.json", "--out"];
    let again = desk.yes(&[&anew[..], &["c.json"]].concat());
    assert_eq!((again["calls"].as_u64(), &again["replaces"]), (Some(110), &learned["digest"]));
    let before = fs::read(desk.path("b.json")).unwrap();
    desk.answer(&[&anew[..], &["b.json"]].concat(), 2);
    assert_eq!(fs::read(desk.path("b.json")).unwrap(), before);
}

#[test]
fn receipts_that_are_not_proven_are_refused_and_never_scored() {
    let desk = Desk::with_billing();
    pays(&desk, 120, "12.50");
    desk.yes(&["risk", "baseline", "agents/billing", "--out", "b.json"]);
    desk.yes(&["risk", "receipts", "agents/billing", "--out", "r.jsonl"]);
    let text = fs::read_to_string(desk.path("r.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains("\"receipt\"")).unwrap() + 40;
    let refused = |lines: Vec<String>, part: &str| {
        fs::write(desk.path("w.jsonl"), lines.join("\n")).unwrap();
        let error = desk.answer(&["risk", "replay", "w.jsonl", "--baseline", "b.json"], 2);
        let error = error["error"].as_str().unwrap();
        assert!(error.contains(part) && error.contains("line "), "{error}");
    };
    let all = || lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut wrong = all();
    let (body, signature) = wrong[at]
        .trim_end_matches("\"}")
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let turned: String = signature.chars().rev().collect();
    wrong[at] = format!("{body}.{}A\"}}", turned.get(..85).unwrap());
    refused(wrong, "signature");
    let mut wrong = all();
    wrong.remove(at);
    refused(wrong, "does not follow");
    let mut wrong = all();
    wrong.swap(at, at + 1);
    refused(wrong, "does not follow");
    let mut wrong = all();
    wrong.retain(|line| !line.contains("\"certificate\""));
    refused(wrong, "no line before it has its certificate");
    let mut wrong = all();
    wrong[at] = wrong[at].replace("{\"disclosures\"", "{\"believe\":true,\"disclosures\"");
    refused(wrong, "neither");
    let mut wrong = all();
    wrong[at] = "not json".to_owned();
    refused(wrong, "exact JSON");

    // Another authority's root proves nothing of it, and without any there is nothing to believe.
    let other = Desk::with_billing();
    let root = other.path("agents/billing/ca.pem");
    let foreign = ["risk", "replay", "r.jsonl", "--baseline", "b.json", "--root", root.to_str().unwrap()];
    let error = desk.answer(&foreign, 2);
    assert!(error["error"].as_str().unwrap().contains("not proven"), "{error}");
    let error = desk.answer(&["risk", "replay", "r.jsonl", "--baseline", "b.json", "--home", "nowhere"], 64);
    assert!(error["error"].as_str().unwrap().contains("--root"), "{error}");
    // The baseline of an agent says nothing about another.
    pays(&other, 120, "12.50");
    other.yes(&["risk", "baseline", "agents/billing", "--out", "b.json"]);
    let strange = other.path("b.json");
    let error =
        desk.answer(&["risk", "replay", "agents/billing", "--baseline", strange.to_str().unwrap()], 2);
    assert!(error["error"].as_str().unwrap().contains("the baseline is of agent"), "{error}");
}

#[test]
fn what_is_wrong_with_a_policy_is_told_with_its_line() {
    let desk = Desk::with_billing();
    pays(&desk, 5, "12.50");
    fs::write(desk.path("risk.toml"), "window = 50\nwindw = 60\n").unwrap();
    let asked = ["risk", "baseline", "agents/billing", "--out", "b.json", "--policy", "risk.toml"];
    let error = desk.answer(&asked, 2);
    assert!(error["error"].as_str().unwrap().contains("line 2: unknown key `windw`"), "{error}");
    let error = desk.answer(&["risk", "baseline", "agents/billing", "--out", "b.json"], 1);
    assert!(error["error"].as_str().unwrap().contains("5 allowed calls are too few"), "{error}");
    assert!(!desk.path("b.json").exists());
}
