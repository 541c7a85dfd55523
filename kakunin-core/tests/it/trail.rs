//! What may be done to a paper trail by somebody who can write it: to a segment of a journal, with right checksums, and
//! by whoever has the agent's key. None of it is COMPLETE, and what is wrong is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kakunin_core::bundle::export;
use kakunin_core::certificate::TrustAnchors;
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::journal::{
    DecisionEntry, Journal, JournalOptions, Recovery, Sealing, StreamReader, recover,
};
use kakunin_core::receipt::{ListUse, Outcome, Stamp};
use kakunin_core::revocation::UnverifiedList;
use kakunin_core::tree;
use kakunin_core::verify::{Report, Verdict, Verification, journal as verify};
use serde_json::json;

use crate::bundle::{CHAIN, Owner, World, invalid, reasons, verify_journals};
use crate::house::{House, decide, entry, key, request, stamp};
use crate::journal::{append, copy, house, report, segment};
use crate::segments::{Segment, Unit, payload};

/// A journal of eight receipts: two allowed calls with their outcomes, two denied, opening and end.
fn eight(house: &House, dir: &Path) -> (PathBuf, Segment) {
    let journal = house.journal(dir);
    append(house, &journal, 1);
    append(house, &journal, 10);
    journal.close(stamp(90)).unwrap();
    drop(journal);
    let path = segment(dir);
    let segment = Segment::read(&path);
    assert_eq!(segment.units.len(), 8);
    segment.write(&path);
    assert_eq!(crate::journal::reasons(house, dir), ["tail.not_witnessed"], "what is written again is whole");
    (path, segment)
}

#[test]
fn every_deletion_exchange_and_insertion_in_a_journal_is_found() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let (path, whole) = eight(&house, dir.path());
    let other = tempfile::tempdir().unwrap();
    let (_, others) = eight(&house, other.path());
    let count = whole.units.len();
    let judge = |units: Vec<Unit>| {
        whole.with(units).write(&path);
        report(&house, dir.path())
    };
    // Every set of receipts taken out. What is left is a beginning, or there is a hole.
    for kept in 0..1_u32 << count {
        let units: Vec<Unit> =
            (0..count).filter(|at| kept & (1 << at) != 0).map(|at| whole.units[at].clone()).collect();
        let (beginning, left) = (whole.units.starts_with(&units), units.len());
        let report = judge(units);
        match report.verdict() {
            Verdict::Empty => assert_eq!(left, 0),
            Verdict::AuthenticNotComplete(reasons) => {
                let told = reasons.iter().any(|reason| reason.code() == "stream.open");
                assert!(beginning && (left == count || told), "{kept:b}");
            }
            Verdict::Invalid(_) => assert!(!beginning, "{kept:b}"),
            other => panic!("{kept:b}: {other:?}"),
        }
    }
    // Every receipt in every other place, and there twice; every receipt of another stream in every place.
    for (from, to) in (0..count).flat_map(|from| (0..=count).map(move |to| (from, to))) {
        let mut twice = whole.units.clone();
        twice.insert(to, whole.units[from].clone());
        let mut strange = whole.units.clone();
        strange.insert(to, others.units[from].clone());
        let mut moved = whole.units.clone();
        let unit = moved.remove(from);
        moved.insert(to.min(moved.len()), unit);
        let same = moved == whole.units;
        for (what, units) in [("twice", twice), ("strange", strange), ("moved", moved)] {
            if what != "moved" || !same {
                let report = judge(units);
                assert!(matches!(report.verdict(), Verdict::Invalid(_)), "{what} {from} {to}");
            }
        }
    }
}

