//! Events that are declared, their chains, and what is counted of them.

use std::process::Command;

use serde_json::{Value, json};

use super::office::Office;
use super::web::{Reply, Request};
use crate::desk::Desk;

fn data(reply: &Reply) -> Value {
    assert!(reply.status < 300, "{} {}", reply.status, reply.text());
    reply.json().get("data").cloned().unwrap()
}

fn refusal(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json().get("code").and_then(Value::as_str).unwrap_or_default().to_owned())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap()
}

#[test]
fn an_event_is_kept_as_it_came_and_scored_by_the_table() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let id = data(&office.get_as_owner("/v1/agents/billing"))["id"].clone();
    let plain = data(&office.post("/v1/events", &json!({ "agentId": id, "actionType": "api_call" })));
    assert_eq!((&plain["risk_score"], &plain["risk_band"]), (&json!(0.05), &json!("low")));
    assert_eq!((&plain["id"], &plain["agent_id"]), (&plain["event_id"], &id));
    assert_eq!((&plain["backdated"], &plain["revocation_check_queued"]), (&json!(false), &json!(false)));
    // Texts are kept as given, whatever is in them.
    let hostile =
        json!({ "\u{1b}[2J": "</script>'; DROP TABLE declared; --", "zero": "a\u{0}b", "n": 1e300 });
    let body = json!({
        "agent_id": "billing", "action_type": "unauthorized_access_attempt", "session_id": "s\r\nx: y",
        "occurred_at": "2020-01-01T00:00:00Z", "details": hostile,
    });
    let old = data(&office.post("/api/v1/events", &body));
    assert_eq!((&old["risk_score"], &old["risk_band"]), (&json!(0.95), &json!("high")));
    assert_eq!((&old["details"], &old["session_id"]), (&hostile, &json!("s\r\nx: y")));
    assert_eq!((&old["occurred_at"], &old["backdated"]), (&json!("2020-01-01T00:00:00Z"), &json!(true)));
    // Dating back takes an event out of no window: what counts is when it came.
    let risk = data(&office.get_as_owner("/v1/agents/billing/risk?window_days=1"));
    assert_eq!((&risk["event_count"], &risk["high_risk_count"]), (&json!(2), &json!(1)));
    assert_eq!((&risk["risk_score"], &risk["avg_score"]), (&json!(0.95), &json!(0.5)));
    assert_eq!(risk["recent_high_risk_events"][0]["id"], old["id"]);
    assert_eq!(risk["event_counts_by_type"], json!({ "api_call": 1, "unauthorized_access_attempt": 1 }));
    assert_eq!((&risk["trend"][0]["event_count"], &risk["drift"]["drift_score"]), (&json!(2), &Value::Null));

    for (body, status, code) in [
        (json!({ "agent_id": "billing" }), 400, "request.invalid"),
        (json!({ "agent_id": "billing", "action_type": "tool_executed" }), 400, "request.invalid"),
        (
            json!({ "agent_id": "billing", "agentId": "billing", "action_type": "api_call" }),
            400,
            "request.invalid",
        ),
        (
            json!({ "agent_id": "billing", "action_type": "api_call", "risk_score": 0 }),
            400,
            "request.invalid",
        ),
        (json!({ "agent_id": "billing", "action_type": "api_call", "details": [] }), 400, "request.invalid"),
        (
            json!({ "agent_id": "billing", "action_type": "api_call", "occurred_at": "now" }),
            400,
            "request.invalid",
        ),
        (
            json!({ "agent_id": "billing", "action_type": "api_call", "occurred_at": "2999-01-01T00:00:00Z" }),
            422,
            "event.future",
        ),
        (json!({ "agent_id": "nobody", "action_type": "api_call" }), 404, "not_found"),
        (
            json!({ "agent_id": "billing", "action_type": "api_call", "chain_id": "0".repeat(32) }),
            404,
            "not_found",
        ),
        (json!({ "agent_id": "billing", "action_type": "api_call", "chain_id": "x" }), 404, "not_found"),
    ] {
        assert_eq!(refusal(&office.post("/v1/events", &body)), (status, code.into()), "{body}");
    }
    // A score revokes nobody, and what was kept stays.
    assert_eq!(data(&office.get_as_owner("/v1/events"))[0]["id"], old["id"]);
}

