//! Orders in the audit log of a store, one by one and in a batch, beside rows in bare SQLite.
//!
//! What one costs is the disk's sync, and a batch has one for all of them: the ratio says how many orders the authority
//! takes while it would have waited for one. In a batch what is left beside the bare row is a savepoint for each verb,
//! so that one which fails takes nothing with it, the look at the last row, and the hash of this one.

use kakunin_authority::access::{Actor, TenantId};
use kakunin_authority::store::{AuditLog, AuditRecord, RowSalt, SqliteStore, Store};
use rusqlite::Connection;

use crate::agent::BenchAgent;
use crate::harness::{Subject, interleave};
use crate::{Outcome, table};

/// Rows of the audit log, all durable.
pub(crate) fn rows(agent: &BenchAgent) -> Outcome<()> {
    let order = AuditRecord {
        at: agent.now,
        actor: Actor::Local,
        address: Some("192.0.2.17".into()),
        tenant: TenantId::default(),
        what: "agent.suspend".into(),
        subject: "5a1e0000-0000-4000-8000-000000000000".into(),
        before: Some("good".into()),
        after: Some("held".into()),
        text: "x".repeat(280),
        salt: Some(RowSalt::from_random([7; 32])),
    };
    let mut alone = SqliteStore::open(&agent.place("alone.sqlite"))?;
    let mut batched = SqliteStore::open(&agent.place("batched.sqlite"))?;
    let mut floor = Connection::open(agent.place("floor.sqlite"))?;
    floor.pragma_update(None, "journal_mode", "WAL")?;
    floor.pragma_update(None, "synchronous", "FULL")?;
    floor.execute_batch("CREATE TABLE rows (number INTEGER PRIMARY KEY, row BLOB NOT NULL) STRICT")?;
    let row = vec![0x5a_u8; 400];
    let mut bare = || -> rusqlite::Result<()> {
        let transaction = floor.transaction()?;
        for _ in 0..BATCH {
            transaction.prepare_cached("INSERT INTO rows (row) VALUES (?1)")?.execute([&row])?;
        }
        transaction.commit()
    };
    let mut together = || {
        batched.batch(&mut |store| {
            for _ in 0..BATCH {
                store.audit_intent(&order)?;
            }
            Ok(())
        })
    };
    let rounds = interleave(
        21,
        &mut [
            Subject::of_wall(4, || bare().is_ok()),
            Subject::of_wall(4, || together().is_ok()),
            Subject::of_wall(16, || alone.audit_intent(&order).is_ok()),
        ],
        || {},
    );
    let size = f64::from(BATCH);
    let floor = ("a row of bare SQLite in the same", rounds.nanos(0) / size);
    table::ratio("an order in a batch of 256", rounds.nanos(1) / size, floor, rounds.ratio(1, 0), Some(1.5));
    let ratio = rounds.over(|nanos| nanos(2) / (nanos(1) / size));
    let floor = ("one in a batch of 256", rounds.nanos(1) / size);
    table::ratio("an order that is durable by itself", rounds.nanos(2), floor, ratio, None);
    if alone.check_audit(None)?.is_none() || batched.check_audit(None)?.is_none() {
        return Err("nothing was recorded".into());
    }
    Ok(())
}

const BATCH: u32 = 256;
