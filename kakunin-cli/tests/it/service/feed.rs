//! The feed over a socket: what a follower makes of the bytes that a service sends.

use std::time::{Duration, Instant};

use kakunin_core::certificate::{AgentCertificate, CaCertificate, CaRole, FeedCertificate};
use kakunin_core::feed::Progress;
use kakunin_core::id::SerialNumber;
use kakunin_core::revocation::{Standing, UnverifiedDelta, UnverifiedList};
use serde_json::{Value, json};

use super::listener::{Listener, Watcher, ders};
use super::office::Office;
use super::web::Request;
use crate::desk::Desk;

/// The kinds of events, in order.
fn kinds(events: &[super::listener::Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

#[test]
fn a_follower_hears_of_a_revocation_as_it_is_answered() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let (mut watcher, serial) = Watcher::of(&office, "billing");
    let mut listener = Listener::open(&office, &watcher.question("/v1/feed", 0));
    assert_eq!(kinds(&listener.take(2)), ["certificate", "item"]);
    watcher.take_up(listener.seen());
    assert_eq!(watcher.last(), Some(Progress::Current));
    assert_eq!(watcher.standing(&serial), Standing::Good);

    let ordered = Instant::now();
    let held = office.post("/v1/agents/billing/suspend", &json!({ "reason": "drift" })).json();
    assert_eq!((&held["data"]["epoch"], &held["data"]["issuer"]), (&json!(1), &json!(watcher.issuer())));
    // It was sent before the answer; heartbeats may come in between.
    watcher.listen(&mut listener, 1);
    assert_eq!(watcher.standing(&serial), Standing::Held);
    assert_eq!(office.post("/v1/agents/billing/resume", &json!({})).json()["data"]["epoch"], 2);
    watcher.listen(&mut listener, 2);
    assert_eq!(watcher.standing(&serial), Standing::Good);
    let gone = office.post("/v1/agents/billing/revoke", &json!({ "reason": "key compromise" })).json();
    assert_eq!(gone["data"]["epoch"], 3);
    watcher.listen(&mut listener, 3);
    assert_eq!(watcher.standing(&serial), Standing::Revoked);
    assert!(ordered.elapsed() < Duration::from_secs(60));

    // Said again it is told no more, and the answer names the epoch that says so.
    assert_eq!(office.post("/v1/agents/billing/revoke", &json!({})).json()["data"]["epoch"], 3);
    // The list knows the same, and whoever begins with it lacks nothing.
    let (fresh, _) = Watcher::of(&office, "billing");
    assert_eq!(fresh.epoch(), 3);
    assert_eq!(fresh.standing(&serial), Standing::Revoked);
    let metrics = office.get("/metrics").text();
    assert!(metrics.contains("\nkakunin_feed_epoch 3\n"), "{metrics}");
    assert!(metrics.contains("\nkakunin_feed_streams "), "{metrics}");
}

#[test]
fn polling_gives_the_same_bytes_and_an_end() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let (mut watcher, serial) = Watcher::of(&office, "billing");
    for verb in ["suspend", "resume", "revoke"] {
        assert_eq!(office.post(&format!("/v1/agents/billing/{verb}"), &json!({})).status, 200);
    }
    let mut stream = Listener::open(&office, &watcher.question("/v1/feed", 0));
    let streamed = stream.take(5);
    assert_eq!(kinds(&streamed), ["certificate", "item", "item", "item", "item"]);
    for path in ["/v1/feed/poll", "/api/v1/feed/poll"] {
        let mut poll = Listener::open(&office, &watcher.question(path, 0));
        let polled = poll.rest();
        assert_eq!(polled.len(), 5);
        // All but the heartbeat, which has the nonce of its connection.
        assert_eq!((&polled[0], &polled[2..]), (&streamed[0], &streamed[2..]));
        watcher.take_up(&polled);
        assert_eq!(
            watcher.last(),
            Some(if path.starts_with("/v1") { Progress::Current } else { Progress::Known })
        );
    }
    assert_eq!(watcher.standing(&serial), Standing::Revoked);
    // From the middle, and with nothing to say.
    assert_eq!(kinds(&Listener::open(&office, &watcher.question("/v1/feed/poll", 2)).rest()).len(), 3);
    assert_eq!(kinds(&Listener::open(&office, &watcher.question("/v1/feed/poll", 3)).rest()).len(), 2);
    let began = Instant::now();
    let idle = Listener::open(&office, &format!("{}&wait=1", watcher.question("/v1/feed/poll", 3))).rest();
    assert!(idle.len() >= 2 && began.elapsed() >= Duration::from_millis(900));
}

