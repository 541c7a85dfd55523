//! Agents elsewhere: tokens, requests that are no good, and what comes with a first certificate.

use std::fs;
use std::process::Command;

use kakunin_core::certificate::request_pem;
use kakunin_core::digest::Digest;
use kakunin_core::key::Signer;
use serde_json::{Value, json};

use super::office::Office;
use super::robot::{Robot, ders, new_key, now};
use super::web::{Reply, Request};
use crate::desk::{Desk, texts};

fn code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json().get("code").and_then(Value::as_str).unwrap_or("yes").to_owned())
}

fn name(office: &Office<'_>, name: &str) {
    let made = office.post("/v1/agents", &json!({ "name": name, "scope": { "actions": ["read:*"] } }));
    assert_eq!(made.status, 201, "{}", made.text());
}

fn token(office: &Office<'_>, name: &str) -> String {
    let made = office.post(&format!("/v1/agents/{name}/tokens"), &json!({ "minutes": 5 }));
    assert_eq!(made.status, 201, "{}", made.text());
    made.json().pointer("/data/token").and_then(Value::as_str).unwrap().to_owned()
}

fn enrol(office: &Office<'_>, name: &str, token: &str, key: &Signer) -> Reply {
    let body = json!({ "csr": request_pem(key).unwrap() });
    office.send(&Request::post(&format!("/v1/agents/{name}/enrol"), &body).bearer(token))
}

#[test]
fn a_token_enrols_one_key_and_the_agent_renews_from_then_on() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let vendors: Vec<String> = (0..40).map(|number| format!("vendor-{number:02}")).collect();
    let scope = json!({ "actions": ["payments:send"],
        "counterparties": [{ "for": ["payments:send"], "allow": vendors }] });
    assert_eq!(office.post("/v1/agents", &json!({ "name": "robot", "scope": scope })).status, 201);
    let token = token(&office, "robot");
    let key = new_key();
    let enrolled = enrol(&office, "robot", &token, &key);
    assert_eq!(enrolled.status, 201, "{}", enrolled.text());
    let papers = enrolled.json()["data"].clone();
    // The token says which root to believe.
    let root = ders(papers["ca_pem"].as_str().unwrap());
    assert_eq!(Digest::of(&root[0]).to_hex(), token.rsplit('_').next().unwrap());
    assert_eq!(ders(papers["chain_pem"].as_str().unwrap()).len(), 1);
    assert!(papers["lists_pem"].as_str().unwrap().matches("BEGIN X509 CRL").count() == 2);
    assert!(papers["genesis"].as_str().unwrap().starts_with("kakunin-genesis-v1\n"));
    let names = papers["names"].as_object().unwrap();
    assert_eq!(names.len(), 1);
    let (file, text) = names.iter().next().unwrap();
    let text = base64(text.as_str().unwrap());
    assert!(file.ends_with(".txt") && text.starts_with("vendor-00\n") && text.lines().count() == 40);

    // The answer was lost: the same key, the same certificate. Somebody else's key: none.
    let again = enrol(&office, "robot", &token, &key).json();
    assert_eq!(again["data"]["serial_number"], papers["serial_number"]);
    assert_eq!(code(&enrol(&office, "robot", &token, &new_key())), (409, "token.used".into()));
    let shown = office.get_as_owner("/v1/agents/robot").json();
    assert_eq!(shown["data"]["certificates"].as_array().unwrap().len(), 1);

    let mut robot = Robot::with(&office, key, papers);
    let renew = Request::post("/v1/agents/robot/renew", &json!({}));
    let mut renewed: Vec<_> = (0..3).map(|_| robot.send(renew.clone()).json()["data"].clone()).collect();
    assert_ne!(renewed[1]["serial_number"], renewed[2]["serial_number"]);
    // Enough for now: the newest one again, and nothing for whoever has that. The audit log does not grow by it.
    let again = robot.send(renew.clone()).json();
    assert_eq!(again["data"]["serial_number"], renewed[2]["serial_number"], "{again}");
    robot.papers = renewed.pop().unwrap();
    let enough = robot.send(renew);
    assert_eq!(code(&enough), (429, "renewal.enough".into()));
    assert!((43_000..=43_200).contains(&enough.header("retry-after").parse::<u32>().unwrap()));
    let log = office.get_as_owner("/v1/audit-log?event_type=certificate.renew").json();
    assert_eq!(log["data"].as_array().unwrap().len(), 3);

    let log = office.get_as_owner("/v1/audit-log?event_type=certificate.issue").json();
    let prefix = token.split('_').nth(2).unwrap();
    assert!(log.to_string().contains(&format!("token:{prefix}")), "{log}");
    let log = office.get_as_owner("/v1/audit-log?event_type=token.create").json();
    assert_eq!(log["data"].as_array().unwrap().len(), 1);
    let secret = token.split('_').nth(3).unwrap();
    assert!(!office.log().contains(secret) && !log.to_string().contains(secret));
    for file in ["store.sqlite", "store.sqlite-wal"] {
        let bytes = fs::read(desk.path(".kakunin").join(file)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|piece| piece == secret.as_bytes()), "{file}");
    }
}

