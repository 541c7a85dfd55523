//! Every predicate, over facts that hold, hold with exceptions, say nothing, or say the opposite.

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use kakunin_core::verify::{ReplayCount, ValueCount};

use super::*;
use crate::facts::{AgentFacts, CertificateFacts, Period};

/// A predicate, and what makes it come out so.
type Case = (Predicate, fn(&mut Facts));

fn pointer() -> Pointer {
    Pointer { receipt: "aa".repeat(32), stream: "bb".repeat(16), seq: 1, line: Some(2) }
}

/// Two decisions of one agent over a week, whole and witnessed.
fn facts() -> Facts {
    let mut facts = Facts::none(Period::default());
    facts.settled = Settled::Complete;
    facts.exit = 0;
    (facts.seen, facts.receipts, facts.streams, facts.witnessed) = (5, 5, 1, 5);
    (facts.allowed, facts.denied, facts.outcomes) = (1, 1, 1);
    facts.claimed = Some((UnixTime::from_seconds(0), UnixTime::from_seconds(7 * DAY)));
    facts.reasons.insert("scope.amount".to_owned(), 1);
    let certificate = CertificateFacts { seconds: 7 * DAY, any_action: false, first: pointer() };
    let agent = AgentFacts { certificates: [(Digest::of(b"c"), certificate)].into(), receipts: 5 };
    facts.agents.insert(AgentId::from_random([7; 16]), agent);
    facts.replay = Some(ReplayCount { same: 2, open: 0 });
    facts
}

fn shown(predicate: Predicate, change: impl FnOnce(&mut Facts)) -> Shown {
    let mut facts = facts();
    change(&mut facts);
    judge(predicate, &facts).shown
}

fn every() -> Vec<Predicate> {
    vec![
        Predicate::LogContiguous {},
        Predicate::AllWritesReceipted {},
        Predicate::DenialsRecorded {},
        Predicate::DecisionsDescribed {},
        Predicate::Enforced {},
        Predicate::StopEnforced {},
        Predicate::RevocationLatency { seconds: 60 },
        Predicate::ListsFresh {},
        Predicate::CertificatesExpire { days: 400 },
        Predicate::ScopeBounded {},
        Predicate::IdentitiesProven {},
        Predicate::CallersProven {},
        Predicate::DecisionsReplay {},
        Predicate::ChainRebuilds {},
        Predicate::TimeWitnessed {},
        Predicate::ErasuresRecorded {},
        Predicate::RecordsKept { days: 7 },
        Predicate::GateSigned {},
        Predicate::RiskReplayed {},
    ]
}

#[test]
fn evidence_that_does_not_verify_speaks_against_everything() {
    for predicate in every() {
        let broken = |facts: &mut Facts| {
            facts.settled =
                Settled::Invalid { code: "receipt.sequence".into(), text: "a gap".into(), at: None };
        };
        assert_eq!(shown(predicate, broken), Shown::Against, "{predicate}");
    }
}

#[test]
fn evidence_that_is_empty_or_of_another_time_shows_nothing() {
    for predicate in every() {
        assert_eq!(shown(predicate, |facts| facts.settled = Settled::Empty), Shown::Unseen, "{predicate}");
        assert_eq!(shown(predicate, |facts| facts.receipts = 0), Shown::Unseen, "{predicate}");
    }
}

#[test]
fn what_was_never_seen_is_not_claimed() {
    for predicate in [
        Predicate::StopEnforced {},
        Predicate::RevocationLatency { seconds: 60 },
        Predicate::CallersProven {},
        Predicate::ChainRebuilds {},
        Predicate::ErasuresRecorded {},
        Predicate::GateSigned {},
        Predicate::RiskReplayed {},
        Predicate::RecordsKept { days: 8 },
    ] {
        assert_eq!(shown(predicate, |_| ()), Shown::Unseen, "{predicate}");
    }
    assert_eq!(shown(Predicate::DenialsRecorded {}, |facts| facts.denied = 0), Shown::Unseen);
    assert_eq!(shown(Predicate::TimeWitnessed {}, |facts| facts.witnessed = 0), Shown::Unseen);
    assert_eq!(shown(Predicate::DecisionsReplay {}, |facts| facts.replay = None), Shown::Unseen);
    let open = |facts: &mut Facts| facts.replay = Some(ReplayCount { same: 0, open: 2 });
    assert_eq!(shown(Predicate::DecisionsReplay {}, open), Shown::Unseen);
    for predicate in [Predicate::AllWritesReceipted {}, Predicate::ListsFresh {}] {
        assert_eq!(shown(predicate, |facts| facts.allowed = 0), Shown::Unseen, "{predicate}");
    }
    for predicate in [Predicate::Enforced {}, Predicate::DecisionsDescribed {}] {
        let nothing = |facts: &mut Facts| (facts.allowed, facts.denied) = (0, 0);
        assert_eq!(shown(predicate, nothing), Shown::Unseen, "{predicate}");
    }
}

