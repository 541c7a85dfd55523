//! Webhooks: told of every change at least once, signed, and never to an address inside.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::office::Office;
use super::papers::{House, Until, put};
use super::receiver::{Does, Receiver};
use super::web::{Reply, Request};
use crate::desk::Desk;

const HERE: [&str; 1] = ["--webhooks-to-loopback"];

#[test]
fn a_webhook_is_made_changed_and_removed_by_its_owner() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let order =
        json!({ "url": "HTTPS://Receiver.Example:443/hook", "events": ["risk.alert", "agent.halted"] });
    let made = office.post("/v1/webhooks", &order);
    assert_eq!(made.status, 201, "{}", made.text());
    let row = made.json()["data"].clone();
    let id = text(&row, "id").to_owned();
    assert_eq!(text(&row, "url"), "https://receiver.example/hook");
    assert_eq!((&row["events"], &row["active"]), (&order["events"], &json!(true)));
    assert_eq!(text(&row, "signature"), "kakunin");
    let secret = text(&row, "secret").to_owned();
    let digits = secret.strip_prefix("whsec_").unwrap();
    assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
    assert!(secret.ends_with(text(&row, "secret_hint")) && text(&row, "secret_hint").len() == 4);

    // The secret was in that answer and is in no other.
    let listed = office.get_as_owner("/v1/webhooks").json()["data"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!((&listed[0]["id"], &listed[0]["secret"]), (&row["id"], &Value::Null));
    assert_eq!(listed[0]["secret_hint"], row["secret_hint"]);
    let path = format!("/v1/webhooks/{id}");
    let changed = patch(&office, &path, &json!({ "active": false, "events": ["certificate.revoked"] }));
    assert_eq!(changed.status, 200, "{}", changed.text());
    let changed = changed.json()["data"].clone();
    assert_eq!((&changed["active"], &changed["events"]), (&json!(false), &json!(["certificate.revoked"])));
    assert_eq!((text(&changed, "url"), &changed["secret"]), ("https://receiver.example/hook", &Value::Null));
    let off = office.post(&format!("{path}/test"), &json!({}));
    assert_eq!((off.status, off.json()["code"].as_str()), (409, Some("webhook.inactive")));

    for (body, code) in [
        (json!({ "events": ["risk.alert"] }), "request.invalid"),
        (json!({ "url": "https://receiver.example/" }), "request.invalid"),
        (json!({ "url": "https://receiver.example/", "events": [] }), "request.invalid"),
        (
            json!({ "url": "https://receiver.example/", "events": ["risk.alert", "risk.alert"] }),
            "request.invalid",
        ),
        (json!({ "url": "https://receiver.example/", "events": ["webhook.test"] }), "request.invalid"),
        (json!({ "url": "https://receiver.example/", "events": "risk.alert" }), "request.invalid"),
        (
            json!({ "url": "https://receiver.example/", "events": ["risk.alert"], "signature": "md5" }),
            "request.invalid",
        ),
        (
            json!({ "url": "https://receiver.example/", "events": ["risk.alert"], "secret": "mine" }),
            "request.invalid",
        ),
        (json!({ "url": "http://receiver.example/", "events": ["risk.alert"] }), "webhook.url"),
        (json!({ "url": "https://127.0.0.1:8443/", "events": ["risk.alert"] }), "webhook.url"),
        (json!({ "url": "https://0xa9fea9fe/latest", "events": ["risk.alert"] }), "webhook.url"),
        (json!({ "url": "https://[64:ff9b::a9fe:a9fe]/", "events": ["risk.alert"] }), "webhook.url"),
        (json!({ "url": "https://user@receiver.example/", "events": ["risk.alert"] }), "webhook.url"),
    ] {
        let refused = office.post("/v1/webhooks", &body);
        assert_eq!((refused.status, refused.json()["code"].as_str()), (400, Some(code)), "{body}");
        if body.get("url").is_some() && code == "webhook.url" {
            let only = json!({ "url": body["url"] });
            assert_eq!(patch(&office, &path, &only).json()["code"], "webhook.url", "{only}");
        }
    }
    let bound = office.get_as_owner("/v1/agents/billing").json()["data"]["id"].clone();
    let bound = office.key(&json!({ "role": "owner", "agents": [bound] }));
    for (method, tail) in
        [("GET", ""), ("POST", ""), ("DELETE", &*format!("/{id}")), ("GET", &format!("/{id}/deliveries"))]
    {
        let refused = office.send(&Request::new(method, &format!("/v1/webhooks{tail}")).bearer(&bound));
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (403, Some("access.bound")),
            "{method}"
        );
    }
    let gone = office.send(&Request::new("DELETE", &path).bearer(office.owner()));
    assert_eq!((gone.status, gone.text().as_str()), (204, ""));
    for (method, tail) in
        [("DELETE", ""), ("PATCH", ""), ("POST", "/test"), ("POST", "/rotate"), ("GET", "/deliveries")]
    {
        let missing = office.send(&Request::new(method, &format!("{path}{tail}")).bearer(office.owner()));
        assert_eq!(missing.status, 404, "{method} {tail}");
    }
    let orders = office.get_as_owner("/v1/audit-log").json()["data"].clone();
    let orders: Vec<&str> =
        orders.as_array().unwrap().iter().map(|order| text(order, "event_type")).collect();
    for what in ["webhook.create", "webhook.update", "webhook.delete"] {
        assert!(orders.contains(&what), "{orders:?}");
    }
}