#[test]
fn tokens_that_are_no_good_enrol_nobody() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    name(&office, "robot");
    name(&office, "other");
    let token = token(&office, "robot");
    let key = new_key();
    let parts: Vec<&str> = token.split('_').collect();
    let [_, _, prefix, secret, root] = parts[..] else { panic!("{token}") };
    let zeros = "0".repeat(64);
    for wrong in [
        format!("kak_enrol_{prefix}_{zeros}_{root}"),
        format!("kak_enrol_aaaaaaaaaaaa_{secret}_{root}"),
        // With another root in it the agent would believe somebody else.
        format!("kak_enrol_{prefix}_{secret}_{zeros}"),
    ] {
        assert_eq!(code(&enrol(&office, "robot", &wrong, &key)), (401, "access.token".into()), "{wrong}");
    }
    for wrong in [format!("kak_enrol_{prefix}_{secret}"), format!("kak_live_{prefix}_{secret}")] {
        assert_eq!(code(&enrol(&office, "robot", &wrong, &key)), (401, "access.key".into()), "{wrong}");
    }
    // For another agent, and for another route.
    assert_eq!(code(&enrol(&office, "other", &token, &key)), (404, "not_found".into()));
    assert_eq!(code(&enrol(&office, "nobody", &token, &key)), (404, "not_found".into()));
    for (method, path) in [
        ("GET", "/v1/agents/robot"),
        ("POST", "/v1/agents/robot/certify"),
        ("POST", "/v1/agents/robot/tokens"),
    ] {
        let reply = office.send(&Request::new(method, path).bearer(&token));
        assert_eq!(code(&reply), (401, "access.key".into()), "{path}");
    }
    for (more, expected) in [
        (json!({ "days": 2 }), (403, "access.role")),
        (json!({ "after_revocation": true }), (403, "access.role")),
        (json!({ "days": 0 }), (400, "request.invalid")),
        (json!({ "scope": { "actions": ["*"] } }), (400, "request.invalid")),
    ] {
        let mut body = json!({ "csr": request_pem(&key).unwrap() });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = office.send(&Request::post("/v1/agents/robot/enrol", &body).bearer(&token));
        assert_eq!(code(&reply), (expected.0, expected.1.to_owned()), "{more}");
    }
    for minutes in [json!(0), json!(61), json!("5"), json!(1.5)] {
        let reply = office.post("/v1/agents/robot/tokens", &json!({ "minutes": minutes }));
        assert_eq!(code(&reply), (400, "request.invalid".into()), "{minutes}");
    }
    let order = |what: &str| {
        assert_eq!(office.post(&format!("/v1/agents/robot/{what}"), &json!({ "reason": "x" })).status, 200)
    };
    order("suspend");
    assert_eq!(code(&enrol(&office, "robot", &token, &key)), (409, "agent.standing".into()));
    let more = || code(&office.post("/v1/agents/robot/tokens", &json!({})));
    assert_eq!(more(), (409, "agent.standing".into()));
    order("resume");
    order("revoke");
    assert_eq!(more(), (409, "agent.standing".into()));
    // Gone with the agent, also when it comes back.
    assert_eq!(code(&enrol(&office, "robot", &token, &key)), (401, "access.token".into()));
    let csr = request_pem(&key).unwrap();
    let back = json!({ "csr": csr, "after_revocation": true });
    assert_eq!(office.post("/v1/agents/robot/enrol", &json!({ "csr": csr })).status, 409);
    assert_eq!(office.post("/v1/agents/robot/enrol", &back).status, 201);
    assert_eq!(code(&enrol(&office, "robot", &token, &key)), (401, "access.token".into()));

    let late = self::token(&office, "other");
    let ended = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('UPDATE tokens SET expires = ?', [sys.argv[2]]); c.commit()";
    let until = now().plus(-1).seconds().to_string();
    let mut python = Command::new("python3");
    python.args(["-c", ended]).arg(desk.path(".kakunin/store.sqlite")).arg(&until);
    assert!(python.status().unwrap().success());
    assert_eq!(code(&enrol(&office, "other", &late, &new_key())), (401, "access.token".into()));
    let shown = office.get_as_owner("/v1/agents/other").json();
    assert_eq!(shown["data"]["certificates"], json!([]));
}