#[test]
fn a_poll_that_waits_ends_with_the_change() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let (mut watcher, serial) = Watcher::of(&office, "billing");
    let mut poll = Listener::open(&office, &format!("{}&wait=30", watcher.question("/v1/feed/poll", 0)));
    poll.take(2);
    assert_eq!(office.post("/v1/agents/billing/revoke", &json!({})).status, 200);
    let _ = poll.rest();
    watcher.take_up(poll.seen());
    assert_eq!(watcher.standing(&serial), Standing::Revoked);
}

#[test]
fn what_cannot_be_followed_is_refused_with_its_code() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let (watcher, _) = Watcher::of(&office, "billing");
    let right = watcher.question("/v1/feed", 0);
    let other = right.replace(&watcher.issuer(), &"ab".repeat(32));
    let refused = |path: &str| {
        let reply = office.get(path);
        (
            reply.status,
            reply.json()["code"].as_str().unwrap().to_owned(),
            reply.header("retry-after").to_owned(),
        )
    };
    assert_eq!(refused(&other), (404, "feed.issuer".into(), String::new()));
    assert_eq!(refused(&watcher.question("/v1/feed", 1)), (409, "feed.behind".into(), "1".into()));
    assert_eq!(
        refused(&watcher.question("/v1/feed/poll", u64::MAX)),
        (409, "feed.behind".into(), "1".into())
    );
    for wrong in [
        "/v1/feed".to_owned(),
        right.replace("nonce=", "nonce=0"),
        right.replace("since=0", "since=-1"),
        right.replace("issuer=", "issuer=x"),
        format!("{right}&wait=1"),
        format!("{}&wait=31", watcher.question("/v1/feed/poll", 0)),
    ] {
        assert_eq!(refused(&wrong), (400, "request.invalid".into(), String::new()), "{wrong}");
    }
    office.end();
    let office = Office::open_with(&desk, &["--without-feed"]);
    assert_eq!(refused_of(&office, &right), (404, "feed.none".into()));
    assert!(!office.get("/v1/crl/all").text().is_empty());
}

fn refused_of(office: &Office<'_>, path: &str) -> (u16, String) {
    let reply = office.get(path);
    (reply.status, reply.json().get("code").and_then(Value::as_str).unwrap().to_owned())
}

#[test]
fn a_stream_ends_when_the_service_does_and_goes_on_after_it() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let (mut watcher, serial) = Watcher::of(&office, "billing");
    let mut listener = Listener::open(&office, &watcher.question("/v1/feed", 0));
    listener.take(2);
    assert_eq!(office.post("/v1/agents/billing/suspend", &json!({})).status, 200);
    listener.take(1);
    watcher.take_up(listener.seen());
    let began = Instant::now();
    assert_eq!(office.end(), Some(0));
    // Not after the ten seconds that other answers are waited for.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let _ = listener.rest();

    // In between somebody works at the terminal; the change is signed and waits for the service.
    let local = desk.yes(&["resume", "billing", "--reason", "looked at"]);
    assert_eq!((&local["epoch"], &local["issuer"]), (&json!(2), &json!(watcher.issuer())));
    let office = Office::open(&desk);
    let mut listener = Listener::open(&office, &watcher.question("/v1/feed", 1));
    // The key that signed at the terminal, that of this service, the opening and the change.
    assert_eq!(kinds(&listener.take(4)), ["certificate", "certificate", "item", "item"]);
    watcher.take_up(listener.seen());
    assert_eq!((watcher.last(), watcher.epoch()), (Some(Progress::Current), 2));
    assert_eq!(watcher.standing(&serial), Standing::Good);
}

#[test]
fn a_home_keeps_its_feed_and_can_be_without_one() {
    let desk = Desk::with_billing();
    let told = |order: Value| order["epoch"].clone();
    let order = |verb: &str| desk.yes(&[verb, "billing", "--reason", "x"]);
    assert_eq!(told(order("suspend")), Value::Null);
    Office::open(&desk).end();
    // What happened before there was a feed is in it now.
    assert_eq!(told(order("resume")), json!(2));
    desk.yes(&["rotate"]);
    assert_eq!(told(order("suspend")), json!(3), "in the feed of the authority that certified it");
    Office::open_with(&desk, &["--without-feed"]).end();
    assert_eq!(told(order("resume")), Value::Null);
}

