//! The write-once archive, with a bucket in memory that can be away, lie and forget.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use kakunin_authority::archive::{
    Alarm, Archive, ArchiveError, Backlog, Bucket, BucketError, BucketName, Limits, Lock, LockMode, Object,
    ObjectKey, Pushed, Put, Retention, Seen, Target, VersionId,
};
use kakunin_authority::authority::Hours;
use kakunin_core::digest::Digest;
use kakunin_core::log::Log;
use kakunin_core::time::UnixTime;

use crate::office::{DAY, Office, now};

#[test]
fn what_a_checkpoint_states_is_kept_before_the_checkpoint() {
    let desk = Desk::open();
    desk.log(700);
    let pushed = desk.push();
    assert!(pushed.refused.is_empty() && pushed.stopped.is_none());
    let keys = desk.bucket.order();
    let head = keys.iter().position(|key| key.contains("/checkpoints/700/")).unwrap();
    for needed in [
        "acme/log/tile/0/000",
        "acme/log/tile/0/001",
        "acme/log/tile/0/002.p/188",
        "acme/log/tile/1/000.p/2",
        "acme/log/tile/entries/000",
        "acme/log/tile/entries/002.p/188",
    ] {
        assert!(keys[..head].iter().any(|key| key == needed), "{needed} before the checkpoint");
    }
    // The root's list and the issuing authority's.
    assert_eq!(keys.iter().filter(|key| key.starts_with("acme/lists/")).count(), 2);
    assert_eq!(desk.backlog(), (0, None));
}

#[test]
fn nothing_is_stored_twice() {
    let desk = Desk::open();
    desk.log(300);
    let first = desk.push().kept;
    assert_eq!((desk.push().kept, desk.bucket.order().len() as u64), (0, first));
    desk.log(1);
    // One new partial tile of hashes, one of entries, and the checkpoint; tile/1 did not change.
    assert_eq!(desk.push().kept, 3);
}

#[test]
fn a_bucket_that_is_away_holds_nothing_up_and_loses_nothing() {
    let desk = Desk::open();
    desk.log(600);
    desk.bucket.set(|state| state.away_after = Some(2));
    let pushed = desk.push();
    assert!(pushed.stopped.is_some_and(|error| !error.is_refusal()));
    // The log goes on, and its partial tiles of today are gone tomorrow.
    for _ in 0..3 {
        desk.log(200);
        assert!(desk.push().stopped.is_some());
    }
    let waiting = desk.archive().survey().unwrap().backlog;
    assert!(waiting.queued >= 12, "{waiting:?}");
    let limits = Limits { objects: 10, ..Limits::default() };
    assert!(matches!(waiting.alarm(&limits, now()), Some(Alarm::Objects { .. })));
    let tomorrow = now().plus(DAY);
    assert!(matches!(waiting.alarm(&Limits::default(), tomorrow), Some(Alarm::Age { .. })));

    desk.bucket.set(|state| state.away_after = None);
    let pushed = desk.push();
    assert!(pushed.stopped.is_none() && pushed.refused.is_empty());
    assert_eq!(desk.backlog(), (0, None));
    let keys = desk.bucket.order();
    for size in [600, 800, 1000, 1200] {
        assert!(keys.iter().any(|key| key.contains(&format!("/checkpoints/{size}/"))), "{size}");
    }
    assert_eq!(desk.audit(now()), (keys.len() as u64, vec![]));
}

#[test]
fn a_push_that_died_between_storing_and_recording_finds_its_object_again() {
    let desk = Desk::open();
    desk.log(10);
    desk.bucket.set(|state| state.dies_after_storing = true);
    assert!(desk.push().stopped.is_some());
    desk.bucket.set(|state| state.dies_after_storing = false);
    let pushed = desk.push();
    assert!(pushed.stopped.is_none() && pushed.refused.is_empty(), "{pushed:?}");
    let versions = desk.bucket.set(|state| state.objects.values().map(Vec::len).max());
    assert_eq!(versions, Some(1), "no object was stored twice");
}

