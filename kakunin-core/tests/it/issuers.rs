//! C52: one issuing authority speaks for an agent, however many stand under its root.

use std::fs;

use kakunin_core::home::Papers;
use rcgen::{CertificateParams, date_time_ymd};

use crate::authority::{Authority, By};
use crate::guard::{House, SCOPE, ask, pay, pem, replace};

fn lists(authority: &Authority) -> String {
    [By::Issuing, By::Root].map(|by| pem("X509 CRL", &authority.list(by, |_| {}))).concat()
}

#[test]
fn an_agent_in_memory_accepts_the_authority_of_its_first_papers_only() {
    let (house, neighbour) = (House::new(), Authority::neighbour());
    let (source, guard) = house.memory_of(House::papers(&house.authority));
    // Before the first decision as well as after it.
    source.renew(House::papers(&neighbour));
    source.publish(lists(&neighbour).into_bytes());
    assert_eq!(ask(&guard, &pay("1")), "certificate.untrusted");
    source.renew(House::papers(&house.authority));
    source.publish(lists(&house.authority).into_bytes());
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    source.renew(House::papers(&neighbour));
    source.publish(lists(&neighbour).into_bytes());
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow", "by what was held before");
    let notices = guard.take_notices().concat();
    assert!(notices.contains("the issuing authority is not the pinned one"), "{notices}");
    assert!(notices.contains("the revocation lists changed and are refused"), "{notices}");
}

#[test]
fn whoever_names_the_next_authority_is_led_there_and_stays_there() {
    let (house, next) = (House::new(), Authority::neighbour());
    let (source, guard) = house.memory_of(House::papers(&house.authority));
    assert_eq!(ask(&guard, &pay("1")), "allow");
    source.publish(lists(&next).into_bytes());
    source.renew(Papers { issuer: Some(next.issuing_key()), ..House::papers(&next) });
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    assert_eq!(guard.snapshot().unwrap().agent().path().issuing().decoded().der(), next.issuing);
    source.renew(House::papers(&house.authority));
    guard.refresh();
    assert_eq!(guard.snapshot().unwrap().agent().path().issuing().decoded().der(), next.issuing);
}

#[test]
fn an_authority_that_is_named_is_the_only_one_from_the_first_decision() {
    let (house, neighbour) = (House::new(), Authority::neighbour());
    replace(&house.temp.path().join("lists.pem"), &lists(&neighbour));
    let pinned = Papers { issuer: Some(house.authority.issuing_key()), ..House::papers(&neighbour) };
    let (_, guard) = house.memory_of(pinned);
    assert_eq!(ask(&guard, &pay("1")), "certificate.untrusted");
    // Nobody named: what the papers say is all there is.
    let (_, guard) = house.memory_of(House::papers(&neighbour));
    assert_eq!(ask(&guard, &pay("1")), "allow");
}

#[test]
fn papers_that_have_ended_pin_their_authority_too() {
    let (house, neighbour) = (House::new(), Authority::neighbour());
    house.clock.advance(30 * 86_400_000);
    let (source, guard) = house.memory_of(House::papers(&house.authority));
    assert_eq!(ask(&guard, &pay("1")), "certificate.expired");
    let later = |params: &mut CertificateParams| params.not_after = date_time_ymd(2027, 1, 1);
    let agent = neighbour.agent_with(&House::scope(SCOPE).to_der(), later);
    source.renew(Papers { agent, ..House::papers(&neighbour) });
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "certificate.untrusted");
}

/// The first papers prove nothing, so the first that do name the authority.
#[test]
fn papers_without_a_path_pin_nobody_until_some_are_proven() {
    let (house, neighbour) = (House::new(), Authority::neighbour());
    let (source, guard) = house.memory_of(Papers { chain: Vec::new(), ..House::papers(&house.authority) });
    assert_eq!(ask(&guard, &pay("1")), "certificate.untrusted");
    source.renew(House::papers(&house.authority));
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    source.renew(House::papers(&neighbour));
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    assert_eq!(guard.snapshot().unwrap().agent().path().issuing().decoded().der(), house.authority.issuing);
}

#[test]
fn a_directory_that_names_no_authority_keeps_to_that_of_its_first_papers() {
    let mut house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    house.authority = Authority::neighbour();
    fs::write(house.dir().join("chain.pem"), pem("CERTIFICATE", &house.authority.issuing)).unwrap();
    replace(&house.temp.path().join("lists.pem"), &lists(&house.authority));
    house.certify(SCOPE, 5);
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow", "by what was held before");
    assert!(guard.take_notices().concat().contains("the issuing authority is not the pinned one"));
    house.pin();
    guard.refresh();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    assert_eq!(guard.snapshot().unwrap().agent().path().issuing().decoded().der(), house.authority.issuing);
}
