//! Used proofs that workers of one host share by a folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use kakunin_gateway::{FolderNonces, Gateway, GatewayOptions, NonceError, NonceStore};
use tempfile::TempDir;

use crate::world::{RAN, SCOPE, SHOP, World};

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(NOW + seconds)
}

fn mark(number: u32) -> Digest {
    Digest::of(&number.to_be_bytes())
}

fn agent(number: u8) -> AgentId {
    AgentId::from_bytes([number; 16])
}

/// A folder that began at 0, and takes what was made from 11 on.
fn begun() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let first = FolderNonces::open(folder.path()).unwrap();
    assert_eq!(first.remember(&mark(0), at(0), at(0)), Err(NonceError::Starting { wait: 11 }));
    assert_eq!(first.remember(&mark(0), at(10), at(0)), Err(NonceError::Starting { wait: 1 }));
    folder
}

/// What is answered at last: on a machine that has no time somebody may hold the lock for longer than is waited for.
fn patient(store: &FolderNonces, number: u32) -> Result<(), NonceError> {
    loop {
        match store.remember(&mark(number), at(20), at(20)) {
            Err(NonceError::Unavailable(_)) => thread::yield_now(),
            answer => return answer,
        }
    }
}

fn is_unavailable(answer: &Result<(), NonceError>) -> bool {
    matches!(answer, Err(NonceError::Unavailable(_)))
}

fn records(folder: &TempDir) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|kind| kind == "used")).collect()
}

#[test]
fn a_proof_counts_once_with_all_who_share_the_folder_also_with_those_that_come_later() {
    let folder = begun();
    let [one, two] = [0, 1].map(|_| FolderNonces::open(folder.path()).unwrap());
    assert_eq!(one.remember(&mark(1), at(20), at(20)), Ok(()));
    assert_eq!(two.remember(&mark(1), at(20), at(20)), Err(NonceError::Used));
    assert_eq!(two.remember_of(&agent(1), &mark(2), at(20), at(20)), Ok(()));
    assert_eq!(one.remember_of(&agent(2), &mark(2), at(20), at(20)), Err(NonceError::Used));
    drop((one, two));
    // What outlives its processes needs no time to begin.
    let later = FolderNonces::open(folder.path()).unwrap();
    assert_eq!(later.remember(&mark(2), at(20), at(30)), Err(NonceError::Used));
    assert_eq!(later.remember(&mark(3), at(30), at(30)), Ok(()));
}

#[test]
fn of_many_who_ask_at_once_for_one_proof_one_is_told_that_it_is_new() {
    let folder = begun();
    let workers: Vec<_> = (0..8)
        .map(|_| {
            // A store for each, as in processes of their own.
            let store = FolderNonces::open(folder.path()).unwrap();
            thread::spawn(move || (0..200).filter(|number| patient(&store, *number) == Ok(())).count())
        })
        .collect();
    let taken: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    assert_eq!(taken, 200);
}

#[test]
fn what_is_too_old_is_not_taken_and_not_kept() {
    let folder = begun();
    let [one, two] = [0, 1].map(|_| FolderNonces::open(folder.path()).unwrap());
    assert_eq!(one.remember(&mark(1), at(20), at(20)), Ok(()));
    assert_eq!(two.remember(&mark(2), at(20 + 2 * 90), at(20 + 2 * 90)), Ok(()));
    // Also by a clock that was set back, and by whoever remembers the earlier time itself.
    assert_eq!(one.remember(&mark(1), at(20), at(20)), Err(NonceError::TooOld));
    assert_eq!(two.remember(&mark(3), at(20), at(20)), Err(NonceError::TooOld));
    assert_eq!(records(&folder).len(), 2);
}

#[test]
fn one_agent_leaves_room_for_the_others_whoever_it_asks() {
    let folder = begun();
    let [one, two] = [0, 1].map(|_| FolderNonces::with_room(folder.path(), 200).unwrap());
    let mut number = 0;
    let mut take = |store: &FolderNonces, whose: u8| {
        number += 1;
        store.remember_of(&agent(whose), &mark(number), at(20), at(20))
    };
    for turn in 0..100 {
        assert_eq!(take([&one, &two][turn % 2], 1), Ok(()));
    }
    assert_eq!((take(&one, 1), take(&two, 1)), (Err(NonceError::Full), Err(NonceError::Full)));
    assert_eq!((take(&one, 2), take(&two, 2)), (Ok(()), Ok(())));
    assert_eq!(take(&one, 2), Err(NonceError::Full), "few are a hundredth");
    assert_eq!(take(&two, 3), Ok(()));
}

