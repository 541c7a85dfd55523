//! Several nodes on one PostgreSQL server: one writes, and none that was overtaken.

use std::thread;
use std::time::{Duration, Instant};

use kakunin_authority::store::{
    Access, Agents, AuditLog, Issuers, Looked, PostgresStore, Rehearsal, Standby, Store, StoreError,
};

use super::server::{Schema, schema};
use super::{agent, at, ours, theirs};

#[test]
fn of_two_nodes_one_leads_and_the_other_waits_for_its_end() {
    let Some(schema) = schema() else { return };
    let mut first = lead(&schema, "http://one");
    let mut standby = Standby::new(schema.address());
    let led = standby.look(Some("http://two")).unwrap();
    assert!(matches!(&led, Looked::Led(Some(url)) if url == "http://one"), "{led:?}");
    first.add_agent(&agent(1)).unwrap();
    let start = Instant::now();
    drop(first);
    let mut second = wait(standby, "http://two");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    second.add_agent(&agent(2)).unwrap();
    assert_eq!(second.agents(&ours()).unwrap().len(), 2);
    let local = PostgresStore::open(&schema.address());
    assert!(
        matches!(&local, Err(StoreError::LedElsewhere { url: Some(url) }) if url == "http://two"),
        "{local:?}"
    );
}

#[test]
fn a_leader_that_was_overtaken_writes_nothing() {
    let Some(schema) = schema() else { return };
    let mut old = lead(&schema, "http://old");
    old.add_agent(&agent(1)).unwrap();
    old.confirm().unwrap();
    // As if its connection with the lock had been given up by the server while it was paused.
    schema.run("UPDATE leader SET term = term + 1");
    for refused in [
        old.add_agent(&agent(2)),
        old.add_tenant(&theirs(), at(1)),
        old.batch(&mut |store| store.add_agent(&agent(3))),
        old.confirm(),
    ] {
        assert!(matches!(refused, Err(StoreError::Fenced { term: 1, newest: 2 })), "{refused:?}");
    }
    assert_eq!(old.agents(&ours()).unwrap().len(), 1);
}

#[test]
fn a_term_is_taken_only_when_no_write_of_the_last_one_is_under_way() {
    let Some(schema) = schema() else { return };
    let mut store = lead(&schema, "http://one");
    let taken = || schema.client().query_one(FENCE_TAKEN, &[]).unwrap().get::<_, bool>(0);
    store
        .batch(&mut |store| {
            store.add_agent(&agent(1))?;
            assert!(!taken());
            Ok(())
        })
        .unwrap();
    assert!(taken());
    // A leader that is paused in the midst of it holds nobody up: the server takes it back.
    let paused = store.batch(&mut |store| {
        store.add_agent(&agent(2))?;
        let start = Instant::now();
        while !taken() {
            assert!(start.elapsed() < Duration::from_secs(60));
            thread::sleep(Duration::from_millis(100));
        }
        store.add_agent(&agent(3))
    });
    assert!(paused.is_err());
    assert_eq!(store.agents(&ours()).unwrap().len(), 1);
}

#[test]
fn a_leader_whose_lock_went_takes_it_again_before_another_node_does() {
    let Some(schema) = schema() else { return };
    let mut store = lead(&schema, "http://one");
    let mut standby = Standby::new(schema.address());
    for _ in 0..3 {
        schema.run(LOCK_GOES);
        let start = Instant::now();
        loop {
            match standby.look(Some("http://two")).unwrap() {
                Looked::Led(_) if start.elapsed() > Duration::from_millis(500) => break,
                // On a machine with much to do it comes too late, and then it does nothing more.
                Looked::Leads(mut other) => {
                    assert!(matches!(store.add_agent(&agent(1)), Err(StoreError::Fenced { .. })));
                    return other.add_agent(&agent(1)).unwrap();
                }
                _ => thread::sleep(Duration::from_millis(20)),
            }
        }
    }
    store.add_agent(&agent(1)).unwrap();
}

#[test]
fn a_server_whose_disk_is_full_says_so_and_nothing_else_does() {
    let Some(schema) = schema() else { return };
    let mut store = lead(&schema, "http://one");
    let raise = |code: &str| {
        schema.run(&format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '{code}'; END $$"
        ));
    };
    raise("53100");
    schema.run("CREATE TRIGGER refuse BEFORE INSERT ON agents FOR EACH ROW EXECUTE FUNCTION refuse()");
    assert!(matches!(store.add_agent(&agent(1)), Err(StoreError::NoRoom(_))));
    let batch = store.batch(&mut |store| store.add_agent(&agent(1)));
    assert!(matches!(batch, Err(StoreError::NoRoom(_))), "{batch:?}");
    raise("53200");
    assert!(matches!(store.add_agent(&agent(1)), Err(StoreError::Server { .. })));
    schema.run("DROP TRIGGER refuse ON agents");
    store.add_agent(&agent(1)).unwrap();
}

