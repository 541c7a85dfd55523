//! Agents in PostgreSQL.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use tokio_postgres::Row;

use super::access::is_tenant;
use super::session::Session;
use super::values::{agent_id, bytes, damaged, maybe_words, standing, tenant as tenant_of, time, words};
use super::{PostgresStore, feed, hooks, tokens};
use crate::access::TenantId;
use crate::agent::AgentName;
use crate::standing::Standing;
use crate::store::hooks::notices;
use crate::store::{
    AgentDetails, AgentFilter, AgentPage, AgentRecord, Agents, EventRecord, FeedChange, StandingChange,
    StoreError,
};

impl Agents for PostgresStore {
    fn add_agent(&mut self, agent: &AgentRecord) -> Result<(), StoreError> {
        self.write(|session| {
            let (tenant, name) = (agent.tenant.as_str(), agent.name.as_str());
            if is_known(session, agent.id)? {
                return Err(StoreError::AgentTaken { id: agent.id });
            }
            if session.is_there("SELECT 1 FROM agents WHERE tenant = $1 AND name = $2", &[&tenant, &name])? {
                return Err(StoreError::NameTaken { name: agent.name.clone() });
            }
            if !is_tenant(session, &agent.tenant)? {
                return Err(StoreError::UnknownTenant { tenant: agent.tenant.clone() });
            }
            let sql = "INSERT INTO agents (tenant, id, name, created, updated, standing, scope,
                       title, model, model_hash, version, description, metadata)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
            let details = &agent.details;
            session.execute(
                sql,
                &[
                    &tenant,
                    &&agent.id.as_bytes()[..],
                    &name,
                    &agent.created.seconds(),
                    &agent.updated.seconds(),
                    &agent.standing.word(),
                    &agent.scope,
                    &bytes(&details.title),
                    &bytes(&details.model),
                    &bytes(&details.model_hash),
                    &bytes(&details.version),
                    &bytes(&details.description),
                    &bytes(&details.metadata),
                ],
            )?;
            Ok(())
        })
    }

    fn agents(&self, tenant: &TenantId) -> Result<Vec<AgentRecord>, StoreError> {
        self.read(|session| {
            let sql = agents_where("tenant = $1 ORDER BY name");
            session.rows(&sql, &[&tenant.as_str()])?.iter().map(agent).collect()
        })
    }

    fn agents_page(&self, tenant: &TenantId, page: &AgentPage) -> Result<Vec<AgentRecord>, StoreError> {
        self.read(|session| {
            let below = match page.after {
                None => i64::MAX,
                Some(id) => {
                    let sql = "SELECT number FROM agents WHERE tenant = $1 AND id = $2";
                    let row = session.row(sql, &[&tenant.as_str(), &&id.as_bytes()[..]])?;
                    row.ok_or(StoreError::UnknownAgent { id })?.try_get(0)?
                }
            };
            let AgentFilter { standing, certified } = page.filter;
            let standing = standing.map(Standing::word);
            let sql =
                agents_where(&format!("{FILTER} AND number < $4 ORDER BY number DESC LIMIT $5 OFFSET $6"));
            let (limit, offset) = (i64::from(page.limit), i64::from(page.offset));
            let rows =
                session.rows(&sql, &[&tenant.as_str(), &standing, &certified, &below, &limit, &offset])?;
            rows.iter().map(agent).collect()
        })
    }

    fn count_agents(&self, tenant: &TenantId, filter: AgentFilter) -> Result<u64, StoreError> {
        self.read(|session| {
            let sql = format!("SELECT count(*) FROM agents WHERE {FILTER}");
            let standing = filter.standing.map(Standing::word);
            let count = session.number(&sql, &[&tenant.as_str(), &standing, &filter.certified])?;
            u64::try_from(count).map_err(|_| damaged("count"))
        })
    }

    fn agent(&self, tenant: &TenantId, id: AgentId) -> Result<Option<AgentRecord>, StoreError> {
        self.read(|session| {
            let sql = agents_where("tenant = $1 AND id = $2");
            let row = session.row(&sql, &[&tenant.as_str(), &&id.as_bytes()[..]])?;
            row.as_ref().map(agent).transpose()
        })
    }

    fn agent_named(&self, tenant: &TenantId, name: &AgentName) -> Result<Option<AgentRecord>, StoreError> {
        self.read(|session| {
            let sql = agents_where("tenant = $1 AND name = $2");
            session.row(&sql, &[&tenant.as_str(), &name.as_str()])?.as_ref().map(agent).transpose()
        })
    }

    fn set_scope(
        &mut self,
        tenant: &TenantId,
        id: AgentId,
        scope: &[u8],
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(|session| {
            let sql = "UPDATE agents SET scope = $3, updated = $4 WHERE tenant = $1 AND id = $2";
            let values =
                [&tenant.as_str() as &(dyn tokio_postgres::types::ToSql + Sync), &&id.as_bytes()[..]];
            let [tenant, agent] = values;
            found(session.execute(sql, &[tenant, agent, &scope, &at.seconds()])?, id)
        })
    }

    fn set_details(
        &mut self,
        tenant: &TenantId,
        id: AgentId,
        details: &AgentDetails,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(|session| {
            let sql = "UPDATE agents SET updated = $3, title = $4, model = $5, model_hash = $6, version = $7,
                       description = $8, metadata = $9 WHERE tenant = $1 AND id = $2";
            let changed = session.execute(
                sql,
                &[
                    &tenant.as_str(),
                    &&id.as_bytes()[..],
                    &at.seconds(),
                    &bytes(&details.title),
                    &bytes(&details.model),
                    &bytes(&details.model_hash),
                    &bytes(&details.version),
                    &bytes(&details.description),
                    &bytes(&details.metadata),
                ],
            )?;
            found(changed, id)
        })
    }

    fn change_standing(&mut self, change: &StandingChange<'_>) -> Result<Vec<FeedChange>, StoreError> {
        self.write(|session| {
            let (tenant, agent) = (change.tenant.as_str(), &change.agent.as_bytes()[..]);
            let word = change.to.word();
            let sql = "SELECT name, standing FROM agents WHERE tenant = $1 AND id = $2";
            let row = session.row(sql, &[&tenant, &agent])?;
            let row = row.ok_or(StoreError::UnknownAgent { id: change.agent })?;
            let (name, before): (&str, _) = (row.try_get(0)?, standing(&row, 1)?);
            let sql = "UPDATE agents SET standing = $3 WHERE tenant = $1 AND id = $2";
            session.execute(sql, &[&tenant, &agent, &word])?;
            let sql = "INSERT INTO events (at, tenant, agent, what, text) VALUES ($1, $2, $3, $4, $5)";
            let text = change.text.as_bytes();
            session.execute(sql, &[&change.at.seconds(), &tenant, &agent, &word, &text])?;
            if change.to == Standing::Revoked {
                tokens::forget_of(session, tenant, change.agent)?;
            }
            let told = feed::change(session, change)?;
            for notice in notices(change, name, before, &told) {
                hooks::announce(session, &notice)?;
            }
            Ok(told)
        })
    }

    fn events(&self, tenant: &TenantId, agent: AgentId) -> Result<Vec<EventRecord>, StoreError> {
        self.read(|session| {
            let sql = "SELECT at, what, text FROM events WHERE tenant = $1 AND agent = $2 ORDER BY number";
            let rows = session.rows(sql, &[&tenant.as_str(), &&agent.as_bytes()[..]])?;
            let event = |row: &Row| {
                Ok(EventRecord { at: time(row, 0)?, what: row.try_get(1)?, text: words(row, 2)? })
            };
            rows.iter().map(event).collect()
        })
    }

    fn keep_directory(&mut self, tenant: &TenantId, agent: AgentId, path: &Path) -> Result<(), StoreError> {
        self.write(|session| {
            let (tenant, id) = (tenant.as_str(), &agent.as_bytes()[..]);
            if !session.is_there("SELECT 1 FROM agents WHERE tenant = $1 AND id = $2", &[&tenant, &id])? {
                return Err(StoreError::UnknownAgent { id: agent });
            }
            let sql = "INSERT INTO directories (path, tenant, agent) VALUES ($1, $2, $3)
                       ON CONFLICT (path) DO UPDATE SET tenant = excluded.tenant, agent = excluded.agent";
            session.execute(sql, &[&path.as_os_str().as_bytes(), &tenant, &id])?;
            Ok(())
        })
    }

    fn directories(&self, tenant: &TenantId, agent: AgentId) -> Result<Vec<PathBuf>, StoreError> {
        self.read(|session| {
            let sql = "SELECT path FROM directories WHERE tenant = $1 AND agent = $2 ORDER BY number";
            let rows = session.rows(sql, &[&tenant.as_str(), &&agent.as_bytes()[..]])?;
            let path = |row: &Row| Ok(PathBuf::from(std::ffi::OsString::from_vec(row.try_get(0)?)));
            rows.iter().map(path).collect()
        })
    }

    fn has_directories(&self) -> Result<bool, StoreError> {
        self.read(|session| {
            let row = session.row("SELECT EXISTS (SELECT 1 FROM directories)", &[])?;
            Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(false))
        })
    }

    fn keep_names(&mut self, root: Digest, text: &str) -> Result<(), StoreError> {
        self.write(|session| {
            let sql = "INSERT INTO names (root, text) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            session.execute(sql, &[&&root.as_bytes()[..], &text.as_bytes()])?;
            Ok(())
        })
    }

    fn names(&self, root: Digest) -> Result<Option<String>, StoreError> {
        self.read(|session| {
            let row = session.row("SELECT text FROM names WHERE root = $1", &[&&root.as_bytes()[..]])?;
            row.map(|row| words(&row, 0)).transpose()
        })
    }
}

