//! What a guard proves for the requests of its agent, and when it proves nothing.

use std::fs;
use std::sync::Arc;

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::chain::{CallContext, ChainLink};
use kakunin_core::guard::{Guard, GuardOptions, NotProven, StateChoice};
use kakunin_core::possession::{Presented, ProveError, SignedRequest, Target};
use kakunin_core::revocation::Standing;
use rcgen::RevocationReason;

use crate::authority::{self, agent_id, seeded_key};
use crate::guard::{House, SCOPE, ask, pay, pem, replace};

const TARGET: Target<'_> =
    Target { method: "POST", authority: "shop.example.com", path: "/orders", query: Some("a=1") };
const BODY: &[u8] = b"two chairs";

fn fields(guard: &Guard, link: Option<&ChainLink>) -> Vec<(String, String)> {
    let proof = guard.prove(&TARGET, BODY, link).unwrap();
    proof.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn judge(house: &House, fields: &[(String, String)]) -> SignedRequest {
    let presented = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let presented = Presented::find(presented).unwrap().unwrap();
    let anchors = TrustAnchors::new([house.authority.root.as_slice()]).unwrap();
    let head = presented.verify(&TARGET, &["shop.example.com"], &anchors, authority::now()).unwrap();
    head.covers(BODY).unwrap()
}

fn code(guard: &Guard) -> &'static str {
    guard.prove(&TARGET, BODY, None).map_or_else(|error| error.code(), |_| "proven")
}

#[test]
fn a_guard_proves_for_its_agent_and_each_time_anew() {
    let house = House::new();
    let guard = house.guard();
    let (first, second) = (fields(&guard, None), fields(&guard, None));
    assert_ne!(first, second);
    let (first, second) = (judge(&house, &first), judge(&house, &second));
    assert_eq!(first.path().agent().agent(), agent_id());
    assert_eq!(first.created(), authority::now());
    assert_ne!(first.mark(), second.mark(), "a nonce is never used twice");
}

#[test]
fn what_a_running_call_sends_follows_from_its_decision() {
    let house = House::new();
    let guard = house.guard();
    let chain = Guard::new_chain();
    let pass = guard.admit_in(&pay("1"), &CallContext { chain, ..CallContext::default() }).unwrap();
    let running = pass.begin().unwrap();
    let link = running.link().unwrap();
    let sent = fields(&guard, Some(&link));
    assert_eq!(sent.len(), 5);
    let proven = judge(&house, &sent);
    assert_eq!(proven.link(), Some(&link));
    assert_eq!(proven.link().map(ChainLink::from), running.receipt());
    running.returned();
}

#[test]
fn an_agent_that_may_do_nothing_proves_nothing() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(code(&guard), "proven");
    house.publish(2, &[RevocationReason::CertificateHold]);
    guard.refresh();
    assert_eq!(code(&guard), "certificate.held");
    house.publish(3, &[]);
    guard.refresh();
    assert_eq!(code(&guard), "proven");
    house.publish(4, &[RevocationReason::KeyCompromise]);
    guard.refresh();
    assert_eq!(code(&guard), "certificate.revoked");
    assert_eq!(guard.snapshot().unwrap().agent().standing(), Standing::Revoked);
}

#[test]
fn a_list_or_certificate_that_ended_and_a_clock_that_lies_prove_nothing() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(code(&guard), "proven");
    house.clock.advance(40 * 86_400_000);
    assert_ne!(code(&guard), "proven");
    let house = House::new();
    let guard = house.guard();
    assert_eq!(code(&guard), "proven");
    house.clock.set_wall(authority::now().plus(-86_400).to_millis());
    assert_eq!(code(&guard), "clock.untrusted");
}

#[test]
fn without_lists_or_a_state_there_is_no_proof() {
    let house = House::new();
    fs::remove_file(house.temp.path().join("lists.pem")).unwrap();
    assert_eq!(code(&house.guard()), "revocation.missing");
    let house = House::new();
    let place = house.temp.path().join("file");
    fs::write(&place, b"").unwrap();
    let options = GuardOptions { state: StateChoice::Path(place.join("state")), ..house.options() };
    assert_eq!(code(&house.guard_with(options)), "journal.unavailable");
}

#[test]
fn after_a_fork_an_agent_in_memory_proves_nothing_and_one_with_files_goes_on() {
    let house = House::new();
    let (_, memory) = house.memory_of(House::papers(&house.authority));
    assert_eq!(code(&memory), "proven");
    memory.after_fork_in_child();
    assert_eq!(code(&memory), "agent.forked");
    let files = house.guard();
    assert_eq!(code(&files), "proven");
    files.before_fork();
    files.after_fork_in_child();
    assert_eq!(code(&files), "proven");
}

#[test]
fn a_guard_that_was_closed_opens_again_for_a_proof() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    guard.close();
    drop(judge(&house, &fields(&guard, None)));
    assert_eq!(ask(&guard, &pay("1")), "allow");
}

#[test]
fn after_a_renewal_proofs_are_by_the_new_certificate_and_key() {
    let house = House::new();
    let guard = house.guard();
    let before = judge(&house, &fields(&guard, None));
    house.certify(SCOPE, 5);
    guard.refresh();
    let renewed = judge(&house, &fields(&guard, None));
    assert_ne!(renewed.path().agent().decoded().thumbprint(), before.path().agent().decoded().thumbprint());

    // With a key of its own, as after a revocation: whichever of the two was taken up first.
    let key = seeded_key(4);
    fs::write(house.dir().join("key.pem"), pem("PRIVATE KEY", &key.serialize_der())).unwrap();
    let der = house.authority.agent_of_key(&House::scope(SCOPE).to_der(), &key, |params| {
        params.serial_number = Some(vec![0x55; 16].into());
    });
    replace(&house.dir().join("agent.pem"), &pem("CERTIFICATE", &der));
    guard.refresh();
    assert_eq!(judge(&house, &fields(&guard, None)).path().agent().decoded().der(), der);
}

#[test]
fn a_key_that_changed_before_the_guard_looked_is_looked_at_again() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    // No proof was asked for yet, so the key is read for the first time.
    let key = seeded_key(4);
    let der = house.authority.agent_of_key(&House::scope(SCOPE).to_der(), &key, |params| {
        params.serial_number = Some(vec![0x55; 16].into());
    });
    fs::write(house.dir().join("key.pem"), pem("PRIVATE KEY", &key.serialize_der())).unwrap();
    replace(&house.dir().join("agent.pem"), &pem("CERTIFICATE", &der));
    assert_eq!(judge(&house, &fields(&guard, None)).path().agent().decoded().der(), der);
}

#[test]
fn a_request_that_cannot_be_written_is_not_proven() {
    let house = House::new();
    let guard = house.guard();
    let split = guard.prove(&Target { path: "/a b", ..TARGET }, BODY, None);
    let Err(error) = split else { panic!("no such request line") };
    assert!(matches!(error, NotProven::Prove(ProveError::Target)), "{error}");
    assert_eq!(error.code(), "possession.malformed");
}

#[test]
fn a_key_handed_over_by_code_signs_proofs_too() {
    let house = House::new();
    let key = fs::read_to_string(house.dir().join("key.pem")).unwrap();
    fs::remove_file(house.dir().join("key.pem")).unwrap();
    drop(key);
    let soft = kakunin_core::key::SoftKey::from_pkcs8(&seeded_key(3).serialize_der()).unwrap();
    let signer = Some(Arc::new(kakunin_core::key::Signer::soft(soft)));
    let guard = house.guard_with(GuardOptions { signer, ..house.options() });
    drop(judge(&house, &fields(&guard, None)));
}
