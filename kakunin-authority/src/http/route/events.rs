//! Events that are declared about agents, as clients of the hosted service send and read them.
//!
//! An event is what somebody with a key says. It is kept as it came, with the time it came; a time that it names is
//! shown beside, marked when it lies back. It counts for how its agent behaves, and nothing is revoked by events.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, ChainId};
use kakunin_core::time::UnixTime;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use serde_json::{Value, json};

use super::agents::seen;
use super::forensics;
use crate::access::Role;
use crate::agent::Who;
use crate::http::access::{Caller, Open};
use crate::http::alert;
use crate::http::answer::{json_text, tame, typed};
use crate::http::body::Members;
use crate::http::error::Refusal;
use crate::http::happenings::{self, Listener, Receipts, Start, listen};
use crate::http::repeat::{Repeat, reply};
use crate::http::score::{self, Band};
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::http::{page, shape};
use crate::standing::Standing;
use crate::store::{
    Answer, Declaration, DeclaredEvent, DeclaredFilter, EventId, ReceiptRecord, RiskSign, SignKind,
    StoreError,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::POST, "/events", SENDERS, "Declare that an agent did something", || post(declare))
            .takes(DECLARE),
        Row::api(Method::GET, "/events", READERS, "Declared events, newest first", || get(list)).asks(LIST),
        Row::api(Method::GET, "/events/stream", READERS, "Declared events as they come", || get(stream_all))
            .asks(STREAM),
        Row::api(
            Method::GET,
            "/agents/{id}/events/stream",
            READERS,
            "Declared events of an agent as they come",
            || get(stream_one),
        )
        .asks(STREAM),
    ]
}

async fn declare(
    State(service): State<Arc<Service>>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let now = (service.clock)();
    let mut members = Members::read(&body)?;
    let missing = |name: &str| Refusal::invalid(format!("`{name}` is missing"));
    let who = members.text(&["agent_id", "agentId"], 64)?.ok_or_else(|| missing("agent_id"))?;
    let who = Who::parse(&who).map_err(|_| Refusal::missing())?;
    let action = members.text(&["action_type", "actionType"], 64)?.ok_or_else(|| missing("action_type"))?;
    let score = score::of(&action)
        .ok_or_else(|| Refusal::invalid(format!("`action_type` has to be one of {}", score::kinds())))?;
    let chain = members.text(&["chain_id", "chainId"], 64)?;
    let chain = chain.map(|text| ChainId::parse(&text).ok_or_else(Refusal::missing)).transpose()?;
    let session = members.text(&["session_id", "sessionId"], 255)?;
    let occurred = match members.text(&["occurred_at", "occurredAt"], 64)? {
        None => now,
        Some(text) => UnixTime::parse_rfc3339(&text).map_err(|_| {
            Refusal::invalid("`occurred_at` has to be an instant such as 2026-11-23T09:30:00Z")
        })?,
    };
    if occurred > now.plus(AHEAD) {
        let text = format!("`occurred_at` lies more than {AHEAD} s ahead; set the clock of whoever sends it");
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "event.future", text));
    }
    let details = match members.take(&["details"])? {
        None => None,
        Some(Value::Object(details)) => Some(Value::Object(details).to_string()),
        Some(_) => return Err(Refusal::invalid("`details` has to be an object")),
    };
    members.end()?;
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).map_err(|_| Refusal::internal())?;
    let repeat = Repeat::of(&caller, "events", &headers, &body)?;
    service.room.for_others()?;
    let kept = service.orders.give_part(1, move |store| {
        repeat.once(store, now, |store| {
            let agent = match crate::authority::find(store, caller.tenant(), &who) {
                Ok(agent) if caller.reaches(agent.id) => agent,
                Ok(_) => return Ok(Err(Refusal::missing())),
                Err(error) => return Ok(Err(error.into())),
            };
            if let Some(id) = chain
                && store
                    .chain(caller.tenant(), id)?
                    .is_some_and(|chain| chain.closed.is_none() && chain.events >= CHAIN_EVENTS)
            {
                let text =
                    format!("a chain has {CHAIN_EVENTS} events at most; close it and begin another one");
                return Ok(Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "chain.full", text)));
            }
            let certificates = store.certificates(caller.tenant(), agent.id)?;
            let good =
                certificates.iter().rev().find(|known| shape::certificate_status(known, now) == "active");
            let crosses = alert::crosses(store, caller.tenant(), agent.id, score, now)?;
            let declared = store.declare(&Declaration {
                id: EventId::from_bytes(id),
                tenant: caller.tenant().clone(),
                agent: agent.id,
                action,
                score,
                occurred,
                received: now,
                session,
                details,
                address: caller.address.clone(),
                certificate: good.map(|known| known.serial),
                chain,
            });
            match declared {
                Ok(event) => {
                    let mut row = shown(&event);
                    if let Some(sign) = sign(&event) {
                        store.hand_in_sign(&sign)?;
                    }
                    if crosses {
                        store.announce(&alert::notice(&agent, &event))?;
                    }
                    if let Some(row) = row.as_object_mut() {
                        row.insert("revocation_check_queued".into(), false.into());
                    }
                    // What a stopped agent tries is what whoever has to release it wants to know. Its clients hear that it
                    // is stopped, as from the hosted service, and not that nothing was kept.
                    Ok(Ok(match agent.standing {
                        Standing::Good => Answer {
                            status: 200,
                            body: tame(json!({ "data": row }).to_string()).into_bytes(),
                        },
                        standing => stopped(standing, &event),
                    }))
                }
                Err(error @ (StoreError::UnknownChain { .. } | StoreError::ChainClosed { .. })) => {
                    Ok(Err(error.into()))
                }
                Err(error) => Err(error),
            }
        })
    });
    let kept = kept.await.map_err(|none| service.failure(none))??;
    service.happenings.told();
    service.watch.wake();
    match kept.status {
        STOPPED => {
            let text = String::from_utf8(kept.body).map_err(|_| Refusal::internal())?;
            Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "agent.standing", text))
        }
        _ => reply(kept),
    }
}

