//! How a history is looked at before it is frozen: every call against the rest of it.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use super::charts::{Chart, Shown, Step};
use super::counts::{Counts, Placed};
use super::observation::{Call, Name, Observation};
use super::policy::RiskPolicy;
use super::recall::Recall;
use super::signals::Signals;
use super::tuning::History;

/// What came of a history, before its thresholds.
pub(super) struct Learned {
    pub(super) counts: Counts,
    pub(super) writes: BTreeSet<String>,
    pub(super) charts: Vec<Chart>,
    pub(super) steps: Vec<Vec<Step>>,
    pub(super) blocks: Vec<Range<usize>>,
    pub(super) at: Vec<i64>,
}

impl Learned {
    pub(super) fn from(calls: &[(&Observation, &Call)], policy: &RiskPolicy) -> Self {
        let mut recall = Recall::default();
        let (mut counts, mut placed, mut at) = (Counts::default(), Vec::new(), Vec::new());
        let mut now = 0;
        for (number, (seen, call)) in calls.iter().enumerate() {
            now = seen.at.max(now);
            let (before, fresh) = recall.place(call, number as u64, now);
            counts.add(Placed { call, before: &before, at: now });
            placed.push((before, fresh));
            at.push(now);
        }
        counts.trim();
        let writes: BTreeSet<String> =
            counts.actions.keys().filter(|action| policy.is_write(action)).cloned().collect();
        let blocks = blocks(calls);
        let mut shown = Vec::with_capacity(calls.len());
        for block in &blocks {
            let within = || {
                let calls = calls.iter().zip(&placed).zip(&at).enumerate();
                calls.skip(block.start).take(block.len())
            };
            let mut own = Counts::default();
            for (_, (((_, call), (before, _)), at)) in within() {
                own.add(Placed { call, before, at: *at });
            }
            let mut met: HashSet<Name> = HashSet::new();
            for (place, (((_, call), (before, fresh_name)), now)) in within() {
                let mut signals = Signals::of(Placed { call, before, at: *now }, &counts, Some(&own));
                // A counterparty is new once.
                let fresh = call.names.iter().flatten().filter(|name| met.insert(**name)).count() > 0;
                signals.new_name = signals.new_name.map(|new| new && fresh);
                let earlier = place.checked_sub(1).and_then(|place| at.get(place)).unwrap_or(now);
                shown.push(Shown {
                    call,
                    signals,
                    is_write: writes.contains(&call.action) || policy.is_write(&call.action),
                    fresh_name: *fresh_name,
                    elapsed: Some(now.saturating_sub(*earlier).unsigned_abs()),
                });
            }
        }
        let millis = match (at.first(), at.last()) {
            (Some(first), Some(last)) => last.saturating_sub(*first).unsigned_abs(),
            _ => 0,
        };
        let own = History::writes(&counts, &|action| writes.contains(action));
        let charts = Chart::learn(&History { shown: &shown, blocks: &blocks, at: &at, writes: own, millis });
        let steps = charts
            .iter()
            .map(|chart| shown.iter().map(|shown| chart.step(shown).unwrap_or_default()).collect())
            .collect();
        Self { counts, writes, charts, steps, blocks, at }
    }
}

/// Calls that belong together: whole sessions as they follow one another, between [`SHORT`] and [`LONG`] calls.
fn blocks(calls: &[(&Observation, &Call)]) -> Vec<Range<usize>> {
    let mut blocks = Vec::new();
    let mut start = 0;
    for (place, pair) in calls.windows(2).enumerate() {
        let [(_, call), (_, next)] = pair else { continue };
        let length = place + 1 - start;
        if (call.session != next.session && length >= SHORT) || length >= LONG {
            blocks.push(start..place + 1);
            start = place + 1;
        }
    }
    if start < calls.len() {
        blocks.push(start..calls.len());
    }
    blocks
}

/// A session of one call would say nothing about what follows what.
const SHORT: usize = 8;

/// An endless session would be one block, and there would be nothing to draw from.
const LONG: usize = 40;
