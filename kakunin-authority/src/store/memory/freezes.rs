//! Freezes in memory.

use super::{MemoryStore, State};
use crate::access::TenantId;
use crate::hook::HookEvent;
use crate::store::freezes::frozen;
use crate::store::{Extent, FreezeRecord, Freezes, StoreError};

impl Freezes for MemoryStore {
    fn freeze(&mut self, freeze: &FreezeRecord) -> Result<bool, StoreError> {
        if let Extent::Tenant(tenant) = &freeze.extent {
            self.now.has_tenant(tenant)?;
        }
        if self.now.freezes.iter().any(|known| (&known.extent, known.hand) == (&freeze.extent, freeze.hand)) {
            return Ok(false);
        }
        self.now.freezes.push(freeze.clone());
        self.now.freezes.sort_by(|one, other| (&one.extent, one.hand).cmp(&(&other.extent, other.hand)));
        self.now.tell_of_freeze(freeze, HookEvent::IssuanceFrozen);
        Ok(true)
    }

    fn thaw(&mut self, thaw: &FreezeRecord) -> Result<bool, StoreError> {
        let before = self.now.freezes.len();
        self.now.freezes.retain(|known| (&known.extent, known.hand) != (&thaw.extent, thaw.hand));
        let was = self.now.freezes.len() < before;
        if was {
            self.now.tell_of_freeze(thaw, HookEvent::IssuanceThawed);
        }
        Ok(was)
    }

    fn freezes(&self) -> Result<Vec<FreezeRecord>, StoreError> {
        Ok(self.now.freezes.clone())
    }
}

impl State {
    /// Says no to a step of issuing for a tenant whose issuing is frozen.
    pub(super) fn refuse_frozen(&self, tenant: &TenantId) -> Result<(), StoreError> {
        frozen(&self.freezes, tenant).map_or(Ok(()), |freeze| Err(freeze.refusal()))
    }

    fn tell_of_freeze(&mut self, freeze: &FreezeRecord, event: HookEvent) {
        let tenants: Vec<_> =
            self.tenants.keys().filter(|tenant| freeze.extent.covers(tenant)).cloned().collect();
        for tenant in tenants {
            self.announce(&freeze.notice(&tenant, event));
        }
    }
}
