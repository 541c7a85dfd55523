//! Where the records of a home are, and the one way to them.

use std::path::PathBuf;

use super::{SqliteStore, Store, StoreError};

/// Where records are kept.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a SQLite file.
    File(PathBuf),
    /// On a PostgreSQL server.
    #[cfg(feature = "postgres")]
    Server(super::Address),
}

impl Place {
    /// The place that a text names: the address of a PostgreSQL server.
    ///
    /// # Errors
    /// [`StoreError::Address`] when it names none, or this program was built without it.
    pub fn named(text: &str) -> Result<Self, StoreError> {
        #[cfg(feature = "postgres")]
        return Ok(Self::Server(super::Address::parse(text)?));
        #[cfg(not(feature = "postgres"))]
        return Err(StoreError::Address {
            text: format!("this program was built without PostgreSQL ({} octets)", text.len()),
        });
    }

    /// Opens the records to change them, making or bringing up to date what holds them where needed.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be opened, are of another version, or another process writes to them.
    pub fn open(&self) -> Result<Box<dyn Store + Send>, StoreError> {
        match self {
            Self::File(path) => Ok(Box::new(SqliteStore::open(path)?)),
            #[cfg(feature = "postgres")]
            Self::Server(address) => Ok(Box::new(super::PostgresStore::open(address)?)),
        }
    }

    /// Opens one more connection that reads what is committed while another one writes. Whatever would write fails.
    ///
    /// # Errors
    /// [`StoreError`] when nothing is there, or it is not of this program's version: [`Place::open`] comes first.
    pub fn reader(&self) -> Result<Box<dyn Store + Send>, StoreError> {
        match self {
            Self::File(path) => Ok(Box::new(SqliteStore::reader(path)?)),
            #[cfg(feature = "postgres")]
            Self::Server(address) => Ok(Box::new(super::PostgresStore::reader(address)?)),
        }
    }
}
