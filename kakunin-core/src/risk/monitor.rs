//! The engine: observations in, changes of level out.
//!
//! Each observation moves the charts; their heights make a score, and score, number of features and persistence make a
//! level. Evidence halves in each half-life of the receipts' time. Levels rise at once; watch and step-up fall only after
//! the score was below half of what leads to them for two half-lives; suspend ends by a named person, revoke never.
//!
//! Beside the level stands what receipts alone call for. Only from there a revocation is reached, so that nobody is revoked
//! by what somebody said.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::baseline::Baseline;
use super::change::Change;
use super::charts::{self, Chart, Shown, Step};
use super::counts::Placed;
use super::feature::{Evidence, Feature, HardFact};
use super::level::RiskLevel;
use super::logarithm::Decay;
use super::observation::{Answered, Call, MALFORMED, Observation, What};
use super::policy::{ALARM, RiskPolicy};
use super::recall::Recall;
use super::signals::Signals;
use crate::digest::Digest;
use crate::id::StreamId;
use crate::json::is_plain;
use crate::receipt::ReceiptHash;
use crate::time::UnixMillis;

/// Watches one agent by its baseline.
#[derive(Clone, Debug)]
pub struct Monitor {
    pub(super) baseline: Arc<Baseline>,
    pub(super) policy: RiskPolicy,
    pub(super) standing: Standing,
}

/// Everything that changes while a monitor watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) level: RiskLevel,
    pub(super) calls: u64,
    pub(super) denied: u64,
    /// Observations of other agents, which count nowhere else.
    pub(super) foreign: u64,
    /// The latest time that is known, in milliseconds.
    pub(super) now: i64,
    /// By chart of the baseline.
    pub(super) gauges: Vec<Gauge>,
    /// By [`OUTSIDE`].
    pub(super) outside: [Outside; 3],
    pub(super) recall: Recall,
    pub(super) streams: BTreeMap<StreamId, Place>,
    /// How much time evidence has faded for, in milliseconds: receipts alone let it run no faster than calls do.
    pub(super) faded: u64,
    /// Since when, in that time, the score is below half of what leads to the level.
    pub(super) calm_since: Option<u64>,
    /// What receipts and hard facts alone have led to.
    pub(super) proven: RiskLevel,
    /// Since when it is held by these.
    pub(super) held_since: Option<i64>,
    /// For how many calls the score has been where statistics revoke.
    pub(super) over: u64,
    /// When writes were refused last, at step-up, and whether receipts alone had led there.
    pub(super) refused_writes: VecDeque<(i64, bool)>,
    /// The action of the last call, if it was hindered.
    pub(super) hindered: Option<String>,
    /// A hash over what was observed, in order.
    pub(super) seen: Digest,
    /// The receipts that were observed last, the oldest first.
    pub(super) lately: VecDeque<ReceiptHash>,
    pub(super) last: Option<ReceiptHash>,
}

/// How high a chart stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gauge {
    pub(super) value: i64,
    /// The number of the call at which it came over its threshold; 0 below it.
    pub(super) since: u64,
}

/// Evidence that is not of receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outside {
    pub(super) value: i64,
    /// How many pieces of it came.
    pub(super) pieces: u64,
    pub(super) sentence: String,
}

/// How far a stream was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The highest number.
    pub(super) sequence: u64,
    /// The time it has come to by its own word there, in milliseconds.
    pub(super) at: i64,
    /// The highest number at which it said that a clock was set back; 0 if it did not.
    pub(super) set_back: u64,
    /// The number of the call at which it was observed last.
    pub(super) number: u64,
}

/// Evidence from elsewhere than receipts: what a client declared, what was found in content, that nothing is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// [`Feature::Declared`], [`Feature::Content`] or [`Feature::Silence`]; any other counts as declared.
    pub feature: Feature,
    /// When, by the clock of whoever took it in.
    pub at: UnixMillis,
    /// How much it weighs. 5,000 together are an alarm, 10,000 the most.
    pub milli_nats: u32,
    /// What happened. Characters that may not stand in a signed text are replaced.
    pub sentence: String,
}

