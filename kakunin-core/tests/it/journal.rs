//! The journal from outside: what is acknowledged is there, what is wrong is told.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kakunin_core::id::{AgentId, ChainId, StreamId};
use kakunin_core::journal::{Journal, JournalOptions, Recovery, Sealing, StreamReader, find, recover};
use kakunin_core::level::Levels;
use kakunin_core::reason::DenialReason;
use kakunin_core::receipt::{Control, Event, Mode, Outcome, Statement, UnverifiedReceipt};
use kakunin_core::request::ActionRequest;
use kakunin_core::verify::{Reason, Report, Verdict, journal as verify};

use crate::house::{House, decide, entry, key, now, request, stamp};

pub(crate) fn house() -> House {
    House::build(AgentId::from_random([0x11; 16]))
}

/// One allowed call with its outcome, one denied, and the end.
fn small(house: &House, dir: &Path) {
    let journal = house.journal(dir);
    append(house, &journal, 1);
    journal.close(stamp(9)).unwrap();
}

/// One allowed call with its outcome, one denied.
pub(crate) fn append(house: &House, journal: &Journal, millis: i64) {
    let (leash, list) = (house.leash(), house.list_use());
    let right = request("125.00");
    let recorded = journal.decision(&entry(&decide(&leash, &right), &right, list, stamp(millis))).unwrap();
    journal.outcome(recorded, Outcome::Returned, Some(b"done"), stamp(millis + 1)).unwrap();
    let wrong = request("99999.00");
    let denied = decide(&leash, &wrong);
    assert_eq!(denied.denial().unwrap().reason(), DenialReason::ScopeAmount);
    drop(journal.decision(&entry(&denied, &wrong, list, stamp(millis + 2))).unwrap());
}

pub(crate) fn report(house: &House, dir: &Path) -> Report {
    verify(dir, &house.anchors()).unwrap()
}

/// The code of an INVALID verdict.
pub(crate) fn invalid(house: &House, dir: &Path) -> &'static str {
    match report(house, dir).verdict() {
        Verdict::Invalid(invalid) => invalid.code,
        other => panic!("{other:?}"),
    }
}

/// The reason codes of an AUTHENTIC-NOT-COMPLETE verdict.
pub(crate) fn reasons(house: &House, dir: &Path) -> Vec<&'static str> {
    match report(house, dir).verdict() {
        Verdict::AuthenticNotComplete(reasons) => reasons.iter().map(Reason::code).collect(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn statements(dir: &Path) -> Vec<Statement> {
    let entries = StreamReader::streams(dir).unwrap().into_iter().flatten();
    entries.map(|entry| entry.unwrap().receipt().statement().clone()).collect()
}

fn streams(dir: &Path) -> Vec<StreamId> {
    StreamReader::streams(dir).unwrap().iter().map(StreamReader::stream).collect()
}

pub(crate) fn segment(dir: &Path) -> PathBuf {
    dir.join(streams(dir)[0].to_string()).join("0001.seg")
}

/// The frames of a segment as (start, end, kind).
pub(crate) fn frames(bytes: &[u8]) -> Vec<(usize, usize, u8)> {
    let (mut at, mut out) = (0, Vec::new());
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        out.push((at, at + 8 + length, bytes[at + 8]));
        at += 8 + length;
    }
    out
}

/// A frame with a right checksum, as an attacker who knows the format writes it.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&length[..], &crc32c::crc32c(body).to_le_bytes(), body].concat()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) const RECEIPT: u8 = 1;
pub(crate) const SIGNATURE: u8 = 2;
pub(crate) const DISCLOSURE: u8 = 3;

#[test]
fn a_closed_journal_is_authentic_and_only_its_tail_is_open() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    small(&house, dir.path());
    let report = report(&house, dir.path());
    assert_eq!(reasons(&house, dir.path()), ["tail.not_witnessed"]);
    assert_eq!(report.verdict().exit_code(), 3);
    let [stream] = report.streams() else { panic!() };
    assert_eq!((stream.receipts, stream.allowed, stream.denied, stream.outcomes), (5, 1, 1, 1));
    assert!(stream.closed && stream.unsigned == 0);
    assert_eq!(stream.claimed, Some((now(), now())));
}

