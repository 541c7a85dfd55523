//! A disk for tests: it fails on command, and knows what the loss of power would leave of what was written to it.
//!
//! The model is the one that file systems promise and no more: what `fdatasync` returned for is there; every other write
//! is there or not, in any order, as zeros if something behind it is there; a name whose folder was not synced may be
//! missing. The tests below try it on a journal with every level.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::sink::{Disk, Files, Medium};
use crate::receipt::ReceiptHash;

/// What happened to the disk, in order.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    /// Everything that was written to the file before the sync began is on the disk.
    Synced(PathBuf, usize),
    Named(PathBuf),
    /// The stream has its name, and may have it after the loss of power.
    Published,
    /// A test was told that a receipt is on the disk.
    Promised(ReceiptHash),
}

/// The commands, and what was seen.
#[derive(Default)]
pub(super) struct Faults {
    ops: Mutex<Vec<Op>>,
    pub(super) fail_sync: AtomicBool,
    pub(super) fail_write: AtomicBool,
    /// No file can be made: no descriptors are left, or no inodes.
    pub(super) fail_create: AtomicBool,
    pub(super) syncs: AtomicUsize,
    segment_size: Option<u64>,
    gate: (Mutex<bool>, Condvar),
}

impl Faults {
    pub(super) fn with_segments_of(size: u64) -> Arc<Self> {
        Arc::new(Self { segment_size: Some(size), ..Self::default() })
    }

    pub(super) fn promise(&self, receipt: ReceiptHash) {
        self.note(Op::Promised(receipt));
    }

    pub(super) fn ops(&self) -> Vec<Op> {
        self.ops.lock().unwrap().clone()
    }

    /// Syncs wait from now on, or go on.
    pub(super) fn hold_syncs(&self, hold: bool) {
        *self.gate.0.lock().unwrap() = hold;
        self.gate.1.notify_all();
    }

    fn note(&self, op: Op) {
        self.ops.lock().unwrap().push(op);
    }

    fn writes_to(&self, path: &Path) -> usize {
        let ops = self.ops.lock().unwrap();
        ops.iter().filter(|op| matches!(op, Op::Write(file, _) if file == path)).count()
    }
}

/// A disk with faults over the one of the machine.
pub(super) struct FaultyDisk(pub(super) Arc<Faults>);

struct FaultyFile {
    path: PathBuf,
    file: Arc<dyn Medium>,
    faults: Arc<Faults>,
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Medium>> {
        if self.0.fail_create.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(24));
        }
        let file = Files.create(path)?;
        let path = named(path);
        self.0.note(Op::Create(path.clone()));
        Ok(Arc::new(FaultyFile { path, file, faults: Arc::clone(&self.0) }))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Files.sync_folder(folder)?;
        self.0.note(Op::Named(named(folder)));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Files.rename(from, to)?;
        self.0.note(Op::Published);
        Ok(())
    }

    fn segment_size(&self) -> u64 {
        self.0.segment_size.unwrap_or_else(|| Files.segment_size())
    }
}

/// The path under the stream's final name, which the folder has before anybody is told anything.
fn named(path: &Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().replace(".new", ""))
}

impl Medium for FaultyFile {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.faults.fail_write.load(Ordering::SeqCst) {
            // As a full disk does: part of it is there.
            let half = bytes.len() / 2;
            return self.file.write(&bytes[..half]);
        }
        let written = self.file.write(bytes)?;
        self.faults.note(Op::Write(self.path.clone(), bytes.to_vec()));
        Ok(written)
    }

    fn sync(&self) -> io::Result<()> {
        let writes = self.faults.writes_to(&self.path);
        self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        drop(self.faults.gate.1.wait_while(self.faults.gate.0.lock().unwrap(), |hold| *hold).unwrap());
        if self.faults.fail_sync.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.faults.note(Op::Synced(self.path.clone(), writes));
        Ok(())
    }

    fn identity(&self) -> io::Result<(u64, u64, u64)> {
        self.file.identity()
    }
}

