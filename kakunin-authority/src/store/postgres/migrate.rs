//! How a schema becomes one of this version: numbered texts, forward only, each with its checksum.
//!
//! The same rules as for files, with one difference: this server changes tables within transactions, so a migration is
//! rehearsed in place and taken back.

use kakunin_core::digest::Digest;

use super::session::Session;
use super::values::digest;
use crate::store::{Rehearsal, StoreError};

/// Brings the schema up to date, all of it or nothing. The caller leads, so nobody else does it meanwhile.
pub(super) fn migrate(session: &mut Session) -> Result<(), StoreError> {
    let found = version(session)?;
    check(session, found)?;
    if found == known() {
        return Ok(());
    }
    session.run("BEGIN")?;
    // A connection that is given up takes its transaction back.
    apply(session, found)?;
    session.run("COMMIT")
}

/// Does the migrations and takes them back.
pub(super) fn rehearse(session: &mut Session) -> Result<Rehearsal, StoreError> {
    session.run("BEGIN")?;
    let found = version(session)?;
    check(session, found)?;
    apply(session, found)?;
    session.run("ROLLBACK")?;
    Ok(Rehearsal { found, known: known() })
}

fn apply(session: &mut Session, found: u32) -> Result<(), StoreError> {
    session.run(
        "CREATE TABLE IF NOT EXISTS migrations
         (number INTEGER PRIMARY KEY, checksum BYTEA NOT NULL CHECK (length(checksum) = 32))",
    )?;
    for (number, text) in numbered().filter(|(number, _)| *number > found) {
        session.run(text)?;
        let sql = "INSERT INTO migrations (number, checksum) VALUES ($1, $2)";
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        session.execute(sql, &[&number, &&Digest::of(text.as_bytes()).as_bytes()[..]])?;
    }
    Ok(())
}

/// Whether the schema is of this program's version, for whoever may not change it.
pub(super) fn check_current(session: &mut Session) -> Result<(), StoreError> {
    let (found, known) = (version(session)?, known());
    check(session, found)?;
    if found < known { Err(StoreError::TooOld { found, known }) } else { Ok(()) }
}

/// Compares the checksums in the schema with those of this program's texts.
fn check(session: &mut Session, found: u32) -> Result<(), StoreError> {
    if found > known() {
        return Err(StoreError::TooNew { found, known: known() });
    }
    if found == 0 {
        return Ok(());
    }
    let rows = session.rows("SELECT checksum FROM migrations ORDER BY number", &[])?;
    let mut kept = rows.iter();
    for (number, text) in numbered().take_while(|(number, _)| *number <= found) {
        let here = kept.next().and_then(|row| digest(row, 0).ok());
        if here != Some(Digest::of(text.as_bytes())) {
            return Err(StoreError::ChangedMigration { number });
        }
    }
    match kept.next() {
        None => Ok(()),
        Some(_) => Err(StoreError::Damaged { what: "list of migrations" }),
    }
}

/// How many migrations the schema has seen.
pub(super) fn version(session: &mut Session) -> Result<u32, StoreError> {
    if !session.is_there("SELECT 1 WHERE to_regclass('migrations') IS NOT NULL", &[])? {
        return Ok(0);
    }
    let newest = session.number("SELECT coalesce(max(number), 0)::int8 FROM migrations", &[])?;
    u32::try_from(newest).map_err(|_| StoreError::Damaged { what: "list of migrations" })
}

fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

fn numbered() -> impl Iterator<Item = (u32, &'static str)> {
    (1..).zip(MIGRATIONS)
}

const MIGRATIONS: [&str; 12] = [
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
];
