//! The gate of the hosted contract: may this agent be promoted, by what is kept of it.
//!
//! Judged by the core's gate. What is missing fails: the hosted action takes everything but `fail` and `pass` for a
//! warning. The check is recorded before it is answered, and only a key that may revoke revokes by it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::Method;
use axum::response::Response;
use axum::routing::post;
use kakunin_core::gate::{Check, GatePolicy, Promotion, Watched, Watching};
use kakunin_core::revocation::Standing;
use kakunin_core::risk::{Feature, RiskLevel};
use kakunin_core::time::UnixTime;
use serde_json::{Value, json};

use super::agents::{known, seen};
use super::standing::give;
use crate::access::{Role, TenantId};
use crate::agent::Who;
use crate::authority::Authority;
use crate::http::access::{Caller, Open};
use crate::http::answer::data;
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::score::Band;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::shape;
use crate::http::table::{Named, Row};
use crate::standing::Order;
use crate::store::{
    AgentRecord, ReceiptFilter, ReceiptKind, RiskEvent, RiskEventKind, RiskRecord, Store, StoreError,
};

pub(crate) fn rows() -> Vec<Row> {
    let about = "May this agent be promoted? Judged by its receipts, standing and level of risk";
    vec![Row::api(Method::POST, "/integrations/github/gate", GATES, about, || post(gate)).takes(ASKED)]
}

/// What is asked.
struct Asked {
    agent: Who,
    commit: Option<String>,
    run: Option<String>,
    repository: Option<String>,
    days: i64,
}

impl Asked {
    fn read(body: &Bytes) -> Result<Self, Refusal> {
        let mut members = Members::read(body)?;
        let agent = members.text(&["agentId", "agent_id"], 64)?;
        let asked = Self {
            agent: Who::parse(&agent.ok_or_else(|| Refusal::invalid("`agentId` is missing"))?)
                .map_err(|_| Refusal::missing())?,
            commit: members.text(&["commitSha", "commit_sha"], 64)?,
            run: members.text(&["workflowRunId", "workflow_run_id"], 64)?,
            repository: members.text(&["repo"], 200)?,
            days: match (members.number("windowDays", 1, 30)?, members.number("window_days", 1, 30)?) {
                (Some(_), Some(_)) => {
                    return Err(Refusal::invalid("give `windowDays` or `window_days`, not both"));
                }
                (Some(days), None) | (None, Some(days)) => i64::from(days),
                (None, None) => 7,
            },
        };
        members.end()?;
        Ok(asked)
    }
}

/// What is kept of the agent, for the time that counts.
struct Kept {
    watched: Watched,
    score: u16,
    serial: Option<String>,
}

async fn gate(State(service): State<Arc<Service>>, caller: Caller, body: Bytes) -> Result<Response, Refusal> {
    let asked = Asked::read(&body)?;
    let (agent, certificates) = seen(&service, &caller, &asked.agent.to_string()).await?;
    let (now, tenant, id) = ((service.clock)(), caller.tenant().clone(), agent.id);
    let since = now.plus(-asked.days * DAY);
    let serial = certificates.last().map(shape::serial);
    let until = certificates.iter().map(|certificate| certificate.validity.not_after).max();
    let standing = agent.standing;
    let kept = service.readers.read(move |store| {
        let mut kept = kept(store, &tenant, &agent, since)?;
        kept.watched.certified_until = until;
        kept.serial = serial;
        Ok(kept)
    });
    let kept = kept.await?;
    let watching = GatePolicy::default().judge_watched(&kept.watched, now);
    record(&service, &caller, &asked, &watching).await?;
    let may_revoke = caller.is(Role::Revoker);
    let mut after = standing;
    if watching.is_hard() && may_revoke && standing != Standing::Revoked {
        let reason = format!("gate: level {}", kept.watched.worst.map_or("", RiskLevel::word));
        let _ = give(&service, &caller, &id.to_string(), Order::Revoke, "agent.revoke", reason).await?;
        after = Standing::Revoked;
    }
    Ok(data(&answer(&asked, id.to_string(), &kept, &watching, after, may_revoke)))
}

/// Reads what is kept. What cannot be read is an error, and never nothing.
fn kept(
    store: &dyn Store,
    tenant: &TenantId,
    agent: &AgentRecord,
    since: UnixTime,
) -> Result<Kept, StoreError> {
    let micros = since.seconds().saturating_mul(1_000_000);
    let filter = ReceiptFilter { since: Some(micros), ..ReceiptFilter::default() };
    let receipts = store.count_receipts(tenant, agent.id, &filter)?;
    let calls = receipts.iter().filter(|(kind, _)| matches!(kind, ReceiptKind::Allow | ReceiptKind::Deny));
    let declared = store.declared_days(tenant, agent.id, since)?;
    let record = store.risk(tenant, agent.id)?;
    let (worst, proven) = match &record {
        None => (None, RiskLevel::Clear),
        Some(record) => {
            let (worst, proven) = worst(store, tenant, record, since)?;
            (Some(worst), proven)
        }
    };
    // Dry runs are receipts too; what was looked at are calls.
    let calls: u64 = calls.map(|(_, many)| *many).sum();
    let looked_at =
        record.as_ref().filter(|record| record.last >= Some(since)).map_or(0, |record| record.calls);
    Ok(Kept {
        watched: Watched {
            certified_until: None,
            standing: agent.standing,
            calls: calls.min(looked_at),
            declared: declared.iter().map(|day| day.count).sum(),
            is_learnt: record.as_ref().is_some_and(|record| record.baseline.is_some()),
            worst,
            proven,
        },
        score: record.map_or(0, |record| record.score),
        serial: None,
    })
}

