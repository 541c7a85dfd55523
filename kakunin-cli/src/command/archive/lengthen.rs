use clap::Args;
use kakunin_authority::archive::Archive;
use serde_json::{Value, json};

use super::bucket::{Counter, connect};
use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, now};

/// Keep what is stored already for as long as `use` says now
///
/// The end of each lock moves to --keep counted from when the bucket stored the version; nothing is ever shortened. Each
/// version is read back before, so that nothing else is kept for years, and after. A later `push` has the new time anyway.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin archive use s3://acme-trail --keep 7y      # MiCA: the authority asked within the five years
  kakunin archive lengthen

Exit codes: 0 everything is locked for long enough, 1 something is gone, altered, unlocked or was refused, 2 the bucket could not be
reached, 3 nothing was stored yet. It may be run again.")]
pub(crate) struct Lengthen {}

impl Lengthen {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let archive = Archive::of(&common.home());
        let target = archive.target()?;
        let open = archive.open()?;
        let bucket = connect(&target)?;
        let done = {
            let mut counter = Counter::new("looked at");
            open.lengthen(bucket.as_ref(), now(), &mut |done, total| counter.show(done, total))?
        };
        let broken: Vec<Value> = done
            .broken
            .iter()
            .map(|broken| json!({ "key": broken.key.as_str(), "code": broken.code, "why": broken.why }))
            .collect();
        let refused = done.stopped.as_ref().is_some_and(|error| error.is_refusal());
        let exit = match (done.broken.is_empty() && !refused, &done.stopped) {
            (false, _) => Exit::No,
            (true, Some(_)) => Exit::CannotEvaluate,
            (true, None) if done.lengthened + done.as_before == 0 => Exit::NotComplete,
            (true, None) => Exit::Yes,
        };
        let mut answer = Answer::yes(json!({
            "keep": target.retention.word(),
            "lengthened": done.lengthened,
            "as_before": done.as_before,
            "ended": done.ended,
            "broken": broken,
            "stopped": done.stopped.as_ref().map(ToString::to_string),
        }))
        .line(format!("longer  {} objects, for {} since they were stored", done.lengthened, target.retention))
        .line(format!("before  {} objects were locked for long enough", done.as_before))
        .lines(done.broken.iter().map(|broken| format!("broken  {} [{}]", broken.why, broken.code)))
        .exit(exit);
        if let Some(error) = done.stopped {
            answer = answer.warn(error.to_string());
        }
        Ok(answer)
    }
}
