//! What is due without a receipt: evidence that fades, suspensions that were ended, agents that went silent.

use std::collections::BTreeMap;

use kakunin_core::id::AgentId;
use kakunin_core::risk::RiskLevel;
use kakunin_core::time::UnixTime;

use super::gaps::from_text;
use super::look::enter;
use super::{Cache, Step, Terms};
use crate::access::TenantId;
use crate::standing::Standing;
use crate::store::{RiskHead, Store, StoreError};

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
    let heads = store.risk_heads(tenant, after, PAGE)?;
    let mut step = Step::of(tenant.clone(), now);
    let mut agents = BTreeMap::new();
    let mut done = 0;
    for head in &heads {
        let silent = silence(head, now);
        let missing = from_text(head.gaps.as_deref()).iter().any(|gap| gap.is_due(now));
        if head.level != RiskLevel::Clear || silent.is_some() || missing {
            let good = store.agent(tenant, head.agent)?.is_some_and(|agent| agent.standing == Standing::Good);
            let (watched, _) = enter(&mut agents, head.agent, store, cache, (tenant, terms, now))?;
            if let Some(idle) = silent.filter(|_| good) {
                let guard = match heard(head.agent) {
                    true => "its guard follows the feed",
                    false => "its guard does not say that it follows the feed",
                };
                let pause = head.pause;
                let sentence =
                    format!("{guard}, and sent no receipt for {idle} s; its longest pause was {pause} s");
                watched.silence(sentence, now);
            }
            if missing {
                watched.look_for_missing(store, now)?;
            }
            watched.pass(now);
        }
        done += 1;
        if agents.len() >= AT_ONCE {
            break;
        }
    }
    for (watched, _) in agents.values_mut() {
        step.add(watched);
    }
    let more = done < heads.len() || heads.len() == PAGE as usize;
    let next = heads.get(done.saturating_sub(1)).map(|head| head.agent).filter(|_| more);
    Ok((step, next))
}

/// For how long an agent has sent nothing, if that is longer than it ever was, by far, and was not told before.
fn silence(head: &RiskHead, now: UnixTime) -> Option<i64> {
    let idle = now.seconds().saturating_sub(head.last?.seconds());
    let longest = head.pause.saturating_mul(2).max(LEAST);
    (head.has_baseline && !head.silent && idle > longest).then_some(idle)
}

const PAGE: u32 = 256;
/// Agents that are taken up in one round; each may have some hundred kilobytes.
const AT_ONCE: usize = 32;
/// An hour: less is a pause.
const LEAST: i64 = 3_600;
