//! Answers that are yes: the envelope, text for tools, and what a cache may do with it.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kakunin_core::digest::Digest;
use serde_json::{Value, json};

/// `{"data": ...}`.
pub(crate) fn data(value: &Value) -> Response {
    data_with(StatusCode::OK, value)
}

/// `{"data": ...}` with another status.
pub(crate) fn data_with(status: StatusCode, value: &Value) -> Response {
    json_text(status, json!({ "data": value }).to_string())
}

/// A JSON document as it is.
pub(crate) fn json_text(status: StatusCode, text: String) -> Response {
    typed(status, "application/json", Body::from(tame(text)))
}

/// The same JSON with letters written as escapes that a terminal could obey or that turn the text around them. They stand
/// in strings alone, so it says the same.
pub(crate) fn tame(text: String) -> String {
    let wild = |letter: char| matches!(letter, '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(wild) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 64);
    for letter in text.chars() {
        match wild(letter) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            false => out.push(letter),
        }
    }
    out
}

/// A body of one media type.
pub(crate) fn typed(status: StatusCode, media: &'static str, body: impl Into<Body>) -> Response {
    let mut response = (status, body.into()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// Bytes that everyone may read, and that are few.
pub(crate) fn public(asked: &HeaderMap, media: &'static str, body: Vec<u8>) -> Response {
    public_as(asked, media, &Digest::of(&body).to_hex(), || Body::from(body))
}

/// What everyone may read, with `tag`, which it has alone. A cache has to ask each time, because a revocation is in effect
/// when it is published and not when a cache ends; asking is cheap, because what is unchanged is not sent again.
pub(crate) fn public_as(
    asked: &HeaderMap,
    media: &'static str,
    tag: &str,
    body: impl FnOnce() -> Body,
) -> Response {
    let tag = format!("\"{tag}\"");
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let same = known.flat_map(|list| list.split(',')).any(|known| known.trim() == tag);
    let mut response = match same {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => typed(StatusCode::OK, media, body()),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// Whether the client names one of `media` in `Accept`. `*/*` names none: it gets what is sent by default.
pub(crate) fn accepts(asked: &HeaderMap, media: &[&str]) -> bool {
    let named = asked.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types =
        named.flat_map(|list| list.split(',')).map(|one| one.split(';').next().unwrap_or("").trim());
    types.any(|one| media.iter().any(|wanted| one.eq_ignore_ascii_case(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_could_obey_is_written_as_an_escape_and_says_the_same() {
        let text = "\u{7f}\u{9b}31m\u{202e}x\u{2066}\u{2028}\u{1b}\u{e4}\\u009b\u{10ffff}";
        let value = json!({ text: text });
        let tamed = tame(value.to_string());
        assert!(!tamed.contains(|letter: char| letter.is_control() || letter == '\u{202e}'), "{tamed}");
        assert_eq!(serde_json::from_str::<Value>(&tamed).unwrap(), value);
        assert_eq!(tame("{}".into()), "{}");
    }
}
