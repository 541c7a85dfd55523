//! Agents that ask in their own name: what proves it, and what does not.

use serde_json::{Value, json};

use super::office::Office;
use super::robot::{Robot, ders, now};
use super::web::{Reply, Request};
use crate::desk::Desk;

const RENEW: &str = "/v1/agents/robot/renew";

fn code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json().get("code").and_then(Value::as_str).unwrap_or("yes").to_owned())
}

fn robot(office: &Office<'_>, name: &str) -> Robot {
    let made = office.post("/v1/agents", &json!({ "name": name, "scope": { "actions": ["read:*"] } }));
    assert_eq!(made.status, 201, "{}", made.text());
    Robot::certified(office, name)
}

#[test]
fn an_agent_renews_itself_and_the_log_says_that_it_was_the_agent() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let mut robot = robot(&office, "robot");
    let before = ders(robot.text("pem"));
    let renewed = robot.send(Request::post("/api/v1/agents/robot/renew?", &json!({})));
    assert_eq!(renewed.status, 201, "{}", renewed.text());
    let papers = renewed.json()["data"].clone();
    assert_eq!(papers["scope_diff"], json!([]));
    assert_eq!(papers["names"], json!({}));
    assert_eq!(papers["genesis"], Value::Null, "what was spent stays spent");
    assert_eq!(papers["agent_name"], "robot");
    for (name, route) in [("ca_pem", "/v1/ca"), ("lists_pem", "/v1/crl/all")] {
        let public = office.send(&Request::get(route).header("Accept", "text/plain")).text();
        assert_eq!(papers[name], public, "{name}");
    }
    let after = ders(papers["certificate_pem"].as_str().unwrap());
    assert_ne!(after, before);
    // A day from now, and by the new certificate the next one.
    let until = papers["expires_at"].as_str().unwrap().parse::<String>().unwrap();
    let until = kakunin_core::time::UnixTime::parse_rfc3339(&until).unwrap();
    assert!((86_000..=86_400).contains(&(until.seconds() - now().seconds())), "{until}");
    robot.papers = papers;
    assert_eq!(robot.send(Request::new("POST", RENEW)).status, 201);

    let id = robot.text("agent_id").to_owned();
    let log = office.get_as_owner("/v1/audit-log?event_type=certificate.renew").json();
    let rows = log["data"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row["actor_type"], "agent", "{row}");
        assert!(row.to_string().contains(&format!("agent:{id}")), "{row}");
    }
    office.logs(&[&format!("\"key\":\"agent:{id}\"")]);
}

#[test]
fn a_proof_renews_once_and_nothing_but_what_it_was_made_for() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let robot = robot(&office, "robot");
    self::robot(&office, "other");
    let request = Request::post(RENEW, &json!({}));
    let refused = |request: &Request, expected: &str, why: &str| {
        let reply = office.send(request);
        assert_eq!(code(&reply), (401, expected.to_owned()), "{why}");
        assert_eq!(reply.header("www-authenticate"), "Signature", "{why}");
    };
    let moved = |change: &dyn Fn(&mut Request)| {
        let mut request = robot.prove(request.clone());
        change(&mut request);
        request
    };
    refused(&request, "access.proof", "no proof");
    refused(&moved(&|it| it.path = "/v1/agents/other/renew".into()), "possession.signature", "path");
    refused(&moved(&|it| it.path = "/api/v1/agents/robot/renew".into()), "possession.signature", "prefix");
    refused(&moved(&|it| it.path = "/v1/agents/r%6fbot/renew".into()), "possession.signature", "spelling");
    refused(&moved(&|it| it.path.push_str("?a=b")), "possession.signature", "query");
    refused(&moved(&|it| it.body.push(b' ')), "possession.content", "body");
    refused(&moved(&|it| it.headers.pop().map_or((), drop)), "possession.malformed", "no signature");
    refused(&moved(&|it| it.headers.push(it.headers[0].clone())), "possession.malformed", "a field twice");
    let elsewhere = robot.prove_for(request.clone(), "kakunin.example.com", now());
    refused(&elsewhere, "possession.signature", "made for another service");
    for (seconds, why) in [(-70, "a minute old"), (70, "from the future")] {
        let address = office.url().strip_prefix("http://").unwrap();
        refused(&robot.prove_for(request.clone(), address, now().plus(seconds)), "possession.created", why);
    }
    // Whoever has been asked by another name may have passed it on.
    let mut named = robot.prove_for(request.clone(), "evil.example.com", now());
    named.headers.push(("X".into(), "x".into()));
    let reply = named.send_as("evil.example.com", office.url().strip_prefix("http://").unwrap());
    assert_eq!(code(&reply), (401, "possession.authority".into()));

    // The name that means this machine is one of the service's.
    let address = office.url().strip_prefix("http://").unwrap();
    let localhost = address.replace("127.0.0.1", "localhost");
    let reply = robot.prove_for(request.clone(), &localhost, now()).send_as(&localhost, address);
    assert_eq!(reply.status, 201, "{}", reply.text());

    let used = robot.prove(request.clone());
    assert_eq!(office.send(&used).status, 201);
    refused(&used, "possession.replayed", "again");
    // Another agent is nobody to it, as one that does not exist.
    let foreign = robot.send(Request::post("/v1/agents/other/renew", &json!({})));
    let missing = robot.send(Request::post("/v1/agents/nobody/renew", &json!({})));
    assert_eq!((code(&foreign), code(&missing)), ((404, "not_found".into()), (404, "not_found".into())));

    // A key beside a proof, whosever it is; and no key, the owner's neither, renews for the agent.
    let both = office.send(&robot.prove(request.clone()).bearer(office.owner()));
    assert_eq!(code(&both), (400, "access.both".into()));
    assert_eq!(code(&office.send(&request.clone().bearer(office.owner()))), (403, "access.role".into()));
    // Nor does a proof open what is a key's.
    assert_eq!(code(&robot.send(Request::get("/v1/agents/robot"))), (401, "access.key".into()));
    let large = Request { body: vec![b' '; 64 * 1024 + 1], ..request };
    assert_eq!(code(&robot.send(large)), (413, "request.too_large".into()));
}

