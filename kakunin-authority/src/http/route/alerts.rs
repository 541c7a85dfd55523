//! Other ways in which the hosted service tells people things. Here webhooks tell everything; these say so.

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};

use crate::http::access::Open;
use crate::http::error::Refusal;
use crate::http::table::Row;

pub(crate) fn rows() -> Vec<Row> {
    let api = Row::api;
    vec![
        api(Method::GET, "/alert-channels", OWNERS, CHANNEL, || get(channel)),
        api(Method::POST, "/alert-channels", OWNERS, CHANNEL, || post(channel)),
        api(Method::PATCH, "/alert-channels/{id}", OWNERS, CHANNEL, || patch(channel)),
        api(Method::DELETE, "/alert-channels/{id}", OWNERS, CHANNEL, || delete(channel)),
        api(Method::GET, "/subscriptions", OWNERS, SUBSCRIPTION, || get(subscription)),
        api(Method::POST, "/subscriptions", OWNERS, SUBSCRIPTION, || post(subscription)),
        api(Method::GET, "/subscriptions/{id}", OWNERS, SUBSCRIPTION, || get(subscription)),
        api(Method::DELETE, "/subscriptions/{id}", OWNERS, SUBSCRIPTION, || delete(subscription)),
        api(Method::GET, "/notifications", OWNERS, NOTIFICATION, || get(notification)),
        api(Method::POST, "/notifications", OWNERS, NOTIFICATION, || post(notification)),
    ]
}

async fn channel() -> Response {
    no(
        "nothing is sent to chats, pagers or phones from here; make a webhook to whatever does: POST /webhooks",
    )
}

async fn subscription() -> Response {
    no("there are no subscriptions beside webhooks: POST /webhooks")
}

async fn notification() -> Response {
    no("no notifications are kept; what happened is in GET /audit-log, and webhooks tell it: POST /webhooks")
}

fn no(text: &'static str) -> Response {
    Refusal::new(StatusCode::NOT_IMPLEMENTED, "not_here", text).into_response()
}

const OWNERS: Open = Open::Roles(&[]);
const CHANNEL: &str = "Not here: alert channels; webhooks tell";
const SUBSCRIPTION: &str = "Not here: subscriptions; webhooks tell";
const NOTIFICATION: &str = "Not here: notifications; webhooks tell";
