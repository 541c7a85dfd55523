//! What agents were shown of logs, in PostgreSQL.

use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use tokio_postgres::Row;

use super::PostgresStore;
use super::session::Session;
use super::values::{agent_id, bytes, count, damaged, digest, maybe_words, tenant as tenant_of, time, words};
use crate::access::TenantId;
use crate::store::checkpoints::{NEWEST, kept_size, mark_of};
use crate::store::{
    CheckpointRecord, Checkpoints, ContradictionKind, ContradictionRecord, ShownFilter, StoreError,
};

impl Checkpoints for PostgresStore {
    fn pin_log(
        &mut self,
        tenant: &TenantId,
        agent: AgentId,
        log: &str,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(|session| {
            has_agent(session, tenant, agent)?;
            let sql = "INSERT INTO log_pins (tenant, agent, log, at) VALUES ($1, $2, $3, $4)
                       ON CONFLICT (tenant, agent) DO UPDATE SET log = excluded.log, at = excluded.at";
            let id = &agent.as_bytes()[..];
            session.execute(sql, &[&tenant.as_str(), &id, &log.as_bytes(), &at.seconds()])?;
            Ok(())
        })
    }

    fn log_pin(&self, tenant: &TenantId, agent: AgentId) -> Result<Option<(String, UnixTime)>, StoreError> {
        self.read(|session| {
            let sql = "SELECT log, at FROM log_pins WHERE tenant = $1 AND agent = $2";
            let row = session.row(sql, &[&tenant.as_str(), &&agent.as_bytes()[..]])?;
            row.map(|row| Ok((words(&row, 0)?, time(&row, 1)?))).transpose()
        })
    }

    fn keep_checkpoint(&mut self, checkpoint: &CheckpointRecord) -> Result<bool, StoreError> {
        let (size, proven) = (kept_size(checkpoint.size)?, checkpoint.proven.map(kept_size).transpose()?);
        self.write(|session| {
            has_agent(session, &checkpoint.tenant, checkpoint.agent)?;
            // INVARIANT: one node leads and writes, so no two rows are given one number.
            let sql = "INSERT INTO checkpoints
                       (tenant, number, agent, log, size, root, note, proven, received)
                       SELECT $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5, $6, $7, $8
                       FROM checkpoints WHERE tenant = $1
                       ON CONFLICT (tenant, agent, log, size, root) DO NOTHING";
            let added = session.execute(
                sql,
                &[
                    &checkpoint.tenant.as_str(),
                    &&checkpoint.agent.as_bytes()[..],
                    &checkpoint.log.as_bytes(),
                    &size,
                    &&checkpoint.root.as_bytes()[..],
                    &checkpoint.note.as_bytes(),
                    &proven,
                    &checkpoint.received.seconds(),
                ],
            )?;
            if added > 0 {
                let CheckpointRecord { tenant, agent, log, .. } = checkpoint;
                let (agent, newest) = (&agent.as_bytes()[..], i64::from(NEWEST) - 1);
                session.execute(PUT_OUT, &[&tenant.as_str(), &agent, &log.as_bytes(), &newest])?;
            }
            Ok(added > 0)
        })
    }

    fn largest_checkpoint(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        log: &str,
    ) -> Result<Option<CheckpointRecord>, StoreError> {
        self.read(|session| {
            let sql = format!(
                "{CHECKPOINTS} WHERE tenant = $1 AND agent = $2 AND log = $3
                 ORDER BY size DESC, number LIMIT 1"
            );
            let row = session.row(&sql, &[&tenant.as_str(), &&agent.as_bytes()[..], &log.as_bytes()])?;
            row.map(|row| Ok(checkpoint(&row)?.1)).transpose()
        })
    }

