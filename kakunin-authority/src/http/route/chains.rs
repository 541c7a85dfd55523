//! Chains of declared events: begun, read, closed once, and checked by anybody who knows the id.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use kakunin_core::id::{AgentId, ChainId};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use serde_json::{Value, json};

use super::events;
use crate::access::Role;
use crate::authority::Authority;
use crate::http::access::{Caller, Open};
use crate::http::answer::{data, data_with, json_text};
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::http::{page, shape};
use crate::store::{
    AgentRecord, CertificateRecord, ChainPage, ChainRecord, DeclaredEvent, NewChain, chain_holds,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::POST, "/chains", SENDERS, "Begin a chain of declared events", || post(begin))
            .takes(BEGIN),
        Row::api(Method::GET, "/chains", READERS, "Chains, newest first", || get(list)).asks(LIST),
        Row::api(Method::GET, "/chains/{id}", READERS, "One chain with its events", || get(show)),
        Row::api(Method::POST, "/chains/{id}/close", SENDERS, "Close a chain for good", || post(close)),
        Row::api(
            Method::GET,
            "/verify/chain/{id}",
            Open::Everyone,
            "Whether a closed chain is what its hash says",
            || get(verify),
        ),
    ]
}

async fn begin(
    State(service): State<Arc<Service>>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut members = Members::read(&body)?;
    let name = members.text(&["name"], 255)?.ok_or_else(|| Refusal::invalid("`name` is missing"))?;
    let description = members.text(&["description"], 1000)?;
    let metadata = match members.take(&["metadata"])? {
        None => None,
        Some(Value::Object(metadata)) => Some(Value::Object(metadata).to_string()),
        Some(_) => return Err(Refusal::invalid("`metadata` has to be an object")),
    };
    members.end()?;
    let mut random = [0; 16];
    SystemRandom::new().fill(&mut random).map_err(|_| Refusal::internal())?;
    let (id, tenant) = (ChainId::from_bytes(random), caller.tenant().clone());
    let look = move |_: &Authority<'_>| {
        let intent = Intent {
            what: "chain.create",
            subject: id.to_string(),
            before: None,
            after: None,
            text: name.clone(),
        };
        Ok((intent, name))
    };
    let act = move |authority: &mut Authority<'_>, name, _, now| {
        let chain = NewChain { id, tenant, name, description, metadata, created: now };
        Ok(authority.store.add_chain(&chain)?)
    };
    let chain = service.carry_out(&caller, Lane::Ordinary, look, act).await?;
    Ok(data_with(StatusCode::CREATED, &shown(&chain)))
}