#[test]
fn agent_state_and_journal_folders_are_all_accepted() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    small(&house, &dir.path().join("state").join("journal"));
    for path in ["", "state", "state/journal"] {
        assert_eq!(reasons(&house, &dir.path().join(path)), ["tail.not_witnessed"], "{path}");
    }
    assert!(verify(&dir.path().join("nothing"), &house.anchors()).is_err());
}

#[test]
fn an_empty_journal_is_empty_and_never_complete() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let report = report(&house, dir.path());
    assert_eq!(report.verdict(), Verdict::Empty);
    assert_eq!(report.verdict().exit_code(), 3);
}

#[test]
fn another_root_proves_nothing() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    small(&house, dir.path());
    let other = self::house();
    assert_eq!(invalid(&other, dir.path()), "receipt.certificate");
}

#[test]
fn receipts_state_what_was_asked_and_disclosures_what_it_was() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let journal = house.journal(dir.path());
    let (leash, list, chain) = (house.leash(), house.list_use(), ChainId::from_bytes([0xc4; 16]));
    let asked = request("125.00");
    let decision = decide(&leash, &asked);
    let mut first = entry(&decision, &asked, list, stamp(1));
    first.chain = Some(chain);
    first.trace = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let recorded = journal.decision(&first).unwrap();
    let hash = recorded.hash();
    journal.outcome(recorded, Outcome::Raised, None, stamp(2)).unwrap();
    let parents = [hash];
    let mut second = entry(&decision, &asked, list, stamp(3));
    second.parents = &parents;
    second.mode = Mode::Check;
    drop(journal.decision(&second).unwrap());
    journal.close(stamp(4)).unwrap();

    let found = find(dir.path(), &hash.to_string()[..8]).unwrap();
    assert_eq!(found.len(), 2, "the decision and its outcome");
    let statement = found[0].receipt().statement();
    assert_eq!(statement.chain, Some((chain, Some(0))));
    let Event::Decision { action, list: named, .. } = &statement.event else { panic!() };
    assert_eq!(action.as_deref(), Some("payments:send"));
    assert_eq!(*named, Some(list));
    let disclosed: Vec<_> =
        found[0].disclosures().iter().map(|d| (d.name().to_owned(), d.value().clone())).collect();
    let expected = [("amount", "125.00"), ("currency", "EUR"), ("counterparties", "acme")];
    assert_eq!(disclosed, expected.map(|(name, value)| (name.to_owned(), value.into())));
    assert_eq!(found[1].receipt().statement().chain, Some((chain, Some(1))));
    let token = found[0].to_jws().unwrap();
    assert_eq!(UnverifiedReceipt::from_jws(&token).unwrap().0.hash(), hash);
    assert_eq!(reasons(&house, dir.path()), ["tail.not_witnessed"]);
}

#[test]
fn an_action_that_is_no_name_stays_out_of_the_receipt() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let journal = house.journal(dir.path());
    let long = "x".repeat(1 << 20);
    for action in ["write:../x\",\"dec\":\"allow", "", &long] {
        let asked = ActionRequest::new(action);
        let decision = decide(&house.leash(), &asked);
        drop(journal.decision(&entry(&decision, &asked, house.list_use(), stamp(1))).unwrap());
    }
    journal.close(stamp(2)).unwrap();
    let actions = |s: &Statement| matches!(s.event, Event::Decision { action: None, .. });
    assert_eq!(statements(dir.path()).iter().filter(|s| actions(s)).count(), 3);
    assert_eq!(reasons(&house, dir.path()), ["tail.not_witnessed"]);
}

#[test]
fn every_flipped_byte_is_found() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    small(&house, dir.path());
    let segment = segment(dir.path());
    let archive = fs::read_dir(dir.path().join("archive")).unwrap().map(|e| e.unwrap().path());
    for path in archive.chain([segment]) {
        let original = fs::read(&path).unwrap();
        for at in 0..original.len() {
            let mut flipped = original.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&path, &flipped).unwrap();
            let report = report(&house, dir.path());
            let told = match report.verdict() {
                Verdict::Invalid(_) => true,
                Verdict::AuthenticNotComplete(reasons) => {
                    reasons.iter().any(|reason| matches!(reason, Reason::Torn { .. }))
                }
                _ => false,
            };
            assert!(told, "byte {at} of {}: {:?}", path.display(), report.verdict());
        }
        fs::write(&path, &original).unwrap();
    }
    assert_eq!(reasons(&house, dir.path()), ["tail.not_witnessed"]);
}

