//! Charts: one-sided cumulative sums (Page 1954), each with what one call adds, what it takes off and its threshold.
//!
//! A chart adds the logarithm of how much likelier a call is for a misused agent than for the same agent as it was, and
//! never falls below zero: it forgets good behaviour and remembers bad. Which misuse each is tuned for is in `tuning.rs`.

use super::feature::Feature;
use super::logarithm::ln_ratio;
use super::observation::Call;
use super::signals::Signals;

/// One chart, frozen in a baseline. Weights are in micro-nats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chart {
    pub(super) feature: Feature,
    /// What of the feature: an action, `*` for all writes, a way to count.
    pub(super) of: String,
    /// What an event adds; of a measured value, the most that one adds.
    pub(super) up: i64,
    /// What anything else takes off: a call without the event, of a measured value its centre, of a flow a minute.
    pub(super) down: i64,
    /// Where the alarm is.
    pub(super) threshold: i64,
}

/// What one call does to one chart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) fall: i64,
    pub(super) rise: i64,
}

/// A call as charts see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    pub(super) call: &'a Call,
    pub(super) signals: Signals,
    pub(super) is_write: bool,
    /// Whether it names a counterparty that was not named within the last hour.
    pub(super) fresh_name: bool,
    /// Milliseconds since the call before; none if it came late. Then it tells nothing of how often calls are made.
    pub(super) elapsed: Option<u64>,
}

impl Step {
    /// The chart after this call.
    pub(super) fn apply(self, value: i64, most: i64) -> i64 {
        value.saturating_sub(self.fall).max(0).saturating_add(self.rise).min(most)
    }
}

impl Chart {
    /// The features that every history says something about.
    pub(super) const ALWAYS: [Feature; 6] = [
        Feature::Sequence,
        Feature::WriteMix,
        Feature::NewAction,
        Feature::LimitProbing,
        Feature::Rate,
        Feature::DenialRatio,
    ];

    /// What the call does; `None` where it says nothing about the feature.
    pub(super) fn step(&self, shown: &Shown<'_>) -> Option<Step> {
        let Shown { call, signals, is_write, .. } = *shown;
        match (self.feature, self.of.as_str()) {
            (Feature::Sequence, _) => Some(self.measured(signals.surprise)),
            (Feature::WriteMix, "*" | BURST) => Some(self.event(is_write)),
            (Feature::WriteMix, action) => Some(self.event(call.action == action)),
            (Feature::NewAction, KIND) => Some(self.event(signals.new_kind)),
            (Feature::NewAction, _) => Some(self.event(signals.new_action)),
            (Feature::NewCounterparty, PER_HOUR) => {
                shown.elapsed.map(|elapsed| self.flow(shown.fresh_name, elapsed))
            }
            (Feature::NewCounterparty, _) => signals.new_name.map(|new| self.event(new)),
            (Feature::Amount, SUM) => signals.mass.map(|mass| self.measured(mass)),
            (Feature::Amount, _) => signals.size.map(|size| self.measured(size)),
            (Feature::LimitProbing, _) => signals.near_limit.map(|near| self.event(near)),
            (Feature::Rate, WRITES) => shown.elapsed.map(|elapsed| self.flow(is_write, elapsed)),
            (Feature::Rate, _) => shown.elapsed.map(|elapsed| self.flow(!is_write, elapsed)),
            (Feature::OffHours, _) => Some(self.event(signals.odd_hour)),
            (Feature::DenialRatio, _) => signals.refused.map(|refused| self.event(refused)),
            _ => None,
        }
    }

    fn event(&self, happened: bool) -> Step {
        if happened { Step { fall: 0, rise: self.up } } else { Step { fall: self.down, rise: 0 } }
    }

    fn measured(&self, value: i64) -> Step {
        let over = value.saturating_sub(self.down);
        Step { fall: over.min(0).saturating_neg(), rise: over.clamp(0, self.up) }
    }

    fn flow(&self, happened: bool, elapsed: u64) -> Step {
        let fall = i128::from(self.down) * i128::from(elapsed) / 60_000;
        Step { fall: i64::try_from(fall).unwrap_or(i64::MAX), rise: if happened { self.up } else { 0 } }
    }

    /// Below this no threshold lies, whatever calibration says: a history that shows little of something cannot say how
    /// often it will come.
    ///
    /// A share of writes that was never exceeded adds up the logarithm of a likelihood ratio, and such a sum comes to `h`
    /// no more often than once in `e^h` calls (Ville 1939, Lorden 1971). Elsewhere so many events are asked for: eight of
    /// what models do side by side, five whole surprises, since a new kind of task is a handful of unusual steps, of
    /// actions and amounts without precedent two, three of anything else.
    pub(super) fn least(&self, run_length: u64) -> i64 {
        let fifths = match (self.feature, self.of.as_str()) {
            (Feature::WriteMix, BURST) | (Feature::Rate, _) | (Feature::NewCounterparty, PER_HOUR) => 40,
            (Feature::WriteMix, _) => return ln_ratio(run_length, 1),
            (Feature::Sequence, _) => 25,
            (Feature::NewAction | Feature::Amount, _) => 6,
            _ => 11,
        };
        self.up.saturating_mul(fifths) / 5
    }

    /// In how many run lengths this one of `charts` may give a false alarm. A third of all is left to actions without
    /// precedent, which are rare and matter; the order of actions shifts with every new kind of task and gets least.
    pub(super) const fn part(&self, charts: usize) -> u64 {
        let charts = charts as u64;
        match self.feature {
            Feature::NewAction => 6,
            Feature::Sequence => charts.saturating_mul(8),
            _ => charts.saturating_mul(2),
        }
    }
}

/// Of all writes: hardly anything else. No action has this name.
pub(super) const BURST: &str = "*:burst";
/// Of new actions: those of which not even the first segment was seen.
pub(super) const KIND: &str = "kind";
pub(super) const FIRST_SEEN: &str = "first-seen";
pub(super) const PER_HOUR: &str = "per-hour";
pub(super) const SIZE: &str = "size";
pub(super) const SUM: &str = "sum";
pub(super) const READS: &str = "reads";
pub(super) const WRITES: &str = "writes";
