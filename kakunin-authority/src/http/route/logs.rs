//! The logs of receipts, for whoever checks them: checkpoint, tiles and bundles of entries.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{Extensions, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crate::http::access::Open;
use crate::http::answer::{data, typed};
use crate::http::error::Refusal;
use crate::http::logs::tile;
use crate::http::peer::Peer;
use crate::http::service::Service;
use crate::http::table::Row;

pub(crate) fn rows() -> Vec<Row> {
    let api = |path, about, handler| Row::api(Method::GET, path, Open::Everyone, about, handler);
    vec![
        api("/log", "The logs that are served here", || get(list)),
        api("/log/{id}/checkpoint", "The signed head of a log (C2SP tlog-checkpoint)", || get(checkpoint)),
        api("/log/{id}/tile/{*path}", "A tile or a bundle of entries (C2SP tlog-tiles)", || get(part)),
    ]
}

async fn list(State(service): State<Arc<Service>>) -> Response {
    let row = |(place, log): (usize, &crate::http::logs::ServedLog)| json!({ "log": place, "origin": log.origin, "vkey": log.key, "path": format!("/v1/log/{place}") });
    let rows: Vec<Value> = service.logs.all().iter().enumerate().map(row).collect();
    data(&rows.into())
}

async fn checkpoint(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    about: Extensions,
) -> Result<Response, Refusal> {
    sent(&service, &about, &id, vec!["checkpoint".into()], "text/plain; charset=utf-8", "public, no-cache")
        .await
}

async fn part(
    State(service): State<Arc<Service>>,
    Path((id, path)): Path<(String, String)>,
    about: Extensions,
) -> Result<Response, Refusal> {
    let (name, is_full) = tile(&path).ok_or_else(Refusal::missing)?;
    // What is signed once is never written again; a partial one goes when the full one is there.
    let keep = if is_full { "public, max-age=31536000, immutable" } else { "public, no-cache" };
    sent(&service, &about, &id, name, "application/octet-stream", keep).await
}

async fn sent(
    service: &Service,
    about: &Extensions,
    id: &str,
    name: Vec<String>,
    media: &'static str,
    keep: &'static str,
) -> Result<Response, Refusal> {
    let log = service.logs.find(id).ok_or_else(Refusal::missing)?;
    let (body, size) = service.logs.file(log, name, about.get::<Peer>().and_then(Peer::origin)).await?;
    let mut response = typed(StatusCode::OK, media, body);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    Ok(response)
}
