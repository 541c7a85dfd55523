//! Which misuse each chart is tuned for, and what is usual by a history.

use std::ops::Range;

use super::charts::{BURST, Chart, FIRST_SEEN, KIND, PER_HOUR, READS, SIZE, SUM, Shown, WRITES};
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
        let many = |is: &dyn Fn(&Shown<'_>) -> bool| shown.iter().filter(|shown| is(shown)).count() as u64;
        let mix =
            |drift: Drift, is: &dyn Fn(&Shown<'_>) -> bool| drift.weights(history.share(&|it| Some(is(it))));
        add(Feature::Sequence, "", history.measure(&|it| Some(it.signals.surprise), 0));
        add(Feature::WriteMix, "*", mix(Drift::OF_WRITES, &|it| it.is_write));
        add(Feature::WriteMix, BURST, mix(Drift::OF_BURSTS, &|it| it.is_write));
        for action in &history.writes {
            add(Feature::WriteMix, action, mix(Drift::OF_WRITES, &|it| it.call.action == *action));
        }
        add(Feature::NewAction, "", mix(Drift::OF_NEW_ACTIONS, &|it| it.signals.new_action));
        add(Feature::NewAction, KIND, mix(Drift::OF_NEW_ACTIONS, &|it| it.signals.new_kind));
        if many(&|it| it.signals.new_name.is_some()) >= LEAST {
            let new = history.share(&|it| it.signals.new_name);
            add(Feature::NewCounterparty, FIRST_SEEN, Drift::OF_NEW_NAMES.weights(new));
            add(Feature::NewCounterparty, PER_HOUR, stream(history.busy(60, &|it| it.fresh_name), 60));
        }
        if many(&|it| it.signals.size.is_some()) >= LEAST {
            add(Feature::Amount, SIZE, history.measure(&|it| it.signals.size, 0));
            add(Feature::Amount, SUM, history.measure(&|it| it.signals.mass, LN_3));
        }
        add(Feature::LimitProbing, "", Drift::OF_LIMITS.weights(history.share(&|it| it.signals.near_limit)));
        add(Feature::Rate, READS, stream(history.busy(1, &|it| !it.is_write), 1));
        add(Feature::Rate, WRITES, stream(history.busy(1, &|it| it.is_write), 1));
        if history.millis >= TWO_WEEKS {
            add(Feature::OffHours, "", mix(Drift::OF_HOURS, &|it| it.signals.odd_hour));
        }
        add(Feature::DenialRatio, "", Drift::OF_DENIALS.weights(history.share(&|it| it.signals.refused)));
        charts
    }
}

/// A history as charts are learned from it: each call as it looks against the others.
pub(super) struct History<'a> {
    pub(super) shown: &'a [Shown<'a>],
    /// What belongs together, by the places of its calls.
    pub(super) blocks: &'a [Range<usize>],
    /// When each of them was, in milliseconds.
    pub(super) at: &'a [i64],
    /// The writes that have charts of their own.
    pub(super) writes: Vec<String>,
    /// How long it is.
    pub(super) millis: u64,
}

