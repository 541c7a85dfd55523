//! The keys of feeds in memory.

use kakunin_core::digest::Digest;
use kakunin_core::id::SerialNumber;
use kakunin_core::time::Validity;

use super::MemoryStore;
use crate::store::{FeedKeyRecord, FeedKeys, IssuerId, NewFeedKey, StoreError};

/// A key that is or will be certified.
#[derive(Clone, Debug)]
pub(super) struct KeptKey {
    serial: SerialNumber,
    issuer: IssuerId,
    key: Digest,
    validity: Validity,
    der: Option<Vec<u8>>,
}

impl FeedKeys for MemoryStore {
    fn add_feed_key(&mut self, key: &NewFeedKey<'_>) -> Result<(), StoreError> {
        let NewFeedKey { serial, issuer, key, validity, .. } = *key;
        if self.now.feed_keys.iter().any(|kept| kept.serial == serial || kept.key == key) {
            return Err(StoreError::SerialTaken { serial });
        }
        self.now.has_issuer(issuer)?;
        self.now.feed_keys.push(KeptKey { serial, issuer, key, validity, der: None });
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
}
