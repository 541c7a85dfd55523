//! What was counted in a history: the whole of what a baseline knows about an agent.
//!
//! Each table is bounded. What finds no place is not counted, so it goes on looking new; how often such things happen in
//! the history is measured by the same look, so an agent that does something new all day is not alarmed about.

use std::collections::BTreeMap;

use super::observation::{Call, Name};

/// Frequencies of one history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u64,
    /// Calls whose counterparties are known.
    pub(super) named: u64,
    pub(super) actions: BTreeMap<String, u64>,
    /// How often an action came after another in a session; the beginning of a session is the empty name.
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
        count(&mut self.actions, &call.action, MAX_ACTIONS);
        if let Some(after) = entry(&mut self.steps, before, MAX_ACTIONS) {
            count(after, &call.action, MAX_AFTER);
        }
        let hour = self.hours.entry(placed.hour()).or_default();
        *hour = hour.saturating_add(1);
        if let Some(names) = call.names.as_ref().filter(|names| !names.is_empty()) {
            self.named = self.named.saturating_add(1);
            for name in names {
                if self.names.len() < MAX_NAMES || self.names.contains_key(name) {
                    let times = self.names.entry(*name).or_default();
                    *times = times.saturating_add(1);
                }
            }
        }
        if let Some((table, sum)) = placed.table().zip(call.sum.as_ref())
            && let Some(sums) = entry(&mut self.sums, &table, MAX_SUMS)
        {
            sums.count = sums.count.saturating_add(1);
            sums.total = sums.total.saturating_add(sum.units);
            let bucket = sums.buckets.entry(bucket(sum.units)).or_default();
            *bucket = bucket.saturating_add(1);
        }
    }

    pub(super) fn action(&self, action: &str) -> u64 {
        self.actions.get(action).copied().unwrap_or(0)
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

fn entry<'t, V: Default>(table: &'t mut BTreeMap<String, V>, key: &str, most: usize) -> Option<&'t mut V> {
    if !table.contains_key(key) {
        if table.len() >= most {
            return None;
        }
        table.insert(key.to_owned(), V::default());
    }
    table.get_mut(key)
}

fn count(table: &mut BTreeMap<String, u64>, key: &str, most: usize) {
    if let Some(times) = entry(table, key, most) {
        *times = times.saturating_add(1);
    }
}

pub(super) const HOURS: i64 = 168;

/// A scope has at most 256 patterns (wire 1.1); agents with ten actions for each are not known.
pub(super) const MAX_ACTIONS: usize = 2_560;

/// Followers of one action. With 128 octets a name (wire 1.3) all tables together are below 100 MB, and in practice, with
/// some dozens of actions, some kilobytes.
pub(super) const MAX_AFTER: usize = 256;

/// As many counterparties as a bank's agent pays in a month; 24 octets each in a file.
pub(super) const MAX_NAMES: usize = 16_384;

/// A scope has at most 64 limits (wire 1.1).
pub(super) const MAX_SUMS: usize = 512;
