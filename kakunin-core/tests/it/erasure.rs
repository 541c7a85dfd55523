//! Erasing disclosed values: what is gone is gone everywhere, what is signed stays, and the verifier tells which is which.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kakunin_core::bundle::{Bundle, export};
use kakunin_core::id::ChainId;
use kakunin_core::journal::{
    DecisionEntry, EraseError, Erased, Erasures, Journal, StreamReader, Which, erase, survey,
};
use kakunin_core::receipt::{ErasureReason, Outcome, ReceiptHash};
use kakunin_core::request::ActionRequest;
use kakunin_core::scope::NameLists;
use kakunin_core::verify::{Reason, ReplayCount, Report, ValueCount, Verdict, Verification};

use crate::bundle::{self, CHAIN, World};
use crate::house::{House, decide, entry, stamp};
use crate::journal::{DISCLOSURE, copy, frames, house, invalid, reasons, report, segment};

/// A payment to `name` with its outcome: five values.
fn pay(house: &House, journal: &Journal, amount: &str, name: &str, chain: u8, millis: i64) -> ReceiptHash {
    let request =
        ActionRequest::new("payments:send").amount(amount, "EUR").counterparty(name).resource("invoice 7");
    let decision = decide(&house.leash(), &request);
    let chain = Some(ChainId::from_bytes([chain; 16]));
    let entry = DecisionEntry { chain, ..entry(&decision, &request, house.list_use(), stamp(millis)) };
    let recorded = journal.decision(&entry).unwrap();
    let hash = recorded.hash();
    if decision.denial().is_none() {
        journal.outcome(recorded, Outcome::Returned, Some(b"done"), stamp(millis + 1)).unwrap();
    }
    hash
}

/// Two payments to acme and one to somebody else, who is not allowed.
fn paid(house: &House, dir: &Path) -> [ReceiptHash; 3] {
    let journal = house.journal(dir);
    let hashes = [
        pay(house, &journal, "125.25", "acme", 1, 1000),
        pay(house, &journal, "77.70", "acme", 2, 2000),
        pay(house, &journal, "31.13", "globex", 3, 3000),
    ];
    journal.close(stamp(4000)).unwrap();
    hashes
}

fn forget(house: &House, dir: &Path, which: &Which) -> Result<Erased, EraseError> {
    erase(dir, which, ErasureReason::SubjectRequest, &house.identity(), &|| stamp(10_000))
}

fn acme() -> Which {
    Which::Counterparty("acme".to_owned())
}

fn values(disclosed: u64, erased: u64, withheld: u64, missing: u64) -> ValueCount {
    let mut count = ValueCount::default();
    (count.disclosed, count.erased, count.withheld, count.missing) = (disclosed, erased, withheld, missing);
    count
}

/// The texts and the salts of every disclosure in the journal.
fn secrets(dir: &Path) -> Vec<String> {
    let entries = StreamReader::streams(dir).unwrap().into_iter().flatten();
    let entries: Vec<_> = entries.map(Result::unwrap).collect();
    entries.iter().flat_map(|entry| entry.disclosures()).map(|it| it.as_str().to_owned()).collect()
}

/// Whether `secret` lies anywhere in the files under `dir`, as it is or in part.
fn holds(dir: &Path, secret: &str) -> bool {
    let part = secret.as_bytes().get(..24).unwrap();
    files(dir).iter().any(|file| fs::read(file).unwrap().windows(part.len()).any(|octets| octets == part))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let (mut open, mut files) = (vec![dir.to_owned()], Vec::new());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files.push(path);
        }
    }
    files
}

fn judge(house: &House, path: &Path) -> Report {
    Bundle::open(path).unwrap().verify(&Verification::by(&house.anchors()), &mut ()).unwrap()
}

