use clap::Args;
use kakunin_authority::archive::Archive;
use serde_json::{Value, json};

use super::bucket::{Counter, connect};
use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, now};

/// Read everything back that the inventory records
///
/// Asks for each version by its identifier: its lock, its checksum and its bytes. A delete marker or a newer version on top
/// of it changes nothing. It reads what the bucket holds, so it costs what S3 asks for reading.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin archive verify
  kakunin archive verify --json

Exit codes: 0 all of it is kept, 1 something is gone, altered, unlocked or locked for less, 2 the bucket could not be
reached, 3 nothing was stored yet.")]
pub(crate) struct Verify {}

impl Verify {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let archive = Archive::of(&common.home());
        let target = archive.target()?;
        let bucket = connect(&target)?;
        let audit = {
            let mut counter = Counter::new("read back");
            archive.audit(bucket.as_ref(), now(), &mut |done, total| counter.show(done, total))?
        };
        let broken: Vec<Value> = audit
            .broken
            .iter()
            .map(|broken| json!({ "key": broken.key.as_str(), "code": broken.code, "why": broken.why }))
            .collect();
        let exit = match (audit.broken.is_empty(), &audit.stopped) {
            (false, _) => Exit::No,
            (true, Some(error)) => {
                if error.is_refusal() {
                    Exit::No
                } else {
                    Exit::CannotEvaluate
                }
            }
            (true, None) if audit.kept == 0 => Exit::NotComplete,
            (true, None) => Exit::Yes,
        };
        let mut answer = Answer::yes(json!({
            "kept": audit.kept,
            "bytes": audit.bytes,
            "ended": audit.ended,
            "elsewhere": audit.elsewhere,
            "broken": broken,
            "stopped": audit.stopped.as_ref().map(ToString::to_string),
        }))
        .line(format!("kept    {} objects, {} bytes, each read back", audit.kept, audit.bytes))
        .lines((audit.ended > 0).then(|| format!("ended   {} objects, free to go", audit.ended)))
        .lines(
            (audit.elsewhere > 0)
                .then(|| format!("unasked {} objects, in buckets before this one", audit.elsewhere)),
        )
        .lines(audit.broken.iter().map(|broken| format!("broken  {} [{}]", broken.why, broken.code)))
        .exit(exit);
        if let Some(error) = audit.stopped {
            answer = answer.warn(error.to_string());
        }
        Ok(answer)
    }
}