/// How a hard fact came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// When, by the clock of whoever found it. By this one time passes.
    pub arrived: UnixMillis,
    /// When, by the word of the receipt that shows it. It is told where it differs, and nothing else follows from it: whoever
    /// is captured writes it.
    pub claimed: Option<UnixMillis>,
    /// The receipt that shows it.
    pub receipt: Option<ReceiptHash>,
}

/// Whose clock says that time went by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    OfReceipts,
    OfObserver,
}

/// What stands against the agent by one feature.
#[derive(Clone, Copy, Debug)]
struct Weight {
    feature: Feature,
    /// Thousandths of its threshold.
    pressure: u32,
    score: u16,
    /// The chart, if it is of receipts.
    chart: Option<usize>,
}

impl Monitor {
    /// Watches from now on, with nothing against the agent.
    #[must_use]
    pub fn new(baseline: impl Into<Arc<Baseline>>, policy: RiskPolicy) -> Self {
        let baseline = baseline.into();
        let standing = Standing::of(&baseline);
        Self { baseline, policy, standing }
    }

    /// Takes in the next receipt. One of another agent, and whatever comes after a revocation, changes nothing.
    ///
    /// Any order will do: a receipt that comes after one with a higher number is judged like any other, at the time that is
    /// known by then. [`super::in_order`] is the order of a replay; another one may lead to other levels, because what was
    /// usual before a call depends on what came before it. The same receipt again is dropped if it is among the last 32; that
    /// an older one does not come again is the affair of whoever hands them over, because a monitor that
    /// dropped what it cannot remember could be made blind.
    pub fn observe(&mut self, seen: &Observation) -> Option<Change> {
        if seen.agent != self.baseline.agent() {
            self.standing.foreign = self.standing.foreign.saturating_add(1);
            return None;
        }
        if self.standing.lately.contains(&seen.receipt) {
            return None;
        }
        self.standing.note(seen.receipt);
        let before = self.standing.streams.get(&seen.stream).copied();
        self.standing.follow(seen, before);
        let is_late = self.standing.now.saturating_sub(seen.at) > LATE;
        let elapsed = self.advance(seen.at, Clock::OfReceipts);
        let elapsed = Some(elapsed).filter(|_| !is_late);
        let What::Call(call) = &seen.what else { return None };
        let contradiction = before.and_then(|before| before.contradiction(seen));
        if let Some(sentence) = contradiction
            && let Some(change) = self.stated(HardFact::BackDated, Some(seen.receipt), &sentence)
        {
            self.count(call);
            return Some(change);
        }
        self.call(seen, call, elapsed)
    }

    /// Takes in the next receipt as it arrived: one that claims a later time than that, by more than clocks may differ, is a
    /// hard fact. Nothing else follows from `arrived`, so that a replay of the receipts comes to the same.
    pub fn observe_at(&mut self, seen: &Observation, arrived: UnixMillis) -> Option<Change> {
        let ahead = seen.at.saturating_sub(arrived.millis());
        let is_known = self.standing.lately.contains(&seen.receipt);
        if ahead <= TOLERANCE || seen.agent != self.baseline.agent() || is_known {
            return self.observe(seen);
        }
        // Its time is not taken up: it would hold everything after it to be late.
        let mut bounded = seen.clone();
        bounded.at = arrived.millis();
        let change = self.observe(&bounded);
        let sentence = format!("a receipt is dated {} s after it arrived", ahead / 1000);
        self.stated(HardFact::DatedAhead, Some(seen.receipt), &sentence).or(change)
    }

