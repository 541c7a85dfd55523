//! The agent's directory, as the client keeps it.
//!
//! ```text
//! DIR  agent.pem  key.pem  chain.pem  ca.pem  agent.toml  names/<root>.txt  lists.pem  state/
//! ```
//!
//! A guard watches it as it does every directory (WIRE 8). Takes in papers and lists, gives out what is proven of them: nothing
//! is written here that a guard would refuse. Several processes may keep one directory; each write is made under its lock, and
//! lists only go forward.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kakunin_core::certificate::{AgentCertificate, AgentPath, CertificateError, ListSelectError, PathLists};
use kakunin_core::digest::Digest;
use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::home::{AgentHome, HomeError, Papers};
use kakunin_core::id::AgentId;
use kakunin_core::key::Signer;
use kakunin_core::modes;
use kakunin_core::reason::DenialReason;
use kakunin_core::scope::NameLists;
use kakunin_core::snapshot;
use kakunin_core::time::UnixTime;

use crate::evidence::Evidence;
use crate::files::FileError;
use crate::install;
use crate::papers::NewPapers;

/// A directory with an agent in it, whose papers are proven.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    dir: PathBuf,
    lists: PathBuf,
    path: AgentPath,
}

impl Place {
    /// Whether there is an agent in `dir`. Its certificate is written last, so where it is missing nothing was finished.
    pub(crate) fn is_taken(dir: &Path) -> bool {
        dir.join("agent.pem").exists()
    }

    /// Opens the directory and proves its papers, at `now` or, if they have ended, when they began.
    pub(crate) fn open(dir: &Path, now: UnixTime) -> Result<Self, PlaceError> {
        let lists = dir.join(LISTS);
        AgentHome::refuse_loose_directory(dir).map_err(HomeError::LooseState)?;
        let home = AgentHome::open(dir, Some(&lists))?;
        let papers = home.papers()?;
        // Who has no key cannot decide, renew or sign; said now and not at the first call.
        let key = home.key()?;
        let path = prove(&papers, now)?;
        if path.agent().decoded().key() != key.public() {
            return Err(PlaceError::OtherKey { dir: dir.to_owned() });
        }
        Ok(Self { dir: home.dir().to_owned(), lists: home.lists_path().to_owned(), path })
    }

    /// Where it is, absolute.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file of lists that the client keeps.
    pub(crate) fn lists_path(&self) -> &Path {
        &self.lists
    }

    /// The file that changes last when papers are renewed.
    pub(crate) fn certificate_file(&self) -> PathBuf {
        self.dir.join("agent.pem")
    }

    /// Whose it is.
    pub(crate) fn agent(&self) -> AgentId {
        self.path.agent().agent()
    }

    /// The key of its issuing authority.
    pub(crate) fn issuer(&self) -> Digest {
        self.path.issuing().decoded().key().key_id()
    }

    /// SHA-256 of the DER of the root above it.
    pub(crate) fn root(&self) -> Digest {
        Digest::of(self.path.root().decoded().der())
    }

    /// The proven papers.
    pub(crate) const fn path(&self) -> &AgentPath {
        &self.path
    }

    /// The lists in it, if they are there and genuine. What cannot be used is as good as none: new ones take its place.
    pub(crate) fn lists(&self) -> Option<PathLists> {
        let home = AgentHome::open(&self.dir, Some(&self.lists)).ok()?;
        PathLists::from_pem(&home.lists().ok()?, &self.path).ok()
    }

    /// The certificate that is there now, whoever wrote it.
    fn certificate(&self) -> Result<AgentCertificate, PlaceError> {
        let there = AgentHome::open(&self.dir, Some(&self.lists))?.certificate()?;
        Ok(AgentCertificate::decode(&there)?)
    }

    /// The agent's name at its authority, if the directory says it.
    pub(crate) fn name(&self) -> Option<String> {
        let home = AgentHome::open(&self.dir, Some(&self.lists)).ok()?;
        home.name().map(str::to_owned)
    }

    /// Puts `lists` in their file unless newer ones are there, and gives out those that are there then.
    pub(crate) async fn put_lists(&self, lists: PathLists) -> Result<PathLists, PlaceError> {
        let _lock = self.lock().await?;
        // These are of the authority that was asked for. Under the lock, since a renewal writes both.
        if self.certificate()?.decoded().issuer() != self.path.agent().decoded().issuer() {
            return Err(PlaceError::Moved);
        }
        let there = self.lists();
        // The newer of each kind, whoever brought it; two of one number that differ are none.
        let known = there.iter().flat_map(|there| [there.issuing().der(), there.root().der()]);
        let offered = [lists.issuing().der(), lists.root().der()];
        let lists = PathLists::from_der(known.chain(offered), &self.path).map_err(PlaceError::Lists)?;
        if there.is_some_and(|there| there.same_as(&lists)) {
            return Ok(lists);
        }
        install::write_lists(&self.lists, &lists)?;
        Ok(lists)
    }

    /// The key in the directory, to sign with.
    pub(crate) fn signer(&self) -> Result<Arc<Signer>, PlaceError> {
        let home = AgentHome::open(&self.dir, Some(&self.lists))?;
        Ok(Arc::new(Signer::soft(home.key()?)))
    }

