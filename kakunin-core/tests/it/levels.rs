//! How safe receipts are and how they come to a signature: keys that are far away, disks that end, folders that are copied.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kakunin_core::id::{AgentId, StreamId};
use kakunin_core::journal::{
    DecisionEntry, Identity, Journal, JournalOptions, Proof, Recovery, Sealing, StreamReader, recover,
};
use kakunin_core::key::{KeyProvider, PublicKey, SignError, SignInput, Signature, Signer, SoftKey};
use kakunin_core::receipt::{Control, Event, UnverifiedReceipt};
use kakunin_core::verify::{Verdict, journal as verify};

use crate::house::{House, decide, entry, key, request, stamp};
use crate::journal::{SIGNATURE, append, child, copy, frames, hashes, house, invalid, reasons, segment};

/// A key store behind a network: every signature takes its time.
struct Distant {
    key: Signer,
    takes: Duration,
    asked: Arc<AtomicUsize>,
}

impl KeyProvider for Distant {
    fn public(&self) -> &PublicKey {
        self.key.public()
    }

    fn sign(&self, input: SignInput<'_>) -> Result<Signature, SignError> {
        let SignInput::Raw(message) = input else { return Err(SignError::Unsupported) };
        self.asked.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(self.takes);
        self.key.sign(message)
    }
}

/// The identity of the house with its key in such a store, and how often it was asked.
fn distant(house: &House, takes: Duration) -> (Identity, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let key = Signer::soft(SoftKey::from_pkcs8(&house.agent_key).unwrap());
    let store = Distant { key, takes, asked: Arc::clone(&asked) };
    (Identity { signer: Arc::new(Signer::provider(Box::new(store))), ..house.identity() }, asked)
}

fn sealed() -> JournalOptions {
    JournalOptions { sealing: Some(Sealing::Groups), ..JournalOptions::default() }
}

fn proofs(dir: &Path, stream: StreamId) -> Vec<Proof> {
    StreamReader::open(dir, stream).unwrap().map(|entry| entry.unwrap().proof()).collect()
}

#[test]
fn a_distant_key_signs_once_for_a_group() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let (identity, asked) = distant(&house, Duration::from_millis(30));
    let journal = house.journal_as(identity, dir.path(), sealed());
    let started = Instant::now();
    for call in 0..200 {
        append(&house, &journal, call * 5);
    }
    journal.close(stamp(2000)).unwrap();
    // 600 receipts at 30 ms would be 18 s: beginning and end, and three groups or a few more.
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    let signatures = asked.load(Ordering::SeqCst);
    assert!((5..20).contains(&signatures), "{signatures}");
    let proofs = proofs(dir.path(), journal.stream().unwrap());
    assert_eq!(proofs.iter().filter(|proof| matches!(proof, Proof::Sealed(_))).count(), 600);
    assert_eq!(proofs.iter().filter(|proof| matches!(proof, Proof::Signed(_))).count(), signatures);
    assert_eq!(reasons(&house, dir.path()), ["tail.not_witnessed"]);
}

#[test]
fn a_group_that_stays_small_is_sealed_within_a_second() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let (identity, _) = distant(&house, Duration::from_millis(1));
    let journal = house.journal_as(identity, dir.path(), sealed());
    append(&house, &journal, 1);
    let started = Instant::now();
    while journal.health().unsigned > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let waited = started.elapsed();
    assert!((900..3000).contains(&waited.as_millis()), "{waited:?}");
}

#[test]
fn entries_of_a_sealed_stream_have_an_empty_third_part() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let journal = house.journal_as(house.identity(), dir.path(), sealed());
    append(&house, &journal, 1);
    journal.close(stamp(9)).unwrap();
    for entry in StreamReader::open(dir.path(), journal.stream().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let line = entry.to_log_entry().unwrap();
        let (receipt, signature) = UnverifiedReceipt::from_log_entry(&line).unwrap();
        assert_eq!(receipt.hash(), entry.receipt().hash());
        let may = receipt.statement().event.may_be_sealed();
        assert_eq!((signature.is_none(), entry.to_jws().is_none()), (may, may));
    }
}

#[test]
fn a_sealed_journal_in_memory_keeps_its_entries() {
    let house = house();
    let journal = Journal::memory_with(&house.identity(), stamp(0), 100, Sealing::Groups).unwrap();
    append(&house, &journal, 1);
    journal.quiesce().unwrap();
    let entries = journal.latest();
    let sealed = entries.iter().filter(|entry| entry.ends_with('.')).count();
    assert_eq!((entries.len(), sealed), (5, 3));
}

