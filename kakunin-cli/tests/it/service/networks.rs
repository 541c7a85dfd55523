//! Keys that may be used from certain networks alone, behind proxies and without.

use serde_json::{Value, json};

use super::office::{Office, wait};
use super::web::{Reply, Request};
use crate::desk::Desk;

fn said(reply: &Reply) -> (u16, String) {
    let code = reply.json().get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
    (reply.status, code)
}

const NO: (u16, &str) = (403, "access.network");

#[test]
fn a_key_bound_to_networks_is_one_only_there() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let key = |networks: Value| office.key(&json!({ "role": "owner", "networks": networks }));
    let (here, elsewhere, nowhere) =
        (key(json!(["127.0.0.0/8", "::1"])), key(json!(["192.0.2.0/24"])), key(json!([])));
    let ask = |key: &str, from: Option<&str>| {
        let request = Request::get("/v1/agents").bearer(key);
        said(&office.send(&match from {
            Some(from) => request.header("X-Forwarded-For", from),
            None => request,
        }))
    };
    assert_eq!(ask(&here, None).0, 200);
    for refused in [ask(&elsewhere, None), ask(&nowhere, None), ask(&elsewhere, Some("192.0.2.7"))] {
        // Nobody here is a proxy that is believed.
        assert_eq!((refused.0, refused.1.as_str()), NO);
    }
    // It makes keys for its own networks alone, and is not the owner's key that has to stay.
    let make = |order: Value| office.send(&Request::post("/v1/keys", &order).bearer(&here));
    let networks = |reply: &Reply| reply.json().pointer("/data/networks").cloned();
    let inherited = make(json!({ "role": "gate" }));
    assert_eq!(networks(&inherited), Some(json!(["127.0.0.0/8", "::1/128"])));
    let narrower = make(json!({ "role": "gate", "networks": ["127.1.0.0/16"] }));
    assert_eq!((narrower.status, networks(&narrower)), (201, Some(json!(["127.1.0.0/16"]))));
    for wider in [json!(["0.0.0.0/0"]), json!(["126.0.0.0/7"]), json!(["127.0.0.1", "10.0.0.1"])] {
        let refused = said(&make(json!({ "role": "gate", "networks": wider })));
        assert_eq!((refused.0, refused.1.as_str()), NO, "{wider}");
    }
    for wrong in
        [json!("10.0.0.0/8"), json!([1]), json!(["10.0.0.1/8"]), json!(["host"]), json!(vec!["10.0.0.1"; 65])]
    {
        let refused = office.post("/v1/keys", &json!({ "role": "gate", "networks": wrong }));
        assert_eq!(said(&refused), (400, "request.invalid".into()), "{wrong}");
    }
    let prefix = office.owner().split('_').nth(2).unwrap();
    let last = office.send(&Request::new("DELETE", &format!("/v1/keys/{prefix}")).bearer(office.owner()));
    assert_eq!(said(&last), (409, "key.last_owner".into()));
}

#[test]
fn a_key_bound_to_networks_is_judged_by_whom_a_trusted_proxy_asks_for() {
    let desk = Desk::with_billing();
    let office = Office::open_with(&desk, &["--trust-proxy", "127.0.0.1"]);
    let key = office.key(&json!({ "role": "auditor", "networks": ["192.0.2.0/24", "2001:db8::/32"] }));
    let ask = |from: &str| {
        let request = Request::get("/v1/agents").bearer(&key).header("X-Forwarded-For", from);
        let (status, code) = said(&office.send(&request));
        (status, code == NO.1)
    };
    for (from, status) in [
        ("192.0.2.7", 200),
        ("2001:db8::7", 200),
        // What the client wrote itself stands further left.
        ("192.0.2.7, 198.51.100.1", 403),
        ("198.51.100.1", 403),
        ("198.51.100.1, 192.0.2.9", 200),
        ("nonsense", 403),
    ] {
        assert_eq!(ask(from), (status, status == 403), "{from}");
    }
    assert_eq!(said(&office.send(&Request::get("/v1/agents").bearer(&key))), (NO.0, NO.1.into()));
}

#[test]
fn whoever_makes_a_trusted_proxy_say_nothing_is_not_taken_for_the_proxy() {
    let desk = Desk::with_billing();
    let office = Office::open_with(&desk, &["--trust-proxy", "127.0.0.1"]);
    // The networks of the proxy itself are among those of the key.
    let key = office.key(&json!({ "role": "auditor", "networks": ["127.0.0.0/8"] }));
    let ask = |from: Option<&str>| {
        let request = Request::get("/v1/agents").bearer(&key);
        let request = from.into_iter().fold(request, |request, from| request.header("X-Forwarded-For", from));
        said(&office.send(&request))
    };
    // The octets of a letter beyond ASCII are no text of a field, and a client may write them.
    for from in [None, Some("unknown"), Some(""), Some("é, 203.0.113.5"), Some("é"), Some("203.0.113.5, é")]
    {
        assert_eq!(ask(from), (NO.0, NO.1.into()), "{from:?}");
    }
    assert_eq!(ask(Some("é, 127.0.0.5")).0, 200);
    // Lines are written beside the answers.
    wait("the log", || {
        let told = office.log();
        (told.contains("203.0.113.5 by 127.0.0.1") && told.contains("unknown by 127.0.0.1")).then_some(())
    });
}
