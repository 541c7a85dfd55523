//! Freezing over the network: after the answer no certificate is signed, and everything else goes on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use kakunin_core::certificate::request_pem;
use kakunin_core::key::Signer;
use serde_json::{Value, json};

use super::office::{Office, wait};
use super::robot::{Robot, new_key};
use super::web::{Reply, Request};
use crate::desk::Desk;

const FROZEN: (u16, &str) = (503, "issuance.frozen");

fn code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json().get("code").and_then(Value::as_str).unwrap_or("yes").to_owned())
}

fn is_frozen(reply: &Reply, what: &str) {
    assert_eq!(code(reply), (FROZEN.0, FROZEN.1.to_owned()), "{what}: {}", reply.text());
    assert_eq!(reply.header("retry-after"), "60", "{what}");
    // Why is not said to whoever asks for a certificate.
    assert!(!reply.text().contains("leaked"), "{what}: {}", reply.text());
}

fn csr(key: &Signer) -> Value {
    json!({ "csr": request_pem(key).unwrap() })
}

fn named(office: &Office<'_>, name: &str) {
    let made = office.post("/v1/agents", &json!({ "name": name, "scope": { "actions": ["read:*"] } }));
    assert_eq!(made.status, 201, "{}", made.text());
}

fn token(office: &Office<'_>, name: &str) -> String {
    let made = office.post(&format!("/v1/agents/{name}/tokens"), &json!({ "minutes": 30 }));
    made.json().pointer("/data/token").and_then(Value::as_str).unwrap().to_owned()
}

