//! Tenants, keys and requests in memory.

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;

use super::{MemoryStore, Request};
use crate::access::{KeyPrefix, TenantId};
use crate::store::{Access, Answer, ApiKeyRecord, Begun, Requests, StoreError};

impl Access for MemoryStore {
    fn add_tenant(&mut self, tenant: &TenantId, at: UnixTime) -> Result<(), StoreError> {
        if self.now.tenants.contains_key(tenant) {
            return Err(StoreError::TenantTaken { tenant: tenant.clone() });
        }
        self.now.tenants.insert(tenant.clone(), at);
        Ok(())
    }

    fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        Ok(self.now.tenants.keys().cloned().collect())
    }

    fn tenant_since(&self, tenant: &TenantId) -> Result<Option<UnixTime>, StoreError> {
        Ok(self.now.tenants.get(tenant).copied())
    }

    fn add_key(&mut self, key: &ApiKeyRecord) -> Result<(), StoreError> {
        if self.key(&key.prefix)?.is_some() {
            return Err(StoreError::KeyTaken { prefix: key.prefix.clone() });
        }
        self.now.has_tenant(&key.tenant)?;
        self.now.keys.push(key.clone());
        Ok(())
    }

    fn key(&self, prefix: &KeyPrefix) -> Result<Option<ApiKeyRecord>, StoreError> {
        Ok(self.now.keys.iter().find(|key| key.prefix == *prefix).cloned())
    }

    fn keys(&self, tenant: &TenantId) -> Result<Vec<ApiKeyRecord>, StoreError> {
        let mut keys: Vec<_> = self.now.keys.iter().filter(|key| key.tenant == *tenant).cloned().collect();
        keys.sort_by_key(|key| key.created);
        Ok(keys)
    }

    fn revoke_key(
        &mut self,
        tenant: &TenantId,
        prefix: &KeyPrefix,
        at: UnixTime,
    ) -> Result<Option<UnixTime>, StoreError> {
        let mut keys = self.now.keys.iter_mut();
        let key = keys.find(|key| key.tenant == *tenant && key.prefix == *prefix);
        Ok(key.map(|key| *key.revoked.get_or_insert(at)))
    }
}

impl Requests for MemoryStore {
    fn begin_request(
        &mut self,
        tenant: &TenantId,
        key: &str,
        request: Digest,
        at: UnixTime,
    ) -> Result<Begun, StoreError> {
        self.now.has_tenant(tenant)?;
        let place = (tenant.clone(), key.to_owned());
        Ok(match self.now.requests.get(&place) {
            None => {
                self.now.requests.insert(place, Request { hash: request, at, answer: None });
                Begun::New
            }
            Some(known) if known.hash != request => Begun::Another,
            Some(Request { answer: Some(answer), .. }) => Begun::Answered(answer.clone()),
            Some(_) => Begun::Unfinished,
        })
    }

    fn answer_request(&mut self, tenant: &TenantId, key: &str, answer: &Answer) -> Result<(), StoreError> {
        let place = (tenant.clone(), key.to_owned());
        match self.now.requests.get_mut(&place).map(|known| &mut known.answer) {
            Some(empty @ None) => {
                *empty = Some(answer.clone());
                Ok(())
            }
            _ => Err(StoreError::UnknownRequest { key: key.to_owned() }),
        }
    }

    fn forget_requests(&mut self, at: UnixTime) -> Result<u64, StoreError> {
        let before = self.now.requests.len();
        self.now.requests.retain(|_, known| known.at >= at);
        Ok(u64::try_from(before.saturating_sub(self.now.requests.len())).unwrap_or(u64::MAX))
    }
}
