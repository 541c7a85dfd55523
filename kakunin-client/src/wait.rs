//! How long to wait before trying again.
//!
//! Full jitter: anything between nothing and a bound that doubles. A thousand clients whose authority went away come back spread
//! over that time, and the bound is low enough that all of them are current within five seconds of its return.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

/// The waiting times of one thing that is tried again and again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It did not work: how long to wait, and at least `asked`, which the other side asked for.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(8)).min(MOST);
        self.failures = self.failures.saturating_add(1);
        share_of(bound).saturating_add(asked.unwrap_or_default().min(MOST_ASKED))
    }
}

/// A random part of `span`.
pub(crate) fn share_of(span: Duration) -> Duration {
    let mut bytes = [0; 4];
    // Without randomness nothing else works either; then everybody waits the whole of it.
    let drawn = SystemRandom::new().fill(&mut bytes).map_or(u32::MAX, |()| u32::from_le_bytes(bytes));
    span.mul_f64(f64::from(drawn) / f64::from(u32::MAX))
}

/// The nonce of a connection.
pub(crate) fn nonce() -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok().map(|()| bytes)
}

const FIRST: Duration = Duration::from_millis(250);
/// Half of this on average, and a connection with it, stay below five seconds.
const MOST: Duration = Duration::from_secs(4);
/// Whoever asks for longer would be asking for denials.
const MOST_ASKED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_their_bound_and_start_again() {
        let mut backoff = Backoff::default();
        for failures in 0..40_u32 {
            let bound = Duration::from_millis(250 * (1 << failures.min(4)));
            assert!(backoff.next(None) <= bound.min(MOST), "{failures}");
        }
        assert!(backoff.next(Some(Duration::from_secs(3600))) <= MOST + MOST_ASKED);
        assert!(backoff.next(Some(Duration::from_secs(1))) >= Duration::from_secs(1));
        backoff = Backoff::default();
        assert!(backoff.next(None) <= FIRST);
        let drawn: Vec<Duration> = (0..64).map(|_| share_of(MOST)).collect();
        assert!(drawn.iter().any(|one| *one != drawn[0]), "everybody at once");
    }
}
