//! A layer for whatever is made of tower services: behind it is only what its caller may do.
//!
//! ```
//! use kakunin_gateway::Gateway;
//! use kakunin_gateway::json;
//! use kakunin_gateway::tower::RequireAgent;
//!
//! # fn layers(gateway: Gateway) -> Result<RequireAgent, json::JsonError> {
//! let orders = RequireAgent::new(gateway, "orders:create").select(|asked, wish| {
//!     let order = asked.json()?;
//!     Ok(wish.amount(json::text(&order, "amount")?, "EUR").counterparty(json::text(&order, "to")?))
//! });
//! // Router::new().route("/orders", post(create)).layer(orders)
//! # Ok(orders)
//! # }
//! ```
//!
//! The layer finds out who calls by the head, reads the whole body, within the gateway's limit, asks for the action, and calls the
//! inner service only then, with the body as it was proven and the [`Caller`] among the request's extensions. Of whoever proves
//! nothing, or is held or revoked, no body is read. How the inner service ends is
//! recorded: an error or a status of 500 and above as raised, a future that is dropped as cancelled, everything else as returned.
//! A body that is streamed afterwards belongs to an action that has returned.

mod peer;
mod wish;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kakunin_core::guard::Running;
use serde_json::Value;
use tower_layer::Layer;
use tower_service::Service;

pub use peer::{PeerAddress, PeerCertificates};
pub use wish::Wish;

use crate::caller::Caller;
use crate::gateway::Gateway;
use crate::head::Head;
use crate::json::{self, JsonError, Said};
use crate::proven_head::ProvenHead;
use crate::refused::Refused;

/// What of a request is covered by its proof. Its other fields are anybody's, so they are not here.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, encoded as it was sent.
    pub path: &'a str,
    /// What stands behind the `?`, encoded as it was sent.
    pub query: Option<&'a str>,
    /// The whole body.
    pub body: &'a [u8],
    said: Said,
}

impl Asked<'_> {
    /// The body as JSON, read in one way: a name that stands twice is refused, and so is a body whose type does not say plainly that it
    /// is JSON. A handler behind might read a form, or other letters.
    ///
    /// # Errors
    /// [`JsonError`].
    pub fn json(&self) -> Result<Value, JsonError> {
        if self.said == Said::Json { json::strict(self.body) } else { Err(JsonError::no_json()) }
    }
}

