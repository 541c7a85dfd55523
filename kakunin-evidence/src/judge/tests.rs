//! Every predicate, over facts that hold, hold with exceptions, say nothing, or say the opposite.

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use kakunin_core::verify::{ReplayCount, ValueCount};

use super::*;
use crate::facts::{AgentFacts, CertificateFacts, Period};
use crate::gates::GateVerdict;
use crate::lists::Wait;

/// A predicate, and what makes it come out so.
type Case = (Predicate, fn(&mut Facts));

fn pointer() -> Pointer {
    Pointer { receipt: "aa".repeat(32), stream: "bb".repeat(16), seq: 1, line: Some(2) }
}

fn worker() -> AgentId {
    AgentId::from_random([7; 16])
}

fn root() -> Digest {
    Digest::of(b"root")
}

/// What a gate says of `subject`.
fn verdict(subject: Option<AgentId>, promotes: bool) -> GateVerdict {
    GateVerdict { gate: AgentId::from_random([9; 16]), root: root(), subject, promotes }
}

fn waits(seconds: &[u64]) -> Vec<Wait> {
    seconds.iter().map(|seconds| Wait { seconds: *seconds, taken: true, last: pointer() }).collect()
}

/// Two decisions of one agent over a week, whole and witnessed.
fn facts() -> Facts {
    let mut facts = Facts::none(Period::default());
    facts.settled = Settled::Complete;
    facts.exit = 0;
    (facts.seen, facts.receipts, facts.streams, facts.witnessed) = (5, 5, 1, 5);
    (facts.allowed, facts.denied, facts.outcomes) = (1, 1, 1);
    let week = (UnixTime::from_seconds(0), UnixTime::from_seconds(7 * DAY));
    (facts.claimed, facts.proven) = (Some(week), (Some(week.0), Some(week.1)));
    facts.outside = 1;
    facts.reasons.insert("scope.amount".to_owned(), 1);
    let certificate = CertificateFacts {
        seconds: 7 * DAY,
        any_action: false,
        bounded: true,
        gate: false,
        first: pointer(),
    };
    let agent = AgentFacts {
        certificates: [(Digest::of(b"c"), certificate)].into(),
        roots: [root()].into(),
        receipts: 5,
    };
    facts.agents.insert(worker(), agent);
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
        Predicate::ScopeDenied {},
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
        (Predicate::GateSigned {}, |facts| {
            facts.gates.insert(verdict(Some(worker()), false), 1);
        }),
    ];
    for (predicate, change) in partly {
        assert_eq!(shown(predicate, change), Shown::Partly, "{predicate}");
    }
}

#[test]
fn what_the_receipts_say_themselves_can_speak_against() {
    let against: Vec<Case> = vec![
        (Predicate::Enforced {}, |facts| (facts.observed, facts.observed_denials) = (1, 1)),
        (Predicate::RevocationLatency { seconds: 60 }, |facts| facts.waits = waits(&[0, 61])),
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
        Predicate::ScopeDenied {},
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
        (Predicate::RevocationLatency { seconds: 60 }, |facts| facts.waits = waits(&[0, 60])),
        (Predicate::CallersProven {}, |facts| facts.callers = [("tls", 1)].into()),
        (Predicate::ChainRebuilds {}, |facts| facts.linked = 1),
        (Predicate::ErasuresRecorded {}, |facts| {
            facts.erasures = 1;
            facts.values = ValueCount { erased: 1, ..ValueCount::default() };
        }),
        (Predicate::GateSigned {}, |facts| {
            facts.gates.insert(verdict(Some(worker()), true), 1);
        }),
    ];
    for (predicate, change) in held {
        assert_eq!(shown(predicate, change), Shown::Held, "{predicate}");
    }
}

/// Of a hundred lists one may be late, of ninety-nine none.
#[test]
fn the_ninety_ninth_list_of_a_hundred_counts() {
    let of = |count: usize, late: u64| {
        let mut all = vec![1; count];
        all.push(late);
        shown(Predicate::RevocationLatency { seconds: 60 }, |facts| facts.waits = waits(&all))
    };
    assert_eq!(of(99, 900), Shown::Held);
    assert_eq!(of(98, 900), Shown::Against);
}

