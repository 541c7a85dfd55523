//! What a journal's owner, a bucket's other writers and a clock try against the archive.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use kakunin_authority::archive::{Alarm, Limits, Lock, LockMode, ObjectKey, Target};
use kakunin_authority::authority::Hours;
use kakunin_core::digest::Digest;
use kakunin_core::revocation::UnverifiedList;

use crate::archive::{Desk, Version, target};
use crate::office::{DAY, now};

/// A desk that archives a journal's lists as well, and the folder that its agent writes them to.
fn with_journal() -> (Desk, PathBuf) {
    let desk = Desk::open();
    let journal = desk.office.path("journal");
    let archive = journal.join("archive");
    fs::create_dir_all(&archive).unwrap();
    // The first journal's archive is no folder at all.
    let other = desk.office.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("archive"), "no folder").unwrap();
    let target = Target { journals: vec![other, journal], ..target() };
    desk.archive().open().unwrap().use_target(&target, &desk.bucket, now()).unwrap();
    (desk, archive)
}

/// What is in the way in the first journal is told, and everything else is stored.
fn push(desk: &Desk) {
    let archive = desk.archive();
    let open = archive.open().unwrap();
    assert!(open.collect(now()).is_err());
    let _ = open.push(&desk.bucket, &now, &mut |_, _| ()).unwrap();
}

#[test]
fn what_lies_in_a_journal_holds_up_neither_the_log_nor_other_lists() {
    let (desk, archive) = with_journal();
    desk.log(3);
    let old = desk.office.authority().current_list().unwrap();
    let _ = desk.office.authority().publish(Hours::default(), now()).unwrap();
    fs::write(archive.join("zz.crl"), &old.der).unwrap();
    fs::create_dir(archive.join("folder.crl")).unwrap();
    assert!(Command::new("mkfifo").arg(archive.join("pipe.crl")).status().unwrap().success());
    File::create(archive.join("endless.crl")).unwrap().set_len(1 << 40).unwrap();
    std::os::unix::fs::symlink("/dev/zero", archive.join("zeros.crl")).unwrap();
    push(&desk);
    let keys = desk.bucket.order();
    assert!(keys.iter().any(|key| key.contains("/checkpoints/3/")), "{keys:?}");
    assert_eq!(keys.iter().filter(|key| key.contains("/lists/")).count(), 3);
    // It is told until somebody looks, and the log that was collected is known.
    let (waiting, obstacle) = desk.backlog();
    assert!(waiting == 0 && obstacle.is_some());
    let survey = desk.archive().survey().unwrap();
    assert!(survey.obstacle.is_some());
    fs::remove_dir_all(desk.office.home.log()).unwrap();
    let gone = desk.archive().open().unwrap().collect(now()).unwrap_err();
    assert!(gone.to_string().contains("gone"), "{gone}");
}

#[test]
fn a_list_of_ours_that_we_did_not_sign_takes_no_place() {
    let (desk, archive) = with_journal();
    let old = desk.office.authority().current_list().unwrap().der;
    let _ = desk.office.authority().publish(Hours::default(), now()).unwrap();
    let mut forged = old.clone();
    *forged.last_mut().unwrap() ^= 1;
    let digest = UnverifiedList::decode(&old).unwrap().digest();
    assert_eq!(UnverifiedList::decode(&forged).unwrap().digest(), digest);
    fs::write(archive.join("0.crl"), &forged).unwrap();
    push(&desk);
    fs::write(archive.join("1.crl"), &old).unwrap();
    push(&desk);
    let key = ObjectKey::parse(&format!("acme/lists/{digest}.crl")).unwrap();
    let kept = desk.bucket.set(|state| state.objects[&key].last().unwrap().bytes.clone());
    assert_eq!(kept.as_deref().map(Digest::of), Some(Digest::of(&old)));
}

#[test]
fn a_version_that_others_put_on_top_under_a_weaker_lock_hides_none_of_ours() {
    let desk = Desk::open();
    desk.log(3);
    let kept = desk.push().kept;
    let key = ObjectKey::parse("acme/log/tile/0/000.p/3").unwrap();
    desk.bucket.set(|state| {
        let versions = state.objects.get_mut(&key).unwrap();
        let (bytes, until) = (versions[0].bytes.clone(), now().plus(DAY));
        let lock = Some(Lock { mode: LockMode::Governance, until });
        versions.insert(0, Version { id: "theirs".to_owned(), bytes, lock });
    });
    // The inventory is lost, so everything is looked for in the bucket.
    fs::remove_file(desk.office.home.path().join("archive/inventory")).unwrap();
    let pushed = desk.push();
    assert_eq!((pushed.kept, pushed.refused.len()), (kept, 0), "{pushed:?}");
    assert_eq!(desk.audit(now()), (kept, vec![]));
}

#[test]
fn what_waits_since_a_time_to_come_raises_the_alarm() {
    let desk = Desk::open();
    desk.log(3);
    // The clock stood a year ahead when something was collected, and is right again.
    desk.archive().open().unwrap().collect(now().plus(365 * DAY)).unwrap();
    let alarm = || desk.archive().survey().unwrap().backlog.alarm(&Limits::default(), now());
    assert!(matches!(alarm(), Some(Alarm::Clock { .. })));
    let _ = desk.bucket.order();
    let open = desk.archive();
    let open = open.open().unwrap();
    let _ = open.push(&desk.bucket, &now, &mut |_, _| ()).unwrap();
    drop(open);
    assert_eq!(alarm(), None);
    // What nobody collects since then counts from a time to come as well.
    desk.log(1);
    assert!(matches!(alarm(), Some(Alarm::Clock { .. })));
    let _ = desk.push();
    assert_eq!(alarm(), None);
}
