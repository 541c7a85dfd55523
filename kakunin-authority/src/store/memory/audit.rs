//! The audit log in memory.

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;

use super::{MemoryStore, most};
use crate::access::TenantId;
use crate::store::audit::START;
use crate::store::{
    AuditEntry, AuditFilter, AuditHead, AuditId, AuditLog, AuditRecord, AuditRow, AuditSaid, Outcome,
    StoreError,
};

impl AuditLog for MemoryStore {
    fn audit_intent(&mut self, intent: &AuditRecord) -> Result<AuditId, StoreError> {
        self.now.has_tenant(&intent.tenant)?;
        Ok(AuditId::from_number(self.append(AuditSaid::Intent(intent.clone()))))
    }

    fn audit_outcome(&mut self, id: AuditId, outcome: &Outcome, at: UnixTime) -> Result<(), StoreError> {
        let mut intents = self.intents();
        let (_, record) =
            intents.find(|(number, _)| *number == id).ok_or(StoreError::UnknownIntent { id })?;
        let (tenant, salt) = (record.tenant.clone(), record.salt.map(|salt| salt.of_outcome()));
        drop(intents);
        if self.outcome(id).is_some() {
            return Err(StoreError::OutcomeKnown { id });
        }
        self.append(AuditSaid::Outcome { tenant, intent: id, outcome: outcome.clone(), at, salt });
        Ok(())
    }

    fn audit(
        &self,
        tenant: &TenantId,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let lets_through = |(id, record): &(AuditId, &AuditRecord)| {
            record.tenant == *tenant
                && filter.since.is_none_or(|since| record.at >= since)
                && filter.before.is_none_or(|before| record.at < before)
                && filter.below.is_none_or(|below| *id < below)
                && filter.what.as_ref().is_none_or(|what| record.what == *what)
                && filter.subject.as_ref().is_none_or(|subject| record.subject == *subject)
                && filter.actor.as_ref().is_none_or(|actor| record.actor == *actor)
                && filter.kind.is_none_or(|kind| record.actor.kind() == kind)
        };
        let mut found: Vec<_> = self.intents().filter(lets_through).collect();
        found.reverse();
        found.truncate(most(limit));
        let entry = |(id, record): (AuditId, &AuditRecord)| AuditEntry {
            id,
            record: record.clone(),
            outcome: self.outcome(id),
        };
        Ok(found.into_iter().map(entry).collect())
    }

    fn audit_head(&self) -> Result<Option<AuditHead>, StoreError> {
        let rows = u64::try_from(self.now.audit.len()).unwrap_or(u64::MAX);
        Ok(self.now.audit.last().map(|(_, hash)| AuditHead { rows, hash: *hash }))
    }

    fn audit_hash(&self, row: u64) -> Result<Option<Digest>, StoreError> {
        let place = usize::try_from(row).ok().and_then(|row| row.checked_sub(1));
        Ok(place.and_then(|place| self.now.audit.get(place)).map(|(_, hash)| *hash))
    }

    fn check_audit(&self, known: Option<&AuditHead>) -> Result<Option<AuditHead>, StoreError> {
        let mut head = AuditHead { rows: 0, hash: START };
        let mut met = known.is_none_or(|known| *known == head);
        for (row, hash) in &self.now.audit {
            let here = head.rows.saturating_add(1);
            head = AuditHead { rows: here, hash: row.link().hash(here, head.hash) };
            let other = known.is_some_and(|known| known.rows == here && *known != head);
            if head.hash != *hash || other {
                return Err(StoreError::AuditBroken { row: here });
            }
            met |= known == Some(&head);
        }
        if !met {
            return Err(StoreError::AuditBroken { row: head.rows.saturating_add(1) });
        }
        Ok((head.rows > 0).then_some(head))
    }

    fn audit_rows(&self, after: u64, last: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        Ok(self.rows().filter(|row| row.number > after && row.number <= last).take(most(limit)).collect())
    }
}

impl MemoryStore {
    fn rows(&self) -> impl Iterator<Item = AuditRow> {
        let row = |(number, (said, hash)): (u64, &(AuditSaid, Digest))| AuditRow {
            number,
            said: said.clone(),
            hash: *hash,
        };
        (1..).zip(&self.now.audit).map(row)
    }

    fn append(&mut self, row: AuditSaid) -> u64 {
        let here = u64::try_from(self.now.audit.len()).unwrap_or(u64::MAX).saturating_add(1);
        let previous = self.now.audit.last().map_or(START, |(_, hash)| *hash);
        let hash: Digest = row.link().hash(here, previous);
        self.now.audit.push((row, hash));
        here
    }

    fn intents(&self) -> impl Iterator<Item = (AuditId, &AuditRecord)> {
        (1..).map(AuditId::from_number).zip(&self.now.audit).filter_map(|(id, (row, _))| match row {
            AuditSaid::Intent(record) => Some((id, record)),
            AuditSaid::Outcome { .. } => None,
        })
    }

    fn outcome(&self, id: AuditId) -> Option<(Outcome, UnixTime)> {
        self.now.audit.iter().find_map(|(row, _)| match row {
            AuditSaid::Outcome { intent, outcome, at, .. } if *intent == id => Some((outcome.clone(), *at)),
            _ => None,
        })
    }
}