    /// Takes up `new` papers of the same key, which were judged against these.
    ///
    /// # Errors
    /// [`PlaceError::Moved`] when somebody else renewed the directory meanwhile: `new` might end sooner than what is there,
    /// or be of an authority that the present one never named.
    pub(crate) async fn renew(&self, new: &NewPapers) -> Result<Self, PlaceError> {
        let _lock = self.lock().await?;
        if self.certificate()?.decoded().der() != self.path.agent().decoded().der() {
            return Err(PlaceError::Moved);
        }
        let before = self.lists();
        // Lists of the same authority only go forward.
        let known = before.iter().flat_map(|lists| [lists.issuing().der(), lists.root().der()]);
        let offered = [new.lists.issuing().der(), new.lists.root().der()];
        let lists = PathLists::from_der(known.chain(offered), &new.path).map_err(PlaceError::Lists)?;
        install::put_names(&self.dir, new)?;
        install::steps(self, new, &lists, before.as_ref())?.run()?;
        Ok(Self { path: new.path.clone(), ..self.clone() })
    }

    /// Ends a move to another issuing authority that was interrupted: what is there already is of one of the two.
    pub(crate) async fn settle(&self) -> Result<(), PlaceError> {
        let is_moving = || AgentHome::open(&self.dir, Some(&self.lists))?.is_moving();
        if !is_moving()? {
            return Ok(());
        }
        let _lock = self.lock().await?;
        // Whoever had the lock may have ended it, or gone on to other papers.
        let now_there = Self::open(&self.dir, SystemClock.wall().to_seconds())?;
        if is_moving()? { install::end_of_move(&self.dir, now_there.path())?.run() } else { Ok(()) }
    }

    /// Keeps what contradicts.
    pub(crate) async fn keep_evidence(&self, evidence: Evidence) -> Result<Option<PathBuf>, PlaceError> {
        let _lock = self.lock().await?;
        evidence.keep(&self.dir)
    }

    /// Every list of names that its papers need or needed.
    pub(crate) fn names(&self) -> Result<NameLists, PlaceError> {
        Ok(AgentHome::open(&self.dir, Some(&self.lists))?.papers()?.names)
    }

    /// The directory's lock, for the time of a write. Whoever holds it for longer is stopped or broken.
    pub(crate) async fn lock(&self) -> Result<File, PlaceError> {
        lock(&self.dir).await
    }
}

pub(crate) async fn lock(dir: &Path) -> Result<File, PlaceError> {
    let path = dir.join(LOCK);
    let fail = |source| FileError { verb: "lock", path: path.clone(), source };
    let file = modes::open_lock(&path).map_err(fail)?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
            Err(TryLockError::Error(error)) => return Err(fail(error).into()),
        }
    }
    Err(PlaceError::Locked { path })
}

/// Proves `papers` at `now` or, for those that have ended, at their beginning: their feed and lists still deny.
fn prove(papers: &Papers, now: UnixTime) -> Result<AgentPath, PlaceError> {
    match snapshot::prove(papers, now) {
        Err(refusal) if refusal.reason() == DenialReason::CertificateExpired => {
            let begin = AgentCertificate::decode(&papers.agent)?.decoded().validity().not_before;
            snapshot::prove(papers, begin).map_err(PlaceError::Papers)
        }
        proven => proven.map_err(PlaceError::Papers),
    }
}

pub(crate) fn to_pem(label: &'static str, der: &[u8]) -> Result<String, PlaceError> {
    der::pem::encode_string(label, der::pem::LineEnding::LF, der).map_err(|_| PlaceError::Encoding)
}

/// A directory that a client cannot keep.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// What is in it.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Papers that nobody vouches for.
    #[error("the papers are refused: {0}")]
    Papers(snapshot::Refusal),
    /// Lists that contradict those in the directory.
    #[error(transparent)]
    Lists(ListSelectError),
    /// A key that is not the certificate's.
    #[error("the key in {} is not that of its certificate", dir.display())]
    OtherKey {
        /// The directory.
        dir: PathBuf,
    },
    /// The papers were replaced by others meanwhile.
    #[error("the directory holds other papers by now; they are taken up within a second")]
    Moved,
    /// Somebody else holds the lock.
    #[error("another process has held {} for too long; is it stopped?", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A value without an encoding.
    #[error("a certificate or list cannot be encoded")]
    Encoding,
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl PlaceError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Papers(refusal) => refusal.reason().code(),
            Self::Lists(error) => error.reason().code(),
            Self::Locked { .. } => "directory.locked",
            Self::Moved => "directory.moved",
            Self::File(_) => "directory.unwritable",
            _ => "directory.unreadable",
        }
    }
}

pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
pub(crate) const LISTS: &str = "lists.pem";
const LOCK: &str = ".client.lock";
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use kakunin_authority::authority::OldIssuing;

    use super::*;
    use crate::tested::{Rotated, now};

    /// C187: lists that were asked for by the papers of before come when those of after are there.
    #[test]
    fn lists_of_the_authority_of_before_do_not_take_the_place_of_those_of_now() {
        let rotated = Rotated::new(OldIssuing::Keep);
        let (place, new) = (rotated.place(), rotated.papers(None));
        let before = place.lists().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let renewed = runtime.block_on(place.renew(&new)).unwrap();
        let there = std::fs::read(place.lists_path()).unwrap();
        let late = runtime.block_on(place.put_lists(before)).unwrap_err();
        assert_eq!(late.code(), "directory.moved");
        assert_eq!(std::fs::read(place.lists_path()).unwrap(), there);
        assert!(Place::open(place.dir(), now()).unwrap().lists().is_some());
        runtime.block_on(renewed.put_lists(new.lists)).unwrap();
    }
}