/// Row E11 of docs/attacks.md: a log holds what was left out, or something else.
#[test]
fn a_log_that_proves_receipts_left_out_or_written_twice_speaks_against_everything() {
    for code in ["stream.missing", "stream.contradicted"] {
        for predicate in every() {
            let doctored = |facts: &mut Facts| {
                facts.settled = Settled::NotComplete(vec![code.into()]);
                facts.lacks.insert(code, 1);
            };
            assert_eq!(shown(predicate, doctored), Shown::Against, "{code}: {predicate}");
            let elsewhere = |facts: &mut Facts| {
                doctored(facts);
                facts.receipts = 0;
            };
            assert_eq!(shown(predicate, elsewhere), Shown::Against, "in another period, {code}: {predicate}");
        }
    }
    let mut facts = facts();
    facts.settled = Settled::NotComplete(vec!["stream.missing".into()]);
    facts.lacks.insert("stream.missing", 1);
    let stream = kakunin_core::id::StreamId::from_bytes([3; 16]);
    facts.lacking.insert("stream.missing", vec![(stream, 0)]);
    let found = judge(Predicate::Enforced {}, &facts);
    assert_eq!(found.receipts[0].stream, stream.to_string());
    assert!(found.because.contains("stream.missing"), "{}", found.because);
}

#[test]
fn times_that_cannot_be_speak_against_what_stands_on_times_and_the_rest_is_partly_shown() {
    let outside = |facts: &mut Facts| {
        facts.settled = Settled::NotComplete(vec!["time.out_of_bracket".into()]);
        facts.lacks.insert("time.out_of_bracket", 1);
    };
    for predicate in [
        Predicate::LogContiguous {},
        Predicate::DecisionsDescribed {},
        Predicate::StopEnforced {},
        Predicate::RevocationLatency { seconds: 60 },
        Predicate::ListsFresh {},
        Predicate::TimeWitnessed {},
        Predicate::RecordsKept { days: 7 },
        Predicate::RiskReplayed {},
    ] {
        assert_eq!(shown(predicate, outside), Shown::Against, "{predicate}");
    }
    assert_eq!(shown(Predicate::Enforced {}, outside), Shown::Partly);
}

/// What is counted over all receipts is not shown where some are wanting; an end that nobody witnessed is no such thing.
#[test]
fn counts_over_receipts_that_are_not_whole_hold_only_in_part() {
    for predicate in [
        Predicate::AllWritesReceipted {},
        Predicate::DenialsRecorded {},
        Predicate::ScopeDenied {},
        Predicate::DecisionsDescribed {},
        Predicate::Enforced {},
        Predicate::ListsFresh {},
    ] {
        for (code, expected) in [
            ("stream.open", Shown::Partly),
            ("stream.torn", Shown::Partly),
            ("stream.recovered", Shown::Partly),
            ("receipt.unsigned", Shown::Partly),
            ("tail.not_witnessed", Shown::Held),
            ("disclosure.missing", Shown::Held),
        ] {
            let lacking = |facts: &mut Facts| {
                facts.settled = Settled::NotComplete(vec![code.into()]);
                facts.lacks.insert(code, 1);
            };
            assert_eq!(shown(predicate, lacking), expected, "{code}: {predicate}");
        }
    }
}

