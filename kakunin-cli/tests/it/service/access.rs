//! Whose route is whose: every route of the document, every role, and keys that are no good.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::office::Office;
use super::robot::Robot;
use super::web::Request;
use crate::desk::Desk;

/// The roles besides the owner's that may use a route; `None` is everyone, without a key. An `agent` comes with a proof of
/// its own, and what is its alone is not the owner's either.
const TABLE: &[(&str, &str, Option<&[&str]>)] = &[
    ("get", "/health", None),
    ("get", "/ready", None),
    ("get", "/metrics", None),
    ("get", "/ca", None),
    ("get", "/ca/chain", None),
    ("get", "/crl", None),
    ("get", "/crl/all", None),
    ("get", "/log", None),
    ("get", "/log/{id}/checkpoint", None),
    ("get", "/log/{id}/tile/{path}", None),
    ("get", "/crl/delta", None),
    ("get", "/feed", None),
    ("get", "/feed/poll", None),
    ("get", "/feed/metrics", Some(&["auditor"])),
    ("post", "/feed/rotate", Some(&[])),
    ("post", "/feed/ack", Some(&["ingest", "agent"])),
    ("get", "/openapi.json", None),
    ("get", "/agents", Some(&["issuer", "revoker", "auditor", "gate"])),
    ("post", "/agents", Some(&["issuer"])),
    ("get", "/agents/{id}", Some(&["issuer", "revoker", "auditor", "gate"])),
    ("patch", "/agents/{id}", Some(&["issuer"])),
    ("post", "/agents/{id}/sign", Some(&["issuer"])),
    ("post", "/certificates/{id}/revoke", Some(&["revoker"])),
    ("get", "/verify/{serial}", None),
    ("post", "/verify/message", None),
    ("post", "/agents/{id}/certify", Some(&["issuer"])),
    ("post", "/agents/{id}/renew", Some(&["agent"])),
    ("post", "/agents/{id}/tokens", Some(&["issuer"])),
    ("post", "/tokens/oidc", None),
    ("post", "/agents/{id}/enrol", Some(&["issuer"])),
    ("post", "/agents/{id}/suspend", Some(&["revoker"])),
    ("post", "/agents/{id}/resume", Some(&["revoker"])),
    ("post", "/agents/{id}/revoke", Some(&["revoker"])),
    ("post", "/agents/{id}/halt", Some(&["revoker"])),
    ("get", "/freeze", Some(&["issuer", "revoker", "auditor"])),
    ("post", "/freeze", Some(&["revoker"])),
    ("delete", "/freeze", Some(&[])),
    ("post", "/sweep", Some(&["revoker"])),
    ("get", "/tenants", Some(&[])),
    ("post", "/tenants", Some(&[])),
    ("get", "/keys", Some(&[])),
    ("post", "/keys", Some(&[])),
    ("delete", "/keys/{prefix}", Some(&[])),
    ("get", "/webhooks", Some(&["auditor"])),
    ("post", "/webhooks", Some(&[])),
    ("patch", "/webhooks/{id}", Some(&[])),
    ("delete", "/webhooks/{id}", Some(&[])),
    ("post", "/webhooks/{id}/rotate", Some(&[])),
    ("post", "/webhooks/{id}/test", Some(&[])),
    ("get", "/webhooks/{id}/deliveries", Some(&["auditor"])),
    ("get", "/alert-channels", Some(&[])),
    ("post", "/alert-channels", Some(&[])),
    ("patch", "/alert-channels/{id}", Some(&[])),
    ("delete", "/alert-channels/{id}", Some(&[])),
    ("get", "/subscriptions", Some(&[])),
    ("post", "/subscriptions", Some(&[])),
    ("get", "/subscriptions/{id}", Some(&[])),
    ("delete", "/subscriptions/{id}", Some(&[])),
    ("get", "/notifications", Some(&[])),
    ("post", "/notifications", Some(&[])),
    ("get", "/audit-log", Some(&["auditor"])),
    ("get", "/audit-log/export", Some(&["auditor"])),
    ("post", "/receipts", Some(&["ingest", "agent"])),
    ("post", "/checkpoints", Some(&["ingest", "agent"])),
    ("get", "/checkpoints", Some(&["auditor"])),
    ("get", "/checkpoints/contradictions", Some(&["auditor"])),
    ("put", "/agents/{id}/log", Some(&["issuer"])),
    ("post", "/events", Some(&["ingest", "agent"])),
    ("get", "/events", Some(&["issuer", "revoker", "auditor", "gate"])),
    ("post", "/chains", Some(&["ingest"])),
    ("get", "/chains", Some(&["issuer", "revoker", "auditor", "gate"])),
    ("get", "/chains/{id}", Some(&["issuer", "revoker", "auditor", "gate"])),
    ("get", "/chains/{id}/bundle", Some(&["auditor"])),
    ("post", "/chains/{id}/close", Some(&["ingest"])),
    ("get", "/verify/chain/{id}", None),
    ("get", "/agents/{id}/forensics", Some(&["auditor"])),
    ("get", "/agents/{id}/risk", Some(&["issuer", "revoker", "auditor", "gate"])),
    ("get", "/agents/{id}/credential", Some(&["issuer", "revoker", "auditor", "gate", "ingest"])),
    ("get", "/agents/{id}/compliance-report", Some(&["auditor"])),
    ("post", "/agents/{id}/content-risk", Some(&["ingest", "agent"])),
    ("get", "/agents/{id}/risk/events", Some(&["issuer", "revoker", "auditor", "gate"])),
    ("get", "/agents/{id}/risk/baseline", Some(&["issuer", "revoker", "auditor", "gate"])),
    ("post", "/agents/{id}/risk/rebaseline", Some(&["revoker"])),
    ("get", "/agents/{id}/risk-policy", Some(&["issuer", "revoker", "auditor", "gate"])),
    ("put", "/agents/{id}/risk-policy", Some(&[])),
    ("delete", "/agents/{id}/risk-policy", Some(&[])),
    ("post", "/agents/{id}/delegation", Some(&["issuer", "revoker", "auditor", "gate", "ingest"])),
    ("post", "/delegation/verify", Some(&["issuer", "revoker", "auditor", "gate", "ingest"])),
    ("post", "/integrations/github/gate", Some(&["revoker", "gate"])),
    ("get", "/integrations/otlp", Some(&["issuer", "revoker", "auditor", "gate", "ingest"])),
    ("post", "/integrations/otlp", Some(&["issuer", "revoker", "auditor", "gate", "ingest"])),
    ("delete", "/integrations/otlp", Some(&["issuer", "revoker", "auditor", "gate", "ingest"])),
    ("post", "/integrations/otlp/test", Some(&["issuer", "revoker", "auditor", "gate", "ingest"])),
    ("post", "/chat", Some(&["issuer", "revoker", "auditor", "gate", "ingest"])),
    ("post", "/crl/generate", Some(&["issuer", "revoker", "auditor", "gate", "ingest"])),
    ("get", "/agents/{id}/events/stream", Some(&["issuer", "revoker", "auditor", "gate"])),
    ("get", "/events/stream", Some(&["issuer", "revoker", "auditor", "gate"])),
    ("post", "/reports/compliance", Some(&["auditor"])),
    ("get", "/reports/{id}", Some(&["auditor"])),
    ("get", "/reports/{id}/pdf", Some(&["auditor"])),
];