/// What lies on the disk of a machine that lost power.
pub(super) struct Wreck {
    /// The files, under their names.
    pub(super) files: BTreeMap<PathBuf, Vec<u8>>,
    /// What was promised to be there.
    pub(super) promised: Vec<ReceiptHash>,
}

/// What the loss of power after `ops` leaves.
pub(super) fn wreck(ops: &[Op], chance: &Chance) -> Wreck {
    let mut writes: BTreeMap<&PathBuf, (Vec<&Vec<u8>>, usize)> = BTreeMap::new();
    let mut promised = Vec::new();
    let mut names = Vec::new();
    let mut published = false;
    for op in ops {
        match op {
            Op::Create(path) => drop(writes.insert(path, (Vec::new(), 0))),
            Op::Write(path, bytes) => writes.get_mut(path).unwrap().0.push(bytes),
            Op::Synced(path, upto) => {
                let synced = &mut writes.get_mut(path).unwrap().1;
                *synced = (*synced).max(*upto);
            }
            Op::Named(folder) => names.extend(writes.keys().copied().filter(|path| path.starts_with(folder))),
            Op::Published => published = true,
            Op::Promised(receipt) => promised.push(*receipt),
        }
    }
    let mut files = BTreeMap::new();
    for (path, (writes, synced)) in writes {
        let mut bytes = Vec::new();
        let mut kept_until = 0;
        for (index, write) in writes.iter().enumerate() {
            let keep = index.checked_sub(synced).map_or(Keep::Whole, |index| chance.write(index));
            let there = match keep {
                Keep::Whole => write.len(),
                Keep::Torn => write.len() / 2,
                Keep::Lost => 0,
            };
            bytes.extend_from_slice(&write[..there]);
            if there > 0 {
                kept_until = bytes.len();
            }
            bytes.resize(bytes.len() + write.len() - there, 0);
        }
        // Behind the last piece that is there the file may be of any length.
        if chance.short {
            bytes.truncate(kept_until);
        }
        if published && (names.contains(&path) || chance.named) {
            files.insert(path.clone(), bytes);
        }
    }
    Wreck { files, promised }
}

/// What the disk made of everything it was not asked to keep.
#[derive(Clone, Debug)]
pub(super) struct Chance {
    /// By its place among the writes that were not synced.
    writes: Vec<Keep>,
    /// What becomes of the others.
    rest: Keep,
    /// Whether a file ends with the last piece that is there.
    short: bool,
    /// Whether names are there that were not synced.
    named: bool,
}

impl Chance {
    fn write(&self, index: usize) -> Keep {
        self.writes.get(index).copied().unwrap_or(self.rest)
    }

    /// One write among `count` has another fate than the others; and all of them have one.
    fn all(count: usize) -> Vec<Self> {
        use Keep::{Lost, Torn, Whole};
        let mut found = Vec::new();
        for (short, named) in [(false, true), (true, false)] {
            for rest in [Whole, Lost] {
                found.push(Self { writes: Vec::new(), rest, short, named });
                for (index, other) in (0..count).flat_map(|index| [Whole, Torn, Lost].map(|k| (index, k))) {
                    for before in [Whole, Lost] {
                        let mut writes = vec![before; index];
                        writes.push(other);
                        found.push(Self { writes, rest, short, named });
                    }
                }
            }
        }
        found
    }
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Whole,
    Lost,
    /// Its first half is there.
    Torn,
}

