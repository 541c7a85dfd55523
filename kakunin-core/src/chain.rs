//! Decision chains: how one agent tells another what its call follows from.
//!
//! A chain's id and the hash of the caller's receipt travel with a call, in an HTTP header or in the `_meta` of an MCP
//! request, beside W3C trace context. Takes in texts from elsewhere, gives out a [`ChainLink`] to hand on and a
//! [`CallContext`] that a guard writes into the next receipt.
//!
//! A link is the caller's word and no evidence. Whoever verifies an incident looks for the receipt that it names; a
//! link to nothing ends there as a parent that is missing, never as an allowance.

use std::fmt;

use serde::Deserialize;

use crate::digest::Digest;
use crate::id::ChainId;
use crate::receipt::ReceiptHash;

/// What a call follows from, for the receipt of its decision. The default is nothing: a call that belongs to no chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CallContext<'a> {
    /// The chain it belongs to.
    pub chain: Option<ChainId>,
    /// The receipts it follows from, [`MAX_PARENTS`](crate::receipt::MAX_PARENTS) at most; more are joined before.
    pub parents: &'a [ReceiptHash],
    /// W3C traceparent.
    pub trace: Option<&'a str>,
}

/// One edge between agents: the chain, and the caller's receipt that the next one follows from.
///
/// ```
/// use kakunin_core::chain::{CHAIN_HEADER, ChainLink};
/// # use kakunin_core::{id::ChainId, receipt::ReceiptHash};
/// # let (chain, decision) = (ChainId::from_bytes([7; 16]), ReceiptHash::of(b"decision"));
/// let sent = ChainLink::new(chain, decision);
/// let headers: Vec<(&str, String)> = sent.to_headers().collect();
///
/// // Any map of headers will do: it is asked by name.
/// let find = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
/// let received = ChainLink::from_headers(find)?;
/// assert_eq!(received.as_ref(), Some(&sent));
/// assert_eq!(received.map(|link| link.context().chain), Some(Some(chain)));
/// # assert!(headers[0].0 == CHAIN_HEADER);
/// # Ok::<(), kakunin_core::chain::LinkError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainLink {
    chain: ChainId,
    from: ReceiptHash,
    trace: Option<TraceParent>,
}

impl ChainLink {
    /// The link to what follows `from` in `chain`.
    #[must_use]
    pub const fn new(chain: ChainId, from: ReceiptHash) -> Self {
        Self { chain, from, trace: None }
    }

    /// The same link within a trace.
    #[must_use]
    pub fn with_trace(self, trace: TraceParent) -> Self {
        Self { trace: Some(trace), ..self }
    }

    /// The chain.
    #[must_use]
    pub const fn chain(&self) -> ChainId {
        self.chain
    }

    /// The receipt that whatever comes next follows from.
    #[must_use]
    pub const fn from(&self) -> ReceiptHash {
        self.from
    }

    /// The trace, if the caller is in one.
    #[must_use]
    pub const fn trace(&self) -> Option<&TraceParent> {
        self.trace.as_ref()
    }

