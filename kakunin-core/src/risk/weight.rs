//! What stands against an agent, one weight for each feature.

use std::collections::BTreeMap;

use super::feature::Feature;
use super::monitor::Monitor;
use super::policy::ALARM;

/// What stands against the agent by one feature.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    pub(super) feature: Feature,
    /// Thousandths of its threshold.
    pub(super) pressure: u32,
    pub(super) score: u16,
    /// The chart, if it is of receipts.
    pub(super) chart: Option<usize>,
}

impl Monitor {
    /// What stands against the agent, one weight for each feature, the highest first.
    pub(super) fn weights(&self) -> Vec<Weight> {
        let mut of: BTreeMap<Feature, (u32, Option<usize>)> = BTreeMap::new();
        for (place, (gauge, chart)) in self.standing.gauges.iter().zip(self.baseline.charts()).enumerate() {
            let pressure = pressure(gauge.value, chart.threshold);
            let known = of.entry(chart.feature).or_insert((pressure, Some(place)));
            if pressure > known.0 {
                *known = (pressure, Some(place));
            }
        }
        for (outside, feature) in self.standing.outside.iter().zip(OUTSIDE) {
            of.insert(feature, (pressure(outside.value, OUTSIDE_ALARM), None));
        }
        let weigh = |(feature, (pressure, chart)): (Feature, (u32, Option<usize>))| {
            let score = u16::try_from(u32::from(ALARM) * pressure / 1000).unwrap_or(MOST_OF_ONE);
            let most = if feature.counts_as_different() { MOST_OF_ONE } else { MOST_OF_WEAK };
            Weight { feature, pressure, score: score.min(most), chart }
        };
        let mut weights: Vec<Weight> =
            of.into_iter().map(weigh).filter(|weight| weight.pressure > 0).collect();
        weights.sort_by_key(|weight| (std::cmp::Reverse(weight.score), weight.feature));
        weights
    }
}

/// The sum of the heaviest weight and of all others that are alarms.
pub(super) fn total(weights: &[Weight]) -> u16 {
    let mut weights = weights.iter();
    let first = weights.next().map_or(0, |weight| weight.score);
    let others = weights.filter(|weight| weight.pressure >= 1000).map(|weight| weight.score);
    others.fold(first, u16::saturating_add).min(1000)
}

/// Those that receipts speak for.
pub(super) fn of_receipts(weights: &[Weight]) -> Vec<Weight> {
    weights.iter().filter(|weight| weight.feature.is_of_receipts()).copied().collect()
}

/// The feature that weighs most; where nothing weighs anything, the first.
pub(super) fn heaviest(weights: &[Weight]) -> Feature {
    weights.first().map_or(Feature::Sequence, |weight| weight.feature)
}

/// How many different features are over their thresholds.
pub(super) fn alarms(weights: &[Weight]) -> usize {
    weights.iter().filter(|weight| weight.pressure >= 1000 && weight.feature.counts_as_different()).count()
}

/// Thousandths of the threshold, two thresholds at most.
fn pressure(value: i64, threshold: i64) -> u32 {
    let thousandths = i128::from(value.max(0)) * 1000 / i128::from(threshold.max(1));
    u32::try_from(thousandths.min(2000)).unwrap_or(2000)
}

/// Features that are not of receipts, in the order of the standing.
pub(super) const OUTSIDE: [Feature; 3] = [Feature::Declared, Feature::Content, Feature::Silence];

/// Five nats: odds of 150 to 1.
pub(super) const OUTSIDE_ALARM: i64 = 5_000_000;

/// One feature alone suspends at most: the score of two alarms.
const MOST_OF_ONE: u16 = 2 * ALARM;

/// Below half of an alarm, so that it never even keeps a level alone.
const MOST_OF_WEAK: u16 = 150;
