//! A log of receipts over the network: what a stranger copies is the log, and nothing beside it can be had.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::log::{LogReader, VerifierKey};
use kakunin_core::request::ActionRequest;

use super::office::Office;
use super::web::{Reply, Request};
use crate::desk::{Desk, texts};

/// A home whose log has 4 receipts, and then 300 more entries: a full tile and a partial one of each kind.
fn logged() -> Desk {
    let desk = Desk::with_billing();
    for calls in [1, 150] {
        let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
        let guard = Guard::open(home, GuardOptions::default()).unwrap();
        for _ in 0..calls {
            let request = ActionRequest::new("payments:send").amount("1.00", "EUR").counterparty("acme");
            guard.admit(&request).unwrap().begin().unwrap().returned();
        }
        guard.close();
        desk.yes(&["log", "--origin", "log.example/billing", "--journal", "agents/billing"]);
    }
    desk
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn public(office: &Office<'_>, path: &str) -> Reply {
    Request::get(path).send(office.public_url().strip_prefix("http://").unwrap())
}

#[test]
fn a_stranger_copies_a_log_over_the_network_and_reads_all_of_it() {
    let desk = logged();
    let office = Office::open_with(&desk, &["--log", ".kakunin/log", "--listen-public", "127.0.0.1:0"]);
    let listed = public(&office, "/v1/log").json();
    assert_eq!(
        (&listed["data"][0]["origin"], &listed["data"][0]["path"]),
        (&"log.example/billing".into(), &"/v1/log/0".into())
    );
    let folder = desk.path(".kakunin/log");
    let mut found = vec![folder.join("checkpoint")];
    files(&folder.join("tile"), &mut found);
    assert!(found.len() >= 5, "{found:?}");
    for path in &found {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
        let reply = public(&office, &format!("/v1/log/0/{name}"));
        assert_eq!(
            (reply.status, reply.header("content-length")),
            (200, reply.body.len().to_string().as_str()),
            "{name}"
        );
        assert!(reply.body == fs::read(path).unwrap(), "{name}");
        let whole = name.starts_with("tile") && !name.contains(".p/");
        assert_eq!(reply.header("cache-control").contains("immutable"), whole, "{name}");
        let copied = desk.path("copy").join(name);
        fs::create_dir_all(copied.parent().unwrap()).unwrap();
        fs::write(copied, &reply.body).unwrap();
        // By its name, and at the other door, it is the same.
        let named = office.get(&format!("/api/v1/log/log.example%2Fbilling/{name}"));
        assert!(named.body == reply.body, "{name}");
    }
    let key = VerifierKey::parse(listed["data"][0]["vkey"].as_str().unwrap()).unwrap();
    let mut copy = LogReader::open(&desk.path("copy"), &key).unwrap();
    assert_eq!(copy.size(), 306);
    for index in 0..copy.size() {
        let entry = copy.entry(index).unwrap();
        // Commitments, and no clear value.
        assert!(entry.starts_with(b"eyJ"), "{index}");
    }
}

#[test]
fn nothing_but_the_files_of_the_log_can_be_had() {
    let desk = logged();
    let tile = desk.path(".kakunin/log/tile/0");
    symlink(desk.path(".kakunin/log/key.pem"), tile.join("007")).unwrap();
    symlink(desk.path(".kakunin/log/tile/0"), tile.join("x001")).unwrap();
    fs::create_dir(tile.join("008")).unwrap();
    let fifo = tile.join("009");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let office = Office::open_with(&desk, &["--log", ".kakunin/log", "--listen-public", "127.0.0.1:0"]);
    for path in [
        "key.pem",
        "vkey",
        "runs",
        "lock",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/007",
        "tile/0/x001/000",
        "tile/0/008",
        "tile/0/009",
        "tile/0/500",
        "tile/../key.pem",
        "tile/%2e%2e/key.pem",
        "tile/0/..%2f..%2fkey.pem",
        "tile/0/000%00",
        "tile//0/000",
        "tile/0/000.p/0",
        "tile/0/%30%30%30/",
        "checkpoint/",
        "checkpoint.next",
        "..",
        "%2e%2e/store.sqlite",
        "tile/64/000",
    ] {
        let reply = public(&office, &format!("/v1/log/0/{path}"));
        assert_eq!(reply.status, 404, "{path}: {}", String::from_utf8_lossy(&reply.body));
    }
    for log in ["1", "-1", "99999999999999999999", "log.example", "..", ".%2F..", ""] {
        assert_eq!(public(&office, &format!("/v1/log/{log}/checkpoint")).status, 404, "{log}");
    }
    assert_eq!(public(&office, "/v1/log/0/checkpoint").status, 200);
    drop(office);
    for wrong in ["nowhere", "agents"] {
        let output = desk.run(&["serve", "--listen", "127.0.0.1:0", "--log", wrong]);
        assert_eq!(output.status.code(), Some(2));
        assert!(texts(&output).1.contains(wrong), "{:?}", texts(&output));
    }
}
