//! The keys of feeds in memory.

use kakunin_core::digest::Digest;
use kakunin_core::id::SerialNumber;
use kakunin_core::time::{UnixTime, Validity};

use super::MemoryStore;
use crate::store::feed_keys::{REVOKED, revoked};
use crate::store::{
    FeedChange, FeedKeyRecord, FeedKeys, IssuerId, ListedCertificate, NewFeedKey, StoreError,
};

/// A key that is or will be certified.
#[derive(Clone, Debug)]
pub(super) struct KeptKey {
    serial: SerialNumber,
    issuer: IssuerId,
    key: Digest,
    validity: Validity,
    der: Option<Vec<u8>>,
    revoked: Option<UnixTime>,
}

impl FeedKeys for MemoryStore {
    fn add_feed_key(&mut self, key: &NewFeedKey<'_>) -> Result<(), StoreError> {
        let NewFeedKey { serial, issuer, key, validity, .. } = *key;
        if self.now.feed_keys.iter().any(|kept| kept.serial == serial || kept.key == key) {
            return Err(StoreError::SerialTaken { serial });
        }
        self.now.has_issuer(issuer)?;
        self.now.feed_keys.push(KeptKey { serial, issuer, key, validity, der: None, revoked: None });
        Ok(())
    }

    fn keep_feed_certificate(&mut self, serial: SerialNumber, der: &[u8]) -> Result<(), StoreError> {
        let mut waiting = self.now.feed_keys.iter_mut();
        let found = waiting.find(|kept| kept.serial == serial && kept.der.is_none());
        found.ok_or(StoreError::OutOfTurn { serial })?.der = Some(der.to_vec());
        Ok(())
    }

    fn feed_key(&self, issuer: IssuerId, key: Digest) -> Result<Option<FeedKeyRecord>, StoreError> {
        let found = self.now.feed_keys.iter().find(|kept| kept.issuer == issuer && kept.key == key);
        let record = |kept: &KeptKey| {
            let der = kept.der.clone()?;
            Some(FeedKeyRecord { serial: kept.serial, key: kept.key, validity: kept.validity, der })
        };
        Ok(found.and_then(record))
    }

    fn revoke_feed_keys(&mut self, issuer: IssuerId, at: UnixTime) -> Result<Vec<FeedChange>, StoreError> {
        let mut serials = Vec::new();
        for kept in &mut self.now.feed_keys {
            if kept.issuer == issuer && kept.revoked.is_none() && kept.validity.not_after >= at {
                kept.revoked = Some(at);
                serials.push(kept.serial);
            }
        }
        serials.sort_unstable();
        Ok(revoked(&serials, at).map(|entries| self.now.append(issuer, entries)).collect())
    }
}

impl MemoryStore {
    /// The keys of `issuer` that were taken out of use and have not ended before `since`, as a list names them.
    pub(super) fn listed_keys(
        &self,
        issuer: IssuerId,
        since: UnixTime,
    ) -> impl Iterator<Item = ListedCertificate> {
        let of = move |kept: &&KeptKey| kept.issuer == issuer && kept.validity.not_after >= since;
        self.now.feed_keys.iter().filter(of).filter_map(|kept| {
            kept.revoked.map(|since| ListedCertificate { serial: kept.serial, since, reason: REVOKED })
        })
    }
}