/// Row E12: without a denial nothing shows that one stops anything, and a denial that was observed is none.
#[test]
fn enforcement_is_shown_by_denials_that_stopped_something() {
    let allowed = |facts: &mut Facts| (facts.denied, facts.outside) = (0, 0);
    for predicate in [Predicate::Enforced {}, Predicate::DenialsRecorded {}, Predicate::ScopeDenied {}] {
        assert_eq!(shown(predicate, allowed), Shown::Unseen, "{predicate}");
    }
    let observed = |facts: &mut Facts| (facts.observed, facts.observed_denials, facts.outside) = (1, 1, 0);
    for predicate in [Predicate::DenialsRecorded {}, Predicate::ScopeDenied {}] {
        assert_eq!(shown(predicate, observed), Shown::Unseen, "{predicate}");
    }
    // A list that was too old denies, and shows nothing of a scope.
    let stale = |facts: &mut Facts| facts.outside = 0;
    assert_eq!(shown(Predicate::ScopeDenied {}, stale), Shown::Unseen);
    assert_eq!(shown(Predicate::DenialsRecorded {}, stale), Shown::Held);
    let unproven = |facts: &mut Facts| {
        facts.lacks.insert("time.unproven", 1);
    };
    assert_eq!(shown(Predicate::StopEnforced {}, unproven), Shown::Unseen);
}

#[test]
fn families_of_actions_without_another_bound_are_bounded_in_part() {
    let wide = |facts: &mut Facts| {
        for certificate in facts.agents.values_mut().flat_map(|agent| agent.certificates.values_mut()) {
            certificate.bounded = false;
        }
    };
    assert_eq!(shown(Predicate::ScopeBounded {}, wide), Shown::Partly);
}

/// Row E14: what counts is a gate's word about each agent that is here, under that agent's root.
#[test]
fn a_promotion_counts_for_the_agent_it_names_under_its_root_and_for_no_other() {
    let of = |verdict: GateVerdict| {
        shown(Predicate::GateSigned {}, |facts| {
            facts.gates.insert(verdict, 1);
        })
    };
    assert_eq!(of(verdict(Some(worker()), true)), Shown::Held);
    assert_eq!(of(verdict(None, true)), Shown::Partly, "it does not show whom it is about");
    assert_eq!(of(verdict(Some(AgentId::from_random([1; 16])), true)), Shown::Partly, "about another");
    let own = GateVerdict { gate: worker(), ..verdict(Some(worker()), true) };
    assert_eq!(of(own), Shown::Partly, "about itself");
    let foreign = GateVerdict { root: Digest::of(b"another"), ..verdict(Some(worker()), true) };
    assert_eq!(of(foreign), Shown::Partly, "of another owner's gate");
    let two = |facts: &mut Facts| {
        facts.gates.insert(verdict(Some(worker()), true), 1);
        let other = facts.agents[&worker()].clone();
        facts.agents.insert(AgentId::from_random([8; 16]), other);
    };
    assert_eq!(shown(Predicate::GateSigned {}, two), Shown::Partly, "one of two");
    assert_eq!(shown(Predicate::GateSigned {}, |facts| facts.ungated = 3), Shown::Unseen);
}

/// Row E15: a guard that never took a list up is the slowest.
#[test]
fn a_guard_that_never_took_a_list_up_is_not_left_out() {
    let predicate = Predicate::RevocationLatency { seconds: 60 };
    let with = |many: usize, seconds: u64| {
        shown(predicate, |facts| {
            facts.waits = waits(&vec![1; many]);
            facts.waits.push(Wait { seconds, taken: false, last: pointer() });
        })
    };
    assert_eq!(with(1, 900), Shown::Against);
    assert_eq!(with(200, 900), Shown::Partly, "one in two hundred, and it never did");
    assert_eq!(with(1, 20), Shown::Held, "it ended before the time was over");
}

/// Row E16: times that an agent claims keep nothing for five years.
#[test]
fn records_are_as_old_as_others_show_and_not_as_they_claim() {
    let claims = |proven: (Option<i64>, Option<i64>)| {
        shown(Predicate::RecordsKept { days: 183 }, |facts| {
            let time = |days: i64| UnixTime::from_seconds(days * DAY);
            facts.claimed = Some((time(0), time(2000)));
            facts.proven = (proven.0.map(time), proven.1.map(time));
        })
    };
    assert_eq!(claims((None, None)), Shown::Unseen);
    assert_eq!(claims((None, Some(2000))), Shown::Unseen);
    assert_eq!(claims((Some(1999), Some(2000))), Shown::Unseen);
    assert_eq!(claims((Some(1817), Some(2000))), Shown::Held);
}
