//! Declared events as they come: each once and in order, to whoever may hear them, for as long as that is so.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use kakunin_core::journal::Sealing;
use serde_json::{Value, json};

use super::ingest::{request, work};
use super::office::Office;
use super::web::Request;
use crate::desk::Desk;

/// A stream that is open.
struct Listener(BufReader<TcpStream>);

impl Listener {
    fn open(office: &Office<'_>, path: &str, key: &str, last: Option<&str>) -> Self {
        let address = office.url().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n{last}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut listener = Self(BufReader::new(stream));
        let (name, _, _) = listener.next().unwrap();
        assert_eq!(name, "connected");
        listener
    }

    /// The next event that is no heartbeat: name, id and data. `None` at the end of the stream.
    fn next(&mut self) -> Option<(String, String, Value)> {
        let (mut name, mut id) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            // Sizes of chunks stand between the lines; nothing that is asked for here looks like one.
            if self.0.read_line(&mut line).unwrap() == 0 || line == "0\r\n" {
                return None;
            }
            if let Some(text) = line.strip_prefix("event: ") {
                name = text.trim_end().into();
            } else if let Some(text) = line.strip_prefix("id: ") {
                id = text.trim_end().into();
            } else if let Some(text) = line.strip_prefix("data: ")
                && name != "heartbeat"
            {
                return Some((name, id, serde_json::from_str(text).unwrap()));
            }
        }
    }

    /// The next event's id.
    fn id(&mut self) -> String {
        let (name, id, data) = self.next().unwrap();
        assert_eq!(
            (name.as_str(), data.get("id").and_then(Value::as_str)),
            ("behavior_event", Some(id.as_str()))
        );
        id
    }
}

fn declare(office: &Office<'_>, who: &str, details: &Value) -> String {
    let made =
        office.post("/v1/events", &json!({ "agent_id": who, "action_type": "api_call", "details": details }));
    assert_eq!(made.status, 200, "{}", made.text());
    made.json().pointer("/data/id").and_then(Value::as_str).unwrap().to_owned()
}

fn two_agents() -> Desk {
    let desk = Desk::with_billing();
    desk.yes(&["agent", "create", "other", "--scope", "scope.toml"]);
    desk
}

#[test]
fn whoever_listens_hears_each_event_once_and_goes_on_where_it_was() {
    let desk = two_agents();
    let office = Office::open(&desk);
    let before = declare(&office, "billing", &json!({}));
    let mut all = Listener::open(&office, "/v1/events/stream", office.owner(), None);
    let mut one = Listener::open(&office, "/api/v1/agents/billing/events/stream", office.owner(), None);
    let hostile = json!({ "\n\nevent: error": "\r\ndata: {}\u{2028}</script>" });
    let made = [
        declare(&office, "billing", &hostile),
        declare(&office, "other", &json!({})),
        declare(&office, "billing", &json!({})),
    ];
    let (_, id, data) = all.next().unwrap();
    assert_eq!((&id, &data["details"]), (&made[0], &hostile));
    assert_eq!([all.id(), all.id()], [made[1].clone(), made[2].clone()]);
    assert_eq!([one.id(), one.id()], [made[0].clone(), made[2].clone()]);
    drop((all, one));
    // What came while nobody listened is not lost to whoever says how far it was.
    let later: Vec<_> = (0..40).map(|number| declare(&office, "billing", &json!({ "n": number }))).collect();
    let mut again = Listener::open(&office, "/v1/events/stream", office.owner(), Some(&made[1]));
    assert_eq!(again.id(), made[2]);
    for id in &later {
        assert_eq!(again.id(), *id);
    }
    let mut since =
        Listener::open(&office, "/v1/events/stream?since=2020-01-01T00:00:00Z", office.owner(), None);
    assert_eq!([since.id(), since.id()], [before, made[0].clone()]);
    let refused = |path: &str, last: &str| {
        office.send(&Request::get(path).bearer(office.owner()).header("Last-Event-ID", last)).status
    };
    assert_eq!(refused("/v1/events/stream", "x"), 400);
    assert_eq!(refused("/v1/events/stream", &"0".repeat(32)), 404);
    assert_eq!(refused("/v1/events/stream?since=now", &made[0]), 400);
    assert_eq!(refused("/v1/agents/nobody/events/stream", &made[0]), 404);
}

#[test]
fn a_key_for_one_agent_hears_nothing_of_another_one() {
    let desk = two_agents();
    let office = Office::open(&desk);
    let billing = office.get_as_owner("/v1/agents/billing").json()["data"]["id"].clone();
    let key = office.key(&json!({ "role": "gate", "agents": [billing] }));
    let mut bound = Listener::open(&office, "/v1/events/stream", &key, None);
    declare(&office, "other", &json!({ "secret": true }));
    let own = declare(&office, "billing", &json!({}));
    assert_eq!(bound.id(), own);
    let other = Request::get("/v1/agents/other/events/stream").bearer(&key);
    assert_eq!(office.send(&other).status, 404);
}

