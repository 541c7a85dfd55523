//! Requests that come twice: one effect and one answer, also when the service is killed in between.

use std::thread;
use std::time::Duration;

use kakunin_authority::access::TenantId;
use kakunin_authority::store::{Begun, Place};
use kakunin_core::certificate::request_pem;
use kakunin_core::digest::Digest;
use kakunin_core::key::Signer;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::office::Office;
use super::robot::new_key;
use super::web::{Reply, Request};
use crate::desk::Desk;

fn create(name: &str) -> Request {
    Request::post("/v1/agents", &json!({ "name": name, "scope": { "actions": ["read:*"] } }))
}

fn certify(name: &str) -> Request {
    Request::post(&format!("/v1/agents/{name}/certify"), &json!({}))
}

impl Office<'_> {
    fn once(&self, key: &str, request: Request) -> Reply {
        self.send(&request.bearer(self.owner()).header("Idempotency-Key", key))
    }

    fn agents(&self) -> u64 {
        self.get_as_owner("/v1/agents").json().pointer("/meta/total").and_then(Value::as_u64).unwrap()
    }

    fn certificates(&self, name: &str) -> usize {
        let agent = self.get_as_owner(&format!("/v1/agents/{name}")).json();
        agent.pointer("/data/certificates").and_then(Value::as_array).map_or(0, Vec::len)
    }
}

fn code(reply: &Reply) -> (u16, Option<String>) {
    (reply.status, reply.json().get("code").and_then(Value::as_str).map(str::to_owned))
}

/// Opens the office again with the owner's key of its first start.
fn again<'a>(desk: &'a Desk, owner: &str) -> Office<'a> {
    let mut office = Office::open(desk);
    office.ready.as_object_mut().unwrap().insert("owner_key".into(), owner.into());
    office
}

/// Changes a table that may only grow.
fn without_guards(records: &Connection, table: &str, change: impl FnOnce(&Connection)) {
    let mut guards = records
        .prepare("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?1")
        .unwrap();
    let rows = guards.query_map([table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
    let rows: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
    for (name, _) in &rows {
        records.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    change(records);
    for (_, text) in &rows {
        records.execute_batch(text).unwrap();
    }
}

#[test]
fn a_request_that_comes_twice_has_one_effect_and_one_answer() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let first = office.once("a", create("billing"));
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""));
    let second = office.once("a", create("billing"));
    assert_eq!((second.status, second.header("idempotency-replayed")), (201, "true"));
    assert_eq!(first.body, second.body);
    // Both prefixes are one service.
    let mut other = create("billing");
    other.path = other.path.replace("/v1", "/api/v1");
    assert_eq!(office.once("a", other).body, first.body);
    assert_eq!(office.agents(), 1);
    for request in [create("other"), certify("billing")] {
        assert_eq!(code(&office.once("a", request)), (409, Some("idempotency.reused".into())));
    }
    let granted = office.once("b", certify("billing"));
    assert_eq!((granted.status, office.once("b", certify("billing")).body), (201, granted.body));
    assert_eq!(office.certificates("billing"), 1);
    // Another sender's key of the same text is another key, and shows nobody's answer.
    let issuer = office.key(&json!({ "role": "issuer" }));
    let theirs = office.send(&certify("billing").bearer(&issuer).header("Idempotency-Key", "b"));
    assert_eq!((theirs.status, theirs.header("idempotency-replayed")), (201, ""));
    assert_eq!(office.certificates("billing"), 2);
    // A no did nothing, is not kept, and is said anew.
    assert_eq!(code(&office.once("c", create("billing"))), (409, Some("agent.name_taken".into())));
    assert_eq!(code(&office.once("c", create("billing"))), (409, Some("agent.name_taken".into())));
    let spaces = "a b";
    let long = "x".repeat(129);
    for wrong in ["", spaces, "\u{e9}", &long] {
        assert_eq!(
            code(&office.once(wrong, create("third"))),
            (400, Some("request.invalid".into())),
            "{wrong}"
        );
    }
    let twice = create("third").bearer(office.owner()).header("Idempotency-Key", "d");
    assert_eq!(office.send(&twice.header("Idempotency-Key", "d")).status, 400);
    assert_eq!(office.agents(), 1);
    // After a restart too.
    let owner = office.owner().to_owned();
    office.kill();
    let office = again(&desk, &owner);
    let (mut first, mut later) = (first.json(), office.once("a", create("billing")).json());
    assert_eq!((&first["data"]["status"], &later["data"]["status"]), (&json!("pending"), &json!("active")));
    for answer in [&mut first, &mut later] {
        answer["data"].as_object_mut().unwrap().remove("status");
    }
    assert_eq!(first, later);
}

