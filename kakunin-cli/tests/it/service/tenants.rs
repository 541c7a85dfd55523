//! What is of another tenant, on every route of the document.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::office::Office;
use super::web::{Reply, Request};
use crate::desk::Desk;

/// What a reply says, but for the id of its request.
fn said(reply: &Reply) -> (u16, String) {
    let id = reply.header("x-request-id");
    (reply.status, reply.text().replace(id, "ID"))
}

#[test]
fn what_is_of_another_tenant_is_what_does_not_exist_on_every_route() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    for name in ["ours", "theirs"] {
        let scope = json!({ "actions": ["read:*"] });
        assert_eq!(office.post("/v1/agents", &json!({ "name": name, "scope": scope })).status, 201);
        assert_eq!(office.post(&format!("/v1/agents/{name}/certify"), &json!({})).status, 201);
    }
    let foreign = office.key(&json!({ "role": "owner" }));
    let agent = office.get_as_owner("/v1/agents/theirs").json()["data"].clone();
    let id = agent["id"].as_str().unwrap().to_owned();
    let serial = agent["certificates"][0]["serial_number"].as_str().unwrap().to_owned();
    let prefix = foreign.split('_').nth(2).unwrap().to_owned();
    let order = json!({ "url": "https://receiver.example/", "events": ["agent.revoked"] });
    let hook = office.post("/v1/webhooks", &order).json()["data"]["id"].as_str().unwrap().to_owned();
    let owner = office.owner().to_owned();
    office.kill();

    // They become another tenant's, with all that is of them.
    let records = Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    records.pragma_update(None, "foreign_keys", false).unwrap();
    records.execute_batch("INSERT INTO tenants (id, created) VALUES ('other', 0)").unwrap();
    records.execute("UPDATE api_keys SET tenant = 'other' WHERE prefix = ?1", [&prefix]).unwrap();
    records.execute_batch("UPDATE agents SET tenant = 'other' WHERE name = 'theirs'").unwrap();
    records.execute_batch("UPDATE webhooks SET tenant = 'other'").unwrap();
    for table in ["certificates", "events", "directories", "receipts", "tokens"] {
        let moves = format!(
            "UPDATE {table} SET tenant = 'other' WHERE agent = (SELECT id FROM agents WHERE name = 'theirs')"
        );
        records.execute(&moves, []).unwrap();
    }
    drop(records);

    let mut office = Office::open(&desk);
    office.ready.as_object_mut().unwrap().insert("owner_key".into(), owner.into());
    let document = office.get("/v1/openapi.json").json();
    let (mut missing, mut keyed) = (0, 0);
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in
            operations.as_object().unwrap().iter().filter(|(name, _)| *name != "servers")
        {
            if operation["security"] == json!([]) {
                continue;
            }
            let ask = |id: &str, name: &str, key: &str| {
                let filled = path.replace("{id}", id).replace("{prefix}", name);
                // What each route has to have before it looks for anybody.
                let body = match path.rsplit('/').next() {
                    Some("sign") => json!({ "payload": {} }),
                    Some("revoke" | "halt" | "suspend" | "resume") => json!({ "reason": "x" }),
                    Some("enrol") => json!({ "csr": "x" }),
                    _ => json!({}),
                };
                office.send(
                    &Request {
                        method: method.to_uppercase(),
                        ..Request::post(&format!("/v1{filled}"), &body)
                    }
                    .bearer(key),
                )
            };
            // Their key, on every route with keys: here it is nobody's.
            let reply = ask("ours", "aaaaaaaaaaaa", &foreign);
            assert_eq!(
                (reply.status, reply.json()["code"].as_str()),
                (401, Some("access.key")),
                "{method} {path}"
            );
            keyed += 1;
            if !path.contains('{') {
                continue;
            }
            // Their agents, certificates and keys, to our owner: what does not exist.
            let none = "00000000000000000000000000000001";
            let pairs = match path.as_str() {
                "/certificates/{id}/revoke" => vec![(serial.as_str(), "", none, "")],
                path if path.starts_with("/webhooks/") => {
                    vec![(hook.as_str(), "", "wh_00000000000000000000000000000000", "")]
                }
                "/keys/{prefix}" => vec![("", prefix.as_str(), "", "aaaaaaaaaaaa")],
                _ => vec![(id.as_str(), "", none, ""), ("theirs", "", "nobody", "")],
            };
            for (id, name, no_id, no_name) in pairs {
                let (theirs, nobodys) = (ask(id, name, office.owner()), ask(no_id, no_name, office.owner()));
                assert_eq!(said(&theirs), said(&nobodys), "{method} {path}");
                assert!(theirs.status >= 400, "{method} {path}: {}", theirs.text());
                missing += u32::from(theirs.status == 404);
            }
        }
    }
    assert!(missing >= 20 && keyed >= 16, "{missing} {keyed}");
    // Nor are they in what is listed.
    for (path, theirs) in
        [("/v1/agents", id.as_str()), ("/v1/keys", prefix.as_str()), ("/v1/webhooks", hook.as_str())]
    {
        let listed = office.get_as_owner(path).text();
        assert!(!listed.contains(theirs), "{path}: {listed}");
    }
    assert_eq!(office.get_as_owner("/v1/agents").json()["meta"]["total"], 1);
    office.kill();
    let records = Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    let standing: String =
        records.query_row("SELECT standing FROM agents WHERE name = 'theirs'", [], |row| row.get(0)).unwrap();
    assert_eq!(Value::from(standing), "good", "nothing that was asked had an effect");
}
