//! What the gate states when it is done, in the form of a request to its own leash.
//!
//! The gate is an agent: it has a certificate, and in its scope stands whom it may promote. What it found becomes an
//! ordinary decision in its own journal, with the verdict in the action, in clear, and everything else as names that the
//! receipt commits to.

use super::check::Outcome;
use super::judgement::Judgement;

/// The action of a gate that lets an agent pass.
pub const PROMOTE: &str = "gate:promote";

/// The action of a gate that does not.
pub const REFUSE: &str = "gate:refuse";

/// The run of a pipeline that the gate is part of, as that calls it. Claims of whoever starts the gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The commit.
    pub commit: Option<String>,
    /// The run.
    pub run: Option<String>,
    /// The repository.
    pub repository: Option<String>,
}

/// What is put before the gate's own leash, and recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// [`PROMOTE`] or [`REFUSE`].
    pub action: &'static str,
    /// The agent that was judged, as a URN.
    pub counterparty: String,
    /// What was found of what: `verdict:`, `at:`, `certificate:`, `scope:`, `evidence:`, `policy:`, `risk:`, `level:`, `commit:`,
    /// `run:`, `repo:`, each followed by its value; what is not known is left out.
    pub resources: Vec<String>,
}

impl Judgement {
    /// The statement for this judgement.
    #[must_use]
    pub fn statement(&self, run: &Run) -> Statement {
        let action = if self.verdict() == Outcome::Pass { PROMOTE } else { REFUSE };
        let agent = self.agent().map_or_else(|| "unknown".to_owned(), |agent| agent.to_urn());
        let mut resources = vec![format!("verdict:{}", self.verdict().word()), format!("at:{}", self.at())];
        let digests = [
            ("certificate", self.certificate()),
            ("scope", self.scope()),
            ("evidence", Some(self.evidence())),
            ("policy", Some(self.policy())),
            ("risk", self.risk().map(|replay| &replay.digest)),
        ];
        for (name, digest) in digests {
            resources.extend(digest.map(|digest| format!("{name}:{}", digest.to_hex())));
        }
        resources.extend(self.level().map(|level| format!("level:{}", level.word())));
        for (name, value) in [("commit", &run.commit), ("run", &run.run), ("repo", &run.repository)] {
            resources.extend(value.as_ref().map(|value| format!("{name}:{value}")));
        }
        Statement { action, counterparty: agent, resources }
    }
}
