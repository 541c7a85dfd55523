//! Agents say up to which change they enforce the feed.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::post;
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use serde_json::json;

use super::agents::seen;
use crate::access::Role;
use crate::http::access::{Caller, Open};
use crate::http::answer::data;
use crate::http::body::Members;
use crate::http::error::Refusal;
use crate::http::feed::unknown;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::standing::Standing;

pub(crate) fn rows() -> Vec<Row> {
    let about = "Say up to which change an agent enforces the feed";
    vec![Row::api(Method::POST, "/feed/ack", Open::AgentOr(&[Role::Ingest]), about, || post(ack)).takes(ACK)]
}

async fn ack(State(service): State<Arc<Service>>, caller: Caller, body: Bytes) -> Result<Response, Refusal> {
    // What it took until here is not the feed's.
    let now = Instant::now();
    let mut members = Members::read(&body)?;
    let issuer = members.text(&["issuer"], 64)?.as_deref().and_then(Digest::from_hex);
    let issuer = issuer.ok_or_else(|| Refusal::invalid("`issuer` has to be 64 hex digits"))?;
    let epoch = members.take(&["epoch"])?.and_then(|epoch| epoch.as_u64());
    let epoch = epoch.ok_or_else(|| Refusal::invalid("`epoch` has to be a whole number from 0 up"))?;
    let named = members.text(&["agent"], 64)?;
    members.end()?;
    let who = match (named, caller.agent()) {
        (Some(named), _) => named,
        (None, Some(proven)) => proven.agent().to_string(),
        (None, None) => return Err(Refusal::invalid("`agent` is missing: a key is no agent")),
    };
    let agent = good(&service, &caller, &who).await?;
    if service.shown.whose(issuer).is_some_and(|whose| whose != *caller.tenant()) {
        return Err(unknown());
    }
    let kept = |since| service.feeds.kept(issuer, since, epoch);
    let highest = service.acks.take(agent, issuer, epoch, now, kept)?;
    // An order that was carried out meanwhile forgot the agent before it was taken down.
    if good(&service, &caller, &who).await.is_err() {
        service.acks.forget(agent);
    }
    Ok(data(&json!({ "issuer": issuer.to_hex(), "epoch": highest })))
}

/// Only what is in good standing can prove itself, so only that is waited for.
async fn good(service: &Service, caller: &Caller, who: &str) -> Result<AgentId, Refusal> {
    let (agent, _) = seen(service, caller, who).await?;
    if agent.standing == Standing::Good {
        return Ok(agent.id);
    }
    let text = format!("the agent is {}; nobody waits for what it enforces", agent.standing.word());
    Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "agent.standing", text))
}

const ACK: &[Named] = &[
    Named::new("issuer", "string", "SHA-256 of the issuing authority's SubjectPublicKeyInfo, hex"),
    Named::new("epoch", "integer", "The last change that the agent decides by"),
    Named::new("agent", "string", "Which agent, by a key; an agent that proves itself leaves it out"),
];