const ROLES: [&str; 6] = ["owner", "issuer", "revoker", "ingest", "auditor", "gate"];

/// The method and path of a route of the table, with names that nothing has.
fn request(document: &Value, method: &str, path: &str) -> Request {
    let top = document.pointer(&format!("/paths/{}/servers", path.replace('/', "~1"))).is_some();
    let path = path
        .replace("{id}", "nobody")
        .replace("{prefix}", "aaaaaaaaaaaa")
        .replace("{serial}", "00")
        .replace("{path}", "0/000");
    // A stream that begins has no end; one that is asked for wrongly does not begin.
    let path = if path.ends_with("/stream") { format!("{path}?since=never") } else { path };
    Request::new(&method.to_uppercase(), &if top { path } else { format!("/v1{path}") })
}

#[test]
fn every_route_is_open_to_its_roles_and_to_nobody_else() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let document = office.get("/v1/openapi.json").json();
    let mut routes = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys().filter(|name| *name != "servers") {
            routes.insert((method.clone(), path.clone()));
        }
    }
    let table: BTreeSet<_> =
        TABLE.iter().map(|(method, path, _)| (method.to_string(), path.to_string())).collect();
    assert_eq!(routes, table, "a route without a row, or a row without a route");

    let robot = Robot::certified(&office, "billing");
    let keys: Vec<(&str, String)> =
        ROLES.iter().map(|role| (*role, office.key(&json!({ "role": role })))).collect();
    let wrong = [
        "",
        "Bearer",
        "Bearer kak_live_",
        "Basic b3duZXI6b3duZXI=",
        &format!("Bearer {}", office.owner().replace("kak_live", "kak_test")),
        &format!("Bearer {}0", office.owner()),
        // The right prefix with another secret, and the other way round.
        &format!("Bearer {}_{}", office.owner().rsplit_once('_').unwrap().0, "0".repeat(64)),
        &format!("Bearer kak_live_aaaaaaaaaaaa_{}", office.owner().rsplit_once('_').unwrap().1),
    ];
    for (method, path, roles) in TABLE {
        let plain = request(&document, method, path);
        let Some(roles) = roles else {
            let open = office.send(&plain).status;
            assert!(
                match path.split('/').nth(1) {
                    Some("verify") => open == 404 || open == 400,
                    Some("feed") => open == 400,
                    // No pipeline is believed here.
                    Some("tokens") => open == 404,
                    // No log is served here.
                    Some("log") if *path != "/log" => open == 404,
                    _ => open == 200,
                },
                "{path} {open}"
            );
            continue;
        };
        for (role, key) in &keys {
            let reply = office.send(&plain.clone().bearer(key));
            let may = roles.contains(role) || (*role == "owner" && *roles != ["agent"]);
            let refused = reply.status == 403 && reply.json()["code"] == "access.role";
            assert_eq!(refused, !may, "{role} {method} {path}: {} {}", reply.status, reply.text());
            assert_ne!(reply.status, 401, "{role} {method} {path}");
        }
        let reply = robot.send(plain.clone());
        let stranger = (reply.status, reply.json()["code"].as_str()) == (401, Some("access.key"));
        assert_eq!(stranger, !roles.contains(&"agent"), "agent {method} {path}: {}", reply.text());
        assert!(stranger || ![401, 403].contains(&reply.status), "agent {method} {path}: {}", reply.text());
        for header in wrong {
            let reply = office.send(&plain.clone().header("Authorization", header));
            assert_eq!(
                (reply.status, reply.json()["code"].as_str()),
                (401, Some("access.key")),
                "{header} {path}"
            );
            assert_eq!(reply.header("www-authenticate"), "Bearer");
        }
        let twice = plain.clone().bearer(office.owner()).bearer(office.owner());
        assert_eq!(office.send(&twice).status, 401, "{path}");
    }
    // Nobody's key is in the log or in the records.
    for (_, key) in &keys {
        let secret = key.rsplit_once('_').unwrap().1;
        assert!(!office.log().contains(secret));
        for file in ["store.sqlite", "store.sqlite-wal"] {
            let bytes = std::fs::read(desk.path(".kakunin").join(file)).unwrap_or_default();
            assert!(!bytes.windows(secret.len()).any(|piece| piece == secret.as_bytes()), "{file}");
        }
    }
}

