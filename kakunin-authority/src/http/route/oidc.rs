//! A pipeline's token, exchanged for an API key of some minutes.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Extensions, Method, StatusCode};
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::http::access::{Caller, Open};
use crate::http::answer::data_with;
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::peer::Peer;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};

pub(crate) fn rows() -> Vec<Row> {
    let about = "Exchange a token that a pipeline's host signed for a key of some minutes";
    vec![
        Row::api(Method::POST, "/tokens/oidc", Open::Everyone, about, || post(exchange))
            .takes(TAKES)
            .within(),
    ]
}

async fn exchange(
    State(service): State<Arc<Service>>,
    about: Extensions,
    body: Bytes,
) -> Result<Response, Refusal> {
    let Some(pipelines) = service.pipelines.clone() else {
        let text =
            "this service takes no tokens of pipelines; `kakunin serve --oidc FILE` says whose it takes";
        return Err(Refusal::new(StatusCode::NOT_FOUND, "oidc.off", text));
    };
    let mut members = Members::read(&body)?;
    let token = members.text(&["token"], MOST_TOKEN)?;
    let token = token.ok_or_else(|| Refusal::invalid("`token` is missing"))?;
    members.end()?;
    let (peer, now) = (about.get::<Peer>().copied(), (service.clock)());
    // Reading keys and checking RSA wait on nobody else's time.
    let judged = tokio::task::spawn_blocking(move || pipelines.exchange(&token, now)).await;
    let granted = match judged.map_err(|_| Refusal::internal())? {
        Ok(granted) => granted,
        Err(refusal) => {
            if refusal.status.is_client_error() {
                service.throttle.failure(peer.and_then(|peer| peer.origin()), Instant::now())?;
            }
            return Err(refusal);
        }
    };
    if !service.shown.has(granted.tenant()) {
        let text = "the lists of this grant's tenant are not published; the log tells why, if there is one";
        return Err(Refusal::unavailable("starting", text));
    }
    let (record, key) = granted.order(now).new_key(now).map_err(Refusal::from)?;
    let caller = Caller::exchanging(record.clone(), peer.map(|peer| peer.to_string()));
    let (subject, role, whom) = (record.prefix.to_string(), record.role, granted.whom);
    let look = move |_: &Authority<'_>| {
        let after = Some(role.word().into());
        Ok((Intent { what: "key.exchange", subject, before: None, after, text: whom }, ()))
    };
    let kept = record.clone();
    let act = move |authority: &mut Authority<'_>, (), _, _| Ok(authority.store.add_key(&kept)?);
    service.carry_out(&caller, Lane::Ordinary, look, act).await?;
    let mut shown = super::keys::row(&record);
    if let Some(members) = shown.as_object_mut() {
        members.insert("key".into(), Value::String(key.to_text().to_string()));
    }
    Ok(data_with(StatusCode::CREATED, &json!(shown)))
}

/// Tokens of pipelines have some two thousand characters.
const MOST_TOKEN: usize = 16_384;
const TAKES: &[Named] =
    &[Named::new("token", "string", "The token, for the audience that the operator wrote down")];
