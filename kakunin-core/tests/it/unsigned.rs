//! Receipts that nobody signed: anybody who can write the file has put them there. They are told and count nowhere: they end
//! no call, fill no gap, close nothing, name no log, are nobody's, and nobody follows from them.

use std::fs;
use std::path::{Path, PathBuf};

use kakunin_core::bundle::export;
use kakunin_core::journal::{Journal, JournalOptions, Recovery, Sealing, recover};
use kakunin_core::report::{Inquiry, Told};
use kakunin_core::scope::NameLists;
use kakunin_core::tree;
use kakunin_core::verify::{Reason, Verdict};
use serde_json::{Value, json};

use crate::bundle::{CHAIN, OTHER, World, invalid, reasons, verify_journals};
use crate::bundle_faults::Pieces;
use crate::house::{House, decide, entry, request, stamp};
use crate::journal::{SIGNATURE, append, frames, house, segment};
use crate::segments::{Segment, Unit, payload, says};

/// A journal whose last call was allowed and has no outcome; its process is gone.
fn pending(house: &House, dir: &Path) -> (Journal, Segment) {
    let journal = house.journal(dir);
    append(house, &journal, 1);
    let asked = request("1.00");
    let allowed = decide(&house.leash(), &asked);
    drop(journal.decision(&entry(&allowed, &asked, house.list_use(), stamp(5))).unwrap());
    journal.quiesce().unwrap();
    (journal, Segment::read(&segment(dir)))
}

/// The segment with an outcome of its last decision behind it that nobody signed.
fn ended(segment: &Segment) -> Segment {
    let mut units = segment.units.clone();
    let (last, outcome) = (units.last().unwrap().clone(), units.iter().find(|it| phase(it) == "outcome"));
    let forged = outcome.unwrap().forged(|says| {
        says["seq"] = units.len().into();
        says["prev"] = last.name().into();
        says["par"] = json!([last.name()]);
    });
    units.push(forged);
    segment.with(units)
}

fn phase(unit: &Unit) -> String {
    payload(unit)["ph"].as_str().unwrap().to_owned()
}

/// A stream without the signatures of its receipts from `from` on.
fn strip(path: &Path, from: usize) {
    let mut segment = Segment::read(path);
    segment.units.iter_mut().skip(from).for_each(|unit| unit.signature.clear());
    segment.write(path);
}

#[test]
fn an_outcome_that_nobody_signed_ends_no_call() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let (journal, whole) = pending(&house, dir.path());
    let (stream, path) = (journal.stream().unwrap(), segment(dir.path()));
    drop(journal);
    let codes = || crate::journal::reasons(&house, dir.path());
    assert_eq!(codes(), ["tail.not_witnessed", "stream.open", "outcome.missing"]);
    ended(&whole).write(&path);
    assert_eq!(codes(), ["tail.not_witnessed", "stream.open", "receipt.unsigned", "outcome.missing"]);
    let account = Inquiry::by(house.anchors()).of(dir.path(), &[], &mut ()).unwrap();
    let record = account.to_record(Told::Always);
    let missing = &record["reasons"][3];
    assert_eq!(
        (missing["code"].as_str(), missing["indices"][0].as_u64()),
        (Some("outcome.missing"), Some(4))
    );
    let proofs: Vec<&str> =
        record["timeline"].as_array().unwrap().iter().map(|step| step["proof"].as_str().unwrap()).collect();
    assert_eq!(proofs, ["signed", "signed", "signed", "signed", "signed", "unsigned"]);
    // The page draws one call that ended, and does not say that the other did.
    let page = account.to_page();
    assert_eq!((page.matches("bar ends").count(), page.matches(">ends ").count()), (1, 1));
    assert_eq!(page.matches("<b>returned</b>, see ").count(), 1);
    assert!(page.contains("prove nothing") && !page.contains("Every receipt here is genuine"));
    // The next opening finds it and signs for what it found, and for none of what it says.
    let recovered = recover(dir.path(), stream, &house.identity(), stamp(50)).unwrap();
    assert_eq!(recovered, Recovery::Recovered { cut: 0, unsigned: 1 });
    assert_eq!(codes(), ["tail.not_witnessed", "stream.recovered", "receipt.unsigned", "outcome.missing"]);
    // An outcome of the agent's own whose signature is gone ends nothing either.
    let mut stripped = whole;
    stripped.units.truncate(3);
    stripped.units.last_mut().unwrap().signature.clear();
    stripped.write(&path);
    assert_eq!(codes(), ["tail.not_witnessed", "stream.open", "receipt.unsigned", "outcome.missing"]);
}