#[test]
fn the_document_is_the_one_in_docs() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let served = format!("{:#}\n", office.get("/v1/openapi.json").json());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    if std::env::var_os("KAKUNIN_WRITE").is_some() {
        std::fs::write(path, &served).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(served == kept, "docs/openapi.json is another one; run this test with KAKUNIN_WRITE=1");
}

#[test]
fn a_key_for_one_agent_finds_no_other_one() {
    let desk = Desk::with_billing();
    desk.yes(&["agent", "create", "other", "--scope", "scope.toml"]);
    let office = Office::open(&desk);
    let id = |name: &str| office.get_as_owner(&format!("/v1/agents/{name}")).json()["data"]["id"].clone();
    for role in ["owner", "issuer", "revoker"] {
        let key = office.key(&json!({ "role": role, "agents": [id("billing")] }));
        let about =
            [("GET", ""), ("POST", "/certify"), ("POST", "/suspend"), ("POST", "/resume"), ("POST", "/halt")];
        for (method, tail) in about {
            let ask = |who: &str| {
                office.send(&Request::new(method, &format!("/v1/agents/{who}{tail}")).bearer(&key))
            };
            let (foreign, missing) = (ask("other"), ask("nobody"));
            if foreign.json()["code"] == "access.role" {
                continue;
            }
            assert_eq!((foreign.status, missing.status), (404, 404), "{role} {method} {tail}");
            let same = |reply: &super::web::Reply| {
                let mut body = reply.json();
                body["request_id"] = Value::Null;
                body
            };
            assert_eq!(same(&foreign), same(&missing));
        }
    }
    // Nor does it make itself a key for all of them, or leave an authority without an owner.
    let bound = office.key(&json!({ "role": "owner", "agents": [id("billing")] }));
    let prefix = office.owner().split('_').nth(2).unwrap();
    for request in [
        Request::get("/v1/keys"),
        Request::post("/v1/keys", &json!({ "role": "owner" })),
        Request::new("DELETE", &format!("/v1/keys/{prefix}")),
        Request::post("/v1/agents", &json!({ "name": "third", "scope": { "actions": ["read:*"] } })),
    ] {
        let refused = office.send(&request.bearer(&bound));
        assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("access.bound")));
    }
    let own = Request::new("DELETE", &format!("/v1/keys/{prefix}")).bearer(office.owner());
    assert_eq!(office.send(&own).json()["code"], "key.last_owner");
    let key = office.key(&json!({ "role": "auditor", "agents": [id("billing")] }));
    let listed = office.send(&Request::get("/v1/agents").bearer(&key)).json();
    assert_eq!((listed["meta"]["total"].as_u64(), &listed["data"][0]["name"]), (Some(1), &json!("billing")));
    assert_eq!(office.send(&Request::get("/v1/audit-log").bearer(&key)).status, 403);
    assert_eq!(office.get_as_owner("/v1/agents/other").json()["data"]["standing"], "good");
}

