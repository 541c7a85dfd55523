//! Disks that fail, for tests: a write that stops after so many octets, and a record of what was asked of the disk.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What a disk was asked for, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A file was written and its octets synced.
    Wrote { name: String, octets: Vec<u8> },
    /// A file got another name.
    Renamed { from: String, to: String },
    /// The names in a folder were synced.
    Synced { folder: PathBuf },
}

/// When a disk fails, and what it did until then.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// How much is still done: an octet is one, and so is a sync or a rename.
    left: Cell<Option<usize>>,
    steps: RefCell<Vec<Step>>,
}

impl Faults {
    /// Lets the disk do `work` more.
    pub(super) fn fail_after(&self, work: usize) {
        self.left.set(Some(work));
    }

    /// What was done since this was asked last.
    pub(super) fn take_steps(&self) -> Vec<Step> {
        self.steps.take()
    }

    /// Writes what is still written of `octets` and fails, or gives them back to be written.
    pub(super) fn before_write(&self, file: &mut File, octets: &[u8]) -> io::Result<Vec<u8>> {
        if let Some(left) = self.left.get() {
            if left < octets.len() {
                file.write_all(&octets[..left])?;
                self.left.set(Some(0));
                return Err(io::Error::other("the disk failed within a write"));
            }
            self.left.set(Some(left - octets.len()));
        }
        Ok(octets.to_vec())
    }

    pub(super) fn before_sync(&self) -> io::Result<()> {
        match self.left.get() {
            Some(0) => Err(io::Error::other("the disk failed before a sync")),
            left => {
                self.left.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }

    pub(super) fn wrote(&self, name: &str, octets: &[u8]) {
        self.steps.borrow_mut().push(Step::Wrote { name: name.to_owned(), octets: octets.to_vec() });
    }

    pub(super) fn renamed(&self, from: &str, to: &str) {
        self.steps.borrow_mut().push(Step::Renamed { from: from.to_owned(), to: to.to_owned() });
    }

    pub(super) fn synced(&self, folder: &Path) {
        self.steps.borrow_mut().push(Step::Synced { folder: folder.to_owned() });
    }
}

mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::super::checkpoint::LogKey;
    use super::super::cosign::WitnessKey;
    use super::super::reader::LogReader;
    use super::super::witness::{Refusal, Witness, WitnessError};
    use super::super::writer::Log;
    use super::*;
    use crate::key::{Algorithm, Signer, SoftKey};
    use crate::time::UnixTime;
    use crate::tree;

    struct Key(Vec<u8>);

    impl Key {
        fn new() -> Self {
            Self(SoftKey::generate(Algorithm::Ed25519).unwrap().1.to_vec())
        }

        fn log(&self) -> LogKey {
            LogKey::new("log.example/a", Signer::soft(SoftKey::from_pkcs8(&self.0).unwrap())).unwrap()
        }
    }

    fn entries(word: &str, from: u64, to: u64) -> Vec<Vec<u8>> {
        (from..to).map(|number| format!("{word} {number}").into_bytes()).collect()
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for found in fs::read_dir(from).unwrap() {
            let (found, target) =
                (found.as_ref().unwrap().path(), to.join(found.as_ref().unwrap().file_name()));
            match found.is_dir() {
                true => copy(&found, &target),
                false => drop(fs::copy(found, target).unwrap()),
            }
        }
    }

    /// A log of `size` entries, to be copied and broken.
    fn base(key: &Key, size: u64) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        Log::create(dir.path(), key.log()).unwrap().append(&entries("old", 0, size)).unwrap();
        dir
    }

    /// Opens what a crash left: it has all of the batch or nothing, and goes on. Gives the size that was found.
    fn goes_on(dir: &Path, key: &Key, before: u64, after: u64) -> u64 {
        let mut log = Log::open(dir, key.log()).unwrap();
        let size = log.size();
        assert!(size == before || size == after, "{size}");
        log.append(&entries("other", 0, 300)).unwrap();
        let mut all = entries("old", 0, before);
        if size == after {
            all.extend(entries("new", before, after));
        }
        all.extend(entries("other", 0, 300));
        assert_eq!(*log.checkpoint().root(), tree::root(all.iter().map(Vec::as_slice)));
        for (index, entry) in (0..).zip(&all) {
            assert_eq!(log.reader().entry(index).unwrap(), entry);
        }
        size
    }