#[test]
fn a_stream_whose_first_write_is_torn_is_told_beside_whole_ones() {
    let world = World::paid([10]);
    let other = world.support.open();
    let stream = other.stream().unwrap();
    other.close(stamp(95)).unwrap();
    world.support.log();
    let judge = || verify_journals(&world, &[&world.support], &world.terms());
    assert_eq!(judge().verdict(), Verdict::Complete);
    let path = world.support.journal.join(stream.to_string()).join("0001.seg");
    let whole = fs::read(&path).unwrap();
    let (_, end, _) = crate::journal::frames(&whole)[1];
    for octets in [whole[..end - 1].to_vec(), vec![0x5a; 64]] {
        fs::write(&path, octets).unwrap();
        let codes = reasons(&judge());
        assert!(codes.contains(&"stream.torn") && codes.contains(&"stream.open"), "{codes:?}");
    }
    // The header alone, nothing at all, and no segment.
    let (_, header, _) = crate::journal::frames(&whole)[0];
    for octets in [Some(header), Some(0), None] {
        match octets {
            Some(end) => fs::write(&path, &whole[..end]).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        assert_eq!(reasons(&judge()), ["tail.not_witnessed", "stream.open"], "{octets:?}");
    }
}

#[test]
fn another_owner_cannot_end_a_stream_by_recovering_it() {
    // Under another root that is trusted too, a certificate with the same agent in it.
    let (other, dir) = (house(), tempfile::tempdir().unwrap());
    let agents = [AgentId::from_random([0x11; 16]); 2];
    let [house, renewed] = House::tenants(agents, "billing", "test root", |_| key());
    let anchors = TrustAnchors::new([house.root.as_slice(), other.root.as_slice()]).unwrap();
    for (thief, found) in [(&renewed, false), (&other, true)] {
        let journal = house.journal(dir.path());
        append(&house, &journal, 1);
        journal.quiesce().unwrap();
        let stream = journal.stream().unwrap();
        drop(journal);
        recover(dir.path(), stream, &thief.identity(), stamp(50)).unwrap();
        drop(thief.journal(&dir.path().join("beside")));
        copy(&dir.path().join("beside/archive"), &dir.path().join("archive"));
        let report = verify(dir.path(), &anchors).unwrap();
        match found {
            false => assert!(reasons(&report).contains(&"stream.recovered")),
            true => assert_eq!(invalid(&report), "receipt.certificate"),
        }
    }
}

#[test]
fn a_copied_directory_that_is_continued_twice_is_found_by_whoever_sees_both() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let (left, right) = (dir.path().join("left"), dir.path().join("right"));
    let journal = house.journal(&left);
    append(&house, &journal, 1);
    journal.quiesce().unwrap();
    let stream = journal.stream().unwrap();
    drop(journal);
    copy(&left, &right);
    for (side, at) in [(&left, 50), (&right, 60)] {
        let recovered = recover(side, stream, &house.identity(), stamp(at)).unwrap();
        assert_eq!(recovered, Recovery::Recovered { cut: 0, unsigned: 0 });
    }
    let anchors = house.anchors();
    let terms = Verification::by(&anchors);
    let judge = |sides: &[&Path]| terms.journals(sides, Vec::new(), &mut ()).unwrap();
    assert_eq!(reasons(&judge(&[&left])), ["tail.not_witnessed", "stream.recovered"]);
    assert_eq!(invalid(&judge(&[&left, &right])), "journal.duplicate_stream");
    // Both are signed by the agent and claim one number: whoever has the two receipts has the proof.
    let last = |side: &Path| StreamReader::open(side, stream).unwrap().map(Result::unwrap).last().unwrap();
    let (one, two) = (last(&left), last(&right));
    assert_eq!(one.receipt().statement().sequence, two.receipt().statement().sequence);
    assert_ne!(one.receipt().hash(), two.receipt().hash());
    let out = dir.path().join("both.zip");
    assert!(export(&[&left, &right], &mut [], None, &out).is_err());
}

