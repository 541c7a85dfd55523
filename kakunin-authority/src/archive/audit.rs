//! Asking the bucket about everything that the inventory says it keeps.
//!
//! Each version is read back by its identifier, so a delete marker or a newer version on top is not mistaken for a loss. A
//! lock that was lifted, shortened or weakened is told apart from bytes that differ, and both from a bucket that does not
//! answer. A version whose time has come may be gone.

use std::ops::ControlFlow;

use kakunin_core::time::UnixTime;

use super::bucket::{Bucket, BucketError};
use super::crew;
use super::inventory::Record;
use super::keep::{KeepError, confirm};
use super::object::ObjectKey;

/// What an audit found.
#[derive(Clone, Debug, Default)]
#[must_use = "says what the archive has lost"]
pub struct Audit {
    /// Versions that are kept as recorded.
    pub kept: u64,
    /// Their bytes, all of them read.
    pub bytes: u64,
    /// Versions that were free to go.
    pub ended: u64,
    /// Versions that are not as recorded.
    pub broken: Vec<Broken>,
    /// Versions in buckets of earlier targets, which were not asked.
    pub elsewhere: u64,
    /// Why it ended early.
    pub stopped: Option<BucketError>,
}

/// A version that is not as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its key.
    pub key: ObjectKey,
    /// A stable word for what is wrong.
    pub code: &'static str,
    /// The same in one line.
    pub why: String,
}

/// Reads everything in `records` back.
pub(super) fn audit(
    bucket: &dyn Bucket,
    records: &[&Record],
    now: UnixTime,
    progress: &mut dyn FnMut(u64, u64),
) -> Audit {
    let (mut audit, mut done) = (Audit::default(), 0);
    let ask = |record: &&Record| confirm(bucket, &record.claim()).map(|_| ());
    crew::each(records, &ask, &mut |record, asked| {
        done += 1;
        progress(done, records.len() as u64);
        match asked {
            Ok(()) => {
                audit.kept += 1;
                audit.bytes += record.size;
            }
            Err(KeepError::Bucket(error)) if !error.is_about_one_object() => {
                audit.stopped = Some(error);
                return ControlFlow::Break(());
            }
            Err(_) if record.until <= now => audit.ended += 1,
            Err(error) => audit.broken.push(broken(record, &error)),
        }
        ControlFlow::Continue(())
    });
    audit.broken.sort_by(|left, right| left.key.cmp(&right.key));
    audit
}

/// What is wrong with the version of `record`.
pub(super) fn broken(record: &Record, error: &KeepError) -> Broken {
    Broken { key: record.key.clone(), code: code(error), why: error.to_string() }
}

const fn code(error: &KeepError) -> &'static str {
    match error {
        KeepError::Gone { .. } => "archive.gone",
        KeepError::NotLocked { .. } => "archive.not_locked",
        KeepError::TooShort { .. } => "archive.shortened",
        KeepError::Bucket(_) => "archive.unreadable",
        _ => "archive.altered",
    }
}
