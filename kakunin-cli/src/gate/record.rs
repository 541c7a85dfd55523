//! The whole answer, for programs and for people.

use std::path::Path;

use kakunin_core::gate::{Check, Judgement, Outcome, Run};
use kakunin_core::risk::RiskLevel;
use serde_json::{Value, json};

use super::consequence::Done;
use super::sign::Signed;
use crate::answer::one_line;

/// A judgement, with what was done about it.
pub(crate) struct Told<'a> {
    pub(crate) judgement: &'a Judgement,
    pub(crate) run: &'a Run,
    pub(crate) signed: &'a Signed,
    pub(crate) done: &'a Done,
    /// The record of the promotion, if one was written.
    pub(crate) promoted: Option<&'a Path>,
    /// What else kept it from passing: a receipt that was refused, a record that could not be written.
    pub(crate) trouble: &'a [String],
}

impl Told<'_> {
    /// The judgement's verdict, unless something that has to follow it did not.
    pub(crate) fn verdict(&self) -> Outcome {
        match self.judgement.verdict() {
            Outcome::Pass if !self.trouble.is_empty() => Outcome::CannotEvaluate,
            verdict => verdict,
        }
    }

    /// The checks that did not pass.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = &Check> {
        self.judgement.checks().iter().filter(|check| check.outcome() != Outcome::Pass)
    }

    /// One JSON object.
    pub(crate) fn to_record(&self) -> Value {
        let judgement = self.judgement;
        let risk = judgement.risk().map(|replay| {
            json!({
                "level": judgement.level().map(RiskLevel::word),
                "score": replay.score,
                "peak": replay.peak,
                "calls": replay.calls,
                "digest": replay.digest.to_hex(),
            })
        });
        let check = |check: &Check| {
            json!({
                "step": check.step().word(),
                "outcome": check.outcome().word(),
                "code": check.code().as_str(),
                "sentence": check.sentence(),
                "fix": check.code().fix(),
            })
        };
        json!({
            "decision": self.verdict().word(),
            "exit_code": self.verdict().exit_code(),
            "at": judgement.at().to_string(),
            "agent": judgement.agent().map(|agent| agent.to_string()),
            "certificate": judgement.certificate().map(|digest| digest.to_hex()),
            "scope": judgement.scope().map(|digest| digest.to_hex()),
            "evidence": judgement.evidence().to_hex(),
            "policy": judgement.policy().to_hex(),
            "calls": judgement.calls(),
            "fail_on": judgement.fail_on().word(),
            "risk": risk,
            "checks": judgement.checks().iter().map(check).collect::<Vec<_>>(),
            "commit": self.run.commit,
            "run": self.run.run,
            "repo": self.run.repository,
            "receipt": self.signed.receipt().map(|receipt| receipt.to_string()),
            "promoted": self.promoted.map(|path| path.display().to_string()),
            "agent_suspended": self.done.suspended,
            "cert_revoked": self.done.revoked,
            "trouble": self.trouble,
        })
    }

    /// Lines for people: the verdict first.
    pub(crate) fn to_lines(&self) -> Vec<String> {
        let agent = self.judgement.agent().map_or_else(|| "an agent".to_owned(), |agent| agent.to_string());
        let mut lines = vec![format!("{}: {agent}", self.verdict().word().to_uppercase())];
        for check in self.judgement.checks() {
            let (step, outcome) = (check.step().word(), check.outcome().word());
            let sentence = short(check.sentence());
            lines.push(match check.outcome() {
                Outcome::Pass => format!("  {outcome:<15} {step:<12} {sentence}"),
                _ => format!("  {outcome:<15} {step:<12} {sentence} [{}]", check.code().as_str()),
            });
        }
        lines.extend(
            self.refusals().map(|check| format!("fix ({}): {}", check.step().word(), check.code().fix())),
        );
        lines.extend(self.trouble.iter().map(|what| one_line(what)));
        if let Some(receipt) = self.signed.receipt() {
            lines.push(format!("receipt {receipt}"));
        }
        lines.extend(
            self.promoted.map(|path| one_line(&format!("recorded as promoted in {}", path.display()))),
        );
        if self.done.revoked {
            lines.push(format!("{agent} is revoked"));
        }
        if self.done.suspended {
            lines.push(format!("{agent} is suspended"));
        }
        lines
    }
}

/// A sentence on one line, and not much longer than that: names in it are anybody's.
pub(super) fn short(text: &str) -> String {
    let text = one_line(text).replace('\r', "\\r");
    match text.char_indices().nth(MOST) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// Letters of a sentence that are shown.
const MOST: usize = 600;
