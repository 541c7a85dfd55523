//! What goes over the wire: events of `text/event-stream`.

use axum::body::Bytes;
use base64ct::{Base64, Encoding};

/// The certificate of a feed key.
pub(crate) fn certificate(der: &[u8]) -> Bytes {
    Bytes::from(format!("event: certificate\ndata: {}\n\n", Base64::encode_string(der)))
}

/// A signed item under its epoch. A compact JWS has no line breaks.
pub(crate) fn item(epoch: u64, line: &str) -> Bytes {
    Bytes::from(format!("event: item\nid: {epoch}\ndata: {line}\n\n"))
}
