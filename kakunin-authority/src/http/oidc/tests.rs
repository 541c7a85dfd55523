use std::fs;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;

const NOW: UnixTime = UnixTime::from_seconds(1_795_000_000);
const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// An issuer, with its keys in a folder.
struct Issuer {
    folder: tempfile::TempDir,
    key: EcdsaKeyPair,
}

fn encoded(octets: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(octets)
}

fn new_key() -> EcdsaKeyPair {
    let (rule, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let key = EcdsaKeyPair::generate_pkcs8(rule, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(rule, key.as_ref(), &random).unwrap()
}

fn shown(id: &str, key: &EcdsaKeyPair) -> Value {
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256", "x": encoded(x), "y": encoded(y) })
}

const GRANTS: &str = r#"
[[issuer]]
url = "https://token.actions.githubusercontent.com"
audience = "https://authority.example"
keys = "keys.json"

[[issuer.grant]]
name = "promote"
subject = "repo:acme/agents:environment:production"
claims = { repository_id = "4711", run_attempt = "1" }
role = "revoker"
agents = ["95b16074-79f4-4e87-89c4-fa4ef044c61c"]
minutes = 5

[[issuer.grant]]
name = "report"
subject = "repo:acme/agents:ref:refs/heads/main"
claims = { repository_id = "4711", event_name = "push" }
role = "auditor"
agents = "any"
"#;

impl Issuer {
    fn new() -> Self {
        let issuer = Self { folder: tempfile::tempdir().unwrap(), key: new_key() };
        issuer.shows(&json!([shown("now", &issuer.key)]));
        issuer
    }

    fn shows(&self, keys: &Value) {
        fs::write(self.folder.path().join("keys.json"), json!({ "keys": keys }).to_string()).unwrap();
    }

    fn pipelines(&self, grants: &str) -> Result<Pipelines, GrantsError> {
        let file = self.folder.path().join("oidc.toml");
        fs::write(&file, grants).unwrap();
        Pipelines::read(&file)
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed =
            format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encoded(signature.as_ref()))
    }

    /// A token of a job, with these claims in place of its own.
    fn token(&self, other: &Value) -> String {
        self.sign(&header(), &claims(other))
    }
}

fn header() -> Value {
    json!({ "typ": "JWT", "alg": "ES256", "kid": "now" })
}

fn claims(other: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER,
        "aud": "https://authority.example",
        "sub": "repo:acme/agents:environment:production",
        "repository_id": "4711",
        "run_attempt": "1",
        "run_id": "17",
        "iat": NOW.seconds(),
        "nbf": NOW.seconds() - 600,
        "exp": NOW.seconds() + 300,
    });
    claims.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    claims
}

fn code(came: Result<Granted, Refusal>) -> &'static str {
    came.map_or_else(|refusal| refusal.code, |_| "granted")
}

#[test]
fn a_job_with_a_grant_gets_what_the_grant_says_and_a_token_is_good_once() {
    let issuer = Issuer::new();
    let pipelines = issuer.pipelines(GRANTS).unwrap();
    let token = issuer.token(&json!({}));
    let granted = pipelines.exchange(&token, NOW).unwrap();
    let order = granted.order(NOW);
    assert_eq!((order.role.word(), order.tenant.as_str()), ("revoker", "default"));
    assert_eq!(order.agents.map(|agents| agents.len()), Some(1));
    assert_eq!(order.expires, Some(NOW.plus(300)));
    assert!(order.label.starts_with(EXCHANGED), "{}", order.label);
    assert_eq!(granted.whom, "promote: repo:acme/agents:environment:production, run 17");
    assert_eq!(code(pipelines.exchange(&token, NOW)), "oidc.used");
    // The same token under another signature is the same token.
    let again = issuer.token(&json!({}));
    assert_ne!(token, again);
    assert_eq!(code(pipelines.exchange(&again, NOW)), "oidc.used");
    let main = json!({ "event_name": "push", "sub": "repo:acme/agents:ref:refs/heads/main", "aud": ["https://authority.example"] });
    let order = pipelines.exchange(&issuer.token(&main), NOW).unwrap().order(NOW);
    assert_eq!((order.role.word(), order.agents), ("auditor", None));
}

