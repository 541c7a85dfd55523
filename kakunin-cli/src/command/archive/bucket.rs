//! The bucket of a target, if this build can reach one.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use kakunin_authority::archive::{ArchiveError, Bucket, BucketError, Target};

use crate::answer::Failure;

/// Prepares to talk to the bucket.
#[cfg(feature = "s3")]
pub(super) fn connect(target: &Target) -> Result<Box<dyn Bucket>, Failure> {
    Ok(Box::new(kakunin_authority::archive::S3Bucket::connect(target)?))
}

/// Says what this build lacks.
#[cfg(not(feature = "s3"))]
pub(super) fn connect(_: &Target) -> Result<Box<dyn Bucket>, Failure> {
    Err(Failure::cannot(
        "this build cannot reach S3; take the wheel that `make dist` makes, or build kakunin-cli with --features s3",
    ))
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            _ if error.is_refusal() => Self::no(error),
            ArchiveError::NoTarget { .. } => Self::usage(error),
            _ => Self::cannot(error),
        }
    }
}

impl From<BucketError> for Failure {
    fn from(error: BucketError) -> Self {
        ArchiveError::from(error).into()
    }
}

/// A counter that moves in place, on a terminal only.
pub(super) struct Counter {
    verb: &'static str,
    shown: Option<Instant>,
    terminal: bool,
}

impl Counter {
    pub(super) fn new(verb: &'static str) -> Self {
        Self { verb, shown: None, terminal: io::stderr().is_terminal() }
    }

    pub(super) fn show(&mut self, done: u64, total: u64) {
        let recent = self.shown.is_some_and(|shown| shown.elapsed() < Duration::from_millis(100));
        if self.terminal && (!recent || done == total) {
            self.shown = Some(Instant::now());
            let _ = write!(io::stderr(), "\r{} {done} of {total}", self.verb);
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = writeln!(io::stderr());
        }
    }
}