#[test]
fn requests_that_prove_no_key_get_no_certificate() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    name(&office, "robot");
    let token = token(&office, "robot");
    let good = request_pem(&new_key()).unwrap();
    let openssl = |arguments: &str| {
        let line = format!("req -new -nodes -keyout k.pem -subj /CN=x -out r.pem {arguments}");
        let made = Command::new("openssl").args(line.split(' ')).current_dir(desk.path("")).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::read_to_string(desk.path("r.pem")).unwrap()
    };
    let (head, rest) = good.split_once('\n').unwrap();
    let (body, tail) = rest.split_once("-----END").unwrap();
    let (body, tail) = (body.replace('\n', ""), format!("-----END{tail}"));
    let wrapped = |der: &[u8]| format!("{head}\n{}\n{tail}", base64_of(der));
    let der = base64_octets(&body);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = der.clone();
        change(&mut changed);
        wrapped(&changed)
    };
    assert_eq!(wrapped(&der).replace('\n', ""), good.replace('\n', ""));
    let mut wrong = vec![
        ("nothing", "-".to_owned()),
        ("another label", good.replace("CERTIFICATE REQUEST", "CERTIFICATE")),
        ("two of them", format!("{good}{good}")),
        ("a text before it", format!("hello\n{good}hello")),
        ("no end", good.replace("-----END", "----END")),
        ("NUL", good.replace("\n-----END", "\0\n-----END")),
        ("RSA", openssl("-newkey rsa:2048")),
        ("P-384", openssl("-newkey ec -pkeyopt ec_paramgen_curve:P-384")),
        ("SHA-512", openssl("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha512")),
        (
            "explicit curve",
            openssl("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit"),
        ),
        ("octets behind it", with(&|der| der.push(0))),
        ("an octet missing", with(&|der| der.truncate(der.len() - 1))),
        ("indefinite length", with(&|der| der[1] = 0x80)),
    ];
    for at in (0..der.len()).step_by(7) {
        wrong.push(("an octet changed", with(&|der| der[at] ^= 1)));
    }
    for (why, csr) in &wrong {
        for bearer in [token.as_str(), office.owner()] {
            let request = Request::post("/v1/agents/robot/enrol", &json!({ "csr": csr })).bearer(bearer);
            assert_eq!(code(&office.send(&request)), (422, "csr.invalid".into()), "{why}: {csr}");
        }
    }
    for body in [json!({}), json!({ "csr": "" }), json!({ "csr": 1 }), json!({ "csr": "x".repeat(16_385) })] {
        let request = Request::post("/v1/agents/robot/enrol", &body).bearer(&token);
        assert_eq!(code(&office.send(&request)), (400, "request.invalid".into()));
    }
    let shown = office.get_as_owner("/v1/agents/robot").json();
    assert_eq!(shown["data"]["certificates"], json!([]));

    // What a good one asks for besides is not looked at, and the token is still good for it.
    let greedy = openssl(
        "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -addext basicConstraints=critical,CA:TRUE -addext subjectAltName=URI:urn:kakunin:agent:00000000-0000-4000-8000-000000000000 -addext extendedKeyUsage=serverAuth -addext keyUsage=keyCertSign",
    );
    let request = Request::post("/v1/agents/robot/enrol", &json!({ "csr": greedy })).bearer(&token);
    let papers = office.send(&request).json();
    fs::write(desk.path("c.pem"), papers["data"]["certificate_pem"].as_str().unwrap()).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-noout", "-text", "-in", "c.pem"]).current_dir(desk.path(""));
    let text = String::from_utf8(openssl.output().unwrap().stdout).unwrap();
    for never in
        ["CA:TRUE", "00000000-0000-4000-8000-000000000000", "TLS Web Server", "Certificate Sign", "CN = x"]
    {
        assert!(!text.contains(never), "{never}: {text}");
    }
}

