use kakunin_core::journal::{Journal, Recorded};
use kakunin_core::receipt::{Outcome, Stamp};

fn twice(journal: &Journal, recorded: Recorded, stamp: Stamp) {
    let _ = journal.outcome(recorded, Outcome::Returned, None, stamp);
    let _ = journal.outcome(recorded, Outcome::Returned, None, stamp);
}

fn from_its_hash(journal: &Journal, recorded: &Recorded, stamp: Stamp) {
    let _ = journal.outcome(recorded.hash(), Outcome::Returned, None, stamp);
}

fn main() {}
