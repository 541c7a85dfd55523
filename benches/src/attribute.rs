//! A guarded function in Rust: by the attribute, and by the same calls written by hand. No receipts are made here: what
//! they cost is measured elsewhere, and would hide what the attribute adds.

use std::cell::Cell;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use kakunin_core::guard::{Denied, Guard, GuardOptions, use_agent, with_agent};
use kakunin_core::request::ActionRequest;
use kakunin_core::verify_agent_scope;

use crate::agent::{BenchAgent, vendors};
use crate::harness::{Subject, interleave};
use crate::{Outcome, table};

type Answer = Result<usize, Box<Denied>>;

#[inline(never)]
fn by_hand(guard: &Guard, amount: &str, to: &str) -> Answer {
    let request = ActionRequest::new("payments:send").amount(amount, "EUR").counterparty(to);
    let running = guard.admit(&request)?.begin()?;
    let answer = body(amount, to);
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
    for amount in ["125.00", "10000.01"] {
        let hand = by_hand(&guard, amount, "vendor-0001").map_err(|denied| denied.code());
        let others = [
            named(&guard, amount, "vendor-0001"),
            current(amount, "vendor-0001"),
            polled(awaited(amount, "vendor-0001")).ok_or("a function that waits for nothing is pending")?,
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
            Subject::new(CALLS, || call(&|amount, to| current(amount, to).is_ok())),
            Subject::new(CALLS, || call(&|amount, to| polled(awaited(amount, to)).is_some())),
            Subject::new(1, || {
                with_agent(&guard, || {
                    (0..CALLS).filter(|_| call(&|amount, to| current(amount, to).is_ok())).count()
                })
            }),
        ],
        || (),
    );
    let hand = ("admit, begin and outcome by hand", rounds.nanos(0));
    let row = |what: &str, subject, hold| {
        table::ratio(what, rounds.nanos(subject), hand, rounds.ratio(subject, 0), hold);
    };
    row("Rust: a guarded function by the attribute, no receipt", 1, Some(1.05));
    row("… as the agent of the process", 2, Some(1.05));
    row("… awaited", 3, None);
    let each = |nanos: f64| nanos / f64::from(CALLS);
    let ratio = rounds.over(|nanos| each(nanos(4)) / nanos(0));
    table::ratio("… as the agent of a block", each(rounds.nanos(4)), hand, ratio, None);
    guard.close();
    Ok(())
}

const ROUNDS: usize = 401;
const CALLS: u32 = 2_000;
