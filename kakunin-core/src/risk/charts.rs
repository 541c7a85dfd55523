//! Charts: one-sided cumulative sums (Page 1954), each with what one call adds, what it takes off and its threshold.
//!
//! A chart adds the logarithm of how much likelier a call is for a misused agent than for the same agent as it was, and
//! never falls below zero: it forgets good behaviour and remembers bad. Which misuse it is tuned for is written here, in
//! [`Chart::learn`].

use super::counts::Counts;
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
            (Feature::WriteMix, "*") => Some(self.event(is_write)),
            (Feature::WriteMix, action) => Some(self.event(call.action == action)),
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

    /// Below this no threshold lies, whatever calibration says. An agent that never wrote twice in a session would
    /// otherwise be alarmed about at the second time: three events are asked for, of actions and amounts without
    /// precedent two, in a flow eight, because models make calls side by side.
    pub(super) fn least(&self) -> i64 {
        let fifths = match self.feature {
            Feature::Rate => 40,
            Feature::NewCounterparty if self.of == PER_HOUR => 40,
            Feature::Sequence | Feature::NewAction | Feature::Amount => 6,
            _ => 11,
        };
        self.up.saturating_mul(fifths) / 5
    }

    /// In how many run lengths this one of `charts` may give a false alarm. A third of all is left to actions without
    /// precedent, which are rare and matter; the order of actions shifts with every new kind of task and gets least.
    pub(super) const fn part(&self, charts: usize) -> u64 {
        let charts = charts as u64;
        match self.feature {
            Feature::NewAction => 3,
            Feature::Sequence => charts.saturating_mul(8),
            _ => charts.saturating_mul(2),
        }
    }

    /// The charts for a history, without thresholds: what is usual comes from how each call looks against the others.
    pub(super) fn learn(history: &History<'_>) -> Vec<Self> {
        let mut charts = Vec::new();
        let mut add = |feature, of: &str, (up, down): (i64, i64)| {
            charts.push(Self { feature, of: of.to_owned(), up, down, threshold: 0 });
        };
        let shown = history.shown;
        let calls = shown.len() as u64;
        let many = |is: &dyn Fn(&Shown<'_>) -> bool| shown.iter().filter(|shown| is(shown)).count() as u64;
        add(Feature::Sequence, "", measure(shown.iter().map(|shown| shown.signals.surprise), 0));
        add(Feature::WriteMix, "*", odds(many(&|it| it.is_write), calls, Drift::OF_WRITES));
        for action in &history.writes {
            add(
                Feature::WriteMix,
                action,
                odds(many(&|it| it.call.action == *action), calls, Drift::OF_WRITES),
            );
        }
        add(Feature::NewAction, "", odds(many(&|it| it.signals.new_action), calls, Drift::OF_NEW_ACTIONS));
        let named = many(&|it| it.signals.new_name.is_some());
        if named >= LEAST {
            let new = many(&|it| it.signals.new_name == Some(true));
            add(Feature::NewCounterparty, FIRST_SEEN, odds(new, named, Drift::OF_NEW_NAMES));
            add(Feature::NewCounterparty, PER_HOUR, stream(history.busy(60, &|it| it.fresh_name), 60));
        }
        let sized = many(&|it| it.signals.size.is_some());
        if sized >= LEAST {
            add(Feature::Amount, SIZE, measure(shown.iter().filter_map(|it| it.signals.size), 0));
            add(Feature::Amount, SUM, measure(shown.iter().filter_map(|it| it.signals.mass), LN_3));
        }
        let near = many(&|it| it.signals.near_limit == Some(true));
        let measured = many(&|it| it.signals.near_limit.is_some());
        add(Feature::LimitProbing, "", odds(near, measured, Drift::OF_LIMITS));
        add(Feature::Rate, READS, stream(history.busy(1, &|it| !it.is_write), 1));
        add(Feature::Rate, WRITES, stream(history.busy(1, &|it| it.is_write), 1));
        if history.millis >= TWO_WEEKS {
            add(Feature::OffHours, "", odds(many(&|it| it.signals.odd_hour), calls, Drift::OF_HOURS));
        }
        let judged = many(&|it| it.signals.refused.is_some());
        let refused = many(&|it| it.signals.refused == Some(true));
        add(Feature::DenialRatio, "", odds(refused, judged, Drift::OF_DENIALS));
        charts
    }
}

/// A history as charts are learned from it: each call as it looks against the others.
pub(super) struct History<'a> {
    pub(super) shown: &'a [Shown<'a>],
    /// When each of them was, in milliseconds.
    pub(super) at: &'a [i64],
    /// The writes that have charts of their own.
    pub(super) writes: Vec<String>,
    /// How long it is.
    pub(super) millis: u64,
}