#[test]
fn a_flip_with_a_right_checksum_is_found_by_the_proof() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    small(&house, dir.path());
    let path = segment(dir.path());
    let original = fs::read(&path).unwrap();
    for (start, end, _) in frames(&original) {
        for at in start + 8..end {
            let mut body = original[start + 8..end].to_vec();
            body[at - start - 8] ^= 1;
            let forged = [&original[..start], &frame(&body), &original[end..]].concat();
            fs::write(&path, forged).unwrap();
            invalid(&house, dir.path());
        }
    }
}

#[test]
fn each_way_to_cut_a_journal_is_told_apart() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    small(&house, dir.path());
    let path = segment(dir.path());
    let original = fs::read(&path).unwrap();
    let all = frames(&original);
    let write = |parts: &[&[u8]]| fs::write(&path, parts.concat()).unwrap();
    let of_kind = |kind: u8| all.iter().filter(move |frame| frame.2 == kind).copied();

    // Truncated anywhere (the frames' own test cuts at every byte): never invalid, never silent.
    for length in (0..original.len()).step_by(7) {
        write(&[&original[..length]]);
        let report = report(&house, dir.path());
        match report.verdict() {
            Verdict::Empty => {}
            Verdict::AuthenticNotComplete(reasons) => assert!(reasons.len() > 1, "cut at {length}"),
            other => panic!("cut at {length}: {other:?}"),
        }
    }
    // A receipt taken out of the middle, with its signature and without. Signatures follow from
    // another thread: whether this one stood before the next receipt says which is missed first.
    let (start, end, _) = of_kind(RECEIPT).nth(2).unwrap();
    let (from, to, _) = of_kind(SIGNATURE).nth(2).unwrap();
    write(&[&original[..start], &original[end..from], &original[to..]]);
    assert_eq!(invalid(&house, dir.path()), "receipt.sequence");
    write(&[&original[..start], &original[end..]]);
    let next = of_kind(RECEIPT).nth(3).unwrap().0;
    let missed = if from < next { "journal.signature" } else { "receipt.sequence" };
    assert_eq!(invalid(&house, dir.path()), missed);
    // A signature taken out: the receipt is named.
    let (start, end, _) = of_kind(SIGNATURE).nth(1).unwrap();
    write(&[&original[..start], &original[end..]]);
    assert_eq!(reasons(&house, dir.path()), ["tail.not_witnessed", "receipt.unsigned"]);
    let report = report(&house, dir.path());
    assert!(matches!(report.verdict(), Verdict::AuthenticNotComplete(
        [_, Reason::Unsigned { indices, .. }]) if indices == &[1]));
    // A disclosure erased: authentic, listed.
    let (start, end, _) = of_kind(DISCLOSURE).nth(1).unwrap();
    write(&[&original[..start], &original[end..]]);
    assert_eq!(reasons(&house, dir.path()), ["tail.not_witnessed", "disclosure.missing"]);
    // A disclosure moved to where it does not belong.
    let last = of_kind(RECEIPT).last().unwrap().0;
    write(&[&original[..start], &original[end..last], &original[start..end], &original[last..]]);
    assert_eq!(invalid(&house, dir.path()), "journal.disclosure");
    // The same receipt twice.
    let (start, end, _) = of_kind(RECEIPT).nth(2).unwrap();
    write(&[&original[..end], &original[start..end], &original[end..]]);
    assert_eq!(invalid(&house, dir.path()), "journal.duplicate_receipt");
    // A signature for nothing.
    let (start, end, _) = of_kind(SIGNATURE).last().unwrap();
    write(&[&original[..end], &original[start..end]]);
    assert_eq!(invalid(&house, dir.path()), "journal.signature");
    // A whole segment gone.
    fs::rename(&path, path.with_file_name("0002.seg")).unwrap();
    assert_eq!(invalid(&house, dir.path()), "journal.segment");
}

