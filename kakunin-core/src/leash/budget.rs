//! Sliding windows: what was spent within the last so many seconds, in sixty-one buckets.
//!
//! With w = ceil(seconds * 1000 / 60) milliseconds, a spend at t counts at `now` while
//! floor(now / w) - floor(t / w) <= 60. A spend therefore leaves at the earliest after the window's whole length and
//! at the latest one bucket later. A spend from the future counts too: a clock that was set back frees nothing.

use std::fmt;

use crate::digest::Digest;
use crate::id::AgentId;
use crate::money::{Currency, Money};
use crate::scope::Pattern;
use crate::time::UnixMillis;

/// The name of a budget: agent, currency, seconds and the actions it is for. It survives renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BudgetKey(Digest);

impl BudgetKey {
    /// The key of a window of money, or of a rate if `currency` is `None`.
    #[must_use]
    pub fn new(agent: AgentId, currency: Option<Currency>, seconds: u32, r#for: &[Pattern]) -> Self {
        let mut text = format!("kakunin-budget-v1\n{agent}\n{seconds}\n");
        text.push_str(currency.as_ref().map_or("", Currency::as_str));
        for pattern in r#for {
            text.push('\n');
            text.push_str(pattern.as_str());
        }
        Self(Digest::of(text.as_bytes()))
    }

    /// Takes the digest as a file holds it.
    #[must_use]
    pub const fn from_digest(digest: Digest) -> Self {
        Self(digest)
    }

    /// The digest that names this budget in files.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.0
    }
}

/// One budget of a leash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Its name.
    pub key: BudgetKey,
    /// The window's length.
    pub seconds: u32,
    /// The most within it.
    pub max: Money,
    /// Decimals of `max`; 0 for a rate.
    pub scale: u8,
    /// The currency; `None` for a rate.
    pub currency: Option<Currency>,
}

/// What one permitted action takes from one budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge<'a> {
    /// The budget.
    pub quota: &'a Quota,
    /// How much, at the budget's scale; 1 for a rate.
    pub cost: Money,
}

/// The sums of one budget over time.
#[derive(Clone, PartialEq, Eq)]
pub struct SlidingSum {
    width: i64,
    scale: u8,
    // INVARIANT: ascending bucket numbers, no empty sums, at most 61 live ones after `drop_old`.
    buckets: Vec<(i64, i128)>,
}

impl SlidingSum {
    /// An empty budget of `seconds`, counting at `scale`.
    #[must_use]
    pub fn new(seconds: u32, scale: u8) -> Self {
        Self { width: (i64::from(seconds) * 1000 + 59) / 60, scale, buckets: Vec::new() }
    }

    /// Decimals of the sums.
    #[must_use]
    pub const fn scale(&self) -> u8 {
        self.scale
    }

    /// What counts at `now`, saturating at the largest amount: an overflow is never room.
    #[must_use]
    pub fn spent(&self, now: UnixMillis) -> Money {
        let current = now.millis().div_euclid(self.width);
        let live = self.buckets.iter().filter(|(bucket, _)| current.saturating_sub(*bucket) <= 60);
        let sum = live.fold(0_i128, |sum, (_, spent)| sum.saturating_add(*spent));
        Money::from_minor(i64::try_from(sum.max(0)).unwrap_or(i64::MAX)).unwrap_or_else(most)
    }

    /// Whether `cost` more at `now` stays within `max`.
    #[must_use]
    pub fn has_room(&self, cost: Money, max: Money, now: UnixMillis) -> bool {
        self.spent(now).checked_add(cost).is_some_and(|sum| sum <= max)
    }

    /// Counts `cost`, spent at `at`.
    pub fn spend(&mut self, cost: Money, at: UnixMillis) {
        let bucket = at.millis().div_euclid(self.width);
        let cost = i128::from(cost.minor());
        match self.place_of(bucket) {
            Ok(place) => self.add(place, cost),
            Err(place) => self.buckets.insert(place, (bucket, cost)),
        }
    }

    /// Takes back `cost`, which was reserved at `at` and not spent. What is no longer counted cannot be taken back: no
    /// bucket owes room to another.
    pub fn release(&mut self, cost: Money, at: UnixMillis) {
        if let Ok(place) = self.place_of(at.millis().div_euclid(self.width)) {
            self.add(place, -i128::from(cost.minor()));
        }
    }

    fn place_of(&self, bucket: i64) -> Result<usize, usize> {
        self.buckets.binary_search_by_key(&bucket, |(number, _)| *number)
    }

