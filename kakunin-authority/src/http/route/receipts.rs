//! What agents send: receipts, kept when they are answered.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::post;
use serde_json::json;

use crate::access::Role;
use crate::http::access::{Caller, Open};
use crate::http::error::Refusal;
use crate::http::repeat::{self, Repeat};
use crate::http::service::Service;
use crate::http::table::Row;
use crate::store::{Answer, ReceiptRecord, Store, StoreError};

pub(crate) fn rows() -> Vec<Row> {
    let about = "Keep receipts: lines of compact JWS, durable when this is answered";
    vec![
        Row::api(Method::POST, "/receipts", Open::SenderOr(&[Role::Ingest]), about, || post(send)).most(MOST),
    ]
}

async fn send(
    State(service): State<Arc<Service>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    // A place first: what has none is not even read.
    service.room.for_others()?;
    let place = service.intake.places.enter(&caller, &service.shown)?;
    let headers = request.headers().clone();
    let _ = repeat::key(&caller, "receipts", &headers)?;
    let body = whole(request.into_body()).await?;
    let repeat = Repeat::of(&caller, "receipts", &headers, &body)?;
    let records = service.prove(&caller, body).await?;
    let (rows, now) = (records.len(), (service.clock)());
    let kept = service
        .orders
        .give_part(rows, move |store| repeat.once(store, now, |store| keep(store, &records).map(Ok)));
    let kept = kept.await.map_err(|none| service.failure(none))?;
    drop(place);
    service.watch.wake();
    repeat::reply(kept?)
}

fn keep(store: &mut dyn Store, records: &[ReceiptRecord]) -> Result<Answer, StoreError> {
    let new = store.keep_receipts(records)?;
    let known = (records.len() as u64).saturating_sub(new);
    let body = json!({ "data": { "accepted": new, "known": known } }).to_string().into_bytes();
    Ok(Answer { status: 200, body })
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
