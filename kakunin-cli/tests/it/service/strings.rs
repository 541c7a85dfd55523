//! Texts that somebody chose to harm whoever reads them: kept as given, shown so that nothing obeys them.

use serde_json::{Value, json};

use super::office::Office;
use super::web::Request;
use crate::desk::{Desk, texts};

const HOSTILE: [&str; 8] = [
    "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m",
    "a\nstanding     good\ncertificate  00 good until 2099-01-01T00:00:00Z",
    "\r\rover\u{8}\u{8}written\u{7f}",
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>",
    "gnp.\u{202e}fdp\u{2066}\u{200f}",
    "nul\0nul",
    "=HYPERLINK(\"http://evil\")';DROP TABLE agents;--",
    "\u{85}\u{2028}\u{feff}\u{fffd}\u{10ffff}",
];

#[test]
fn whatever_a_text_says_it_is_kept_as_given_and_shown_as_text() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let scope = json!({ "actions": ["read:*"] });
    for (number, hostile) in HOSTILE.iter().enumerate() {
        let order = json!({ "name": format!("{hostile}{number}"), "scope": scope, "description": hostile,
            "model": hostile, "version": hostile, "model_hash": hostile, "metadata": { *hostile: hostile } });
        let made = office.post("/v1/agents", &order);
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json()["data"].clone();
        let id = made["id"].as_str().unwrap();
        let kept = office.get_as_owner(&format!("/v1/agents/{id}")).json()["data"].clone();
        for name in ["name", "description", "model", "version", "model_hash"] {
            let given = &order[name];
            assert_eq!(&kept[name], given, "{name}");
        }
        assert_eq!(kept["metadata"][hostile], json!(hostile));
        let held = office.post(&format!("/v1/agents/{id}/suspend"), &json!({ "reason": hostile }));
        assert_eq!(held.status, 200, "{}", held.text());
        let log = office.get_as_owner(&format!("/v1/audit-log?affected_id={id}")).json();
        assert!(log.to_string().contains(&json!(hostile).to_string()), "{log}");

        let tell = |arguments: &[&str]| {
            let arguments = [arguments, &["--url", office.url()]].concat();
            let output = desk.command(&arguments).env("KAKUNIN_TOKEN", office.owner()).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", texts(&output).1);
            texts(&output).0
        };
        let name = made["agent_name"].as_str().unwrap();
        let local = |arguments: &[&str]| texts(&desk.run(arguments)).0;
        for (what, told, lines) in [
            ("show", tell(&["agent", "show", name]), 7),
            ("list", tell(&["agent", "list"]), number + 1),
            ("resume", tell(&["resume", name, "--reason", "x"]), usize::MAX),
            ("show here", local(&["agent", "show", name]), 9),
        ] {
            harmless(what, &told);
            // Nobody writes a line of somebody else's.
            assert!(lines == usize::MAX || told.lines().count() == lines, "{what}: {told}");
        }
    }
    harmless("the service's log", &office.log());
    for line in office.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line.is_object());
    }
}

#[test]
fn texts_that_are_no_texts_or_too_long_are_refused() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let name =
        |text: &str| format!(r#"{{"name": "x", "scope": {{"actions": ["read:*"]}}, "description": {text}}}"#);
    let raw = |body: Vec<u8>| {
        let request = Request { body, ..Request::new("POST", "/v1/agents") };
        office.send(&request.bearer(office.owner())).status
    };
    for wrong in
        [r#""\ud800""#, r#""\udc00\ud800""#, r#""\ud800x""#, "\"\u{1b}\"", "\"\n\"", r#""\x""#, "1", "[]"]
    {
        assert_eq!(raw(name(wrong).into_bytes()), 400, "{wrong}");
    }
    let mut octets = name("\"?\"").into_bytes();
    let at = octets.iter().position(|octet| *octet == b'?').unwrap();
    for octet in [0x80, 0xc0, 0xff] {
        octets[at] = octet;
        assert_eq!(raw(octets.clone()), 400, "{octet:x}");
    }
    assert_eq!(raw(name(&json!("x".repeat(1001)).to_string()).into_bytes()), 400);
    assert_eq!(raw(name(&json!("x".repeat(64 * 1024)).to_string()).into_bytes()), 413);
    assert_eq!(raw(name(&json!("\u{10ffff}".repeat(1000)).to_string()).into_bytes()), 201);
    assert_eq!(office.get_as_owner("/v1/agents").json()["meta"]["total"], 1);
}

fn harmless(what: &str, text: &str) {
    let harm = |letter: char| {
        let turns =
            matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        turns || (letter.is_control() && letter != '\n')
    };
    assert!(!text.contains(harm), "{what}: {text:?}");
}
