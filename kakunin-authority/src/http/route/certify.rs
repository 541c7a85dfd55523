//! Certificates over the network: asking for one, and revoking one.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::post;
use kakunin_core::digest::Digest;
use kakunin_core::id::SerialNumber;
use kakunin_core::key::PublicKey;
use serde_json::json;

use super::agents::{known, seen};
use super::{freeze, standing};
use crate::access::Role;
use crate::agent::Who;
use crate::authority::{Authority, BACKDATE, Comeback, Days};
use crate::enrol::read_request;
use crate::grant::{Grant, GrantKey};
use crate::http::access::{Caller, Open};
use crate::http::answer::{data, data_with};
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::once::{Made, Makes};
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::shape;
use crate::http::table::{Named, Row};
use crate::http::together::Ask;
use crate::standing::{Order, Standing};
use crate::store::{AuditEntry, CertificateRecord};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::POST, "/agents/{id}/certify", ISSUERS, "Issue a certificate", || post(certify))
            .takes(CERTIFY)
            .once(Makes::Certificate),
        Row::api(
            Method::POST,
            "/certificates/{id}/revoke",
            REVOKERS,
            "Revoke the agent that a certificate belongs to",
            || post(revoke),
        )
        .takes(standing::WHY),
    ]
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
    let mut who = Who::parse(&id).map_err(|_| Refusal::missing())?;
    let held = match request {
        Some(_) => None,
        None => {
            // Before a key is made, which is dear: who may not have it anyway.
            who = Who::Id(seen(&service, &caller, &id).await?.0.id);
            freeze::refuse(&service, caller.tenant()).await?;
            Some(service.make_held_key().await?)
        }
    };
    let key = match (request, &held) {
        (Some(pem), _) => proven(&service, &caller, &id, pem.as_bytes()).await?,
        (None, Some(public)) => public.clone(),
        (None, None) => return Err(Refusal::internal()),
    };
    let granted = match comeback {
        Comeback::Refuse => {
            let (caller, what) = (caller.clone(), "certificate.issue");
            let ask = Ask { caller, what, who, key, days, held: None, begins: false };
            service
                .issue(ask)
                .await
                .map(|papers| (papers.certificate.decoded().serial(), papers.published.list().number))
        }
        Comeback::AfterRevocation => come_back(&service, &caller, who, key, days).await,
    };
    let (serial, list) = match (granted, held) {
        (Err(refusal), Some(public)) => {
            service.forget_held_key(public.key_id()).await;
            return Err(refusal);
        }
        (granted, _) => granted?,
    };
    let issued = service.readers.read(move |store| store.certificate(serial)).await?;
    shown(&service, &caller, &issued.ok_or_else(Refusal::internal)?, list)
}

/// The key of a request. About one that is no good nobody hears who may not know of the agent.
///
/// # Errors
/// [`Refusal`]: `csr.invalid`, or that there is no such agent.
pub(crate) async fn proven(
    service: &Service,
    caller: &Caller,
    id: &str,
    request: &[u8],
) -> Result<PublicKey, Refusal> {
    match read_request(request) {
        Ok(key) => Ok(key),
        Err(error) => {
            let _ = seen(service, caller, id).await?;
            Err(error.into())
        }
    }
}

/// Certifies a revoked agent. That changes its standing, so a list is published: its number comes with the certificate's.
async fn come_back(
    service: &Arc<Service>,
    caller: &Caller,
    who: Who,
    key: PublicKey,
    days: Days,
) -> Result<(SerialNumber, u64), Refusal> {
    let order = Grant { key: GrantKey::Held(key), days, comeback: Comeback::AfterRevocation };
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
        Ok((intent, agent))
    };
    let granted = service.carry_out(caller, Lane::Ordinary, look, move |authority, agent, _, now| {
        authority.grant(&Who::Id(agent.id), &order, hours, now)
    });
    let granted = granted.await?;
    Ok((granted.certificate.decoded().serial(), granted.publication.number))
}

