//! How fast a revocation takes hold, and how long anything is believed without one.

use super::{DAY, Held, lacking, places};
use crate::facts::{Facts, Kind};
use crate::finding::{Pointer, Shown};

pub(super) fn stopped(facts: &Facts) -> Held {
    let unproven = lacking(facts, &["time.unproven"]);
    let receipts = facts.examples(Kind::Stopped);
    match (facts.stopped, unproven) {
        (0, 0) => (Shown::Unseen, "nobody was denied for being suspended or revoked".to_owned(), receipts),
        (0, _) => {
            let because = format!(
                "nobody was denied for being stopped; {unproven} calls were allowed and are not proven older than the stop"
            );
            (Shown::Unseen, because, places(facts, "time.unproven"))
        }
        (stopped, 0) => {
            let because = format!("{stopped} calls were denied because the agent was suspended or revoked");
            (Shown::Held, because, receipts)
        }
        (stopped, _) => {
            let because = format!(
                "{stopped} calls were denied because the agent was stopped; {unproven} allowed ones are not proven older"
            );
            (Shown::Partly, because, receipts)
        }
    }
}

pub(super) fn latency(facts: &Facts, most: u32) -> Held {
    // The nearest rank: of a hundred waits the ninety-ninth.
    let count = facts.waits.len();
    let rank = count.saturating_mul(99).div_ceil(100).saturating_sub(1);
    let Some(wait) = facts.waits.get(rank) else {
        return (Shown::Unseen, "no list was signed while a guard ran".to_owned(), Vec::new());
    };
    let (seconds, most) = (wait.seconds, u64::from(most));
    let late = facts.waits.iter().filter(|wait| !wait.taken && wait.seconds > most).count();
    let because = format!(
        "{count} times a list was signed while a guard ran; in 99 of 100, nothing was decided by an older one later than {seconds} s after"
    );
    if seconds > most {
        let mut receipts = facts.examples(Kind::MissedList);
        receipts.extend(facts.examples(Kind::SlowList));
        receipts.truncate(crate::facts::FEW);
        return (Shown::Against, because, receipts);
    }
    if late > 0 {
        let because = format!("{because}; {late} times it went on for longer and never took it up");
        return (Shown::Partly, because, facts.examples(Kind::MissedList));
    }
    (Shown::Held, because, facts.examples(Kind::SlowList))
}

pub(super) fn lists(facts: &Facts) -> Held {
    let allowed = facts.allowed;
    if allowed == 0 {
        return (Shown::Unseen, "no call was allowed".to_owned(), Vec::new());
    }
    if facts.unlisted > 0 {
        let because = format!("{} of {allowed} allowed calls name no list", facts.unlisted);
        return (Shown::Against, because, Vec::new());
    }
    let because = format!("{allowed} allowed calls, each by a list that was in force");
    (Shown::Held, because, facts.examples(Kind::Allowed))
}

pub(super) fn expire(facts: &Facts, days: u32) -> Held {
    let certificates = || facts.agents.values().flat_map(|agent| agent.certificates.values());
    let most = i64::from(days).saturating_mul(DAY);
    let long: Vec<Pointer> = certificates()
        .filter(|it| it.seconds > most)
        .map(|it| it.first.clone())
        .take(crate::facts::FEW)
        .collect();
    let longest = certificates().map(|it| it.seconds).max().unwrap_or(0) / DAY;
    let count = certificates().count();
    if !long.is_empty() {
        let because = format!("a certificate that signed lives {longest} days, more than {days}");
        return (Shown::Against, because, long);
    }
    let first = certificates().map(|it| it.first.clone()).take(crate::facts::FEW).collect();
    (Shown::Held, format!("{count} certificates signed, and the longest lives {longest} days"), first)
}
