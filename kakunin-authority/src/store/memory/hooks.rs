//! Webhooks in memory.

use kakunin_core::time::UnixTime;

use super::{Hook, MemoryStore, State, most};
use crate::access::TenantId;
use crate::hook::HookId;
use crate::store::{
    Attempt, Backlog, DeliveryRecord, DeliveryState, HookChange, HookRecord, Hooks, Notice, SealedSecret,
    StoreError,
};

impl Hooks for MemoryStore {
    fn add_hook(&mut self, hook: &HookRecord, secret: &SealedSecret) -> Result<(), StoreError> {
        if self.now.hooks.iter().any(|known| known.record.id == hook.id) {
            return Err(StoreError::HookTaken { id: hook.id });
        }
        self.now.has_tenant(&hook.tenant)?;
        let secrets = vec![secret.clone()];
        self.now.hooks.push(Hook { record: hook.clone(), secrets, sequence: 0, deliveries: Vec::new() });
        Ok(())
    }

    fn hooks(&self, tenant: &TenantId) -> Result<Vec<HookRecord>, StoreError> {
        let hooks = self.now.hooks.iter().filter(|hook| hook.record.tenant == *tenant);
        Ok(hooks.map(|hook| hook.record.clone()).collect())
    }

    fn hook(&self, tenant: &TenantId, id: HookId) -> Result<Option<HookRecord>, StoreError> {
        let mut hooks = self.now.hooks.iter();
        Ok(hooks.find(|hook| hook.is(tenant, id)).map(|hook| hook.record.clone()))
    }

    fn set_hook(
        &mut self,
        tenant: &TenantId,
        id: HookId,
        change: &HookChange,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        let HookChange { url, events, form, active } = change.clone();
        let record = &mut self.now.hook_mut(tenant, id)?.record;
        record.url = url.unwrap_or_else(|| record.url.clone());
        record.events = events.unwrap_or_else(|| record.events.clone());
        record.form = form.unwrap_or(record.form);
        record.active = active.unwrap_or(record.active);
        record.updated = at;
        Ok(())
    }

    fn remove_hook(&mut self, tenant: &TenantId, id: HookId) -> Result<(), StoreError> {
        self.now.hook_mut(tenant, id)?;
        self.now.hooks.retain(|hook| !hook.is(tenant, id));
        Ok(())
    }

    fn rotate_secret(
        &mut self,
        tenant: &TenantId,
        id: HookId,
        secret: &SealedSecret,
        until: UnixTime,
    ) -> Result<(), StoreError> {
        let hook = self.now.hook_mut(tenant, id)?;
        hook.record.updated = secret.created;
        hook.secrets.retain(|known| known.until.is_none());
        hook.secrets.iter_mut().for_each(|known| known.until = Some(until));
        hook.secrets.push(secret.clone());
        Ok(())
    }

    fn secrets(&self, id: HookId, now: UnixTime) -> Result<Vec<SealedSecret>, StoreError> {
        let hooks = self.now.hooks.iter().filter(|hook| hook.record.id == id);
        let secrets = hooks.flat_map(|hook| hook.secrets.iter().rev());
        Ok(secrets.filter(|secret| secret.until.is_none_or(|until| until > now)).cloned().collect())
    }

    fn announce(&mut self, notice: &Notice) -> Result<u64, StoreError> {
        Ok(self.now.announce(notice))
    }

    fn announce_to(&mut self, id: HookId, notice: &Notice) -> Result<u64, StoreError> {
        Ok(self.now.hook_mut(&notice.tenant, id)?.deliver(notice))
    }

    fn hooks_due(&self, now: UnixTime) -> Result<Vec<HookRecord>, StoreError> {
        let due = |hook: &&Hook| hook.record.active && hook.waiting().any(|waiting| waiting.due <= now);
        Ok(self.now.hooks.iter().filter(due).map(|hook| hook.record.clone()).collect())
    }

