//! The audit log, newest first.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use kakunin_core::time::UnixTime;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::{Actor, ActorKind, Role};
use crate::audit_export::{AuditExport, AuditFormat, AuditSelection};
use crate::authority::Authority;
use crate::http::access::{Caller, Open};
use crate::http::answer::{json_text, typed};
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::exports::streamed;
use crate::http::page;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::store::{AuditEntry, AuditFilter, AuditId, AuditValue, Outcome};

pub(crate) fn rows() -> Vec<Row> {
    let text = "What was ordered, by whom, and what came of it";
    let whole = "The audit log as a file that a stranger can check";
    vec![
        Row::api(Method::GET, "/audit-log", AUDITORS, text, || get(list)).asks(LIST),
        Row::api(Method::GET, "/audit-log/export", AUDITORS, whole, || get(export)).asks(EXPORT),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    since: Option<String>,
    before: Option<String>,
    event_type: Option<String>,
    affected_id: Option<String>,
    actor: Option<String>,
    actor_type: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

async fn list(
    State(service): State<Arc<Service>>,
    caller: Caller,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked?;
    unbound(&caller)?;
    let limit = page::limit(asked.limit.as_deref(), 50)?;
    let wrong = |name| Refusal::invalid(format!("`{name}` is not as it was answered"));
    // Clients of the hosted service send the cursor as `before`.
    let (before, cursor) = match asked.before {
        Some(text) if asked.cursor.is_none() && text.parse::<u64>().is_ok() => (None, Some(text)),
        before => (before, asked.cursor),
    };
    let below = cursor.as_deref().map(|text| text.parse().map_err(|_| wrong("cursor"))).transpose()?;
    let actor =
        asked.actor.as_deref().map(|text| Actor::parse(text).ok_or_else(|| wrong("actor"))).transpose()?;
    let filter = AuditFilter {
        since: asked.since.as_deref().map(|text| time("since", text)).transpose()?,
        before: before.as_deref().map(|text| time("before", text)).transpose()?,
        below: below.map(AuditId::from_number),
        what: asked.event_type,
        subject: asked.affected_id,
        actor,
        kind: asked.actor_type.as_deref().map(kind).transpose()?,
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

/// Orders about other agents, and about keys, are in it.
fn unbound(caller: &Caller) -> Result<(), Refusal> {
    let text = "a key bound to agents may not do this";
    let refusal = || Refusal::new(StatusCode::FORBIDDEN, "access.bound", text);
    if caller.is_bound() { Err(refusal()) } else { Ok(()) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    from: Option<String>,
    to: Option<String>,
    event_type: Option<String>,
    actor_type: Option<String>,
    format: Option<String>,
    without: Option<String>,
}

/// The order is in the log before the file begins, so the file has it as its last row.
async fn export(
    State(service): State<Arc<Service>>,
    caller: Caller,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(wanted) = wanted?;
    unbound(&caller)?;
    let (format, media, name) = match wanted.format.as_deref() {
        None | Some("jsonl" | "json") => (AuditFormat::Lines, "application/x-ndjson", "audit-log.jsonl"),
        Some("csv") => (AuditFormat::Csv, "text/csv; charset=utf-8", "audit-log.csv"),
        Some(_) => return Err(Refusal::invalid("`format` has to be jsonl or csv")),
    };
    let selection = AuditSelection {
        tenant: caller.tenant().clone(),
        from: wanted.from.as_deref().map(|text| time("from", text)).transpose()?,
        to: wanted.to.as_deref().map(|text| time("to", text)).transpose()?,
        what: wanted.event_type,
        kind: wanted.actor_type.as_deref().map(kind).transpose()?,
        without: left_out(wanted.without.as_deref().unwrap_or_default())?,
    };
    let place = service.exports.enter(&caller, &service.shown)?;
    let look = {
        let (subject, text) = (selection.tenant.to_string(), format!("{name}, {selection:?}"));
        let intent = Intent { what: "audit.export", subject, before: None, after: None, text };
        move |_: &Authority<'_>| Ok((intent, ()))
    };
    let act = |authority: &mut Authority<'_>, (), _, now| Ok((authority.records().audit_head()?, now));
    let (head, now) = service.carry_out(&caller, Lane::Ordinary, look, act).await?;
    let head = head.ok_or_else(Refusal::internal)?;
    let (export, first) = AuditExport::begin(selection, format, head, now);
    let mut response = typed(StatusCode::OK, media, streamed(&service, caller, export, first, place));
    let attachment = format!("attachment; filename=\"{name}\"");
    if let Ok(value) = HeaderValue::from_str(&attachment) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// Words with commas between them.
fn left_out(words: &str) -> Result<Vec<AuditValue>, Refusal> {
    let wrong = || {
        let known = AuditValue::ALL.map(AuditValue::word).join(", ");
        Refusal::invalid(format!(
            "`without` has to be some of {known}, with commas between them and each once"
        ))
    };
    let mut values = Vec::new();
    for word in words.split(',').filter(|_| !words.is_empty()) {
        let value = AuditValue::from_word(word).filter(|value| !values.contains(value));
        values.push(value.ok_or_else(wrong)?);
    }
    Ok(values)
}

fn kind(word: &str) -> Result<ActorKind, Refusal> {
    let wrong = || Refusal::invalid("`actor_type` has to be local, authority, api_key, agent or token");
    ActorKind::from_word(word).ok_or_else(wrong)
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
        "actor_type": record.actor.kind().word(),
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

const AUDITORS: Open = Open::Roles(&[Role::Auditor]);
const EXPORT: &[Named] = &[
    Named::new("from", "string", "At or after this instant, RFC 3339"),
    Named::new("to", "string", "Before this instant"),
    Named::new("event_type", "string", "For example agent.revoke"),
    KIND,
    Named::new("format", "string", "jsonl, if not said, or csv"),
    Named::new(
        "without",
        "string",
        "Values that are left out of every row, with commas between them: actor, address, subject, before, after, text",
    ),
];
const KIND: Named = Named::new("actor_type", "string", "local, authority, api_key, agent or token");
const LIST: &[Named] = &[
    Named::new("since", "string", "At or after this instant, RFC 3339"),
    Named::new("before", "string", "Before this instant, or the `next_cursor` of the page before"),
    KIND,
    Named::new("event_type", "string", "For example agent.revoke"),
    Named::new("affected_id", "string", "The agent, key or certificate"),
    Named::new("actor", "string", "The prefix of a key, `local` or `authority`"),
    Named::new("limit", "integer", "How many at most: 1 to 100, 50 if not said"),
    Named::new("cursor", "string", "The `next_cursor` of the page before"),
];
