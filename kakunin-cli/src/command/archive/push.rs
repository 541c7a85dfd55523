use clap::Args;
use kakunin_authority::archive::{Archive, Pushed};
use serde_json::{Value, json};

use super::bucket::{Counter, connect};
use super::status;
use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, now};

/// Store what is new, and read it back
///
/// Copies what is new into H/archive/outbox, stores it under COMPLIANCE, reads lock, checksum and bytes of each stored
/// version back, and records it in H/archive/inventory. What could not be stored stays in the outbox for the next push.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin archive push
  17 * * * * cd /srv/billing && kakunin archive push --json        # a line of a crontab

Exit codes: 0 everything is stored, 1 something was refused or too much waits, 2 the bucket could not be reached.")]
pub(crate) struct Push {}

impl Push {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let archive = Archive::of(&common.home());
        let target = archive.target()?;
        let open = archive.open()?;
        // Collected before the bucket is asked: what is copied cannot be lost while the bucket is away.
        let collected = open.collect(now());
        let bucket = connect(&target)?;
        let pushed = {
            let mut counter = Counter::new("stored");
            open.push(bucket.as_ref(), &now, &mut |done, total| counter.show(done, total))
        };
        drop(open);
        let survey = archive.survey()?;
        let alarm = survey.backlog.alarm(&target.limits, now());
        let (pushed, unreached) = match pushed {
            Ok(pushed) => (pushed, None),
            Err(error) => (Pushed::default(), Some(error)),
        };
        let stopped = unreached.as_ref().map(ToString::to_string);
        let stopped = stopped.or_else(|| pushed.stopped.as_ref().map(ToString::to_string));
        let is_refusal = unreached.as_ref().is_some_and(|error| error.is_refusal())
            || pushed.stopped.as_ref().is_some_and(|error| error.is_refusal())
            || collected.as_ref().is_err_and(|error| error.is_refusal())
            || !pushed.refused.is_empty();
        let exit = match (is_refusal, stopped.is_some() || collected.is_err(), alarm.is_some()) {
            (true, _, _) => Exit::No,
            (false, true, _) => Exit::CannotEvaluate,
            (false, false, alarm) => {
                if alarm {
                    Exit::No
                } else {
                    Exit::Yes
                }
            }
        };
        let refused: Vec<Value> = pushed
            .refused
            .iter()
            .map(|refused| json!({ "key": refused.key.as_str(), "why": refused.why }))
            .collect();
        let obstacle = collected.as_ref().err().map(ToString::to_string);
        let mut answer = Answer::yes(json!({
            "collected": collected.as_ref().ok(),
            "kept": pushed.kept,
            "bytes": pushed.bytes,
            "refused": refused,
            "held_back": pushed.held_back,
            "stopped": stopped,
            "obstacle": obstacle,
            "backlog": status::backlog(&survey.backlog),
            "alarm": status::alarm(alarm.as_ref()),
        }))
        .line(format!("stored  {} objects, {} bytes, read back", pushed.kept, pushed.bytes))
        .line(format!("waiting {} objects, {} bytes", survey.backlog.objects(), survey.backlog.bytes))
        .exit(exit);
        let refusals = pushed.refused.iter().map(|refused| format!("{}: {}", refused.key, refused.why));
        let alarm = alarm.map(|alarm| format!("{alarm} [{}]", alarm.code()));
        for warning in refusals.chain(obstacle).chain(stopped).chain(alarm) {
            answer = answer.warn(warning);
        }
        Ok(answer)
    }
}
