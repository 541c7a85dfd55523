use clap::Args;
use kakunin_authority::archive::{Alarm, Archive, Backlog};
use serde_json::{Value, json};

use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, now};

/// Say what is stored and what waits
///
/// Reads this machine only. Waiting is what lies in the outbox and what nobody collected yet, so that a push which never
/// runs is noticed too.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin archive status
  kakunin archive status --json     # backlog.objects, backlog.bytes and backlog.oldest_seconds for a gauge

Exit codes: 0 nothing is wrong, 1 the alarm is raised or a source cannot be archived.")]
pub(crate) struct Status {}

impl Status {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let archive = Archive::of(&common.home());
        let target = archive.target()?;
        let inventory = archive.inventory()?;
        let survey = archive.survey()?;
        let at = now();
        let alarm = survey.backlog.alarm(&target.limits, at);
        let obstacle = survey.obstacle.map(|error| error.to_string());
        let place = target.place();
        let (kept, bytes) = inventory
            .records()
            .iter()
            .filter(|record| record.bucket == place)
            .fold((0_u64, 0_u64), |(count, bytes), record| (count + 1, bytes.saturating_add(record.size)));
        let mut answer = Answer::yes(json!({
            "bucket": target.bucket.as_str(),
            "prefix": target.prefix,
            "keep": target.retention.word(),
            "kept": { "objects": kept, "bytes": bytes },
            "backlog": backlog(&survey.backlog),
            "alarm": self::alarm(alarm.as_ref()),
            "obstacle": obstacle,
        }))
        .line(format!("s3://{}/{} for {}", target.bucket, target.prefix, target.retention))
        .line(format!("stored  {kept} objects, {bytes} bytes"))
        .line(format!("waiting {} objects, {} bytes", survey.backlog.objects(), survey.backlog.bytes))
        .exit(if alarm.is_some() || obstacle.is_some() { Exit::No } else { Exit::Yes });
        for warning in obstacle.into_iter().chain(alarm.map(|alarm| format!("{alarm} [{}]", alarm.code()))) {
            answer = answer.warn(warning);
        }
        Ok(answer)
    }
}

/// The gauge.
pub(super) fn backlog(backlog: &Backlog) -> Value {
    let oldest = backlog.since.map(|since| (now().seconds() - since.seconds()).max(0));
    json!({
        "objects": backlog.objects(),
        "queued": backlog.queued,
        "uncollected": backlog.uncollected,
        "bytes": backlog.bytes,
        "oldest_seconds": oldest.unwrap_or(0),
    })
}

pub(super) fn alarm(alarm: Option<&Alarm>) -> Value {
    alarm.map_or(Value::Null, |alarm| json!({ "code": alarm.code(), "text": alarm.to_string() }))
}
