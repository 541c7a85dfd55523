//! API keys: making, listing and revoking them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{delete, get, post};
use kakunin_core::id::AgentId;
use serde_json::{Value, json};

use crate::access::{KeyPrefix, Role};
use crate::api_key::KeyOrder;
use crate::authority::Authority;
use crate::http::access::{Caller, Open};
use crate::http::answer::{data, data_with};
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::once::Makes;
use crate::http::peer::Network;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::store::ApiKeyRecord;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::GET, "/keys", OWNERS, "The keys of this tenant, without their secrets", || {
            get(list)
        }),
        Row::api(Method::POST, "/keys", OWNERS, "Make a key; its secret is in this answer alone", || {
            post(make)
        })
        .takes(MAKE)
        .once(Makes::Secret),
        Row::api(Method::DELETE, "/keys/{prefix}", OWNERS, "Revoke a key", || delete(revoke)),
    ]
}

async fn list(State(service): State<Arc<Service>>, caller: Caller) -> Result<Response, Refusal> {
    unbound(&caller)?;
    let tenant = caller.tenant().clone();
    let keys = service.readers.read(move |store| store.keys(&tenant)).await?;
    Ok(data(&keys.iter().map(row).collect()))
}

async fn make(State(service): State<Arc<Service>>, caller: Caller, body: Bytes) -> Result<Response, Refusal> {
    unbound(&caller)?;
    let mut members = Members::read(&body)?;
    let known = || Role::ALL.map(Role::word).join(", ");
    let role = members.text(&["role"], 16)?.as_deref().and_then(Role::from_word);
    let role = role.ok_or_else(|| Refusal::invalid(format!("`role` has to be one of {}", known())))?;
    let label = members.text(&["label"], 255)?.unwrap_or_default();
    let expires = members.time("expires_at")?;
    let agents = members.take(&["agents"])?.map(|value| agents(&value)).transpose()?;
    let networks = members.take(&["networks"])?.map(|value| networks(&value)).transpose()?;
    members.end()?;
    let networks = narrowed(&caller, networks)?;
    let tenant = caller.tenant().clone();
    let order = KeyOrder { role, tenant, agents, networks, label: label.clone(), expires };
    let look = move |_: &Authority<'_>| {
        let after = Some(role.word().into());
        Ok((Intent { what: "key.create", subject: role.word().into(), before: None, after, text: label }, ()))
    };
    let made = service.carry_out(&caller, Lane::Ordinary, look, move |authority, (), _, now| {
        authority.make_key(&order, now)
    });
    let (record, key) = made.await?;
    let mut shown = row(&record);
    if let Some(members) = shown.as_object_mut() {
        members.insert("key".into(), Value::String(key.to_text().to_string()));
    }
    Ok(data_with(StatusCode::CREATED, &shown))
}

async fn revoke(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(prefix): Path<String>,
) -> Result<Response, Refusal> {
    unbound(&caller)?;
    let prefix = KeyPrefix::parse(&prefix).ok_or_else(Refusal::missing)?;
    let tenant = caller.tenant().clone();
    let (named, whose, clock) = (prefix.clone(), tenant.clone(), Arc::clone(&service.clock));
    let look = move |authority: &Authority<'_>| {
        let (keys, now) = (authority.store.keys(&whose)?, clock());
        let key = keys.iter().find(|key| key.prefix == named).ok_or_else(Refusal::missing)?;
        let owners = keys.iter().filter(|key| key.is_whole_owner(now));
        let mut others = owners.filter(|owner| owner.prefix != named);
        if key.is_whole_owner(now) && others.next().is_none() {
            let text = "this is the last owner's key; make another one first";
            return Err(Refusal::new(StatusCode::CONFLICT, "key.last_owner", text));
        }
        let (before, after) = (Some(key.role.word().into()), Some("revoked".into()));
        let subject = named.as_str().to_owned();
        Ok((Intent { what: "key.revoke", subject, before, after, text: String::new() }, ()))
    };
    // A key is taken away as an agent is: nothing goes before it.
    let act = move |authority: &mut Authority<'_>, (), _, now| {
        authority.store.revoke_key(&tenant, &prefix, now)?;
        Ok(authority.store.key(&prefix)?)
    };
    let revoked = service.carry_out(&caller, Lane::Urgent, look, act).await?;
    Ok(data(&revoked.as_ref().map_or(Value::Null, row)))
}

