//! The audit log in SQLite: one table of intents and outcomes, chained by their numbers.

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Broken, SqliteStore, damaged, tenant};
use crate::access::{Actor, ActorKind, TenantId};
use crate::store::audit::{Link, START};
use crate::store::{
    AuditEntry, AuditFilter, AuditHead, AuditId, AuditLog, AuditRecord, AuditRow, AuditSaid, Outcome,
    RowSalt, StoreError,
};

impl AuditLog for SqliteStore {
    fn audit_intent(&mut self, intent: &AuditRecord) -> Result<AuditId, StoreError> {
        self.write(|connection| {
            let (number, hash) = next(connection, &Link::Intent(intent))?;
            let sql = "INSERT INTO audit
                       (number, tenant, at, actor, address, what, subject, before, after, text, hash, salt)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
            let row = params![
                number,
                intent.tenant.as_str(),
                intent.at.seconds(),
                intent.actor.to_string(),
                intent.address,
                intent.what,
                intent.subject,
                intent.before,
                intent.after,
                intent.text,
                hash.as_bytes(),
                intent.salt.as_ref().map(RowSalt::as_bytes),
            ];
            let added = connection.prepare_cached(sql)?.execute(row);
            if Broken::rule(&added) == Some(Broken::Reference) {
                return Err(StoreError::UnknownTenant { tenant: intent.tenant.clone() });
            }
            added?;
            Ok(AuditId::from_number(u64::try_from(number).map_err(|_| damaged(0, Type::Integer))?))
        })
    }

