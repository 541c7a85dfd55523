//! One agent under way.

use kakunin_core::receipt::UnverifiedReceipt;
use kakunin_core::risk::{
    Baseline, Change, Declared, Evidence, Feature, Found, HardFact, Monitor, Observation, RiskLevel,
    RiskPolicy,
};
use kakunin_core::time::{UnixMillis, UnixTime};

use super::baseline::BaselineRefusal;
use super::gaps::{self, Gap};
use super::receipt;
use crate::access::{Actor, TenantId};
use crate::store::{
    ReceiptRecord, RiskEvent, RiskEventKind, RiskRecord, RiskSign, SignKind, Store, StoreError,
};

/// One agent: what is known of it, and what happened since that was kept.
#[derive(Clone, Debug)]
pub struct Watched {
    /// As it stands in the records.
    before: Option<RiskRecord>,
    record: RiskRecord,
    monitor: Monitor,
    events: Vec<RiskEvent>,
}

impl Watched {
    /// Goes on with what the records say, or begins.
    ///
    /// What cannot be read any more, or was made by another policy, is begun anew, and an event says so: heights of charts
    /// mean nothing under other thresholds.
    #[must_use]
    pub fn take_up(before: Option<RiskRecord>, new: RiskRecord, default: &RiskPolicy, now: UnixTime) -> Self {
        let record = before.clone().unwrap_or(new);
        let own = record.policy.as_deref().map(RiskPolicy::from_toml);
        let (policy, lost_policy) = match own {
            None => (default.clone(), None),
            Some(Ok(policy)) => (policy, None),
            Some(Err(error)) => {
                (default.clone(), Some(format!("its own policy is not read any more: {error}")))
            }
        };
        let (baseline, lost_baseline) = match record.baseline.as_deref().map(Baseline::from_json) {
            None => (Baseline::unknown(record.agent), None),
            Some(Ok(baseline)) => (baseline, None),
            Some(Err(error)) => {
                (Baseline::unknown(record.agent), Some(format!("its baseline is not read any more: {error}")))
            }
        };
        let resumed =
            record.state.as_deref().map(|state| Monitor::resume(baseline.clone(), policy.clone(), state));
        let (monitor, lost_state) = match resumed {
            None => (Monitor::new(baseline, policy), None),
            Some(Ok(monitor)) => (monitor, None),
            Some(Err(error)) => (Monitor::new(baseline, policy), Some(error.to_string())),
        };
        let mut watched = Self { before, record, monitor, events: Vec::new() };
        if lost_baseline.is_some() {
            watched.record.baseline = None;
            watched.record.calls = 0;
            watched.record.first = None;
        }
        if let Some(why) = lost_policy.or(lost_baseline).or(lost_state) {
            let text = receipt::begun_anew(&watched.record, &watched.monitor, &why, now);
            watched.happen(RiskEventKind::Policy, Actor::Authority, text, now);
        }
        watched
    }

    /// What is known of it.
    #[must_use]
    pub const fn record(&self) -> &RiskRecord {
        &self.record
    }

    /// What watches it.
    #[must_use]
    pub const fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Whether it has a baseline, and is not only learnt.
    #[must_use]
    pub const fn is_learnt(&self) -> bool {
        self.record.baseline.is_some()
    }

    /// Looks at a receipt of it that was proved, as it was read. `broke` says why no honest guard allowed it, if so.
    pub(super) fn see(
        &mut self,
        kept: &ReceiptRecord,
        receipt: Option<&UnverifiedReceipt>,
        broke: Option<&str>,
    ) {
        if let Some(last) = self.record.last {
            let pause = kept.received.seconds().saturating_sub(last.seconds());
            if !self.is_learnt() {
                self.record.pause = self.record.pause.max(pause);
            }
        }
        self.record.first.get_or_insert(kept.received);
        self.record.last = self.record.last.max(Some(kept.received));
        self.record.silent = false;
        // INVARIANT: what was kept was read and proved before; a later version may still refuse it, and then it says nothing.
        let Some(receipt) = receipt else { return };
        let Some(seen) = Observation::of(receipt.hash(), receipt.statement(), &[], None) else { return };
        if seen.is_allowed() {
            self.record.calls = self.record.calls.saturating_add(1);
            if let Some(sentence) = broke {
                let fact = HardFact::UsedAfterSuspension;
                let found = Found {
                    arrived: millis(kept.received),
                    claimed: Some(seen.at()),
                    receipt: Some(seen.receipt()),
                };
                let change = self.monitor.fact(fact, found, sentence);
                self.changed(change, kept.received);
            }
        }
        let change = self.monitor.observe_at(&seen, millis(kept.received));
        self.changed(change, kept.received);
    }

