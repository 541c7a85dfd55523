//! From here to the authority: addresses, TLS, and what an answer may be.
//!
//! Takes in addresses that people write, gives out answers of which nothing is believed yet. HTTPS is spoken with the roots that
//! were named or the platform's; plain HTTP only to this machine, past every proxy. No redirect is followed: whoever answers
//! for the authority does so at the address that was given. Every wait ends.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::status::Trouble;

/// Where an authority answers: `https://host[:port][/path]`, or `http://` of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    url: Url,
    is_plain: bool,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = |what| AddressError { url: without_secret(text), what };
        let mut url = Url::parse(text.trim()).map_err(|_| wrong("it is no URL"))?;
        let is_plain = match url.scheme() {
            "https" => false,
            "http" if is_this_machine(&url) => true,
            "http" => {
                return Err(wrong(
                    "plain HTTP is spoken to this machine only, for example http://127.0.0.1:8080; write https://",
                ));
            }
            _ => return Err(wrong("it begins with neither https:// nor http://")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "a name and password in a URL are no way to prove anything here; set KAKUNIN_TOKEN",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it has a query or a fragment"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self { url, is_plain })
    }

    /// The route `path` (which begins with `/v1/`), with the query `pairs`.
    fn route(&self, path: &str, pairs: &[(&str, &str)]) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        url
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

/// Only what needs no look-up, and `localhost`, which is not looked up either.
fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_matches(['[', ']']);
    let is = |ip: &dyn Fn(&str) -> bool| ip(host);
    is(&|host| host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()))
        || is(&|host| host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback()))
        || host == LOCALHOST
}

/// What may be shown of a text that may be a URL with a password.
fn without_secret(text: &str) -> String {
    // A password may hold any of these characters, too: what is behind the last `@` is none.
    let (hidden, rest) = text.trim().rsplit_once('@').map_or(("", text.trim()), |(_, host)| ("…@", host));
    // A query may hold a key.
    let shown = rest.split(['?', '#']).next().unwrap_or_default();
    format!("{hidden}{shown}{}", if shown.len() < rest.len() { "…" } else { "" })
}

/// An address that is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is no address of an authority: {what}")]
pub struct AddressError {
    url: String,
    what: &'static str,
}

/// Connections to authorities.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    https: Client,
    plain: Client,
}

impl Transport {
    /// Prepares connections to `addresses`. `roots` is a file of PEM certificates that HTTPS is checked against; the platform's if
    /// none is given.
    pub(crate) fn new(addresses: &[Address], roots: Option<&Path>) -> Result<Self, TlsError> {
        let needs_roots = addresses.iter().any(|address| !address.is_plain);
        let store = if needs_roots { trusted(roots)? } else { RootCertStore::empty() };
        let base = || {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| TlsError::Client(error.to_string()))?
                .with_root_certificates(store.clone())
                .with_no_client_auth();
            Ok(Client::builder()
                .tls_backend_preconfigured(config)
                .user_agent(concat!("kakunin-client/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .connect_timeout(CONNECT)
                .tcp_nodelay(true)
                .pool_max_idle_per_host(1)
                .pool_idle_timeout(IDLE)
                .http1_only())
        };
        let build = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| TlsError::Client(words(&error)))
        };
        let here = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
        Ok(Self {
            https: build(base()?.https_only(true))?,
            // A proxy would take what is not encrypted to somewhere else.
            plain: build(base()?.no_proxy().resolve_to_addrs(LOCALHOST, &here))?,
        })
    }

    pub(crate) fn get(&self, address: &Address, path: &str, pairs: &[(&str, &str)]) -> RequestBuilder {
        self.client(address).get(address.route(path, pairs))
    }

    /// A request that posts, and where it goes.
    pub(crate) fn post(&self, address: &Address, path: &str) -> (RequestBuilder, Url) {
        let url = address.route(path, &[]);
        (self.client(address).post(url.clone()), url)
    }

    const fn client(&self, address: &Address) -> &Client {
        if address.is_plain { &self.plain } else { &self.https }
    }
}

fn trusted(roots: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let Some(path) = roots else {
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        return if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) };
    };
    let wrong = |what: String| TlsError::Roots { path: path.to_owned(), what };
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    for block in CertificateDer::pem_slice_iter(&pem) {
        let der = block.map_err(|_| wrong("it is not readable PEM".into()))?;
        store.add(der).map_err(|error| wrong(error.to_string()))?;
    }
    if store.is_empty() { Err(wrong("it holds no certificate in PEM".into())) } else { Ok(store) }
}

/// HTTPS that cannot be spoken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file of roots.
    #[error("the roots for https in `{}`: {what}", path.display())]
    Roots {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The platform has none.
    #[error("this machine has no roots to check https against; name a file of them in KAKUNIN_CA_FILE")]
    NoRoots,
    /// The client could not be made.
    #[error("no client for https can be made: {0}")]
    Client(String),
}