#[test]
fn an_answer_that_is_given_again_says_how_things_stand_now() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let named = office.once("a", create("billing")).json();
    let granted = office.once("b", certify("billing")).json();
    assert_eq!(granted["data"]["status"], "active");
    assert_eq!(office.post("/v1/agents/billing/revoke", &json!({ "reason": "stolen" })).status, 200);
    for (key, request, before, status) in
        [("a", create("billing"), named, "retired"), ("b", certify("billing"), granted, "revoked")]
    {
        let again = office.once(key, request);
        assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
        let (mut before, mut again) = (before, again.json());
        assert_eq!(
            (&again["data"]["status"], &again["data"]["standing"]),
            (&json!(status), &json!("revoked"))
        );
        // Nothing else of it is another one.
        for answer in [&mut before, &mut again] {
            for name in ["status", "standing"] {
                answer["data"].as_object_mut().unwrap().remove(name);
            }
        }
        assert_eq!(before, again);
    }
}

#[test]
fn requests_of_every_route_are_forgotten_after_a_day_without_any_other_request() {
    let desk = Desk::with_billing();
    let open = || Place::File(desk.path(".kakunin/store.sqlite")).open().unwrap();
    let tenant = TenantId::default();
    let begin = |key: &str, hash: &[u8], hours: i64| {
        let at = super::robot::now().plus(-3600 * hours);
        open().begin_request(&tenant, key, Digest::of(hash), at).unwrap()
    };
    for (key, hours) in [("receipts key:old", 25), ("receipts key:new", 23)] {
        assert_eq!(begin(key, b"one", hours), Begun::New);
    }
    let _office = Office::open(&desk);
    // It looks every second.
    let start = std::time::Instant::now();
    while begin("receipts key:old", b"another", 0) != Begun::New {
        assert!(start.elapsed() < Duration::from_secs(60), "it stays");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(begin("receipts key:new", b"another", 0), Begun::Another);
}

#[test]
fn an_answer_with_a_secret_is_shown_once_and_kept_nowhere() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let make = || Request::post("/v1/keys", &json!({ "role": "auditor" }));
    let made = office.once("a", make());
    assert_eq!(made.status, 201);
    let secret = made.json()["data"]["key"].as_str().unwrap().rsplit_once('_').unwrap().1.to_owned();
    let again = office.once("a", make());
    assert_eq!(code(&again), (409, Some("idempotency.secret".into())));
    assert!(!again.text().contains(&secret));
    assert_eq!(office.get_as_owner("/v1/keys").json()["data"].as_array().unwrap().len(), 2);
    for file in ["store.sqlite", "store.sqlite-wal"] {
        let bytes = std::fs::read(desk.path(".kakunin").join(file)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|piece| piece == secret.as_bytes()), "{file}");
    }
}

#[test]
fn requests_that_come_at_the_same_time_are_carried_out_once() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let replies: Vec<Reply> = thread::scope(|scope| {
        let send = || office.once("a", create("billing"));
        let all: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(replies.iter().any(|reply| reply.status == 201));
    for reply in replies {
        assert!(
            reply.status == 201 || code(&reply) == (409, Some("idempotency.running".into())),
            "{}",
            reply.text()
        );
    }
    assert_eq!(office.agents(), 1);
}

#[test]
fn what_a_crash_left_in_between_is_found_and_not_done_twice() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let owner = office.owner().to_owned();
    let agent = office.once("a", create("billing")).json()["data"]["id"].clone();
    let serial = office.once("b", certify("billing")).json()["data"]["serial_number"].clone();
    let key = Request::post("/v1/keys", &json!({ "role": "gate" }));
    assert!(agent.is_string() && serial.is_string());
    assert_eq!(office.once("c", key.clone()).status, 201);
    // What the home remembers of the orders is written after the outcome.
    let marks = std::fs::read(desk.path(".kakunin/marks")).unwrap();
    let other = Request::post("/v1/keys", &json!({ "role": "auditor" }));
    assert_eq!(office.once("d", other.clone()).status, 201);
    office.kill();
    // As if it had been killed after the effect and before the answer was kept, and once before its outcome was.
    let records = Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    records.execute_batch("UPDATE requests SET status = NULL, body = NULL").unwrap();
    without_guards(&records, "audit", |records| {
        let gone =
            "DELETE FROM audit WHERE intent = (SELECT max(number) FROM audit WHERE what = 'key.create')";
        assert_eq!(records.execute(gone, []).unwrap(), 1);
    });
    drop(records);
    std::fs::write(desk.path(".kakunin/marks"), marks).unwrap();
    let office = again(&desk, &owner);
    let found = office.once("a", create("billing"));
    assert_eq!((found.status, &found.json()["data"]["id"]), (201, &agent));
    assert_eq!(found.header("idempotency-replayed"), "true");
    assert_eq!(office.once("a", create("billing")).body, found.body, "and from now on it is kept");
    let found = office.once("b", certify("billing"));
    assert_eq!((found.status, &found.json()["data"]["serial_number"]), (201, &serial));
    assert_eq!((office.agents(), office.certificates("billing")), (1, 1));
    assert_eq!(code(&office.once("c", key)), (409, Some("idempotency.secret".into())));
    assert_eq!(code(&office.once("d", other)), (409, Some("idempotency.unfinished".into())));
    assert_eq!(office.get_as_owner("/v1/keys").json()["data"].as_array().unwrap().len(), 3);
}

