//! What came of the checks.

use super::check::{Check, Code, Outcome, Step};
use crate::digest::Digest;
use crate::id::AgentId;
use crate::reason::DenialReason;
use crate::risk::{Replay, RiskLevel};
use crate::time::UnixTime;

/// What came of it all.
#[derive(Clone, Debug)]
pub struct Judgement {
    pub(super) at: UnixTime,
    pub(super) agent: Option<AgentId>,
    pub(super) certificate: Option<Digest>,
    pub(super) scope: Option<Digest>,
    pub(super) evidence: Digest,
    pub(super) policy: Digest,
    pub(super) calls: u64,
    pub(super) risk: Option<Measured>,
    pub(super) fail_on: RiskLevel,
    pub(super) checks: Vec<Check>,
}

/// The risk in the receipts.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) replay: Replay,
    /// The level that counts.
    pub(super) level: RiskLevel,
}

impl Judgement {
    /// When it was made.
    #[must_use]
    pub const fn at(&self) -> UnixTime {
        self.at
    }

    /// The agent, as far as it is known.
    #[must_use]
    pub const fn agent(&self) -> Option<AgentId> {
        self.agent
    }

    /// SHA-256 of the certificate.
    #[must_use]
    pub const fn certificate(&self) -> Option<&Digest> {
        self.certificate.as_ref()
    }

    /// The name of its scope, as approvals give it.
    #[must_use]
    pub const fn scope(&self) -> Option<&Digest> {
        self.scope.as_ref()
    }

    /// The name of everything that was looked at.
    #[must_use]
    pub const fn evidence(&self) -> &Digest {
        &self.evidence
    }

    /// The name of everything that was asked for.
    #[must_use]
    pub const fn policy(&self) -> &Digest {
        &self.policy
    }

    /// Calls that counted.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    /// The risk, if it could be replayed.
    #[must_use]
    pub fn risk(&self) -> Option<&Replay> {
        self.risk.as_ref().map(|measured| &measured.replay)
    }

    /// The worst level of risk within the time that counts, if it could be replayed.
    #[must_use]
    pub fn level(&self) -> Option<RiskLevel> {
        self.risk.as_ref().map(|measured| measured.level)
    }

    /// The level of risk that fails.
    #[must_use]
    pub const fn fail_on(&self) -> RiskLevel {
        self.fail_on
    }

    /// The checks, one for each step, in order.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// What came of it: it passes only if every check does.
    #[must_use]
    pub fn verdict(&self) -> Outcome {
        // INVARIANT: there is a check for each step; without any, nothing was looked at.
        self.checks.iter().map(Check::outcome).max().unwrap_or(Outcome::CannotEvaluate)
    }

    /// Whether the agent's own conduct failed, by receipts that are proven: what a suspension may follow from. A scope that is
    /// too wide or a file that is missing is nobody's conduct, and without a certificate that leads to a root and a list of
    /// its issuer nobody knows whose conduct it is.
    #[must_use]
    pub fn is_against_conduct(&self) -> bool {
        let passed =
            |step| self.checks.iter().any(|check| check.step() == step && check.outcome() == Outcome::Pass);
        let has = |step, code| self.checks.iter().any(|check| check.step() == step && check.code() == code);
        // Who is held already may be revoked.
        let held = has(Step::Standing, Code::Denied(DenialReason::CertificateHeld));
        has(Step::Threshold, Code::RiskLevel)
            && [Step::Certificate, Step::Log, Step::Evidence, Step::Risk].into_iter().all(passed)
            && (held || passed(Step::Standing))
    }

    /// Whether it failed so hard that a revocation may follow: the level is suspend or above, and still is.
    #[must_use]
    pub fn is_hard(&self) -> bool {
        let still = self.risk().is_some_and(|replay| replay.level >= RiskLevel::Suspend);
        self.is_against_conduct() && still && self.level().is_some_and(|level| level >= RiskLevel::Suspend)
    }
}