#[test]
fn other_ways_of_telling_say_that_they_are_not_here() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    for path in ["/alert-channels", "/subscriptions", "/notifications"] {
        let order = json!({ "type": "slack", "delivery_url": "http://169.254.169.254/" });
        let asked = office.post(&format!("/v1{path}"), &order);
        assert_eq!((asked.status, asked.json()["code"].as_str()), (501, Some("not_here")), "{path}");
        assert!(text(&asked.json(), "error").contains("POST /webhooks"), "{}", asked.text());
        assert_eq!(office.get_as_owner(&format!("/v1{path}")).status, 501);
        assert_eq!(office.get(&format!("/v1{path}")).status, 401);
    }
}

#[test]
fn a_webhook_is_told_of_every_change_with_its_id_and_number() {
    let (desk, receiver) = (Desk::with_billing(), Receiver::new());
    let office = Office::open_with(&desk, &HERE);
    let hook = make(&office, &receiver.url(), "hosted-sha256");
    for (path, body) in [
        ("certify", json!({})),
        ("suspend", json!({ "reason": "audit" })),
        ("resume", json!({})),
        ("halt", json!({ "reason": "drift" })),
    ] {
        let done = office.post(&format!("/v1/agents/billing/{path}"), &body);
        assert!(done.status < 300, "{}", done.text());
    }
    let heard = receiver.wait_for(7);
    let events: Vec<_> = heard.iter().map(super::receiver::Heard::event).collect();
    assert_eq!(
        events,
        [
            "certificate.issued",
            "agent.suspended",
            "agent.resumed",
            "agent.halted",
            "agent.revoked",
            "certificate.revoked",
            "certificate.revoked",
        ]
    );
    let numbers: Vec<_> = heard.iter().map(|heard| heard.body["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    let last = &heard[6];
    assert_eq!(last.body["data"]["agent_name"], "billing");
    assert_eq!(last.body["serial_number"], last.body["data"]["serial_number"]);
    assert_eq!(last.body["data"]["reason"], "drift");
    assert_eq!(
        (last.header("kakunin-id"), last.header("content-type")),
        (text(&last.body, "id"), "application/json")
    );
    // The forms of the hosted service, by OpenSSL.
    assert_eq!(
        last.header("x-kakunin-signature"),
        format!("sha256={}", hmac(&desk, &hook.secret, &last.bytes))
    );
    let signature = last.header("kakunin-signature");
    let time = signature.split_once(",v1=").unwrap().0.strip_prefix("t=").unwrap();
    let message = [time.as_bytes(), b".", last.header("kakunin-id").as_bytes(), b".", &last.bytes].concat();
    assert_eq!(signature, format!("t={time},v1={}", hmac(&desk, &hook.secret, &message)));

    let all = settled(&office, &hook, 7);
    assert_eq!(text(&all[0], "id"), text(&last.body, "id"));
    for row in &all {
        assert_eq!(
            (text(row, "status"), &row["attempt"], &row["response_status"]),
            ("delivered", &json!(1), &json!(200))
        );
        assert_eq!((&row["error_message"], &row["next_attempt_at"]), (&Value::Null, &Value::Null));
    }
    let page = office.get_as_owner(&format!("{}/deliveries?limit=4", hook.path)).json();
    assert_eq!((page["data"].as_array().unwrap().len(), &page["has_next_page"]), (4, &json!(true)));
    let before = text(&page, "next_cursor");
    let rest = office.get_as_owner(&format!("{}/deliveries?limit=4&before={before}", hook.path)).json();
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["has_next_page"]), (3, &json!(false)));
    let metrics = office.get("/metrics").text();
    assert!(metrics.contains("kakunin_webhook_attempts_total{result=\"delivered\"} 7\n"), "{metrics}");
    assert!(metrics.contains("kakunin_webhook_deliveries{state=\"pending\"} 0\n"), "{metrics}");
}

