//! `kakunin scope suggest`: a scope from what an agent was seen to do.

use std::fs;

use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::receipt::Mode;
use kakunin_core::request::ActionRequest;

use crate::desk::{Desk, texts};

/// Lets billing ask for each request, and run what it is let.
fn work(desk: &Desk, mode: Mode, asked: &[ActionRequest<'_>]) {
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions { mode, ..GuardOptions::default() }).unwrap();
    for request in asked {
        if let Ok(pass) = guard.admit(request) {
            pass.begin().unwrap().returned();
        }
    }
    guard.close();
}

fn pay<'a>(amount: &'a str, party: &'a str) -> ActionRequest<'a> {
    ActionRequest::new("payments:send").amount(amount, "EUR").counterparty(party)
}

#[test]
fn a_week_in_observe_mode_becomes_a_scope_that_denies_none_of_it() {
    let desk = Desk::with_billing();
    let week = [
        pay("12.50", "acme"),
        // Denied by the present scope, and run all the same.
        pay("12500.00", "acme"),
        pay("80.00", "initech"),
        ActionRequest::new("write:drafts").resource("draft/7"),
        ActionRequest::new("read:invoices"),
    ];
    work(&desk, Mode::Observe, &week);
    let answer = desk.yes(&["scope", "suggest", "--journal", "agents/billing", "--out", "suggested.toml"]);
    assert_eq!(answer["calls"], 5, "{answer:#}");
    assert_eq!(answer["denied_now"], serde_json::json!({}), "{answer:#}");
    assert_eq!(
        answer["denied_before"],
        serde_json::json!({ "scope.action": 1, "scope.amount": 1, "scope.counterparty": 1 })
    );
    let text = fs::read_to_string(desk.path("suggested.toml")).unwrap();
    assert_eq!(answer["scope"].as_str().unwrap(), text);
    for line in [
        "per_action = \"12500.00\"",
        "per_day = \"12592.50\"",
        "allow = [\"acme\", \"initech\"]",
        "max = 5",
        "zone = \"UTC\"",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains('*'), "nothing is generalised: {text}");
    assert!(text.contains("No amount and no name was seen of: read:invoices."), "{text}");
    // It is a scope that an agent can be certified by, and it allows that and no more.
    desk.yes(&["agent", "renew", "billing", "--scope", "suggested.toml"]);
    let lists = ".kakunin/public/lists.pem";
    let check = |code: i32, more: &[&str]| {
        let mut all = vec!["check", "--agent", "agents/billing", "--crl", lists];
        all.extend(more);
        desk.answer(&all, code)
    };
    let pay = |amount: &'static str, party: &'static str| {
        ["--action", "payments:send", "--amount", amount, "--currency", "EUR", "--counterparty", party]
    };
    check(0, &pay("12500.00", "initech"));
    assert_eq!(check(1, &pay("12500.01", "acme"))["code"], "scope.amount");
    assert_eq!(check(1, &pay("1.00", "globex"))["code"], "scope.counterparty");
    assert_eq!(check(1, &["--action", "read:other"])["code"], "scope.action");
    assert_eq!(check(1, &["--action", "write:drafts", "--resource", "draft/8"])["code"], "scope.resource");
}

#[test]
fn what_an_enforced_leash_denied_did_not_run_and_is_not_suggested() {
    let desk = Desk::with_billing();
    work(&desk, Mode::Enforce, &[pay("12.50", "acme"), pay("12500.00", "acme"), pay("1.00", "mallory")]);
    let answer = desk.yes(&["scope", "suggest", "--journal", "agents/billing"]);
    assert_eq!(answer["calls"], 1);
    let text = answer["scope"].as_str().unwrap();
    assert!(text.contains("per_action = \"12.50\"") && !text.contains("mallory"), "{text}");
    let unseen = answer["unseen"].to_string();
    assert!(
        unseen.contains("denied as scope.amount and did not run") && unseen.contains("observe mode"),
        "{unseen}"
    );
}

#[test]
fn minor_units_and_calls_without_a_value_stay_allowed() {
    let desk = Desk::with_billing();
    let week = [
        ActionRequest::new("payments:send").amount_minor(1250, "EUR").counterparty("acme"),
        ActionRequest::new("payments:send").amount("3", "EUR"),
        ActionRequest::new("read:invoices").amount("1.5", "JPY"),
        ActionRequest::new("read:invoices"),
        ActionRequest::new("read:invoices").counterparties(&["Grüße \"]\n# x", "acme"]),
    ];
    work(&desk, Mode::Observe, &week);
    let answer = desk.yes(&["scope", "suggest", "--journal", "agents/billing"]);
    assert_eq!(answer["denied_now"], serde_json::json!({}), "{answer:#}");
    let text = answer["scope"].as_str().unwrap();
    assert!(text.contains("per_action = \"12.50\"") && text.contains("scale = 1"), "{text}");
    assert!(text.contains("optional = true"), "{text}");
}

#[test]
fn nothing_follows_from_receipts_that_are_missing_empty_or_changed() {
    let desk = Desk::with_billing();
    let suggest = |code: i32| desk.answer(&["scope", "suggest", "--journal", "agents/billing"], code);
    assert!(suggest(2)["error"].as_str().unwrap().contains("no call that ran"));
    work(&desk, Mode::Enforce, &[pay("12500.00", "acme")]);
    assert!(suggest(2)["error"].as_str().unwrap().contains("no call that ran"));
    work(&desk, Mode::Observe, &[pay("12.50", "acme")]);
    assert_eq!(suggest(0)["calls"], 1);
    // Whoever changed a receipt suggests nothing.
    let journal = desk.path("agents/billing/state/journal");
    for stream in fs::read_dir(journal).unwrap() {
        let stream = stream.unwrap().path();
        if stream.ends_with("archive") || !stream.is_dir() {
            continue;
        }
        for file in fs::read_dir(stream).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|kind| kind == "seg") {
                let mut bytes = fs::read(&file).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(&file, bytes).unwrap();
            }
        }
    }
    assert!(suggest(1)["error"].as_str().unwrap().contains("not right"));
    let (_, err) = texts(&desk.run(&["scope", "suggest", "--journal", "agents/billing/state/journal"]));
    assert!(err.contains("--root"), "{err}");
}
