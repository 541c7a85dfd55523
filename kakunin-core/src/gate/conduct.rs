//! What the candidate did: receipts that verify and are enough, the leash that held in them, and the risk that they show.

use std::collections::BTreeMap;

use super::check::{Check, Code, Step};
use super::evidence::{Given, Receipts};
use super::gathered::Call;
use super::judge::{RiskTerms, not_reached};
use super::judgement::Measured;
use super::policy::{GatePolicy, Observed};
use crate::digest::Digest;
use crate::id::AgentId;
use crate::receipt::{Mode, ReceiptHash};
use crate::risk::{Change, Replay, RiskLevel, RiskPolicy, replay_explained};
use crate::time::UnixTime;
use crate::verify::{Extent, Reason, Verdict};

impl GatePolicy {
    pub(super) fn log(&self, receipts: &Given<Receipts<'_>>) -> Check {
        let refuse = |code, what: String| Check::refuse(Step::Log, code, what);
        let report = match receipts {
            Ok(receipts) => receipts.report,
            Err(what) => return refuse(Code::Unreadable, what.clone()),
        };
        let reasons: &[Reason] = match report.verdict() {
            Verdict::Invalid(invalid) => return refuse(Code::LogInvalid, invalid.to_string()),
            Verdict::Empty => return refuse(Code::EvidenceNone, "no receipt that anybody signed".to_owned()),
            Verdict::AuthenticNotComplete(reasons) => reasons,
            Verdict::Complete => &[],
        };
        if report.extent() != Extent::Streams {
            return refuse(Code::LogPartial, "one decision chain, and not whole streams".to_owned());
        }
        let missed = reasons.iter().find(|reason| !self.tolerate.contains(&reason.code()));
        if let Some(reason) = missed {
            return refuse(Code::LogIncomplete, format!("{reason} [{}]", reason.code()));
        }
        let receipts: u64 = report.streams().iter().map(|stream| stream.receipts).sum();
        Check::pass(Step::Log, format!("{receipts} receipts, {}", report.verdict().word()))
    }

