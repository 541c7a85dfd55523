//! Fifty receipts, changed in each of their octets: as a journal, as a bundle, and as a bundle that a forger has put together
//! again around the change. `make soak` goes through all octets, `make test` through some.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kakunin_core::bundle::{Bundle, export};
use kakunin_core::verify::Verdict;

use crate::bundle::{World, verify};
use crate::bundle_faults::Pieces;
use crate::journal::{copy, segment};

/// Twenty-four calls with their outcomes, an opening and an end, logged.
fn fifty() -> World {
    World::paid((0..24).map(|call| call * 10))
}

fn exported(world: &World) -> Vec<u8> {
    let out = world.path("fifty.zip");
    let exported = export(&[&world.support.journal], &mut [world.support.reader()], None, &out).unwrap();
    assert_eq!(exported.receipts, 50);
    assert_eq!(verify(&out, &world.terms()).verdict(), Verdict::Complete);
    fs::read(out).unwrap()
}

/// Hands every octet of `whole` to `told`, changed, with its place; each core has a folder of its own that `begin` makes.
/// Where not all are asked for, one of `stride`.
fn each_octet<T>(
    what: &str,
    whole: &[u8],
    stride: usize,
    begin: impl Fn() -> T + Sync,
    told: impl Fn(&T, usize, u8) -> bool + Sync,
) {
    let stride = if std::env::var_os("KAKUNIN_SOAK").is_some() { 1 } else { stride };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let (next, began) = (AtomicUsize::new(0), std::time::Instant::now());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mine = begin();
                loop {
                    let at = next.fetch_add(stride, Ordering::Relaxed);
                    let Some(octet) = whole.get(at) else { return };
                    let told = told(&mine, at, octet ^ (1 << (at % 8)));
                    if !told {
                        next.store(whole.len(), Ordering::Relaxed);
                    }
                    assert!(told, "octet {at} of {what}");
                }
            });
        }
    });
    println!("{what}: {} octets, all told, {:.0?}", whole.len().div_ceil(stride), began.elapsed());
}

/// The file at `path` with `octet` at a place, for as long as `judge` looks at it.
fn changed<R>(path: &Path, (at, octet): (usize, u8), judge: impl FnOnce() -> R) -> R {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let (at, mut before) = (at as u64, [0]);
    file.read_exact_at(&mut before, at).unwrap();
    file.write_all_at(&[octet], at).unwrap();
    let judged = judge();
    file.write_all_at(&before, at).unwrap();
    judged
}

#[test]
fn no_flipped_byte_of_fifty_receipts_is_complete() {
    let world = fifty();
    let judge = |journal: &Path| {
        let logs = vec![world.support.reader()];
        world.terms().journals(&[journal], logs, &mut ()).unwrap()
    };
    let whole = judge(&world.support.journal);
    assert_eq!((whole.verdict(), whole.streams()[0].receipts), (Verdict::Complete, 50));
    let original = fs::read(segment(&world.support.journal)).unwrap();
    let begin = || {
        let dir = tempfile::tempdir().unwrap();
        copy(&world.support.journal, dir.path());
        let path = segment(dir.path());
        (dir, path)
    };
    each_octet("a journal", &original, 293, begin, |(dir, path), at, octet| {
        changed(path, (at, octet), || judge(dir.path()).verdict() != Verdict::Complete)
    });
}

#[test]
fn every_flipped_byte_of_a_bundle_of_fifty_receipts_is_refused() {
    let world = fifty();
    let whole = exported(&world);
    let begin = || {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("flipped.zip"), &whole).unwrap();
        dir
    };
    each_octet("a bundle", &whole, 293, begin, |dir, at, octet| {
        let path = dir.path().join("flipped.zip");
        changed(&path, (at, octet), || Bundle::open(&path).is_err())
    });
}

#[test]
fn no_flipped_byte_of_a_bundle_of_fifty_receipts_is_complete_with_digests_that_agree() {
    let world = fifty();
    exported(&world);
    let pieces = Pieces::of(&world.path("fifty.zip"));
    // One octet after the other, member after member; the manifest is made to agree with them.
    let members = &pieces.members()[1..];
    let whole: Vec<u8> = members.iter().flat_map(|(_, octets)| octets).copied().collect();
    let begin = || tempfile::tempdir().unwrap();
    each_octet("a bundle that was put together again", &whole, 1301, begin, |dir, at, octet| {
        let (mut at, mut members) = (at, members.iter());
        let (name, mut other) = loop {
            let (name, octets) = members.next().unwrap();
            match at.checked_sub(octets.len()) {
                Some(behind) => at = behind,
                None => break (name, octets.clone()),
            }
        };
        other[at] = octet;
        let path = dir.path().join("forged.zip");
        fs::write(&path, pieces.clone().put(name, other).listed().zip()).unwrap();
        verify(&path, &world.terms()).verdict() != Verdict::Complete
    });
}
