//! A batch is one transaction: all of it is durable, or nothing of it happened.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kakunin_authority::store::{
    Access, Agents, AuditLog, IssuerId, IssuerRecord, SqliteStore, Store, StoreError,
};

use super::{agent, at, fresh, ours, theirs};

#[test]
fn a_batch_is_seen_by_others_when_it_is_over() {
    let (folder, mut store) = fresh();
    let reader = SqliteStore::reader(&folder.path().join("store.sqlite")).unwrap();
    store
        .batch(&mut |store| {
            for number in 1..=3 {
                store.add_agent(&agent(number))?;
            }
            assert_eq!(store.agents(&ours())?.len(), 3);
            assert_eq!(reader.agents(&ours())?.len(), 0);
            Ok(())
        })
        .unwrap();
    assert_eq!(reader.agents(&ours()).unwrap().len(), 3);
}

#[test]
fn a_verb_that_fails_takes_nothing_else_with_it() {
    let (_folder, mut store) = fresh();
    store
        .batch(&mut |store| {
            store.add_agent(&agent(1))?;
            assert!(matches!(store.add_agent(&agent(1)), Err(StoreError::AgentTaken { .. })));
            // Its second part fails: the first must not stay.
            let issuer = IssuerRecord { id: IssuerId::ROOT, tenant: None, der: Vec::new(), revoked: None };
            let twice = store.add_issuers(&[issuer.clone(), issuer]);
            assert!(matches!(twice, Err(StoreError::IssuerTaken { .. })));
            assert_eq!(store.issuers()?, []);
            store.add_agent(&agent(2))
        })
        .unwrap();
    assert_eq!(store.agents(&ours()).unwrap().len(), 2);
}

#[test]
fn of_a_batch_that_fails_or_panics_nothing_happened() {
    let (_folder, mut store) = fresh();
    let failed = store.batch(&mut |store| {
        store.add_tenant(&theirs(), at(1))?;
        store.add_agent(&agent(1))?;
        store.add_agent(&agent(1))
    });
    assert!(matches!(failed, Err(StoreError::AgentTaken { .. })), "{failed:?}");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.batch(&mut |store| {
            store.add_agent(&agent(1))?;
            panic!("a bug of the caller")
        })
    }));
    assert!(panicked.is_err());
    let nested = store.batch(&mut |store| {
        store.add_agent(&agent(1))?;
        store.batch(&mut |_| Ok(()))
    });
    assert!(matches!(nested, Err(StoreError::BatchInBatch)), "{nested:?}");
    assert_eq!(store.agents(&ours()).unwrap(), []);
    assert_eq!(store.tenants().unwrap(), [ours()]);
    // The store goes on, and its verbs are durable by themselves again.
    store.add_agent(&agent(1)).unwrap();
    assert_eq!(store.check_audit(None).unwrap(), None);
    assert_eq!(store.agents(&ours()).unwrap().len(), 1);
}