    fn audit_outcome(&mut self, id: AuditId, outcome: &Outcome, at: UnixTime) -> Result<(), StoreError> {
        self.write(|connection| {
            let intent = i64::try_from(id.number()).map_err(|_| StoreError::UnknownIntent { id })?;
            let sql = "SELECT tenant, salt FROM audit WHERE number = ?1 AND intent IS NULL";
            let mut statement = connection.prepare_cached(sql)?;
            let whose =
                statement.query_row([intent], |row| Ok((tenant(row, 0)?, salt(row, 1)?))).optional()?;
            let (whose, salt) = whose.ok_or(StoreError::UnknownIntent { id })?;
            let salt = salt.map(|salt| salt.of_outcome());
            let (number, hash) =
                next(connection, &Link::Outcome { tenant: &whose, intent: id, outcome, at, salt })?;
            let sql = "INSERT INTO audit (number, tenant, at, intent, outcome, text, hash, salt)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let row = params![
                number,
                whose.as_str(),
                at.seconds(),
                intent,
                outcome.word(),
                outcome.text(),
                hash.as_bytes(),
                salt.as_ref().map(RowSalt::as_bytes),
            ];
            let added = connection.prepare_cached(sql)?.execute(row);
            if Broken::rule(&added) == Some(Broken::Unique) {
                return Err(StoreError::OutcomeKnown { id });
            }
            Ok(added.map(|_| ())?)
        })
    }

    fn audit(
        &self,
        tenant: &TenantId,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = "SELECT i.number, i.tenant, i.at, i.actor, i.address, i.what, i.subject, i.before, i.after,
                   i.text, o.outcome, o.text, o.at, i.salt
                   FROM audit i LEFT JOIN audit o ON o.intent = i.number
                   WHERE i.intent IS NULL AND i.tenant = ?1
                   AND (?2 IS NULL OR i.at >= ?2) AND (?3 IS NULL OR i.at < ?3)
                   AND i.number < ?4 AND (?5 IS NULL OR i.what = ?5)
                   AND (?6 IS NULL OR i.subject = ?6) AND (?7 IS NULL OR i.actor = ?7)
                   AND (?9 IS NULL OR ?9 = CASE WHEN i.actor IN ('local', 'authority') THEN i.actor
                        WHEN i.actor LIKE 'agent:%' THEN 'agent' WHEN i.actor LIKE 'token:%' THEN 'token'
                        ELSE 'api_key' END)
                   ORDER BY i.number DESC LIMIT ?8";
        // A number beyond SQLite's integers is above every row.
        let below = filter.below.map_or(i64::MAX, |id| i64::try_from(id.number()).unwrap_or(i64::MAX));
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(
            params![
                tenant.as_str(),
                filter.since.map(UnixTime::seconds),
                filter.before.map(UnixTime::seconds),
                below,
                filter.what,
                filter.subject,
                filter.actor.as_ref().map(Actor::to_string),
                limit,
                filter.kind.map(ActorKind::word),
            ],
            |row| {
                let outcome: Option<String> = row.get(10)?;
                let outcome = match outcome {
                    None => None,
                    Some(word) => Some((
                        Outcome::read(&word, row.get(11)?).ok_or_else(|| damaged(10, Type::Text))?,
                        UnixTime::from_seconds(row.get(12)?),
                    )),
                };
                Ok(AuditEntry {
                    id: AuditId::from_number(number(row, 0)?),
                    record: record(row, 13)?,
                    outcome,
                })
            },
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn audit_head(&self) -> Result<Option<AuditHead>, StoreError> {
        let last = last(&self.connection)?;
        Ok(last.map(|(rows, hash)| AuditHead { rows, hash }))
    }

    fn audit_hash(&self, row: u64) -> Result<Option<Digest>, StoreError> {
        let Ok(row) = i64::try_from(row) else { return Ok(None) };
        let mut statement = self.connection.prepare_cached("SELECT hash FROM audit WHERE number = ?1")?;
        Ok(statement.query_row([row], |row| Ok(Digest::from_bytes(row.get(0)?))).optional()?)
    }

    fn check_audit(&self, known: Option<&AuditHead>) -> Result<Option<AuditHead>, StoreError> {
        // One statement is one snapshot: rows that are appended meanwhile are not seen.
        let sql = "SELECT number, tenant, at, actor, address, what, subject, before, after, text, intent,
                   outcome, hash, salt FROM audit ORDER BY number";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut head = AuditHead { rows: 0, hash: START };
        let mut met = known.is_none_or(|known| known.rows == 0 && known.hash == START);
        while let Some(row) = rows.next()? {
            let here = head.rows.saturating_add(1);
            let broken = StoreError::AuditBroken { row: here };
            // What cannot even be read was not written by this program.
            let Ok(hash) = hash_of(row, here, head.hash) else { return Err(broken) };
            let kept = row.get::<_, [u8; 32]>(12);
            if number(row, 0).ok() != Some(here) || kept.ok() != Some(*hash.as_bytes()) {
                return Err(broken);
            }
            head = AuditHead { rows: here, hash };
            if let Some(known) = known.filter(|known| known.rows == here) {
                if known.hash != hash {
                    return Err(broken);
                }
                met = true;
            }
        }
        if !met {
            return Err(StoreError::AuditBroken { row: head.rows.saturating_add(1) });
        }
        Ok((head.rows > 0).then_some(head))
    }

    fn audit_rows(&self, after: u64, last: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let number_of = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let sql = "SELECT number, tenant, at, actor, address, what, subject, before, after, text, intent,
                   outcome, hash, salt FROM audit WHERE number > ?1 AND number <= ?2 ORDER BY number LIMIT ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![number_of(after), number_of(last), limit], |row| {
            let hash = Digest::from_bytes(row.get(12)?);
            Ok(AuditRow { number: number(row, 0)?, said: said(row)?, hash })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// The number and the hash of the next row.
fn next(connection: &Connection, link: &Link<'_>) -> Result<(i64, Digest), StoreError> {
    let (last, hash) = last(connection)?.unwrap_or((0, START));
    let here = last.saturating_add(1);
    let row = i64::try_from(here).map_err(|_| StoreError::Damaged { what: "audit log" })?;
    Ok((row, link.hash(here, hash)))
}

/// The number and the hash of the last row.
fn last(connection: &Connection) -> Result<Option<(u64, Digest)>, StoreError> {
    let sql = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([], |row| Ok((number(row, 0)?, Digest::from_bytes(row.get(1)?)))).optional()?)
}

/// The hash that a row has to have, from what its columns say.
fn hash_of(row: &Row<'_>, here: u64, previous: Digest) -> rusqlite::Result<Digest> {
    Ok(said(row)?.link().hash(here, previous))
}

/// What a row says.
fn said(row: &Row<'_>) -> rusqlite::Result<AuditSaid> {
    let Some(intent) = row.get::<_, Option<i64>>(10)? else { return Ok(AuditSaid::Intent(record(row, 13)?)) };
    let intent = AuditId::from_number(u64::try_from(intent).map_err(|_| damaged(10, Type::Integer))?);
    let word: String = row.get(11)?;
    let outcome = Outcome::read(&word, row.get(9)?).ok_or_else(|| damaged(11, Type::Text))?;
    let (tenant, at) = (tenant(row, 1)?, UnixTime::from_seconds(row.get(2)?));
    Ok(AuditSaid::Outcome { tenant, intent, outcome, at, salt: salt(row, 13)? })
}

/// An order, from the columns after its number and that of its salt.
fn record(row: &Row<'_>, salted: usize) -> rusqlite::Result<AuditRecord> {
    let actor: String = row.get(3)?;
    Ok(AuditRecord {
        tenant: tenant(row, 1)?,
        at: UnixTime::from_seconds(row.get(2)?),
        actor: Actor::parse(&actor).ok_or_else(|| damaged(3, Type::Text))?,
        address: row.get(4)?,
        what: row.get(5)?,
        subject: row.get(6)?,
        before: row.get(7)?,
        after: row.get(8)?,
        text: row.get(9)?,
        salt: salt(row, salted)?,
    })
}

fn salt(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<RowSalt>> {
    Ok(row.get::<_, Option<[u8; 32]>>(column)?.map(RowSalt::from_random))
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| damaged(column, Type::Integer))
}
