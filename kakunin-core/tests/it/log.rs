//! The transparency log through its public API: what was appended is read back, proven, and seen by witnesses.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::journal::StreamReader;
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::log::{
    Log, LogError, LogKey, LogReader, Reads, Refusal, SignedNote, TlogProof, VerifierKey, Witness,
    WitnessError, WitnessKey, WitnessPolicy, keep_witnessed,
};
use kakunin_core::time::UnixTime;
use kakunin_core::tree;
use proptest::prelude::*;

use crate::house::{House, decide, entry as decision, request, stamp};
use crate::journal::copy;
use tempfile::TempDir;

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

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

/// A log that has just begun, its folder and its key.
fn begun() -> (TempDir, Key, Log) {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::new());
    let log = Log::create(dir.path(), key.log()).unwrap();
    (dir, key, log)
}

#[test]
fn batches_of_every_size_are_read_back_and_proven() {
    let (dir, key, mut log) = begun();
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
    let (_dir, key, mut log) = begun();
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
    let (_dir, _key, mut log) = begun();
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

/// A log's owner owns its folders, and somebody else's witness writes into one of them.
#[test]
fn a_witness_follows_no_link_in_somebody_elses_log() {
    let (own, memory, dir) = (Key::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut log = Log::create(dir.path(), own.log()).unwrap();
    log.append(&entries(0..3)).unwrap();
    let mut witness = Witness::open(memory.path(), own.witness()).unwrap();
    let seen = witness.look(log.reader(), at(100)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("witnessed")).unwrap();
    assert!(keep_witnessed(dir.path(), &seen).is_err());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn lines_of_strangers_on_a_checkpoint_do_not_make_a_witness_forget() {
    let (own, memory, dir) = (Key::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut log = Log::create(dir.path(), own.log()).unwrap();
    log.append(&entries(0..3)).unwrap();
    let key = log.checkpoint().log().clone();
    drop(log);
    let path = dir.path().join("checkpoint");
    let note = std::fs::read_to_string(&path).unwrap();
    for (count, octets) in [(63, 5), (2, 80_000)] {
        let mut witness = Witness::open(memory.path(), own.witness()).unwrap();
        let stranger = |number: u32| {
            let octets = [&number.to_be_bytes()[..], &vec![7; octets]].concat();
            format!(
                "— stranger.example/{number} {}\n",
                <base64ct::Base64 as base64ct::Encoding>::encode_string(&octets)
            )
        };
        let lines: String = (0..count).map(stranger).collect();
        std::fs::write(&path, format!("{note}{lines}")).unwrap();
        let mut reader = LogReader::open(dir.path(), &key).unwrap();
        let first = witness.look(&mut reader, at(100)).unwrap();
        assert_eq!(first.cosigned_by(witness.verifier()), Some(at(100)));
        // What it answered it still knows.
        assert_eq!(witness.last(&key).unwrap().map(|last| last.size()), Some(3), "{count}");
        assert_eq!(
            witness.look(&mut reader, at(200)).unwrap().cosigned_by(witness.verifier()),
            Some(at(100))
        );
        std::fs::write(&path, &note).unwrap();
        std::fs::remove_dir_all(memory.path()).unwrap();
    }
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
    let rolled = |error| matches!(error, Some(LogError::RolledBack { size: 5, seen: 8, .. }));
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

#[test]
fn an_older_checkpoint_among_newer_files_is_not_continued() {
    let (dir, key, mut log) = begun();
    log.append(&entries(0..5)).unwrap();
    let older = fs::read(dir.path().join("checkpoint")).unwrap();
    log.append(&entries(5..8)).unwrap();
    drop(log);
    fs::write(dir.path().join("checkpoint"), older).unwrap();
    let opened = Log::open(dir.path(), key.log()).err();
    assert!(matches!(opened, Some(LogError::RolledBack { size: 5, seen: 8, .. })), "{opened:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Notes, keys, proofs and policies of which a few octets were changed, dropped or added.
    #[test]
    fn what_is_read_of_a_log_is_written_back_and_nothing_panics(
        which in 0..4_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut octets = texts()[which].clone().into_bytes();
        for (at, octet, how) in changes {
            let at = at.index(octets.len().max(1));
            match how {
                0 if at < octets.len() => octets[at] = octet,
                1 if at < octets.len() => drop(octets.remove(at)),
                _ => octets.insert(at, octet),
            }
        }
        if let Ok(note) = SignedNote::parse(&octets) {
            prop_assert_eq!(&note.to_string().into_bytes(), &octets);
        }
        if let Ok(proof) = TlogProof::parse(&octets) {
            prop_assert_eq!(&proof.to_string().into_bytes(), &octets);
        }
        if let Some(Ok(key)) = std::str::from_utf8(&octets).ok().map(VerifierKey::parse) {
            prop_assert_eq!(&key.to_string().into_bytes(), &octets);
        }
        let _ = WitnessPolicy::parse(&octets);
    }
}

/// A checkpoint, a proof, a key and a policy that are read.
fn texts() -> &'static [String; 4] {
    static TEXTS: OnceLock<[String; 4]> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let (dir, key, own) = (tempfile::tempdir().unwrap(), Key::new(), Key::new());
        let mut log = Log::create(dir.path(), key.log()).unwrap();
        log.append(&entries(0..5)).unwrap();
        let proof = TlogProof::new(log.reader().prove(3).unwrap(), log.checkpoint());
        let (vkey, witness) = (key.log().verifier().to_string(), own.witness().verifier().to_string());
        let policy = format!("log {vkey} url\nwitness W {witness}\ngroup G any W\nquorum G\n");
        [log.checkpoint().note().to_string(), proof.to_string(), vkey, policy]
    })
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
    let (dir, key, mut log) = begun();
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

#[test]
fn a_proof_reads_three_tiles_and_one_bundle_however_long_the_log_is() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::new());
    let size = if std::env::var_os("KAKUNIN_SOAK").is_some() { 1_000_000 } else { 70_000 };
    let mut log = Log::create(dir.path(), key.log()).unwrap();
    let started = Instant::now();
    for from in (0..size).step_by(16_384) {
        log.append(&entries(from..(from + 16_384).min(size))).unwrap();
    }
    println!("{size} entries appended in {:?}", started.elapsed());
    drop(log);
    // What the partial tiles of this size are, one for each level that is not full.
    let edge = (0..8).filter(|level| (size >> (8 * level)) % 256 > 0).count() as u64;
    let verifier = key.log().verifier().clone();
    for index in [0, 1, size / 3, size / 2, size - 300, size - 1] {
        let started = Instant::now();
        let mut reader = LogReader::open(dir.path(), &verifier).unwrap();
        assert_eq!(reader.reads(), Reads { tiles: edge, bundles: 0 }, "opening reads the right edge only");
        let proof = reader.prove(index).unwrap();
        let leaf = tree::leaf_hash(reader.entry(index).unwrap());
        assert_eq!(proof.root(leaf), Some(*reader.checkpoint().root()));
        let reads = reader.reads();
        assert!(reads.tiles - edge <= 3 && reads.bundles == 1, "entry {index}: {reads:?}");
        println!("opened and proved {index} in {:?}", started.elapsed());
    }
    let mut log = Log::open(dir.path(), key.log()).unwrap();
    assert_eq!(log.reader().reads(), Reads { tiles: edge, bundles: 0 });
    assert_eq!(log.append(&entries(size..size + 1)).unwrap().size(), size + 1);
}

/// Not a test: appends one entry after the other and says so, until it is killed or cannot.
#[test]
fn child_that_logs_until_it_is_stopped() {
    let Some(dir) = std::env::var_os("KAKUNIN_TEST_LOG") else { return };
    let key = Key(fs::read(Path::new(&dir).join("key")).unwrap());
    let mut log = Log::open(&Path::new(&dir).join("log"), key.log()).unwrap();
    let mut out = std::io::stdout().lock();
    loop {
        let from = log.size();
        match log.append(&entries(from..from + 3)) {
            Ok(head) => writeln!(out, "\nack {}", head.size()).unwrap(),
            Err(error) => {
                writeln!(out, "\nfailed {error}").unwrap();
                let again = log.append(&entries(0..1));
                assert!(matches!(again, Err(LogError::Poisoned)));
                return;
            }
        }
    }
}

fn child(shell: &str, dir: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", shell, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["log::child_that_logs_until_it_is_stopped", "--exact", "--nocapture"])
        .env("KAKUNIN_TEST_LOG", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// The largest size that a child said it had signed.
fn acknowledged(text: &str) -> u64 {
    // The last line may be torn: what did not arrive whole was not acknowledged.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter_map(|line| line.strip_prefix("ack ")?.parse().ok()).max().unwrap_or(0)
}

fn whole_log(dir: &Path, key: &Key) -> u64 {
    let mut log = Log::open(&dir.join("log"), key.log()).unwrap();
    let size = log.size();
    for index in 0..size {
        assert_eq!(log.reader().entry(index).unwrap(), entry(index));
    }
    size
}

#[test]
fn no_acknowledged_entry_is_lost_when_the_process_is_killed() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::new());
    fs::write(dir.path().join("key"), &key.0).unwrap();
    drop(Log::create(&dir.path().join("log"), key.log()).unwrap());
    let rounds = if std::env::var_os("KAKUNIN_SOAK").is_some() { 1000 } else { 100 };
    for round in 0..rounds {
        let mut running = child("exec \"$@\"", dir.path()).spawn().unwrap();
        let mut out = BufReader::new(running.stdout.take().unwrap());
        let mut text = String::new();
        // The moment of death wanders over the steps of an append.
        while text.matches("ack").count() < round % 5 {
            assert_ne!(out.read_line(&mut text).unwrap(), 0, "{text}");
        }
        std::thread::sleep(Duration::from_micros(u64::try_from(round).unwrap() * 977 % 20_000));
        running.kill().unwrap();
        running.wait().unwrap();
        out.read_to_string(&mut text).unwrap();
        let size = whole_log(dir.path(), &key);
        assert!(size >= acknowledged(&text), "{size} of {} in round {round}", acknowledged(&text));
    }
}

#[test]
fn a_full_disk_stops_the_log_and_loses_nothing_that_was_signed() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::new());
    fs::write(dir.path().join("key"), &key.0).unwrap();
    drop(Log::create(&dir.path().join("log"), key.log()).unwrap());
    // 4 blocks of 512 bytes; the signal that would kill is ignored, so the write fails as on a full disk.
    let output = child("trap '' XFSZ; ulimit -f 4; exec \"$@\"", dir.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\nfailed "), "{text}");
    assert!(acknowledged(&text) > 0);
    assert_eq!(whole_log(dir.path(), &key), acknowledged(&text));
    // With room again it goes on.
    let mut log = Log::open(&dir.path().join("log"), key.log()).unwrap();
    let size = log.size();
    assert_eq!(log.append(&entries(size..size + 500)).unwrap().size(), size + 500);
}

#[test]
fn a_second_process_cannot_write_the_log() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::new());
    fs::write(dir.path().join("key"), &key.0).unwrap();
    let mut log = Log::create(&dir.path().join("log"), key.log()).unwrap();
    let output = child("exec \"$@\"", dir.path()).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(acknowledged(&String::from_utf8(output.stdout).unwrap()), 0);
    assert_eq!(log.append(&entries(0..1)).unwrap().size(), 1);
}