#[test]
fn what_is_erased_is_in_no_file_and_the_trail_stays_what_it_was() {
    let (house, dir, out) = (house(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    paid(&house, dir.path());
    let before = report(&house, dir.path());
    assert_eq!(before.values(), values(14, 0, 0, 0));
    let all = secrets(dir.path());
    let planned = survey(dir.path(), &acme()).unwrap();
    assert_eq!((planned.decisions, planned.values), (2, 10));
    assert_eq!(secrets(dir.path()), all, "a survey changes nothing");
    let lengths: Vec<u64> = files(dir.path()).iter().map(|file| fs::metadata(file).unwrap().len()).collect();
    let erased = forget(&house, dir.path(), &acme()).unwrap();
    assert_eq!((erased.survey, erased.receipts.len()), (planned, 1));
    let left = secrets(dir.path());
    assert_eq!(left.len(), 4);
    for secret in &all {
        assert_eq!(holds(dir.path(), secret), left.contains(secret), "{secret}");
    }
    assert!(lengths.iter().sum::<u64>() > 0);
    // Everything else is as it was, and one stream more says what happened.
    let after = report(&house, dir.path());
    assert_eq!(after.values(), values(4, 10, 0, 0));
    assert_eq!(reasons(&house, dir.path()), ["tail.not_witnessed", "tail.not_witnessed"]);
    let sum = |report: &Report| report.streams().iter().map(|it| (it.allowed, it.denied)).max();
    assert_eq!(sum(&after), sum(&before));
    // Erasing it again finds nothing and writes nothing.
    let again = forget(&house, dir.path(), &acme()).unwrap();
    assert_eq!((again.survey.values, again.receipts), (0, Vec::new()));
    // A bundle holds nothing of it, and says so in the same way.
    for chain in [None, Some(ChainId::from_bytes([1; 16]))] {
        let bundle = out.path().join("bundle.zip");
        export(&[dir.path()], &mut [], chain, &bundle).unwrap();
        for secret in all.iter().filter(|secret| !left.contains(secret)) {
            assert!(!holds(out.path(), secret), "{secret}");
        }
        let report = judge(&house, &bundle);
        assert!(matches!(report.verdict(), Verdict::AuthenticNotComplete(_)), "{:?}", report.verdict());
        let expected = if chain.is_some() { values(0, 5, 0, 0) } else { values(4, 10, 0, 0) };
        assert_eq!(report.values(), expected);
        assert!(report_reasons(&report).iter().all(|code| *code == "tail.not_witnessed"));
    }
}

fn report_reasons(report: &Report) -> Vec<&'static str> {
    match report.verdict() {
        Verdict::AuthenticNotComplete(reasons) => reasons.iter().map(Reason::code).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_way_to_name_values_takes_those_and_no_others() {
    let house = house();
    let mut id = String::new();
    for (case, decisions, count) in
        [("chain", 1, 5), ("decision", 1, 5), ("counterparty", 1, 4), ("resource", 3, 14), ("before", 2, 10)]
    {
        let dir = tempfile::tempdir().unwrap();
        let hashes = paid(&house, dir.path());
        id.clear();
        id.push_str(hashes[1].to_string().get(..12).unwrap());
        let which = match case {
            "chain" => Which::Chain(ChainId::from_bytes([2; 16])),
            "decision" => Which::Decision(id.clone()),
            "counterparty" => Which::Counterparty("globex".to_owned()),
            "resource" => Which::Resource("invoice 7".to_owned()),
            _ => Which::Before(stamp(3000).micros),
        };
        let erased = forget(&house, dir.path(), &which).unwrap();
        assert_eq!((erased.survey.decisions, erased.survey.values), (decisions, count), "{case}");
        assert_eq!(report(&house, dir.path()).values(), values(14 - count, count, 0, 0), "{case}");
    }
    let dir = tempfile::tempdir().unwrap();
    paid(&house, dir.path());
    assert!(matches!(
        forget(&house, dir.path(), &Which::Decision("ffff".repeat(16))),
        Err(EraseError::NoDecision { .. })
    ));
    for which in
        [Which::Counterparty("ACME".to_owned()), Which::Chain(ChainId::from_bytes([9; 16])), Which::Before(0)]
    {
        let erased = forget(&house, dir.path(), &which).unwrap();
        assert_eq!((erased.survey.values, erased.receipts), (0, Vec::new()));
    }
    assert_eq!(report(&house, dir.path()).values(), values(14, 0, 0, 0));
    assert_eq!(StreamReader::streams(dir.path()).unwrap().len(), 1, "nothing to say is not said");
}

#[test]
fn decisions_about_erased_values_are_open_when_they_are_decided_again() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    paid(&house, dir.path());
    let (anchors, names) = (house.anchors(), NameLists::default());
    let terms = Verification::by(&anchors).replay(&names);
    let replay = || terms.journals(&[dir.path()], Vec::new(), &mut ()).unwrap().replay().unwrap();
    assert_eq!(replay(), ReplayCount { same: 3, open: 0 });
    forget(&house, dir.path(), &acme()).unwrap();
    assert_eq!(replay(), ReplayCount { same: 1, open: 2 });
}

#[test]
fn values_that_nobody_says_were_erased_are_told_apart() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    paid(&house, dir.path());
    let untouched = tempfile::tempdir().unwrap();
    copy(dir.path(), untouched.path());
    let stolen = segment(dir.path());
    forget(&house, dir.path(), &acme()).unwrap();
    let bytes = fs::read(&stolen).unwrap();
    // A value that was not erased, taken away or blacked out by hand: no receipt is about it.
    let (start, end, _) = *frames(&bytes).iter().find(|frame| frame.2 == DISCLOSURE).unwrap();
    let mut blacked = bytes.clone();
    blacked[start + 8] = 6;
    blacked[start + 9..end].fill(0);
    let crc = crc32c::crc32c(&blacked[start + 8..end]).to_le_bytes();
    blacked[start + 4..start + 8].copy_from_slice(&crc);
    for changed in [[&bytes[..start], &bytes[end..]].concat(), blacked] {
        fs::write(&stolen, changed).unwrap();
        assert!(reasons(&house, dir.path()).contains(&"disclosure.missing"));
        assert_eq!(report(&house, dir.path()).values(), values(3, 10, 0, 1));
    }
    // An erased frame that holds something is none.
    let erased = *frames(&bytes).iter().find(|frame| frame.2 == 6).unwrap();
    let mut hiding = bytes.clone();
    hiding[erased.1 - 1] = 1;
    let crc = crc32c::crc32c(&hiding[erased.0 + 8..erased.1]).to_le_bytes();
    hiding[erased.0 + 4..erased.0 + 8].copy_from_slice(&crc);
    fs::write(&stolen, hiding).unwrap();
    assert_eq!(invalid(&house, dir.path()), "journal.disclosure");
    fs::write(&stolen, &bytes).unwrap();
    // The receipt of the erasure is gone, or its commitments: the values are missing.
    let gone = tempfile::tempdir().unwrap();
    copy(dir.path(), gone.path());
    let last = StreamReader::streams(gone.path()).unwrap();
    let own =
        last.iter().map(StreamReader::stream).find(|it| !stolen.to_string_lossy().contains(&it.to_string()));
    fs::remove_dir_all(gone.path().join(own.unwrap().to_string())).unwrap();
    assert_eq!(report(&house, gone.path()).values(), values(4, 0, 0, 10));
    copy(dir.path(), gone.path());
    let kept = files(&gone.path().join("archive"));
    let kept = kept.iter().find(|file| file.extension().is_some_and(|end| end == "erased")).unwrap();
    fs::remove_file(kept).unwrap();
    assert_eq!(report(&house, gone.path()).values(), values(4, 0, 0, 10));
    fs::write(kept, [7; 64]).unwrap();
    assert_eq!(invalid(&house, gone.path()), "journal.archive");
    // A backup put back: what was erased is here again, and that is said.
    let name = stolen.strip_prefix(dir.path()).unwrap();
    fs::copy(untouched.path().join(name), &stolen).unwrap();
    assert!(reasons(&house, dir.path()).contains(&"disclosure.not_erased"));
    // What erasures named is not exported, wherever it came from.
    let out = tempfile::tempdir().unwrap();
    export(&[dir.path()], &mut [], None, &out.path().join("bundle.zip")).unwrap();
    assert!(!secrets(untouched.path()).iter().take(10).any(|secret| holds(out.path(), secret)));
}

/// A root over commitments, as RFC 6962 has it.
fn root_over(leaves: &[[u8; 32]]) -> [u8; 32] {
    let two = |octets: &[&[u8]]| *kakunin_core::digest::Digest::of(&octets.concat()).as_bytes();
    match leaves {
        [leaf] => two(&[&[0], leaf]),
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            two(&[&[1], &root_over(left), &root_over(right)])
        }
    }
}

