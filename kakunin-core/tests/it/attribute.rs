//! `#[verify_agent_scope(..)]`: who a guarded function acts as, what its body follows from, and how it ends.

use std::fmt::Display;
use std::future::Future;
use std::pin::{Pin, pin};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use kakunin_core::chain::ChainLink;
use kakunin_core::guard::{
    Denied, Guard, Place, current_agent, current_place, default_agent, in_agent, in_chain, use_agent,
    with_agent, with_chain, without_agent,
};
use kakunin_core::journal::StreamReader;
use kakunin_core::receipt::{Event, Outcome, ReceiptHash, Statement};
use kakunin_macros::verify_agent_scope;

use crate::guard::House;

/// What goes wrong in a body.
#[derive(Debug)]
pub(crate) enum Failure {
    Denied(Box<Denied>),
    Bank(&'static str),
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        Self::Denied(Box::new(denied))
    }
}

impl From<&'static str> for Failure {
    fn from(what: &'static str) -> Self {
        Self::Bank(what)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Denied(denied) => Display::fmt(denied, f),
            Self::Bank(what) => f.write_str(what),
        }
    }
}

/// The code of an answer.
pub(crate) fn code<T>(answer: Result<T, Failure>) -> &'static str {
    match answer {
        Ok(_) => "allow",
        Err(Failure::Denied(denied)) => denied.code(),
        Err(Failure::Bank(what)) => what,
    }
}

/// Polls to the end; what is pending is polled again.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
    }
}

