//! A guarded function in Rust: by the attribute, and by the same calls written by hand. No receipts are made here: what
//! they cost is measured elsewhere, and would hide what the attribute adds.

use std::cell::Cell;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use kakunin_core::decision::DenialReason;
use kakunin_core::guard::{Denied, Guard, GuardOptions, Running, current_agent, use_agent, with_agent};
use kakunin_core::request::ActionRequest;
use kakunin_core::verify_agent_scope;

use crate::agent::{BenchAgent, vendors};
use crate::harness::{Rounds, Subject, interleave};
use crate::{Outcome, table};

type Answer = Result<usize, Box<Denied>>;

#[inline(never)]
fn by_hand(guard: &Guard, amount: &str, to: &str) -> Answer {
    let running = asked(guard, amount, to)?;
    ended(running, body(amount, to))
}

/// As whoever acts here, which a function that names no agent has to find out.
#[inline(never)]
fn current_by_hand(amount: &str, to: &str) -> Answer {
    let running = asked(&acting()?, amount, to)?;
    ended(running, body(amount, to))
}

async fn awaited_by_hand(amount: &str, to: &str) -> Answer {
    let running = asked(&acting()?, amount, to)?;
    let answer = async { body(amount, to) }.await;
    ended(running, answer)
}

#[inline(always)]
fn acting() -> Result<Guard, Box<Denied>> {
    let missing = || Denied::new(DenialReason::AgentMissing.into(), "payments:send", None, None).into();
    current_agent().ok_or_else(missing)
}

#[inline(always)]
fn asked(guard: &Guard, amount: &str, to: &str) -> Result<Running, Box<Denied>> {
    let request = ActionRequest::new("payments:send").amount(amount, "EUR").counterparty(to);
    Ok(guard.admit(&request)?.begin()?)
}

#[inline(always)]
fn ended(running: Running, answer: Answer) -> Answer {
    match answer {
        Ok(_) => running.returned(),
        Err(_) => running.raised(),
    }
    answer
}

#[inline(never)]
#[verify_agent_scope("payments:send", amount = amount, currency = "EUR", counterparty = to, agent = guard)]
fn named(guard: &Guard, amount: &str, to: &str) -> Answer {
    body(amount, to)
}

#[inline(never)]
#[verify_agent_scope("payments:send", amount = amount, currency = "EUR", counterparty = to)]
fn current(amount: &str, to: &str) -> Answer {
    body(amount, to)
}

#[verify_agent_scope("payments:send", amount = amount, currency = "EUR", counterparty = to)]
async fn awaited(amount: &str, to: &str) -> Answer {
    body(amount, to)
}

fn body(amount: &str, to: &str) -> Answer {
    Ok(black_box(amount.len() + to.len()))
}

#[inline(never)]
fn polled(future: impl Future<Output = Answer>) -> Option<Answer> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

pub(crate) fn rows(agent: &BenchAgent) -> Outcome<()> {
    let guard = Guard::without_receipts(agent.source()?, GuardOptions::default())?;
    let names: Vec<String> = vendors().step_by(16).collect();
    let amounts = ["125.00", "9.5", "4999.99", "10000.00", "0.01", "777"];
    let asked: Vec<(&str, &str)> =
        amounts.into_iter().cycle().zip(names.iter().map(String::as_str)).collect();
    let turn = Cell::new(0_usize);
    let next = || {
        turn.set(turn.get() + 1);
        asked.get(turn.get() % 32).copied().unwrap_or_default()
    };

    // Each does what it is meant to, also where it has to say no.
    use_agent(&guard)?;
    let pending = "a function that waits for nothing is pending";
    for amount in ["125.00", "10000.01"] {
        let hand = by_hand(&guard, amount, "vendor-0001").map_err(|denied| denied.code());
        let others = [
            named(&guard, amount, "vendor-0001"),
            current_by_hand(amount, "vendor-0001"),
            current(amount, "vendor-0001"),
            polled(awaited_by_hand(amount, "vendor-0001")).ok_or(pending)?,
            polled(awaited(amount, "vendor-0001")).ok_or(pending)?,
        ];
        if others.into_iter().any(|answer| answer.map_err(|denied| denied.code()) != hand) {
            return Err("attribute and hand do not answer alike".into());
        }
    }

    let call = |act: &dyn Fn(&str, &str) -> bool| {
        let (amount, to) = next();
        act(amount, to)
    };
    let rounds = interleave(
        ROUNDS,
        &mut [
            Subject::new(CALLS, || call(&|amount, to| by_hand(&guard, amount, to).is_ok())),
            Subject::new(CALLS, || call(&|amount, to| named(&guard, amount, to).is_ok())),
            Subject::new(CALLS, || call(&|amount, to| current_by_hand(amount, to).is_ok())),
            Subject::new(CALLS, || call(&|amount, to| current(amount, to).is_ok())),
            Subject::new(CALLS, || call(&|amount, to| polled(awaited_by_hand(amount, to)).is_some())),
            Subject::new(CALLS, || call(&|amount, to| polled(awaited(amount, to)).is_some())),
        ],
        || (),
    );
    let row = |what: &str, rounds: &Rounds, (ours, hand): (usize, usize), by_hand: &str, each: f64| {
        let (nanos, floor) = (rounds.nanos(ours) / each, rounds.nanos(hand) / each);
        table::ratio(what, nanos, (by_hand, floor), rounds.ratio(ours, hand), Some(1.05));
    };
    let what = "Rust: a guarded function by the attribute, no receipt";
    row(what, &rounds, (1, 0), "admit, begin and outcome by hand", 1.0);
    row("… as the agent of the process", &rounds, (3, 2), "the same with `current_agent()`", 1.0);
    row("… awaited", &rounds, (5, 4), "the same, awaited", 1.0);

    // From the first block of a process on, every thread is asked who acts.
    let in_block =
        |act: &dyn Fn(&str, &str) -> bool| with_agent(&guard, || (0..CALLS).filter(|_| call(act)).count());
    let rounds = interleave(
        ROUNDS,
        &mut [
            Subject::new(1, || in_block(&|amount, to| current_by_hand(amount, to).is_ok())),
            Subject::new(1, || in_block(&|amount, to| current(amount, to).is_ok())),
        ],
        || (),
    );
    let each = f64::from(CALLS);
    row("… as the agent of a block", &rounds, (1, 0), "the same with `current_agent()`", each);
    guard.close();
    Ok(())
}

const ROUNDS: usize = 401;
const CALLS: u32 = 2_000;
