//! Certificates in SQLite.

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::time::{UnixTime, Validity};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::freezes::refuse_frozen;
use super::{Broken, SqliteStore, hooks, reason, serial, standing, tenant};
use crate::access::TenantId;
use crate::store::feed_keys::REVOKED;
use crate::store::hooks::issued;
use crate::store::{CertificateRecord, Certificates, IssuerId, ListedCertificate, Reservation, StoreError};

impl Certificates for SqliteStore {
    fn ends_of_agents(&self, tenant: &TenantId) -> Result<Vec<(AgentId, UnixTime)>, StoreError> {
        let sql = "SELECT agent, max(not_after) FROM certificates WHERE tenant = ?1 AND tbs IS NOT NULL
                   GROUP BY agent ORDER BY agent";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([tenant.as_str()], |row| {
            Ok((AgentId::from_bytes(row.get(0)?), UnixTime::from_seconds(row.get(1)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn reserve(&mut self, reservation: &Reservation) -> Result<(), StoreError> {
        self.write(|connection| self::reserve(connection, reservation))
    }

    fn keep_tbs(&mut self, serial: SerialNumber, tbs: &[u8]) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "UPDATE certificates SET tbs = ?2
                       WHERE serial = ?1 AND tbs IS NULL AND standing = 'good' RETURNING tenant";
            let mut statement = connection.prepare_cached(sql)?;
            let kept =
                statement.query_row(params![serial.as_bytes(), tbs], |row| tenant(row, 0)).optional()?;
            // What is refused is taken back with all that this verb did.
            refuse_frozen(connection, &kept.ok_or(StoreError::OutOfTurn { serial })?)
        })
    }

    fn keep_certificate(&mut self, serial: SerialNumber, der: &[u8]) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "UPDATE certificates SET der = ?2
                       WHERE serial = ?1 AND der IS NULL AND tbs IS NOT NULL";
            let kept = connection.prepare_cached(sql)?.execute(params![serial.as_bytes(), der])?;
            if kept != 1 {
                return Err(StoreError::OutOfTurn { serial });
            }
            let sql = format!("{CERTIFICATES} WHERE serial = ?1");
            let record = connection.prepare_cached(&sql)?.query_row([serial.as_bytes()], certificate)?;
            refuse_frozen(connection, &record.tenant)?;
            let sql = "SELECT name FROM agents WHERE tenant = ?1 AND id = ?2";
            let row = params![record.tenant.as_str(), record.agent.as_bytes()];
            let name: String = connection.prepare_cached(sql)?.query_row(row, |row| row.get(0))?;
            hooks::announce(connection, &issued(&record, &name))?;
            Ok(())
        })
    }

    fn certificate(&self, serial: SerialNumber) -> Result<Option<CertificateRecord>, StoreError> {
        let sql = format!("{CERTIFICATES} WHERE serial = ?1 AND tbs IS NOT NULL");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([serial.as_bytes()], certificate).optional()?)
    }

    fn certificates(&self, tenant: &TenantId, agent: AgentId) -> Result<Vec<CertificateRecord>, StoreError> {
        let sql =
            format!("{CERTIFICATES} WHERE tenant = ?1 AND agent = ?2 AND tbs IS NOT NULL ORDER BY number");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![tenant.as_str(), agent.as_bytes()], certificate)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn newest_of_key(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        key: Digest,
        limit: u32,
    ) -> Result<Vec<CertificateRecord>, StoreError> {
        let sql = format!(
            "{CERTIFICATES} WHERE tenant = ?1 AND agent = ?2 AND key = ?3 AND der IS NOT NULL
             ORDER BY number DESC LIMIT ?4"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let of = params![tenant.as_str(), agent.as_bytes(), key.as_bytes(), limit];
        Ok(statement.query_map(of, certificate)?.collect::<Result<_, _>>()?)
    }

    fn is_revoked_key(&self, tenant: &TenantId, agent: AgentId, key: Digest) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM certificates WHERE tenant = ?1 AND agent = ?2 AND key = ?3
                   AND standing = 'revoked' AND tbs IS NOT NULL LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.exists(params![tenant.as_str(), agent.as_bytes(), key.as_bytes()])?)
    }

    fn newest_begin(&self) -> Result<Option<UnixTime>, StoreError> {
        let sql = "SELECT not_before FROM certificates WHERE tbs IS NOT NULL ORDER BY number DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let begin: Option<i64> = statement.query_row([], |row| row.get(0)).optional()?;
        Ok(begin.map(UnixTime::from_seconds))
    }

    fn last_end(&self, issuer: IssuerId) -> Result<Option<UnixTime>, StoreError> {
        let sql = "SELECT max(not_after) FROM certificates WHERE issuer = ?1 AND tbs IS NOT NULL";
        let mut statement = self.connection.prepare_cached(sql)?;
        let end: Option<i64> = statement.query_row([issuer.number()], |row| row.get(0))?;
        Ok(end.map(UnixTime::from_seconds))
    }

    fn each_listed(
        &self,
        issuer: IssuerId,
        since: UnixTime,
        each: &mut dyn FnMut(ListedCertificate),
    ) -> Result<(), StoreError> {
        let sql = "SELECT serial, since, reason FROM certificates
                   WHERE issuer = ?1 AND standing <> 'good' AND tbs IS NOT NULL AND not_after >= ?2
                   UNION ALL SELECT serial, revoked, ?3 FROM feed_keys
                   WHERE issuer = ?1 AND revoked IS NOT NULL AND not_after >= ?2
                   ORDER BY serial";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![issuer.number(), since.seconds(), REVOKED.code()])?;
        while let Some(row) = rows.next()? {
            let since = UnixTime::from_seconds(row.get(1)?);
            each(ListedCertificate { serial: serial(row, 0)?, since, reason: reason(row, 2)? });
        }
        Ok(())
    }
}