#[test]
fn what_a_stopped_agent_is_said_to_try_is_kept_before_it_is_refused() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let declare = |action: &str, key: &str| {
        let said = json!({ "agent_id": "billing", "action_type": action });
        office.send(&Request::post("/v1/events", &said).bearer(office.owner()).header("Idempotency-Key", key))
    };
    let kept = || data(&office.get_as_owner("/v1/events")).as_array().unwrap().clone();
    assert_eq!(data(&declare("api_call", "good"))["in_good_standing"], true);
    for (number, (order, word)) in (2..).zip([("suspend", "held"), ("revoke", "revoked")]) {
        office.post(&format!("/v1/agents/billing/{order}"), &json!({ "reason": "drill" }));
        let refused = declare("unauthorized_access_attempt", order);
        assert_eq!(refusal(&refused), (422, "agent.standing".into()));
        let newest = kept().first().unwrap().clone();
        assert_eq!(newest["in_good_standing"], false, "{newest}");
        let text = refused.text();
        assert!(text.contains(word) && text.contains(newest["id"].as_str().unwrap()), "{text}");
        // Sent again it is the same event and the same answer.
        assert_eq!(declare("unauthorized_access_attempt", order).json()["error"], refused.json()["error"]);
        assert_eq!(kept().len(), number);
    }
    // And it counts for how the agent behaves.
    let start = std::time::Instant::now();
    loop {
        let risk = data(&office.get_as_owner("/v1/agents/billing/risk"));
        let features = risk["features"].as_array().unwrap();
        if features.contains(&json!("declared")) && risk["high_risk_count"] == 2 {
            break;
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(60), "{risk:#}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn an_agent_that_becomes_risky_is_told_once_and_with_its_event() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let hook = json!({ "url": "https://receiver.example/", "events": ["risk.alert"] });
    let hook = data(&office.post("/v1/webhooks", &hook));
    let told = || {
        let path = format!("/v1/webhooks/{}/deliveries", text(&hook, "id"));
        let rows = data(&office.get_as_owner(&path));
        rows.as_array().unwrap().iter().filter(|row| row["event_type"] == "risk.alert").count()
    };
    let declare = |action: &str, key: &str| {
        let request = Request::post("/v1/events", &json!({ "agent_id": "billing", "action_type": action }));
        office.send(&request.bearer(office.owner()).header("Idempotency-Key", key)).status
    };
    assert_eq!((declare("api_call", "1"), declare("authentication_failure", "2"), told()), (200, 200, 0));
    assert_eq!((declare("transaction_anomaly", "3"), told()), (200, 1));
    // The same request, and the next ones, are no further crossing.
    assert_eq!((declare("transaction_anomaly", "3"), told()), (200, 1));
    assert_eq!((declare("unauthorized_access_attempt", "4"), told()), (200, 1));
    assert_eq!((declare("api_call", "5"), declare("transaction_anomaly", "6"), told()), (200, 200, 1));
    // Of what is refused nobody is told.
    let chain = data(&office.post("/v1/chains", &json!({ "name": "closed" })));
    office.post(&format!("/v1/chains/{}/close", text(&chain, "id")), &json!({}));
    let other = json!({ "name": "other", "scope": { "actions": ["read:*"] } });
    data(&office.post("/v1/agents", &other));
    let late = json!({ "agent_id": "other", "action_type": "transaction_anomaly", "chain_id": chain["id"] });
    assert_eq!(refusal(&office.post("/v1/events", &late)), (409, "chain.closed".into()));
    assert_eq!(told(), 1);
    // Anybody may send a signature that is none: no alert is anybody's to raise.
    let wrong = json!({ "payload": {}, "signature": "bm8=", "certificate_serial": "0".repeat(32) });
    office.send(&Request::post("/v1/verify/message", &wrong));
    assert_eq!(told(), 1);
}

#[test]
fn events_come_in_pages_for_those_who_may_see_them_and_once() {
    let desk = Desk::with_billing();
    desk.yes(&["agent", "create", "other", "--scope", "scope.toml"]);
    let office = Office::open(&desk);
    let mut made = Vec::new();
    for (who, what) in
        [("billing", "api_call"), ("other", "data_mutation"), ("billing", "transaction_anomaly")]
    {
        let event = data(&office.post("/v1/events", &json!({ "agent_id": who, "action_type": what })));
        made.push(text(&event, "id").to_owned());
    }
    let ids = |path: &str, key: &str| {
        let reply = office.send(&Request::get(path).bearer(key));
        let rows = data(&reply);
        let ids = rows.as_array().unwrap().iter().map(|row| text(row, "id").to_owned()).collect::<Vec<_>>();
        (ids, reply.json().pointer("/pagination/next_cursor").cloned().unwrap())
    };
    let owner = office.owner();
    let (first, next) = ids("/v1/events?limit=2", owner);
    assert_eq!(first, [made[2].clone(), made[1].clone()]);
    let (second, end) = ids(&format!("/v1/events?limit=2&before={}", next.as_str().unwrap()), owner);
    assert_eq!((second, end), (vec![made[0].clone()], Value::Null));
    assert_eq!(ids("/v1/events?band=high", owner).0, [made[2].clone()]);
    assert_eq!(ids("/v1/events?band=low&agent_id=billing", owner).0, [made[0].clone()]);
    assert_eq!(ids("/v1/events?action_type=data_mutation", owner).0, [made[1].clone()]);
    assert_eq!(ids("/v1/events?before=2020-01-01T00:00:00Z", owner).0, [""; 0]);
    for query in ["limit=0", "limit=abc", "band=worst", "before=x", "agent=billing"] {
        assert_eq!(office.get_as_owner(&format!("/v1/events?{query}")).status, 400, "{query}");
    }
    // A key for one agent sees and says nothing about another one.
    let id = data(&office.get_as_owner("/v1/agents/other"))["id"].clone();
    let bound = office.key(&json!({ "role": "auditor", "agents": [id] }));
    assert_eq!(ids("/v1/events", &bound).0, [made[1].clone()]);
    let foreign = office.send(&Request::get("/v1/events?agent_id=billing").bearer(&bound));
    let missing = office.send(&Request::get("/v1/events?agent_id=nobody").bearer(&bound));
    assert_eq!((refusal(&foreign), foreign.status), (refusal(&missing), 404));
    let sender = office.key(&json!({ "role": "ingest", "agents": [id] }));
    let say = |who: &str| {
        let body = json!({ "agent_id": who, "action_type": "api_call" });
        office.send(&Request::post("/v1/events", &body).bearer(&sender))
    };
    assert_eq!(
        (refusal(&say("billing")), refusal(&say("nobody"))),
        ((404, "not_found".into()), (404, "not_found".into()))
    );
    // Sent again under its key an event is one.
    let body = json!({ "agent_id": "other", "action_type": "data_access" });
    let send = |body: &Value| {
        office.send(&Request::post("/v1/events", body).bearer(&sender).header("Idempotency-Key", "e1"))
    };
    let (one, two) = (send(&body), send(&body));
    assert_eq!((one.status, &one.body), (200, &two.body));
    let other = send(&json!({ "agent_id": "other", "action_type": "api_call" }));
    assert_eq!(refusal(&other), (409, "idempotency.reused".into()));
    assert_eq!(ids("/v1/events?agent_id=other", owner).0.len(), 2);
}

#[test]
fn a_chain_has_so_many_events_and_no_more() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let made = data(&office.post("/v1/chains", &json!({ "name": "endless" })));
    let id = text(&made, "chain_id");
    let event = json!({ "agentId": "billing", "actionType": "data_access", "chainId": id });
    assert_eq!(office.post("/v1/events", &event).status, 200);
    // As if 1,999 had come before.
    let records = rusqlite::Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    records.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    assert_eq!(records.execute("UPDATE chains SET events = 1999", []).unwrap(), 1);
    assert_eq!(office.post("/v1/events", &event).status, 200);
    let full = office.post("/v1/events", &event);
    assert_eq!((full.status, full.json()["code"].as_str()), (422, Some("chain.full")));
    let alone = json!({ "agentId": "billing", "actionType": "data_access" });
    assert_eq!(office.post("/v1/events", &alone).status, 200, "events go on without it");
    assert_eq!(office.post(&format!("/v1/chains/{id}/close"), &json!({})).status, 200);
}

