//! Routes of the hosted service that have no true answer here: each says so, and what to use instead.
//!
//! Nothing is made up for a client that only wants an answer: a token that nobody checks would be worse than none.

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};

use crate::access::Role;
use crate::http::access::Open;
use crate::http::error::Refusal;
use crate::http::table::Row;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::GET, "/agents/{id}/credential", KEYS, "Not here: a credential as a JWT", || {
            get(async || {
                no("there is no credential as a JWT; the certificate is what proves: GET /agents/ID")
            })
        }),
        Row::api(Method::POST, "/agents/{id}/delegation", KEYS, "Not here: delegation tokens", || {
            post(async || no(DELEGATION))
        }),
        Row::api(Method::POST, "/delegation/verify", KEYS, "Not here: delegation tokens", || {
            post(async || no(DELEGATION))
        }),
        Row::api(Method::GET, "/integrations/otlp", KEYS, TELEMETRY, || get(async || no(OTLP))),
        Row::api(Method::POST, "/integrations/otlp", KEYS, TELEMETRY, || post(async || no(OTLP))),
        Row::api(Method::DELETE, "/integrations/otlp", KEYS, TELEMETRY, || delete(async || no(OTLP))),
        Row::api(Method::POST, "/integrations/otlp/test", KEYS, TELEMETRY, || post(async || no(OTLP))),
        Row::api(Method::POST, "/chat", KEYS, "Not here: a chat", || {
            post(async || no("nobody chats here; docs/service.md has the routes"))
        }),
        Row::api(Method::POST, "/crl/generate", KEYS, "Not here: lists by order", || {
            post(async || {
                no("lists are signed with every change and before they end; GET /crl has the newest")
            })
        }),
    ]
}

fn no(text: &'static str) -> Response {
    Refusal::new(StatusCode::NOT_IMPLEMENTED, "not_here", text).into_response()
}

const KEYS: Open = Open::Roles(&[Role::Issuer, Role::Revoker, Role::Auditor, Role::Gate, Role::Ingest]);
const TELEMETRY: &str = "Not here: telemetry that is sent out";
const OTLP: &str = "nothing is sent to collectors from here; let one read GET /metrics";
const DELEGATION: &str = "there are no delegation tokens; certify another agent with a narrower scope";
