//! How a file becomes one of this version: numbered texts, forward only.
//!
//! A text is never changed once it is released. `user_version` counts how many a file has seen, and from the second
//! on the file keeps the SHA-256 of each: a program that brings another text under the same number is refused, because
//! its words would then mean other tables.

use std::cmp::Ordering;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kakunin_core::digest::Digest;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::{PATIENCE, SqliteStore};
use crate::files::FileError;
use crate::store::{AuditLog, StoreError};

/// Brings the file up to date, all of it or nothing.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    if version(connection)? != known() {
        // Read again under the write lock: another process may have migrated in between.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = version(&transaction)?;
        if found > known() {
            return Err(StoreError::TooNew { found, known: known() });
        }
        check(&transaction, found)?;
        for (_, text) in numbered().filter(|(number, _)| *number > found) {
            transaction.execute_batch(text)?;
        }
        // The first text knew no table of checksums; its own comes with the second's.
        let kept = if found < FIRST_KEPT { 0 } else { found };
        for (number, text) in numbered().filter(|(number, _)| *number > kept) {
            let sql = "INSERT INTO migrations (number, checksum) VALUES (?1, ?2)";
            transaction.execute(sql, params![number, Digest::of(text.as_bytes()).as_bytes()])?;
        }
        // Tables that were made anew must still refer to rows that are there.
        if transaction.prepare("PRAGMA foreign_key_check")?.exists([])? {
            return Err(StoreError::Damaged { what: "reference between records" });
        }
        transaction.pragma_update(None, "user_version", known())?;
        transaction.commit()?;
    }
    check(connection, known())
}

/// Brings a copy of the file at `path` up to date, looks whether it holds, and throws it away.
pub(super) fn rehearse(path: &Path) -> Result<Rehearsal, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".rehearsal-{}", std::process::id()));
    let copy = Copy { path: PathBuf::from(name) };
    let found = copy.take(path)?;
    let mut connection = Connection::open(&copy.path)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    migrate(&mut connection)?;
    let sound: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(StoreError::Damaged { what: "page of the file" });
    }
    drop(connection);
    SqliteStore::open(&copy.path)?.check_audit(None)?;
    Ok(Rehearsal { found, known: known() })
}

/// Copies the store at `from` to a file that stays.
pub(super) fn backup(from: &Path, out: &Path) -> Result<(), StoreError> {
    let mut name = out.as_os_str().to_owned();
    name.push(".part");
    let copy = Copy { path: PathBuf::from(name) };
    copy.take(from)?;
    let fail = |error| FileError::new("make", out, error);
    // Whole or not at all, and never in the place of an earlier one.
    std::fs::File::open(&copy.path).and_then(|file| file.sync_all()).map_err(fail)?;
    std::fs::hard_link(&copy.path, out).map_err(fail)?;
    let folder = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
    Ok(())
}

/// A copy of a store that is removed with whatever SQLite put beside it.
struct Copy {
    path: PathBuf,
}

impl Copy {
    /// Copies the store at `from` as of one moment, also while somebody writes to it, and says its version.
    fn take(&self, from: &Path) -> Result<u32, StoreError> {
        // SQLite writes into an empty file that is there: made first, for the owner alone.
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(&self.path);
        made.map_err(|error| FileError::new("make", &self.path, error))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(from, flags)?;
        connection.busy_timeout(PATIENCE)?;
        let found = version(&connection)?;
        connection.execute("VACUUM INTO ?1", [self.path.to_string_lossy()])?;
        Ok(found)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", "-journal"] {
            let mut name = self.path.as_os_str().to_owned();
            name.push(end);
            // What is not there need not be removed.
            let _ = std::fs::remove_file(name);
        }
    }
}

/// A migration that was tried on a copy and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// The version of the store.
    pub found: u32,
    /// The version it would have.
    pub known: u32,
}

/// Whether the file is of this program's version, for whoever may not change it.
pub(super) fn check_current(connection: &Connection) -> Result<(), StoreError> {
    let (found, known) = (version(connection)?, known());
    match found.cmp(&known) {
        Ordering::Less => Err(StoreError::TooOld { found, known }),
        Ordering::Equal => check(connection, known),
        Ordering::Greater => Err(StoreError::TooNew { found, known }),
    }
}

/// Compares the checksums in the file with those of this program's texts.
fn check(connection: &Connection, found: u32) -> Result<(), StoreError> {
    if found < FIRST_KEPT {
        return Ok(());
    }
    let mut statement = connection.prepare("SELECT checksum FROM migrations ORDER BY number")?;
    let kept = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<[u8; 32]>, _>>()?;
    let mut kept = kept.into_iter();
    for (number, text) in numbered().take_while(|(number, _)| *number <= found) {
        if kept.next() != Some(*Digest::of(text.as_bytes()).as_bytes()) {
            return Err(StoreError::ChangedMigration { number });
        }
    }
    match kept.next() {
        None => Ok(()),
        Some(_) => Err(StoreError::Damaged { what: "list of migrations" }),
    }
}

fn version(connection: &Connection) -> Result<u32, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

fn numbered() -> impl Iterator<Item = (u32, &'static str)> {
    (1..).zip(MIGRATIONS)
}

/// The text that makes the table of checksums.
const FIRST_KEPT: u32 = 2;

const MIGRATIONS: [&str; 19] = [
    include_str!("migrations/1.sql"),
    include_str!("migrations/2.sql"),
    include_str!("migrations/3.sql"),
    include_str!("migrations/4.sql"),
    include_str!("migrations/5.sql"),
    include_str!("migrations/6.sql"),
    include_str!("migrations/7.sql"),
    include_str!("migrations/8.sql"),
    include_str!("migrations/9.sql"),
    include_str!("migrations/10.sql"),
    include_str!("migrations/11.sql"),
    include_str!("migrations/12.sql"),
    include_str!("migrations/13.sql"),
    include_str!("migrations/14.sql"),
    include_str!("migrations/15.sql"),
    include_str!("migrations/16.sql"),
    include_str!("migrations/17.sql"),
    include_str!("migrations/18.sql"),
    include_str!("migrations/19.sql"),
];
