use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Args;
use kakunin_authority::audit_export::{AuditFileError, CheckedAudit, verify};
use kakunin_authority::store::AuditHead;
use kakunin_core::certificate::TrustAnchors;
use serde_json::{Value, json};

use super::super::verify_certificate::certificates;
use crate::answer::{Answer, Exit, Failure, one_line};
use crate::context::Common;

/// Check an export of the audit log, without the authority
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin audit verify audit.jsonl --root ca.pem
  kakunin audit verify friday.jsonl --root ca.pem --after monday.jsonl --json")]
pub(crate) struct Verify {
    /// The file
    file: PathBuf,
    /// Roots to trust, in PEM
    #[arg(long, value_name = "FILE", required = true)]
    root: Vec<PathBuf>,
    /// An earlier export: the log has to go on from where that ends
    #[arg(long, value_name = "FILE")]
    after: Option<PathBuf>,
}

impl Verify {
    pub(crate) fn run(&self, _: &Common) -> Result<Answer, Failure> {
        let mut roots = Vec::new();
        for path in &self.root {
            roots.extend(certificates(path)?);
        }
        let anchors = TrustAnchors::new(roots.iter().map(Vec::as_slice));
        let anchors = anchors.map_err(|error| Failure::cannot(error.to_string()))?;
        let earlier = match &self.after {
            None => None,
            Some(path) => match look(path, &anchors, None)? {
                Ok(checked) => Some(checked.head),
                Err(error) => return Ok(no(path, &error)),
            },
        };
        Ok(match look(&self.file, &anchors, earlier)? {
            Ok(checked) => yes(&checked),
            Err(error) => no(&self.file, &error),
        })
    }
}

fn look(
    path: &Path,
    anchors: &TrustAnchors,
    earlier: Option<AuditHead>,
) -> Result<Result<CheckedAudit, AuditFileError>, Failure> {
    let cannot = |error: &std::io::Error| Failure::cannot(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(|error| cannot(&error))?;
    match verify(BufReader::new(file), anchors, earlier) {
        Err(AuditFileError::Io(error)) => Err(cannot(&error)),
        Err(_) if !is_export(path).map_err(|error| cannot(&error))? => Err(Failure::cannot(format!(
            "{} is no export of an audit log; `kakunin audit export` writes one",
            path.display()
        ))),
        Err(AuditFileError::Earlier) => Err(Failure::cannot(AuditFileError::Earlier.to_string())),
        looked => Ok(looked),
    }
}

/// Whether the file is an export, or what is left of one: it begins with JSON or with the columns of a spreadsheet, ends
/// with a line of JSON, or is empty. One that was changed or cut is; anything else is another file, and accuses nobody.
fn is_export(path: &Path) -> std::io::Result<bool> {
    let text = std::fs::read(path)?;
    let begins = text.first().is_none_or(|octet| *octet == b'{')
        || BEGIN.starts_with(text.get(..BEGIN.len()).unwrap_or(&text))
        || text.windows(COLUMNS.len()).any(|piece| piece == COLUMNS);
    let last = text.rsplit(|octet| *octet == b'\n').find(|line| !line.is_empty());
    let is_row = |line: &[u8]| serde_json::from_slice::<serde_json::Map<_, Value>>(line).is_ok();
    Ok(begins || last.is_some_and(is_row))
}

/// How a spreadsheet begins, and how it goes on if that was changed.
const BEGIN: &[u8] = b"number,";
const COLUMNS: &[u8] = b",kind,at,actor,";

fn yes(checked: &CheckedAudit) -> Answer {
    let [from, to, event_type, actor_type] = &checked.chosen;
    let chosen = checked.chosen.iter().any(Option::is_some);
    let answer = Answer::yes(json!({
        "valid": true,
        "tenant": checked.tenant,
        "exported_at": checked.exported_at.to_string(),
        "rows": checked.head.rows,
        "hash": checked.head.hash.to_hex(),
        "shown": checked.shown,
        "withheld": checked.withheld,
        "without_outcome": checked.open,
        "without": checked.without,
        "from": from, "to": to, "event_type": event_type, "actor_type": actor_type,
        "issuer": checked.issuer.to_hex(),
    }))
    .line(format!("yes: signed by {} at {}", checked.issuer, checked.exported_at))
    .line(format!("tenant   {}", one_line(&checked.tenant)))
    .line(format!("log      {} rows, the last one {}", checked.head.rows, checked.head.hash))
    .line(format!(
        "here     {} of them{}",
        checked.shown,
        if chosen { ", by what was asked for" } else { "" }
    ));
    let answer = match checked.without.is_empty() {
        true => answer,
        false => answer.line(format!("without  {}", one_line(&checked.without.join(", ")))),
    };
    match checked.open {
        Some(open) if open > 0 => {
            answer.line(format!("open     {open} orders of which nobody says what came"))
        }
        _ => answer,
    }
}

fn no(path: &Path, error: &AuditFileError) -> Answer {
    Answer::yes(json!({ "valid": false, "file": path, "what": error.to_string() }))
        .line(format!("no: {}: {error}", path.display()))
        .exit(Exit::No)
}