/// The worst level since then, with the one that it had at that time; and the worst for which receipts alone speak.
fn worst(
    store: &dyn Store,
    tenant: &TenantId,
    record: &RiskRecord,
    since: UnixTime,
) -> Result<(RiskLevel, RiskLevel), StoreError> {
    let (mut worst, mut proven, mut below) = (record.level, RiskLevel::Clear, None);
    loop {
        let page = store.risk_events(tenant, record.agent, below, PAGE)?;
        for (_, event) in page.iter().filter(|(_, event)| event.kind == RiskEventKind::Level) {
            worst = worst.max(event.level);
            if is_proven(event) {
                proven = proven.max(event.level);
            }
            if event.at < since {
                return Ok((worst, proven));
            }
        }
        match page.last() {
            Some((number, _)) if page.len() == PAGE as usize => below = Some(*number),
            _ => return Ok((worst, proven)),
        }
    }
}

/// Whether all that speaks for the level was read in receipts. What cannot be read does not.
fn is_proven(event: &RiskEvent) -> bool {
    let said: Value = serde_json::from_str(&event.text).unwrap_or_default();
    let Some(evidence) = said.pointer("/change/evidence").and_then(Value::as_array) else { return false };
    let word =
        |evidence: &Value| evidence.get("feature").and_then(Value::as_str).and_then(Feature::from_word);
    !evidence.is_empty() && evidence.iter().all(|each| word(each).is_some_and(Feature::is_of_receipts))
}

/// Records that the gate was asked, and what it said, before it says so.
async fn record(
    service: &Arc<Service>,
    caller: &Caller,
    asked: &Asked,
    watching: &Watching,
) -> Result<(), Refusal> {
    let (seer, who, word) = (caller.clone(), asked.agent.clone(), watching.promotion().word());
    let codes = watching.checks().iter().map(|check| check.code().as_str()).filter(|code| *code != "gate.ok");
    let text = json!({
        "commit": asked.commit,
        "run": asked.run,
        "repo": asked.repository,
        "codes": codes.collect::<Vec<_>>(),
    });
    let look = move |authority: &Authority<'_>| {
        let agent = known(authority.records(), &seer, &who)?;
        let intent = Intent {
            what: "gate.check",
            subject: agent.id.to_string(),
            before: Some(agent.standing.word().into()),
            after: Some(word.into()),
            text: text.to_string(),
        };
        Ok((intent, ()))
    };
    service.carry_out(caller, Lane::Ordinary, look, |_, (), _, _| Ok(())).await
}

fn answer(
    asked: &Asked,
    id: String,
    kept: &Kept,
    watching: &Watching,
    after: Standing,
    may_revoke: bool,
) -> Value {
    let check = |check: &Check| {
        json!({
            "step": check.step().word(),
            "outcome": check.outcome().word(),
            "code": check.code().as_str(),
            "sentence": check.sentence(),
        })
    };
    let level = kept.watched.worst;
    let policy = GatePolicy::default();
    json!({
        "decision": watching.promotion().word(),
        "risk_score": f64::from(kept.score) / 1000.0,
        "band": Band::of(u8::try_from(kept.score / 10).unwrap_or(100)).word(),
        "level": level.map(RiskLevel::word),
        "events_considered": kept.watched.calls.saturating_add(kept.watched.declared),
        "receipts_considered": kept.watched.calls,
        "thresholds": {
            "action_required": RiskLevel::Watch.word(),
            "fail": policy.fail_on().word(),
            "min_calls": policy.min_calls(),
        },
        "window_days": asked.days,
        "agent_id": id,
        "cert_serial": kept.serial,
        "cert_revoked": after == Standing::Revoked,
        "agent_suspended": after != Standing::Good,
        "may_revoke": may_revoke,
        "commit_sha": asked.commit,
        "workflow_run_id": asked.run,
        "repo": asked.repository,
        "checks": watching.checks().iter().map(check).collect::<Vec<_>>(),
        "passed": watching.promotion() == Promotion::Pass,
    })
}

const DAY: i64 = 86_400;
/// As many as a store gives at once.
const PAGE: u32 = 100;
const GATES: Open = Open::Roles(&[Role::Gate, Role::Revoker]);
const ASKED: &[Named] = &[
    Named::new("agentId", "string", "Which agent, by id or name"),
    Named::new("commitSha", "string", "The commit that is to be promoted, up to 64 characters"),
    Named::new("workflowRunId", "string", "The run of the pipeline, up to 64 characters"),
    Named::new("repo", "string", "The repository, up to 200 characters"),
    Named::new("windowDays", "integer", "How many days count: 1 to 30, 7 if not said"),
];