    /// Lets the disk fail after each amount of work in turn, until an append comes through.
    fn torn_everywhere(before: u64, after: u64, stride: usize) {
        let key = Key::new();
        let base = base(&key, before);
        let mut found = HashSet::new();
        for work in (0..).step_by(stride) {
            let dir = tempfile::tempdir().unwrap();
            copy(base.path(), dir.path());
            let mut log = Log::open(dir.path(), key.log()).unwrap();
            log.disk().faults.fail_after(work);
            let whole = log.append(&entries("new", before, after)).is_ok();
            if !whole {
                let again = log.append(&entries("new", before, after));
                assert!(again.is_err(), "a log went on after a failed write");
            }
            drop(log);
            let size = goes_on(dir.path(), &key, before, after);
            found.insert(size);
            if whole {
                assert_eq!(size, after, "an acknowledged batch is gone");
                break;
            }
        }
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_write_torn_at_any_octet_leaves_the_old_log_or_the_new_one() {
        torn_everywhere(0, 2, 1);
    }

    #[test]
    fn a_write_torn_while_tiles_fill_leaves_the_old_log_or_the_new_one() {
        torn_everywhere(254, 259, 499);
    }

    /// What is on the disk after a power cut: every name that was not synced may be there or not.
    fn after_power_cut(base: &Path, steps: &[Step], lost: &dyn Fn(usize) -> bool, dir: &Path) {
        copy(base, dir);
        for (place, step) in steps.iter().enumerate() {
            let durable = |name: &str| {
                let mut folders = Path::new(name).ancestors().skip(1);
                folders.all(|folder| {
                    steps[place..].iter().any(|step| *step == Step::Synced { folder: folder.to_owned() })
                })
            };
            match step {
                Step::Wrote { name, octets } if durable(name) || !lost(place) => {
                    fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
                    fs::write(dir.join(name), octets).unwrap();
                }
                Step::Renamed { from, to } if durable(to) || !lost(place) => {
                    fs::rename(dir.join(from), dir.join(to)).unwrap();
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_power_cut_at_any_moment_takes_back_nothing_that_was_seen() {
        let (key, before, after) = (Key::new(), 254, 259);
        let base = base(&key, before);
        let live = tempfile::tempdir().unwrap();
        copy(base.path(), live.path());
        let mut log = Log::open(live.path(), key.log()).unwrap();
        log.disk().faults.take_steps();
        log.append(&entries("new", before, after)).unwrap();
        let steps = log.disk().faults.take_steps();
        let seen = steps.iter().position(|step| matches!(step, Step::Renamed { .. })).unwrap();
        for done in 0..=steps.len() {
            let mut ways: Vec<Box<dyn Fn(usize) -> bool>> = vec![Box::new(|_| true), Box::new(|_| false)];
            for step in 0..done {
                ways.push(Box::new(move |place| place == step));
                ways.push(Box::new(move |place| place != step));
            }
            for lost in ways {
                let dir = tempfile::tempdir().unwrap();
                after_power_cut(base.path(), &steps[..done], &lost, dir.path());
                let size = goes_on(dir.path(), &key, before, after);
                assert!(
                    size == after || done <= seen,
                    "a checkpoint that was seen is gone after step {done}"
                );
            }
        }
    }

    fn witness(dir: &Path, key: &Key) -> Witness {
        let signer = Signer::soft(SoftKey::from_pkcs8(&key.0).unwrap());
        Witness::open(dir, WitnessKey::new("witness.example/1", signer).unwrap()).unwrap()
    }

    /// Two histories of one log: both begin with the same entry.
    fn fork(key: &Key) -> [(tempfile::TempDir, LogReader); 2] {
        let base = base(key, 1);
        ["new", "other"].map(|word| {
            let dir = tempfile::tempdir().unwrap();
            copy(base.path(), dir.path());
            Log::open(dir.path(), key.log()).unwrap().append(&entries(word, 1, 9)).unwrap();
            let reader = LogReader::open(dir.path(), key.log().verifier()).unwrap();
            (dir, reader)
        })
    }

    #[test]
    fn a_witness_answers_only_what_it_will_remember() {
        let (key, own) = (Key::new(), Key::new());
        let [(_one, mut first), (_two, mut second)] = fork(&key);
        let memory = tempfile::tempdir().unwrap();
        let mut seen = witness(memory.path(), &own);
        seen.look(&mut LogReader::open(base(&key, 1).path(), key.log().verifier()).unwrap(), at(50)).unwrap();
        drop(seen);
        let mut outcomes = HashSet::new();
        for work in 0.. {
            let dir = tempfile::tempdir().unwrap();
            copy(memory.path(), dir.path());
            let mut broken = witness(dir.path(), &own);
            broken.disk().faults.fail_after(work);
            let answered = broken.look(&mut first, at(100)).is_ok();
            drop(broken);
            let mut after = witness(dir.path(), &own);
            let remembers = after.last(key.log().verifier()).unwrap().unwrap().size();
            let other = after.look(&mut second, at(200));
            outcomes.insert((answered, remembers));
            match remembers {
                1 => assert!(!answered && other.is_ok(), "after {work}"),
                9 => assert!(
                    matches!(other, Err(WitnessError::Refused(Refusal::Forked { .. }))),
                    "after {work}"
                ),
                size => panic!("it remembers {size} after {work}"),
            }
            if answered {
                break;
            }
        }
        // Nothing kept, kept without an answer, kept and answered.
        assert_eq!(outcomes, HashSet::from([(false, 1), (false, 9), (true, 9)]));
    }

    #[test]
    fn no_power_cut_makes_a_witness_cosign_both_sides_of_a_fork() {
        let (key, own) = (Key::new(), Key::new());
        let [(_one, mut first), (_two, mut second)] = fork(&key);
        let (memory, live) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut seen = witness(live.path(), &own);
        seen.look(&mut first, at(100)).unwrap();
        let steps = seen.disk().faults.take_steps();
        let shown = steps.iter().position(|step| matches!(step, Step::Renamed { .. })).unwrap();
        for done in 0..=steps.len() {
            for lost in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                after_power_cut(memory.path(), &steps[..done], &|_| lost, dir.path());
                let other = witness(dir.path(), &own).look(&mut second, at(200));
                let refused = matches!(other, Err(WitnessError::Refused(Refusal::Forked { .. })));
                assert!(refused || done <= shown, "after step {done}");
            }
        }
    }

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }
}