#[test]
fn a_revoked_or_ended_key_is_no_key_at_once_and_the_last_owner_stays() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let key = office.key(&json!({ "role": "auditor" }));
    let ask = || office.send(&Request::get("/v1/agents").bearer(&key)).status;
    assert_eq!(ask(), 200);
    let revoke = |key: &str| {
        let prefix = key.split('_').nth(2).unwrap();
        office.send(&Request::new("DELETE", &format!("/v1/keys/{prefix}")).bearer(office.owner()))
    };
    assert_eq!(revoke(&key).status, 200);
    assert_eq!(ask(), 401);
    let refused = revoke(office.owner());
    assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("key.last_owner")));
    let ended = office.key(&json!({ "role": "owner", "expires_at": "2020-01-01T00:00:00Z" }));
    assert_eq!(office.send(&Request::get("/v1/agents").bearer(&ended)).status, 401);
    assert_eq!(revoke(office.owner()).status, 409, "an ended owner's key is none");
    let another = office.key(&json!({ "role": "owner" }));
    assert_eq!(revoke(office.owner()).status, 200);
    assert_eq!(office.send(&Request::get("/v1/agents").bearer(office.owner())).status, 401);
    assert_eq!(office.send(&Request::get("/v1/keys").bearer(&another)).status, 200);
}

#[test]
fn a_key_that_is_revoked_while_its_body_comes_makes_no_other_one() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let count = || office.get_as_owner("/v1/keys").json()["data"].as_array().unwrap().len();
    for repeat in ["", "Idempotency-Key: once\r\n"] {
        let thief = office.key(&json!({ "role": "owner" }));
        let prefix = thief.split('_').nth(2).unwrap();
        let before = count();
        let body = json!({ "role": "owner" }).to_string();
        let address = office.url().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let length = body.len();
        let head = format!(
            "POST /v1/keys HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {thief}\r\n{repeat}Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The gate let it in: the body is asked for.
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).unwrap();
        assert!(asked.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&asked));
        let path = format!("/v1/keys/{prefix}");
        let revoked = office.send(&Request::new("DELETE", &path).bearer(office.owner()));
        assert_eq!(revoked.status, 200, "{}", revoked.text());
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(answer.contains("access.key"), "{answer}");
        assert_eq!(count(), before);
    }
}
