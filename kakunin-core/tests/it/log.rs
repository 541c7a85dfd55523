//! The transparency log through its public API: what was appended is read back, proven, and seen by witnesses.

use std::fs;
use std::path::Path;

use kakunin_core::digest::Digest;
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::log::{
    Log, LogError, LogKey, LogReader, Refusal, TlogProof, Witness, WitnessError, WitnessKey, WitnessPolicy,
    keep_witnessed,
};
use kakunin_core::time::UnixTime;
use kakunin_core::tree;

const ORIGIN: &str = "log.example/test";

struct Key(Vec<u8>);

impl Key {
    fn new() -> Self {
        Self(SoftKey::generate(Algorithm::Ed25519).unwrap().1.to_vec())
    }

    fn signer(&self) -> Signer {
        Signer::soft(SoftKey::from_pkcs8(&self.0).unwrap())
    }

    fn log(&self) -> LogKey {
        LogKey::new(ORIGIN, self.signer()).unwrap()
    }

    fn witness(&self) -> WitnessKey {
        WitnessKey::new("witness.example/1", self.signer()).unwrap()
    }
}

fn entry(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

fn entries(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    numbers.map(entry).collect()
}

fn root(size: u64) -> Digest {
    tree::root(entries(0..size).iter().map(Vec::as_slice))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for found in fs::read_dir(from).unwrap() {
        let found = found.unwrap();
        let target = to.join(found.file_name());
        match found.file_type().unwrap().is_dir() {
            true => copy(&found.path(), &target),
            false => drop(fs::copy(found.path(), target).unwrap()),
        }
    }
}

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

#[test]
fn batches_of_every_size_are_read_back_and_proven() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::new());
    let mut log = Log::create(dir.path(), key.log()).unwrap();
    let mut size = 0;
    let mut sizes = vec![0];
    for batch in [1, 2, 0, 252, 1, 1, 300, 512, 7] {
        let head = log.append(&entries(size..size + batch)).unwrap();
        size += batch;
        assert_eq!((head.size(), *head.root()), (size, root(size)));
        sizes.push(size);
    }
    drop(log);
    let mut reader = LogReader::open(dir.path(), key.log().verifier()).unwrap();
    for index in 0..size {
        assert_eq!(reader.entry(index).unwrap(), entry(index));
        let proof = reader.prove(index).unwrap();
        assert_eq!(proof.root(tree::leaf_hash(&entry(index))), Some(root(size)));
    }
    for (place, from) in sizes.iter().enumerate() {
        for to in &sizes[place..] {
            let proof = reader.consistency(*from, *to).unwrap();
            assert_eq!(proof.verify(root(*from), root(*to)), Ok(()), "{from} to {to}");
            assert_eq!(reader.root_at(*to).unwrap(), root(*to));
        }
    }
    assert!(matches!(reader.entry(size), Err(LogError::Beyond { .. })));
    assert!(matches!(reader.prove(size), Err(LogError::Beyond { .. })));
    assert!(matches!(reader.consistency(0, size + 1), Err(LogError::Beyond { .. })));
}

#[test]
fn a_proof_travels_as_one_text_and_verifies_with_the_key_alone() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::new());
    let mut log = Log::create(dir.path(), key.log()).unwrap();
    log.append(&entries(0..300)).unwrap();
    let proof = log.reader().prove(17).unwrap();
    let text = TlogProof::new(proof, log.checkpoint()).to_string();
    let read = TlogProof::parse(text.as_bytes()).unwrap();
    let opened = read.verify(tree::leaf_hash(&entry(17)), key.log().verifier()).unwrap();
    assert_eq!(opened.size(), 300);
    assert!(read.verify(tree::leaf_hash(&entry(18)), key.log().verifier()).is_err());
}