#[test]
fn a_lost_inventory_is_written_again_and_locks_are_lengthened() {
    let desk = Desk::open();
    desk.log(10);
    let kept = desk.push().kept;
    fs::remove_file(desk.office.home.path().join("archive/inventory")).unwrap();
    let later = now().plus(30 * DAY);
    assert_eq!(desk.push_at(later).kept, kept);
    let ends =
        desk.archive().inventory().unwrap().records().iter().map(|record| record.until).collect::<Vec<_>>();
    assert!(ends.iter().all(|end| *end >= Retention::FiveYears.until(later)), "{ends:?}");
}

#[test]
fn a_key_with_other_bytes_is_refused_and_holds_back_the_checkpoint() {
    let desk = Desk::open();
    desk.log(10);
    let squatted = ObjectKey::parse("acme/log/tile/0/000.p/10").unwrap();
    desk.bucket.squat(&squatted);
    let pushed = desk.push();
    assert_eq!(pushed.refused.len(), 1);
    assert_eq!((&pushed.refused[0].key, pushed.held_back), (&squatted, 1));
    assert!(!desk.bucket.order().iter().any(|key| key.contains("/checkpoints/")));
    // The refused object and its checkpoint wait on.
    assert_eq!(desk.archive().outbox().waiting().unwrap().len(), 2);
}

#[test]
fn what_a_lying_bucket_says_it_stored_is_not_recorded() {
    let lies = [
        ("is not locked", Lie::NoLock),
        ("locked as GOVERNANCE only", Lie::Governance),
        ("is locked until", Lie::Shorter),
        ("its checksum", Lie::NoChecksum),
        ("its bytes", Lie::OtherBytes),
        ("has no version", Lie::Forgets),
    ];
    for (said, lie) in lies {
        let desk = Desk::open();
        desk.bucket.set(|state| state.lie = Some(lie));
        let pushed = desk.push();
        assert_eq!((pushed.kept, pushed.refused.len()), (0, 2), "{said}");
        assert!(pushed.refused.iter().all(|refused| refused.why.contains(said)), "{said}: {pushed:?}");
        assert!(desk.archive().inventory().unwrap().records().is_empty());
        assert_eq!(desk.archive().outbox().waiting().unwrap().len(), 2);
    }
}

#[test]
fn a_bucket_without_versions_or_without_locks_is_refused_at_the_start() {
    let desk = Desk::open();
    for (fault, set) in [("versions", true), ("lock", false)] {
        desk.bucket.set(|state| (state.no_versions, state.no_lock) = (set, !set));
        let archive = desk.archive();
        let open = archive.open().unwrap();
        let pushed = open.push(&desk.bucket, &now, &mut |_, _| ());
        assert!(pushed.is_err_and(|error| error.is_refusal()), "{fault}");
        assert!(open.use_target(&target(), &desk.bucket, now()).is_err_and(|error| error.is_refusal()));
    }
    assert!(desk.bucket.order().is_empty());
}

#[test]
fn a_delete_marker_or_a_newer_version_on_top_is_no_loss() {
    let desk = Desk::open();
    desk.log(10);
    let kept = desk.push().kept;
    desk.bucket.set(|state| {
        for (number, versions) in state.objects.values_mut().enumerate() {
            let on_top = if number % 2 == 0 { None } else { Some(b"newer".to_vec()) };
            versions.push(Version { id: format!("top{number}"), bytes: on_top, lock: None });
        }
    });
    assert_eq!(desk.audit(now()), (kept, vec![]));
}

#[test]
fn each_way_to_lose_an_object_is_told_apart() {
    let desk = Desk::open();
    desk.log(10);
    let kept = desk.push().kept;
    desk.bucket.set(|state| {
        let mut keys: Vec<_> = state.objects.keys().cloned().collect();
        keys.sort();
        let mut first = |number: usize| state.objects.get_mut(&keys[number]).unwrap().remove(0);
        let (_, mut altered, mut weak, mut short) = (first(0), first(1), first(2), first(3));
        altered.bytes = Some(b"other".to_vec());
        weak.lock = weak.lock.map(|lock| Lock { mode: LockMode::Governance, ..lock });
        short.lock = short.lock.map(|lock| Lock { until: lock.until.plus(-1), ..lock });
        for (number, version) in [(1, altered), (2, weak), (3, short)] {
            state.objects.get_mut(&keys[number]).unwrap().push(version);
        }
    });
    let (still, broken) = desk.audit(now());
    assert_eq!(still, kept - 4);
    assert_eq!(broken, ["archive.gone", "archive.altered", "archive.not_locked", "archive.shortened"]);
    // Once its time has come, nothing is owed.
    assert_eq!(desk.audit(now().plus(6 * 366 * DAY)).1, [""; 0]);
}

