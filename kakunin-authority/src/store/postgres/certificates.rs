//! Certificates in PostgreSQL.

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::time::{UnixTime, Validity};
use tokio_postgres::Row;

use super::freezes::refuse_frozen;
use super::session::Session;
use super::values::{
    agent_id, damaged, digest, issuer as issuer_of, maybe_time, number, reason, serial as serial_of,
    standing, tenant as tenant_of, time,
};
use super::{PostgresStore, hooks};
use crate::access::TenantId;
use crate::store::feed_keys::REVOKED;
use crate::store::hooks::issued;
use crate::store::{CertificateRecord, Certificates, IssuerId, ListedCertificate, Reservation, StoreError};

impl Certificates for PostgresStore {
    fn ends_of_agents(&self, tenant: &TenantId) -> Result<Vec<(AgentId, UnixTime)>, StoreError> {
        self.read(|session| {
            let sql = "SELECT agent, max(not_after) FROM certificates WHERE tenant = $1 AND tbs IS NOT NULL
                       GROUP BY agent ORDER BY agent";
            let rows = session.rows(sql, &[&tenant.as_str()])?;
            rows.iter().map(|row| Ok((agent_id(row, 0)?, time(row, 1)?))).collect()
        })
    }

    fn reserve(&mut self, reservation: &Reservation) -> Result<(), StoreError> {
        self.write(|session| self::reserve(session, reservation))
    }

    fn keep_tbs(&mut self, serial: SerialNumber, tbs: &[u8]) -> Result<(), StoreError> {
        self.write(|session| {
            // Asked for in the same statement: one question to the server for each certificate.
            let sql = "UPDATE certificates SET tbs = $2
                       WHERE serial = $1 AND tbs IS NULL AND standing = 'good'
                       RETURNING tenant, EXISTS (SELECT 1 FROM freezes WHERE extent IN ('*', tenant))";
            let kept =
                session.row(sql, &[&serial.as_bytes(), &tbs])?.ok_or(StoreError::OutOfTurn { serial })?;
            // What is refused is taken back with all that this verb did.
            if kept.try_get(1)? { refuse_frozen(session, &tenant_of(&kept, 0)?) } else { Ok(()) }
        })
    }

    fn keep_certificate(&mut self, serial: SerialNumber, der: &[u8]) -> Result<(), StoreError> {
        self.write(|session| {
            let sql = "UPDATE certificates SET der = $2
                       WHERE serial = $1 AND der IS NULL AND tbs IS NOT NULL";
            if session.execute(sql, &[&serial.as_bytes(), &der])? != 1 {
                return Err(StoreError::OutOfTurn { serial });
            }
            let sql = "SELECT serial, issuer, tenant, agent, key, not_before, not_after,
                       standing, since, reason, der, EXISTS (SELECT 1 FROM freezes WHERE extent IN ('*', tenant))
                       FROM certificates WHERE serial = $1";
            let row = session.row(sql, &[&serial.as_bytes()])?.ok_or(damaged("certificate"))?;
            let record = certificate(&row)?;
            if row.try_get(11)? {
                refuse_frozen(session, &record.tenant)?;
            }
            let sql = "SELECT name FROM agents WHERE tenant = $1 AND id = $2";
            let row = session.row(sql, &[&record.tenant.as_str(), &&record.agent.as_bytes()[..]])?;
            let row = row.ok_or(damaged("certificate"))?;
            hooks::announce(session, &issued(&record, row.try_get(0)?))?;
            Ok(())
        })
    }

    fn certificate(&self, serial: SerialNumber) -> Result<Option<CertificateRecord>, StoreError> {
        self.read(|session| {
            let sql = "SELECT serial, issuer, tenant, agent, key, not_before, not_after,
                       standing, since, reason, der FROM certificates WHERE serial = $1 AND tbs IS NOT NULL";
            session.row(sql, &[&serial.as_bytes()])?.as_ref().map(certificate).transpose()
        })
    }

    fn certificates(&self, tenant: &TenantId, agent: AgentId) -> Result<Vec<CertificateRecord>, StoreError> {
        self.read(|session| {
            let sql = "SELECT serial, issuer, tenant, agent, key, not_before, not_after,
                       standing, since, reason, der FROM certificates
                       WHERE tenant = $1 AND agent = $2 AND tbs IS NOT NULL ORDER BY number";
            let rows = session.rows(sql, &[&tenant.as_str(), &&agent.as_bytes()[..]])?;
            rows.iter().map(certificate).collect()
        })
    }

    fn newest_of_key(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        key: Digest,
        limit: u32,
    ) -> Result<Vec<CertificateRecord>, StoreError> {
        self.read(|session| {
            let sql = "SELECT serial, issuer, tenant, agent, key, not_before, not_after,
                       standing, since, reason, der FROM certificates
                       WHERE tenant = $1 AND agent = $2 AND key = $3 AND der IS NOT NULL
                       ORDER BY number DESC LIMIT $4";
            let (agent, key, limit) = (&agent.as_bytes()[..], &key.as_bytes()[..], i64::from(limit));
            let rows = session.rows(sql, &[&tenant.as_str(), &agent, &key, &limit])?;
            rows.iter().map(certificate).collect()
        })
    }

