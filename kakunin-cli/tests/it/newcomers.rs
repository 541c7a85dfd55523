//! What somebody meets who begins: what is half done says how it goes on, and what is wrong is called by its name.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::desk::{Desk, texts};

#[test]
fn an_authority_that_cannot_be_made_leaves_nothing_and_is_none_to_any_command() {
    let desk = Desk::empty();
    fs::write(desk.path("pp"), "correct horse\n").unwrap();
    fs::set_permissions(desk.path("pp"), fs::Permissions::from_mode(0o644)).unwrap();
    let (_, error) = texts(&desk.run(&["--passphrase-file", "pp", "init"]));
    assert!(error.contains("mode 644"), "{error}");
    assert!(!desk.path(".kakunin").exists());
    // A home as a crash leaves it: records in which nothing stands.
    desk.yes(&["init"]);
    let records = rusqlite::Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    records.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM issuers").unwrap();
    drop(records);
    for command in
        [&["doctor"][..], &["agent", "list"], &["backup", "--out", "b"], &["why", "abcd"], &["crl"]]
    {
        let output = desk.run(command);
        let (_, error) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {error}");
        assert!(error.contains("holds no authority"), "{command:?}: {error}");
    }
    assert!(!desk.path("b").exists());
}

#[test]
fn nobody_is_named_who_cannot_be_certified() {
    let desk = Desk::empty();
    fs::write(desk.path("pp"), "correct horse\n").unwrap();
    fs::set_permissions(desk.path("pp"), fs::Permissions::from_mode(0o600)).unwrap();
    desk.yes(&["--passphrase-file", "pp", "init"]);
    let create = |name: &str, out: &str| {
        let output = desk.run(&["agent", "create", name, "--scope", "scope.toml", "--out", out]);
        (output.status.code(), texts(&output).1)
    };
    let (code, error) = create("billing", "agents/billing");
    assert!(code == Some(2) && error.contains("--passphrase-file"), "{error}");
    fs::copy(desk.path("pp"), desk.path(".kakunin/passphrase")).unwrap();
    // So it is done again as it was written.
    desk.yes(&["agent", "create", "billing", "--scope", "scope.toml", "--out", "agents/billing"]);
    for out in ["agents/billing", "scope.toml/agents"] {
        let (code, error) = create("support", out);
        assert!(code != Some(0) && !error.contains("was created"), "{error}");
    }
    assert_eq!(desk.run(&["agent", "show", "support"]).status.code(), Some(1));
    // A name that is taken makes no directory.
    let (code, error) = create("billing", "agents/other");
    assert!(code == Some(1) && error.contains("is taken"), "{error}");
    assert!(!desk.path("agents/other").exists());
    // Who has none yet is found, with the way out.
    desk.yes(&["agent", "create", "support", "--scope", "scope.toml"]);
    let (out, _) = texts(&desk.run(&["doctor"]));
    assert!(
        out.contains(
            "warning  `support` has no certificate; give it one with `kakunin agent certify support"
        ),
        "{out}"
    );
}

#[test]
fn a_directory_that_is_not_there_is_wrong_to_whoever_names_it() {
    let desk = Desk::with_billing();
    let found = desk.answer(&["doctor", "--agent", "nope"], 1);
    assert_eq!(found["healthy"], false);
    assert!(found["findings"].to_string().contains("nope is no directory"), "{found}");
    // One that was certified and is gone is told, and no reason for an alarm every night.
    fs::rename(desk.path("agents/billing"), desk.path("agents/gone")).unwrap();
    assert!(desk.yes(&["doctor"])["findings"].to_string().contains("is gone and will not be renewed"));
}

#[test]
fn a_home_is_sound_after_its_authority_was_replaced_whether_it_had_certified_anybody_or_not() {
    let desk = Desk::empty();
    desk.yes(&["init"]);
    desk.yes(&["rotate"]);
    assert_eq!(desk.yes(&["doctor"])["healthy"], true);
    desk.yes(&["crl"]);
    assert_eq!(desk.yes(&["doctor"])["healthy"], true);
    desk.yes(&["agent", "create", "billing", "--scope", "scope.toml", "--out", "agents/billing"]);
    desk.yes(&["rotate"]);
    // Now the one before is needed, and both are told apart.
    let found = desk.yes(&["doctor"])["findings"].to_string();
    assert_eq!(
        found.matches("the list of the issuing authority (CN=Kakunin issuing authority ").count(),
        2,
        "{found}"
    );
    fs::write(desk.path(".kakunin/public/lists.pem"), "").unwrap();
    let found = desk.answer(&["doctor"], 1)["findings"].to_string();
    assert_eq!(found.matches("has not the newest list of").count(), 3, "{found}");
}

