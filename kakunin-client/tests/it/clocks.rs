//! An authority whose clock jumps, and guards that go by it.

use std::sync::atomic::Ordering;

use kakunin_core::certificate::{CaCertificate, CaRole, request_pem};
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::revocation::UnverifiedList;
use kakunin_core::time::UnixTime;
use serde_json::json;

use crate::desk::{ask, becomes, until};
use crate::office::{HOUR, Office};

/// The newest list and its number and time.
fn list(office: &Office) -> (u64, UnixTime) {
    let (status, pem) = office.get("/v1/crl");
    assert_eq!(status, 200);
    let (_, der) = der::pem::decode_vec(pem.as_bytes()).unwrap();
    let chain = std::fs::read(office.directory().join("chain.pem")).unwrap();
    let issuing = CaCertificate::decode(&der::pem::decode_vec(&chain).unwrap().1, CaRole::Issuing).unwrap();
    let list = UnverifiedList::decode(&der).unwrap().verify(&issuing.list_issuer()).unwrap();
    (list.number().to_u64().unwrap(), list.this_update())
}

fn certify(office: &Office) -> (u16, String) {
    let signer = Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0);
    let body = json!({ "csr": request_pem(&signer).unwrap() }).to_string();
    let (status, answer) = office.post(&format!("/v1/agents/{}/certify", office.agent), &body);
    (status, answer["code"].as_str().unwrap_or_default().to_owned())
}

fn certificates(office: &Office) -> usize {
    let (_, agent) = office.ask("GET", &format!("/v1/agents/{}", office.agent), "");
    agent["data"]["certificates"].as_array().unwrap().len()
}

fn order(office: &Office, what: &str) -> (u16, String) {
    let (status, answer) = office.post(&format!("/v1/agents/{}/{what}", office.agent), "{}");
    (status, answer["code"].as_str().unwrap_or_default().to_owned())
}

fn untrusted() -> (u16, String) {
    (503, "clock.untrusted".into())
}

#[test]
fn by_a_clock_that_went_back_nothing_is_signed_but_that_somebody_lost_power() {
    let office = Office::new(5 * HOUR);
    let client = office.connect();
    let guard = client.guard().unwrap();
    assert_eq!(ask(&guard), "allow");
    assert_eq!(order(&office, "suspend").0, 200);
    becomes(&guard, "certificate.held");
    let before = list(&office);

    office.shift.store(-HOUR, Ordering::SeqCst);
    let (status, ready) = office.get("/ready");
    assert!(status == 503 && ready.contains("the clock is behind"), "{ready}");
    let metrics = office.get("/metrics").1;
    let behind = metrics.lines().find_map(|line| line.strip_prefix("kakunin_clock_behind_seconds "));
    assert!(behind.unwrap().parse::<i64>().unwrap() > HOUR - 120, "{metrics}");
    let had = certificates(&office);
    // Power is not given back, and nobody gets a certificate.
    assert_eq!(order(&office, "resume"), untrusted());
    assert_eq!(ask(&guard), "certificate.held");
    // It is taken away, and told at once by the feed, though no list can say so yet.
    assert_eq!(order(&office, "revoke"), untrusted());
    becomes(&guard, "certificate.revoked");
    assert_eq!(certify(&office).0, 409, "it is revoked");
    assert_eq!((certificates(&office), list(&office)), (had, before));

    office.shift.store(0, Ordering::SeqCst);
    until("the list follows", || list(&office).0 > before.0);
    assert!(list(&office).1 >= before.1);
    assert_eq!(order(&office, "revoke").0, 200);
    assert_eq!(office.get("/ready").0, 200);
}

#[test]
fn by_a_clock_that_went_back_nobody_is_certified() {
    let office = Office::new(5 * HOUR);
    let (had, before) = (certificates(&office), list(&office));
    office.shift.store(-HOUR, Ordering::SeqCst);
    assert_eq!(certify(&office), untrusted());
    assert_eq!((certificates(&office), list(&office)), (had, before), "nothing was signed");
    // A little is what clocks do: the next list is dated as the one before.
    office.shift.store(-60, Ordering::SeqCst);
    assert_eq!((certify(&office).0, order(&office, "suspend").0), (201, 200));
    let next = list(&office);
    assert!(next.0 > before.0 && next.1 >= before.1);
}

#[test]
fn a_clock_that_went_ahead_and_back_again_gives_nobody_power_back() {
    let office = Office::new(5 * HOUR);
    let client = office.connect();
    let guard = client.guard().unwrap();
    assert_eq!(ask(&guard), "allow");
    office.shift.store(HOUR, Ordering::SeqCst);
    assert_eq!(order(&office, "revoke").0, 200);
    becomes(&guard, "certificate.revoked");
    let ahead = list(&office);
    // The list of the future is there now, so none of the present is signed any more.
    office.shift.store(0, Ordering::SeqCst);
    let (status, ready) = office.get("/ready");
    assert!(status == 503 && ready.contains("the clock is behind"), "{ready}");
    assert_eq!(order(&office, "revoke"), untrusted());
    assert_eq!((ask(&guard), list(&office)), ("certificate.revoked", ahead));
    // Whoever begins now does not believe that list, and does not act.
    let mut options = office.options();
    options.timeout = std::time::Duration::from_millis(500);
    drop((guard, client));
    if let Ok(client) = kakunin_client::Client::connect(options) {
        assert_ne!(client.guard().map_or("none", |guard| ask(&guard)), "allow");
    }
    office.shift.store(2 * HOUR, Ordering::SeqCst);
    assert_eq!(order(&office, "revoke").0, 200);
    assert!(list(&office).1 >= ahead.1);
}
