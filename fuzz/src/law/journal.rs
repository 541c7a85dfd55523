//! Segments of a journal, whatever is in them.

use std::cell::OnceCell;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use kakunin_core::journal::{Proof, StreamReader};
use kakunin_core::receipt::ReceiptHash;
use kakunin_core::verify::{Seen, Verdict, Verification, Watch};
use tempfile::TempDir;

use crate::world::{World, segment as segment_of, world};

/// Reading stops at what is damaged, says the same when it is asked again, and never gives out what its name is not of.
pub(super) fn segment(input: &[u8]) {
    with_segment(input, |_, journal| {
        let read = || -> (Vec<(ReceiptHash, Proof)>, bool, u64) {
            let mut reader = StreamReader::open(journal, world().stream).unwrap();
            let (mut found, mut whole) = (Vec::new(), true);
            for entry in reader.by_ref() {
                match entry {
                    Ok(entry) => {
                        assert_eq!(entry.receipt().statement().stream, world().stream);
                        found.push((entry.receipt().hash(), entry.proof()));
                    }
                    Err(_) => whole = false,
                }
            }
            (found, whole, reader.torn())
        };
        let first = read();
        assert!(usize::try_from(first.2).unwrap() <= input.len());
        assert_eq!(read(), first);
    });
}

/// A journal that is not invalid holds no signed receipt but those that the agent signed.
pub(super) fn verified(input: &[u8]) {
    with_segment(input, |world, journal| {
        let mut shown = Shown::default();
        let report = Verification::by(&world.anchors).journals(&[journal], Vec::new(), &mut shown).unwrap();
        shown.are_of(world, report.verdict());
    });
}

/// What was shown with a signature.
#[derive(Default)]
pub(super) struct Shown(Vec<ReceiptHash>);

impl Watch for Shown {
    fn receipt(&mut self, seen: &Seen<'_>) {
        if seen.proof() != Proof::Unsigned {
            self.0.push(seen.hash());
        }
    }
}

impl Shown {
    pub(super) fn are_of(&self, world: &World, verdict: Verdict<'_>) {
        if !matches!(verdict, Verdict::Invalid(_)) {
            assert!(self.0.iter().all(|hash| world.receipts.contains(hash)), "a receipt that nobody signed");
        }
    }
}

/// Runs `look` at a copy of the world's journal whose segment is `input`.
fn with_segment(input: &[u8], look: impl FnOnce(&World, &Path)) {
    thread_local!(static COPY: OnceCell<(TempDir, PathBuf)> = const { OnceCell::new() });
    let world = world();
    COPY.with(|copy| {
        let (folder, segment) = copy.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            copy_all(&world.folder.join("journal"), folder.path());
            let segment = segment_of(folder.path(), world.stream);
            (folder, segment)
        });
        overwrite(segment, input);
        look(world, folder.path());
    });
}

/// Writes over a file. Emptying it first, as [`fs::write`] does, waits for the disk each time.
pub(super) fn overwrite(path: &Path, octets: &[u8]) {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all_at(octets, 0).unwrap();
    file.set_len(octets.len() as u64).unwrap();
}

pub(super) fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
