//! Agents: naming them, looking at them, certifying them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use kakunin_core::digest::Digest;
use kakunin_core::scope::DraftScope;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Role;
use crate::agent::{AgentName, Who};
use crate::authority::{AnyAction, Authority, Comeback, Days, find};
use crate::grant::{Grant, GrantKey};
use crate::http::access::{Caller, Open};
use crate::http::answer::{data, data_with, json_text};
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::http::{page, shape};
use crate::standing::Standing;
use crate::store::{AgentRecord, CertificateRecord};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::GET, "/agents", READERS, "Agents, newest first", || get(list)).asks(LIST),
        Row::api(Method::POST, "/agents", ISSUERS, "Name an agent with its scope", || post(create))
            .takes(CREATE),
        Row::api(Method::GET, "/agents/{id}", READERS, "One agent with its certificates", || get(show)),
        Row::api(Method::POST, "/agents/{id}/certify", ISSUERS, "Issue a certificate", || post(certify))
            .takes(CERTIFY),
    ]
}

async fn create(
    State(service): State<Arc<Service>>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, Refusal> {
    if caller.is_bound() {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "access.bound",
            "a key bound to agents names no new one",
        ));
    }
    let mut members = Members::read(&body)?;
    let name = members.text(&["name"], 63)?.ok_or_else(|| Refusal::invalid("`name` is missing"))?;
    let name = AgentName::parse(&name).map_err(|error| Refusal::invalid(error.to_string()))?;
    let scope = members.take(&["scope"])?.ok_or_else(|| Refusal::invalid("`scope` is missing"))?;
    members.end()?;
    let draft = draft(&scope)?;
    let look = {
        let (subject, text) = (name.to_string(), scope.to_string());
        // What was asked for, whole: the log has to show more than that somebody asked for something.
        let after = Some(Digest::of(text.as_bytes()).to_hex());
        move |_: &Authority<'_>| Ok((Intent { what: "agent.create", subject, before: None, after, text }, ()))
    };
    let made = service.carry_out(&caller, Lane::Ordinary, look, move |authority, (), _, now| {
        authority.create(&name, &draft, AnyAction::Refuse, now)
    });
    let agent = made.await?;
    Ok(data_with(StatusCode::CREATED, &shape::agent(&agent, false, caller.tenant().as_str())))
}

