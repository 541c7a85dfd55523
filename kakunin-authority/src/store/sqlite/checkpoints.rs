//! What agents were shown of logs, in SQLite.

use std::fmt::Write as _;

use kakunin_core::digest::{Digest, hex};
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};

use super::{Broken, SqliteStore, damaged, tenant};
use crate::access::TenantId;
use crate::store::checkpoints::{NEWEST, kept_size, mark_of};
use crate::store::{
    CheckpointRecord, Checkpoints, ContradictionKind, ContradictionRecord, ShownFilter, StoreError,
};

impl Checkpoints for SqliteStore {
    fn pin_log(
        &mut self,
        tenant: &TenantId,
        agent: AgentId,
        log: &str,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "INSERT INTO log_pins (tenant, agent, log, at) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT (tenant, agent) DO UPDATE SET log = excluded.log, at = excluded.at";
            let row = params![tenant.as_str(), agent.as_bytes(), log, at.seconds()];
            known(connection.execute(sql, row), agent).map(drop)
        })
    }

    fn log_pin(&self, tenant: &TenantId, agent: AgentId) -> Result<Option<(String, UnixTime)>, StoreError> {
        let sql = "SELECT log, at FROM log_pins WHERE tenant = ?1 AND agent = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row(params![tenant.as_str(), agent.as_bytes()], |row| {
            Ok((row.get(0)?, UnixTime::from_seconds(row.get(1)?)))
        });
        Ok(found.optional()?)
    }

    fn keep_checkpoint(&mut self, checkpoint: &CheckpointRecord) -> Result<bool, StoreError> {
        let (size, proven) = (kept_size(checkpoint.size)?, checkpoint.proven.map(kept_size).transpose()?);
        self.write(|connection| {
            let sql = "INSERT INTO checkpoints
                       (tenant, number, agent, log, size, root, note, proven, received)
                       SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
                       FROM checkpoints WHERE tenant = ?1
                       ON CONFLICT (tenant, agent, log, size, root) DO NOTHING";
            let row = params![
                checkpoint.tenant.as_str(),
                checkpoint.agent.as_bytes(),
                checkpoint.log,
                size,
                checkpoint.root.as_bytes(),
                checkpoint.note,
                proven,
                checkpoint.received.seconds(),
            ];
            let is_new = known(connection.execute(sql, row), checkpoint.agent)? > 0;
            if is_new {
                let CheckpointRecord { tenant, agent, log, .. } = checkpoint;
                let of = params![tenant.as_str(), agent.as_bytes(), log, NEWEST - 1];
                connection.execute(PUT_OUT, of)?;
            }
            Ok(is_new)
        })
    }

    fn largest_checkpoint(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        log: &str,
    ) -> Result<Option<CheckpointRecord>, StoreError> {
        let sql = format!(
            "{CHECKPOINTS} WHERE tenant = ?1 AND agent = ?2 AND log = ?3 ORDER BY size DESC, number LIMIT 1"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let found = statement.query_row(params![tenant.as_str(), agent.as_bytes(), log], checkpoint);
        Ok(found.optional()?.map(|(_, record)| record))
    }

    fn checkpoint_of_size(
        &self,
        tenant: &TenantId,
        agent: Option<AgentId>,
        log: &str,
        size: u64,
    ) -> Result<Option<CheckpointRecord>, StoreError> {
        let sql = format!(
            "{CHECKPOINTS} WHERE tenant = ?1 AND log = ?2 AND size = ?3 AND (?4 IS NULL OR agent = ?4)
             ORDER BY number LIMIT 1"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let agent = agent.as_ref().map(AgentId::as_bytes);
        let found = statement.query_row(params![tenant.as_str(), log, kept_size(size)?, agent], checkpoint);
        Ok(found.optional()?.map(|(_, record)| record))
    }

    fn checkpoints(
        &self,
        tenant: &TenantId,
        filter: &ShownFilter,
        limit: u32,
    ) -> Result<Vec<(u64, CheckpointRecord)>, StoreError> {
        self.shown(CHECKPOINTS, tenant, filter, limit, checkpoint)
    }

    fn keep_contradiction(&mut self, contradiction: &ContradictionRecord) -> Result<bool, StoreError> {
        let mark = mark_of(contradiction);
        self.write(|connection| {
            let sql = "INSERT INTO contradictions
                       (tenant, number, agent, mark, kind, log, known, offered, received)
                       SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
                       FROM contradictions WHERE tenant = ?1
                       ON CONFLICT (tenant, agent, mark) DO NOTHING";
            let row = params![
                contradiction.tenant.as_str(),
                contradiction.agent.as_bytes(),
                mark.as_bytes(),
                contradiction.kind.code(),
                contradiction.log,
                contradiction.known,
                contradiction.offered,
                contradiction.received.seconds(),
            ];
            Ok(known(connection.execute(sql, row), contradiction.agent)? > 0)
        })
    }

    fn contradictions(
        &self,
        tenant: &TenantId,
        filter: &ShownFilter,
        limit: u32,
    ) -> Result<Vec<(u64, ContradictionRecord)>, StoreError> {
        self.shown(CONTRADICTIONS, tenant, filter, limit, contradiction)
    }

    fn count_contradictions(&self) -> Result<u64, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT count(*) FROM contradictions")?;
        Ok(statement.query_row([], |row| natural(row, 0))?)
    }
}

