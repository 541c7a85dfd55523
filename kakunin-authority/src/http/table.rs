//! The one table of routes. The router is made of it, and so is the document that describes it: a route that is not
//! in the table does not exist.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

use super::access::{Open, gate};
use super::door::Plane;
use super::error::Refusal;
use super::once::{Makes, once};
use super::route;
use super::service::Service;
use super::wire::wire;

pub(crate) type Handlers = MethodRouter<Arc<Service>>;

/// One route.
pub(crate) struct Row {
    pub(crate) method: Method,
    /// Below `/v1` and `/api/v1`, or at the top for what operates the service.
    pub(crate) path: &'static str,
    pub(crate) place: Place,
    pub(crate) open: Open,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// Members of the body.
    pub(crate) takes: &'static [Named],
    /// What may stand behind the `?`.
    pub(crate) asks: &'static [Named],
    /// What it makes, if it may be asked twice with one `Idempotency-Key`.
    pub(crate) makes: Option<Makes>,
    /// Not behind a public door, though it needs no key.
    pub(crate) within: bool,
    /// How many octets its body may have.
    pub(crate) most: usize,
    pub(crate) handler: fn() -> Handlers,
}

impl Row {
    /// A route below both prefixes.
    pub(crate) const fn api(
        method: Method,
        path: &'static str,
        open: Open,
        about: &'static str,
        handler: fn() -> Handlers,
    ) -> Self {
        let (place, within) = (Place::Api, false);
        Self {
            method,
            path,
            place,
            open,
            about,
            takes: &[],
            asks: &[],
            makes: None,
            within,
            most: MAX_BODY,
            handler,
        }
    }

    /// The same route with the members of its body.
    pub(crate) fn takes(self, takes: &'static [Named]) -> Self {
        Self { takes, ..self }
    }

    /// The same route with a body of up to so many octets.
    pub(crate) fn most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// The same route with the members of its query.
    pub(crate) fn asks(self, asks: &'static [Named]) -> Self {
        Self { asks, ..self }
    }

    /// The same route, which makes something once however often a request comes.
    pub(crate) fn once(self, makes: Makes) -> Self {
        Self { makes: Some(makes), ..self }
    }

    /// The same route, for those who operate the service.
    pub(crate) fn within(self) -> Self {
        Self { within: true, ..self }
    }

    /// A route at the top, for everyone.
    pub(crate) const fn top(
        method: Method,
        path: &'static str,
        about: &'static str,
        handler: fn() -> Handlers,
    ) -> Self {
        let (place, open, within) = (Place::Top, Open::Everyone, false);
        Self {
            method,
            path,
            place,
            open,
            about,
            takes: &[],
            asks: &[],
            makes: None,
            within,
            most: MAX_BODY,
            handler,
        }
    }
}

/// A member of a body or of a query, for the document.
pub(crate) struct Named {
    pub(crate) name: &'static str,
    /// Its type in JSON.
    pub(crate) kind: &'static str,
    pub(crate) about: &'static str,
}

impl Named {
    pub(crate) const fn new(name: &'static str, kind: &'static str, about: &'static str) -> Self {
        Self { name, kind, about }
    }
}

/// Where a route hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Below `/v1` and below `/api/v1`: clients of the hosted service use either.
    Api,
    /// At the top.
    Top,
}

/// Every route.
pub(crate) fn rows() -> Vec<Row> {
    let rooms = [
        route::health::rows(),
        route::ca::rows(),
        route::crl::rows(),
        route::feed::rows(),
        route::feed_numbers::rows(),
        route::gate::rows(),
        route::logs::rows(),
        route::oidc::rows(),
        route::acks::rows(),
        route::verify::rows(),
        route::agents::rows(),
        route::certify::rows(),
        route::enrol::rows(),
        route::sign::rows(),
        route::standing::rows(),
        route::sweep::rows(),
        route::keys::rows(),
        route::freeze::rows(),
        route::tenants::rows(),
        route::webhooks::rows(),
        route::alerts::rows(),
        route::audit::rows(),
        route::receipts::rows(),
        route::reports::rows(),
        route::checkpoints::rows(),
        route::events::rows(),
        route::chains::rows(),
        route::risk::rows(),
        route::behaviour::rows(),
        route::content::rows(),
        route::forensics::rows(),
        route::elsewhere::rows(),
    ];
    rooms.into_iter().flatten().collect()
}

/// The router of the table: all of it, or what is behind a public door. There a route with a key is no route at all.
pub(crate) fn router(service: &Arc<Service>, plane: Plane) -> Router {
    let (mut top, mut api) = (Router::new(), Router::new());
    let behind = |row: &Row| plane == Plane::Keyed || (row.open == Open::Everyone && !row.within);
    for row in rows().into_iter().filter(behind) {
        let guard = from_fn_with_state((Arc::clone(service), row.open, row.most), gate);
        let handler = match row.makes {
            Some(makes) => (row.handler)().layer(from_fn_with_state((Arc::clone(service), makes), once)),
            None => (row.handler)(),
        };
        let handler = handler.layer(DefaultBodyLimit::max(row.most)).layer(guard);
        match row.place {
            Place::Api => api = api.route(row.path, handler),
            Place::Top => top = top.route(row.path, handler),
        }
    }
    let (top, api) =
        (top.method_not_allowed_fallback(wrong_method), api.method_not_allowed_fallback(wrong_method));
    top.nest("/v1", api.clone())
        .nest("/api/v1", api)
        .fallback(no_route)
        .layer(from_fn_with_state(Arc::clone(service), wire))
        .with_state(Arc::clone(service))
}

async fn no_route() -> Response {
    Refusal::missing().into_response()
}

async fn wrong_method() -> Response {
    let text = "this route does not know that method; see `allow`";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", text).into_response()
}

/// A scope has 16 kB at most, and names in a list as many again.
const MAX_BODY: usize = 64 * 1024;
