//! Every route that takes something, and everything in it that somebody chose to break it: an answer that says what is
//! wrong, in words that nobody obeys, and a service that goes on.

use serde_json::{Value, json};

use super::office::Office;
use super::web::{Reply, Request};
use crate::desk::Desk;

/// Texts that are no harm to keep and none to show.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m",
        "line\r\nX-Injected: yes\r\n\r\n<html>",
        "nul\0nul",
        "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>",
        "'; DROP TABLE agents; --",
        "gnp.\u{202e}fdp\u{2066}\u{200f}\u{feff}",
        "../../../../etc/passwd",
        "=HYPERLINK(\"http://evil\")",
        "${jndi:ldap://evil}{{7*7}}%s%n%x",
        "https://169.254.169.254/latest",
        "9999-12-31T23:59:60Z",
        "-1",
        "18446744073709551616",
        "\u{10ffff}\u{fffd}\u{85}\u{2028}",
    ]
    .map(str::to_owned)
    .into();
    texts.push("x".repeat(1024 * 1024));
    texts.push("\u{1d54f}".repeat(15_000));
    texts
}

/// Values that are no texts, or none of the kind that is asked for.
fn values() -> Vec<String> {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let mut values: Vec<String> = [
        "null",
        "true",
        "[]",
        "{}",
        "-1",
        "0",
        "1e308",
        "1e999",
        "-0.0",
        "123456789012345678901234567890",
        "[[[{\"a\":[]}]]]",
    ]
    .map(str::to_owned)
    .into();
    values.extend([
        deep(33),
        deep(20_000),
        r#""\ud800""#.into(),
        r#""\udc00\ud800""#.into(),
        r#"{"a":1,"a":2}"#.into(),
    ]);
    values
        .extend([r#"{"\u0000":"\u0000","__proto__":{},"constructor":null}"#.into(), "{\"a\":".repeat(5_000)]);
    values
}

/// Bodies that are no object.
fn bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> =
        ["", "x", "[]", "1", "null", "\"x\"", "{", "{}{}", "{\"\":1}", "\u{feff}{}", "{\"a\":1,}"]
            .map(Vec::from)
            .into();
    bodies.extend([
        vec![0; 100],
        vec![0xff; 100],
        b"{\"name\":\"\x1b\"}".to_vec(),
        b"{\"name\":\"\xc0\x80\"}".to_vec(),
    ]);
    bodies.extend([
        vec![b'['; 60_000],
        vec![b'\n'; 60_000],
        b"a.b.c\n".repeat(10_000),
        vec![b'x'; 2 * 1024 * 1024],
    ]);
    bodies
}

fn judged(what: &str, reply: &Reply) {
    let status = reply.status;
    // Not here is an answer, and so is a door that is full for a moment; a fault is none.
    assert!(
        status < 500 || matches!(status, 501 | 503),
        "{what}: {status} {}",
        String::from_utf8_lossy(&reply.body)
    );
    assert!(reply.headers.iter().all(|(name, _)| name != "x-injected"), "{what}");
    let text = std::str::from_utf8(&reply.body);
    assert!(text.is_ok(), "{what}: no text");
    let text = text.unwrap();
    if reply.header("content-type") == "application/json" {
        let harm = |letter: char| letter.is_control() && letter != '\n';
        assert!(!text.contains(harm), "{what}: {text:?}");
        let answer: Result<Value, _> = serde_json::from_str(text);
        assert!(answer.is_ok(), "{what}: {text}");
        let answer = answer.unwrap();
        let said = answer.get("code").is_some() && answer.get("error").is_some();
        assert!(status < 400 || said, "{what}: {text}");
        // What was wrong is said, and not what was sent.
        assert!(status < 400 || text.len() < 4_096, "{what}: {} octets", text.len());
    } else if reply.header("content-type").contains("html") {
        assert!(!text.contains("<script"), "{what}: {text}");
    }
}

/// The routes of the document with the names in their bodies and queries.
fn routes(office: &Office<'_>) -> Vec<(String, String, Vec<String>, Vec<String>)> {
    let document = office.get("/v1/openapi.json").json();
    let mut routes = Vec::new();
    for (path, operations) in document.get("paths").and_then(Value::as_object).unwrap() {
        if operations.get("servers").is_some() {
            continue;
        }
        for (method, operation) in operations.as_object().unwrap() {
            let body = operation.pointer("/requestBody/content/application~1json/schema/properties");
            let body = body
                .and_then(Value::as_object)
                .map(|names| names.keys().cloned().collect())
                .unwrap_or_default();
            let asked = operation["parameters"].as_array().into_iter().flatten();
            let asked = asked.filter(|one| one["in"] == "query").filter_map(|one| one["name"].as_str());
            routes.push((method.to_uppercase(), path.clone(), body, asked.map(str::to_owned).collect()));
        }
    }
    routes
}

fn at(path: &str, id: &str) -> String {
    let path = ["{id}", "{serial}", "{prefix}", "{path}"]
        .iter()
        .fold(path.to_owned(), |path, name| path.replace(name, id));
    format!("/v1{path}")
}

fn quoted(text: &str) -> String {
    text.bytes().map(|octet| format!("%{octet:02X}")).collect()
}

/// A service that knows an agent and has nothing else to tell.
fn office(desk: &Desk) -> Office<'_> {
    let office = Office::open(desk);
    let billing = json!({ "name": "billing", "scope": { "actions": ["read:*"] } });
    assert_eq!(office.post("/v1/agents", &billing).status, 201);
    office
}