#[test]
fn what_holds_with_exceptions_is_partly_shown() {
    let partly: Vec<Case> = vec![
        (Predicate::LogContiguous {}, |facts| {
            facts.settled = Settled::NotComplete(vec!["stream.open".into()]);
        }),
        (Predicate::AllWritesReceipted {}, |facts| {
            facts.lacks.insert("outcome.missing", 1);
        }),
        (Predicate::AllWritesReceipted {}, |facts| {
            facts.lacks.insert("receipt.unsigned", 1);
        }),
        (Predicate::Enforced {}, |facts| facts.observed = 1),
        (Predicate::StopEnforced {}, |facts| {
            facts.stopped = 1;
            facts.lacks.insert("time.unproven", 1);
        }),
        (Predicate::StopEnforced {}, |facts| {
            facts.lacks.insert("time.unproven", 1);
        }),
        (Predicate::IdentitiesProven {}, |facts| {
            facts.lacks.insert("agent.ambiguous", 1);
        }),
        (Predicate::CallersProven {}, |facts| facts.callers = [("tls", 3), ("none", 1)].into()),
        (Predicate::DecisionsReplay {}, |facts| facts.replay = Some(ReplayCount { same: 1, open: 1 })),
        (Predicate::ChainRebuilds {}, |facts| {
            facts.linked = 2;
            facts.lacks.insert("parent.missing", 1);
        }),
        (Predicate::TimeWitnessed {}, |facts| facts.witnessed = 4),
        (Predicate::ErasuresRecorded {}, |facts| {
            facts.erasures = 1;
            facts.lacks.insert("disclosure.missing", 1);
        }),
        (Predicate::GateSigned {}, |facts| facts.gates = (0, 1)),
    ];
    for (predicate, change) in partly {
        assert_eq!(shown(predicate, change), Shown::Partly, "{predicate}");
    }
}

#[test]
fn what_the_receipts_say_themselves_can_speak_against() {
    let against: Vec<Case> = vec![
        (Predicate::Enforced {}, |facts| (facts.observed, facts.observed_denials) = (1, 1)),
        (Predicate::RevocationLatency { seconds: 60 }, |facts| facts.latencies = vec![0, 61]),
        (Predicate::ListsFresh {}, |facts| facts.unlisted = 1),
        (Predicate::CertificatesExpire { days: 6 }, |_| ()),
        (Predicate::ScopeBounded {}, |facts| {
            for certificate in facts.agents.values_mut().flat_map(|agent| agent.certificates.values_mut()) {
                certificate.any_action = true;
            }
        }),
        (Predicate::TimeWitnessed {}, |facts| {
            facts.lacks.insert("time.out_of_bracket", 1);
        }),
        (Predicate::ErasuresRecorded {}, |facts| {
            facts.erasures = 1;
            facts.lacks.insert("disclosure.not_erased", 1);
        }),
    ];
    for (predicate, change) in against {
        assert_eq!(shown(predicate, change), Shown::Against, "{predicate}");
    }
}

#[test]
fn what_is_whole_holds() {
    for predicate in [
        Predicate::LogContiguous {},
        Predicate::AllWritesReceipted {},
        Predicate::DenialsRecorded {},
        Predicate::DecisionsDescribed {},
        Predicate::Enforced {},
        Predicate::ListsFresh {},
        Predicate::CertificatesExpire { days: 7 },
        Predicate::ScopeBounded {},
        Predicate::IdentitiesProven {},
        Predicate::DecisionsReplay {},
        Predicate::TimeWitnessed {},
        Predicate::RecordsKept { days: 7 },
    ] {
        assert_eq!(shown(predicate, |_| ()), Shown::Held, "{predicate}");
    }
    let held: Vec<Case> = vec![
        (Predicate::StopEnforced {}, |facts| facts.stopped = 1),
        (Predicate::RevocationLatency { seconds: 60 }, |facts| facts.latencies = vec![0, 60]),
        (Predicate::CallersProven {}, |facts| facts.callers = [("tls", 1)].into()),
        (Predicate::ChainRebuilds {}, |facts| facts.linked = 1),
        (Predicate::ErasuresRecorded {}, |facts| {
            facts.erasures = 1;
            facts.values = ValueCount { erased: 1, ..ValueCount::default() };
        }),
        (Predicate::GateSigned {}, |facts| facts.gates = (1, 0)),
    ];
    for (predicate, change) in held {
        assert_eq!(shown(predicate, change), Shown::Held, "{predicate}");
    }
}

/// Of a hundred lists one may be late, of ninety-nine none.
#[test]
fn the_ninety_ninth_list_of_a_hundred_counts() {
    let of = |count: usize, late: u64| {
        let mut latencies = vec![1; count];
        latencies.push(late);
        shown(Predicate::RevocationLatency { seconds: 60 }, |facts| facts.latencies = latencies)
    };
    assert_eq!(of(99, 900), Shown::Held);
    assert_eq!(of(98, 900), Shown::Against);
}
