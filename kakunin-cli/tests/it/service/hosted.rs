//! What clients of the hosted service send and expect, and what stays right here all the same.

use serde_json::{Value, json};

use super::office::Office;
use super::web::Request;
use crate::desk::Desk;

const TRADER: &str = r#"{ "name": "Trade Bot, 1", "model": "gpt-4o", "version": "2024-11", "modelHash": "sha256:abc",
    "financialScope": { "max_single_trade_usd": 5000, "daily_limit_usd": 20000.5, "permitted_venues": ["NYSE"] },
    "metadata": { "team": "desk", "permitted_actions": ["trade.execute"] } }"#;

fn trader(office: &Office<'_>) -> Value {
    let body: Value = serde_json::from_str(TRADER).unwrap();
    let made = office.post("/v1/agents", &body);
    assert_eq!(made.status, 201, "{}", made.text());
    made.json().get("data").cloned().unwrap()
}

#[test]
fn what_they_send_as_a_scope_is_what_the_certificate_signs() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let made = trader(&office);
    assert_eq!(
        (&made["name"], &made["model"], &made["model_hash"]),
        (&json!("Trade Bot, 1"), &json!("gpt-4o"), &json!("sha256:abc"))
    );
    assert!(made["agent_name"].as_str().unwrap().starts_with("trade-bot-1-"), "{made}");
    assert_eq!(made["metadata"]["team"], "desk");
    let id = made["id"].as_str().unwrap();
    let issued = office.post(&format!("/v1/agents/{id}/certify"), &json!({})).json();
    let words = issued["data"]["scope"].to_string();
    for said in ["trade.execute", "5000.00 USD", "20000.50 USD", "NYSE"] {
        assert!(words.contains(said), "{said}: {words}");
    }
    // What cannot be enforced is not taken.
    let mut leveraged: Value = serde_json::from_str(TRADER).unwrap();
    leveraged["financialScope"]["leverage_permitted"] = json!(true);
    assert_eq!(office.post("/v1/agents", &leveraged).status, 422);
    // Without any scope the certificate is an identity.
    let bare = office
        .post("/v1/agents", &json!({ "name": "bare", "model": "m", "version": "1", "modelHash": "x" }))
        .json();
    assert_eq!(bare["data"]["permitted_actions"], json!(["identity:only"]));
    // A title is kept as it is given, and is never what the certificate says.
    let title = "\u{0}\u{1b}[2J<b>'; DROP TABLE agents; --";
    let odd = office.post("/v1/agents", &json!({ "name": title })).json();
    let id = odd["data"]["id"].as_str().unwrap();
    let row = office.get_as_owner(&format!("/v1/agents/{id}")).json();
    assert_eq!(row["data"]["name"], title);
    assert!(
        row["data"]["agent_name"]
            .as_str()
            .unwrap()
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    );
}

#[test]
fn a_patch_neither_widens_nor_changes_standing() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let id = trader(&office)["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/agents/{id}");
    office.post(&format!("{path}/suspend"), &json!({ "reason": "drift" }));
    let patch = |body: Value| {
        office.send(&Request { method: "PATCH".into(), ..Request::post(&path, &body) }.bearer(office.owner()))
    };
    for (body, code) in [
        (json!({ "status": "active" }), "agent.standing"),
        (json!({ "metadata": { "permitted_actions": ["trade.execute", "wire.send"] } }), "scope.fixed"),
        (json!({ "metadata": { "scopes": ["*"] } }), "scope.fixed"),
        (json!({ "metadata": { "financial_scope": { "daily_limit_usd": 1 } } }), "scope.fixed"),
        (json!({ "scope": { "actions": ["read:*"] } }), "scope.fixed"),
        (json!({ "financial_scope": { "daily_limit_usd": 9 } }), "scope.fixed"),
    ] {
        let refused = patch(body.clone());
        assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some(code)), "{body}");
    }
    assert_eq!(patch(json!({ "standing": "good" })).status, 400);
    let changed = patch(json!({ "status": "suspended", "modelHash": "sha256:def", "name": "Bot",
        "metadata": { "team": "night", "permitted_actions": ["trade.execute"] } }));
    assert_eq!(changed.status, 200, "{}", changed.text());
    let row = &office.get_as_owner(&path).json()["data"];
    assert_eq!(
        (&row["standing"], &row["model_hash"], &row["name"]),
        (&json!("held"), &json!("sha256:def"), &json!("Bot"))
    );
    assert_eq!(
        row["metadata"],
        json!({ "team": "night", "permitted_actions": ["trade.execute"], "scopes": ["trade.execute"],
            "financial_scope": { "max_single_trade_usd": 5000, "daily_limit_usd": 20000.5,
                "permitted_venues": ["NYSE"], "leverage_permitted": false } })
    );
    // What was read may be sent back, with more beside it.
    let mut metadata = row["metadata"].clone();
    metadata["note"] = json!("kept");
    let again = patch(json!({ "metadata": metadata, "financial_scope": metadata["financial_scope"],
        "permitted_actions": ["trade.execute"], "operator_org": "Acme" }));
    assert_eq!(again.status, 200, "{}", again.text());
    let row = again.json()["data"].clone();
    assert_eq!(
        (&row["metadata"]["note"], &row["metadata"]["operator_org"]),
        (&json!("kept"), &json!("Acme"))
    );
    for body in [
        json!({ "metadata": { "financial_scope": { "max_single_trade_usd": 5001, "daily_limit_usd": 20000.5,
            "permitted_venues": ["NYSE"] } } }),
        json!({ "financial_scope": { "max_single_trade_usd": 5000, "daily_limit_usd": 20000.5 } }),
        json!({ "permitted_actions": ["trade.execute", "wire.send"] }),
        json!({ "permittedActions": "*" }),
        json!({ "permitted_actions": [] }),
    ] {
        let refused = patch(body.clone());
        assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("scope.fixed")), "{body}");
    }
    // Whoever is suspended certifies nothing, and no word for how it stands lifts that.
    for word in ["active", "pending", "retired", "good"] {
        assert_eq!(patch(json!({ "status": word })).status, 409, "{word}");
    }
    assert_eq!(office.post(&format!("{path}/certify"), &json!({})).status, 409);
    assert_eq!(row["model"], "gpt-4o", "what is not said stays");
}