/// What is answered about an agent that is held or revoked, once its event was kept; the body is the text of the refusal.
fn stopped(standing: Standing, kept: &DeclaredEvent) -> Answer {
    let text =
        format!("the agent is {}; the event was kept as evidence, as {}", standing.word(), kept.event.id);
    Answer { status: STOPPED, body: text.into_bytes() }
}

/// What an event says about how its agent behaves. A time that lies far back is a sign of its own: whoever chooses the
/// time chooses the window it is counted in.
fn sign(kept: &DeclaredEvent) -> Option<RiskSign> {
    let event = &kept.event;
    let back = event.received.seconds().saturating_sub(event.occurred.seconds());
    let (kind, weight, sentence) = match back > FAR_BACK {
        true => {
            let sentence = format!(
                "an event ({}) was declared {back} s after it is said to have happened",
                event.action
            );
            (SignKind::BackDated, event.score.max(BACK_DATED), sentence)
        }
        false if Band::of(event.score) == Band::Low => return None,
        false => (SignKind::Declared, event.score, format!("an event was declared: {}", event.action)),
    };
    Some(RiskSign {
        tenant: event.tenant.clone(),
        agent: event.agent,
        kind,
        weight,
        sentence,
        cause: Some(Digest::of(event.id.as_bytes())),
        at: event.received,
    })
}

