//! What receipts say of clocks that jump, and of a machine that stood still between a decision and its body.

use kakunin_core::guard::Clock as _;
use kakunin_core::journal::StreamReader;
use kakunin_core::receipt::{Event, Statement};
use kakunin_core::verify::{self, Verdict};

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
        pass.begin().returned();
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
