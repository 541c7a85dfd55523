use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use kakunin_authority::files::{Readers, replace};
use kakunin_core::certificate::TrustAnchors;
use kakunin_core::report::Inquiry;
use kakunin_core::suggest::Observed;
use kakunin_core::verify::Verdict;
use serde_json::json;

use super::verify_certificate::certificates;
use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Scopes: what an agent may do
#[derive(Subcommand)]
pub(crate) enum Scope {
    Suggest(Suggest),
}

impl Scope {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        match self {
            Self::Suggest(command) => command.run(common),
        }
    }
}

/// Write the narrowest scope that allows what an agent was seen to do
///
/// Let the agent run in observe mode for a week, then read what it did: actions, amounts, counterparties, resources, hours
/// and the rate become a scope file. The same calls are put before it, and before the present scope, and what either denies
/// is counted. Values that are not disclosed are not guessed. Read the file before you certify by it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin scope suggest --journal agents/billing --out scope.toml
  kakunin scope suggest --journal incident.zip --root ca.pem")]
pub(crate) struct Suggest {
    /// The directory of an agent, its state or its journal, or a bundle
    #[arg(long, value_name = "DIR|FILE")]
    journal: PathBuf,
    /// Roots to trust; else the one in the agent's directory
    #[arg(long, value_name = "FILE")]
    root: Vec<PathBuf>,
    /// Where the scope goes; else it is printed
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Suggest {
    fn run(&self, _: &Common) -> Result<Answer, Failure> {
        let own = self.journal.join("ca.pem");
        let paths = if self.root.is_empty() && own.is_file() { vec![own] } else { self.root.clone() };
        if paths.is_empty() {
            return Err(Failure::usage(
                "there is no ca.pem beside these receipts; name the roots to trust with --root",
            ));
        }
        let mut roots = Vec::new();
        for path in &paths {
            roots.extend(certificates(path)?);
        }
        let anchors = TrustAnchors::new(roots.iter().map(Vec::as_slice)).map_err(Failure::cannot)?;
        let mut observed = Observed::default();
        let account = Inquiry::by(anchors).of(&self.journal, &[], &mut observed)?;
        if let Verdict::Invalid(invalid) = account.report().verdict() {
            return Err(Failure::no(format!(
                "these receipts are not right, so nothing follows from them: {invalid}"
            )));
        }
        let suggestion = observed.suggest().map_err(Failure::cannot)?;
        if let Some(out) = &self.out {
            replace(out, suggestion.toml().as_bytes(), Readers::Everyone)?;
        }
        let record = json!({
            "agent": suggestion.agent().to_string(),
            "calls": suggestion.calls(),
            "denied_before": suggestion.denied_before(),
            "denied_now": suggestion.denied_now(),
            "unseen": suggestion.unseen(),
            "out": self.out.as_ref().map(|out| out.display().to_string()),
            "scope": suggestion.toml(),
        });
        let said = format!(
            "of {} calls that ran, the present scope denied {} and this one would deny {}",
            suggestion.calls(),
            counted(suggestion.denied_before()),
            counted(suggestion.denied_now()),
        );
        let answer = Answer::yes(record);
        Ok(match &self.out {
            Some(out) => {
                let unseen = suggestion.unseen().iter().map(|what| format!("not seen: {what}"));
                answer
                    .line(format!("{} for agent {}", out.display(), suggestion.agent()))
                    .line(said)
                    .lines(unseen)
            }
            // The file alone, so that it can be kept by `>`; its comments say what was not seen.
            None => answer.line(suggestion.toml().trim_end()).line(format!("\n# {said}")),
        })
    }
}

fn counted(denied: &BTreeMap<String, u64>) -> String {
    let total: u64 = denied.values().sum();
    let by_code: Vec<String> = denied.iter().map(|(code, many)| format!("{many} as {code}")).collect();
    if by_code.is_empty() { total.to_string() } else { format!("{total} ({})", by_code.join(", ")) }
}
