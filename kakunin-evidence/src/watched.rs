//! Behaviour as part of the evidence: the core's replay over the receipts that went by, and where each change of level
//! stands.
//!
//! Receipts are kept in memory for it, as a replay is in the order of time and not of streams.

use std::collections::HashMap;

use kakunin_core::digest::Digest;
use kakunin_core::receipt::ReceiptHash;
use kakunin_core::risk::{Baseline, Observation, Replay, RiskLevel, RiskPolicy, replay};
use kakunin_core::verify::Seen;

use crate::finding::Pointer;

/// What behaviour is judged by.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What the agent used to do.
    pub baseline: Baseline,
    /// How much else is too much.
    pub policy: RiskPolicy,
}

/// What behaviour came to.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) replay: Replay,
    pub(crate) baseline: Digest,
    pub(crate) policy: Digest,
    /// The score from which on each level but the first is reached, ascending.
    pub(crate) thresholds: Vec<(RiskLevel, u16)>,
    /// The receipt of each change, where it is one.
    pub(crate) changes: Vec<Option<Pointer>>,
}

/// Receipts on their way to a replay.
#[derive(Debug, Default)]
pub(crate) struct Watching {
    observations: Vec<Observation>,
    places: HashMap<ReceiptHash, Pointer>,
}

impl Watching {
    /// One more receipt that somebody signed.
    pub(crate) fn see(&mut self, seen: &Seen<'_>, pointer: &Pointer) {
        let scope = seen.path().agent().scope();
        let observed = Observation::of(seen.hash(), seen.statement(), seen.disclosures(), Some(scope));
        if let Some(observed) = observed {
            self.observations.push(observed);
            self.places.insert(seen.hash(), pointer.clone());
        }
    }

    pub(crate) fn judge(self, terms: &Terms) -> Watched {
        let replay = replay(self.observations, &terms.baseline, &terms.policy);
        let of = |receipt: Option<ReceiptHash>| self.places.get(&receipt?).cloned();
        let changes = replay.changes.iter().map(|change| of(change.receipt)).collect();
        let levels = RiskLevel::ALL.into_iter().skip(1);
        Watched {
            replay,
            baseline: terms.baseline.digest(),
            policy: terms.policy.digest(),
            thresholds: levels.map(|level| (level, terms.policy.score_of(level))).collect(),
            changes,
        }
    }
}
