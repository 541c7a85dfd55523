//! `archive` where no bucket is needed: usage, what waits, and the append-only files of this machine. Servers are asked in
//! `tests/s3`.

use std::fs;
use std::path::Path;

use kakunin_authority::archive::append_only;

use crate::desk::{Desk, texts};

/// What `use` writes, for a server that nobody runs.
fn aim(desk: &Desk, more: &str) {
    let target = format!(
        r#"{{"alarm_bytes":1000000,"alarm_hours":24,"alarm_objects":100,"bucket":"trail","endpoint":"http://127.0.0.1:9","keep":"5y","prefix":""{more}}}"#
    );
    fs::create_dir_all(desk.path(".kakunin/archive")).unwrap();
    fs::write(desk.path(".kakunin/archive/target.json"), target).unwrap();
}

#[test]
fn an_archive_without_a_place_is_wrong_usage_that_says_where_to_begin() {
    let desk = Desk::empty();
    desk.yes(&["init"]);
    for command in ["push", "status", "verify"] {
        let output = desk.run(&["archive", command]);
        assert_eq!(output.status.code(), Some(64), "{command}");
        assert!(texts(&output).1.contains("kakunin archive use s3://BUCKET"), "{}", texts(&output).1);
    }
    for place in ["trail", "https://trail", "s3://Trail", "s3://trail/a b", "s3://"] {
        desk.answer(&["archive", "use", place, "--keep", "5y"], 64);
    }
    desk.answer(&["archive", "use", "s3://trail"], 64);
    for bad in [
        ["--keep", "8y"],
        ["--keep", "0"],
        ["--endpoint", "http://s3.example.org"],
        ["--endpoint", "http://127.0.0.1@s3.example.org"],
        ["--alarm-objects", "-1"],
    ] {
        let mut arguments = vec!["archive", "use", "s3://trail", "--keep", "5y"];
        if bad[0] == "--keep" {
            arguments.truncate(3);
        }
        desk.answer(&[&arguments[..], &bad].concat(), 64);
    }
    assert!(!desk.path(".kakunin/archive/target.json").exists());
}

