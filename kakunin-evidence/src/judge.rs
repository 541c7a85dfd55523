//! The judgement: a predicate held against the facts.
//!
//! Evidence that does not verify speaks against everything that stands on it, and evidence that is empty shows nothing.
//! Everything else is figures, and each figure names receipts.

use crate::facts::{Facts, Kind, Settled};
use crate::finding::{Judgement, Pointer, Shown};
use crate::predicate::Predicate;

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
        Settled::Complete | Settled::NotComplete(_) if facts.receipts == 0 => {
            (Shown::Unseen, "no receipt is of this period".to_owned(), Vec::new())
        }
        Settled::Complete | Settled::NotComplete(_) => held(predicate, facts),
    };
    Judgement { predicate, shown, because, receipts }
}

type Held = (Shown, String, Vec<Pointer>);

fn held(predicate: Predicate, facts: &Facts) -> Held {
    match predicate {
        Predicate::LogContiguous {} => contiguous(facts),
        Predicate::AllWritesReceipted {} => receipted(facts),
        Predicate::DenialsRecorded {} => denials(facts),
        Predicate::DecisionsDescribed {} => described(facts),
        Predicate::Enforced {} => enforced(facts),
        Predicate::StopEnforced {} => stopped(facts),
        Predicate::RevocationLatency { seconds } => latency(facts, seconds),
        Predicate::ListsFresh {} => lists(facts),
        Predicate::CertificatesExpire { days } => expire(facts, days),
        Predicate::ScopeBounded {} => bounded(facts),
        Predicate::IdentitiesProven {} => identities(facts),
        Predicate::CallersProven {} => callers(facts),
        Predicate::DecisionsReplay {} => replay(facts),
        Predicate::ChainRebuilds {} => chains(facts),
        Predicate::TimeWitnessed {} => witnessed(facts),
        Predicate::ErasuresRecorded {} => erasures(facts),
        Predicate::RecordsKept { days } => kept(facts, days),
        Predicate::GateSigned {} => gates(facts),
        Predicate::RiskReplayed {} => behaviour(facts),
    }
}

