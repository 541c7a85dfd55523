//! What was decided: that it was recorded, whom it stopped, and that it comes out the same again.

use super::{Held, lacking, places};
use crate::facts::{Facts, Kind};
use crate::finding::Shown;

pub(super) fn receipted(facts: &Facts) -> Held {
    let without = lacking(facts, &["outcome.missing"]);
    let unsigned = lacking(facts, &["receipt.unsigned"]);
    // What was denied and only observed ran as well.
    let ran = facts.allowed.saturating_add(facts.observed_denials);
    if ran == 0 {
        return (Shown::Unseen, "no call ran".to_owned(), Vec::new());
    }
    if without > 0 || unsigned > 0 {
        let mut receipts = places(facts, "outcome.missing");
        receipts.extend(places(facts, "receipt.unsigned"));
        let because =
            format!("{ran} calls might run; {without} have no outcome, and {unsigned} receipts no signature");
        return (Shown::Partly, because, receipts);
    }
    let because = format!("{ran} calls might run, each with its decision and its outcome");
    (Shown::Held, because, facts.examples(Kind::Outcome))
}

/// Denials that stopped the action; one that was only observed denied nothing.
fn stopping(facts: &Facts) -> u64 {
    facts.denied.saturating_sub(facts.observed_denials)
}

pub(super) fn denials(facts: &Facts) -> Held {
    let denied = stopping(facts);
    if denied == 0 {
        let because = "no call was denied, so nothing shows that a denial is recorded".to_owned();
        return (Shown::Unseen, because, Vec::new());
    }
    let codes: Vec<String> = facts.reasons.iter().map(|(code, count)| format!("{code} {count}")).collect();
    let because = match facts.observed_denials {
        0 => format!("{denied} denials, each with its reason: {}", codes.join(", ")),
        only => {
            format!("{denied} denials, and {only} only observed, each with its reason: {}", codes.join(", "))
        }
    };
    (Shown::Held, because, facts.examples(Kind::Denied))
}

pub(super) fn outside(facts: &Facts) -> Held {
    match (facts.outside, stopping(facts)) {
        (0, 0) => (Shown::Unseen, "no call was denied".to_owned(), Vec::new()),
        (0, others) => {
            let because = format!("{others} denials, none of them by what a certificate allows");
            (Shown::Unseen, because, Vec::new())
        }
        (outside, _) => {
            let because = format!("{outside} calls were denied because the certificate does not allow them");
            (Shown::Held, because, facts.examples(Kind::Outside))
        }
    }
}

pub(super) fn described(facts: &Facts) -> Held {
    let decisions = facts.allowed.saturating_add(facts.denied);
    if decisions == 0 {
        return (Shown::Unseen, "nothing was decided".to_owned(), Vec::new());
    }
    let mut receipts = facts.examples(Kind::Allowed);
    receipts.extend(facts.examples(Kind::Denied));
    receipts.truncate(crate::facts::FEW);
    let nameless = facts.nameless;
    let because = match nameless {
        0 => format!("{decisions} decisions, each with agent, certificate, action, time and answer"),
        _ => format!(
            "{decisions} decisions with agent, certificate, time and answer; {nameless} were denied because what they asked for had no name"
        ),
    };
    (Shown::Held, because, receipts)
}

pub(super) fn enforced(facts: &Facts) -> Held {
    let decisions = facts.allowed.saturating_add(facts.denied);
    let (observed, passed) = (facts.observed, facts.observed_denials);
    if decisions == 0 {
        return (Shown::Unseen, "nothing was decided".to_owned(), Vec::new());
    }
    if passed > 0 {
        let because = format!("{passed} denials were only observed, and did not stop the action");
        return (Shown::Against, because, facts.examples(Kind::ObservedDenial));
    }
    if observed > 0 {
        let because =
            format!("{observed} of {decisions} decisions were observed and would not have stopped anything");
        return (Shown::Partly, because, facts.examples(Kind::Observed));
    }
    let denied = stopping(facts);
    if denied == 0 {
        let because = format!(
            "{decisions} decisions, none of them a denial: nothing shows that a denial stops anything"
        );
        return (Shown::Unseen, because, Vec::new());
    }
    let because = format!("{decisions} decisions, all of them enforced, and {denied} denials among them");
    (Shown::Held, because, facts.examples(Kind::Denied))
}

pub(super) fn replay(facts: &Facts) -> Held {
    let receipts = facts.examples(Kind::Allowed);
    match facts.replay {
        None => (Shown::Unseen, "nothing was decided again".to_owned(), Vec::new()),
        Some(count) if count.same == 0 => {
            let because = format!("none of {} decisions can be decided again by what is here", count.open);
            (Shown::Unseen, because, Vec::new())
        }
        Some(count) if count.open > 0 => {
            let because = format!(
                "{} decisions come out the same; {} cannot be decided again by what is here",
                count.same, count.open
            );
            (Shown::Partly, because, receipts)
        }
        Some(count) => (Shown::Held, format!("{} decisions come out the same", count.same), receipts),
    }
}

pub(super) fn chains(facts: &Facts) -> Held {
    let broken = lacking(facts, &["parent.missing", "chain.length_unproven"]);
    let receipts = facts.examples(Kind::Linked);
    match (facts.linked, broken) {
        (0, _) => (Shown::Unseen, "no call follows from another".to_owned(), Vec::new()),
        (linked, 0) => {
            (Shown::Held, format!("{linked} calls follow from others, and what they name is here"), receipts)
        }
        (linked, broken) => {
            let because =
                format!("{linked} calls follow from others; {broken} links lead to what is not here");
            (Shown::Partly, because, receipts)
        }
    }
}