/// A key for a few agents must not make itself one for all.
fn unbound(caller: &Caller) -> Result<(), Refusal> {
    match caller.is_bound() {
        true => {
            Err(Refusal::new(StatusCode::FORBIDDEN, "access.bound", "a key bound to agents may not do this"))
        }
        false => Ok(()),
    }
}

fn agents(value: &Value) -> Result<Vec<AgentId>, Refusal> {
    let wrong = || Refusal::invalid("`agents` has to be a list of ids of agents");
    let list = value.as_array().filter(|list| list.len() <= MAX_AGENTS).ok_or_else(wrong)?;
    let ids = list.iter().map(|id| id.as_str().and_then(AgentId::parse).ok_or_else(wrong));
    ids.collect()
}

fn networks(value: &Value) -> Result<Vec<Network>, Refusal> {
    let wrong = |why: &str| Refusal::invalid(format!("`networks` has to be a list of networks: {why}"));
    let most = format!("{MAX_NETWORKS} at most");
    let list = value.as_array().filter(|list| list.len() <= MAX_NETWORKS).ok_or_else(|| wrong(&most))?;
    let read = |text: &Value| {
        let text = text.as_str().ok_or_else(|| wrong("each is a text"))?;
        text.parse::<Network>().map_err(|error| wrong(&error.to_string()))
    };
    list.iter().map(read).collect()
}

/// What a key may be bound to that is made by this one: whoever may ask from a few networks makes no key for others.
fn narrowed(caller: &Caller, asked: Option<Vec<Network>>) -> Result<Option<Vec<String>>, Refusal> {
    let texts = |asked: Vec<Network>| asked.iter().map(ToString::to_string).collect();
    let Some(own) = caller.networks() else { return Ok(asked.map(texts)) };
    let Some(asked) = asked else { return Ok(Some(own.to_vec())) };
    let own: Vec<Network> = own.iter().filter_map(|text| text.parse().ok()).collect();
    if asked.iter().all(|network| own.iter().any(|own| own.covers(network))) {
        return Ok(Some(texts(asked)));
    }
    let text = "a key bound to networks makes none for others";
    Err(Refusal::new(StatusCode::FORBIDDEN, "access.network", text))
}

pub(super) fn row(key: &ApiKeyRecord) -> Value {
    json!({
        "prefix": key.prefix.as_str(),
        "role": key.role.word(),
        "tenant_id": key.tenant.as_str(),
        "agents": key.agents.as_ref().map(|ids| ids.iter().map(AgentId::to_string).collect::<Vec<_>>()),
        "networks": key.networks,
        "label": key.label,
        "created_at": key.created.to_string(),
        "expires_at": key.expires.map(|at| at.to_string()),
        "revoked_at": key.revoked.map(|at| at.to_string()),
    })
}

const OWNERS: Open = Open::Roles(&[]);
/// A body of 64 kB holds no more.
const MAX_AGENTS: usize = 1000;
const MAX_NETWORKS: usize = 64;
const MAKE: &[Named] = &[
    Named::new("role", "string", "owner, issuer, revoker, ingest, auditor or gate"),
    Named::new("label", "string", "What you call it"),
    Named::new("agents", "array", "Ids of the only agents it may be used for"),
    Named::new(
        "networks",
        "array",
        "The only networks it may be used from, such as 10.0.0.0/8 or one address; 64 at most",
    ),
    Named::new("expires_at", "string", "From when on it is no good, RFC 3339"),
];
