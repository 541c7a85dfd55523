//! The keys of feeds: their certificates, recorded before they are signed and kept for whoever comes later.
//!
//! A key itself is nowhere here: it lives in the memory of the process that made it. Its certificate outlives it,
//! because a guard that was away for a night is shown the changes that the key of yesterday signed.

use kakunin_core::digest::Digest;
use kakunin_core::id::SerialNumber;
use kakunin_core::time::{UnixTime, Validity};

use super::{FeedChange, FeedEntry, IssuerId, StoreError};
use crate::standing::{Reason, Standing};

/// The keys of the feeds.
pub trait FeedKeys {
    /// Records a feed key and what is about to be signed. From here on its certificate counts as issued.
    ///
    /// # Errors
    /// [`StoreError::SerialTaken`] when the number or the key was recorded before, [`StoreError::UnknownIssuer`] when
    /// there is no such issuer.
    fn add_feed_key(&mut self, key: &NewFeedKey<'_>) -> Result<(), StoreError>;

    /// Keeps the signed certificate of a key.
    ///
    /// # Errors
    /// [`StoreError::OutOfTurn`] unless the key was recorded and has no certificate yet.
    fn keep_feed_certificate(&mut self, serial: SerialNumber, der: &[u8]) -> Result<(), StoreError>;

    /// The key with this id, if its certificate was signed.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn feed_key(&self, issuer: IssuerId, key: Digest) -> Result<Option<FeedKeyRecord>, StoreError>;

    /// Revokes every feed key of an issuer that was recorded so far and has not ended at `at`, under the next epochs of its
    /// feed. From here on [`super::Certificates::each_listed`] names them.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn revoke_feed_keys(&mut self, issuer: IssuerId, at: UnixTime) -> Result<Vec<FeedChange>, StoreError>;
}

/// Keys that are taken out of use, as a feed tells it.
pub(super) fn revoked(serials: &[SerialNumber], at: UnixTime) -> impl Iterator<Item = Vec<FeedEntry>> {
    let entry = move |serial: &SerialNumber| FeedEntry {
        serial: *serial,
        standing: Standing::Revoked,
        since: at,
        reason: REVOKED,
    };
    serials.chunks(FeedChange::MOST_ENTRIES).map(move |some| some.iter().map(entry).collect())
}

/// Why: nobody takes a feed key out of use before its day is over but for this.
pub(super) const REVOKED: Reason = Reason::KeyCompromise;

/// A feed key that is about to be certified.
#[derive(Clone, Copy, Debug)]
pub struct NewFeedKey<'a> {
    /// The serial number of its certificate.
    pub serial: SerialNumber,
    /// Who will sign it.
    pub issuer: IssuerId,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Digest,
    /// From when to when.
    pub validity: Validity,
    /// What is about to be signed.
    pub tbs: &'a [u8],
}

/// A certified feed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedKeyRecord {
    /// The serial number of its certificate.
    pub serial: SerialNumber,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Digest,
    /// From when to when.
    pub validity: Validity,
    /// The certificate.
    pub der: Vec<u8>,
}