/// Puts the files of `wreck` into `journal`.
pub(super) fn wash_up(wreck: &Wreck, from: &Path, journal: &Path) {
    for (path, bytes) in &wreck.files {
        let path = journal.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::decision::Decision;
    use crate::id::AgentId;
    use crate::journal::segment::{FrameKind, Frames};
    use crate::journal::{
        DecisionEntry, Identity, Journal, JournalOptions, Proof, Recorded, Recovery, Sealing, StreamReader,
        recover,
    };
    use crate::key::{Algorithm, Signer, SoftKey};
    use crate::level::Levels;
    use crate::reason::DenialReason;
    use crate::receipt::{Control, Event, Mode, Outcome, Stamp};
    use crate::request::ActionRequest;
    use crate::tree;

    fn identity() -> Identity {
        Identity {
            agent: AgentId::from_random([1; 16]),
            certificate: b"certificate".to_vec(),
            chain: Vec::new(),
            signer: Arc::new(Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0)),
        }
    }

    const fn at(boot: u8, seconds: u64) -> Stamp {
        Stamp { micros: 1, boot: [boot; 16], mono_nanos: seconds * 1_000_000_000 }
    }

    fn options(sealing: Sealing) -> JournalOptions {
        let levels =
            Levels::parse([("payments:*", "sync"), ("mail:*", "write"), ("log:*", "enqueue")]).unwrap();
        JournalOptions { levels, sealing: Some(sealing) }
    }

    fn open(faults: &Arc<Faults>, dir: &Path, identity: &Identity, sealing: Sealing) -> Journal {
        let disk = Arc::new(FaultyDisk(Arc::clone(faults)));
        Journal::open_on(disk, dir, identity.clone(), at(1, 0), options(sealing)).unwrap()
    }

    fn append(journal: &Journal, action: &str) -> Result<Recorded, DenialReason> {
        let decision = Decision::Deny(DenialReason::ScopeAction.into());
        let request = ActionRequest::new(action).amount("1.00", "EUR");
        let (decision, request) = (&decision, &request);
        let (list, mode, chain, parents, trace) = (None, Mode::Enforce, None, &[][..], None);
        journal.decision(&DecisionEntry {
            caller: None,
            decision,
            request,
            list,
            mode,
            chain,
            parents,
            trace,
            stamp: at(1, 1),
        })
    }

    /// A folder whose syncs cost nothing, where there is one.
    fn fast() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
    }

    /// Everything a journal may say after the loss of power: no hole, nothing promised is missing, and an end.
    fn assert_recovers(wreck: &Wreck, from: &Path, identity: &Identity, what: &dyn std::fmt::Debug) {
        let dir = fast();
        wash_up(wreck, from, dir.path());
        let mut hashes = HashSet::new();
        for reader in StreamReader::streams(dir.path()).unwrap() {
            let stream = reader.stream();
            let recovery = recover(dir.path(), stream, identity, at(2, 1))
                .unwrap_or_else(|error| panic!("{error}: {what:?}"));
            let reader = StreamReader::open(dir.path(), stream).unwrap();
            let entries: Vec<_> =
                reader.map(|entry| entry.unwrap_or_else(|fault| panic!("{fault}: {what:?}"))).collect();
            let mut unsigned = Vec::new();
            for (index, entry) in entries.iter().enumerate() {
                let statement = entry.receipt().statement();
                assert_eq!(statement.sequence, index as u64, "{what:?}");
                if let Some(before) = index.checked_sub(1) {
                    assert_eq!(statement.previous, *entries[before].receipt().hash().digest(), "{what:?}");
                }
                if let Event::Control(Control::Recovered { unsigned: count, digest, .. }) = statement.event {
                    let found: Vec<ReceiptHash> = std::mem::take(&mut unsigned);
                    let root = tree::root(found.iter().map(|hash| &hash.digest().as_bytes()[..]));
                    assert_eq!((count, digest), (found.len() as u64, root), "{what:?}");
                }
                if entry.proof() == Proof::Unsigned {
                    unsigned.push(entry.receipt().hash());
                }
                hashes.insert(entry.receipt().hash());
            }
            assert!(unsigned.is_empty(), "{what:?}");
            if let Some(last) = entries.last() {
                assert!(
                    matches!(last.receipt().statement().event, Event::Close { .. }),
                    "{recovery:?} {what:?}"
                );
                assert_eq!(recover(dir.path(), stream, identity, at(3, 1)).unwrap(), Recovery::Closed);
            }
        }
        for promised in &wreck.promised {
            assert!(hashes.contains(promised), "{promised} is lost: {what:?}");
        }
    }

    fn lose_power(sealing: Sealing) {
        let (identity, dir) = (identity(), fast());
        let faults = Faults::with_segments_of(4000);
        let journal = open(&faults, dir.path(), &identity, sealing);
        for action in ["payments:a", "mail:a", "log:a", "log:b", "payments:b", "mail:b", "mail:c", "log:c"] {
            let recorded = append(&journal, action).unwrap();
            let promised = action.starts_with("payments");
            if promised {
                faults.promise(recorded.hash());
            }
            let outcome = journal.outcome(recorded, Outcome::Returned, None, at(1, 1)).unwrap();
            if promised {
                faults.promise(outcome);
            }
        }
        journal.quiesce().unwrap();
        let ops = faults.ops();
        let mut tried = HashSet::new();
        for count in 0..=ops.len() {
            let ops = &ops[..count];
            let lost = ops.iter().rev().take_while(|op| !matches!(op, Op::Synced(..)));
            let unsynced = lost.filter(|op| matches!(op, Op::Write(..))).count();
            for chance in Chance::all(unsynced) {
                let wreck = wreck(ops, &chance);
                if tried.insert((wreck.files.clone(), wreck.promised.len())) {
                    assert_recovers(&wreck, dir.path(), &identity, &(count, &chance));
                }
            }
        }
        assert!(tried.len() > 100, "{}", tried.len());
    }

    #[test]
    fn the_loss_of_power_takes_no_synced_receipt_and_leaves_no_hole() {
        lose_power(Sealing::Each);
    }

    #[test]
    fn the_loss_of_power_leaves_sealed_receipts_proven_or_counted() {
        lose_power(Sealing::Groups);
    }

    #[test]
    fn damage_is_cut_only_after_a_restart_and_only_behind_what_was_synced() {
        let (identity, dir) = (identity(), fast());
        let journal = open(&Arc::new(Faults::default()), dir.path(), &identity, Sealing::Each);
        for action in ["mail:a", "payments:a", "mail:b", "mail:c"] {
            drop(append(&journal, action).unwrap());
        }
        journal.quiesce().unwrap();
        let stream = journal.stream().unwrap();
        drop(journal);
        let folder = dir.path().join(stream.to_string());
        let path = folder.join("0001.seg");
        let bytes = fs::read(&path).unwrap();
        let place = |sequence: u64| {
            let entries = StreamReader::open(dir.path(), stream).unwrap().map(Result::unwrap);
            let entry = entries.into_iter().nth(usize::try_from(sequence).unwrap()).unwrap();
            let input = entry.receipt().signing_input().to_vec();
            bytes.windows(input.len()).position(|window| window == input).unwrap()
        };
        for (sequence, boot, is_cut) in [(1, 2, false), (2, 2, false), (3, 1, false), (3, 2, true)] {
            let mut damaged = bytes.clone();
            damaged[place(sequence)] ^= 1;
            fs::write(&path, &damaged).unwrap();
            let recovery = recover(dir.path(), stream, &identity, at(boot, 9));
            assert_eq!(recovery.is_ok(), is_cut, "{sequence} {boot}: {recovery:?}");
            assert_eq!(fs::read(&path).unwrap() == damaged, !is_cut);
            if is_cut {
                let (aside, kept) = (fs::read(folder.join("0001.cut")).unwrap(), fs::read(&path).unwrap());
                assert!(
                    damaged.ends_with(&aside) && kept.starts_with(&damaged[..damaged.len() - aside.len()])
                );
            }
            fs::write(&path, &bytes).unwrap();
        }
    }

    #[test]
    fn a_failed_sync_denies_from_then_on_and_is_never_tried_again() {
        let (identity, dir) = (identity(), fast());
        let faults = Arc::new(Faults::default());
        let journal = open(&faults, dir.path(), &identity, Sealing::Each);
        drop(append(&journal, "payments:a").unwrap());
        let before = faults.syncs.load(Ordering::SeqCst);
        faults.fail_sync.store(true, Ordering::SeqCst);
        drop(append(&journal, "mail:a").unwrap());
        assert_eq!(append(&journal, "payments:b").unwrap_err(), DenialReason::JournalPoisoned);
        // The kernel would say that all is well now.
        faults.fail_sync.store(false, Ordering::SeqCst);
        for action in ["payments:c", "mail:b", "log:a"] {
            assert_eq!(append(&journal, action).unwrap_err(), DenialReason::JournalPoisoned);
        }
        assert_eq!(journal.persist(), Err(DenialReason::JournalPoisoned));
        assert!(journal.close(at(1, 2)).is_err());
        assert_eq!(faults.syncs.load(Ordering::SeqCst), before + 1);
    }

    #[test]
    fn a_failed_sync_denies_who_waits_for_it_and_who_waits_for_the_next() {
        let (identity, dir) = (identity(), fast());
        let faults = Arc::new(Faults::default());
        let journal = open(&faults, dir.path(), &identity, Sealing::Groups);
        let syncs = || faults.syncs.load(Ordering::SeqCst);
        let before = syncs();
        faults.hold_syncs(true);
        faults.fail_sync.store(true, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let call = || scope.spawn(|| append(&journal, "payments:a").map(drop));
            let first = call();
            while syncs() == before {
                std::thread::yield_now();
            }
            let others: Vec<_> = (0..8).map(|_| call()).collect();
            while journal.health().unsigned < 9 {
                std::thread::yield_now();
            }
            assert!(others.iter().all(|other| !other.is_finished()) && !first.is_finished());
            faults.hold_syncs(false);
            for call in others.into_iter().chain([first]) {
                assert_eq!(call.join().unwrap(), Err(DenialReason::JournalPoisoned));
            }
        });
        assert_eq!(syncs(), before + 1);
    }

    #[test]
    fn an_outcome_that_is_not_synced_denies_the_next_decision() {
        let (identity, dir) = (identity(), fast());
        let faults = Arc::new(Faults::default());
        let journal = open(&faults, dir.path(), &identity, Sealing::Each);
        let recorded = append(&journal, "payments:a").unwrap();
        faults.fail_sync.store(true, Ordering::SeqCst);
        assert!(journal.outcome(recorded, Outcome::Returned, None, at(1, 1)).is_err());
        assert_eq!(append(&journal, "mail:a").unwrap_err(), DenialReason::JournalPoisoned);
    }

    /// How many receipts were written.
    fn receipts(faults: &Faults) -> usize {
        let count =
            |bytes: &[u8]| Frames::new(bytes).filter(|frame| frame.kind == FrameKind::Receipt).count();
        let ops = faults.ops();
        ops.iter().map(|op| if let Op::Write(_, bytes) = op { count(bytes) } else { 0 }).sum()
    }

    #[test]
    fn calls_that_wait_for_the_disk_share_one_sync_and_others_do_not_wait() {
        let (identity, dir) = (identity(), fast());
        let faults = Arc::new(Faults::default());
        let journal = open(&faults, dir.path(), &identity, Sealing::Each);
        let syncs = || faults.syncs.load(Ordering::SeqCst);
        let before = syncs();
        faults.hold_syncs(true);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| append(&journal, "payments:first").map(drop));
            while syncs() == before {
                std::thread::yield_now();
            }
            let others: Vec<_> =
                (0..8).map(|_| scope.spawn(|| append(&journal, "payments:other").map(drop))).collect();
            // The lock is free meanwhile.
            drop(append(&journal, "mail:a").unwrap());
            // What was written after the first sync began is not known to be on the disk when it ends.
            while receipts(&faults) < 11 {
                std::thread::yield_now();
            }
            assert!(others.iter().all(|other| !other.is_finished()) && !first.is_finished());
            faults.hold_syncs(false);
        });
        assert_eq!(syncs(), before + 2);
    }

    #[test]
    fn enqueued_receipts_are_written_together_in_their_order_and_before_any_other() {
        let (identity, dir) = (identity(), fast());
        let faults = Arc::new(Faults::default());
        let journal = open(&faults, dir.path(), &identity, Sealing::Each);
        let writes = || faults.ops().iter().filter(|op| matches!(op, Op::Write(..))).count();
        let before = writes();
        for _ in 0..400 {
            drop(append(&journal, "log:a").unwrap());
        }
        let last = append(&journal, "mail:a").unwrap();
        assert!(writes() - before < 200, "{}", writes() - before);
        let stream = journal.stream().unwrap();
        let present: Vec<_> = StreamReader::open(dir.path(), stream).unwrap().map(Result::unwrap).collect();
        assert_eq!(present.len(), 402);
        assert_eq!(present.last().unwrap().receipt().hash(), last.hash());
        journal.close(at(1, 2)).unwrap();
        let sequences = StreamReader::open(dir.path(), stream).unwrap().map(|entry| entry.unwrap());
        assert!(sequences.map(|entry| entry.receipt().statement().sequence).eq(0..403));
    }

    #[test]
    fn enqueued_receipts_do_not_stay_in_memory_for_long() {
        let (identity, dir) = (identity(), fast());
        let journal = open(&Arc::new(Faults::default()), dir.path(), &identity, Sealing::Groups);
        let here = || StreamReader::open(dir.path(), journal.stream().unwrap()).unwrap().count();
        drop(append(&journal, "log:a").unwrap());
        assert!(journal.still_in_place());
        assert_eq!(here(), 2);
    }

    #[test]
    fn half_a_write_is_the_last_and_nothing_before_it_is_lost() {
        for action in ["payments:a", "mail:a", "log:a"] {
            let (identity, dir) = (identity(), fast());
            let faults = Arc::new(Faults::default());
            let journal = open(&faults, dir.path(), &identity, Sealing::Each);
            let kept = append(&journal, "mail:kept").unwrap().hash();
            journal.quiesce().unwrap();
            faults.fail_write.store(true, Ordering::SeqCst);
            while append(&journal, action).is_ok() {}
            faults.fail_write.store(false, Ordering::SeqCst);
            assert!(append(&journal, "mail:a").is_err(), "half a frame must stay the last");
            let stream = journal.stream().unwrap();
            drop(journal);
            recover(dir.path(), stream, &identity, at(1, 3)).unwrap();
            let mut entries = StreamReader::open(dir.path(), stream).unwrap().map(Result::unwrap);
            assert!(entries.any(|entry| entry.receipt().hash() == kept), "{action}");
        }
    }

    #[test]
    fn a_segment_that_cannot_be_begun_is_the_end_and_leaves_no_gap() {
        for sealing in [Sealing::Each, Sealing::Groups] {
            let (identity, dir) = (identity(), fast());
            let faults = Faults::with_segments_of(2000);
            let journal = open(&faults, dir.path(), &identity, sealing);
            faults.fail_create.store(true, Ordering::SeqCst);
            let mut kept = Vec::new();
            while let Ok(recorded) = append(&journal, "mail:a") {
                kept.push(recorded.hash());
            }
            // There is room again, and the guard looks four times a second.
            faults.fail_create.store(false, Ordering::SeqCst);
            let _ = journal.still_in_place();
            assert!(append(&journal, "mail:b").is_err());
            assert!(journal.close(at(1, 2)).is_err());
            let stream = journal.stream().unwrap();
            drop(journal);
            recover(dir.path(), stream, &identity, at(1, 3)).unwrap();
            let entries: Vec<_> = StreamReader::open(dir.path(), stream)
                .unwrap()
                .map(|entry| entry.unwrap_or_else(|fault| panic!("{sealing:?}: {fault}")))
                .collect();
            let decisions = entries
                .iter()
                .filter(|entry| matches!(entry.receipt().statement().event, Event::Decision { .. }));
            let found: Vec<_> = decisions.map(|entry| entry.receipt().hash()).collect();
            assert_eq!(found, kept, "what was denied was recorded all the same");
        }
    }
}