/// Takes out of a request what it asks for.
type Selector = dyn Fn(&Asked<'_>, Wish) -> Result<Wish, Unselected> + Send + Sync;
/// Why it cannot.
pub type Unselected = Box<dyn Error + Send + Sync>;

/// Lets through what an agent may do, and nothing else.
#[derive(Clone)]
#[must_use = "a layer that is put nowhere keeps nobody out"]
pub struct RequireAgent {
    gateway: Gateway,
    action: Arc<str>,
    selector: Option<Arc<Selector>>,
}

impl RequireAgent {
    /// A layer that demands an agent which may do `action`.
    pub fn new(gateway: Gateway, action: impl Into<String>) -> Self {
        Self { gateway, action: action.into().into(), selector: None }
    }

    /// The same for an action that moves money, or is towards somebody: `selector` adds that to the wish, from what was
    /// proven. If it fails or panics the request is denied and recorded, also where the scope has no rule about it.
    pub fn select(
        self,
        selector: impl Fn(&Asked<'_>, Wish) -> Result<Wish, Unselected> + Send + Sync + 'static,
    ) -> Self {
        Self { selector: Some(Arc::new(selector)), ..self }
    }

    fn wish(&self, head: &Parts, body: &[u8]) -> Wish {
        let wish = Wish::new(&*self.action);
        let said = Said::of(head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        if said == Said::Doubtful && !body.is_empty() {
            // Whatever the selectors say of it: a parser of the service may find another content in the same octets.
            return Wish::unreadable(&self.action);
        }
        let Some(selector) = &self.selector else { return wish };
        let uri = peer::original(head);
        let asked = Asked { method: head.method.as_str(), path: uri.path(), query: uri.query(), body, said };
        let selected = catch_unwind(AssertUnwindSafe(|| selector(&asked, wish)));
        match selected {
            // The layer says which action it is for.
            Ok(Ok(wish)) => wish.of(&self.action),
            _ => Wish::unreadable(&self.action),
        }
    }

    /// Who calls, with the body that was proven, read only if the head holds.
    async fn identify<B>(&self, parts: &Parts, body: B) -> Result<(Caller, Bytes), Refused>
    where
        B: Body,
        B::Error: Into<Unselected>,
    {
        if let Some(caller) = parts.extensions.get::<Caller>().filter(|caller| caller.is_of(&self.gateway)) {
            // A layer around this one identified it, and read the body; a proof counts once.
            let body = whole(body, self.gateway.max_body()).await?;
            if caller.sent(&body, &self.gateway) {
                return Ok((caller.clone(), body));
            }
            return Ok((self.prove_head(parts)?.identify(&body)?, body));
        }
        let proven = self.prove_head(parts)?;
        proven.refuse_unless_good(&self.action)?;
        let body = whole(body, self.gateway.max_body()).await?;
        Ok((proven.identify(&body)?, body))
    }

    /// From a caller and its whole body to what may run.
    fn admit(&self, parts: &mut Parts, caller: Caller, body: &Bytes) -> Result<Running, Refused> {
        let wish = self.wish(parts, body);
        let pass = wish.put(|request| caller.admit(request))?;
        let running = pass.begin()?;
        if let Some(link) = running.link() {
            parts.extensions.insert(link);
        }
        parts.extensions.insert(caller);
        Ok(running)
    }

    fn prove_head(&self, parts: &Parts) -> Result<ProvenHead, Refused> {
        let uri = peer::original(parts);
        let fields: Vec<(&str, &[u8])> =
            parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let certificates = parts.extensions.get::<PeerCertificates>();
        let chain: Vec<&[u8]> =
            certificates.iter().flat_map(|certificates| certificates.0.iter().map(Vec::as_slice)).collect();
        let head = Head::new(parts.method.as_str(), uri.path())
            .authority(uri.authority().map(http::uri::Authority::as_str))
            .query(uri.query())
            .fields(&fields)
            .peer(peer::of(&self.gateway, parts, &chain));
        self.gateway.prove_head(&head)
    }
}

impl fmt::Debug for RequireAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequireAgent({:?})", self.action)
    }
}

impl<S> Layer<S> for RequireAgent {
    type Service = Required<S>;

    fn layer(&self, inner: S) -> Required<S> {
        Required { layer: self.clone(), inner }
    }
}

/// A service behind [`RequireAgent`].
#[derive(Clone, Debug)]
pub struct Required<S> {
    layer: RequireAgent,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Required<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Body + From<Bytes> + Send + 'static,
    B::Data: Send,
    B::Error: Into<Unselected>,
    R: From<String> + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was polled ready goes; its clone waits for the next call.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let admitted = match layer.identify(&parts, body).await {
                Ok((caller, body)) => layer.admit(&mut parts, caller, &body).map(|running| (running, body)),
                Err(refused) => Err(refused),
            };
            let (running, body) = match admitted {
                Ok(admitted) => admitted,
                Err(refused) => return Ok(answer(&refused)),
            };
            let ending = Ending(Some(running));
            let answered = inner.call(Request::from_parts(parts, B::from(body))).await;
            ending.with(answered.as_ref().is_ok_and(|answer| !answer.status().is_server_error()));
            answered
        })
    }
}

/// Reads a body to its end, and no more than `most` octets of it.
async fn whole<B>(body: B, most: usize) -> Result<Bytes, Refused>
where
    B: Body,
    B::Error: Into<Unselected>,
{
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(Refused::too_large(most));
    }
    // Trailers are left out: nobody signs them.
    match Limited::new(body, most).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refused::too_large(most)),
        Err(_) => Err(Refused::malformed("the body did not come to its end".to_owned())),
    }
}

/// The response of a refusal.
fn answer<R: From<String>>(refused: &Refused) -> Response<R> {
    let mut response = Response::new(R::from(refused.problem().to_owned()));
    *response.status_mut() =
        StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    for (name, value) in refused.fields() {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// An action that runs. Dropped with the future that runs it, it was cancelled.
struct Ending(Option<Running>);

impl Ending {
    fn with(mut self, returned: bool) {
        match self.0.take() {
            Some(running) if returned => running.returned(),
            Some(running) => running.raised(),
            None => {}
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(running) = self.0.take() else { return };
        if std::thread::panicking() { running.raised() } else { running.cancelled() }
    }
}