    fn add(&mut self, place: usize, by: i128) {
        if let Some((_, sum)) = self.buckets.get_mut(place) {
            *sum = sum.saturating_add(by).max(0);
        }
    }

    /// Forgets what can no longer count at `now` or later.
    pub fn drop_old(&mut self, now: UnixMillis) {
        let current = now.millis().div_euclid(self.width);
        self.buckets.retain(|(bucket, sum)| current.saturating_sub(*bucket) <= 60 && *sum != 0);
    }

    /// The sums that count, each with a time inside its bucket.
    pub fn iter(&self) -> impl Iterator<Item = (UnixMillis, Money)> + '_ {
        self.buckets.iter().filter_map(|(bucket, sum)| {
            let minor = i64::try_from(*sum).unwrap_or(i64::MAX);
            Some((UnixMillis::from_millis(bucket.saturating_mul(self.width)), Money::from_minor(minor)?))
        })
    }

    /// The same sums at another scale. Fewer decimals round up: a renewal never makes room.
    #[must_use]
    pub fn rescaled(&self, scale: u8) -> Self {
        let factor = 10_i128.pow(u32::from(scale.abs_diff(self.scale)));
        let convert =
            |sum: i128| if scale >= self.scale { sum.saturating_mul(factor) } else { div_ceil(sum, factor) };
        let buckets = self.buckets.iter().map(|(bucket, sum)| (*bucket, convert(*sum))).collect();
        Self { width: self.width, scale, buckets }
    }
}

fn div_ceil(number: i128, by: i128) -> i128 {
    number.div_euclid(by) + i128::from(number.rem_euclid(by) != 0)
}

fn most() -> Money {
    #[expect(clippy::expect_used, reason = "the largest integer is not negative")]
    Money::from_minor(i64::MAX).expect("positive")
}

impl fmt::Debug for SlidingSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlidingSum({} ms x 60, {} buckets)", self.width, self.buckets.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64) -> Money {
        Money::from_minor(minor).unwrap()
    }

    fn at(millis: i64) -> UnixMillis {
        UnixMillis::from_millis(millis)
    }

    #[test]
    fn a_spend_counts_for_the_whole_window_and_at_most_a_bucket_more() {
        let mut sum = SlidingSum::new(60, 2);
        sum.spend(money(5), at(999));
        assert_eq!(sum.spent(at(60_999)), money(5));
        assert_eq!(sum.spent(at(61_000)), money(0));
        let mut odd = SlidingSum::new(1, 0);
        odd.spend(money(1), at(0));
        assert_eq!(odd.spent(at(17 * 61 - 1)), money(1));
        assert_eq!(odd.spent(at(17 * 61)), money(0));
    }

    #[test]
    fn a_clock_set_back_frees_nothing() {
        let mut sum = SlidingSum::new(60, 0);
        sum.spend(money(7), at(1_000_000));
        assert_eq!(sum.spent(at(0)), money(7));
        sum.drop_old(at(0));
        assert_eq!(sum.spent(at(0)), money(7));
    }

    #[test]
    fn overflow_is_no_room() {
        let mut sum = SlidingSum::new(60, 0);
        sum.spend(money(i64::MAX), at(0));
        sum.spend(money(i64::MAX), at(0));
        assert!(!sum.has_room(money(1), money(i64::MAX), at(0)));
        assert!(!sum.has_room(money(0), money(i64::MAX - 1), at(0)));
    }

    #[test]
    fn released_is_room_again_and_rescaling_rounds_up() {
        let mut sum = SlidingSum::new(60, 2);
        sum.spend(money(1001), at(0));
        assert_eq!(sum.rescaled(0).spent(at(0)), money(11));
        assert_eq!(sum.rescaled(4).spent(at(0)), money(100_100));
        sum.release(money(1001), at(0));
        assert_eq!(sum.spent(at(0)), money(0));
    }

    #[test]
    fn what_is_taken_back_twice_or_too_late_makes_no_room_for_anything_else() {
        let mut sum = SlidingSum::new(60, 0);
        sum.spend(money(5), at(0));
        sum.spend(money(7), at(1000));
        sum.release(money(5), at(0));
        sum.release(money(5), at(0));
        assert_eq!(sum.spent(at(1000)), money(7));
        sum.release(money(9), at(2000));
        assert_eq!(sum.spent(at(2000)), money(7));
    }
}
