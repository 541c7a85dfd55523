//! What receipts say of clocks that jump, and of a machine that stood still between a decision and its body.

use kakunin_core::guard::Clock as _;
use kakunin_core::journal::StreamReader;
use kakunin_core::receipt::{Event, Outcome, Statement};
use kakunin_core::verify::{self, Verdict};
use rcgen::RevocationReason;

use crate::guard::{House, ask, pay};

fn statements(house: &House) -> Vec<Statement> {
    let streams = StreamReader::streams(&house.state().join("journal")).unwrap();
    streams.into_iter().flatten().map(|entry| entry.unwrap().receipt().statement().clone()).collect()
}

fn is_authentic(house: &House) -> bool {
    let anchors = kakunin_core::certificate::TrustAnchors::new([house.authority.root.as_slice()]).unwrap();
    let report = verify::journal(&house.dir(), &anchors).unwrap();
    matches!(report.verdict(), Verdict::AuthenticNotComplete(_))
}

#[test]
fn a_pause_between_decision_and_body_can_be_read_from_both_receipts() {
    let house = House::new();
    let guard = house.guard();
    for (pause, asleep) in [(90_000, false), (3_600_000, true)] {
        let pass = guard.admit(&pay("1")).unwrap();
        if asleep {
            house.clock.sleep(pause);
        } else {
            house.clock.advance(pause);
        }
        pass.begin().unwrap().returned();
        let is_of_a_call = |statement: &&Statement| {
            matches!(statement.event, Event::Decision { .. } | Event::Outcome { .. })
        };
        let all = statements(&house);
        let stamps: Vec<_> = all.iter().filter(is_of_a_call).map(|statement| statement.stamp).collect();
        let [.., decided, ended] = stamps[..] else { panic!("{stamps:?}") };
        assert_eq!(ended.micros - decided.micros, pause * 1000);
        // The monotonic clock stands still in a machine that sleeps, so the two together say which it was.
        let ran = i64::try_from(ended.mono_nanos - decided.mono_nanos).unwrap();
        assert_eq!(ran, if asleep { 0 } else { pause * 1_000_000 });
    }
    guard.close();
    assert!(is_authentic(&house));
}

/// What was true at the decision is asked again when the body begins, however long that took.
#[test]
fn an_agent_that_ended_between_decision_and_body_does_not_begin() {
    type Happens = fn(&House);
    let cases: [(&str, Happens); 4] = [
        ("certificate.revoked", |house| house.publish(2, &[RevocationReason::KeyCompromise])),
        ("certificate.held", |house| house.publish(2, &[RevocationReason::CertificateHold])),
        // Longer than any list or certificate lives, asleep or stopped.
        ("certificate.expired", |house| house.clock.sleep(400 * 24 * 3_600_000)),
        ("certificate.expired", |house| house.clock.advance(400 * 24 * 3_600_000)),
    ];
    for (code, happens) in cases {
        let house = House::new();
        let guard = house.guard();
        for _ in 0..4 {
            guard.admit(&pay("100.00")).unwrap().begin().unwrap().returned();
        }
        let pass = guard.admit(&pay("100.00")).unwrap();
        let receipt = pass.receipt();
        happens(&house);
        // A second later at the latest, also without any look in between.
        house.clock.advance(1_100);
        let denied = pass.begin().unwrap_err();
        assert_eq!((denied.code(), denied.action(), denied.receipt()), (code, "payments:send", receipt));
        let all = statements(&house);
        let ends = all.iter().filter_map(|statement| match &statement.event {
            Event::Outcome { outcome, .. } => Some(*outcome),
            _ => None,
        });
        let ends: Vec<_> = ends.collect();
        assert_eq!(ends.len(), 5);
        assert_eq!(ends.last(), Some(&Outcome::NotExecuted));
        guard.close();
        assert!(is_authentic(&house), "{code}");
    }
    // What was reserved is room again: the window takes five.
    let house = House::new();
    let guard = house.guard();
    for _ in 0..4 {
        guard.admit(&pay("100.00")).unwrap().begin().unwrap().returned();
    }
    let pass = guard.admit(&pay("100.00")).unwrap();
    house.publish(2, &[RevocationReason::CertificateHold]);
    house.clock.advance(1_100);
    assert_eq!(pass.begin().unwrap_err().code(), "certificate.held");
    house.publish(3, &[]);
    house.clock.advance(1_100);
    assert_eq!(ask(&guard, &pay("100.00")), "allow");
}

#[test]
fn a_pass_ends_with_its_guard() {
    let house = House::new();
    let guard = house.guard();
    let pass = guard.admit(&pay("1")).unwrap();
    guard.close();
    assert!(pass.begin().is_err());
}

/// One decision is one body: the child of a fork has a copy of the pass, and the parent goes on with its own.
#[test]
fn a_pass_begins_in_the_stream_of_its_decision_only() {
    type Happens = fn(&kakunin_core::guard::Guard);
    let cases: [Happens; 2] = [
        |guard| guard.close(),
        |guard| {
            guard.before_fork();
            guard.after_fork_in_child();
        },
    ];
    for happens in cases {
        let house = House::new();
        let guard = house.guard();
        let pass = guard.admit(&pay("1")).unwrap();
        happens(&guard);
        // The next decision has a stream of its own.
        assert_eq!(ask(&guard, &pay("1")), "allow");
        assert_eq!(pass.begin().unwrap_err().code(), "journal.unavailable");
        guard.close();
    }
}

#[test]
fn a_wall_clock_that_jumps_takes_no_monotonic_one_along() {
    let house = House::new();
    let guard = house.guard();
    let start = house.clock.wall();
    let mut answers = Vec::new();
    for jump in [0, 3_600_000, -60_000, -3_600_000, 30_000, 0] {
        house.clock.advance(1000);
        house.clock.set_wall(start.plus_millis(jump));
        answers.push(ask(&guard, &pay("1")));
    }
    guard.close();
    // Back behind what was reached already is denied, and recorded with the time that was claimed.
    assert_eq!(answers[..2], ["allow", "allow"]);
    assert_eq!(answers[3], "clock.untrusted");
    let all = statements(&house);
    let of = |event: fn(&Event) -> bool| all.iter().filter(move |statement| event(&statement.event));
    let decisions: Vec<_> = of(|event| matches!(event, Event::Decision { .. })).collect();
    assert_eq!(decisions.len(), answers.len());
    assert!(decisions.windows(2).any(|pair| pair[0].stamp.micros > pair[1].stamp.micros));
    assert!(all.windows(2).all(|pair| pair[0].stamp.mono_nanos <= pair[1].stamp.mono_nanos));
    assert!(is_authentic(&house));
}
