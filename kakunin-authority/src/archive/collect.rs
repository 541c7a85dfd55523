//! What has to be archived and is not yet: the owner's log and the published lists.
//!
//! Takes in the sources and the keys that are known, gives out objects in the order in which they have to be stored. It
//! writes nothing and removes nothing; the same walk fills the outbox and counts what is missing.
//!
//! ```text
//! <prefix>/lists/<sha256 of TBSCertList>.crl     each list once, from lists.pem files and the journals' archives
//! <prefix>/log/tile/..                           full tiles and bundles; partial ones as a checkpoint needs them
//! <prefix>/log/checkpoints/<size>/<sha256>       each signed note, after everything that it states
//! ```
//!
//! The tiles keep the paths of C2SP tlog-tiles, so the prefix can be served as a log. A checkpoint is named by its bytes as
//! well, because a later cosignature makes another note of the same size. Checkpoints are those in `witnessed/`, and the
//! log's newest one until it is witnessed.
//!
//! Journals are written by agents, who may be hostile: nothing that lies there is waited for, and nothing of it stands in the
//! way of the log or of other lists.

use std::io;
use std::path::{Path, PathBuf};

use der::pem;
use kakunin_core::digest::Digest;
use kakunin_core::log::{LogError, LogReader, OpenedCheckpoint};
use kakunin_core::revocation::UnverifiedList;

use super::journal_lists::{ListsOf, issuers};
use super::mark::{Contradiction, Mark};
use super::object::{BadKey, Object, ObjectKey, Rank};
use crate::files::{self, FileError};

/// Where to look.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The log's directory; one that does not exist is an empty log.
    pub log: PathBuf,
    /// Files of PEM lists.
    pub lists: Vec<PathBuf>,
    /// Journals, whose archives hold the lists that agents used.
    pub journals: Vec<PathBuf>,
    /// Certificates of the authorities whose lists these are, PEM.
    pub issuers: Vec<PathBuf>,
    /// How far the log was collected before.
    pub mark: Option<Mark>,
}

/// What a walk through the sources found besides objects.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// How far the log goes now.
    pub(super) mark: Option<Mark>,
    /// What in a journal cannot be used. Everything else was handed over.
    pub(super) passed_over: Option<CollectError>,
}

/// Hands every object to `take` whose key is not `known`.
///
/// Lists come first, so that a damaged log does not hold them back.
///
/// # Errors
/// [`CollectError`] for the first source that cannot be used; what came before it was handed over.
pub(super) fn collect<E: From<CollectError>>(
    sources: &Sources,
    prefix: &str,
    known: &mut dyn FnMut(&ObjectKey) -> bool,
    take: &mut dyn FnMut(Object) -> Result<(), E>,
) -> Result<Found, E> {
    let under = |path: &str| {
        let slash = if prefix.is_empty() { "" } else { "/" };
        ObjectKey::parse(&format!("{prefix}{slash}{path}")).map_err(CollectError::Key)
    };
    let mut take_list = |der: Vec<u8>, digest: Digest| {
        let key = under(&format!("lists/{digest}.crl"))?;
        if known(&key) { Ok(()) } else { take(Object::new(key, Rank::Part, der)) }
    };
    for der in lists(sources)? {
        if let Ok(digest) = UnverifiedList::decode(&der).map(|list| list.digest()) {
            take_list(der, digest)?;
        }
    }
    let mut found = Found::default();
    let issuers = issuers(&sources.issuers)?;
    for journal in &sources.journals {
        let mut walk = match ListsOf::journal(journal) {
            Ok(walk) => walk,
            Err(error) => {
                found.passed_over = Some(error);
                continue;
            }
        };
        while let Some(read) = walk.next(&issuers) {
            match read {
                Ok((der, digest)) => take_list(der, digest)?,
                Err(error) => found.passed_over = Some(error),
            }
        }
    }
    let contradicts = |why| CollectError::Contradicts { log: sources.log.clone(), why };
    let newest = match (open_log(&sources.log).map_err(CollectError::Log)?, &sources.mark) {
        (Some(mut log), Some(mark)) => mark.agrees(&mut log).map_err(contradicts).map(|()| log)?,
        (Some(log), None) => log,
        (None, Some(_)) => return Err(contradicts(Contradiction::Gone).into()),
        (None, None) => return Ok(found),
    };
    for head in heads(&newest).map_err(CollectError::Log)? {
        let note = head.note().to_string().into_bytes();
        let name = under(&format!("log/checkpoints/{}/{}", head.size(), Digest::of(&note)))?;
        if known(&name) {
            continue;
        }
        let mut log = newest.back_at(head).map_err(CollectError::Log)?;
        for file in log.files() {
            let key = under(&format!("log/{file}"))?;
            if !log.has_grown(file) && !known(&key) {
                take(Object::new(key, Rank::Part, log.file(file).map_err(CollectError::Log)?))?;
            }
        }
        take(Object::new(name, Rank::Head, note))?;
    }
    Ok(Found { mark: Some(Mark::of(&newest)), ..found })
}

