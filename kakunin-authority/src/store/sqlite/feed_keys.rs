//! The keys of feeds in SQLite.

use kakunin_core::digest::Digest;
use kakunin_core::id::SerialNumber;
use kakunin_core::time::{UnixTime, Validity};
use rusqlite::{OptionalExtension, params};

use super::{Broken, SqliteStore, feed, serial};
use crate::store::feed_keys::revoked;
use crate::store::{FeedChange, FeedKeyRecord, FeedKeys, IssuerId, NewFeedKey, StoreError};

impl FeedKeys for SqliteStore {
    fn add_feed_key(&mut self, key: &NewFeedKey<'_>) -> Result<(), StoreError> {
        let NewFeedKey { serial, issuer, key, validity, tbs } = *key;
        self.write(|connection| {
            let sql = "INSERT INTO feed_keys (serial, issuer, key, not_before, not_after, tbs)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let (from, until) = (validity.not_before.seconds(), validity.not_after.seconds());
            let row = params![serial.as_bytes(), issuer.number(), key.as_bytes(), from, until, tbs];
            let added = connection.execute(sql, row);
            match Broken::rule(&added) {
                Some(Broken::Unique) => Err(StoreError::SerialTaken { serial }),
                Some(Broken::Reference) => Err(StoreError::UnknownIssuer { issuer }),
                None => Ok(added.map(|_| ())?),
            }
        })
    }

    fn keep_feed_certificate(&mut self, serial: SerialNumber, der: &[u8]) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "UPDATE feed_keys SET der = ?2 WHERE serial = ?1 AND der IS NULL";
            let kept = connection.execute(sql, params![serial.as_bytes(), der])?;
            if kept == 1 { Ok(()) } else { Err(StoreError::OutOfTurn { serial }) }
        })
    }

    fn feed_key(&self, issuer: IssuerId, key: Digest) -> Result<Option<FeedKeyRecord>, StoreError> {
        let sql = "SELECT serial, key, not_before, not_after, der FROM feed_keys
                   WHERE issuer = ?1 AND key = ?2 AND der IS NOT NULL";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row(params![issuer.number(), key.as_bytes()], |row| {
            Ok(FeedKeyRecord {
                serial: serial(row, 0)?,
                key: Digest::from_bytes(row.get(1)?),
                validity: Validity {
                    not_before: UnixTime::from_seconds(row.get(2)?),
                    not_after: UnixTime::from_seconds(row.get(3)?),
                },
                der: row.get(4)?,
            })
        });
        Ok(found.optional()?)
    }

    fn revoke_feed_keys(&mut self, issuer: IssuerId, at: UnixTime) -> Result<Vec<FeedChange>, StoreError> {
        self.write(|connection| {
            let sql = "UPDATE feed_keys SET revoked = ?2
                       WHERE issuer = ?1 AND revoked IS NULL AND not_after >= ?2 RETURNING serial";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![issuer.number(), at.seconds()], |row| serial(row, 0))?;
            let mut serials = rows.collect::<Result<Vec<_>, _>>()?;
            serials.sort_unstable();
            revoked(&serials, at).map(|entries| feed::append(connection, issuer, entries)).collect()
        })
    }
}
