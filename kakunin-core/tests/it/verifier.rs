//! What the verifier looks at twice has to be the same both times.

use std::fs::{self, OpenOptions};
use std::path::Path;

use kakunin_core::receipt::Event;
use kakunin_core::verify::{Report, Seen, Verdict, Watch};

use crate::bundle::{CHAIN, Owner, World, reasons};
use crate::house::stamp;

/// Does something when the first decision of the second journal goes by.
struct Meanwhile<'a> {
    decisions: usize,
    act: &'a dyn Fn(),
}

impl Watch for Meanwhile<'_> {
    fn receipt(&mut self, seen: &Seen<'_>) {
        self.decisions += usize::from(matches!(seen.statement().event, Event::Decision { .. }));
        if self.decisions == 2 {
            self.decisions += 1;
            (self.act)();
        }
    }
}

/// Two journals with one payment each, of which the second follows from the first, so that both are looked at again.
fn verify(world: &World, act: &dyn Fn()) -> std::io::Result<Report> {
    let journals = world.owners().map(|owner| owner.journal.as_path());
    let logs = world.owners().iter().map(|owner| owner.reader()).collect();
    world.terms().journals(&journals, logs, &mut Meanwhile { decisions: 0, act })
}

fn segment(owner: &Owner) -> std::path::PathBuf {
    let streams = fs::read_dir(&owner.journal).unwrap().map(|entry| entry.unwrap().path());
    streams.map(|path| path.join("0001.seg")).find(|path| path.is_file()).unwrap()
}

fn cut(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

#[test]
fn a_journal_that_changes_while_it_is_verified_is_not_judged() {
    let world = World::new();
    let (support, bank) = (world.support.open(), world.bank.open());
    let first = world.support.pay(&support, CHAIN, &[], 10);
    world.bank.pay(&bank, CHAIN, &[first], 20);
    support.close(stamp(90)).unwrap();
    bank.close(stamp(91)).unwrap();
    world.support.log();
    world.bank.log();
    assert_eq!(verify(&world, &|| ()).unwrap().verdict(), Verdict::Complete);
    let error = verify(&world, &|| cut(&segment(&world.support))).unwrap_err();
    assert!(error.to_string().contains("changed while it was verified"), "{error}");
}

#[test]
fn a_stream_that_grows_while_it_is_verified_is_judged_as_it_was() {
    let world = World::new();
    let (support, bank) = (world.support.open(), world.bank.open());
    let first = world.support.pay(&support, CHAIN, &[], 10);
    world.bank.pay(&bank, CHAIN, &[first], 20);
    support.quiesce().unwrap();
    bank.quiesce().unwrap();
    let report = verify(&world, &|| {
        world.support.pay(&support, CHAIN, &[], 30);
        support.quiesce().unwrap();
        // A stream that nobody saw yet may come before one that was seen.
        drop(world.support.open());
    })
    .unwrap();
    let counts: Vec<u64> = report.streams().iter().map(|stream| stream.receipts).collect();
    assert_eq!(counts, [3, 3]);
    assert!(!reasons(&report).contains(&"parent.missing"), "{:?}", report.verdict());
}
