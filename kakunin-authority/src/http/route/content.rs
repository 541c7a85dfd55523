//! Texts that agents wrote, to be checked: answered when they are accepted, judged beside the path of decisions.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::post;
use serde_json::json;

use super::agents::seen;
use crate::access::Role;
use crate::http::access::{Caller, Open};
use crate::http::answer::data_with;
use crate::http::body::Members;
use crate::http::content::{Local, Room, Text, came_of};
use crate::http::error::Refusal;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::store::{ContentCheck, RiskSign, SignKind, Verdict};

pub(crate) fn rows() -> Vec<Row> {
    let about = "Have a text checked for secrets, personal data and commitments; the text is not kept";
    let path = "/agents/{id}/content-risk";
    vec![Row::api(Method::POST, path, SENDERS, about, || post(check)).takes(TAKES).most(MOST_BODY)]
}

async fn check(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    service.room.for_others()?;
    let mut members = Members::read(&body)?;
    let text = members.text(&["text"], MOST)?.filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Refusal::invalid("`text` is missing or empty"))?;
    let source = members.text(&["source"], 64)?;
    let message = members.text(&["message_id", "messageId"], 128)?;
    members.end()?;
    let agent = seen(&service, &caller, &id).await?.0;
    // A place first: what is accepted is checked.
    let room = service.content.room(&caller, &service.shown)?;
    let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    let looked = tokio::task::spawn_blocking(move || (Local::look(&text), text)).await;
    let (found, text) = looked.map_err(|_| Refusal::internal())?;
    let now = (service.clock)();
    let (tenant, of) = (caller.tenant().clone(), agent.id);
    // What was found here is kept with the answer, whatever becomes of the other judge.
    let (verdict, findings, sign) = came_of(found.clone());
    let verdict = if room.is_some() { Verdict::Pending } else { verdict };
    let check = ContentCheck {
        tenant: tenant.clone(),
        agent: of,
        provider: service.content.name().to_owned(),
        source,
        message,
        length,
        verdict,
        findings,
        at: now,
        ended: (verdict != Verdict::Pending).then_some(now),
    };
    let sign = sign.map(|(weight, sentence)| RiskSign {
        tenant: tenant.clone(),
        agent: of,
        kind: SignKind::Content,
        weight,
        sentence,
        cause: None,
        at: now,
    });
    let kept = service.orders.give_part(2, move |store| {
        let number = store.add_check(&check)?;
        if let Some(sign) = &sign {
            store.hand_in_sign(sign)?;
        }
        Ok(number)
    });
    let number = kept.await.map_err(|none| service.failure(none))?;
    if let Some(Room { permit, place }) = room {
        permit.send(Text { tenant, agent: of, number, text, found, place });
    }
    service.watch.wake();
    Ok(data_with(
        StatusCode::ACCEPTED,
        &json!({ "accepted": true, "agent_id": of.to_string(), "check": number }),
    ))
}

const SENDERS: Open = Open::AgentOr(&[Role::Ingest]);
const TAKES: &[Named] = &[
    Named::new("text", "string", "1 to 20000 characters"),
    Named::new("source", "string", "Where it comes from, up to 64 characters"),
    Named::new(
        "message_id",
        "string",
        "How the sender names it, up to 128 characters; `messageId` is the same",
    ),
];
const MOST: usize = 20_000;
/// Each character is written with twelve octets at most.
const MOST_BODY: usize = 256 * 1024;