#[test]
fn a_log_begins_once_and_is_written_by_one_process() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::new());
    assert!(matches!(Log::open(&dir.path().join("none"), key.log()), Err(LogError::NoLog { .. })));
    let mut log = Log::create(dir.path(), key.log()).unwrap();
    assert!(matches!(Log::open(dir.path(), key.log()), Err(LogError::Busy { .. })));
    log.append(&entries(0..3)).unwrap();
    drop(log);
    assert!(matches!(Log::create(dir.path(), key.log()), Err(LogError::Exists { .. })));
    assert!(matches!(Log::open(dir.path(), Key::new().log()), Err(LogError::Note { .. })));
    // A checkpoint that is gone is no reason to begin again: the old one was seen.
    fs::remove_file(dir.path().join("checkpoint")).unwrap();
    assert!(matches!(Log::create(dir.path(), key.log()), Err(LogError::Exists { .. })));
    assert!(matches!(Log::open(dir.path(), key.log()), Err(LogError::NoLog { .. })));
}

#[test]
fn an_entry_that_no_bundle_carries_leaves_the_log_as_it_was() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::new());
    let mut log = Log::create(dir.path(), key.log()).unwrap();
    let long = vec![vec![1; 65_535], vec![1; 65_536]];
    assert!(matches!(log.append(&long), Err(LogError::EntryTooLong { length: 65_536 })));
    assert_eq!(log.append(&long[..1]).unwrap().size(), 1);
    assert_eq!(log.reader().entry(0).unwrap(), long[0]);
}

#[test]
fn a_witness_cosigns_what_continues_and_says_when_the_quorum_was_complete() {
    let (dir, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (key, own) = (Key::new(), Key::new());
    let mut log = Log::create(dir.path(), key.log()).unwrap();
    let mut witness = Witness::open(memory.path(), own.witness()).unwrap();
    let policy = format!("witness W {}\nquorum W\n", witness.verifier());
    let policy = WitnessPolicy::parse(policy).unwrap();
    for (time, until) in [(100, 3), (200, 300), (300, 301)] {
        let size = log.size();
        log.append(&entries(size..until)).unwrap();
        assert_eq!(log.checkpoint().witnessed(&policy), None);
        let seen = witness.look(log.reader(), at(time)).unwrap();
        assert_eq!(seen.witnessed(&policy), Some(at(time)));
        keep_witnessed(dir.path(), &seen).unwrap();
        // The same again is answered as it was.
        assert_eq!(witness.look(log.reader(), at(time + 50)).unwrap(), seen);
    }
    let kept = log.reader().witnessed().unwrap();
    let times: Vec<_> = kept.iter().map(|seen| (seen.size(), seen.witnessed(&policy))).collect();
    assert_eq!(times, [(3, Some(at(100))), (300, Some(at(200))), (301, Some(at(300)))]);
}

#[test]
fn a_fork_and_a_log_that_was_set_back_are_refused_by_the_witness() {
    let (home, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (key, own) = (Key::new(), Key::new());
    let (first, second) = (home.path().join("first"), home.path().join("second"));
    let mut log = Log::create(&first, key.log()).unwrap();
    log.append(&entries(0..5)).unwrap();
    copy(&first, &second);
    log.append(&entries(5..8)).unwrap();
    let mut witness = Witness::open(memory.path(), own.witness()).unwrap();
    witness.look(log.reader(), at(100)).unwrap();

    let mut other = Log::open(&second, key.log()).unwrap();
    let refused = |answer: Result<_, WitnessError>| match answer {
        Err(WitnessError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(witness.look(other.reader(), at(200))), Refusal::SetBack { size: 5, seen: 8 });
    other.append(&entries(100..103)).unwrap();
    assert!(matches!(refused(witness.look(other.reader(), at(200))), Refusal::Forked { size: 8, .. }));
    other.append(&entries(103..900)).unwrap();
    assert!(matches!(refused(witness.look(other.reader(), at(200))), Refusal::Forked { size: 8, .. }));
    // The honest branch goes on.
    log.append(&entries(8..400)).unwrap();
    assert_eq!(witness.look(log.reader(), at(300)).unwrap().size(), 400);
}
