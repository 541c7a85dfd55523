//! Streams that take lists up, late or never, and whose lists they are.

use kakunin_core::id::{AgentId, StreamId};
use kakunin_core::receipt::{Caller, ProofOfPossession, Stamp};

use super::*;

fn time(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

fn list(name: &str, signed: i64) -> ListUse {
    ListUse {
        number: [u8::try_from(signed.rem_euclid(251)).unwrap(); 20],
        digest: Digest::of(name.as_bytes()),
        this_update: time(signed),
        next_update: time(signed + 86_400),
        feed: None,
    }
}

fn statement(stream: u8, at: i64, event: Event) -> Statement {
    Statement {
        stream: StreamId::from_bytes([stream; 16]),
        sequence: 0,
        previous: Digest::of(b"before"),
        agent: AgentId::from_random([1; 16]),
        stamp: stamp(at),
        chain: None,
        anchor: None,
        parents: Vec::new(),
        memory: false,
        trace: None,
        event,
    }
}

fn stamp(at: i64) -> Stamp {
    Stamp { micros: at * 1_000_000, boot: [0; 16], mono_nanos: 0 }
}

fn decision(list: ListUse, answer: Answer, mode: Mode, caller: Option<&[u8]>) -> Event {
    let caller = caller.map(|certificate| {
        Box::new(Caller {
            certificate: Digest::of(certificate),
            possession: ProofOfPossession::Tls,
            agent: AgentId::from_random([2; 16]),
        })
    });
    Event::Decision {
        caller,
        action: Some("read:one".into()),
        answer,
        mode,
        list: Some(list),
        amount: None,
        currency: None,
        counterparties: None,
        resources: None,
        as_written: false,
    }
}

fn allowed(list: ListUse) -> Event {
    decision(list, Answer::Allow, Mode::Enforce, None)
}

/// What becomes of streams that open at 0 and do this at these times.
fn waits(events: Vec<(u8, i64, Event)>) -> Vec<(u64, bool)> {
    let mut lists = Lists::default();
    let pointer = Pointer { receipt: String::new(), stream: String::new(), seq: 0, line: None };
    for stream in [1, 2] {
        let open = statement(stream, 0, Event::Open { nonce: [0; 16], own_log: None });
        lists.see(&open, Digest::of(b"issuer"), &pointer);
    }
    for (stream, at, event) in events {
        lists.see(&statement(stream, at, event), Digest::of(b"issuer"), &pointer);
    }
    lists.waits(Period::default()).into_iter().map(|wait| (wait.seconds, wait.taken)).collect()
}

#[test]
fn a_guard_that_goes_on_by_the_list_of_before_is_counted_by_what_others_took_up() {
    let (first, second) = (list("first", -10), list("second", 100));
    let took = [(1, 50, allowed(first)), (1, 101, allowed(second))];
    assert_eq!(waits(took.to_vec()), [(0, true)]);
    let never = [(2, 50, allowed(first)), (2, 900, allowed(first))];
    assert_eq!(waits([took.to_vec(), never.to_vec()].concat()), [(0, true), (800, false)]);
    // Who decided nothing any more had no need of it.
    let idle = [(2, 50, allowed(first))];
    assert_eq!(waits([took.to_vec(), idle.to_vec()].concat()), [(0, true)]);
}

#[test]
fn a_guard_that_skips_a_list_waited_for_the_one_it_skipped() {
    let (first, second, third) = (list("first", -10), list("second", 100), list("third", 3700));
    let quick = [(1, 50, allowed(first)), (1, 100, allowed(second)), (1, 3700, allowed(third))];
    let skips = [(2, 50, allowed(first)), (2, 3690, allowed(first)), (2, 3701, allowed(third))];
    let found = waits([quick.to_vec(), skips.to_vec()].concat());
    assert_eq!(found, [(0, true), (0, true), (3590, true), (0, true)]);
}

#[test]
fn a_guard_that_denies_for_an_old_list_or_only_asks_decides_nothing_by_it() {
    let (first, second) = (list("first", -10), list("second", 100));
    let late =
        |event: Event| waits(vec![(1, 50, allowed(first)), (1, 900, event), (1, 901, allowed(second))]);
    let denied = |code: &str| Answer::Deny(code.to_owned());
    assert_eq!(late(decision(first, denied("revocation.stale"), Mode::Enforce, None)), [(0, true)]);
    assert_eq!(late(decision(first, Answer::Allow, Mode::Check, None)), [(0, true)]);
    assert_eq!(late(decision(first, denied("scope.action"), Mode::Enforce, None)), [(800, true)]);
}

/// A gateway decides about others by lists of their issuers, which are not late because its own is new.
#[test]
fn lists_of_other_issuers_are_compared_with_their_own() {
    let (own, newer, theirs) = (list("own", -10), list("newer", 100), list("theirs", -20));
    let asked = |list: &ListUse| decision(*list, Answer::Allow, Mode::Enforce, Some(b"caller"));
    let found = waits(vec![
        (1, 50, allowed(own)),
        (1, 60, asked(&theirs)),
        (1, 101, allowed(newer)),
        (1, 900, asked(&theirs)),
    ]);
    assert_eq!(found, [(0, true)]);
    // Of the same issuer they are.
    let found = waits(vec![
        (1, 50, allowed(own)),
        (1, 60, asked(&own)),
        (1, 101, allowed(newer)),
        (1, 900, asked(&own)),
    ]);
    assert_eq!(found, [(800, true)]);
}