/// Takes a serial number, as one step of several.
pub(super) fn reserve(connection: &Connection, reservation: &Reservation) -> Result<(), StoreError> {
    let Reservation { serial, issuer, agent, key, validity } = *reservation;
    let sql = "INSERT INTO certificates
               (serial, issuer, tenant, agent, key, not_before, not_after, standing, since, reason)
               SELECT ?1, ?2, tenant, id, ?4, ?5, ?6, 'good', ?5, 0 FROM agents
               WHERE id = ?3 AND standing = 'good'
               AND tenant = (SELECT issuers.tenant FROM issuers WHERE issuers.id = ?2)
               AND NOT EXISTS (SELECT 1 FROM freezes WHERE extent IN ('*', agents.tenant))";
    let taken = connection.prepare_cached(sql)?.execute(params![
        serial.as_bytes(),
        issuer.number(),
        agent.as_bytes(),
        key.as_bytes(),
        validity.not_before.seconds(),
        validity.not_after.seconds(),
    ]);
    match Broken::rule(&taken) {
        Some(Broken::Unique) => Err(StoreError::SerialTaken { serial }),
        Some(Broken::Reference) => Err(StoreError::UnknownIssuer { issuer }),
        None if taken? == 1 => Ok(()),
        None => Err(why_not(connection, reservation)?),
    }
}

/// Why no number was taken.
fn why_not(connection: &Connection, reservation: &Reservation) -> Result<StoreError, StoreError> {
    let Reservation { issuer, agent, .. } = *reservation;
    let sql = "SELECT tenant FROM agents WHERE id = ?1 AND standing = 'good'";
    let mut statement = connection.prepare_cached(sql)?;
    let Some(whose) = statement.query_row([agent.as_bytes()], |row| tenant(row, 0)).optional()? else {
        return Ok(StoreError::NotGood { id: agent });
    };
    let sql = "SELECT 1 FROM issuers WHERE id = ?1 AND tenant = ?2";
    if !connection.prepare_cached(sql)?.exists(params![issuer.number(), whose.as_str()])? {
        return Ok(StoreError::UnknownIssuer { issuer });
    }
    // INVARIANT: one of three kept it from being taken, and the others are looked at.
    Ok(refuse_frozen(connection, &whose).err().unwrap_or(StoreError::Damaged { what: "freeze" }))
}

fn certificate(row: &Row<'_>) -> rusqlite::Result<CertificateRecord> {
    Ok(CertificateRecord {
        serial: serial(row, 0)?,
        issuer: IssuerId::from_number(row.get(1)?),
        tenant: tenant(row, 2)?,
        agent: AgentId::from_bytes(row.get(3)?),
        key: Digest::from_bytes(row.get(4)?),
        validity: Validity {
            not_before: UnixTime::from_seconds(row.get(5)?),
            not_after: UnixTime::from_seconds(row.get(6)?),
        },
        standing: standing(row, 7)?,
        since: UnixTime::from_seconds(row.get(8)?),
        reason: reason(row, 9)?,
        der: row.get(10)?,
    })
}

const CERTIFICATES: &str = "SELECT serial, issuer, tenant, agent, key, not_before, not_after,
                            standing, since, reason, der FROM certificates";