#[test]
fn an_outcome_under_a_seal_that_nobody_signed_ends_no_call() {
    let world = World::new();
    let options = JournalOptions { sealing: Some(Sealing::Groups), ..JournalOptions::default() };
    let house = &world.support.house;
    let journal = house.journal_as(house.identity(), &world.support.journal, options);
    world.support.pay(&journal, CHAIN, &[], 10);
    journal.close(stamp(90)).unwrap();
    world.support.log();
    let out = world.path("sealed.zip");
    export(&[&world.support.journal], &mut [world.support.reader()], Some(CHAIN), &out).unwrap();
    let path = segment(&world.support.journal);
    let mut sealed = Segment::read_sealed(&path);
    let seal = sealed.units.iter().position(|unit| payload(unit)["ctl"]["kind"] == "seal").unwrap();
    sealed.units[seal].signature.clear();
    sealed.write(&path);
    let report = verify_journals(&world, &[&world.support], &world.terms());
    assert_eq!(reasons(&report), ["receipt.unsigned", "outcome.missing"]);
    assert_eq!((report.streams()[0].unsigned, report.streams()[0].allowed), (3, 0));
    let pieces = Pieces::of(&out);
    let line = pieces.text("receipts.jws").lines().position(|line| says(line)["ctl"]["kind"] == "seal");
    assert_eq!(invalid(&pieces.forged(line.unwrap(), |_| ()).judge(&world)), "receipt.seal");
}

/// A bundle of one chain: two calls of it with one of another chain between. Open, two receipts, a gap, two receipts, a gap,
/// the end.
fn one_chain() -> (World, Pieces) {
    let world = World::new();
    let journal = world.support.open();
    for (chain, millis) in [(CHAIN, 10), (OTHER, 20), (CHAIN, 30), (OTHER, 40)] {
        world.support.pay(&journal, chain, &[], millis);
    }
    journal.close(stamp(90)).unwrap();
    world.support.log();
    let out = world.path("chain.zip");
    export(&[&world.support.journal], &mut [world.support.reader()], Some(CHAIN), &out).unwrap();
    let pieces = Pieces::of(&out);
    assert_eq!(pieces.judge(&world).verdict(), Verdict::Complete);
    (world, pieces)
}

#[test]
fn a_receipt_that_nobody_signed_fills_no_gap_in_a_chain() {
    let (world, pieces) = one_chain();
    // In front of a gap nothing binds the next receipt to it: what was there may be replaced by what somebody made up.
    for line in [2, 4] {
        let forged = pieces.clone().forged(line, |says| says["res"] = "not_executed".into());
        assert_eq!(invalid(&forged.judge(&world)), "receipt.chain", "{line}");
    }
}

#[test]
fn a_close_that_nobody_signed_ends_no_chain() {
    let (world, pieces) = one_chain();
    // The second call is cut off, and an end is made up that counts the first alone.
    let root = tree::root([format!("{CHAIN} 1").as_bytes()]).to_base64url();
    let stream = pieces.text("totals").split(' ').next().unwrap().to_owned();
    let forged = pieces
        .without(&[3, 4])
        .forged(3, |says| {
            says["end"] = json!({ "allow": 1, "chains": 1, "deny": 0, "outcome": 1, "root": root });
        })
        .put("totals", format!("{stream} 1 0 1\n"))
        .listed();
    let told = reasons(&forged.judge(&world));
    assert_eq!(told, ["tail.not_witnessed", "chain.length_unproven", "stream.open", "receipt.unsigned"]);
}

