//! The records in one SQLite file: write-ahead log, every commit synced.
//!
//! One connection is one side: whoever reads beside the writer opens a second one with [`SqliteStore::reader`].

mod access;
mod agents;
mod audit;
mod certificates;
mod checkpoints;
mod declared;
mod feed;
mod feed_keys;
mod freezes;
mod hooks;
mod issuers;
mod lists;
mod migrate;
mod receipts;
mod requests;
mod risk;
mod tokens;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use kakunin_core::id::SerialNumber;
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, TransactionBehavior, ffi};

pub use migrate::Rehearsal;

use super::lists::Wholes;
use super::{Store, StoreError};
use crate::access::TenantId;
use crate::files::FileError;
use crate::standing::{Reason, Standing};

/// A store in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    in_batch: bool,
    wholes: Wholes,
}

impl SqliteStore {
    /// Opens the file at `path`, making it or bringing it up to date where needed.
    ///
    /// # Errors
    /// [`StoreError::TooNew`] when a newer version wrote it; otherwise the database's own.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // SQLite gives its log files the mode of the database: made first, for the owner alone.
        let mut options = OpenOptions::new();
        let made = options.write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map_err(|error| FileError::new("open", path, error))?;
        let began = Instant::now();
        loop {
            match Self::open_now(path) {
                // SQLite does not wait, whatever it was told, where two that wait could wait for each other: when the
                // first ones to open a file turn its journal into a write-ahead log at once.
                Err(StoreError::Database(error))
                    if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                        && began.elapsed() < PATIENCE =>
                {
                    sleep(AGAIN);
                }
                done => return done,
            }
        }
    }

    fn open_now(path: &Path) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        migrate::migrate(&mut connection)?;
        Ok(Self { connection, in_batch: false, wholes: Wholes::default() })
    }

    /// Tries on a copy beside the file at `path` whether this program can open it, and leaves the file as it is.
    ///
    /// The copy is of one moment, needs as much room as the file, and is removed in the end.
    ///
    /// # Errors
    /// What opening it would say, [`StoreError::Damaged`] when the file or a record does not hold, or
    /// [`StoreError::AuditBroken`].
    pub fn rehearse(path: &Path) -> Result<Rehearsal, StoreError> {
        migrate::rehearse(path)
    }

    /// Copies the file at `path`, as it is at one moment, to `out`, which must not exist.
    ///
    /// # Errors
    /// [`StoreError::File`] when the copy cannot be made, otherwise the database's own.
    pub fn backup(path: &Path, out: &Path) -> Result<(), StoreError> {
        migrate::backup(path, out)
    }

    /// Opens one more connection to the file at `path` that reads what is committed while another one writes.
    /// Whatever would write fails.
    ///
    /// # Errors
    /// [`StoreError`] when the file does not exist or is not of this program's version: [`SqliteStore::open`] comes
    /// first.
    pub fn reader(path: &Path) -> Result<Self, StoreError> {
        // Not SQLITE_OPEN_READ_ONLY: a reader of a file with a write-ahead log may have to make the shared index.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "query_only", true)?;
        migrate::check_current(&connection)?;
        Ok(Self { connection, in_batch: false, wholes: Wholes::default() })
    }

    /// Does what one verb does, durably or not at all; within a batch, as a part of it or not at all.
    fn write<T>(&mut self, verb: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.in_batch {
            self.still_in_batch()?;
            let part = self.connection.savepoint()?;
            let done = verb(&part)?;
            part.commit()?;
            return Ok(done);
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = verb(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// A disk that fills makes SQLite end the whole transaction; what follows must not be durable without it.
    fn still_in_batch(&self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() { Err(StoreError::BatchLost) } else { Ok(()) }
    }
}

impl Store for SqliteStore {
    fn batch(
        &mut self,
        work: &mut dyn FnMut(&mut dyn Store) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.in_batch {
            return Err(StoreError::BatchInBatch);
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.in_batch = true;
        let batch = Batch { store: self };
        work(batch.store)?;
        batch.store.still_in_batch()?;
        batch.store.connection.execute_batch("COMMIT")?;
        Ok(())
    }

    fn confirm(&self) -> Result<(), StoreError> {
        // The lock of the home, taken before the file is opened to write, is the whole of it.
        Ok(())
    }

    fn term(&self) -> Result<i64, StoreError> {
        Ok(0)
    }
}

/// A batch under way: unless it was committed, nothing of it happened, also when the work panics.
struct Batch<'a> {
    store: &'a mut SqliteStore,
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.store.connection.is_autocommit() {
            // If even this fails the connection keeps the transaction open, and every later verb fails by it.
            let _ = self.store.connection.execute_batch("ROLLBACK");
        }
        self.store.in_batch = false;
    }
}

fn tenant(row: &Row<'_>, column: usize) -> rusqlite::Result<TenantId> {
    let text: String = row.get(column)?;
    TenantId::parse(&text).ok_or_else(|| damaged(column, Type::Text))
}

fn standing(row: &Row<'_>, column: usize) -> rusqlite::Result<Standing> {
    let word: String = row.get(column)?;
    let all = [Standing::Good, Standing::Held, Standing::Revoked];
    let found = all.into_iter().find(|standing| standing.word() == word);
    found.ok_or_else(|| damaged(column, Type::Text))
}

fn reason(row: &Row<'_>, column: usize) -> rusqlite::Result<Reason> {
    Reason::from_code(row.get(column)?).ok_or_else(|| damaged(column, Type::Integer))
}

fn serial(row: &Row<'_>, column: usize) -> rusqlite::Result<SerialNumber> {
    let bytes: Vec<u8> = row.get(column)?;
    // INVARIANT: this authority's serials have the top bits 01, so magnitude and DER content agree.
    SerialNumber::from_der_content(&bytes).ok_or_else(|| damaged(column, Type::Blob))
}

fn damaged(column: usize, kind: Type) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "damaged".into(), kind)
}

/// A rule of the tables that a statement would have broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// There is such a row already.
    Unique,
    /// There is no such row to refer to.
    Reference,
}

impl Broken {
    fn rule<T>(result: &rusqlite::Result<T>) -> Option<Self> {
        let Err(rusqlite::Error::SqliteFailure(error, _)) = result else { return None };
        match (error.code, error.extended_code) {
            (ErrorCode::ConstraintViolation, ffi::SQLITE_CONSTRAINT_UNIQUE) => Some(Self::Unique),
            (ErrorCode::ConstraintViolation, ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => Some(Self::Unique),
            (ErrorCode::ConstraintViolation, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => Some(Self::Reference),
            _ => None,
        }
    }
}

/// How long to wait for another process that writes.
const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(10);