    /// What a guard writes into the receipt of a decision that follows from this link.
    #[must_use]
    pub fn context(&self) -> CallContext<'_> {
        CallContext {
            chain: Some(self.chain),
            parents: std::slice::from_ref(&self.from),
            trace: self.trace.as_ref().map(TraceParent::as_str),
        }
    }

    /// The value of [`CHAIN_HEADER`]: `<chain>;from=<receipt>`, both in hexadecimal digits.
    #[must_use]
    pub fn to_header(&self) -> String {
        format!("{};from={}", self.chain, self.from)
    }

    /// Reads the value of [`CHAIN_HEADER`], in its one spelling.
    ///
    /// # Errors
    /// [`LinkError::Header`]: nothing of it may be used.
    pub fn parse_header(value: &str) -> Result<Self, LinkError> {
        let (chain, from) = value.split_once(";from=").ok_or(LinkError::Header)?;
        Self::of_texts(chain, from).ok_or(LinkError::Header)
    }

    /// The headers of a request that follows from this link, with lower-case names.
    pub fn to_headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let trace = self.trace.as_ref().map(|trace| (TRACE_HEADER, trace.to_string()));
        std::iter::once((CHAIN_HEADER, self.to_header())).chain(trace)
    }

    /// Picks the link up from a request's headers, which `find` looks up by a name in lower case; `None` if the caller
    /// sent none. A trace that is malformed is left out, as W3C Trace Context asks.
    ///
    /// # Errors
    /// [`LinkError::Header`]: the call goes on in a chain of its own, and the operator should read why.
    pub fn from_headers<'h>(find: impl Fn(&str) -> Option<&'h str>) -> Result<Option<Self>, LinkError> {
        let Some(value) = find(CHAIN_HEADER) else { return Ok(None) };
        let link = Self::parse_header(value)?;
        Ok(Some(Self { trace: find(TRACE_HEADER).and_then(TraceParent::parse), ..link }))
    }

    /// The members for the `_meta` of an MCP request that follows from this link, as a JSON object.
    #[must_use]
    pub fn to_meta(&self) -> String {
        let trace = self.trace.as_ref().map(|trace| format!(r#","{TRACE_HEADER}":"{trace}""#));
        let (chain, from, trace) = (self.chain, self.from, trace.unwrap_or_default());
        format!(r#"{{"{CHAIN_MEMBER}":{{"chain":"{chain}","from":"{from}"}}{trace}}}"#)
    }

    /// Picks the link up from the `_meta` of an MCP request, a JSON object; `None` if the caller sent none.
    ///
    /// # Errors
    /// [`LinkError::Meta`], as for [`ChainLink::from_headers`].
    pub fn from_meta(json: &str) -> Result<Option<Self>, LinkError> {
        let meta: Meta = serde_json::from_str(json).map_err(|_| LinkError::Meta)?;
        let Some(member) = meta.link else { return Ok(None) };
        let link = Self::of_texts(&member.chain, &member.from).ok_or(LinkError::Meta)?;
        let trace = meta.trace.as_ref().and_then(serde_json::Value::as_str);
        Ok(Some(Self { trace: trace.and_then(TraceParent::parse), ..link }))
    }

    fn of_texts(chain: &str, from: &str) -> Option<Self> {
        let from = ReceiptHash::from_digest(Digest::from_hex(from)?);
        Some(Self::new(ChainId::parse(chain)?, from))
    }
}

/// A `traceparent` of W3C Trace Context: the place in somebody's trace, copied into receipts and handed on, never
/// interpreted.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// Reads `<version>-<trace id>-<parent id>-<flags>`, all in lower-case hexadecimal digits; anything else is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        for length in [2, 32, 16, 2] {
            let field = fields.next()?;
            let is_hex = field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            // Trace Context 3.2.2.3: an id of zeros names nothing.
            let is_id = length < 16 || field.bytes().any(|byte| byte != b'0');
            (field.len() == length && is_hex && is_id).then_some(())?;
        }
        // Version ff is forbidden there, and a fifth field belongs to a version that nobody has written yet.
        (fields.next().is_none() && !text.starts_with("ff")).then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceParent({})", self.0)
    }
}

/// A link that was sent and is none. The call it came with goes on, in a chain of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The header.
    #[error(
        "the header `{CHAIN_HEADER}` is not `<chain>;from=<receipt>` with 32 and 64 lower-case hexadecimal digits"
    )]
    Header,
    /// The member of `_meta`.
    #[error(
        "`{CHAIN_MEMBER}` in `_meta` is not an object with `chain` and `from` of 32 and 64 lower-case hexadecimal digits"
    )]
    Meta,
}

