//! Who asks, and whether a route is theirs.
//!
//! A key is looked up by its public prefix and its secret compared in constant time; a key that is unknown, wrong,
//! revoked or expired is one answer. An agent proves with each request that it has its key (`proof`). Nothing is
//! remembered between requests, so whoever is revoked is refused from then on.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use subtle::ConstantTimeEq;

use super::error::Refusal;
use super::peer::{Network, Origin, Peer};
use super::proof::{self, Proven};
use super::service::Service;
use crate::access::{Actor, KeyPrefix, Role, TenantId};
use crate::api_key::ApiKey;
use crate::store::{ApiKeyRecord, Store, TokenRecord};
use crate::token::EnrolmentToken;

/// Whose a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// Everyone's, without a key.
    Everyone,
    /// Keys of these roles, and owners.
    Roles(&'static [Role]),
    /// The agent's own.
    Agent,
    /// The agent's own, and that of keys of these roles, and owners.
    AgentOr(&'static [Role]),
    /// The agent's own also while it is held and after it was revoked, because what it did before is evidence, and that of
    /// keys of these roles, and owners.
    SenderOr(&'static [Role]),
    /// Whoever has an enrolment token for the agent, and keys of these roles, and owners.
    TokenOr(&'static [Role]),
}

impl Open {
    pub(crate) fn admits(self, role: Role) -> bool {
        match self {
            Self::Everyone => true,
            Self::Roles(roles) | Self::AgentOr(roles) | Self::SenderOr(roles) | Self::TokenOr(roles) => {
                role == Role::Owner || roles.contains(&role)
            }
            Self::Agent => false,
        }
    }

    /// Whether an agent may come with a proof of its own.
    pub(crate) const fn admits_agents(self) -> bool {
        matches!(self, Self::Agent | Self::AgentOr(_) | Self::SenderOr(_))
    }

    /// Whether it may be an agent whose certificate is not in good standing any more.
    pub(crate) const fn admits_stopped(self) -> bool {
        matches!(self, Self::SenderOr(_))
    }
}

/// Whoever asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    identity: Identity,
    /// From where.
    pub(crate) address: Option<String>,
    /// The key of a request that may come twice.
    pub(crate) repeat: Option<String>,
}

#[derive(Clone, Debug)]
enum Identity {
    /// Known by a key that stands.
    Key(Arc<ApiKeyRecord>),
    /// With a proof, and in good standing except where the route is open to whoever is not.
    Agent(Arc<Proven>),
    /// By a token that was just proven, for which this key is made; it is not recorded yet.
    Exchange(Arc<ApiKeyRecord>),
    /// With an enrolment token that has not ended; whether it was used is the sequencer's to say.
    Token(Arc<TokenRecord>),
}

impl Caller {
    /// Whether it may still give orders. A body may come slowly and an order wait in its lane, and a key that was revoked
    /// in the meantime must not have another one made for it.
    ///
    /// # Errors
    /// [`Refusal`] as at the gate when its key or certificate does not stand any more.
    pub(crate) fn still_stands(&self, store: &dyn Store, now: UnixTime) -> Result<(), Refusal> {
        match &self.identity {
            Identity::Key(key) => {
                let found =
                    store.key(&key.prefix)?.filter(|found| found.stands(now) && found.role == key.role);
                found.map(drop).ok_or_else(unknown)
            }
            Identity::Agent(proven) => super::proof::still_stands(proven, store),
            // It is redeemed with the number of the certificate, or not at all.
            Identity::Token(_) | Identity::Exchange(_) => Ok(()),
        }
    }

    /// Whoever exchanges a token for this key. In the records it is the key's deed from the beginning.
    pub(crate) fn exchanging(key: ApiKeyRecord, address: Option<String>) -> Self {
        Self { identity: Identity::Exchange(Arc::new(key)), address, repeat: None }
    }

    #[cfg(test)]
    pub(crate) fn of_key(key: ApiKeyRecord) -> Self {
        Self { identity: Identity::Key(Arc::new(key)), address: None, repeat: None }
    }

    #[cfg(test)]
    pub(crate) fn of_token(token: TokenRecord) -> Self {
        Self { identity: Identity::Token(Arc::new(token)), address: None, repeat: None }
    }

    /// Who it is in the audit log.
    pub(crate) fn actor(&self) -> Actor {
        match &self.identity {
            Identity::Key(key) | Identity::Exchange(key) => Actor::Key(key.prefix.clone()),
            Identity::Agent(proven) => Actor::Agent(proven.agent()),
            Identity::Token(token) => Actor::Token(token.prefix.clone()),
        }
    }

    pub(crate) fn tenant(&self) -> &TenantId {
        match &self.identity {
            Identity::Key(key) | Identity::Exchange(key) => &key.tenant,
            Identity::Agent(proven) => proven.tenant(),
            Identity::Token(token) => &token.tenant,
        }
    }

    /// The agent itself, if it is that which asks.
    pub(crate) fn agent(&self) -> Option<&Proven> {
        match &self.identity {
            Identity::Agent(proven) => Some(proven),
            Identity::Key(_) | Identity::Token(_) | Identity::Exchange(_) => None,
        }
    }

    /// The token by which it asks, if it is one.
    pub(crate) fn token(&self) -> Option<&KeyPrefix> {
        match &self.identity {
            Identity::Token(token) => Some(&token.prefix),
            Identity::Key(_) | Identity::Agent(_) | Identity::Exchange(_) => None,
        }
    }

    /// Whether it may ask about this agent.
    pub(crate) fn reaches(&self, agent: AgentId) -> bool {
        self.bound_to().is_none_or(|bound| bound.contains(&agent))
    }

    /// The only agents it may ask about.
    pub(crate) fn bound_to(&self) -> Option<&[AgentId]> {
        match &self.identity {
            Identity::Key(key) | Identity::Exchange(key) => key.agents.as_deref(),
            Identity::Agent(proven) => Some(proven.only()),
            Identity::Token(token) => Some(std::slice::from_ref(&token.agent)),
        }
    }

    /// Whether it is a key of this role, or an owner's.
    pub(crate) fn is(&self, role: Role) -> bool {
        match &self.identity {
            Identity::Key(key) => key.role == Role::Owner || key.role == role,
            // It may do what its key may, once it is that which asks.
            Identity::Agent(_) | Identity::Token(_) | Identity::Exchange(_) => false,
        }
    }

    /// The only networks it may ask from.
    pub(crate) fn networks(&self) -> Option<&[String]> {
        match &self.identity {
            Identity::Key(key) => key.networks.as_deref(),
            Identity::Agent(_) | Identity::Token(_) | Identity::Exchange(_) => None,
        }
    }

    /// Lets nobody give power back by a key that a pipeline got for a token: such a key may stop agents, and whether they go
    /// on is for a person.
    ///
    /// # Errors
    /// [`Refusal`] when it is such a key.
    pub(crate) fn refuse_pipeline(&self) -> Result<(), Refusal> {
        match &self.identity {
            Identity::Key(key) if key.label.starts_with(super::oidc::EXCHANGED) => {
                let text = "a key of a pipeline stops agents and releases none; a person does that";
                Err(Refusal::new(StatusCode::FORBIDDEN, "access.pipeline", text))
            }
            _ => Ok(()),
        }
    }

    /// Whether it is bound to certain agents.
    pub(crate) fn is_bound(&self) -> bool {
        self.bound_to().is_some()
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        // INVARIANT: a route that asks for a caller is in the table with roles, so the gate has put one here.
        parts.extensions.get::<Self>().cloned().ok_or_else(Refusal::internal)
    }
}

/// Lets those through whose route it is; a body of more than `most` octets is not read to find out.
pub(crate) async fn gate(
    State((service, open, most)): State<(Arc<Service>, Open, usize)>,
    request: Request,
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
    let (identity, mut request) = match identify(&service, open, peer, request, most).await {
        Ok(identified) => identified,
        Err(refused) => return refused.into_response(),
    };
    let caller = Caller { identity, address, repeat: None };
    let actor = caller.actor();
    // Records may know a tenant that has no issuing authority here; whoever is of that one is a stranger.
    if !service.shown.knows(caller.tenant()) {
        return Refused { actor: Some(actor), refusal: unknown() }.into_response();
    }
    // Nor is anything done for one whose lists could not be published: nobody would hear of it.
    if !service.shown.has(caller.tenant()) {
        let text = "the lists of this tenant could not be published yet, and the log tells why; try again";
        return Refused { actor: Some(actor), refusal: Refusal::unavailable("starting", text) }
            .into_response();
    }
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    response.extensions_mut().insert(actor);
    response
}

/// A no, and whose request it was as far as that is known.
struct Refused {
    actor: Option<Actor>,
    refusal: Refusal,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { actor: None, refusal }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.refusal.into_response();
        if let Some(actor) = self.actor {
            response.extensions_mut().insert(actor);
        }
        response
    }
}

async fn identify(
    service: &Arc<Service>,
    open: Open,
    peer: Option<Peer>,
    request: Request,
    most: usize,
) -> Result<(Identity, Request), Refused> {
    let origin = peer.and_then(|peer| peer.origin());
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let (bears, proves) = (headers.contains_key(header::AUTHORIZATION), proof::is_there(headers));
    if bears && proves {
        let text = "a key and a proof together: send the one as whom you ask";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "access.both", text).into());
    }
    if open.admits_agents() && (proves || (open == Open::Agent && !bears)) {
        let head = match proof::head(service, &parts, open).await {
            Ok(head) => head,
            Err(refusal) => {
                if proves {
                    service.throttle.failure(origin, Instant::now())?;
                }
                return Err(refusal.into());
            }
        };
        let actor = Actor::Agent(head.agent());
        let refused = |refusal| Refused { actor: Some(actor.clone()), refusal };
        service.rates.admit(&actor).map_err(refused)?;
        let (proven, body) = proof::whole(service, head, origin, body, most).await.map_err(refused)?;
        return Ok((Identity::Agent(Arc::new(proven)), Request::from_parts(parts, body)));
    }
    if let Some(token) = token_for(open, headers) {
        let token = known_token(service, &token, origin).await?;
        let actor = Actor::Token(token.prefix.clone());
        service.rates.admit(&actor).map_err(|refusal| Refused { actor: Some(actor), refusal })?;
        return Ok((Identity::Token(Arc::new(token)), Request::from_parts(parts, body)));
    }
    let key = known_key(service, headers, origin).await?;
    let actor = Actor::Key(key.prefix.clone());
    let refused = |refusal| Refused { actor: Some(actor.clone()), refusal };
    if let Some(networks) = &key.networks
        && !is_within(networks, peer)
    {
        // Only whoever has the key hears of its networks, and not which they are.
        let from = peer.and_then(|peer| peer.client());
        let from = from.map_or("an address that is not known".to_owned(), |client| client.to_string());
        let text = format!("this key may not be used from {from}; its owner knows from where");
        return Err(refused(Refusal::new(StatusCode::FORBIDDEN, "access.network", text)));
    }
    if open == Open::Agent {
        let text = "this is the agent's own: it proves that it has its key, and no API key does";
        return Err(refused(Refusal::new(StatusCode::FORBIDDEN, "access.role", text)));
    }
    if !open.admits(key.role) {
        let text = format!("a key with the role `{}` may not do this", key.role.word());
        return Err(refused(Refusal::new(StatusCode::FORBIDDEN, "access.role", text)));
    }
    service.rates.admit(&actor).map_err(refused)?;
    Ok((Identity::Key(Arc::new(key)), Request::from_parts(parts, body)))
}

