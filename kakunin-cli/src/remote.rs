//! Orders to an authority that is served: one request, one answer.
//!
//! The key comes from `KAKUNIN_TOKEN` or a file, never from a flag that everybody on the machine could read. It is
//! sent in the clear to this machine only: TLS to another one is a tunnel's work.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::answer::Failure;

/// Where an order goes.
#[derive(Args)]
pub(crate) struct Remote {
    /// Give the order to the service at this address instead of the home; the key is in KAKUNIN_TOKEN
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file whose first line is the key, in place of KAKUNIN_TOKEN
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
}

impl Remote {
    /// The service, if one was named.
    pub(crate) fn service(&self) -> Result<Option<Service>, Failure> {
        let Some(url) = &self.url else { return Ok(None) };
        let wrong = || {
            Failure::usage(format!(
                "`{url}` is no address of a service; pass one such as http://127.0.0.1:8080"
            ))
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?.clone();
        match uri.scheme_str() {
            Some("http") if matches!(uri.path(), "" | "/") && uri.query().is_none() => {}
            Some("https") => {
                return Err(Failure::usage(
                    "this version speaks plain HTTP to services on this machine; open a tunnel to the other one, for example `ssh -L 8080:127.0.0.1:8080 HOST`",
                ));
            }
            _ => return Err(wrong()),
        }
        let found =
            (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80)).to_socket_addrs();
        let found: Vec<SocketAddr> =
            found.map_err(|error| Failure::cannot(format!("cannot find {authority}: {error}")))?.collect();
        // Every one of them: the key must not go to a stranger because a name has two addresses.
        let Some(address) = found.first().filter(|_| found.iter().all(|at| at.ip().is_loopback())) else {
            return Err(Failure::usage(format!(
                "{authority} is another machine, and the key would travel in the clear; open a tunnel, for example `ssh -L 8080:{authority} HOST`, and pass --url http://127.0.0.1:8080"
            )));
        };
        Ok(Some(Service { address: *address, host: authority.to_string(), token: self.token()? }))
    }

    fn token(&self) -> Result<Zeroizing<String>, Failure> {
        let text = match &self.token_file {
            Some(path) => {
                let bytes = kakunin_authority::files::read_secret(path)?;
                let text = std::str::from_utf8(&bytes).unwrap_or_default();
                Zeroizing::new(text.lines().next().unwrap_or_default().trim().to_owned())
            }
            None => Zeroizing::new(std::env::var("KAKUNIN_TOKEN").unwrap_or_default()),
        };
        match text.is_empty() {
            true => Err(Failure::usage("no key for the service; set KAKUNIN_TOKEN or pass --token-file")),
            false => Ok(text),
        }
    }
}

/// A service that orders go to.
pub(crate) struct Service {
    address: SocketAddr,
    host: String,
    token: Zeroizing<String>,
}

impl Service {
    /// What the service has at `path`.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(&Method::GET, path, None)
    }

    /// Gives an order.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(&Method::POST, path, Some(body))
    }

    fn ask(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let cannot =
            |what: &dyn std::fmt::Display| Failure::cannot(format!("no answer from {}: {what}", self.host));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| cannot(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1{path}"))
            .header("host", &self.host)
            .header("authorization", format!("Bearer {}", *self.token))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.map(Value::to_string).unwrap_or_default())))
            .map_err(|error| cannot(&error))?;
        let answered = runtime.block_on(async {
            match tokio::time::timeout(PATIENCE, self.exchange(request)).await {
                Ok(answered) => answered,
                Err(_) => Err("it took too long; the order may have been carried out".into()),
            }
        });
        let (status, bytes) = answered.map_err(|error| cannot(&error))?;
        let value: Value =
            serde_json::from_slice(&bytes).map_err(|_| cannot(&"it is no answer of an authority"))?;
        if status.is_success() {
            return Ok(value);
        }
        let text = |name| value.get(name).and_then(Value::as_str).unwrap_or("no reason given");
        let message = format!("{} [{}, request {}]", text("error"), text("code"), text("request_id"));
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => Failure::cannot(message),
            _ if status.is_client_error() => Failure::no(message),
            _ => Failure::cannot(message),
        })
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error>> {
        let stream = tokio::net::TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body =
            Limited::new(response.into_body(), MOST).collect().await.map_err(|error| error.to_string())?;
        driver.abort();
        Ok((status, body.to_bytes()))
    }
}

/// Longer than the service itself waits.
const PATIENCE: Duration = Duration::from_secs(45);
/// A page of a hundred agents with the largest scopes has less.
const MOST: usize = 16 * 1024 * 1024;
