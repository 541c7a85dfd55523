//! Who asks, and whether a route is theirs.
//!
//! A key is looked up by its public prefix and its secret compared in constant time; a key that is unknown, wrong,
//! revoked or expired is one answer. Nothing is remembered between requests, so a key that is revoked is refused
//! from then on.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;

use super::error::Refusal;
use super::peer::{Origin, Peer};
use super::service::Service;
use super::wire::Actor;
use crate::access::{KeyPrefix, Role, TenantId};
use crate::api_key::ApiKey;
use crate::store::ApiKeyRecord;

/// Whose a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// Everyone's, without a key.
    Everyone,
    /// Keys of these roles, and owners.
    Roles(&'static [Role]),
}

impl Open {
    pub(crate) fn admits(self, role: Role) -> bool {
        match self {
            Self::Everyone => true,
            Self::Roles(roles) => role == Role::Owner || roles.contains(&role),
        }
    }
}

/// Whoever asks, known by a key that stands.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    key: Arc<ApiKeyRecord>,
    /// From where.
    pub(crate) address: Option<String>,
}

impl Caller {
    pub(crate) fn prefix(&self) -> &KeyPrefix {
        &self.key.prefix
    }

    pub(crate) fn tenant(&self) -> &TenantId {
        &self.key.tenant
    }

    /// Whether the key may be used for this agent.
    pub(crate) fn reaches(&self, agent: AgentId) -> bool {
        self.key.reaches(agent)
    }

    /// The only agents it may be used for.
    pub(crate) fn bound_to(&self) -> Option<&[AgentId]> {
        self.key.agents.as_deref()
    }

    /// Whether the key is bound to certain agents.
    pub(crate) fn is_bound(&self) -> bool {
        self.key.agents.is_some()
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        // INVARIANT: a route that asks for a caller is in the table with roles, so the gate has put one here.
        parts.extensions.get::<Self>().cloned().ok_or_else(Refusal::internal)
    }
}

/// Lets those through whose route it is.
pub(crate) async fn gate(
    State((service, open)): State<(Arc<Service>, Open)>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let origin = peer.and_then(|peer| peer.origin());
    if open == Open::Everyone {
        return match service.throttle.public(origin, Instant::now()) {
            Ok(()) => next.run(request).await,
            Err(refusal) => refusal.into_response(),
        };
    }
    let address = peer.map(|peer| peer.to_string());
    let key = match identify(&service, request.headers(), origin).await {
        Ok(key) => key,
        Err(refusal) => return refusal.into_response(),
    };
    let actor = Actor(key.prefix.clone());
    let mut response = match open.admits(key.role) {
        true => match service.rates.admit(&key.prefix) {
            Ok(()) => {
                request.extensions_mut().insert(Caller { key: Arc::new(key), address });
                next.run(request).await
            }
            Err(refusal) => refusal.into_response(),
        },
        false => {
            let text = format!("a key with the role `{}` may not do this", key.role.word());
            Refusal::new(StatusCode::FORBIDDEN, "access.role", text).into_response()
        }
    };
    response.extensions_mut().insert(actor);
    response
}

async fn identify(
    service: &Service,
    headers: &HeaderMap,
    origin: Option<Origin>,
) -> Result<ApiKeyRecord, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Err(unknown()) };
    let token = value.to_str().ok().and_then(|value| value.split_once(' '));
    let token =
        token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    // Two headers would be read differently by a proxy and by us.
    let (Some(key), None) = (token.and_then(ApiKey::parse), values.next()) else {
        service.throttle.failure(origin, Instant::now())?;
        return Err(unknown());
    };
    let prefix = key.prefix().clone();
    let attempt = service.throttle.attempt(origin, &prefix, key.digest(), Instant::now())?;
    let found = service.readers.read(move |store| store.key(&prefix)).await?;
    // An unknown prefix takes the same steps as a wrong secret.
    let kept = found.as_ref().map_or(Digest::from_bytes([0; 32]), |record| record.secret);
    let same = equal(kept.as_bytes(), key.digest().as_bytes());
    let now = (service.clock)();
    match found.filter(|record| same && record.stands(now)) {
        Some(record) => {
            service.throttle.succeeded(&attempt);
            Ok(record)
        }
        None => {
            service.throttle.failed(&attempt);
            Err(unknown())
        }
    }
}

/// Compares without stopping at the first difference.
fn equal(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let differs = left.iter().zip(right).fold(0, |differs, (left, right)| differs | (left ^ right));
    std::hint::black_box(differs) == 0
}

fn unknown() -> Refusal {
    Refusal {
        challenge: Some(HeaderValue::from_static("Bearer")),
        ..Refusal::new(
            StatusCode::UNAUTHORIZED,
            "access.key",
            "no API key that stands; send `authorization: Bearer kak_live_...`",
        )
    }
}