#[test]
fn a_rotation_that_is_dropped_moved_or_signed_by_the_new_key_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let agents = [AgentId::from_random([0x11; 16]); 2];
    let [old, new] = House::tenants(agents, "billing", "test root", |_| key());
    let journal = old.journal(dir.path());
    append(&old, &journal, 1);
    journal.rotate(&new.identity(), stamp(15)).unwrap();
    let wrong = request("99999.00");
    let denied = decide(&new.leash(), &wrong);
    let unlisted = DecisionEntry { list: None, ..entry(&denied, &wrong, new.list_use(), stamp(20)) };
    drop(journal.decision(&unlisted).unwrap());
    journal.close(stamp(90)).unwrap();
    let path = dir.path().join(journal.stream().unwrap().to_string()).join("0001.seg");
    let whole = Segment::read(&path);
    let at = whole.units.iter().position(|unit| payload(unit)["ph"] == "ctl").unwrap();
    let anchors = old.anchors();
    let judge = |segment: &Segment| {
        segment.write(&path);
        verify(dir.path(), &anchors).unwrap()
    };
    // The new certificate has another key and another authority; that the old key announced it is enough.
    assert!(!reasons(&judge(&whole)).contains(&"agent.ambiguous"));

    let mut dropped = whole.units.clone();
    dropped.remove(at);
    assert_eq!(invalid(&judge(&whole.with(dropped))), "receipt.sequence");
    for (one, two) in [(at - 1, at), (at, at + 1)] {
        let mut swapped = whole.units.clone();
        swapped.swap(one, two);
        assert_eq!(invalid(&judge(&whole.with(swapped))), "receipt.sequence");
    }
    // With numbers and hashes that agree, as the new key can make them: it is not announced by the old one.
    let mut unannounced = whole.units.clone();
    unannounced.remove(at);
    let renumbered = whole.with(unannounced).signed_again(&new, |says| {
        let sequence = says["seq"].as_u64().unwrap();
        says["seq"] = (sequence - u64::from(sequence > at as u64)).into();
    });
    assert_eq!(invalid(&judge(&renumbered)), "receipt.certificate");
    let mut forged = whole.clone();
    let signature = new.identity().signer.sign(&forged.units[at].signing_input).unwrap();
    forged.units[at].signature = signature.as_bytes().to_vec();
    assert_eq!(invalid(&judge(&forged)), "receipt.signature");
}

#[test]
fn whoever_has_the_agents_key_cannot_change_what_was_logged() {
    let world = World::paid([10, 20]);
    world.see(&world.support, 60);
    let path = segment(&world.support.journal);
    let whole = Segment::read(&path);
    let policy = [world.policy()];
    let witnessed = world.terms().witnesses(&policy);
    let judge = |terms: &Verification<'_>| verify_journals(&world, &[&world.support], terms);
    whole.write(&path);
    assert_eq!(judge(&witnessed).verdict(), Verdict::Complete);
    // The first call was never carried out, says another history, signed throughout.
    let other = whole.signed_again(&world.support.house, |says| {
        if says["seq"] == 2 {
            says["res"] = "not_executed".into();
        }
    });
    assert!(other.units[1] == whole.units[1] && other.units[2] != whole.units[2]);
    other.write(&path);
    // By itself it is as good as the first; in a bundle, the log does not have its end.
    assert_eq!(crate::journal::reasons(&world.support.house, &world.support.journal), ["tail.not_witnessed"]);
    let bundle = world.path("other.zip");
    export(&[&world.support.journal], &mut [world.support.reader()], None, &bundle).unwrap();
    for terms in [&witnessed, &world.terms()] {
        assert_eq!(reasons(&crate::bundle::verify(&bundle, terms)), ["tail.not_witnessed"]);
    }
    // The paths of the true receipts lead nowhere from these.
    let entry = |unit: &Unit| unit.entry().into_bytes();
    let mut reader = world.support.reader();
    let proof = reader.prove(2).unwrap();
    assert_eq!(proof.root(tree::leaf_hash(&entry(&whole.units[2]))), Some(*reader.checkpoint().root()));
    assert_ne!(proof.root(tree::leaf_hash(&entry(&other.units[2]))), Some(*reader.checkpoint().root()));
    // An owner who logs the other history too leaves both in the log, two receipts of one number, for ever; a bundle of
    // the second shows no trace of the first.
    world.support.log();
    let mut reader = world.support.reader();
    let has = |unit: &Unit| (0..reader.size()).any(|index| reader.entry(index).unwrap() == entry(unit));
    assert!(whole.units.iter().chain(&other.units).all(has));
    export(&[&world.support.journal], &mut [world.support.reader()], None, &bundle).unwrap();
    assert_eq!(crate::bundle::verify(&bundle, &world.terms()).verdict(), Verdict::Complete);
    // Who has the log sees that the agent told two stories, whichever of them the journal tells.
    for segment in [&other, &whole] {
        segment.write(&path);
        for terms in [&witnessed, &world.terms(), &Verification::by(&world.anchors)] {
            assert_eq!(invalid(&judge(terms)), "log.equivocation");
        }
    }
}

