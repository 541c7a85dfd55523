//! Receipts in numbers: sealed, durable, verified, stored, proven from a long log, opened cold. Each beside what it cannot
//! do without, in the same process and the same moment.
//!
//! * A journal stores the signing input as it was signed, base64url and header, since nothing signed is ever serialised
//!   again. So an octet of payload takes four thirds, and the bound of 1.05 x (payload + 64), which counts a raw payload and a
//!   signature, cannot be met: the row says by how much.
//! * A decision commits to its values: three salts and three hashes more than the serialised payload of the floor, and its
//!   own hash, by which outcomes name it, beside the leaf. With base64url that is twice what the bound of 1.4 was measured
//!   for, which is a receipt of the same length without values.
//! * Of a receipt in a bundle three quarters are the signature, at 39 µs a bare check. The rest is reading (a line of the
//!   receipt, of its values and of its path, 5 µs), understanding (base64 and one spelling of the payload, 4 µs) and five
//!   hashes over a thousand octets (name, leaf, twice the member, the signature's own, 3 µs). The bound of 0.9 allows 4 µs
//!   for all of it; the second hash of the member, and with it the certainty that the file did not change, would not be
//!   enough. `perf record` on `kakunin verify` of a sample shows it.
//! * Who calls at level `sync` waits for the sync after the one that is under way, so of all who call at once half are in
//!   each sync. The floor writes as many receipts as that half and syncs. Every caller is a thread that sleeps and is woken
//!   once: 32 threads that do nothing but that take 130 µs on two virtual cores, and 32 receipts are made one after another
//!   in 85 µs. A disk that syncs in 0.2 ms is not slower than both; one that takes a millisecond is, and is what is waited for.

use std::fs::{self, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use kakunin_core::bundle::Bundle;
use kakunin_core::certificate::TrustAnchors;
use kakunin_core::journal::{Journal, JournalOptions, Sealing, StreamReader, locate, recover};
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::level::Levels;
use kakunin_core::log::{Log, LogKey, LogReader, VerifierKey};
use kakunin_core::receipt::Control;
use kakunin_core::tree;
use kakunin_core::verify::{Verdict, Verification};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::agent::BenchAgent;
use crate::harness::{Subject, interleave};
use crate::receipts::{Appender, FloorJournal, identity, stamp};
use crate::{Outcome, sample, table};

/// Receipts that share a signature, made in memory.
pub(crate) fn sealed(agent: &BenchAgent) -> Outcome<()> {
    let options = JournalOptions { sealing: Some(Sealing::Groups), ..JournalOptions::default() };
    let appender = Appender::open_with(agent, None, options)?;
    let mut floor = FloorJournal::open(agent)?;
    let entry = example(agent)?;
    let group: Vec<&[u8]> = vec![entry.as_bytes(); 256];
    let rounds = interleave(
        101,
        &mut [
            Subject::of_process(
                1024,
                || floor.serialise().is_ok(),
                || (0..4).map(|_| tree::root(group.iter().copied())).collect::<Vec<_>>(),
            ),
            Subject::of_process(1024, || appender.append().is_ok(), || appender.journal.quiesce().is_ok()),
        ],
        || {},
    );
    let floor = ("serialise, leaf and tree", rounds.nanos(0));
    table::ratio("a receipt under a seal of 256", rounds.nanos(1), floor, rounds.ratio(1, 0), Some(1.4));
    Ok(())
}

/// An entry of a log, as long as others.
fn example(agent: &BenchAgent) -> Outcome<String> {
    Appender::open(agent, Some("entry"))?.journal.close(stamp())?;
    let mut streams = StreamReader::streams(&agent.place("entry"))?;
    let decision = streams.first_mut().and_then(|stream| stream.nth(1)).ok_or("there is no decision")??;
    Ok(decision.to_log_entry().ok_or("the decision is not signed")?)
}

/// Many callers who wait for the disk, beside the disk.
pub(crate) fn durable(agent: &BenchAgent) -> Outcome<()> {
    let levels = Levels::parse([("payments:*", "sync")])?;
    // What a signature costs is another row.
    let options = JournalOptions { levels, sealing: Some(Sealing::Groups) };
    let appender = Appender::open_with(agent, Some("durable"), options)?;
    let group = vec![0x5a_u8; CALLERS / 2 * 1_400];
    let file = OpenOptions::new().create(true).append(true).open(agent.place("raw"))?;
    let raw = || (&file).write_all(&group).and_then(|()| file.sync_data()).is_ok();
    let all = || {
        thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| (0..EACH).filter(|_| appender.append().is_ok()).count());
            }
        });
    };
    let rounds = interleave(9, &mut [Subject::of_wall(2 * EACH, raw), Subject::of_wall(1, all)], || {});
    // Nanoseconds of a group.
    let ours = rounds.nanos(1) / f64::from(2 * EACH);
    let ratio = rounds.over(|nanos| nanos(1) / f64::from(2 * EACH) / nanos(0));
    let what = "64 callers at `sync`, for each 32 receipts";
    table::ratio(what, ours, ("write and fdatasync of 32", rounds.nanos(0)), ratio, Some(1.11));
    appender.journal.close(stamp())?;
    Ok(())
}

