//! Enrolment tokens in SQLite.

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Broken, SqliteStore, certificates, damaged, serial, tenant};
use crate::access::KeyPrefix;
use crate::store::{Redemption, Reservation, StoreError, TokenRecord, Tokens};

impl Tokens for SqliteStore {
    fn add_token(&mut self, token: &TokenRecord) -> Result<(), StoreError> {
        self.write(|connection| {
            let redeemed = token.redeemed.as_ref();
            let sql = "INSERT INTO tokens
                       (prefix, secret, tenant, agent, created, expires, key, serial, redeemed)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            let added = connection.execute(
                sql,
                params![
                    token.prefix.as_str(),
                    token.secret.as_bytes(),
                    token.tenant.as_str(),
                    token.agent.as_bytes(),
                    token.created.seconds(),
                    token.expires.seconds(),
                    redeemed.map(|redeemed| redeemed.key.as_bytes().to_vec()),
                    redeemed.map(|redeemed| redeemed.serial.as_bytes().to_vec()),
                    redeemed.map(|redeemed| redeemed.at.seconds()),
                ],
            );
            match Broken::rule(&added) {
                Some(Broken::Unique) => Err(StoreError::KeyTaken { prefix: token.prefix.clone() }),
                Some(Broken::Reference) => Err(StoreError::UnknownAgent { id: token.agent }),
                None => Ok(added.map(|_| ())?),
            }
        })
    }

    fn token(&self, prefix: &KeyPrefix) -> Result<Option<TokenRecord>, StoreError> {
        find(&self.connection, prefix)
    }

    fn redeem(
        &mut self,
        prefix: &KeyPrefix,
        reservation: &Reservation,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            let found = find(connection, prefix)?;
            let found = found.filter(|token| token.agent == reservation.agent && at < token.expires);
            let token = found.ok_or_else(|| StoreError::UnknownToken { prefix: prefix.clone() })?;
            if let Some(redeemed) = token.redeemed {
                let sql = "SELECT der IS NOT NULL FROM certificates WHERE serial = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                let signed = statement.query_row([redeemed.serial.as_bytes()], |row| row.get(0))?;
                if redeemed.key != reservation.key || signed {
                    return Err(StoreError::TokenUsed { prefix: prefix.clone() });
                }
            }
            certificates::reserve(connection, reservation)?;
            let sql = "UPDATE tokens SET key = ?2, serial = ?3, redeemed = ?4 WHERE prefix = ?1";
            connection.prepare_cached(sql)?.execute(params![
                prefix.as_str(),
                reservation.key.as_bytes(),
                reservation.serial.as_bytes(),
                at.seconds(),
            ])?;
            Ok(())
        })
    }

    fn forget_tokens(&mut self, at: UnixTime) -> Result<u64, StoreError> {
        self.write(|connection| {
            let sql = "DELETE FROM tokens WHERE expires <= ?1";
            let forgotten = connection.prepare_cached(sql)?.execute([at.seconds()])?;
            Ok(u64::try_from(forgotten).unwrap_or(u64::MAX))
        })
    }
}

/// Forgets the tokens of an agent that is revoked.
pub(super) fn forget_of(connection: &Connection, tenant: &str, agent: AgentId) -> Result<(), StoreError> {
    let sql = "DELETE FROM tokens WHERE tenant = ?1 AND agent = ?2";
    connection.prepare_cached(sql)?.execute(params![tenant, agent.as_bytes()])?;
    Ok(())
}

fn find(connection: &Connection, prefix: &KeyPrefix) -> Result<Option<TokenRecord>, StoreError> {
    let sql = "SELECT prefix, secret, tenant, agent, created, expires, key, serial, redeemed FROM tokens
               WHERE prefix = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([prefix.as_str()], token).optional()?)
}

fn token(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    let prefix: String = row.get(0)?;
    let redeemed = match row.get::<_, Option<[u8; 32]>>(6)? {
        None => None,
        Some(key) => Some(Redemption {
            key: Digest::from_bytes(key),
            serial: serial(row, 7)?,
            at: UnixTime::from_seconds(row.get(8)?),
        }),
    };
    Ok(TokenRecord {
        prefix: KeyPrefix::parse(&prefix).ok_or_else(|| damaged(0, Type::Text))?,
        secret: Digest::from_bytes(row.get(1)?),
        tenant: tenant(row, 2)?,
        agent: AgentId::from_bytes(row.get(3)?),
        created: UnixTime::from_seconds(row.get(4)?),
        expires: UnixTime::from_seconds(row.get(5)?),
        redeemed,
    })
}