/// Reads a scope as our files have it, in JSON. It names no file: nobody reads files for a stranger.
fn draft(scope: &Value) -> Result<DraftScope, Refusal> {
    let none =
        |_: &str| Err(std::io::Error::other("a scope that is sent names no file; write the names into it"));
    DraftScope::parse(&scope.to_string(), &none)
        .map_err(|error| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "scope.invalid", error.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    status: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
}

async fn list(
    State(service): State<Arc<Service>>,
    caller: Caller,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked?;
    let (limit, offset) = (page::limit(asked.limit.as_deref(), 20)?, page::offset(asked.offset.as_deref())?);
    if let Some(word) = asked.status.as_deref().filter(|word| !STATUSES.contains(word)) {
        let text = format!("`status` is `{word}`; it has to be one of {}", STATUSES.join(", "));
        return Err(Refusal::invalid(text));
    }
    let seer = caller.clone();
    let found = service.readers.read(move |store| {
        let mut found = Vec::new();
        for agent in store.agents(seer.tenant())?.into_iter().filter(|agent| seer.reaches(agent.id)) {
            let certified = !store.certificates(seer.tenant(), agent.id)?.is_empty();
            if asked.status.as_deref().is_none_or(|word| word == shape::status(agent.standing, certified)) {
                found.push((agent, certified));
            }
        }
        found.sort_by_key(|(agent, _)| std::cmp::Reverse(agent.created));
        Ok(found)
    });
    let found = found.await?;
    let rows = found.iter().skip(offset as usize).take(limit as usize);
    let rows: Vec<Value> =
        rows.map(|(agent, has)| shape::agent(agent, *has, caller.tenant().as_str())).collect();
    let body = json!({
        "data": rows,
        "meta": { "total": found.len(), "limit": limit, "offset": offset },
    });
    Ok(json_text(StatusCode::OK, body.to_string()))
}

async fn show(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let (agent, certificates) = seen(&service, &caller, &id).await?;
    let (tenant, now) = (caller.tenant().as_str(), (service.clock)());
    let mut row = shape::agent(&agent, !certificates.is_empty(), tenant);
    let certificates: Vec<Value> =
        certificates.iter().rev().map(|known| shape::certificate(known, tenant, now)).collect();
    if let Some(members) = row.as_object_mut() {
        members.insert("certificates".into(), certificates.into());
    }
    Ok(data(&row))
}

/// The agent that a path means, with its certificates, if this caller may know of it.
///
/// # Errors
/// [`Refusal::missing`] when there is none or it is not this caller's to know.
pub(crate) async fn seen(
    service: &Service,
    caller: &Caller,
    id: &str,
) -> Result<(AgentRecord, Vec<CertificateRecord>), Refusal> {
    let who = Who::parse(id).map_err(|_| Refusal::missing())?;
    let seer = caller.clone();
    let found = service.readers.read(move |store| {
        let agent = match &who {
            Who::Id(id) => store.agent(seer.tenant(), *id)?,
            Who::Name(name) => store.agent_named(seer.tenant(), name)?,
        };
        let Some(agent) = agent else { return Ok(None) };
        let certificates = store.certificates(seer.tenant(), agent.id)?;
        Ok(Some((agent, certificates)))
    });
    let found = found.await?.filter(|(agent, _)| caller.reaches(agent.id));
    found.ok_or_else(Refusal::missing)
}

/// The same, as the sequencer sees it.
///
/// # Errors
/// [`Refusal::missing`].
pub(crate) fn known(authority: &Authority<'_>, caller: &Caller, who: &Who) -> Result<AgentRecord, Refusal> {
    let agent = find(authority.records(), caller.tenant(), who)?;
    if caller.reaches(agent.id) { Ok(agent) } else { Err(Refusal::missing()) }
}

async fn certify(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut members = Members::read(&body)?;
    let request = members.text(&["csr"], MAX_REQUEST)?;
    let days = members.number("days", 1, 400)?.map_or(Ok(Days::WEEK), Days::new)?;
    let comeback = match members.flag("after_revocation")? {
        true => Comeback::AfterRevocation,
        false => Comeback::Refuse,
    };
    members.end()?;
    // Before a key is made, which is dear: who may not have it anyway.
    let (agent, _) = seen(&service, &caller, &id).await?;
    let held = match request {
        Some(_) => None,
        None => Some(service.make_held_key().await?),
    };
    let key = match (request, &held) {
        (Some(pem), _) => GrantKey::Request(pem.into_bytes()),
        (None, Some(public)) => GrantKey::Held(public.clone()),
        (None, None) => return Err(Refusal::internal()),
    };
    let order = Grant { key, days, comeback };
    let (who, seer, hours) = (Who::Id(agent.id), caller.clone(), service.hours);
    let look = move |authority: &Authority<'_>| {
        let agent = known(authority, &seer, &who)?;
        let intent = Intent {
            what: "certificate.issue",
            subject: agent.id.to_string(),
            before: Some(agent.standing.word().into()),
            after: Some(Standing::Good.word().into()),
            text: String::new(),
        };
        Ok((intent, agent))
    };
    let granted = service.carry_out(&caller, Lane::Ordinary, look, move |authority, agent, _, now| {
        authority.grant(&Who::Id(agent.id), &order, hours, now)
    });
    let granted = match (granted.await, held) {
        (Err(refusal), Some(public)) => {
            service.forget_held_key(public.key_id()).await;
            return Err(refusal);
        }
        (granted, _) => granted?,
    };
    let decoded = granted.certificate.decoded();
    let serial = decoded.serial();
    let (_, certificates) = seen(&service, &caller, &granted.agent.id.to_string()).await?;
    let issued = certificates.iter().find(|known| known.serial == serial).ok_or_else(Refusal::internal)?;
    let mut row = shape::certificate(issued, caller.tenant().as_str(), (service.clock)());
    let published = service.published()?;
    if let Some(members) = row.as_object_mut() {
        let chain = [published.issuing_pem(), published.root_pem()].concat();
        members.insert("chain_pem".into(), chain.into());
        members.insert("thumbprint".into(), decoded.thumbprint().to_hex().into());
        members.insert("list_number".into(), granted.publication.number.into());
    }
    Ok(data_with(StatusCode::CREATED, &row))
}

const ISSUERS: Open = Open::Roles(&[Role::Issuer]);
const READERS: Open = Open::Roles(&[Role::Issuer, Role::Revoker, Role::Auditor, Role::Gate]);
const STATUSES: [&str; 4] = ["pending", "active", "suspended", "retired"];
/// A request with an RSA key of 16,384 bits, which is refused, has less.
const MAX_REQUEST: usize = 16_384;
const LIST: &[Named] = &[
    Named::new("status", "string", "pending, active, suspended or retired"),
    Named::new("limit", "integer", "How many at most: 1 to 100, 20 if not said"),
    Named::new("offset", "integer", "How many to leave out"),
];
const CREATE: &[Named] = &[
    Named::new("name", "string", "Lower-case letters, digits and hyphens, up to 63; unique"),
    Named::new("scope", "object", "What it may do, as in a scope file"),
];
const CERTIFY: &[Named] = &[
    Named::new(
        "csr",
        "string",
        "A PKCS#10 request in PEM; without one the authority makes and holds the key",
    ),
    Named::new("days", "integer", "For how long: 1 to 400, 7 if not said"),
    Named::new("after_revocation", "boolean", "Let a revoked agent come back, with a new key"),
];
