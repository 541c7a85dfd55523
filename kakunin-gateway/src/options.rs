//! How a gateway is opened: by which names it goes, how much it reads, and what it believes besides signatures.

use std::path::PathBuf;
use std::sync::Arc;

use crate::networks::Network;
use crate::nonces::NonceStore;

/// How a gateway is opened. The default believes nothing but signatures.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// The authorities under which it is reached, `shop.example.com` or `10.1.2.3:8443`, without the port that is the scheme's
    /// default. A request that was signed for another one is refused.
    pub names: Vec<String>,
    /// How many octets of a body are read, 1 MiB if nobody says.
    pub max_body: usize,
    /// Who remembers which proofs were used; this process alone if nobody says. Several workers need one that they share, or a
    /// proof counts once with each of them.
    pub nonces: Option<Arc<dyn NonceStore>>,
    /// Whether a client certificate of a TLS connection that ends in this process proves who calls.
    pub tls: bool,
    /// The addresses of proxies whose word on client certificates counts; of nobody else are those fields read. With `proxy_field`.
    pub proxies: Vec<Network>,
    /// The one field in which those proxies pass on a client's certificate: no other is looked at, so a client that writes one which
    /// its proxy lets through has said nothing. Without it no proxy is believed, and `proxies` open no gateway.
    pub proxy_field: Option<ProxyField>,
    /// A folder of detached lists of names, `<root>.txt`, that callers' scopes refer to.
    pub lists: Option<PathBuf>,
    /// A folder of chains, `<serial>.pem`, for callers that prove nothing and name their certificate in
    /// `x-kakunin-cert-serial`. Whoever knows a serial number is believed to be that agent: for migrations in closed networks.
    pub serials: Option<PathBuf>,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            max_body: MAX_BODY,
            nonces: None,
            tls: false,
            proxies: Vec::new(),
            proxy_field: None,
            lists: None,
            serials: None,
        }
    }
}

impl GatewayOptions {
    /// The options of a gateway that is reached under these names.
    #[must_use]
    pub fn named<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The field in which the proxies pass on certificates.
    pub(crate) fn checked_field(&self) -> Result<Option<ProxyField>, OpenError> {
        if !self.proxies.is_empty() && self.proxy_field.is_none() {
            return Err(OpenError::NoProxyField);
        }
        Ok(self.proxy_field)
    }

    /// The names in lower case, each of a form that a request can be addressed to.
    pub(crate) fn checked_names(&self) -> Result<Vec<String>, OpenError> {
        if self.names.is_empty() {
            return Err(OpenError::NoNames);
        }
        let checked = self.names.iter().map(|name| {
            let odd = name.is_empty()
                || !name.bytes().all(|byte| byte.is_ascii_graphic())
                || name.contains(['/', '@', '?', '#', '*', ',']);
            if odd { Err(OpenError::Name(name.clone())) } else { Ok(name.to_ascii_lowercase()) }
        });
        checked.collect()
    }
}

/// Where a proxy writes the certificate of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyField {
    /// `client-cert`, with `client-cert-chain` beside it (RFC 9440).
    ClientCert,
    /// `x-forwarded-client-cert`, as Envoy writes it.
    XForwardedClientCert,
}

impl std::str::FromStr for ProxyField {
    type Err = OpenError;

    /// Reads the name of the field, in lower case.
    fn from_str(name: &str) -> Result<Self, OpenError> {
        match name {
            "client-cert" => Ok(Self::ClientCert),
            "x-forwarded-client-cert" => Ok(Self::XForwardedClientCert),
            _ => Err(OpenError::ProxyField(name.to_owned())),
        }
    }
}

/// A gateway that could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nobody could address a request to it.
    #[error("a gateway needs the names under which it is reached, such as `shop.example.com`")]
    NoNames,
    /// A name that no request is addressed to.
    #[error("`{0}` is no authority; write a host, or a host and a port, without scheme and path")]
    Name(String),
    /// A guard that observes would let in whoever its answer denies.
    #[error(
        "the gateway's own agent is in observe mode, in which denied callers are let in; open it in enforce mode"
    )]
    Observes,
    /// A field in which no proxy passes on certificates.
    #[error("`{0}` is no field that is read of proxies; it is `client-cert` or `x-forwarded-client-cert`")]
    ProxyField(String),
    /// Proxies, and nobody said which field is theirs: of a client they may let another one pass.
    #[error(
        "`proxies` need `proxy_field`, the one field in which they pass on certificates: `client-cert` or `x-forwarded-client-cert`"
    )]
    NoProxyField,
    /// A folder that is none.
    #[error("`{0}` is no folder that can be read")]
    Folder(PathBuf),
}

const MAX_BODY: usize = 1 << 20;