#[test]
fn an_opening_that_nobody_signed_makes_no_log_somebody_elses() {
    let (world, pieces) = one_chain();
    // Which log is the agent's own, the opening says; this one may be it.
    let forged = pieces.forged(0, |_| ());
    assert_eq!(reasons(&forged.judge(&world)), ["tail.not_witnessed", "receipt.unsigned"]);
    world.see(&world.support, 60);
    export(&[&world.support.journal], &mut [world.support.reader()], Some(CHAIN), &world.path("seen.zip"))
        .unwrap();
    let seen = Pieces::of(&world.path("seen.zip")).forged(0, |_| ());
    fs::write(world.path("forged.zip"), seen.zip()).unwrap();
    let policy = [world.policy()];
    let terms = world.terms().witnesses(&policy);
    assert_eq!(reasons(&crate::bundle::verify(&world.path("forged.zip"), &terms)), ["receipt.unsigned"]);
}

/// A call of the support agent that says that it follows from one of the bank's, whose receipts nobody signed.
fn made_up_caller() -> (World, PathBuf) {
    let world = World::new();
    let (support, bank) = (world.support.open(), world.bank.open());
    let caller = world.bank.pay(&bank, CHAIN, &[], 10);
    world.support.pay(&support, CHAIN, &[caller], 20);
    support.close(stamp(90)).unwrap();
    bank.close(stamp(91)).unwrap();
    world.support.log();
    let path = segment(&world.bank.journal);
    strip(&path, 0);
    (world, path)
}

#[test]
fn nobody_follows_from_what_nobody_signed() {
    let (world, _) = made_up_caller();
    let report = verify_journals(&world, &world.owners(), &world.terms());
    let mut told = reasons(&report);
    told.sort_unstable();
    let expected =
        ["outcome.missing", "parent.missing", "receipt.unsigned", "stream.open", "tail.not_witnessed"];
    assert_eq!(told, expected);
    let bank = world.bank.house.identity().agent;
    assert!(report.streams().iter().all(|stream| stream.agent != Some(bank)));
    let account = Inquiry::by(world.anchors.clone())
        .of(&world.support.journal, std::slice::from_ref(&world.bank.journal), &mut ())
        .unwrap();
    let page = account.to_page();
    assert!(page.contains(", which nobody signed") && page.contains("<b>1</b> agent<"), "{page}");
    assert!(!page.contains("class=\"edge ") && !page.contains("class=\"from\""));
}

#[test]
fn where_nobody_signed_anything_there_is_nothing() {
    let (world, _) = made_up_caller();
    let report = verify_journals(&world, &[&world.bank], &world.terms());
    assert_eq!(report.verdict(), Verdict::Empty);
    let [stream] = report.streams() else { panic!() };
    assert_eq!((stream.agent, stream.root, stream.certificate, stream.claimed), (None, None, None, None));
    assert!(report.reasons().iter().any(|reason| matches!(reason, Reason::Unsigned { .. })));
    let account = Inquiry::by(world.anchors.clone()).of(&world.bank.journal, &[], &mut ()).unwrap();
    let record = account.to_record(Told::Always);
    assert_eq!((record["verdict"].as_str(), record["exit_code"].as_u64()), (Some("EMPTY"), Some(3)));
    let told: Vec<&Value> = record["reasons"].as_array().unwrap().iter().map(|it| &it["code"]).collect();
    assert!(told.contains(&&json!("receipt.unsigned")), "{told:?}");
    let page = account.to_page();
    assert!(page.contains("<h1>EMPTY</h1>") && page.contains("<b>0</b> agents"), "{page}");
    assert!(page.contains("receipt.unsigned") && !page.contains("<li class=\"row l0 allow"));
}