    fn call(&mut self, seen: &Observation, call: &Call, elapsed: Option<u64>) -> Option<Change> {
        self.count(call);
        let number = self.standing.calls;
        if self.policy.is_canary(&call.action) {
            let sentence = format!("it asked for {}, which nobody honest asks for", quoted(&call.action));
            return self.stated(HardFact::CanaryTouched, Some(seen.receipt), &sentence);
        }
        // Whoever is stopped and tries the same again and again does nothing new.
        let again =
            call.answer == Answered::Hindered && self.standing.hindered.as_ref() == Some(&call.action);
        self.standing.hindered = (call.answer == Answered::Hindered).then(|| call.action.clone());
        let is_write = self.baseline.is_write(&call.action, &self.policy);
        let mut risen = vec![false; self.standing.gauges.len()];
        let (previous, fresh_name) = self.standing.recall.place(call, number, self.standing.now);
        if !again {
            let counts = self.baseline.counts();
            let placed = Placed { call, before: &previous, at: self.standing.now };
            let mut signals = Signals::of(placed, counts, None);
            let met = self.standing.recall.meet(call, |name| counts.name(name) > 0);
            signals.new_name = signals.new_name.map(|new| new && !met);
            let shown = Shown { call, signals, is_write, fresh_name, elapsed };
            let charts = self.baseline.charts().iter().zip(&mut self.standing.gauges).zip(&mut risen);
            for ((chart, gauge), risen) in charts {
                if let Some(step) = chart.step(&shown).filter(|_| self.policy.looks_at(chart.feature)) {
                    gauge.take(step, chart, number);
                    *risen = step.rise > 0;
                }
            }
        }
        let refused = matches!(call.answer, Answered::Refused { .. });
        if refused && is_write && self.standing.level >= RiskLevel::StepUp {
            let proven = self.standing.proven >= RiskLevel::StepUp;
            self.standing.refused_writes.push_back((self.standing.now, proven));
            while self.standing.refused_writes.len() > REFUSED_WRITES {
                self.standing.refused_writes.pop_front();
            }
        }
        self.count_over();
        let last = Last { action: &call.action, before: &previous, risen: &risen };
        self.settle(Some(seen.receipt), Some(&last))
    }

    /// Takes in evidence that is not of receipts. It may lead to suspension and never to revocation.
    pub fn declare(&mut self, declared: &Declared) -> Option<Change> {
        let place = OUTSIDE.iter().position(|feature| *feature == declared.feature).unwrap_or(0);
        let feature = OUTSIDE.get(place).copied().unwrap_or(Feature::Declared);
        if !self.policy.looks_at(feature) {
            return None;
        }
        self.advance(declared.at.millis(), Clock::OfObserver);
        if let Some(outside) = self.standing.outside.get_mut(place) {
            let grown = outside.value.saturating_add(i64::from(declared.milli_nats).saturating_mul(1000));
            outside.value = grown.min(2 * OUTSIDE_ALARM);
            outside.pieces = outside.pieces.saturating_add(1);
            outside.sentence = plain(&declared.sentence);
        }
        self.settle(None, None)
    }

    /// Takes in a hard fact: the level that the policy gives it is reached at once, whatever the score.
    pub fn fact(&mut self, fact: HardFact, found: Found, sentence: &str) -> Option<Change> {
        self.advance(found.arrived.millis(), Clock::OfObserver);
        let differs = |claimed: &UnixMillis| {
            claimed.millis().abs_diff(found.arrived.millis()) > TOLERANCE.unsigned_abs()
        };
        let sentence = match found.claimed.filter(differs) {
            Some(claimed) => format!("{sentence}, dated {claimed}"),
            None => sentence.to_owned(),
        };
        self.stated(fact, found.receipt, &sentence)
    }

    fn stated(&mut self, fact: HardFact, receipt: Option<ReceiptHash>, sentence: &str) -> Option<Change> {
        let to = self.policy.level_of(fact);
        self.standing.proven = self.standing.proven.max(to);
        if to <= self.standing.level {
            self.standing.hold();
            return None;
        }
        let sentence = format!("{}: {}", fact.word(), plain(sentence));
        let evidence = Evidence { feature: Feature::HardFact, milli_nats: 0, sentence };
        Some(self.come_to(to, receipt, vec![evidence]))
    }

