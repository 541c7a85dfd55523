//! What was counted in a history: the whole of what a baseline knows about an agent.
//!
//! Each table is bounded: what is most frequent is kept, and everything else is [`OTHER`]. That goes on looking new; how often
//! such things happen in the history is measured by the same look, so an agent that does something new all day is not
//! alarmed about.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;

use super::observation::{Call, Name};

/// Frequencies of one history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u64,
    /// Calls whose counterparties are known.
    pub(super) named: u64,
    /// Those beyond the bound are in `calls` alone.
    pub(super) actions: BTreeMap<String, u64>,
    /// How often an action came after another in a session; the beginning of a session is the empty name, and [`OTHER`] are
    /// the followers beyond the bound.
    pub(super) steps: BTreeMap<String, BTreeMap<String, u64>>,
    pub(super) names: BTreeMap<Name, u64>,
    /// By action and currency.
    pub(super) sums: BTreeMap<String, Sums>,
    /// By hour of the week.
    pub(super) hours: BTreeMap<u8, u64>,
}

/// The amounts of one action in one currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) count: u64,
    /// In units of 10^-18.
    pub(super) total: u128,
    /// By binary logarithm.
    pub(super) buckets: BTreeMap<u8, u64>,
}

/// A call and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    pub(super) call: &'a Call,
    /// The action before it in its session.
    pub(super) before: &'a str,
    /// Milliseconds since 1970.
    pub(super) at: i64,
}

impl Placed<'_> {
    /// The hour of the week in UTC, counted from the first Thursday of 1970.
    pub(super) fn hour(&self) -> u8 {
        u8::try_from(self.at.div_euclid(3_600_000).rem_euclid(HOURS)).unwrap_or(0)
    }

    /// The table of its amounts.
    pub(super) fn table(&self) -> Option<String> {
        Some(format!("{} {}", self.call.action, self.call.sum.as_ref()?.currency))
    }
}

impl Counts {
    pub(super) fn add(&mut self, placed: Placed<'_>) {
        let Placed { call, before, .. } = placed;
        self.calls = self.calls.saturating_add(1);
        count(&mut self.actions, &call.action);
        count(entry(&mut self.steps, before), &call.action);
        let hour = self.hours.entry(placed.hour()).or_default();
        *hour = hour.saturating_add(1);
        if let Some(names) = call.names.as_ref().filter(|names| !names.is_empty()) {
            self.named = self.named.saturating_add(1);
            for name in names {
                let times = self.names.entry(*name).or_default();
                *times = times.saturating_add(1);
            }
        }
        if let Some((table, sum)) = placed.table().zip(call.sum.as_ref()) {
            let sums = entry(&mut self.sums, &table);
            sums.count = sums.count.saturating_add(1);
            sums.total = sums.total.saturating_add(sum.units);
            let bucket = sums.buckets.entry(bucket(sum.units)).or_default();
            *bucket = bucket.saturating_add(1);
        }
    }

    /// Keeps what is most frequent; of what is equally so, the smaller name. Until then the history itself is the bound.
    pub(super) fn trim(&mut self) {
        keep(&mut self.actions, MAX_ACTIONS, |times| *times);
        keep(&mut self.names, MAX_NAMES, |times| *times);
        keep(&mut self.sums, MAX_SUMS, |sums| sums.count);
        let actions = &self.actions;
        self.steps.retain(|before, _| before.is_empty() || actions.contains_key(before));
        let mut pairs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (before, after) in &self.steps {
            let known = after.iter().filter(|(action, _)| actions.contains_key(*action));
            pairs.extend(known.map(|(action, times)| ((before.as_str(), action.as_str()), *times)));
        }
        keep(&mut pairs, MAX_PAIRS, |times| *times);
        let mut steps: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for (before, after) in &self.steps {
            let kept = entry(&mut steps, before);
            for (action, times) in after {
                let action =
                    if pairs.contains_key(&(before.as_str(), action.as_str())) { action } else { OTHER };
                let sum = entry(kept, action);
                *sum = sum.saturating_add(*times);
            }
        }
        self.steps = steps;
    }

    pub(super) fn action(&self, action: &str) -> u64 {
        self.actions.get(action).copied().unwrap_or(0)
    }

    /// How often an action of the same kind was counted: one with the same first segment.
    pub(super) fn kind(&self, action: &str) -> u64 {
        let kind = action.split(':').next().unwrap_or(action);
        let of_it = |other: &&String| other.split(':').next() == Some(kind);
        let from = self
            .actions
            .range::<str, _>((Bound::Included(kind), Bound::Unbounded))
            .take_while(|(other, _)| other.starts_with(kind));
        from.filter(|(other, _)| of_it(other)).fold(0, |sum, (_, n)| n.saturating_add(sum))
    }

    pub(super) fn step(&self, before: &str, action: &str) -> u64 {
        self.steps.get(before).and_then(|after| after.get(action)).copied().unwrap_or(0)
    }

    pub(super) fn after(&self, before: &str) -> u64 {
        self.steps.get(before).map_or(0, |after| after.values().fold(0, |sum, n| n.saturating_add(sum)))
    }

    pub(super) fn name(&self, name: &Name) -> u64 {
        self.names.get(name).copied().unwrap_or(0)
    }

    pub(super) fn hour(&self, hour: u8) -> u64 {
        self.hours.get(&hour).copied().unwrap_or(0)
    }
}

impl Sums {
    /// How many were of this size or larger.
    pub(super) fn at_least(&self, bucket: u8) -> u64 {
        self.buckets.range(bucket..).fold(0, |sum, (_, n)| n.saturating_add(sum))
    }
}

/// The size of an amount: its binary logarithm.
pub(super) fn bucket(units: u128) -> u8 {
    u8::try_from(units.max(1).ilog2()).unwrap_or(127)
}

/// Leaves the `most` entries that weigh most.
fn keep<K: Ord + Clone, V>(table: &mut BTreeMap<K, V>, most: usize, weight: impl Fn(&V) -> u64) {
    if table.len() <= most {
        return;
    }
    let mut keys: Vec<(Reverse<u64>, K)> =
        table.iter().map(|(key, value)| (Reverse(weight(value)), key.clone())).collect();
    keys.sort_unstable();
    for (_, key) in keys.into_iter().skip(most) {
        table.remove(&key);
    }
}

fn entry<'t, V: Default>(table: &'t mut BTreeMap<String, V>, key: &str) -> &'t mut V {
    table.entry(key.to_owned()).or_default()
}

fn count(table: &mut BTreeMap<String, u64>, key: &str) {
    let times = entry(table, key);
    *times = times.saturating_add(1);
}

/// What stands for everything beyond a bound; no name of an action is this.
pub(super) const OTHER: &str = "*";

pub(super) const HOURS: i64 = 168;

/// A scope has at most 256 patterns (wire 1.1), and agents that do more things than that are not known. With 128 octets a
/// name (wire 1.3) they are 40 KB.
pub(super) const MAX_ACTIONS: usize = 256;

/// Actions one after another: 75 KB with the longest names. Beside them each action has its other followers.
pub(super) const MAX_PAIRS: usize = 512;

/// Counterparties that come again; 27 octets each in a file.
pub(super) const MAX_NAMES: usize = 2_048;

/// A scope has at most 64 limits (wire 1.1).
pub(super) const MAX_SUMS: usize = 64;