#[test]
fn two_journals_in_one_are_told_apart() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    small(&house, &one);
    small(&house, &two);
    let (path, other) = (segment(&one), fs::read(segment(&two)).unwrap());
    let original = fs::read(&path).unwrap();

    // Frames of another stream in this one.
    let first = frames(&other)[1];
    fs::write(&path, [&original[..], &other[first.0..]].concat()).unwrap();
    assert_eq!(invalid(&house, &one), "receipt.stream");
    fs::write(&path, &original).unwrap();

    // Streams of another agent of the same house beside this one's.
    let stranger = House::build(AgentId::from_random([0x22; 16]));
    let both = dir.path().join("both");
    copy(&one, &both);
    small(&stranger, &both);
    assert!(matches!(
        verify(&both, &house.anchors()).unwrap().verdict(),
        Verdict::Invalid(invalid) if ["journal.merged", "receipt.certificate"].contains(&invalid.code)
    ));

    // The same stream continued in two copies, then put together.
    let (left, right) = (dir.path().join("left"), dir.path().join("right"));
    drop(house.journal(&left));
    copy(&left, &right);
    let stream = streams(&left)[0];
    for (side, at) in [(&left, 5), (&right, 6)] {
        let recovered = recover(side, stream, &house.identity(), stamp(at)).unwrap();
        assert_eq!(recovered, Recovery::Recovered { cut: 0, unsigned: 0 });
    }
    let (mine, theirs) = (fs::read(segment(&left)).unwrap(), fs::read(segment(&right)).unwrap());
    let fork = frames(&theirs)[3].0;
    fs::write(segment(&left), [&mine[..], &theirs[fork..]].concat()).unwrap();
    assert_eq!(invalid(&house, &left), "journal.duplicate_sequence");
}

#[test]
fn a_list_that_is_missing_other_or_revoking_makes_an_allowance_invalid() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    small(&house, dir.path());
    let name = house.list_use().digest;
    let path = dir.path().join("archive").join(format!("{name}.crl"));
    fs::write(&path, &house.revoking_list).unwrap();
    assert_eq!(invalid(&house, dir.path()), "receipt.list");
    fs::remove_file(&path).unwrap();
    assert_eq!(invalid(&house, dir.path()), "receipt.list");

    // A guard that allowed by a list on which its agent is revoked, and one that went back to an older list.
    let revoked = House { issuing_list: house.revoking_list.clone(), ..house.clone() };
    let list = kakunin_core::receipt::ListUse::of(revoked.verified().lists().issuing());
    let (right, leash) = (request("1.00"), house.leash());
    let allowed = decide(&leash, &right);
    let dir = tempfile::tempdir().unwrap();
    let journal = revoked.journal(dir.path());
    drop(journal.decision(&entry(&allowed, &right, list, stamp(1))).unwrap());
    journal.close(stamp(2)).unwrap();
    assert_eq!(invalid(&house, dir.path()), "receipt.standing");

    let dir = tempfile::tempdir().unwrap();
    let journal = house.journal(dir.path());
    drop(revoked.journal(dir.path()));
    let wrong = request("99999.00");
    let denied = decide(&leash, &wrong);
    for list in [list, house.list_use()] {
        drop(journal.decision(&entry(&denied, &wrong, list, stamp(1))).unwrap());
    }
    journal.close(stamp(2)).unwrap();
    assert_eq!(invalid(&house, dir.path()), "receipt.list_number");
}

#[test]
fn what_nothing_proves_counts_nowhere_and_closes_nothing() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    small(&house, dir.path());
    let path = segment(dir.path());
    let original = fs::read(&path).unwrap();
    let signatures: Vec<_> = frames(&original).into_iter().filter(|frame| frame.2 == SIGNATURE).collect();
    // Only the opening receipt keeps its signature.
    let mut stripped = original.clone();
    for (start, end, _) in signatures.iter().skip(1).rev() {
        stripped.drain(start..end);
    }
    fs::write(&path, stripped).unwrap();
    let report = report(&house, dir.path());
    let [stream] = report.streams() else { panic!() };
    assert_eq!((stream.receipts, stream.unsigned), (5, 4));
    assert_eq!((stream.allowed, stream.denied, stream.outcomes, stream.closed), (0, 0, 0, false));
    let told = reasons(&house, dir.path());
    assert_eq!(told, ["tail.not_witnessed", "stream.open", "receipt.unsigned", "outcome.missing"]);
}