/// A chain as clients read it.
fn shown(record: &ChainRecord) -> Value {
    let chain = &record.chain;
    let metadata: Option<Value> = chain.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok());
    json!({
        "id": chain.id.to_string(),
        "chain_id": chain.id.to_string(),
        "tenant_id": chain.tenant.as_str(),
        "name": chain.name,
        "description": chain.description,
        "metadata": metadata,
        "metadata_text": chain.metadata,
        "status": if record.closed.is_some() { "closed" } else { "open" },
        "start_hash": chain.start().to_hex(),
        "chain_hash": record.hash.to_hex(),
        "event_count": record.events,
        "created_at": chain.created.to_string(),
        "closed_at": record.closed.map(|at| at.to_string()),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    status: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
    before: Option<String>,
}

async fn list(
    State(service): State<Arc<Service>>,
    caller: Caller,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked?;
    unbound(&caller)?;
    let (limit, offset) = (page::limit(asked.limit.as_deref(), 20)?, page::offset(asked.offset.as_deref())?);
    // The published Python client sends the name of its enumeration with it.
    let status = asked.status.as_deref().map(|word| word.strip_prefix("ChainStatus.").unwrap_or(word));
    let open = match status {
        None => None,
        Some("open") => Some(true),
        Some("closed") => Some(false),
        Some(_) => return Err(Refusal::invalid("`status` has to be open or closed")),
    };
    let wrong = || Refusal::invalid("`before` is not as it was answered");
    let after = asked.before.as_deref().map(|text| ChainId::parse(text).ok_or_else(wrong)).transpose()?;
    let tenant = caller.tenant().clone();
    // One more than asked for says whether there is a next page.
    let page = ChainPage { open, after, offset, limit: limit.saturating_add(1) };
    let found = service
        .readers
        .read(move |store| Ok((store.chains(&tenant, &page)?, store.count_chains(&tenant, open)?)));
    let (mut chains, total) = found.await?;
    let more = chains.len() > limit as usize;
    chains.truncate(limit as usize);
    let next = chains.last().filter(|_| more).map(|record| record.chain.id.to_string());
    let body = json!({
        "data": chains.iter().map(shown).collect::<Vec<_>>(),
        "meta": { "total": total, "limit": limit, "offset": offset },
        "pagination": { "limit": limit, "has_next_page": more, "next_cursor": next },
    });
    Ok(json_text(StatusCode::OK, body.to_string()))
}

/// What is known of an agent that takes part.
type Parts = BTreeMap<AgentId, (Option<AgentRecord>, Vec<CertificateRecord>)>;

async fn show(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    unbound(&caller)?;
    let id = ChainId::parse(&id).ok_or_else(Refusal::missing)?;
    let tenant = caller.tenant().clone();
    let found = service.readers.read(move |store| {
        let Some(chain) = store.chain(&tenant, id)? else { return Ok(None) };
        let events = store.chain_events(&tenant, id)?;
        let mut parts = Parts::new();
        for kept in &events {
            if let std::collections::btree_map::Entry::Vacant(place) = parts.entry(kept.event.agent) {
                let agent = store.agent(&tenant, kept.event.agent)?;
                place.insert((agent, store.certificates(&tenant, kept.event.agent)?));
            }
        }
        Ok(Some((chain, events, parts)))
    });
    let (chain, events, parts) = found.await?.ok_or_else(Refusal::missing)?;
    let now = (service.clock)();
    let named = |id: AgentId| parts.get(&id).and_then(|(agent, _)| agent.as_ref());
    let name = |agent: &AgentRecord| agent.details.title.clone().unwrap_or_else(|| agent.name.to_string());
    let mut row = shown(&chain);
    let event = |kept: &DeclaredEvent| {
        let mut row = events::shown(kept);
        if let Some(row) = row.as_object_mut() {
            let agent = named(kept.event.agent);
            row.insert("agent_name".into(), agent.map(name).into());
            row.insert("model_hash".into(), agent.and_then(|agent| agent.details.model_hash.clone()).into());
            row.insert("details_text".into(), kept.event.details.clone().into());
        }
        row
    };
    let participating: Vec<Value> = parts
        .iter()
        .map(|(id, (agent, certificates))| {
            // The certificate that it had when it last took part, however that stands now.
            let last = events.iter().rev().find(|kept| kept.event.agent == *id);
            let serial = last.and_then(|kept| kept.event.certificate);
            let known = certificates.iter().find(|known| Some(known.serial) == serial);
            json!({
                "agent_id": id.to_string(),
                "agent_name": agent.as_ref().map(name),
                "model_hash": agent.as_ref().and_then(|agent| agent.details.model_hash.clone()),
                "certificate_serial": serial.as_ref().map(shape::serial_text),
                "certificate_status": known.map(|known| shape::certificate_status(known, now)),
            })
        })
        .collect();
    if let Some(row) = row.as_object_mut() {
        row.insert("events".into(), events.iter().map(event).collect());
        row.insert("participating_agents".into(), participating.into());
    }
    Ok(data(&row))
}

async fn close(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    unbound(&caller)?;
    let id = ChainId::parse(&id).ok_or_else(Refusal::missing)?;
    let tenant = caller.tenant().clone();
    let whose = tenant.clone();
    let look = move |authority: &Authority<'_>| {
        let chain = authority.records().chain(&whose, id)?.ok_or_else(Refusal::missing)?;
        let intent = Intent {
            what: "chain.close",
            subject: id.to_string(),
            before: Some(if chain.closed.is_some() { "closed" } else { "open" }.into()),
            after: Some("closed".into()),
            text: chain.hash.to_hex(),
        };
        Ok((intent, ()))
    };
    let act =
        move |authority: &mut Authority<'_>, (), _, now| Ok(authority.store.close_chain(&tenant, id, now)?);
    let chain = service.carry_out(&caller, Lane::Ordinary, look, act).await?;
    Ok(data(&shown(&chain)))
}

async fn verify(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id = ChainId::parse(&id).ok_or_else(Refusal::missing)?;
    // Anyone may ask, so it takes nothing from those who have a key; and it may be long, so it is counted where it is read.
    let found = service.readers.read_for_anyone(move |store| {
        let Some(record) = store.any_chain(id)? else { return Ok(None) };
        let events = store.chain_events(&record.chain.tenant, id)?;
        // An open chain goes on: there is nothing yet that it could be held against.
        let verified = record.closed.map(|_| chain_holds(&record, &events));
        Ok(Some((record, verified)))
    });
    let (record, verified) = found.await?.ok_or_else(Refusal::missing)?;
    let row = shown(&record);
    let of = |name: &str| row.get(name).cloned().unwrap_or_default();
    Ok(data(&json!({
        "chain_id": of("chain_id"),
        "name": of("name"),
        "status": of("status"),
        "chain_hash": of("chain_hash"),
        "event_count": of("event_count"),
        "verified": verified,
        "note": "calculated from declared events, which no agent signed; receipts are what proves",
        "created_at": of("created_at"),
        "closed_at": of("closed_at"),
    })))
}

/// A chain has events of any agent of its tenant.
fn unbound(caller: &Caller) -> Result<(), Refusal> {
    match caller.is_bound() {
        true => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "access.bound",
            "chains have events of other agents, so a key bound to agents neither reads nor closes them",
        )),
        false => Ok(()),
    }
}

const SENDERS: Open = Open::Roles(&[Role::Ingest]);
const READERS: Open = Open::Roles(&[Role::Issuer, Role::Revoker, Role::Auditor, Role::Gate]);
const BEGIN: &[Named] = &[
    Named::new("name", "string", "1 to 255 characters"),
    Named::new("description", "string", "1 to 1000 characters"),
    Named::new("metadata", "object", "Anything else"),
];
const LIST: &[Named] = &[
    Named::new("status", "string", "open or closed"),
    Named::new("limit", "integer", "How many at most: 1 to 100, 20 if not said"),
    Named::new("offset", "integer", "How many to leave out"),
    Named::new("before", "string", "The `next_cursor` of the page before"),
];