    /// Lets time pass without a receipt: what calmed down is let go, what is held too long may end (`held_hours`).
    pub fn pass(&mut self, at: UnixMillis) -> Option<Change> {
        self.advance(at.millis(), Clock::OfObserver);
        self.settle(None, None)
    }

    /// Ends a suspension. What stood against the agent is taken off, by the word of `who`; a revocation has no end.
    pub fn release(&mut self, who: &str, at: UnixMillis) -> Option<Change> {
        self.advance(at.millis(), Clock::OfObserver);
        match self.standing.level {
            RiskLevel::Suspend => Some(self.begin_again(format!("released by {}", plain(who)))),
            _ => None,
        }
    }

    /// A person explained what the level came from, whichever it is below revoke: the agent is watched on from there.
    pub(super) fn explain(&mut self, who: &str) -> Option<Change> {
        match self.standing.level {
            RiskLevel::Clear | RiskLevel::Revoke => None,
            _ => Some(self.begin_again(format!("explained by {}", plain(who)))),
        }
    }

    fn begin_again(&mut self, sentence: String) -> Change {
        for gauge in &mut self.standing.gauges {
            *gauge = Gauge::default();
        }
        self.standing.outside = Default::default();
        self.standing.over = 0;
        self.standing.refused_writes.clear();
        let evidence = Evidence { feature: Feature::Declared, milli_nats: 0, sentence };
        self.come_to(RiskLevel::Clear, None, vec![evidence])
    }

    /// From 0 to 1000: 400 is one chart at its threshold, and one feature alone has at most 800. After a hard fact it
    /// stays what the statistics say.
    #[must_use]
    pub fn score(&self) -> u16 {
        total(&self.weights())
    }

    /// The present level.
    #[must_use]
    pub const fn level(&self) -> RiskLevel {
        self.standing.level
    }

    /// The level that receipts and hard facts alone have led to. It is never above [`Monitor::level`], and below it where
    /// something that was declared has a part in that.
    #[must_use]
    pub const fn proven(&self) -> RiskLevel {
        self.standing.proven
    }