/// How many certificates were or may have been signed.
fn signed(desk: &Desk) -> (u32, u32) {
    let store = rusqlite::Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    let sql = "SELECT count(tbs), count(der) FROM certificates";
    store.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

fn metric(office: &Office<'_>) -> String {
    let text = office.get("/metrics").text();
    let line = text.lines().find(|line| line.starts_with("kakunin_issuance_frozen "));
    line.unwrap().to_owned()
}

#[test]
fn frozen_nothing_is_signed_in_any_way_and_the_rest_goes_on_also_after_a_restart() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    for name in ["gone", "held", "fresh", "twice"] {
        named(&office, name);
    }
    let robot = Robot::certified(&office, "billing");
    let (first, second) = (token(&office, "fresh"), token(&office, "twice"));
    let (new, again) = (new_key(), new_key());
    let enrol = |office: &Office<'_>, name: &str, token: &str, key: &Signer| {
        office.send(&Request::post(&format!("/v1/agents/{name}/enrol"), &csr(key)).bearer(token))
    };
    assert_eq!(enrol(&office, "twice", &second, &again).status, 201);
    assert_eq!(office.post("/v1/agents/gone/certify", &csr(&new_key())).status, 201);
    assert_eq!(office.post("/v1/agents/gone/revoke", &json!({})).status, 200);
    let hook =
        json!({ "url": "https://receiver.example/", "events": ["issuance.frozen", "issuance.thawed"] });
    let hook = office.post("/v1/webhooks", &hook).json()["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(metric(&office), "kakunin_issuance_frozen 0");
    assert_eq!(office.get("/ready").json()["status"], "ready");

    let revoker = office.key(&json!({ "role": "revoker" }));
    let freeze = Request::post("/v1/freeze", &json!({ "reason": "the issuer's key leaked" }));
    let frozen = office.send(&freeze.clone().bearer(&revoker));
    assert_eq!((frozen.status, &frozen.json()["data"]["changed"]), (200, &json!(true)), "{}", frozen.text());
    // A second order is as good as the first, which stays as it came.
    let since = frozen.json()["data"]["freezes"][0]["since"].clone();
    let again_frozen = office.post("/v1/freeze", &json!({ "reason": "leaked, I say" })).json();
    assert_eq!(again_frozen["data"]["changed"], false);
    assert_eq!(again_frozen["data"]["freezes"][0]["reason"], "the issuer's key leaked");
    assert_eq!(again_frozen["data"]["freezes"][0]["since"], since);
    let before = signed(&desk);

    let refused = |office: &Office<'_>, robot: &Robot| {
        let held_keys = || std::fs::read_dir(desk.path(".kakunin/held")).map_or(0, Iterator::count);
        let keys = held_keys();
        for (what, reply) in [
            ("certify", office.post("/v1/agents/billing/certify", &csr(&new_key()))),
            ("certify a key made here", office.post("/v1/agents/billing/certify", &json!({}))),
            ("enrol", enrol(office, "fresh", &first, &new)),
            // Nor is one of before given out again.
            ("enrol again", enrol(office, "twice", &second, &again)),
            ("enrol by an issuer", office.post("/v1/agents/held/enrol", &csr(&new_key()))),
            ("renew", robot.send(Request::post("/v1/agents/billing/renew", &json!({})))),
            (
                "come back",
                office.post(
                    "/v1/agents/gone/certify",
                    &json!({ "csr": request_pem(&new_key()).unwrap(), "after_revocation": true }),
                ),
            ),
        ] {
            is_frozen(&reply, what);
        }
        assert_eq!(held_keys(), keys, "a key was made for nothing");
        assert_eq!(office.get_as_owner("/v1/agents/gone").json()["data"]["standing"], "revoked");
        assert_eq!(office.get("/ready").status, 200);
        assert_eq!(office.get("/ready").json()["status"], "limited");
        assert!(office.get("/ready").text().contains("issuing is frozen"));
        assert_eq!(metric(office), "kakunin_issuance_frozen 1");
    };
    refused(&office, &robot);
    // Lists, standing, the feed and what agents bring go on.
    let number = || office.get("/v1/crl").header("x-crl-number").parse::<u64>().unwrap();
    let list = number();
    let held = office.post("/v1/agents/billing/suspend", &json!({})).json();
    assert_eq!(held["data"]["epoch"].as_u64().map(|epoch| epoch > 0), Some(true), "{held}");
    assert_eq!(office.post("/v1/agents/billing/resume", &json!({})).status, 200);
    assert!(number() > list);
    let event = json!({ "agent_id": "billing", "action_type": "api_call" });
    assert!(office.post("/v1/events", &event).status < 300);
    assert_eq!(office.post("/v1/feed/rotate", &json!({})).status, 200);

    // Over a death of the service.
    let owner = office.owner().to_owned();
    office.kill();
    let office = Office::open(&desk);
    let get = |path: &str| office.send(&Request::get(path).bearer(&owner));
    let post = |path: &str, body: &Value| office.send(&Request::post(path, body).bearer(&owner));
    is_frozen(&post("/v1/agents/billing/certify", &csr(&new_key())), "after a restart");
    assert_eq!(metric(&office), "kakunin_issuance_frozen 1");
    assert_eq!(signed(&desk), before, "nothing was signed meanwhile");

    // An owner thaws, and what was refused left nothing behind.
    let thaw = Request::new("DELETE", "/v1/freeze?reason=all%20clear");
    assert_eq!(code(&office.send(&thaw.clone().bearer(&revoker))), (403, "access.role".into()));
    let thawed = office.send(&thaw.clone().bearer(&owner)).json();
    assert_eq!((&thawed["data"]["changed"], &thawed["data"]["frozen"]), (&json!(true), &json!(false)));
    assert_eq!(office.send(&thaw.bearer(&owner)).json()["data"]["changed"], false);
    let robot = Robot::at(office.url().strip_prefix("http://").unwrap(), robot.signer, robot.papers);
    assert_eq!(robot.send(Request::post("/v1/agents/billing/renew", &json!({}))).status, 201);
    assert_eq!(enrol(&office, "fresh", &first, &new).status, 201);
    assert_eq!(post("/v1/agents/gone/certify", &json!({ "after_revocation": true })).status, 201);
    assert_eq!(metric(&office), "kakunin_issuance_frozen 0");
    assert_eq!(get("/v1/freeze").json()["data"], json!({ "frozen": false, "freezes": [] }));

    let log = get("/v1/audit-log?event_type=issuance.freeze").json();
    let rows = log["data"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 2, "{log}");
    assert_eq!(rows[1]["description"], "the issuer's key leaked");
    let log = get("/v1/audit-log?event_type=issuance.thaw").json();
    assert_eq!(log["data"][1]["description"], "all clear", "{log}");
    let told = get(&format!("/v1/webhooks/{hook}/deliveries")).json();
    let told: Vec<_> = told["data"].as_array().unwrap().iter().map(|row| row["event_type"].clone()).collect();
    assert_eq!(told, ["issuance.thawed", "issuance.frozen"]);
    assert_eq!(office.end(), Some(0));
    desk.yes(&["audit", "export", "--out", "audit.jsonl"]);
    desk.yes(&["audit", "verify", "audit.jsonl", "--root", ".kakunin/public/ca.pem"]);
}

