//! The judgement: a predicate held against the facts.
//!
//! Evidence that does not verify speaks against everything that stands on it, and so does evidence of which a log shows that
//! it was doctored; evidence that is empty shows nothing. Everything else is figures, and each figure names receipts.

mod bounded;
mod decided;
mod kept;
mod standing;
mod watched;
mod whole;

use crate::facts::{Facts, Settled};
use crate::finding::{Judgement, Pointer, Shown};
use crate::predicate::Predicate;
use whole::{doctored, short};

/// What becomes of `predicate`.
pub(crate) fn judge(predicate: Predicate, facts: &Facts) -> Judgement {
    let (shown, because, receipts) = match &facts.settled {
        Settled::Invalid { text, at, .. } => {
            let because = format!("the evidence does not verify: {text}");
            let at = at.iter().map(|(stream, seq)| Pointer {
                receipt: String::new(),
                stream: stream.clone(),
                seq: *seq,
                line: None,
            });
            (Shown::Against, because, at.collect())
        }
        Settled::Empty => (Shown::Unseen, "no receipt here is signed".to_owned(), Vec::new()),
        Settled::Complete | Settled::NotComplete(_) => doctored(predicate, facts).unwrap_or_else(|| {
            if facts.receipts == 0 {
                return (Shown::Unseen, "no receipt is of this period".to_owned(), Vec::new());
            }
            short(predicate, facts, held(predicate, facts))
        }),
    };
    Judgement { predicate, shown, because, receipts }
}

type Held = (Shown, String, Vec<Pointer>);

fn held(predicate: Predicate, facts: &Facts) -> Held {
    match predicate {
        Predicate::LogContiguous {} => kept::contiguous(facts),
        Predicate::AllWritesReceipted {} => decided::receipted(facts),
        Predicate::DenialsRecorded {} => decided::denials(facts),
        Predicate::ScopeDenied {} => decided::outside(facts),
        Predicate::DecisionsDescribed {} => decided::described(facts),
        Predicate::Enforced {} => decided::enforced(facts),
        Predicate::StopEnforced {} => standing::stopped(facts),
        Predicate::RevocationLatency { seconds } => standing::latency(facts, seconds),
        Predicate::ListsFresh {} => standing::lists(facts),
        Predicate::CertificatesExpire { days } => standing::expire(facts, days),
        Predicate::ScopeBounded {} => bounded::bounded(facts),
        Predicate::IdentitiesProven {} => bounded::identities(facts),
        Predicate::CallersProven {} => bounded::callers(facts),
        Predicate::DecisionsReplay {} => decided::replay(facts),
        Predicate::ChainRebuilds {} => decided::chains(facts),
        Predicate::TimeWitnessed {} => kept::witnessed(facts),
        Predicate::ErasuresRecorded {} => kept::erasures(facts),
        Predicate::RecordsKept { days } => kept::kept(facts, days),
        Predicate::GateSigned {} => watched::gates(facts),
        Predicate::RiskReplayed {} => watched::behaviour(facts),
    }
}

/// How many receipts the verifier names under these codes.
fn lacking(facts: &Facts, codes: &[&'static str]) -> u64 {
    codes.iter().filter_map(|code| facts.lacks.get(code)).fold(0, |sum, count| sum.saturating_add(*count))
}

/// Places of receipts that are wanting something; the receipts themselves may not be here.
fn places(facts: &Facts, code: &str) -> Vec<Pointer> {
    let place = |(stream, seq): &(kakunin_core::id::StreamId, u64)| Pointer {
        receipt: String::new(),
        stream: stream.to_string(),
        seq: *seq,
        line: None,
    };
    facts.lacking.get(code).map(|places| places.iter().map(place).collect()).unwrap_or_default()
}

const DAY: i64 = 86_400;

#[cfg(test)]
mod tests;
