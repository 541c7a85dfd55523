use std::fs;
use std::path::PathBuf;

use clap::Args;
use kakunin_core::certificate::TrustAnchors;
use kakunin_core::digest::Digest;
use kakunin_core::log::{VerifierKey, WitnessPolicy};
use kakunin_core::report::{Account, Inquiry, Told, keep};
use kakunin_core::scope::{NameList, NameLists};

use super::verify_certificate::{certificates, lists};
use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, read, read_text};
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
    /// Roots to trust; never taken from what is verified
    #[arg(long, value_name = "FILE", required = true)]
    root: Vec<PathBuf>,
    /// The key of a log, as its owner gives it to you; you believe that it shows everybody the same
    #[arg(long, value_name = "KEY", value_parser = log_key)]
    log_key: Vec<VerifierKey>,
    /// Witnesses to believe: a tlog-policy file
    #[arg(long, value_name = "FILE")]
    witness_policy: Vec<PathBuf>,
    /// A log that holds receipts of the journals; a bundle has its proofs in it
    #[arg(long, value_name = "DIR")]
    log: Vec<PathBuf>,
    /// Revocation lists of your own, in PEM: whoever made the bundle may have left out the newest
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
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

fn log_key(text: &str) -> Result<VerifierKey, String> {
    VerifierKey::parse(text).map_err(|error| error.to_string())
}

impl Verify {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let mut roots = Vec::new();
        let mut files = Vec::new();
        for path in &self.root {
            let found = certificates(path)?;
            files.extend(found.iter().map(|der| (Digest::of(der), path)));
            roots.extend(found);
        }
        let anchors = TrustAnchors::new(roots.iter().map(Vec::as_slice)).map_err(Failure::cannot)?;
        let mut inquiry = Inquiry::by(anchors)
            .log_keys(self.log_key.clone())
            .witnesses(self.policies()?)
            .lists(lists(&self.crl)?)
            .logs(self.log.clone());
        if self.replay {
            inquiry = inquiry.replay(self.names()?);
        }
        for (root, file) in files {
            inquiry = inquiry.root_file(root, file);
        }
        let mut progress = Progress::new(common.json);
        let account = inquiry.of(&self.what, &self.journal, &mut progress);
        progress.end();
        let account = account?;
        if let Some(path) = &self.html {
            keep(path, &account.to_page()).map_err(Failure::cannot)?;
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

    fn policies(&self) -> Result<Vec<WitnessPolicy>, Failure> {
        let parse = |path: &PathBuf| {
            let cannot = |error| Failure::cannot(format!("{}: {error}", path.display()));
            WitnessPolicy::parse(read(path)?).map_err(cannot)
        };
        self.witness_policy.iter().map(parse).collect()
    }

    fn names(&self) -> Result<NameLists, Failure> {
        let mut lists = NameLists::default();
        for folder in &self.names {
            let cannot =
                |error: &dyn std::fmt::Display| Failure::cannot(format!("{}: {error}", folder.display()));
            for entry in fs::read_dir(folder).map_err(|error| cannot(&error))? {
                let path = entry.map_err(|error| cannot(&error))?.path();
                if path.extension().is_some_and(|kind| kind == "txt") {
                    lists.insert(NameList::parse(&read_text(&path)?).map_err(|error| cannot(&error))?);
                }
            }
        }
        Ok(lists)
    }
}
