//! Storing one object so that it stays, and looking whether it does.
//!
//! A bucket that answers "stored" has proven nothing: a proxy may have swallowed the lock, an emulator may ignore it,
//! and an earlier run may have been killed between storing and recording. So the version is read back, first what is
//! said of it, then its bytes, and only what was seen is [`Kept`].

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;

use super::bucket::{Bucket, BucketError, Lock, LockMode, Put, Seen};
use super::object::{Kept, Object, ObjectKey, VersionId};

/// Stores `object` under COMPLIANCE until `until` and reads it back.
///
/// What an interrupted run stored is found and not stored again; if its lock ends too early, it is lengthened.
///
/// # Errors
/// [`KeepError`]; the object may be in the bucket all the same, and the next try finds it.
pub fn keep(bucket: &dyn Bucket, object: &Object, until: UnixTime) -> Result<Kept, KeepError> {
    match bucket.put(object, until)? {
        Put::Stored(version) => confirm(bucket, &Claim::of(object, &version, until)),
        Put::Occupied => adopt(bucket, object, until),
    }
}

/// What a version is said to be: recorded in the inventory, or just stored.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Its name.
    pub key: &'a ObjectKey,
    /// Which version.
    pub version: &'a VersionId,
    /// SHA-256 of its bytes.
    pub sha256: &'a Digest,
    /// Their number.
    pub size: u64,
    /// The earliest end of its lock.
    pub until: UnixTime,
}

impl<'a> Claim<'a> {
    fn of(object: &'a Object, version: &'a VersionId, until: UnixTime) -> Self {
        let size = object.bytes().len() as u64;
        Self { key: object.key(), version, sha256: object.sha256(), size, until }
    }

    /// The lock, if nobody can lift it and it ends late enough.
    fn lock(&self, seen: Option<Lock>) -> Result<Lock, KeepError> {
        let (key, version) = (self.key.clone(), self.version.clone());
        match seen {
            Some(lock) if lock.mode == LockMode::Compliance && lock.until >= self.until => Ok(lock),
            Some(Lock { mode: LockMode::Compliance, until }) => {
                Err(KeepError::TooShort { key, version, until, wanted: self.until })
            }
            lock => Err(KeepError::NotLocked { key, version, lock }),
        }
    }

    fn kept(&self, lock: Lock) -> Kept {
        let (key, version, sha256) = (self.key.clone(), self.version.clone(), *self.sha256);
        Kept { key, version, sha256, size: self.size, until: lock.until }
    }

    fn gone(&self) -> KeepError {
        KeepError::Gone { key: self.key.clone(), version: self.version.clone() }
    }

    fn altered(&self, what: &'static str) -> KeepError {
        KeepError::Altered { key: self.key.clone(), version: self.version.clone(), what }
    }
}

/// Reads a version back: its lock, its checksum and its bytes.
///
/// # Errors
/// [`KeepError`] naming what is not as claimed.
pub fn confirm(bucket: &dyn Bucket, claim: &Claim<'_>) -> Result<Kept, KeepError> {
    let seen = look(bucket, claim)?;
    let lock = claim.lock(seen.lock)?;
    compare(bucket, claim, &seen)?;
    Ok(claim.kept(lock))
}

fn look(bucket: &dyn Bucket, claim: &Claim<'_>) -> Result<Seen, KeepError> {
    bucket.look(claim.key, claim.version)?.ok_or_else(|| claim.gone())
}

/// Holds checksum, length and bytes of a version against the claim.
fn compare(bucket: &dyn Bucket, claim: &Claim<'_>, seen: &Seen) -> Result<(), KeepError> {
    match seen.sha256 {
        Some(sha256) if sha256 == *claim.sha256 => {}
        Some(_) => return Err(claim.altered("its checksum")),
        None => return Err(claim.altered("its checksum, which is missing")),
    }
    if seen.size != claim.size {
        return Err(claim.altered("its length"));
    }
    // The checksum is the bucket's word. The bytes are what a court would be shown.
    let bytes = bucket.read(claim.key, claim.version, claim.size)?.ok_or_else(|| claim.gone())?;
    match Digest::of(&bytes) == *claim.sha256 {
        true => Ok(()),
        false => Err(claim.altered("its bytes")),
    }
}

/// Finds our own bytes under an occupied key, and locks them for long enough if they are not.
fn adopt(bucket: &dyn Bucket, object: &Object, until: UnixTime) -> Result<Kept, KeepError> {
    let mut unfit = None;
    for version in bucket.versions(object.key())? {
        let claim = Claim::of(object, &version, until);
        // Compared before anything is locked: nobody could free other people's bytes again.
        let same = look(bucket, &claim).and_then(|seen| compare(bucket, &claim, &seen).map(|()| seen));
        match same.map(|seen| claim.lock(seen.lock)) {
            Ok(Ok(lock)) => return Ok(claim.kept(lock)),
            // Stored by an earlier run, so its lock ends earlier, or by somebody who does not lock.
            Ok(Err(KeepError::TooShort { .. } | KeepError::NotLocked { lock: None, .. })) => {
                bucket.lengthen(object.key(), &version, until)?;
                return confirm(bucket, &claim);
            }
            // Whoever may write to the bucket can put the same bytes on top, under a lock that can be lifted.
            Ok(Err(other)) => unfit = Some(other),
            Err(KeepError::Bucket(error)) => return Err(error.into()),
            Err(_) => {}
        }
    }
    Err(unfit.unwrap_or_else(|| KeepError::Occupied { key: object.key().clone() }))
}

/// Why an object is not known to be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Somebody else's bytes under the key.
    #[error(
        "`{key}` holds other bytes, perhaps another log's; move the outbox away and archive under another prefix with `kakunin archive use`"
    )]
    Occupied {
        /// The key.
        key: ObjectKey,
    },
    /// No such version any more.
    #[error("`{key}` has no version {version}")]
    Gone {
        /// The key.
        key: ObjectKey,
        /// The version.
        version: VersionId,
    },
    /// Not locked, or in a way that can be lifted.
    #[error("`{key}` version {version} is {}", unlocked(*lock))]
    NotLocked {
        /// The key.
        key: ObjectKey,
        /// The version.
        version: VersionId,
        /// The lock that was seen.
        lock: Option<Lock>,
    },
    /// Locked for a shorter time.
    #[error("`{key}` version {version} is locked until {until} and not until {wanted}")]
    TooShort {
        /// The key.
        key: ObjectKey,
        /// The version.
        version: VersionId,
        /// The end of its lock.
        until: UnixTime,
        /// The end it should have.
        wanted: UnixTime,
    },
    /// Not what was stored.
    #[error("`{key}` version {version} is not what was stored: {what}")]
    Altered {
        /// The key.
        key: ObjectKey,
        /// The version.
        version: VersionId,
        /// What differs.
        what: &'static str,
    },
}

fn unlocked(lock: Option<Lock>) -> String {
    match lock {
        Some(lock) => format!("locked as {} only, which an administrator can lift", lock.mode.word()),
        None => "not locked, or its lock may not be seen (s3:GetObjectRetention)".to_owned(),
    }
}
