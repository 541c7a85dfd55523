use std::path::PathBuf;

use clap::Args;
use kakunin_core::report::{Account, Told, keep};
use kakunin_core::verify::Verdict;

use crate::answer::{Answer, Exit, Failure};
use crate::believed::{Believed, names};
use crate::context::Common;
use crate::progress::Progress;

/// Verify journals or a bundle, offline: nothing but what you name is believed
///
/// Takes a bundle, or an agent's directory, its state or its journal. The answer is never a bare "valid": COMPLETE needs
/// the end in a log, seen by a witness of your policy, or by whoever keeps the log whose key you gave: then it is as true as
/// that keeper is, who could have made another log. With your own log key it says that nothing was lost, and nothing to
/// anybody else. A journal alone is at best AUTHENTIC-NOT-COMPLETE.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin verify incident.zip --root ca.pem --log-key KEY
  kakunin verify incident.zip --root a.pem --root b.pem --log-key K1 --log-key K2 --witness-policy w.txt --replay
  kakunin verify incident.zip --root ca.pem --log-key KEY --html incident.html
  kakunin verify agents/billing --root ca.pem --log .kakunin/log --log-key KEY --json

Exit codes: 0 complete, 1 invalid, 3 authentic but not complete or empty, 2 cannot be evaluated.")]
pub(crate) struct Verify {
    /// A bundle, or an agent's directory, its state or its journal
    #[arg(value_name = "BUNDLE|DIR")]
    what: PathBuf,
    /// Another journal, to be verified with the first
    #[arg(long, value_name = "DIR")]
    journal: Vec<PathBuf>,
    #[command(flatten)]
    believed: Believed,
    /// Decide again what the receipts record, by the scope in the certificate and the disclosed values
    #[arg(long)]
    replay: bool,
    /// Lists of names that scopes refer to, for --replay: `<root>.txt` as in an agent's directory
    #[arg(long, value_name = "DIR", requires = "replay")]
    names: Vec<PathBuf>,
    /// Tell what happened, receipt by receipt; for a bundle of one chain it is told anyway
    #[arg(long)]
    timeline: bool,
    /// Also draw what was found as one page for a browser: no script, no request, nothing beside it
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Verify {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let mut inquiry = self.believed.inquiry()?;
        if self.replay {
            inquiry = inquiry.replay(names(&self.names)?);
        }
        let mut progress = Progress::new(common.json);
        let account = inquiry.of(&self.what, &self.journal, &mut progress);
        progress.end();
        let account = account?;
        if let Some(path) = &self.html {
            keep(path, account.to_page()).map_err(Failure::cannot)?;
        }
        Ok(self.answer(&account))
    }

    fn answer(&self, account: &Account) -> Answer {
        let told = if self.timeline { Told::Always } else { Told::OneChain };
        let answer = Answer::yes(account.to_record(told)).lines(account.to_lines(told));
        let answer = account.notes().iter().fold(answer, |answer, note| answer.warn(note));
        let answer = match account.report().verdict() {
            Verdict::Complete if !self.believed.has_witnesses() => answer.warn(
                "COMPLETE by the word of whoever keeps the log: no witness was asked (--witness-policy), so a log that its keeper made anew is not told from the first one",
            ),
            // The commonest mistake of a verifier looks like tampering.
            Verdict::Invalid(invalid) if invalid.code == "receipt.certificate" => answer.warn(format!(
                "the same is found where --root names another authority than the agents have; given was {}",
                self.believed.root_names()
            )),
            _ => answer,
        };
        answer.exit(match account.report().verdict().exit_code() {
            0 => Exit::Yes,
            1 => Exit::No,
            _ => Exit::NotComplete,
        })
    }
}