#[test]
fn whatever_stands_in_a_member_of_a_body_is_kept_or_refused_and_breaks_nothing() {
    let desk = Desk::empty();
    let office = office(&desk);
    let mut tried = 0;
    for (method, path, names, _) in routes(&office).iter().filter(|(method, ..)| method != "GET") {
        // A key has a pace; and one that may do everything finds whatever there is to find.
        let key = office.key(&json!({ "role": "owner" }));
        let send = |body: Vec<u8>| {
            let request = Request { body, ..Request::new(method, &at(path, "billing")) };
            office.send(&request.bearer(&key))
        };
        for name in names {
            let texts = texts().into_iter().map(|text| json!(text).to_string());
            for value in texts.chain(values()) {
                let body = format!("{{{}:{value}}}", json!(name));
                let shown: String = format!("{method} {path} {body}").chars().take(200).collect();
                judged(&shown, &send(body.into_bytes()));
                tried += 1;
            }
        }
        for body in bodies() {
            let shown: String = String::from_utf8_lossy(&body).chars().take(40).collect();
            // Certifying without a request makes a key, which is dear and no attack of this test.
            if path.ends_with("/certify") && matches!(shown.as_str(), "" | "{}") {
                continue;
            }
            judged(&format!("{method} {path} {shown:?}"), &send(body));
            tried += 1;
        }
    }
    assert!(tried > 1_000, "{tried}");
    goes_on(&office);
}

#[test]
fn whatever_stands_in_a_path_or_a_query_is_no_more_than_a_name() {
    let desk = Desk::empty();
    let office = office(&desk);
    for (method, path, _, names) in routes(&office) {
        let key = office.key(&json!({ "role": "owner" }));
        let send = |target: &str| {
            let mut request = Request::new(&method, target).bearer(&key);
            if method != "GET" {
                request.body = b"{}".to_vec();
            }
            office.send(&request)
        };
        for text in texts().iter().filter(|text| text.len() < 100) {
            if path.contains('{') {
                let target = at(&path, &quoted(text));
                judged(&format!("{method} {target}"), &send(&target));
            }
            // A stream that begins has no end: it is asked for with a beginning that is none.
            for name in names
                .iter()
                .filter(|_| method == "GET" && !path.ends_with("/stream") && !path.starts_with("/feed"))
            {
                let target = format!("{}?{name}={}", at(&path, "billing"), quoted(text));
                judged(&format!("{method} {target}"), &send(&target));
            }
        }
    }
    goes_on(&office);
}

fn goes_on(office: &Office<'_>) {
    assert_eq!(office.get("/health").status, 200);
    assert_eq!(office.get("/ready").status, 200);
    for line in office.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = line.to_string();
        assert!(!text.contains(|letter: char| letter.is_control()), "{text:?}");
        assert!(text.len() < 8_192, "{} octets", text.len());
    }
}