#[test]
fn of_many_that_are_asked_for_at_once_none_is_signed_after_the_answer() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    for number in 0..8 {
        named(&office, &format!("agent-{number}"));
    }
    let (ends, granted, refused) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (office, ends, granted, refused) = (&office, &ends, &granted, &refused);
        let asking: Vec<_> = (0..8)
            .map(|number| {
                scope.spawn(move || {
                    while !ends.load(Ordering::SeqCst) {
                        let path = format!("/v1/agents/agent-{number}/certify");
                        match office.post(&path, &csr(&new_key())) {
                            reply if reply.status == 201 => drop(granted.fetch_add(1, Ordering::SeqCst)),
                            reply => {
                                is_frozen(&reply, "certify");
                                refused.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                    }
                })
            })
            .collect();
        wait("certificates are issued", || (granted.load(Ordering::SeqCst) > 16).then_some(()));
        assert_eq!(office.post("/v1/freeze", &json!({ "reason": "leaked" })).status, 200);
        let at_the_answer = signed(&desk);
        // They go on asking, each of them several times.
        wait("others are refused", || (refused.load(Ordering::SeqCst) > 32).then_some(()));
        ends.store(true, Ordering::SeqCst);
        asking.into_iter().for_each(|asks| asks.join().unwrap());
        assert_eq!(signed(&desk), at_the_answer, "signed after the answer");
        // What was signed before may have been told after it, and each of them was.
        assert_eq!(usize::try_from(at_the_answer.1).unwrap(), granted.load(Ordering::SeqCst));
    });
}

