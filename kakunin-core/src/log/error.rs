//! Why a log cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use super::note::NoteError;
use super::vkey::VerifierKeyError;
use crate::key::SignError;

/// A log that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The system refuses.
    #[error("`{}` cannot be read or written: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is none.
    #[error("`{}` holds no log: it has no checkpoint", path.display())]
    NoLog {
        /// The folder.
        path: PathBuf,
    },
    /// There is one already, or what is left of one.
    #[error("`{}` holds a log already, or what is left of one; a second start would be a fork", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Another process writes it.
    #[error("another process is writing the log in `{}`; wait for it to end", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// What the log signed is not what lies there.
    #[error("`{}` is damaged: {what}; restore it from a copy, the log cannot go on without it", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The checkpoint is not one of this log.
    #[error("`{}`: {source}", path.display())]
    Note {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: NoteError,
    },
    /// The key beside the log is none.
    #[error("`{}`: {source}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: VerifierKeyError,
    },
    /// There was more than is there now.
    #[error(
        "the log in `{}` has {size} entries and had {seen}: it was set back; restore the newest copy",
        path.display()
    )]
    RolledBack {
        /// The folder.
        path: PathBuf,
        /// How many entries are there.
        size: u64,
        /// How many a witness, or the log's own index, has seen.
        seen: u64,
    },
    /// A witness has seen another log of this name and size.
    #[error("the log in `{}` is not the one a witness has seen at {size} entries: it was forked", path.display())]
    Forked {
        /// The folder.
        path: PathBuf,
        /// At which size.
        size: u64,
    },
    /// An entry that no bundle can carry.
    #[error("an entry has {length} octets; a log carries at most 65535")]
    EntryTooLong {
        /// How long it is.
        length: usize,
    },
    /// The log has no such entry or size.
    #[error("the log has {size} entries and not {asked}")]
    Beyond {
        /// What was asked for.
        asked: u64,
        /// How many it has.
        size: u64,
    },
    /// A write failed before, and nobody knows what reached the disk.
    #[error("a write to the log failed before; open it again")]
    Poisoned,
    /// The key does not sign.
    #[error("the log's key: {0}")]
    Sign(#[from] SignError),
}

impl LogError {
    /// Says which file the system refused.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
