//! Who acts, who asks, and how far a certificate lets it.

use super::{Held, lacking};
use crate::facts::{Facts, Kind};
use crate::finding::{Pointer, Shown};

pub(super) fn bounded(facts: &Facts) -> Held {
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

pub(super) fn identities(facts: &Facts) -> Held {
    let first = facts.agents.values().filter_map(|agent| agent.certificates.values().next());
    let first = first.map(|it| it.first.clone()).take(crate::facts::FEW).collect();
    let agents = facts.agents.len();
    match lacking(facts, &["agent.ambiguous"]) {
        0 => (Shown::Held, format!("{agents} agents signed, each under one root and one name"), first),
        several => (Shown::Partly, format!("{several} names are borne by several agents"), first),
    }
}

pub(super) fn callers(facts: &Facts) -> Held {
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
