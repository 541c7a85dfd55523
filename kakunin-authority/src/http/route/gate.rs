//! The gate of the hosted contract: may this agent be promoted, by what is kept of it.
//!
//! Judged by the core's gate. What is missing fails: the hosted action takes everything but `fail` and `pass` for a
//! warning. The check is recorded before it is answered, and only a key that may revoke revokes by it.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::Method;
use axum::response::Response;
use axum::routing::post;
use kakunin_core::digest::Digest;
use kakunin_core::gate::{Check, GatePolicy, Promotion, Watched, Watching};
use kakunin_core::id::AgentId;
use kakunin_core::receipt::{Event, Mode, UnverifiedReceipt};
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
    AgentRecord, CertificateRecord, ReceiptFilter, ReceiptKind, RiskEvent, RiskEventKind, RiskRecord, Store,
    StoreError,
};
use crate::watch::Keys;

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
    let good = good_until(&certificates, now);
    let serial = good.or(certificates.last()).map(shape::serial);
    let until = good.map(|certificate| certificate.validity.not_after);
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

/// The certificate that ends last of those that are good and have begun. One that was revoked is no certificate, however long
/// it would have been good.
fn good_until(certificates: &[CertificateRecord], now: UnixTime) -> Option<&CertificateRecord> {
    let is_good = |its: &&CertificateRecord| {
        its.standing == Standing::Good && its.der.is_some() && its.validity.not_before <= now
    };
    certificates.iter().filter(is_good).max_by_key(|its| its.validity.not_after)
}

/// Reads what is kept. What cannot be read is an error, and never nothing.
fn kept(
    store: &dyn Store,
    tenant: &TenantId,
    agent: &AgentRecord,
    since: UnixTime,
) -> Result<Kept, StoreError> {
    let record = store.risk(tenant, agent.id)?;
    let since_then = record.as_ref().map(|record| worst(store, tenant, record, since)).transpose()?;
    let (worst, proven) =
        since_then.as_ref().map_or((None, RiskLevel::Clear), |its| (Some(its.worst), its.proven));
    // A named person let it act again: what was before is explained, and is no evidence for what comes.
    let since = since_then.and_then(|its| its.released).map_or(since, |released| released.max(since));
    let declared = store.declared_days(tenant, agent.id, since)?;
    let calls = calls(store, tenant, agent.id, since)?;
    Ok(Kept {
        watched: Watched {
            certified_until: None,
            standing: agent.standing,
            calls: calls.all,
            observed: calls.observed,
            declared: declared.iter().map(|day| day.count).sum(),
            is_learnt: record.as_ref().is_some_and(|record| record.baseline.is_some()),
            unlearnt: record.as_ref().and_then(|record| record.unlearnt.clone()),
            worst,
            proven,
            present: record.as_ref().map_or(RiskLevel::Clear, |record| record.level),
        },
        score: record.map_or(0, |record| record.score),
        serial: None,
    })
}

/// Calls of an agent of its own.
#[derive(Default)]
struct Calls {
    all: u64,
    observed: u64,
}

/// Its calls since then, by what their receipts say: dry runs are receipts, too, and so are decisions of a gateway about others.
/// What nobody looked at yet may be anything. Of very many the newest count.
fn calls(store: &dyn Store, tenant: &TenantId, agent: AgentId, since: UnixTime) -> Result<Calls, StoreError> {
    let place = store.risk_place(tenant)?;
    let behind = store.receipts_after(tenant, Some(&[agent]), place.as_ref(), MOST_BEHIND)?;
    let mut calls = Calls::default();
    if behind.len() >= MOST_BEHIND as usize {
        return Ok(calls);
    }
    let mut keys = Keys::of(store, tenant);
    let behind: BTreeSet<Digest> = behind.iter().map(|receipt| receipt.hash).collect();
    for kind in [ReceiptKind::Allow, ReceiptKind::Deny] {
        let since = Some(since.seconds().saturating_mul(1_000_000));
        let filter = ReceiptFilter { since, kind: Some(kind), ..ReceiptFilter::default() };
        let kept = store.receipts(tenant, agent, &filter, MOST_CALLS)?;
        for kept in kept.iter().filter(|kept| !behind.contains(&kept.hash)) {
            let Ok((receipt, _)) = UnverifiedReceipt::from_log_entry(&kept.line) else { continue };
            if keys.is_given_up(agent, receipt.certificate())? {
                continue;
            }
            match &receipt.statement().event {
                Event::Decision { caller: None, mode: Mode::Enforce, .. } => calls.all += 1,
                Event::Decision { caller: None, mode: Mode::Observe, .. } => {
                    calls.all += 1;
                    calls.observed += 1;
                }
                _ => {}
            }
        }
    }
    Ok(calls)
}

