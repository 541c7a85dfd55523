//! The same history again: every change of level it leads to, and one digest over all of it.

use std::sync::Arc;

use super::baseline::Baseline;
use super::change::Change;
use super::feature::Feature;
use super::level::RiskLevel;
use super::monitor::Monitor;
use super::observation::{Observation, What, in_order};
use super::policy::RiskPolicy;
use crate::digest::Digest;
use crate::receipt::ReceiptHash;
use crate::time::UnixMillis;

/// What a history came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Replay {
    /// Every change of level, in order.
    pub changes: Vec<Change>,
    /// The level at the end.
    pub level: RiskLevel,
    /// The highest level in between.
    pub highest: RiskLevel,
    /// The highest score in between.
    pub peak: u16,
    /// The score at the end.
    pub score: u16,
    /// Calls.
    pub calls: u64,
    /// Calls that were denied.
    pub denied: u64,
    /// Observations of other agents, which were not judged.
    pub foreign: u64,
    /// Features that said nothing: the baseline knows nothing of them, or no call showed any of it.
    pub silent: Vec<Feature>,
    /// The score over time, thinned out to at most 2,048 points.
    pub curve: Vec<Point>,
    /// SHA-256 over what was judged, by what, and everything that came of it: the same in every language.
    pub digest: Digest,
}

/// The score at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub at: UnixMillis,
    /// From 0 to 1000.
    pub score: u16,
}

/// Judges a history from its beginning, in the order of [`in_order`].
pub fn replay(observations: Vec<Observation>, baseline: &Baseline, policy: &RiskPolicy) -> Replay {
    replay_explained(observations, baseline, policy, |_| None)
}

/// The same, where people explained changes of level: `explained` says by whom the one that came with a receipt was, and from
/// there on the agent is watched anew. What came to revoke is explained by nobody.
pub fn replay_explained<'a>(
    observations: Vec<Observation>,
    baseline: &Baseline,
    policy: &RiskPolicy,
    explained: impl Fn(&ReceiptHash) -> Option<&'a str>,
) -> Replay {
    let mut monitor = Monitor::new(Arc::new(baseline.clone()), policy.clone());
    let (mut changes, mut highest, mut peak) = (Vec::new(), RiskLevel::Clear, 0);
    let mut curve = Curve::default();
    let mut shown = Shown::default();
    for seen in in_order(observations) {
        shown.look(&seen);
        let change = monitor.observe(&seen);
        let score = monitor.score();
        peak = score.max(peak);
        highest = monitor.level().max(highest);
        curve.add(Point { at: monitor.now(), score });
        let by = change.as_ref().and_then(|change| change.receipt.as_ref()).and_then(&explained);
        changes.extend(change);
        changes.extend(by.and_then(|by| monitor.explain(by)));
    }
    let mut text = format!("{DOMAIN}\n{}\n{}\n", baseline.digest(), policy.digest());
    for change in &changes {
        text.push_str(&change.line());
        text.push('\n');
    }
    text.push_str(&monitor.state());
    text.push('\n');
    let mut silent = baseline.silent();
    silent.extend(shown.silent().filter(|feature| policy.looks_at(*feature)));
    silent.sort_unstable();
    silent.dedup();
    Replay {
        changes,
        level: monitor.level(),
        highest,
        peak,
        score: monitor.score(),
        calls: monitor.calls(),
        denied: monitor.denied(),
        foreign: monitor.foreign(),
        silent,
        curve: curve.points,
        digest: Digest::of(text.as_bytes()),
    }
}

/// Whether any call showed an amount or a counterparty.
#[derive(Default)]
struct Shown {
    sums: bool,
    names: bool,
}

impl Shown {
    fn look(&mut self, seen: &Observation) {
        if let What::Call(call) = &seen.what {
            self.sums |= call.sum.is_some();
            self.names |= call.names.is_some();
        }
    }

    fn silent(&self) -> impl Iterator<Item = Feature> {
        let sums = Some(Feature::Amount).filter(|_| !self.sums);
        sums.into_iter().chain(Some(Feature::NewCounterparty).filter(|_| !self.names))
    }
}

/// Every so many calls, the highest score since the point before.
#[derive(Default)]
struct Curve {
    points: Vec<Point>,
    stride: u32,
    left: u32,
}

impl Curve {
    fn add(&mut self, point: Point) {
        if self.left > 0
            && let Some(last) = self.points.last_mut()
        {
            last.score = last.score.max(point.score);
            self.left -= 1;
            return;
        }
        if self.points.len() >= MAX_POINTS {
            let mut halved = Vec::with_capacity(MAX_POINTS);
            for pair in self.points.chunks(2) {
                let peak = pair.iter().map(|point| point.score).max().unwrap_or(0);
                halved.extend(pair.first().map(|first| Point { at: first.at, score: peak }));
            }
            self.points = halved;
            self.stride = self.stride.saturating_mul(2).saturating_add(1);
        }
        self.points.push(point);
        self.left = self.stride;
    }
}

/// More than a screen is wide.
const MAX_POINTS: usize = 2_048;

const DOMAIN: &str = "kakunin-risk-replay-v1";
