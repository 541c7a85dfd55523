//! What strangers may do how often: keys that fail, and routes for everyone, by where they come from.
//!
//! Memory is bounded before the first request: budgets stand in tables of a fixed size, at places that nobody outside
//! can compute. Two origins at one place share a budget, which is rare, and never one that was spent by a friend of
//! either: only failures and public requests are counted here.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use kakunin_core::digest::Digest;

use super::error::Refusal;
use super::peer::Origin;
use crate::access::KeyPrefix;

/// The budgets of strangers.
pub(crate) struct Throttle {
    failing_origins: Cells,
    failing_prefixes: Cells,
    public: Cells,
    /// Keys that were good here before: nobody's failures lock them out.
    proven: Mutex<HashSet<Digest>>,
}

/// A key is about to be looked up. It counts as failed until [`Throttle::succeeded`] says otherwise.
#[must_use]
pub(crate) struct Attempt {
    origin: Option<Origin>,
    prefix: KeyPrefix,
    key: Digest,
    counted: bool,
}

impl Throttle {
    /// With so many requests a second for everyone's routes, by origin.
    pub(crate) fn new(public: u32) -> Self {
        Self {
            failing_origins: Cells::new(ORIGINS, FAILURE_EACH, FAILURES),
            failing_prefixes: Cells::new(PREFIXES, PREFIX_EACH, PREFIX_FAILURES),
            public: Cells::new(ORIGINS, Duration::from_secs(1) / public.max(1), public.saturating_mul(10)),
            proven: Mutex::default(),
        }
    }

    /// Whether a key may be tried. A key that was good before may; so may the first one from somewhere, so that
    /// failures under a prefix, which anybody can know and spoil, do not lock its owner out.
    ///
    /// # Errors
    /// [`Refusal`] with the seconds after which there is room again.
    pub(crate) fn attempt(
        &self,
        origin: Option<Origin>,
        prefix: &KeyPrefix,
        key: Digest,
        now: Instant,
    ) -> Result<Attempt, Refusal> {
        let mut attempt = Attempt { origin, prefix: prefix.clone(), key, counted: false };
        let Some(origin) = origin.filter(|_| !self.proven().contains(&key)) else { return Ok(attempt) };
        let first = self.failing_origins.take_around(origin, now).map_err(|wait| failing(&wait))?;
        attempt.counted = true;
        match self.failing_prefixes.take(prefix, now) {
            Err(wait) if first == Spent::Some => Err(failing(&wait)),
            _ => Ok(attempt),
        }
    }

    /// Something that stands for a caller could not even be read, or is no good.
    ///
    /// # Errors
    /// [`Refusal`] when that was too often.
    pub(crate) fn failure(&self, origin: Option<Origin>, now: Instant) -> Result<(), Refusal> {
        let Some(origin) = origin else { return Ok(()) };
        self.failing_origins.take_around(origin, now).map(drop).map_err(|wait| failing(&wait))
    }

    /// The key is good.
    pub(crate) fn succeeded(&self, attempt: &Attempt) {
        if !attempt.counted {
            return;
        }
        if let Some(origin) = &attempt.origin {
            self.failing_origins.give_back_around(*origin);
        }
        self.failing_prefixes.give_back(&attempt.prefix);
        let mut proven = self.proven();
        if proven.len() >= PROVEN {
            proven.clear();
        }
        proven.insert(attempt.key);
    }

    /// The key is no good, whatever it was before.
    pub(crate) fn failed(&self, attempt: &Attempt) {
        self.proven().remove(&attempt.key);
    }

    /// Whether a route for everyone may be asked once more from there.
    ///
    /// # Errors
    /// [`Refusal`] with the seconds after which there is room again.
    pub(crate) fn public(&self, origin: Option<Origin>, now: Instant) -> Result<(), Refusal> {
        let Some(origin) = origin else { return Ok(()) };
        self.public.take_around(origin, now).map(drop).map_err(|wait| {
            let text = "too many requests from this address for what everyone may read";
            too_many(&wait, text)
        })
    }

    fn proven(&self) -> std::sync::MutexGuard<'_, HashSet<Digest>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failing(wait: &Duration) -> Refusal {
    too_many(wait, "too many keys from this address were no good; try again later, with one that is")
}

fn too_many(wait: &Duration, text: &str) -> Refusal {
    Refusal {
        retry_after: Some(wait.as_secs().saturating_add(1)),
        ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate", text)
    }
}

