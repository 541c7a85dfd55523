//! The engine: observations in, changes of level out.
//!
//! Each observation moves the charts; their heights make a score, and score, number of features and persistence make a
//! level. Evidence halves in each half-life of the receipts' time. Levels rise at once; watch and step-up fall only after
//! the score was below half of what leads to them for two half-lives; suspend ends by a named person, revoke never.
//!
//! Beside the level stands what receipts alone call for. Only from there a revocation is reached, so that nobody is revoked
//! by what somebody said.

use std::sync::Arc;

use super::baseline::Baseline;
use super::change::Change;
use super::charts::Shown;
use super::counts::Placed;
use super::course::TOLERANCE;
use super::feature::{Evidence, Feature, HardFact};
use super::level::RiskLevel;
use super::logarithm::Decay;
use super::observation::{Answered, Call, Observation, What};
use super::policy::RiskPolicy;
use super::signals::Signals;
use super::standing::{Gauge, REFUSED_WRITES, Standing};
use super::weight::{OUTSIDE, OUTSIDE_ALARM, heaviest, of_receipts, total};
use super::words::{Last, plain, quoted};
use crate::receipt::ReceiptHash;
use crate::time::UnixMillis;

/// Watches one agent by its baseline.
#[derive(Clone, Debug)]
pub struct Monitor {
    pub(super) baseline: Arc<Baseline>,
    pub(super) policy: RiskPolicy,
    pub(super) standing: Standing,
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
}

/// In fewer calls evidence never halves, whatever times they claim. At 64 calls a day this is no slower than the default
/// half-life.
const HALVING_CALLS: u64 = 64;

/// Two hosts that send at once are seconds apart. What comes later than that came in a batch: that its calls arrive together
/// says nothing about when they were made.
const LATE: i64 = 10_000;

/// The year 9999.
pub(super) const MAX_TIME: i64 = 253_402_300_799_999;