/// Row T60 of docs/attacks.md.
#[test]
fn a_job_of_another_subject_or_with_other_claims_has_no_grant() {
    let issuer = Issuer::new();
    let pipelines = issuer.pipelines(GRANTS).unwrap();
    for other in [
        json!({ "sub": "repo:acme/agents:environment:staging" }),
        json!({ "sub": "repo:acme/agents:environment:production2" }),
        json!({ "sub": "repo:Acme/agents:environment:production" }),
        json!({ "sub": "repo:acme/agents:pull_request" }),
        json!({ "repository_id": "4712" }),
        json!({ "repository_id": null }),
        json!({ "run_attempt": ["1"] }),
    ] {
        let refusal = pipelines.exchange(&issuer.token(&other), NOW).unwrap_err();
        assert_eq!((refusal.code, refusal.status), ("oidc.grant", StatusCode::FORBIDDEN), "{other}");
    }
    // A number is compared as it is written.
    assert_eq!(code(pipelines.exchange(&issuer.token(&json!({ "repository_id": 4711 })), NOW)), "granted");
}

/// Row T61.
#[test]
fn a_token_that_is_not_proven_for_us_and_for_now_is_no_good() {
    let issuer = Issuer::new();
    let pipelines = issuer.pipelines(GRANTS).unwrap();
    let now = NOW.seconds();
    for other in [
        json!({ "iss": "https://token.actions.githubusercontent.com/" }),
        json!({ "iss": "https://example.com" }),
        json!({ "iss": null }),
        json!({ "aud": "https://authority.example/" }),
        json!({ "aud": ["https://authority.example", "https://other.example"] }),
        json!({ "aud": [] }),
        json!({ "aud": null }),
        json!({ "exp": now }),
        json!({ "exp": now - 1 }),
        json!({ "exp": null }),
        json!({ "exp": "9999999999" }),
        json!({ "exp": now + 3601 }),
        json!({ "iat": now + 61 }),
        json!({ "iat": null }),
        json!({ "iat": i64::MIN }),
        json!({ "nbf": now + 61 }),
        json!({ "nbf": "soon" }),
        json!({ "sub": null }),
    ] {
        let refusal = pipelines.exchange(&issuer.token(&other), NOW).unwrap_err();
        assert_eq!((refusal.code, refusal.status), ("oidc.token", StatusCode::UNAUTHORIZED), "{other}");
    }
    let (head, claims) = (header(), claims(&json!({})));
    let with = |name: &str, value: Value| {
        let mut head = head.clone();
        head.as_object_mut().unwrap().insert(name.into(), value);
        issuer.sign(&head, &claims)
    };
    let good = issuer.sign(&head, &claims);
    let (signed, _) = good.rsplit_once('.').unwrap();
    let stranger = Issuer { folder: tempfile::tempdir().unwrap(), key: new_key() };
    for (what, token) in [
        ("no rule", with("alg", json!("none"))),
        ("no rule", format!("{}.", with("alg", json!("none")).rsplit_once('.').unwrap().0)),
        ("another rule", with("alg", json!("RS256"))),
        ("a secret", with("alg", json!("HS256"))),
        ("a key that is not there", with("kid", json!("then"))),
        ("no key", with("kid", Value::Null)),
        ("what nobody understands", with("crit", json!(["b64"]))),
        ("by somebody else", stranger.sign(&head, &claims)),
        ("no signature", format!("{signed}.")),
        ("another signature", format!("{signed}.{}", encoded(&[0; 64]))),
        ("padded", format!("{good}=")),
        ("two parts", signed.to_owned()),
        ("four parts", format!("{good}.{signed}")),
        ("no object", issuer.sign(&head, &json!([]))),
        ("nothing", String::new()),
    ] {
        assert_eq!(code(pipelines.exchange(&token, NOW)), "oidc.token", "{what}");
    }
    assert_eq!(code(pipelines.exchange(&good, NOW)), "granted");
}

