//! Agents: naming them, looking at them, saying something about them.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, patch, post};
use kakunin_core::digest::{Digest, hex};
use kakunin_core::id::AgentId;
use kakunin_core::scope::{DraftScope, Scope};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::access::Role;
use crate::agent::{AgentName, Who};
use crate::authority::{AnyAction, Authority, find};
use crate::http::access::{Caller, Open};
use crate::http::answer::{data, data_with, json_text};
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::once::{Made, Makes};
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::shape::Reader;
use crate::http::table::{Named, Row};
use crate::http::{page, shape, v1scope};
use crate::standing::Standing;
use crate::store::{
    AgentDetails, AgentFilter, AgentPage, AgentRecord, AuditEntry, AuditFilter, CertificateRecord, Store,
    StoreError,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::GET, "/agents", READERS, "Agents, newest first", || get(list)).asks(LIST),
        Row::api(Method::POST, "/agents", ISSUERS, "Name an agent with its scope", || post(create))
            .takes(CREATE)
            .once(Makes::Agent),
        Row::api(Method::GET, "/agents/{id}", READERS, "One agent with its certificates", || get(show)),
        Row::api(Method::PATCH, "/agents/{id}", ISSUERS, "Change what is said about an agent", || {
            patch(change)
        })
        .takes(CHANGE),
    ]
}

async fn create(
    State(service): State<Arc<Service>>,
    caller: Caller,
    reader: Reader,
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
    let called = members.text(&["name"], 255)?.ok_or_else(|| Refusal::invalid("`name` is missing"))?;
    let mut details = described(&mut members, AgentDetails::default())?;
    let scope = scope_of(&mut members, &mut details)?;
    members.end()?;
    let (name, title) = named(called)?;
    details.title = title;
    let draft = draft(&scope)?;
    let look = {
        let (subject, text) = (name.to_string(), scope.to_string());
        // What was asked for, whole: the log has to show more than that somebody asked for something.
        let after = Some(Digest::of(text.as_bytes()).to_hex());
        move |_: &Authority<'_>| Ok((Intent { what: CREATED, subject, before: None, after, text }, ()))
    };
    let made = service.carry_out(&caller, Lane::Ordinary, look, move |authority, (), _, now| {
        authority.create_described(&name, &draft, AnyAction::Refuse, details, now)
    });
    let agent = made.await?;
    Ok(data_with(StatusCode::CREATED, &shape::agent(&agent, false, reader)))
}

/// The agent that an order named whose answer was lost.
///
/// # Errors
/// [`Refusal`] when the records cannot be read.
pub(crate) async fn made(
    service: &Service,
    caller: &Caller,
    entry: &AuditEntry,
    reader: Reader,
) -> Result<Made, Refusal> {
    let (seer, named, since) = (caller.clone(), entry.record.subject.clone(), entry.record.at);
    let found = service.readers.read(move |store| {
        let Ok(name) = AgentName::parse(&named) else { return Ok(None) };
        let agent = store.agent_named(seer.tenant(), &name)?;
        let Some(agent) = agent.filter(|agent| agent.created >= since) else { return Ok(None) };
        let filter = AuditFilter {
            since: Some(since),
            what: Some(CREATED.into()),
            subject: Some(named),
            ..AuditFilter::default()
        };
        let others = store.audit(seer.tenant(), &filter, 2)?.len() > 1;
        let certified = !store.certificates(seer.tenant(), agent.id)?.is_empty();
        Ok(Some((agent, certified, others)))
    });
    Ok(match found.await? {
        None => Made::Nothing,
        // Somebody else named one like that since.
        Some((_, _, true)) => Made::Unsure,
        Some((agent, certified, false)) => {
            Made::This(data_with(StatusCode::CREATED, &shape::agent(&agent, certified, reader)))
        }
    })
}

