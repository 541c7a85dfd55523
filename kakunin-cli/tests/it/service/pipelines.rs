//! Pipelines that prove what they are by a token of their host, signed with RSA as GitHub's and GitLab's are.

use std::fs;
use std::process::Command;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};

use super::office::Office;
use super::robot::now;
use super::web::Request;
use crate::desk::{Desk, texts};

const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn openssl(desk: &Desk, line: &str) -> Vec<u8> {
    let made = Command::new("openssl").args(line.split(' ')).current_dir(desk.path("")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}

/// A key of RSA, and how its issuer shows it.
fn shows_keys(desk: &Desk) {
    openssl(desk, "genrsa -out issuer.pem 2048");
    let modulus = String::from_utf8(openssl(desk, "rsa -in issuer.pem -modulus -noout")).unwrap();
    let digits = modulus.trim().strip_prefix("Modulus=").unwrap();
    let octet = |place| u8::from_str_radix(digits.get(place..place + 2).unwrap(), 16).unwrap();
    let modulus: Vec<u8> = (0..digits.len()).step_by(2).map(octet).collect();
    let key = json!({
        "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k1", "e": "AQAB",
        "n": Base64UrlUnpadded::encode_string(&modulus),
    });
    fs::write(desk.path("github.jwks.json"), json!({ "keys": [key] }).to_string()).unwrap();
}

/// A token of a job, as its host signs it.
fn token(desk: &Desk, subject: &str, job: u32) -> String {
    let at = now().seconds();
    let claims = json!({
        "iss": ISSUER, "aud": "https://authority.example", "sub": subject, "repository_id": "4711",
        "run_id": job.to_string(), "iat": at, "nbf": at, "exp": at + 300,
    });
    let encoded = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let signed =
        format!("{}.{}", encoded(&json!({ "alg": "RS256", "kid": "k1", "typ": "JWT" })), encoded(&claims));
    fs::write(desk.path("signed"), &signed).unwrap();
    let signature = openssl(desk, "dgst -sha256 -sign issuer.pem signed");
    format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
}

const PRODUCTION: &str = "repo:acme/agents:environment:production";

fn grants(agent: &str) -> String {
    format!(
        "[[issuer]]\nurl = \"{ISSUER}\"\naudience = \"https://authority.example\"\nkeys = \"github.jwks.json\"\n\
         [[issuer.grant]]\nname = \"promote\"\nsubject = \"{PRODUCTION}\"\nclaims = {{ repository_id = \"4711\" }}\n\
         role = \"revoker\"\nagents = [\"{agent}\"]\n"
    )
}

/// Rows T60 and T61 of docs/attacks.md.
#[test]
fn a_pipeline_with_a_grant_may_do_what_the_grant_says_and_no_more() {
    let desk = Desk::with_billing();
    shows_keys(&desk);
    let id = |name: &str| desk.yes(&["agent", "show", name])["id"].as_str().unwrap().to_owned();
    let billing = id("billing");
    desk.yes(&["agent", "create", "other", "--scope", "scope.toml", "--out", "agents/other"]);
    fs::write(desk.path("oidc.toml"), grants(&billing)).unwrap();
    let office = Office::open_with(&desk, &["--oidc", "oidc.toml"]);

    // The token stands where a key would.
    let give = |arguments: &[&str], token: &str| {
        let arguments = [arguments, &["--url", office.url(), "--json"]].concat();
        let output = desk.command(&arguments).env("KAKUNIN_TOKEN", token).output().unwrap();
        let (out, err) = texts(&output);
        (output.status.code(), serde_json::from_str::<Value>(&out).unwrap_or_default(), err)
    };
    let good = token(&desk, PRODUCTION, 1);
    let (code, held, text) = give(&["suspend", "billing", "--reason", "the gate"], &good);
    assert_eq!((code, &held["standing"]), (Some(0), &json!("held")), "{text}");
    // Once, and not about others.
    let (code, said, _) = give(&["suspend", "billing", "--reason", "the gate"], &good);
    assert_eq!(code, Some(2));
    assert!(said["error"].as_str().unwrap().contains("[oidc.used, request "), "{said}");
    let (code, said, _) = give(&["suspend", "other", "--reason", "the gate"], &token(&desk, PRODUCTION, 2));
    assert_eq!(code, Some(1), "{said}");
    let (code, said, _) =
        give(&["suspend", "billing", "--reason", "x"], &token(&desk, "repo:acme/agents:pull_request", 3));
    assert_eq!(code, Some(1));
    assert!(said["error"].as_str().unwrap().contains("[oidc.grant, request "), "{said}");

    // The records say by which job, and the key is one like others: it ends, and can be taken away.
    let log = office.get_as_owner("/v1/audit-log?event_type=key.exchange").json();
    let first = log["data"].as_array().unwrap().last().unwrap();
    assert_eq!(first["description"], format!("promote: {PRODUCTION}, run 1"));
    let ask = |body: &Value| office.send(&Request::post("/v1/tokens/oidc", body));
    let made = ask(&json!({ "token": token(&desk, PRODUCTION, 4) }));
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json()["data"].clone();
    assert_eq!((&made["role"], &made["agents"]), (&json!("revoker"), &json!([billing])));
    assert!(made["expires_at"].is_string());
    let key = made["key"].as_str().unwrap();
    let as_job = |path: &str| office.send(&Request::get(path).bearer(key)).status;
    assert_eq!(
        (as_job("/v1/agents/billing"), as_job("/v1/agents/other"), as_job("/v1/keys")),
        (200, 404, 403)
    );
    // It stops agents; that they go on is for a person.
    for path in ["/v1/agents/billing/resume", "/v1/agents/billing/risk/rebaseline"] {
        let reply = office.send(&Request::post(path, &json!({ "reason": "x" })).bearer(key));
        assert_eq!(
            (reply.status, reply.json()["code"].as_str().unwrap()),
            (403, "access.pipeline"),
            "{path}"
        );
    }
    let prefix = made["prefix"].as_str().unwrap();
    let taken = Request::new("DELETE", &format!("/v1/keys/{prefix}")).bearer(office.owner());
    assert_eq!((office.send(&taken).status, as_job("/v1/agents/billing")), (200, 401));

    for (body, status, code) in [
        (json!({}), 400, "request.invalid"),
        (json!({ "token": "a.b.c" }), 401, "oidc.token"),
        (json!({ "token": "a".repeat(16_385) }), 400, "request.invalid"),
        (json!({ "token": good, "role": "owner" }), 400, "request.invalid"),
    ] {
        let reply = ask(&body);
        assert_eq!((reply.status, reply.json()["code"].as_str().unwrap()), (status, code));
    }
    // Without its issuer's keys nobody is believed.
    fs::remove_file(desk.path("github.jwks.json")).unwrap();
    let reply = ask(&json!({ "token": token(&desk, PRODUCTION, 5) }));
    assert_eq!((reply.status, reply.json()["code"].as_str().unwrap()), (503, "oidc.keys"));
}

#[test]
fn without_grants_no_token_is_taken_and_wrong_ones_let_nothing_start() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let reply = office.send(&Request::post("/v1/tokens/oidc", &json!({ "token": "a.b.c" })));
    assert_eq!((reply.status, reply.json()["code"].as_str().unwrap()), (404, "oidc.off"));
    assert_eq!(office.end(), Some(0));
    fs::write(desk.path("oidc.toml"), grants("x")).unwrap();
    let ended = Office::try_open_by(&desk, Office::command(&desk, &["--oidc", "oidc.toml"]));
    let said = ended.err().unwrap();
    assert!(said.contains("`agents` has to be a list of ids"), "{said}");
}