#[test]
fn a_closed_chain_stays_closed_and_anybody_can_calculate_it() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let chain = json!({ "name": "incident\u{1b}[31m", "metadata": { "b": 1, "a": "äß€" } });
    let made = office.post("/v1/chains", &chain);
    assert_eq!(made.status, 201);
    let made = data(&made);
    let id = text(&made, "chain_id");
    assert_eq!((&made["id"], &made["event_count"], &made["status"]), (&json!(id), &json!(0), &json!("open")));
    for (place, details) in
        [(1, json!({ "x": 1 })), (2, Value::Null), (3, json!({ "y": { "z": [1.5, "é"] } }))]
    {
        let body = json!({
            "agentId": "billing", "actionType": "data_access", "chainId": id, "sessionId": "s", "details": details,
        });
        let event = data(&office.post("/v1/events", &body));
        assert_eq!((&event["sequence"], &event["chain_id"]), (&json!(place), &json!(id)));
    }
    let open = data(&office.get(&format!("/v1/verify/chain/{id}")));
    assert_eq!(
        (&open["verified"], &open["status"], &open["event_count"]),
        (&Value::Null, &json!("open"), &json!(3))
    );
    let closed = data(&office.post(&format!("/v1/chains/{id}/close"), &json!({})));
    assert_eq!((&closed["status"], &closed["name"]), (&json!("closed"), &chain["name"]));
    let again = office.post(&format!("/v1/chains/{id}/close"), &json!({}));
    assert_eq!(refusal(&again), (409, "chain.closed".into()));
    let late = json!({ "agent_id": "billing", "action_type": "api_call", "chain_id": id });
    assert_eq!(refusal(&office.post("/v1/events", &late)), (409, "chain.closed".into()));
    let shown = data(&office.get_as_owner(&format!("/v1/chains/{id}")));
    assert_eq!((&shown["event_count"], shown["events"].as_array().unwrap().len()), (&json!(3), 3));
    let serial = &shown["participating_agents"][0]["certificate_serial"];
    assert_eq!((&shown["events"][0]["certificate_serial"], serial.as_str().unwrap().len()), (serial, 32));
    for prefix in ["/v1", "/api/v1"] {
        let verified = data(&office.get(&format!("{prefix}/verify/chain/{id}")));
        assert_eq!((&verified["verified"], &verified["chain_hash"]), (&json!(true), &shown["chain_hash"]));
    }
    // A stranger calculates it from the answer, by docs/service.md and nothing of ours.
    std::fs::write(desk.path("chain.json"), shown.to_string()).unwrap();
    std::fs::write(desk.path("chain.py"), RECIPE).unwrap();
    let output =
        Command::new("python3").arg(desk.path("chain.py")).arg(desk.path("chain.json")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), text(&shown, "chain_hash"), "{output:?}");

    // Whoever writes into the records is found out.
    let listed = data(&office.get_as_owner("/v1/chains?status=closed"));
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(office.get_as_owner("/v1/chains?status=odd").status, 400);
    for path in ["/v1/chains/x", &format!("/v1/verify/chain/{}", "0".repeat(32)), "/v1/verify/chain/%00"] {
        assert_eq!(office.get_as_owner(path).status, 404, "{path}");
    }
    let log = data(&office.get_as_owner("/v1/audit-log?event_type=chain.close"));
    assert_eq!((log.as_array().unwrap().len(), &log[1]["outcome"]), (2, &json!("done")));
    assert_eq!(log[0]["outcome"], "refused");
}