/// Budgets by the generic cell rate algorithm: a burst, then one each step. One number each, which says when the
/// budget is whole again.
struct Cells {
    whole: Mutex<Box<[u64]>>,
    place: RandomState,
    start: Instant,
    each: u64,
    burst: u64,
}

/// What was spent of a budget before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spent {
    Nothing,
    Some,
}

impl Cells {
    fn new(count: usize, each: Duration, burst: u32) -> Self {
        Self {
            whole: Mutex::new(vec![0; count].into()),
            place: RandomState::new(),
            start: Instant::now(),
            each: nanos(each),
            burst: burst.into(),
        }
    }

    /// Takes one out of the budget of an origin, and of each network around it, which has several times as much: of all
    /// of them or of none.
    fn take_around(&self, origin: Origin, now: Instant) -> Result<Spent, Duration> {
        let mut first = None;
        for (number, (network, times)) in origin.networks().enumerate() {
            match self.take_of(&network, times, now) {
                Ok(spent) => first = first.or(Some(spent)),
                Err(wait) => {
                    for (network, times) in origin.networks().take(number) {
                        self.give_back_of(&network, times);
                    }
                    return Err(wait);
                }
            }
        }
        Ok(first.unwrap_or(Spent::Nothing))
    }

    fn give_back_around(&self, origin: Origin) {
        origin.networks().for_each(|(network, times)| self.give_back_of(&network, times));
    }

    /// Takes one out of the budget.
    fn take(&self, key: &impl Hash, now: Instant) -> Result<Spent, Duration> {
        self.take_of(key, 1, now)
    }

    /// Takes one out of a budget that is so many times as large.
    fn take_of(&self, key: &impl Hash, times: u32, now: Instant) -> Result<Spent, Duration> {
        let now = nanos(now.saturating_duration_since(self.start));
        self.cell(key, |whole| {
            let until = (*whole).max(now).saturating_add(self.step(times));
            let over = (until - now).saturating_sub(self.each.saturating_mul(self.burst));
            if over > 0 {
                return Err(Duration::from_nanos(over));
            }
            let spent = if *whole > now { Spent::Some } else { Spent::Nothing };
            *whole = until;
            Ok(spent)
        })
    }

    /// Puts back what was taken.
    fn give_back(&self, key: &impl Hash) {
        self.give_back_of(key, 1);
    }

    fn give_back_of(&self, key: &impl Hash, times: u32) {
        self.cell(key, |whole| *whole = whole.saturating_sub(self.step(times)));
    }

    fn step(&self, times: u32) -> u64 {
        self.each / u64::from(times.max(1))
    }

    fn cell<T>(&self, key: &impl Hash, with: impl FnOnce(&mut u64) -> T) -> T {
        let mut cells = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place(&self.place, key, cells.len());
        match cells.get_mut(place) {
            Some(whole) => with(whole),
            None => with(&mut 0),
        }
    }
}