fn agent(row: &Row) -> Result<AgentRecord, StoreError> {
    Ok(AgentRecord {
        tenant: tenant_of(row, 0)?,
        id: agent_id(row, 1)?,
        name: AgentName::parse(row.try_get(2)?).map_err(|_| damaged("name"))?,
        created: time(row, 3)?,
        updated: time(row, 4)?,
        standing: standing(row, 5)?,
        scope: row.try_get(6)?,
        details: AgentDetails {
            title: maybe_words(row, 7)?,
            model: maybe_words(row, 8)?,
            model_hash: maybe_words(row, 9)?,
            version: maybe_words(row, 10)?,
            description: maybe_words(row, 11)?,
            metadata: maybe_words(row, 12)?,
        },
    })
}

fn is_known(session: &mut Session, id: AgentId) -> Result<bool, StoreError> {
    session.is_there("SELECT 1 FROM agents WHERE id = $1", &[&&id.as_bytes()[..]])
}

fn found(rows: u64, id: AgentId) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::UnknownAgent { id }) } else { Ok(()) }
}

fn agents_where(what: &str) -> String {
    format!(
        "SELECT tenant, id, name, created, updated, standing, scope,
         title, model, model_hash, version, description, metadata FROM agents WHERE {what}"
    )
}

/// Of the tenant $1, of the standing $2 if there is one, certified as $3 says if it says so.
const FILTER: &str = "tenant = $1 AND ($2::text IS NULL OR standing = $2) AND ($3::bool IS NULL OR $3 = EXISTS
    (SELECT 1 FROM certificates c WHERE c.tenant = agents.tenant AND c.agent = agents.id AND c.der IS NOT NULL))";
