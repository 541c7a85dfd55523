//! The revocation lists.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;
use axum::routing::get;

use crate::http::access::Open;
use crate::http::answer::{accepts, public};
use crate::http::error::Refusal;
use crate::http::service::Service;
use crate::http::table::Row;
use crate::publish::Published;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::GET, "/crl", Open::Everyone, "The issuing authority's revocation list", || {
            get(current)
        }),
        Row::api(Method::GET, "/crl/all", Open::Everyone, "Every revocation list that is needed", || {
            get(all)
        }),
    ]
}

/// The list of the current issuing authority, as PEM or DER.
async fn current(State(service): State<Arc<Service>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let published = service.published()?;
    let response = match accepts(&headers, &["application/pkix-crl", "application/x-pkcs7-crl"]) {
        true => public(&headers, "application/pkix-crl", published.list().der.clone()),
        false => public(&headers, "application/x-pem-file", published.list_pem().as_bytes().to_vec()),
    };
    Ok(dated(response, &published))
}

/// Every list that someone can still need, as PEM blocks: what a guard reads as its `lists.pem`.
async fn all(State(service): State<Arc<Service>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let published = service.published()?;
    let response = public(&headers, "application/x-pem-file", published.lists_pem().as_bytes().to_vec());
    Ok(dated(response, &published))
}

fn dated(mut response: Response, published: &Published) -> Response {
    let list = published.list();
    for (name, value) in [
        ("x-crl-number", list.number.to_string()),
        ("x-crl-generated-at", list.this_update.to_string()),
        ("x-crl-next-update", list.next_update.to_string()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