#[test]
fn a_delivery_that_fails_is_kept_shown_and_sent_again() {
    let (desk, receiver) = (Desk::with_billing(), Receiver::new());
    let office = Office::open_with(&desk, &HERE);
    let hook = make(&office, &receiver.url(), "hosted-t-v1");
    receiver.then(&[Does::Answer(500), Does::Answer(503)]);
    let test = |hook: &Hook| {
        let asked = office.post(&format!("{}/test", hook.path), &json!({}));
        assert_eq!(asked.status, 202, "{}", asked.text());
        text(&asked.json()["data"], "id").to_owned()
    };
    let id = test(&hook);
    // Another one never takes anything: however late somebody looks, it has failed and will be sent again.
    let stubborn = Receiver::new();
    stubborn.then(&[Does::Answer(302); 99]);
    let refused = make(&office, &stubborn.url(), "kakunin");
    test(&refused);
    let mut row = Value::Null;
    until("it fails", || {
        row = deliveries(&office, &refused).remove(0);
        text(&row, "status") == "failed"
    });
    let error = text(&row, "error_message");
    assert_eq!((&row["response_status"], error), (&json!(302), "it redirects, which is not followed"));
    assert_eq!(text(&row, "response_body"), "no \u{1b}[2J<b>&\"");
    assert_ne!(row["next_attempt_at"], Value::Null);
    assert_eq!(settled(&office, &hook, 1)[0]["attempt"], 3);
    let heard = receiver.heard();
    assert_eq!(heard.len(), 3);
    for one in &heard {
        assert_eq!((one.header("kakunin-id"), &one.bytes), (&*id, &heard[0].bytes));
    }
    // What a stranger answered is escaped where it is shown.
    let raw = office.get_as_owner(&format!("{}/deliveries", refused.path));
    assert!(!raw.body.contains(&0x1b));
    assert_eq!(raw.header("content-type"), "application/json");
}