#[test]
fn what_is_no_paper_is_called_what_it_is() {
    let desk = Desk::with_billing();
    desk.yes(&[
        "check",
        "--agent",
        "agents/billing",
        "--action",
        "read:a",
        "--journal",
        "agents/billing/state/journal",
    ]);
    desk.yes(&["export", "--journal", "agents/billing", "--out", "incident.zip"]);
    fs::write(desk.path("garbage"), [0x9c; 300]).unwrap();
    for (file, said) in [
        ("incident.zip", "a bundle; `kakunin verify`"),
        (".kakunin/issuing/1.key.pem", "a private key, of which nothing is shown"),
        ("agents/billing/key.pem", "a private key, of which nothing is shown"),
        ("agents/billing/genesis", "the mark that its directory began with nothing spent"),
        ("garbage", "no certificate, no list and no scope"),
    ] {
        let output = desk.run(&["inspect", file]);
        let (out, error) = texts(&output);
        assert_eq!((output.status.code(), out.as_str()), (Some(2), ""), "{file}: {error}");
        assert!(error.contains(&format!("{file} is {said}")), "{error}");
    }
}

#[test]
fn a_file_that_is_no_bundle_and_one_that_is_missing_accuse_nobody() {
    let desk = Desk::with_billing();
    desk.yes(&[
        "check",
        "--agent",
        "agents/billing",
        "--action",
        "read:a",
        "--journal",
        "agents/billing/state/journal",
    ]);
    desk.yes(&["export", "--journal", "agents/billing", "--out", "incident.zip"]);
    let whole = fs::read(desk.path("incident.zip")).unwrap();
    fs::write(desk.path("garbage"), [0x9c; 300]).unwrap();
    fs::write(desk.path("half"), &whole[..whole.len() / 2]).unwrap();
    let root = ["--root", ".kakunin/public/ca.pem"];
    for file in ["garbage", "half", "nowhere"] {
        for command in [
            &["verify", file][..],
            &["report", "--framework", "dora", "--bundle", file, "--out", "r"],
            &["report", "--framework", "dora", "--journal", file, "--out", "r"],
        ] {
            let output = desk.run(&[command, &root].concat());
            let (out, error) = texts(&output);
            assert_eq!(output.status.code(), Some(2), "{command:?}: {out}{error}");
            assert!(error.contains(file) && !out.contains("INVALID"), "{command:?}: {out}{error}");
            assert!(!desk.path("r").exists(), "{command:?}");
        }
    }
    // What reads as a bundle and was changed is another matter.
    let mut changed = whole;
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(desk.path("changed"), changed).unwrap();
    assert_eq!(desk.answer(&[&["verify", "changed"][..], &root].concat(), 1)["verdict"], "INVALID");
}

#[test]
fn complete_by_a_log_alone_says_whose_word_that_is() {
    let desk = Desk::with_billing();
    desk.yes(&[
        "check",
        "--agent",
        "agents/billing",
        "--action",
        "read:a",
        "--journal",
        "agents/billing/state/journal",
    ]);
    let key = desk.yes(&["log", "--journal", "agents/billing"])["log"].as_str().unwrap().to_owned();
    desk.yes(&["export", "--journal", "agents/billing", "--log", ".kakunin/log", "--out", "incident.zip"]);
    let output = desk.run(&["verify", "incident.zip", "--root", ".kakunin/public/ca.pem", "--log-key", &key]);
    let (out, error) = texts(&output);
    assert!(out.starts_with("COMPLETE"), "{out}{error}");
    assert!(error.contains("by the word of whoever keeps the log: no witness was asked"), "{error}");
}

#[test]
fn a_request_that_lacks_something_is_told_the_flag() {
    let desk = Desk::with_billing();
    let asked = ["check", "--agent", "agents/billing", "--action", "payments:send"];
    for (more, flag) in [
        (&["--amount", "12.50", "--currency", "EUR"][..], "--counterparty NAME"),
        (&["--amount", "abc", "--currency", "EUR", "--counterparty", "acme"], "--amount 12.50"),
        (&["--amount", "12.50", "--counterparty", "acme"], "--currency EUR"),
    ] {
        let (out, _) = texts(&desk.run(&[&asked[..], more].concat()));
        assert!(out.contains(&format!("here: pass {flag}")), "{out}");
    }
    fs::write(desk.path("requests"), "nonsense\n").unwrap();
    let output = desk.run(&["check", "--agent", "agents/billing", "--requests", "requests"]);
    assert!(
        output.status.code() == Some(64) && texts(&output).1.contains("{\"action\":"),
        "{:?}",
        texts(&output)
    );
}

