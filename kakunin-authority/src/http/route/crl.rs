//! The revocation lists.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::routing::get;

use crate::http::access::Open;
use crate::http::answer::{accepts, public_as};
use crate::http::error::Refusal;
use crate::http::service::Service;
use crate::http::shelf::{Part, Reading};
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
    match accepts(&headers, &["application/pkix-crl", "application/x-pkcs7-crl"]) {
        true => read(&headers, &service, &whose, Part::Delta),
        false => read(&headers, &service, &whose, Part::DeltaPem),
    }
}

/// Every list that someone can still need, as PEM blocks: what a guard reads as its `lists.pem`.
async fn all(
    State(service): State<Arc<Service>>,
    whose: Whose,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    read(&headers, &service, &whose, Part::All)
}

fn read(headers: &HeaderMap, service: &Service, whose: &Whose, part: Part) -> Result<Response, Refusal> {
    let (published, reading) = service.reading(whose, part)?;
    answered(headers, &published, reading, part)
}

/// An answer that has none of the octets until they are taken.
///
/// # Errors
/// [`Refusal`] when a delta list is asked for and there is none.
pub(crate) fn answered(
    headers: &HeaderMap,
    published: &Published,
    reading: Reading,
    part: Part,
) -> Result<Response, Refusal> {
    let delta = || published.delta_tag().ok_or_else(no_delta);
    let (media, tag) = match part {
        Part::Der => (DER, format!("{}-der", published.tag())),
        Part::Pem => (PEM, published.tag().to_hex()),
        Part::All => (PEM, published.lists_tag().to_hex()),
        Part::Delta => (DER, format!("{}-der", delta()?)),
        Part::DeltaPem => (PEM, delta()?.to_hex()),
    };
    let mut response = public_as(headers, media, &tag, || Body::new(reading));
    if let Some(delta) = published.delta().filter(|_| part.is_delta()) {
        response.headers_mut().insert("x-crl-base", HeaderValue::from(delta.base));
    }
    Ok(dated(response, published))
}

fn no_delta() -> Refusal {
    let text = "there is no delta list now: no earlier list is known, or it would be half as long as the list; take /crl";
    Refusal::new(StatusCode::NOT_FOUND, "crl.no_delta", text)
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

const DER: &str = "application/pkix-crl";
const PEM: &str = "application/x-pem-file";