#[test]
fn a_damaged_log_is_not_archived_and_lists_do_not_wait_for_it() {
    let desk = Desk::open();
    desk.log(300);
    let tile = desk.office.home.log().join("tile/0/000");
    let whole = fs::read(&tile).unwrap();
    let mut bytes = whole.clone();
    bytes[100] ^= 1;
    fs::write(&tile, bytes).unwrap();
    let archive = desk.archive();
    let open = archive.open().unwrap();
    assert!(open.collect(now()).is_err_and(|error| error.is_refusal()));
    let pushed = open.push(&desk.bucket, &now, &mut |_, _| ()).unwrap();
    assert_eq!((pushed.kept, pushed.refused.len()), (2, 0));
    drop(open);
    assert!(archive.survey().unwrap().obstacle.is_some());
    fs::write(&tile, whole).unwrap();
    assert!(desk.push().kept > 0);
    assert_eq!(desk.backlog(), (0, None));
}

#[test]
fn a_log_that_is_not_the_one_that_was_archived_is_refused() {
    let desk = Desk::open();
    let (log, older) = (desk.office.home.log(), desk.office.path("older"));
    desk.log(300);
    copy(&log, &older);
    desk.log(10);
    let kept = desk.push().kept;
    let refusal = |expected: &str| {
        let archive = desk.archive();
        let open = archive.open().unwrap();
        let error = open.collect(now()).unwrap_err();
        assert!(error.is_refusal() && error.to_string().contains(expected), "{error}");
        assert!(desk.backlog().1.is_some_and(|obstacle| obstacle.contains(expected)));
        assert_eq!(open.push(&desk.bucket, &now, &mut |_, _| ()).unwrap().kept, 0);
    };
    let archived = desk.office.path("archived");
    fs::rename(&log, &archived).unwrap();
    refusal("it is gone");
    copy(&older, &log);
    refusal("set back to an older copy");
    desk.log(3);
    desk.log(17);
    refusal("its first 310 entries are not those");
    fs::remove_dir_all(&log).unwrap();
    desk.log(400);
    refusal("another log");
    // Under another prefix it is a beginning; under the first one, the first log goes on.
    let other = Target { prefix: "other".to_owned(), ..target() };
    desk.archive().open().unwrap().use_target(&other, &desk.bucket, now()).unwrap();
    assert!(desk.push().kept > 0);
    fs::remove_dir_all(&log).unwrap();
    fs::rename(&archived, &log).unwrap();
    desk.archive().open().unwrap().use_target(&target(), &desk.bucket, now()).unwrap();
    desk.log(1);
    assert_eq!(desk.push().kept, 3);
    assert!(desk.bucket.order().len() as u64 > kept);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for found in fs::read_dir(from).unwrap() {
        let (found, target) = (found.as_ref().unwrap().path(), to.join(found.as_ref().unwrap().file_name()));
        match found.is_dir() {
            true => copy(&found, &target),
            false => drop(fs::copy(found, target).unwrap()),
        }
    }
}

#[test]
fn what_was_recorded_and_not_released_is_not_recorded_again() {
    let desk = Desk::open();
    desk.log(10);
    let archive = desk.archive();
    archive.open().unwrap().collect(now()).unwrap();
    let (outbox, before) = (desk.office.home.path().join("archive/outbox"), desk.office.path("before"));
    copy(&outbox, &before);
    let kept = desk.push().kept;
    copy(&before, &outbox);
    assert_eq!((desk.push().kept, desk.archive().outbox().waiting().unwrap().len()), (0, 0));
    assert_eq!(archive.inventory().unwrap().records().len() as u64, kept);
}

#[test]
fn other_peoples_bytes_are_never_locked() {
    let desk = Desk::open();
    desk.log(10);
    let squatted = ObjectKey::parse("acme/log/tile/0/000.p/10").unwrap();
    desk.bucket.squat(&squatted);
    for lock in [None, Some(Lock { mode: LockMode::Compliance, until: now().plus(DAY) })] {
        desk.bucket.set(|state| state.objects.get_mut(&squatted).unwrap()[0].lock = lock);
        let pushed = desk.push();
        assert!(pushed.refused.len() == 1 && pushed.refused[0].why.contains("other bytes"), "{pushed:?}");
        assert_eq!(desk.bucket.set(|state| state.objects[&squatted][0].lock), lock);
    }
}