/// A bundle: how long it takes, how large it is, how much memory it takes.
pub(crate) fn verified(agent: &BenchAgent) -> Outcome<()> {
    let few = agent.place("few");
    let octets = sample::make(&few, FEW, Sealing::Each, agent.now)?;
    let terms = Terms::of(&few)?;
    let bundle = few.join("incident.zip");
    terms.verify(&bundle)?;

    let signer = Signer::soft(SoftKey::from_pkcs8(&agent.pkcs8()?)?);
    let entry = example(agent)?;
    let message = entry.rsplit_once('.').map_or("", |(message, _)| message).as_bytes();
    let signature = *signer.sign(message)?.as_bytes();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, signer.public().raw());
    if key.verify(message, &signature).is_err() {
        return Err("ring does not verify our signature".into());
    }
    let cores = thread::available_parallelism()?.get();
    let bare = || {
        thread::scope(|scope| {
            for core in 0..cores {
                let share = (FEW as usize + core) / cores;
                scope.spawn(move || (0..share).filter(|_| key.verify(message, &signature).is_ok()).count());
            }
        });
    };
    let rounds = interleave(
        11,
        &mut [
            Subject::of_wall(1, bare),
            Subject::of_wall(1, || terms.verify(&bundle).is_ok()),
            Subject::of_process(1, bare, || {}),
            Subject::of_process(1, || terms.verify(&bundle).is_ok(), || {}),
        ],
        || {},
    );
    let each = |subject: usize| rounds.nanos(subject) / FEW as f64;
    let floor = ("bare ring verify, on all cores", each(0));
    let what = "a receipt of a bundle, verified on all cores, wall clock";
    table::ratio(what, each(1), floor, rounds.ratio(1, 0), Some(1.11));
    let floor = ("bare ring verify", each(2));
    table::ratio("… processor time", each(3), floor, rounds.ratio(3, 2), None);

    stored(&few, octets)?;
    let many = agent.place("many");
    sample::make(&many, MANY, Sealing::Each, agent.now)?;
    let peaks = (peak_of(&many)?, peak_of(&few)?);
    let what = format!("memory to verify a bundle of {MANY}");
    // 65,536 names of receipts that went by last are 7 of them; from there on it is flat.
    table::size(&what, peaks, "MB", &format!("of {FEW}"), 32.0);
    for place in [few, many] {
        fs::remove_dir_all(place)?;
    }
    Ok(())
}

/// Octets of receipts on the disk and as tokens. Disclosed values are the caller's and not counted.
fn stored(folder: &Path, tokens: u64) -> Outcome<()> {
    let journal = locate(&folder.join("agent")).ok_or("there is no journal")?;
    let (mut payloads, mut receipts, mut disclosed) = (0_u64, 0_u64, 0_u64);
    for stream in StreamReader::streams(&journal)? {
        for entry in stream {
            let entry = entry?;
            let payload = entry.receipt().signing_input().split(|octet| *octet == b'.').nth(1);
            payloads += payload.map_or(0, |text| text.len() as u64 * 3 / 4);
            receipts += 1;
            // A frame has nine octets beside its content.
            disclosed += entry.disclosures().iter().map(|it| it.as_str().len() as u64 + 9).sum::<u64>();
        }
    }
    let segments: u64 = fs::read_dir(&journal)?
        .flatten()
        .filter_map(|stream| fs::read_dir(stream.path()).ok())
        .flat_map(|segments| segments.flatten())
        .filter(|file| file.path().extension().is_some_and(|kind| kind == "seg"))
        .filter_map(|file| Some(file.metadata().ok()?.len()))
        .sum();
    let each = |octets: u64| octets as f64 / receipts as f64;
    let bound = (each(segments - disclosed), each(payloads) + 64.0);
    table::sizes("a receipt in the journal", bound, "payload + 64", 1.05);
    let bound = (each(tokens), 1.45 * each(payloads) + 220.0);
    table::sizes("… as a token", bound, "1.45 x payload + 220", 1.0);
    Ok(())
}

/// What a stranger believes.
struct Terms {
    anchors: TrustAnchors,
    keys: Vec<VerifierKey>,
}

impl Terms {
    fn of(folder: &Path) -> Outcome<Self> {
        let root = CertificateDer::from_pem_slice(&fs::read(folder.join("ca.pem"))?)?;
        let key = VerifierKey::parse(&fs::read_to_string(folder.join("log.key"))?)?;
        Ok(Self { anchors: TrustAnchors::new([root.as_ref()])?, keys: vec![key] })
    }