    fn due(&self, id: HookId, now: UnixTime, limit: u32) -> Result<Vec<DeliveryRecord>, StoreError> {
        let hooks = self.now.hooks.iter().filter(|hook| hook.record.id == id);
        let mut due: Vec<_> =
            hooks.flat_map(Hook::waiting).filter(|waiting| waiting.due <= now).cloned().collect();
        due.sort_by_key(|waiting| (waiting.due, waiting.sequence));
        due.truncate(most(limit));
        Ok(due)
    }

    fn settle(&mut self, id: HookId, sequence: u64, attempt: &Attempt) -> Result<bool, StoreError> {
        let hooks = self.now.hooks.iter_mut().filter(|hook| hook.record.id == id);
        let mut deliveries = hooks.flat_map(|hook| &mut hook.deliveries);
        let Some(waiting) = deliveries.find(|known| known.sequence == sequence && known.state.waits()) else {
            return Ok(false);
        };
        waiting.state = attempt.then.state();
        waiting.attempts = waiting.attempts.saturating_add(1);
        waiting.due = attempt.then.due().unwrap_or(waiting.due);
        waiting.tried = Some(attempt.at);
        waiting.answer = attempt.answer.clone();
        waiting.error = attempt.error.clone();
        Ok(true)
    }

    fn deliveries(
        &self,
        tenant: &TenantId,
        id: HookId,
        below: Option<u64>,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        let hook = self.now.hooks.iter().find(|hook| hook.is(tenant, id));
        let hook = hook.ok_or(StoreError::UnknownHook { id })?;
        let newest = hook.deliveries.iter().rev();
        let shown = newest.filter(|delivery| below.is_none_or(|below| delivery.sequence < below));
        Ok(shown.take(most(limit)).cloned().collect())
    }

    fn backlog(&self) -> Result<Backlog, StoreError> {
        let all = || self.now.hooks.iter().flat_map(|hook| &hook.deliveries);
        let count = |state| {
            let those = all().filter(|delivery| delivery.state == state).count();
            u64::try_from(those).unwrap_or(u64::MAX)
        };
        let active = self.now.hooks.iter().filter(|hook| hook.record.active);
        Ok(Backlog {
            pending: count(DeliveryState::Pending),
            failed: count(DeliveryState::Failed),
            dead: count(DeliveryState::Dead),
            oldest: active.flat_map(Hook::waiting).map(|waiting| waiting.at).min(),
        })
    }

    fn forget_deliveries(&mut self, at: UnixTime) -> Result<u64, StoreError> {
        let mut gone = 0;
        for hook in &mut self.now.hooks {
            hook.deliveries.retain(|known| {
                let ended = !known.state.waits() && known.tried.is_some_and(|tried| tried < at);
                gone += u64::from(ended);
                !ended
            });
        }
        Ok(gone)
    }
}

impl Hook {
    fn is(&self, tenant: &TenantId, id: HookId) -> bool {
        self.record.tenant == *tenant && self.record.id == id
    }

    fn waiting(&self) -> impl Iterator<Item = &DeliveryRecord> {
        self.deliveries.iter().filter(|delivery| delivery.state.waits())
    }

    fn deliver(&mut self, notice: &Notice) -> u64 {
        self.sequence = self.sequence.saturating_add(1);
        self.deliveries.push(DeliveryRecord {
            hook: self.record.id,
            sequence: self.sequence,
            event: notice.event,
            at: notice.at,
            data: notice.data.clone(),
            state: DeliveryState::Pending,
            attempts: 0,
            due: notice.at,
            tried: None,
            answer: None,
            error: None,
        });
        self.sequence
    }
}

impl State {
    /// Writes a delivery for each active webhook of the tenant that wants the event.
    pub(super) fn announce(&mut self, notice: &Notice) -> u64 {
        let wants = |hook: &&mut Hook| {
            let record = &hook.record;
            record.active && record.tenant == notice.tenant && record.events.contains(&notice.event)
        };
        let told = self.hooks.iter_mut().filter(wants).map(|hook| hook.deliver(notice)).count();
        u64::try_from(told).unwrap_or(u64::MAX)
    }

    fn hook_mut(&mut self, tenant: &TenantId, id: HookId) -> Result<&mut Hook, StoreError> {
        self.hooks.iter_mut().find(|hook| hook.is(tenant, id)).ok_or(StoreError::UnknownHook { id })
    }
}
