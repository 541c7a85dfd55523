//! Evidence in sentences.

use super::charts::{self, Chart};
use super::feature::{Evidence, Feature};
use super::monitor::Monitor;
use super::observation::MALFORMED;
use super::standing::MAX_SENTENCE;
use super::weight::{OUTSIDE, Weight};
use crate::json::is_plain;

/// The call that moved charts last.
pub(super) struct Last<'a> {
    pub(super) action: &'a str,
    pub(super) before: &'a str,
    /// By chart.
    pub(super) risen: &'a [bool],
}

impl Monitor {
    /// What weighs half of its threshold or more, or the most if nothing does.
    pub(super) fn told(&self, weights: &[Weight], last: Option<&Last<'_>>) -> Vec<Evidence> {
        let mut heavy: Vec<&Weight> = weights.iter().filter(|weight| weight.pressure >= 500).collect();
        if heavy.is_empty() {
            heavy.extend(weights.first());
        }
        heavy.into_iter().filter_map(|weight| self.tell(weight, last)).collect()
    }

    fn tell(&self, weight: &Weight, last: Option<&Last<'_>>) -> Option<Evidence> {
        let feature = weight.feature;
        let Some(place) = weight.chart else {
            let outside = self.standing.outside.get(OUTSIDE.iter().position(|its| *its == feature)?)?;
            let sentence = outside.sentence.clone();
            return Some(Evidence { feature, milli_nats: milli(outside.value), sentence });
        };
        let (chart, gauge) = (self.baseline.charts().get(place)?, self.standing.gauges.get(place)?);
        let risen = last.filter(|last| last.risen.get(place) == Some(&true));
        let sentence =
            format!("{}: {} nats, alarm at {}", what(chart, risen), nats(gauge.value), nats(chart.threshold));
        Some(Evidence { feature, milli_nats: milli(gauge.value), sentence })
    }
}

/// What a chart says, in words.
fn what(chart: &Chart, last: Option<&Last<'_>>) -> String {
    let of = chart.of.as_str();
    match (chart.feature, last) {
        (Feature::Sequence, Some(Last { action, before: "", .. })) => {
            format!(
                "actions follow one another unlike before, last {} as the first of a session",
                quoted(action)
            )
        }
        (Feature::Sequence, Some(Last { action, before, .. })) => {
            format!(
                "actions follow one another unlike before, last {} after {}",
                quoted(action),
                quoted(before)
            )
        }
        (Feature::Sequence, None) => "actions follow one another unlike before".to_owned(),
        (Feature::WriteMix, _) if of == charts::BURST => "hardly anything but writes".to_owned(),
        (Feature::WriteMix, _) if of == "*" => "more of the calls are writes than before".to_owned(),
        (Feature::WriteMix, _) => format!("more of the calls are {} than before", quoted(of)),
        (Feature::NewAction, Some(last)) if of == charts::KIND => {
            format!("actions of a kind that the baseline never saw, last {}", quoted(last.action))
        }
        (Feature::NewAction, None) if of == charts::KIND => {
            "actions of a kind that the baseline never saw".to_owned()
        }
        (Feature::NewAction, Some(last)) => {
            format!("actions that the baseline never saw, last {}", quoted(last.action))
        }
        (Feature::NewAction, None) => "actions that the baseline never saw".to_owned(),
        (Feature::NewCounterparty, _) if of == charts::PER_HOUR => {
            "more counterparties in an hour than before".to_owned()
        }
        (Feature::NewCounterparty, _) => "more counterparties than before are new".to_owned(),
        (Feature::Amount, _) if of == charts::SUM => "the amounts together are larger than before".to_owned(),
        (Feature::Amount, _) => "single amounts are larger than before".to_owned(),
        (Feature::LimitProbing, _) => "amounts just below or just above the certificate's limit".to_owned(),
        (Feature::Rate, _) => format!("more {of} in a minute than in busy minutes before"),
        (Feature::OffHours, _) => "calls in hours of the week without any before".to_owned(),
        (Feature::DenialRatio, _) => "more of the calls are refused than before".to_owned(),
        (feature, _) => feature.word().to_owned(),
    }
}

pub(super) fn quoted(action: &str) -> String {
    match action {
        MALFORMED => "a malformed action".to_owned(),
        _ => format!("`{action}`"),
    }
}

/// Text that may stand in a signed text member, of at most [`MAX_SENTENCE`] characters.
pub(super) fn plain(text: &str) -> String {
    let safe = |character: char| {
        let mut buffer = [0; 4];
        if is_plain(character.encode_utf8(&mut buffer)) { character } else { '?' }
    };
    text.chars().take(MAX_SENTENCE).map(safe).collect()
}

fn milli(micro: i64) -> u32 {
    u32::try_from(micro.max(0) / 1000).unwrap_or(u32::MAX)
}

/// Nats with one decimal.
fn nats(micro: i64) -> String {
    let tenths = micro.max(0) / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}