    /// How many calls were observed.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.standing.calls
    }

    /// How many of them were denied, whatever the reason.
    #[must_use]
    pub const fn denied(&self) -> u64 {
        self.standing.denied
    }

    /// Receipts of other agents that were handed over.
    #[must_use]
    pub const fn foreign(&self) -> u64 {
        self.standing.foreign
    }

    /// The latest time that is known.
    #[must_use]
    pub const fn now(&self) -> UnixMillis {
        UnixMillis::from_millis(self.standing.now)
    }

    /// The baseline it watches by.
    #[must_use]
    pub fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// The policy it judges by.
    #[must_use]
    pub const fn policy(&self) -> &RiskPolicy {
        &self.policy
    }

    /// What stands against the agent now, the weightiest first.
    #[must_use]
    pub fn evidence(&self) -> Vec<Evidence> {
        self.told(&self.weights(), None)
    }

    fn count(&mut self, call: &Call) {
        self.standing.calls = self.standing.calls.saturating_add(1);
        if call.answer != Answered::Allowed {
            self.standing.denied = self.standing.denied.saturating_add(1);
        }
    }

    /// Moves time on, if `at` is later, and lets evidence fade; the milliseconds that passed.
    ///
    /// Receipts are dated by whoever may be what they speak against: each dated a day after the one before would wipe
    /// whatever stands. So by their word evidence fades no faster than by half in [`HALVING_CALLS`] calls.
    fn advance(&mut self, at: i64, by: Clock) -> u64 {
        let now = at.clamp(0, MAX_TIME);
        if self.standing.now == 0 {
            self.standing.now = now;
        }
        let elapsed = now.saturating_sub(self.standing.now).max(0).unsigned_abs();
        self.standing.now = now.max(self.standing.now);
        let half_life = self.policy.half_life();
        let fading = match by {
            Clock::OfReceipts => elapsed.min(half_life / HALVING_CALLS),
            Clock::OfObserver => elapsed,
        };
        self.standing.faded = self.standing.faded.saturating_add(fading);
        let decay = Decay::over(fading, half_life);
        for (gauge, chart) in self.standing.gauges.iter_mut().zip(self.baseline.charts()) {
            gauge.value = decay.of(gauge.value);
            gauge.look(chart, self.standing.calls);
        }
        for outside in &mut self.standing.outside {
            outside.value = decay.of(outside.value);
            if outside.value == 0 {
                outside.pieces = 0;
            }
        }
        elapsed
    }

    /// What stands against the agent, one weight for each feature, the highest first.
    fn weights(&self) -> Vec<Weight> {
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

    /// Counts for how many calls receipts alone have said what revokes.
    fn count_over(&mut self) {
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

    /// The level that is called for, and why it is this one if not by the score alone.
    fn wanted(&self, weights: &[Weight]) -> (RiskLevel, Option<Evidence>) {
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
    fn prove(&mut self, weights: &[Weight]) {
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

    /// Comes to the level that is called for.
    fn settle(&mut self, receipt: Option<ReceiptHash>, last: Option<&Last<'_>>) -> Option<Change> {
        let (weights, level, now) = (self.weights(), self.standing.level, self.standing.now);
        self.prove(&weights);
        let (wanted, note) = self.wanted(&weights);
        if wanted > level {
            let mut evidence = self.told(&weights, last);
            evidence.splice(0..0, note);
            return Some(self.come_to(wanted, receipt, evidence));
        }
        self.standing.hold();
        let hours = self.policy.held_hours();
        if let Some(since) = self.standing.held_since
            && hours > 0
            && self.policy.highest() >= RiskLevel::Revoke
        {
            let held = now.saturating_sub(since).max(0).unsigned_abs();
            if held >= hours.saturating_mul(3_600_000) {
                let sentence = format!("held for {hours} hours, and nobody released it");
                let feature = heaviest(&of_receipts(&weights));
                let evidence = Evidence { feature, milli_nats: 0, sentence };
                return Some(self.come_to(RiskLevel::Revoke, receipt, vec![evidence]));
            }
        }
        if matches!(level, RiskLevel::Watch | RiskLevel::StepUp) {
            if total(&weights) >= self.policy.score_of(level) / 2 {
                self.standing.calm_since = None;
                return None;
            }
            let since = *self.standing.calm_since.get_or_insert(self.standing.faded);
            let calm = self.standing.faded.saturating_sub(since);
            if calm >= self.policy.half_life().saturating_mul(2) {
                let sentence = "below half of the threshold for two half-lives".to_owned();
                let evidence = Evidence { feature: heaviest(&weights), milli_nats: 0, sentence };
                return Some(self.come_to(wanted, receipt, vec![evidence]));
            }
        }
        None
    }

    fn come_to(&mut self, to: RiskLevel, receipt: Option<ReceiptHash>, evidence: Vec<Evidence>) -> Change {
        let from = std::mem::replace(&mut self.standing.level, to);
        self.standing.calm_since = None;
        // What was taken off or calmed down is proven no more; a revocation is by proof alone.
        self.standing.proven = if to == RiskLevel::Revoke { to } else { self.standing.proven.min(to) };
        self.standing.hold();
        if to < RiskLevel::StepUp {
            self.standing.refused_writes.clear();
        }
        Change { at: self.now(), receipt, from, to, score: self.score(), evidence }
    }

    /// What weighs half of its threshold or more, or the most if nothing does.
    fn told(&self, weights: &[Weight], last: Option<&Last<'_>>) -> Vec<Evidence> {
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

impl Standing {
    fn of(baseline: &Baseline) -> Self {
        Self {
            level: RiskLevel::Clear,
            calls: 0,
            denied: 0,
            foreign: 0,
            now: 0,
            gauges: vec![Gauge::default(); baseline.charts().len()],
            outside: Default::default(),
            recall: Recall::default(),
            streams: BTreeMap::new(),
            faded: 0,
            calm_since: None,
            proven: RiskLevel::Clear,
            held_since: None,
            over: 0,
            refused_writes: VecDeque::new(),
            hindered: None,
            seen: Digest::from_bytes([0; 32]),
            lately: VecDeque::new(),
            last: None,
        }
    }

    /// Takes note that a receipt was observed.
    fn note(&mut self, receipt: ReceiptHash) {
        self.seen = Digest::of_parts(&[self.seen.as_bytes(), receipt.digest().as_bytes()]);
        self.last = Some(receipt);
        self.lately.push_back(receipt);
        while self.lately.len() > MAX_LATELY {
            self.lately.pop_front();
        }
    }

    /// Takes note of since when it is held by what receipts alone say.
    fn hold(&mut self) {
        if self.level == RiskLevel::Suspend && self.proven >= RiskLevel::Suspend {
            self.held_since.get_or_insert(self.now);
        } else {
            self.held_since = None;
        }
    }

    /// Whether three writes were refused lately at step-up; if `proven`, at one that receipts alone had led to.
    fn writes_refused(&self, proven: bool) -> bool {
        let counts =
            |(at, its): &&(i64, bool)| self.now.saturating_sub(*at) <= QUARTER_HOUR && (*its || !proven);
        self.refused_writes.iter().filter(counts).count() >= REFUSED_WRITES
    }

    /// Takes note of how far a stream was observed; of many, those that were quiet longest are forgotten.
    fn follow(&mut self, seen: &Observation, before: Option<Place>) {
        let new = Place { sequence: seen.sequence, at: seen.at, set_back: 0, number: self.calls };
        let mut place = Place { number: self.calls, ..before.unwrap_or(new) };
        let is_late = seen.sequence < place.sequence;
        match seen.what {
            // Its clock was set back, and it says so: what it claims from here on is compared with that.
            What::SetBack(by) => {
                place.set_back = place.set_back.max(seen.sequence);
                if !is_late {
                    place.at = seen.at.saturating_sub(i64::try_from(by).unwrap_or(i64::MAX)).max(0);
                }
            }
            What::Call(_) if !is_late => place.at = place.at.max(seen.at),
            What::Call(_) => {}
        }
        place.sequence = place.sequence.max(seen.sequence);
        self.streams.insert(seen.stream, place);
        if self.streams.len() > MAX_STREAMS
            && let Some((oldest, _)) =
                self.streams.iter().min_by_key(|(stream, place)| (place.number, **stream))
        {
            let oldest = *oldest;
            self.streams.remove(&oldest);
        }
    }
}

impl Place {
    /// What is wrong with the time of a receipt, if anything is: of two receipts of a stream the one with the higher number
    /// is not the earlier one, whichever of them came first, unless a clock was set back between them.
    fn contradiction(&self, seen: &Observation) -> Option<String> {
        let by = match seen.sequence.cmp(&self.sequence) {
            Ordering::Greater => self.at.saturating_sub(seen.at),
            Ordering::Less if self.set_back <= seen.sequence => seen.at.saturating_sub(self.at),
            Ordering::Less | Ordering::Equal => 0,
        };
        let which =
            if seen.sequence > self.sequence { "before the one before it" } else { "after one behind it" };
        (by > TOLERANCE).then(|| {
            format!(
                "a receipt is dated {} s {which} in its stream, and no receipt says that a clock was set back",
                by / 1000
            )
        })
    }
}

impl Gauge {
    fn take(&mut self, step: Step, chart: &Chart, number: u64) {
        self.value = step.apply(self.value, chart.threshold.saturating_mul(MOST_THRESHOLDS));
        self.look(chart, number);
    }

    /// Takes note of which side of its threshold it is on.
    fn look(&mut self, chart: &Chart, number: u64) {
        self.since = match self.since {
            _ if self.value < chart.threshold => 0,
            0 => number.max(1),
            since => since,
        };
    }
}

/// The call that moved charts last.
struct Last<'a> {
    action: &'a str,
    before: &'a str,
    /// By chart.
    risen: &'a [bool],
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
        (Feature::WriteMix, _) if of == "*" => "more of the calls are writes than before".to_owned(),
        (Feature::WriteMix, _) => format!("more of the calls are {} than before", quoted(of)),
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

fn quoted(action: &str) -> String {
    match action {
        MALFORMED => "a malformed action".to_owned(),
        _ => format!("`{action}`"),
    }
}

/// Text that may stand in a signed text member, of at most [`MAX_SENTENCE`] characters.
fn plain(text: &str) -> String {
    let safe = |character: char| {
        let mut buffer = [0; 4];
        if is_plain(character.encode_utf8(&mut buffer)) { character } else { '?' }
    };
    text.chars().take(MAX_SENTENCE).map(safe).collect()
}

/// The sum of the heaviest weight and of all others that are alarms.
fn total(weights: &[Weight]) -> u16 {
    let mut weights = weights.iter();
    let first = weights.next().map_or(0, |weight| weight.score);
    let others = weights.filter(|weight| weight.pressure >= 1000).map(|weight| weight.score);
    others.fold(first, u16::saturating_add).min(1000)
}

/// Those that receipts speak for.
fn of_receipts(weights: &[Weight]) -> Vec<Weight> {
    weights.iter().filter(|weight| weight.feature.is_of_receipts()).copied().collect()
}

/// The feature that weighs most; where nothing weighs anything, the first.
fn heaviest(weights: &[Weight]) -> Feature {
    weights.first().map_or(Feature::Sequence, |weight| weight.feature)
}

/// How many different features are over their thresholds.
fn alarms(weights: &[Weight]) -> usize {
    weights.iter().filter(|weight| weight.pressure >= 1000 && weight.feature.counts_as_different()).count()
}

/// Thousandths of the threshold, two thresholds at most.
fn pressure(value: i64, threshold: i64) -> u32 {
    let thousandths = i128::from(value.max(0)) * 1000 / i128::from(threshold.max(1));
    u32::try_from(thousandths.min(2000)).unwrap_or(2000)
}

fn milli(micro: i64) -> u32 {
    u32::try_from(micro.max(0) / 1000).unwrap_or(u32::MAX)
}

/// Nats with one decimal.
fn nats(micro: i64) -> String {
    let tenths = micro.max(0) / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Features that are not of receipts, in the order of the standing.
pub(super) const OUTSIDE: [Feature; 3] = [Feature::Declared, Feature::Content, Feature::Silence];

/// Five nats: odds of 150 to 1.
const OUTSIDE_ALARM: i64 = 5_000_000;

/// So many pieces of what is said suspend an agent that sends no receipts.
const LEAST_PIECES: u64 = 3;

/// One feature alone suspends at most: the score of two alarms.
const MOST_OF_ONE: u16 = 2 * ALARM;

/// Below half of an alarm, so that it never even keeps a level alone.
const MOST_OF_WEAK: u16 = 150;

/// A chart rises to four thresholds at most, so that it comes down in two half-lives.
const MOST_THRESHOLDS: i64 = 4;

/// In fewer calls evidence never halves, whatever times they claim. At 64 calls a day this is no slower than the default
/// half-life.
const HALVING_CALLS: u64 = 64;

/// The difference that clocks are allowed (wire 3.5).
const TOLERANCE: i64 = 120_000;

/// Two hosts that send at once are seconds apart. What comes later than that came in a batch: that its calls arrive together
/// says nothing about when they were made.
const LATE: i64 = 10_000;

const QUARTER_HOUR: i64 = 900_000;
pub(super) const REFUSED_WRITES: usize = 3;

/// Whoever sends something twice does so at once. More would be no safer: what is older is judged again, not dropped.
pub(super) const MAX_LATELY: usize = 32;

/// Processes of one agent that write at the same time. Of a stream that was forgotten no time is known any more.
pub(super) const MAX_STREAMS: usize = 256;

pub(super) const MAX_SENTENCE: usize = 200;

/// The year 9999.
pub(super) const MAX_TIME: i64 = 253_402_300_799_999;
