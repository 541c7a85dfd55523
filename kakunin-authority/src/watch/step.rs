//! What a look changes, as one thing that is kept or not.

use std::collections::BTreeMap;

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use serde_json::{Value, json};

use super::{Cache, Watched};
use crate::access::TenantId;
use crate::authority::{Authority, AuthorityError};
use crate::hook::HookEvent;
use crate::store::{Notice, ReceiptPlace, RiskEvent, RiskEventKind, RiskRecord, Store, StoreError};

/// What changed, and how far was looked.
#[derive(Debug)]
pub struct Step {
    tenant: TenantId,
    at: UnixTime,
    moved: Option<(Option<ReceiptPlace>, ReceiptPlace)>,
    signs: Vec<u64>,
    changes: Vec<(Option<RiskRecord>, RiskRecord, Vec<RiskEvent>)>,
    watched: Vec<Watched>,
    passed_over: BTreeMap<(AgentId, Digest), u64>,
}

impl Step {
    pub(super) const fn of(tenant: TenantId, at: UnixTime) -> Self {
        Self {
            tenant,
            at,
            moved: None,
            signs: Vec::new(),
            changes: Vec::new(),
            watched: Vec::new(),
            passed_over: BTreeMap::new(),
        }
    }

    pub(super) fn moved(&mut self, from: Option<ReceiptPlace>, to: ReceiptPlace) {
        self.moved = Some((from, to));
    }

    pub(super) fn takes_out(&mut self, sign: u64) {
        self.signs.push(sign);
    }

    pub(super) fn passes_over(&mut self, agent: AgentId, certificate: Digest) {
        let many = self.passed_over.entry((agent, certificate)).or_default();
        *many = many.saturating_add(1);
    }

    /// Certificates that agents gave up, and how many receipts came that are signed by them: nothing follows from those.
    pub fn passed_over(&self) -> impl Iterator<Item = (AgentId, &Digest, u64)> {
        self.passed_over.iter().map(|((agent, certificate), many)| (*agent, certificate, *many))
    }

    /// Adds what changed of an agent; nothing if nothing did.
    pub(super) fn add(&mut self, watched: &mut Watched) {
        let (before, after, events) = watched.changes(self.at);
        if before.as_ref() != Some(&after) || !events.is_empty() {
            self.changes.push((before, after, events));
        }
        self.watched.push(watched.clone());
    }

    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.moved.is_none() && self.signs.is_empty() && self.changes.is_empty()
    }

    /// Whether something happened that is to be settled.
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.changes.iter().any(|(_, _, events)| !events.is_empty())
    }

    /// The agents that could not be learnt just now, and why: until they can be, nothing they do is a statistic.
    pub fn unlearnt(&self) -> impl Iterator<Item = (AgentId, &str)> {
        let is_new = |before: &Option<RiskRecord>, after: &RiskRecord| {
            before.as_ref().map_or(0, |before| before.tried) != after.tried
        };
        self.changes.iter().filter_map(move |(before, after, _)| {
            Some((after.agent, after.unlearnt.as_deref()?)).filter(|_| is_new(before, after))
        })
    }

    /// The baselines that stand afterwards, of the agents that changed.
    pub fn baselines(&self) -> impl Iterator<Item = &String> {
        self.changes.iter().filter_map(|(_, after, _)| after.baseline.as_ref())
    }

    /// About how many rows it writes.
    #[must_use]
    pub fn rows(&self) -> usize {
        let events: usize = self.changes.iter().map(|(_, _, events)| events.len()).sum();
        1 + self.signs.len() + self.changes.len() + events
    }

    /// Keeps all of it, within the batch of `store`; `false`, and nothing is written, when the records are not as they were
    /// when it was looked: somebody else went on from there.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be kept; then the batch has to fail.
    pub fn keep(&self, store: &mut dyn Store) -> Result<bool, StoreError> {
        // INVARIANT: one thread writes, so what is read here is so until the batch ends.
        if let Some((from, _)) = &self.moved
            && store.risk_place(&self.tenant)? != *from
        {
            return Ok(false);
        }
        for (before, after, _) in &self.changes {
            if store.risk(&self.tenant, after.agent)? != *before {
                return Ok(false);
            }
        }
        for (_, after, events) in &self.changes {
            store.keep_risk(after)?;
            for event in events {
                store.add_risk_event(event)?;
                if event.kind == RiskEventKind::Level {
                    let agent = store.agent(&event.tenant, event.agent)?;
                    let name =
                        agent.map(|agent| agent.details.title.unwrap_or_else(|| agent.name.to_string()));
                    store.announce(&notice(event, name))?;
                }
            }
        }
        for sign in &self.signs {
            store.take_out_sign(*sign)?;
        }
        if let Some((_, to)) = &self.moved {
            store.set_risk_place(&self.tenant, to)?;
        }
        Ok(true)
    }

    /// Remembers the agents as they stand now that it was kept.
    pub fn remember(self, cache: &mut Cache) {
        self.watched.into_iter().for_each(|watched| cache.put(watched));
    }
}

impl Authority<'_> {
    /// Keeps what a look changes; `false` when the records are not as they were then.
    ///
    /// # Errors
    /// [`AuthorityError`] when it cannot be kept.
    pub fn keep_risk_step(&mut self, step: &Step) -> Result<bool, AuthorityError> {
        let mut kept = false;
        self.store.batch(&mut |store| {
            kept = step.keep(store)?;
            Ok(())
        })?;
        Ok(kept)
    }
}

/// What webhooks are told of a change of level. The line that is signed later is in it as it is.
fn notice(event: &RiskEvent, name: Option<String>) -> Notice {
    let said: Value = serde_json::from_str(&event.text).unwrap_or_default();
    let of = |place: &str| said.pointer(place).cloned().unwrap_or_default();
    let data = json!({
        "agent_id": event.agent.to_string(),
        "agent_name": name,
        "level": event.level.word(),
        "before": of("/change/from"),
        "score": event.score,
        "reason": of("/reason"),
        "evidence": of("/change/evidence"),
        "receipt": of("/change/receipt"),
        "baseline": of("/baseline"),
        "policy": of("/policy"),
        "line": event.text,
        "at": event.at.to_string(),
    });
    Notice { tenant: event.tenant.clone(), event: HookEvent::AgentRisk, at: event.at, data: data.to_string() }
}