#[test]
fn files_whose_list_asks_for_a_feed_are_told_what_they_lack() {
    let desk = Desk::with_billing();
    Office::open(&desk).end();
    let check = ["check", "--agent", "agents/billing", "--action", "read:invoices"];
    let doctor = ["doctor", "--agent", "agents/billing"];
    let denied = desk.answer(&check, 1);
    assert_eq!(denied["code"], "revocation.stale");
    let says = |value: &Value, words: &str| assert!(value.as_str().unwrap().contains(words), "{value}");
    says(&denied["message"], "the list asks for a feed, which no directory carries");
    says(&denied["fix"], "Agent.connect(");
    let wrong = desk.answer(&doctor, 1);
    let found = wrong["findings"].as_array().unwrap().last().unwrap().clone();
    says(&found["what"], "the list asks for a feed");
    says(&found["what"], "Agent.connect(");
    says(&found["what"], "--url");
    // A client keeps the directory: nothing is wrong with that.
    let agent = desk.path("agents/billing");
    std::fs::copy(desk.path(".kakunin/public/lists.pem"), agent.join("lists.pem")).unwrap();
    std::fs::write(agent.join(".client.lock"), "").unwrap();
    let noted = desk.yes(&doctor);
    let found = noted["findings"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(found["level"], "note");
    says(&found["what"], "agent.status()");
    // But one that is revoked is not only without a feed.
    desk.yes(&["revoke", "billing", "--reason", "drill"]);
    assert_eq!(desk.answer(&check, 1)["code"], "certificate.revoked");
    std::fs::copy(desk.path(".kakunin/public/lists.pem"), agent.join("lists.pem")).unwrap();
    let wrong = desk.answer(&doctor, 1);
    says(&wrong["findings"].as_array().unwrap().last().unwrap()["what"], "certificate.revoked");
}

#[test]
fn a_feed_key_that_may_be_stolen_is_out_of_use_at_once() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let (mut watcher, serial) = Watcher::of(&office, "billing");
    let mut listener = Listener::open(&office, &watcher.question("/v1/feed", 0));
    watcher.listen(&mut listener, 0);
    let stolen = serial_of(&desk, &listener.seen()[0].der());
    let rotated = office.post("/v1/feed/rotate", &json!({ "reason": "a core dump was copied" }));
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    let rotated = rotated.json()["data"].clone();
    assert_eq!((&rotated["revoked"], &rotated["epoch"]), (&json!(1), &json!(1)));
    // Whoever listens goes on by the next key and takes nothing of the old one any more.
    watcher.listen(&mut listener, 1);
    assert_eq!((watcher.last(), watcher.standing(&stolen)), (Some(Progress::Current), Standing::Revoked));
    assert_eq!(office.post("/v1/agents/billing/revoke", &json!({})).status, 200);
    watcher.listen(&mut listener, 2);
    assert_eq!(watcher.standing(&serial), Standing::Revoked);
    // Whoever comes later reads it in the list.
    let (later, _) = Watcher::of(&office, "billing");
    assert_eq!((later.epoch(), later.standing(&stolen)), (2, Standing::Revoked));
    let log = office.get_as_owner("/v1/audit-log?event_type=feed.rotate").json();
    assert!(log.to_string().contains("a core dump was copied"), "{log}");

    // One that starts anew has another key, and what went before keeps nobody from replacing it.
    let owner = office.owner().to_owned();
    office.end();
    let office = Office::open(&desk);
    let mut command = desk.command(&["rotate", "--feed", "--url", office.url(), "--json"]);
    let output = command.env("KAKUNIN_TOKEN", &owner).output().unwrap();
    assert!(output.status.success(), "{}", crate::desk::texts(&output).1);
    assert!(crate::desk::texts(&output).0.contains("\"revoked\":2"), "{}", crate::desk::texts(&output).0);
    // Not again and again, which would only make every list longer: of orders that follow one another some come too soon.
    let rotate =
        || desk.command(&["rotate", "--feed", "--url", office.url()]).env("KAKUNIN_TOKEN", &owner).output();
    let refused = (0..20).map(|_| rotate().unwrap()).find(|output| !output.status.success()).unwrap();
    assert!(crate::desk::texts(&refused).1.contains("less than a minute ago"), "{refused:?}");
    let again = || office.send(&super::web::Request::post("/v1/feed/rotate", &json!({})).bearer(&owner));
    let again = (0..20).map(|_| again()).find(|reply| reply.status != 200).unwrap();
    assert_eq!((again.status, again.json()["code"].clone()), (429, json!("feed.replaced")));
    assert!((1..=60).contains(&again.header("retry-after").parse::<u64>().unwrap()), "{}", again.text());
    let refused =
        desk.command(&["rotate", "--url", office.url()]).env("KAKUNIN_TOKEN", "x").output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    office.end();
    assert_eq!(desk.yes(&["rotate", "--feed"])["revoked"], 1);
}

