//! The records in one SQLite file: write-ahead log, every commit synced.
//!
//! One connection is one side: whoever reads beside the writer opens a second one with [`SqliteStore::reader`].

mod access;
mod audit;
mod migrate;

use std::fs::OpenOptions;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::time::{UnixTime, Validity};
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};

use super::{
    AgentRecord, CertificateRecord, EventRecord, IssuerId, IssuerRecord, ListRecord, ListedCertificate,
    StandingChange, Store, StoreError,
};
use crate::access::TenantId;
use crate::agent::AgentName;
use crate::files::FileError;
use crate::standing::{Reason, Standing};

/// A store in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
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
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        migrate::migrate(&mut connection)?;
        Ok(Self { connection })
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
        Ok(Self { connection })
    }

    /// Does what one verb does, durably or not at all.
    fn write<T>(&mut self, verb: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = verb(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }
}

impl Store for SqliteStore {
    fn add_issuers(&mut self, issuers: &[IssuerRecord]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for issuer in issuers {
            let sql = "INSERT INTO issuers (id, der) VALUES (?1, ?2)";
            transaction.execute(sql, params![issuer.id.number(), issuer.der])?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn issuers(&self) -> Result<Vec<IssuerRecord>, StoreError> {
        let mut statement = self.connection.prepare("SELECT id, der, revoked FROM issuers ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            Ok(IssuerRecord {
                id: IssuerId::from_number(row.get(0)?),
                der: row.get(1)?,
                revoked: row.get::<_, Option<i64>>(2)?.map(UnixTime::from_seconds),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn revoke_issuer(&mut self, issuer: IssuerId, at: UnixTime) -> Result<(), StoreError> {
        let sql = "UPDATE issuers SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL";
        self.connection.execute(sql, params![issuer.number(), at.seconds()])?;
        Ok(())
    }

    fn add_agent(&mut self, agent: &AgentRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO agents (id, name, created, standing, scope) VALUES (?1, ?2, ?3, ?4, ?5)";
        let row = params![
            agent.id.as_bytes(),
            agent.name.as_str(),
            agent.created.seconds(),
            agent.standing.word(),
            agent.scope
        ];
        match self.connection.execute(sql, row) {
            Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::ConstraintViolation => {
                Err(StoreError::NameTaken { name: agent.name.clone() })
            }
            other => Ok(other.map(|_| ())?),
        }
    }

    fn agents(&self) -> Result<Vec<AgentRecord>, StoreError> {
        let mut statement = self.connection.prepare(&format!("{AGENTS} ORDER BY name"))?;
        let rows = statement.query_map([], agent)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn agent(&self, id: AgentId) -> Result<Option<AgentRecord>, StoreError> {
        let mut statement = self.connection.prepare(&format!("{AGENTS} WHERE id = ?1"))?;
        Ok(statement.query_row([id.as_bytes()], agent).optional()?)
    }

    fn agent_named(&self, name: &AgentName) -> Result<Option<AgentRecord>, StoreError> {
        let mut statement = self.connection.prepare(&format!("{AGENTS} WHERE name = ?1"))?;
        Ok(statement.query_row([name.as_str()], agent).optional()?)
    }

    fn set_scope(&mut self, id: AgentId, scope: &[u8]) -> Result<(), StoreError> {
        self.connection
            .execute("UPDATE agents SET scope = ?2 WHERE id = ?1", params![id.as_bytes(), scope])?;
        Ok(())
    }

    fn keep_names(&mut self, root: Digest, text: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO names (root, text) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.connection.execute(sql, params![root.as_bytes(), text])?;
        Ok(())
    }

    fn names(&self, root: Digest) -> Result<Option<String>, StoreError> {
        let mut statement = self.connection.prepare("SELECT text FROM names WHERE root = ?1")?;
        Ok(statement.query_row([root.as_bytes()], |row| row.get(0)).optional()?)
    }

    fn change_standing(&mut self, change: &StandingChange<'_>) -> Result<(), StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let agent = change.agent.as_bytes();
        let word = change.to.word();
        transaction.execute("UPDATE agents SET standing = ?2 WHERE id = ?1", params![agent, word])?;
        // INVARIANT: a revoked certificate keeps its standing whatever happens to the agent later.
        let sql = "UPDATE certificates SET standing = ?2, since = ?3, reason = ?4
                   WHERE agent = ?1 AND standing <> 'revoked' AND standing <> ?2";
        transaction.execute(sql, params![agent, word, change.at.seconds(), change.reason.code()])?;
        let sql = "INSERT INTO events (at, agent, what, text) VALUES (?1, ?2, ?3, ?4)";
        transaction.execute(sql, params![change.at.seconds(), agent, word, change.text])?;
        transaction.commit()?;
        Ok(())
    }

    fn reserve(&mut self, certificate: &CertificateRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO certificates
                   (serial, issuer, agent, key, not_before, not_after, standing, since, reason)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5, 0)";
        let Validity { not_before, not_after } = certificate.validity;
        self.connection.execute(
            sql,
            params![
                certificate.serial.as_bytes(),
                certificate.issuer.number(),
                certificate.agent.as_bytes(),
                certificate.key.as_bytes(),
                not_before.seconds(),
                not_after.seconds(),
                certificate.standing.word(),
            ],
        )?;
        Ok(())
    }

    fn keep_tbs(&mut self, serial: SerialNumber, tbs: &[u8]) -> Result<(), StoreError> {
        let sql = "UPDATE certificates SET tbs = ?2 WHERE serial = ?1 AND tbs IS NULL";
        one_row(self.connection.execute(sql, params![serial.as_bytes(), tbs])?)
    }

    fn keep_certificate(&mut self, serial: SerialNumber, der: &[u8]) -> Result<(), StoreError> {
        let sql = "UPDATE certificates SET der = ?2 WHERE serial = ?1 AND der IS NULL AND tbs IS NOT NULL";
        one_row(self.connection.execute(sql, params![serial.as_bytes(), der])?)
    }

    fn certificates(&self, agent: AgentId) -> Result<Vec<CertificateRecord>, StoreError> {
        let sql = "SELECT serial, issuer, agent, key, not_before, not_after, standing, der FROM certificates
                   WHERE agent = ?1 AND tbs IS NOT NULL ORDER BY rowid";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([agent.as_bytes()], |row| {
            Ok(CertificateRecord {
                serial: serial(row, 0)?,
                issuer: IssuerId::from_number(row.get(1)?),
                agent: AgentId::from_bytes(row.get(2)?),
                key: Digest::from_bytes(row.get(3)?),
                validity: Validity {
                    not_before: UnixTime::from_seconds(row.get(4)?),
                    not_after: UnixTime::from_seconds(row.get(5)?),
                },
                standing: standing(row, 6)?,
                der: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn last_end(&self, issuer: IssuerId) -> Result<Option<UnixTime>, StoreError> {
        let sql = "SELECT max(not_after) FROM certificates WHERE issuer = ?1 AND tbs IS NOT NULL";
        let end: Option<i64> = self.connection.query_row(sql, [issuer.number()], |row| row.get(0))?;
        Ok(end.map(UnixTime::from_seconds))
    }

    fn each_listed(
        &self,
        issuer: IssuerId,
        since: UnixTime,
        each: &mut dyn FnMut(ListedCertificate),
    ) -> Result<(), StoreError> {
        let sql = "SELECT serial, since, reason FROM certificates
                   WHERE issuer = ?1 AND standing <> 'good' AND tbs IS NOT NULL AND not_after >= ?2
                   ORDER BY serial";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query(params![issuer.number(), since.seconds()])?;
        while let Some(row) = rows.next()? {
            let reason = Reason::from_code(row.get(2)?).ok_or(StoreError::Damaged { what: "reason" })?;
            let since = UnixTime::from_seconds(row.get(1)?);
            each(ListedCertificate { serial: serial(row, 0)?, since, reason });
        }
        Ok(())
    }

    fn next_list_number(&mut self, issuer: IssuerId) -> Result<u64, StoreError> {
        let sql = "INSERT INTO list_numbers (issuer, number) VALUES (?1, 1)
                   ON CONFLICT (issuer) DO UPDATE SET number = number + 1 RETURNING number";
        let number: i64 = self.connection.query_row(sql, [issuer.number()], |row| row.get(0))?;
        u64::try_from(number).map_err(|_| StoreError::Damaged { what: "list number" })
    }

    fn keep_list(&mut self, issuer: IssuerId, list: &ListRecord) -> Result<(), StoreError> {
        // One row for each issuer: an older list has no use once the newer one is durable.
        let sql =
            "INSERT INTO lists (issuer, number, this_update, next_update, der) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (issuer) DO UPDATE SET number = excluded.number, der = excluded.der,
                   this_update = excluded.this_update, next_update = excluded.next_update";
        let number = i64::try_from(list.number).map_err(|_| StoreError::Damaged { what: "list number" })?;
        let (from, until) = (list.this_update.seconds(), list.next_update.seconds());
        self.connection.execute(sql, params![issuer.number(), number, from, until, list.der])?;
        Ok(())
    }

    fn newest_list(&self, issuer: IssuerId) -> Result<Option<ListRecord>, StoreError> {
        let sql = "SELECT number, this_update, next_update, der FROM lists WHERE issuer = ?1";
        let mut statement = self.connection.prepare(sql)?;
        let list = statement.query_row([issuer.number()], |row| {
            Ok(ListRecord {
                number: u64::try_from(row.get::<_, i64>(0)?).map_err(|_| damaged(0, Type::Integer))?,
                this_update: UnixTime::from_seconds(row.get(1)?),
                next_update: UnixTime::from_seconds(row.get(2)?),
                der: row.get(3)?,
            })
        });
        Ok(list.optional()?)
    }

    fn keep_directory(&mut self, agent: AgentId, path: &Path) -> Result<(), StoreError> {
        let sql = "INSERT INTO directories (path, agent) VALUES (?1, ?2)
                   ON CONFLICT (path) DO UPDATE SET agent = excluded.agent";
        self.connection.execute(sql, params![path.as_os_str().as_bytes(), agent.as_bytes()])?;
        Ok(())
    }

    fn directories(&self, agent: AgentId) -> Result<Vec<PathBuf>, StoreError> {
        let sql = "SELECT path FROM directories WHERE agent = ?1 ORDER BY rowid";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([agent.as_bytes()], |row| {
            Ok(PathBuf::from(std::ffi::OsString::from_vec(row.get(0)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn events(&self, agent: AgentId) -> Result<Vec<EventRecord>, StoreError> {
        let sql = "SELECT at, what, text FROM events WHERE agent = ?1 ORDER BY number";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([agent.as_bytes()], |row| {
            Ok(EventRecord { at: UnixTime::from_seconds(row.get(0)?), what: row.get(1)?, text: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn agent(row: &Row<'_>) -> rusqlite::Result<AgentRecord> {
    let name: String = row.get(1)?;
    Ok(AgentRecord {
        id: AgentId::from_bytes(row.get(0)?),
        name: AgentName::parse(&name).map_err(|_| damaged(1, Type::Text))?,
        created: UnixTime::from_seconds(row.get(2)?),
        standing: standing(row, 3)?,
        scope: row.get(4)?,
    })
}

fn standing(row: &Row<'_>, column: usize) -> rusqlite::Result<Standing> {
    let word: String = row.get(column)?;
    let all = [Standing::Good, Standing::Held, Standing::Revoked];
    let found = all.into_iter().find(|standing| standing.word() == word);
    found.ok_or_else(|| damaged(column, Type::Text))
}

fn serial(row: &Row<'_>, column: usize) -> rusqlite::Result<SerialNumber> {
    let bytes: Vec<u8> = row.get(column)?;
    // INVARIANT: this authority's serials have the top bits 01, so magnitude and DER content agree.
    SerialNumber::from_der_content(&bytes).ok_or_else(|| damaged(column, Type::Blob))
}

fn tenant(row: &Row<'_>, column: usize) -> rusqlite::Result<TenantId> {
    let text: String = row.get(column)?;
    TenantId::parse(&text).ok_or_else(|| damaged(column, Type::Text))
}

/// Which rule of the tables a statement broke, as SQLite's extended code.
fn broken_rule<T>(result: &rusqlite::Result<T>) -> Option<i32> {
    match result {
        Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::ConstraintViolation => {
            Some(error.extended_code)
        }
        _ => None,
    }
}

fn damaged(column: usize, kind: Type) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "damaged".into(), kind)
}

fn one_row(changed: usize) -> Result<(), StoreError> {
    if changed == 1 { Ok(()) } else { Err(StoreError::Damaged { what: "certificate" }) }
}

const AGENTS: &str = "SELECT id, name, created, standing, scope FROM agents";

/// How long to wait for another process that writes.
const PATIENCE: Duration = Duration::from_secs(10);
