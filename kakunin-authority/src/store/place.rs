//! Where the records of a home are, and the one way to them.

use std::path::PathBuf;

use super::{SqliteStore, Store, StoreError};

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a SQLite file.
    File(PathBuf),
}

impl Place {
    /// Opens the records to change them, making or bringing up to date what holds them where needed.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be opened, or are of another version.
    pub fn open(&self) -> Result<Box<dyn Store + Send>, StoreError> {
        match self {
            Self::File(path) => Ok(Box::new(SqliteStore::open(path)?)),
        }
    }

    /// Opens one more connection that reads what is committed while another one writes. Whatever would write fails.
    ///
    /// # Errors
    /// [`StoreError`] when nothing is there, or it is not of this program's version: [`Place::open`] comes first.
    pub fn reader(&self) -> Result<Box<dyn Store + Send>, StoreError> {
        match self {
            Self::File(path) => Ok(Box::new(SqliteStore::reader(path)?)),
        }
    }
}
