//! When declared events of an agent are told to webhooks as `risk.alert`.
//!
//! Once for each time that an agent becomes risky: with the first event in the band `high` after fifteen minutes without
//! any. An agent that goes on is told once and not with each event, and one that stops for as long begins anew. It goes
//! by when events came, not by when they say that they happened, and is told in the transaction that keeps the event.

use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use serde_json::json;

use super::score::{self, Band};
use crate::access::TenantId;
use crate::hook::HookEvent;
use crate::store::{AgentRecord, DeclaredEvent, DeclaredFilter, Notice, Store, StoreError};

/// Whether an event with this score, which is not kept yet, is one to be told.
///
/// # Errors
/// [`StoreError`] when the records cannot be read.
pub(crate) fn crosses(
    store: &dyn Store,
    tenant: &TenantId,
    agent: AgentId,
    score: u8,
    now: UnixTime,
) -> Result<bool, StoreError> {
    if Band::of(score) != Band::High {
        return Ok(false);
    }
    let before = DeclaredFilter {
        agents: Some(vec![agent]),
        least: Band::High.scores().0,
        since: Some(now.plus(-QUIET)),
        ..DeclaredFilter::default()
    };
    Ok(store.declared(tenant, &before, 1)?.is_empty())
}

/// What is told.
pub(crate) fn notice(agent: &AgentRecord, kept: &DeclaredEvent) -> Notice {
    let event = &kept.event;
    let data = json!({
        "agent_id": agent.id.to_string(),
        "agent_name": agent.details.title.as_deref().unwrap_or(agent.name.as_str()),
        "event_id": event.id.to_string(),
        "action_type": event.action,
        "risk_score": score::shown(event.score),
        "risk_band": Band::of(event.score).word(),
        "evidence": "declared",
        "occurred_at": event.occurred.to_string(),
        "received_at": event.received.to_string(),
        "session_id": event.session,
        "chain_id": event.chain.map(|chain| chain.to_string()),
        "quiet_seconds": QUIET,
    });
    Notice {
        tenant: event.tenant.clone(),
        event: HookEvent::RiskAlert,
        at: event.received,
        data: data.to_string(),
    }
}

/// How long an agent has to be quiet before it is told again.
const QUIET: i64 = 900;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AgentName;
    use crate::standing::Standing;
    use crate::store::{Agents, Declaration, Declared, EventId, MemoryStore};

    #[test]
    fn an_agent_is_told_when_it_becomes_risky_and_not_while_it_stays_so() {
        let mut store = MemoryStore::default();
        let tenant = TenantId::default();
        let mut ids = Vec::new();
        for number in 1..=2 {
            let id = AgentId::from_random([number; 16]);
            let now = UnixTime::from_seconds(1);
            store
                .add_agent(&AgentRecord {
                    id,
                    tenant: tenant.clone(),
                    name: AgentName::parse(&format!("agent-{number}")).unwrap(),
                    created: now,
                    updated: now,
                    standing: Standing::Good,
                    scope: vec![number],
                    details: Default::default(),
                })
                .unwrap();
            ids.push(id);
        }
        let (one, other) = (ids[0], ids[1]);
        for (number, (second, agent, score, told)) in (1..).zip([
            (10_000, one, 84, false),
            (10_001, one, 85, true),
            // By its own words it happened long ago; it came now.
            (10_002, one, 95, false),
            (10_003, other, 95, true),
            (10_900, one, 85, false),
            (11_800, one, 85, false),
            (12_000, one, 5, false),
            (12_700, one, 85, false),
            (13_601, one, 85, true),
        ]) {
            let now = UnixTime::from_seconds(second);
            assert_eq!(crosses(&store, &tenant, agent, score, now).unwrap(), told, "{number} at {second}");
            store
                .declare(&Declaration {
                    id: EventId::from_bytes([number; 16]),
                    tenant: tenant.clone(),
                    agent,
                    action: "any".into(),
                    score,
                    occurred: UnixTime::from_seconds(0),
                    received: now,
                    session: None,
                    details: None,
                    address: None,
                    certificate: None,
                    chain: None,
                })
                .unwrap();
        }
    }
}
