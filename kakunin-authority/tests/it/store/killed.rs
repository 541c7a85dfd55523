//! A process that is killed while it writes: what was answered is there, what was not is there wholly or not at all.

use std::env;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use kakunin_authority::store::{MemoryStore, Place};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::orders::{Order, all_of, any_orders, give};

#[test]
fn a_store_whose_process_is_killed_holds_all_that_was_answered_and_no_half_of_an_order() {
    kill_many(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite").to_str().unwrap().to_owned();
        Some((folder, path))
    });
}

#[cfg(feature = "postgres")]
#[test]
fn the_same_holds_on_postgresql() {
    kill_many(|| {
        let schema = super::server::schema()?;
        let text = schema.text();
        Some((schema, text))
    });
}

fn kill_many<Kept>(fresh: impl Fn() -> Option<(Kept, String)>) {
    let mut cut = 0;
    for seed in 0..ROUNDS {
        let Some((_kept, place)) = fresh() else { return };
        // The child makes no new store: how long that takes is not what is tested here.
        drop(place_of(&place).open().unwrap());
        let orders = orders_of(seed);
        let answered = run_and_kill(&place, seed, orders.len());
        cut += usize::from(answered < orders.len());
        let store = place_of(&place).open().unwrap();
        let kept = all_of(store.as_ref());
        let mut model = MemoryStore::default();
        for order in &orders[..answered] {
            give(order, &mut model);
        }
        if kept == all_of(&model) {
            continue;
        }
        // One more order was under way, and it was durable before anybody could be told.
        let next = orders.get(answered);
        assert!(
            next.is_some(),
            "seed {seed}: {answered} orders were answered, and the store is not as they leave it"
        );
        next.map(|next| give(next, &mut model));
        assert_eq!(kept, all_of(&model), "seed {seed}: {answered} answered, then {next:?}");
    }
    // A round in which nobody was killed in time shows nothing; not all of them are such.
    assert!(cut > 0, "no child was killed before it had done everything");
}

#[test]
fn a_child_of_the_test_above() {
    let Ok(place) = env::var(CHILD) else { return };
    let seed = env::var(SEED).unwrap().parse().unwrap();
    let mut store = place_of(&place).open().unwrap();
    for order in orders_of(seed) {
        give(&order, store.as_mut());
        // One write, after the answer: what is read of it was answered.
        stdout().write_all(b"answered\n").unwrap();
        stdout().flush().unwrap();
    }
}

/// A file, or the address of a server.
fn place_of(text: &str) -> Place {
    if text.starts_with("postgres:") { Place::named(text).unwrap() } else { Place::File(PathBuf::from(text)) }
}

/// Kills the child some time after it answered some of the orders, and says how many it had answered by then.
fn run_and_kill(place: &str, seed: u64, orders: usize) -> usize {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "store::killed::a_child_of_the_test_above", "--nocapture"]);
    command.env(CHILD, place).env(SEED, seed.to_string()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    // The harness prints lines of its own, and its first one may share the line with ours.
    let until = usize::try_from(seed).unwrap() * 7 % orders;
    let mut answered = lines.by_ref().filter(|line| line.ends_with("answered")).take(until).count();
    thread::sleep(Duration::from_micros(seed * 97 % 3000));
    child.kill().unwrap();
    child.wait().unwrap();
    answered += lines.filter(|line| line.ends_with("answered")).count();
    answered
}

/// The same orders for the same seed, in every process.
pub(super) fn orders_of(seed: u64) -> Vec<Order> {
    let bytes: Vec<u8> = seed.to_be_bytes().repeat(4);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    any_orders(60).new_tree(&mut runner).unwrap().current()
}

const CHILD: &str = "KAKUNIN_TEST_STORE";
const SEED: &str = "KAKUNIN_TEST_SEED";
const ROUNDS: u64 = 24;