#[test]
fn a_connection_that_ends_is_made_anew() {
    let Some(schema) = schema() else { return };
    let mut store = lead(&schema, "http://one");
    for number in 1..=5 {
        store.add_agent(&agent(number)).unwrap();
        schema.run(ALL_GO);
        assert_eq!(store.agents(&ours()).unwrap().len(), usize::from(number));
        schema.run(ALL_GO);
    }
    // In a batch nothing is tried again: what came before is gone with the connection.
    let lost = store.batch(&mut |store| {
        store.add_agent(&agent(6))?;
        schema.run(ALL_GO);
        let _ = store.add_agent(&agent(7));
        store.add_agent(&agent(8))
    });
    assert!(lost.is_err());
    assert_eq!(store.agents(&ours()).unwrap().len(), 5);
    store.confirm().unwrap();
}

#[test]
fn whoever_reads_writes_nothing() {
    let Some(schema) = schema() else { return };
    let early = PostgresStore::reader(&schema.address());
    assert!(matches!(early, Err(StoreError::TooOld { found: 0, .. })), "{early:?}");
    drop(lead(&schema, "http://one"));
    let mut reader = PostgresStore::reader(&schema.address()).unwrap();
    assert!(matches!(reader.add_agent(&agent(1)), Err(StoreError::OnlyReads)));
    assert!(matches!(reader.batch(&mut |_| Ok(())), Err(StoreError::OnlyReads)));
    assert_eq!(reader.issuers().unwrap(), []);
}

#[test]
fn a_schema_made_by_other_instructions_or_a_newer_program_is_refused() {
    for (sql, expected) in [
        (
            "UPDATE migrations SET checksum = decode(repeat('00', 32), 'hex') WHERE number = 1",
            "ChangedMigration",
        ),
        ("INSERT INTO migrations VALUES (99, decode(repeat('00', 32), 'hex'))", "TooNew { found: 99"),
    ] {
        let Some(schema) = schema() else { return };
        drop(lead(&schema, "http://one"));
        schema.run(sql);
        for refused in [PostgresStore::open(&schema.address()), PostgresStore::reader(&schema.address())] {
            let refused = format!("{:?}", refused.unwrap_err());
            assert!(refused.starts_with(expected), "{sql}: {refused}");
        }
    }
}

#[test]
fn a_migration_is_rehearsed_and_taken_back() {
    let Some(schema) = schema() else { return };
    let known = PostgresStore::rehearse(&schema.address()).unwrap().known;
    let again = PostgresStore::rehearse(&schema.address()).unwrap();
    assert_eq!(again, Rehearsal { found: 0, known });
    drop(lead(&schema, "http://one"));
    assert_eq!(PostgresStore::rehearse(&schema.address()).unwrap(), Rehearsal { found: known, known });
}

#[test]
fn the_audit_log_is_append_only_and_edits_show() {
    let Some(schema) = schema() else { return };
    let mut store = lead(&schema, "http://one");
    for _ in 0..3 {
        store.audit_intent(&super::audit::order(1)).unwrap();
    }
    let mut client = schema.client();
    for sql in ["UPDATE audit SET text = ''", "DELETE FROM audit", "TRUNCATE audit"] {
        assert!(client.batch_execute(sql).is_err(), "{sql}");
    }
    client
        .batch_execute(
            "ALTER TABLE audit DISABLE TRIGGER audit_is_not_changed; UPDATE audit SET text = 'x' WHERE number = 2",
        )
        .unwrap();
    assert!(matches!(store.check_audit(None), Err(StoreError::AuditBroken { row: 2 })));
}

fn lead(schema: &Schema, url: &str) -> PostgresStore {
    wait(Standby::new(schema.address()), url)
}

fn wait(mut standby: Standby, url: &str) -> PostgresStore {
    let start = Instant::now();
    loop {
        match standby.look(Some(url)) {
            Ok(Looked::Leads(store)) => return *store,
            _ => {
                assert!(start.elapsed() < Duration::from_secs(60), "nobody leads");
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// Ends the connections of the store whose schema this is, but not ours.
const ALL_GO: &str = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE application_name = current_schema()";
/// Ends the connection that has the lock of the leader, whichever store's.
const LOCK_GOES: &str = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks
    WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted AND objsubid = 1
    AND (classid::int8 << 32) + objid::int8
      = hashtextextended('kakunin leader ' || current_schema(), 0) & 9223372036854775807";
/// Takes, for a moment, what taking a term needs.
const FENCE_TAKEN: &str = "SELECT pg_try_advisory_xact_lock(
    hashtextextended('kakunin fence ' || current_schema(), 0) & 9223372036854775807)";