/// A name of ours, or one made from what the owner calls it, which is then its title.
fn named(called: String) -> Result<(AgentName, Option<String>), Refusal> {
    if let Ok(name) = AgentName::parse(&called) {
        return Ok((name, None));
    }
    let mut random = [0; 4];
    SystemRandom::new().fill(&mut random).map_err(|_| Refusal::internal())?;
    let letters = called.to_lowercase();
    let words = letters.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: String = words.collect::<Vec<_>>().join("-").chars().take(48).collect();
    // A piece of chance at the end: two agents may be called the same.
    let name =
        format!("{}-{}", if words.is_empty() { "agent" } else { words.trim_end_matches('-') }, hex(&random));
    let name = AgentName::parse(&name).map_err(|error| Refusal::invalid(error.to_string()))?;
    Ok((name, Some(called)))
}

/// Takes what may be said about an agent.
fn described(members: &mut Members, mut details: AgentDetails) -> Result<AgentDetails, Refusal> {
    for (place, names, most) in [
        (&mut details.model, &["model"][..], 255),
        (&mut details.model_hash, &["model_hash", "modelHash"], 512),
        (&mut details.version, &["version"], 100),
        (&mut details.description, &["description"], 1000),
    ] {
        if let Some(text) = members.text(names, most)? {
            *place = Some(text);
        }
    }
    match members.take(&["metadata"])? {
        None => {}
        Some(Value::Object(metadata)) => details.metadata = Some(Value::Object(metadata).to_string()),
        Some(_) => return Err(Refusal::invalid("`metadata` has to be an object")),
    }
    if let Some(operator) = members.text(&["operator_org", "operatorOrg"], 255)? {
        let mut metadata: Map<String, Value> =
            details.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        metadata.insert("operator_org".into(), operator.into());
        details.metadata = Some(Value::Object(metadata).to_string());
    }
    Ok(details)
}

/// The scope to sign: a scope as our files have it, or what clients of the hosted service send. Of the latter
/// `metadata` keeps nothing: what is shown of it is read from the scope.
fn scope_of(members: &mut Members, details: &mut AgentDetails) -> Result<Value, Refusal> {
    let scope = members.take(&["scope"])?;
    let financial = members.take(&["financial_scope", "financialScope"])?;
    // As its documentation has it; the hosted service drops it, and with it what its sender believes to be bound.
    let named = members.take(&["permitted_actions", "permittedActions"])?.filter(|named| !named.is_null());
    let mut metadata: Map<String, Value> =
        details.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let folded_actions = metadata.remove("permitted_actions");
    let scopes = metadata.remove("scopes");
    let folded = metadata.remove("financial_scope");
    if details.metadata.is_some() {
        details.metadata = Some(Value::Object(metadata).to_string());
    }
    let two = |name| {
        Refusal::invalid(format!("{name} is said twice and once would do; send one form of the scope"))
    };
    let actions = match (named, folded_actions) {
        (Some(one), Some(other)) if one != other => return Err(two("what is permitted")),
        (one, other) => one.or(other),
    };
    let (actions, financial) = match (actions, scopes, financial, folded) {
        (Some(one), Some(other), _, _) if one != other => return Err(two("what is permitted")),
        (_, _, Some(one), Some(other)) if one != other => return Err(two("the financial scope")),
        (actions, scopes, financial, folded) => (actions.or(scopes), financial.or(folded)),
    };
    match (scope, &actions, &financial) {
        (Some(scope), None, None) => Ok(scope),
        (Some(_), _, _) => Err(two("the scope")),
        (None, actions, financial) => v1scope::scope(actions.as_ref(), financial.as_ref()),
    }
}