/// The log, read with the key that lies beside it: what is copied has to agree with itself, and whoever reads the archive
/// brings a key of their own.
fn open_log(folder: &Path) -> Result<Option<LogReader>, LogError> {
    if !folder.join(CHECKPOINT).exists() {
        return Ok(None);
    }
    LogReader::open(folder, &LogReader::key_beside(folder)?).map(Some)
}

/// The checkpoints to archive, smallest first: the witnessed ones, and the newest one until it is.
fn heads(log: &LogReader) -> Result<Vec<OpenedCheckpoint>, LogError> {
    let mut heads = log.witnessed()?;
    if heads.iter().all(|head| head.size() != log.size()) {
        heads.push(log.checkpoint().clone());
    }
    Ok(heads)
}

/// Every list of the files in DER.
fn lists(sources: &Sources) -> Result<Vec<Vec<u8>>, CollectError> {
    let mut lists = Vec::new();
    for path in sources.lists.iter().filter(|path| path.exists()) {
        let text = files::read(path)?;
        let end = "-----END X509 CRL-----\n";
        let text = String::from_utf8(text).map_err(|_| CollectError::List { path: path.clone() })?;
        for block in text.split_inclusive(end).filter(|block| !block.trim().is_empty()) {
            let block = pem::decode_vec(block.as_bytes());
            let (_, der) = block.map_err(|_| CollectError::List { path: path.clone() })?;
            lists.push(der);
        }
    }
    Ok(lists)
}

/// A source that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A log that is not what it signed.
    #[error("{0}; nothing of this checkpoint is archived")]
    Log(LogError),
    /// A log that is not the one that is archived.
    #[error(
        "{}: {why}; bring back the log that was there, or archive this one under another prefix with \
         `kakunin archive use`",
        log.display()
    )]
    Contradicts {
        /// The log.
        log: PathBuf,
        /// How it differs.
        why: Contradiction,
    },
    /// A prefix that makes no key.
    #[error(transparent)]
    Key(BadKey),
    /// Something in a journal that cannot be read as a list.
    #[error("{}: {why}; what is in the way there was passed over", path.display())]
    Journal {
        /// What it is.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// A certificate of this authority that cannot be read.
    #[error("{} holds no certificate of an authority", path.display())]
    Issuer {
        /// The file.
        path: PathBuf,
    },
    /// A file of lists that cannot be read.
    #[error("{} holds something that is no list; run `kakunin crl`", path.display())]
    List {
        /// The file.
        path: PathBuf,
    },
}

impl CollectError {
    /// Whether the source itself is wrong, and not only out of reach.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::File(_) | Self::Journal { .. } | Self::Log(LogError::Io { .. }))
    }
}

const CHECKPOINT: &str = "checkpoint";