#[test]
fn a_new_certificate_that_only_an_unsigned_receipt_announces_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let [house, other] =
        House::tenants([AgentId::from_random([0x11; 16]); 2], "billing", "test root", |_| key());
    let journal = house.journal(dir.path());
    journal.rotate(&other.identity(), stamp(5)).unwrap();
    drop(other.journal(dir.path()));
    journal.close(stamp(6)).unwrap();
    let path = dir.path().join(journal.stream().unwrap().to_string()).join("0001.seg");
    let bytes = fs::read(&path).unwrap();
    let (start, end, _) = frames(&bytes).into_iter().filter(|frame| frame.2 == SIGNATURE).nth(1).unwrap();
    let anchors = house.anchors();
    assert_eq!(verify(dir.path(), &anchors).unwrap().verdict().exit_code(), 3);
    fs::write(&path, [&bytes[..start], &bytes[end..]].concat()).unwrap();
    let report = verify(dir.path(), &anchors).unwrap();
    let Verdict::Invalid(invalid) = report.verdict() else { panic!("{:?}", report.verdict()) };
    assert_eq!(invalid.code, "receipt.certificate");
}

#[test]
fn an_allowance_under_a_revoked_authority_is_never_taken_for_good() {
    let house = house();
    let revoked = House { root_list: house.revoking_root_list.clone(), ..house.clone() };
    let (right, leash) = (request("1.00"), house.leash());
    let allowed = decide(&leash, &right);
    let allow = |list: &House| {
        let dir = tempfile::tempdir().unwrap();
        // The root's list that revokes the authority is in the archive; the receipt cannot name it.
        let journal = list.journal(dir.path());
        let list = kakunin_core::receipt::ListUse::of(list.verified().lists().issuing());
        let recorded = journal.decision(&entry(&allowed, &right, list, stamp(1))).unwrap();
        journal.outcome(recorded, Outcome::Returned, None, stamp(2)).unwrap();
        journal.close(stamp(3)).unwrap();
        dir
    };
    // By a list of before the revocation, at a time that claims to be after: whoever has not heard yet allows, so
    // this is a lag and no lie.
    let lagging = allow(&revoked);
    assert_eq!(reasons(&house, lagging.path()), ["tail.not_witnessed", "time.unproven"]);
    let report = report(&house, lagging.path());
    let Verdict::AuthenticNotComplete([.., Reason::TimeUnproven { indices, lag, .. }]) = report.verdict()
    else {
        panic!("{:?}", report.verdict())
    };
    assert_eq!((indices.as_slice(), *lag), (&[1_u64][..], Some(60 * 3600)));
    // By a list that the authority signed when it was revoked already.
    let after = House { issuing_list: house.later_list.clone(), ..revoked };
    assert_eq!(invalid(&house, allow(&after).path()), "receipt.revoked");
}

#[test]
fn allowances_outside_the_certificates_time_are_invalid_and_denials_are_not() {
    let house = house();
    let (right, wrong, list) = (request("1.00"), request("99999.00"), house.list_use());
    let day = 24 * 3_600_000;
    for (asked, days, code) in [
        (&right, 3, None),
        (&right, 4, Some("receipt.list_stale")),
        (&right, 9, Some("receipt.validity")),
        (&wrong, 9, None),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let journal = house.journal(dir.path());
        let decision = decide(&house.leash(), asked);
        drop(journal.decision(&entry(&decision, asked, list, stamp(days * day))).unwrap());
        journal.close(stamp(days * day)).unwrap();
        match code {
            Some(code) => assert_eq!(invalid(&house, dir.path()), code, "{days} days"),
            None => drop(reasons(&house, dir.path())),
        }
    }
}

/// C130: a guard never allows by such a list alone.
#[test]
fn an_allowance_by_a_list_that_asks_for_the_feed_names_it_or_is_none() {
    let house = house();
    let asking = House { issuing_list: house.asking_for_feed.clone(), ..house };
    for (amount, expected) in [("1.00", Err("receipt.feed")), ("99999.00", Ok(()))] {
        let (asked, dir) = (request(amount), tempfile::tempdir().unwrap());
        let journal = asking.journal(dir.path());
        let decision = decide(&asking.leash(), &asked);
        drop(journal.decision(&entry(&decision, &asked, asking.list_use(), stamp(1))).unwrap());
        journal.close(stamp(2)).unwrap();
        match expected {
            Err(code) => assert_eq!(invalid(&asking, dir.path()), code),
            Ok(()) => assert_eq!(reasons(&asking, dir.path()), ["tail.not_witnessed"]),
        }
    }
}

