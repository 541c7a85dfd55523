use std::path::PathBuf;

use clap::Args;
use kakunin_core::certificate::TrustAnchors;
use kakunin_core::verify::{self, Invalid, Place, Reason, Report, StreamSummary, Verdict};
use serde_json::{Value, json};

use super::verify_certificate::certificates;
use crate::answer::{Answer, Exit, Failure};
use crate::context::Common;

/// Verify a journal, offline: nothing but the root is believed
///
/// Takes an agent's directory, its state or its journal. The answer is never a bare "valid": COMPLETE needs somebody
/// else who saw the end of the journal, so a journal on this machine alone is at best AUTHENTIC-NOT-COMPLETE.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin verify agents/billing --root ca.pem
  kakunin verify agents/billing/state/journal --root ca.pem --json

Exit codes: 0 complete, 1 invalid, 3 authentic but not complete or empty, 2 cannot be evaluated.")]
pub(crate) struct Verify {
    /// The agent's directory, its state or its journal
    journal: PathBuf,
    /// Roots to trust; never taken from the journal itself
    #[arg(long, value_name = "FILE", required = true)]
    root: Vec<PathBuf>,
}

impl Verify {
    pub(crate) fn run(&self, _: &Common) -> Result<Answer, Failure> {
        let mut roots = Vec::new();
        for path in &self.root {
            roots.extend(certificates(path)?);
        }
        let anchors = TrustAnchors::new(roots.iter().map(Vec::as_slice)).map_err(Failure::cannot)?;
        let cannot = |error| Failure::cannot(format!("{}: {error}", self.journal.display()));
        let report = verify::journal(&self.journal, &anchors).map_err(cannot)?;
        Ok(answer(&report))
    }
}

fn answer(report: &Report) -> Answer {
    let verdict = report.verdict();
    let reasons: &[Reason] = match verdict {
        Verdict::AuthenticNotComplete(reasons) => reasons,
        _ => &[],
    };
    let invalid: Option<&Invalid> = match verdict {
        Verdict::Invalid(invalid) => Some(invalid),
        _ => None,
    };
    let record = json!({
        "verdict": verdict.word(),
        "invalid": invalid.map(fault),
        "reasons": reasons.iter().map(|reason| json!({
            "code": reason.code(), "text": reason.to_string(),
        })).collect::<Vec<Value>>(),
        "streams": report.streams().iter().map(stream).collect::<Vec<Value>>(),
    });
    let sum = |count: fn(&StreamSummary) -> u64| report.streams().iter().map(count).sum::<u64>();
    Answer::yes(record)
        .line(format!(
            "{}: {} receipts in {} streams, {} allowed, {} denied, {} outcomes",
            verdict.word(),
            sum(|stream| stream.receipts),
            report.streams().len(),
            sum(|stream| stream.allowed),
            sum(|stream| stream.denied),
            sum(|stream| stream.outcomes),
        ))
        .lines(invalid.map(ToString::to_string))
        .lines(reasons.iter().map(|reason| format!("{} [{}]", reason, reason.code())))
        .exit(match verdict.exit_code() {
            0 => Exit::Yes,
            1 => Exit::No,
            _ => Exit::NotComplete,
        })
}

fn fault(invalid: &Invalid) -> Value {
    match &invalid.place {
        Place::Receipt { stream, index } => {
            json!({ "code": invalid.code, "stream": stream.to_string(), "index": index })
        }
        Place::Member(name) => json!({ "code": invalid.code, "member": name }),
        _ => json!({ "code": invalid.code }),
    }
}

fn stream(stream: &StreamSummary) -> Value {
    json!({
        "stream": stream.stream.to_string(),
        "agent": stream.agent.map(|agent| agent.to_string()),
        "receipts": stream.receipts,
        "allowed": stream.allowed,
        "denied": stream.denied,
        "outcomes": stream.outcomes,
        "unsigned": stream.unsigned,
        "logged": stream.logged,
        "witnessed": stream.witnessed,
        "closed": stream.closed,
        "claimed_from": stream.claimed.map(|(from, _)| from.to_string()),
        "claimed_to": stream.claimed.map(|(_, to)| to.to_string()),
    })
}
