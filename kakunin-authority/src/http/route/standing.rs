//! Suspend, resume, revoke and halt.
//!
//! The answer means: recorded, in the list, and the list is published.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::response::Response;
use axum::routing::post;
use kakunin_core::digest::hex;
use serde_json::{Map, Value, json};

use crate::access::Role;
use crate::agent::Who;
use crate::authority::{Authority, AuthorityError, FeedEpoch, Ordered};
use crate::http::access::{Caller, Open};
use crate::http::answer::data;
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::route::agents::known;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::shape::{self, Reader};
use crate::http::table::{Named, Row};
use crate::standing::Order;
use crate::store::AuditId;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::POST, "/agents/{id}/suspend", REVOKERS, "Hold an agent back", || post(suspend))
            .takes(WHY),
        Row::api(Method::POST, "/agents/{id}/resume", REVOKERS, "Let an agent act again", || post(resume))
            .takes(WHY),
        Row::api(Method::POST, "/agents/{id}/revoke", REVOKERS, "Revoke an agent for good", || post(revoke))
            .takes(WHY),
        Row::api(
            Method::POST,
            "/agents/{id}/halt",
            REVOKERS,
            "Revoke an agent, with a signed receipt",
            || post(halt),
        )
        .takes(WHY),
    ]
}

type Asked = (State<Arc<Service>>, Caller, Path<String>, Bytes);

async fn suspend(asked: Asked) -> Result<Response, Refusal> {
    order(asked, Order::Suspend, "agent.suspend").await
}

async fn resume(asked: Asked) -> Result<Response, Refusal> {
    asked.1.refuse_pipeline()?;
    order(asked, Order::Resume, "agent.resume").await
}

async fn revoke(asked: Asked) -> Result<Response, Refusal> {
    order(asked, Order::Revoke, "agent.revoke").await
}

async fn order(asked: Asked, order: Order, what: &'static str) -> Result<Response, Refusal> {
    let (State(service), caller, Path(id), body) = asked;
    let reason = reason(&body)?;
    let given = give(&service, &caller, &id, order, what, reason).await?;
    Ok(data(&Value::Object(given)))
}

async fn halt(asked: Asked) -> Result<Response, Refusal> {
    let (State(service), caller, Path(id), body) = asked;
    let reason = reason(&body)?;
    let given = give(&service, &caller, &id, Order::Halt, "agent.halt", reason).await?;
    Ok(data(&Value::Object(given)))
}

/// `reason` is free text; without one the records say so.
pub(crate) fn reason(body: &Bytes) -> Result<String, Refusal> {
    let mut members = Members::read(body)?;
    let reason = members.text(&["reason"], 500)?;
    let note = members.text(&["operator_note"], 1000)?;
    members.end()?;
    Ok(match (reason, note) {
        (Some(reason), Some(note)) => format!("{reason}: {note}"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => "no reason given".into(),
    })
}

pub(crate) async fn give(
    service: &Arc<Service>,
    caller: &Caller,
    id: &str,
    order: Order,
    what: &'static str,
    reason: String,
) -> Result<Map<String, Value>, Refusal> {
    let who = Who::parse(id).map_err(|_| Refusal::missing())?;
    let (seer, text) = (caller.clone(), reason.clone());
    let look = move |authority: &Authority<'_>| {
        let agent = known(authority.records(), &seer, &who)?;
        let intent = Intent {
            what,
            subject: agent.id.to_string(),
            before: Some(agent.standing.word().into()),
            // An order that does not apply is refused by the authority, and the log has both.
            after: order.applied_to(agent.standing).ok().map(|to| to.word().into()),
            text,
        };
        Ok((intent, agent.id))
    };
    // Giving power back is no emergency; taking it away never waits for anything else.
    let lane = if order == Order::Resume { Lane::Ordinary } else { Lane::Urgent };
    let (hours, words, tenant) = (service.hours, reason.clone(), caller.tenant().clone());
    let shared = Arc::clone(service);
    let act = move |authority: &mut Authority<'_>, agent, audit: AuditId, now| {
        let ordered = authority.order(&Who::Id(agent), order, &words, hours, now);
        // It proves nothing any more, so what it enforces is not waited for; also if only publishing failed.
        if order != Order::Resume {
            shared.acks.forget(agent);
        }
        let ordered = ordered?;
        let last = authority.records().certificates(&tenant, agent)?.last().map(shape::serial);
        let mut row = row(&ordered, &reason);
        row.insert("certificate_serial".into(), last.clone().into());
        if what == "agent.halt" {
            receipt(
                authority,
                &mut row,
                &json!({
                    "agent_id": agent.to_string(),
                    "certificate_serial": last,
                    "halted_at": now.to_string(),
                    "halt_event_id": audit.to_string(),
                    "reason": reason,
                    "list_number": ordered.publication.number,
                }),
            )?;
        }
        Ok(row)
    };
    service.carry_out(caller, lane, look, act).await
}

fn row(ordered: &Ordered, reason: &str) -> Map<String, Value> {
    let mut row = match shape::agent(&ordered.agent, true, Reader::Other) {
        Value::Object(row) => row,
        _ => Map::new(),
    };
    for (name, value) in [
        ("before", ordered.before.word().into()),
        ("reason", reason.into()),
        ("list_number", ordered.publication.number.into()),
        ("next_update", ordered.publication.next_update.to_string().into()),
    ] {
        row.insert(name.into(), value);
    }
    if let Some(FeedEpoch { issuer, epoch }) = ordered.told {
        row.insert("issuer".into(), issuer.to_hex().into());
        row.insert("epoch".into(), epoch.into());
    }
    row
}

/// Adds the receipt of a halt: the issuing authority's signature over a line that says what it is, and the text of
/// the receipt as it stands in `receipt`. Nothing else that this key signs begins like that.
fn receipt(
    authority: &mut Authority<'_>,
    row: &mut Map<String, Value>,
    said: &Value,
) -> Result<(), AuthorityError> {
    let text = said.to_string();
    let id = authority.current()?.id;
    let signer = authority.keys.signer(id)?;
    let signature = signer.sign([HALT, text.as_bytes()].concat().as_slice())?;
    let signature = hex(&signature.to_x509(signer.algorithm()));
    let mut nested = said.clone();
    if let (Some(nested), Some(said)) = (nested.as_object_mut(), said.as_object()) {
        nested.insert("receipt".into(), text.into());
        nested.insert("receipt_signature".into(), signature.clone().into());
        nested.insert("signed_by_ca".into(), true.into());
        nested.insert("audit_logged".into(), true.into());
        row.extend(said.clone());
    }
    row.insert("halt_receipt".into(), nested);
    row.insert("signature".into(), signature.into());
    row.insert("algorithm".into(), "ECDSA_P256_SHA256".into());
    Ok(())
}

const REVOKERS: Open = Open::Roles(&[Role::Revoker]);
const HALT: &[u8] = b"kakunin halt receipt 1\n";
pub(crate) const WHY: &[Named] = &[
    Named::new("reason", "string", "Up to 500 characters; a reason of RFC 5280 is written into the list"),
    Named::new("operator_note", "string", "Up to 1000 characters"),
];
