//! What agents were shown of logs, in memory.

use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;

use super::{MemoryStore, most};
use crate::access::TenantId;
use crate::store::checkpoints::{kept_size, mark_of};
use crate::store::{CheckpointRecord, Checkpoints, ContradictionRecord, ShownFilter, StoreError};

impl Checkpoints for MemoryStore {
    fn pin_log(
        &mut self,
        tenant: &TenantId,
        agent: AgentId,
        log: &str,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.has_agent(tenant, agent)?;
        self.now.log_pins.insert((tenant.clone(), agent), (log.to_owned(), at));
        Ok(())
    }

    fn log_pin(&self, tenant: &TenantId, agent: AgentId) -> Result<Option<(String, UnixTime)>, StoreError> {
        Ok(self.now.log_pins.get(&(tenant.clone(), agent)).cloned())
    }

    fn keep_checkpoint(&mut self, checkpoint: &CheckpointRecord) -> Result<bool, StoreError> {
        kept_size(checkpoint.size)?;
        self.has_agent(&checkpoint.tenant, checkpoint.agent)?;
        let shown = |known: &CheckpointRecord| {
            let CheckpointRecord { tenant, agent, log, size, root, .. } = known;
            (tenant.clone(), *agent, log.clone(), *size, *root)
        };
        let is_known = self.now.checkpoints.iter().any(|known| shown(known) == shown(checkpoint));
        if !is_known {
            self.now.checkpoints.push(checkpoint.clone());
        }
        Ok(!is_known)
    }

    fn largest_checkpoint(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        log: &str,
    ) -> Result<Option<CheckpointRecord>, StoreError> {
        let shown = self
            .now
            .checkpoints
            .iter()
            .filter(|known| known.tenant == *tenant && known.agent == agent && known.log == log);
        // Of one size the first that came: `max_by_key` gives the last.
        Ok(shown.rev().max_by_key(|known| known.size).cloned())
    }

    fn checkpoint_of_size(
        &self,
        tenant: &TenantId,
        agent: Option<AgentId>,
        log: &str,
        size: u64,
    ) -> Result<Option<CheckpointRecord>, StoreError> {
        let of_size = |known: &&CheckpointRecord| {
            known.tenant == *tenant
                && agent.is_none_or(|agent| known.agent == agent)
                && known.log == log
                && known.size == size
        };
        Ok(self.now.checkpoints.iter().find(of_size).cloned())
    }

    fn checkpoints(
        &self,
        tenant: &TenantId,
        filter: &ShownFilter,
        limit: u32,
    ) -> Result<Vec<(u64, CheckpointRecord)>, StoreError> {
        let all = self.now.checkpoints.iter().filter(|known| known.tenant == *tenant);
        Ok(page((1..).zip(all.cloned()), filter, limit, |known| known.agent))
    }

    fn keep_contradiction(&mut self, contradiction: &ContradictionRecord) -> Result<bool, StoreError> {
        self.has_agent(&contradiction.tenant, contradiction.agent)?;
        let is_known = self.now.contradictions.iter().any(|known| {
            known.tenant == contradiction.tenant
                && known.agent == contradiction.agent
                && mark_of(known) == mark_of(contradiction)
        });
        if !is_known {
            self.now.contradictions.push(contradiction.clone());
        }
        Ok(!is_known)
    }

    fn contradictions(
        &self,
        tenant: &TenantId,
        filter: &ShownFilter,
        limit: u32,
    ) -> Result<Vec<(u64, ContradictionRecord)>, StoreError> {
        let all = self.now.contradictions.iter().filter(|known| known.tenant == *tenant);
        Ok(page((1..).zip(all.cloned()), filter, limit, |known| known.agent))
    }

    fn count_contradictions(&self) -> Result<u64, StoreError> {
        Ok(self.now.contradictions.len() as u64)
    }
}

impl MemoryStore {
    fn has_agent(&self, tenant: &TenantId, agent: AgentId) -> Result<(), StoreError> {
        self.now.agent(tenant, agent).map(drop).ok_or(StoreError::UnknownAgent { id: agent })
    }
}

fn page<T>(
    all: impl Iterator<Item = (u64, T)>,
    filter: &ShownFilter,
    limit: u32,
    agent: impl Fn(&T) -> AgentId,
) -> Vec<(u64, T)> {
    let through = all.filter(|(number, row)| {
        filter.below.is_none_or(|below| *number < below)
            && filter.agents.as_ref().is_none_or(|agents| agents.contains(&agent(row)))
    });
    let mut rows: Vec<_> = through.collect();
    rows.reverse();
    rows.truncate(most(limit));
    rows
}