#[test]
fn what_has_no_true_answer_here_says_so_and_what_to_use() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    for (method, path) in [
        ("GET", "/agents/billing/credential"),
        ("POST", "/agents/billing/delegation"),
        ("POST", "/delegation/verify"),
        ("GET", "/integrations/otlp"),
        ("POST", "/integrations/otlp"),
        ("DELETE", "/integrations/otlp"),
        ("POST", "/integrations/otlp/test"),
        ("POST", "/chat"),
        ("POST", "/crl/generate"),
    ] {
        let reply = office.send(&Request::new(method, &format!("/v1{path}")).bearer(office.owner()));
        assert_eq!(refusal(&reply), (501, "not_here".into()), "{path}");
        assert!(!text(&reply.json(), "error").is_empty());
    }
}

/// As docs/service.md says it.
const RECIPE: &str = r#"
import hashlib, json, sys
from datetime import datetime

chain = json.load(open(sys.argv[1], encoding="utf-8"))

def field(value):
    return len(value).to_bytes(8, "big") + value

def maybe(value):
    return field(b"\0") + field(b"") if value is None else field(b"\1") + field(value)

def seconds(text):
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()).to_bytes(8, "big")

def octets(text):
    return None if text is None else text.encode()

def digest(value):
    return hashlib.sha256(value).digest()

state = digest(
    field(b"kakunin chain 1") + field(bytes.fromhex(chain["id"])) + field(seconds(chain["created_at"]))
    + field(chain["name"].encode()) + maybe(octets(chain["description"])) + maybe(octets(chain["metadata_text"]))
)
for event in chain["events"]:
    serial = event["certificate_serial"]
    state = digest(
        state + field(b"kakunin chain event 1") + field(event["sequence"].to_bytes(8, "big"))
        + field(bytes.fromhex(event["id"])) + field(bytes.fromhex(event["agent_id"].replace("-", "")))
        + field(event["action_type"].encode()) + field(bytes([round(event["risk_score"] * 100)]))
        + field(seconds(event["occurred_at"])) + field(seconds(event["received_at"]))
        + maybe(None if serial is None else bytes.fromhex(serial))
        + maybe(octets(event["session_id"])) + maybe(octets(event["details_text"]))
    )
print(state.hex())
"#;