/// What is read of a `_meta`; the rest of it is for others.
#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "kakunin/chain")]
    link: Option<Member>,
    #[serde(rename = "traceparent")]
    trace: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    chain: String,
    from: String,
}

/// The HTTP header that carries a link, in lower case.
pub const CHAIN_HEADER: &str = "kakunin-chain";
/// The HTTP header of W3C Trace Context, which is also its member in the `_meta` of MCP.
pub const TRACE_HEADER: &str = "traceparent";
/// The member of an MCP request's `_meta` that carries a link.
pub const CHAIN_MEMBER: &str = "kakunin/chain";

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn link() -> ChainLink {
        ChainLink::new(ChainId::from_bytes([0xab; 16]), ReceiptHash::of(b"receipt"))
    }

    fn received(headers: &[(&str, &str)]) -> Result<Option<ChainLink>, LinkError> {
        ChainLink::from_headers(|name| {
            headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
        })
    }

    #[test]
    fn a_link_arrives_as_it_was_sent() {
        for link in [link(), link().with_trace(TraceParent::parse(TRACE).unwrap())] {
            let sent: Vec<_> = link.to_headers().collect();
            let headers: Vec<_> = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(received(&headers), Ok(Some(link.clone())));
            assert_eq!(ChainLink::from_meta(&link.to_meta()), Ok(Some(link)));
        }
    }

    #[test]
    fn who_sends_no_link_is_in_no_chain() {
        assert_eq!(received(&[(TRACE_HEADER, TRACE)]), Ok(None));
        assert_eq!(ChainLink::from_meta(r#"{"progressToken":1}"#), Ok(None));
    }

    #[test]
    fn a_link_has_one_spelling_and_is_never_half_used() {
        let good = link().to_header();
        let (chain, from) = good.split_once(';').unwrap();
        for wrong in [
            String::new(),
            chain.to_owned(),
            good.to_uppercase(),
            format!(" {good}"),
            format!("{good};"),
            format!("{good}, {good}"),
            format!("{chain}; {from}"),
            format!("{chain};from="),
            format!("{chain}0;{from}"),
            format!("{from};{chain}"),
            good.replace("from=", "parent="),
            good.replacen('a', "\u{e4}", 1),
        ] {
            assert_eq!(received(&[(CHAIN_HEADER, &wrong)]), Err(LinkError::Header), "{wrong}");
        }
    }

    #[test]
    fn a_member_of_meta_is_exactly_two_texts() {
        let (chain, from) = (link().chain().to_string(), link().from().to_string());
        for wrong in [
            format!(r#"{{"chain":"{chain}"}}"#),
            format!(r#"{{"chain":"{chain}","from":"{chain}"}}"#),
            format!(r#"{{"chain":"{chain}","from":"{from}","more":1}}"#),
            format!(r#"{{"chain":"{chain}","chain":"{chain}","from":"{from}"}}"#),
            format!(r#""{chain};from={from}""#),
        ] {
            let meta = format!(r#"{{"kakunin/chain":{wrong}}}"#);
            assert_eq!(ChainLink::from_meta(&meta), Err(LinkError::Meta), "{wrong}");
        }
        assert_eq!(ChainLink::from_meta("[]"), Err(LinkError::Meta));
    }

    #[test]
    fn a_malformed_trace_is_left_out_and_the_link_stands() {
        let header = link().to_header();
        for wrong in [
            "",
            "00",
            &TRACE.to_uppercase(),
            &TRACE.replacen("00", "ff", 1),
            &format!("{TRACE}-00"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            assert_eq!(TraceParent::parse(wrong), None, "{wrong}");
            assert_eq!(
                received(&[(CHAIN_HEADER, &header), (TRACE_HEADER, wrong)]),
                Ok(Some(link())),
                "{wrong}"
            );
        }
        let meta = link().to_meta().replacen('{', r#"{"traceparent":7,"#, 1);
        assert_eq!(ChainLink::from_meta(&meta), Ok(Some(link())));
    }
}
