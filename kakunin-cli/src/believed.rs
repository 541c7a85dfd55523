//! Whom a command believes: roots, keys of logs and witnesses are named on the command line and come from nowhere else.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use kakunin_core::certificate::{AgentCertificate, TrustAnchors};
use kakunin_core::digest::Digest;
use kakunin_core::log::{VerifierKey, WitnessPolicy};
use kakunin_core::report::Inquiry;
use kakunin_core::scope::{NameList, NameLists};

use crate::answer::Failure;
use crate::command::{certificates, lists};
use crate::context::{read, read_text};

/// Whom to believe.
#[derive(Args)]
pub(crate) struct Believed {
    /// Roots to trust; never taken from what is verified
    #[arg(long, value_name = "FILE")]
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
}

fn log_key(text: &str) -> Result<VerifierKey, String> {
    VerifierKey::parse(text).map_err(|error| error.to_string())
}

impl Believed {
    /// The inquiry of whoever believes these.
    pub(crate) fn inquiry(&self) -> Result<Inquiry, Failure> {
        if self.root.is_empty() {
            return Err(Failure::usage("nobody to believe; pass --root FILE"));
        }
        let mut roots = Vec::new();
        let mut files = Vec::new();
        for path in &self.root {
            let found = certificates(path)?;
            let agent = |der: &Vec<u8>| AgentCertificate::decode(der).is_ok();
            if found.iter().any(agent) {
                return Err(Failure::cannot(format!(
                    "{} has an agent's certificate in it and is no root; the root is `ca.pem`, in the agent's directory and in the home's `public`",
                    path.display()
                )));
            }
            files.extend(found.iter().map(|der| (Digest::of(der), path)));
            roots.extend(found);
        }
        let anchors = TrustAnchors::new(roots.iter().map(Vec::as_slice)).map_err(Failure::cannot)?;
        let inquiry = Inquiry::by(anchors)
            .log_keys(self.log_key.clone())
            .witnesses(self.policies()?)
            .lists(lists(&self.crl)?)
            .logs(self.log.clone());
        Ok(files.into_iter().fold(inquiry, |inquiry, (root, file)| inquiry.root_file(root, file)))
    }

    /// The files of the roots, as they were named.
    pub(crate) fn root_names(&self) -> String {
        let names: Vec<_> = self.root.iter().map(|path| path.display().to_string()).collect();
        names.join(", ")
    }

    /// Whether a witness is believed, and not the keepers of logs alone.
    pub(crate) const fn has_witnesses(&self) -> bool {
        !self.witness_policy.is_empty()
    }

    fn policies(&self) -> Result<Vec<WitnessPolicy>, Failure> {
        let parse = |path: &PathBuf| {
            let cannot = |error| Failure::cannot(format!("{}: {error}", path.display()));
            WitnessPolicy::parse(read(path)?).map_err(cannot)
        };
        self.witness_policy.iter().map(parse).collect()
    }
}

/// The lists of names in `folders`: `<root>.txt` as in an agent's directory.
pub(crate) fn names(folders: &[PathBuf]) -> Result<NameLists, Failure> {
    let mut lists = NameLists::default();
    for folder in folders {
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
