//! How much stays of what an agent shows of a log.

use kakunin_authority::store::{CheckpointRecord, MemoryStore, ShownFilter, SqliteStore, Store, StoreError};
use kakunin_core::digest::Digest;

use super::{agent, at, ours};

fn show(store: &mut dyn Store, who: u8, log: &str, size: u64) -> Result<bool, StoreError> {
    store.keep_checkpoint(&CheckpointRecord {
        tenant: ours(),
        agent: agent(who).id,
        log: log.to_owned(),
        size,
        root: Digest::of(&size.to_be_bytes()),
        note: format!("{log} {size}"),
        proven: None,
        received: at(0),
    })
}

/// The numbers and sizes of what is kept, the newest first.
fn kept(store: &dyn Store, who: u8, log: &str) -> Vec<(u64, u64)> {
    let filter = ShownFilter { agents: Some(vec![agent(who).id]), below: None };
    let rows = store.checkpoints(&ours(), &filter, 10_000).unwrap();
    rows.into_iter().filter(|(_, row)| row.log == log).map(|(number, row)| (number, row.size)).collect()
}

/// One agent shows 1,102 checkpoints of a log, among others who show one each.
fn check(store: &mut dyn Store) {
    let told = store.batch(&mut |store| {
        store.add_agent(&agent(1))?;
        store.add_agent(&agent(2))?;
        for (who, log, size) in [(1, "log", 7), (2, "log", 3), (1, "log", 9_000), (1, "another", 4)] {
            show(store, who, log, size)?;
        }
        for size in 10..1_110 {
            show(store, 1, "log", size)?;
        }
        Ok(())
    });
    told.unwrap();
    // The first, the largest and 1,024 others; of other agents and logs everything.
    let newest = (86..1_110).rev().map(|size| (size - 5, size));
    let expected: Vec<_> = newest.chain([(3, 9_000), (1, 7)]).collect();
    assert_eq!(kept(store, 1, "log"), expected);
    assert_eq!((kept(store, 2, "log"), kept(store, 1, "another")), (vec![(2, 3)], vec![(4, 4)]));
    let largest = store.largest_checkpoint(&ours(), agent(1).id, "log").unwrap().unwrap();
    assert_eq!(largest.size, 9_000);
    // What stayed is known, what went is new, and no number comes twice.
    assert!(!show(store, 1, "log", 7).unwrap());
    assert!(show(store, 1, "log", 11).unwrap());
    assert_eq!(kept(store, 1, "log")[0], (1_105, 11));
    assert_eq!(kept(store, 1, "log").len(), 1_026);
}

#[test]
fn an_agent_fills_no_disk_with_checkpoints() {
    check(&mut MemoryStore::default());
    let folder = tempfile::tempdir().unwrap();
    check(&mut SqliteStore::open(&folder.path().join("store.sqlite")).unwrap());
}

#[cfg(feature = "postgres")]
#[test]
fn an_agent_fills_no_database_server_with_checkpoints() {
    use kakunin_authority::store::PostgresStore;

    let Some(schema) = super::server::schema() else { return };
    check(&mut PostgresStore::open(&schema.address()).unwrap());
}
