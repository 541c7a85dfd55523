//! When a delivery that failed is sent again, and when no more.

use kakunin_core::time::UnixTime;

use crate::store::{DeliveryRecord, Then};

/// How it goes on after one more failure at `now`. `chance` is any octet: it spreads attempts that failed together.
pub(crate) fn after_failure(delivery: &DeliveryRecord, now: UnixTime, chance: u8) -> Then {
    let failures = delivery.attempts.saturating_add(1);
    let old = now.seconds().saturating_sub(delivery.at.seconds()) >= LONGEST;
    // What waited while nobody could send gets its attempts, too.
    if (old && failures >= LEAST_ATTEMPTS) || failures >= MOST_ATTEMPTS {
        return Then::GiveUp;
    }
    let doubled = FIRST.checked_shl(failures.saturating_sub(1)).filter(|_| failures < 32).unwrap_or(STEADY);
    let delay = doubled.min(STEADY);
    // Between three quarters and five quarters of it.
    let spread = delay.saturating_mul(384 + i64::from(chance) * 256 / 255) / 512;
    Then::Again(now.plus(spread.max(1)))
}

/// Seconds after the first failure; each further one doubles them.
const FIRST: i64 = 10;
/// Two hours: no two attempts are further apart.
const STEADY: i64 = 7200;
/// A day: what is older is given up.
const LONGEST: i64 = 86_400;
const LEAST_ATTEMPTS: u32 = 8;
/// Only clocks that jump lead here.
const MOST_ATTEMPTS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::{HookEvent, HookId};
    use crate::store::DeliveryState;

    fn delivery(attempts: u32) -> DeliveryRecord {
        DeliveryRecord {
            hook: HookId::from_bytes([1; 16]),
            sequence: 1,
            event: HookEvent::Test,
            at: UnixTime::from_seconds(1000),
            data: "{}".into(),
            state: DeliveryState::Failed,
            attempts,
            due: UnixTime::from_seconds(0),
            tried: None,
            answer: None,
            error: None,
        }
    }

    #[test]
    fn attempts_are_further_and_further_apart_for_a_day() {
        for chance in [0, 128, 255] {
            let (mut now, mut attempts) = (UnixTime::from_seconds(1000), 0);
            let mut gaps = Vec::new();
            while let Then::Again(due) = after_failure(&delivery(attempts), now, chance) {
                gaps.push(due.seconds() - now.seconds());
                (now, attempts) = (due, attempts + 1);
            }
            let all = now.seconds() - 1000;
            assert!((86_400..86_400 + 9000).contains(&all), "{chance}: {all} s, {gaps:?}");
            assert!((15..40).contains(&attempts), "{chance}: {attempts}");
            assert!(gaps[0] >= 7 && gaps[0] <= 13, "{gaps:?}");
            assert!(gaps.is_sorted() && gaps.iter().all(|gap| *gap <= 9000), "{gaps:?}");
        }
    }

    #[test]
    fn what_waited_for_days_gets_its_attempts_and_a_clock_that_jumps_ends_them() {
        let late = UnixTime::from_seconds(1000 + 10 * 86_400);
        for attempts in 0..7 {
            assert!(matches!(after_failure(&delivery(attempts), late, 0), Then::Again(_)), "{attempts}");
        }
        assert_eq!(after_failure(&delivery(7), late, 0), Then::GiveUp);
        let early = UnixTime::from_seconds(0);
        assert!(matches!(after_failure(&delivery(62), early, 255), Then::Again(_)));
        assert_eq!(after_failure(&delivery(63), early, 255), Then::GiveUp);
    }
}
