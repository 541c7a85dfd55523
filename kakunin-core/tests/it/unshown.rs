//! What a log holds of an agent and a journal does not show: whole streams, and other histories by other keys.

use std::fs;
use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use kakunin_core::certificate::TrustAnchors;
use kakunin_core::id::AgentId;
use kakunin_core::journal::{Archive, StreamReader};
use kakunin_core::verify::{Report, Verdict, Verification};

use crate::bundle::{CHAIN, World, invalid, reasons, verify_journals};
use crate::house::{House, key, stamp};
use crate::segments::forged;

/// Three closed streams of one agent, one of another, everything logged. Gives the names of the three.
fn streams(world: &World) -> Vec<String> {
    let names = [10, 20, 30].map(|at| {
        let journal = world.support.open();
        world.support.pay(&journal, CHAIN, &[], at);
        let name = journal.stream().unwrap().to_string();
        journal.close(stamp(at + 5)).unwrap();
        name
    });
    let bank = world.bank.open();
    bank.close(stamp(91)).unwrap();
    world.support.log();
    world.bank.log();
    names.to_vec()
}

fn judge(world: &World) -> Report {
    verify_journals(world, &[&world.support], &world.terms())
}

#[test]
fn a_stream_that_is_in_the_log_and_not_in_the_journal_is_told() {
    let world = World::new();
    let names = streams(&world);
    assert_eq!(judge(&world).verdict(), Verdict::Complete);
    let elsewhere = world.path("elsewhere");
    for name in &names {
        let folder = world.support.journal.join(name);
        fs::rename(&folder, &elsewhere).unwrap();
        let report = judge(&world);
        assert_eq!(reasons(&report), ["stream.missing"]);
        let Verdict::AuthenticNotComplete([missing]) = report.verdict() else { panic!() };
        assert_eq!(missing.stream().unwrap().to_string(), *name);
        // Without the log nobody knows.
        let roots = Verification::by(&world.anchors);
        assert_eq!(reasons(&verify_alone(&world, &roots)), ["tail.not_witnessed"; 2]);
        // In another journal that is verified with it, it is here.
        let beside = world.path("beside");
        fs::create_dir_all(&beside).unwrap();
        fs::rename(&elsewhere, beside.join(name)).unwrap();
        let both = [world.support.journal.as_path(), beside.as_path()];
        let report = world.terms().journals(&both, vec![world.support.reader()], &mut ()).unwrap();
        assert_eq!(report.verdict(), Verdict::Complete);
        fs::rename(beside.join(name), &folder).unwrap();
    }
    assert_eq!(judge(&world).verdict(), Verdict::Complete);
}

fn verify_alone(world: &World, terms: &Verification<'_>) -> Report {
    terms.journals(&[world.support.journal.as_path()], Vec::new(), &mut ()).unwrap()
}

#[test]
fn what_others_have_in_a_log_is_no_stream_of_ours_that_is_missing() {
    let world = World::new();
    let names = streams(&world);
    let (ours, theirs) = (entries(&world.support.journal), entries(&world.bank.journal));
    fs::rename(world.support.journal.join(&names[0]), world.path("gone")).unwrap();
    // Another log, which holds the bank's streams, and ours with the bank's signatures.
    let input = |entry: &String| entry.rsplit_once('.').unwrap().0.to_owned();
    let signature = theirs[0].rsplit_once('.').unwrap().1;
    let forged: Vec<String> = ours.iter().map(|entry| format!("{}.{signature}", input(entry))).collect();
    let other = World::new();
    for entries in [&theirs, &forged] {
        other.support.append(entries);
        let terms = Verification::by(&world.anchors).logs(&other.keys);
        let logs = vec![other.support.reader()];
        let report = terms.journals(&[world.support.journal.as_path()], logs, &mut ()).unwrap();
        assert_eq!(reasons(&report), ["tail.not_witnessed"; 2]);
    }
}

fn entries(journal: &Path) -> Vec<String> {
    let readers = StreamReader::streams(journal).unwrap();
    readers.into_iter().flat_map(|reader| reader.filter_map(|entry| entry.unwrap().to_log_entry())).collect()
}

/// The agent has a new key. Whoever has the other one writes another history of a stream, and has it logged.
#[test]
fn a_second_history_by_another_key_of_the_agent_is_told_and_takes_nothing() {
    for (is_shown, known) in [(true, true), (false, true), (true, false)] {
        let mut world = World::new();
        let agents = [AgentId::from_random([1; 16]); 2];
        let [ours, theirs] = House::tenants(agents, "billing", "test root", |_| key());
        world.support.house = ours;
        world.anchors = TrustAnchors::new([world.support.house.root.as_slice()]).unwrap();
        let journal = world.support.open();
        world.support.pay(&journal, CHAIN, &[], 10);
        let stream = journal.stream().unwrap();
        journal.close(stamp(90)).unwrap();
        world.support.log();
        world.support.append(&rival(&theirs, &stream.to_string(), is_shown));
        if known {
            Archive::of(&world.support.journal).keep_certificate(&theirs.agent).unwrap();
            Archive::of(&world.support.journal).keep_certificate(&theirs.issuing).unwrap();
        }
        let report = judge(&world);
        let expected: &[&str] = if known { &["stream.contradicted"] } else { &[] };
        assert_eq!(reasons(&report), expected, "{is_shown} {known}");
    }
}

/// An end of the stream `stream` by the key of `house`: of a number that is shown, or behind the end.
fn rival(house: &House, stream: &str, is_shown: bool) -> Vec<String> {
    let elsewhere = tempfile::tempdir().unwrap();
    let journal = house.journal(elsewhere.path());
    journal.close(stamp(80)).unwrap();
    let input = forged(&entries(elsewhere.path()).pop().unwrap(), |says| {
        says["log"] = stream.into();
        says["seq"] = if is_shown { 1 } else { 9 }.into();
    });
    let signature = house.identity().signer.sign(input.as_bytes()).unwrap();
    vec![format!("{input}.{}", Base64UrlUnpadded::encode_string(signature.as_bytes()))]
}

#[test]
fn a_second_history_by_a_key_of_the_stream_stays_invalid() {
    let world = World::new();
    let journal = world.support.open();
    let stream = journal.stream().unwrap().to_string();
    journal.close(stamp(90)).unwrap();
    world.support.log();
    world.support.append(&rival(&world.support.house, &stream, false));
    assert_eq!(invalid(&judge(&world)), "log.equivocation");
}