/// Host with port, path and query of a URL as they are sent.
pub(crate) fn parts(url: &Url) -> (String, String, Option<String>) {
    let host = url.host_str().unwrap_or_default().to_owned();
    // The default port of a scheme is not sent.
    let host = url.port().map_or(host.clone(), |port| format!("{host}:{port}"));
    (host, url.path().to_owned(), url.query().map(str::to_owned))
}

/// Sends a request and waits for the head of the answer.
pub(crate) async fn answer(request: RequestBuilder, patience: Duration) -> Result<Response, Trouble> {
    match tokio::time::timeout(patience, request.send()).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(Trouble::now("transport", words(&error))),
        Err(_) => Err(Trouble::now("transport.silent", format!("no answer within {} s", patience.as_secs()))),
    }
}

/// All of an answer, if it comes in time and is not longer than `most`.
pub(crate) async fn body(
    mut response: Response,
    most: usize,
    patience: Duration,
) -> Result<Vec<u8>, Trouble> {
    let too_long = || Trouble::now("transport.too_long", format!("the answer has more than {most} bytes"));
    if response.content_length().is_some_and(|length| length > most as u64) {
        return Err(too_long());
    }
    let read = async {
        let mut bytes = Vec::new();
        while let Some(piece) =
            response.chunk().await.map_err(|error| Trouble::now("transport", words(&error)))?
        {
            if bytes.len().saturating_add(piece.len()) > most {
                return Err(too_long());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    let late = || Trouble::now("transport.silent", "the answer did not end in time");
    tokio::time::timeout(patience, read).await.unwrap_or_else(|_| Err(late()))
}

/// What an authority says when it says no: its code and sentence, bounded, with nothing that could move a terminal.
pub(crate) async fn refusal(response: Response) -> Trouble {
    let status = response.status();
    let text = body(response, MAX_REFUSAL, HEAD).await.unwrap_or_default();
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let member = |name| value.get(name).and_then(serde_json::Value::as_str).map(printable);
    let code = member("code").filter(|code| !code.is_empty());
    let said = member("error").unwrap_or_else(|| usual(status).to_owned());
    let code = code.unwrap_or_else(|| format!("http.{}", status.as_u16()));
    Trouble::now(code, format!("the authority says: {said} ({status})"))
}

fn usual(status: StatusCode) -> &'static str {
    match status {
        _ if status.is_redirection() => "go elsewhere; redirects are not followed, name the address itself",
        StatusCode::TOO_MANY_REQUESTS => "too many requests",
        _ => "nothing that is understood",
    }
}

pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(400).collect()
}

/// An error with its causes: reqwest's own sentence leaves out what happened.
pub(crate) fn words(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    // The URL may carry a nonce; the status names the address.
    let mut text = if error.is_timeout() { "no connection in time".to_owned() } else { String::new() };
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        cause = error.source();
    }
    if text.is_empty() { printable(&error.to_string()) } else { printable(&text) }
}

const LOCALHOST: &str = "localhost";
const CONNECT: Duration = Duration::from_secs(5);
/// Below the time after which servers close connections that nobody uses.
const IDLE: Duration = Duration::from_secs(20);
/// For the head of an answer that is not waited with.
pub(crate) const HEAD: Duration = Duration::from_secs(10);
const MAX_REFUSAL: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_to_this_machine_only() {
        for good in [
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://[::1]:81/",
            "http://localhost:1",
            "https://authority.example",
            "https://authority.example:8443/kakunin/",
        ] {
            let address = Address::parse(good).unwrap();
            assert_eq!(address.to_string(), good.trim_end_matches('/'));
        }
        for wrong in [
            "http://authority.example",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "http://10.0.0.1",
            "http://[::2]",
            "http://user:secret@127.0.0.1",
            "http://user:pa@secret@127.0.0.1",
            "http://user:secret?@127.0.0.1/",
            "https://user:secret#1@authority.example",
            "https://authority.example/?key=secret",
            "https://user:se@cret@secret.example:secret@host:port",
            "https://user@authority.example",
            "https://authority.example/?a",
            "https://authority.example/#a",
            "ftp://authority.example",
            "authority.example",
            "",
        ] {
            let error = Address::parse(wrong).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn routes_go_below_the_path_of_the_address() {
        let address = Address::parse("https://host/kakunin/").unwrap();
        let url = address.route("/v1/feed", &[("since", "7"), ("issuer", "a b")]);
        assert_eq!(url.as_str(), "https://host/kakunin/v1/feed?since=7&issuer=a+b");
        assert_eq!(
            Address::parse("http://127.0.0.1:1").unwrap().route("/v1/crl/all", &[]).as_str(),
            "http://127.0.0.1:1/v1/crl/all"
        );
    }
}
