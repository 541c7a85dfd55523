//! Orders to an authority that is served: one request, one answer.
//!
//! The key comes from `KAKUNIN_TOKEN` or a file, never from a flag that everybody on the machine could read. It
//! goes to another machine by TLS alone. What stands there may be a token of OpenID Connect instead, which a pipeline has
//! from its host: it is exchanged for a key first.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kakunin_authority::token::EnrolmentToken;
use kakunin_core::digest::Digest;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::answer::Failure;
use crate::context::Common;
use crate::line::Line;

/// Where an order goes.
#[derive(Args, Clone)]
pub(crate) struct Remote {
    /// Give the order to the service at this address instead of the home; the key is in KAKUNIN_TOKEN
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file whose first line is the key, in place of KAKUNIN_TOKEN
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// The authorities above the service's certificate, PEM, in place of KAKUNIN_CA_FILE and the platform's
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
    /// The key that a token was exchanged for: that is good once, and some commands ask twice.
    #[arg(skip)]
    exchanged: Arc<OnceLock<Zeroizing<String>>>,
}

impl Remote {
    /// The service, if one was named.
    pub(crate) fn service(&self, common: &Common) -> Result<Option<Service>, Failure> {
        let Some(url) = &self.url else { return Ok(None) };
        common.refuse_tenant()?;
        let line = Line::to(url, self.ca_file.as_deref())?;
        let token = self.token()?;
        if !is_identity_token(&token) {
            return Ok(Some(Service { line, token: Some(token) }));
        }
        let stranger = Service { line, token: None };
        let key = match self.exchanged.get() {
            Some(key) => key.clone(),
            None => {
                let key = stranger.key_for(&token)?;
                self.exchanged.get_or_init(|| key).clone()
            }
        };
        Ok(Some(Service { token: Some(key), ..stranger }))
    }

    /// The service, if one was named, for whoever comes with a proof and no key.
    pub(crate) fn for_proofs(&self, common: &Common) -> Result<Option<Service>, Failure> {
        let Some(url) = &self.url else { return Ok(None) };
        common.refuse_tenant()?;
        Ok(Some(Service { line: Line::to(url, self.ca_file.as_deref())?, token: None }))
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

/// Whether it is a signed token of three parts, which no key of a service is.
fn is_identity_token(text: &str) -> bool {
    let in_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.starts_with("eyJ")
        && text.split('.').count() == 3
        && text.split('.').all(|part| !part.is_empty() && part.bytes().all(in_part))
}

/// A service that orders go to.
pub(crate) struct Service {
    line: Line,
    token: Option<Zeroizing<String>>,
}

impl Service {
    /// What the service has at `path`.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(&Method::GET, path, None, &[])
    }

    /// Gives an order.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(&Method::POST, path, Some(body), &[])
    }