/// Changes what is said about an agent. Nothing of it is signed, and nothing that is signed can be changed here.
async fn change(
    State(service): State<Arc<Service>>,
    caller: Caller,
    reader: Reader,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut members = Members::read(&body)?;
    let (agent, certificates) = seen(&service, &caller, &id).await?;
    let status = members.text(&["status"], 16)?;
    if status.is_some_and(|word| word != shape::status(agent.standing, !certificates.is_empty(), reader)) {
        let text = "`status` is not changed like this; order suspend, resume, revoke or halt";
        return Err(Refusal::new(StatusCode::CONFLICT, "agent.standing", text));
    }
    let mut details = described(&mut members, agent.details.clone())?;
    if let Some(called) = members.text(&["name"], 255)? {
        details.title = Some(called).filter(|called| called != agent.name.as_str());
    }
    let signed = Scope::from_der(&agent.scope).ok();
    let says = |financial: &Value| signed.as_ref().is_some_and(|signed| v1scope::says(financial, signed));
    let financial = members.take(&["financial_scope", "financialScope"])?;
    let actions = members.take(&["permitted_actions", "permittedActions"])?;
    let same = |said: &Value| signed.as_ref().is_some_and(|signed| *said == json!(shape::actions(signed)));
    let fixed = members.take(&["scope"])?.is_some()
        || financial.is_some_and(|said| !says(&said))
        || actions.is_some_and(|said| !same(&said));
    members.end()?;
    if fixed || !shape::keeps_scope(&mut details, &agent.scope) {
        let text = "the scope is signed and is not changed like this; name another agent, or renew this one where its home is";
        return Err(Refusal::new(StatusCode::CONFLICT, "scope.fixed", text));
    }
    let (who, seer, tenant) = (Who::Id(agent.id), caller.clone(), caller.tenant().clone());
    let look = move |authority: &Authority<'_>| {
        let agent = known(authority.records(), &seer, &who)?;
        let hash = |details: &AgentDetails| Some(Digest::of(format!("{details:?}").as_bytes()).to_hex());
        let intent = Intent {
            what: "agent.update",
            subject: agent.id.to_string(),
            before: hash(&agent.details),
            after: hash(&details),
            text: String::new(),
        };
        Ok((intent, (agent.id, details)))
    };
    let act = move |authority: &mut Authority<'_>, (id, details): (AgentId, AgentDetails), _, now| {
        Ok(authority.store.set_details(&tenant, id, &details, now)?)
    };
    service.carry_out(&caller, Lane::Ordinary, look, act).await?;
    let (agent, certificates) = seen(&service, &caller, &agent.id.to_string()).await?;
    Ok(data(&shape::agent(&agent, !certificates.is_empty(), reader)))
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
    before: Option<String>,
}

async fn list(
    State(service): State<Arc<Service>>,
    caller: Caller,
    reader: Reader,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked?;
    let (limit, offset) = (page::limit(asked.limit.as_deref(), 20)?, page::offset(asked.offset.as_deref())?);
    // The published Python client sends the name of its enumeration with it.
    let status = asked.status.as_deref().map(|word| word.strip_prefix("AgentStatus.").unwrap_or(word));
    let filter = match status {
        None => AgentFilter::default(),
        Some("pending") => AgentFilter { standing: Some(Standing::Good), certified: Some(false) },
        Some("active") => AgentFilter { standing: Some(Standing::Good), certified: Some(true) },
        Some("suspended") => AgentFilter { standing: Some(Standing::Held), certified: None },
        Some("retired") => AgentFilter { standing: Some(Standing::Revoked), certified: None },
        Some(_) => return Err(Refusal::invalid("`status` has to be pending, active, suspended or retired")),
    };
    let wrong = || Refusal::invalid("`before` is not as it was answered");
    let after = asked.before.as_deref().map(|text| AgentId::parse(text).ok_or_else(wrong)).transpose()?;
    let seer = caller.clone();
    let found = service.readers.read(move |store| {
        let tenant = seer.tenant();
        let certified =
            |agent: &AgentRecord| Ok::<_, StoreError>(!store.certificates(tenant, agent.id)?.is_empty());
        // A key for a few agents looks at those; any other one has pages cut by the records.
        if let Some(ids) = seer.bound_to() {
            let mut found = Vec::new();
            for id in ids {
                let Some(agent) = store.agent(tenant, *id)? else { continue };
                let has = certified(&agent)?;
                let fits = filter.standing.is_none_or(|standing| standing == agent.standing)
                    && filter.certified.is_none_or(|wanted| wanted == has);
                if fits {
                    found.push((agent, has));
                }
            }
            found.sort_by_key(|(agent, _)| std::cmp::Reverse((agent.created, agent.id)));
            let total = found.len() as u64;
            let past = after.and_then(|after| found.iter().position(|(agent, _)| agent.id == after));
            let skip = past.map_or(0, |past| past + 1) + offset as usize;
            return Ok((found.into_iter().skip(skip).take(limit as usize + 1).collect::<Vec<_>>(), total));
        }
        let page = AgentPage { filter, after, offset, limit: limit + 1 };
        let mut rows = Vec::new();
        for agent in store.agents_page(tenant, &page)? {
            let has = certified(&agent)?;
            rows.push((agent, has));
        }
        Ok((rows, store.count_agents(tenant, filter)?))
    });
    // One more than asked for says whether there is a next page.
    let (mut rows, total) = found.await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|(agent, _)| agent.id.to_string());
    let body = json!({
        "data": rows.iter().map(|(agent, has)| {
            let mut row = shape::agent(agent, *has, reader);
            with_epoch(&service, agent, &mut row);
            row
        }).collect::<Vec<_>>(),
        "meta": { "total": total, "limit": limit, "offset": offset },
        "pagination": { "limit": limit, "has_next_page": more, "next_cursor": next },
    });
    Ok(json_text(StatusCode::OK, body.to_string()))
}