#[test]
fn what_was_answered_is_told_though_the_service_is_killed() {
    let (desk, receiver) = (Desk::with_billing(), Receiver::new());
    let mut office = Office::open_with(&desk, &HERE);
    let hook = make(&office, &receiver.url(), "kakunin");
    let owner = office.owner().to_owned();
    let path = format!("{}/deliveries", hook.path);
    // Killed between sending and the record of it, three times; and once right after the answer.
    for (round, order) in (1_usize..).zip(["suspend", "resume", "suspend", "resume"]) {
        let before = receiver.heard().len();
        if round < 4 {
            receiver.then(&[Does::Hang]);
        }
        let order = format!("/v1/agents/billing/{order}");
        let done = office.send(&Request::post(&order, &json!({})).bearer(&owner));
        assert_eq!(done.status, 200, "{}", done.text());
        if round < 4 {
            receiver.wait_for(before + 1);
        }
        office.kill();
        office = Office::open_with(&desk, &HERE);
        until("everything is told", || {
            let rows = office.send(&Request::get(&path).bearer(&owner)).json()["data"].clone();
            let rows = rows.as_array().unwrap().clone();
            rows.len() == round && rows.iter().all(|row| text(row, "status") == "delivered")
        });
    }
    let heard = receiver.heard();
    for (number, event) in (1..).zip(["agent.suspended", "agent.resumed", "agent.suspended", "agent.resumed"])
    {
        let copies: Vec<_> = heard.iter().filter(|one| one.body["sequence"] == number).collect();
        assert!(!copies.is_empty(), "{number} was lost");
        assert!(number == 4 || copies.len() >= 2, "{number} was recorded before it was answered");
        for copy in &copies {
            assert_eq!((copy.event(), copy.header("kakunin-id")), (event, copies[0].header("kakunin-id")));
        }
    }
}