#[test]
fn an_erasure_that_is_left_out_or_overshadowed_is_told() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    paid(&house, dir.path());
    let untouched = tempfile::tempdir().unwrap();
    copy(dir.path(), untouched.path());
    let stolen = segment(dir.path());
    forget(&house, dir.path(), &acme()).unwrap();
    let name = stolen.strip_prefix(dir.path()).unwrap();
    fs::copy(untouched.path().join(name), &stolen).unwrap();
    assert!(!reasons(&house, dir.path()).contains(&"erasure.missing"));
    let archive = files(&dir.path().join("archive"));
    let kept = archive.iter().find(|file| file.extension().is_some_and(|end| end == "erased")).unwrap();
    let octets = fs::read(kept).unwrap();
    let root = kakunin_core::digest::Digest::from_hex(kept.file_stem().unwrap().to_str().unwrap()).unwrap();
    // Another erasure that nobody states names the same values, under a smaller root and under a larger one.
    let (mut smaller, mut larger, mut number) = (false, false, 0_u32);
    while !(smaller && larger) {
        let mut leaves: Vec<[u8; 32]> = octets.as_chunks::<32>().0.to_vec();
        leaves.push(*kakunin_core::digest::Digest::of(&number.to_le_bytes()).as_bytes());
        leaves.sort_unstable();
        let shadow = root_over(&leaves);
        number += 1;
        let seen = if shadow < *root.as_bytes() { &mut smaller } else { &mut larger };
        if !std::mem::replace(seen, true) {
            let name = kakunin_core::digest::Digest::from_bytes(shadow).to_hex();
            fs::write(dir.path().join("archive").join(format!("{name}.erased")), leaves.concat()).unwrap();
        }
    }
    assert!(reasons(&house, dir.path()).contains(&"disclosure.not_erased"));
    // The commitments left out: which values they were, nobody can say any more, but that there were some.
    fs::remove_file(kept).unwrap();
    let found = reasons(&house, dir.path());
    assert!(found.contains(&"erasure.missing") && !found.contains(&"disclosure.not_erased"), "{found:?}");
    let out = tempfile::tempdir().unwrap();
    let bundle = out.path().join("whole.zip");
    export(&[dir.path()], &mut [], None, &bundle).unwrap();
    assert!(report_reasons(&judge(&house, &bundle)).contains(&"erasure.missing"));
}

