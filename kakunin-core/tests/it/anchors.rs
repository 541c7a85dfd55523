//! Checkpoints that an agent knows: what its receipts name as having been there before them.

use std::fs;
use std::path::{Path, PathBuf};

use kakunin_core::guard::{Guard, OpenError};
use kakunin_core::home::AgentHome;
use kakunin_core::journal::StreamReader;
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::log::{Log, LogKey};
use kakunin_core::receipt::{Anchor, Event};

use crate::guard::{House, pay, replace};

/// The owner's log, and where its checkpoint is published.
struct Owner {
    house: House,
    key: Vec<u8>,
    log: Log,
    published: PathBuf,
}

impl Owner {
    /// An agent whose settings name the log.
    fn new() -> Self {
        let house = House::new();
        let key = SoftKey::generate(Algorithm::Ed25519).unwrap().1.to_vec();
        let log = log(&house.dir().with_file_name("log"), &key);
        let published = house.dir().with_file_name("checkpoint");
        let vkey = log.checkpoint().log().to_string();
        settings(&house, &format!("log = \"{vkey}\"\n"));
        Self { house, key, log, published }
    }

    /// Appends an entry and publishes the new checkpoint.
    fn publish(&mut self, entry: &str) -> Anchor {
        let head = self.log.append(&[entry]).unwrap();
        replace(&self.published, &head.note().to_string());
        Anchor::of(head.size(), head.root()).unwrap()
    }

    /// What the next decision says, once the guard has looked.
    fn anchor(&self, guard: &Guard) -> Option<Anchor> {
        guard.refresh();
        guard.admit(&pay("1.00")).unwrap().begin().unwrap().returned();
        *self.anchors().last().unwrap()
    }

    fn anchors(&self) -> Vec<Option<Anchor>> {
        let streams = StreamReader::streams(&self.house.state().join("journal")).unwrap();
        let entries = streams.into_iter().flatten().map(Result::unwrap);
        let of_calls = entries.filter(|entry| {
            matches!(entry.receipt().statement().event, Event::Decision { .. } | Event::Outcome { .. })
        });
        of_calls.map(|entry| entry.receipt().statement().anchor).collect()
    }
}

fn log(folder: &Path, key: &[u8]) -> Log {
    let signer = Signer::soft(SoftKey::from_pkcs8(key).unwrap());
    Log::create(folder, LogKey::new("log.example/owner", signer).unwrap()).unwrap()
}

fn settings(house: &House, more: &str) {
    fs::write(house.dir().join("agent.toml"), format!("lists = \"../lists.pem\"\n{more}")).unwrap();
}

#[test]
fn receipts_name_the_latest_checkpoint_from_the_first_decision_on() {
    let mut owner = Owner::new();
    let first = owner.publish("one");
    let guard = owner.house.guard();
    guard.admit(&pay("1.00")).unwrap().begin().unwrap().returned();
    assert_eq!(owner.anchors(), [Some(first), Some(first)]);
    let second = owner.publish("two");
    assert_eq!(owner.anchor(&guard), Some(second));
    guard.close();
    assert_eq!(owner.anchor(&guard), Some(second), "in a stream that was opened later, too");
    assert_eq!(guard.take_notices(), [""; 0]);
}

#[test]
fn a_checkpoint_that_appears_later_is_named_from_then_on() {
    let mut owner = Owner::new();
    let guard = owner.house.guard();
    assert_eq!(owner.anchor(&guard), None);
    let published = owner.publish("one");
    assert_eq!(owner.anchor(&guard), Some(published));
}

#[test]
fn a_checkpoint_that_the_pinned_key_did_not_sign_is_a_notice_and_decides_nothing() {
    let mut owner = Owner::new();
    let published = owner.publish("one");
    let guard = owner.house.guard();
    assert_eq!(owner.anchor(&guard), Some(published));
    let key = SoftKey::generate(Algorithm::Ed25519).unwrap().1;
    let mut stranger = log(&owner.house.dir().with_file_name("other"), &key);
    let other = stranger.append(&["x", "y", "z"]).unwrap().note().to_string();
    for wrong in [other.as_str(), "", "no note\n", &other.repeat(20_000)] {
        replace(&owner.published, wrong);
        assert_eq!(owner.anchor(&guard), Some(published));
        let [notice] = &guard.take_notices()[..] else { panic!("one notice for each file") };
        assert!(notice.contains("is not taken up"), "{notice}");
    }
    fs::remove_file(&owner.published).unwrap();
    assert_eq!(owner.anchor(&guard), Some(published));
    assert_eq!(guard.take_notices(), [""; 0]);
}

#[test]
fn an_older_checkpoint_and_a_second_of_one_size_do_not_count() {
    let mut owner = Owner::new();
    owner.publish("one");
    let old = fs::read_to_string(&owner.published).unwrap();
    let newest = owner.publish("two");
    let guard = owner.house.guard();
    assert_eq!(owner.anchor(&guard), Some(newest));
    replace(&owner.published, &old);
    assert_eq!(owner.anchor(&guard), Some(newest));
    assert!(guard.take_notices().concat().contains("older"));
    let mut fork = log(&owner.house.dir().with_file_name("fork"), &owner.key);
    replace(&owner.published, &fork.append(&["one", "other"]).unwrap().note().to_string());
    assert_eq!(owner.anchor(&guard), Some(newest));
    assert!(guard.take_notices().concat().contains("two trees of one size"));
}

#[test]
fn the_settings_may_name_another_place_and_a_key_that_is_none_is_an_error() {
    let mut owner = Owner::new();
    let vkey = owner.log.checkpoint().log().to_string();
    settings(&owner.house, &format!("log = \"{vkey}\"\ncheckpoint = \"mirror/latest\"\n"));
    fs::create_dir(owner.house.dir().join("mirror")).unwrap();
    owner.published = owner.house.dir().join("mirror/latest");
    let published = owner.publish("one");
    assert_eq!(owner.anchor(&owner.house.guard()), Some(published));

    settings(&owner.house, "log = \"log.example/owner\"\n");
    let home = AgentHome::open(&owner.house.dir(), None).unwrap();
    let refused = Guard::open(home, kakunin_core::guard::GuardOptions::default()).unwrap_err();
    assert!(matches!(refused, OpenError::Log(_)), "{refused}");
}

#[test]
fn without_a_pinned_key_no_checkpoint_is_named() {
    let mut owner = Owner::new();
    settings(&owner.house, "");
    owner.publish("one");
    assert_eq!(owner.anchor(&owner.house.guard()), None);
}
