//! Authorities and their lists in memory.

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;

use super::MemoryStore;
use crate::store::{IssuerId, IssuerRecord, Issuers, ListHead, ListRecord, Lists, StoreError};

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
        let number = list.number;
        let kept = self.now.lists.entry((issuer, number)).or_insert_with(|| list.clone());
        if kept == list { Ok(()) } else { Err(StoreError::ListTaken { issuer, number }) }
    }

    fn newest_list(&self, issuer: IssuerId) -> Result<Option<ListRecord>, StoreError> {
        Ok(self.lists_of(issuer).next_back().cloned())
    }

    fn newest_list_head(&self, issuer: IssuerId) -> Result<Option<ListHead>, StoreError> {
        Ok(self.lists_of(issuer).next_back().map(ListRecord::head))
    }

    fn list_before(&self, issuer: IssuerId, number: u64) -> Result<Option<ListRecord>, StoreError> {
        Ok(self.lists_of(issuer).rfind(|list| list.number < number).cloned())
    }

    fn list_as_of(&self, issuer: IssuerId, at: UnixTime) -> Result<Option<ListRecord>, StoreError> {
        let until = self.lists_of(issuer).filter(|list| list.this_update <= at);
        let newest = until.max_by_key(|list| (list.this_update, list.number));
        Ok(newest.or_else(|| self.lists_of(issuer).next()).cloned())
    }

    fn list_named(&self, name: &Digest) -> Result<Option<(IssuerId, ListRecord)>, StoreError> {
        let mut lists = self.now.lists.iter();
        let found = lists.find(|(_, list)| list.name().is_ok_and(|known| known == *name));
        Ok(found.map(|((issuer, _), list)| (*issuer, list.clone())))
    }
}

impl MemoryStore {
    fn lists_of(&self, issuer: IssuerId) -> impl DoubleEndedIterator<Item = &ListRecord> {
        self.now.lists.range((issuer, 0)..=(issuer, u64::MAX)).map(|(_, list)| list)
    }
}
