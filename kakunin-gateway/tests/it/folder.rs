//! Used proofs that workers of one host share by a folder.

use std::fs;
use std::sync::Arc;
use std::thread;

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

fn records(folder: &TempDir) -> Vec<std::path::PathBuf> {
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
            thread::spawn(move || {
                (0..200).filter(|number| store.remember(&mark(*number), at(20), at(20)).is_ok()).count()
            })
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
    assert_eq!(two.remember(&mark(2), at(20 + 3 * 90), at(20 + 3 * 90)), Ok(()));
    // Also by a clock that was set back, and by whoever remembers the earlier time itself.
    assert_eq!(one.remember(&mark(1), at(20), at(20)), Err(NonceError::TooOld));
    assert_eq!(two.remember(&mark(3), at(20), at(20)), Err(NonceError::TooOld));
    assert_eq!(records(&folder).len(), 1);
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
    let file = records(&folder).remove(0);
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
    let another_run = good.replace('-', "0");
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
    let one = FolderNonces::open(folder.path()).unwrap();
    fs::remove_dir_all(folder.path()).unwrap();
    assert!(matches!(one.remember(&mark(1), at(300), at(300)), Err(NonceError::Unavailable(_))));
}

/// A worker that takes no lock back, as one that was stopped, keeps nobody waiting for long.
#[test]
fn a_lock_that_is_not_given_back_is_a_refusal() {
    let folder = begun();
    let one = FolderNonces::open(folder.path()).unwrap();
    let held = fs::File::open(folder.path().join("state")).unwrap();
    held.lock().unwrap();
    assert!(matches!(one.remember(&mark(1), at(20), at(20)), Err(NonceError::Unavailable(_))));
    drop(held);
    assert_eq!(one.remember(&mark(1), at(20), at(20)), Ok(()));
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
