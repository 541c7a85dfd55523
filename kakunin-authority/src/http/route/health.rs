//! Whether the service lives, and whether it may be sent work.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::http::answer::json_text;
use crate::http::service::Service;
use crate::http::table::{Place, Row};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row { method: Method::GET, path: "/health", place: Place::Top, handler: || get(health) },
        Row { method: Method::GET, path: "/ready", place: Place::Top, handler: || get(ready) },
    ]
}

/// The process answers. Says nothing about anything else: whoever restarts what is not healthy must not restart it
/// because a disk is full.
async fn health() -> Response {
    json_text(StatusCode::OK, json!({ "status": "ok" }).to_string())
}

/// The lists are published and fresh, and the records can be read.
async fn ready(State(service): State<Arc<Service>>) -> Response {
    let mut lacks = Vec::new();
    match service.published() {
        Ok(published) if published.next_update() > (service.clock)() => {}
        Ok(_) => lacks.push("the revocation list has ended"),
        Err(_) => lacks.push("no revocation list is published yet"),
    }
    if service.readers.read(|store| store.issuers()).await.is_err() {
        lacks.push("the records cannot be read");
    }
    let (status, word) = match lacks.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    json_text(status, json!({ "status": word, "lacks": lacks }).to_string())
}
