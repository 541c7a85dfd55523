//! Agents in memory.

use std::path::{Path, PathBuf};

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;

use super::{MemoryStore, most};
use crate::access::TenantId;
use crate::agent::AgentName;
use crate::standing::Standing;
use crate::store::hooks::notices;
use crate::store::{
    AgentDetails, AgentFilter, AgentPage, AgentRecord, Agents, EventRecord, FeedChange, StandingChange,
    StoreError,
};

impl Agents for MemoryStore {
    fn add_agent(&mut self, agent: &AgentRecord) -> Result<(), StoreError> {
        let agents = &self.now.agents;
        if agents.iter().any(|known| known.id == agent.id) {
            return Err(StoreError::AgentTaken { id: agent.id });
        }
        if agents.iter().any(|known| known.tenant == agent.tenant && known.name == agent.name) {
            return Err(StoreError::NameTaken { name: agent.name.clone() });
        }
        self.now.has_tenant(&agent.tenant)?;
        self.now.agents.push(agent.clone());
        Ok(())
    }

    fn agents(&self, tenant: &TenantId) -> Result<Vec<AgentRecord>, StoreError> {
        let mut agents: Vec<_> =
            self.now.agents.iter().filter(|agent| agent.tenant == *tenant).cloned().collect();
        agents.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(agents)
    }

    fn agents_page(&self, tenant: &TenantId, page: &AgentPage) -> Result<Vec<AgentRecord>, StoreError> {
        let ours = |agent: &&AgentRecord| agent.tenant == *tenant;
        let mut newest = self.now.agents.iter().rev().filter(ours);
        if let Some(id) = page.after {
            newest.find(|agent| agent.id == id).ok_or(StoreError::UnknownAgent { id })?;
        }
        let shown = newest.filter(|agent| self.lets_through(page.filter, agent));
        Ok(shown.skip(most(page.offset)).take(most(page.limit)).cloned().collect())
    }

    fn count_agents(&self, tenant: &TenantId, filter: AgentFilter) -> Result<u64, StoreError> {
        let agents = self.now.agents.iter().filter(|agent| agent.tenant == *tenant);
        let count = agents.filter(|agent| self.lets_through(filter, agent)).count();
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    fn agent(&self, tenant: &TenantId, id: AgentId) -> Result<Option<AgentRecord>, StoreError> {
        Ok(self.now.agent(tenant, id).cloned())
    }

    fn agent_named(&self, tenant: &TenantId, name: &AgentName) -> Result<Option<AgentRecord>, StoreError> {
        let mut agents = self.now.agents.iter();
        Ok(agents.find(|agent| agent.tenant == *tenant && agent.name == *name).cloned())
    }

    fn set_scope(
        &mut self,
        tenant: &TenantId,
        id: AgentId,
        scope: &[u8],
        at: UnixTime,
    ) -> Result<(), StoreError> {
        let agent = self.now.agent_mut(tenant, id)?;
        agent.scope = scope.to_vec();
        agent.updated = at;
        Ok(())
    }

    fn set_details(
        &mut self,
        tenant: &TenantId,
        id: AgentId,
        details: &AgentDetails,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        let agent = self.now.agent_mut(tenant, id)?;
        agent.details = details.clone();
        agent.updated = at;
        Ok(())
    }

    fn change_standing(&mut self, change: &StandingChange<'_>) -> Result<Vec<FeedChange>, StoreError> {
        let agent = self.now.agent_mut(change.tenant, change.agent)?;
        let (name, before) = (agent.name.clone(), agent.standing);
        agent.standing = change.to;
        let what = change.to.word().to_owned();
        let event = EventRecord { at: change.at, what, text: change.text.to_owned() };
        self.now.events.push((change.agent, event));
        if change.to == Standing::Revoked {
            self.now.tokens.retain(|_, token| token.agent != change.agent);
        }
        let told = self.now.change(change);
        for notice in notices(change, name.as_str(), before, &told) {
            self.now.announce(&notice);
        }
        Ok(told)
    }

    fn events(&self, tenant: &TenantId, agent: AgentId) -> Result<Vec<EventRecord>, StoreError> {
        if self.now.agent(tenant, agent).is_none() {
            return Ok(Vec::new());
        }
        let events = self.now.events.iter().filter(|(whose, _)| *whose == agent);
        Ok(events.map(|(_, event)| event.clone()).collect())
    }

    fn keep_directory(&mut self, tenant: &TenantId, agent: AgentId, path: &Path) -> Result<(), StoreError> {
        self.now.agent_mut(tenant, agent)?;
        match self.now.directories.iter_mut().find(|(known, _)| known == path) {
            Some((_, whose)) => *whose = agent,
            None => self.now.directories.push((path.to_owned(), agent)),
        }
        Ok(())
    }

    fn directories(&self, tenant: &TenantId, agent: AgentId) -> Result<Vec<PathBuf>, StoreError> {
        if self.now.agent(tenant, agent).is_none() {
            return Ok(Vec::new());
        }
        let directories = self.now.directories.iter().filter(|(_, whose)| *whose == agent);
        Ok(directories.map(|(path, _)| path.clone()).collect())
    }

    fn has_directories(&self) -> Result<bool, StoreError> {
        Ok(!self.now.directories.is_empty())
    }

    fn keep_names(&mut self, root: Digest, text: &str) -> Result<(), StoreError> {
        self.now.names.entry(root).or_insert_with(|| text.to_owned());
        Ok(())
    }

    fn names(&self, root: Digest) -> Result<Option<String>, StoreError> {
        Ok(self.now.names.get(&root).cloned())
    }
}

impl MemoryStore {
    fn lets_through(&self, filter: AgentFilter, agent: &AgentRecord) -> bool {
        let of_agent = |record: &crate::store::CertificateRecord| record.agent == agent.id;
        let certified =
            || self.now.certificates.iter().any(|kept| of_agent(&kept.record) && kept.record.der.is_some());
        filter.standing.is_none_or(|standing| agent.standing == standing)
            && filter.certified.is_none_or(|asked| asked == certified())
    }
}