impl History<'_> {
    /// The share of events among the calls that say anything, in millionths: the most it is usually taken to be.
    ///
    /// Half an event more stands for what was never seen (Krichevsky and Trofimov 1981). Of new actions this is the estimate
    /// of Good (1953) of how often they come, by blocks: a call is held against the other blocks, so an action that is in one
    /// block alone is new there each time. A history without any such calls says nothing.
    fn share(&self, event: &dyn Fn(&Shown<'_>) -> Option<bool>) -> u64 {
        let value = |shown: &Shown<'_>| event(shown).map(|it| if it { WHOLE } else { 0 });
        let (events, calls) =
            self.told(&value).fold((0, 0), |(sum, calls), its| (sum + its / WHOLE, calls + 1));
        if calls == 0 {
            return MILLION / 2;
        }
        let share = (2 * events + 1) * WHOLE / (2 * calls + 2);
        let spread = i128::from(share) * i128::from(WHOLE - share);
        u64::try_from(share.saturating_add(self.margin(&value, share, spread))).unwrap_or(MILLION)
    }

    /// The most that one value adds, and the centre above which it adds: half a deviation over the most that the mean is
    /// usually taken to be.
    fn measure(&self, value: &dyn Fn(&Shown<'_>) -> Option<i64>, least: i64) -> (i64, i64) {
        let count = i128::try_from(self.told(value).count()).unwrap_or(1).max(1);
        let mean = self.told(value).map(i128::from).sum::<i128>() / count;
        let spread = self.told(value).map(|value| (i128::from(value) - mean).pow(2)).sum::<i128>() / count;
        let deviation = i64::try_from(spread.isqrt()).unwrap_or(i64::MAX);
        let mean = i64::try_from(mean).unwrap_or(i64::MAX);
        let usual = mean.saturating_add(self.margin(value, mean, spread));
        (MOST_OF_ONE, usual.saturating_add(deviation / 2).max(least))
    }

    /// How far over a mean of this history the mean of other days may be.
    ///
    /// What an agent does depends on what it is given to do, so its calls are no independent draws: a hundred calls may be
    /// of ten tasks. The error of a mean is therefore that of a ratio over blocks (Cochran 1977, 6.3), and at least that of
    /// independent calls, whose variance is `spread`. The days that are judged are a sample as well, of half as many blocks
    /// as in the calibration, so that the variances of both add up to three of these: nineteen of twenty times they stay
    /// within 1.645·√3 errors.
    fn margin(&self, value: &dyn Fn(&Shown<'_>) -> Option<i64>, mean: i64, spread: i128) -> i64 {
        let (mut blocks, mut calls, mut squares) = (0_i128, 0_i128, 0_i128);
        for block in self.blocks {
            let its = self.shown.iter().skip(block.start).take(block.len()).filter_map(value);
            let (sum, many) = its.fold((0_i128, 0_i128), |(sum, many), it| (sum + i128::from(it), many + 1));
            blocks += i128::from(many > 0);
            calls += many;
            squares = squares.saturating_add((sum - i128::from(mean) * many).pow(2));
        }
        let of_blocks = squares.saturating_mul(blocks) / (blocks - 1).max(1) / calls.pow(2).max(1);
        let error = of_blocks.max(spread / calls.max(1)).max(0).isqrt();
        i64::try_from(error.saturating_mul(2_849) / 1_000).unwrap_or(i64::MAX)
    }

    /// The values of the calls that have one.
    fn told<'h>(&'h self, value: &'h dyn Fn(&Shown<'_>) -> Option<i64>) -> impl Iterator<Item = i64> + 'h {
        self.shown.iter().filter_map(value)
    }

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
    const OF_WRITES: Self = Self { usual: 100, times: 4, least: 200_000 };
    /// Hardly anything else.
    const OF_BURSTS: Self = Self { usual: 100, times: 64, least: 900_000 };
    /// One in ten calls, whatever the agent has done before: with the threshold two within some twenty calls.
    const OF_NEW_ACTIONS: Self = Self { usual: 100, times: 10, least: 100_000 };
    const OF_NEW_NAMES: Self = Self { usual: 1_000, times: 4, least: 200_000 };
    const OF_LIMITS: Self = Self { usual: 1_000, times: 4, least: 200_000 };
    const OF_HOURS: Self = Self { usual: 1_000, times: 4, least: 200_000 };
    /// Wald's test of 1 % against 20 %.
    const OF_DENIALS: Self = Self { usual: 10_000, times: 4, least: 200_000 };

    /// What an event and its absence weigh, for a share that grows from what is usual.
    fn weights(self, share: u64) -> (i64, i64) {
        let usual = share.clamp(self.usual, 900_000);
        let grown = self.times * usual * MILLION / (self.times * usual + MILLION - usual);
        let grown = grown.max(self.least).max(usual + 1).min(999_000);
        (ln_ratio(grown, usual).max(1), ln_ratio(MILLION - usual, MILLION - grown).max(1))
    }
}

/// What an event adds and a minute takes off, for four times what a busy stretch has.
fn stream(busy: u64, minutes: u64) -> (i64, i64) {
    let down = busy.max(1).saturating_mul(3 * MILLION) / minutes;
    (ln_ratio(4, 1), i64::try_from(down).unwrap_or(i64::MAX))
}

const MILLION: u64 = 1_000_000;
/// A share of one.
const WHOLE: i64 = 1_000_000;
const LN_3: i64 = 1_098_612;

/// Values of which there are fewer say nothing about what is usual.
const LEAST: u64 = 20;

/// One call, however strange, is never an alarm: 4 nats, when thresholds begin at 4.8.
const MOST_OF_ONE: i64 = 4_000_000;

/// Writes with charts of their own; the others are among all writes.
const MAX_WRITES: usize = 16;

/// Before that an hour of the week was there once or not at all.
const TWO_WEEKS: u64 = 14 * super::policy::DAY;
