//! The audit log: intents with their outcomes, filters, and a chain in which a change shows.

use kakunin_authority::access::{Actor, KeyPrefix};
use kakunin_authority::store::{
    AuditFilter, AuditHead, AuditId, AuditLog, AuditRecord, Outcome, RowSalt, SqliteStore, StoreError,
};
use kakunin_core::digest::Digest;
use rusqlite::Connection;

use super::{at, fresh, ours, theirs};

#[test]
fn an_order_is_shown_with_what_came_of_it() {
    let (_folder, mut store) = fresh();
    let outcomes = [Outcome::Done, Outcome::Refused("agent.revoked".into()), Outcome::Failed("disk".into())];
    let mut ids = Vec::new();
    for (second, outcome) in (1..).zip(&outcomes) {
        let id = store.audit_intent(&order(second)).unwrap();
        store.audit_outcome(id, outcome, at(second + 100)).unwrap();
        ids.push(id);
    }
    // A crash after the intent: nobody says what came of it.
    let open = store.audit_intent(&order(9)).unwrap();
    let shown = store.audit(&ours(), &AuditFilter::default(), 10).unwrap();
    assert_eq!(shown.len(), 4);
    assert_eq!((shown[0].id, &shown[0].record, &shown[0].outcome), (open, &order(9), &None));
    for (entry, (second, outcome)) in shown[1..].iter().zip([3, 2, 1].into_iter().zip(outcomes.iter().rev()))
    {
        assert_eq!(entry.record, order(second));
        assert_eq!(entry.outcome, Some((outcome.clone(), at(second + 100))));
    }
    assert_eq!(shown[1..].iter().map(|entry| entry.id).collect::<Vec<_>>(), [ids[2], ids[1], ids[0]]);
}

#[test]
fn an_outcome_belongs_to_an_intent_and_is_told_once() {
    let (_folder, mut store) = fresh();
    let id = store.audit_intent(&order(1)).unwrap();
    store.audit_outcome(id, &Outcome::Done, at(2)).unwrap();
    let head = store.check_audit(None).unwrap();
    let again = store.audit_outcome(id, &Outcome::Failed("no".into()), at(3));
    assert!(matches!(again, Err(StoreError::OutcomeKnown { id: its }) if its == id), "{again:?}");
    // The outcome's own row is no intent, and neither is a number that nobody has.
    for number in [id.number() + 1, 77, u64::MAX] {
        let nobody = store.audit_outcome(AuditId::from_number(number), &Outcome::Done, at(3));
        assert!(matches!(nobody, Err(StoreError::UnknownIntent { .. })), "{nobody:?}");
    }
    let foreign = store.audit_intent(&AuditRecord { tenant: theirs(), ..order(4) });
    assert!(matches!(foreign, Err(StoreError::UnknownTenant { .. })), "{foreign:?}");
    assert_eq!(store.check_audit(head.as_ref()).unwrap(), head);
}

#[test]
fn the_log_is_shown_by_what_is_asked_for() {
    let (_folder, mut store) = fresh();
    let key = KeyPrefix::from_random([7; 8]);
    for second in 1..=6 {
        let what = if second % 2 == 0 { "agent.suspend" } else { "agent.resume" };
        let subject = if second > 3 { "late" } else { "early" };
        let actor = if second == 5 { Actor::Key(key.clone()) } else { Actor::Local };
        let record = AuditRecord { what: what.into(), subject: subject.into(), actor, ..order(second) };
        store.audit_intent(&record).unwrap();
    }
    let shown = |filter: AuditFilter, limit| -> Vec<i64> {
        let entries = store.audit(&ours(), &filter, limit).unwrap();
        entries.iter().map(|entry| entry.record.at.seconds()).collect()
    };
    let all = AuditFilter::default;
    assert_eq!(shown(all(), 3), [6, 5, 4]);
    assert_eq!(shown(all(), 0), [0; 0]);
    assert_eq!(shown(AuditFilter { since: Some(at(3)), before: Some(at(5)), ..all() }, 9), [4, 3]);
    assert_eq!(shown(AuditFilter { what: Some("agent.suspend".into()), ..all() }, 9), [6, 4, 2]);
    assert_eq!(shown(AuditFilter { subject: Some("early".into()), ..all() }, 9), [3, 2, 1]);
    assert_eq!(shown(AuditFilter { actor: Some(Actor::Key(key.clone())), ..all() }, 9), [5]);
    let page = store.audit(&ours(), &all(), 2).unwrap();
    assert_eq!(shown(AuditFilter { below: Some(page[1].id), ..all() }, 2), [4, 3]);
    assert_eq!(shown(AuditFilter { below: Some(AuditId::from_number(u64::MAX)), ..all() }, 1), [6]);
    assert_eq!(store.audit(&theirs(), &all(), 9).unwrap(), []);
}

