//! How an agent behaves by its receipts; what was declared about it in a window of days, counted, is beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::Method;
use axum::response::Response;
use axum::routing::get;
use kakunin_core::time::UnixTime;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::agents::seen;
use super::behaviour::{self, against, watched};
use super::events::shown;
use crate::access::Role;
use crate::http::access::{Caller, Open};
use crate::http::answer::data;
use crate::http::error::Refusal;
use crate::http::score::{self, Band};
use crate::http::service::Service;
use crate::http::shape::{self, Reader};
use crate::http::table::{Named, Row};
use crate::store::{ContentCheck, DayCount, DeclaredFilter, ReceiptFilter, ReceiptKind, Verdict};

pub(crate) fn rows() -> Vec<Row> {
    let about =
        "How an agent behaves by its receipts, and what was declared about it, counted by a fixed table";
    vec![Row::api(Method::GET, "/agents/{id}/risk", READERS, about, || get(risk)).asks(RISK)]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    window_days: Option<String>,
    #[serde(rename = "windowDays")]
    also: Option<String>,
}

async fn risk(
    State(service): State<Arc<Service>>,
    caller: Caller,
    reader: Reader,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked?;
    let wrong = || Refusal::invalid("`window_days` has to be a whole number from 1 to 90");
    let days: i64 = match asked.window_days.or(asked.also) {
        None => 30,
        Some(text) => text.parse().ok().filter(|days| (1..=90).contains(days)).ok_or_else(wrong)?,
    };
    let (agent, certificates) = seen(&service, &caller, &id).await?;
    let now = (service.clock)();
    let since = now.plus(-days * DAY);
    let (tenant, of) = (caller.tenant().clone(), agent.id);
    let high = DeclaredFilter {
        agents: Some(vec![of]),
        least: Band::High.scores().0,
        since: Some(since),
        ..DeclaredFilter::default()
    };
    let found = service.readers.read(move |store| {
        let counts = store.declared_days(&tenant, of, since)?;
        let recent = store.declared(&tenant, &high, 10)?;
        let micros = since.seconds().saturating_mul(1_000_000);
        let signed = ReceiptFilter { since: Some(micros), ..ReceiptFilter::default() };
        let known = store.risk(&tenant, of)?;
        let events = store.risk_events(&tenant, of, None, EVENTS)?;
        let checks = (store.count_checks(&tenant, of, since)?, store.checks(&tenant, of, since, CHECKS)?);
        Ok((counts, recent, store.count_receipts(&tenant, of, &signed)?, known, events, checks))
    });
    let (counts, recent, signed, known, events, checks) = found.await?;
    let watched = watched(&service, &agent, known, now);
    let (monitor, known) = (watched.monitor(), watched.record());
    let (features, sentences, evidence) = against(&watched);
    let digest = watched.is_learnt().then(|| monitor.baseline().digest().to_hex());
    let all = Sum::of(counts.iter());
    let types: Map<String, Value> = {
        let mut types = BTreeMap::new();
        for count in &counts {
            *types.entry(count.action.clone()).or_insert(0_u64) += count.count;
        }
        types.into_iter().map(|(action, many)| (action, many.into())).collect()
    };
    let mut by_day: BTreeMap<i64, Vec<&DayCount>> = BTreeMap::new();
    for count in &counts {
        by_day.entry(count.day).or_default().push(count);
    }
    let trend: Vec<Value> = by_day
        .into_iter()
        .map(|(day, counts)| {
            let sum = Sum::of(counts.into_iter());
            let date = UnixTime::from_seconds(day * DAY).to_string();
            json!({
                "date": date.get(..10).unwrap_or(&date),
                "avg_score": sum.average(),
                "event_count": sum.events,
                "dominant_band": sum.dominant().word(),
            })
        })
        .collect();
    let receipts = |kind| signed.iter().find(|(of, _)| *of == kind).map_or(0, |(_, many)| *many);
    Ok(data(&json!({
        "agent_id": agent.id.to_string(),
        "agent_name": agent.details.title.as_deref().unwrap_or(agent.name.as_str()),
        "agent_status": shape::status(agent.standing, !certificates.is_empty(), reader),
        "standing": agent.standing.word(),
        "window_days": days,
        "window_start": since.to_string(),
        "computed_at": now.to_string(),
        "evidence": "declared",
        "risk_score": score::shown(all.highest),
        "risk_band": Band::of(all.highest).word(),
        "dominant_band": all.dominant().word(),
        "total_events": all.events,
        "event_count": all.events,
        "avg_score": all.average(),
        "avg_risk_score": all.average(),
        "high_risk_count": all.high,
        "high_risk_event_count": all.high,
        "medium_risk_count": all.medium,
        "event_counts_by_type": types,
        "recent_high_risk_events": recent.iter().map(shown).collect::<Vec<_>>(),
        "trend": trend,
        "drift": {
            "drift_score": digest.is_some().then(|| f64::from(monitor.score()) / 1000.0),
            "drift_band": digest.is_some().then(|| monitor.level().word()),
            "note": "of signed receipts against the agent's frozen baseline, and of what is handed in beside them",
        },
        "level": monitor.level().word(),
        "score": monitor.score(),
        "features": features,
        "sentences": sentences,
        "baseline": digest,
        "behaviour": {
            "level": monitor.level().word(),
            "score": monitor.score(),
            "evidence": evidence,
            "baseline": digest,
            "policy": monitor.policy().digest().to_hex(),
            "own_policy": known.policy.is_some(),
            "learning": digest.is_none(),
            "not_learnt": known.unlearnt,
            "allowed_calls": known.calls,
            "first_receipt_at": known.first.map(|at| at.to_string()),
            "last_receipt_at": known.last.map(|at| at.to_string()),
            "silent": known.silent,
            "events": events.iter().map(|(number, event)| behaviour::shown(*number, event)).collect::<Vec<_>>(),
        },
        "content": content(&checks.0, &checks.1),
        "receipts": {
            "allowed": receipts(ReceiptKind::Allow),
            "denied": receipts(ReceiptKind::Deny),
            "outcomes": receipts(ReceiptKind::Outcome),
        },
    })))
}

