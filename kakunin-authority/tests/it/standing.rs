//! Standing belongs to the agent, and a list says so before the order is answered.

use der::Decode;
use kakunin_authority::authority::{Authority, AuthorityError, Comeback, Days, Hours};
use kakunin_authority::standing::{Order, Standing, StandingError};
use kakunin_authority::{AgentName, Who};
use x509_cert::crl::CertificateList;

use crate::office::{DAY, Office, RENEW, SCOPE, draft, now};

#[test]
fn an_order_reaches_every_certificate_of_the_agent() {
    let office = Office::open();
    let who = office.create("billing");
    let other = office.create("other");
    office.certify(&who, "one").unwrap();
    office.certify(&who, "two").unwrap();
    office.certify(&other, "three").unwrap();
    office.renew(&who).unwrap();
    for (order, standing) in [
        (Order::Suspend, Standing::Held),
        (Order::Suspend, Standing::Held),
        (Order::Resume, Standing::Good),
        (Order::Suspend, Standing::Held),
        (Order::Revoke, Standing::Revoked),
        (Order::Revoke, Standing::Revoked),
    ] {
        let ordered = office.order(&who, order).unwrap();
        assert_eq!(ordered.agent.standing, standing);
        for directory in ["one", "two"] {
            assert_eq!(office.verify(directory).standing(), standing, "{order} {directory}");
        }
        assert_eq!(office.verify("three").standing(), Standing::Good);
    }
    // Four certificates were issued; the list names each.
    assert_eq!(office.verify("one").lists().issuing().len(), 4);
}

#[test]
fn a_list_that_is_kept_in_memory_says_what_the_records_say() {
    let office = Office::open();
    let agents = ["one", "two", "three", "four"].map(|name| {
        let who = office.create(name);
        office.certify(&who, name).unwrap();
        who
    });
    let entries = |authority: &Authority<'_>| {
        let list: CertificateList =
            CertificateList::from_der(&authority.current_list().unwrap().der).unwrap();
        let mut entries = list.tbs_cert_list.revoked_certificates.unwrap();
        entries.sort_by(|one, other| one.serial_number.as_bytes().cmp(other.serial_number.as_bytes()));
        entries
    };
    let mut authority = office.authority();
    for (later, (agent, order)) in (1..).zip([
        (0, Order::Suspend),
        (1, Order::Suspend),
        (2, Order::Revoke),
        (3, Order::Suspend),
        (0, Order::Revoke),
        (1, Order::Resume),
        (3, Order::Resume),
        (1, Order::Suspend),
    ]) {
        let _ = authority.order(&agents[agent], order, "", Hours::default(), now().plus(later)).unwrap();
    }
    let kept = entries(&authority);
    assert_eq!(kept.len(), 3);
    drop(authority);
    let mut again = office.authority();
    let _ = again.publish(Hours::default(), now().plus(60)).unwrap();
    assert_eq!(entries(&again), kept);
}

#[test]
fn numbers_of_lists_rise_by_one_with_every_order() {
    let office = Office::open();
    let who = office.create("billing");
    office.certify(&who, "one").unwrap();
    let mut last = office.verify("one").lists().issuing().number().to_u64().unwrap();
    for order in [Order::Suspend, Order::Resume, Order::Resume, Order::Revoke] {
        let ordered = office.order(&who, order).unwrap();
        last += 1;
        assert_eq!(ordered.publication.number, last);
        assert_eq!(office.verify("one").lists().issuing().number().to_u64(), Some(last));
    }
    assert_eq!(office.verify("one").lists().root().number().to_u64(), Some(1));
}

#[test]
fn a_held_agent_gets_no_certificate() {
    let office = Office::open();
    let who = office.create("billing");
    office.certify(&who, "one").unwrap();
    office.order(&who, Order::Suspend).unwrap();
    let held = |result: Result<(), AuthorityError>| {
        assert!(matches!(result, Err(AuthorityError::Standing(StandingError::Held))), "{result:?}");
    };
    held(office.certify(&who, "two").map(drop));
    held(office.renew(&who).map(drop));
    office.order(&who, Order::Resume).unwrap();
    office.renew(&who).unwrap();
}

#[test]
fn a_revoked_agent_comes_back_only_by_order_and_with_a_new_key() {
    let office = Office::open();
    let who = office.create("billing");
    office.certify(&who, "one").unwrap();
    let back =
        |directory: &str, comeback| office.certify_as(&who, directory, comeback, Days::default(), now());

    assert!(matches!(
        back("two", Comeback::AfterRevocation),
        Err(AuthorityError::Standing(StandingError::NotRevoked))
    ));
    office.order(&who, Order::Revoke).unwrap();
    for result in [back("two", Comeback::Refuse).map(drop), office.renew(&who).map(drop)] {
        assert!(matches!(result, Err(AuthorityError::Standing(StandingError::NeedsAfterRevocation))));
    }
    for order in [Order::Suspend, Order::Resume] {
        let refused = office.order(&who, order);
        assert!(matches!(refused, Err(AuthorityError::Standing(StandingError::Revoked { .. }))));
    }
    back("two", Comeback::AfterRevocation).unwrap();
    assert_eq!(office.verify("one").standing(), Standing::Revoked);
    assert_eq!(office.verify("two").standing(), Standing::Good);

    // The old directory still holds the old key: renewing it would bring that key back.
    let directory = office.path("one");
    let order = kakunin_authority::authority::Renew { directory: Some(&directory), ..RENEW };
    let renewed = office.authority().renew(&who, &order, Hours::default(), now());
    assert!(matches!(renewed, Err(AuthorityError::Standing(StandingError::RevokedKey))), "{renewed:?}");

    // A hold lifted later does not touch what was revoked before.
    office.order(&who, Order::Suspend).unwrap();
    office.order(&who, Order::Resume).unwrap();
    assert_eq!(office.verify("one").standing(), Standing::Revoked);
}

#[test]
fn entries_leave_only_after_a_list_that_outlived_the_certificate() {
    let office = Office::open();
    let who = office.create("billing");
    office.certify_as(&who, "one", Comeback::Refuse, Days::new(1).unwrap(), now()).unwrap();
    office.order(&who, Order::Revoke).unwrap();
    let count = |at: i64| {
        let mut authority = office.authority();
        let _ = authority.publish(Hours::default(), now().plus(at)).unwrap();
        let list = authority.current_list().unwrap().der;
        drop(authority);
        crate::standard_tools::entries(&list)
    };
    assert_eq!(count(DAY - 60), 1);
    assert_eq!(count(2 * DAY), 1);
    assert_eq!(count(3 * DAY), 0);
}

#[test]
fn a_clock_set_back_signs_no_list() {
    let office = Office::open();
    let mut authority = office.authority();
    let behind = authority.publish(Hours::default(), now().plus(-DAY));
    assert!(matches!(behind, Err(AuthorityError::ClockBehind { .. })), "{behind:?}");
}

#[test]
fn names_are_unique_and_stand_for_ids() {
    let office = Office::open();
    let Who::Id(id) = office.create("billing") else { panic!() };
    let name = AgentName::parse("billing").unwrap();
    let mut authority = office.authority();
    let again =
        authority.create(&name, &draft(SCOPE), kakunin_authority::authority::AnyAction::Refuse, now());
    assert!(again.unwrap_err().to_string().contains("the name `billing` is taken"));
    assert_eq!(authority.find(&Who::Name(name)).unwrap().id, id);
    assert!(authority.find(&Who::parse("nobody").unwrap()).unwrap_err().is_refusal());
}
