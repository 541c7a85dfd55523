//! `log` and `witness`: an owner's receipts where nobody can take them back.

use std::fs;
use std::path::Path;

use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::request::ActionRequest;

use crate::desk::{Desk, texts};

/// Opens the agent, makes `calls` payments and closes it: an `open`, two receipts a call, a `close`.
fn work(desk: &Desk, calls: usize) -> u64 {
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions::default()).unwrap();
    for _ in 0..calls {
        let request = ActionRequest::new("payments:send").amount("12.50", "EUR").counterparty("acme");
        guard.admit(&request).unwrap().begin().unwrap().returned();
    }
    guard.close();
    calls as u64 * 2 + 2
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for found in fs::read_dir(from).unwrap() {
        let (found, target) = (found.as_ref().unwrap().path(), to.join(found.as_ref().unwrap().file_name()));
        match found.is_dir() {
            true => copy(&found, &target),
            false => drop(fs::copy(found, target).unwrap()),
        }
    }
}

#[test]
fn every_receipt_is_logged_once_whatever_is_asked_how_often() {
    let desk = Desk::with_billing();
    let begun = desk.yes(&["log", "--origin", "log.example/billing"]);
    assert_eq!((begun["size"].as_u64(), begun["added"].as_u64()), (Some(0), Some(0)));
    assert!(begun["log"].as_str().unwrap().starts_with("log.example/billing+"), "{begun}");
    let mut all = 0;
    for calls in [1, 3] {
        let written = work(&desk, calls);
        all += written;
        let answer = desk.yes(&["log", "--journal", "agents/billing", "--journal", "agents/billing/state"]);
        assert_eq!((answer["size"].as_u64(), answer["added"].as_u64()), (Some(all), Some(written)));
        assert_eq!(answer["log"], begun["log"]);
        let again = desk.yes(&["log", "--journal", "agents/billing"]);
        assert_eq!((again["size"].as_u64(), again["added"].as_u64()), (Some(all), Some(0)));
    }
    desk.answer(&["log", "--origin", "log.example/other"], 64);
    desk.answer(&["log", "--journal", "agents/nobody"], 2);
    // The key opens with the home's passphrase and is for nobody else to read.
    let key = fs::metadata(desk.path(".kakunin/log/key.pem")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
}

#[test]
fn of_a_stream_that_goes_on_what_is_signed_is_logged() {
    let desk = Desk::with_billing();
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions::default()).unwrap();
    let request = ActionRequest::new("payments:send").amount("12.50", "EUR").counterparty("acme");
    let running = guard.admit(&request).unwrap().begin().unwrap();
    let first = desk.yes(&["log", "--journal", "agents/billing"])["size"].as_u64().unwrap();
    assert!((1..=2).contains(&first), "the opening, and the decision if it is signed already: {first}");
    running.returned();
    guard.close();
    assert_eq!(desk.yes(&["log", "--journal", "agents/billing"])["size"].as_u64(), Some(4));
}

#[test]
fn what_lies_in_one_journal_keeps_no_other_out_of_the_log() {
    let desk = Desk::with_billing();
    let written = work(&desk, 1);
    let hostile = desk.path("hostile");
    fs::create_dir_all(hostile.join("11111111111111111111111111111111")).unwrap();
    fs::create_dir(hostile.join("11111111111111111111111111111111/0001.seg")).unwrap();
    // A file where the folder of a stream should be, and one whose segments nobody can list.
    fs::write(hostile.join("00000000000000000000000000000000"), "no folder").unwrap();
    let empty = desk.path("empty");
    fs::create_dir_all(&empty).unwrap();
    let answer =
        desk.answer(&["log", "--journal", "hostile", "--journal", "empty", "--journal", "agents/billing"], 2);
    assert_eq!(
        (answer["size"].as_u64(), answer["added"].as_u64()),
        (Some(written), Some(written)),
        "{answer}"
    );
}

#[test]
fn a_log_whose_key_is_gone_does_not_get_another() {
    let desk = Desk::with_billing();
    desk.yes(&["log"]);
    fs::remove_file(desk.path(".kakunin/log/key.pem")).unwrap();
    let (_, error) = texts(&desk.run(&["log"]));
    assert!(error.contains("key.pem"), "{error}");
    desk.answer(&["log"], 2);
}

#[test]
fn a_witness_cosigns_what_continues_and_refuses_what_does_not() {
    let desk = Desk::with_billing();
    work(&desk, 1);
    let log = desk.yes(&["log", "--journal", "agents/billing"]);
    let key = log["log"].as_str().unwrap();
    let look =
        |log: &str, code| desk.answer(&["witness", "--state", "w", "--log", log, "--log-key", key], code);
    let first = look(".kakunin/log", 0);
    assert_eq!(first["size"].as_u64(), Some(4));
    let note = fs::read_to_string(desk.path(".kakunin/log/witnessed/4")).unwrap();
    let name = first["witness"].as_str().unwrap().split('+').next().unwrap();
    assert!(note.contains(&format!("— {name} ")), "{note}");
    copy(&desk.path(".kakunin"), &desk.path("copy"));
    fs::remove_dir_all(desk.path("copy/log/witnessed")).unwrap();

    work(&desk, 1);
    desk.yes(&["log", "--journal", "agents/billing"]);
    let second = look(".kakunin/log", 0);
    assert_eq!((second["size"].as_u64(), &second["witness"]), (Some(8), &first["witness"]));
    assert_eq!(look(".kakunin/log", 0)["at"], second["at"]);

    // Set back to the copy, then continued from there without the second stream.
    let refused = look("copy/log", 1);
    assert!(refused["error"].as_str().unwrap().contains("set back"), "{refused}");
    fs::remove_dir_all(desk.path("agents/billing/state/journal")).unwrap();
    work(&desk, 5);
    desk.yes(&["log", "--home", "copy", "--journal", "agents/billing"]);
    let refused = look("copy/log", 1);
    assert!(refused["error"].as_str().unwrap().contains("forked"), "{refused}");
    desk.answer(&["witness", "--state", "w", "--log", ".kakunin/log", "--log-key", "no key"], 64);
}

#[test]
fn a_witness_writes_where_it_is_told_and_two_of_them_share_a_checkpoint() {
    let desk = Desk::with_billing();
    work(&desk, 1);
    let key = desk.yes(&["log", "--journal", "agents/billing"])["log"].as_str().unwrap().to_owned();
    let look = |state: &str, more: &[&str]| {
        let plain = ["witness", "--state", state, "--log", ".kakunin/log", "--log-key", &key];
        desk.yes(&[&plain[..], more].concat())
    };
    let out = look("w1", &["--name", "witness.example/1", "--out", "cosigned"]);
    assert_eq!(out["out"], "cosigned");
    assert!(fs::read_to_string(desk.path("cosigned")).unwrap().contains("— witness.example/1 "));
    assert!(!desk.path(".kakunin/log/witnessed").exists());
    look("w1", &[]);
    look("w2", &[]);
    let note = fs::read_to_string(desk.path(".kakunin/log/witnessed/4")).unwrap();
    assert_eq!(note.matches("\n— ").count(), 3, "{note}");
}
