//! What agents send: receipts, kept when they are answered.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::post;
use kakunin_core::digest::Digest;
use serde_json::json;

use crate::access::Role;
use crate::http::access::{Caller, Open};
use crate::http::answer::json_text;
use crate::http::error::Refusal;
use crate::http::service::Service;
use crate::http::table::Row;
use crate::store::{Answer, Begun, ReceiptRecord, Store, StoreError};

pub(crate) fn rows() -> Vec<Row> {
    let about = "Keep receipts: lines of compact JWS, durable when this is answered";
    vec![Row::api(Method::POST, "/receipts", Open::AgentOr(&[Role::Ingest]), about, || post(send)).most(MOST)]
}

async fn send(
    State(service): State<Arc<Service>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    // A place first: what has none is not even read.
    let place = service.intake.enter(caller.actor().to_string())?;
    let key = repeat_key(&caller, request.headers())?;
    let body = whole(request.into_body()).await?;
    let hash = Digest::of_parts(&[b"receipts ", &body]);
    let records = service.prove(&caller, body).await?;
    let (tenant, now) = (caller.tenant().clone(), (service.clock)());
    let rows = records.len();
    let kept = service.orders.give_part(rows, move |store| {
        let Some(key) = key else { return keep(store, &records).map(Kept::Answer) };
        match store.begin_request(&tenant, &key, hash, now)? {
            Begun::New => {
                let answer = keep(store, &records)?;
                store.answer_request(&tenant, &key, &answer)?;
                Ok(Kept::Answer(answer))
            }
            Begun::Answered(answer) => Ok(Kept::Answer(answer)),
            Begun::Another | Begun::Unfinished => Ok(Kept::AnotherRequest),
        }
    });
    let kept = kept.await?;
    drop(place);
    match kept {
        Kept::Answer(answer) => {
            let status = StatusCode::from_u16(answer.status).map_err(|_| Refusal::internal())?;
            Ok(json_text(status, String::from_utf8(answer.body).map_err(|_| Refusal::internal())?))
        }
        Kept::AnotherRequest => Err(Refusal::new(
            StatusCode::CONFLICT,
            "idempotency.reused",
            "this `idempotency-key` came with another body before; take a new one for each body",
        )),
    }
}

enum Kept {
    Answer(Answer),
    AnotherRequest,
}

fn keep(store: &mut dyn Store, records: &[ReceiptRecord]) -> Result<Answer, StoreError> {
    let new = store.keep_receipts(records)?;
    let known = (records.len() as u64).saturating_sub(new);
    let body = json!({ "data": { "accepted": new, "known": known } }).to_string().into_bytes();
    Ok(Answer { status: 200, body })
}

/// The key under which the answer is kept, if the sender wants the same one again: its own and nobody else's.
fn repeat_key(caller: &Caller, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=128).contains(&text.len()));
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(format!("receipts {} {text}", caller.actor()))),
        _ => Err(Refusal::invalid(
            "`idempotency-key` has to be there once, with 1 to 128 printable characters",
        )),
    }
}

/// The whole body, in time: a place is not held by somebody who does not send.
async fn whole(body: Body) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(SENDING, to_bytes(body, MOST)).await;
    let slow = || Refusal::new(StatusCode::REQUEST_TIMEOUT, "request.slow", "the body did not come in time");
    read.map_err(|_| slow())?.map_err(|_| {
        let text = "the body is larger than 1 MiB, or did not come whole; send fewer lines at once";
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request.too_large", text)
    })
}

/// 1 MiB: about a thousand receipts.
const MOST: usize = 1024 * 1024;
const SENDING: Duration = Duration::from_secs(15);