#[test]
fn a_receipt_that_counts_other_values_than_its_root_is_over_erases_none() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    paid(&house, dir.path());
    let twin = tempfile::tempdir().unwrap();
    copy(dir.path(), twin.path());
    forget(&house, dir.path(), &acme()).unwrap();
    let archive = files(&dir.path().join("archive"));
    let kept = archive.iter().find(|file| file.extension().is_some_and(|end| end == "erased")).unwrap();
    let digest = kakunin_core::digest::Digest::from_hex(kept.file_stem().unwrap().to_str().unwrap()).unwrap();
    let stolen = segment(twin.path());
    fs::copy(dir.path().join(stolen.strip_prefix(twin.path()).unwrap()), &stolen).unwrap();
    fs::copy(kept, twin.path().join("archive").join(kept.file_name().unwrap())).unwrap();
    let journal = house.journal(twin.path());
    let claim = kakunin_core::receipt::Control::Erased { count: 9, digest, reason: ErasureReason::Retention };
    journal.control(claim, stamp(9000)).unwrap();
    journal.close(stamp(9001)).unwrap();
    let found = reasons(&house, twin.path());
    assert!(found.contains(&"disclosure.missing") && found.contains(&"erasure.missing"), "{found:?}");
}

#[test]
fn another_agents_receipt_erases_nothing_and_a_bundle_may_withhold() {
    a_forged_erasure(0x22, &["disclosure.missing"]);
}

#[test]
fn an_agent_of_the_same_name_under_another_root_erases_nothing() {
    a_forged_erasure(0x11, &["disclosure.missing", "agent.ambiguous"]);
}

