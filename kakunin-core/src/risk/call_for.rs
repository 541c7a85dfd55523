//! Which level the weights call for.

use super::charts::Chart;
use super::feature::{Evidence, Feature};
use super::level::RiskLevel;
use super::monitor::Monitor;
use super::standing::Gauge;
use super::weight::{OUTSIDE_ALARM, Weight, alarms, heaviest, of_receipts, total};

impl Monitor {
    /// The level that is called for, and why it is this one if not by the score alone.
    pub(super) fn wanted(&self, weights: &[Weight]) -> (RiskLevel, Option<Evidence>) {
        let mut note = None;
        let declared = self.is_declared_again();
        let mut level = self.called_for(weights, self.is_repeated() || declared, self.is_enough());
        // Whoever sends no receipts is suspended by what is said, if it is said more than once.
        let outside: Vec<Weight> =
            weights.iter().filter(|weight| !weight.feature.is_of_receipts()).copied().collect();
        let pieces = self.standing.outside.iter().filter(|its| its.value >= OUTSIDE_ALARM);
        let pieces = pieces.fold(0_u64, |sum, its| sum.saturating_add(its.pieces));
        level = level.max(self.called_for(&outside, declared, pieces >= LEAST_PIECES));
        if self.standing.level >= RiskLevel::StepUp && self.standing.writes_refused(false) {
            level = level.max(RiskLevel::Suspend);
            note = Some(if self.standing.writes_refused(true) {
                let sentence = "three writes were refused within 15 minutes at step-up".to_owned();
                Evidence { feature: Feature::DenialRatio, milli_nats: 0, sentence }
            } else {
                let sentence =
                    "three writes were refused within 15 minutes at a step-up that was declared in part"
                        .to_owned();
                Evidence { feature: Feature::Declared, milli_nats: 0, sentence }
            });
        }
        if self.is_sustained() {
            level = RiskLevel::Revoke;
            let sentence = format!(
                "two features or more were over their thresholds, and the score at {} or more, for two windows of {} calls",
                self.policy.score_of(RiskLevel::Revoke),
                self.policy.window()
            );
            let feature = heaviest(&of_receipts(weights));
            note = Some(Evidence { feature, milli_nats: 0, sentence });
        }
        (level.min(self.policy.highest()), note.filter(|_| level <= self.policy.highest()))
    }

    /// Takes note of what receipts alone call for. It rises at once; below suspension it falls with what they weigh.
    pub(super) fn prove(&mut self, weights: &[Weight]) {
        let weights = of_receipts(weights);
        let mut level = self.called_for(&weights, self.is_repeated(), self.is_enough());
        if self.standing.writes_refused(true) {
            level = level.max(RiskLevel::Suspend);
        }
        if self.is_sustained() {
            level = RiskLevel::Revoke;
        }
        let (level, proven) = (level.min(self.policy.highest()), self.standing.proven);
        let faded = proven < RiskLevel::Suspend && total(&weights) < self.policy.score_of(proven) / 2;
        if level > proven || faded {
            self.standing.proven = level;
        }
    }

    /// Counts for how many calls receipts alone have said what revokes.
    pub(super) fn count_over(&mut self) {
        let weights = of_receipts(&self.weights());
        let enough = self.standing.calls >= self.policy.calls_of(RiskLevel::Revoke);
        let over = total(&weights) >= self.policy.score_of(RiskLevel::Revoke) && alarms(&weights) >= 2;
        self.standing.over = if over && enough { self.standing.over.saturating_add(1) } else { 0 };
    }

    /// The level that these weights call for by themselves, a revocation not among them. `repeated` is whether one of them
    /// was an alarm twice, `enough` whether there is evidence enough to suspend anybody.
    fn called_for(&self, weights: &[Weight], repeated: bool, enough: bool) -> RiskLevel {
        let score = total(weights);
        if score >= self.policy.score_of(RiskLevel::Suspend) && enough && (alarms(weights) >= 2 || repeated) {
            return RiskLevel::Suspend;
        }
        let reached = [RiskLevel::StepUp, RiskLevel::Watch].into_iter();
        reached.into_iter().find(|level| score >= self.policy.score_of(*level)).unwrap_or(RiskLevel::Clear)
    }

    /// Whether enough calls were seen to suspend by what they show.
    fn is_enough(&self) -> bool {
        self.standing.calls >= self.policy.calls_of(RiskLevel::Suspend)
    }

    /// Whether receipts alone have said for two windows what revokes.
    fn is_sustained(&self) -> bool {
        self.standing.over >= self.policy.window().saturating_mul(2)
    }

    /// Whether one chart came from its threshold to twice that soon: the alarm again, had it begun anew.
    fn is_repeated(&self) -> bool {
        let twice = |(gauge, chart): (&Gauge, &Chart)| {
            chart.feature.counts_as_different()
                && gauge.value >= chart.threshold.saturating_mul(2)
                && self.standing.calls.saturating_sub(gauge.since) <= self.policy.repeat_within()
        };
        self.standing.gauges.iter().zip(self.baseline.charts()).any(twice)
    }

    /// What is declared counts likewise; what was found in content and silence do not.
    fn is_declared_again(&self) -> bool {
        self.standing.outside.first().is_some_and(|declared| declared.value >= 2 * OUTSIDE_ALARM)
    }
}

/// So many pieces of what is said suspend an agent that sends no receipts.
const LEAST_PIECES: u64 = 3;