/// What the levels were since then.
struct Since {
    /// The worst, with the one that it had at that time.
    worst: RiskLevel,
    /// The worst for which receipts alone speak.
    proven: RiskLevel,
    /// When a person let it act again the last time; then since that.
    released: Option<UnixTime>,
}

fn worst(
    store: &dyn Store,
    tenant: &TenantId,
    record: &RiskRecord,
    since: UnixTime,
) -> Result<Since, StoreError> {
    let (mut worst, mut proven, mut below) = (record.level, RiskLevel::Clear, None);
    let ended = |worst, proven, released| Ok(Since { worst, proven, released });
    loop {
        let page = store.risk_events(tenant, record.agent, below, PAGE)?;
        for (_, event) in page.iter().filter(|(_, event)| event.kind == RiskEventKind::Level) {
            if is_release(event) {
                return ended(worst, proven, Some(event.at));
            }
            worst = worst.max(event.level);
            if is_proven(event) {
                proven = proven.max(event.level);
            }
            if event.at < since {
                return ended(worst, proven, None);
            }
        }
        match page.last() {
            Some((number, _)) if page.len() == PAGE as usize => below = Some(*number),
            _ => return ended(worst, proven, None),
        }
    }
}

/// Whether it says that a person let the agent act again: nothing else ends a suspension, and only another certificate a
/// revocation.
fn is_release(event: &RiskEvent) -> bool {
    let said: Value = serde_json::from_str(&event.text).unwrap_or_default();
    let from = said.pointer("/change/from").and_then(Value::as_str).and_then(RiskLevel::from_word);
    event.level == RiskLevel::Clear && from.is_some_and(|from| from >= RiskLevel::Suspend)
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
/// Receipts of one kind that are read again; more of them say nothing more.
const MOST_CALLS: u32 = 5_000;
/// Receipts of an agent that nobody looked at yet. With more of them its level is not known.
const MOST_BEHIND: u32 = 5_000;
const GATES: Open = Open::Roles(&[Role::Gate, Role::Revoker]);
const ASKED: &[Named] = &[
    Named::new("agentId", "string", "Which agent, by id or name"),
    Named::new("commitSha", "string", "The commit that is to be promoted, up to 64 characters"),
    Named::new("workflowRunId", "string", "The run of the pipeline, up to 64 characters"),
    Named::new("repo", "string", "The repository, up to 200 characters"),
    Named::new("windowDays", "integer", "How many days count: 1 to 30, 7 if not said"),
];

#[cfg(test)]
mod tests {
    use kakunin_core::id::SerialNumber;
    use kakunin_core::time::Validity;

    use super::*;
    use crate::store::IssuerId;

    fn certificate(standing: Standing, from: i64, to: i64) -> CertificateRecord {
        let time = UnixTime::from_seconds;
        CertificateRecord {
            serial: SerialNumber::from_random([7; 16]),
            issuer: IssuerId::ROOT,
            tenant: TenantId::default(),
            agent: AgentId::from_random([7; 16]),
            key: Digest::of(b"key"),
            validity: Validity { not_before: time(from), not_after: time(to) },
            standing,
            since: time(from),
            reason: crate::standing::Reason::Unspecified,
            der: Some(vec![0x30]),
        }
    }

    #[test]
    fn a_revoked_certificate_is_good_until_no_day() {
        let good = certificate(Standing::Good, 0, 1_000);
        let long = certificate(Standing::Revoked, 0, 9_000);
        let held = certificate(Standing::Held, 0, 9_000);
        let coming = certificate(Standing::Good, 5_000, 9_000);
        let never = CertificateRecord { der: None, ..certificate(Standing::Good, 0, 9_000) };
        let all = [good.clone(), long.clone(), held, coming, never];
        let now = UnixTime::from_seconds(500);
        assert_eq!(good_until(&all, now), Some(&good));
        assert_eq!(good_until(&[long], now), None);
    }
}