pub(crate) fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Pending once, as if it waited for a network.
pub(crate) async fn pause() {
    let mut waited = false;
    std::future::poll_fn(
        |_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

pub(crate) struct Order {
    pub(crate) to: String,
    pub(crate) total: String,
}

pub(crate) fn order(total: &str) -> Order {
    Order { to: "acme".to_owned(), total: total.to_owned() }
}

/// A free function, with its comment.
#[verify_agent_scope("payments:send", amount = order.total, currency = "EUR", counterparty = order.to.as_str())]
pub(crate) fn pay(order: &Order) -> Result<usize, Failure> {
    if order.total == "13" {
        return Err(Failure::Bank("unlucky"));
    }
    let length = "7".parse::<usize>().map_err(|_| "no number")?;
    Ok(length)
}

#[verify_agent_scope("payments:send", amount = order.total, currency = "EUR", counterparty = order.to.as_str())]
pub(crate) async fn pay_later(order: Order) -> Result<String, Failure> {
    pause().await;
    if order.total == "13" {
        Err("unlucky")?;
    }
    Ok(order.to)
}

/// Whether it panics.
fn panics<T>(act: impl FnOnce() -> T) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_err()
}

/// What the journal says of each outcome, in order.
fn outcomes(house: &House) -> Vec<Outcome> {
    let ended = |statement: Statement| match statement.event {
        Event::Outcome { outcome, .. } => Some(outcome),
        _ => None,
    };
    statements(house).into_iter().filter_map(|(_, statement)| ended(statement)).collect()
}

fn statements(house: &House) -> Vec<(ReceiptHash, Statement)> {
    let streams = StreamReader::streams(&house.state().join("journal")).unwrap();
    let entries = streams.into_iter().flatten().map(Result::unwrap);
    entries.map(|entry| (entry.receipt().hash(), entry.receipt().statement().clone())).collect()
}

#[test]
fn a_function_acts_as_the_agent_it_names_then_of_the_block_and_nobody_stays_nobody() {
    #[verify_agent_scope("read:files", agent = agent)]
    fn read(agent: Option<&Guard>) -> Result<usize, Failure> {
        Ok(1)
    }
    #[verify_agent_scope("read:files")]
    fn read_as_whoever() -> Result<usize, Failure> {
        Ok(1)
    }
    let (house, other) = (House::new(), House::new());
    let (guard, named) = (house.guard(), other.guard());
    assert_eq!(code(read_as_whoever()), "agent.missing");
    assert!(current_agent().is_none() && default_agent().is_none());
    with_agent(&guard, || {
        assert_eq!(code(read_as_whoever()), "allow");
        assert_eq!(code(read(Some(&named))), "allow");
        assert_eq!(
            code(read(None)),
            "agent.missing",
            "no other agent takes the place of one that is not there"
        );
        assert_eq!(code(without_agent(read_as_whoever)), "agent.missing");
        with_agent(&named, || assert_eq!(code(read_as_whoever()), "allow"));
        assert_eq!(current_agent().unwrap().agent(), guard.agent());
        let threads = std::thread::spawn(|| code(read_as_whoever()));
        assert_eq!(threads.join().unwrap(), "agent.missing", "a thread has to be told");
    });
    assert_eq!(code(read_as_whoever()), "agent.missing");
    assert!(panics(|| with_agent(&guard, || std::panic::resume_unwind(Box::new(())))));
    assert!(current_agent().is_none(), "a panic leaves no agent behind");
    assert_eq!((outcomes(&house).len(), outcomes(&other).len()), (1, 2));
}

#[test]
fn a_future_acts_as_its_agent_wherever_it_is_polled_or_dropped() {
    #[verify_agent_scope("read:files")]
    fn read() -> Result<usize, Failure> {
        Ok(1)
    }
    struct ReadsInDrop;
    impl Drop for ReadsInDrop {
        fn drop(&mut self) {
            assert_eq!(code(read()), "allow");
        }
    }
    let (house, other) = (House::new(), House::new());
    let (guard, others) = (house.guard(), other.guard());
    let acts = |guard: &Guard| {
        Box::pin(in_agent(guard, async {
            let _last = ReadsInDrop;
            assert_eq!(code(read()), "allow");
            pause().await;
            assert_eq!(code(read()), "allow");
            pause().await;
        }))
    };
    let (mut one, mut two) = (acts(&guard), acts(&others));
    assert!(poll(one.as_mut()).is_pending() && poll(two.as_mut()).is_pending());
    assert_eq!(code(read()), "agent.missing", "what is not polled is not here");
    let moved = std::thread::spawn(move || {
        assert!(poll(one.as_mut()).is_pending());
        drop(one);
    });
    moved.join().unwrap();
    drop(two);
    assert_eq!((outcomes(&house).len(), outcomes(&other).len()), (3, 2));
}

#[test]
fn how_a_body_ended_is_recorded() {
    #[verify_agent_scope("read:files")]
    fn falls() -> Result<(), Failure> {
        std::panic::resume_unwind(Box::new("a bug"))
    }
    #[verify_agent_scope("read:files")]
    async fn falls_later() -> Result<(), Failure> {
        pause().await;
        std::panic::resume_unwind(Box::new("a bug"))
    }
    let house = House::new();
    let guard = house.guard();
    with_agent(&guard, || {
        assert_eq!(code(pay(&order("1"))), "allow");
        assert_eq!(code(pay(&order("13"))), "unlucky");
        assert!(panics(falls));
        assert!(panics(|| wait(falls_later())));
        assert_eq!(code(wait(pay_later(order("1")))), "allow");
        assert_eq!(code(wait(pay_later(order("13")))), "unlucky");
        let mut dropped = Box::pin(pay_later(order("1")));
        assert!(poll(dropped.as_mut()).is_pending());
        drop(dropped);
        // A future that falls while another one panics was called off as well.
        let mut dropped = Box::pin(pay_later(order("1")));
        assert!(poll(dropped.as_mut()).is_pending());
        assert!(panics(move || {
            let _held = dropped;
            std::panic::resume_unwind(Box::new(()))
        }));
        drop(pay_later(order("1")));
    });
    let expected = [
        Outcome::Returned,
        Outcome::Raised,
        Outcome::Raised,
        Outcome::Raised,
        Outcome::Returned,
        Outcome::Raised,
        Outcome::Cancelled,
        Outcome::Cancelled,
    ];
    assert_eq!(outcomes(&house), expected);
    let decisions =
        statements(&house).into_iter().filter(|(_, said)| matches!(said.event, Event::Decision { .. }));
    assert_eq!(decisions.count(), expected.len(), "what was never polled was never asked");
}

#[test]
fn a_selector_that_fails_denies_and_one_that_panics_ends_the_call_unasked() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    #[verify_agent_scope("payments:send", amount = total, currency = currency, counterparty = to)]
    fn send(
        total: Result<&str, ()>,
        currency: Result<&str, ()>,
        to: Result<&str, ()>,
    ) -> Result<(), Failure> {
        RAN.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    #[verify_agent_scope("payments:send", amount = bug(), currency = "EUR", counterparty = "acme")]
    fn buggy() -> Result<(), Failure> {
        RAN.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    #[verify_agent_scope("payments:send", amount = bug(), currency = "EUR", counterparty = "acme")]
    async fn buggy_later() -> Result<(), Failure> {
        RAN.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    fn bug() -> String {
        std::panic::resume_unwind(Box::new("a bug"))
    }
    let house = House::new();
    let guard = house.guard();
    with_agent(&guard, || {
        assert_eq!(code(send(Err(()), Ok("EUR"), Ok("acme"))), "request.amount_invalid");
        assert_eq!(code(send(Ok("1"), Err(()), Ok("acme"))), "request.currency_invalid");
        assert_eq!(code(send(Ok("1"), Ok("EUR"), Err(()))), "request.counterparty_invalid");
        assert!(panics(buggy));
        assert!(panics(|| wait(buggy_later())));
        assert_eq!(RAN.load(Ordering::Relaxed), 0);
        assert_eq!(code(send(Ok("1"), Ok("EUR"), Ok("acme"))), "allow");
    });
    assert_eq!(RAN.load(Ordering::Relaxed), 1);
    assert_eq!(outcomes(&house), [Outcome::Returned]);
}

/// Chain and parents of each decision, in order.
fn followed(house: &House) -> Vec<(Option<[u8; 16]>, Vec<ReceiptHash>, ReceiptHash)> {
    let decisions =
        statements(house).into_iter().filter(|(_, said)| matches!(said.event, Event::Decision { .. }));
    decisions
        .map(|(hash, said)| (said.chain.map(|(chain, _)| *chain.as_bytes()), said.parents, hash))
        .collect()
}

#[test]
fn what_a_body_calls_follows_from_it_and_nothing_else_does() {
    #[verify_agent_scope("read:files")]
    fn inner() -> Result<Option<ChainLink>, Failure> {
        Ok(current_place().and_then(|place| place.link()))
    }
    #[verify_agent_scope("read:files")]
    fn outer() -> Result<Option<ChainLink>, Failure> {
        inner()?;
        inner()
    }
    #[verify_agent_scope("read:files")]
    async fn outer_later() -> Result<Option<ChainLink>, Failure> {
        inner()?;
        pause().await;
        inner()
    }
    let house = House::new();
    let guard = house.guard();
    let place = Place::begin().unwrap();
    assert_eq!((place.link(), current_place()), (None, None));
    let sent = with_agent(&guard, || {
        assert_eq!(outer().unwrap(), None, "without a chain there is none");
        let sent = with_chain(&place, || outer().unwrap().unwrap());
        assert_eq!(current_place(), None);
        // Two bodies that wait by turns on one thread, each in its own chain.
        let places = [Place::begin().unwrap(), Place::from(sent.clone())];
        let mut bodies = places.each_ref().map(|place| Box::pin(in_chain(place, outer_later())));
        for body in &mut bodies {
            assert!(poll(body.as_mut()).is_pending());
            assert_eq!(current_place(), None);
        }
        for body in bodies {
            assert!(wait(body).unwrap().is_some());
        }
        sent
    });
    assert_eq!(sent.chain(), place.chain());
    let chain = |link: &ChainLink| Some(*link.chain().as_bytes());
    let told = followed(&house);
    let [a, b, c, first, second, third, one, one_inner, two, two_inner, one_last, two_last] = told.as_slice()
    else {
        panic!("{told:?}");
    };
    for alone in [a, b, c] {
        assert_eq!((&alone.0, alone.1.len()), (&None, 0));
    }
    assert_eq!((first.0, first.1.as_slice()), (chain(&sent), [].as_slice()));
    assert_eq!((second.1.as_slice(), third.1.as_slice()), ([first.2].as_slice(), [first.2].as_slice()));
    assert_eq!(sent.from(), third.2);
    assert_eq!((one.1.len(), two.1.as_slice(), two.0), (0, [sent.from()].as_slice(), chain(&sent)));
    for (inner, outer) in [(one_inner, one), (one_last, one), (two_inner, two), (two_last, two)] {
        assert_eq!((inner.1.as_slice(), inner.0), ([outer.2].as_slice(), outer.0));
    }
}

/// The agent of a process is set once, so this is done in one of its own.
#[test]
fn the_agent_of_the_process_is_set_once_and_the_environment_loosens_nothing() {
    if std::env::var_os("KAKUNIN_TEST_ATTRIBUTE").is_none() {
        let name = "attribute::the_agent_of_the_process_is_set_once_and_the_environment_loosens_nothing";
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([name, "--exact"]).env("KAKUNIN_TEST_ATTRIBUTE", "1").env("KAKUNIN_MODE", "observe");
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        return;
    }
    let (house, other) = (House::new(), House::new());
    let (guard, others) = (house.guard(), other.guard());
    assert_eq!(code(pay(&order("1"))), "agent.missing");
    use_agent(&guard).unwrap();
    use_agent(&guard).unwrap();
    assert!(use_agent(&others).is_err());
    assert!(guard.take_notices().concat().contains("KAKUNIN_MODE=observe is ignored"));
    assert_eq!(code(pay(&order("1"))), "allow");
    assert_eq!(code(pay(&order("100.01"))), "scope.amount");
    let elsewhere = std::thread::spawn(|| code(pay(&order("1"))));
    assert_eq!(elsewhere.join().unwrap(), "allow");
    with_agent(&others, || assert_eq!(code(pay(&order("1"))), "allow"));
    assert_eq!(code(without_agent(|| pay(&order("1")))), "agent.missing");
    assert_eq!((outcomes(&house).len(), outcomes(&other).len()), (2, 1));
}