#[test]
fn a_second_history_hidden_in_the_index_of_the_log_is_found() {
    let world = World::paid([10]);
    let path = segment(&world.support.journal);
    let whole = Segment::read(&path);
    whole.write(&path);
    let other = whole.signed_again(&world.support.house, |says| {
        if says["seq"] == 2 {
            says["res"] = "not_executed".into();
        }
    });
    let entries: Vec<String> = other.units.iter().skip(2).map(Unit::entry).collect();
    world.support.append(&entries);
    let judge = || verify_journals(&world, &[&world.support], &world.terms());
    assert_eq!(invalid(&judge()), "log.equivocation");
    // The index of a log that has something else in the place of the other history.
    let clean = World::new();
    clean.support.append(&whole.units.iter().map(Unit::entry).collect::<Vec<_>>());
    clean.support.append(&vec!["nothing to see".to_owned(); entries.len()]);
    fs::copy(clean.support.log.join("runs"), world.support.log.join("runs")).unwrap();
    assert_eq!(invalid(&judge()), "log.equivocation");
    // Nor does one help that hides everything, or one that names places of its own.
    fs::write(world.support.log.join("runs"), []).unwrap();
    assert_eq!(invalid(&judge()), "log.equivocation");
}

#[test]
fn a_second_history_that_is_sealed_is_found_whichever_is_shown() {
    let world = World::new();
    let (house, options) = (
        &world.support.house,
        JournalOptions { sealing: Some(Sealing::Groups), ..JournalOptions::default() },
    );
    let journal = house.journal_as(house.identity(), &world.support.journal, options);
    world.support.pay(&journal, CHAIN, &[], 10);
    journal.close(stamp(90)).unwrap();
    world.support.log();
    let path = segment(&world.support.journal);
    let (sealed, octets) = (Segment::read_sealed(&path), fs::read(&path).unwrap());
    assert!(sealed.units[1].signature.is_empty());
    let judge = || verify_journals(&world, &[&world.support], &world.terms());
    assert_eq!(judge().verdict(), Verdict::Complete);
    // Another history, without an end: the first seal in the log does not go on from its last receipt.
    let seal = sealed.units.iter().skip(1).position(|unit| !unit.signature.is_empty()).unwrap() + 1;
    let begun = sealed.with(sealed.units.iter().take(seal).cloned().collect());
    let begun = begun.signed_again(house, |says| {
        if says["seq"] != 0 {
            says["ts"] = (says["ts"].as_i64().unwrap() + 1).into();
        }
    });
    begun.write(&path);
    assert_eq!(invalid(&judge()), "log.equivocation");
    // It was opened and closed, says the other history: where it has its end, the first has a receipt without a signature
    // of its own.
    let ends = [sealed.units[0].clone(), sealed.units.last().unwrap().clone()];
    let short = sealed.with(ends.to_vec()).signed_again(house, |says| {
        if says["seq"] != 0 {
            says["seq"] = 1.into();
            let root = tree::root([&b""[..]; 0]).to_base64url();
            says["end"] = json!({ "allow": 0, "chains": 0, "deny": 0, "outcome": 0, "root": root });
        }
    });
    world.support.append(&[short.units[1].entry()]);
    short.write(&path);
    assert_eq!(invalid(&judge()), "log.equivocation");
    fs::write(&path, octets).unwrap();
    assert_eq!(invalid(&judge()), "log.equivocation");
}

#[test]
fn a_copy_that_is_older_than_the_log_tells_no_second_story() {
    let world = World::paid([10]);
    let path = segment(&world.support.journal);
    let whole = Segment::read(&path);
    for length in 1..whole.units.len() {
        let units = whole.units.iter().take(length).cloned().collect();
        whole.with(units).write(&path);
        let told = reasons(&verify_journals(&world, &[&world.support], &world.terms()));
        assert!(told.starts_with(&["tail.not_witnessed", "stream.open"]), "{length}: {told:?}");
    }
}

