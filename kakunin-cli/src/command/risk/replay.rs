use std::path::PathBuf;

use clap::Args;
use kakunin_core::id::AgentId;
use kakunin_core::report::RiskInquiry;
use kakunin_core::risk::RiskLevel;

use super::{agent, anchors, inquiry};
use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, read_text};
use crate::progress::Progress;

/// Judge a history again from its beginning: every change of level, and a digest that is the same everywhere
///
/// The receipts are verified on the way, as `kakunin verify` does it; if one of them is not proven, nothing is judged.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin risk replay receipts.jsonl --baseline billing.json
  kakunin risk replay agents/billing --baseline billing.json --policy risk.toml --json
  kakunin risk replay incident.zip --baseline billing.json --root ca.pem

Exit codes: 0 never over step-up, 1 suspend or revoke was reached, 2 cannot be evaluated.")]
pub(crate) struct Replay {
    /// A file of receipts, a bundle, or an agent's directory, its state or its journal
    #[arg(value_name = "FILE|BUNDLE|DIR")]
    what: PathBuf,
    /// What is usual for the agent: a file of `kakunin risk baseline`
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// The terms; without it the default ones
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Roots to trust; without it the home's own
    #[arg(long, value_name = "FILE")]
    root: Vec<PathBuf>,
    /// Whose behaviour, where receipts of several agents are there
    #[arg(long, value_name = "ID", value_parser = agent)]
    agent: Option<AgentId>,
}

impl Replay {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let asked = RiskInquiry {
            path: self.what.clone(),
            anchors: anchors(&self.root, common)?,
            baseline: read_text(&self.baseline)?,
            policy: self.policy.as_ref().map(|path| read_text(path)).transpose()?.unwrap_or_default(),
            agent: self.agent,
        };
        let mut progress = Progress::new(common.json);
        let behaviour = asked.ask(&mut progress);
        progress.end();
        let behaviour = behaviour.map_err(inquiry)?;
        let reached = behaviour.replay().highest >= RiskLevel::Suspend;
        let answer = Answer::yes(behaviour.to_record()).lines(behaviour.to_lines());
        Ok(answer.exit(if reached { Exit::No } else { Exit::Yes }))
    }
}
