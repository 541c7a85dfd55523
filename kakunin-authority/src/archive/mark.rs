//! How far a log was collected: which log it was, how many entries it had, and the root over them.
//!
//! Keys of tiles say nothing about whose they are, and what is known by its key is not collected again. So a log that
//! was begun anew, or continued from an older copy, would pass for the one that is archived already. It is held against
//! the mark and refused, as a witness would.
//!
//! ```text
//! H/archive/marks     {"<bucket>[@<endpoint>]/<prefix>":{"log":"..","root":"..","size":42}}
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kakunin_core::digest::Digest;
use kakunin_core::log::{LogError, LogReader};
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError, Readers};

/// What is remembered of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    log: Digest,
    root: Digest,
    size: u64,
}

impl Mark {
    pub(super) fn of(log: &LogReader) -> Self {
        let head = log.checkpoint();
        Self { log: head.log().digest(), root: *head.root(), size: head.size() }
    }

    /// Whether `log` goes on from here.
    pub(super) fn agrees(&self, log: &mut LogReader) -> Result<(), Contradiction> {
        if log.checkpoint().log().digest() != self.log {
            return Err(Contradiction::OtherLog);
        }
        match log.size() >= self.size {
            true if log.root_at(self.size)? == self.root => Ok(()),
            true => Err(Contradiction::Rewritten { size: self.size }),
            false => Err(Contradiction::SetBack { size: log.size(), archived: self.size }),
        }
    }
}

/// Why a log is not the one that is archived.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// Another key or another name.
    #[error("it is another log than the one that is archived here")]
    OtherLog,
    /// Nothing where the log was.
    #[error("it is gone")]
    Gone,
    /// Shorter.
    #[error("it has {size} entries, and {archived} are archived: it was set back to an older copy")]
    SetBack {
        /// How many it has.
        size: u64,
        /// How many it had.
        archived: u64,
    },
    /// Other entries.
    #[error("its first {size} entries are not those that are archived")]
    Rewritten {
        /// How many were compared.
        size: u64,
    },
    /// It cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Every mark, by where the log was archived.
#[derive(Debug)]
pub(super) struct Marks {
    path: PathBuf,
    lines: BTreeMap<String, Line>,
}

impl Marks {
    pub(super) fn read(path: &Path) -> Result<Self, MarkError> {
        let lines = match path.exists() {
            true => serde_json::from_slice(&files::read(path)?).map_err(|_| MarkError::damaged(path))?,
            false => BTreeMap::new(),
        };
        Ok(Self { path: path.to_owned(), lines })
    }

    pub(super) fn at(&self, place: &str) -> Result<Option<Mark>, MarkError> {
        let Some(line) = self.lines.get(place) else { return Ok(None) };
        let (log, root) = (Digest::from_hex(&line.log), Digest::from_hex(&line.root));
        let mark = log.zip(root).map(|(log, root)| Mark { log, root, size: line.size });
        mark.map(Some).ok_or_else(|| MarkError::damaged(&self.path))
    }

    pub(super) fn set(&mut self, place: String, mark: &Mark) -> Result<(), MarkError> {
        let line = Line { log: mark.log.to_hex(), root: mark.root.to_hex(), size: mark.size };
        if self.lines.get(&place) == Some(&line) {
            return Ok(());
        }
        self.lines.insert(place, line);
        let mut bytes = serde_json::to_vec(&self.lines).map_err(|_| MarkError::damaged(&self.path))?;
        bytes.push(b'\n');
        Ok(files::replace(&self.path, &bytes, Readers::Owner)?)
    }
}

#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    log: String,
    root: String,
    size: u64,
}

/// Marks that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MarkError {
    /// Their file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not what was written.
    #[error("{}: no marks of the archive; compare the log with what is archived, then move the file away", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl MarkError {
    fn damaged(path: &Path) -> Self {
        Self::Damaged { path: path.to_owned() }
    }
}
