//! The transparency log through its public API: what was appended is read back, proven, and seen by witnesses.

use std::fs;
use std::path::Path;

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::journal::StreamReader;
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::log::{
    Log, LogError, LogKey, LogReader, Refusal, TlogProof, Witness, WitnessError, WitnessKey, WitnessPolicy,
    keep_witnessed,
};
use kakunin_core::time::UnixTime;
use kakunin_core::tree;

use crate::house::{House, decide, entry as decision, request, stamp};

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

#[test]
fn a_log_that_a_witness_has_seen_longer_or_otherwise_is_not_opened() {
    let (home, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (key, own) = (Key::new(), Key::new());
    let (first, second) = (home.path().join("first"), home.path().join("second"));
    let mut log = Log::create(&first, key.log()).unwrap();
    log.append(&entries(0..5)).unwrap();
    copy(&first, &second);
    log.append(&entries(5..8)).unwrap();
    let mut witness = Witness::open(memory.path(), own.witness()).unwrap();
    let seen = witness.look(log.reader(), at(100)).unwrap();
    keep_witnessed(&second, &seen).unwrap();
    let rolled = |error| matches!(error, Some(LogError::RolledBack { size: 5, witnessed: 8, .. }));
    assert!(rolled(Log::open(&second, key.log()).err()));
    assert!(rolled(LogReader::open(&second, key.log().verifier()).err()));

    fs::remove_dir_all(second.join("witnessed")).unwrap();
    Log::open(&second, key.log()).unwrap().append(&entries(100..103)).unwrap();
    keep_witnessed(&second, &seen).unwrap();
    let forked = LogReader::open(&second, key.log().verifier()).err();
    assert!(matches!(forked, Some(LogError::Forked { size: 8, .. })));
    // What a stranger puts there stops nobody.
    fs::write(second.join("witnessed/8"), "nothing").unwrap();
    fs::write(second.join("witnessed/9000"), seen.note().to_string().replace("\n8\n", "\n9000\n")).unwrap();
    assert_eq!(LogReader::open(&second, key.log().verifier()).unwrap().size(), 8);
}

/// The log entries of a journal of one stream with two decisions.
fn receipts(dir: &Path) -> Vec<String> {
    let house = House::build(AgentId::from_bytes([7; 16]));
    let journal = house.journal(dir);
    let (leash, asked) = (house.leash(), request("12.50"));
    for millis in [1, 2] {
        let answer = decide(&leash, &asked);
        let _ = journal.decision(&decision(&answer, &asked, house.list_use(), stamp(millis))).unwrap();
    }
    journal.close(stamp(3)).unwrap();
    let streams = StreamReader::streams(dir).unwrap();
    streams.into_iter().flatten().map(|entry| entry.unwrap().to_log_entry().unwrap()).collect()
}

#[test]
fn receipts_are_found_by_their_stream_and_number_and_by_their_octets() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::new());
    let journals = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, two] = journals.each_ref().map(|journal| receipts(journal.path()));
    let streams =
        journals.each_ref().map(|journal| StreamReader::streams(journal.path()).unwrap()[0].stream());
    let mut log = Log::create(dir.path(), key.log()).unwrap();
    // A stranger's entry that claims a place in the first stream comes before the true one.
    let forged = format!("{}{}", one[1].rsplit_once('.').unwrap().0, ".Zm9yZ2Vk");
    log.append(&[forged.as_str(), "no receipt"]).unwrap();
    log.append(&one).unwrap();
    log.append(&two[..2]).unwrap();
    log.append(&two[2..]).unwrap();
    let check = |log: &mut LogReader| {
        assert_eq!(log.find(streams[0], 0).unwrap(), Some(2));
        assert_eq!(log.find(streams[0], 1).unwrap(), Some(0));
        assert_eq!(log.find(streams[1], 3).unwrap(), Some(9));
        assert_eq!(log.find(streams[1], 4).unwrap(), None);
        assert_eq!(log.index_of(one[1].as_bytes()).unwrap(), Some(3));
        assert_eq!(log.index_of(forged.as_bytes()).unwrap(), Some(0));
        assert_eq!(log.index_of(two[3].as_bytes()).unwrap(), Some(9));
        assert_eq!(log.index_of(b"no receipt").unwrap(), None);
    };
    check(log.reader());
    drop(log);
    // The index is made again from the entries, whatever is left of it.
    let runs = fs::read(dir.path().join("runs")).unwrap();
    let verifier = key.log().verifier().clone();
    for length in 0..runs.len() {
        fs::write(dir.path().join("runs"), &runs[..length]).unwrap();
        check(&mut LogReader::open(dir.path(), &verifier).unwrap());
    }
    fs::remove_file(dir.path().join("runs")).unwrap();
    check(&mut LogReader::open(dir.path(), &verifier).unwrap());
    for left in [0, 1, 49, 50, runs.len() - 1] {
        fs::write(dir.path().join("runs"), &runs[..left]).unwrap();
        drop(Log::open(dir.path(), key.log()).unwrap());
        assert_eq!(fs::read(dir.path().join("runs")).unwrap().len() % 49, 0, "whole frames after {left}");
        check(&mut LogReader::open(dir.path(), &verifier).unwrap());
    }
}

