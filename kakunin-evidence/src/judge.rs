//! The judgement: a predicate held against the facts.
//!
//! Evidence that does not verify speaks against everything that stands on it, and so does evidence of which a log shows that
//! it was doctored; evidence that is empty shows nothing. Everything else is figures, and each figure names receipts.

mod whole;

use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;

use crate::facts::{AgentFacts, Facts, Kind, Settled};
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
        Predicate::LogContiguous {} => contiguous(facts),
        Predicate::AllWritesReceipted {} => receipted(facts),
        Predicate::DenialsRecorded {} => denials(facts),
        Predicate::ScopeDenied {} => outside(facts),
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

/// Denials that stopped the action; one that was only observed denied nothing.
fn stopping(facts: &Facts) -> u64 {
    facts.denied.saturating_sub(facts.observed_denials)
}

fn denials(facts: &Facts) -> Held {
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

fn outside(facts: &Facts) -> Held {
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

fn stopped(facts: &Facts) -> Held {
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

fn latency(facts: &Facts, most: u32) -> Held {
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
    let count = certificates().count();
    let wide = || certificates().filter(|it| !it.bounded);
    if wide().next().is_some() {
        let because = format!(
            "{} of {count} certificates that signed allow whole families of actions without a bound on money, counterparty, resource or rate",
            wide().count()
        );
        return (Shown::Partly, because, wide().map(|it| it.first.clone()).take(crate::facts::FEW).collect());
    }
    let first = certificates().map(|it| it.first.clone()).take(crate::facts::FEW).collect();
    let because = format!(
        "{count} certificates signed; each action that one allows is named, or bounded by money, counterparty, resource or rate"
    );
    (Shown::Held, because, first)
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
    let others = match facts.ungated {
        0 => String::new(),
        many => format!("; {many} receipts are named so and are of no gate"),
    };
    let count = |promotes: bool| {
        let of = facts.gates.iter().filter(|(verdict, _)| verdict.promotes == promotes);
        of.fold(0_u64, |sum, (_, many)| sum.saturating_add(*many))
    };
    let (passed, refused) = (count(true), count(false));
    if passed == 0 {
        let receipts = facts.examples(Kind::GateRefused);
        return match refused {
            0 => (Shown::Unseen, format!("no gate signed a verdict{others}"), Vec::new()),
            _ => {
                (Shown::Partly, format!("gates signed {refused} refusals and no promotion{others}"), receipts)
            }
        };
    }
    // Whom a gate under its own root promoted.
    let promoted = |agent: &AgentId| {
        let roots = facts.agents.get(agent).map(|it| &it.roots);
        facts.gates.keys().any(|verdict| {
            verdict.promotes
                && verdict.subject == Some(*agent)
                && verdict.gate != *agent
                && roots.is_some_and(|roots| roots.contains(&verdict.root))
        })
    };
    let is_gate = |agent: &AgentFacts| agent.certificates.values().all(|it| it.gate);
    let judged: Vec<&AgentId> =
        facts.agents.iter().filter(|(_, agent)| !is_gate(agent)).map(|(id, _)| id).collect();
    let without = judged.iter().filter(|agent| !promoted(agent)).count();
    let named = facts.gates.keys().filter(|verdict| verdict.promotes).take(crate::facts::FEW);
    let named: Vec<String> = named
        .map(|verdict| match verdict.subject {
            Some(subject) => format!("{} of {subject}", verdict.gate),
            None => format!("{} of an agent that is not shown", verdict.gate),
        })
        .collect();
    let because = format!(
        "gates signed {passed} promotions and {refused} refusals: {}; {without} of {} agents that signed here have none{others}",
        named.join(", "),
        judged.len()
    );
    let shown = if without == 0 && !judged.is_empty() { Shown::Held } else { Shown::Partly };
    (shown, because, facts.examples(Kind::GatePassed))
}

const DAY: i64 = 86_400;

#[cfg(test)]
mod tests;
