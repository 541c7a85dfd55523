//! How far agents say that they enforce the feed: who may say it, what is believed, what is shown.

use std::time::Duration;

use serde_json::{Value, json};

use super::office::Office;
use super::robot::Robot;
use super::web::{Reply, Request};
use crate::desk::Desk;

fn said(reply: &Reply) -> (u16, String) {
    let answer = reply.json();
    let code = answer.get("code").and_then(Value::as_str);
    let epoch = || answer.pointer("/data/epoch").map(Value::to_string).unwrap_or_default();
    (reply.status, code.map_or_else(epoch, str::to_owned))
}

fn metric(office: &Office<'_>, name: &str) -> String {
    let text = office.get("/metrics").text();
    let line = text.lines().find(|line| line.starts_with(&format!("kakunin_feed_{name} ")));
    line.and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned()
}

fn seen(office: &Office<'_>, name: &str) -> Value {
    let shown =
        office.get_as_owner(&format!("/v1/agents/{name}")).json().pointer("/data/epoch_seen").cloned();
    let listed = office.get_as_owner("/v1/agents").json();
    let rows = listed.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    let row = rows.iter().find(|row| row.get("agent_name") == Some(&json!(name)));
    assert_eq!(row.and_then(|row| row.get("epoch_seen")), shown.as_ref(), "list and agent say the same");
    shown.unwrap()
}

#[test]
fn an_agent_says_how_far_it_enforces_the_feed_and_no_further_than_that_is() {
    let desk = Desk::with_billing();
    desk.yes(&["agent", "create", "other", "--scope", "scope.toml", "--out", "agents/other"]);
    let office = Office::open(&desk);
    // Issued in the second of the start, as the certificate of the other one may be, it could be of before it.
    std::thread::sleep(Duration::from_millis(1_100));
    let robot = Robot::certified(&office, "billing");
    let held = office.post("/v1/agents/other/suspend", &json!({})).json();
    let issuer = held.pointer("/data/issuer").cloned().unwrap();
    let ack =
        |epoch: u64| robot.send(Request::post("/v1/feed/ack", &json!({ "issuer": issuer, "epoch": epoch })));

    assert_eq!(seen(&office, "billing"), Value::Null);
    assert_eq!(said(&ack(0)), (200, "0".into()));
    assert_eq!(seen(&office, "billing"), json!(0));
    assert_eq!(["agents", "agents_behind", "lag_epochs"].map(|name| metric(&office, name)), ["1", "1", "1"]);
    assert_eq!(metric(&office, "propagation_seconds_count"), "0");
    assert_eq!(said(&ack(2)), (409, "feed.ahead".into()));
    assert_eq!(said(&ack(u64::MAX)), (409, "feed.ahead".into()));
    assert_eq!(seen(&office, "billing"), json!(0));
    assert_eq!(said(&ack(1)), (200, "1".into()));
    assert_eq!(said(&ack(0)), (200, "1".into()), "nothing that was said is lowered");
    assert_eq!(seen(&office, "billing"), json!(1));
    assert_eq!(["agents", "agents_behind", "lag_epochs"].map(|name| metric(&office, name)), ["1", "0", "0"]);
    assert_eq!(metric(&office, "propagation_seconds_count"), "1");
    assert_eq!(metric(&office, "propagation_seconds_bucket{le=\"+Inf\"}"), "1");
    // Two more at once are two that were waited for.
    for verb in ["resume", "suspend"] {
        assert_eq!(office.post(&format!("/v1/agents/other/{verb}"), &json!({})).status, 200);
    }
    assert_eq!(metric(&office, "lag_epochs"), "2");
    assert_eq!(said(&ack(3)), (200, "3".into()));
    assert_eq!(metric(&office, "propagation_seconds_count"), "3");
    assert_eq!(seen(&office, "other"), Value::Null);

    let post = |body: &Value| said(&robot.send(Request::post("/v1/feed/ack", body)));
    assert_eq!(post(&json!({ "issuer": "ab".repeat(32), "epoch": 0 })), (404, "feed.issuer".into()));
    for wrong in [
        json!({}),
        json!({ "issuer": issuer }),
        json!({ "epoch": 0 }),
        json!({ "issuer": "x", "epoch": 0 }),
        json!({ "issuer": issuer, "epoch": -1 }),
        json!({ "issuer": issuer, "epoch": "0" }),
        json!({ "issuer": issuer, "epoch": 0, "more": 1 }),
    ] {
        assert_eq!(post(&wrong), (400, "request.invalid".into()), "{wrong}");
    }
    // It speaks for nobody else, and does not find out who there is.
    for who in ["other", "nobody"] {
        let about = json!({ "issuer": issuer, "epoch": 1, "agent": who });
        assert_eq!(post(&about), (404, "not_found".into()));
    }
    assert_eq!(post(&json!({ "issuer": issuer, "epoch": 1, "agent": "billing" })), (200, "3".into()));

    // Whoever is held proves nothing, so nobody waits for it.
    assert_eq!(office.post("/v1/agents/billing/suspend", &json!({})).status, 200);
    assert_eq!(said(&ack(3)), (401, "certificate.held".into()));
    assert_eq!(seen(&office, "billing"), Value::Null);
    assert_eq!(["agents", "agents_behind", "lag_epochs"].map(|name| metric(&office, name)), ["0", "0", "0"]);
}

#[test]
fn a_key_says_it_for_the_agents_that_it_may_know_of() {
    let desk = Desk::with_billing();
    desk.yes(&["agent", "create", "other", "--scope", "scope.toml", "--out", "agents/other"]);
    let office = Office::open(&desk);
    let held = office.post("/v1/agents/other/suspend", &json!({})).json();
    let issuer = held.pointer("/data/issuer").cloned().unwrap();
    let id = office.get_as_owner("/v1/agents/billing").json().pointer("/data/id").cloned().unwrap();
    let (whole, bound) = (json!({ "role": "ingest" }), json!({ "role": "ingest", "agents": [id] }));
    let (whole, bound) = (office.key(&whole), office.key(&bound));
    let send = |key: &str, who: Option<&str>| {
        let body = json!({ "issuer": issuer, "epoch": 1, "agent": who });
        said(&office.send(&Request::post("/v1/feed/ack", &body).bearer(key)))
    };
    assert_eq!(send(&whole, None), (400, "request.invalid".into()));
    assert_eq!(send(&whole, Some("nobody")), (404, "not_found".into()));
    assert_eq!(send(&bound, Some("other")), (404, "not_found".into()));
    assert_eq!(send(&whole, Some("other")), (422, "agent.standing".into()));
    assert_eq!(send(&bound, Some("billing")), (200, "1".into()));
    assert_eq!(seen(&office, "billing"), json!(1));
    assert_eq!(seen(&office, "other"), Value::Null);
    office.end();
    let office = Office::open_with(&desk, &["--without-feed"]);
    let body = json!({ "issuer": issuer, "epoch": 0, "agent": "billing" });
    let refused = office.send(&Request::post("/v1/feed/ack", &body).bearer(&whole));
    assert_eq!(said(&refused), (404, "feed.none".into()));
}