    fn checkpoint_of_size(
        &self,
        tenant: &TenantId,
        agent: Option<AgentId>,
        log: &str,
        size: u64,
    ) -> Result<Option<CheckpointRecord>, StoreError> {
        let size = kept_size(size)?;
        self.read(|session| {
            let sql = format!(
                "{CHECKPOINTS} WHERE tenant = $1 AND log = $2 AND size = $3
                 AND ($4::bytea IS NULL OR agent = $4) ORDER BY number LIMIT 1"
            );
            let agent = agent.as_ref().map(|agent| &agent.as_bytes()[..]);
            let row = session.row(&sql, &[&tenant.as_str(), &log.as_bytes(), &size, &agent])?;
            row.map(|row| Ok(checkpoint(&row)?.1)).transpose()
        })
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
        self.write(|session| {
            has_agent(session, &contradiction.tenant, contradiction.agent)?;
            let sql = "INSERT INTO contradictions
                       (tenant, number, agent, mark, kind, log, known, offered, received)
                       SELECT $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5, $6, $7, $8
                       FROM contradictions WHERE tenant = $1
                       ON CONFLICT (tenant, agent, mark) DO NOTHING";
            let added = session.execute(
                sql,
                &[
                    &contradiction.tenant.as_str(),
                    &&contradiction.agent.as_bytes()[..],
                    &&mark.as_bytes()[..],
                    &contradiction.kind.code(),
                    &contradiction.log.as_bytes(),
                    &bytes(&contradiction.known),
                    &contradiction.offered.as_bytes(),
                    &contradiction.received.seconds(),
                ],
            )?;
            Ok(added > 0)
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
        self.read(|session| {
            let row = session.row("SELECT count(*) FROM contradictions", &[])?;
            row.map_or(Ok(0), |row| count(&row, 0))
        })
    }
}

impl PostgresStore {
    fn shown<T>(
        &self,
        rows: &str,
        tenant: &TenantId,
        filter: &ShownFilter,
        limit: u32,
        read: fn(&Row) -> Result<(u64, T), StoreError>,
    ) -> Result<Vec<(u64, T)>, StoreError> {
        let below = filter.below.and_then(|below| i64::try_from(below).ok()).unwrap_or(i64::MAX);
        let agents = filter.agents.as_ref();
        let agents: Option<Vec<&[u8]>> =
            agents.map(|agents| agents.iter().map(|agent| &agent.as_bytes()[..]).collect());
        self.read(|session| {
            let sql = format!(
                "{rows} WHERE tenant = $1 AND number < $2
                 AND ($3::bytea[] IS NULL OR agent = ANY ($3)) ORDER BY number DESC LIMIT $4"
            );
            let rows = session.rows(&sql, &[&tenant.as_str(), &below, &agents, &i64::from(limit)])?;
            rows.iter().map(read).collect()
        })
    }
}

fn has_agent(session: &mut Session, tenant: &TenantId, agent: AgentId) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM agents WHERE tenant = $1 AND id = $2";
    let known = session.is_there(sql, &[&tenant.as_str(), &&agent.as_bytes()[..]])?;
    if known { Ok(()) } else { Err(StoreError::UnknownAgent { id: agent }) }
}

fn checkpoint(row: &Row) -> Result<(u64, CheckpointRecord), StoreError> {
    let proven: Option<i64> = row.try_get(7)?;
    let proven = proven.map(|size| u64::try_from(size).map_err(|_| damaged("size of a log")));
    let record = CheckpointRecord {
        tenant: tenant_of(row, 1)?,
        agent: agent_id(row, 2)?,
        log: words(row, 3)?,
        size: count(row, 4)?,
        root: digest(row, 5)?,
        note: words(row, 6)?,
        proven: proven.transpose()?,
        received: time(row, 8)?,
    };
    Ok((count(row, 0)?, record))
}

fn contradiction(row: &Row) -> Result<(u64, ContradictionRecord), StoreError> {
    let record = ContradictionRecord {
        tenant: tenant_of(row, 1)?,
        agent: agent_id(row, 2)?,
        kind: ContradictionKind::from_code(row.try_get(3)?).ok_or(damaged("contradiction"))?,
        log: words(row, 4)?,
        known: maybe_words(row, 5)?,
        offered: words(row, 6)?,
        received: time(row, 7)?,
    };
    Ok((count(row, 0)?, record))
}

const CHECKPOINTS: &str =
    "SELECT number, tenant, agent, log, size, root, note, proven, received FROM checkpoints";
const CONTRADICTIONS: &str =
    "SELECT number, tenant, agent, kind, log, known, offered, received FROM contradictions";
/// Nothing where there are no more than the newest: a number is smaller than none.
const PUT_OUT: &str = "DELETE FROM checkpoints WHERE tenant = $1 AND agent = $2 AND log = $3
    AND number < (SELECT number FROM checkpoints WHERE tenant = $1 AND agent = $2 AND log = $3
                  ORDER BY number DESC LIMIT 1 OFFSET $4)
    AND number > (SELECT min(number) FROM checkpoints WHERE tenant = $1 AND agent = $2 AND log = $3)
    AND number <> (SELECT number FROM checkpoints WHERE tenant = $1 AND agent = $2 AND log = $3
                   ORDER BY size DESC, number LIMIT 1)";