/// An agent of another owner says of the first one's commitments that they were erased.
fn a_forged_erasure(name: u8, told: &[&str]) {
    let (one, other) = (house(), House::build(kakunin_core::id::AgentId::from_random([name; 16])));
    let (dir, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    paid(&one, dir.path());
    let twin = tempfile::tempdir().unwrap();
    copy(dir.path(), twin.path());
    forget(&one, dir.path(), &acme()).unwrap();
    let root = files(&dir.path().join("archive"))
        .into_iter()
        .find(|it| it.extension().is_some_and(|e| e == "erased"));
    let root = root.unwrap();
    let journal = other.journal(foreign.path());
    let digest = kakunin_core::digest::Digest::from_hex(root.file_stem().unwrap().to_str().unwrap()).unwrap();
    let claim =
        kakunin_core::receipt::Control::Erased { count: 10, digest, reason: ErasureReason::Retention };
    journal.control(claim, stamp(9000)).unwrap();
    journal.close(stamp(9001)).unwrap();
    fs::copy(&root, foreign.path().join("archive").join(root.file_name().unwrap())).unwrap();
    // The first agent's journal without its own receipt of the erasure.
    let stolen = segment(twin.path());
    let name = stolen.strip_prefix(twin.path()).unwrap();
    fs::copy(dir.path().join(name), &stolen).unwrap();
    let out = tempfile::tempdir().unwrap();
    let bundle = out.path().join("both.zip");
    export(&[twin.path(), foreign.path()], &mut [], None, &bundle).unwrap();
    let anchors =
        kakunin_core::certificate::TrustAnchors::new([one.root.as_slice(), other.root.as_slice()]).unwrap();
    let report = Bundle::open(&bundle).unwrap().verify(&Verification::by(&anchors), &mut ()).unwrap();
    assert_eq!(report.values(), values(4, 0, 10, 0));
    let codes = report_reasons(&report);
    assert!(told.iter().all(|code| codes.contains(code)), "{codes:?}");
}

/// Commitments stand in receipts that everybody may have, so anybody can lay down a list of them.
#[test]
fn only_what_its_own_agent_says_was_erased_is_left_out_of_a_bundle() {
    let (one, other) = (house(), House::build(kakunin_core::id::AgentId::from_random([0x22; 16])));
    let (dir, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    paid(&one, dir.path());
    let copied = tempfile::tempdir().unwrap();
    copy(dir.path(), copied.path());
    forget(&one, copied.path(), &acme()).unwrap();
    let kept = files(&copied.path().join("archive"));
    let kept = kept.into_iter().find(|it| it.extension().is_some_and(|e| e == "erased")).unwrap();
    let plant = |journal: &Path| {
        fs::create_dir_all(journal.join("archive")).unwrap();
        fs::copy(&kept, journal.join("archive").join(kept.file_name().unwrap())).unwrap();
    };
    plant(dir.path());
    let anchors =
        kakunin_core::certificate::TrustAnchors::new([one.root.as_slice(), other.root.as_slice()]).unwrap();
    let judge = |journals: &[&Path], chain| {
        let out = tempfile::tempdir().unwrap();
        let bundle = out.path().join("bundle.zip");
        export(journals, &mut [], chain, &bundle).unwrap();
        Bundle::open(&bundle).unwrap().verify(&Verification::by(&anchors), &mut ()).unwrap()
    };
    let all = || values(14, 0, 0, 0);
    let of_chain = Some(ChainId::from_bytes([1; 16]));
    assert_eq!(judge(&[dir.path()], None).values(), all(), "a file beside the journal");
    assert_eq!(judge(&[dir.path()], of_chain).values(), values(5, 0, 0, 0));
    // Another agent even signs for it, in a journal that is exported beside.
    let journal = other.journal(foreign.path());
    let digest = kakunin_core::digest::Digest::from_hex(kept.file_stem().unwrap().to_str().unwrap()).unwrap();
    let claim =
        kakunin_core::receipt::Control::Erased { count: 10, digest, reason: ErasureReason::Retention };
    journal.control(claim, stamp(9000)).unwrap();
    journal.close(stamp(9001)).unwrap();
    plant(foreign.path());
    assert_eq!(judge(&[foreign.path(), dir.path()], None).values(), all(), "a stranger's word");
    assert_eq!(judge(&[foreign.path(), dir.path()], of_chain).values(), values(5, 0, 0, 0));
    // What its own agent erased stays out, also where another copy of the journal still has it.
    let streams = |journal: &Path| {
        let names = StreamReader::streams(journal).unwrap();
        names.iter().map(StreamReader::stream).collect::<Vec<_>>()
    };
    let old = streams(dir.path());
    for stream in &old {
        fs::remove_dir_all(copied.path().join(stream.to_string())).unwrap();
    }
    assert_eq!(judge(&[copied.path(), dir.path()], None).values(), values(4, 10, 0, 0));
}

#[test]
fn no_dictionary_finds_an_erased_value() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let [first, ..] = paid(&house, dir.path());
    forget(&house, dir.path(), &acme()).unwrap();
    let entry = kakunin_core::journal::find(dir.path(), &first.to_string()).unwrap().remove(0);
    let commitments: Vec<_> = entry.receipt().statement().event.commitments().collect();
    assert_eq!((commitments.len(), entry.disclosures().len()), (4, 0));
    let octets: Vec<Vec<u8>> = files(dir.path()).iter().map(|file| fs::read(file).unwrap()).collect();
    // Whoever knows the value exactly, and the form of disclosures, still lacks the salt; every 16 octets in every file are
    // tried as one, and so are the usual ones.
    let salts = octets.iter().flat_map(|octets| octets.windows(16).step_by(1));
    let zeros = [[0_u8; 16], [0xff; 16]];
    for salt in salts.chain(zeros.iter().map(|salt| &salt[..])) {
        use base64ct::{Base64UrlUnpadded, Encoding as _};
        let json = format!(r#"["{}","currency","EUR"]"#, Base64UrlUnpadded::encode_string(salt));
        let text = Base64UrlUnpadded::encode_string(json.as_bytes());
        let digest = kakunin_core::digest::Digest::of(text.as_bytes());
        assert!(commitments.iter().all(|(_, commitment)| *commitment != digest));
    }
    let erasures = Erasures::of(dir.path());
    assert!(commitments.iter().all(|(_, commitment)| erasures.roots_of(commitment).next().is_some()));
}

/// Tells others to stop when it goes.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_running_guard_goes_on_while_values_are_erased() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let journal = house.journal(dir.path());
    for call in 0..50 {
        pay(&house, &journal, "1.00", if call % 2 == 0 { "acme" } else { "globex" }, 1, call);
    }
    let stop = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut calls = 0;
            while !stop.load(Ordering::Relaxed) && calls < 400 {
                pay(&house, &journal, "2.00", "globex", 2, 100 + calls);
                assert!(journal.still_in_place());
                calls += 1;
            }
            calls
        });
        // Readers never see half of it.
        let reader = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                let verdict = report(&house, dir.path());
                assert!(
                    matches!(verdict.verdict(), Verdict::AuthenticNotComplete(_)),
                    "{:?}",
                    verdict.verdict()
                );
                rounds += 1;
            }
            rounds
        });
        // However this ends, the others do not wait for ever.
        let stopping = Stopping(&stop);
        for decision in 0..8 {
            let which = if decision == 0 { acme() } else { Which::Before(stamp(decision).micros) };
            forget(&house, dir.path(), &which).unwrap();
        }
        drop(stopping);
        assert!(reader.join().unwrap() > 0);
        writer.join().unwrap()
    });
    journal.close(stamp(9_000)).unwrap();
    assert!(written > 20, "{written}");
    let report = report(&house, dir.path());
    assert_eq!(report_reasons(&report).iter().filter(|code| **code != "tail.not_witnessed").count(), 0);
    assert_eq!(survey(dir.path(), &acme()).unwrap().values, 0);
    assert!(report.values().erased >= 110 && report.values().missing == 0);
}