    fn verify(&self, bundle: &Path) -> Outcome<()> {
        let terms = Verification::by(&self.anchors).logs(&self.keys);
        let report = Bundle::open(bundle)?.verify(&terms, &mut ())?;
        match report.verdict() {
            Verdict::Complete => Ok(()),
            other => Err(format!("the bundle is {}", other.word()).into()),
        }
    }
}

/// Verifies the bundle in `folder` and prints the most memory this process had, in kB.
pub(crate) fn peak(folder: &Path) -> Outcome<()> {
    Terms::of(folder)?.verify(&folder.join("incident.zip"))?;
    let status = fs::read_to_string("/proc/self/status")?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    println!("{}", most.trim().trim_end_matches(" kB"));
    Ok(())
}

/// The same in a process of its own, in MB.
fn peak_of(folder: &Path) -> Outcome<f64> {
    let output = Command::new(std::env::current_exe()?).arg("peak").arg(folder).output()?;
    let text = String::from_utf8(output.stdout)?;
    let kilobytes: f64 = text.trim().parse().map_err(|_| format!("`{text}` is no size"))?;
    Ok(kilobytes / 1024.0)
}

/// A log of a million entries: what opening it reads, and what a proof does.
pub(crate) fn long_log(agent: &BenchAgent) -> Outcome<()> {
    let mut opened = Vec::new();
    for (name, size) in [("short-log", 10_000_u64), ("long-log", 1_000_000)] {
        let (key, _) = SoftKey::generate(Algorithm::Ed25519)?;
        let key = LogKey::new("bench.example/long", Signer::soft(key))?;
        let (folder, verifier) = (agent.place(name), key.verifier().clone());
        let mut log = Log::create(&folder, key)?;
        for from in (0..size).step_by(16_384) {
            let batch = from..(from + 16_384).min(size);
            log.append(&batch.map(|entry| format!("entry {entry} of a log")).collect::<Vec<_>>())?;
        }
        drop(log);
        let before = octets_read()?;
        let mut reader = LogReader::open(&folder, &verifier)?;
        opened.push(octets_read()? - before);
        if size > 10_000 {
            let edge = reader.reads();
            let started = Instant::now();
            let proof = reader.prove(size / 3)?;
            let entry = tree::leaf_hash(reader.entry(size / 3)?);
            let nanos = started.elapsed().as_nanos() as f64;
            if proof.root(entry) != Some(*reader.checkpoint().root()) {
                return Err("the proof does not lead to the root".into());
            }
            let reads = reader.reads();
            table::count("a proof from a log of 1,000,000: tiles read", reads.tiles - edge.tiles, 3);
            table::count("… bundles of entries read", reads.bundles, 1);
            table::row("… time", &table::Nanos(nanos), &"", &"", &"");
        }
        fs::remove_dir_all(folder)?;
    }
    // At most one partial tile of 8 KiB for each of three levels.
    cold("read to open a log of 1,000,000", &opened, ("of 10,000", 25.0))
}

/// A journal of a million receipts that was left behind: what closing it reads.
pub(crate) fn long_journal(agent: &BenchAgent) -> Outcome<()> {
    let mut opened = Vec::new();
    let options = || JournalOptions { sealing: Some(Sealing::Groups), ..JournalOptions::default() };
    for (name, receipts) in [("short-journal", 100_000_u32), ("long-journal", 1_000_000)] {
        let folder = agent.place(name);
        let journal = Journal::open_with(&folder, identity(agent)?, stamp(), options())?;
        for _ in 0..receipts {
            let note = Control::Clock { forward: true, millis: 7 };
            journal.control(note, stamp()).map_err(|reason| reason.code())?;
        }
        let stream = journal.stream().ok_or("there is no stream")?;
        drop(journal);
        let before = octets_read()?;
        black_box(recover(&folder, stream, &identity(agent)?, stamp())?);
        opened.push(octets_read()? - before);
        fs::remove_dir_all(folder)?;
    }
    // A segment has 64 MiB; the shorter journal is one.
    cold("read to take up a journal of 1,000,000", &opened, ("of 100,000", 65_600.0))
}

fn cold(what: &str, opened: &[u64], (of, hold): (&str, f64)) -> Outcome<()> {
    let [short, long] = opened else { return Err("two were to be opened".into()) };
    let kib = |octets: &u64| *octets as f64 / 1024.0;
    table::size(what, (kib(long), kib(short)), "KiB", of, hold);
    Ok(())
}

/// What this process has read from files so far.
fn octets_read() -> Outcome<u64> {
    let counts = fs::read_to_string("/proc/self/io")?;
    let count = counts.lines().find_map(|line| line.strip_prefix("rchar: ")).ok_or("no rchar")?;
    Ok(count.trim().parse()?)
}

const CALLERS: usize = 64;
/// Calls of each caller in a round.
const EACH: u32 = 32;
const FEW: u64 = 4_000;
const MANY: u64 = 80_000;
