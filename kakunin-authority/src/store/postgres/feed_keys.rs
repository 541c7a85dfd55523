//! The keys of feeds in PostgreSQL.

use kakunin_core::digest::Digest;
use kakunin_core::id::SerialNumber;
use kakunin_core::time::{UnixTime, Validity};

use super::values::{digest, number, serial as serial_of, time};
use super::{PostgresStore, feed};
use crate::store::feed_keys::revoked;
use crate::store::{FeedChange, FeedKeyRecord, FeedKeys, IssuerId, NewFeedKey, StoreError};

impl FeedKeys for PostgresStore {
    fn add_feed_key(&mut self, key: &NewFeedKey<'_>) -> Result<(), StoreError> {
        let NewFeedKey { serial, issuer, key, validity, tbs } = *key;
        self.write(|session| {
            let id = &key.as_bytes()[..];
            let taken = "SELECT 1 FROM feed_keys WHERE serial = $1 OR key = $2";
            if session.is_there(taken, &[&serial.as_bytes(), &id])? {
                return Err(StoreError::SerialTaken { serial });
            }
            if !session.is_there("SELECT 1 FROM issuers WHERE id = $1", &[&number(issuer)])? {
                return Err(StoreError::UnknownIssuer { issuer });
            }
            let sql = "INSERT INTO feed_keys (serial, issuer, key, not_before, not_after, tbs)
                       VALUES ($1, $2, $3, $4, $5, $6)";
            let (from, until) = (validity.not_before.seconds(), validity.not_after.seconds());
            session.execute(sql, &[&serial.as_bytes(), &number(issuer), &id, &from, &until, &tbs])?;
            Ok(())
        })
    }

    fn keep_feed_certificate(&mut self, serial: SerialNumber, der: &[u8]) -> Result<(), StoreError> {
        self.write(|session| {
            let sql = "UPDATE feed_keys SET der = $2 WHERE serial = $1 AND der IS NULL";
            let kept = session.execute(sql, &[&serial.as_bytes(), &der])?;
            if kept == 1 { Ok(()) } else { Err(StoreError::OutOfTurn { serial }) }
        })
    }

    fn feed_key(&self, issuer: IssuerId, key: Digest) -> Result<Option<FeedKeyRecord>, StoreError> {
        self.read(|session| {
            let sql = "SELECT serial, key, not_before, not_after, der FROM feed_keys
                       WHERE issuer = $1 AND key = $2 AND der IS NOT NULL";
            let row = session.row(sql, &[&number(issuer), &&key.as_bytes()[..]])?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some(FeedKeyRecord {
                serial: serial_of(&row, 0)?,
                key: digest(&row, 1)?,
                validity: Validity { not_before: time(&row, 2)?, not_after: time(&row, 3)? },
                der: row.try_get(4)?,
            }))
        })
    }

    fn revoke_feed_keys(&mut self, issuer: IssuerId, at: UnixTime) -> Result<Vec<FeedChange>, StoreError> {
        self.write(|session| {
            let sql = "UPDATE feed_keys SET revoked = $2
                       WHERE issuer = $1 AND revoked IS NULL AND not_after >= $2 RETURNING serial";
            let rows = session.rows(sql, &[&number(issuer), &at.seconds()])?;
            let mut serials = rows.iter().map(|row| serial_of(row, 0)).collect::<Result<Vec<_>, _>>()?;
            serials.sort_unstable();
            revoked(&serials, at).map(|entries| feed::append(session, issuer, entries)).collect()
        })
    }
}