#[test]
fn each_way_to_change_a_sealed_stream_is_found() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let journal = house.journal_as(house.identity(), dir.path(), sealed());
    append(&house, &journal, 1);
    journal.quiesce().unwrap();
    append(&house, &journal, 5);
    journal.close(stamp(9)).unwrap();
    let path = segment(dir.path());
    let bytes = fs::read(&path).unwrap();
    let all = frames(&bytes);
    let signatures: Vec<_> = all.iter().filter(|frame| frame.2 == SIGNATURE).collect();
    assert_eq!(signatures.len(), 4, "beginning, two seals, end");
    for (lost, expected) in [(1, "receipt.unsigned"), (2, "receipt.unsigned"), (3, "receipt.unsigned")] {
        let (start, end, _) = *signatures[lost];
        fs::write(&path, [&bytes[..start], &bytes[end..]].concat()).unwrap();
        // A seal without its signature proves nothing, whatever it says.
        let found = reasons(&house, dir.path());
        assert!(found.contains(&expected), "{lost}: {found:?}");
    }
    // The signature of one seal under the other.
    let (one, two) = (*signatures[1], *signatures[2]);
    let mut swapped = bytes.clone();
    swapped[two.0 + 17..two.1].copy_from_slice(&bytes[one.0 + 17..one.1]);
    let crc = crc32c::crc32c(&swapped[two.0 + 8..two.1]).to_le_bytes();
    swapped[two.0 + 4..two.0 + 8].copy_from_slice(&crc);
    fs::write(&path, &swapped).unwrap();
    assert_eq!(invalid(&house, dir.path()), "receipt.signature");
    // A receipt that is gone, or changed, is found by its number, its hash or the seal.
    for (start, end, kind) in all.iter().filter(|frame| frame.2 != SIGNATURE).skip(1) {
        fs::write(&path, [&bytes[..*start], &bytes[*end..]].concat()).unwrap();
        match verify(dir.path(), &house.anchors()).unwrap().verdict() {
            Verdict::Invalid(_) => {}
            verdict => assert_eq!(*kind, 3, "only disclosures may be gone: {verdict:?}"),
        }
    }
}

#[test]
fn every_flipped_byte_of_a_sealed_stream_is_found() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let journal = house.journal_as(house.identity(), dir.path(), sealed());
    append(&house, &journal, 1);
    journal.close(stamp(9)).unwrap();
    let path = segment(dir.path());
    let bytes = fs::read(&path).unwrap();
    // Behind a right checksum, as somebody writes who knows the format.
    for (start, end, kind) in frames(&bytes) {
        for at in (start + 9..end).step_by(7) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            let crc = crc32c::crc32c(&flipped[start + 8..end]).to_le_bytes();
            flipped[start + 4..start + 8].copy_from_slice(&crc);
            fs::write(&path, &flipped).unwrap();
            let report = verify(dir.path(), &house.anchors()).unwrap();
            assert!(matches!(report.verdict(), Verdict::Invalid(_)), "byte {at} of kind {kind}");
        }
    }
}

#[test]
fn a_renewed_key_begins_behind_a_seal_of_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let agents = [AgentId::from_random([0x11; 16]); 2];
    let [house, renewed] = House::tenants(agents, "billing", "test root", |_| key());
    let (identity, asked) = distant(&house, Duration::from_millis(10));
    let journal = house.journal_as(identity, dir.path(), sealed());
    append(&house, &journal, 1);
    let (next, _) = distant(&renewed, Duration::from_millis(10));
    journal.rotate(&next, stamp(5)).unwrap();
    deny(&renewed, &journal, 6);
    journal.close(stamp(9)).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 3, "beginning, seal, announcement");
    let entries: Vec<_> =
        StreamReader::open(dir.path(), journal.stream().unwrap()).unwrap().map(Result::unwrap).collect();
    let kinds: Vec<_> = entries
        .iter()
        .map(|entry| match (entry.proof(), &entry.receipt().statement().event) {
            (Proof::Unsigned, _) => "unsigned",
            (Proof::Sealed(_), _) => "sealed",
            (Proof::Signed(_), Event::Control(Control::Seal(_))) => "seal",
            (Proof::Signed(_), Event::Control(Control::Rotate { .. })) => "rotate",
            (Proof::Signed(_), _) => "signed",
        })
        .collect();
    let expected = ["signed", "sealed", "sealed", "sealed", "seal", "rotate", "sealed", "seal", "signed"];
    assert_eq!(kinds, expected);
    let report = verify(dir.path(), &house.anchors()).unwrap();
    assert!(matches!(report.verdict(), Verdict::AuthenticNotComplete(_)), "{:?}", report.verdict());
}

