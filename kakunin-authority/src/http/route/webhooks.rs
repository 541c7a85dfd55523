//! Webhooks: where events are sent to, and what came of it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Role;
use crate::authority::Authority;
use crate::hook::order::HookOrder;
use crate::hook::secret::HookSecret;
use crate::hook::{HookEvent, HookId, SignatureForm};
use crate::http::access::{Caller, Open};
use crate::http::answer::{data, data_with, json_text};
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::deliver::target::Target;
use crate::http::error::Refusal;
use crate::http::page;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::store::{DeliveryRecord, DeliveryState, HookChange, HookRecord};

pub(crate) fn rows() -> Vec<Row> {
    let api = Row::api;
    vec![
        api(Method::GET, "/webhooks", READERS, "The webhooks of this tenant, without their secrets", || {
            get(list)
        }),
        api(Method::POST, "/webhooks", OWNERS, "Make a webhook; its secret is in this answer alone", || {
            post(make)
        })
        .takes(MAKE),
        api(Method::PATCH, "/webhooks/{id}", OWNERS, "Change a webhook, or turn it off and on", || {
            patch(change)
        })
        .takes(CHANGE),
        api(Method::DELETE, "/webhooks/{id}", OWNERS, "Remove a webhook and all that waits for it", || {
            delete(remove)
        }),
        api(Method::POST, "/webhooks/{id}/rotate", OWNERS, "Give a webhook another secret", || post(rotate))
            .takes(ROTATE),
        api(Method::POST, "/webhooks/{id}/test", OWNERS, "Send a webhook something to try it out", || {
            post(test)
        }),
        api(Method::GET, "/webhooks/{id}/deliveries", READERS, "What was sent, and what came of it", || {
            get(deliveries)
        })
        .asks(DELIVERIES),
    ]
}

async fn list(State(service): State<Arc<Service>>, caller: Caller) -> Result<Response, Refusal> {
    unbound(&caller)?;
    let (tenant, now) = (caller.tenant().clone(), (service.clock)());
    let rows = service.readers.read(move |store| {
        let hooks = store.hooks(&tenant)?.into_iter();
        let hinted = hooks.map(|hook| store.secrets(hook.id, now).map(|known| (hook, known)));
        hinted.collect::<Result<Vec<_>, _>>()
    });
    let hint = |known: &[crate::store::SealedSecret]| known.first().map(|secret| secret.hint.clone());
    let rows: Vec<_> = rows.await?.iter().map(|(hook, known)| row(hook, hint(known))).collect();
    Ok(data(&rows.into()))
}

async fn make(State(service): State<Arc<Service>>, caller: Caller, body: Bytes) -> Result<Response, Refusal> {
    unbound(&caller)?;
    let mut members = Members::read(&body)?;
    let missing = |name: &str| Refusal::invalid(format!("`{name}` is missing"));
    let url = url(&service, &mut members)?.ok_or_else(|| missing("url"))?;
    let events = events(&mut members)?.ok_or_else(|| missing("events"))?;
    let form = form(&mut members)?.unwrap_or_default();
    members.end()?;
    let key = service.sealing_key_or_new().await?;
    let order = HookOrder { tenant: caller.tenant().clone(), url: url.clone(), events, form };
    let look = move |_: &Authority<'_>| {
        let intent = Intent {
            what: "webhook.create",
            subject: "webhook".into(),
            before: None,
            after: Some(url),
            text: String::new(),
        };
        Ok((intent, ()))
    };
    let made = service.carry_out(&caller, Lane::Ordinary, look, move |authority, (), _, now| {
        authority.make_hook(&order, &key, now)
    });
    let (record, secret) = made.await?;
    Ok(data_with(StatusCode::CREATED, &shown_once(&record, &secret)))
}

async fn change(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let id = named(&caller, &id)?;
    let mut members = Members::read(&body)?;
    let change = HookChange {
        url: url(&service, &mut members)?,
        events: events(&mut members)?,
        form: form(&mut members)?,
        active: match members.take(&["active"])? {
            None => None,
            Some(Value::Bool(active)) => Some(active),
            Some(_) => return Err(Refusal::invalid("`active` has to be true or false")),
        },
    };
    members.end()?;
    let (tenant, new) = (caller.tenant().clone(), change.clone());
    let look = looking(&caller, id, "webhook.update", move |known| {
        Some(audited(&HookRecord {
            url: new.url.unwrap_or(known.url),
            events: new.events.unwrap_or(known.events),
            form: new.form.unwrap_or(known.form),
            active: new.active.unwrap_or(known.active),
            ..known
        }))
    });
    let act =
        move |authority: &mut Authority<'_>, _, _, now| authority.change_hook(&tenant, id, &change, now);
    let changed = service.carry_out(&caller, Lane::Ordinary, look, act).await?;
    Ok(data(&row(&changed, None)))
}

