//! The audit log, newest first.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use kakunin_core::time::UnixTime;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::{Actor, Role};
use crate::http::access::{Caller, Open};
use crate::http::answer::json_text;
use crate::http::error::Refusal;
use crate::http::page;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::store::{AuditEntry, AuditFilter, AuditId, Outcome};

pub(crate) fn rows() -> Vec<Row> {
    let text = "What was ordered, by whom, and what came of it";
    vec![Row::api(Method::GET, "/audit-log", Open::Roles(&[Role::Auditor]), text, || get(list)).asks(LIST)]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    since: Option<String>,
    before: Option<String>,
    event_type: Option<String>,
    affected_id: Option<String>,
    actor: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

async fn list(
    State(service): State<Arc<Service>>,
    caller: Caller,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked?;
    if caller.is_bound() {
        // Orders about other agents, and about keys, are in it.
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "access.bound",
            "a key bound to agents may not do this",
        ));
    }
    let limit = page::limit(asked.limit.as_deref(), 50)?;
    let wrong = |name| Refusal::invalid(format!("`{name}` is not as it was answered"));
    let below = asked.cursor.as_deref().map(|text| text.parse().map_err(|_| wrong("cursor"))).transpose()?;
    let actor =
        asked.actor.as_deref().map(|text| Actor::parse(text).ok_or_else(|| wrong("actor"))).transpose()?;
    let filter = AuditFilter {
        since: asked.since.as_deref().map(|text| time("since", text)).transpose()?,
        before: asked.before.as_deref().map(|text| time("before", text)).transpose()?,
        below: below.map(AuditId::from_number),
        what: asked.event_type,
        subject: asked.affected_id,
        actor,
    };
    let tenant = caller.tenant().clone();
    // One more than asked for says whether there is a next page.
    let most = limit.saturating_add(1);
    let mut entries = service.readers.read(move |store| store.audit(&tenant, &filter, most)).await?;
    let more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    let next = entries.last().filter(|_| more).map(|entry| entry.id.to_string());
    let body = json!({
        "data": entries.iter().map(row).collect::<Vec<_>>(),
        "pagination": { "limit": limit, "has_next_page": more, "next_cursor": next },
    });
    Ok(json_text(StatusCode::OK, body.to_string()))
}

fn time(name: &str, text: &str) -> Result<UnixTime, Refusal> {
    let wrong = |_| Refusal::invalid(format!("`{name}` has to be an instant such as 2026-11-23T09:30:00Z"));
    UnixTime::parse_rfc3339(text).map_err(wrong)
}

fn row(entry: &AuditEntry) -> Value {
    let record = &entry.record;
    let (outcome, detail, ended) = match &entry.outcome {
        None => ("open", None, None),
        Some((Outcome::Done, at)) => ("done", None, Some(at)),
        Some((Outcome::Refused(code), at)) => ("refused", Some(code), Some(at)),
        Some((Outcome::Failed(text), at)) => ("failed", Some(text), Some(at)),
    };
    json!({
        "id": entry.id.to_string(),
        "event_type": record.what,
        "actor_type": match record.actor { Actor::Key(_) => "api_key", Actor::Agent(_) => "agent",
            Actor::Token(_) => "token", Actor::Local => "local", Actor::Authority => "authority" },
        "actor_id": record.actor.to_string(),
        "description": record.text,
        "affected_id": record.subject,
        "metadata": { "address": record.address, "before": record.before, "after": record.after },
        "outcome": outcome,
        "outcome_detail": detail,
        "outcome_at": ended.map(|at| at.to_string()),
        "created_at": record.at.to_string(),
    })
}

const LIST: &[Named] = &[
    Named::new("since", "string", "At or after this instant, RFC 3339"),
    Named::new("before", "string", "Before this instant"),
    Named::new("event_type", "string", "For example agent.revoke"),
    Named::new("affected_id", "string", "The agent, key or certificate"),
    Named::new("actor", "string", "The prefix of a key, `local` or `authority`"),
    Named::new("limit", "integer", "How many at most: 1 to 100, 50 if not said"),
    Named::new("cursor", "string", "The `next_cursor` of the page before"),
];