/// A denial that needs no list: two houses have two lists of one number.
fn deny(house: &House, journal: &Journal, millis: i64) {
    let wrong = request("99999.00");
    let denied = decide(&house.leash(), &wrong);
    let entry = entry(&denied, &wrong, house.list_use(), stamp(millis));
    drop(journal.decision(&DecisionEntry { list: None, ..entry }).unwrap());
}

#[test]
fn what_a_killed_process_did_not_seal_stays_unsigned_and_is_counted() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let journal = house.journal_as(house.identity(), dir.path(), sealed());
    append(&house, &journal, 1);
    journal.quiesce().unwrap();
    append(&house, &journal, 5);
    let stream = journal.stream().unwrap();
    journal.quiesce().unwrap();
    drop(journal);
    // Killed while the store was asked for the second seal: the seal is there, its signature is not.
    let path = segment(dir.path());
    let bytes = fs::read(&path).unwrap();
    let (start, _, kind) = *frames(&bytes).last().unwrap();
    assert_eq!(kind, SIGNATURE);
    fs::write(&path, &bytes[..start]).unwrap();
    let recovery = recover(dir.path(), stream, &house.identity(), stamp(20)).unwrap();
    assert_eq!(recovery, Recovery::Recovered { cut: 0, unsigned: 4 });
    let told = reasons(&house, dir.path());
    assert_eq!(told, ["tail.not_witnessed", "stream.recovered", "receipt.unsigned", "outcome.missing"]);
}

/// A snapshot of a machine, or a folder that was copied: both go on, and each half is in order by itself. Two receipts of one
/// stream and number with different hashes are what is left of it.
#[test]
fn a_copied_directory_opened_twice_leaves_two_receipts_of_one_number() {
    let (house, dir, other) = (house(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let abandoned = house.journal(dir.path());
    append(&house, &abandoned, 1);
    let stream = abandoned.stream().unwrap();
    drop(abandoned);
    copy(dir.path(), other.path());
    for (at, place) in [dir.path(), other.path()].into_iter().enumerate() {
        let journal = house.journal(place);
        append(&house, &journal, 10 + i64::try_from(at).unwrap());
        journal.close(stamp(20)).unwrap();
        // A recovery states its own clocks.
        let found = recover(place, stream, &house.identity(), stamp(30)).unwrap();
        assert_eq!(found, Recovery::Closed);
        drop(reasons(&house, place));
    }
    let ends = [dir.path(), other.path()].map(|place| {
        let last = StreamReader::open(place, stream).unwrap().last().unwrap().unwrap();
        (last.receipt().statement().sequence, last.receipt().hash())
    });
    assert_eq!(ends[0].0, ends[1].0);
    // Same clocks, same bytes: what differs between two machines is in the receipts that follow.
    let (one, two) = (hashes(dir.path()), hashes(other.path()));
    assert!(one.difference(&two).count() > 0 && two.difference(&one).count() > 0);
}

/// A small disk of its own, for as long as this lives; none where nothing can be mounted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "kakunin-test"])
            .arg(dir.path())
            .stderr(std::process::Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_small_disk_that_is_full_denies_and_loses_nothing() {
    // A limit on the size of files stands in elsewhere: `a_full_disk_denies_and_loses_nothing_that_was_acknowledged`.
    let Some(disk) = SmallDisk::mount() else { return };
    let (house, home) = (house(), disk.0.path().to_owned());
    house.save(&home);
    for level in ["write each", "sync groups", "enqueue each"] {
        let output = child("exec \"$@\"", &home).env("KAKUNIN_TEST_LEVEL", level).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let denied: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("denied ")).collect();
        assert!(matches!(denied[..], ["journal.unavailable" | "journal.poisoned"]), "{level}: {denied:?}");
        let aside = tempfile::tempdir().unwrap();
        copy(&home.join("journal"), aside.path());
        fs::remove_dir_all(home.join("journal")).unwrap();
        house.journal(aside.path()).close(stamp(1)).unwrap();
        let report = verify(aside.path(), &house.anchors()).unwrap();
        assert!(
            matches!(report.verdict(), Verdict::AuthenticNotComplete(_)),
            "{level}: {:?}",
            report.verdict()
        );
        if level.starts_with("enqueue") {
            continue;
        }
        let present = hashes(aside.path());
        let acknowledged: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("ack ")).collect();
        assert!(
            acknowledged.len() > 10 && acknowledged.iter().all(|hash| present.contains(*hash)),
            "{level}"
        );
    }
}
