//! TLS at the door: the certificate that is shown, whose certificates are taken, and both read anew when their
//! files change.
//!
//! TLS 1.3 and 1.2 by rustls over ring. Files are looked at once a second; what replaces a pair has to be one that
//! works, or the pair that is in use stays in use.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use der::Decode;
use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use x509_cert::Certificate;

use crate::files::{self, FileError};

/// Where certificate and key are, and whose clients are asked for theirs.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The service's certificate and those above it, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM, readable by its owner alone.
    pub key: PathBuf,
    /// Clients that show certificates of their own.
    pub clients: Option<ClientCertificates>,
}

/// What is asked of clients.
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    /// The authorities above them, as PEM.
    pub authorities: PathBuf,
    /// Whether a client without one is turned away.
    pub demand: Demand,
}

/// Whether there has to be a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Clients may show one.
    Optional,
    /// Clients that show none are refused in the handshake.
    Required,
}

/// The certificates a client showed and proved in the handshake, its own first.
#[derive(Clone, Debug)]
pub(crate) struct ClientChain(Arc<[CertificateDer<'static>]>);

impl ClientChain {
    pub(crate) fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let chain: Arc<[_]> = chain.iter().map(|one| one.clone().into_owned()).collect();
        (!chain.is_empty()).then_some(Self(chain))
    }

    /// SHA-256 of the client's own certificate, in hex.
    pub(crate) fn thumbprint(&self) -> Option<String> {
        self.0.first().map(|own| Digest::of(own).to_hex())
    }
}

/// What is in use, and what the files were like when it was read.
pub(crate) struct Tls {
    files: TlsFiles,
    used: Mutex<Used>,
}

struct Used {
    seen: Stamp,
    configs: Configs,
}

#[derive(Clone)]
struct Configs {
    keyed: Arc<ServerConfig>,
    public: Arc<ServerConfig>,
    /// When the certificate that is shown ends.
    ends: UnixTime,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] when they make no pair that works now.
    pub(crate) fn open(files: TlsFiles, now: UnixTime) -> Result<Self, TlsError> {
        let seen = Stamp::of(&files);
        let configs = read(&files, now)?;
        Ok(Self { files, used: Mutex::new(Used { seen, configs }) })
    }

    /// For connections where keys are taken.
    pub(crate) fn keyed(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.used().configs.keyed)
    }

    /// For connections where nobody is asked who they are.
    pub(crate) fn public(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.used().configs.public)
    }

    /// Reads the files again if they are not what they were, and says until when the new certificate counts.
    ///
    /// # Errors
    /// [`TlsError`] once for each state of the files that makes no pair; what was in use stays in use.
    pub(crate) fn look(&self, now: UnixTime) -> Result<Option<UnixTime>, TlsError> {
        // INVARIANT: taken before reading, so that a change while they are read is seen the next time.
        let seen = Stamp::of(&self.files);
        if self.used().seen == seen {
            return Ok(None);
        }
        let configs = read(&self.files, now);
        let mut used = self.used();
        used.seen = seen;
        used.configs = configs?;
        Ok(Some(used.configs.ends))
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What shows that a file is another one: time of change in nanoseconds, size and number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp(Vec<Option<(i64, i64, u64, u64)>>);

impl Stamp {
    fn of(files: &TlsFiles) -> Self {
        let clients = files.clients.as_ref().map(|clients| &clients.authorities);
        let paths = [Some(&files.certificate), Some(&files.key), clients];
        let stamp = |path: &PathBuf| {
            // Through links: what a link stands for changes when secrets are mounted anew.
            let file = fs::metadata(path).ok()?;
            Some((file.mtime(), file.mtime_nsec(), file.size(), file.ino()))
        };
        Self(paths.into_iter().flatten().map(stamp).collect())
    }
}

fn read(files: &TlsFiles, now: UnixTime) -> Result<Configs, TlsError> {
    let chain = certificates(&files.certificate)?;
    let ends = end(&files.certificate, chain.first())?;
    if ends <= now {
        return Err(TlsError::Ended { path: files.certificate.clone(), at: ends });
    }
    let secret = files::read_secret(&files.key)?;
    let key = || {
        PrivateKeyDer::from_pem_slice(&secret)
            .map_err(|error| TlsError::Pem { path: files.key.clone(), what: error.to_string() })
    };
    let fail = |error: rustls::Error| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        what: error.to_string(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = || {
        ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(fail)
    };
    let dressed = |mut config: ServerConfig| {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    };
    let public = builder()?.with_no_client_auth().with_single_cert(chain.clone(), key()?);
    let public = dressed(public.map_err(fail)?);
    let keyed = match &files.clients {
        None => Arc::clone(&public),
        Some(clients) => {
            let path = &clients.authorities;
            let wrong = |what: String| TlsError::Pem { path: path.clone(), what };
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| wrong(error.to_string()))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            let verifier = match clients.demand {
                Demand::Optional => verifier.allow_unauthenticated(),
                Demand::Required => verifier,
            };
            let verifier = verifier.build().map_err(|error| wrong(error.to_string()))?;
            let config = builder()?.with_client_cert_verifier(verifier).with_single_cert(chain, key()?);
            dressed(config.map_err(fail)?)
        }
    };
    Ok(Configs { keyed, public, ends })
}

/// Every certificate of a file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = fs::read(path).map_err(|error| FileError::new("read", path, error))?;
    let wrong = |what: String| TlsError::Pem { path: path.to_owned(), what };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong("there is no certificate in it".into())),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn end(path: &Path, own: Option<&CertificateDer<'_>>) -> Result<UnixTime, TlsError> {
    let wrong = || TlsError::Pem { path: path.to_owned(), what: "its first certificate is none".into() };
    let own = Certificate::from_der(own.ok_or_else(wrong)?).map_err(|_| wrong())?;
    let ends = own.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
    i64::try_from(ends).map(UnixTime::from_seconds).map_err(|_| wrong())
}

/// Files that make no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file that cannot be read, or a key that others can.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file with something else in it.
    #[error("`{}` cannot be used for TLS: {what}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A certificate and a key that do not go together.
    #[error("`{}` and `{}` cannot be used for TLS: {what}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        what: String,
    },
    /// A certificate that no client takes any more.
    #[error("the certificate in `{}` ended at {at}; put a newer one there", path.display())]
    Ended {
        /// The file.
        path: PathBuf,
        /// When it ended.
        at: UnixTime,
    },
}
