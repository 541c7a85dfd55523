//! The authority's directory.
//!
//! ```text
//! H/root/root.pem  root.key.pem     the root; its key may be kept elsewhere until an issuing authority is made
//! H/issuing/1.pem  1.key.pem  ..    the issuing authorities, one more for each rotation
//! H/store.sqlite                    agents, certificates, lists
//! H/store                           or the address of the database that has them
//! H/passphrase                      only if nobody gave one
//! H/marks                           the numbers of what was published last, outside the store
//! H/lock                            held by whoever changes something
//! H/serving                         the address of the service that holds it, locked as long as that runs
//! H/held/<key id>.key.pem           keys of agents that the service signs for, encrypted
//! H/sealing.key.pem                 closes the secrets of webhooks, made with the first of them
//! H/log/                            the owner's transparency log with its key, made when it is first used
//! H/public/ca.pem chain.pem lists.pem   what everyone may read
//! H/public/tenants/NAME/                the same for each tenant but the first
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::access::TenantId;
use crate::files::{self, FileError, Readers};
use crate::store::{IssuerId, Place, Store, StoreError};

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

    /// The root key, needed only by what makes an issuing authority: `init`, `rotate`, `tenant create`, `restore`.
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

    /// What closes secrets in the store.
    #[must_use]
    pub fn sealing_key(&self) -> PathBuf {
        self.path.join("sealing.key.pem")
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

    /// How far was published, remembered outside the store.
    #[must_use]
    pub(crate) fn marks(&self) -> PathBuf {
        self.path.join("marks")
    }

    /// The keys that are held for agents.
    #[must_use]
    pub(crate) fn held(&self) -> PathBuf {
        self.path.join("held")
    }

    /// What everyone may read.
    #[must_use]
    pub fn public(&self) -> PathBuf {
        self.path.join("public")
    }

    /// The certificates of the root and of every issuing authority there was, as far as they are here.
    ///
    /// # Errors
    /// [`FileError`] when the folder of the issuing authorities cannot be read.
    pub fn authorities(&self) -> Result<Vec<PathBuf>, FileError> {
        let folder = self.path.join("issuing");
        let mut found = vec![self.public().join("ca.pem")];
        if folder.exists() {
            let fail = |error| FileError::new("read", &folder, error);
            for entry in fs::read_dir(&folder).map_err(fail)? {
                let path = entry.map_err(fail)?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if name.strip_suffix(".pem").is_some_and(|name| name.bytes().all(|it| it.is_ascii_digit())) {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }

    /// The published lists, as an absolute path for agents to keep.
    ///
    /// # Errors
    /// [`FileError`] when the directory does not exist.
    pub fn lists(&self) -> Result<PathBuf, FileError> {
        self.lists_of(&TenantId::default())
    }

    /// What everyone may read of a tenant: of the tenant `default`, the folder that every home has.
    #[must_use]
    pub fn public_of(&self, tenant: &TenantId) -> PathBuf {
        let public = self.public();
        if *tenant == TenantId::default() { public } else { public.join("tenants").join(tenant.as_str()) }
    }

    /// Makes the folder of a tenant; that of every home was made with it.
    pub(crate) fn make_public_of(&self, tenant: &TenantId) -> Result<(), FileError> {
        let public = self.public();
        // Who took that away gets no other one in its place: nobody reads there.
        if *tenant == TenantId::default() || !public.exists() {
            return Ok(());
        }
        files::make_directory(&public.join("tenants"), Readers::Everyone)?;
        files::make_directory(&self.public_of(tenant), Readers::Everyone)
    }

    /// The published lists of a tenant, as an absolute path for agents to keep.
    ///
    /// # Errors
    /// [`FileError`] when the directory does not exist.
    pub fn lists_of(&self, tenant: &TenantId) -> Result<PathBuf, FileError> {
        let public = self.public_of(tenant);
        let absolute = public.canonicalize().map_err(|error| FileError::new("find", &public, error))?;
        Ok(absolute.join("lists.pem"))
    }

    /// The published lists of every tenant, as far as they are here.
    ///
    /// # Errors
    /// [`FileError`] when the folder of the tenants cannot be read.
    pub fn all_lists(&self) -> Result<Vec<PathBuf>, FileError> {
        let mut found = vec![self.public().join("lists.pem")];
        let folder = self.public().join("tenants");
        if folder.exists() {
            let fail = |error| FileError::new("read", &folder, error);
            for entry in fs::read_dir(&folder).map_err(fail)? {
                let lists = entry.map_err(fail)?.path().join("lists.pem");
                if lists.exists() {
                    found.push(lists);
                }
            }
        }
        Ok(found)
    }

    /// The folders of tenants under [`Home::public`], also of those that the records do not know, with the name of each
    /// if it is one that a tenant may have.
    ///
    /// # Errors
    /// [`FileError`] when the folder of the tenants cannot be read.
    pub(crate) fn tenant_folders(&self) -> Result<Vec<(PathBuf, Option<TenantId>)>, FileError> {
        let (mut found, folder) = (Vec::new(), self.public().join("tenants"));
        if folder.exists() {
            let fail = |error| FileError::new("read", &folder, error);
            for entry in fs::read_dir(&folder).map_err(fail)? {
                let entry = entry.map_err(fail)?;
                // Not through a link: what it points to is none of this home.
                if entry.file_type().map_err(fail)?.is_dir() {
                    let tenant = entry.file_name().to_str().and_then(TenantId::parse);
                    found.push((entry.path(), tenant));
                }
            }
        }
        Ok(found)
    }

    /// Where its records are.
    ///
    /// # Errors
    /// [`HomeError`] when the home does not say it in a way that this program knows.
    pub fn place(&self) -> Result<Place, HomeError> {
        let path = self.path.join(STORE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::File(self.store())),
            Err(error) => return Err(FileError::new("read", &path, error).into()),
        };
        let place = Place::named(&text).map_err(|error| HomeError::Place { path, error: Box::new(error) })?;
        Ok(place)
    }

    /// Says where the records of a home to be made are. Once said, it stays.
    ///
    /// # Errors
    /// [`HomeError::OtherStore`] when the home has its records elsewhere, [`HomeError::Store`] when the place is none.
    pub fn keep_place(&self, text: &str) -> Result<(), HomeError> {
        let path = self.path.join(STORE);
        let text = text.trim();
        Place::named(text)?;
        if self.store().exists() {
            return Err(HomeError::OtherStore { path: self.store() });
        }
        match fs::read_to_string(&path) {
            Ok(kept) if kept.trim() == text => return Ok(()),
            Ok(_) => return Err(HomeError::OtherStore { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::new("read", &path, error).into()),
        }
        files::make_directory(&self.path, Readers::Everyone)?;
        // It may have a password in it.
        Ok(files::replace(&path, format!("{text}\n").as_bytes(), Readers::Owner)?)
    }

    /// Opens the records to read them: no key, no lock.
    ///
    /// # Errors
    /// [`HomeError::NoAuthority`] when there is none, or the store's own failure.
    pub fn records(&self) -> Result<Box<dyn Store + Send>, HomeError> {
        let none = || HomeError::NoAuthority { path: self.path.clone() };
        let place = self.place()?;
        match &place {
            Place::File(path) if !path.exists() => Err(none()),
            // One that crashed while it was made is to be made again, and nothing to read.
            Place::File(_) => match place.open()? {
                store if store.issuers()?.is_empty() => Err(none()),
                store => Ok(store),
            },
            // To open it otherwise is to lead, and whoever only reads leads nobody.
            #[cfg(feature = "postgres")]
            Place::Server(_) => match place.reader() {
                Ok(store) if store.issuers()?.is_empty() => Err(none()),
                Err(StoreError::TooOld { found: 0, .. }) => Err(none()),
                read => Ok(read?),
            },
        }
    }

    /// The keys and certificates of authorities that `records` know and this home does not have: a copy of a home has
    /// to be made again after `kakunin rotate`. Nobody needs the root's key to serve.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    pub fn lacks(&self, records: &dyn Store) -> Result<Vec<PathBuf>, StoreError> {
        let issuers = records.issuers()?.into_iter().filter(|issuer| issuer.revoked.is_none());
        let wanted = issuers.filter(|issuer| issuer.id != IssuerId::ROOT).map(|issuer| issuer.id);
        let files = wanted.flat_map(|id| [self.issuing_certificate(id), self.issuing_key(id)]);
        Ok(files.filter(|path| !path.exists()).collect())
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

    /// Says where the service is that holds this home, until the mark is dropped or its process ends.
    ///
    /// # Errors
    /// [`HomeError::Served`] when another service holds it, [`HomeError::File`] when it cannot be written.
    pub fn mark_served(&self, url: &str) -> Result<ServingMark, HomeError> {
        let path = self.path.join(SERVING);
        let fail = |source| FileError::new("write", &path, source);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o644).open(&path);
        let mut file = file.map_err(fail)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // It may be about to write where it is, or a command may be looking whether there is one.
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                    if let Some(url) = self.served() {
                        return Err(HomeError::Served { path: self.path.clone(), url });
                    }
                    thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => return Err(HomeError::Busy { path: self.path.clone() }),
                Err(TryLockError::Error(error)) => return Err(fail(error).into()),
            }
        }
        file.set_len(0).and_then(|()| file.write_all(url.as_bytes())).map_err(fail)?;
        Ok(ServingMark { file })
    }

    /// The address of the service that holds this home now.
    ///
    /// Only the lock counts: what a service that was killed left in the file means nothing.
    #[must_use]
    pub fn served(&self) -> Option<String> {
        let mut file = File::open(self.path.join(SERVING)).ok()?;
        if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        let mut url = String::new();
        let read = Read::by_ref(&mut file).take(MAX_URL).read_to_string(&mut url);
        (read.is_ok() && !url.is_empty()).then_some(url)
    }

    fn lock_file(&self) -> Result<(PathBuf, File), FileError> {
        let path = self.path.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|source| FileError::new("open", &path, source))?;
        Ok((path, file))
    }

    /// The right to change this home, unless another process has it.
    pub(crate) fn try_lock(&self) -> Result<Option<HomeLock>, HomeError> {
        let (path, file) = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(HomeLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(FileError::new("lock", &path, error).into()),
        }
    }

    /// Waits until no other process changes this home.
    pub(crate) fn lock(&self) -> Result<HomeLock, HomeError> {
        let (path, file) = self.lock_file()?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(HomeLock { _file: file }),
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                    // A service does not end by waiting for it.
                    if let Some(url) = self.served() {
                        return Err(HomeError::Served { path: self.path.clone(), url });
                    }
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

/// Says that a home is being served; released when dropped, also by a crash.
#[derive(Debug)]
pub struct ServingMark {
    file: File,
}

impl Drop for ServingMark {
    fn drop(&mut self) {
        // For people who look: to programs only the lock says something.
        let _ = self.file.set_len(0);
    }
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
    /// A service holds it as long as it runs.
    #[error("{} is being served at {url}; pass --url {url}, or stop the service first", path.display())]
    Served {
        /// The directory.
        path: PathBuf,
        /// Where.
        url: String,
    },
    /// What it says about its store.
    #[error("{}: {error}", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: Box<StoreError>,
    },
    /// Its records are elsewhere.
    #[error("the home keeps its records where {} says; begin a new home for another store", path.display())]
    OtherStore {
        /// The file.
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
const STORE: &str = "store";
const SERVING: &str = "serving";
/// No address of a service is longer.
const MAX_URL: u64 = 4096;