/// The other half of the test below: runs only as its child.
#[test]
fn child_that_erases_again_and_again() {
    let Some(home) = std::env::var_os("KAKUNIN_TEST_ERASER").map(PathBuf::from) else { return };
    let house = House::load(&home);
    for round in 0.. {
        let journal = house.journal(&home.join("journal"));
        for call in 0..4 {
            pay(
                &house,
                &journal,
                "1.00",
                if call % 2 == 0 { "acme" } else { "globex" },
                1,
                round * 10 + call,
            );
        }
        forget(&house, &home.join("journal"), &acme()).unwrap();
        drop(journal);
    }
}

#[test]
fn an_eraser_that_is_killed_at_any_moment_breaks_nothing() {
    let (house, home) = (house(), tempfile::tempdir().unwrap());
    house.save(home.path());
    let journal = home.path().join("journal");
    let rounds = if std::env::var_os("KAKUNIN_SOAK").is_some() { 200 } else { 15 };
    for round in 0..rounds {
        let mut running = Command::new(std::env::current_exe().unwrap())
            .args(["erasure::child_that_erases_again_and_again", "--exact"])
            .env("KAKUNIN_TEST_ERASER", home.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(60 + (round * 37) % 150));
        running.kill().unwrap();
        running.wait().unwrap();
        if journal.exists() {
            let verdict = report(&house, &journal);
            assert!(!matches!(verdict.verdict(), Verdict::Invalid(_)), "{round}: {:?}", verdict.verdict());
        }
    }
    let last = house.journal(&journal);
    last.close(stamp(1)).unwrap();
    forget(&house, &journal, &acme()).unwrap();
    assert!(!journal.join("erasing").exists());
    let report = report(&house, &journal);
    let codes = report_reasons(&report);
    assert!(!codes.iter().any(|code| code.starts_with("disclosure.")), "{codes:?}");
    assert!(report.values().erased > 0);
    assert_eq!(survey(&journal, &acme()).unwrap().values, 0);
}