#[test]
fn what_others_write_into_a_log_under_our_numbers_counts_for_nothing() {
    let world = World::new();
    let journal = world.support.open();
    world.support.pay(&journal, CHAIN, &[], 10);
    journal.close(stamp(90)).unwrap();
    let path = segment(&world.support.journal);
    let whole = Segment::read(&path);
    // Other receipts under these numbers by somebody else's key, without a signature, and no receipts at all.
    let forged = whole.signed_again(&house(), |says| says["ts"] = 1.into());
    let mut entries: Vec<String> = forged.units.iter().map(Unit::entry).collect();
    entries.extend(forged.units.iter().map(|unit| {
        let signing_input = String::from_utf8(unit.signing_input.clone()).unwrap();
        format!("{signing_input}.")
    }));
    // The same behind the end.
    let behind =
        forged.signed_again(&house(), |says| says["seq"] = (says["seq"].as_u64().unwrap() + 10).into());
    entries.extend(behind.units.iter().map(Unit::entry));
    world.support.append(&entries);
    world.support.log();
    world.support.append(&entries);
    let report = verify_journals(&world, &[&world.support], &world.terms());
    assert_eq!(report.verdict(), Verdict::Complete, "{:?}", report.verdict());
}

#[test]
fn two_nodes_are_no_entry_of_a_tree_half_as_long() {
    // A tree of four, and one of two whose entries would be its inner nodes.
    let leaves = [b"a", b"b", b"c", b"d"].map(|leaf| tree::leaf_hash(leaf));
    let (left, right) = (tree::node_hash(&leaves[0], &leaves[1]), tree::node_hash(&leaves[2], &leaves[3]));
    let root = tree::root([&b"a"[..], b"b", b"c", b"d"]);
    assert_eq!(tree::node_hash(&left, &right), root);
    let joined = |one: &Digest, two: &Digest| [&one.as_bytes()[..], two.as_bytes()].concat();
    let inner = [joined(&leaves[0], &leaves[1]), joined(&leaves[2], &leaves[3])];
    assert_ne!(tree::leaf_hash(&inner[0]), left);
    assert_ne!(tree::root(inner.iter().map(Vec::as_slice)), root);
    assert_ne!(tree::leaf_hash(&joined(&left, &right)), root);
}

/// What the support agent claims at `claimed`, about a list of the 25th, seen by a witness a minute after noon of that
/// day.
fn claims(claimed: i64, amount: &str) -> (World, Report) {
    let world = World::new();
    let (day, journal) = (24 * 3600, world.support.open());
    let list = keep(&world.support, &journal, &world.support.house.good_on_25th);
    let asked = request(amount);
    let decision = decide(&world.support.house.leash(), &asked);
    let now = stamp(2 * day * 1000);
    let lied = Stamp { micros: now.micros + claimed * 1_000_000, ..now };
    let mut entry = entry(&decision, &asked, list, lied);
    entry.chain = Some(CHAIN);
    let recorded = journal.decision(&entry).unwrap();
    if decision.denial().is_none() {
        journal.outcome(recorded, Outcome::Returned, None, now).unwrap();
    }
    journal.close(now).unwrap();
    world.support.log();
    world.see(&world.support, 2 * day + 60);
    let policy = [world.policy()];
    let report = verify_journals(&world, &[&world.support], &world.terms().witnesses(&policy));
    (world, report)
}

fn keep(owner: &Owner, journal: &Journal, list: &[u8]) -> ListUse {
    let verified = owner.house.verified();
    let issuer = verified.path().issuing().list_issuer();
    let list = UnverifiedList::decode(list).unwrap().verify(&issuer).unwrap();
    journal.archive_list(list.der(), &list.digest()).unwrap();
    ListUse::of(&list)
}

#[test]
fn a_time_that_is_a_day_off_is_told() {
    let day = 24 * 3600;
    let (right, wrong) = ("125.00", "99999.00");
    for amount in [right, wrong] {
        assert_eq!(claims(0, amount).1.verdict(), Verdict::Complete);
        assert_eq!(claims(30, amount).1.verdict(), Verdict::Complete, "clocks differ");
        assert_eq!(reasons(&claims(day, amount).1), ["time.out_of_bracket"]);
    }
    // Nothing is older than the list it names: an allowance by a list that was not there yet is no allowance.
    assert_eq!(invalid(&claims(-day, right).1), "receipt.list_stale");
    assert_eq!(reasons(&claims(-day, wrong).1), ["time.out_of_bracket"]);
}