/// An event as clients read it.
pub(crate) fn shown(kept: &DeclaredEvent) -> Value {
    let event = &kept.event;
    let details: Option<Value> = event.details.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let backdated = event.occurred < event.received.plus(-AHEAD);
    json!({
        "id": event.id.to_string(),
        "event_id": event.id.to_string(),
        "agent_id": event.agent.to_string(),
        "action_type": event.action,
        "risk_score": score::shown(event.score),
        "risk_band": Band::of(event.score).word(),
        "factors": [event.action],
        "evidence": "declared",
        "occurred_at": event.occurred.to_string(),
        "received_at": event.received.to_string(),
        "backdated": backdated,
        "session_id": event.session,
        "chain_id": event.chain.map(|chain| chain.to_string()),
        "sequence": kept.link.map(|(place, _)| place),
        "chain_hash": kept.link.map(|(_, hash)| hash.to_hex()),
        "in_good_standing": event.certificate.is_some(),
        "certificate_serial": event.certificate.as_ref().map(shape::serial_text),
        "source_ip": event.address,
        "details": details,
        "payload": details,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Begins {
    since: Option<String>,
    receipts: Option<String>,
}

type Beginning = Result<Query<Begins>, QueryRejection>;

async fn stream_all(
    State(service): State<Arc<Service>>,
    caller: Caller,
    headers: HeaderMap,
    begins: Beginning,
) -> Result<Response, Refusal> {
    let agents = caller.bound_to().map(<[_]>::to_vec);
    stream(&service, caller, agents, &headers, begins?.0).await
}

async fn stream_one(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    begins: Beginning,
) -> Result<Response, Refusal> {
    let begins = begins?.0;
    let agent = seen(&service, &caller, &id).await?.0.id;
    stream(&service, caller, Some(vec![agent]), &headers, begins).await
}

async fn stream(
    service: &Arc<Service>,
    caller: Caller,
    agents: Option<Vec<AgentId>>,
    headers: &HeaderMap,
    begins: Begins,
) -> Result<Response, Refusal> {
    let wrong = || Refusal::invalid("`Last-Event-ID` has to be the `id` of an event");
    let (last, receipt) = match headers.get("last-event-id") {
        None => (None, None),
        Some(id) => id.to_str().ok().and_then(happenings::place).ok_or_else(wrong)?,
    };
    let receipts = match begins.receipts.as_deref() {
        None | Some("false") => None,
        // What receipts say is for whoever audits.
        Some("true") if !caller.is(Role::Auditor) => {
            let text = "receipts are heard with a key of the role auditor";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "access.role", text));
        }
        Some("true") => Some(Receipts { after: receipt, shown: heard }),
        Some(_) => return Err(Refusal::invalid("`receipts` has to be true or false")),
    };
    let wrong = |_| Refusal::invalid("`since` has to be an instant such as 2026-11-23T09:30:00Z");
    let since = begins.since.as_deref().map(UnixTime::parse_rfc3339).transpose().map_err(wrong)?;
    let place = service.happenings.places.enter(&caller, &service.shown)?;
    let from = match (last, since) {
        (Some(id), _) => Start::After(id),
        (None, Some(_)) => Start::Since,
        (None, None) => Start::Now,
    };
    let filter = DeclaredFilter { agents, since, ..DeclaredFilter::default() };
    let body = listen(service, Listener { caller, filter, from, shown, receipts }, place).await?;
    Ok(typed(StatusCode::OK, "text/event-stream", body))
}

/// A receipt as listeners read it, with whose it is.
fn heard(receipt: &ReceiptRecord) -> Value {
    let mut row = forensics::shown(receipt);
    if let Some(row) = row.as_object_mut() {
        row.insert("agent_id".into(), receipt.agent.to_string().into());
    }
    row
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    agent_id: Option<String>,
    band: Option<String>,
    action_type: Option<String>,
    before: Option<String>,
    limit: Option<String>,
}

async fn list(
    State(service): State<Arc<Service>>,
    caller: Caller,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked?;
    let limit = page::limit(asked.limit.as_deref(), 50)?;
    let mut filter = DeclaredFilter { action: asked.action_type, ..DeclaredFilter::default() };
    filter.agents = match asked.agent_id {
        Some(id) => Some(vec![seen(&service, &caller, &id).await?.0.id]),
        None => caller.bound_to().map(<[_]>::to_vec),
    };
    if let Some(word) = asked.band.as_deref() {
        let wrong = || Refusal::invalid("`band` has to be low, medium or high");
        // The published Python client sends the name of its enumeration with it.
        let word = word.strip_prefix("RiskBand.").unwrap_or(word);
        (filter.least, filter.under) = Band::from_word(word).ok_or_else(wrong)?.scores();
    }
    let below = asked.before.as_deref().map(before).transpose()?;
    match below {
        None => {}
        Some(Before::Event(id)) => filter.below = Some(id),
        Some(Before::Time(at)) => filter.before = Some(at),
    }
    let tenant = caller.tenant().clone();
    // One more than asked for says whether there is a next page.
    let found = service.readers.read(move |store| store.declared(&tenant, &filter, limit.saturating_add(1)));
    let mut events = found.await?;
    let more = events.len() > limit as usize;
    events.truncate(limit as usize);
    let next = events.last().filter(|_| more).map(|kept| kept.event.id.to_string());
    let body = json!({
        "data": events.iter().map(shown).collect::<Vec<_>>(),
        "pagination": { "limit": limit, "has_next_page": more, "next_cursor": next },
    });
    Ok(json_text(StatusCode::OK, body.to_string()))
}

enum Before {
    Event(EventId),
    Time(UnixTime),
}

/// Where a page ended, or an instant.
fn before(text: &str) -> Result<Before, Refusal> {
    if let Some(id) = EventId::parse(text) {
        return Ok(Before::Event(id));
    }
    let wrong = |_| Refusal::invalid("`before` has to be the `next_cursor` of a page or an instant");
    UnixTime::parse_rfc3339(text).map(Before::Time).map_err(wrong)
}

/// An answer that was a refusal, and not before its event was kept.
const STOPPED: u16 = 422;
/// Beyond the window in which the hosted service counts high events.
const FAR_BACK: i64 = 900;
/// What a time that lies far back weighs by itself: a medium event.
const BACK_DATED: u8 = 55;
/// By how much a clock may be wrong: beyond it an event lies ahead, or back.
/// Whoever reads or checks a chain has all of it in memory.
const CHAIN_EVENTS: u64 = 2_000;
const AHEAD: i64 = 300;
const SENDERS: Open = Open::AgentOr(&[Role::Ingest]);
const READERS: Open = Open::Roles(&[Role::Issuer, Role::Revoker, Role::Auditor, Role::Gate]);
const DECLARE: &[Named] = &[
    Named::new("agent_id", "string", "Id or name; `agentId` is the same"),
    Named::new("action_type", "string", "api_call, data_access, transaction_initiated, ...; `actionType`"),
    Named::new("chain_id", "string", "The chain it is for; `chainId`"),
    Named::new("session_id", "string", "1 to 255 characters; `sessionId`"),
    Named::new("occurred_at", "string", "When it happened, RFC 3339; `occurredAt`"),
    Named::new("details", "object", "Anything else"),
];
const STREAM: &[Named] = &[
    Named::new("since", "string", "Begin with what came at or after this instant; else with what comes"),
    Named::new("receipts", "boolean", "Receipts as well, as they are kept: for owners and auditors"),
];
const LIST: &[Named] = &[
    Named::new("agent_id", "string", "Of this agent"),
    Named::new("band", "string", "low, medium or high"),
    Named::new("action_type", "string", "Of this kind"),
    Named::new("before", "string", "The `next_cursor` of the page before, or an instant"),
    Named::new("limit", "integer", "How many at most: 1 to 100, 50 if not said"),
];