async fn remove(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let id = named(&caller, &id)?;
    let tenant = caller.tenant().clone();
    let look = looking(&caller, id, "webhook.delete", |_| None);
    let act = move |authority: &mut Authority<'_>, _, _, _| Ok(authority.store.remove_hook(&tenant, id)?);
    service.carry_out(&caller, Lane::Ordinary, look, act).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn rotate(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let id = named(&caller, &id)?;
    let mut members = Members::read(&body)?;
    let hours = members.number("overlap_hours", 0, MOST_OVERLAP)?.unwrap_or(OVERLAP);
    members.end()?;
    let key = service.sealing_key().await?.ok_or_else(Refusal::missing)?;
    let tenant = caller.tenant().clone();
    let look = looking(&caller, id, "webhook.rotate", |known| Some(audited(&known)));
    let act = move |authority: &mut Authority<'_>, _, _, now: kakunin_core::time::UnixTime| {
        let until = now.plus(i64::from(hours) * 3600);
        let (record, secret) = authority.rotate_hook_secret(&tenant, id, &key, until, now)?;
        Ok((record, secret, until))
    };
    let (record, secret, until) = service.carry_out(&caller, Lane::Ordinary, look, act).await?;
    let mut shown = shown_once(&record, &secret);
    if let Some(members) = shown.as_object_mut() {
        members.insert("previous_secret_until".into(), until.to_string().into());
    }
    Ok(data(&shown))
}

async fn test(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let id = named(&caller, &id)?;
    Members::read(&body)?.end()?;
    let (tenant, asked) = (caller.tenant().clone(), looking(&caller, id, "webhook.test", |_| None));
    let look = move |authority: &Authority<'_>| {
        let (intent, known) = asked(authority)?;
        if !known.active {
            let text = "the webhook is turned off; turn it on with `active` first";
            return Err(Refusal::new(StatusCode::CONFLICT, "webhook.inactive", text));
        }
        Ok((intent, known))
    };
    let act = move |authority: &mut Authority<'_>, _, _, now| authority.try_hook(&tenant, id, now);
    let sequence = service.carry_out(&caller, Lane::Ordinary, look, act).await?;
    let tenant = caller.tenant().clone();
    let written =
        service.readers.read(move |store| store.deliveries(&tenant, id, Some(sequence.saturating_add(1)), 1));
    let written = written.await?.pop().ok_or_else(Refusal::internal)?;
    Ok(data_with(StatusCode::ACCEPTED, &delivery(&written)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<String>,
    before: Option<String>,
}

async fn deliveries(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let id = named(&caller, &id)?;
    let Query(asked) = asked?;
    let limit = page::limit(asked.limit.as_deref(), 50)?;
    let wrong = |_| Refusal::invalid("`before` is not as it was answered");
    let before = asked.before.as_deref().map(str::parse::<u64>).transpose().map_err(wrong)?;
    let tenant = caller.tenant().clone();
    // One more than asked for says whether there is a next page.
    let most = limit.saturating_add(1);
    let mut rows = service.readers.read(move |store| store.deliveries(&tenant, id, before, most)).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.sequence.to_string());
    let body = json!({
        "data": rows.iter().map(delivery).collect::<Vec<_>>(),
        "has_next_page": more,
        "next_cursor": next,
    });
    Ok(json_text(StatusCode::OK, body.to_string()))
}

/// Finds the webhook on the sequencer, and says what is about to be done with it.
fn looking(
    caller: &Caller,
    id: HookId,
    what: &'static str,
    after: impl FnOnce(HookRecord) -> Option<String> + Send + 'static,
) -> impl FnOnce(&Authority<'_>) -> Result<(Intent, HookRecord), Refusal> + Send + 'static {
    let tenant = caller.tenant().clone();
    move |authority| {
        let known = authority.store.hook(&tenant, id)?.ok_or_else(Refusal::missing)?;
        let (subject, before) = (id.to_string(), Some(audited(&known)));
        let intent = Intent { what, subject, before, after: after(known.clone()), text: String::new() };
        Ok((intent, known))
    }
}

/// A webhook in the audit log.
fn audited(hook: &HookRecord) -> String {
    let active = if hook.active { "active" } else { "off" };
    format!("{active} {} {} {}", hook.form.word(), words(&hook.events).join(","), hook.url)
}

/// Webhooks tell of every agent of a tenant: a key for a few of them has nothing to do with that.
fn unbound(caller: &Caller) -> Result<(), Refusal> {
    match caller.is_bound() {
        true => {
            Err(Refusal::new(StatusCode::FORBIDDEN, "access.bound", "a key bound to agents may not do this"))
        }
        false => Ok(()),
    }
}

fn named(caller: &Caller, id: &str) -> Result<HookId, Refusal> {
    unbound(caller)?;
    HookId::parse(id).ok_or_else(Refusal::missing)
}

fn url(service: &Service, members: &mut Members) -> Result<Option<String>, Refusal> {
    let Some(text) = members.text(&["url"], MOST_URL)? else { return Ok(None) };
    match Target::parse(&text, &service.hooks.reach) {
        Ok(target) => Ok(Some(target.as_str().to_owned())),
        Err(why) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "webhook.url",
            format!("`url` cannot be a webhook's: {why}"),
        )),
    }
}

