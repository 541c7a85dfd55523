//! A guard that is running while the authority works: it follows without a restart.

use std::thread;
use std::time::{Duration, Instant};

use kakunin_authority::Who;
use kakunin_authority::authority::{Hours, OldIssuing};
use kakunin_authority::standing::Order;
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::request::ActionRequest;

use crate::office::{Office, now};

/// A guard of the agent in `agent`, after its first decision.
fn guard(office: &Office) -> (Guard, Who) {
    let who = office.create("billing");
    office.certify(&who, "agent").unwrap();
    let home = AgentHome::open(&office.path("agent"), None).unwrap();
    let guard = Guard::open(home, GuardOptions::default()).unwrap();
    assert_eq!(ask(&guard), None);
    (guard, who)
}

fn ask(guard: &Guard) -> Option<String> {
    match guard.admit(&ActionRequest::new("read:invoices")) {
        Ok(pass) => {
            pass.begin().unwrap().returned();
            None
        }
        Err(denied) => Some(denied.code().to_owned()),
    }
}

/// Waits up to a second for the answer `code`.
fn becomes(guard: &Guard, code: Option<&str>) {
    let start = Instant::now();
    while ask(guard).as_deref() != code {
        assert!(start.elapsed() < Duration::from_secs(1), "{:?} instead of {code:?}", ask(guard));
        thread::sleep(Duration::from_millis(10));
    }
}

/// Longer than a guard waits between two looks.
fn a_while() {
    thread::sleep(Duration::from_millis(600));
}

#[test]
fn orders_reach_a_running_guard_within_a_second() {
    let office = Office::open();
    let (guard, who) = guard(&office);
    office.order(&who, Order::Suspend).unwrap();
    becomes(&guard, Some("certificate.held"));
    office.order(&who, Order::Resume).unwrap();
    becomes(&guard, None);
    office.renew(&who).unwrap();
    a_while();
    assert_eq!(ask(&guard), None);
    office.order(&who, Order::Revoke).unwrap();
    becomes(&guard, Some("certificate.revoked"));
    guard.close();
}

#[test]
fn a_running_guard_follows_a_rotation_and_the_renewal_after_it() {
    let office = Office::open();
    let (guard, who) = guard(&office);
    for _ in 0..3 {
        office.order(&who, Order::Resume).unwrap();
    }
    let _ = office.authority().rotate(OldIssuing::Keep, Hours::default(), now()).unwrap();
    a_while();
    assert_eq!(ask(&guard), None);
    office.renew(&who).unwrap();
    a_while();
    assert_eq!(ask(&guard), None);
    let _ = office.authority().rotate(OldIssuing::Revoke, Hours::default(), now()).unwrap();
    becomes(&guard, Some("certificate.revoked"));
    office.renew(&who).unwrap();
    becomes(&guard, None);
    guard.close();
}