    /// Takes in that a stream of it has two receipts in one place, both signed by its key.
    pub(super) fn forked(&mut self, kept: &ReceiptRecord) {
        let sentence =
            format!("its stream {} has two receipts with the number {}", kept.stream, kept.sequence);
        let receipt = UnverifiedReceipt::from_log_entry(&kept.line).ok().map(|(receipt, _)| receipt.hash());
        let claimed = Some(UnixMillis::from_millis(kept.at.div_euclid(1000)));
        let found = Found { arrived: millis(kept.received), claimed, receipt };
        let change = self.monitor.fact(HardFact::ForkedStream, found, &sentence);
        self.changed(change, kept.received);
    }

    /// Takes in what was handed in. Of all of it only two trees that one log signed are a fact: everything else could be
    /// brought by whoever has a key.
    pub(super) fn sign(&mut self, sign: &RiskSign) {
        let at = millis(sign.at);
        let feature = match sign.kind {
            SignKind::Forked => {
                let found = Found { arrived: at, claimed: None, receipt: None };
                let change = self.monitor.fact(HardFact::ForkedStream, found, &sign.sentence);
                return self.changed(change, sign.at);
            }
            SignKind::Content => Feature::Content,
            SignKind::Declared | SignKind::BackDated | SignKind::Contradiction | SignKind::Replayed => {
                Feature::Declared
            }
        };
        let sentence = sign.sentence.clone();
        let declared = Declared { feature, at, milli_nats: milli_nats(sign.weight), sentence };
        let change = self.monitor.declare(&declared);
        self.changed(change, sign.at);
    }

    /// Takes in that it sends nothing, though it is there.
    pub(super) fn silence(&mut self, sentence: String, now: UnixTime) {
        self.record.silent = true;
        let declared = Declared { feature: Feature::Silence, at: millis(now), milli_nats: SILENCE, sentence };
        let change = self.monitor.declare(&declared);
        self.changed(change, now);
    }

    /// Takes note of numbers that are missing.
    pub(super) fn miss(&mut self, new: Vec<Gap>) {
        let mut known = gaps::from_text(self.record.gaps.as_deref());
        gaps::add(&mut known, new);
        self.record.gaps = gaps::to_text(&known);
    }