#[test]
fn what_recovery_put_aside_goes_with_any_erasure() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    paid(&house, dir.path());
    let piece = segment(dir.path()).with_extension("cut");
    fs::write(&piece, "whose values are these").unwrap();
    let old = Which::Before(stamp(0).micros - 86_400_000_000 * 3650);
    assert_eq!(survey(dir.path(), &old).unwrap().pieces, 0);
    let which = Which::Chain(ChainId::from_bytes([1; 16]));
    assert_eq!(survey(dir.path(), &which).unwrap().pieces, 1);
    assert!(piece.exists());
    forget(&house, dir.path(), &which).unwrap();
    assert!(!piece.exists());
}

/// Whoever erases may be root, in a folder that an agent owns.
#[test]
fn links_and_pipes_in_a_journal_choose_no_other_file_and_are_not_waited_for() {
    let house = house();
    let victim = tempfile::tempdir().unwrap();
    let (file, folder) = (victim.path().join("shadow"), victim.path().join("folder"));
    fs::create_dir(&folder).unwrap();
    type Plant = fn(&Path, &Path, &Path);
    let plants: [(&str, Plant); 8] = [
        ("cut", |at, _, file| std::os::unix::fs::symlink(file, at.join("0001.cut")).unwrap()),
        ("closed", |at, _, file| {
            std::os::unix::fs::symlink(file.with_extension("new"), at.join("closed")).unwrap()
        }),
        ("lock", |at, _, file| {
            fs::remove_file(at.join("lock")).unwrap();
            std::os::unix::fs::symlink(file.with_extension("new"), at.join("lock")).unwrap();
        }),
        ("pipe", |at, _, _| {
            fs::remove_file(at.join("lock")).unwrap();
            assert!(Command::new("mkfifo").arg(at.join("lock")).status().unwrap().success());
        }),
        ("erasing.tmp", |_, dir, file| std::os::unix::fs::symlink(file, dir.join("erasing.tmp")).unwrap()),
        ("erasing.lock", |_, dir, file| {
            std::os::unix::fs::symlink(file.with_extension("new"), dir.join("erasing.lock")).unwrap();
        }),
        ("hard", |at, _, file| fs::hard_link(file, at.join("0001.cut")).unwrap()),
        ("folder", |at, _, file| {
            let folder = file.parent().unwrap().join("folder");
            for found in fs::read_dir(at).unwrap().map(Result::unwrap) {
                fs::rename(found.path(), folder.join(found.file_name())).unwrap();
            }
            fs::remove_dir(at).unwrap();
            std::os::unix::fs::symlink(folder, at).unwrap();
        }),
    ];
    for (what, plant) in plants {
        let dir = tempfile::tempdir().unwrap();
        fs::write(&file, "secret").unwrap();
        // A stream that a loss of power left in pieces, which recovery puts aside.
        paid(&house, dir.path());
        let path = segment(dir.path());
        let at = path.parent().unwrap();
        fs::remove_file(at.join("closed")).unwrap();
        let mut octets = fs::read(&path).unwrap();
        let middle = octets.len() * 3 / 4;
        octets[middle] ^= 1;
        fs::write(&path, &octets).unwrap();
        plant(at, dir.path(), &file);
        let later = || kakunin_core::receipt::Stamp { boot: [9; 16], ..stamp(10_000) };
        let _ = erase(dir.path(), &acme(), ErasureReason::SubjectRequest, &house.identity(), &later);
        assert_eq!(fs::read_to_string(&file).unwrap(), "secret", "{what}");
        let there: Vec<_> = files(victim.path()).into_iter().filter(|it| !it.starts_with(&folder)).collect();
        assert_eq!(there, std::slice::from_ref(&file), "{what}");
        if what == "folder" {
            assert_eq!(fs::read(folder.join("0001.seg")).unwrap(), octets);
        }
    }
}

