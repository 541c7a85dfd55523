//! What the gate keeps of receipts while they are verified.

use crate::digest::Digest;
use crate::id::AgentId;
use crate::journal::Proof;
use crate::receipt::{Answer, Event, Mode, ReceiptHash};
use crate::risk::Observation;
use crate::time::UnixTime;
use crate::verify::{Seen, Watch};

/// Looks on while receipts are verified, and keeps what the gate judges by. What it kept counts only if the report says that
/// the receipts are right.
#[derive(Clone, Debug)]
pub struct Gathered {
    agent: AgentId,
    digest: Digest,
    calls: Vec<Call>,
    observations: Vec<Observation>,
    foreign: u64,
    unproven: u64,
}

/// One decision of the agent about itself that an action could follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// When, as the receipt claims.
    pub(super) at: UnixTime,
    /// Whether the leash held.
    pub(super) mode: Mode,
    pub(super) is_allowed: bool,
}

impl Gathered {
    /// Nothing yet, about `agent`.
    #[must_use]
    pub fn about(agent: AgentId) -> Self {
        let digest = Digest::of(b"kakunin gate evidence 1\n");
        Self { agent, digest, calls: Vec::new(), observations: Vec::new(), foreign: 0, unproven: 0 }
    }

    /// The digest of every receipt that went by, in order.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// What the risk is replayed over.
    pub(super) fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// Receipts of other agents.
    pub(super) const fn foreign(&self) -> u64 {
        self.foreign
    }

    /// Decisions that nobody signed.
    pub(super) const fn unproven(&self) -> u64 {
        self.unproven
    }

    fn fold(&mut self, hash: &ReceiptHash) {
        self.digest = Digest::of_parts(&[self.digest.as_bytes(), hash.digest().as_bytes()]);
    }
}

impl Watch for Gathered {
    fn receipt(&mut self, seen: &Seen<'_>) {
        self.fold(&seen.hash());
        let statement = seen.statement();
        if statement.agent != self.agent {
            self.foreign += 1;
            return;
        }
        if seen.proof() != Proof::Unsigned {
            let scope = seen.path().agent().scope();
            self.observations.extend(Observation::of(
                seen.hash(),
                statement,
                seen.disclosures(),
                Some(scope),
            ));
        }
        // A gateway's decision about a caller is the caller's conduct, and a question is nobody's.
        let Event::Decision { caller: None, mode: mode @ (Mode::Enforce | Mode::Observe), answer, .. } =
            &statement.event
        else {
            return;
        };
        if seen.proof() == Proof::Unsigned {
            self.unproven += 1;
            return;
        }
        let is_allowed = *answer == Answer::Allow;
        self.calls.push(Call { at: statement.stamp.time(), mode: *mode, is_allowed });
    }
}