    /// Takes in which numbers are missing for too long, and forgets those that came.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    pub(super) fn look_for_missing(&mut self, store: &dyn Store, now: UnixTime) -> Result<(), StoreError> {
        let known = gaps::from_text(self.record.gaps.as_deref());
        let (due, young): (Vec<_>, Vec<_>) = known.into_iter().partition(|gap| gap.is_due(now));
        for gap in due {
            if !gap.is_filled(store, &self.record.tenant, self.record.agent)? {
                let sentence = gap.sentence();
                let at = millis(now);
                let declared = Declared { feature: Feature::Silence, at, milli_nats: SILENCE, sentence };
                let change = self.monitor.declare(&declared);
                self.changed(change, now);
            }
        }
        self.record.gaps = gaps::to_text(&young);
        Ok(())
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, now: UnixTime) {
        let change = self.monitor.pass(millis(now));
        self.changed(change, now);
    }

    /// A named person let it act again: it is watched on from there. Whoever came back after a revocation begins anew.
    pub(super) fn release(&mut self, who: &str, now: UnixTime) {
        if !self.is_learnt() {
            // What led to it is nothing to learn from.
            (self.record.calls, self.record.tried, self.record.first) = (0, 0, None);
            self.record.unlearnt = None;
        }
        let change = match self.monitor.level() {
            RiskLevel::Suspend => self.monitor.release(who, millis(now)),
            RiskLevel::Revoke => {
                let (baseline, policy) = (self.monitor.baseline().clone(), self.monitor.policy().clone());
                self.monitor = Monitor::new(baseline, policy);
                let sentence = format!("certified again by {who}");
                let evidence = Evidence { feature: Feature::Declared, milli_nats: 0, sentence };
                Some(Change {
                    at: millis(now),
                    receipt: None,
                    from: RiskLevel::Revoke,
                    to: RiskLevel::Clear,
                    score: 0,
                    evidence: vec![evidence],
                })
            }
            _ => None,
        };
        self.changed(change, now);
    }

    /// Whether enough was seen of it to freeze a baseline. Nothing is learnt of an agent that is under suspicion.
    pub(super) fn is_ripe(&self) -> bool {
        let RiskRecord { first: Some(first), last: Some(last), calls, tried, .. } = self.record else {
            return false;
        };
        let millis =
            last.seconds().saturating_sub(first.seconds()).max(0).unsigned_abs().saturating_mul(1000);
        // What did not suffice is read again when there is twice as much.
        !self.is_learnt()
            && calls >= tried.saturating_mul(2)
            && self.monitor.level() < RiskLevel::StepUp
            && self.monitor.policy().is_ripe(calls, millis)
    }

    /// Takes note that what was seen does not suffice for a baseline, and why.
    pub(super) fn cannot_learn(&mut self, why: &BaselineRefusal) {
        self.record.tried = self.record.calls;
        self.record.unlearnt = Some(why.to_string());
    }

    /// About how many octets it takes in memory: the texts of its record, twice, and what they were parsed into.
    pub(super) fn size(&self) -> usize {
        let RiskRecord { policy, baseline, state, gaps, unlearnt, .. } = &self.record;
        let texts = [policy, baseline, state, gaps, unlearnt];
        let octets: usize = texts.into_iter().flatten().map(String::len).sum();
        octets.saturating_mul(PARSED).saturating_add(4096)
    }

    /// Freezes a baseline over a history, in the place of the one there is, and watches by it from now on.
    ///
    /// # Errors
    /// [`BaselineRefusal`] when the history does not suffice; then nothing changed.
    pub(super) fn freeze(
        &mut self,
        history: &[Observation],
        actor: Actor,
        reason: &str,
        now: UnixTime,
    ) -> Result<(), BaselineRefusal> {
        let policy = self.monitor.policy().clone();
        let baseline = match self.is_learnt() {
            true => Baseline::relearn(self.monitor.baseline(), history, &policy),
            false => Baseline::learn(history, &policy),
        }?;
        self.record.baseline = Some(baseline.to_json());
        (self.record.tried, self.record.unlearnt) = (0, None);
        self.monitor = Monitor::new(baseline, policy);
        let text = receipt::frozen(&self.record, &self.monitor, &actor, reason, now);
        self.happen(RiskEventKind::Baseline, actor, text, now);
        Ok(())
    }

    /// Judges it by a policy of its own from now on, or by that of the service again.
    fn judge_by(
        &mut self,
        own: Option<(String, RiskPolicy)>,
        default: &RiskPolicy,
        actor: Actor,
        now: UnixTime,
    ) {
        let (text, policy) = own.map_or((None, default.clone()), |(text, policy)| (Some(text), policy));
        let baseline = self.monitor.baseline().clone();
        self.record.policy = text;
        self.monitor = Monitor::new(baseline, policy);
        let text = receipt::policy(&self.record, &self.monitor, &actor, now);
        self.happen(RiskEventKind::Policy, actor, text, now);
    }

    fn changed(&mut self, change: Option<Change>, now: UnixTime) {
        let Some(change) = change else { return };
        let text = receipt::change(&self.record, &self.monitor, &change);
        self.happen(RiskEventKind::Level, Actor::Authority, text, now);
    }

    fn happen(&mut self, kind: RiskEventKind, actor: Actor, text: String, at: UnixTime) {
        let RiskRecord { tenant, agent, .. } = &self.record;
        let (level, score) = (self.monitor.level(), self.monitor.score());
        let (tenant, agent) = (tenant.clone(), *agent);
        self.events.push(RiskEvent { tenant, agent, kind, level, score, actor, text, at, seal: None });
    }

    /// What is to be kept: how it stood in the records, how it stands now, and what happened.
    pub(super) fn changes(&mut self, now: UnixTime) -> (Option<RiskRecord>, RiskRecord, Vec<RiskEvent>) {
        let (level, score) = (self.monitor.level(), self.monitor.score());
        let record = RiskRecord { level, score, state: Some(self.monitor.state()), ..self.record.clone() };
        if Some(&record) != self.before.as_ref() {
            self.record = RiskRecord { updated: now, ..record };
        }
        let before = self.before.replace(self.record.clone());
        (before, self.record.clone(), std::mem::take(&mut self.events))
    }
}

/// Judges an agent by a policy of its own from now on, or by that of the service again.
///
/// # Errors
/// [`kakunin_core::scope::AuthorError`] for a text that is no policy.
pub fn set_policy(
    before: Option<RiskRecord>,
    new: RiskRecord,
    own: Option<String>,
    by: (&RiskPolicy, Actor),
    now: UnixTime,
) -> Result<super::Step, kakunin_core::scope::AuthorError> {
    let (default, actor) = by;
    let own = own.map(|text| RiskPolicy::from_toml(&text).map(|policy| (text, policy))).transpose()?;
    let tenant: TenantId = new.tenant.clone();
    let mut watched = Watched::take_up(before, new, default, now);
    watched.judge_by(own, default, actor, now);
    let mut step = super::Step::of(tenant, now);
    step.add(&mut watched);
    Ok(step)
}

/// The time of this clock as receipts have it.
fn millis(at: UnixTime) -> UnixMillis {
    UnixMillis::from_millis(at.seconds().saturating_mul(1000))
}

/// How much a score of the hosted table weighs: three high ones are twice an alarm, as three of them suspended there.
fn milli_nats(weight: u8) -> u32 {
    match weight {
        0..30 => 0,
        30..85 => u32::from(weight) * 20,
        _ => 3_400,
    }
}

/// One alarm.
const SILENCE: u32 = 5_000;

/// Two texts, and tables that take more room than their text.
const PARSED: usize = 6;
