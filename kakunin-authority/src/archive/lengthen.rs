//! Keeping for longer what is stored already: an authority asked, or the law changed.
//!
//! The new end is counted from the moment at which the bucket says that it stored the version, so nothing is kept longer
//! than what is stored today. What is not as recorded is not locked for years more on its word. A lock is never
//! shortened; nobody could.

use std::ops::ControlFlow;

use kakunin_core::time::UnixTime;

use super::audit::{Broken, broken};
use super::bucket::{Bucket, BucketError};
use super::crew;
use super::inventory::{InventoryError, InventoryWriter, Record};
use super::keep::{Claim, KeepError, confirm};
use super::object::Kept;
use super::retention::Retention;

/// What became of the locks.
#[derive(Clone, Debug, Default)]
#[must_use = "says what is not kept for longer"]
pub struct Lengthened {
    /// Versions that are locked for longer now.
    pub lengthened: u64,
    /// Versions that were locked for long enough.
    pub as_before: u64,
    /// Versions whose time had come and that are gone.
    pub ended: u64,
    /// Versions that are not as recorded, or whose lock stays as it was.
    pub broken: Vec<Broken>,
    /// Why it ended early.
    pub stopped: Option<BucketError>,
}

/// Lengthens the locks of `records`, and records each new end.
pub(super) fn lengthen(
    bucket: &dyn Bucket,
    records: &[&Record],
    retention: Retention,
    now: UnixTime,
    inventory: &mut InventoryWriter,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Lengthened, InventoryError> {
    let (mut lengthened, mut done, mut failed) = (Lengthened::default(), 0, None);
    let ask = |record: &&Record| lengthen_one(bucket, record, retention, now);
    crew::each(records, &ask, &mut |record, asked| {
        done += 1;
        progress(done, records.len() as u64);
        match asked {
            Ok(None) => lengthened.as_before += 1,
            Ok(Some(kept)) if failed.is_none() => match inventory.record(bucket.name(), &[kept]) {
                Ok(()) => lengthened.lengthened += 1,
                Err(error) => failed = Some(error),
            },
            Ok(Some(_)) => {}
            Err(KeepError::Bucket(error)) if !error.is_about_one_object() => {
                lengthened.stopped = Some(error);
            }
            Err(_) if record.until <= now => lengthened.ended += 1,
            Err(error) => lengthened.broken.push(broken(record, &error)),
        }
        match lengthened.stopped.is_some() || failed.is_some() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    lengthened.broken.sort_by(|left, right| left.key.cmp(&right.key));
    failed.map_or(Ok(lengthened), Err)
}

/// The version with its new end; `None` when the one that is recorded is late enough.
fn lengthen_one(
    bucket: &dyn Bucket,
    record: &Record,
    retention: Retention,
    now: UnixTime,
) -> Result<Option<Kept>, KeepError> {
    let kept = confirm(bucket, &record.claim())?;
    let seen = bucket.look(&record.key, &record.version)?;
    let why = || format!("it does not say when `{}` was stored", record.key);
    let silent = || BucketError::Answer { verb: "look at an object", why: why() };
    let stored = seen.and_then(|seen| seen.stored).ok_or_else(silent)?;
    let until = retention.until(stored.min(now));
    if kept.until().plus(SLACK) >= until {
        // Later than recorded when an earlier run died before it could record.
        return Ok((kept.until() > record.until).then_some(kept));
    }
    bucket.lengthen(&record.key, &record.version, until)?;
    confirm(bucket, &Claim { until, ..record.claim() }).map(Some)
}

/// Seconds. A push counts from its own clock, which may be this much behind the bucket's; its objects are as they should be.
const SLACK: i64 = 15 * 60;
