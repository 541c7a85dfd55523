//! TLS to a database: rustls with ring, and a certificate for the name in the address.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use crate::store::StoreError;

/// Which authorities a server's certificate may be of.
#[derive(Clone)]
pub(super) struct Tls {
    /// The platform's, if there is no file.
    roots: Option<PathBuf>,
}

impl Tls {
    pub(super) const fn new(roots: Option<PathBuf>) -> Self {
        Self { roots }
    }

    /// Reads them for one connection: a file that was replaced counts from the next one on.
    pub(super) fn open(&self) -> Result<Open, StoreError> {
        let fail = |text: String| StoreError::Server { text };
        let mut roots = RootCertStore::empty();
        match &self.roots {
            Some(path) => {
                let shown = path.display();
                let pem = fs::read(path).map_err(|error| fail(format!("sslrootcert {shown}: {error}")))?;
                for der in CertificateDer::pem_slice_iter(&pem) {
                    let der = der.map_err(|_| fail(format!("sslrootcert {shown} is no PEM")))?;
                    roots.add(der).map_err(|error| fail(format!("sslrootcert {shown}: {error}")))?;
                }
            }
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        if roots.is_empty() {
            return Err(fail("there is no authority that the database's certificate could be of; name a file of them with sslrootcert".into()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| fail(format!("TLS to the database: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Open(Arc::new(config)))
    }
}

/// Makes one connection.
#[derive(Clone)]
pub(super) struct Open(Arc<ClientConfig>);

/// For a server of this name.
pub(super) struct Named {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// A connection to whom the certificate names.
pub(super) struct Line(tokio_rustls::client::TlsStream<Socket>);

impl MakeTlsConnect<Socket> for Open {
    type Stream = Line;
    type TlsConnect = Named;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Named> {
        let name = ServerName::try_from(domain.to_owned())
            .map_err(|_| io::Error::other(format!("`{domain}` is no name that a certificate could have")))?;
        Ok(Named { config: Arc::clone(&self.0), name })
    }
}

impl TlsConnect<Socket> for Named {
    type Stream = Line;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Line>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move { TlsConnector::from(self.config).connect(self.name, stream).await.map(Line) })
    }
}

impl TlsStream for Line {
    /// The certificate is checked for the name; a server that also proves the password over this channel gains nothing.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
