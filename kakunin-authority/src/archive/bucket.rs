//! What the archive asks of a bucket.
//!
//! A bucket keeps versions: whatever is stored, deleted or put on top later, a version once locked is still there
//! under its own identifier. Everything here therefore speaks of one version. `S3Bucket` is the real one; tests have
//! one in memory that can lie.

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;

use super::object::{Object, ObjectKey, VersionId};

/// A versioned place whose objects can be locked. Many threads use it at once.
pub trait Bucket: Sync {
    /// What the inventory calls it: [`Target::place`](super::Target::place).
    fn name(&self) -> &str;

    /// Whether it keeps versions, can lock them, and agrees that it is `now`.
    ///
    /// # Errors
    /// [`BucketError::NoVersions`], [`BucketError::NoLock`] and [`BucketError::Clock`] when it does not,
    /// [`BucketError`] when it cannot be asked.
    fn examine(&self, now: UnixTime) -> Result<(), BucketError>;

    /// Stores an object under COMPLIANCE until `until`, if nothing is visible under its key.
    ///
    /// # Errors
    /// [`BucketError`] when it is not known to be stored. It may be stored all the same.
    fn put(&self, object: &Object, until: UnixTime) -> Result<Put, BucketError>;

    /// What the bucket says of one version; `None` when there is no such version.
    ///
    /// # Errors
    /// [`BucketError`] when it cannot be asked.
    fn look(&self, key: &ObjectKey, version: &VersionId) -> Result<Option<Seen>, BucketError>;

    /// The bytes of one version, `limit` at most; `None` when there is no such version.
    ///
    /// # Errors
    /// [`BucketError`] when it cannot be read, or is longer.
    fn read(&self, key: &ObjectKey, version: &VersionId, limit: u64) -> Result<Option<Vec<u8>>, BucketError>;

    /// Every version under exactly this key, delete markers left out.
    ///
    /// # Errors
    /// [`BucketError`] when it cannot be asked.
    fn versions(&self, key: &ObjectKey) -> Result<Vec<VersionId>, BucketError>;

    /// Locks a version under COMPLIANCE until `until`, or moves the end of its lock to there.
    ///
    /// # Errors
    /// [`BucketError`] when that is refused or cannot be asked.
    fn lengthen(&self, key: &ObjectKey, version: &VersionId, until: UnixTime) -> Result<(), BucketError>;
}

/// The answer to a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// Stored as this version.
    Stored(VersionId),
    /// Something is there already: ours from a run that was interrupted, or somebody else's.
    Occupied,
}

/// What a bucket says of a version. Nothing of it is believed before the bytes were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How it is locked; `None` when it is not, or when the caller may not know.
    pub lock: Option<Lock>,
    /// The checksum that the bucket computed when it was stored.
    pub sha256: Option<Digest>,
    /// Its length.
    pub size: u64,
    /// When it was stored, by the bucket's clock.
    pub stored: Option<UnixTime>,
}

/// A lock on a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Who can lift it.
    pub mode: LockMode,
    /// When it ends.
    pub until: UnixTime,
}

/// Who can lift a lock before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Nobody, the account's owner included.
    Compliance,
    /// Whoever has the permission to bypass it.
    Governance,
}

impl LockMode {
    /// As S3 writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Compliance => "COMPLIANCE",
            Self::Governance => "GOVERNANCE",
        }
    }
}

/// Why a bucket did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// It keeps no versions.
    #[error("bucket `{bucket}` does not keep versions ({state}); turn versioning on, or name another bucket")]
    NoVersions {
        /// The bucket.
        bucket: String,
        /// What it says.
        state: String,
    },
    /// It cannot lock.
    #[error(
        "bucket `{bucket}` has no Object Lock; turn it on for the bucket, or name one that was made with it"
    )]
    NoLock {
        /// The bucket.
        bucket: String,
    },
    /// One of the two clocks is wrong.
    #[error(
        "the bucket's clock says {theirs} and this machine's {ours}; set the clock, because a lock counted from a \
         wrong one ends too early or can never be taken back"
    )]
    Clock {
        /// What the bucket says.
        theirs: UnixTime,
        /// What this machine says.
        ours: UnixTime,
    },
    /// Nobody says who asks.
    #[error(
        "no credentials for the bucket: {why}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or \
         give this machine a role"
    )]
    NoCredentials {
        /// What was looked for.
        why: String,
    },
    /// Nobody says in which region.
    #[error(
        "nobody says in which region the bucket is; use `kakunin archive use --region`, or set AWS_REGION"
    )]
    NoRegion,
    /// No answer, or one that asks to come back: the next try may succeed.
    #[error("cannot {verb}: {why}")]
    Unreachable {
        /// What was tried.
        verb: &'static str,
        /// What is known.
        why: String,
    },
    /// An answer that says no to everything, not to this object alone: no such bucket, no permission.
    #[error("cannot {verb}: {why} [{code}]{}", remedy(code))]
    Barred {
        /// What was tried.
        verb: &'static str,
        /// S3's code.
        code: String,
        /// Its message.
        why: String,
    },
    /// An answer that says no: the next try gives the same.
    #[error("the bucket refuses to {verb}: {why} [{code}]")]
    Refused {
        /// What was tried.
        verb: &'static str,
        /// S3's code.
        code: String,
        /// Its message.
        why: String,
    },
    /// An answer that makes no sense.
    #[error("the bucket's answer to {verb} cannot be used: {why}")]
    Answer {
        /// What was tried.
        verb: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl BucketError {
    /// Whether it says that the same will be asked again in vain.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Unreachable { .. } | Self::NoCredentials { .. } | Self::NoRegion)
    }

    /// Whether another object may fare better.
    #[must_use]
    pub const fn is_about_one_object(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Answer { .. })
    }
}

/// What to do about an answer that bars everything; empty when the answer says it itself.
fn remedy(code: &str) -> &'static str {
    match code {
        "NoSuchBucket" => "; make it, with Object Lock, or name another one with `kakunin archive use`",
        "AccessDenied" | "HTTP 403" => "; allow the account what `kakunin archive use --help` lists",
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken" | "HTTP 401" => {
            "; look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_PROFILE"
        }
        "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" | "HTTP 301" => {
            "; the bucket is in another region, name it with `kakunin archive use --region`"
        }
        "RequestTimeTooSkewed" => "; set this machine's clock",
        _ => "",
    }
}