#[test]
fn an_allowance_without_outcome_is_result_unknown() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let journal = house.journal(dir.path());
    let right = request("1.00");
    let allowed = decide(&house.leash(), &right);
    drop(journal.decision(&entry(&allowed, &right, house.list_use(), stamp(1))).unwrap());
    journal.close(stamp(2)).unwrap();
    assert_eq!(reasons(&house, dir.path()), ["tail.not_witnessed", "outcome.missing"]);
}

#[test]
fn a_renewed_certificate_is_announced_by_the_old_key() {
    let dir = tempfile::tempdir().unwrap();
    let [house, renewed] =
        House::tenants([AgentId::from_random([0x11; 16]); 2], "billing", "test root", |_| key());
    let journal = house.journal(dir.path());
    append(&house, &journal, 1);
    journal.rotate(&renewed.identity(), stamp(5)).unwrap();
    let lists = renewed.verified();
    journal.archive_list(lists.lists().issuing().der(), &lists.lists().issuing().digest()).unwrap();
    drop(renewed.journal(dir.path()));
    journal.close(stamp(6)).unwrap();
    let report = verify(dir.path(), &house.anchors()).unwrap();
    assert!(matches!(report.verdict(), Verdict::AuthenticNotComplete(_)), "{:?}", report.verdict());
    let signers: HashSet<_> = StreamReader::open(dir.path(), journal.stream().unwrap())
        .unwrap()
        .map(|entry| *entry.unwrap().receipt().certificate())
        .collect();
    assert_eq!(signers.len(), 2);
}

#[test]
fn recovery_counts_what_it_finds_unsigned_and_signs_none_of_it() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let journal = house.journal(dir.path());
    append(&house, &journal, 1);
    journal.quiesce().unwrap();
    let stream = journal.stream().unwrap();
    assert_eq!(recover(dir.path(), stream, &house.identity(), stamp(3)).unwrap(), Recovery::InUse);
    drop(journal);
    // What a killed process leaves: no signatures for the last receipts, and half of a write.
    let path = segment(dir.path());
    let bytes = fs::read(&path).unwrap();
    let signed = frames(&bytes);
    let kept: Vec<u8> = signed
        .iter()
        .enumerate()
        .filter(|(_, frame)| frame.2 != SIGNATURE || frame.1 < 1200)
        .flat_map(|(_, (start, end, _))| bytes[*start..*end].to_vec())
        .collect();
    fs::write(&path, [&kept[..], &bytes[..30]].concat()).unwrap();
    let recovery = recover(dir.path(), stream, &house.identity(), stamp(20)).unwrap();
    assert_eq!(recovery, Recovery::Recovered { cut: 30, unsigned: 3 });
    let control = statements(dir.path()).into_iter().rev().nth(1).unwrap();
    assert!(matches!(control.event, Event::Control(Control::Recovered { cut: 30, unsigned: 3, .. })));
    let expected = ["tail.not_witnessed", "stream.recovered", "receipt.unsigned", "outcome.missing"];
    assert_eq!(reasons(&house, dir.path()), expected);
    assert_eq!(recover(dir.path(), stream, &house.identity(), stamp(21)).unwrap(), Recovery::Closed);

    // Signing one of them afterwards contradicts the count.
    let bytes = fs::read(&path).unwrap();
    let entries: Vec<_> = StreamReader::open(dir.path(), stream).unwrap().map(Result::unwrap).collect();
    let late = house.identity().signer.sign(entries[1].receipt().signing_input()).unwrap();
    let body = [&[SIGNATURE][..], &1_u64.to_le_bytes(), late.as_bytes()].concat();
    fs::write(&path, [&bytes[..], &frame(&body)].concat()).unwrap();
    assert_eq!(invalid(&house, dir.path()), "receipt.recovered");
}

