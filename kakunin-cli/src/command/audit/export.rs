use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use kakunin_authority::access::ActorKind;
use kakunin_authority::audit_export::{AuditFormat, AuditSelection};
use kakunin_authority::store::AuditValue;
use kakunin_core::time::UnixTime;
use serde_json::json;

use super::super::verify_certificate::time;
use crate::answer::{Answer, Failure};
use crate::context::{Common, now};

/// Write the audit log into a file
///
/// While the authority is served, ask it: GET /v1/audit-log/export.
///
/// --without leaves values out, such as the words of whoever gave an order: the file holds commitments in their places, still
/// verifies, and does not give away what it hides. Rows that were written before values could be left out are then withheld.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin audit export --out audit.jsonl
  kakunin audit export --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --csv --out november.csv
  kakunin audit export --without text --without address --out for-strangers.jsonl")]
pub(crate) struct Export {
    /// The file, which must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// For a spreadsheet: comma-separated values, of which the signature is checked and not each row
    #[arg(long)]
    csv: bool,
    /// Orders given at this time or later
    #[arg(long, value_name = "RFC3339", value_parser = time)]
    from: Option<UnixTime>,
    /// Orders given before this time
    #[arg(long, value_name = "RFC3339", value_parser = time)]
    to: Option<UnixTime>,
    /// Orders of one kind, such as agent.revoke
    #[arg(long, value_name = "WORD")]
    event_type: Option<String>,
    /// Orders given by local, authority, api_key, agent or token
    #[arg(long, value_name = "WORD", value_parser = kind)]
    actor_type: Option<ActorKind>,
    /// Leave this out of every row: actor, address, subject, before, after, text; may be given more than once
    #[arg(long, value_name = "VALUE", value_parser = value)]
    without: Vec<AuditValue>,
}

fn value(word: &str) -> Result<AuditValue, String> {
    AuditValue::from_word(word)
        .ok_or_else(|| "has to be actor, address, subject, before, after or text".into())
}

fn kind(word: &str) -> Result<ActorKind, String> {
    ActorKind::from_word(word).ok_or_else(|| "has to be local, authority, api_key, agent or token".into())
}

impl Export {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let selection = AuditSelection {
            tenant: authority.tenant().clone(),
            from: self.from,
            to: self.to,
            what: self.event_type.clone(),
            kind: self.actor_type,
            without: AuditValue::ALL.into_iter().filter(|value| self.without.contains(value)).collect(),
        };
        let format = if self.csv { AuditFormat::Csv } else { AuditFormat::Lines };
        let cannot = |error: std::io::Error| Failure::cannot(format!("{}: {error}", self.out.display()));
        let file =
            std::fs::OpenOptions::new().write(true).create_new(true).open(&self.out).map_err(cannot)?;
        let mut file = std::io::BufWriter::new(file);
        let exported = authority.export_audit(selection, format, now(), &mut |page| file.write_all(page));
        let written = match exported {
            Ok(written) => {
                file.flush().and_then(|()| file.get_ref().sync_all()).map(|()| written).map_err(cannot)
            }
            Err(error) => Err(Failure::from(error)),
        };
        // Half a file is none.
        let head = written.inspect_err(|_| drop(std::fs::remove_file(&self.out)))?;
        Ok(Answer::yes(json!({ "file": self.out, "rows": head.rows, "hash": head.hash.to_hex() }))
            .line(format!(
                "exported to {}: {} rows, the last one {}",
                self.out.display(),
                head.rows,
                head.hash
            ))
            .line(format!("next   kakunin audit verify {} --root ca.pem", self.out.display())))
    }
}