#[test]
fn a_service_that_is_ended_does_not_wait_for_receivers() {
    let (desk, receiver) = (Desk::with_billing(), Receiver::new());
    let office = Office::open_with(&desk, &HERE);
    let hook = make(&office, &receiver.url(), "kakunin");
    let owner = office.owner().to_owned();
    receiver.then(&[Does::Hang]);
    for _ in 0..20 {
        assert_eq!(office.post(&format!("{}/test", hook.path), &json!({})).status, 202);
    }
    receiver.wait_for(1);
    assert_eq!(office.end(), Some(0));
    let office = Office::open_with(&desk, &HERE);
    until("the rest is told", || {
        let path = format!("{}/deliveries", hook.path);
        let rows = office.send(&Request::get(&path).bearer(&owner)).json()["data"].clone();
        rows.as_array().unwrap().iter().all(|row| text(row, "status") == "delivered")
    });
    let mut numbers: Vec<_> =
        receiver.heard().iter().map(|one| one.body["sequence"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_webhook_that_is_turned_off_is_told_nothing_until_it_is_on() {
    let (desk, receiver) = (Desk::with_billing(), Receiver::new());
    let office = Office::open_with(&desk, &HERE);
    let hook = make(&office, &receiver.url(), "kakunin");
    let other = Receiver::new();
    let always = make(&office, &other.url(), "kakunin");
    assert_eq!(patch(&office, &hook.path, &json!({ "active": false })).status, 200);
    assert_eq!(office.post("/v1/agents/billing/suspend", &json!({})).status, 200);
    other.wait_for(1);
    assert_eq!(settled(&office, &always, 1).len(), 1);
    assert_eq!((deliveries(&office, &hook), receiver.heard().len()), (vec![], 0));
    assert_eq!(patch(&office, &hook.path, &json!({ "active": true })).status, 200);
    assert_eq!(office.post("/v1/agents/billing/resume", &json!({})).status, 200);
    let heard = receiver.wait_for(1);
    assert_eq!((heard[0].event(), &heard[0].body["sequence"]), ("agent.resumed", &json!(1)));
}

#[test]
fn no_secret_is_in_the_store_the_log_or_any_file() {
    let (desk, receiver) = (Desk::with_billing(), Receiver::new());
    let office = Office::open_with(&desk, &HERE);
    let mut secrets = Vec::new();
    for form in ["kakunin", "hosted-sha256", "hosted-t-v1"] {
        let hook = make(&office, &receiver.url(), form);
        let rotated = office.post(&format!("{}/rotate", hook.path), &json!({ "overlap_hours": 1 })).json();
        secrets.push(text(&rotated["data"], "secret").to_owned());
        secrets.push(hook.secret);
    }
    assert_eq!(office.post("/v1/agents/billing/suspend", &json!({})).status, 200);
    // Each of them was used.
    let heard = receiver.wait_for(3);
    assert!(heard.iter().all(|one| one.header("kakunin-signature").matches(",v1=").count() == 2));
    let bare: Vec<_> = secrets.iter().map(|secret| secret.strip_prefix("whsec_").unwrap()).collect();
    let mut files = 0;
    let mut look = |path: &Path| {
        files += 1;
        let bytes = fs::read(path).unwrap();
        for secret in &bare {
            let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap() as u8;
            let raw: Vec<u8> =
                secret.as_bytes().chunks(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect();
            for form in [secret.as_bytes(), &raw] {
                assert!(!bytes.windows(form.len()).any(|piece| piece == form), "{}", path.display());
            }
        }
    };
    walk(&desk.path(""), &mut look);
    assert!(files > 10, "{files}");
    // Nor does a key that was lost give way to another one, which would open none of them.
    let (id, owner) = (
        text(&office.get_as_owner("/v1/webhooks").json()["data"][0], "id").to_owned(),
        office.owner().to_owned(),
    );
    assert_eq!(office.end(), Some(0));
    fs::remove_file(desk.path(".kakunin/sealing.key.pem")).unwrap();
    let office = Office::open_with(&desk, &HERE);
    let order = json!({ "url": receiver.url(), "events": ["risk.alert"] });
    assert_eq!(office.send(&Request::post("/v1/webhooks", &order).bearer(&owner)).status, 500);
    assert!(!desk.path(".kakunin/sealing.key.pem").exists());
    let rotate = Request::post(&format!("/v1/webhooks/{id}/rotate"), &json!({})).bearer(&owner);
    assert_ne!(office.send(&rotate).status, 200);
}

#[test]
fn a_secret_is_replaced_while_both_are_good() {
    let (desk, receiver) = (Desk::with_billing(), Receiver::new());
    let office = Office::open_with(&desk, &HERE);
    let hook = make(&office, &receiver.url(), "hosted-sha256");
    let test = || assert_eq!(office.post(&format!("{}/test", hook.path), &json!({})).status, 202);
    let rotated = office.post(&format!("{}/rotate", hook.path), &json!({})).json()["data"].clone();
    let second = text(&rotated, "secret").to_owned();
    assert_ne!(second, hook.secret);
    test();
    let heard = receiver.wait_for(1).remove(0);
    let signature = heard.header("kakunin-signature").to_owned();
    let time = signature.split(',').next().unwrap().strip_prefix("t=").unwrap().to_owned();
    let message = [time.as_bytes(), b".", heard.header("kakunin-id").as_bytes(), b".", &heard.bytes].concat();
    let (new, old) = (hmac(&desk, &second, &message), hmac(&desk, &hook.secret, &message));
    assert_eq!(signature, format!("t={time},v1={new},v1={old}"));
    // A form with room for one signature keeps to the old secret until that has ended.
    assert_eq!(
        heard.header("x-kakunin-signature"),
        format!("sha256={}", hmac(&desk, &hook.secret, &heard.bytes))
    );
    let third =
        office.post(&format!("{}/rotate", hook.path), &json!({ "overlap_hours": 0 })).json()["data"].clone();
    test();
    let heard = receiver.wait_for(2).remove(1);
    assert_eq!(heard.header("kakunin-signature").matches(",v1=").count(), 1);
    let third = text(&third, "secret");
    assert_eq!(heard.header("x-kakunin-signature"), format!("sha256={}", hmac(&desk, third, &heard.bytes)));
}

#[test]
fn a_receiver_of_the_standard_library_verifies_what_comes_over_tls() {
    let (desk, house) = (Desk::with_billing(), House::new("house"));
    put(&desk.path("house.pem"), &house.pem);
    put(&desk.path("other.pem"), &House::new("other").pem);
    house.papers(Until::Later).write(&desk.path(""), "server");
    let office = Office::open_with(&desk, &["--webhooks-to-loopback", "--webhook-ca", "house.pem"]);
    let owner = office.owner().to_owned();
    // The secret comes with the webhook, and the webhook needs the port: made first, with any URL.
    let hook = make(&office, "https://127.0.0.1:1/", "kakunin");
    put(&desk.path("secrets.txt"), &format!("{}\n", hook.secret));
    let python = Python::start(&desk);
    assert_eq!(patch(&office, &hook.path, &json!({ "url": python.url })).status, 200);
    for order in ["suspend", "resume"] {
        assert_eq!(office.post(&format!("/v1/agents/billing/{order}"), &json!({})).status, 200);
    }
    let events = [python.next(), python.next()];
    assert_eq!((text(&events[0], "event"), text(&events[1], "event")), ("agent.suspended", "agent.resumed"));
    settled(&office, &hook, 2);
    assert_eq!(office.end(), Some(0));
    // A receiver that another authority certified is no receiver.
    let office = Office::open_with(&desk, &["--webhooks-to-loopback", "--webhook-ca", "other.pem"]);
    let test = Request::post(&format!("{}/test", hook.path), &json!({})).bearer(&owner);
    assert_eq!(office.send(&test).status, 202);
    until("it fails", || {
        let rows = office.send(&Request::get(&format!("{}/deliveries", hook.path)).bearer(&owner)).json();
        let row = &rows["data"][0];
        text(row, "status") == "failed" && text(row, "error_message").starts_with("cannot connect: ")
    });
    drop(office);
    let nothing = desk.run(&["serve", "--listen", "127.0.0.1:0", "--webhook-ca", "secrets.txt"]);
    assert_eq!(nothing.status.code(), Some(2));
}

#[test]
fn the_receiver_of_the_example_takes_each_delivery_once_and_no_forgery() {
    let script = r#"
import hashlib, hmac, json, sys
sys.path.insert(0, sys.argv[1])
import webhook
SECRETS = ["whsec_" + "1" * 64, "whsec_" + "2" * 64]
def sign(at, id, body, secret):
    return f"t={at},v1=" + hmac.new(secret.encode(), f"{at}.{id}.".encode() + body, hashlib.sha256).hexdigest()
def body(id): return json.dumps({"id": id, "event": "webhook.test"}).encode()
inbox, now = webhook.Inbox(SECRETS), 1_700_000_000
for number in (3, 1, 2, 1, 3):  # reordered and repeated
    id = f"evt_{number}"
    taken = inbox.take(sign(now - number, id, body(id), SECRETS[number % 2]), id, body(id), now)
    print(None if taken is None else taken["id"])
good = sign(now, "evt_9", body("evt_9"), SECRETS[0])
forged = [
    (sign(now - 301, "evt_9", body("evt_9"), SECRETS[0]), "evt_9", body("evt_9")),  # kept and sent later
    (sign(now + 301, "evt_9", body("evt_9"), SECRETS[0]), "evt_9", body("evt_9")),
    (good.replace(str(now), str(now + 1)), "evt_9", body("evt_9")),  # another time
    (good, "evt_8", body("evt_9")),  # another id, in the header or in the body
    (good, "evt_9", body("evt_8")),
    (sign(now, "evt_8", body("evt_9"), SECRETS[0]), "evt_8", body("evt_9")),
    (sign(now, "evt_9", body("evt_9"), "whsec_" + "3" * 64), "evt_9", body("evt_9")),
    (good + f",t={now}", "evt_9", body("evt_9")),
    (good.partition(",")[0], "evt_9", body("evt_9")),
    ("sha256=" + hmac.new(SECRETS[0].encode(), body("evt_9"), hashlib.sha256).hexdigest(), "evt_9", body("evt_9")),
    ("", "", b""),
]
for signature, id, content in forged:
    try:
        print("taken", signature, id, inbox.take(signature, id, content, now))
    except webhook.Refused:
        pass
print(inbox.take(good, "evt_9", body("evt_9"), now)["id"])
"#;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/python");
    let output = Command::new("python3").args(["-B", "-c", script, folder]).output().unwrap();
    let (out, err) = crate::desk::texts(&output);
    assert_eq!(out, "evt_3\nevt_1\nevt_2\nNone\nNone\nevt_9\n", "{err}");
}

/// A webhook that wants everything.
struct Hook {
    path: String,
    secret: String,
}

fn make(office: &Office<'_>, url: &str, form: &str) -> Hook {
    let events = [
        "certificate.issued",
        "certificate.revoked",
        "risk.alert",
        "agent.suspended",
        "agent.resumed",
        "agent.revoked",
        "agent.halted",
    ];
    let made = office.post("/v1/webhooks", &json!({ "url": url, "events": events, "signature": form }));
    assert_eq!(made.status, 201, "{}", made.text());
    let row = made.json();
    let of = |name: &str| row.pointer(&format!("/data/{name}")).and_then(Value::as_str).unwrap().to_owned();
    Hook { path: format!("/v1/webhooks/{}", of("id")), secret: of("secret") }
}

fn patch(office: &Office<'_>, path: &str, body: &Value) -> Reply {
    let request = Request { body: body.to_string().into_bytes(), ..Request::new("PATCH", path) };
    office.send(&request.bearer(office.owner()))
}

/// Newest first.
fn deliveries(office: &Office<'_>, hook: &Hook) -> Vec<Value> {
    let rows = office.get_as_owner(&format!("{}/deliveries", hook.path)).json();
    rows.get("data").and_then(Value::as_array).unwrap().clone()
}

/// The same, once that many were delivered.
fn settled(office: &Office<'_>, hook: &Hook, many: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    until("everything is delivered", || {
        rows = deliveries(office, hook);
        rows.len() == many && rows.iter().all(|row| text(row, "status") == "delivered")
    });
    rows
}

/// Looks until it is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// HMAC-SHA256 by OpenSSL.
fn hmac(desk: &Desk, secret: &str, message: &[u8]) -> String {
    let path = desk.path("message");
    fs::write(&path, message).unwrap();
    let mut command = Command::new("openssl");
    let output = command.args(["dgst", "-sha256", "-hmac", secret]).arg(&path).output().unwrap();
    let (out, _) = crate::desk::texts(&output);
    out.trim().rsplit_once(' ').unwrap().1.to_owned()
}

fn walk(folder: &Path, look: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, look);
        } else if path.is_file() {
            look(&path);
        }
    }
}

/// The receiver of the examples.
struct Python {
    process: Child,
    url: String,
    lines: mpsc::Receiver<Value>,
}

impl Python {
    fn start(desk: &Desk) -> Self {
        let mut command = Command::new("python3");
        command.arg("-B").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/python/webhook.py"));
        command.args([
            "--secret-file",
            "secrets.txt",
            "--cert",
            "server.pem",
            "--key",
            "server.key",
            "--port",
            "0",
        ]);
        command.current_dir(desk.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(process.stderr.take().unwrap()).read_line(&mut url).unwrap();
        let (send, lines) = mpsc::channel();
        let out = BufReader::new(process.stdout.take().unwrap());
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = send.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, url: url.trim().to_owned(), lines }
    }

    fn next(&self) -> Value {
        self.lines.recv_timeout(Duration::from_secs(120)).unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