    /// Calls that are new enough to count.
    pub(super) fn recent<'a>(&self, receipts: &Receipts<'a>, at: UnixTime) -> impl Iterator<Item = &'a Call> {
        let oldest = at.plus(-self.max_age);
        receipts.gathered.calls().iter().filter(move |call| call.at >= oldest)
    }

    pub(super) fn enough(
        &self,
        receipts: &Receipts<'_>,
        agent: AgentId,
        root: Option<Digest>,
        at: UnixTime,
    ) -> Check {
        let refuse = |code, what: String| Check::refuse(Step::Evidence, code, what);
        let mut streams = receipts.report.streams().iter().filter(|stream| stream.agent == Some(agent));
        if let Some(stream) = streams.find(|stream| root.is_some() && stream.root != root) {
            let what = format!("stream {} is of an agent {agent} under another root", stream.stream);
            return refuse(Code::EvidenceForeign, what);
        }
        let calls = receipts.gathered.calls();
        let Some(last) = calls.iter().map(|call| call.at).max() else {
            let foreign = receipts.gathered.foreign();
            return refuse(Code::EvidenceNone, format!("no call of {agent}, {foreign} receipts of others"));
        };
        if last > at.plus(CLOCK_TOLERANCE) {
            return refuse(Code::EvidenceFuture, format!("a receipt claims {last}, and it is {at}"));
        }
        let recent = self.recent(receipts, at).count() as u64;
        let (all, least, age) = (calls.len() as u64, self.min_calls, self.max_age);
        if recent < least {
            let code = if all < least { Code::EvidenceFew } else { Code::EvidenceOld };
            let what = format!(
                "{recent} calls within {age} s, {all} at all, the last at {last}; {least} are asked for"
            );
            return refuse(code, what);
        }
        let denied = self.recent(receipts, at).filter(|call| !call.is_allowed).count();
        let unsigned = receipts.gathered.unproven();
        let more =
            if unsigned > 0 { format!(", {unsigned} unsigned ones do not count") } else { String::new() };
        Check::pass(
            Step::Evidence,
            format!("{recent} calls within {age} s, {denied} of them denied, the last at {last}{more}"),
        )
    }

    pub(super) fn mode(&self, receipts: &Receipts<'_>, at: UnixTime) -> Check {
        let calls = self.recent(receipts, at).count();
        if calls == 0 {
            return not_reached(Step::Mode, Step::Evidence);
        }
        let observed = self.recent(receipts, at).filter(|call| call.mode == Mode::Observe).count();
        match (observed, self.observe) {
            (0, _) => Check::pass(Step::Mode, format!("each of {calls} calls was held by the leash")),
            (_, Observed::Accept) => {
                Check::pass(Step::Mode, format!("{observed} calls in observe mode, which the policy accepts"))
            }
            (_, Observed::Refuse) => Check::refuse(
                Step::Mode,
                Code::ObserveMode,
                format!("{observed} calls in observe mode: no leash held them"),
            ),
        }
    }

    pub(super) fn risk(
        &self,
        receipts: &Receipts<'_>,
        agent: Option<AgentId>,
        terms: &RiskTerms<'_>,
        at: UnixTime,
    ) -> (Check, Option<Measured>) {
        let refuse = |code, what: String| (Check::refuse(Step::Risk, code, what), None);
        let baseline = match &terms.baseline {
            Ok(baseline) => *baseline,
            Err(what) => return refuse(Code::BaselineMissing, what.clone()),
        };
        if let Some(agent) = agent.filter(|agent| *agent != baseline.agent()) {
            let what = format!("the baseline is of {}, and not of {agent}", baseline.agent());
            return refuse(Code::BaselineOther, what);
        }
        // Whoever may choose what is usual, or what is made of what is not, chooses the level.
        let (digest, asked) = (baseline.digest(), terms.policy.digest());
        match self.baseline {
            Some(named) if named == digest => {}
            Some(named) => {
                let (named, digest) = (named.to_hex(), digest.to_hex());
                let what = format!("the policy names the baseline {named}, this one is {digest}");
                return refuse(Code::BaselineOther, what);
            }
            None => {
                let what = format!("the policy names no baseline, this one is {}", digest.to_hex());
                return refuse(Code::BaselineUnnamed, what);
            }
        }
        let named = self.risk_policy.unwrap_or_else(|| RiskPolicy::default().digest());
        if asked != named {
            let of = if self.risk_policy.is_some() { "the policy names" } else { "the defaults are" };
            let what = format!("{of} the risk policy {}, this one is {}", named.to_hex(), asked.to_hex());
            return refuse(Code::RiskPolicyOther, what);
        }
        let explained: BTreeMap<Digest, &str> = self
            .explained
            .iter()
            .filter(|its| at < its.until)
            .map(|its| (its.receipt, its.by.as_str()))
            .collect();
        let by = |receipt: &ReceiptHash| explained.get(receipt.digest()).copied();
        let seen = receipts.gathered.observations().to_vec();
        let replay = replay_explained(seen, baseline, terms.policy, by);
        let level = self.worst(&replay, at, &|change| {
            change.to < RiskLevel::Revoke && change.receipt.as_ref().and_then(by).is_some()
        });
        let (calls, score, peak) = (replay.calls, replay.score, replay.peak);
        let what = format!("{calls} calls replayed, score {score} of 1000, peak {peak}");
        (Check::pass(Step::Risk, what), Some(Measured { replay, level }))
    }

    /// The worst level within the time that counts: what was risky last week and is quiet today was not explained by that,
    /// only by somebody who looked.
    fn worst(&self, replay: &Replay, at: UnixTime, is_explained: &dyn Fn(&Change) -> bool) -> RiskLevel {
        let oldest = at.plus(-self.max_age);
        let (mut before, mut worst) = (RiskLevel::Clear, RiskLevel::Clear);
        for change in replay.changes.iter().filter(|change| !is_explained(change)) {
            if change.at.to_seconds() < oldest { before = change.to } else { worst = worst.max(change.to) }
        }
        worst.max(before).max(replay.level)
    }

    pub(super) fn threshold(&self, measured: &Measured) -> Check {
        let (level, fail_on) = (measured.level.word(), self.fail_on.word());
        if measured.level >= self.fail_on {
            let change = measured.replay.changes.iter().rev().find(|change| change.to == measured.level);
            let why = change.map_or_else(String::new, |change| {
                let sentence = change.evidence.first().map_or("", |evidence| &evidence.sentence);
                let by = change.receipt.map_or_else(String::new, |receipt| format!(" by receipt {receipt}"));
                format!(" at {}{by}: {sentence}", change.at.to_seconds())
            });
            return Check::refuse(Step::Threshold, Code::RiskLevel, format!("the level was {level}{why}"));
        }
        Check::pass(Step::Threshold, format!("the level was {level} at most, and {fail_on} fails"))
    }
}

/// As everywhere, clocks may lag by this many seconds (WIRE 3).
const CLOCK_TOLERANCE: i64 = 120;
