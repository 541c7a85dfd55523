//! What agents were shown of logs, in memory.

use std::collections::BTreeSet;

use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;

use super::{MemoryStore, State, most};
use crate::access::TenantId;
use crate::store::checkpoints::{NEWEST, kept_size, mark_of};
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
        let is_known = self.now.checkpoints.iter().any(|(_, known)| shown(known) == shown(checkpoint));
        if !is_known {
            let CheckpointRecord { tenant, agent, log, .. } = checkpoint;
            let numbers = self.now.checkpoints.iter().filter(|(_, known)| known.tenant == *tenant);
            let number = numbers.map(|(number, _)| number + 1).max().unwrap_or(1);
            self.now.checkpoints.push((number, checkpoint.clone()));
            self.put_out(tenant, *agent, log);
        }
        Ok(!is_known)
    }

    fn largest_checkpoint(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        log: &str,
    ) -> Result<Option<CheckpointRecord>, StoreError> {
        Ok(self.now.largest(tenant, agent, log).map(|(_, record)| record.clone()))
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
        Ok(self.now.checkpoints.iter().map(|(_, known)| known).find(of_size).cloned())
    }

    fn checkpoints(
        &self,
        tenant: &TenantId,
        filter: &ShownFilter,
        limit: u32,
    ) -> Result<Vec<(u64, CheckpointRecord)>, StoreError> {
        let all = self.now.checkpoints.iter().filter(|(_, known)| known.tenant == *tenant);
        Ok(page(all.cloned(), filter, limit, |known| known.agent))
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

    /// Of what an agent showed of a log all but the first, the largest and the newest.
    fn put_out(&mut self, tenant: &TenantId, agent: AgentId, log: &str) {
        let numbers: Vec<_> = self.now.shown_of(tenant, agent, log).map(|(number, _)| *number).collect();
        let largest = self.now.largest(tenant, agent, log).map(|(number, _)| *number);
        let older = numbers.len().saturating_sub(most(NEWEST));
        let out: BTreeSet<_> =
            numbers.into_iter().take(older).skip(1).filter(|number| Some(*number) != largest).collect();
        self.now.checkpoints.retain(|(number, known)| known.tenant != *tenant || !out.contains(number));
    }
}

impl State {
    fn shown_of<'a>(
        &'a self,
        tenant: &'a TenantId,
        agent: AgentId,
        log: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a (u64, CheckpointRecord)> {
        let is_of = move |known: &CheckpointRecord| {
            known.tenant == *tenant && known.agent == agent && known.log == log
        };
        self.checkpoints.iter().filter(move |(_, known)| is_of(known))
    }

    /// Of one size the first that came: `max_by_key` gives the last.
    fn largest<'a>(
        &'a self,
        tenant: &'a TenantId,
        agent: AgentId,
        log: &'a str,
    ) -> Option<&'a (u64, CheckpointRecord)> {
        self.shown_of(tenant, agent, log).rev().max_by_key(|(_, known)| known.size)
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
