use std::path::PathBuf;

use clap::Args;
use kakunin_core::id::AgentId;
use kakunin_core::report::History;
use kakunin_core::risk::{Baseline, Observation, RiskPolicy};
use serde_json::json;

use super::{agent, anchors, history};
use crate::answer::{Answer, Failure};
use crate::context::{Common, read_text};
use crate::progress::Progress;

/// Learn what is usual for an agent from its receipts, and freeze it
///
/// Everything in the receipts is taken for usual: learn from a time in which the agent did what it should. The file holds
/// short hashes of the counterparties' names, which can be guessed; keep it as the journal is kept.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin risk baseline agents/billing --out billing.json
  kakunin risk baseline receipts.jsonl --calls 500 --out billing.json --root ca.pem
  kakunin risk baseline agents/billing --replaces billing.json --out billing-2.json")]
pub(crate) struct Learn {
    /// A file of receipts, a bundle, or an agent's directory, its state or its journal
    #[arg(value_name = "FILE|BUNDLE|DIR")]
    what: PathBuf,
    /// Where the baseline goes; what stands there is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Learn from the first so many calls only
    #[arg(long, value_name = "N")]
    calls: Option<usize>,
    /// The baseline that the new one takes the place of, and names
    #[arg(long, value_name = "FILE")]
    replaces: Option<PathBuf>,
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

impl Learn {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let policy = self.policy.as_ref().map(|path| read_text(path)).transpose()?.unwrap_or_default();
        let policy =
            RiskPolicy::from_toml(&policy).map_err(|error| Failure::cannot(format!("policy, {error}")))?;
        let before = self.replaces.as_ref().map(|path| {
            Baseline::from_json(&read_text(path)?)
                .map_err(|error| Failure::cannot(format!("{}: {error}", path.display())))
        });
        let before = before.transpose()?;
        let mut progress = Progress::new(common.json);
        let read = History::read(&self.what, &anchors(&self.root, common)?, &mut progress);
        progress.end();
        let mut seen = read.and_then(|read| read.of_agent(self.agent)).map_err(history)?;
        if let Some(calls) = self.calls {
            seen.retain(Observation::is_call);
            seen.truncate(calls);
        }
        let learned = match &before {
            Some(before) => Baseline::relearn(before, &seen, &policy),
            None => Baseline::learn(&seen, &policy),
        };
        let baseline = learned.map_err(Failure::no)?;
        let cannot = |error| Failure::cannot(format!("{}: {error}", self.out.display()));
        let mut file = std::fs::File::create_new(&self.out).map_err(cannot)?;
        std::io::Write::write_all(&mut file, format!("{}\n", baseline.to_json()).as_bytes())
            .map_err(cannot)?;
        file.sync_all().map_err(cannot)?;
        let silent: Vec<&str> = baseline.silent().into_iter().map(|feature| feature.word()).collect();
        let record = json!({
            "agent": baseline.agent().to_string(),
            "calls": baseline.calls(),
            "digest": baseline.digest().to_hex(),
            "replaces": baseline.replaces().map(|digest| digest.to_hex()),
            "silent": silent,
            "file": self.out,
        });
        let mut answer = Answer::yes(record)
            .line(format!("{}: {} calls of agent {}", self.out.display(), baseline.calls(), baseline.agent()))
            .line(format!("digest {}", baseline.digest()));
        if !silent.is_empty() {
            answer = answer.line(format!("says nothing about: {}", silent.join(", ")));
        }
        Ok(answer)
    }
}
