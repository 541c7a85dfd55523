//! How often a key or an agent may ask: a burst, then a steady rate (the generic cell rate algorithm).
//!
//! One instant for each key says when its budget is whole again. Time is told by the caller.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;

use super::error::Refusal;
use crate::access::Actor;

/// The budgets of all keys and agents.
#[derive(Default)]
pub(crate) struct Rates(Mutex<HashMap<Actor, Instant>>);

impl Rates {
    /// Takes one request out of the key's budget.
    ///
    /// # Errors
    /// [`Refusal`] with the seconds after which there is room again.
    pub(crate) fn admit(&self, key: &Actor) -> Result<(), Refusal> {
        self.admit_at(key, Instant::now()).map_err(|wait| Refusal {
            retry_after: Some(wait.as_secs().saturating_add(1)),
            ..Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate",
                format!("more than {BURST} requests at once and 1 each {} ms for this key", EACH.as_millis()),
            )
        })
    }

    fn admit_at(&self, key: &Actor, now: Instant) -> Result<(), Duration> {
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Keys that stand are few; those whose budget is whole need no place.
        if budgets.len() > MANY {
            budgets.retain(|_, whole| *whole > now);
        }
        let whole = budgets.get(key).copied().unwrap_or(now).max(now);
        let spent = whole.saturating_duration_since(now);
        let room = EACH.saturating_mul(BURST);
        match spent.saturating_add(EACH).checked_sub(room) {
            Some(over) if !over.is_zero() => Err(over),
            _ => {
                budgets.insert(key.clone(), whole + EACH);
                Ok(())
            }
        }
    }
}

/// A hundred requests in ten seconds, as the hosted service grants; ten times that, because this is one's own.
const EACH: Duration = Duration::from_millis(10);
const BURST: u32 = 1000;
const MANY: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::KeyPrefix;

    #[test]
    fn a_burst_is_let_through_and_then_one_each_step() {
        let (rates, start) = (Rates::default(), Instant::now());
        let [key, other] = [1, 2].map(|number| Actor::Key(KeyPrefix::from_random([number; 8])));
        for _ in 0..BURST {
            assert_eq!(rates.admit_at(&key, start), Ok(()));
        }
        assert_eq!(rates.admit_at(&key, start), Err(EACH));
        assert_eq!(rates.admit_at(&other, start), Ok(()));
        assert_eq!(rates.admit_at(&key, start + EACH), Ok(()));
        assert_eq!(rates.admit_at(&key, start + EACH), Err(EACH));
        let later = start + EACH * (BURST + 1);
        for _ in 0..BURST {
            assert_eq!(rates.admit_at(&key, later), Ok(()));
        }
        assert!(rates.admit_at(&key, later).is_err());
    }
}
