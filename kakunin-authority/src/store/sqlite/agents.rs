//! Agents in SQLite.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Broken, SqliteStore, damaged, feed, hooks, standing, tenant, tokens};
use crate::access::TenantId;
use crate::agent::AgentName;
use crate::standing::Standing;
use crate::store::hooks::notices;
use crate::store::{
    AgentDetails, AgentFilter, AgentPage, AgentRecord, Agents, EventRecord, FeedChange, StandingChange,
    StoreError,
};

impl Agents for SqliteStore {
    fn add_agent(&mut self, agent: &AgentRecord) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "INSERT INTO agents (tenant, id, name, created, updated, standing, scope,
                       title, model, model_hash, version, description, metadata)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
            let details = &agent.details;
            let added = connection.prepare_cached(sql)?.execute(params![
                agent.tenant.as_str(),
                agent.id.as_bytes(),
                agent.name.as_str(),
                agent.created.seconds(),
                agent.updated.seconds(),
                agent.standing.word(),
                agent.scope,
                details.title,
                details.model,
                details.model_hash,
                details.version,
                details.description,
                details.metadata,
            ]);
            match Broken::rule(&added) {
                Some(Broken::Unique) if is_known(connection, agent.id)? => {
                    Err(StoreError::AgentTaken { id: agent.id })
                }
                Some(Broken::Unique) => Err(StoreError::NameTaken { name: agent.name.clone() }),
                Some(Broken::Reference) => Err(StoreError::UnknownTenant { tenant: agent.tenant.clone() }),
                None => Ok(added.map(|_| ())?),
            }
        })
    }

    fn agents(&self, tenant: &TenantId) -> Result<Vec<AgentRecord>, StoreError> {
        let sql = format!("{AGENTS} WHERE tenant = ?1 ORDER BY name");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([tenant.as_str()], agent)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn agents_page(&self, tenant: &TenantId, page: &AgentPage) -> Result<Vec<AgentRecord>, StoreError> {
        let below = match page.after {
            None => i64::MAX,
            Some(id) => {
                let sql = "SELECT number FROM agents WHERE tenant = ?1 AND id = ?2";
                let mut statement = self.connection.prepare_cached(sql)?;
                let place = params![tenant.as_str(), id.as_bytes()];
                let number = statement.query_row(place, |row| row.get(0)).optional()?;
                number.ok_or(StoreError::UnknownAgent { id })?
            }
        };
        let sql = format!("{AGENTS} WHERE {FILTER} AND number < ?4 ORDER BY number DESC LIMIT ?5 OFFSET ?6");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let AgentFilter { standing, certified } = page.filter;
        let standing = standing.map(crate::standing::Standing::word);
        let row = params![tenant.as_str(), standing, certified, below, page.limit, page.offset];
        let rows = statement.query_map(row, agent)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn count_agents(&self, tenant: &TenantId, filter: AgentFilter) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM agents WHERE {FILTER}");
        let standing = filter.standing.map(crate::standing::Standing::word);
        let row = params![tenant.as_str(), standing, filter.certified];
        let count: i64 = self.connection.prepare_cached(&sql)?.query_row(row, |row| row.get(0))?;
        u64::try_from(count).map_err(|_| StoreError::Damaged { what: "count" })
    }

    fn agent(&self, tenant: &TenantId, id: AgentId) -> Result<Option<AgentRecord>, StoreError> {
        let sql = format!("{AGENTS} WHERE tenant = ?1 AND id = ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row(params![tenant.as_str(), id.as_bytes()], agent).optional()?)
    }

    fn agent_named(&self, tenant: &TenantId, name: &AgentName) -> Result<Option<AgentRecord>, StoreError> {
        let sql = format!("{AGENTS} WHERE tenant = ?1 AND name = ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row(params![tenant.as_str(), name.as_str()], agent).optional()?)
    }

    fn set_scope(
        &mut self,
        tenant: &TenantId,
        id: AgentId,
        scope: &[u8],
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "UPDATE agents SET scope = ?3, updated = ?4 WHERE tenant = ?1 AND id = ?2";
            let row = params![tenant.as_str(), id.as_bytes(), scope, at.seconds()];
            found(connection.prepare_cached(sql)?.execute(row)?, id)
        })
    }

    fn set_details(
        &mut self,
        tenant: &TenantId,
        id: AgentId,
        details: &AgentDetails,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "UPDATE agents SET updated = ?3, title = ?4, model = ?5, model_hash = ?6, version = ?7,
                       description = ?8, metadata = ?9 WHERE tenant = ?1 AND id = ?2";
            let row = params![
                tenant.as_str(),
                id.as_bytes(),
                at.seconds(),
                details.title,
                details.model,
                details.model_hash,
                details.version,
                details.description,
                details.metadata,
            ];
            found(connection.prepare_cached(sql)?.execute(row)?, id)
        })
    }

    fn change_standing(&mut self, change: &StandingChange<'_>) -> Result<Vec<FeedChange>, StoreError> {
        self.write(|connection| {
            let (tenant, agent) = (change.tenant.as_str(), change.agent.as_bytes());
            let word = change.to.word();
            let sql = "SELECT name, standing FROM agents WHERE tenant = ?1 AND id = ?2";
            let known = connection
                .prepare_cached(sql)?
                .query_row(params![tenant, agent], |row| Ok((row.get::<_, String>(0)?, standing(row, 1)?)));
            let (name, before) = known.optional()?.ok_or(StoreError::UnknownAgent { id: change.agent })?;
            let sql = "UPDATE agents SET standing = ?3 WHERE tenant = ?1 AND id = ?2";
            connection.prepare_cached(sql)?.execute(params![tenant, agent, word])?;
            let sql = "INSERT INTO events (at, tenant, agent, what, text) VALUES (?1, ?2, ?3, ?4, ?5)";
            let row = params![change.at.seconds(), tenant, agent, word, change.text];
            connection.prepare_cached(sql)?.execute(row)?;
            if change.to == Standing::Revoked {
                tokens::forget_of(connection, tenant, change.agent)?;
            }
            let told = feed::change(connection, change)?;
            for notice in notices(change, &name, before, &told) {
                hooks::announce(connection, &notice)?;
            }
            Ok(told)
        })
    }

    fn events(&self, tenant: &TenantId, agent: AgentId) -> Result<Vec<EventRecord>, StoreError> {
        let sql = "SELECT at, what, text FROM events WHERE tenant = ?1 AND agent = ?2 ORDER BY number";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![tenant.as_str(), agent.as_bytes()], |row| {
            Ok(EventRecord { at: UnixTime::from_seconds(row.get(0)?), what: row.get(1)?, text: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn keep_directory(&mut self, tenant: &TenantId, agent: AgentId, path: &Path) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "INSERT INTO directories (path, tenant, agent) VALUES (?1, ?2, ?3)
                       ON CONFLICT (path) DO UPDATE SET tenant = excluded.tenant, agent = excluded.agent";
            let row = params![path.as_os_str().as_bytes(), tenant.as_str(), agent.as_bytes()];
            let kept = connection.execute(sql, row);
            match Broken::rule(&kept) {
                Some(_) => Err(StoreError::UnknownAgent { id: agent }),
                None => Ok(kept.map(|_| ())?),
            }
        })
    }

    fn directories(&self, tenant: &TenantId, agent: AgentId) -> Result<Vec<PathBuf>, StoreError> {
        let sql = "SELECT path FROM directories WHERE tenant = ?1 AND agent = ?2 ORDER BY number";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![tenant.as_str(), agent.as_bytes()], |row| {
            Ok(PathBuf::from(std::ffi::OsString::from_vec(row.get(0)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn has_directories(&self) -> Result<bool, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM directories)")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    fn keep_names(&mut self, root: Digest, text: &str) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "INSERT INTO names (root, text) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            connection.execute(sql, params![root.as_bytes(), text])?;
            Ok(())
        })
    }

    fn names(&self, root: Digest) -> Result<Option<String>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT text FROM names WHERE root = ?1")?;
        Ok(statement.query_row([root.as_bytes()], |row| row.get(0)).optional()?)
    }
}

