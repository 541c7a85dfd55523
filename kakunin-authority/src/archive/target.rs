//! Where the archive is and what goes into it: one file, written by `kakunin archive use`.
//!
//! The bucket and the retention are decided once, by a person who sees the answer; what runs every hour only says `push`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::backlog::Limits;
use super::endpoint::{BadEndpoint, Endpoint};
use super::object::{BadKey, ObjectKey};
use super::retention::{Retention, UnknownRetention};
use crate::files::{self, FileError, Readers};

/// Where to, for how long, from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The bucket.
    pub bucket: BucketName,
    /// What every key begins with; empty for none.
    pub prefix: String,
    /// A server that is not Amazon's.
    pub endpoint: Option<Endpoint>,
    /// Its region; the environment's when nothing is said.
    pub region: Option<String>,
    /// For how long.
    pub retention: Retention,
    /// The log, when it is not `H/log`.
    pub log: Option<PathBuf>,
    /// Journals whose archived lists are to be kept as well.
    pub journals: Vec<PathBuf>,
    /// When to raise the alarm.
    pub limits: Limits,
}

impl Target {
    /// What the inventory calls it: buckets of one name on two servers are two.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{}@{endpoint}", self.bucket),
            None => self.bucket.to_string(),
        }
    }

    /// Where its objects are: the place and the prefix.
    pub(super) fn location(&self) -> String {
        format!("{}/{}", self.place(), self.prefix)
    }

    /// Reads what was written; `None` when nothing was.
    ///
    /// # Errors
    /// [`TargetError`] when it cannot be read.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, TargetError> {
        if !path.exists() {
            return Ok(None);
        }
        let damaged = |why: String| TargetError::Damaged { path: path.to_owned(), why };
        let text: Text =
            serde_json::from_slice(&files::read(path)?).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(Self {
            bucket: BucketName::parse(&text.bucket).map_err(|error| damaged(error.to_string()))?,
            prefix: text.prefix,
            endpoint: text
                .endpoint
                .map(|url| Endpoint::parse(&url).map_err(|error| damaged(error.to_string())))
                .transpose()?,
            region: text.region,
            retention: text.keep.parse().map_err(|error: UnknownRetention| damaged(error.to_string()))?,
            log: text.log,
            journals: text.journals,
            limits: Limits { objects: text.alarm_objects, bytes: text.alarm_bytes, hours: text.alarm_hours },
        }))
    }

    /// Writes it.
    pub(super) fn write(&self, path: &Path) -> Result<(), TargetError> {
        let text = Text {
            alarm_bytes: self.limits.bytes,
            alarm_hours: self.limits.hours,
            alarm_objects: self.limits.objects,
            bucket: self.bucket.to_string(),
            endpoint: self.endpoint.as_ref().map(ToString::to_string),
            journals: self.journals.clone(),
            keep: self.retention.to_string(),
            log: self.log.clone(),
            prefix: self.prefix.clone(),
            region: self.region.clone(),
        };
        let damaged =
            |error: serde_json::Error| TargetError::Damaged { path: path.to_owned(), why: error.to_string() };
        let mut bytes = serde_json::to_vec_pretty(&text).map_err(damaged)?;
        bytes.push(b'\n');
        Ok(files::replace(path, &bytes, Readers::Owner)?)
    }
}

/// The name of a bucket, as S3 allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketName(String);

impl BucketName {
    /// Reads a name: 3 to 63 of `a-z 0-9 . -`, beginning and ending with a letter or a digit.
    ///
    /// # Errors
    /// [`TargetError::Bucket`] for anything else.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = [text.bytes().next(), text.bytes().last()];
        let good = (3..=63).contains(&text.len())
            && text.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'-'))
            && ends.into_iter().flatten().all(plain);
        match good {
            true => Ok(Self(text.to_owned())),
            false => Err(TargetError::Bucket { text: text.to_owned() }),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for BucketName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads `s3://BUCKET` or `s3://BUCKET/PREFIX`.
///
/// # Errors
/// [`TargetError`] saying which part is wrong.
pub fn parse_location(text: &str) -> Result<(BucketName, String), TargetError> {
    let rest = text.strip_prefix("s3://").ok_or_else(|| TargetError::Location { text: text.to_owned() })?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if !prefix.is_empty() {
        ObjectKey::parse(prefix)?;
        // The longest name under it: a checkpoint's, with its size and digest.
        ObjectKey::parse(&format!("{prefix}/log/checkpoints/{}/{}", u64::MAX, "0".repeat(64)))?;
    }
    Ok((BucketName::parse(bucket)?, prefix.to_owned()))
}

/// The file; members in the order of their names.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Text {
    alarm_bytes: u64,
    alarm_hours: u64,
    alarm_objects: u64,
    bucket: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    endpoint: Option<String>,
    #[serde(default)]
    journals: Vec<PathBuf>,
    keep: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    log: Option<PathBuf>,
    prefix: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    region: Option<String>,
}

/// A target that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Its file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not what `use` writes.
    #[error("{}: {why}; run `kakunin archive use` again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// No location.
    #[error("`{text}` is no place for an archive; write s3://BUCKET or s3://BUCKET/PREFIX")]
    Location {
        /// What was written.
        text: String,
    },
    /// No bucket.
    #[error("`{text}` names no bucket; 3 to 63 of a-z 0-9 . -")]
    Bucket {
        /// What was written.
        text: String,
    },
    /// No server.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
    /// No prefix.
    #[error(transparent)]
    Prefix(#[from] BadKey),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_bucket_and_perhaps_a_prefix() {
        for (text, bucket, prefix) in [
            ("s3://trail", "trail", ""),
            ("s3://trail/", "trail", ""),
            ("s3://trail/acme/eu/", "trail", "acme/eu"),
        ] {
            let (name, found) = parse_location(text).unwrap();
            assert_eq!((name.as_str(), found.as_str()), (bucket, prefix));
        }
        for bad in
            ["trail", "https://trail", "s3://", "s3://T", "s3://trail/a b", "s3://trail/../x", "s3://-ab"]
        {
            assert!(parse_location(bad).is_err(), "{bad}");
        }
        assert!(parse_location(&format!("s3://trail/{}", "p".repeat(400))).is_ok());
        assert!(parse_location(&format!("s3://trail/{}", "p".repeat(450))).is_err());
    }

    #[test]
    fn a_target_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("target.json");
        assert!(Target::read(&path).unwrap().is_none());
        let target = Target {
            bucket: BucketName::parse("trail").unwrap(),
            prefix: "acme".to_owned(),
            endpoint: Some(Endpoint::parse("https://s3.example.org/").unwrap()),
            region: None,
            retention: Retention::SevenYears,
            log: None,
            journals: vec![PathBuf::from("/srv/billing/state/journal")],
            limits: Limits::default(),
        };
        target.write(&path).unwrap();
        assert_eq!(Target::read(&path).unwrap(), Some(target.clone()));
        assert_eq!(target.place(), "trail@https://s3.example.org");
        assert_eq!(Target { endpoint: None, ..target }.place(), "trail");
        std::fs::write(&path, "{}").unwrap();
        assert!(Target::read(&path).is_err());
    }
}
