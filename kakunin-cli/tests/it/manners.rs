//! Exit codes and help.

use crate::desk::{Desk, texts};

const COMMANDS: [&[&str]; 21] = [
    &["init"],
    &["serve"],
    &["agent"],
    &["agent", "create"],
    &["agent", "certify"],
    &["agent", "renew"],
    &["agent", "list"],
    &["agent", "show"],
    &["suspend"],
    &["resume"],
    &["revoke"],
    &["rotate"],
    &["crl"],
    &["inspect"],
    &["check"],
    &["why"],
    &["export"],
    &["verify"],
    &["verify-certificate"],
    &["doctor"],
    &["demo"],
];

#[test]
fn every_command_has_help_with_an_example() {
    let desk = Desk::empty();
    for command in COMMANDS {
        let output = desk.run(&[command, &["--help"]].concat());
        let (out, _) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(out.contains("xample"), "{command:?} {out}");
        assert!(out.contains(&format!("kakunin {}", command.join(" "))), "{command:?} {out}");
    }
    assert_eq!(desk.run(&["--help"]).status.code(), Some(0));
    assert_eq!(desk.run(&["--version"]).status.code(), Some(0));
}

#[test]
fn wrong_usage_ends_with_sixty_four() {
    let desk = Desk::with_billing();
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["agent"],
        &["agent", "create", "Not-A-Name", "--scope", "scope.toml"],
        &["agent", "create", "00000000-0000-4000-8000-000000000000", "--scope", "scope.toml"],
        &["agent", "certify", "billing"],
        &["agent", "certify", "billing", "--out", "x", "--days", "0"],
        &["agent", "certify", "billing", "--out", "x", "--days", "401"],
        &["crl", "--hours", "0"],
        &["suspend", "billing"],
        &["check", "--agent", "agents/billing"],
        &["check", "--agent", "agents/billing", "--action", "a", "--at", "yesterday"],
        &["verify", "agents/billing"],
    ] {
        let output = desk.run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?} {:?}", texts(&output));
    }
}

#[test]
fn nothing_colours_a_pipe() {
    let desk = Desk::with_billing();
    for arguments in [&["agent", "list"][..], &["frobnicate"], &["--help"], &["doctor"]] {
        let (out, err) = texts(&desk.run(arguments));
        assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "{arguments:?}");
    }
}
