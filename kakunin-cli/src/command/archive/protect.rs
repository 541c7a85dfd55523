use std::path::PathBuf;

use clap::Args;
use kakunin_authority::archive::append_only::{self, AppendOnlyError, Change};
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Make closed files append-only on this machine (chattr +a)
///
/// An advisory layer under the archive: no account but root can overwrite, cut, rename or remove such a file, and root has
/// to release it first. It needs root and a file system that knows the attribute, such as ext4. Full tiles and bundles of
/// the log are protected; with --journal also the segments of closed streams, which then cannot be erased from.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sudo kakunin archive protect --home /srv/billing/.kakunin
  sudo kakunin archive protect --journal agents/billing/state/journal
  sudo kakunin archive protect --undo     # before the directory is moved, restored or erased from

Exit codes: 0 done, 1 not root, 2 the file system knows no such attribute.")]
pub(crate) struct Protect {
    /// The log, if it is not H/log
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// Also a journal's closed segments; may be repeated
    #[arg(long, value_name = "DIR")]
    journal: Vec<PathBuf>,
    /// Release the files again
    #[arg(long)]
    undo: bool,
}

impl Protect {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let log = self.log.clone().unwrap_or_else(|| common.home.join("log"));
        let (change, verb) = match self.undo {
            false => (Change::Protect, "append-only"),
            true => (Change::Release, "released"),
        };
        let changed = append_only::apply(&log, &self.journal, change).map_err(|error| match error {
            AppendOnlyError::NotAllowed { .. } => Failure::no(error),
            _ => Failure::cannot(error),
        })?;
        Ok(Answer::yes(json!({ "changed": changed.changed, "as_before": changed.as_before }))
            .line(format!("{verb}: {} files, {} were before", changed.changed, changed.as_before)))
    }
}