/// The serial number in the certificate of a feed key.
fn serial_of(desk: &Desk, der: &[u8]) -> SerialNumber {
    let chain = super::listener::ders(&std::fs::read(desk.path(".kakunin/public/chain.pem")).unwrap());
    let issuing = CaCertificate::decode(chain.first().unwrap(), CaRole::Issuing).unwrap();
    FeedCertificate::verify(der, &issuing).unwrap().decoded().serial()
}

#[test]
fn each_issuing_authority_has_its_own_feed() {
    let desk = Desk::with_billing();
    desk.yes(&["rotate"]);
    desk.yes(&["agent", "create", "other", "--scope", "scope.toml", "--out", "agents/other"]);
    let office = Office::open(&desk);
    let (mut old, of_old) = Watcher::of(&office, "billing");
    let (mut new, of_new) = Watcher::of(&office, "other");
    assert_ne!(old.issuer(), new.issuer());
    let mut of_both = [&old, &new].map(|watcher| Listener::open(&office, &watcher.question("/v1/feed", 0)));
    let [to_old, to_new] = &mut of_both;
    let gone = office.post("/v1/agents/billing/revoke", &json!({})).json();
    assert_eq!((&gone["data"]["epoch"], &gone["data"]["issuer"]), (&json!(1), &json!(old.issuer())));
    old.listen(to_old, 1);
    assert_eq!(old.standing(&of_old), Standing::Revoked);
    assert_eq!(
        office.post("/v1/agents/other/suspend", &json!({})).json()["data"]["issuer"],
        json!(new.issuer())
    );
    new.listen(to_new, 1);
    assert_eq!((new.standing(&of_new), new.standing(&of_old)), (Standing::Held, Standing::Good));
}

#[test]
fn lists_are_not_sent_again_to_whoever_has_them() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let tag = office.get("/v1/crl/all").header("etag").to_owned();
    let again = Request::get("/v1/crl/all").header("If-None-Match", &tag);
    assert_eq!(office.send(&again).status, 304);
    assert_eq!(office.post("/v1/agents/billing/suspend", &json!({})).status, 200);
    assert_eq!(office.send(&again).status, 200);
}

/// C32: the delta that is served goes with the list that was there before, and with no other.
#[test]
fn what_changed_on_the_list_is_served_beside_it() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let chain = std::fs::read(desk.path("agents/billing/chain.pem")).unwrap();
    let issuing = CaCertificate::decode(ders(&chain).first().unwrap(), CaRole::Issuing).unwrap();
    let der = |path: &str| {
        let reply = office.send(&Request::get(path).header("Accept", "application/pkix-crl"));
        assert_eq!((reply.status, reply.header("content-type")), (200, "application/pkix-crl"), "{path}");
        reply
    };
    let before = der("/v1/crl").body;
    for order in ["suspend", "resume", "revoke"] {
        assert_eq!(
            office.post(&format!("/v1/agents/billing/{order}"), &json!({ "reason": "drill" })).status,
            200
        );
    }
    let (full, delta) = (der("/v1/crl"), der("/v1/crl/delta"));
    let read = |der: &[u8]| UnverifiedList::decode(der).unwrap().verify(&issuing.list_issuer()).unwrap();
    let (old, new) = (read(&before), read(&full.body));
    let changes = UnverifiedDelta::decode(&delta.body).unwrap();
    assert_eq!(delta.header("x-crl-base"), changes.base().to_string());
    assert_eq!(delta.header("x-crl-number"), full.header("x-crl-number"));
    let updated = changes.apply(&old, &issuing.list_issuer()).unwrap();
    assert_eq!((updated.number(), updated.policy()), (new.number(), new.policy()));
    let agent = AgentCertificate::decode(
        ders(&std::fs::read(desk.path("agents/billing/agent.pem")).unwrap()).first().unwrap(),
    )
    .unwrap();
    let serial = agent.decoded().serial();
    assert_eq!((old.standing(&serial), updated.standing(&serial)), (Standing::Good, Standing::Revoked));
    // As a full list it says nothing to anybody here.
    assert!(UnverifiedList::decode(&delta.body).is_err());
    let pem = office.get("/api/v1/crl/delta");
    assert_eq!(ders(&pem.body), std::slice::from_ref(&delta.body));
    for (accept, tag) in [("application/pkix-crl", delta.header("etag")), ("*/*", pem.header("etag"))] {
        let again = Request::get("/v1/crl/delta").header("Accept", accept).header("If-None-Match", tag);
        assert_eq!(office.send(&again).status, 304);
    }
}
