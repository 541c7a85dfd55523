//! The certificates of the authority, for whoever verifies.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::get;
use kakunin_core::certificate::Decoded;
use serde_json::json;

use crate::http::access::Open;
use crate::http::answer::{accepts, public};
use crate::http::error::Refusal;
use crate::http::service::Service;
use crate::http::shown::{WHOSE, Whose};
use crate::http::table::Row;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::GET, "/ca", Open::Everyone, "The root certificate", || get(root)).asks(WHOSE),
        Row::api(
            Method::GET,
            "/ca/chain",
            Open::Everyone,
            "The issuing authority's certificate and the root's",
            || get(chain),
        )
        .asks(WHOSE),
    ]
}

/// The root. Trust it because somebody you trust gave you its thumbprint, not because it is answered here.
async fn root(
    State(service): State<Arc<Service>>,
    whose: Whose,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let published = service.shown.asked(&whose)?;
    let pem = published.root_pem();
    if accepts(&headers, PEM) {
        return Ok(public(&headers, "application/x-pem-file", pem.as_bytes().to_vec()));
    }
    let (root, issuing) = (published.root().decoded(), published.issuing().decoded());
    let body = json!({ "data": {
        "subject": root.subject_text(),
        "pem": pem,
        "thumbprint": root.thumbprint().to_hex(),
        "not_after": root.validity().not_after.to_string(),
        "issuing": described(issuing),
    } });
    Ok(public(&headers, "application/json", body.to_string().into_bytes()))
}

/// The issuing authority and the root above it.
async fn chain(
    State(service): State<Arc<Service>>,
    whose: Whose,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let published = service.shown.asked(&whose)?;
    let pem = [published.issuing_pem(), published.root_pem()].concat();
    if accepts(&headers, PEM) {
        return Ok(public(&headers, "application/x-pem-file", pem.into_bytes()));
    }
    let body = json!({ "data": { "chain_pem": pem, "depth": 2 } });
    Ok(public(&headers, "application/json", body.to_string().into_bytes()))
}

fn described(certificate: &Decoded) -> serde_json::Value {
    json!({
        "subject": certificate.subject_text(),
        "key_id": certificate.key().key_id().to_hex(),
        "thumbprint": certificate.thumbprint().to_hex(),
        "not_after": certificate.validity().not_after.to_string(),
    })
}

const PEM: &[&str] = &["application/x-pem-file", "application/pem-certificate-chain", "text/plain", "text/*"];