#[test]
fn our_bytes_that_somebody_stored_without_a_lock_are_locked() {
    let desk = Desk::open();
    desk.log(10);
    let key = ObjectKey::parse("acme/log/tile/0/000.p/10").unwrap();
    desk.bucket.squat(&key);
    let tile = fs::read(desk.office.home.log().join("tile/0/000.p/10")).unwrap();
    desk.bucket.set(|state| state.objects.get_mut(&key).unwrap()[0].bytes = Some(tile));
    assert!(desk.push().refused.is_empty());
    let lock = desk.bucket.set(|state| state.objects[&key][0].lock).unwrap();
    assert!(lock.mode == LockMode::Compliance && lock.until >= Retention::FiveYears.until(now()).plus(-60));
}

#[test]
fn what_is_stored_is_kept_for_longer_and_never_for_less() {
    let desk = Desk::open();
    desk.log(10);
    let kept = desk.push().kept;
    let lengthen = |retention| {
        let archive = desk.archive();
        let open = archive.open().unwrap();
        open.use_target(&Target { retention, ..target() }, &desk.bucket, now()).unwrap();
        let done = open.lengthen(&desk.bucket, now(), &mut |_, _| ()).unwrap();
        assert_eq!(done.stopped, None);
        (done.lengthened, done.as_before, done.broken)
    };
    let ends = || -> Vec<UnixTime> {
        let records = desk.archive().inventory().unwrap().records().to_vec();
        records.iter().map(|record| record.until).collect()
    };
    // Nothing is locked for years on a guess.
    let (_, _, broken) = lengthen(Retention::SevenYears);
    assert_eq!(broken.len() as u64, kept);
    assert!(broken.iter().all(|broken| broken.why.contains("when")), "{broken:?}");
    // Stored a month ago, so the time that is named ends a month earlier; a bucket from the future changes nothing.
    let stored = now().plus(-30 * DAY);
    desk.bucket.set(|state| state.stored = Some(stored));
    assert_eq!(lengthen(Retention::FiveYears), (0, kept, vec![]));
    assert_eq!(lengthen(Retention::SevenYears), (kept, 0, vec![]));
    assert_eq!(ends(), vec![Retention::SevenYears.until(stored); kept as usize]);
    for retention in [Retention::SevenYears, Retention::SixMonths] {
        assert_eq!(lengthen(retention), (0, kept, vec![]));
    }
    assert_eq!(ends(), vec![Retention::SevenYears.until(stored); kept as usize]);
    assert_eq!(desk.audit(now()), (kept, vec![]));
    desk.bucket.set(|state| state.stored = Some(now().plus(1000 * DAY)));
    assert_eq!(lengthen(Retention::SevenYears).0, kept);
    assert!(ends().iter().all(|end| *end <= Retention::SevenYears.until(now())));
}

#[test]
fn what_is_not_as_recorded_is_not_locked_for_longer() {
    let desk = Desk::open();
    desk.log(10);
    let kept = desk.push().kept;
    let key = ObjectKey::parse("acme/log/tile/0/000.p/10").unwrap();
    let before = desk.bucket.set(|state| {
        state.stored = Some(now());
        let version = &mut state.objects.get_mut(&key).unwrap()[0];
        version.bytes = Some(b"other".to_vec());
        version.lock
    });
    let archive = desk.archive();
    let open = archive.open().unwrap();
    let longer = Target { retention: Retention::SevenYears, ..target() };
    open.use_target(&longer, &desk.bucket, now()).unwrap();
    let done = open.lengthen(&desk.bucket, now(), &mut |_, _| ()).unwrap();
    assert_eq!((done.lengthened, done.broken.len()), (kept - 1, 1));
    assert_eq!((&done.broken[0].key, done.broken[0].code), (&key, "archive.altered"));
    assert_eq!(desk.bucket.set(|state| state.objects[&key][0].lock), before);
}

#[test]
fn a_push_that_never_runs_raises_the_alarm_too() {
    let desk = Desk::open();
    let backlog = desk.archive().survey().unwrap().backlog;
    assert_eq!((backlog.queued, backlog.uncollected), (0, 2));
    assert_eq!(backlog.alarm(&Limits::default(), now()), None);
    assert!(matches!(backlog.alarm(&Limits::default(), now().plus(DAY + 1)), Some(Alarm::Age { .. })));
}

