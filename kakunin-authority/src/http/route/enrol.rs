//! Papers for agents that keep their directory elsewhere.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::post;
use base64ct::{Base64, Encoding as _};
use serde_json::{Map, Value, json};

use super::agents::known;
use crate::agent::Who;
use crate::authority::{Authority, Days};
use crate::http::access::{Caller, Open};
use crate::http::answer::data_with;
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::Row;
use crate::papers::Papers;
use crate::standing::Standing;

pub(crate) fn rows() -> Vec<Row> {
    vec![Row::api(Method::POST, "/agents/{id}/renew", Open::Agent, "Renew one's own certificate", || {
        post(renew)
    })]
}

async fn renew(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    Members::read(&body)?.end()?;
    let held = caller.agent().ok_or_else(Refusal::internal)?.certificate().clone();
    let who = Who::parse(&id).map_err(|_| Refusal::missing())?;
    let (seer, hours) = (caller.clone(), service.hours);
    let look = move |authority: &Authority<'_>| {
        let agent = known(authority, &seer, &who)?;
        let intent = Intent {
            what: "certificate.renew",
            subject: agent.id.to_string(),
            before: Some(agent.standing.word().into()),
            after: Some(Standing::Good.word().into()),
            text: String::new(),
        };
        Ok((intent, ()))
    };
    let renewed = service.carry_out(&caller, Lane::Ordinary, look, move |authority, (), _, now| {
        authority.renew_elsewhere(&held, Days::DAY, hours, now)
    });
    let papers = renewed.await?;
    let mut answer = shown(&papers)?;
    answer.insert("scope_diff".into(), papers.scope_diff.into());
    Ok(data_with(StatusCode::CREATED, &answer.into()))
}

/// The papers, each as the file holds it.
fn shown(papers: &Papers) -> Result<Map<String, Value>, Refusal> {
    let decoded = papers.certificate.decoded();
    let names = papers
        .names
        .iter()
        .map(|(root, text)| (format!("{root}.txt"), Value::from(Base64::encode_string(text.as_bytes()))));
    let answer = json!({
        "agent_id": papers.agent.id.to_string(),
        "agent_name": papers.agent.name.as_str(),
        "serial_number": decoded.serial().to_string(),
        "expires_at": decoded.validity().not_after.to_string(),
        "certificate_pem": Papers::pem(decoded)?,
        "chain_pem": Papers::pem(papers.issuing.decoded())?,
        "ca_pem": Papers::pem(papers.root.decoded())?,
        "lists_pem": papers.lists_pem,
        "names": Value::Object(names.collect()),
        "genesis": papers.genesis.as_ref().map(|mark| mark.to_text()),
        "log": papers.log.as_ref().map(ToString::to_string),
    });
    match answer {
        Value::Object(members) => Ok(members),
        _ => Err(Refusal::internal()),
    }
}