fn contiguous(facts: &Facts) -> Held {
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

fn receipted(facts: &Facts) -> Held {
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

fn denials(facts: &Facts) -> Held {
    if facts.denied == 0 {
        let because = "no call was denied, so nothing shows that a denial is recorded".to_owned();
        return (Shown::Unseen, because, Vec::new());
    }
    let codes: Vec<String> = facts.reasons.iter().map(|(code, count)| format!("{code} {count}")).collect();
    let because = format!("{} denials, each with its reason: {}", facts.denied, codes.join(", "));
    (Shown::Held, because, facts.examples(Kind::Denied))
}

fn described(facts: &Facts) -> Held {
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

fn enforced(facts: &Facts) -> Held {
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
    let mut receipts = facts.examples(Kind::Denied);
    receipts.extend(facts.examples(Kind::Allowed));
    receipts.truncate(crate::facts::FEW);
    (Shown::Held, format!("{decisions} decisions, all of them enforced"), receipts)
}

fn stopped(facts: &Facts) -> Held {
    let unproven = lacking(facts, &["time.unproven"]);
    let receipts = facts.examples(Kind::Stopped);
    match (facts.stopped, unproven) {
        (0, 0) => (Shown::Unseen, "nobody was denied for being suspended or revoked".to_owned(), receipts),
        (0, _) => {
            let because = format!("{unproven} calls were allowed and are not proven older than the stop");
            (Shown::Partly, because, places(facts, "time.unproven"))
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

fn latency(facts: &Facts, most: u32) -> Held {
    // The nearest rank: of a hundred lists the ninety-ninth.
    let count = facts.latencies.len();
    let rank = count.saturating_mul(99).div_ceil(100).saturating_sub(1);
    let Some(seconds) = facts.latencies.get(rank) else {
        return (Shown::Unseen, "no list was signed and taken up while an agent ran".to_owned(), Vec::new());
    };
    let because = format!(
        "{count} lists were signed and taken up while an agent ran; of 99 in 100, nothing was decided by the one before later than {seconds} s after"
    );
    let shown = if *seconds <= u64::from(most) { Shown::Held } else { Shown::Against };
    (shown, because, facts.examples(Kind::SlowList))
}

fn lists(facts: &Facts) -> Held {
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

fn expire(facts: &Facts, days: u32) -> Held {
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

fn bounded(facts: &Facts) -> Held {
    let certificates = || facts.agents.values().flat_map(|agent| agent.certificates.values());
    let free: Vec<Pointer> = certificates()
        .filter(|it| it.any_action)
        .map(|it| it.first.clone())
        .take(crate::facts::FEW)
        .collect();
    if !free.is_empty() {
        return (Shown::Against, "a certificate that signed allows any action".to_owned(), free);
    }
    let first = certificates().map(|it| it.first.clone()).take(crate::facts::FEW).collect();
    let count = certificates().count();
    (Shown::Held, format!("{count} certificates signed, and each names the actions it allows"), first)
}

fn identities(facts: &Facts) -> Held {
    let first = facts.agents.values().filter_map(|agent| agent.certificates.values().next());
    let first = first.map(|it| it.first.clone()).take(crate::facts::FEW).collect();
    let agents = facts.agents.len();
    match lacking(facts, &["agent.ambiguous"]) {
        0 => (Shown::Held, format!("{agents} agents signed, each under one root and one name"), first),
        several => (Shown::Partly, format!("{several} names are borne by several agents"), first),
    }
}

fn callers(facts: &Facts) -> Held {
    let count = |words: &[&str]| {
        let known = words.iter().filter_map(|word| facts.callers.get(word));
        known.fold(0_u64, |sum, count| sum.saturating_add(*count))
    };
    let (strong, weak) = (count(&["signature", "tls"]), count(&["proxy", "none"]));
    match (strong, weak) {
        (0, 0) => (Shown::Unseen, "no gateway was asked".to_owned(), Vec::new()),
        (_, 0) => (
            Shown::Held,
            format!("{strong} calls came with proof of possession"),
            facts.examples(Kind::Caller),
        ),
        _ => {
            let because = format!(
                "{strong} calls came with proof of possession, {weak} by the word of a proxy or without any"
            );
            (Shown::Partly, because, facts.examples(Kind::WeakCaller))
        }
    }
}

fn replay(facts: &Facts) -> Held {
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

fn chains(facts: &Facts) -> Held {
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

fn witnessed(facts: &Facts) -> Held {
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
    let doubtful = lacking(facts, &["time.out_of_bracket"]);
    if doubtful > 0 {
        let because = format!("{because}; {doubtful} claim a time at which they cannot have been written");
        return (Shown::Against, because, places(facts, "time.out_of_bracket"));
    }
    (if witnessed == receipts { Shown::Held } else { Shown::Partly }, because, examples)
}

fn erasures(facts: &Facts) -> Held {
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

fn kept(facts: &Facts, days: u32) -> Held {
    let Some((first, last)) = facts.claimed else {
        return (Shown::Unseen, "no receipt is of this period".to_owned(), Vec::new());
    };
    let span = last.seconds().saturating_sub(first.seconds()) / DAY;
    let mut receipts = facts.examples(Kind::Oldest);
    receipts.extend(facts.examples(Kind::Newest));
    let because = format!("the oldest receipt is {span} days older than the newest; {days} are asked for");
    (if span >= i64::from(days) { Shown::Held } else { Shown::Unseen }, because, receipts)
}

fn behaviour(facts: &Facts) -> Held {
    let Some(watched) = &facts.watched else {
        return (Shown::Unseen, "no baseline was given to judge behaviour by".to_owned(), Vec::new());
    };
    let replay = &watched.replay;
    if replay.calls == 0 {
        return (Shown::Unseen, "no call here is of the agent of the baseline".to_owned(), Vec::new());
    }
    let receipts = watched.changes.iter().flatten().take(crate::facts::FEW).cloned().collect();
    let because = format!(
        "{} calls were judged by the baseline {}: {} changes of level, the highest {}, the peak {} of 1000, replay {}",
        replay.calls,
        watched.baseline,
        replay.changes.len(),
        replay.highest,
        replay.peak,
        replay.digest
    );
    // What is not judged is not watched: other agents have baselines of their own.
    (if replay.foreign == 0 { Shown::Held } else { Shown::Partly }, because, receipts)
}

fn gates(facts: &Facts) -> Held {
    let (passed, refused) = facts.gates;
    match (passed, refused) {
        (0, 0) => (Shown::Unseen, "no gate signed a verdict".to_owned(), Vec::new()),
        (0, _) => {
            let because = format!("a gate signed {refused} refusals and no promotion");
            (Shown::Partly, because, facts.examples(Kind::GateRefused))
        }
        _ => {
            let because = format!("a gate signed {passed} promotions and {refused} refusals");
            (Shown::Held, because, facts.examples(Kind::GatePassed))
        }
    }
}

const DAY: i64 = 86_400;

#[cfg(test)]
mod tests;
