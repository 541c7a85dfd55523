//! What is known of a connection: only what this process put into the request's extensions, which no caller can.

use std::net::IpAddr;

use http::Uri;
use http::request::Parts;

use crate::gateway::Gateway;
use crate::head::Peer;

/// From where a connection comes. Whoever accepts connections puts it into the extensions of each request; without it no proxy is
/// believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// The client certificate of the TLS connection and those that were sent with it, in DER. Whoever accepts connections puts it into
/// the extensions of each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificates(pub Vec<Vec<u8>>);

pub(super) fn of<'a>(gateway: &Gateway, parts: &Parts, chain: &'a [&'a [u8]]) -> Peer<'a> {
    let address = parts.extensions.get::<PeerAddress>();
    match address.map(|address| gateway.peer_at(address.0)) {
        Some(Peer::Proxy) => Peer::Proxy,
        _ if !chain.is_empty() => Peer::Tls { chain },
        _ => Peer::None,
    }
}

/// The target as it was sent: routers of axum cut off what they are nested under.
pub(super) fn original(parts: &Parts) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(original) = parts.extensions.get::<axum::extract::OriginalUri>() {
        return &original.0;
    }
    &parts.uri
}
