//! The feed: a stream of events, or the same bytes by polling.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use kakunin_core::digest::{Digest, unhex};
use serde::Deserialize;
use serde_json::json;

use super::standing;
use crate::authority::Authority;
use crate::http::access::{Caller, Open};
use crate::http::answer::{data, typed};
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::feed::Kind;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::GET, "/feed", Open::Everyone, "What changed since an epoch, as it happens", || {
            get(events)
        })
        .asks(EVENTS),
        Row::api(Method::GET, "/feed/poll", Open::Everyone, "The same, until there is something", || {
            get(poll)
        })
        .asks(POLL),
        Row::api(
            Method::POST,
            "/feed/rotate",
            OWNERS,
            "Revoke the keys that sign the feeds, and sign by new ones",
            || post(rotate),
        )
        .takes(standing::WHY),
    ]
}

/// For a key that may be in other hands: whoever listens hears it before the answer.
async fn rotate(
    State(service): State<Arc<Service>>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, Refusal> {
    let text = standing::reason(&body)?;
    let hours = service.hours;
    let look = move |_: &Authority<'_>| {
        let (what, subject) = ("feed.rotate", "feed".to_owned());
        Ok((Intent { what, subject, before: None, after: None, text }, ()))
    };
    let done = service.carry_out(&caller, Lane::Urgent, look, move |authority, (), _, now| {
        authority.replace_feed_keys(hours, now)
    });
    let (publication, revoked) = done.await?;
    let told = publication.feeds.iter().find(|feed| feed.issuer == publication.issuer);
    Ok(data(&json!({
        "revoked": revoked,
        "list_number": publication.number,
        "issuer": publication.issuer.to_hex(),
        "epoch": told.map(|told| told.epoch),
    })))
}

type Asked<T> = Result<Query<T>, QueryRejection>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    issuer: String,
    since: u64,
    nonce: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Polled {
    issuer: String,
    since: u64,
    nonce: String,
    wait: Option<u64>,
}

async fn events(State(service): State<Arc<Service>>, asked: Asked<Events>) -> Result<Response, Refusal> {
    let Query(Events { issuer, since, nonce }) = asked?;
    open(&service, &issuer, since, &nonce, Kind::Events).await
}

async fn poll(State(service): State<Arc<Service>>, asked: Asked<Polled>) -> Result<Response, Refusal> {
    let Query(Polled { issuer, since, nonce, wait }) = asked?;
    let wait = wait.unwrap_or(0);
    if wait > LONGEST_WAIT {
        return Err(Refusal::invalid(format!("`wait` has to be 0 to {LONGEST_WAIT} seconds")));
    }
    open(&service, &issuer, since, &nonce, Kind::Poll(Duration::from_secs(wait))).await
}

async fn open(
    service: &Service,
    issuer: &str,
    since: u64,
    nonce: &str,
    kind: Kind,
) -> Result<Response, Refusal> {
    let issuer =
        Digest::from_hex(issuer).ok_or_else(|| Refusal::invalid("`issuer` has to be 64 hex digits"))?;
    let nonce = unhex::<16>(nonce)
        .ok_or_else(|| Refusal::invalid("`nonce` has to be 32 hex digits, new for each request"))?;
    // The time comes first: that nothing else was known by then is what a stream begins with.
    let now = (service.millis)();
    service.still_leads().await?;
    let stream = service.feeds.open(issuer, since, nonce, kind, || now)?;
    let mut response = typed(StatusCode::OK, "text/event-stream", Body::new(stream));
    // A proxy that collects answers before it passes them on would hold every change back.
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(unbuffered, HeaderValue::from_static("no"));
    Ok(response)
}

const LONGEST_WAIT: u64 = 30;
const ISSUER: Named =
    Named::new("issuer", "string", "SHA-256 of the issuing authority's SubjectPublicKeyInfo, hex");
const SINCE: Named = Named::new("since", "integer", "The last epoch that is known");
const NONCE: Named = Named::new("nonce", "string", "16 random octets, hex; the first item has them");
const EVENTS: &[Named] = &[ISSUER, SINCE, NONCE];
const POLL: &[Named] = &[
    ISSUER,
    SINCE,
    NONCE,
    Named::new("wait", "integer", "Seconds to wait for a change: 0 to 30, 0 if not said"),
];
const OWNERS: Open = Open::Roles(&[]);