#[test]
fn without_an_authority_there_is_nothing_to_archive() {
    let desk = Desk::empty();
    aim(&desk, "");
    let output = desk.run(&["archive", "push"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(texts(&output).1.contains("kakunin init"), "{}", texts(&output).1);
}

#[test]
fn an_empty_outbox_is_no_alarm_and_what_nobody_collected_waits() {
    let desk = Desk::empty();
    desk.yes(&["init"]);
    aim(&desk, "");
    fs::write(desk.path(".kakunin/archive/collected"), now()).unwrap();
    let status = desk.yes(&["archive", "status"]);
    assert_eq!(status["kept"]["objects"].as_u64(), Some(0));
    // The lists of root and issuing authority, which `init` published.
    assert_eq!(status["backlog"]["uncollected"].as_u64(), Some(2));
    assert_eq!(status["backlog"]["queued"].as_u64(), Some(0));
    assert!(status["alarm"].is_null() && status["obstacle"].is_null());
    // Nobody ever pushed: everything has waited since the beginning of time.
    fs::remove_file(desk.path(".kakunin/archive/collected")).unwrap();
    let status = desk.answer(&["archive", "status"], 1);
    assert_eq!(status["alarm"]["code"].as_str(), Some("archive.backlog_age"));
}

#[test]
fn a_bucket_out_of_reach_leaves_what_is_new_in_the_outbox() {
    let desk = Desk::empty();
    desk.yes(&["init"]);
    desk.yes(&["log", "--origin", "log.example/desk"]);
    aim(&desk, "");
    // No server, or no S3 in this build: either way the copies are made first.
    let mut push = desk.command(&["archive", "push", "--json"]);
    push.env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "us-east-1");
    assert_eq!(push.output().unwrap().status.code(), Some(2));
    let waiting = desk.yes(&["archive", "status"]);
    // Two lists and the checkpoint of the empty log.
    assert_eq!(waiting["backlog"]["queued"].as_u64(), Some(3));
    assert_eq!(waiting["backlog"]["uncollected"].as_u64(), Some(0));
    assert_eq!(fs::read_dir(desk.path(".kakunin/archive/outbox")).unwrap().count(), 3);
}

#[test]
fn a_target_that_cannot_be_used_is_named() {
    let desk = Desk::empty();
    desk.yes(&["init"]);
    for damage in [r#","keep":"8y""#, r#","endpoint":"http://s3.example.org""#, r#","more":1"#, "}"] {
        aim(&desk, damage);
        let output = desk.run(&["archive", "status"]);
        assert_eq!(output.status.code(), Some(2), "{damage}");
        assert!(texts(&output).1.contains("target.json"), "{}", texts(&output).1);
    }
}

#[test]
fn files_that_are_full_are_protected_where_the_file_system_can() {
    let desk = Desk::empty();
    desk.yes(&["init"]);
    let tiles = desk.path(".kakunin/log/tile/0");
    fs::create_dir_all(tiles.join("001.p")).unwrap();
    fs::write(tiles.join("000"), "full").unwrap();
    fs::write(tiles.join("001.p/7"), "partial").unwrap();
    if append_only::is_possible(&tiles) {
        protect(&desk, &tiles);
    } else {
        eprintln!(
            "skipped: this account or file system has no append-only files; what is said then is tested"
        );
        let output = desk.run(&["archive", "protect"]);
        assert!(matches!(output.status.code(), Some(1 | 2)));
        let said = texts(&output).1;
        assert!(said.contains("sudo") || said.contains("knows no append-only files"), "{said}");
    }
}

fn protect(desk: &Desk, tiles: &Path) {
    let full = tiles.join("000");
    let counts = |arguments: &[&str]| {
        let answer = desk.yes(&[&["archive", "protect"], arguments].concat());
        ["changed", "as_before"].map(|name| answer.get(name).and_then(serde_json::Value::as_u64))
    };
    assert_eq!(counts(&[]), [Some(1), Some(0)]);
    assert!(fs::write(&full, "other").is_err() && fs::remove_file(&full).is_err());
    assert!(fs::write(tiles.join("001.p/8"), "grown").is_ok());
    assert_eq!(counts(&[]), [Some(0), Some(1)]);
    assert_eq!(counts(&["--undo"]), [Some(1), Some(0)]);
    assert_eq!(fs::read(&full).unwrap(), b"full");
    fs::remove_file(&full).unwrap();
}

#[test]
fn a_file_system_without_the_attribute_is_told_from_an_account_without_the_right() {
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: no /dev/shm here");
        return;
    };
    if append_only::is_possible(memory.path()) {
        eprintln!("skipped: this kernel's tmpfs has append-only files");
        return;
    }
    let desk = Desk::empty();
    desk.yes(&["init"]);
    fs::create_dir_all(memory.path().join("tile/0")).unwrap();
    fs::write(memory.path().join("tile/0/000"), "full").unwrap();
    let output = desk.run(&["archive", "protect", "--log", memory.path().to_str().unwrap()]);
    let said = texts(&output).1;
    match output.status.code() {
        Some(1) => assert!(said.contains("sudo"), "{said}"),
        code => assert!(code == Some(2) && said.contains("knows no append-only files"), "{said}"),
    }
}

#[test]
fn a_link_in_the_log_protects_no_other_file() {
    // Who may write the log would else choose a file that root can no longer replace, such as /etc/shadow.
    let desk = Desk::empty();
    desk.yes(&["init"]);
    let tiles = desk.path(".kakunin/log/tile/0");
    fs::create_dir_all(&tiles).unwrap();
    fs::write(desk.path("victim"), "x").unwrap();
    std::os::unix::fs::symlink(desk.path("victim"), tiles.join("000")).unwrap();
    let output = desk.run(&["archive", "protect"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(texts(&output).1.contains("tile/0/000"), "{}", texts(&output).1);
    fs::write(desk.path("victim"), "y").unwrap();
    fs::remove_file(desk.path("victim")).unwrap();
}

#[test]
fn where_there_is_no_log_nothing_is_protected() {
    let desk = Desk::empty();
    desk.yes(&["init"]);
    let answer = desk.yes(&["archive", "protect", "--log", "nowhere", "--journal", "nowhere"]);
    assert_eq!((answer["changed"].as_u64(), answer["as_before"].as_u64()), (Some(0), Some(0)));
}

fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = kakunin_core::time::UnixTime::from_seconds(i64::try_from(since.as_secs()).unwrap());
    format!("{now}\n")
}