#[test]
fn whoever_asks_again_for_a_certificate_never_gets_one_for_the_key_of_another() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let owner = office.owner().to_owned();
    assert_eq!(office.once("a", create("billing")).status, 201);
    let by_key = |key: &Signer| {
        let csr = request_pem(key).unwrap();
        Request::post("/v1/agents/billing/certify", &json!({ "csr": csr }))
    };
    let serial = |reply: &Reply| {
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json().pointer("/data/serial_number").and_then(Value::as_str).unwrap().to_owned()
    };
    let (ours, theirs) = (by_key(&new_key()), by_key(&new_key()));
    let brought = serial(&office.once("brought", ours.clone()));
    let made = serial(&office.once("made", certify("billing")));
    // Since then somebody else had the agent certified for a key of their own.
    let foreign = serial(&office.send(&theirs.bearer(&owner)));
    office.kill();
    let records = || Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    let forget = "UPDATE requests SET status = NULL, body = NULL";
    records().execute_batch(forget).unwrap();
    let office = again(&desk, &owner);
    // Its own key tells it apart from all others; which of them a key was made for, nobody can tell.
    assert_eq!(serial(&office.once("brought", ours.clone())), brought);
    let unsure = (409, Some("idempotency.unfinished".to_owned()));
    assert_eq!(code(&office.once("made", certify("billing"))), unsure);
    office.kill();
    // As if neither had been issued, though the log says so: what is left is somebody else's, and nobody's answer.
    let records = records();
    records.execute_batch(forget).unwrap();
    without_guards(&records, "certificates", |records| {
        let earlier = "UPDATE certificates SET not_before = not_before - 3600 WHERE der IS NOT NULL
                       AND number < (SELECT max(number) FROM certificates)";
        assert_eq!(records.execute(earlier, []).unwrap(), 2);
    });
    drop(records);
    let office = again(&desk, &owner);
    for (key, request) in [("brought", ours), ("made", certify("billing"))] {
        let reply = office.once(key, request);
        assert_eq!(code(&reply), unsure, "{}", reply.text());
        assert!(![&brought, &made, &foreign].iter().any(|serial| reply.text().contains(serial.as_str())));
    }
}

#[test]
fn a_service_killed_at_any_moment_does_what_was_asked_once() {
    let desk = Desk::empty();
    let mut office = Office::open(&desk);
    let owner = office.owner().to_owned();
    for round in 0..10_u64 {
        let name = format!("agent-{round}");
        let address = office.url().strip_prefix("http://").unwrap().to_owned();
        let ask = |key: String, request: Request| {
            request.bearer(&owner).header("Idempotency-Key", &key).try_send(&address)
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                ask(format!("create {round}").replace(' ', "-"), create(&name));
                ask(format!("certify {round}").replace(' ', "-"), certify(&name));
            });
            // Spread over what both take together; where exactly it hits does not matter for what must hold.
            thread::sleep(Duration::from_millis(round * 12));
            office.kill();
        });
        office = again(&desk, &owner);
        let made = office.once(&format!("create-{round}"), create(&name));
        assert_eq!(made.status, 201, "{}", made.text());
        let granted = office.once(&format!("certify-{round}"), certify(&name));
        assert_eq!(granted.status, 201, "{}", granted.text());
        assert_eq!((office.agents(), office.certificates(&name)), (round + 1, 1));
        assert_eq!(office.once(&format!("certify-{round}"), certify(&name)).body, granted.body);
    }
}
