//! What others made of an agent: how its behaviour was judged, and what a gate signed.

use kakunin_core::id::AgentId;

use super::Held;
use crate::facts::{AgentFacts, Facts, Kind};
use crate::finding::Shown;

pub(super) fn behaviour(facts: &Facts) -> Held {
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

pub(super) fn gates(facts: &Facts) -> Held {
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