#[test]
fn the_commands_that_the_service_prints_work_as_pasted() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let said = fs::read_to_string(desk.path("service.out")).unwrap();
    let commands: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(commands.len(), 3, "{said}");
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_kakunin"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    let output =
        shell.args(["-ec", &commands.join("\n")]).current_dir(desk.path("")).env("PATH", path).output();
    let (out, err) = texts(&output.unwrap());
    let token =
        out.lines().find(|line| line.starts_with("kak_enrol_")).unwrap_or_else(|| panic!("{out}{err}"));
    assert_eq!(enrol(&office, "billing", token, &new_key()).status, 201);
    assert!(said.contains(&format!("KAKUNIN_URL={}", office.url())), "{said}");
}

#[test]
fn a_token_is_made_where_the_home_is_and_is_good_where_it_is_served() {
    let desk = Desk::with_billing();
    let made = desk.yes(&["agent", "token", "billing", "--minutes", "5"]);
    let until = made["expires_at"].as_str().unwrap();
    let until = kakunin_core::time::UnixTime::parse_rfc3339(until).unwrap();
    assert!((200..=300).contains(&(until.seconds() - now().seconds())), "{made}");
    desk.answer(&["agent", "token", "billing", "--minutes", "61"], 64);
    desk.answer(&["agent", "token", "nobody"], 1);
    desk.yes(&["suspend", "billing", "--reason", "x"]);
    desk.answer(&["agent", "token", "billing"], 1);
    desk.yes(&["resume", "billing", "--reason", "x"]);
    let office = Office::open(&desk);
    let token = made["token"].as_str().unwrap();
    assert_eq!(enrol(&office, "billing", token, &new_key()).status, 201);
    let log = office.get_as_owner("/v1/audit-log?event_type=token.create").json();
    let rows = log["data"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{log}");
    assert!(rows.iter().all(|row| row["actor_type"] == "local"), "{log}");
}

#[test]
fn a_directory_elsewhere_is_written_and_renewed_over_the_network() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    name(&office, "robot");
    name(&office, "other");
    let token = token(&office, "robot");
    let give = |arguments: &[&str], key: &str| {
        let arguments = [arguments, &["--url", office.url(), "--json"]].concat();
        let output = desk.command(&arguments).env("KAKUNIN_TOKEN", key).output().unwrap();
        let (out, err) = texts(&output);
        (output.status.code(), serde_json::from_str::<Value>(&out).unwrap_or_default(), err)
    };
    let certify = ["agent", "certify", "robot", "--out", "robots/one"];
    // A root that was put into the token is not believed, whoever answers.
    let zeros = format!("{}_{}", token.rsplit_once('_').unwrap().0, "0".repeat(64));
    assert_eq!(give(&certify, &zeros).0, Some(2));
    assert!(!desk.path("robots/one/agent.pem").exists() && !desk.path("robots/one/key.pem").exists());
    let (code, made, err) = give(&certify, &token);
    assert_eq!(code, Some(0), "{err}");
    let read = |file: &str| fs::read_to_string(desk.path("robots/one").join(file)).unwrap();
    assert!(read("genesis").starts_with("kakunin-genesis-v1"));
    assert!(read("agent.toml").contains("lists = \"lists.pem\""), "{}", read("agent.toml"));
    let check = [
        "verify-certificate",
        "robots/one/agent.pem",
        "--root",
        "robots/one/ca.pem",
        "--untrusted",
        "robots/one/chain.pem",
        "--crl",
        "robots/one/lists.pem",
    ];
    // Everything is proven but what the feed says now, which these lists ask for.
    let shown = desk.answer(&check, 1);
    assert_eq!((&shown["code"], &shown["standing"]), (&json!("revocation.stale"), &json!("good")));

    // It renews itself, with no key of the service, and spends what it had left.
    fs::remove_file(desk.path("robots/one/genesis")).unwrap();
    let (key, before) = (read("key.pem"), read("agent.pem"));
    let (code, renewed, err) = give(&["agent", "renew", "robot", "--out", "robots/one"], "");
    assert_eq!(code, Some(0), "{err}");
    assert_ne!(renewed["serial"], made["serial"]);
    assert!(
        read("key.pem") == key && read("agent.pem") != before && !desk.path("robots/one/genesis").exists()
    );
    assert_eq!(desk.answer(&check, 1)["serial"], renewed["serial"]);
    assert_eq!(give(&["agent", "renew", "other", "--out", "robots/one"], "").0, Some(1));
    assert_eq!(give(&["agent", "renew", "robot", "--out", "robots/one", "--days", "9"], "").0, Some(64));
    assert_eq!(give(&["agent", "renew", "robot"], "").0, Some(64));

    // An issuer's key gives more than a day, and no directory gets another agent.
    let (code, made, err) =
        give(&["agent", "certify", "other", "--out", "robots/two", "--days", "30"], office.owner());
    assert_eq!(code, Some(0), "{err}");
    let until = kakunin_core::time::UnixTime::parse_rfc3339(made["not_after"].as_str().unwrap()).unwrap();
    assert!(until.seconds() - now().seconds() > 29 * 86_400);
    let mixed = give(&["agent", "certify", "other", "--out", "robots/one"], office.owner());
    assert_eq!(mixed.0, Some(1), "{}", mixed.2);
    assert_eq!(read("key.pem"), key);
    office.post("/v1/agents/robot/suspend", &json!({ "reason": "x" }));
    let (code, _, err) = give(&["agent", "renew", "robot", "--out", "robots/one"], "");
    assert!(code == Some(2) && err.contains("[certificate.held, request "), "{err}");
}

/// Whatever stands in a block.
fn base64_octets(text: &str) -> Vec<u8> {
    ders(&format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")).remove(0)
}

fn base64(text: &str) -> String {
    String::from_utf8(base64_octets(text)).unwrap()
}

fn base64_of(octets: &[u8]) -> String {
    let pem = der::pem::encode_string("X", der::pem::LineEnding::LF, octets).unwrap();
    pem.lines().filter(|line| !line.starts_with("-----")).collect::<Vec<_>>().join("\n")
}