#[test]
fn what_their_documentation_puts_at_the_top_is_bound_and_not_dropped() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let body = json!({ "name": "doc", "model_hash": "x", "permitted_actions": ["trade.execute"], "operator_org": "Acme & Söhne",
        "financial_scope": { "max_single_trade_usd": 10, "permitted_instruments": ["AAPL"] } });
    let made = office.post("/v1/agents", &body);
    assert_eq!(made.status, 201, "{}", made.text());
    let row = made.json()["data"].clone();
    assert_eq!(row["permitted_actions"], json!(["trade.execute"]));
    assert_eq!(row["metadata"]["operator_org"], "Acme & Söhne");
    let issued = office.post("/v1/agents/doc/certify", &json!({})).json()["data"].clone();
    assert_eq!(issued["certificate_pem"], issued["pem"]);
    for name in ["vc_jwt", "kms_key_arn", "revoked_at", "revocation_reason", "halt_receipt"] {
        assert_eq!(issued.get(name), Some(&Value::Null), "{name}");
    }
    let shown = office.get_as_owner("/v1/agents/doc").json()["data"]["certificates"][0].clone();
    assert_eq!(shown["financial_scope"]["permitted_instruments"], json!(["AAPL"]));
    assert_eq!(shown["permitted_actions"], json!(["trade.execute"]));
    let serial = issued["serial_number"].as_str().unwrap();
    let public = office.get(&format!("/v1/verify/{serial}")).json()["data"]["agent"].clone();
    assert_eq!(
        (&public["operator_org"], &public["financial_scope"]["max_single_trade_usd"]),
        (&json!("Acme & Söhne"), &json!(10))
    );
    let two =
        json!({ "name": "two", "permitted_actions": ["a"], "metadata": { "permitted_actions": ["b"] } });
    assert_eq!(office.post("/v1/agents", &two).status, 400);
    let both = json!({ "name": "two", "permitted_actions": ["a"], "scope": { "actions": ["a"] } });
    assert_eq!(office.post("/v1/agents", &both).status, 400);
    // A scope that has more than their words say is not shown as one with less.
    let more = json!({ "name": "more", "scope": { "actions": ["pay"], "hours": { "zone": "UTC", "slots": ["Mon-Fri 09:00-17:00"] },
        "limit": [{ "for": ["pay"], "currency": "USD", "per_day": "1" }] } });
    let row = office.post("/v1/agents", &more).json()["data"].clone();
    assert_eq!(row["metadata"].get("financial_scope"), None, "{row}");
}

#[test]
fn people_see_a_page_in_which_every_text_is_text() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let title = "</dd><script>alert(1)</script>\u{202e}";
    let made =
        office.post("/v1/agents", &json!({ "name": title, "scope": { "actions": ["read:*"] } })).json();
    let id = made["data"]["id"].as_str().unwrap();
    let issued = office.post(&format!("/v1/agents/{id}/certify"), &json!({})).json();
    let path = format!("/v1/verify/{}", issued["data"]["serial_number"].as_str().unwrap());
    let browser = Request::get(&path).header("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let seen = |verdict: &str| {
        let page = office.send(&browser);
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        assert_eq!(page.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
        let html = page.text();
        assert!(html.contains(verdict), "{html}");
        assert!(
            html.contains("&lt;script&gt;") && !html.contains("<script") && !html.contains('\u{202e}'),
            "{html}"
        );
    };
    seen("is good now");
    office.post(&format!("/v1/agents/{id}/revoke"), &json!({ "reason": title }));
    seen("is not good now");
    // Programs get JSON, whatever else they would take.
    assert!(office.get(&path).json()["data"].is_object());
}

