//! Authorities and their lists in memory.

use kakunin_core::time::UnixTime;

use super::MemoryStore;
use crate::store::{IssuerId, IssuerRecord, Issuers, ListRecord, Lists, StoreError};

impl Issuers for MemoryStore {
    fn add_issuers(&mut self, issuers: &[IssuerRecord]) -> Result<(), StoreError> {
        let mut all = self.now.issuers.clone();
        for issuer in issuers {
            if all.insert(issuer.id, issuer.clone()).is_some() {
                return Err(StoreError::IssuerTaken { issuer: issuer.id });
            }
            issuer.tenant.as_ref().map_or(Ok(()), |tenant| self.now.has_tenant(tenant))?;
        }
        self.now.issuers = all;
        Ok(())
    }

    fn issuers(&self) -> Result<Vec<IssuerRecord>, StoreError> {
        Ok(self.now.issuers.values().cloned().collect())
    }

    fn revoke_issuer(&mut self, issuer: IssuerId, at: UnixTime) -> Result<(), StoreError> {
        let found = self.now.issuers.get_mut(&issuer).ok_or(StoreError::UnknownIssuer { issuer })?;
        found.revoked.get_or_insert(at);
        Ok(())
    }
}

impl Lists for MemoryStore {
    fn next_list_number(&mut self, issuer: IssuerId) -> Result<u64, StoreError> {
        self.now.has_issuer(issuer)?;
        let number = self.now.list_numbers.entry(issuer).or_default();
        *number = number.saturating_add(1);
        Ok(*number)
    }

    fn keep_list(&mut self, issuer: IssuerId, list: &ListRecord) -> Result<(), StoreError> {
        self.now.has_issuer(issuer)?;
        self.now.lists.insert(issuer, list.clone());
        Ok(())
    }

    fn newest_list(&self, issuer: IssuerId) -> Result<Option<ListRecord>, StoreError> {
        Ok(self.now.lists.get(&issuer).cloned())
    }

    fn newest_number(&self, issuer: IssuerId) -> Result<Option<u64>, StoreError> {
        Ok(self.newest_list(issuer)?.map(|list| list.number))
    }
}
