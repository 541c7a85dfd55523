//! The head of a request as it came, and what two readers could take for two different requests.

use kakunin_core::chain::{ChainLink, TRACE_HEADER, TraceParent};
use kakunin_core::scope::{NAMES_FIELD, ProvenNames};

use crate::refused::Refused;

/// Everything of a request but its body, as it was sent: nothing decoded, nothing joined, nothing left out.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method, as it was sent.
    pub method: &'a str,
    /// The authority of the request's target, where it has one: `:authority` in HTTP/2, the host of an absolute target in
    /// HTTP/1.1. Otherwise the field `host` says it.
    pub authority: Option<&'a str>,
    /// The path, encoded as it was sent: that of the whole request, wherever a router has mounted the handler.
    pub path: &'a str,
    /// What stands behind the `?`, encoded as it was sent; `None` without a `?`.
    pub query: Option<&'a str>,
    /// All fields, each line that came on its own.
    pub fields: &'a [(&'a str, &'a [u8])],
    /// Who is at the other end of the connection.
    pub peer: Peer<'a>,
}

/// The other end of a connection, as this process knows it.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Peer<'a> {
    /// Nobody in particular: only a signature proves anything.
    #[default]
    None,
    /// Whoever has the key of this certificate: the TLS connection ends in this process, and it asked for one.
    Tls {
        /// The certificate and those that were sent with it, in DER.
        chain: &'a [&'a [u8]],
    },
    /// A proxy at an address that the deployer named.
    Proxy,
}

impl<'a> Head<'a> {
    /// The head of a request with this method and path.
    #[must_use]
    pub const fn new(method: &'a str, path: &'a str) -> Self {
        Self { method, authority: None, path, query: None, fields: &[], peer: Peer::None }
    }

    /// The same with the authority of its target.
    #[must_use]
    pub const fn authority(self, authority: Option<&'a str>) -> Self {
        Self { authority, ..self }
    }

    /// The same with what stands behind the `?`.
    #[must_use]
    pub const fn query(self, query: Option<&'a str>) -> Self {
        Self { query, ..self }
    }

    /// The same with its fields.
    #[must_use]
    pub const fn fields(self, fields: &'a [(&'a str, &'a [u8])]) -> Self {
        Self { fields, ..self }
    }

    /// The same from another peer.
    #[must_use]
    pub const fn peer(self, peer: Peer<'a>) -> Self {
        Self { peer, ..self }
    }

    /// The values of all lines of a field; names have no case.
    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let fields = self.fields.iter();
        fields.filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The one line of a field, as text.
    pub(crate) fn one(&self, name: &'static str) -> Result<Option<&'a str>, Refused> {
        let mut lines = self.all(name);
        let (Some(value), None) = (lines.next(), lines.next()) else {
            return if self.all(name).next().is_none() {
                Ok(None)
            } else {
                Err(Refused::malformed(format!("the field `{name}` is there twice")))
            };
        };
        let text = std::str::from_utf8(value).map(|text| text.trim_matches([' ', '\t']));
        text.map(Some).map_err(|_| Refused::malformed(format!("the field `{name}` is no text")))
    }

    /// Refuses what ends at one octet for one reader and at another for the next (RFC 9112 section 6.3).
    pub(crate) fn refuse_two_ends(&self) -> Result<(), Refused> {
        let mut length = None;
        for value in self.all("content-length").flat_map(|line| line.split(|byte| *byte == b',')) {
            let value = value.trim_ascii();
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return Err(Refused::malformed("`content-length` is no number".to_owned()));
            }
            if length.replace(value).is_some_and(|before| before != value) {
                return Err(Refused::malformed("`content-length` says two lengths".to_owned()));
            }
        }
        if length.is_some() && self.all("transfer-encoding").next().is_some() {
            let what = "`content-length` stands beside `transfer-encoding`".to_owned();
            return Err(Refused::malformed(what));
        }
        Ok(())
    }

    /// To whom the request is addressed, if it says that in one way.
    pub(crate) fn addressed_to(&self) -> Result<&'a str, Refused> {
        let host = self.one("host")?;
        match (self.authority, host) {
            (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
                Err(Refused::malformed("`host` is not the authority of the request's target".to_owned()))
            }
            (Some(authority), _) => Ok(authority),
            (None, Some(host)) => Ok(host),
            (None, None) => Err(Refused::malformed("the request says no `host`".to_owned())),
        }
    }

    /// The trace that the caller says it is in; nobody signs that, and one that is malformed is none.
    pub(crate) fn trace(&self) -> Option<TraceParent> {
        self.one(TRACE_HEADER).ok().flatten().and_then(TraceParent::parse)
    }

    /// What the caller proves of detached lists of names.
    pub(crate) fn proven_names(&self) -> Result<Option<ProvenNames>, Refused> {
        let Some(value) = self.one(NAMES_FIELD)? else { return Ok(None) };
        let proven = ProvenNames::parse(value);
        proven.map(Some).map_err(|error| Refused::malformed(error.to_string()))
    }

    /// The link of a call that signs none.
    pub(crate) fn unsigned_link(&self) -> Option<ChainLink> {
        let value = self.one(kakunin_core::chain::CHAIN_HEADER).ok().flatten()?;
        ChainLink::parse_header(value).ok()
    }
}