/// Not a test: fills the small disk that it is given, and goes on when there is room again.
#[test]
fn child_that_journals_on_a_small_disk() {
    let Some(disk) = std::env::var_os("KAKUNIN_TEST_SMALL_DISK") else { return };
    let disk = PathBuf::from(disk);
    let (house, dir, ballast) = (house(), disk.join("journal"), disk.join("ballast"));
    fs::write(&ballast, [1; 40_000]).unwrap();
    let (leash, list, right) = (house.leash(), house.list_use(), request("1.00"));
    let decision = decide(&leash, &right);
    let journal = house.journal(&dir);
    let (mut acknowledged, mut call) = (Vec::new(), 0);
    let denied = loop {
        call += 1;
        match journal.decision(&entry(&decision, &right, list, stamp(call))) {
            Ok(recorded) => {
                acknowledged.push(recorded.hash().to_string());
                acknowledged.extend(
                    journal
                        .outcome(recorded, Outcome::Returned, None, stamp(call))
                        .map(|hash| hash.to_string()),
                );
            }
            Err(reason) if reason.code() == "journal.unsigned_backlog" => {}
            Err(reason) => break reason.code(),
        }
    };
    assert!(["journal.unavailable", "journal.poisoned"].contains(&denied), "{denied}");
    // Nothing is let through while it is full, nor after there is room: half a frame stays the last.
    for room in [false, true] {
        if room {
            fs::remove_file(&ballast).unwrap();
        }
        assert!(journal.decision(&entry(&decision, &right, list, stamp(call))).is_err());
    }
    drop(journal);
    let next = house.journal(&dir);
    append(&house, &next, call + 10);
    next.close(stamp(call + 20)).unwrap();
    let present = crate::journal::hashes(&dir);
    assert!(!acknowledged.is_empty() && acknowledged.iter().all(|hash| present.contains(hash)));
    let report = report(&house, &dir);
    let Verdict::AuthenticNotComplete(reasons) = report.verdict() else { panic!("{:?}", report.verdict()) };
    assert!(reasons.iter().any(|reason| reason.code() == "stream.recovered"), "{reasons:?}");
    println!("\nheld {}", acknowledged.len());
}

#[test]
fn a_small_disk_that_fills_up_denies_until_the_journal_is_opened_with_room() {
    let disk = tempfile::tempdir().unwrap();
    let mounted = "mount -t tmpfs -o size=192k none \"$0\" && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", mounted])
        .arg(disk.path())
        .arg(std::env::current_exe().unwrap())
        .args(["trail::child_that_journals_on_a_small_disk", "--exact", "--nocapture"])
        .env("KAKUNIN_TEST_SMALL_DISK", disk.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if err.contains("unshare: ") || err.contains("mount: ") {
        println!("skipped: no small disk can be mounted here: {err}");
        return;
    }
    assert!(out.contains("\nheld "), "{out}{err}");
}

#[test]
fn a_journal_that_was_taken_over_by_another_agent_is_told() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let (path, whole) = eight(&house, dir.path());
    let thief = House::build(AgentId::from_random([0x33; 16]));
    // Under another key in the name of this certificate, and in the name of another agent.
    whole.signed_again(&thief, |says| says["mono"] = "00:1".into()).write(&path);
    assert!(matches!(report(&house, dir.path()).verdict(), Verdict::Invalid(_)));
    let renamed =
        whole.signed_again(&house, |says| says["sub"] = AgentId::from_random([0x33; 16]).to_urn().into());
    renamed.write(&path);
    assert_eq!(crate::journal::invalid(&house, dir.path()), "receipt.subject");
}

/// However many values lie in front of a receipt, what is held of them is bounded, and they are refused.
#[test]
fn values_without_end_in_front_of_a_receipt_are_refused_and_not_held() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let (path, _) = eight(&house, dir.path());
    let bytes = fs::read(&path).unwrap();
    let (start, end, _) = crate::journal::frames(&bytes).into_iter().find(|frame| frame.2 == 3).unwrap();
    let many = [&bytes[..start], &bytes[start..end].repeat(1000), &bytes[end..]].concat();
    fs::write(&path, many).unwrap();
    let entries = StreamReader::streams(dir.path()).unwrap().into_iter().flatten();
    let most = entries.map(|entry| entry.unwrap().disclosures().len()).max();
    assert_eq!(most, Some(16));
    assert_eq!(invalid(&report(&house, dir.path())), "journal.disclosure");
}
