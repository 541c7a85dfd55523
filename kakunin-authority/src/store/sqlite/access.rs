//! API keys in SQLite.

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};

use super::{Broken, SqliteStore, damaged, tenant};
use crate::access::{KeyPrefix, Role, TenantId};
use crate::store::{Access, ApiKeyRecord, StoreError};

impl Access for SqliteStore {
    fn add_tenant(&mut self, tenant: &TenantId, at: UnixTime) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "INSERT INTO tenants (id, created) VALUES (?1, ?2)";
            let added = connection.execute(sql, params![tenant.as_str(), at.seconds()]);
            match Broken::rule(&added) {
                Some(_) => Err(StoreError::TenantTaken { tenant: tenant.clone() }),
                None => Ok(added.map(|_| ())?),
            }
        })
    }

    fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT id FROM tenants ORDER BY id")?;
        let rows = statement.query_map([], |row| tenant(row, 0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn tenant_since(&self, tenant: &TenantId) -> Result<Option<UnixTime>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT created FROM tenants WHERE id = ?1")?;
        let since = statement.query_row([tenant.as_str()], |row| row.get(0)).optional()?;
        Ok(since.map(UnixTime::from_seconds))
    }

    fn add_key(&mut self, key: &ApiKeyRecord) -> Result<(), StoreError> {
        let agents: Option<Vec<u8>> =
            key.agents.as_ref().map(|agents| agents.iter().flat_map(|agent| *agent.as_bytes()).collect());
        self.write(|connection| {
            let sql = "INSERT INTO api_keys
                       (prefix, tenant, secret, role, agents, label, created, expires, revoked, networks)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
            let row = params![
                key.prefix.as_str(),
                key.tenant.as_str(),
                key.secret.as_bytes(),
                key.role.word(),
                agents,
                key.label,
                key.created.seconds(),
                key.expires.map(UnixTime::seconds),
                key.revoked.map(UnixTime::seconds),
                key.networks.as_ref().map(|networks| networks.join(" ")),
            ];
            let added = connection.execute(sql, row);
            match Broken::rule(&added) {
                Some(Broken::Unique) => Err(StoreError::KeyTaken { prefix: key.prefix.clone() }),
                Some(Broken::Reference) => Err(StoreError::UnknownTenant { tenant: key.tenant.clone() }),
                None => Ok(added.map(|_| ())?),
            }
        })
    }

    fn key(&self, prefix: &KeyPrefix) -> Result<Option<ApiKeyRecord>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!("{KEYS} WHERE prefix = ?1"))?;
        Ok(statement.query_row([prefix.as_str()], key).optional()?)
    }

    fn keys(&self, tenant: &TenantId) -> Result<Vec<ApiKeyRecord>, StoreError> {
        let sql = format!("{KEYS} WHERE tenant = ?1 ORDER BY created, rowid");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([tenant.as_str()], key)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn revoke_key(
        &mut self,
        tenant: &TenantId,
        prefix: &KeyPrefix,
        at: UnixTime,
    ) -> Result<Option<UnixTime>, StoreError> {
        self.write(|connection| {
            let sql = "UPDATE api_keys SET revoked = coalesce(revoked, ?3) WHERE tenant = ?1 AND prefix = ?2
                       RETURNING revoked";
            let mut statement = connection.prepare_cached(sql)?;
            let row = params![tenant.as_str(), prefix.as_str(), at.seconds()];
            let revoked = statement.query_row(row, |row| row.get(0)).optional()?;
            Ok(revoked.map(UnixTime::from_seconds))
        })
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<ApiKeyRecord> {
    let prefix: String = row.get(0)?;
    let role: String = row.get(3)?;
    let agents: Option<Vec<u8>> = row.get(4)?;
    let networks: Option<String> = row.get(9)?;
    Ok(ApiKeyRecord {
        prefix: KeyPrefix::parse(&prefix).ok_or_else(|| damaged(0, Type::Text))?,
        tenant: tenant(row, 1)?,
        secret: Digest::from_bytes(row.get(2)?),
        role: Role::from_word(&role).ok_or_else(|| damaged(3, Type::Text))?,
        agents: agents.map(|bytes| bound_to(&bytes)).transpose()?,
        label: row.get(5)?,
        created: UnixTime::from_seconds(row.get(6)?),
        expires: row.get::<_, Option<i64>>(7)?.map(UnixTime::from_seconds),
        revoked: row.get::<_, Option<i64>>(8)?.map(UnixTime::from_seconds),
        networks: networks.map(|text| text.split_whitespace().map(str::to_owned).collect()),
    })
}

fn bound_to(bytes: &[u8]) -> rusqlite::Result<Vec<AgentId>> {
    let id = |chunk: &[u8]| chunk.try_into().map(AgentId::from_bytes).map_err(|_| damaged(4, Type::Blob));
    bytes.chunks(16).map(id).collect()
}

const KEYS: &str =
    "SELECT prefix, tenant, secret, role, agents, label, created, expires, revoked, networks FROM api_keys";