#[test]
fn a_tenant_freezes_itself_and_the_operator_freezes_whom_it_likes() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let founded = office.post("/v1/tenants", &json!({ "name": "acme" })).json();
    let acme = founded["data"]["owner_key"].as_str().unwrap().to_owned();
    named(&office, "ours");
    let agent = json!({ "name": "theirs", "scope": { "actions": ["read:*"] } });
    let made = office.send(&Request::post("/v1/agents", &agent).bearer(&acme));
    assert_eq!(made.status, 201);
    let id = made.json()["data"]["id"].clone();
    let certify = || {
        let ours = office.post("/v1/agents/ours/certify", &csr(&new_key())).status;
        let theirs = Request::post("/v1/agents/theirs/certify", &csr(&new_key())).bearer(&acme);
        (ours, office.send(&theirs).status)
    };
    let give = |key: &str, body: &Value| office.send(&Request::post("/v1/freeze", body).bearer(key));
    let take = |key: &str, query: &str| {
        office.send(&Request::new("DELETE", &format!("/v1/freeze{query}")).bearer(key))
    };
    assert_eq!(certify(), (201, 201));
    // Its own, and nobody else's.
    assert_eq!(give(&acme, &json!({})).status, 200);
    assert_eq!(certify(), (201, 503));
    assert_eq!(office.get("/ready").json()["status"], "ready");
    assert!(office.get("/ready").text().contains("issuing for a tenant is frozen"));
    assert_eq!(metric(&office), "kakunin_issuance_frozen 1");
    for (what, body) in
        [("everyone", json!({ "everyone": true })), ("another", json!({ "tenant": "default" }))]
    {
        assert_eq!(code(&give(&acme, &body)), (403, "access.operator".into()), "{what}");
    }
    assert_eq!(code(&take(&acme, "?everyone=true")), (403, "access.operator".into()));
    assert_eq!(take(&acme, "").json()["data"]["changed"], true);
    assert_eq!(certify(), (201, 201));
    // What the operator froze only the operator thaws, and why is said to the tenant if it is about it.
    assert_eq!(give(office.owner(), &json!({ "tenant": "acme", "reason": "unpaid" })).status, 200);
    assert_eq!(certify(), (201, 503));
    assert_eq!(code(&take(&acme, "")), (403, "access.operator".into()));
    let seen = office.send(&Request::get("/v1/freeze").bearer(&acme)).json();
    assert_eq!(seen["data"]["freezes"][0]["reason"], "unpaid");
    // Its own stands beside it, whichever came first, and is lifted alone.
    assert_eq!(give(&acme, &json!({ "reason": "mine" })).json()["data"]["changed"], true);
    let thawed = take(&acme, "").json()["data"].clone();
    assert_eq!((&thawed["changed"], &thawed["frozen"]), (&json!(true), &json!(true)));
    assert_eq!(code(&take(&acme, "")), (403, "access.operator".into()));
    assert_eq!(certify(), (201, 503));
    assert_eq!(take(office.owner(), "?tenant=acme").json()["data"]["changed"], true);
    assert_eq!(certify(), (201, 201));
    assert_eq!(give(&acme, &json!({ "reason": "mine" })).status, 200);
    let order = give(office.owner(), &json!({ "tenant": "acme", "reason": "a rogue owner" })).json();
    assert_eq!(order["data"]["changed"], true, "the tenant's own does not swallow it");
    assert_eq!(give(office.owner(), &json!({ "tenant": "acme" })).json()["data"]["changed"], false);
    let reasons: Vec<_> =
        order["data"]["freezes"].as_array().unwrap().iter().map(|row| &row["reason"]).collect();
    assert_eq!(reasons, ["a rogue owner", "mine"]);
    assert_eq!(take(&acme, "").json()["data"]["frozen"], true);
    assert_eq!(certify(), (201, 503));
    assert_eq!(code(&take(&acme, "")), (403, "access.operator".into()));
    // The operator's is lifted before the tenant's, by an order each.
    assert_eq!(give(&acme, &json!({ "reason": "mine" })).status, 200);
    assert_eq!(take(office.owner(), "?tenant=acme").json()["data"]["freezes"][0]["reason"], "mine");
    assert_eq!(certify(), (201, 503));
    assert_eq!(take(office.owner(), "?tenant=acme").json()["data"]["changed"], true);
    assert_eq!(take(office.owner(), "?tenant=acme").json()["data"]["changed"], false);
    assert_eq!(certify(), (201, 201));
    // Everyone, a tenant that is not there yet among them.
    assert_eq!(give(office.owner(), &json!({ "everyone": true, "reason": "root in doubt" })).status, 200);
    assert_eq!(certify(), (503, 503));
    is_frozen(&office.post("/v1/tenants", &json!({ "name": "late" })), "a new tenant");
    assert_eq!(metric(&office), "kakunin_issuance_frozen 2");
    let seen = office.send(&Request::get("/v1/freeze").bearer(&acme)).json();
    assert_eq!(
        (&seen["data"]["frozen"], &seen["data"]["freezes"][0]["reason"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(take(&acme, "").json()["data"]["frozen"], true);
    // One that is frozen twice is frozen until both are thawed.
    assert_eq!(give(office.owner(), &json!({})).status, 200);
    assert_eq!(take(office.owner(), "?everyone=true").status, 200);
    assert_eq!(certify(), (503, 201));
    assert_eq!(take(office.owner(), "").json()["data"]["frozen"], false);
    assert_eq!(certify(), (201, 201));

    let wrong =
        [json!({ "everyone": true, "tenant": "acme" }), json!({ "everyone": "yes" }), json!({ "who": 1 })];
    for body in wrong {
        assert_eq!(give(office.owner(), &body).status, 400, "{body}");
    }
    assert_eq!(give(office.owner(), &json!({ "tenant": "nobody" })).status, 404);
    for query in ["?who=1", "?everyone=yes", "?everyone=true&tenant=acme"] {
        assert_eq!(take(office.owner(), query).status, 400, "{query}");
    }
    // A key for some agents stops nobody else's.
    let order = json!({ "role": "revoker", "agents": [id] });
    let bound = office.send(&Request::post("/v1/keys", &order).bearer(&acme)).json();
    let bound = bound["data"]["key"].as_str().unwrap();
    assert_eq!(code(&give(bound, &json!({}))), (403, "access.bound".into()));
    assert_eq!(code(&office.send(&Request::get("/v1/freeze").bearer(bound))), (403, "access.bound".into()));
}

#[test]
fn the_command_freezes_the_home_and_a_service() {
    let desk = Desk::with_billing();
    desk.yes(&["tenant", "create", "acme"]);
    let frozen = desk.yes(&["freeze", "--reason", "wrong scopes"]);
    assert_eq!((&frozen["changed"], &frozen["freezes"][0]["everyone"]), (&json!(true), &json!(true)));
    assert_eq!(desk.yes(&["freeze", "--reason", "again"])["changed"], false);
    for arguments in [
        &["agent", "certify", "billing", "--out", "elsewhere"][..],
        &["agent", "renew", "billing"],
        &["tenant", "create", "late"],
    ] {
        let refused = desk.answer(arguments, 1);
        let text = refused["error"].as_str().unwrap();
        assert!(text.contains("is frozen since") && text.contains("kakunin thaw"), "{arguments:?}: {text}");
    }
    assert!(!desk.path("elsewhere/agent.pem").exists());
    // What puts things right goes on: lists, standing, a new issuing authority.
    desk.yes(&["crl", "--out", "lists.pem"]);
    desk.yes(&["suspend", "billing", "--reason", "drift"]);
    desk.yes(&["resume", "billing", "--reason", "looked at"]);
    desk.yes(&["rotate"]);
    desk.answer(&["agent", "renew", "billing"], 1);
    desk.yes(&["freeze", "--tenant", "acme", "--reason", "theirs"]);
    desk.answer(&["freeze", "--tenant", "acme", "--everyone", "--reason", "x"], 64);
    desk.answer(&["freeze", "--tenant", "nobody", "--reason", "x"], 1);
    let thawed = desk.yes(&["thaw", "--reason", "all clear"]);
    assert_eq!(
        (thawed["freezes"].as_array().unwrap().len(), &thawed["freezes"][0]["tenant"]),
        (1, &json!("acme"))
    );
    desk.yes(&["agent", "renew", "billing"]);
    desk.yes(&["tenant", "create", "late"]);

    let office = Office::open(&desk);
    let give = |arguments: &[&str], code: i32| -> Value {
        let arguments = [arguments, &["--url", office.url(), "--json"]].concat();
        let output = desk.command(&arguments).env("KAKUNIN_TOKEN", office.owner()).output().unwrap();
        let (out, text) = crate::desk::texts(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        serde_json::from_str(&out).unwrap_or_default()
    };
    let reason = "100 % sure & done: ünsafe?#";
    assert_eq!(give(&["freeze", "--reason", reason], 0)["freezes"][1]["reason"], reason);
    is_frozen(&office.post("/v1/agents/billing/certify", &json!({})), "certify");
    assert_eq!(give(&["freeze", "--everyone", "--reason", "all"], 0)["freezes"].as_array().unwrap().len(), 3);
    assert_eq!(give(&["thaw", "--everyone", "--reason", reason], 0)["changed"], true);
    assert_eq!(give(&["thaw", "--reason", reason], 0)["frozen"], false);
    let log = office.get_as_owner("/v1/audit-log?event_type=issuance.thaw").json();
    assert_eq!(log["data"][0]["description"], reason);
    give(&["thaw", "--tenant", "acme", "--reason", "x"], 64);
}
