//! A decision in Rust: through the guard with a journal that records nothing, and bare.

use std::cell::Cell;

use allocation_counter::measure;
use kakunin_core::decision::Decision;
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::request::ActionRequest;
use kakunin_core::snapshot::Snapshot;

use crate::agent::{BenchAgent, vendors};
use crate::floor::Floor;
use crate::harness::{Subject, interleave};
use crate::{Outcome, table};

pub(crate) fn rows(agent: &BenchAgent) -> Outcome<()> {
    let guard = Guard::without_receipts(agent.source()?, GuardOptions::default())?;
    let snapshot = Snapshot::build(&agent.papers, &agent.lists, agent.now)?;
    let floor = Floor::new(vendors(), agent.now.seconds(), snapshot.agent().good_until().seconds());
    let now = agent.now.to_millis();

    let names: Vec<String> = vendors().step_by(16).collect();
    let amounts = ["125.00", "9.5", "4999.99", "10000.00", "0.01", "777"];
    let asked: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(amounts.into_iter().cycle()).collect();
    let turn = Cell::new(0_usize);
    let next = || {
        turn.set(turn.get() + 1);
        asked.get(turn.get() % 32).copied().unwrap_or_default()
    };
    let pay = |(name, amount)| ActionRequest::new("payments:send").amount(amount, "EUR").counterparty(name);
    let stranger = |(_, amount)| pay(("vendor-1000", amount));
    let too_much = |(name, _)| pay((name, "10000.01"));

    // Every subject does what it is meant to; the first call also starts what a guard starts once.
    let right = guard.admit(&pay(next())).is_ok()
        && guard.admit(&stranger(next())).is_err_and(|denied| denied.code() == "scope.counterparty")
        && guard.admit(&too_much(next())).is_err_and(|denied| denied.code() == "scope.amount")
        && matches!(snapshot.decide(&pay(next()), now), Decision::Allow(_));
    if !right {
        return Err("the guard does not decide as the bench expects".into());
    }
    for (action, amount, currency, name) in SAME_ANSWERS {
        let request = ActionRequest::new(action).amount(amount, currency).counterparty(name);
        if guard.admit(&request).is_ok() != floor.decide(action, amount, currency, name) {
            return Err(format!("guard and floor do not agree on {request:?}").into());
        }
    }

    let rounds = interleave(
        ROUNDS,
        &mut [
            Subject::new(CALLS, || {
                let (name, amount) = next();
                floor.decide("payments:send", amount, "EUR", name)
            }),
            Subject::new(CALLS, || guard.admit(&pay(next())).is_ok()),
            Subject::new(CALLS, || guard.admit(&stranger(next())).is_ok()),
            Subject::new(CALLS, || guard.admit(&too_much(next())).is_ok()),
            Subject::new(CALLS, || matches!(snapshot.decide(&pay(next()), now), Decision::Allow(_))),
            Subject::new(CALLS, || matches!(snapshot.decide(&stranger(next()), now), Decision::Allow(_))),
        ],
        || floor.audit(),
    );
    let by_hand = ("the same by hand", rounds.nanos(0));
    let allow = ("the allowed one", rounds.nanos(1));
    let what = "Rust: a full decision, 1 of 1,000 counterparties";
    table::ratio(what, rounds.nanos(1), by_hand, rounds.ratio(1, 0), Some(1.25));
    table::ratio("… denied: a stranger", rounds.nanos(2), allow, rounds.ratio(2, 1), Some(1.0));
    table::ratio("… denied: too much", rounds.nanos(3), allow, rounds.ratio(3, 1), Some(1.0));
    table::ratio("… scope and standing only", rounds.nanos(4), by_hand, rounds.ratio(4, 0), None);
    table::ratio("… scope and standing only, denied", rounds.nanos(5), by_hand, rounds.ratio(5, 0), None);

    let allowed = measure(|| drop(guard.admit(&pay(next())))).count_total;
    let denied = measure(|| drop(guard.admit(&stranger(next())))).count_total;
    table::count("… allocations, allowed", allowed, 0);
    table::count("… allocations, denied", denied, 0);
    guard.close();
    Ok(())
}

const ROUNDS: usize = 401;
const CALLS: u32 = 2_000;

/// Requests on which a floor that left something out would not answer as the guard does.
const SAME_ANSWERS: [(&str, &str, &str, &str); 16] = [
    ("payments:send", "125.00", "EUR", "vendor-0001"),
    ("payments:send", "10000.00", "EUR", "vendor-0001"),
    ("payments:send", "10000.01", "EUR", "vendor-0001"),
    ("payments:send", "0", "EUR", "vendor-0001"),
    ("payments:send", "0.5", "EUR", "vendor-0001"),
    ("payments:send", "007", "EUR", "vendor-0001"),
    ("payments:send", ".5", "EUR", "vendor-0001"),
    ("payments:send", "5.", "EUR", "vendor-0001"),
    ("payments:send", "", "EUR", "vendor-0001"),
    ("payments:send", "1.000", "EUR", "vendor-0001"),
    ("payments:send", "99999999999999999999", "EUR", "vendor-0001"),
    ("payments:send", "-1", "EUR", "vendor-0001"),
    ("payments:send", "125.00", "USD", "vendor-0001"),
    ("payments:send", "125.00", "EUR", "vendor-1000"),
    ("payments:send", "125.00", "EUR", "vendor-0001 "),
    ("payments:sent", "125.00", "EUR", "vendor-0001"),
];
