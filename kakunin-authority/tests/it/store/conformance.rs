//! One suite for every store: the same orders, the same answers, the same records afterwards.

use kakunin_authority::store::{MemoryStore, SqliteStore, Store};
use proptest::prelude::*;

use super::orders::{Order, all_of, any_orders, give};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn sqlite_answers_as_the_model_does(orders in any_orders(50), reopened in 0..50_usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        let (mut store, mut model) = (SqliteStore::open(&path).unwrap(), MemoryStore::default());
        for (place, order) in orders.iter().enumerate() {
            if place == reopened {
                drop(store);
                store = SqliteStore::open(&path).unwrap();
            }
            prop_assert_eq!(give(order, &mut store), give(order, &mut model), "{}: {:?}", place, order);
        }
        prop_assert_eq!(all_of(&store), all_of(&model));
        // Beside the writer a reader is told the same.
        prop_assert_eq!(all_of(&SqliteStore::reader(&path).unwrap()), all_of(&model));
    }
}

#[cfg(feature = "postgres")]
proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn postgresql_answers_as_the_model_does(orders in any_orders(50), reopened in 0..50_usize) {
        use kakunin_authority::store::PostgresStore;

        let Some(schema) = super::server::schema() else { return Ok(()) };
        let address = schema.address();
        let (mut store, mut model) = (PostgresStore::open(&address).unwrap(), MemoryStore::default());
        for (place, order) in orders.iter().enumerate() {
            if place == reopened {
                drop(store);
                store = PostgresStore::open(&address).unwrap();
            }
            prop_assert_eq!(give(order, &mut store), give(order, &mut model), "{}: {:?}", place, order);
        }
        prop_assert_eq!(all_of(&store), all_of(&model));
        prop_assert_eq!(all_of(&PostgresStore::reader(&address).unwrap()), all_of(&model));
    }
}

#[test]
fn orders_are_mostly_carried_out() {
    // A suite in which every order is refused would prove nothing.
    let (mut done, mut given, mut texts) = (0, 0, String::new());
    for seed in 0..256 {
        let mut model = MemoryStore::default();
        for order in super::killed::orders_of(seed) {
            done += usize::from(give(&order, &mut model).starts_with("Ok"));
            given += 1;
        }
        texts.push_str(&all_of(&model));
    }
    assert!(done * 3 > given, "{done} of {given}");
    for reached in [
        "standing: Revoked",
        "standing: Held",
        "FeedEntry",
        "FeedItem",
        "FeedKeyRecord",
        "(Done,",
        "listed: Ok(()) [Listed",
        "list named: Ok(Some",
        "list as of: Ok(Some",
        "der: Some(",
        "Redemption",
        "event: CertificateIssued",
        "event: CertificateRevoked",
        "event: AgentHalted",
        "state: Failed",
        "state: Dead",
        "until: Some",
        "ReceiptRecord",
        "link: Some((2",
        "closed: Some(",
        "DayCount",
        "CheckpointRecord",
        "ContradictionRecord",
        "extent: Everyone",
        "extent: Tenant(",
        "hand: Operator",
        "hand: Tenant",
        "event: IssuanceFrozen",
        "event: IssuanceThawed",
        "RiskRecord",
        "RiskSign {",
        "seal: Some(RiskSeal",
        "verdict: Unknown",
    ] {
        assert!(texts.contains(reached), "{reached}");
    }
    let mut model = MemoryStore::default();
    let before = all_of(&model);
    assert!(give(&Order::Batch(vec![Order::Tenant(1)], true), &mut model).starts_with("Err"));
    assert_eq!(all_of(&model as &dyn Store), before);
}
