//! The one table of routes. The router is made of it, and so is the document that describes it: a route that is not
//! in the table does not exist.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

use super::error::Refusal;
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
    pub(crate) handler: fn() -> Handlers,
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
    [route::health::rows(), route::ca::rows(), route::crl::rows()].into_iter().flatten().collect()
}

/// The router of the whole table.
pub(crate) fn router(service: &Arc<Service>) -> Router {
    let (mut top, mut api) = (Router::new(), Router::new());
    for row in rows() {
        let handler = (row.handler)().fallback(wrong_method);
        match row.place {
            Place::Api => api = api.route(row.path, handler),
            Place::Top => top = top.route(row.path, handler),
        }
    }
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
