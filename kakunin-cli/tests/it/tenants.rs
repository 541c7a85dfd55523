//! Tenants at a terminal: whose things a command means.

use std::fs;

use serde_json::Value;

use crate::desk::{Desk, texts};

/// A home with `billing` of the first tenant and of `acme`.
fn shared() -> Desk {
    let desk = Desk::with_billing();
    let made = desk.yes(&["tenant", "create", "acme"]);
    assert!(made.get("lists").and_then(Value::as_str).unwrap().ends_with("/public/tenants/acme/lists.pem"));
    let create = ["agent", "create", "billing", "--scope", "scope.toml", "--out", "agents/theirs"];
    desk.yes(&[&create[..], &["--tenant", "acme"]].concat());
    desk
}

fn standing(desk: &Desk, whose: &[&str]) -> String {
    let shown = desk.yes(&[&["agent", "show", "billing"], whose].concat());
    shown.get("standing").and_then(Value::as_str).unwrap().to_owned()
}

#[test]
fn a_command_means_the_agents_of_the_tenant_that_it_names() {
    let desk = shared();
    let acme = ["--tenant", "acme"];
    let check = |directory: &str, code| {
        let directory = format!("agents/{directory}");
        desk.answer(&["check", "--agent", &directory, "--action", "read:x"], code)["code"].clone()
    };
    check("billing", 0);
    check("theirs", 0);
    let own = fs::read(desk.path(".kakunin/public/lists.pem")).unwrap();
    desk.yes(&["suspend", "billing", "--reason", "audit", "--tenant", "acme"]);
    assert_eq!((standing(&desk, &[]), standing(&desk, &acme)), ("good".into(), "held".into()));
    assert_eq!(check("theirs", 1), "certificate.held");
    check("billing", 0);
    assert_eq!(fs::read(desk.path(".kakunin/public/lists.pem")).unwrap(), own);
    // Also named before the command.
    desk.yes(&["--tenant", "acme", "resume", "billing", "--reason", "passed"]);
    check("theirs", 0);
    let id = desk.yes(&["agent", "show", "billing"])["id"].as_str().unwrap().to_owned();
    let output = desk.run(&["revoke", &id, "--reason", "x", "--tenant", "acme"]);
    assert_eq!(output.status.code(), Some(1), "{}", texts(&output).1);
    assert!(texts(&output).1.contains("there is no agent"), "{}", texts(&output).1);
    // The issuing authority of one is replaced; the other's agents go on, and a renewal brings the new one.
    let before = desk.yes(&["tenant", "list"])["tenants"].clone();
    desk.yes(&["rotate", "--revoke-old", "--tenant", "acme"]);
    let after = desk.yes(&["tenant", "list"])["tenants"].clone();
    assert_eq!(before[1], after[1]);
    assert_eq!((after[0]["id"].as_str(), after[1]["id"].as_str()), (Some("acme"), Some("default")));
    assert_ne!(before[0]["issuer"], after[0]["issuer"]);
    check("billing", 0);
    check("theirs", 1);
    desk.yes(&["agent", "renew", "billing", "--tenant", "acme"]);
    check("theirs", 0);
    check("billing", 0);
}

#[test]
fn lists_of_every_tenant_are_signed_together_and_the_home_is_sound() {
    let desk = shared();
    let bytes = |path: &str| fs::read(desk.path(path)).unwrap();
    let (ours, theirs) = (".kakunin/public/lists.pem", ".kakunin/public/tenants/acme/lists.pem");
    let before = (bytes(ours), bytes(theirs));
    let copied = desk.yes(&["crl", "--out", "theirs.pem", "--tenant", "acme"]);
    assert!(copied["lists"].as_str().unwrap().ends_with("tenants/acme/lists.pem"));
    assert_eq!(fs::read(desk.path("theirs.pem")).unwrap(), fs::read(desk.path(theirs)).unwrap());
    assert!(before.0 != bytes(ours) && before.1 != bytes(theirs));
    assert_eq!(desk.yes(&["doctor"])["healthy"], true);
    // What is published of a tenant and is not its newest list shows.
    fs::write(desk.path(theirs), fs::read(desk.path(ours)).unwrap()).unwrap();
    let found = desk.answer(&["doctor"], 1)["findings"].to_string();
    assert!(found.contains("the issuing authority of acme"), "{found}");
}

#[test]
fn what_a_tenant_ordered_is_in_its_own_audit_log() {
    let desk = shared();
    desk.yes(&["suspend", "billing", "--reason", "theirs alone", "--tenant", "acme"]);
    let export = |out: &str, whose: &[&str]| {
        desk.yes(&[&["audit", "export", "--out", out], whose].concat());
        let checked = desk.yes(&["audit", "verify", out, "--root", ".kakunin/public/ca.pem"]);
        (checked["tenant"].clone(), fs::read_to_string(desk.path(out)).unwrap())
    };
    let (ours, theirs) = (export("ours.jsonl", &[]), export("theirs.jsonl", &["--tenant", "acme"]));
    assert_eq!((ours.0.as_str(), theirs.0.as_str()), (Some("default"), Some("acme")));
    assert!(theirs.1.contains("theirs alone") && !ours.1.contains("theirs alone"));
    // Tenants are made by the operator.
    assert!(ours.1.contains("tenant.create") && !theirs.1.contains("tenant.create"));
}

#[test]
fn a_tenant_that_is_none_is_no_tenant_and_a_key_says_it_by_itself() {
    let desk = shared();
    for (arguments, code) in [
        (&["agent", "list", "--tenant", "nobody"][..], 1),
        (&["suspend", "billing", "--reason", "x", "--tenant", "nobody"], 1),
        (&["tenant", "key", "nobody"], 1),
        (&["tenant", "create", "acme"], 1),
        (&["tenant", "create", "default"], 1),
        (&["tenant", "create", "No"], 64),
        (&["agent", "list", "--tenant", "../acme"], 64),
    ] {
        let output = desk.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", texts(&output).1);
    }
    let url = ["--url", "http://127.0.0.1:1"];
    for arguments in [
        &["--tenant", "acme", "agent", "list"][..],
        &["agent", "show", "billing", "--tenant", "acme"],
        &["revoke", "billing", "--reason", "x", "--tenant", "acme"],
        &["--tenant", "acme", "tenant", "list"],
    ] {
        let output = desk.command(&[arguments, &url].concat()).env("KAKUNIN_TOKEN", "kak_live_x").output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", texts(&output).1);
        assert!(texts(&output).1.contains("--tenant is for a home"), "{}", texts(&output).1);
    }
}