#[test]
fn what_a_killed_writer_left_half_done_is_cut_and_what_it_answered_stays() {
    let folder = begun();
    let one = FolderNonces::open(folder.path()).unwrap();
    assert_eq!(one.remember(&mark(1), at(20), at(20)), Ok(()));
    let file = records(&folder).into_iter().find(|file| fs::metadata(file).unwrap().len() > 0).unwrap();
    let mut torn = fs::read(&file).unwrap();
    torn.extend([7; 31]);
    fs::write(&file, torn).unwrap();
    for store in [FolderNonces::open(folder.path()).unwrap(), one] {
        assert_eq!(store.remember(&mark(1), at(20), at(20)), Err(NonceError::Used));
    }
    let two = FolderNonces::open(folder.path()).unwrap();
    assert_eq!(two.remember(&mark(2), at(20), at(20)), Ok(()));
    assert_eq!(two.remember(&mark(2), at(20), at(20)), Err(NonceError::Used));
}

#[test]
fn of_an_earlier_run_of_the_machine_and_of_a_broken_state_nothing_is_believed() {
    let folder = begun();
    let state = folder.path().join("state");
    let good = fs::read_to_string(&state).unwrap();
    let one = FolderNonces::open(folder.path()).unwrap();
    assert_eq!(one.remember(&mark(1), at(20), at(20)), Ok(()));
    let (same, _) = good.rsplit_once(' ').unwrap();
    let another_run = format!("{same} another\n");
    for (turn, broken) in (1_i64..).zip(["", "kakunin-nonces-1 1 2\n", &another_run, good.trim_end()]) {
        let now = 1_000 * turn;
        fs::write(&state, broken).unwrap();
        // Whoever was open already and whoever opens now: what may have been used is not taken, and what is new is, once.
        let two = FolderNonces::open(folder.path()).unwrap();
        let fresh = mark(u32::try_from(now).unwrap());
        assert_eq!(
            two.remember(&fresh, at(now), at(now)),
            Err(NonceError::Starting { wait: 11 }),
            "{broken:?}"
        );
        assert_eq!(one.remember(&fresh, at(now + 11), at(now + 11)), Ok(()));
        assert_eq!(two.remember(&fresh, at(now + 11), at(now + 11)), Err(NonceError::Used));
        assert_eq!(one.remember(&fresh, at(now + 11), at(now + 11)), Err(NonceError::Used));
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_an_error_and_one_that_goes_away_lets_nobody_in() {
    let folder = begun();
    let file = folder.path().join("state");
    assert!(FolderNonces::open(&file).is_err());
    let [one, two] = [0, 1].map(|_| FolderNonces::open(folder.path()).unwrap());
    assert_eq!(one.remember(&mark(1), at(20), at(20)), Ok(()));
    // It is moved away and back, and whoever asked meanwhile has not kept the lock.
    let away = folder.path().with_extension("away");
    fs::rename(folder.path(), &away).unwrap();
    assert!(is_unavailable(&one.remember(&mark(2), at(20), at(20))));
    fs::rename(&away, folder.path()).unwrap();
    assert_eq!(two.remember(&mark(1), at(20), at(20)), Err(NonceError::Used));
    fs::remove_dir_all(folder.path()).unwrap();
    // Whether or not it needs a file that it has not.
    for seconds in [20, 300] {
        assert!(is_unavailable(&one.remember(&mark(2), at(seconds), at(seconds))), "{seconds}");
    }
}

/// What happens to a folder.
type Accident = fn(&Path);

fn remove_files(folder: &Path, is_meant: impl Fn(&str) -> bool) {
    let mut removed = 0;
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if is_meant(entry.file_name().to_str().unwrap()) {
            fs::remove_file(entry.path()).unwrap();
            removed += 1;
        }
    }
    assert_ne!(removed, 0);
}

/// As a unit that stops, a deploy or somebody who tidies up does it while others run.
#[test]
fn what_was_removed_and_made_again_is_noticed_by_those_who_had_it() {
    let ways: [(&str, Accident); 5] = [
        ("made again", |folder| fs::remove_dir_all(folder).unwrap()),
        ("emptied", |folder| remove_files(folder, |_| true)),
        ("without state", |folder| remove_files(folder, |name| name == "state")),
        ("without records", |folder| remove_files(folder, |name| name.ends_with(".used"))),
        ("moved away", |folder| fs::rename(folder, folder.with_extension("old")).unwrap()),
    ];
    for (way, happens) in ways {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("nonces");
        let old = FolderNonces::open(&folder).unwrap();
        assert!(old.remember(&mark(0), at(0), at(0)).is_err());
        assert_eq!(old.remember(&mark(1), at(20), at(20)), Ok(()), "{way}");
        happens(&folder);
        let new = FolderNonces::open(&folder).unwrap();
        // What may have been used before is taken by nobody, whoever asks first, not even when the new folder has begun.
        assert_eq!(new.remember(&mark(1), at(20), at(20)), Err(NonceError::Starting { wait: 11 }), "{way}");
        for store in [&old, &new] {
            for used in [1, 2] {
                let answer = store.remember(&mark(used), at(20), at(40));
                assert!(matches!(answer, Err(NonceError::Starting { .. })), "{way}: {answer:?}");
            }
        }
        // And what is new counts once, with the old and the new together, in the same 90 s and in later ones.
        for (number, seconds) in [(3, 40), (4, 80), (5, 130), (6, 400)] {
            let [first, second] = if number % 2 == 0 { [&old, &new] } else { [&new, &old] };
            assert_eq!(first.remember(&mark(number), at(seconds), at(seconds)), Ok(()), "{way}");
            for store in [first, second, &FolderNonces::open(&folder).unwrap()] {
                assert_eq!(
                    store.remember(&mark(number), at(seconds), at(seconds)),
                    Err(NonceError::Used),
                    "{way}"
                );
            }
        }
    }
}

/// A clock that was wrong when the folder began, or for one proof, as before a machine has asked for the time.
#[test]
fn a_clock_that_was_ahead_shuts_the_folder_for_no_longer_than_a_beginning() {
    const AHEAD: i64 = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let one = FolderNonces::open(folder.path()).unwrap();
    assert!(one.remember(&mark(0), at(AHEAD), at(AHEAD)).is_err());
    assert_eq!(one.remember(&mark(1), at(AHEAD + 20), at(AHEAD + 20)), Ok(()));
    for store in [one, FolderNonces::open(folder.path()).unwrap()] {
        for (seconds, answer) in [(0, Err(NonceError::Starting { wait: 11 })), (11, Ok(()))] {
            let answered = store.remember(&mark(2), at(seconds), at(seconds));
            assert!(answered == answer || answered == Err(NonceError::Used), "{answered:?}");
        }
    }
    let two = FolderNonces::open(folder.path()).unwrap();
    assert_eq!(two.remember(&mark(3), at(20), at(20)), Ok(()));
    assert_eq!(two.remember(&mark(2), at(11), at(20)), Err(NonceError::Used));
    // Also when the machine was started meanwhile, as after a clock that was wrong it may be.
    let (same, _) = fs::read_to_string(folder.path().join("state"))
        .map(|text| text.rsplit_once(' ').map(|(same, run)| (same.to_owned(), run.to_owned())).unwrap())
        .unwrap();
    fs::write(folder.path().join("state"), format!("{same} another\n")).unwrap();
    assert_eq!(two.remember(&mark(7), at(20), at(20)), Err(NonceError::Starting { wait: 11 }));
    let answer = two.remember(&mark(1), at(AHEAD + 20), at(AHEAD + 20));
    assert!(is_unavailable(&answer), "{answer:?}");
    // It was right, and jumps: what was taken then is not taken again when that time comes, also after another start.
    assert_eq!(two.remember(&mark(4), at(2 * AHEAD), at(2 * AHEAD)), Ok(()));
    assert_eq!(two.remember(&mark(5), at(21), at(21)), Err(NonceError::Starting { wait: 11 }));
    assert_eq!(two.remember(&mark(5), at(32), at(32)), Ok(()));
    let three = FolderNonces::open(folder.path()).unwrap();
    let answer = three.remember(&mark(4), at(2 * AHEAD), at(2 * AHEAD));
    assert!(is_unavailable(&answer), "{answer:?}");
    assert_eq!(three.remember(&mark(6), at(2 * AHEAD + 300), at(2 * AHEAD + 300)), Ok(()));
}

#[test]
fn a_folder_or_file_of_somebody_else_or_a_link_is_not_used() {
    let place = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let refused = |folder: &Path, word: &str| {
        let error = FolderNonces::open(folder).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    // What is made is made for nobody else.
    let own = place.path().join("own/nonces");
    FolderNonces::open(&own).unwrap();
    assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(own.join("state")).unwrap().permissions().mode() & 0o777, 0o600);
    for others in [0o770, 0o707, 0o702, 0o1777] {
        mode(&own, others);
        refused(&own, "others may write");
    }
    mode(&own, 0o755);
    FolderNonces::open(&own).unwrap();
    let link = place.path().join("link");
    symlink(&own, &link).unwrap();
    assert!(FolderNonces::open(&link).is_err());
    assert!(FolderNonces::open(format!("{}/", link.display())).is_err(), "behind a `/` a link is followed");
    // A file that leads elsewhere is not emptied.
    let victim = place.path().join("victim");
    let state = own.join("state");
    for hard in [false, true] {
        fs::write(&victim, "precious").unwrap();
        fs::remove_file(&state).unwrap();
        if hard {
            fs::hard_link(&victim, &state).unwrap()
        } else {
            symlink(&victim, &state).unwrap()
        }
        assert!(FolderNonces::open(&own).is_err(), "{hard}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
    fs::remove_file(&state).unwrap();
    fs::create_dir(&state).unwrap();
    assert!(FolderNonces::open(&own).is_err());
    fs::remove_dir(&state).unwrap();
    fs::write(&state, "").unwrap();
    mode(&state, 0o666);
    refused(&own, "others may write");
    // Another user's; only root can give a folder away.
    let away = place.path().join("away");
    fs::create_dir(&away).unwrap();
    if std::os::unix::fs::chown(&away, Some(12_345), None).is_ok() {
        refused(&away, "belongs to user 12345");
    }
}

/// A worker that takes no lock back, as one that was stopped, keeps nobody waiting for long.
#[test]
fn a_lock_that_is_not_given_back_is_a_refusal() {
    let folder = begun();
    let one = FolderNonces::open(folder.path()).unwrap();
    let held = fs::File::open(folder.path().join("state")).unwrap();
    held.lock().unwrap();
    let asked = Instant::now();
    for _ in 0..100 {
        assert!(is_unavailable(&one.remember(&mark(1), at(20), at(20))));
    }
    // At a second for each it would be longer than a minute: nobody serves anybody in that time.
    assert!(asked.elapsed() < Duration::from_secs(50), "{:?}", asked.elapsed());
    drop(held);
    assert_eq!(patient(&one, 1), Ok(()));
}

#[test]
fn gateways_that_share_a_folder_let_a_proof_in_once() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let gateway = || -> Gateway {
        let nonces = Arc::new(FolderNonces::open(folder.path()).unwrap()) as Arc<dyn NonceStore>;
        world.gateway_with(GatewayOptions { nonces: Some(nonces), ..GatewayOptions::named([SHOP]) })
    };
    let (one, agent) = (gateway(), world.agent(SCOPE));
    assert_eq!(agent.order().answer(&one), (503, "possession.starting"));
    world.clock.advance(11_000);
    let two = gateway();
    world.tell(&agent);
    let sent = agent.order();
    assert_eq!(sent.answer(&one), RAN);
    assert_eq!(sent.answer(&two), (401, "possession.replayed"));
    assert_eq!(agent.order().answer(&two), RAN);
}
