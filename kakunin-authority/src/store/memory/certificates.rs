//! Certificates in memory.

use std::collections::BTreeMap;

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::time::UnixTime;

use super::{Kept, MemoryStore};
use crate::access::TenantId;
use crate::standing::{Reason, Standing};
use crate::store::hooks::issued;
use crate::store::{CertificateRecord, Certificates, IssuerId, ListedCertificate, Reservation, StoreError};

impl Certificates for MemoryStore {
    fn ends_of_agents(&self, tenant: &TenantId) -> Result<Vec<(AgentId, UnixTime)>, StoreError> {
        let mut ends = BTreeMap::new();
        let whole = self.now.certificates.iter().filter(|kept| kept.tbs.is_some());
        for kept in whole.filter(|kept| kept.record.tenant == *tenant) {
            let end = ends.entry(kept.record.agent).or_insert(kept.record.validity.not_after);
            *end = (*end).max(kept.record.validity.not_after);
        }
        Ok(ends.into_iter().collect())
    }

    fn reserve(&mut self, reservation: &Reservation) -> Result<(), StoreError> {
        let Reservation { serial, issuer, agent, key, validity } = *reservation;
        let good = |known: &&crate::store::AgentRecord| known.id == agent && known.standing == Standing::Good;
        let found = self.now.agents.iter().find(good).ok_or(StoreError::NotGood { id: agent })?;
        let by = self.now.issuers.get(&issuer).and_then(|by| by.tenant.as_ref());
        if by != Some(&found.tenant) {
            return Err(StoreError::UnknownIssuer { issuer });
        }
        self.now.refuse_frozen(&found.tenant)?;
        if self.now.certificates.iter().any(|kept| kept.record.serial == serial) {
            return Err(StoreError::SerialTaken { serial });
        }
        let record = CertificateRecord {
            serial,
            issuer,
            tenant: found.tenant.clone(),
            agent,
            key,
            validity,
            standing: Standing::Good,
            since: validity.not_before,
            reason: Reason::Unspecified,
            der: None,
        };
        self.now.certificates.push(Kept { record, tbs: None });
        Ok(())
    }

    fn keep_tbs(&mut self, serial: SerialNumber, tbs: &[u8]) -> Result<(), StoreError> {
        let kept = self.kept(serial)?;
        if kept.tbs.is_some() || kept.record.standing != Standing::Good {
            return Err(StoreError::OutOfTurn { serial });
        }
        let tenant = kept.record.tenant.clone();
        self.now.refuse_frozen(&tenant)?;
        self.kept(serial)?.tbs = Some(tbs.to_vec());
        Ok(())
    }

    fn keep_certificate(&mut self, serial: SerialNumber, der: &[u8]) -> Result<(), StoreError> {
        let kept = self.kept(serial)?;
        if kept.tbs.is_none() || kept.record.der.is_some() {
            return Err(StoreError::OutOfTurn { serial });
        }
        let tenant = kept.record.tenant.clone();
        self.now.refuse_frozen(&tenant)?;
        let kept = self.kept(serial)?;
        kept.record.der = Some(der.to_vec());
        let record = kept.record.clone();
        if let Some(name) = self.now.agent(&record.tenant, record.agent).map(|agent| agent.name.clone()) {
            self.now.announce(&issued(&record, name.as_str()));
        }
        Ok(())
    }

    fn certificate(&self, serial: SerialNumber) -> Result<Option<CertificateRecord>, StoreError> {
        Ok(self.issued().find(|record| record.serial == serial).cloned())
    }

    fn certificates(&self, tenant: &TenantId, agent: AgentId) -> Result<Vec<CertificateRecord>, StoreError> {
        let of_agent = |record: &&CertificateRecord| record.tenant == *tenant && record.agent == agent;
        Ok(self.issued().filter(of_agent).cloned().collect())
    }

    fn newest_of_key(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        key: Digest,
        limit: u32,
    ) -> Result<Vec<CertificateRecord>, StoreError> {
        let mut found = self.certificates(tenant, agent)?;
        found.retain(|record| record.key == key && record.der.is_some());
        found.reverse();
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    fn is_revoked_key(&self, tenant: &TenantId, agent: AgentId, key: Digest) -> Result<bool, StoreError> {
        let revoked = |record: &CertificateRecord| record.key == key && record.standing == Standing::Revoked;
        Ok(self.certificates(tenant, agent)?.iter().any(revoked))
    }

    fn newest_begin(&self) -> Result<Option<UnixTime>, StoreError> {
        let newest = self.now.certificates.iter().rev().find(|kept| kept.tbs.is_some());
        Ok(newest.map(|kept| kept.record.validity.not_before))
    }

    fn last_end(&self, issuer: IssuerId) -> Result<Option<UnixTime>, StoreError> {
        let of_issuer = self.issued().filter(|record| record.issuer == issuer);
        Ok(of_issuer.map(|record| record.validity.not_after).max())
    }

    fn each_listed(
        &self,
        issuer: IssuerId,
        since: UnixTime,
        each: &mut dyn FnMut(ListedCertificate),
    ) -> Result<(), StoreError> {
        let is_listed = |record: &&CertificateRecord| {
            record.issuer == issuer && record.standing != Standing::Good && record.validity.not_after >= since
        };
        let of = |record: &CertificateRecord| ListedCertificate {
            serial: record.serial,
            since: record.since,
            reason: record.reason,
        };
        let mut listed: Vec<_> = self.issued().filter(is_listed).map(of).collect();
        listed.extend(self.listed_keys(issuer, since));
        listed.sort_by_key(|listed| listed.serial);
        listed.into_iter().for_each(each);
        Ok(())
    }
}

impl MemoryStore {
    fn kept(&mut self, serial: SerialNumber) -> Result<&mut Kept, StoreError> {
        let mut all = self.now.certificates.iter_mut();
        all.find(|kept| kept.record.serial == serial).ok_or(StoreError::OutOfTurn { serial })
    }

    /// Those that were or may have been signed.
    fn issued(&self) -> impl Iterator<Item = &CertificateRecord> {
        self.now.certificates.iter().filter(|kept| kept.tbs.is_some()).map(|kept| &kept.record)
    }
}
