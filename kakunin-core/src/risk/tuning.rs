//! Which misuse each chart is tuned for, and what is usual by a history.

use super::charts::{Chart, FIRST_SEEN, PER_HOUR, READS, SIZE, SUM, Shown, WRITES};
use super::counts::Counts;
use super::feature::Feature;
use super::logarithm::ln_ratio;

impl Chart {
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
