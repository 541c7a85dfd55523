//! What one call shows when it is held against what was counted.

use super::counts::{Counts, HOURS, Placed, bucket};
use super::logarithm::ln_ratio;
use super::observation::Answered;

/// The facts that charts are drawn from. `None` is: this call says nothing about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signals {
    /// How unexpected the action is after the one before it, in micro-nats.
    pub(super) surprise: i64,
    /// Whether the action is none that was counted.
    pub(super) new_action: bool,
    /// Whether nothing of its kind was counted: an action with the same first segment.
    pub(super) new_kind: bool,
    /// Whether one of the counterparties is none that was counted.
    pub(super) new_name: Option<bool>,
    /// How unexpected so large an amount is, in micro-nats.
    pub(super) size: Option<i64>,
    /// What the amount says for sums three times as large, in micro-nats, before what is taken off for being a call.
    pub(super) mass: Option<i64>,
    /// Whether the amount is just below or just above what is allowed.
    pub(super) near_limit: Option<bool>,
    /// Whether neither this hour of the week nor its neighbours were counted.
    pub(super) odd_hour: bool,
    /// Whether it was refused.
    pub(super) refused: Option<bool>,
}

impl Signals {
    /// What `placed` shows against `all` but for `without`: in learning, a call is held against the rest of the history
    /// and not against itself.
    pub(super) fn of(placed: Placed<'_>, all: &Counts, without: Option<&Counts>) -> Self {
        let call = placed.call;
        let but = |count: &dyn Fn(&Counts) -> u64| count(all).saturating_sub(without.map_or(0, count));
        let known = but(&|counts| counts.action(&call.action));
        let mut signals = Self {
            surprise: surprise(placed, all, &but),
            new_action: known == 0,
            new_kind: known == 0 && but(&|counts| counts.kind(&call.action)) == 0,
            odd_hour: around(placed.hour()).all(|hour| but(&|counts| counts.hour(hour)) == 0),
            ..Self::default()
        };
        if let Some(names) = call.names.as_ref().filter(|names| !names.is_empty()) {
            signals.new_name = Some(names.iter().any(|name| but(&|counts| counts.name(name)) == 0));
        }
        let hindered = call.answer == Answered::Hindered;
        if !hindered {
            signals.refused = Some(call.answer != Answered::Allowed);
            signals.near_limit = near_limit(placed);
        }
        if let Some((table, sum)) = placed.table().zip(call.sum.as_ref()).filter(|_| !hindered) {
            let count = but(&|counts| counts.sums.get(&table).map_or(0, |sums| sums.count));
            if count > 0 {
                let bucket = bucket(sum.units);
                let larger = but(&|counts| counts.sums.get(&table).map_or(0, |sums| sums.at_least(bucket)));
                signals.size = Some(ln_ratio(count.saturating_add(2), larger.saturating_add(1)));
                let total = |counts: &Counts| counts.sums.get(&table).map_or(0, |sums| sums.total);
                let total = total(all).saturating_sub(without.map_or(0, total));
                let millionth = (total / u128::from(count) / 1_000_000).max(1);
                let times = i64::try_from(sum.units / millionth).unwrap_or(i64::MAX).min(MOST_TIMES);
                // Exponential with three times the mean against the mean: x·(1 - 1/3) - ln 3.
                signals.mass = Some(times * 2 / 3);
            }
        }
        signals
    }
}

/// A count without what is left out.
type Remaining<'a> = dyn Fn(&dyn Fn(&Counts) -> u64) -> u64 + 'a;

/// The action's share after the action before it, with two calls' worth of its share anywhere, so that a rare predecessor
/// does not make everything surprising.
fn surprise(placed: Placed<'_>, all: &Counts, but: &Remaining<'_>) -> i64 {
    let action = placed.call.action.as_str();
    let kinds = all.actions.len() as u64;
    let twice = but(&|counts| counts.action(action)).saturating_mul(2).saturating_add(1);
    let whole = but(&|counts| counts.calls).saturating_mul(2).saturating_add(kinds).saturating_add(1);
    let step = but(&|counts| counts.step(placed.before, action));
    let after = but(&|counts| counts.after(placed.before));
    let share = step.saturating_mul(whole).saturating_add(twice.saturating_mul(BACKOFF));
    let of = after.saturating_add(BACKOFF).saturating_mul(whole);
    ln_ratio(of, share).clamp(0, MOST_SURPRISE)
}

/// Allowed at 90 to 100 % of the limit, or refused at up to 125 % of it; refused because of an amount that is not known
/// counts as well.
fn near_limit(placed: Placed<'_>) -> Option<bool> {
    let share = placed.call.sum.as_ref().and_then(|sum| sum.share);
    match (placed.call.answer, share) {
        (Answered::Refused { over_amount: true }, share) => Some(share.is_none_or(|share| share <= 1_250)),
        (Answered::Allowed, Some(share)) => Some((900..=1_000).contains(&share)),
        _ => None,
    }
}

fn around(hour: u8) -> impl Iterator<Item = u8> {
    [HOURS - 1, 0, 1].into_iter().filter_map(move |by| u8::try_from((i64::from(hour) + by) % HOURS).ok())
}

const BACKOFF: u64 = 2;

/// e^12 calls is more than any baseline has.
const MOST_SURPRISE: i64 = 12_000_000;

/// Sixteen times the mean: more of one amount says nothing more about many.
const MOST_TIMES: i64 = 16_000_000;
