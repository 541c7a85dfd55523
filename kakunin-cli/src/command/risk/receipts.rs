use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use kakunin_core::report::write_receipts;
use serde_json::json;

use super::history;
use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Write a journal as a file of receipts, one a line, with its certificates and what is disclosed
///
/// Whoever reads it checks every signature; nothing is verified here. Receipts under a seal need a bundle (`kakunin export`).
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin risk receipts agents/billing --out receipts.jsonl")]
pub(crate) struct Receipts {
    /// An agent's directory, its state or its journal
    #[arg(value_name = "DIR")]
    journal: PathBuf,
    /// Where it goes; what stands there is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Receipts {
    pub(crate) fn run(&self, _: &Common) -> Result<Answer, Failure> {
        let cannot = |error: std::io::Error| Failure::cannot(format!("{}: {error}", self.out.display()));
        let mut out = BufWriter::new(File::create_new(&self.out).map_err(cannot)?);
        let written = write_receipts(&self.journal, &mut out).map_err(history)?;
        out.flush().map_err(cannot)?;
        Ok(Answer::yes(json!({ "file": self.out, "receipts": written }))
            .line(format!("{}: {written} receipts", self.out.display())))
    }
}
