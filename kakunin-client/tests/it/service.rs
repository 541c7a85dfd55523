//! The client and the real service of an authority.

use std::fs;

use kakunin_authority::http::TlsFiles;
use kakunin_client::{Client, Token, Transport};
use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::id::AgentId;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use crate::desk::{ask, becomes, until};
use crate::office::{HOUR, Office};

#[test]
fn the_service_orders_and_the_guard_obeys() {
    let office = Office::new(0);
    let client = office.connect();
    let guard = client.guard().unwrap();
    assert_eq!(ask(&guard), "allow");
    assert_eq!(client.status().transport, Some(Transport::Stream));
    for (order, code) in
        [("suspend", "certificate.held"), ("resume", "allow"), ("revoke", "certificate.revoked")]
    {
        office.order(order);
        becomes(&guard, code);
    }
    assert_eq!(client.status().epoch, Some(3));
}

#[test]
fn the_service_ends_and_begins_and_the_client_goes_on() {
    let mut office = Office::new(0);
    let client = office.connect();
    let guard = client.guard().unwrap();
    office.order("suspend");
    becomes(&guard, "certificate.held");
    office.stop();
    until("it is noticed", || client.status().last_error.is_some());
    office.start();
    office.order("resume");
    becomes(&guard, "allow");
    assert!(client.status().snapshots <= 2, "{:?}", client.status());
    // Streams are told when the service ends: nobody hears of that by waiting.
    assert_eq!(client.status().epoch, Some(2));
}

#[test]
fn an_agent_elsewhere_enrols_with_a_token_and_is_guarded() {
    let office = Office::new(0);
    let (status, answer) = office.post(&format!("/v1/agents/{}/tokens", office.agent), "{\"minutes\":5}");
    assert_eq!(status, 201, "{answer}");
    let token = answer["data"]["token"].as_str().unwrap();
    let mut options = office.options();
    options.directory = Some(office.folder.path().join("elsewhere/agent"));
    options.token = Some(Token::parse(token).unwrap());
    let client = Client::connect(options.clone()).unwrap();
    let guard = client.guard().unwrap();
    assert_eq!(ask(&guard), "allow");
    // The token was for that key.
    options.directory = Some(office.folder.path().join("thief"));
    let error = Client::connect(options).unwrap_err();
    assert!(matches!(error, kakunin_client::ConnectError::Refused(_)), "{error}");
    assert!(!office.folder.path().join("thief/agent.pem").exists());
    office.order("revoke");
    becomes(&guard, "certificate.revoked");
}

#[test]
fn an_agent_of_another_tenant_is_enrolled_and_told_by_its_own_issuer() {
    let mut office = Office::new(0);
    let (status, made) = office.post("/v1/tenants", "{\"name\":\"acme\"}");
    assert_eq!(status, 201, "{made}");
    let text = |value: &serde_json::Value, name: &str| value["data"][name].as_str().unwrap().to_owned();
    let first = (office.key.clone(), office.agent);
    office.key = text(&made, "owner_key");
    let (status, agent) =
        office.post("/v1/agents", "{\"name\":\"billing\",\"scope\":{\"actions\":[\"pay\"]}}");
    assert_eq!(status, 201, "{agent}");
    office.agent = AgentId::parse(&text(&agent, "id")).unwrap();
    let (_, token) = office.post(&format!("/v1/agents/{}/tokens", office.agent), "{}");
    let mut options = office.options();
    options.directory = Some(office.folder.path().join("elsewhere/agent"));
    options.token = Some(Token::parse(&text(&token, "token")).unwrap());
    let client = Client::connect(options).unwrap();
    let guard = client.guard().unwrap();
    assert_eq!(ask(&guard), "allow");
    let issuer = guard.snapshot().unwrap().agent().path().issuing().decoded().key().key_id();
    assert_eq!(issuer.to_hex(), text(&made, "issuer"));
    // What happens to the other tenant's agent of that name is none of its business.
    let theirs = (std::mem::replace(&mut office.key, first.0), std::mem::replace(&mut office.agent, first.1));
    office.order("revoke");
    (office.key, office.agent) = theirs;
    assert_eq!(ask(&guard), "allow");
    office.order("suspend");
    becomes(&guard, "certificate.held");
    office.order("revoke");
    becomes(&guard, "certificate.revoked");
    assert_eq!(client.status().epoch, Some(2));
}

