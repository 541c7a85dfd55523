//! The line to a service: plain to this machine alone, TLS to any.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::Uri;
use kakunin_authority::files;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::answer::Failure;

/// Where a service is, and how it shows that it is that one.
pub(crate) struct Line {
    addresses: Vec<SocketAddr>,
    /// Name and port, as the URL has them.
    pub(crate) host: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Both directions of a line that stands.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Line {
    /// Reads the URL of a service. `roots` is a file of authorities above services, in place of the platform's.
    pub(crate) fn to(url: &str, roots: Option<&Path>) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!(
                "`{url}` is no address of a service; pass one such as https://authority.example or http://127.0.0.1:8080"
            ))
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?.clone();
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let tls = match encrypted {
            true => {
                let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
                Some((connector(roots)?, name))
            }
            false => None,
        };
        let found = (host.as_str(), port).to_socket_addrs();
        let found = found.map_err(|error| Failure::cannot(format!("cannot find {authority}: {error}")))?;
        let addresses: Vec<SocketAddr> = found.collect();
        // Every one of them: the key must not go to a stranger because a name has two addresses.
        if tls.is_none() && (addresses.is_empty() || !addresses.iter().all(|at| at.ip().is_loopback())) {
            return Err(Failure::usage(format!(
                "{authority} is another machine, and the key would travel in the clear; pass https://{authority}, or open a tunnel, for example `ssh -L 8080:{authority} HOST`, and pass --url http://127.0.0.1:8080"
            )));
        }
        Ok(Self { addresses, host: authority.to_string(), tls })
    }

    /// Connects, and with TLS goes on only if it is the service that the URL names.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Wire>> {
        let stream = TcpStream::connect(self.addresses.as_slice()).await?;
        Ok(match &self.tls {
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
            None => Box::new(stream),
        })
    }
}

/// What checks a service's certificate. `KAKUNIN_CA_FILE` is what `--ca-file` is.
fn connector(roots: Option<&Path>) -> Result<TlsConnector, Failure> {
    let named = std::env::var_os("KAKUNIN_CA_FILE").filter(|path| !path.is_empty()).map(PathBuf::from);
    let mut store = RootCertStore::empty();
    match roots.or(named.as_deref()) {
        Some(path) => {
            let wrong = |what: &dyn std::fmt::Display| {
                Failure::cannot(format!("cannot check https by {}: {what}", path.display()))
            };
            let pem = files::read(path)?;
            for block in CertificateDer::pem_slice_iter(&pem) {
                let root = block.map_err(|error| wrong(&error))?;
                store.add(root).map_err(|error| wrong(&error))?;
            }
            if store.is_empty() {
                return Err(wrong(&"there is no certificate in it"));
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(Failure::cannot(
                    "this machine has no roots to check https by; name a file of them with --ca-file or in KAKUNIN_CA_FILE",
                ));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(Failure::cannot)?.with_root_certificates(store);
    Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}
