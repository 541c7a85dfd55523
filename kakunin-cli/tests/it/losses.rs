//! Records that are restored from a backup: nothing is published from them until somebody says that the rest is lost.

use std::fs;

use kakunin_authority::access::TenantId;
use kakunin_authority::store::{AuditFilter, Place};

use crate::desk::{Desk, texts};

/// Puts a copy of the records in their place, as somebody would who lost a disk.
fn put_back(desk: &Desk) {
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(desk.path(&format!(".kakunin/store.sqlite{end}")));
    }
    fs::copy(desk.path("backup.sqlite"), desk.path(".kakunin/store.sqlite")).unwrap();
}

#[test]
fn a_backup_that_is_put_back_publishes_nothing_until_the_loss_is_accepted() {
    let desk = Desk::with_billing();
    desk.yes(&["backup", "--out", "backup.sqlite"]);
    assert_eq!(
        desk.run(&["backup", "--out", "backup.sqlite"]).status.code(),
        Some(2),
        "never over another one"
    );
    // The newest records are put back as they are: nothing is missing, and nothing is said.
    put_back(&desk);
    desk.yes(&["crl"]);

    let revoked = desk.yes(&["revoke", "billing", "--reason", "key compromise"]);
    let published = revoked["list_number"].as_u64().unwrap();
    let lists = fs::read(desk.path(".kakunin/public/lists.pem")).unwrap();
    put_back(&desk);
    for arguments in [
        &["crl"][..],
        &["agent", "renew", "billing"],
        &["rotate"],
        &["serve", "--listen", "127.0.0.1:0"],
        &["resume", "billing", "--reason", "x"],
    ] {
        let output = desk.run(arguments);
        let (_, text) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        let said = format!("authority 1 had published revocation list {published}");
        assert!(
            text.contains(&said) && text.contains("kakunin restore --accept-loss"),
            "{arguments:?}: {text}"
        );
    }
    assert_eq!(fs::read(desk.path(".kakunin/public/lists.pem")).unwrap(), lists);
    // Nor is a new authority made where the records are gone altogether.
    fs::remove_file(desk.path(".kakunin/store.sqlite")).unwrap();
    let (_, text) = texts(&desk.run(&["serve", "--listen", "127.0.0.1:0"]));
    assert!(text.contains("the records are behind what was published"), "{text}");

    put_back(&desk);
    assert_eq!(desk.run(&["restore", "--reason", "x"]).status.code(), Some(64));
    let (_, text) = texts(&desk.run(&["restore", "--accept-loss"]));
    assert!(text.contains("--reason"), "{text}");
    let accepted = desk.yes(&["restore", "--accept-loss", "--reason", "disk lost"]);
    assert_eq!(accepted["suspended"], 1);
    // What was revoked and is not in the records any more stays out all the same.
    desk.answer(&["check", "--agent", "agents/billing", "--action", "read:invoices"], 1);
    assert_eq!(desk.yes(&["agent", "show", "billing"])["standing"], "held");
    let records = Place::File(desk.path(".kakunin/store.sqlite")).open().unwrap();
    let log = records.audit(&TenantId::default(), &AuditFilter::default(), 9).unwrap();
    let order = log.iter().find(|order| order.record.what == "store.loss_accepted").unwrap();
    assert!(order.record.before.as_deref().unwrap().starts_with("the records are behind"), "{order:?}");
    assert_eq!((&*order.record.text, order.outcome.is_some()), ("disk lost", true));
    drop(records);
    // And once is enough.
    let again = desk.run(&["restore", "--accept-loss", "--reason", "again"]);
    assert_eq!(again.status.code(), Some(1), "{}", texts(&again).1);
    desk.yes(&["resume", "billing", "--reason", "looked at"]);
    desk.yes(&["agent", "renew", "billing"]);
    desk.yes(&["check", "--agent", "agents/billing", "--action", "read:invoices"]);
}

#[test]
fn an_issuing_authority_that_the_backup_does_not_know_is_revoked_as_well() {
    let desk = Desk::with_billing();
    desk.yes(&["backup", "--out", "backup.sqlite"]);
    desk.yes(&["rotate"]);
    desk.yes(&["agent", "renew", "billing"]);
    desk.yes(&["check", "--agent", "agents/billing", "--action", "read:invoices"]);
    put_back(&desk);
    desk.yes(&["restore", "--accept-loss", "--reason", "disk lost"]);
    assert!(desk.path(".kakunin/issuing/3.pem").exists());
    desk.answer(&["check", "--agent", "agents/billing", "--action", "read:invoices"], 1);
}

#[test]
fn a_guard_of_a_tenant_that_was_lost_stops_by_the_file_it_reads() {
    let desk = Desk::with_billing();
    desk.yes(&["backup", "--out", "backup.sqlite"]);
    desk.yes(&["tenant", "create", "acme"]);
    let create = ["agent", "create", "clerk", "--scope", "scope.toml", "--out", "agents/clerk"];
    desk.yes(&[&create[..], &["--tenant", "acme"]].concat());
    let check = ["check", "--agent", "agents/clerk", "--action", "read:invoices"];
    desk.yes(&check);
    put_back(&desk);
    desk.yes(&["restore", "--accept-loss", "--reason", "disk lost"]);
    // Nobody knows the tenant any more, and nobody would say anything in its name again.
    assert_eq!(desk.yes(&["tenant", "list"])["tenants"].as_array().unwrap().len(), 1);
    assert_eq!(desk.answer(&check, 1)["code"], "certificate.revoked");
}

#[test]
fn marks_that_were_changed_are_not_taken_for_others() {
    let desk = Desk::with_billing();
    let path = desk.path(".kakunin/marks");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.trim_end()).unwrap();
    let output = desk.run(&["crl"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(texts(&output).1.contains("is not as it was written"));
    fs::write(&path, &text).unwrap();
    desk.yes(&["crl"]);
    // A home of before has none, and has them from its next list on.
    fs::remove_file(&path).unwrap();
    desk.yes(&["crl"]);
    assert!(fs::read_to_string(&path).unwrap().starts_with("kakunin marks 1\nlist 0 1\nlist 1 "));
}