#[test]
fn a_recovery_that_was_killed_at_its_signature_says_nothing() {
    let (house, dir) = (house(), tempfile::tempdir().unwrap());
    let (journal, _) = pending(&house, dir.path());
    let stream = journal.stream().unwrap();
    drop(journal);
    recover(dir.path(), stream, &house.identity(), stamp(50)).unwrap();
    // The note is there and its signature is not; so it was left, and the next opening recovers once more.
    let (path, codes) = (segment(dir.path()), || crate::journal::reasons(&house, dir.path()));
    let bytes = fs::read(&path).unwrap();
    let (signature, ..) =
        frames(&bytes).into_iter().filter(|frame| frame.2 == SIGNATURE).nth_back(1).unwrap();
    fs::write(&path, &bytes[..signature]).unwrap();
    fs::remove_file(path.with_file_name("closed")).unwrap();
    let open = ["tail.not_witnessed", "stream.open", "receipt.unsigned", "outcome.missing"];
    assert_eq!(codes(), open, "nobody says that it was recovered");
    let recovered = recover(dir.path(), stream, &house.identity(), stamp(60)).unwrap();
    assert_eq!(recovered, Recovery::Recovered { cut: 0, unsigned: 1 });
    let closed = ["tail.not_witnessed", "stream.recovered", "receipt.unsigned", "outcome.missing"];
    assert_eq!(codes(), closed);
}

#[test]
fn what_nobody_signed_is_in_no_count() {
    let world = World::new();
    let journal = world.support.open();
    world.support.pay(&journal, CHAIN, &[], 10);
    world.support.pay(&journal, CHAIN, &[], 3_600_000);
    journal.quiesce().unwrap();
    drop(journal);
    let names = NameLists::default();
    let judge = || verify_journals(&world, &[&world.support], &world.terms().replay(&names));
    let whole = judge();
    assert_eq!((whole.replay().unwrap().same, whole.values().disclosed), (2, 6));
    strip(&segment(&world.support.journal), 3);
    let report = judge();
    let [stream] = report.streams() else { panic!() };
    assert_eq!((stream.receipts, stream.unsigned, stream.allowed, stream.outcomes), (5, 2, 1, 1));
    let replay = report.replay().unwrap();
    assert_eq!((replay.same, replay.open, report.values().disclosed), (1, 0, 3));
    let (from, to) = stream.claimed.unwrap();
    assert!(to.seconds() - from.seconds() < 60);
}

#[test]
fn what_nobody_signed_puts_nothing_in_order() {
    // Whoever names the end of another stream is told after all of it: by a signed receipt, and by no other.
    let world = World::new();
    let journals = world.owners().map(|owner| {
        let journal = owner.open();
        owner.pay(&journal, CHAIN, &[], 10);
        journal.quiesce().unwrap();
        journal.stream().unwrap()
    });
    let mut both: Vec<_> = journals.into_iter().zip(world.owners()).collect();
    both.sort_by_key(|(stream, _)| *stream);
    let [(first, one), (_, other)] = both.as_slice() else { panic!() };
    let end = Segment::read(&segment(&other.journal)).units.last().unwrap().name();
    let path = segment(&one.journal);
    let mut whole = Segment::read(&path);
    let (last, outcome) = (whole.units.last().unwrap().name(), whole.units[1].clone());
    whole.units.push(outcome.forged(|says| {
        says["seq"] = 3.into();
        says["prev"] = last.into();
        says["cn"] = 2.into();
        says["par"] = json!([end]);
    }));
    let told = |segment: &Segment| {
        segment.write(&path);
        let inquiry = Inquiry::by(world.anchors.clone());
        let account = inquiry.of(&one.journal, std::slice::from_ref(&other.journal), &mut ()).unwrap();
        account.steps().iter().map(|step| step.statement.stream == *first).collect::<Vec<_>>()
    };
    assert_eq!(told(&whole), [true, true, true, true, false, false, false]);
    let signature = one.house.identity().signer.sign(&whole.units[3].signing_input).unwrap();
    whole.units[3].signature = signature.as_bytes().to_vec();
    assert_eq!(told(&whole), [true, true, true, false, false, false, true]);
}