async fn show(
    State(service): State<Arc<Service>>,
    caller: Caller,
    reader: Reader,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let (agent, certificates) = seen(&service, &caller, &id).await?;
    let (tenant, now) = (caller.tenant().as_str(), (service.clock)());
    let mut row = shape::agent(&agent, !certificates.is_empty(), reader);
    let certificates: Vec<Value> =
        certificates.iter().rev().map(|known| shape::certificate(known, tenant, now)).collect();
    if let Some(members) = row.as_object_mut() {
        members.insert("certificates".into(), certificates.into());
    }
    with_epoch(&service, &agent, &mut row);
    Ok(data(&row))
}

/// Adds up to which change the agent says that it enforces its feed.
fn with_epoch(service: &Service, agent: &AgentRecord, row: &mut Value) {
    if let Some(members) = row.as_object_mut() {
        members.insert("epoch_seen".into(), service.acks.seen(agent.id, Instant::now()).into());
    }
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
pub(crate) fn known(store: &dyn Store, caller: &Caller, who: &Who) -> Result<AgentRecord, Refusal> {
    let agent = find(store, caller.tenant(), who)?;
    if caller.reaches(agent.id) { Ok(agent) } else { Err(Refusal::missing()) }
}

const CREATED: &str = "agent.create";
const ISSUERS: Open = Open::Roles(&[Role::Issuer]);
const READERS: Open = Open::Roles(&[Role::Issuer, Role::Revoker, Role::Auditor, Role::Gate]);
const LIST: &[Named] = &[
    Named::new("status", "string", "pending, active, suspended or retired"),
    Named::new("limit", "integer", "How many at most: 1 to 100, 20 if not said"),
    Named::new("offset", "integer", "How many to leave out"),
    Named::new("before", "string", "The `next_cursor` of the page before"),
];
const CREATE: &[Named] = &[
    Named::new(
        "name",
        "string",
        "A unique name of lower-case letters, digits and hyphens, or any other text: its title",
    ),
    Named::new("scope", "object", "What it may do, as in a scope file"),
    Named::new("financial_scope", "object", "In place of `scope`: limits in USD, venues, instruments"),
    Named::new("permitted_actions", "array", "In place of `scope`: what it may do"),
    Named::new("metadata", "object", "Anything; `permitted_actions` in place of `scope`"),
    OPERATOR,
    MODEL,
    MODEL_HASH,
    VERSION,
    DESCRIPTION,
];
const CHANGE: &[Named] = &[
    Named::new("name", "string", "Its title"),
    Named::new("metadata", "object", "Replaces what was there; it cannot change what is permitted"),
    Named::new("status", "string", "Only as it is: orders change it"),
    OPERATOR,
    MODEL,
    MODEL_HASH,
    VERSION,
    DESCRIPTION,
];
const OPERATOR: Named = Named::new("operator_org", "string", "Whose it is; kept in `metadata`");
const MODEL: Named = Named::new("model", "string", "Which model it runs");
const MODEL_HASH: Named = Named::new("model_hash", "string", "A hash of the model; also `modelHash`");
const VERSION: Named = Named::new("version", "string", "Which version of the model");
const DESCRIPTION: Named = Named::new("description", "string", "What it is for");