/// Not a test: fills the small disk it is given, and goes on when there is room again.
#[test]
fn child_that_logs_on_a_small_disk() {
    let Some(disk) = std::env::var_os("KAKUNIN_TEST_DISK") else { return };
    let (disk, key) = (Path::new(&disk), Key::new());
    let (ballast, folder) = (disk.join("ballast"), disk.join("log"));
    fs::write(&ballast, [1; 100_000]).unwrap();
    let mut log = Log::create(&folder, key.log()).unwrap();
    let mut signed = 0;
    let error = loop {
        match log.append(&entries(signed..signed + 50)) {
            Ok(head) => signed = head.size(),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("No space left"), "{error}");
    drop(log);
    let whole = |log: &mut Log| (0..signed).all(|index| log.reader().entry(index).unwrap() == entry(index));
    let mut log = Log::open(&folder, key.log()).unwrap();
    assert!(log.size() == signed && signed > 0 && whole(&mut log));
    fs::remove_file(ballast).unwrap();
    log.append(&entries(signed..signed + 50)).unwrap();
    assert!(whole(&mut log));
    println!("\nheld at {signed}");
}

#[test]
fn a_small_disk_that_fills_up_stops_the_log_until_there_is_room() {
    let disk = tempfile::tempdir().unwrap();
    let mounted = "mount -t tmpfs -o size=256k none \"$0\" && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", mounted])
        .arg(disk.path())
        .arg(std::env::current_exe().unwrap())
        .args(["log::child_that_logs_on_a_small_disk", "--exact", "--nocapture"])
        .env("KAKUNIN_TEST_DISK", disk.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if err.contains("unshare: ") || err.contains("mount: ") {
        println!("skipped: no small disk can be mounted here: {err}");
        return;
    }
    assert!(out.contains("\nheld at "), "{out}{err}");
}
