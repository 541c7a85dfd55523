//! What a replay of risk answers, in JSON for programs and in lines for people.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::history::{History, HistoryError};
use crate::certificate::TrustAnchors;
use crate::id::AgentId;
use crate::risk::{Baseline, BaselineError, Evidence, Replay, RiskPolicy, replay};
use crate::scope::AuthorError;
use crate::verify::Watch;

/// What is asked: whose behaviour, by which baseline, on which terms.
#[derive(Clone, Debug)]
pub struct RiskInquiry {
    /// A journal, a bundle or a file of receipts.
    pub path: PathBuf,
    /// Whom the asker believes.
    pub anchors: TrustAnchors,
    /// The text of a baseline.
    pub baseline: String,
    /// The text of a policy in TOML; empty for the default.
    pub policy: String,
    /// Whose, where receipts of several agents are there.
    pub agent: Option<AgentId>,
}

/// A replay with what it was made by.
#[derive(Clone, Debug)]
pub struct Behaviour {
    replay: Replay,
    baseline: Baseline,
    policy: RiskPolicy,
    verdict: Option<&'static str>,
    unsigned: u64,
}

impl RiskInquiry {
    /// Reads, verifies and replays.
    ///
    /// # Errors
    /// [`RiskInquiryError`]: baseline or policy cannot be read, the history cannot or is not proven, or it is of another
    /// agent than the baseline.
    pub fn ask(&self, watch: &mut dyn Watch) -> Result<Behaviour, RiskInquiryError> {
        let policy = RiskPolicy::from_toml(&self.policy)?;
        let baseline = Baseline::from_json(&self.baseline)?;
        let history = History::read(&self.path, &self.anchors, watch)?;
        let (verdict, unsigned) = (history.verdict(), history.unsigned());
        let observations = history.of_agent(self.agent)?;
        if let Some(other) = observations.first().filter(|seen| seen.agent() != baseline.agent()) {
            let (baseline, receipts) = (baseline.agent(), other.agent());
            return Err(RiskInquiryError::OtherAgent { baseline, receipts });
        }
        let replay = replay(observations, &baseline, &policy);
        Ok(Behaviour { replay, baseline, policy, verdict, unsigned })
    }
}

impl Behaviour {
    /// What the history came to.
    pub const fn replay(&self) -> &Replay {
        &self.replay
    }

    /// The answer for programs: one JSON object, the same on every surface.
    #[must_use]
    pub fn to_record(&self) -> Value {
        let replay = &self.replay;
        let changes = replay.changes.iter().map(|change| {
            json!({
                "at": change.at.to_string(),
                "receipt": change.receipt.map(|receipt| receipt.to_string()),
                "from": change.from.word(),
                "to": change.to.word(),
                "score": change.score,
                "evidence": change.evidence.iter().map(evidence).collect::<Vec<Value>>(),
            })
        });
        json!({
            "agent": self.baseline.agent().to_string(),
            "level": replay.level.word(),
            "highest": replay.highest.word(),
            "score": replay.score,
            "peak": replay.peak,
            "calls": replay.calls,
            "denied": replay.denied,
            "unsigned": self.unsigned,
            "verdict": self.verdict,
            "silent": replay.silent.iter().map(|feature| feature.word()).collect::<Vec<_>>(),
            "changes": changes.collect::<Vec<Value>>(),
            "baseline": self.baseline.digest().to_hex(),
            "policy": self.policy.digest().to_hex(),
            "digest": replay.digest.to_hex(),
        })
    }

    /// The answer for people, line by line.
    #[must_use]
    pub fn to_lines(&self) -> Vec<String> {
        let replay = &self.replay;
        let mut lines: Vec<String> = replay.changes.iter().map(crate::risk::Change::sentence).collect();
        lines.push(format!(
            "{}, score {} (highest {}, {}): {} calls, {} denied",
            replay.level, replay.score, replay.highest, replay.peak, replay.calls, replay.denied
        ));
        if !replay.silent.is_empty() {
            let silent: Vec<&str> = replay.silent.iter().map(|feature| feature.word()).collect();
            lines.push(format!("silent, because nothing here shows any of it: {}", silent.join(", ")));
        }
        if self.unsigned > 0 {
            lines.push(format!("{} receipts that nobody signed were not judged", self.unsigned));
        }
        lines.push(format!("digest {}", replay.digest));
        lines
    }
}

fn evidence(evidence: &Evidence) -> Value {
    json!({
        "feature": evidence.feature.word(),
        "milli_nats": evidence.milli_nats,
        "sentence": evidence.sentence,
    })
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RiskInquiryError {
    /// The policy is wrong in one line.
    #[error("policy, {0}")]
    Policy(#[from] AuthorError),
    /// The baseline is none.
    #[error("{0}")]
    Baseline(#[from] BaselineError),
    /// The receipts are not proven, or not of one agent.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Another agent's baseline.
    #[error(
        "the baseline is of agent {baseline}, and the receipts are of {receipts}; learn one for this agent"
    )]
    OtherAgent {
        /// Whose the baseline is.
        baseline: AgentId,
        /// Whose the receipts are.
        receipts: AgentId,
    },
}
