//! `check`, `verify-certificate`, `inspect`, `doctor`, `demo`.

use std::fs;

use serde_json::Value;

use crate::desk::{Desk, texts};

const PAY: [&str; 11] = [
    "check",
    "--agent",
    "agents/billing",
    "--action",
    "payments:send",
    "--currency",
    "EUR",
    "--counterparty",
    "acme",
    "--crl",
    ".kakunin/public/lists.pem",
];

#[test]
fn check_answers_and_its_exit_code_says_the_same() {
    let desk = Desk::with_billing();
    let pay = |amount: &str, code: i32| desk.answer(&[&PAY[..], &["--amount", amount]].concat(), code);
    let allowed = pay("12.50", 0);
    assert_eq!((allowed["decision"].as_str(), allowed["code"].is_null()), (Some("allow"), true));
    assert_eq!(pay("12500.00", 1)["code"], "scope.amount");
    assert_eq!(pay("-1", 1)["code"], "request.amount_invalid");
    assert_eq!(desk.answer(&PAY, 1)["code"], "request.amount_missing");
    let minor = desk.answer(&[&PAY[..], &["--amount-minor", "1250"]].concat(), 0);
    assert_eq!(minor["decision"], "allow");
    let stranger = desk.answer(&[&PAY[..], &["--amount", "1", "--counterparty", "mallory"]].concat(), 1);
    assert_eq!(stranger["code"], "scope.counterparty");
    for (order, code) in [("suspend", "certificate.held"), ("revoke", "certificate.revoked")] {
        desk.yes(&[order, "billing", "--reason", "x"]);
        assert_eq!(pay("1", 1)["code"], code);
    }
}

#[test]
fn check_is_judged_at_the_time_it_is_told() {
    let desk = Desk::with_billing();
    let at = |time: &str| {
        desk.answer(&["check", "--agent", "agents/billing", "--action", "read:x", "--at", time], 1)
    };
    assert_eq!(at("2001-01-01T00:00:00Z")["code"], "certificate.not_yet_valid");
    assert_eq!(at("2045-01-01T00:00:00Z")["code"], "certificate.expired");
    let missing = ["check", "--agent", "agents/billing", "--action", "read:x", "--crl", "missing.pem"];
    assert_eq!(desk.answer(&missing, 1)["code"], "revocation.missing");
}

