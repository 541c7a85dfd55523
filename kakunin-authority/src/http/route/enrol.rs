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
use super::certify::proven;
use crate::access::Role;
use crate::agent::Who;
use crate::authority::{Authority, Comeback, Days, Minutes};
use crate::http::access::{Caller, Open};
use crate::http::answer::data_with;
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::http::together::Ask;
use crate::http::with_lists::with_lists;
use crate::papers::{Enrol, Papers};
use crate::standing::Standing;
use crate::token::EnrolmentToken;

pub(crate) fn rows() -> Vec<Row> {
    let about = "Make a token with which an agent elsewhere gets its first certificate";
    vec![
        Row::api(Method::POST, "/agents/{id}/tokens", Open::Roles(&[Role::Issuer]), about, || post(token))
            .takes(TOKEN),
        Row::api(
            Method::POST,
            "/agents/{id}/enrol",
            Open::TokenOr(&[Role::Issuer]),
            "Certify the key of an agent elsewhere",
            || post(enrol),
        )
        .takes(ENROL),
        Row::api(Method::POST, "/agents/{id}/renew", Open::Agent, "Renew one's own certificate", || {
            post(renew)
        }),
    ]
}

async fn token(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut members = Members::read(&body)?;
    let minutes = members.number("minutes", 1, 60)?.map_or(Ok(Minutes::default()), Minutes::new)?;
    members.end()?;
    let who = Who::parse(&id).map_err(|_| Refusal::missing())?;
    let token = EnrolmentToken::generate(service.published()?.root().decoded().thumbprint())?;
    let (seer, prefix) = (caller.clone(), token.prefix().to_string());
    let look = move |authority: &Authority<'_>| {
        let agent = known(authority.records(), &seer, &who)?;
        let intent = Intent {
            what: "token.create",
            subject: agent.id.to_string(),
            before: None,
            after: Some(prefix),
            text: String::new(),
        };
        Ok((intent, agent.id))
    };
    let made = service.carry_out(&caller, Lane::Ordinary, look, move |authority, agent, _, now| {
        Ok((authority.keep_token(&Who::Id(agent), &token, minutes, now)?, token))
    });
    let (record, token) = made.await?;
    let answer = json!({
        "token": token.to_text().as_str(),
        "prefix": record.prefix.as_str(),
        "agent_id": record.agent.to_string(),
        "expires_at": record.expires.to_string(),
    });
    Ok(data_with(StatusCode::CREATED, &answer))
}

async fn enrol(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut members = Members::read(&body)?;
    let request = members.text(&["csr"], MAX_REQUEST)?;
    let request = request.ok_or_else(|| Refusal::invalid("`csr` is missing"))?.into_bytes();
    let days = members.number("days", 1, 400)?.map(Days::new).transpose()?;
    let after_revocation = members.flag("after_revocation")?;
    members.end()?;
    let token = caller.token().cloned();
    if token.is_some() && (after_revocation || days.is_some_and(|days| days != Days::DAY)) {
        let text = "a token gives one day and no way back from a revocation; an issuer's key asks for more";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "access.role", text));
    }
    let who = Who::parse(&id).map_err(|_| Refusal::missing())?;
    let days = days.unwrap_or(Days::DAY);
    let papers = match after_revocation {
        false => {
            let (what, key) = ("certificate.issue", proven(&service, &caller, &id, &request).await?);
            service.issue(Ask { caller, what, who, key, days, held: None, begins: true }).await?
        }
        true => come_back(&service, &caller, who, request, days).await?,
    };
    answered(&service, &papers, shown(&papers)?)
}

/// Certifies a revoked agent. That changes its standing, so a list is published.
async fn come_back(
    service: &Arc<Service>,
    caller: &Caller,
    who: Who,
    request: Vec<u8>,
    days: Days,
) -> Result<Papers, Refusal> {
    let order = Enrol { request, days, comeback: Comeback::AfterRevocation, token: None };
    let (seer, hours) = (caller.clone(), service.hours);
    let look = move |authority: &Authority<'_>| {
        let agent = known(authority.records(), &seer, &who)?;
        let intent = Intent {
            what: "certificate.issue",
            subject: agent.id.to_string(),
            before: Some(agent.standing.word().into()),
            after: Some(Standing::Good.word().into()),
            text: String::new(),
        };
        Ok((intent, agent.id))
    };
    let enrolled = service.carry_out(caller, Lane::Ordinary, look, move |authority, agent, _, now| {
        authority.enrol_elsewhere(&Who::Id(agent), &order, hours, now)
    });
    enrolled.await
}

async fn renew(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    Members::read(&body)?.end()?;
    let held = caller.agent().ok_or_else(Refusal::internal)?.certificate().clone();
    let (who, key) = (Who::parse(&id).map_err(|_| Refusal::missing())?, held.decoded().key().clone());
    let (what, days) = ("certificate.renew", Days::DAY);
    let papers = service.issue(Ask { caller, what, who, key, days, held: Some(held), begins: false }).await?;
    let mut answer = shown(&papers)?;
    answer.insert("scope_diff".into(), papers.scope_diff.as_slice().into());
    answer.insert("succession".into(), papers.succession.as_ref().map(|word| word.to_text()).into());
    answered(&service, &papers, answer)
}

/// The papers with the newest lists, which are those that were published with them or later ones.
fn answered(service: &Service, papers: &Papers, members: Map<String, Value>) -> Result<Response, Refusal> {
    let lists = service.shown.open(&papers.agent.tenant);
    let (lists, reading) = lists.ok_or_else(Refusal::internal)?;
    with_lists(StatusCode::CREATED, members, "lists_pem", &lists, reading)
}

/// The papers but for the lists, each as the file holds it.
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
        "names": Value::Object(names.collect()),
        "genesis": papers.genesis.as_ref().map(|mark| mark.to_text()),
        "log": papers.log.as_ref().map(ToString::to_string),
    });
    match answer {
        Value::Object(members) => Ok(members),
        _ => Err(Refusal::internal()),
    }
}

/// A request with an RSA key of 16,384 bits, which is refused, has less.
const MAX_REQUEST: usize = 16_384;
const TOKEN: &[Named] =
    &[Named::new("minutes", "integer", "For how long it is good: 1 to 60, 15 if not said")];
const ENROL: &[Named] = &[
    Named::new("csr", "string", "A PKCS#10 request in PEM: its key is certified, and nothing else of it"),
    Named::new("days", "integer", "For how long: 1 to 400 by an issuer's key, 1 if not said"),
    Named::new(
        "after_revocation",
        "boolean",
        "By an issuer's key: let a revoked agent come back, with a new key",
    ),
];