fn events(members: &mut Members) -> Result<Option<Vec<HookEvent>>, Refusal> {
    let Some(value) = members.take(&["events"])? else { return Ok(None) };
    let wrong = || {
        let known = words(&HookEvent::ALL).join(", ");
        Refusal::invalid(format!("`events` has to be a list of one or more of {known}, each once"))
    };
    let list = value.as_array().filter(|list| !list.is_empty()).ok_or_else(wrong)?;
    let mut events = Vec::new();
    for word in list {
        let event = word.as_str().and_then(HookEvent::from_word);
        match event.filter(|event| HookEvent::ALL.contains(event) && !events.contains(event)) {
            Some(event) => events.push(event),
            None => return Err(wrong()),
        }
    }
    Ok(Some(events))
}

fn form(members: &mut Members) -> Result<Option<SignatureForm>, Refusal> {
    let Some(word) = members.text(&["signature"], 32)? else { return Ok(None) };
    let known = SignatureForm::ALL.map(SignatureForm::word).join(", ");
    let wrong = || Refusal::invalid(format!("`signature` has to be one of {known}"));
    SignatureForm::from_word(&word).map(Some).ok_or_else(wrong)
}

fn words(events: &[HookEvent]) -> Vec<&'static str> {
    events.iter().map(|event| event.word()).collect()
}

fn row(hook: &HookRecord, hint: Option<String>) -> Value {
    let mut row = json!({
        "id": hook.id.to_string(),
        "tenant_id": hook.tenant.as_str(),
        "url": hook.url,
        "events": words(&hook.events),
        "signature": hook.form.word(),
        "active": hook.active,
        "created_at": hook.created.to_string(),
        "updated_at": hook.updated.to_string(),
    });
    if let (Some(members), Some(hint)) = (row.as_object_mut(), hint) {
        members.insert("secret_hint".into(), hint.into());
    }
    row
}

fn shown_once(hook: &HookRecord, secret: &HookSecret) -> Value {
    let mut row = row(hook, Some(secret.hint()));
    if let Some(members) = row.as_object_mut() {
        members.insert("secret".into(), secret.text().into());
    }
    row
}

fn delivery(record: &DeliveryRecord) -> Value {
    let answer = record.answer.as_ref();
    let tried = record.tried.map(|at| at.to_string());
    json!({
        "id": record.id(),
        "webhook_id": record.hook.to_string(),
        "sequence": record.sequence,
        "event_type": record.event.word(),
        "status": record.state.word(),
        "attempt": record.attempts,
        "response_status": answer.map(|answer| answer.status),
        // What a stranger sent: JSON escapes it here, and whoever shows it escapes it there.
        "response_body": answer.map(|answer| String::from_utf8_lossy(&answer.body)),
        "error_message": record.error,
        "created_at": record.at.to_string(),
        "last_attempt_at": tried,
        "delivered_at": tried.filter(|_| record.state == DeliveryState::Delivered),
        "next_attempt_at": record.state.waits().then(|| record.due.to_string()),
    })
}

const OWNERS: Open = Open::Roles(&[]);
const READERS: Open = Open::Roles(&[Role::Auditor]);
const MOST_URL: usize = 2048;
/// Hours in which a receiver can be given its new secret.
const OVERLAP: u16 = 24;
const MOST_OVERLAP: u16 = 168;
const URL: Named =
    Named::new("url", "string", "Where to: https, port 443 or from 1024 up, no address inside");
const EVENTS: Named = Named::new(
    "events",
    "array",
    "Any of certificate.issued, certificate.revoked, risk.alert, agent.risk, agent.suspended, agent.resumed, agent.revoked, agent.halted, log.contradiction, issuance.frozen, issuance.thawed",
);
const FORM: Named = Named::new(
    "signature",
    "string",
    "kakunin, or also X-Kakunin-Signature as the hosted service sends it (hosted-sha256) or its clients check it (hosted-t-v1)",
);
const MAKE: &[Named] = &[URL, EVENTS, FORM];
const CHANGE: &[Named] = &[URL, EVENTS, FORM, Named::new("active", "boolean", "Whether anything is sent")];
const ROTATE: &[Named] = &[Named::new(
    "overlap_hours",
    "integer",
    "For how long deliveries are signed with the old secret, too: 0 to 168, 24 if not said",
)];
const DELIVERIES: &[Named] = &[
    Named::new("limit", "integer", "How many at most: 1 to 100, 50 if not said"),
    Named::new("before", "string", "The `next_cursor` of the page before"),
];