#[test]
fn lines_are_answered_in_order_and_spend_among_themselves() {
    let desk = Desk::with_billing();
    let pay = |amount: &str| {
        format!(r#"{{"action":"payments:send","amount":{amount},"currency":"EUR","counterparty":["acme"]}}"#)
    };
    let lines = [
        pay("\"10000.00\""),
        pay("12.5"),
        pay("\"10000.00\""),
        pay("\"0.01\""),
        r#"{"action":"read:x"}"#.into(),
        r#"{"action":"read:x","at":"2045-01-01T00:00:00Z"}"#.into(),
    ];
    fs::write(desk.path("requests.jsonl"), lines.join("\n")).unwrap();
    let output = desk.run(&["check", "--agent", "agents/billing", "--requests", "requests.jsonl", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let codes: Vec<Value> = texts(&output)
        .0
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["code"].clone())
        .collect();
    let null = Value::Null;
    let expected = [
        null.clone(),
        "request.amount_invalid".into(),
        null.clone(),
        "budget.window".into(),
        null,
        "certificate.expired".into(),
    ];
    assert_eq!(codes, expected);
    let broken = [
        "[1]",
        "{",
        r#"{"action":"read:x","counterpaty":"acme"}"#,
        r#"{"action":"x","at":5}"#,
        r#"{"action":"payments:send","amount":"999999","amount":"1.00","currency":"EUR"}"#,
    ];
    for broken in broken {
        fs::write(desk.path("broken.jsonl"), broken).unwrap();
        let error = desk.answer(&["check", "--agent", "agents/billing", "--requests", "broken.jsonl"], 64);
        assert!(error["error"].as_str().unwrap().contains("line 1"), "{error}");
    }
}

#[test]
fn a_certificate_is_believed_only_with_its_lists() {
    let desk = Desk::with_billing();
    let mut arguments = vec![
        "verify-certificate",
        "agents/billing/agent.pem",
        "--root",
        "agents/billing/ca.pem",
        "--untrusted",
        "agents/billing/chain.pem",
    ];
    assert_eq!(desk.answer(&arguments, 1)["code"], "revocation.missing");
    arguments.extend(["--crl", ".kakunin/public/lists.pem"]);
    let yes = desk.yes(&arguments);
    assert_eq!((yes["valid"].as_bool(), yes["standing"].as_str()), (Some(true), Some("good")));
    arguments.extend(["--at", "2045-01-01T00:00:00Z"]);
    assert_eq!(desk.answer(&arguments, 1)["code"], "certificate.expired");
    let other = Desk::with_billing();
    let root = other.path("agents/billing/ca.pem");
    arguments[3] = root.to_str().unwrap();
    assert_eq!(desk.answer(&arguments, 1)["code"], "certificate.untrusted");
}

#[test]
fn inspect_prints_scopes_certificates_and_lists_in_words() {
    let desk = Desk::with_billing();
    for file in ["scope.toml", "agents/billing", "agents/billing/agent.pem"] {
        let output = desk.run(&["inspect", file]);
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{err}");
        assert!(out.contains("at most 10000.00 EUR per action, 20000.00 EUR in any 24 h"), "{out}");
    }
    desk.yes(&["suspend", "billing", "--reason", "x"]);
    let (out, _) = texts(&desk.run(&["inspect", ".kakunin/public/lists.pem"]));
    assert!(out.contains("held ") && out.contains("entries     none"), "{out}");
    for (file, role) in [("agents/billing/ca.pem", "root"), ("agents/billing/chain.pem", "issuing authority")]
    {
        assert_eq!(desk.yes(&["inspect", file])["role"], role);
    }
}

#[test]
fn doctor_finds_what_is_wrong() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::with_billing();
    assert_eq!(desk.yes(&["doctor"])["healthy"], true);
    assert_eq!(desk.yes(&["doctor", "--agent", "agents/billing"])["healthy"], true);
    let key = desk.path("agents/billing/key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(desk.answer(&["doctor"], 1)["healthy"], false);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(desk.path(".kakunin/public/lists.pem"), "").unwrap();
    let (out, _) = texts(&desk.run(&["doctor"]));
    assert!(out.contains("run `kakunin crl`") && out.contains("[revocation.missing]"), "{out}");
    desk.yes(&["crl"]);
    desk.yes(&["doctor"]);
}

#[test]
fn doctor_says_who_else_can_write_where_an_agent_keeps_its_state() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::with_billing();
    let chmod = |path: &str, mode: u32| {
        fs::set_permissions(desk.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::create_dir(desk.path("agents/billing/state")).unwrap();
    chmod("agents/billing/state", 0o1777);
    let (out, _) = texts(&desk.run(&["doctor", "--agent", "agents/billing"]));
    assert!(out.contains("has mode 1777") && out.contains("run chmod 700"), "{out}");
    assert_eq!(desk.answer(&["doctor"], 1)["healthy"], false);
    chmod("agents/billing/state", 0o700);
    assert_eq!(desk.yes(&["doctor"])["healthy"], true);
    chmod("agents/billing", 0o775);
    let (out, _) = texts(&desk.run(&["doctor", "--agent", "agents/billing"]));
    assert!(out.contains("warning") && out.contains("run chmod go-w"), "{out}");
    chmod("agents/billing", 0o755);
    // Receipts are not put where others could take them away either.
    fs::create_dir(desk.path("receipts")).unwrap();
    chmod("receipts", 0o777);
    let asked = [&PAY[..], &["--amount", "1.00", "--journal", "receipts"]].concat();
    let (_, error) = texts(&desk.run(&asked));
    assert!(error.contains("has mode 777, so others can write into it"), "{error}");
    desk.answer(&asked, 2);
    chmod("receipts", 0o755);
    desk.answer(&asked, 0);
}

#[test]
fn the_demonstration_holds() {
    let desk = Desk::empty();
    assert_eq!(desk.yes(&["demo"])["held"], true);
    assert!(!desk.path(".kakunin").exists());
}

#[test]
fn a_directory_without_receipts_verifies_as_empty() {
    let desk = Desk::with_billing();
    let empty = desk.answer(&["verify", "agents/billing", "--root", "agents/billing/ca.pem"], 3);
    assert_eq!(empty["verdict"], "EMPTY");
    desk.answer(&["why", "7f3a"], 1);
    desk.answer(&["why", "xyz"], 64);
}
