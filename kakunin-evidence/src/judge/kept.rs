//! The record itself: whole, seen by others, kept, and erased where it says so.

use kakunin_core::time::UnixTime;

use super::{DAY, Held, lacking};
use crate::facts::{Facts, Kind, Settled};
use crate::finding::Shown;

pub(super) fn contiguous(facts: &Facts) -> Held {
    let (seen, streams) = (facts.seen, facts.streams);
    match &facts.settled {
        Settled::NotComplete(codes) => (
            Shown::Partly,
            format!(
                "{seen} receipts in {streams} streams are authentic, and not complete: {}",
                codes.join(", ")
            ),
            facts.examples(Kind::End),
        ),
        _ => (
            Shown::Held,
            format!(
                "{seen} receipts in {streams} streams without a gap, each end confirmed by somebody else"
            ),
            facts.examples(Kind::End),
        ),
    }
}

pub(super) fn witnessed(facts: &Facts) -> Held {
    let (witnessed, receipts) = (facts.witnessed, facts.receipts);
    let examples = facts.examples(Kind::Witnessed);
    if witnessed == 0 {
        return (
            Shown::Unseen,
            "every time is a claim of its writer; no witness was believed".to_owned(),
            examples,
        );
    }
    let because = format!("a witness saw {witnessed} of {receipts} receipts");
    (if witnessed == receipts { Shown::Held } else { Shown::Partly }, because, examples)
}

pub(super) fn erasures(facts: &Facts) -> Held {
    let receipts = facts.examples(Kind::Erasure);
    let lingering = lacking(facts, &["disclosure.not_erased"]);
    if lingering > 0 {
        let because = format!("{lingering} values are here that a receipt says were erased");
        return (Shown::Against, because, receipts);
    }
    let missing = lacking(facts, &["disclosure.missing", "erasure.missing"]);
    let erased = facts.values.erased;
    if missing > 0 {
        let because =
            format!("{erased} values were erased as a receipt says; {missing} are missing without one");
        return (Shown::Partly, because, receipts);
    }
    if facts.erasures == 0 {
        return (Shown::Unseen, "nothing was erased".to_owned(), receipts);
    }
    (Shown::Held, format!("{erased} values were erased, and {} receipts say so", facts.erasures), receipts)
}

pub(super) fn kept(facts: &Facts, days: u32) -> Held {
    let apart = |first: UnixTime, last: UnixTime| last.seconds().saturating_sub(first.seconds()) / DAY;
    let mut receipts = facts.examples(Kind::Oldest);
    receipts.extend(facts.examples(Kind::Newest));
    let claimed = facts.claimed.map_or(0, |(first, last)| apart(first, last));
    let (Some(first), Some(last)) = facts.proven else {
        let because =
            format!("receipts claim to be {claimed} days apart, and no witness says when one existed");
        return (Shown::Unseen, because, receipts);
    };
    let proven = apart(first, last);
    let because = format!(
        "a witness saw the oldest {} days before the latest time that a witness or a list shows; {days} are asked for, and receipts claim {claimed}",
        proven.max(0)
    );
    (if proven >= i64::from(days) { Shown::Held } else { Shown::Unseen }, because, receipts)
}
