//! The revocation lists.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use kakunin_core::digest::Digest;

use crate::http::access::Open;
use crate::http::answer::{accepts, public_as};
use crate::http::error::Refusal;
use crate::http::service::Service;
use crate::http::shelf::Part;
use crate::http::shown::{WHOSE, Whose};
use crate::http::table::Row;
use crate::publish::Published;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::GET, "/crl", Open::Everyone, "The issuing authority's revocation list", || {
            get(current)
        })
        .asks(WHOSE),
        Row::api(
            Method::GET,
            "/crl/delta",
            Open::Everyone,
            "What changed on that list since an earlier one",
            || get(delta),
        )
        .asks(WHOSE),
        Row::api(Method::GET, "/crl/all", Open::Everyone, "Every revocation list that is needed", || {
            get(all)
        })
        .asks(WHOSE),
    ]
}

/// The list of the current issuing authority, as PEM or DER.
async fn current(
    State(service): State<Arc<Service>>,
    whose: Whose,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    match accepts(&headers, &["application/pkix-crl", "application/x-pkcs7-crl"]) {
        true => read(&headers, &service, &whose, Part::Der),
        false => read(&headers, &service, &whose, Part::Pem),
    }
}

/// What changed on the list of the current issuing authority since an earlier one, as PEM or DER.
async fn delta(
    State(service): State<Arc<Service>>,
    whose: Whose,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let published = service.shown.asked(&whose)?;
    let none = "there is no delta list now: no earlier list is known, or it would be half as long as the list; take /crl";
    let delta = published.delta().ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "crl.no_delta", none))?;
    let tag = Digest::of(&delta.der).to_hex();
    let mut response = match accepts(&headers, &["application/pkix-crl", "application/x-pkcs7-crl"]) {
        true => public_as(&headers, "application/pkix-crl", &format!("{tag}-der"), || {
            Body::from(delta.der.clone())
        }),
        false => {
            let pem = delta.pem()?;
            public_as(&headers, "application/x-pem-file", &tag, || Body::from(pem))
        }
    };
    response.headers_mut().insert("x-crl-base", HeaderValue::from(delta.base));
    Ok(dated(response, &published))
}

/// Every list that someone can still need, as PEM blocks: what a guard reads as its `lists.pem`.
async fn all(
    State(service): State<Arc<Service>>,
    whose: Whose,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    read(&headers, &service, &whose, Part::All)
}

/// An answer that has none of the octets until they are taken.
fn read(headers: &HeaderMap, service: &Service, whose: &Whose, part: Part) -> Result<Response, Refusal> {
    let (published, reading) = service.reading(whose, part)?;
    let (media, tag) = match part {
        Part::Der => ("application/pkix-crl", format!("{}-der", published.tag())),
        Part::Pem => ("application/x-pem-file", published.tag().to_hex()),
        Part::All => ("application/x-pem-file", published.lists_tag().to_hex()),
    };
    let response = public_as(headers, media, &tag, || Body::new(reading));
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