fn shown(
    service: &Service,
    caller: &Caller,
    issued: &CertificateRecord,
    list: u64,
) -> Result<Response, Refusal> {
    let mut row = shape::certificate(issued, caller.tenant().as_str(), (service.clock)());
    let published = service.published_of(caller.tenant())?;
    let der = issued.der.as_deref().ok_or_else(Refusal::internal)?;
    if let Some(members) = row.as_object_mut() {
        let chain = [published.issuing_pem(), published.root_pem()].concat();
        members.insert("chain_pem".into(), chain.into());
        members.insert("thumbprint".into(), Digest::of(der).to_hex().into());
        members.insert("list_number".into(), list.into());
    }
    Ok(data_with(StatusCode::CREATED, &row))
}

/// The certificate that an order issued whose answer was lost: the only one since then by the key that was asked for.
///
/// # Errors
/// [`Refusal`] when the records cannot be read.
pub(crate) async fn made(
    service: &Service,
    caller: &Caller,
    entry: &AuditEntry,
    body: &Bytes,
) -> Result<Made, Refusal> {
    let asked = match Members::read(body)?.text(&["csr"], MAX_REQUEST)? {
        Some(pem) => Some(read_request(pem.as_bytes())?.key_id()),
        None => None,
    };
    let (_, certificates) = seen(service, caller, &entry.record.subject).await?;
    let begun = entry.record.at.plus(-BACKDATE);
    let since = certificates.iter().filter(|known| known.validity.not_before >= begun);
    let one = match asked {
        // Others may have been certified for other keys meanwhile: they are nobody's answer here.
        Some(key) => {
            let mut own = since.filter(|known| known.key == key && known.der.is_some());
            match (own.next(), own.next()) {
                (None, _) => return Ok(Made::Nothing),
                (Some(one), None) => one,
                _ => return Ok(Made::Unsure),
            }
        }
        // Which key it was is not known, so any further one may be it, also one that was not signed.
        None => {
            let mut all = since;
            match (all.next(), all.next()) {
                (None, _) => return Ok(Made::Nothing),
                (Some(one), None) if one.der.is_none() => return Ok(Made::Nothing),
                // By a key that was brought: somebody else's.
                (Some(one), None) if service.held_signer(one.key).await?.is_some() => one,
                _ => return Ok(Made::Unsure),
            }
        }
    };
    let number = service.published_of(caller.tenant())?.list().number;
    Ok(Made::This(shown(service, caller, one, number)?))
}

/// Standing belongs to the agent: whoever revokes one certificate revokes all of it.
async fn revoke(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(serial): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let reason = standing::reason(&body)?;
    let serial = shape::parse_serial(&serial).ok_or_else(Refusal::missing)?;
    let found = service.readers.read(move |store| store.certificate(serial)).await?;
    let found = found.filter(|known| known.tenant == *caller.tenant() && caller.reaches(known.agent));
    let found = found.ok_or_else(Refusal::missing)?;
    let agent = found.agent.to_string();
    standing::give(&service, &caller, &agent, Order::Revoke, "certificate.revoke", reason.clone()).await?;
    let now = service.readers.read(move |store| store.certificate(serial)).await?;
    let now = now.ok_or_else(Refusal::internal)?;
    Ok(data(&json!({
        "certificate_id": shape::serial(&now),
        "agent_id": agent,
        "status": shape::certificate_status(&now, (service.clock)()),
        "revoked_at": now.since.to_string(),
        "reason": reason,
    })))
}

const ISSUERS: Open = Open::Roles(&[Role::Issuer]);
const REVOKERS: Open = Open::Roles(&[Role::Revoker]);
/// A request with an RSA key of 16,384 bits, which is refused, has less.
const MAX_REQUEST: usize = 16_384;
const CERTIFY: &[Named] = &[
    Named::new(
        "csr",
        "string",
        "A PKCS#10 request in PEM; without one the authority makes and holds the key",
    ),
    Named::new("days", "integer", "For how long: 1 to 400, 7 if not said"),
    Named::new("after_revocation", "boolean", "Let a revoked agent come back, with a new key"),
];
