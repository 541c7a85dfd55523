//! The outermost layer: an id for every request, one line of the log, an answer whatever happens.
//!
//! A request is carried out in a task of its own. A client that goes away, or a time-out, ends the waiting and not
//! the work: an order that was begun reaches its end and its record. A fault in a handler is an answer like any
//! other and not a closed connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kakunin_core::digest::hex;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;

use super::answer::{json_text, tame};
use super::error::Refusal;
use super::pace::Slow;
use super::peer::Peer;
use super::service::Service;
use super::tls::ClientChain;
use crate::access::Actor;

pub(crate) async fn wire(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let Ok(id) = request_id() else { return Refusal::internal().into_response() };
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let peer = request.extensions().get::<Peer>().copied();
    let slow = request.extensions().get::<Slow>().cloned().unwrap_or_default();
    let shown = request.extensions().get::<ClientChain>().and_then(ClientChain::thumbprint);

    let work = tokio::spawn(next.run(request));
    let mut response = match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(fault)) => {
            let cause = Some(format!("a handler ended in a fault: {fault}"));
            Refusal { cause, ..Refusal::internal() }.into_response()
        }
        Err(_) => {
            let text =
                "no answer in time; what was ordered is still carried out, so look before ordering it again";
            Refusal::new(StatusCode::GATEWAY_TIMEOUT, "late", text).into_response()
        }
    };
    let actor = response.extensions_mut().remove::<Actor>();
    let refusal = match slow.is() {
        // Whoever read the body says only that there is none.
        true => {
            let text = "the body did not arrive in time; 4096 octets a second would do";
            let late = Refusal::new(StatusCode::REQUEST_TIMEOUT, "request.slow", text);
            response = StatusCode::REQUEST_TIMEOUT.into_response();
            Some(late)
        }
        false => response.extensions_mut().remove::<Refusal>().or_else(|| undressed(&response)),
    };
    if let Some(refusal) = &refusal {
        let head = response.headers().clone();
        response = json_text(response.status(), refusal.body(&id));
        for name in [header::RETRY_AFTER, header::ALLOW, header::WWW_AUTHENTICATE] {
            if let Some(value) = head.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }
    seal(&mut response, &id);

    // Paths and texts that clients choose are not logged as they are: the route is, and the rest is JSON.
    let line = json!({
        "at": (service.clock)().to_string(),
        "request": id,
        "from": peer.map(|peer| peer.to_string()),
        "certificate": shown,
        "key": actor.as_ref().map(ToString::to_string),
        "method": method.as_str(),
        "route": route,
        "status": response.status().as_u16(),
        "code": refusal.as_ref().map(|refusal| refusal.code),
        "cause": refusal.as_ref().and_then(|refusal| refusal.cause.as_deref()),
        "ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    (service.log)(&tame(line.to_string()));
    response
}

/// The refusal of a layer that is not ours, in our words.
fn undressed(response: &Response) -> Option<Refusal> {
    let status = response.status();
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Some(Refusal::new(
            status,
            "request.too_large",
            "the body is larger than this route takes: 64 kB, or 1 MiB of receipts",
        )),
        _ if status.is_client_error() => {
            Some(Refusal::new(status, "request.invalid", "the request is not as HTTP has it"))
        }
        _ if status.is_server_error() && response.headers().get(header::CONTENT_TYPE).is_none() => {
            Some(Refusal { status, ..Refusal::internal() })
        }
        _ => None,
    }
}

/// Headers of every answer. Nothing here is a page, and nothing but what is public may be kept by a cache.
pub(super) fn seal(response: &mut Response, id: &str) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

pub(super) fn request_id() -> Result<String, ring::error::Unspecified> {
    let mut random = [0; 16];
    SystemRandom::new().fill(&mut random)?;
    Ok(hex(&random))
}

/// A handler waits for orders before its own; a full lane takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);