#[test]
fn a_damaged_stream_is_named_and_the_others_are_erased() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    paid(&house, dir.path());
    let damaged = segment(dir.path());
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[60] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    let journal = house.journal(dir.path());
    pay(&house, &journal, "5.00", "acme", 1, 1);
    journal.close(stamp(9)).unwrap();
    let erased = forget(&house, dir.path(), &acme()).unwrap();
    assert_eq!(erased.survey.values, 5);
    let [unsearched] = &erased.survey.unsearched[..] else { panic!("{:?}", erased.survey) };
    assert!(damaged.to_string_lossy().contains(&unsearched.stream.to_string()));
}

#[test]
fn a_protected_segment_refuses_with_the_fix_and_nothing_is_said() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    paid(&house, dir.path());
    let path = segment(dir.path());
    let chattr = |flag: &str| Command::new("chattr").arg(flag).arg(&path).stderr(Stdio::null()).status();
    if !chattr("+a").is_ok_and(|status| status.success()) {
        // Not root, or a file system without the attribute.
        return;
    }
    let refused = forget(&house, dir.path(), &acme());
    assert!(chattr("-a").unwrap().success());
    let Err(EraseError::Protected { path: named }) = &refused else { panic!("{refused:?}") };
    assert_eq!(*named, path);
    assert!(refused.unwrap_err().to_string().contains("chattr -ai"));
    assert_eq!(report(&house, dir.path()).values(), values(14, 0, 0, 0));
    assert_eq!(StreamReader::streams(dir.path()).unwrap().len(), 1);
    assert_eq!(forget(&house, dir.path(), &acme()).unwrap().survey.values, 10);
}

#[test]
fn another_agents_key_says_nothing_in_a_journal() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    paid(&house, dir.path());
    let other = House::build(kakunin_core::id::AgentId::from_random([0x22; 16]));
    assert!(matches!(forget(&other, dir.path(), &acme()), Err(EraseError::OtherAgent { .. })));
    assert_eq!(report(&house, dir.path()).values(), values(14, 0, 0, 0));
}

#[test]
fn what_was_complete_is_complete_again_once_the_erasure_is_logged() {
    let world = World::incident();
    let (names, owner) = (NameLists::default(), &world.support);
    let judge = |chain, name: &str| {
        world.export(chain, name).unwrap();
        bundle::verify(&world.path(name), &world.terms().replay(&names))
    };
    for (chain, name) in [(Some(CHAIN), "chain.zip"), (None, "whole.zip")] {
        assert_eq!(judge(chain, name).verdict(), Verdict::Complete);
    }
    let erased = forget(&owner.house, &owner.journal, &acme()).unwrap();
    assert_eq!(erased.survey.values, 12);
    for (chain, name) in [(Some(CHAIN), "chain.zip"), (None, "whole.zip")] {
        assert_eq!(report_reasons(&judge(chain, name)), ["tail.not_witnessed"], "{name}: not in a log yet");
    }
    owner.log();
    let chain = judge(Some(CHAIN), "chain.zip");
    assert_eq!((chain.verdict(), chain.values()), (Verdict::Complete, values(3, 6, 0, 0)));
    assert_eq!(chain.replay().unwrap(), ReplayCount { same: 1, open: 2 });
    let whole = judge(None, "whole.zip");
    assert_eq!((whole.verdict(), whole.values()), (Verdict::Complete, values(6, 12, 0, 0)));
    // The journal with its log is judged as the bundle is.
    let report = world.terms().journals(&[&owner.journal], vec![owner.reader()], &mut ()).unwrap();
    assert_eq!(report_reasons(&report), ["parent.missing"], "only the other owner's receipt is elsewhere");
    assert_eq!(report.values(), values(0, 12, 0, 0));
}