/// A certificate of a day, 20 hours old.
#[test]
fn a_certificate_is_renewed_before_it_ends_and_the_guard_goes_on() {
    let office = Office::new(20 * HOUR);
    let before = fs::read(office.directory().join("agent.pem")).unwrap();
    let key = fs::read(office.directory().join("key.pem")).unwrap();
    let client = office.connect();
    let guard = client.guard().unwrap();
    becomes(&guard, "allow");
    let day = SystemClock.wall().to_seconds().plus(23 * HOUR);
    until("renewed", || client.status().certificate_until.is_some_and(|end| end > day));
    assert_ne!(fs::read(office.directory().join("agent.pem")).unwrap(), before);
    assert_eq!(fs::read(office.directory().join("key.pem")).unwrap(), key, "the key stays");
    until("the guard has it", || {
        guard.snapshot().is_ok_and(|snapshot| snapshot.agent().path().not_after() > day)
    });
    assert_eq!(ask(&guard), "allow");
    office.order("revoke");
    becomes(&guard, "certificate.revoked");
}

/// The renewal comes from another issuing authority, while the feed of the first one is followed.
#[test]
fn an_agent_moves_to_the_next_issuing_authority_and_to_its_feed() {
    let mut office = Office::new(20 * HOUR);
    office.rotate();
    let client = office.connect();
    let guard = client.guard().unwrap();
    becomes(&guard, "allow");
    let issuer = || guard.snapshot().map(|held| held.agent().path().issuing().decoded().key().key_id()).ok();
    let before = issuer();
    assert!(before.is_some());
    // Its feed was heard before its papers were there, so nobody notices.
    until("the guard is there", || {
        assert_eq!(ask(&guard), "allow");
        issuer().is_some_and(|now| Some(now) != before)
    });
    for _ in 0..100 {
        assert_eq!(ask(&guard), "allow");
    }
    let told = || client.take_alarms().iter().any(|alarm| alarm.kind.code() == "renewal.moved");
    until("it is told", told);
    let settings = fs::read_to_string(office.directory().join("agent.toml")).unwrap();
    assert!(
        settings.contains(&issuer().unwrap().to_string()) && !settings.contains("next_issuer"),
        "{settings}"
    );
    office.order("revoke");
    becomes(&guard, "certificate.revoked");
}

#[test]
fn an_agent_that_is_held_is_not_renewed_and_that_is_told() {
    let office = Office::new(20 * HOUR);
    office.order("suspend");
    let client = office.connect();
    let told = || client.take_alarms().iter().any(|alarm| alarm.kind.code() == "renewal.failed");
    until("told", told);
    assert_eq!(ask(&client.guard().unwrap()), "certificate.held");
}

#[test]
fn https_is_spoken_with_the_roots_that_were_named_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (rcgen::CertifiedIssuer::self_signed(params, key).unwrap(), folder.path().join(format!("{name}.pem")))
    };
    let ((ours, our_file), (other, other_file)) = (make("ours"), make("other"));
    fs::write(&our_file, ours.pem()).unwrap();
    fs::write(&other_file, other.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&key, &ours).unwrap();
    let files = TlsFiles {
        certificate: folder.path().join("server.pem"),
        key: folder.path().join("server.key"),
        clients: None,
    };
    fs::write(&files.certificate, certificate.pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&files.key, private).unwrap();
    let office = Office::with(0, Some(files));
    let mut options = office.options();
    options.ca_file = Some(other_file);
    options.timeout = std::time::Duration::from_secs(2);
    let error = Client::connect(options.clone()).unwrap_err();
    assert_eq!(error.code(), "connect.unreachable", "{error}");
    options.ca_file = None;
    let error = Client::connect(options.clone()).unwrap_err();
    assert!(["connect.unreachable", "connect.tls"].contains(&error.code()), "{error}");
    options.ca_file = Some(our_file);
    options.timeout = crate::desk::PATIENCE;
    let client = Client::connect(options).unwrap();
    assert_eq!(ask(&client.guard().unwrap()), "allow");
}
