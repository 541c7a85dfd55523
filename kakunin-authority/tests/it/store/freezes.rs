//! Freezes: no step of issuing is taken once one stands.

use kakunin_authority::access::{Actor, TenantId};
use kakunin_authority::store::{
    Access, Agents, Certificates, Extent, FreezeRecord, Freezes, Hand, StoreError, frozen,
};

use super::{Bench, agent, at, first, ours, reservation, serial, theirs};

fn order(extent: Extent, second: i64) -> FreezeRecord {
    FreezeRecord { extent, hand: Hand::Operator, at: at(second), actor: Actor::Local, text: "why".into() }
}

#[test]
fn once_frozen_a_certificate_stops_at_the_step_it_has_reached() {
    for extent in [Extent::Everyone, Extent::Tenant(ours())] {
        let mut bench = Bench::new();
        bench.store.add_agent(&agent(1)).unwrap();
        bench.reserve(1, 1).unwrap();
        bench.reserve(2, 1).unwrap();
        bench.store.keep_tbs(serial(2), b"to be signed").unwrap();
        let store = &mut bench.store;
        assert!(store.freeze(&order(extent.clone(), 5)).unwrap());
        let refused = |done: Result<(), StoreError>| match done {
            Err(StoreError::Frozen { extent: whose, at: since, text }) => {
                assert_eq!((&whose, since, &*text), (&extent, at(5), "why"));
            }
            other => panic!("{other:?}"),
        };
        refused(store.reserve(&reservation(first(), 3, 1)));
        refused(store.keep_tbs(serial(1), b"to be signed"));
        // Signed by somebody who did not know: kept by no store, and so given to nobody.
        refused(store.keep_certificate(serial(2), b"signed"));
        assert_eq!(store.certificate(serial(1)).unwrap(), None);
        assert_eq!(store.certificate(serial(2)).unwrap().unwrap().der, None);
        // Of what is wrong anyway that is said.
        let done = store.keep_tbs(serial(9), b"to be signed");
        assert!(matches!(done, Err(StoreError::OutOfTurn { .. })), "{done:?}");
        assert!(matches!(store.reserve(&reservation(first(), 3, 9)), Err(StoreError::NotGood { .. })));
        // Thawed, each goes on where it stopped.
        assert!(store.thaw(&order(extent.clone(), 6)).unwrap());
        store.keep_tbs(serial(1), b"to be signed").unwrap();
        store.keep_certificate(serial(2), b"signed").unwrap();
        store.reserve(&reservation(first(), 3, 1)).unwrap();
    }
}

#[test]
fn a_freeze_stays_as_it_came_first_and_each_extent_is_thawed_by_itself() {
    let mut bench = Bench::new();
    let store = &mut bench.store;
    store.add_tenant(&theirs(), at(1)).unwrap();
    let nobody = TenantId::parse("nobody").unwrap();
    let done = store.freeze(&order(Extent::Tenant(nobody), 1));
    assert!(matches!(done, Err(StoreError::UnknownTenant { .. })), "{done:?}");
    let (own, all) = (order(Extent::Tenant(theirs()), 2), order(Extent::Everyone, 3));
    assert!(store.freeze(&own).unwrap() && store.freeze(&all).unwrap());
    assert!(!store.freeze(&order(Extent::Tenant(theirs()), 4)).unwrap());
    let stands = store.freezes().unwrap();
    assert_eq!(stands, [all.clone(), own.clone()]);
    assert_eq!((frozen(&stands, &ours()), frozen(&stands, &theirs())), (Some(&all), Some(&all)));
    assert!(store.thaw(&all).unwrap());
    assert!(!store.thaw(&all).unwrap());
    let stands = store.freezes().unwrap();
    assert_eq!((frozen(&stands, &ours()), frozen(&stands, &theirs())), (None, Some(&own)));
}

#[test]
fn what_the_operator_and_a_tenant_froze_stands_side_by_side_and_each_lifts_its_own() {
    let mut bench = Bench::new();
    bench.store.add_agent(&agent(1)).unwrap();
    let operators = order(Extent::Tenant(ours()), 3);
    let own = FreezeRecord { hand: Hand::Tenant, at: at(2), text: "ours".into(), ..operators.clone() };
    for (first, second) in [(&own, &operators), (&operators, &own)] {
        assert!(bench.store.freeze(first).unwrap() && bench.store.freeze(second).unwrap());
        assert!(!bench.store.freeze(first).unwrap() && !bench.store.freeze(second).unwrap());
        assert_eq!(bench.store.freezes().unwrap(), [operators.clone(), own.clone()]);
        // Whichever is lifted first, the other one holds.
        for (lifted, stays) in [(first, second), (second, first)] {
            for both in [first, second] {
                bench.store.freeze(both).unwrap();
            }
            assert!(bench.store.thaw(lifted).unwrap() && !bench.store.thaw(lifted).unwrap());
            assert_eq!(bench.store.freezes().unwrap(), std::slice::from_ref(stays));
            let refused = bench.reserve(1, 1);
            assert!(matches!(refused, Err(StoreError::Frozen { .. })), "{refused:?}");
        }
        assert!(bench.store.thaw(first).unwrap());
        assert_eq!(bench.store.freezes().unwrap(), []);
    }
    bench.reserve(1, 1).unwrap();
}
