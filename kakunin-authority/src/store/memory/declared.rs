//! Declared events and their chains in memory.

use std::collections::BTreeMap;

use kakunin_core::id::{AgentId, ChainId};
use kakunin_core::time::UnixTime;

use super::{MemoryStore, most};
use crate::access::TenantId;
use crate::store::{
    ChainPage, ChainRecord, DayCount, Declaration, Declared, DeclaredEvent, DeclaredFilter, EventId,
    NewChain, StoreError,
};

impl Declared for MemoryStore {
    fn declare(&mut self, event: &Declaration) -> Result<DeclaredEvent, StoreError> {
        if self.now.agent(&event.tenant, event.agent).is_none() {
            return Err(StoreError::UnknownAgent { id: event.agent });
        }
        if self.now.declared.iter().any(|kept| kept.event.id == event.id) {
            return Err(StoreError::EventTaken { id: event.id });
        }
        let mut link = None;
        if let Some(id) = event.chain {
            let chain = self.chain_mut(&event.tenant, id)?;
            let place = chain.events + 1;
            let hash = event.link(place, chain.hash);
            (chain.events, chain.hash) = (place, hash);
            link = Some((place, hash));
        }
        let kept = DeclaredEvent { event: event.clone(), link };
        self.now.declared.push(kept.clone());
        Ok(kept)
    }

    fn declared(
        &self,
        tenant: &TenantId,
        filter: &DeclaredFilter,
        limit: u32,
    ) -> Result<Vec<DeclaredEvent>, StoreError> {
        let of_tenant = || self.now.declared.iter().filter(|kept| kept.event.tenant == *tenant);
        let mut found: Vec<_> = match filter.below {
            None => of_tenant().cloned().collect(),
            Some(id) => {
                let place = of_tenant().position(|kept| kept.event.id == id);
                let place = place.ok_or(StoreError::UnknownEvent { id })?;
                of_tenant().take(place).cloned().collect()
            }
        };
        found.retain(|kept| filter.takes(&kept.event));
        found.reverse();
        found.truncate(most(limit));
        Ok(found)
    }

    fn declared_after(
        &self,
        tenant: &TenantId,
        filter: &DeclaredFilter,
        after: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<DeclaredEvent>, StoreError> {
        let mut found = self.declared(tenant, filter, u32::MAX)?;
        found.reverse();
        if let Some(id) = after {
            let of_tenant = || self.now.declared.iter().filter(|kept| kept.event.tenant == *tenant);
            let place = of_tenant().position(|kept| kept.event.id == id);
            let place = place.ok_or(StoreError::UnknownEvent { id })?;
            let later: Vec<EventId> = of_tenant().skip(place + 1).map(|kept| kept.event.id).collect();
            found.retain(|kept| later.contains(&kept.event.id));
        }
        found.truncate(most(limit));
        Ok(found)
    }

    fn declared_days(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        since: UnixTime,
    ) -> Result<Vec<DayCount>, StoreError> {
        let mut counts = BTreeMap::new();
        for DeclaredEvent { event, .. } in &self.now.declared {
            if event.tenant == *tenant && event.agent == agent && event.received >= since {
                let day = event.received.seconds().div_euclid(86_400);
                *counts.entry((day, event.action.clone(), event.score)).or_insert(0) += 1;
            }
        }
        let count = |((day, action, score), count)| DayCount { day, action, score, count };
        Ok(counts.into_iter().map(count).collect())
    }

    fn add_chain(&mut self, chain: &NewChain) -> Result<ChainRecord, StoreError> {
        if self.now.chains.iter().any(|known| known.chain.id == chain.id) {
            return Err(StoreError::ChainTaken { id: chain.id });
        }
        self.now.has_tenant(&chain.tenant)?;
        let record = ChainRecord { chain: chain.clone(), closed: None, events: 0, hash: chain.start() };
        self.now.chains.push(record.clone());
        Ok(record)
    }

    fn chain(&self, tenant: &TenantId, id: ChainId) -> Result<Option<ChainRecord>, StoreError> {
        Ok(self.any_chain(id)?.filter(|record| record.chain.tenant == *tenant))
    }

    fn any_chain(&self, id: ChainId) -> Result<Option<ChainRecord>, StoreError> {
        Ok(self.now.chains.iter().find(|record| record.chain.id == id).cloned())
    }

    fn chains(&self, tenant: &TenantId, page: &ChainPage) -> Result<Vec<ChainRecord>, StoreError> {
        let of_tenant: Vec<_> =
            self.now.chains.iter().filter(|record| record.chain.tenant == *tenant).collect();
        let end = match page.after {
            None => of_tenant.len(),
            Some(id) => {
                let place = of_tenant.iter().position(|record| record.chain.id == id);
                place.ok_or(StoreError::UnknownChain { id })?
            }
        };
        let found = of_tenant.into_iter().take(end).rev();
        let fits = |record: &&ChainRecord| page.open.is_none_or(|open| open == record.closed.is_none());
        Ok(found.filter(fits).skip(most(page.offset)).take(most(page.limit)).cloned().collect())
    }

    fn count_chains(&self, tenant: &TenantId, open: Option<bool>) -> Result<u64, StoreError> {
        let fits = |record: &&ChainRecord| {
            record.chain.tenant == *tenant && open.is_none_or(|open| open == record.closed.is_none())
        };
        Ok(self.now.chains.iter().filter(fits).count() as u64)
    }

    fn chain_events(&self, tenant: &TenantId, chain: ChainId) -> Result<Vec<DeclaredEvent>, StoreError> {
        let of_chain =
            |kept: &&DeclaredEvent| kept.event.tenant == *tenant && kept.event.chain == Some(chain);
        Ok(self.now.declared.iter().filter(of_chain).cloned().collect())
    }

    fn close_chain(
        &mut self,
        tenant: &TenantId,
        id: ChainId,
        at: UnixTime,
    ) -> Result<ChainRecord, StoreError> {
        let chain = self.chain_mut(tenant, id)?;
        chain.closed = Some(at);
        Ok(chain.clone())
    }
}

impl MemoryStore {
    /// A chain that is open.
    fn chain_mut(&mut self, tenant: &TenantId, id: ChainId) -> Result<&mut ChainRecord, StoreError> {
        let mut all = self.now.chains.iter_mut();
        let found = all.find(|record| record.chain.id == id && record.chain.tenant == *tenant);
        let chain = found.ok_or(StoreError::UnknownChain { id })?;
        if chain.closed.is_some() { Err(StoreError::ChainClosed { id }) } else { Ok(chain) }
    }
}
