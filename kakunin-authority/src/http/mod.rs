//! The authority as a service: HTTP/1.1 around one [`Authority`](crate::Authority).
//!
//! Whoever holds the authority calls [`Server::run`] and lends it: that thread becomes the sequencer, the only one
//! that changes anything. Handlers run on a runtime of their own; they give the sequencer orders and wait, and they
//! read from what was published and from connections that only read. Deliberately not here: every rule
//! about agents, which is the authority's.

mod access;
mod alert;
mod answer;
mod body;
mod deed;
mod deliver;
mod content;
mod door;
mod error;
mod exports;
mod feed;
mod filed;
mod happenings;
mod intake;
mod logs;
mod oidc;
mod once;
mod openapi;
mod pace;
mod page;
mod peer;
mod places;
mod proof;
mod rate;
mod readers;
mod room;
mod repeat;
mod route;
mod score;
mod sequencer;
mod server;
mod service;
mod shares;
mod shape;
mod shelf;
mod shown;
mod standby;
mod table;
mod throttle;
mod together;
mod tls;
mod v1scope;
mod watching;
mod web_page;
mod wire;
mod with_lists;

pub use content::{ContentJudge, ContentJudgeError};
pub use deliver::reach::Reach;
pub use oidc::{GrantsError, IssuerKeysError, Pipelines};
pub use peer::{Network, NetworkError, Proxies, ProxyHeader};
pub use server::{
    Clock, Doors, ServeError, ServeOptions, Server, Stop, Strangers, WebhookOptions, check_logs,
    without_core_dumps,
};
pub use standby::Turn;
pub use tls::{ClientCertificates, Demand, TlsError, TlsFiles};
