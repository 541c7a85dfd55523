//! What is due without a receipt: evidence that fades, suspensions that were ended, agents that went silent.

use std::collections::BTreeMap;

use kakunin_core::id::AgentId;
use kakunin_core::risk::RiskLevel;
use kakunin_core::time::UnixTime;

use super::look::enter;
use super::{Cache, Step, Terms};
use crate::access::TenantId;
use crate::standing::Standing;
use crate::store::{RiskRecord, Store, StoreError};

/// Whether an agent was heard lately otherwise than by a receipt: its guard says how far it knows the feed.
pub type Heard<'a> = &'a dyn Fn(AgentId) -> bool;

/// Goes round some agents of a tenant, those behind `after`; what that changes, and where the next round goes on.
///
/// # Errors
/// [`StoreError`] when the records cannot be read.
pub fn rounds(
    store: &dyn Store,
    cache: &mut Cache,
    (tenant, terms): (&TenantId, &Terms),
    heard: Heard<'_>,
    after: Option<AgentId>,
    now: UnixTime,
) -> Result<(Step, Option<AgentId>), StoreError> {
    let records = store.risks(tenant, after, PAGE)?;
    let mut step = Step::of(tenant.clone(), now);
    let mut agents = BTreeMap::new();
    for record in &records {
        let silent = silence(record, now).filter(|_| heard(record.agent));
        if record.level == RiskLevel::Clear && silent.is_none() {
            continue;
        }
        let good = store.agent(tenant, record.agent)?.is_some_and(|agent| agent.standing == Standing::Good);
        let (watched, _) = enter(&mut agents, record.agent, store, cache, (tenant, terms, now))?;
        if let Some(idle) = silent.filter(|_| good) {
            let sentence = format!(
                "its guard follows the feed and sent no receipt for {idle} s; its longest pause was {} s",
                record.pause
            );
            watched.silence(sentence, now);
        }
        watched.pass(now);
    }
    for (watched, _) in agents.values_mut() {
        step.add(watched);
    }
    let next = (records.len() == PAGE as usize).then(|| records.last().map(|record| record.agent)).flatten();
    Ok((step, next))
}

/// For how long an agent has sent nothing, if that is longer than it ever was, by far, and was not told before.
fn silence(record: &RiskRecord, now: UnixTime) -> Option<i64> {
    let idle = now.seconds().saturating_sub(record.last?.seconds());
    let longest = record.pause.saturating_mul(2).max(LEAST);
    (record.baseline.is_some() && !record.silent && idle > longest).then_some(idle)
}

const PAGE: u32 = 256;
/// An hour: less is a pause.
const LEAST: i64 = 3_600;
