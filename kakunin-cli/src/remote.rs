//! Orders to an authority that is served: one request, one answer.
//!
//! The key comes from `KAKUNIN_TOKEN` or a file, never from a flag that everybody on the machine could read. It
//! goes to another machine by TLS alone.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use kakunin_authority::token::EnrolmentToken;
use kakunin_core::digest::Digest;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::answer::Failure;
use crate::context::Common;
use crate::line::Line;

/// Where an order goes.
#[derive(Args)]
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
}

impl Remote {
    /// The service, if one was named.
    pub(crate) fn service(&self, common: &Common) -> Result<Option<Service>, Failure> {
        let Some(url) = &self.url else { return Ok(None) };
        common.refuse_tenant()?;
        let line = Line::to(url, self.ca_file.as_deref())?;
        Ok(Some(Service { line, token: Some(self.token()?) }))
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
        let request = request
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
        let stream = self.line.connect().await?;
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