#[test]
fn an_index_that_lies_is_told_and_never_believed() {
    let (dir, journal, key) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Key::new());
    let other = tempfile::tempdir().unwrap();
    let entries = receipts(journal.path());
    let stream = StreamReader::streams(journal.path()).unwrap()[0].stream();
    let mut log = Log::create(dir.path(), key.log()).unwrap();
    log.append(&["first"]).unwrap();
    log.append(&entries).unwrap();
    // The index of a log with the same receipts in another order.
    let mut another = Log::create(other.path(), key.log()).unwrap();
    another.append(&entries).unwrap();
    another.append(&["last"]).unwrap();
    fs::copy(other.path().join("runs"), dir.path().join("runs")).unwrap();
    let mut reader = LogReader::open(dir.path(), key.log().verifier()).unwrap();
    assert!(matches!(reader.find(stream, 0), Err(LogError::Damaged { .. })));
    assert_eq!(reader.index_of(entries[0].as_bytes()).unwrap(), None);
}

/// Every file of a log but the index and the lock, which prove nothing.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(path) = open.pop() {
        match path.is_dir() {
            true => open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path())),
            false => found.push(path),
        }
    }
    found.retain(|path| !["runs", "lock", "vkey"].iter().any(|name| path.ends_with(name)));
    found
}

#[test]
fn no_flipped_byte_of_a_log_is_given_out() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::new());
    let mut log = Log::create(dir.path(), key.log()).unwrap();
    log.append(&entries(0..600)).unwrap();
    drop(log);
    let (verifier, root) = (key.log().verifier().clone(), root(600));
    // One entry of each bundle: a bundle and a tile are read whole.
    let read = || -> Result<(), LogError> {
        let mut reader = LogReader::open(dir.path(), &verifier)?;
        for index in [0, 256, 599] {
            assert_eq!(reader.entry(index)?, entry(index));
            assert_eq!(reader.prove(index)?.root(tree::leaf_hash(&entry(index))), Some(root));
        }
        Ok(())
    };
    read().unwrap();
    for path in files(dir.path()) {
        let whole = fs::read(&path).unwrap();
        // Every byte of the small files, some of the others.
        let stride = if whole.len() < 1000 { 1 } else { 331 };
        for at in (0..whole.len()).step_by(stride) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x20;
            fs::write(&path, &flipped).unwrap();
            assert!(read().is_err(), "byte {at} of {}", path.display());
        }
        for cut in [0, 1, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(read().is_err(), "{} cut to {cut}", path.display());
        }
        fs::remove_file(&path).unwrap();
        assert!(read().is_err(), "without {}", path.display());
        fs::write(&path, &whole).unwrap();
    }
}