#[test]
fn the_audit_log_is_append_only() {
    let (folder, mut store) = fresh();
    filled(&mut store);
    let connection = Connection::open(folder.path().join("store.sqlite")).unwrap();
    for sql in ["UPDATE audit SET text = 'x' WHERE number = 2", "DELETE FROM audit WHERE number = 2"] {
        let refused = connection.execute(sql, []).unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
}

#[test]
fn a_row_that_is_edited_removed_or_put_in_breaks_the_chain() {
    // Somebody who may write into the file takes the triggers away first.
    for (sql, broken) in [
        ("UPDATE audit SET text = 'innocent' WHERE number = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE number = 1", 1),
        ("UPDATE audit SET actor = 'authority' WHERE number = 3", 3),
        ("UPDATE audit SET actor = 'somebody' WHERE number = 3", 3),
        ("UPDATE audit SET address = '192.0.2.1' WHERE number = 3", 3),
        ("UPDATE audit SET before = after, after = before WHERE number = 3", 3),
        ("UPDATE audit SET outcome = 'failed' WHERE number = 4", 4),
        ("UPDATE audit SET intent = 6 WHERE number = 2", 2),
        ("UPDATE audit SET text = 'x' WHERE number = 2", 2),
        ("UPDATE audit SET hash = zeroblob(32) WHERE number = 6", 6),
        ("UPDATE audit SET tenant = 'default2' WHERE number = 5", 5),
        ("UPDATE audit SET salt = zeroblob(32) WHERE number = 3", 3),
        ("UPDATE audit SET salt = NULL WHERE number = 3", 3),
        ("UPDATE audit SET salt = zeroblob(32) WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number = 6", 6),
        ("DELETE FROM audit WHERE number = 2", 2),
        ("DELETE FROM audit WHERE number IN (1, 2)", 1),
        ("DELETE FROM audit", 1),
        ("UPDATE audit SET number = number + 100 WHERE number = 6", 6),
        (
            "INSERT INTO audit SELECT 7, tenant, at, NULL, NULL, actor, address, what, subject, before, after, text, hash, salt
             FROM audit WHERE number = 5",
            7,
        ),
    ] {
        let (folder, mut store) = fresh();
        filled(&mut store);
        let head = store.check_audit(None).unwrap().unwrap();
        assert_eq!(head.rows, 6);
        let connection = Connection::open(folder.path().join("store.sqlite")).unwrap();
        let free = "PRAGMA foreign_keys = off; DROP TRIGGER audit_is_not_edited; DROP TRIGGER audit_is_not_cut";
        connection.execute_batch(free).unwrap();
        assert!(connection.execute(sql, []).unwrap() > 0, "{sql}");
        match store.check_audit(Some(&head)) {
            Err(StoreError::AuditBroken { row }) => assert_eq!(row, broken, "{sql}"),
            other => assert!(other.is_err(), "{sql}: {other:?}"),
        }
    }
}

#[test]
fn a_head_that_was_noted_shows_a_log_that_was_cut_or_written_anew() {
    let (_folder, mut store) = fresh();
    assert_eq!(store.check_audit(None).unwrap(), None);
    filled(&mut store);
    let early = store.check_audit(None).unwrap().unwrap();
    store.audit_intent(&order(9)).unwrap();
    let late = store.check_audit(Some(&early)).unwrap().unwrap();
    assert_eq!((early.rows, late.rows), (6, 7));
    let (_other, mut anew) = fresh();
    filled(&mut anew);
    assert_eq!(anew.check_audit(Some(&early)).unwrap(), Some(early));
    assert!(matches!(anew.check_audit(Some(&late)), Err(StoreError::AuditBroken { row: 7 })));
    let forged = AuditHead { rows: 2, hash: Digest::of(b"another past") };
    assert!(matches!(anew.check_audit(Some(&forged)), Err(StoreError::AuditBroken { row: 2 })));
}

/// Three orders with their outcomes: six rows.
fn filled(store: &mut SqliteStore) {
    for second in 1..=3 {
        let id = store.audit_intent(&order(second)).unwrap();
        store.audit_outcome(id, &Outcome::Refused("scope.action".into()), at(second + 1)).unwrap();
    }
}

pub(super) fn order(second: i64) -> AuditRecord {
    AuditRecord {
        at: at(second),
        actor: Actor::Local,
        address: None,
        tenant: ours(),
        what: "agent.suspend".into(),
        subject: "5a1e0000-0000-4000-8000-000000000000".into(),
        before: Some("good".into()),
        after: Some("held".into()),
        text: format!("order {second}\r\n\u{1b}[2J"),
        salt: (second % 2 == 0).then(|| RowSalt::from_random([7; 32])),
    }
}