fn agent(row: &Row<'_>) -> rusqlite::Result<AgentRecord> {
    let name: String = row.get(2)?;
    Ok(AgentRecord {
        tenant: tenant(row, 0)?,
        id: AgentId::from_bytes(row.get(1)?),
        name: AgentName::parse(&name).map_err(|_| damaged(2, Type::Text))?,
        created: UnixTime::from_seconds(row.get(3)?),
        updated: UnixTime::from_seconds(row.get(4)?),
        standing: standing(row, 5)?,
        scope: row.get(6)?,
        details: AgentDetails {
            title: row.get(7)?,
            model: row.get(8)?,
            model_hash: row.get(9)?,
            version: row.get(10)?,
            description: row.get(11)?,
            metadata: row.get(12)?,
        },
    })
}

fn is_known(connection: &Connection, id: AgentId) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM agents WHERE id = ?1")?;
    Ok(statement.exists([id.as_bytes()])?)
}

fn found(rows: usize, id: AgentId) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::UnknownAgent { id }) } else { Ok(()) }
}

const AGENTS: &str = "SELECT tenant, id, name, created, updated, standing, scope,
                      title, model, model_hash, version, description, metadata FROM agents";

/// Of the tenant ?1, of the standing ?2 if there is one, certified as ?3 says if it says so.
const FILTER: &str = "tenant = ?1 AND (?2 IS NULL OR standing = ?2) AND (?3 IS NULL OR ?3 = EXISTS
    (SELECT 1 FROM certificates c WHERE c.tenant = agents.tenant AND c.agent = agents.id AND c.der IS NOT NULL))";
