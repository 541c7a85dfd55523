//! API keys in PostgreSQL.

use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use tokio_postgres::Row;

use super::PostgresStore;
use super::session::Session;
use super::values::{damaged, digest, maybe_time, tenant as tenant_of, time, words};
use crate::access::{KeyPrefix, Role, TenantId};
use crate::store::{Access, ApiKeyRecord, StoreError};

impl Access for PostgresStore {
    fn add_tenant(&mut self, tenant: &TenantId, at: UnixTime) -> Result<(), StoreError> {
        self.write(|session| {
            let sql = "INSERT INTO tenants (id, created) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
            match session.execute(sql, &[&tenant.as_str(), &at.seconds()])? {
                0 => Err(StoreError::TenantTaken { tenant: tenant.clone() }),
                _ => Ok(()),
            }
        })
    }

    fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        self.read(|session| {
            let rows = session.rows("SELECT id FROM tenants ORDER BY id", &[])?;
            rows.iter().map(|row| tenant_of(row, 0)).collect()
        })
    }

    fn tenant_since(&self, tenant: &TenantId) -> Result<Option<UnixTime>, StoreError> {
        self.read(|session| {
            let sql = "SELECT created FROM tenants WHERE id = $1";
            session.row(sql, &[&tenant.as_str()])?.map(|row| time(&row, 0)).transpose()
        })
    }

    fn add_key(&mut self, key: &ApiKeyRecord) -> Result<(), StoreError> {
        let agents: Option<Vec<u8>> =
            key.agents.as_ref().map(|agents| agents.iter().flat_map(|agent| *agent.as_bytes()).collect());
        self.write(|session| {
            if session.is_there("SELECT 1 FROM api_keys WHERE prefix = $1", &[&key.prefix.as_str()])? {
                return Err(StoreError::KeyTaken { prefix: key.prefix.clone() });
            }
            if !is_tenant(session, &key.tenant)? {
                return Err(StoreError::UnknownTenant { tenant: key.tenant.clone() });
            }
            let sql = "INSERT INTO api_keys
                       (prefix, tenant, secret, role, agents, label, created, expires, revoked, networks)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
            session.execute(
                sql,
                &[
                    &key.prefix.as_str(),
                    &key.tenant.as_str(),
                    &&key.secret.as_bytes()[..],
                    &key.role.word(),
                    &agents,
                    &key.label.as_bytes(),
                    &key.created.seconds(),
                    &key.expires.map(UnixTime::seconds),
                    &key.revoked.map(UnixTime::seconds),
                    &key.networks.as_ref().map(|networks| networks.join(" ")),
                ],
            )?;
            Ok(())
        })
    }

    fn key(&self, prefix: &KeyPrefix) -> Result<Option<ApiKeyRecord>, StoreError> {
        self.read(|session| {
            let sql =
                "SELECT prefix, tenant, secret, role, agents, label, created, expires, revoked, networks
                       FROM api_keys WHERE prefix = $1";
            session.row(sql, &[&prefix.as_str()])?.as_ref().map(key).transpose()
        })
    }

    fn keys(&self, tenant: &TenantId) -> Result<Vec<ApiKeyRecord>, StoreError> {
        self.read(|session| {
            let sql =
                "SELECT prefix, tenant, secret, role, agents, label, created, expires, revoked, networks
                       FROM api_keys WHERE tenant = $1 ORDER BY created, number";
            session.rows(sql, &[&tenant.as_str()])?.iter().map(key).collect()
        })
    }

    fn revoke_key(
        &mut self,
        tenant: &TenantId,
        prefix: &KeyPrefix,
        at: UnixTime,
    ) -> Result<Option<UnixTime>, StoreError> {
        self.write(|session| {
            let sql = "UPDATE api_keys SET revoked = coalesce(revoked, $3) WHERE tenant = $1 AND prefix = $2
                       RETURNING revoked";
            let row = session.row(sql, &[&tenant.as_str(), &prefix.as_str(), &at.seconds()])?;
            row.map(|row| time(&row, 0)).transpose()
        })
    }
}

pub(super) fn is_tenant(session: &mut Session, tenant: &TenantId) -> Result<bool, StoreError> {
    session.is_there("SELECT 1 FROM tenants WHERE id = $1", &[&tenant.as_str()])
}

fn key(row: &Row) -> Result<ApiKeyRecord, StoreError> {
    let agents: Option<&[u8]> = row.try_get(4)?;
    let networks: Option<&str> = row.try_get(9)?;
    Ok(ApiKeyRecord {
        prefix: KeyPrefix::parse(row.try_get(0)?).ok_or(damaged("key"))?,
        tenant: tenant_of(row, 1)?,
        secret: digest(row, 2)?,
        role: Role::from_word(row.try_get(3)?).ok_or(damaged("role"))?,
        agents: agents.map(bound_to).transpose()?,
        label: words(row, 5)?,
        created: time(row, 6)?,
        expires: maybe_time(row, 7)?,
        revoked: maybe_time(row, 8)?,
        networks: networks.map(|text| text.split_whitespace().map(str::to_owned).collect()),
    })
}

fn bound_to(bytes: &[u8]) -> Result<Vec<AgentId>, StoreError> {
    let id = |chunk: &[u8]| chunk.try_into().map(AgentId::from_bytes).map_err(|_| damaged("key"));
    bytes.chunks(16).map(id).collect()
}