#[test]
fn two_pushes_at_once_are_one() {
    let desk = Desk::open();
    let archive = desk.archive();
    let _open = archive.open().unwrap();
    assert!(matches!(archive.open(), Err(ArchiveError::Busy { .. })));
}

#[test]
fn lists_that_an_agent_used_are_kept_and_what_only_looks_like_one_is_not() {
    let desk = Desk::open();
    let journal = desk.office.path("journal");
    fs::create_dir_all(journal.join("archive")).unwrap();
    let old = desk.office.authority().current_list().unwrap();
    let _ = desk.office.authority().publish(Hours::default(), now()).unwrap();
    fs::write(journal.join("archive/old.crl"), &old.der).unwrap();
    fs::write(journal.join("archive/junk.crl"), "junk").unwrap();
    fs::write(journal.join("archive/agent.cert"), "certificate").unwrap();
    let target = Target { journals: vec![journal], ..target() };
    desk.archive().open().unwrap().use_target(&target, &desk.bucket, now()).unwrap();
    assert_eq!(desk.push().kept, 3);
}

/// An office with an archive, a log and a bucket.
pub(crate) struct Desk {
    pub(crate) office: Office,
    pub(crate) bucket: MemoryBucket,
}

impl Desk {
    pub(crate) fn open() -> Self {
        let desk = Self { office: Office::open(), bucket: MemoryBucket::default() };
        desk.archive().open().unwrap().use_target(&target(), &desk.bucket, now()).unwrap();
        desk
    }

    pub(crate) fn archive(&self) -> Archive {
        Archive::of(&self.office.home)
    }

    /// Appends entries to the owner's log.
    pub(crate) fn log(&self, count: u64) {
        let mut log: Log =
            kakunin_authority::log::open(&self.office.home, self.office.sources(), None).unwrap();
        let entries: Vec<String> = (0..count).map(|number| format!("{} {number}", log.size())).collect();
        log.append(&entries).unwrap();
    }

    pub(crate) fn push(&self) -> Pushed {
        self.push_at(now())
    }

    fn push_at(&self, time: UnixTime) -> Pushed {
        let archive = self.archive();
        let open = archive.open().unwrap();
        open.collect(time).unwrap();
        open.push(&self.bucket, &move || time, &mut |_, _| ()).unwrap()
    }

    pub(crate) fn backlog(&self) -> (u64, Option<String>) {
        let survey = self.archive().survey().unwrap();
        let Backlog { queued, uncollected, .. } = survey.backlog;
        (queued + uncollected, survey.obstacle.map(|error| error.to_string()))
    }

    pub(crate) fn audit(&self, time: UnixTime) -> (u64, Vec<&'static str>) {
        let audit = self.archive().audit(&self.bucket, time, &mut |_, _| ()).unwrap();
        assert_eq!(audit.stopped, None);
        (audit.kept, audit.broken.iter().map(|broken| broken.code).collect())
    }
}

pub(crate) fn target() -> Target {
    Target {
        bucket: BucketName::parse("trail").unwrap(),
        prefix: "acme".to_owned(),
        endpoint: None,
        region: None,
        retention: Retention::FiveYears,
        log: None,
        journals: Vec::new(),
        limits: Limits::default(),
    }
}

#[derive(Default)]
pub(crate) struct MemoryBucket(Mutex<State>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) objects: HashMap<ObjectKey, Vec<Version>>,
    order: Vec<String>,
    next: u64,
    no_versions: bool,
    no_lock: bool,
    /// Not to be reached once this many are stored.
    away_after: Option<u64>,
    dies_after_storing: bool,
    lie: Option<Lie>,
    /// When everything was stored, if the bucket says it.
    stored: Option<UnixTime>,
}

pub(crate) struct Version {
    pub(crate) id: String,
    /// None for a delete marker.
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) lock: Option<Lock>,
}

enum Lie {
    NoLock,
    Governance,
    Shorter,
    NoChecksum,
    OtherBytes,
    Forgets,
}

impl MemoryBucket {
    pub(crate) fn set<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    pub(crate) fn order(&self) -> Vec<String> {
        self.set(|state| state.order.clone())
    }