    /// Takes something away.
    pub(crate) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask(&Method::DELETE, path, None, &[])
    }

    /// The key that a pipeline's token is exchanged for.
    fn key_for(&self, token: &str) -> Result<Zeroizing<String>, Failure> {
        let answer = self.post("/tokens/oidc", &serde_json::json!({ "token": token }))?;
        let key = answer.pointer("/data/key").and_then(Value::as_str);
        let key = key.ok_or_else(|| Failure::cannot("the service gave no key for the token"))?;
        Ok(Zeroizing::new(key.to_owned()))
    }

    /// Writes what the service has at `path` to the file `out`, which appears whole, and says how many octets that are.
    pub(crate) fn download(&self, path: &str, out: &Path) -> Result<u64, Failure> {
        let cannot = |what: &dyn std::fmt::Display| {
            Failure::cannot(format!("no whole answer from {}: {what}", self.line.host))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| cannot(&error))?;
        let request = self.request(&Method::GET, path, None, &[]).map_err(|error| cannot(&error))?;
        let mut name = out.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        let taken = runtime.block_on(async {
            let late = |_| cannot(&"it took too long");
            let answered = timeout(PATIENCE, self.send(request)).await.map_err(late)?;
            let (response, driver) = answered.map_err(|error| cannot(&error))?;
            let status = response.status();
            let mut body = response.into_body();
            if !status.is_success() {
                let told = timeout(PATIENCE, Limited::new(body, MOST).collect()).await.map_err(late)?;
                let bytes = told.map_err(|error| cannot(&error))?.to_bytes();
                return Err(self.refused(status, &bytes));
            }
            let write = |what: std::io::Error| Failure::cannot(format!("{}: {what}", part.display()));
            // Made anew: what a broken export left there goes, a link that somebody put there is not followed, and nobody
            // who made the file before reads along.
            match std::fs::remove_file(&part) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(write(error)),
                _ => {}
            }
            let mut file = std::fs::File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&part)
                .map_err(write)?;
            let mut octets = 0_u64;
            // Whoever sends nothing for so long has ended.
            while let Some(frame) = timeout(PATIENCE, body.frame()).await.map_err(late)? {
                let frame = frame.map_err(|error| cannot(&error))?;
                if let Some(data) = frame.data_ref() {
                    octets += data.len() as u64;
                    if octets > MOST_DOWNLOADED {
                        return Err(cannot(&"it is larger than any bundle"));
                    }
                    file.write_all(data).map_err(write)?;
                }
            }
            driver.abort();
            file.sync_all().map_err(write)?;
            std::fs::rename(&part, out).map_err(write)?;
            Ok(octets)
        });
        if taken.is_err() {
            // Half of it is of no use to anybody; it may not be there at all.
            let _ = std::fs::remove_file(&part);
        }
        taken
    }

    /// Gives an order with the fields of a proof, which was made for [`Self::host`] and this body.
    pub(crate) fn post_proven(
        &self,
        path: &str,
        body: &Value,
        fields: &[(&str, String)],
    ) -> Result<Value, Failure> {
        self.ask(&Method::POST, path, Some(body), fields)
    }

    /// The name and port it is asked by.
    pub(crate) fn host(&self) -> &str {
        &self.line.host
    }

    /// The enrolment token by which it is asked, if it is one: SHA-256 of the root that it names.
    pub(crate) fn pinned_root(&self) -> Option<Digest> {
        let token = self.token.as_ref()?;
        EnrolmentToken::parse(token).map(|token| token.root())
    }

    fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        fields: &[(&str, String)],
    ) -> Result<Value, Failure> {
        let cannot = |what: &dyn std::fmt::Display| {
            Failure::cannot(format!("no answer from {}: {what}", self.line.host))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| cannot(&error))?;
        let request = self.request(method, path, body, fields).map_err(|error| cannot(&error))?;
        let answered = runtime.block_on(async {
            match timeout(PATIENCE, self.exchange(request)).await {
                Ok(answered) => answered,
                Err(_) => Err("it took too long; the order may have been carried out".into()),
            }
        });
        let (status, bytes) = answered.map_err(|error| cannot(&error))?;
        if !status.is_success() {
            return Err(self.refused(status, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|_| cannot(&"it is no answer of an authority"))
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        fields: &[(&str, String)],
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v1{path}"))
            .header("host", &self.line.host)
            .header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", **token));
        }
        for (name, value) in fields {
            request = request.header(*name, value);
        }
        request.body(Full::new(Bytes::from(body.map(Value::to_string).unwrap_or_default())))
    }

    /// A no, in the words of the service.
    fn refused(&self, status: StatusCode, bytes: &[u8]) -> Failure {
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
            return Failure::cannot(format!(
                "no answer from {}: it is no answer of an authority",
                self.line.host
            ));
        };
        let text = |name| value.get(name).and_then(Value::as_str).unwrap_or("no reason given");
        let message = format!("{} [{}, request {}]", text("error"), text("code"), text("request_id"));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => Failure::cannot(message),
            _ if status.is_client_error() => Failure::no(message),
            _ => Failure::cannot(message),
        }
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error>> {
        let (response, driver) = self.send(request).await?;
        let status = response.status();
        let body =
            Limited::new(response.into_body(), MOST).collect().await.map_err(|error| error.to_string())?;
        driver.abort();
        Ok((status, body.to_bytes()))
    }

    /// Sends it, and gives the head of the answer with its body to come, and who drives the connection meanwhile.
    async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, JoinHandle<hyper::Result<()>>), Box<dyn std::error::Error>> {
        let stream = self.line.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        Ok((sender.send_request(request).await?, driver))
    }
}

/// Longer than the service itself waits.
const PATIENCE: Duration = Duration::from_secs(45);
/// No bundle is larger (docs/wire.md 4.10).
const MOST_DOWNLOADED: u64 = 0xffff_0000;
/// A page of a hundred agents with the largest scopes has less.
const MOST: usize = 16 * 1024 * 1024;