#[test]
fn a_damaged_stream_is_left_as_it_is() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let journal = house.journal(dir.path());
    append(&house, &journal, 1);
    let stream = journal.stream().unwrap();
    drop(journal);
    let path = segment(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[300] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(recover(dir.path(), stream, &house.identity(), stamp(5)).is_err());
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(invalid(&house, dir.path()), "journal.frame");
}

#[test]
fn writers_of_one_journal_never_share_a_stream() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let (one, two) = (house.journal(dir.path()), house.journal(dir.path()));
    assert_ne!(one.stream(), two.stream());
    std::thread::scope(|scope| {
        for journal in [&one, &two] {
            for thread in 0..4 {
                let house = &house;
                scope.spawn(move || {
                    for call in 0..50 {
                        append(house, journal, thread * 1000 + call * 10);
                    }
                });
            }
        }
    });
    one.close(stamp(9)).unwrap();
    two.close(stamp(9)).unwrap();
    assert_eq!(reasons(&house, dir.path()), ["tail.not_witnessed"; 2]);
    let report = report(&house, dir.path());
    assert!(report.streams().iter().all(|stream| stream.receipts == 602 && stream.unsigned == 0));
}

#[test]
fn an_abandoned_stream_is_closed_by_the_next_opening_off_the_call_path() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let abandoned = house.journal(dir.path());
    append(&house, &abandoned, 1);
    let stream = abandoned.stream().unwrap();
    drop(abandoned);
    let next = house.journal(dir.path());
    append(&house, &next, 10);
    next.close(stamp(20)).unwrap();
    assert_eq!(recover(dir.path(), stream, &house.identity(), stamp(21)).unwrap(), Recovery::Closed);
    let expected = ["stream.recovered", "tail.not_witnessed", "tail.not_witnessed"];
    let mut found = reasons(&house, dir.path());
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_removed_or_moved_journal_is_noticed_and_denies() {
    for rename in [false, true] {
        let (house, dir) = (house(), tempfile::tempdir().unwrap());
        let place = dir.path().join("journal");
        let journal = house.journal(&place);
        append(&house, &journal, 1);
        assert!(journal.still_in_place());
        if rename {
            fs::rename(&place, dir.path().join("elsewhere")).unwrap();
        } else {
            fs::remove_dir_all(&place).unwrap();
        }
        assert!(!journal.still_in_place());
        let right = request("1.00");
        let decision = decide(&house.leash(), &right);
        let refused = journal.decision(&entry(&decision, &right, house.list_use(), stamp(5)));
        assert_eq!(refused.unwrap_err(), DenialReason::JournalUnavailable);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_at_opening() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(Journal::open(&file, house.identity(), stamp(0)).is_err());
}

#[test]
fn a_journal_in_memory_keeps_its_latest_receipts_and_says_so() {
    let house = house();
    let journal = Journal::memory(&house.identity(), stamp(0), 3).unwrap();
    append(&house, &journal, 1);
    journal.quiesce().unwrap();
    let tokens = journal.latest();
    assert_eq!(tokens.len(), 3, "the opening receipt made room");
    for token in tokens {
        let (receipt, signature) = UnverifiedReceipt::from_jws(&token).unwrap();
        assert!(receipt.statement().memory);
        let x5t = *receipt.certificate();
        receipt.verify(&x5t, house.identity().signer.public(), &signature).unwrap();
    }
}

/// The other half of the tests below: runs only as their child.
#[test]
fn child_that_appends_until_it_is_stopped() {
    let Some(home) = std::env::var_os("KAKUNIN_TEST_HOME") else { return };
    let home = PathBuf::from(home);
    let house = House::load(&home);
    let words = std::env::var("KAKUNIN_TEST_LEVEL").unwrap_or_else(|_| "write each".to_owned());
    let (level, sealing) = words.split_once(' ').unwrap();
    let options = JournalOptions {
        levels: Levels::parse([("*", level)]).unwrap(),
        sealing: Some(if sealing == "groups" { Sealing::Groups } else { Sealing::Each }),
    };
    let journal = house.journal_as(house.identity(), &home.join("journal"), options);
    let (leash, list, right) = (house.leash(), house.list_use(), request("1.00"));
    let decision = decide(&leash, &right);
    let mut out = std::io::stdout().lock();
    for call in 0.. {
        match journal.decision(&entry(&decision, &right, list, stamp(call))) {
            Ok(recorded) => {
                writeln!(out, "\nack {}", recorded.hash()).unwrap();
                let outcome = journal.outcome(recorded, Outcome::Returned, None, stamp(call));
                if let Ok(hash) = outcome {
                    writeln!(out, "\nack {hash}").unwrap();
                }
            }
            Err(DenialReason::JournalUnsignedBacklog) => {}
            Err(reason) => {
                writeln!(out, "\ndenied {}", reason.code()).unwrap();
                break;
            }
        }
    }
}

pub(crate) fn child(shell: &str, home: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", shell, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["journal::child_that_appends_until_it_is_stopped", "--exact", "--nocapture"])
        .env("KAKUNIN_TEST_HOME", home)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Every hash in the journal.
pub(crate) fn hashes(dir: &Path) -> HashSet<String> {
    let entries = StreamReader::streams(dir).unwrap().into_iter().flatten();
    entries.map(|entry| entry.unwrap().receipt().hash().to_string()).collect()
}

#[test]
fn no_acknowledged_receipt_is_lost_when_the_process_is_killed() {
    kill("write each", 100);
}

#[test]
fn no_synced_and_no_sealed_receipt_is_lost_when_the_process_is_killed() {
    kill("write groups", 20);
    kill("sync each", 10);
}

fn kill(level: &str, rounds: usize) {
    let (house, home) = (house(), tempfile::tempdir().unwrap());
    house.save(home.path());
    let rounds = if std::env::var_os("KAKUNIN_SOAK").is_some() { 10 * rounds } else { rounds };
    let journal = home.path().join("journal");
    let mut acknowledged = Vec::new();
    for round in 0..rounds {
        let mut running = child("exec \"$@\"", home.path()).env("KAKUNIN_TEST_LEVEL", level).spawn().unwrap();
        let mut acks = BufReader::new(running.stdout.take().unwrap()).lines();
        // The moment of death wanders over the write, the signatures and the recovery of the round before.
        for _ in 0..(round * 7) % 40 + 1 {
            for line in acks.by_ref() {
                let line = line.unwrap();
                if let Some(hash) = line.strip_prefix("ack ") {
                    acknowledged.push(hash.to_owned());
                    break;
                }
            }
        }
        running.kill().unwrap();
        running.wait().unwrap();
        for line in acks.map_while(Result::ok) {
            // The last line may be torn: what did not arrive whole was not acknowledged.
            if let Some(hash) = line.strip_prefix("ack ").filter(|hash| hash.len() == 64) {
                acknowledged.push(hash.to_owned());
            }
        }
    }
    let last = house.journal(&journal);
    append(&house, &last, 0);
    last.close(stamp(1)).unwrap();
    let present = hashes(&journal);
    let lost = acknowledged.iter().filter(|hash| !present.contains(*hash)).count();
    assert_eq!(lost, 0, "of {} acknowledged receipts", acknowledged.len());
    assert!(acknowledged.len() >= rounds);
    let report = report(&house, &journal);
    let Verdict::AuthenticNotComplete(reasons) = report.verdict() else { panic!("{:?}", report.verdict()) };
    assert!(!reasons.iter().any(|reason| matches!(reason, Reason::Open { .. } | Reason::Torn { .. })));
    assert_eq!(report.streams().len(), rounds + 1);
}

#[test]
fn a_full_disk_denies_and_loses_nothing_that_was_acknowledged() {
    let (house, home) = (house(), tempfile::tempdir().unwrap());
    house.save(home.path());
    // 64 blocks of 512 bytes; the signal that would kill is ignored, so the write fails as on a full disk.
    let shell = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";
    let output = child(shell, home.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let denied: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("denied ")).collect();
    assert!(matches!(denied[..], ["journal.unavailable" | "journal.poisoned"]), "{denied:?}");
    let journal = home.path().join("journal");
    house.journal(&journal).close(stamp(1)).unwrap();
    let present = hashes(&journal);
    let mut acknowledged = text.lines().filter_map(|line| line.strip_prefix("ack "));
    assert!(acknowledged.all(|hash| present.contains(hash)));
    let report = report(&house, &journal);
    assert!(matches!(report.verdict(), Verdict::AuthenticNotComplete(_)), "{:?}", report.verdict());
}