impl History<'_> {
    /// How many events a busy stretch of so many minutes has: of all stretches that have any, the 95th percentile.
    fn busy(&self, minutes: i64, is: &dyn Fn(&Shown<'_>) -> bool) -> u64 {
        let mut stretches = std::collections::BTreeMap::<i64, u64>::new();
        for (_, at) in self.shown.iter().zip(self.at).filter(|(shown, _)| is(shown)) {
            *stretches.entry(at.div_euclid(minutes * 60_000)).or_default() += 1;
        }
        let mut counts: Vec<u64> = stretches.into_values().collect();
        counts.sort_unstable();
        let at = counts.len().saturating_mul(95) / 100;
        counts.get(at).copied().unwrap_or(1)
    }

    /// The writes that are made most often.
    pub(super) fn writes(counts: &Counts, is_write: &dyn Fn(&str) -> bool) -> Vec<String> {
        let mut writes: Vec<(&String, &u64)> =
            counts.actions.iter().filter(|(action, _)| is_write(action)).collect();
        writes.sort_by_key(|(action, times)| (std::cmp::Reverse(**times), *action));
        let mut writes: Vec<String> =
            writes.into_iter().take(MAX_WRITES).map(|(action, _)| action.clone()).collect();
        writes.sort_unstable();
        writes
    }
}

/// The misuse that a chart of events is tuned for. Shares are in millionths.
#[derive(Clone, Copy)]
struct Drift {
    /// The usual share is taken to be no smaller.
    usual: u64,
    /// The odds become so many times as large,
    times: u64,
    /// and the share at least this.
    least: u64,
}

impl Drift {
    const OF_WRITES: Self = Self { usual: 100, times: 4, least: 50_000 };
    /// Two within fifty calls, whatever the agent has done before.
    const OF_NEW_ACTIONS: Self = Self { usual: 100, times: 10, least: 50_000 };
    const OF_NEW_NAMES: Self = Self { usual: 1_000, times: 4, least: 200_000 };
    const OF_LIMITS: Self = Self { usual: 1_000, times: 4, least: 200_000 };
    const OF_HOURS: Self = Self { usual: 1_000, times: 4, least: 200_000 };
    /// Wald's test of 1 % against 20 %.
    const OF_DENIALS: Self = Self { usual: 10_000, times: 4, least: 200_000 };
}

/// What an event and its absence weigh, for a share that grows from what it was.
fn odds(events: u64, calls: u64, drift: Drift) -> (i64, i64) {
    let share = (2 * events + 1).saturating_mul(MILLION) / (2 * calls + 2);
    let usual = share.clamp(drift.usual, 900_000);
    let grown = drift.times * usual * MILLION / (drift.times * usual + MILLION - usual);
    let grown = grown.max(drift.least).max(usual + 1).min(999_000);
    (ln_ratio(grown, usual).max(1), ln_ratio(MILLION - usual, MILLION - grown).max(1))
}

/// The most that one value adds, and the centre above which it adds: half a deviation over the mean.
fn measure(values: impl Iterator<Item = i64> + Clone, least: i64) -> (i64, i64) {
    let count = i128::try_from(values.clone().count()).unwrap_or(1).max(1);
    let mean = values.clone().map(i128::from).sum::<i128>() / count;
    let spread = values.map(|value| (i128::from(value) - mean).pow(2)).sum::<i128>() / count;
    let deviation = i64::try_from(spread.isqrt()).unwrap_or(i64::MAX);
    let mean = i64::try_from(mean).unwrap_or(i64::MAX);
    (MOST_OF_ONE, mean.saturating_add(deviation / 2).max(least))
}

/// What an event adds and a minute takes off, for four times what a busy stretch has.
fn stream(busy: u64, minutes: u64) -> (i64, i64) {
    let down = busy.max(1).saturating_mul(3 * MILLION) / minutes;
    (ln_ratio(4, 1), i64::try_from(down).unwrap_or(i64::MAX))
}

pub(super) const FIRST_SEEN: &str = "first-seen";
pub(super) const PER_HOUR: &str = "per-hour";
pub(super) const SIZE: &str = "size";
pub(super) const SUM: &str = "sum";
pub(super) const READS: &str = "reads";
pub(super) const WRITES: &str = "writes";

const MILLION: u64 = 1_000_000;
const LN_3: i64 = 1_098_612;

/// Values of which there are fewer say nothing about what is usual.
const LEAST: u64 = 20;

/// One call, however strange, is never an alarm: 4 nats, when thresholds begin at 4.8.
const MOST_OF_ONE: i64 = 4_000_000;

/// Writes with charts of their own; the others are among all writes.
const MAX_WRITES: usize = 16;

/// Before that an hour of the week was there once or not at all.
const TWO_WEEKS: u64 = 14 * super::policy::DAY;
