//! Orders over the network: agents, certificates, standing, and what the audit log says about them.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::office::Office;
use super::web::Request;
use crate::desk::Desk;

#[test]
fn an_agent_is_named_certified_and_revoked_and_the_list_says_so_before_the_answer() {
    let desk = Desk::empty();
    let office = Office::open_with(&desk, &["--without-feed"]);
    let scope = json!({ "actions": ["read:*", "payments:send"],
        "limit": [{ "for": ["payments:send"], "currency": "EUR", "per_action": "10.00" }] });
    let made = office.post("/v1/agents", &json!({ "name": "billing", "scope": scope }));
    assert_eq!((made.status, made.json()["data"]["status"].as_str()), (201, Some("pending")));
    let issued = office.post("/v1/agents/billing/certify", &json!({}));
    let issued = (issued.status, issued.json());
    assert_eq!(issued.0, 201, "{}", issued.1);
    let row = &issued.1["data"];
    assert_eq!(row["permitted_actions"], json!(["payments:send", "read:*"]));

    // Stock tools and our own verifier take what was answered.
    let write = |name: &str, text: &str| fs::write(desk.path(name), text).unwrap();
    write("agent.pem", row["pem"].as_str().unwrap());
    write("chain.pem", row["chain_pem"].as_str().unwrap());
    write("ca.pem", office.get("/v1/ca").json()["data"]["pem"].as_str().unwrap());
    write("lists.pem", &office.get("/v1/crl/all").text());
    let check = [
        "verify-certificate",
        "agent.pem",
        "--root",
        "ca.pem",
        "--untrusted",
        "chain.pem",
        "--crl",
        "lists.pem",
    ];
    desk.yes(&check);

    let revoked = office.post("/v1/agents/billing/revoke", &json!({ "reason": "key compromise" })).json();
    let row = &revoked["data"];
    assert_eq!((&row["standing"], &row["before"]), (&json!("revoked"), &json!("good")));
    let list = office.get("/v1/crl");
    assert_eq!(list.header("x-crl-number"), row["list_number"].to_string());
    write("list.pem", &list.text());
    let text =
        Command::new("openssl").args(["crl", "-noout", "-text", "-in"]).arg(desk.path("list.pem")).output();
    let text = String::from_utf8(text.unwrap().stdout).unwrap();
    assert!(
        text.contains(row["certificate_serial"].as_str().unwrap()) && text.contains("Key Compromise"),
        "{text}"
    );
    write("lists.pem", &office.get("/v1/crl/all").text());
    desk.answer(&check, 1);
    // Revoked is final.
    for tail in ["suspend", "resume", "certify"] {
        let refused = office.post(&format!("/v1/agents/billing/{tail}"), &json!({}));
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (409, Some("agent.standing")),
            "{tail}"
        );
    }
    let back = office.post("/v1/agents/billing/certify", &json!({ "after_revocation": true }));
    assert_eq!(back.status, 201, "{}", back.text());
}

#[test]
fn whoever_has_the_answer_gets_the_list_that_says_so() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    for verb in ["suspend", "resume"].into_iter().cycle().take(30) {
        let answer = office.post(&format!("/v1/agents/billing/{verb}"), &json!({})).json();
        assert_eq!(office.get("/v1/crl").header("x-crl-number"), answer["data"]["list_number"].to_string());
    }
}

#[test]
fn a_request_gives_its_key_and_nothing_else() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let openssl = |arguments: &[&str]| {
        assert!(
            Command::new("openssl")
                .args(arguments)
                .current_dir(desk.path(""))
                .output()
                .unwrap()
                .status
                .success()
        );
    };
    openssl(&[
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "k.pem",
        "-out",
        "r.pem",
        "-subj",
        "/CN=another",
        "-addext",
        "subjectAltName=URI:urn:kakunin:agent:00000000-0000-4000-8000-000000000000",
        "-addext",
        "basicConstraints=critical,CA:TRUE",
    ]);
    let request = fs::read_to_string(desk.path("r.pem")).unwrap();
    let issued = office.post("/v1/agents/billing/certify", &json!({ "csr": request, "days": 1 })).json();
    fs::write(desk.path("c.pem"), issued["data"]["pem"].as_str().unwrap()).unwrap();
    let shown = desk.yes(&["inspect", "c.pem"]).to_string();
    let id = office.get_as_owner("/v1/agents/billing").json()["data"]["id"].as_str().unwrap().to_owned();
    assert!(shown.contains(&id) && !shown.contains("another"), "{shown}");
    let held = desk.path(".kakunin/held");
    assert!(!held.exists(), "the authority has no key of an agent that brought its own");
    let flipped = request.replacen('B', "C", 1);
    for (csr, days) in [(flipped.as_str(), 1), ("nonsense", 1), (&request.replace("REQUEST", "X"), 1)] {
        let refused = office.post("/v1/agents/billing/certify", &json!({ "csr": csr, "days": days }));
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (422, Some("csr.invalid")),
            "{}",
            refused.text()
        );
    }
    for days in [json!(0), json!(401), json!(1.5), json!("7"), json!(-1)] {
        assert_eq!(office.post("/v1/agents/billing/certify", &json!({ "days": days })).status, 400, "{days}");
    }
}