/// Row T62.
#[test]
fn keys_are_read_anew_and_two_of_one_name_are_none() {
    let issuer = Issuer::new();
    let pipelines = issuer.pipelines(GRANTS).unwrap();
    let (other, mine) = (new_key(), shown("now", &issuer.key));
    let mut exchanged = 0;
    let mut ask = |keys: Value| {
        issuer.shows(&keys);
        exchanged += 1;
        code(pipelines.exchange(&issuer.token(&json!({ "run_id": exchanged })), NOW))
    };
    assert_eq!(ask(json!([shown("then", &other), mine])), "granted");
    assert_eq!(ask(json!([shown("now", &other), mine])), "oidc.token");
    assert_eq!(ask(json!([shown("now", &other)])), "oidc.token");
    let mut odd = mine.clone();
    odd["use"] = json!("enc");
    assert_eq!(ask(json!([odd, shown("then", &other)])), "oidc.token");
    odd["use"] = json!("sig");
    odd["alg"] = json!("RS256");
    assert_eq!(ask(json!([odd, shown("then", &other)])), "oidc.token");
    for none in [json!([]), json!([{ "kty": "oct", "kid": "now", "k": "AAAA" }]), json!("x")] {
        assert_eq!(ask(none), "oidc.keys");
    }
    // Keys that nobody fetched since yesterday may have been withdrawn.
    assert_eq!(ask(json!([mine])), "granted");
    let file = fs::File::options().write(true).open(issuer.folder.path().join("keys.json")).unwrap();
    let day = std::time::Duration::from_secs(25 * 3600);
    file.set_modified(std::time::SystemTime::now() - day).unwrap();
    let old = issuer.token(&json!({ "run_id": "old" }));
    assert_eq!(code(pipelines.exchange(&old, NOW)), "oidc.keys");
    // Nor is one that a wrong clock dates ahead young for ever.
    file.set_modified(std::time::SystemTime::now() + day).unwrap();
    assert_eq!(code(pipelines.exchange(&old, NOW)), "oidc.keys");
    fs::remove_file(issuer.folder.path().join("keys.json")).unwrap();
    let refusal = pipelines.exchange(&issuer.token(&json!({})), NOW).unwrap_err();
    assert_eq!((refusal.code, refusal.status), ("oidc.keys", StatusCode::SERVICE_UNAVAILABLE));
    assert!(refusal.cause.unwrap().contains("keys.json"));
}

#[test]
fn grants_that_say_too_little_or_allow_too_much_are_refused() {
    let issuer = Issuer::new();
    for (from, to, says) in [
        ("role = \"revoker\"", "role = \"owner\"", "`role` has to be revoker"),
        ("role = \"revoker\"", "role = \"issuer\"", "`role` has to be revoker"),
        ("role = \"revoker\"", "roles = \"revoker\"", "roles"),
        ("environment:production\"", "*\"", "there are no patterns"),
        ("subject = \"repo:acme/agents:environment:production\"", "subject = \" \"", "nothing is empty"),
        (
            "repository_id = \"4711\", run_attempt",
            "repository = \"x\", run_attempt",
            "the repository_id or project_id",
        ),
        ("environment:production\"", "pull_request\"", "begun by anybody"),
        (", event_name = \"push\"", "", "begun by anybody"),
        ("event_name = \"push\"", "ref_protected = \"true\"", "begun by anybody"),
        ("\"4711\"", "\"*\"", "there are no patterns"),
        ("agents = \"any\"", "agents = \"all\"", "a list of ids, or \"any\""),
        ("agents = \"any\"", "agents = []", "a list of ids, or \"any\""),
        ("agents = \"any\"", "agents = [\"x\"]", "a list of ids, or \"any\""),
        ("agents = \"any\"", "", "agents"),
        ("minutes = 5", "minutes = 0", "from 1 to 60"),
        ("minutes = 5", "minutes = 61", "from 1 to 60"),
        ("minutes = 5", "tenant = \"A\"", "no name of a tenant"),
        ("name = \"promote\"", "name = \"\"", "1 to 64 characters"),
        ("url = \"https:", "url = \"http:", "begins with https://"),
        ("https://authority.example\"", " \"", "`audience` is missing"),
        ("keys.json", "none.json", "none.json"),
        (GRANTS, "", "write [[issuer]]"),
        ("keys = \"keys.json\"", "keys = 1", "string"),
    ] {
        let error = issuer.pipelines(&GRANTS.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
    let (issuer_alone, _) = GRANTS.split_once("[[issuer.grant]]").unwrap();
    let error = issuer.pipelines(issuer_alone).unwrap_err().to_string();
    assert!(error.contains("no [[issuer.grant]]"), "{error}");
    // Elsewhere a repository has no such number.
    let gitlab = GRANTS.replace(ISSUER, "https://gitlab.example").replace("repository_id", "project_id");
    assert!(issuer.pipelines(&gitlab).is_ok());
}

#[test]
fn what_was_exchanged_is_forgotten_when_it_has_ended_and_never_before() {
    let used = Used::default();
    let name = |number: usize| Digest::of(&number.to_be_bytes());
    for number in 0..MOST_USED {
        used.take(name(number), NOW.plus(if number == 0 { 10 } else { 300 }), NOW).unwrap();
    }
    assert_eq!(used.take(name(MOST_USED), NOW.plus(300), NOW).unwrap_err().code, "busy");
    assert_eq!(used.take(name(1), NOW.plus(300), NOW).unwrap_err().code, "busy");
    // One has ended, and another one comes in its place.
    let later = NOW.plus(11);
    used.take(name(MOST_USED), NOW.plus(300), later).unwrap();
    assert_eq!(used.take(name(MOST_USED), NOW.plus(300), NOW.plus(301)).err().map(|it| it.code), None);
}
