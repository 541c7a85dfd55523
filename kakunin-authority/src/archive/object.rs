//! What is archived: bytes under a key, and the proof that a bucket keeps them.
//!
//! An [`Object`] is bytes that nobody keeps yet. [`Kept`] is an object that a bucket was seen to keep: it comes only
//! from [`keep`](super::keep()) and [`confirm`](super::confirm), which read the object back, and only it enters the inventory.

use std::fmt;

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;

/// The name of an object in its bucket, prefix and all.
///
/// Segments of `a-z A-Z 0-9 . _ -` joined by `/`: what every tool prints, signs and escapes alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`BadKey`] for anything else than its segments.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(allowed);
        match text.len() <= MAX_KEY && text.split('/').all(segment) {
            true => Ok(Self(text.to_owned())),
            false => Err(BadKey { text: text.chars().take(MAX_KEY).collect() }),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that cannot name an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` names no object; a key is segments of a-z A-Z 0-9 . _ - joined by /, {MAX_KEY} bytes at most"
)]
pub struct BadKey {
    text: String,
}

/// Whether other objects have to be there first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// It stands for itself: a tile, a bundle of entries, a list.
    Part,
    /// It states that parts exist, so it is stored after them: a checkpoint.
    Head,
}

/// Bytes with the key that they are to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    key: ObjectKey,
    rank: Rank,
    bytes: Vec<u8>,
    sha256: Digest,
}

impl Object {
    /// `bytes` under `key`.
    #[must_use]
    pub fn new(key: ObjectKey, rank: Rank, bytes: Vec<u8>) -> Self {
        let sha256 = Digest::of(&bytes);
        Self { key, rank, bytes, sha256 }
    }

    /// Its name.
    #[must_use]
    pub const fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// Whether it waits for others.
    #[must_use]
    pub const fn rank(&self) -> Rank {
        self.rank
    }

    /// What is kept.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the bytes.
    #[must_use]
    pub const fn sha256(&self) -> &Digest {
        &self.sha256
    }
}

/// The bucket's name for one version of an object. Whatever is put on top later has another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionId(String);

impl VersionId {
    /// A bucket's word for a version; `None` for an empty one and for `null`, which unversioned buckets give.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        (!text.is_empty() && text != "null" && text.len() <= MAX_VERSION && printable)
            .then(|| Self(text.to_owned()))
    }

    /// As the bucket wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object that a bucket keeps: this version was read back, locked and whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the inventory records it"]
pub struct Kept {
    pub(super) key: ObjectKey,
    pub(super) version: VersionId,
    pub(super) sha256: Digest,
    pub(super) size: u64,
    pub(super) until: UnixTime,
}

impl Kept {
    /// Its name.
    #[must_use]
    pub const fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// The version that was read back.
    #[must_use]
    pub const fn version(&self) -> &VersionId {
        &self.version
    }

    /// Until when the bucket says that it cannot be deleted.
    #[must_use]
    pub const fn until(&self) -> UnixTime {
        self.until
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }
}

/// S3 allows 1,024 bytes; half of it leaves room for tools that add a prefix of their own.
const MAX_KEY: usize = 512;

/// Amazon's documentation: version identifiers have at most 1,024 bytes.
const MAX_VERSION: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_climb_or_be_written_in_two_ways() {
        for good in ["log/tile/0/x001/234.p/17", "acme/lists/00ff.crl", "Log"] {
            assert_eq!(ObjectKey::parse(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(MAX_KEY + 1);
        for bad in ["", "/a", "a/", "a//b", "a/../b", ".", "a b", "a%2fb", "ä", "a\n", &long] {
            assert!(ObjectKey::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_unversioned_answer_is_no_version() {
        assert!(VersionId::new("3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY").is_some());
        for bad in ["", "null", "a b", "a\r\n", "ä"] {
            assert!(VersionId::new(bad).is_none(), "{bad:?}");
        }
    }
}