#[test]
fn every_order_is_in_the_log_with_who_before_after_and_outcome() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let issuer = office.key(&json!({ "role": "issuer", "label": "ci" }));
    let name = json!({ "name": "billing", "scope": { "actions": ["read:*"] } });
    let send = |path: &str, body: &Value| office.send(&Request::post(path, body).bearer(&issuer));
    assert_eq!(send("/v1/agents", &name).status, 201);
    let taken = send("/v1/agents", &name);
    assert_eq!((taken.status, taken.json()["code"].as_str()), (409, Some("agent.name_taken")));
    let hostile = "\u{1b}[2J<script>\"'\u{202e}\r\n{\"at\":1}";
    office.post("/v1/agents/billing/suspend", &json!({ "reason": hostile }));
    let id = office.get_as_owner("/v1/agents/billing").json()["data"]["id"].clone();
    let log = office.get_as_owner("/v1/audit-log").json();
    let rows = log["data"].as_array().unwrap();
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row["event_type"].as_str().unwrap(), row["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("agent.suspend", "done"),
            ("agent.create", "refused"),
            ("agent.create", "done"),
            ("key.create", "done"),
            ("key.create", "done")
        ]
    );
    assert_eq!((&rows[0]["affected_id"], rows[0]["description"].as_str()), (&id, Some(hostile)));
    assert_eq!(
        (&rows[0]["metadata"]["before"], &rows[0]["metadata"]["after"]),
        (&json!("good"), &json!("held"))
    );
    assert_eq!(rows[1]["outcome_detail"], "agent.name_taken");
    assert_eq!(rows[1]["actor_id"].as_str(), issuer.split('_').nth(2));
    // Pages end where the next one begins.
    let mut pages = Vec::new();
    let mut path = "/v1/audit-log?limit=2".to_owned();
    loop {
        let page = office.get_as_owner(&path).json();
        pages.extend(page["data"].as_array().unwrap().clone());
        let Some(cursor) = page["pagination"]["next_cursor"].as_str() else { break };
        path = format!("/v1/audit-log?limit=2&cursor={cursor}");
    }
    assert_eq!(&pages, rows);
    for wrong in
        ["limit=0", "limit=101", "limit=abc", "cursor=x", "since=yesterday", "actor=nobody", "offset=1"]
    {
        let refused = office.get_as_owner(&format!("/v1/audit-log?{wrong}"));
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (400, Some("request.invalid")),
            "{wrong}"
        );
    }
    let lines = office.log();
    assert!(
        !lines.contains(hostile) && lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
}

#[test]
fn bodies_that_are_not_what_they_should_be_change_nothing() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let scope = r#"{"actions":["read:*"]}"#;
    for (body, status) in [
        ("[]".to_owned(), 400),
        ("{".to_owned(), 400),
        (format!(r#"{{"name":"a","name":"b","scope":{scope}}}"#), 400),
        (format!(r#"{{"name":"a","scope":{scope},"status":"active"}}"#), 400),
        (format!(r#"{{"scope":{scope}}}"#), 400),
        (format!(r#"{{"name":"","scope":{scope}}}"#), 400),
        (format!(r#"{{"name":"a","model":5,"scope":{scope}}}"#), 400),
        (format!(r#"{{"name":"a","metadata":[],"scope":{scope}}}"#), 400),
        (format!(r#"{{"name":"a","metadata":{{"permitted_actions":["b:c"]}},"scope":{scope}}}"#), 400),
        (r#"{"name":"a","metadata":{"permitted_actions":["b:c"],"scopes":["b:d"]}}"#.to_owned(), 400),
        (r#"{"name":"a","scope":{"actions":["*"]}}"#.to_owned(), 422),
        (r#"{"name":"a","scope":{"actions":["read:*"],"limits":[]}}"#.to_owned(), 422),
        (r#"{"name":"a","scope":{"actions":["read:*"],"counterparties":[{"for":["read:*"],"allow_file":"/etc/passwd"}]}}"#.to_owned(), 422),
        (format!(r#"{{"name":"a","scope":{}{}}}"#, "[".repeat(40), "]".repeat(40)), 400),
        (format!(r#"{{"name":"{}","scope":{scope}}}"#, "a".repeat(70_000)), 413),
    ] {
        let mut request = Request::new("POST", "/v1/agents").bearer(office.owner());
        request.body = body.clone().into_bytes();
        let reply = office.send(&request);
        assert_eq!(reply.status, status, "{} {}", body.get(..80).unwrap_or(&body), reply.text());
        assert!(!reply.text().contains("root:"), "a file was read");
        let named = reply.json();
        assert!(named["code"].is_string() && named["request_id"].is_string(), "{named}");
    }
    assert_eq!(office.get_as_owner("/v1/agents").json()["meta"]["total"], 0);
}

#[test]
fn a_halt_is_revoked_with_a_receipt_that_the_issuing_key_signed() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let halted = office.post("/v1/agents/billing/halt", &json!({})).json();
    let row = &halted["data"];
    assert_eq!((&row["standing"], &row["status"]), (&json!("revoked"), &json!("retired")));
    for name in ["agent_id", "halt_event_id", "certificate_serial", "halted_at", "signature", "algorithm"] {
        assert!(row[name].is_string(), "{name} {row}");
    }
    let receipt = row["halt_receipt"]["receipt"].as_str().unwrap();
    fs::write(desk.path("said"), format!("kakunin halt receipt 1\n{receipt}")).unwrap();
    let digits: Vec<u8> =
        row["signature"].as_str().unwrap().chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    let bytes = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]);
    fs::write(desk.path("signature"), bytes.collect::<Vec<_>>()).unwrap();
    let openssl = |arguments: &[&str]| {
        Command::new("openssl").args(arguments).current_dir(desk.path("")).output().unwrap()
    };
    let key = openssl(&["x509", "-in", ".kakunin/public/chain.pem", "-pubkey", "-noout"]);
    fs::write(desk.path("key.pub"), key.stdout).unwrap();
    let verify = ["dgst", "-sha256", "-verify", "key.pub", "-signature", "signature", "said"];
    assert!(openssl(&verify).status.success());
    fs::write(desk.path("said"), receipt).unwrap();
    assert!(!openssl(&verify).status.success());
}
