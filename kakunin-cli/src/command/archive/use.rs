use std::path::PathBuf;

use clap::Args;
use kakunin_authority::archive::{Archive, Endpoint, Limits, Retention, Target, parse_location};
use serde_json::json;

use super::bucket::connect;
use crate::answer::{Answer, Failure};
use crate::context::{Common, now};

/// Decide where the archive is and for how long it keeps
///
/// The bucket must keep versions and have Object Lock; it is asked, and refused otherwise. Nothing can shorten the time of
/// an object once it is stored, so begin with a bucket of its own. Credentials are taken from where AWS tools look.
/// What the account may have to be allowed: s3:GetBucketVersioning, s3:GetBucketObjectLockConfiguration, s3:PutObject,
/// s3:PutObjectRetention, s3:GetObjectVersion, s3:GetObjectRetention, s3:ListBucket, s3:ListBucketVersions. It needs no
/// right to delete.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin archive use s3://acme-trail --keep 7y
  kakunin archive use s3://acme-trail/eu --keep 6m --region eu-central-1 --journal agents/billing/state/journal
  kakunin archive use s3://trail --keep 5y --endpoint https://s3.example.org

Retention: 6m the AI Act's least, 5y and 7y MiCA, 6y SEC 17a-4. Each is counted in days and never falls short.
Exit codes: 0 it can keep the archive, 1 it cannot, 2 it could not be asked.")]
pub(crate) struct Use {
    /// s3://BUCKET or s3://BUCKET/PREFIX
    place: String,
    /// For how long: 6m, 5y, 6y or 7y
    #[arg(long, value_name = "TIME")]
    keep: Retention,
    /// The region, if the environment does not say it
    #[arg(long)]
    region: Option<String>,
    /// A server that is not Amazon's; HTTPS, unless it is on this machine
    #[arg(long, value_name = "URL", value_parser = Endpoint::parse)]
    endpoint: Option<Endpoint>,
    /// The log, if it is not H/log
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// Also keep the lists that the agent of this journal used; may be repeated
    #[arg(long, value_name = "DIR")]
    journal: Vec<PathBuf>,
    /// Raise the alarm when more objects wait
    #[arg(long, value_name = "N", default_value_t = Limits::default().objects)]
    alarm_objects: u64,
    /// Raise the alarm when more bytes wait
    #[arg(long, value_name = "N", default_value_t = Limits::default().bytes)]
    alarm_bytes: u64,
    /// Raise the alarm when something waits for longer
    #[arg(long, value_name = "HOURS", default_value_t = Limits::default().hours)]
    alarm_hours: u64,
}

impl Use {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let (bucket, prefix) = parse_location(&self.place).map_err(Failure::usage)?;
        let target = Target {
            bucket,
            prefix,
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            retention: self.keep,
            log: self.log.as_ref().map(absolute).transpose()?,
            journals: self.journal.iter().map(absolute).collect::<Result<_, _>>()?,
            limits: Limits { objects: self.alarm_objects, bytes: self.alarm_bytes, hours: self.alarm_hours },
        };
        let archive = Archive::of(&common.home());
        let open = archive.open()?;
        open.use_target(&target, connect(&target)?.as_ref(), now())?;
        Ok(Answer::yes(json!({
            "bucket": target.bucket.as_str(),
            "prefix": target.prefix,
            "keep": target.retention.word(),
            "days": target.retention.days(),
        }))
        .line(format!("archive in {} for {} days", self.place, target.retention.days()))
        .line("next    kakunin archive push, once an hour"))
    }
}

/// It is read again from wherever `push` runs.
fn absolute(path: &PathBuf) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}