    fn is_revoked_key(&self, tenant: &TenantId, agent: AgentId, key: Digest) -> Result<bool, StoreError> {
        self.read(|session| {
            let sql = "SELECT 1 FROM certificates WHERE tenant = $1 AND agent = $2 AND key = $3
                       AND standing = 'revoked' AND tbs IS NOT NULL LIMIT 1";
            session.is_there(sql, &[&tenant.as_str(), &&agent.as_bytes()[..], &&key.as_bytes()[..]])
        })
    }

    fn newest_begin(&self) -> Result<Option<UnixTime>, StoreError> {
        self.read(|session| {
            let sql =
                "SELECT not_before FROM certificates WHERE tbs IS NOT NULL ORDER BY number DESC LIMIT 1";
            match session.row(sql, &[])? {
                Some(row) => maybe_time(&row, 0),
                None => Ok(None),
            }
        })
    }

    fn last_end(&self, issuer: IssuerId) -> Result<Option<UnixTime>, StoreError> {
        self.read(|session| {
            let sql = "SELECT max(not_after) FROM certificates WHERE issuer = $1 AND tbs IS NOT NULL";
            match session.row(sql, &[&number(issuer)])? {
                Some(row) => maybe_time(&row, 0),
                None => Ok(None),
            }
        })
    }

    fn each_listed(
        &self,
        issuer: IssuerId,
        since: UnixTime,
        each: &mut dyn FnMut(ListedCertificate),
    ) -> Result<(), StoreError> {
        // A connection that ends half-way is not asked again: `each` has seen some of them.
        let mut begun = false;
        self.read(|session| {
            if begun {
                return Err(StoreError::Server {
                    text: "the connection ended while the list was read".into(),
                });
            }
            begun = true;
            let sql = "SELECT serial, since, reason FROM certificates
                       WHERE issuer = $1 AND standing <> 'good' AND tbs IS NOT NULL AND not_after >= $2
                       UNION ALL SELECT serial, revoked, $3::int2 FROM feed_keys
                       WHERE issuer = $1 AND revoked IS NOT NULL AND not_after >= $2
                       ORDER BY serial";
            let why = i16::from(REVOKED.code());
            session.each(sql, &[&number(issuer), &since.seconds(), &why], &mut |row| {
                each(ListedCertificate {
                    serial: serial_of(row, 0)?,
                    since: time(row, 1)?,
                    reason: reason(row, 2)?,
                });
                Ok(())
            })
        })
    }
}

/// Takes a serial number, as one step of several.
pub(super) fn reserve(session: &mut Session, reservation: &Reservation) -> Result<(), StoreError> {
    let Reservation { serial, issuer, agent, key, validity } = *reservation;
    let good =
        "SELECT coalesce((SELECT issuers.tenant = agents.tenant FROM issuers WHERE issuers.id = $2), false),
                EXISTS (SELECT 1 FROM freezes WHERE extent IN ('*', agents.tenant)), agents.tenant
                FROM agents WHERE id = $1 AND standing = 'good'";
    match session.row(good, &[&&agent.as_bytes()[..], &number(issuer)])? {
        None => return Err(StoreError::NotGood { id: agent }),
        Some(row) if !row.try_get::<_, bool>(0)? => return Err(StoreError::UnknownIssuer { issuer }),
        Some(row) if row.try_get(1)? => refuse_frozen(session, &tenant_of(&row, 2)?)?,
        Some(_) => {}
    }
    if session.is_there("SELECT 1 FROM certificates WHERE serial = $1", &[&serial.as_bytes()])? {
        return Err(StoreError::SerialTaken { serial });
    }
    let sql = "INSERT INTO certificates
               (serial, issuer, tenant, agent, key, not_before, not_after, standing, since, reason)
               SELECT $1, $2, tenant, id, $4, $5, $6, 'good', $5, 0 FROM agents WHERE id = $3";
    session.execute(
        sql,
        &[
            &serial.as_bytes(),
            &number(issuer),
            &&agent.as_bytes()[..],
            &&key.as_bytes()[..],
            &validity.not_before.seconds(),
            &validity.not_after.seconds(),
        ],
    )?;
    Ok(())
}

fn certificate(row: &Row) -> Result<CertificateRecord, StoreError> {
    Ok(CertificateRecord {
        serial: serial_of(row, 0)?,
        issuer: issuer_of(row, 1)?,
        tenant: tenant_of(row, 2)?,
        agent: agent_id(row, 3)?,
        key: digest(row, 4)?,
        validity: Validity { not_before: time(row, 5)?, not_after: time(row, 6)? },
        standing: standing(row, 7)?,
        since: time(row, 8)?,
        reason: reason(row, 9)?,
        der: row.try_get(10)?,
    })
}
