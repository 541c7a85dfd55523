//! What is known to be wanting: receipts that a log shows to have been left out, and evidence that does not go to its end.

use super::{Held, lacking, places};
use crate::facts::Facts;
use crate::finding::Shown;
use crate::predicate::Predicate;

/// What a log shows of receipts that were left out or that there are others of: which rows they would have changed cannot
/// be told, so it speaks against all of them. Times that cannot be speak against what stands on times.
pub(super) fn doctored(predicate: Predicate, facts: &Facts) -> Option<Held> {
    let on_times = matches!(
        predicate,
        Predicate::LogContiguous {}
            | Predicate::DecisionsDescribed {}
            | Predicate::StopEnforced {}
            | Predicate::RevocationLatency { .. }
            | Predicate::ListsFresh {}
            | Predicate::TimeWitnessed {}
            | Predicate::RecordsKept { .. }
            | Predicate::RiskReplayed {}
    );
    let faults = [
        (
            "stream.contradicted",
            "a log holds other receipts of these streams by another key of their agent",
            true,
        ),
        ("stream.missing", "a log holds streams of these agents that were left out here", true),
        ("time.out_of_bracket", "receipts claim a time at which they cannot have been written", on_times),
    ];
    let counts = |(code, ..): &&(&str, &str, bool)| facts.lacks.contains_key(code);
    let found: Vec<_> = faults.iter().filter(|(.., against)| *against).filter(counts).collect();
    if found.is_empty() {
        return None;
    }
    let because: Vec<String> =
        found.iter().map(|(code, what, _)| format!("{what} ({code}, {})", lacking(facts, &[code]))).collect();
    let receipts = found.iter().flat_map(|(code, ..)| places(facts, code)).take(crate::facts::FEW).collect();
    Some((Shown::Against, because.join("; "), receipts))
}

/// What is counted over all receipts holds only in part where some are known to be wanting. What an end that nobody
/// witnessed hides is a matter of [`Predicate::LogContiguous`], and values have predicates of their own.
pub(super) fn short(predicate: Predicate, facts: &Facts, (shown, because, receipts): Held) -> Held {
    let counts = matches!(
        predicate,
        Predicate::AllWritesReceipted {}
            | Predicate::DenialsRecorded {}
            | Predicate::ScopeDenied {}
            | Predicate::DecisionsDescribed {}
            | Predicate::Enforced {}
            | Predicate::ListsFresh {}
    );
    let codes: Vec<&str> = WANTING.into_iter().filter(|code| facts.lacks.contains_key(code)).collect();
    if !counts || shown != Shown::Held || codes.is_empty() {
        return (shown, because, receipts);
    }
    (Shown::Partly, format!("{because}; receipts are not whole: {}", codes.join(", ")), receipts)
}

/// Codes by which receipts are known to be wanting, or not to be what they say.
const WANTING: [&str; 7] = [
    "stream.open",
    "stream.torn",
    "stream.recovered",
    "receipt.unsigned",
    "time.out_of_bracket",
    "time.unproven",
    "feed.missing",
];