#[test]
fn the_stream_of_a_key_that_is_revoked_ends() {
    let desk = two_agents();
    let office = Office::open(&desk);
    let key = office.key(&json!({ "role": "auditor" }));
    let mut listener = Listener::open(&office, "/v1/events/stream", &key, None);
    let first = declare(&office, "billing", &json!({}));
    assert_eq!(listener.id(), first);
    let prefix = key.split('_').nth(2).unwrap();
    let revoked = Request::new("DELETE", &format!("/v1/keys/{prefix}")).bearer(office.owner());
    assert_eq!(office.send(&revoked).status, 200);
    declare(&office, "billing", &json!({}));
    let (name, _, said) = listener.next().unwrap();
    assert_eq!((name.as_str(), &said["code"]), ("error", &json!("access.key")));
    assert!(listener.next().is_none());
}

#[test]
fn who_does_not_read_holds_nobody_up_and_the_end_of_the_service_ends_all() {
    let desk = two_agents();
    let office = Office::open(&desk);
    let deaf = Listener::open(&office, "/v1/events/stream", office.owner(), None);
    let mut listener = Listener::open(&office, "/v1/events/stream", office.owner(), None);
    let large = json!({ "text": "x".repeat(60_000) });
    // More than the sockets between them take.
    let made: Vec<_> = (0..150).map(|_| declare(&office, "billing", &large)).collect();
    for id in &made {
        assert_eq!(listener.id(), *id);
    }
    let metrics = office.get("/metrics").text();
    assert!(metrics.contains("kakunin_event_streams 2\n"), "{metrics}");
    assert_eq!(office.end(), Some(0));
    assert!(listener.next().is_none());
    let mut rest = Vec::new();
    let _ = deaf.0.into_inner().read_to_end(&mut rest);
    assert!(rest.len() < made.len() * 60_000);
}

#[test]
fn receipts_are_heard_as_they_are_kept_by_whoever_audits_and_each_once() {
    let desk = Desk::with_billing();
    let lines = work(&desk, "billing", 40, Sealing::Each);
    let office = Office::open(&desk);
    let key = |order: Value| office.key(&order);
    let (ingest, auditor, gate) =
        (key(json!({ "role": "ingest" })), key(json!({ "role": "auditor" })), key(json!({ "role": "gate" })));
    let send = |lines: &[String]| {
        let reply = office.send(&request(&ingest, lines));
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    let (first, rest) = lines.split_at(5);
    let (some, others) = rest.split_at(40);
    send(first);
    let path = "/v1/agents/billing/events/stream?receipts=true";
    let mut all = Listener::open(&office, path, &auditor, None);
    // Who asks for events hears events alone.
    let mut events = Listener::open(&office, "/v1/events/stream", &gate, None);
    let event = declare(&office, "billing", &json!({}));
    assert_eq!(events.id(), event);
    let (name, place, _) = all.next().unwrap();
    assert_eq!(name, "behavior_event");
    assert!(place.starts_with(&event), "{place}");
    send(some);
    let mut heard = Vec::new();
    let mut last = place.clone();
    for _ in some {
        let (name, id, data) = all.next().unwrap();
        assert_eq!(name, "receipt");
        heard.push(data.get("line").and_then(Value::as_str).unwrap().to_owned());
        last = id;
    }
    assert_eq!(heard, some, "in the order in which they were kept");
    drop(all);
    send(others);
    // From where it was: each once, and what is sent again is no new one.
    send(&lines);
    let again = declare(&office, "billing", &json!({ "n": 2 }));
    let mut all = Listener::open(&office, path, &auditor, Some(&last));
    let (mut heard, mut told) = (Vec::new(), Vec::new());
    while heard.len() < others.len() || told.is_empty() {
        let (name, id, data) = all.next().unwrap();
        match name.as_str() {
            "receipt" => heard.push(data.get("line").and_then(Value::as_str).unwrap().to_owned()),
            _ => told.push(id),
        }
    }
    assert_eq!(heard, others);
    assert!(told.len() == 1 && told.iter().all(|id| id.starts_with(&again)), "{told:?}");
    let asked = |path: &str, key: &str, last: &str| {
        office.send(&Request::get(path).bearer(key).header("Last-Event-ID", last)).status
    };
    assert_eq!(asked(path, &gate, &last), 403);
    assert_eq!(asked(&path.replace("true", "yes"), &auditor, &last), 400);
    assert_eq!(asked(path, &auditor, "-/x"), 400);
    let strange = last.rsplit_once('.').unwrap().0.to_owned() + "." + &"0".repeat(64);
    assert_eq!(asked(path, &auditor, &strange), 404);
}