impl SqliteStore {
    fn shown<T>(
        &self,
        rows: &str,
        tenant: &TenantId,
        filter: &ShownFilter,
        limit: u32,
        read: fn(&Row<'_>) -> rusqlite::Result<(u64, T)>,
    ) -> Result<Vec<(u64, T)>, StoreError> {
        let mut sql = format!("{rows} WHERE tenant = ?1 AND number < ?2");
        if let Some(agents) = &filter.agents {
            // Octets as hexadecimal digits are nothing that a statement could be made of.
            let list: Vec<String> =
                agents.iter().map(|agent| format!("x'{}'", hex(agent.as_bytes()))).collect();
            let _ = write!(sql, " AND agent IN ({})", list.join(", "));
        }
        let _ = write!(sql, " ORDER BY number DESC LIMIT {limit}");
        let below = filter.below.and_then(|below| i64::try_from(below).ok()).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare(&sql)?;
        let rows = statement.query_map(params![tenant.as_str(), below], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// How many rows were added, unless the agent is none of the tenant's.
fn known(added: rusqlite::Result<usize>, agent: AgentId) -> Result<usize, StoreError> {
    match Broken::rule(&added) {
        Some(Broken::Reference) => Err(StoreError::UnknownAgent { id: agent }),
        _ => Ok(added?),
    }
}

fn checkpoint(row: &Row<'_>) -> rusqlite::Result<(u64, CheckpointRecord)> {
    let proven: Option<i64> = row.get(7)?;
    let proven = proven.map(|size| u64::try_from(size).map_err(|_| damaged(7, Type::Integer)));
    let record = CheckpointRecord {
        tenant: tenant(row, 1)?,
        agent: AgentId::from_bytes(row.get(2)?),
        log: row.get(3)?,
        size: natural(row, 4)?,
        root: Digest::from_bytes(row.get(5)?),
        note: row.get(6)?,
        proven: proven.transpose()?,
        received: UnixTime::from_seconds(row.get(8)?),
    };
    Ok((natural(row, 0)?, record))
}

fn contradiction(row: &Row<'_>) -> rusqlite::Result<(u64, ContradictionRecord)> {
    let kind: String = row.get(3)?;
    let record = ContradictionRecord {
        tenant: tenant(row, 1)?,
        agent: AgentId::from_bytes(row.get(2)?),
        kind: ContradictionKind::from_code(&kind).ok_or_else(|| damaged(3, Type::Text))?,
        log: row.get(4)?,
        known: row.get(5)?,
        offered: row.get(6)?,
        received: UnixTime::from_seconds(row.get(7)?),
    };
    Ok((natural(row, 0)?, record))
}

fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| damaged(column, Type::Integer))
}

const CHECKPOINTS: &str =
    "SELECT number, tenant, agent, log, size, root, note, proven, received FROM checkpoints";
const CONTRADICTIONS: &str =
    "SELECT number, tenant, agent, kind, log, known, offered, received FROM contradictions";
/// Nothing where there are no more than the newest: a number is smaller than none.
const PUT_OUT: &str = "DELETE FROM checkpoints WHERE tenant = ?1 AND agent = ?2 AND log = ?3
    AND number < (SELECT number FROM checkpoints WHERE tenant = ?1 AND agent = ?2 AND log = ?3
                  ORDER BY number DESC LIMIT 1 OFFSET ?4)
    AND number > (SELECT min(number) FROM checkpoints WHERE tenant = ?1 AND agent = ?2 AND log = ?3)
    AND number <> (SELECT number FROM checkpoints WHERE tenant = ?1 AND agent = ?2 AND log = ?3
                   ORDER BY size DESC, number LIMIT 1)";