/// What came of checks of texts. Where nobody knows it says so: no number stands for that.
fn content(counts: &[(Verdict, u64)], newest: &[(u64, ContentCheck)]) -> Value {
    let of = |verdict| counts.iter().find(|(its, _)| *its == verdict).map_or(0, |(_, many)| *many);
    let (unknown, pending) = (of(Verdict::Unknown), of(Verdict::Pending));
    let verdict = match () {
        () if of(Verdict::Found) > 0 => Some(Verdict::Found),
        () if unknown + pending > 0 => Some(Verdict::Unknown),
        () if of(Verdict::Clean) > 0 => Some(Verdict::Clean),
        () => None,
    };
    let row = |(number, check): &(u64, ContentCheck)| {
        let findings = serde_json::from_str::<Value>(&check.findings);
        json!({
            "check": number,
            "verdict": check.verdict.word(),
            "provider": check.provider,
            "source": check.source,
            "message_id": check.message,
            "characters": check.length,
            "findings": findings.unwrap_or_else(|_| check.findings.as_str().into()),
            "at": check.at.to_string(),
        })
    };
    json!({
        "verdict": verdict.map(Verdict::word),
        "found": of(Verdict::Found),
        "clean": of(Verdict::Clean),
        "unknown": unknown,
        "pending": pending,
        "newest": newest.iter().map(row).collect::<Vec<_>>(),
    })
}

/// Events taken together.
#[derive(Default)]
struct Sum {
    events: u64,
    hundredths: u64,
    highest: u8,
    low: u64,
    medium: u64,
    high: u64,
}

impl Sum {
    fn of<'a>(counts: impl Iterator<Item = &'a DayCount>) -> Self {
        let mut sum = Self::default();
        for count in counts {
            sum.events += count.count;
            sum.hundredths += count.count * u64::from(count.score);
            sum.highest = sum.highest.max(count.score);
            *match Band::of(count.score) {
                Band::Low => &mut sum.low,
                Band::Medium => &mut sum.medium,
                Band::High => &mut sum.high,
            } += count.count;
        }
        sum
    }

    /// To four decimals, as they are shown.
    fn average(&self) -> f64 {
        let ten_thousandths = (self.hundredths * 100).checked_div(self.events).unwrap_or(0);
        u32::try_from(ten_thousandths).map_or(1.0, f64::from) / 10_000.0
    }

    /// The band of most of them; of two that have as many, the worse.
    fn dominant(&self) -> Band {
        let bands = [(self.low, Band::Low), (self.medium, Band::Medium), (self.high, Band::High)];
        bands.into_iter().filter(|(many, _)| *many > 0).max().map_or(Band::Low, |(_, band)| band)
    }
}

const DAY: i64 = 86_400;
const EVENTS: u32 = 10;
const CHECKS: u32 = 10;
const READERS: Open = Open::Roles(&[Role::Issuer, Role::Revoker, Role::Auditor, Role::Gate]);
const RISK: &[Named] =
    &[Named::new("window_days", "integer", "1 to 90, 30 if not said; `windowDays` is the same")];
