//! What an agent usually does: counted once, frozen, and known by its digest.
//!
//! Learning holds every call against the rest of the history, block by block, so that what is rare in it is taken for as
//! surprising as it will be. A baseline does not grow while it is in use, or a patient attacker would teach it; another
//! one is made on purpose, names the one before, and has another digest.

use std::collections::BTreeSet;

use super::calibrate::Calibration;
use super::charts::Chart;
use super::counts::Counts;
use super::feature::Feature;
use super::learn::Learned;
use super::observation::{Call, Observation, What};
use super::policy::RiskPolicy;
use crate::digest::Digest;
use crate::id::AgentId;

/// What is usual for one agent, with the charts and thresholds that follow from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    pub(super) agent: AgentId,
    /// The baseline that this one takes the place of.
    pub(super) replaces: Option<Digest>,
    pub(super) allowed: u64,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) run_length: u64,
    pub(super) counts: Counts,
    pub(super) writes: BTreeSet<String>,
    pub(super) charts: Vec<Chart>,
    pub(super) digest: Digest,
}

impl Baseline {
    /// Learns from a history in the order of [`super::in_order`]; everything in it is taken for usual. Words about clocks
    /// are passed over.
    ///
    /// # Errors
    /// [`TooLittle`] when it has fewer allowed calls than the policy asks for at least, or calls of several agents.
    pub fn learn(history: &[Observation], policy: &RiskPolicy) -> Result<Self, TooLittle> {
        Self::learn_after(None, history, policy)
    }

    /// Learns anew in the place of `before`, which the new one names.
    ///
    /// # Errors
    /// As [`Baseline::learn`], and when `before` is another agent's.
    pub fn relearn(before: &Self, history: &[Observation], policy: &RiskPolicy) -> Result<Self, TooLittle> {
        Self::learn_after(Some(before), history, policy)
    }

    /// Of an agent of which nothing is known yet: no charts, so no statistics. Hard facts, canaries and what is declared work
    /// by it from the first receipt on. It is never frozen: [`Baseline::from_json`] does not take it.
    #[must_use]
    pub fn unknown(agent: AgentId) -> Self {
        let mut baseline = Self {
            agent,
            replaces: None,
            allowed: 0,
            first: 0,
            last: 0,
            run_length: 0,
            counts: Counts::default(),
            writes: BTreeSet::new(),
            charts: Vec::new(),
            digest: Digest::from_bytes([0; 32]),
        };
        baseline.digest = Digest::of(baseline.to_json().as_bytes());
        baseline
    }

    fn learn_after(
        before: Option<&Self>,
        history: &[Observation],
        policy: &RiskPolicy,
    ) -> Result<Self, TooLittle> {
        let calls: Vec<(&Observation, &Call)> = history
            .iter()
            .filter_map(|seen| match &seen.what {
                What::Call(call) => Some((seen, call)),
                What::SetBack(_) => None,
            })
            .collect();
        let allowed = calls.iter().filter(|(seen, _)| seen.is_allowed()).count() as u64;
        let too_little = TooLittle::Calls { allowed, needed: policy.least_calls() };
        let Some((first, _)) = calls.first().filter(|_| allowed >= policy.least_calls()) else {
            return Err(too_little);
        };
        let agent = first.agent;
        let others = calls.iter().map(|(seen, _)| seen.agent).chain(before.map(|before| before.agent));
        if let Some(other) = others.into_iter().find(|other| *other != agent) {
            return Err(TooLittle::Agents { one: agent, other });
        }
        let learned = Learned::from(&calls, policy);
        let (first, last) = (learned.at.first().copied(), learned.at.last().copied());
        let mut baseline = Self {
            agent,
            replaces: before.map(|before| before.digest),
            allowed,
            first: first.unwrap_or(0),
            last: last.unwrap_or(0),
            run_length: policy.run_length(),
            counts: learned.counts,
            writes: learned.writes,
            charts: learned.charts,
            digest: Digest::from_bytes([0; 32]),
        };
        // What is counted is the seed of what is calibrated by it.
        let thresholds = Calibration {
            blocks: &learned.blocks,
            steps: &learned.steps,
            run_length: policy.run_length(),
            seed: Digest::of(baseline.to_json().as_bytes()),
        }
        .thresholds(
            |chart, run_length| baseline.charts.get(chart).map_or(0, |its| its.least(run_length)),
            |chart| baseline.charts.get(chart).map_or(1, |its| its.part(baseline.charts.len())),
        );
        for (chart, threshold) in baseline.charts.iter_mut().zip(thresholds) {
            chart.threshold = threshold.max(1);
        }
        baseline.digest = Digest::of(baseline.to_json().as_bytes());
        Ok(baseline)
    }

    /// Whose it is.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// What it is known by: SHA-256 of [`Baseline::to_json`].
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The baseline that it takes the place of, if it was learned anew.
    #[must_use]
    pub const fn replaces(&self) -> Option<Digest> {
        self.replaces
    }

    /// How many calls it was learned from, denied ones among them.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.counts.calls
    }

    /// The features that it says nothing about, because its history showed nothing of them.
    #[must_use]
    pub fn silent(&self) -> Vec<Feature> {
        let has = |feature: &Feature| self.charts.iter().any(|chart| chart.feature == *feature);
        let learned = |feature: &Feature| feature.is_of_receipts() && *feature != Feature::HardFact;
        Feature::ALL.into_iter().filter(|feature| learned(feature) && !has(feature)).collect()
    }

    pub(super) const fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn charts(&self) -> &[Chart] {
        &self.charts
    }

    /// Whether an action writes: as it was when it was learned, and by the policy for others.
    pub(super) fn is_write(&self, action: &str, policy: &RiskPolicy) -> bool {
        if self.counts.action(action) > 0 { self.writes.contains(action) } else { policy.is_write(action) }
    }
}

/// Why nothing is learned from a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TooLittle {
    /// Fewer allowed calls than it takes.
    #[error(
        "{allowed} allowed calls are too few for a baseline; {needed} are needed (`least` under [baseline] in the policy)"
    )]
    Calls {
        /// How many there are.
        allowed: u64,
        /// How many it takes.
        needed: u64,
    },
    /// Calls of several agents.
    #[error("a baseline is of one agent, and here are calls of {one} and {other}")]
    Agents {
        /// One of them.
        one: AgentId,
        /// Another.
        other: AgentId,
    },
}
