use std::path::PathBuf;

use clap::Args;
use kakunin_core::report::{Account, Told, keep};

use crate::answer::{Answer, Exit, Failure};
use crate::believed::{Believed, names};
use crate::context::Common;
use crate::progress::Progress;

/// Verify journals or a bundle, offline: nothing but what you name is believed
///
/// Takes a bundle, or an agent's directory, its state or its journal. The answer is never a bare "valid": COMPLETE needs
/// somebody else who saw the end, a witness of your policy or a log whose key you have, so a journal on this machine alone
/// is at best AUTHENTIC-NOT-COMPLETE.
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
        answer.exit(match account.report().verdict().exit_code() {
            0 => Exit::Yes,
            1 => Exit::No,
            _ => Exit::NotComplete,
        })
    }
}
