//! `kakunin audit`: what was ordered, as a file that a stranger can check.

mod export;
mod verify;

use clap::Subcommand;

use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Export the audit log, and check an export
///
/// An export has the orders of a tenant with what came of them, in the chain of hashes in which the authority keeps
/// them, and ends with a statement that the issuing authority signed.
#[derive(Subcommand)]
#[command(after_help = "\
Examples:
  kakunin audit export --out audit.jsonl
  curl -H \"Authorization: Bearer $KAKUNIN_TOKEN\" $URL/v1/audit-log/export > audit.jsonl
  kakunin audit verify audit.jsonl --root ca.pem
  kakunin audit verify friday.jsonl --root ca.pem --after monday.jsonl      # and nothing of Monday's was rewritten")]
pub(crate) enum Audit {
    Export(export::Export),
    Verify(verify::Verify),
}

impl Audit {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        match self {
            Self::Export(command) => command.run(common),
            Self::Verify(command) => command.run(common),
        }
    }
}