    fn squat(&self, key: &ObjectKey) {
        let version = Version { id: "squatter".to_owned(), bytes: Some(b"other".to_vec()), lock: None };
        self.set(|state| state.objects.insert(key.clone(), vec![version]));
    }

    fn find<T>(
        &self,
        key: &ObjectKey,
        id: &VersionId,
        seen: impl FnOnce(&Version, &Option<Lie>) -> T,
    ) -> Option<T> {
        self.set(|state| {
            let State { objects, lie, .. } = state;
            let version = objects.get(key)?.iter().find(|version| version.id == id.as_str())?;
            (!matches!(lie, Some(Lie::Forgets))).then(|| seen(version, lie))
        })
    }
}

fn away() -> BucketError {
    BucketError::Unreachable { verb: "store an object", why: "nobody answers".to_owned() }
}

impl Bucket for MemoryBucket {
    fn name(&self) -> &'static str {
        "trail"
    }

    fn examine(&self, _: UnixTime) -> Result<(), BucketError> {
        let bucket = "trail".to_owned();
        self.set(|state| match (state.no_versions, state.no_lock) {
            (true, _) => Err(BucketError::NoVersions { bucket, state: "Suspended".to_owned() }),
            (_, true) => Err(BucketError::NoLock { bucket }),
            _ => Ok(()),
        })
    }

    fn put(&self, object: &Object, until: UnixTime) -> Result<Put, BucketError> {
        self.set(|state| {
            if state.away_after.is_some_and(|limit| state.order.len() as u64 >= limit) {
                return Err(away());
            }
            let versions = state.objects.entry(object.key().clone()).or_default();
            if versions.last().is_some_and(|version| version.bytes.is_some()) {
                return Ok(Put::Occupied);
            }
            state.next += 1;
            let id = format!("v{}", state.next);
            let lock = Some(Lock { mode: LockMode::Compliance, until });
            versions.push(Version { id: id.clone(), bytes: Some(object.bytes().to_vec()), lock });
            state.order.push(object.key().to_string());
            match state.dies_after_storing {
                true => Err(away()),
                false => Ok(Put::Stored(VersionId::new(&id).unwrap())),
            }
        })
    }

    fn look(&self, key: &ObjectKey, version: &VersionId) -> Result<Option<Seen>, BucketError> {
        let seen = self.find(key, version, |version, lie| {
            let bytes = version.bytes.as_deref()?;
            let lock = version.lock.and_then(|lock| match lie {
                Some(Lie::NoLock) => None,
                Some(Lie::Governance) => Some(Lock { mode: LockMode::Governance, ..lock }),
                Some(Lie::Shorter) => Some(Lock { until: lock.until.plus(-1), ..lock }),
                _ => Some(lock),
            });
            let sha256 = (!matches!(lie, Some(Lie::NoChecksum))).then(|| Digest::of(bytes));
            Some(Seen { lock, sha256, size: bytes.len() as u64, stored: None })
        });
        let stored = self.set(|state| state.stored);
        Ok(seen.flatten().map(|seen| Seen { stored, ..seen }))
    }

    fn read(&self, key: &ObjectKey, version: &VersionId, _: u64) -> Result<Option<Vec<u8>>, BucketError> {
        let read = self.find(key, version, |version, lie| match lie {
            Some(Lie::OtherBytes) => Some(b"other".to_vec()),
            _ => version.bytes.clone(),
        });
        Ok(read.flatten())
    }

    fn versions(&self, key: &ObjectKey) -> Result<Vec<VersionId>, BucketError> {
        self.set(|state| {
            let versions = state.objects.get(key).into_iter().flatten();
            let stored = versions.filter(|version| version.bytes.is_some());
            Ok(stored.filter_map(|version| VersionId::new(&version.id)).collect())
        })
    }

    fn lengthen(&self, key: &ObjectKey, version: &VersionId, until: UnixTime) -> Result<(), BucketError> {
        self.set(|state| {
            let mut versions = state.objects.get_mut(key).into_iter().flatten();
            let found = versions.find(|found| found.id == version.as_str());
            if let Some(version) = found {
                let until = version.lock.map_or(until, |lock| lock.until.max(until));
                version.lock = Some(Lock { mode: LockMode::Compliance, until });
            }
            Ok(())
        })
    }
}
