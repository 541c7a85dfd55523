//! The authority's directory.
//!
//! ```text
//! H/root/root.pem  root.key.pem     the root; its key may be kept elsewhere between `init` and `rotate`
//! H/issuing/1.pem  1.key.pem  ..    the issuing authorities, one more for each rotation
//! H/store.sqlite                    agents, certificates, lists
//! H/passphrase                      only if nobody gave one
//! H/lock                            held by whoever changes something
//! H/log/                            the owner's transparency log with its key, made when it is first used
//! H/public/ca.pem chain.pem lists.pem   what everyone may read
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::files::{self, FileError, Readers};
use crate::store::{IssuerId, SqliteStore, StoreError};

/// A directory that is, or is to become, an authority.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// Means the directory at `path`; nothing is read or made yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root certificate.
    #[must_use]
    pub fn root_certificate(&self) -> PathBuf {
        self.path.join("root/root.pem")
    }

    /// The root key, needed by `init` and `rotate` only.
    #[must_use]
    pub fn root_key(&self) -> PathBuf {
        self.path.join("root/root.key.pem")
    }

    /// The certificate of an issuing authority.
    #[must_use]
    pub fn issuing_certificate(&self, issuer: IssuerId) -> PathBuf {
        self.path.join(format!("issuing/{issuer}.pem"))
    }

    /// The key of an issuing authority.
    #[must_use]
    pub fn issuing_key(&self, issuer: IssuerId) -> PathBuf {
        self.path.join(format!("issuing/{issuer}.key.pem"))
    }

    /// The home's own passphrase file.
    #[must_use]
    pub fn passphrase(&self) -> PathBuf {
        self.path.join("passphrase")
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path.join("store.sqlite")
    }

    /// What everyone may read.
    #[must_use]
    pub fn public(&self) -> PathBuf {
        self.path.join("public")
    }

    /// The published lists, as an absolute path for agents to keep.
    ///
    /// # Errors
    /// [`FileError`] when the directory does not exist.
    pub fn lists(&self) -> Result<PathBuf, FileError> {
        let public = self.public();
        let absolute = public.canonicalize().map_err(|error| FileError::new("find", &public, error))?;
        Ok(absolute.join("lists.pem"))
    }

    /// Opens the records to read them: no key, no lock.
    ///
    /// # Errors
    /// [`HomeError::NoAuthority`] when there is none, or the store's own failure.
    pub fn records(&self) -> Result<SqliteStore, HomeError> {
        if !self.store().exists() {
            return Err(HomeError::NoAuthority { path: self.path.clone() });
        }
        Ok(SqliteStore::open(&self.store())?)
    }

    /// Makes the directories of a new home.
    pub(crate) fn lay_out(&self) -> Result<(), FileError> {
        files::make_directory(&self.path, Readers::Everyone)?;
        for (name, readers) in
            [("root", Readers::Owner), ("issuing", Readers::Owner), ("public", Readers::Everyone)]
        {
            files::make_directory(&self.path.join(name), readers)?;
        }
        Ok(())
    }

    /// Waits until no other process changes this home.
    pub(crate) fn lock(&self) -> Result<HomeLock, HomeError> {
        let path = self.path.join("lock");
        let fail = |source| FileError::new("open", &path, source);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(fail)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(HomeLock { _file: file }),
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => return Err(HomeError::Busy { path: self.path.clone() }),
                Err(TryLockError::Error(error)) => return Err(FileError::new("lock", &path, error).into()),
            }
        }
    }
}

/// The right to change a home; released when dropped, also by a crash.
#[derive(Debug)]
pub(crate) struct HomeLock {
    _file: File,
}

/// A directory that cannot be used as an authority.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// Nothing there.
    #[error("{} holds no authority; run `kakunin init --home {}` first, or name another --home", path.display(), path.display())]
    NoAuthority {
        /// The directory.
        path: PathBuf,
    },
    /// Something there already.
    #[error("{} holds an authority already; name another --home", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// Another process is at it.
    #[error("another command is changing {}; wait for it to end", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// A file of it.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How long to wait for another command: longer than the slowest of them takes.
const PATIENCE: Duration = Duration::from_secs(60);