fn place(hasher: &RandomState, key: &impl Hash, count: usize) -> usize {
    usize::try_from(hasher.hash_one(key) % count.max(1) as u64).unwrap_or(0)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Half a megabyte a table.
const ORIGINS: usize = 1 << 16;
const PREFIXES: usize = 1 << 12;
/// A person mistypes, a deployment has an old key on ten machines; nobody needs more.
const FAILURES: u32 = 20;
const FAILURE_EACH: Duration = Duration::from_secs(2);
const PREFIX_FAILURES: u32 = 30;
const PREFIX_EACH: Duration = Duration::from_secs(1);
/// More keys than that in use, and all are proven anew.
const PROVEN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(last: u8) -> Option<Origin> {
        Some(Origin::of([203, 0, 113, last].into()))
    }

    fn key(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    /// One in whose tables the origins of these tests do not share a place.
    fn throttle() -> Throttle {
        loop {
            let made = Throttle::new(100);
            let apart = [&made.failing_origins, &made.public].into_iter().all(|cells| {
                let places = (0..=u8::MAX).map(|last| place(&cells.place, &origin(last).unwrap(), ORIGINS));
                places.collect::<HashSet<_>>().len() == 256
            });
            let prefixes = [1, 2].map(|byte| KeyPrefix::from_random([byte; 8]));
            let [one, two] = prefixes.map(|prefix| place(&made.failing_prefixes.place, &prefix, PREFIXES));
            if apart && one != two {
                return made;
            }
        }
    }

    #[test]
    fn an_address_whose_keys_fail_waits_and_those_that_were_good_there_do_not() {
        let (throttle, now) = (throttle(), Instant::now());
        let prefix = KeyPrefix::from_random([1; 8]);
        let attempt = |from: u8, name: &str, now| throttle.attempt(origin(from), &prefix, key(name), now);
        let good = attempt(1, "good", now).ok().unwrap();
        throttle.succeeded(&good);
        for number in 0..FAILURES {
            let failed = attempt(1, &number.to_string(), now).ok().unwrap();
            throttle.failed(&failed);
        }
        let refused = attempt(1, "more", now).err().unwrap();
        assert_eq!((refused.status, refused.retry_after), (StatusCode::TOO_MANY_REQUESTS, Some(3)));
        assert!(throttle.failure(origin(1), now).is_err());
        let good = attempt(1, "good", now).ok().unwrap();
        // Until it is no good any more.
        throttle.failed(&good);
        assert!(attempt(1, "good", now).is_err());
        assert!(attempt(1, "more", now + FAILURE_EACH).is_ok());
        assert!(attempt(1, "more", now + FAILURE_EACH).is_err());
        // This machine itself, and other addresses.
        assert!(throttle.attempt(None, &prefix, key("x"), now).is_ok());
        assert!(attempt(2, "more", now).is_ok());
    }

    #[test]
    fn many_addresses_that_try_one_prefix_have_one_attempt_each_and_its_owner_too() {
        let (throttle, now) = (throttle(), Instant::now());
        let prefix = KeyPrefix::from_random([1; 8]);
        for from in 0..u8::try_from(PREFIX_FAILURES).unwrap() {
            assert!(throttle.attempt(origin(from), &prefix, key("x"), now).is_ok());
        }
        assert!(throttle.attempt(origin(0), &prefix, key("y"), now).is_err());
        assert!(throttle.attempt(origin(0), &KeyPrefix::from_random([2; 8]), key("y"), now).is_ok());
        let owner = throttle.attempt(origin(200), &prefix, key("good"), now).ok().unwrap();
        throttle.succeeded(&owner);
        assert!(throttle.attempt(origin(200), &prefix, key("good"), now).is_ok());
    }

    #[test]
    fn what_everyone_may_read_has_a_rate_for_each_address() {
        let (throttle, now) = (throttle(), Instant::now());
        for _ in 0..1000 {
            assert!(throttle.public(origin(1), now).is_ok());
        }
        assert_eq!(throttle.public(origin(1), now).unwrap_err().retry_after, Some(1));
        assert!(throttle.public(origin(1), now + Duration::from_millis(10)).is_ok());
        assert!(throttle.public(origin(1), now + Duration::from_millis(10)).is_err());
        assert!(throttle.public(origin(2), now).is_ok());
        assert!(throttle.public(None, now).is_ok());
    }

    #[test]
    fn as_many_addresses_as_there_are_take_no_more_memory_and_lock_no_good_key_out() {
        let (throttle, now) = (throttle(), Instant::now());
        let prefix = KeyPrefix::from_random([1; 8]);
        let good = throttle.attempt(origin(1), &prefix, key("good"), now).ok().unwrap();
        throttle.succeeded(&good);
        for number in 0..4_000_000_u32 {
            let from = Some(Origin::of(std::net::Ipv4Addr::from_bits(number).into()));
            let _ = throttle.failure(from, now);
        }
        assert!(throttle.failure(origin(9), now).is_err(), "the table is spent");
        assert!(throttle.attempt(origin(1), &prefix, key("good"), now).is_ok());
    }
    #[test]
    fn whoever_has_a_network_of_many_networks_fails_as_a_few_of_them_may() {
        let (throttle, start) = (Throttle::new(100), Instant::now());
        let failed = (0..1000_u32)
            .filter(|n| {
                let address = format!("2001:db8:1:{n:x}::1").parse().unwrap();
                throttle.failure(Some(Origin::of(address)), start).is_ok()
            })
            .count();
        // Two of them may share a place in the table by chance, and then have less.
        assert!((1..=FAILURES as usize * 4).contains(&failed), "{failed}");
        let other = Origin::of("2001:db8:2::1".parse().unwrap());
        assert!(throttle.failure(Some(other), start).is_ok());
    }
}