#[test]
fn an_agent_that_is_held_or_revoked_proves_nothing() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let robot = robot(&office, "robot");
    let renew = || code(&robot.send(Request::post(RENEW, &json!({}))));
    // What it did is evidence: for sending that home its proof counts, so that only the lines are judged.
    let home = || code(&robot.send(Request::post("/v1/receipts", &json!({}))));
    let order = |what: &str| {
        let reply = office.post(&format!("/v1/agents/robot/{what}"), &json!({ "reason": "test" }));
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    assert_eq!(renew().0, 201);
    order("suspend");
    assert_eq!(renew(), (401, "certificate.held".into()));
    assert_eq!(home(), (422, "receipt.malformed".into()));
    order("resume");
    assert_eq!(renew().0, 201);
    order("revoke");
    assert_eq!(renew(), (401, "certificate.revoked".into()));
    assert_eq!(home(), (422, "receipt.malformed".into()));
    // It comes back with another key, and by the old one it still is nobody.
    let back = json!({ "after_revocation": true });
    assert_eq!(office.post("/v1/agents/robot/certify", &back).status, 201);
    assert_eq!(renew(), (401, "certificate.revoked".into()));
}

#[test]
fn the_certificate_of_another_authority_proves_nothing() {
    let (ours, theirs) = (Desk::empty(), Desk::empty());
    let (office, foreign) = (Office::open(&ours), Office::open(&theirs));
    robot(&office, "robot");
    let stranger = robot(&foreign, "robot");
    let address = office.url().strip_prefix("http://").unwrap();
    let request = stranger.prove_for(Request::post(RENEW, &json!({})), address, now());
    assert_eq!(code(&office.send(&request)), (401, "certificate.untrusted".into()));
}

#[test]
fn after_a_restart_no_proof_of_before_is_taken() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let robot = robot(&office, "robot");
    assert_eq!(robot.send(Request::post(RENEW, &json!({}))).status, 201);
    office.kill();
    // Made before the service began again, as one that was overheard and not used would be.
    let (mut office, mut made) = (None, now());
    while office.is_none() || now() > made.plus(30) {
        // A machine on which a start takes half a minute gets another try: the proof must not be too old for itself.
        drop(office.take());
        made = now();
        office = Some(Office::open(&desk));
    }
    let office = office.unwrap();
    let address = office.url().strip_prefix("http://").unwrap();
    let reply = office.send(&robot.prove_for(Request::post(RENEW, &json!({})), address, made));
    assert_eq!(code(&reply), (503, "possession.starting".into()));
    let wait: u32 = reply.header("retry-after").parse().unwrap();
    assert!(wait >= 11, "{wait}");
}