/// Whether it comes from one of these networks. What is no network contains nobody, and whoever is not known is nowhere.
fn is_within(networks: &[String], peer: Option<Peer>) -> bool {
    let Some(client) = peer.and_then(|peer| peer.client()) else { return false };
    let within = |text: &String| text.parse::<Network>().is_ok_and(|network| network.contains(client));
    networks.iter().any(within)
}

async fn known_key(
    service: &Arc<Service>,
    headers: &HeaderMap,
    origin: Option<Origin>,
) -> Result<ApiKeyRecord, Refusal> {
    if !headers.contains_key(header::AUTHORIZATION) {
        return Err(unknown());
    }
    let Some(key) = bearer(headers).and_then(ApiKey::parse) else {
        service.throttle.failure(origin, Instant::now())?;
        return Err(unknown());
    };
    let prefix = key.prefix().clone();
    let attempt = service.throttle.attempt(origin, &prefix, key.digest(), Instant::now())?;
    let found = service.readers.read(move |store| store.key(&prefix)).await?;
    // An unknown prefix takes the same steps as a wrong secret.
    let kept = found.as_ref().map_or(Digest::from_bytes([0; 32]), |record| record.secret);
    let same = bool::from(kept.as_bytes().ct_eq(key.digest().as_bytes()));
    let now = (service.clock)();
    match found.filter(|record| same && record.stands(now) && service.shown.knows(&record.tenant)) {
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

/// The enrolment token that comes with a request, where one is of use.
fn token_for(open: Open, headers: &HeaderMap) -> Option<EnrolmentToken> {
    matches!(open, Open::TokenOr(_)).then(|| bearer(headers).and_then(EnrolmentToken::parse))?
}

async fn known_token(
    service: &Arc<Service>,
    token: &EnrolmentToken,
    origin: Option<Origin>,
) -> Result<TokenRecord, Refusal> {
    let prefix = token.prefix().clone();
    let attempt = service.throttle.attempt(origin, &prefix, token.digest(), Instant::now())?;
    let found = service.readers.read(move |store| store.token(&prefix)).await?;
    let kept = found.as_ref().map_or(Digest::from_bytes([0; 32]), |record| record.secret);
    let same = bool::from(kept.as_bytes().ct_eq(token.digest().as_bytes()));
    // A root that was put in its place would make the agent believe another authority.
    let ours = service.published()?.root().decoded().thumbprint() == token.root();
    let now = (service.clock)();
    match found.filter(|record| same && ours && now < record.expires) {
        Some(record) => {
            service.throttle.succeeded(&attempt);
            Ok(record)
        }
        None => {
            service.throttle.failed(&attempt);
            let text = "no enrolment token that is good; have another one made";
            let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "access.token", text);
            Err(Refusal { challenge: Some(HeaderValue::from_static("Bearer")), ..refusal })
        }
    }
}

/// What stands behind `authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    // Two headers would be read differently by a proxy and by us.
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
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