#[test]
fn anybody_can_ask_how_a_certificate_stands() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let id = trader(&office)["id"].as_str().unwrap().to_owned();
    let issued = office.post(&format!("/v1/agents/{id}/certify"), &json!({})).json();
    let serial = issued["data"]["serial_number"].as_str().unwrap().to_owned();
    let colons: String = serial
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair).into_owned())
        .collect::<Vec<_>>()
        .join(":");
    for written in [serial.clone(), serial.to_lowercase(), colons] {
        let found = office.get(&format!("/v1/verify/{written}")).json();
        let row = &found["data"];
        assert_eq!(
            (&row["valid"], &row["status"], &row["certificate_status"]),
            (&json!(true), &json!("active"), &json!("active"))
        );
        assert_eq!((&row["agent"]["id"], &row["agent_id"]), (&json!(id), &json!(id)));
        assert_eq!(row["permitted_actions"], json!(["trade.execute"]));
    }
    let revoked =
        office.post(&format!("/v1/certificates/{serial}/revoke"), &json!({ "reason": "superseded" })).json();
    assert_eq!(
        (&revoked["data"]["status"], &revoked["data"]["reason"]),
        (&json!("revoked"), &json!("superseded"))
    );
    let row = &office.get(&format!("/v1/verify/{serial}")).json()["data"];
    assert_eq!(
        (&row["valid"], &row["status"], &row["revocation_reason"]),
        (&json!(false), &json!("revoked"), &json!("superseded"))
    );
    assert_eq!(office.get("/v1/verify/40112233445566778899AABBCCDDEEFF").status, 404);
    for wrong in ["xyz", "12%00", &"f".repeat(500)] {
        assert_eq!(office.get(&format!("/v1/verify/{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn a_message_is_signed_for_a_good_agent_and_checked_by_anybody() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let id = trader(&office)["id"].as_str().unwrap().to_owned();
    let path = |tail: &str| format!("/v1/agents/{id}/{tail}");
    let payload = json!({ "b": 1, "a": { "z": "ü", "y": [true, null] } });
    let none = office.post(&path("sign"), &json!({ "payload": payload }));
    assert_eq!((none.status, none.json()["code"].as_str()), (422, Some("agent.no_held_key")));
    office.post(&path("certify"), &json!({}));
    let signed = office.post(&path("sign"), &json!({ "payload": payload })).json();
    let signed = &signed["data"];
    let check = |payload: &Value, agent: &str, signature: &Value| {
        let body = json!({ "payload": payload, "signature": signature, "certificateSerial": signed["certificate_serial"], "agentId": agent });
        let reply = office.send(&Request::post("/v1/verify/message", &body));
        reply.json().pointer("/data/valid").and_then(Value::as_bool)
    };
    let other = "00000000-0000-4000-8000-000000000000";
    assert_eq!(check(&payload, &id, &signed["signature"]), Some(true));
    assert_eq!(check(&json!({ "b": 2 }), &id, &signed["signature"]), Some(false));
    assert_eq!(check(&payload, other, &signed["signature"]), Some(false));
    assert_eq!(check(&payload, &id, &json!("bm9uc2Vuc2U=")), Some(false));
    assert_eq!(check(&payload, &id, &json!("%%%")), Some(false));
    office.post(&path("suspend"), &json!({}));
    assert_eq!(check(&payload, &id, &signed["signature"]), Some(false), "held");
    assert_eq!(office.post(&path("sign"), &json!({ "payload": payload })).status, 422);
    for body in [json!({}), json!({ "payload": "text" }), json!({ "payload": {}, "key": 1 })] {
        assert_eq!(office.post(&path("sign"), &body).status, 400, "{body}");
    }
}

#[test]
fn lists_come_in_pages_and_in_the_words_of_each_client() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    for number in 0..5 {
        office
            .post("/v1/agents", &json!({ "name": format!("a{number}"), "scope": { "actions": ["read:*"] } }));
    }
    office.post("/v1/agents/a0/certify", &json!({}));
    office.post("/v1/agents/a1/suspend", &json!({}));
    let (mut names, mut path) = (Vec::new(), "/v1/agents?limit=2".to_owned());
    loop {
        let page = office.get_as_owner(&path).json();
        assert_eq!(page["meta"]["total"], 5);
        names.extend(
            page["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["pagination"]["next_cursor"].as_str() else { break };
        path = format!("/v1/agents?limit=2&before={cursor}");
    }
    assert_eq!(names, ["a4", "a3", "a2", "a1", "a0"]);
    for (status, count) in [("pending", 3), ("active", 1), ("suspended", 1), ("retired", 0)] {
        let found = office.get_as_owner(&format!("/v1/agents?status={status}")).json();
        assert_eq!(
            (found["meta"]["total"].as_u64(), found["data"].as_array().unwrap().len()),
            (Some(count), count as usize),
            "{status}"
        );
    }
    let python =
        Request::get("/v1/agents/a4").header("User-Agent", "kakunin-python/0.1.0").bearer(office.owner());
    assert_eq!(office.send(&python).json()["data"]["status"], "suspended");
    assert_eq!(office.get_as_owner("/v1/agents/a4").json()["data"]["status"], "pending");
    for wrong in ["limit=0", "limit=101", "limit=x", "offset=-1", "status=good", "before=x", "tenant=other"] {
        assert_eq!(office.get_as_owner(&format!("/v1/agents?{wrong}")).status, 400, "{wrong}");
    }
}