#[test]
fn a_decision_that_is_not_found_is_looked_for_elsewhere() {
    let desk = Desk::with_billing();
    desk.yes(&[
        "check",
        "--agent",
        "agents/billing",
        "--action",
        "read:a",
        "--journal",
        "agents/billing/state/journal",
    ]);
    let (_, error) = texts(&desk.run(&["why", "00000000", "--agent", "agents/billing"]));
    assert!(error.contains("no receipt in agents/billing") && error.contains("another agent's"), "{error}");
    let (_, error) = texts(&desk.run(&["why", "00000000"]));
    assert!(error.contains("pass --agent DIR"), "{error}");
}

#[test]
fn a_certificate_that_is_no_root_and_a_root_of_others_are_told_apart_from_tampering() {
    let desk = Desk::with_billing();
    desk.yes(&["--home", "other", "init"]);
    desk.yes(&[
        "check",
        "--agent",
        "agents/billing",
        "--action",
        "read:a",
        "--journal",
        "agents/billing/state/journal",
    ]);
    let output = desk.run(&["verify", "agents/billing", "--root", "agents/billing/agent.pem"]);
    let (_, error) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(
        error.contains("agents/billing/agent.pem has an agent's certificate in it and is no root"),
        "{error}"
    );
    let output = desk.run(&["verify", "agents/billing", "--root", "other/public/ca.pem"]);
    let (_, error) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("another authority than the agents have; given was other/public/ca.pem"),
        "{error}"
    );
    let root = [".kakunin/public/ca.pem", "--crl", ".kakunin/public/lists.pem"];
    let (out, _) = texts(
        &desk.run(&[&["verify-certificate", "agents/billing/agent.pem", "--root"], &root[..]].concat()),
    );
    assert!(out.contains("--untrusted chain.pem"), "{out}");
}

#[test]
fn a_sweep_that_means_nobody_asks_for_no_order() {
    let desk = Desk::with_billing();
    let (out, _) =
        texts(&desk.run(&["revoke", "--where", "name=nobody-*", "--dry-run", "--reason", "drill"]));
    assert!(out.contains("there is nobody to revoke") && !out.contains("--expect"), "{out}");
    let (_, error) = texts(&desk.run(&["serve", "--listen", "localhost:8080"]));
    assert!(error.contains("for example 127.0.0.1:8080"), "{error}");
}

#[test]
fn a_backup_names_what_is_to_be_copied_beside_it() {
    let desk = Desk::with_billing();
    desk.yes(&["log"]);
    let made = desk.yes(&["backup", "--out", "b.sqlite"]);
    assert_eq!(made["beside"], serde_json::json!(["root", "issuing", "log", "passphrase"]));
}

#[test]
fn a_file_that_is_no_export_of_an_audit_log_was_not_changed() {
    let desk = Desk::with_billing();
    let root = ["--root", ".kakunin/public/ca.pem"];
    for file in ["scope.toml", "agents/billing/agent.pem"] {
        let output = desk.run(&[&["audit", "verify", file], &root[..]].concat());
        let (out, error) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{out}{error}");
        assert!(error.contains(&format!("{file} is no export of an audit log")), "{error}");
    }
    desk.yes(&["audit", "export", "--csv", "--out", "audit.csv"]);
    let table = fs::read_to_string(desk.path("audit.csv")).unwrap();
    fs::write(desk.path("audit.csv"), table.replacen("billing", "banking", 1)).unwrap();
    desk.answer(&[&["audit", "verify", "audit.csv"], &root[..]].concat(), 1);
    // One whose first line is gone, or spoilt, was.
    desk.yes(&["audit", "export", "--out", "audit.jsonl"]);
    let text = fs::read_to_string(desk.path("audit.jsonl")).unwrap();
    for changed in [text.split_once('\n').unwrap().1.to_owned(), format!("x{text}")] {
        fs::write(desk.path("audit.jsonl"), changed).unwrap();
        desk.answer(&[&["audit", "verify", "audit.jsonl"], &root[..]].concat(), 1);
    }
}

#[test]
fn what_a_command_takes_stands_in_its_help_before_what_all_take() {
    let desk = Desk::empty();
    let (out, _) = texts(&desk.run(&["verify", "--help"]));
    let (own, all) = out.split_once("For every command:").unwrap();
    assert!(own.contains("--log-key") && !own.contains("--tenant"), "{own}");
    assert!(
        all.contains("--home") && all.contains("--passphrase-file") && all.contains("KAKUNIN_PASSPHRASE"),
        "{all}"
    );
}
