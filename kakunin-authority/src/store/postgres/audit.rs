//! The audit log in PostgreSQL: one table of intents and outcomes, chained by their numbers.

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use tokio_postgres::Row;

use super::PostgresStore;
use super::access::is_tenant;
use super::session::Session;
use super::values::{bytes, count, damaged, digest, maybe_words, tenant as tenant_of, time, words};
use crate::access::{Actor, ActorKind, TenantId};
use crate::store::audit::{Link, START};
use crate::store::{
    AuditEntry, AuditFilter, AuditHead, AuditId, AuditLog, AuditRecord, AuditRow, AuditSaid, Outcome,
    RowSalt, StoreError,
};

impl AuditLog for PostgresStore {
    fn audit_intent(&mut self, intent: &AuditRecord) -> Result<AuditId, StoreError> {
        self.write(|session| {
            if !is_tenant(session, &intent.tenant)? {
                return Err(StoreError::UnknownTenant { tenant: intent.tenant.clone() });
            }
            let (number, hash) = next(session, &Link::Intent(intent))?;
            let sql = "INSERT INTO audit
                       (number, tenant, at, actor, address, what, subject, before, after, text, hash, salt)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
            session.execute(
                sql,
                &[
                    &number,
                    &intent.tenant.as_str(),
                    &intent.at.seconds(),
                    &intent.actor.to_string(),
                    &bytes(&intent.address),
                    &intent.what.as_bytes(),
                    &intent.subject.as_bytes(),
                    &bytes(&intent.before),
                    &bytes(&intent.after),
                    &intent.text.as_bytes(),
                    &&hash.as_bytes()[..],
                    &intent.salt.as_ref().map(|salt| &salt.as_bytes()[..]),
                ],
            )?;
            Ok(AuditId::from_number(u64::try_from(number).map_err(|_| damaged("audit log"))?))
        })
    }

    fn audit_outcome(&mut self, id: AuditId, outcome: &Outcome, at: UnixTime) -> Result<(), StoreError> {
        self.write(|session| {
            let intent = i64::try_from(id.number()).map_err(|_| StoreError::UnknownIntent { id })?;
            let sql = "SELECT tenant, salt FROM audit WHERE number = $1 AND intent IS NULL";
            let row = session.row(sql, &[&intent])?.ok_or(StoreError::UnknownIntent { id })?;
            let (whose, salt) = (tenant_of(&row, 0)?, salt(&row, 1)?.map(|salt| salt.of_outcome()));
            if session.is_there("SELECT 1 FROM audit WHERE intent = $1", &[&intent])? {
                return Err(StoreError::OutcomeKnown { id });
            }
            let link = Link::Outcome { tenant: &whose, intent: id, outcome, at, salt };
            let (number, hash) = next(session, &link)?;
            let sql = "INSERT INTO audit (number, tenant, at, intent, outcome, text, hash, salt)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
            session.execute(
                sql,
                &[
                    &number,
                    &whose.as_str(),
                    &at.seconds(),
                    &intent,
                    &outcome.word(),
                    &outcome.text().as_bytes(),
                    &&hash.as_bytes()[..],
                    &salt.as_ref().map(|salt| &salt.as_bytes()[..]),
                ],
            )?;
            Ok(())
        })
    }

    fn audit(
        &self,
        tenant: &TenantId,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        // A number beyond the server's integers is above every row.
        let below = filter.below.map_or(i64::MAX, |id| i64::try_from(id.number()).unwrap_or(i64::MAX));
        self.read(|session| {
            let sql =
                "SELECT i.number, i.tenant, i.at, i.actor, i.address, i.what, i.subject, i.before, i.after,
                       i.text, o.outcome, o.text, o.at, i.salt
                       FROM audit i LEFT JOIN audit o ON o.intent = i.number
                       WHERE i.intent IS NULL AND i.tenant = $1
                       AND ($2::int8 IS NULL OR i.at >= $2) AND ($3::int8 IS NULL OR i.at < $3)
                       AND i.number < $4 AND ($5::bytea IS NULL OR i.what = $5)
                       AND ($6::bytea IS NULL OR i.subject = $6) AND ($7::text IS NULL OR i.actor = $7)
                       AND ($9::text IS NULL OR $9 = CASE WHEN i.actor IN ('local', 'authority') THEN i.actor
                            WHEN i.actor LIKE 'agent:%' THEN 'agent' WHEN i.actor LIKE 'token:%' THEN 'token'
                            ELSE 'api_key' END)
                       ORDER BY i.number DESC LIMIT $8";
            let rows = session.rows(
                sql,
                &[
                    &tenant.as_str(),
                    &filter.since.map(UnixTime::seconds),
                    &filter.before.map(UnixTime::seconds),
                    &below,
                    &bytes(&filter.what),
                    &bytes(&filter.subject),
                    &filter.actor.as_ref().map(Actor::to_string),
                    &i64::from(limit),
                    &filter.kind.map(ActorKind::word),
                ],
            )?;
            rows.iter().map(entry).collect()
        })
    }

    fn audit_head(&self) -> Result<Option<AuditHead>, StoreError> {
        self.read(|session| Ok(last(session)?.map(|(rows, hash)| AuditHead { rows, hash })))
    }

    fn audit_hash(&self, row: u64) -> Result<Option<Digest>, StoreError> {
        let Ok(row) = i64::try_from(row) else { return Ok(None) };
        self.read(|session| {
            let found = session.row("SELECT hash FROM audit WHERE number = $1", &[&row])?;
            found.map(|row| digest(&row, 0)).transpose()
        })
    }

    fn check_audit(&self, known: Option<&AuditHead>) -> Result<Option<AuditHead>, StoreError> {
        self.read(|session| {
            // One statement is one snapshot: rows that are appended meanwhile are not seen.
            let sql = "SELECT number, tenant, at, actor, address, what, subject, before, after, text, intent,
                       outcome, hash, salt FROM audit ORDER BY number";
            let mut head = AuditHead { rows: 0, hash: START };
            let mut met = known.is_none_or(|known| known.rows == 0 && known.hash == START);
            session.each(sql, &[], &mut |row| {
                let here = head.rows.saturating_add(1);
                let broken = || StoreError::AuditBroken { row: here };
                // What cannot even be read was not written by this program.
                let hash = hash_of(row, here, head.hash).map_err(|_| broken())?;
                if count(row, 0).ok() != Some(here) || digest(row, 12).ok() != Some(hash) {
                    return Err(broken());
                }
                head = AuditHead { rows: here, hash };
                if let Some(known) = known.filter(|known| known.rows == here) {
                    if known.hash != hash {
                        return Err(broken());
                    }
                    met = true;
                }
                Ok(())
            })?;
            if !met {
                return Err(StoreError::AuditBroken { row: head.rows.saturating_add(1) });
            }
            Ok((head.rows > 0).then_some(head))
        })
    }

    fn audit_rows(&self, after: u64, last: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.read(|session| {
            let sql = "SELECT number, tenant, at, actor, address, what, subject, before, after, text, intent,
                       outcome, hash, salt FROM audit WHERE number > $1 AND number <= $2 ORDER BY number LIMIT $3";
            let rows = session.rows(sql, &[&number(after), &number(last), &i64::from(limit)])?;
            let row = |row| Ok(AuditRow { number: count(row, 0)?, said: said(row)?, hash: digest(row, 12)? });
            rows.iter().map(row).collect()
        })
    }
}

/// The number and the hash of the next row.
fn next(session: &mut Session, link: &Link<'_>) -> Result<(i64, Digest), StoreError> {
    let (last, hash) = last(session)?.unwrap_or((0, START));
    let here = last.saturating_add(1);
    let row = i64::try_from(here).map_err(|_| damaged("audit log"))?;
    Ok((row, link.hash(here, hash)))
}

/// The number and the hash of the last row.
fn last(session: &mut Session) -> Result<Option<(u64, Digest)>, StoreError> {
    let row = session.row("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1", &[])?;
    row.map(|row| Ok((count(&row, 0)?, digest(&row, 1)?))).transpose()
}

/// The hash that a row has to have, from what its columns say.
fn hash_of(row: &Row, here: u64, previous: Digest) -> Result<Digest, StoreError> {
    Ok(said(row)?.link().hash(here, previous))
}

/// What a row says.
fn said(row: &Row) -> Result<AuditSaid, StoreError> {
    let Some(intent) = row.try_get::<_, Option<i64>>(10)? else {
        return Ok(AuditSaid::Intent(record(row, 13)?));
    };
    let intent = AuditId::from_number(u64::try_from(intent).map_err(|_| damaged("audit log"))?);
    let outcome = Outcome::read(row.try_get(11)?, words(row, 9)?).ok_or(damaged("outcome"))?;
    let (tenant, at) = (tenant_of(row, 1)?, time(row, 2)?);
    Ok(AuditSaid::Outcome { tenant, intent, outcome, at, salt: salt(row, 13)? })
}

fn entry(row: &Row) -> Result<AuditEntry, StoreError> {
    let outcome = match row.try_get::<_, Option<&str>>(10)? {
        None => None,
        Some(word) => {
            let outcome = Outcome::read(word, words(row, 11)?).ok_or(damaged("outcome"))?;
            Some((outcome, time(row, 12)?))
        }
    };
    Ok(AuditEntry { id: AuditId::from_number(count(row, 0)?), record: record(row, 13)?, outcome })
}

/// An order, from the columns after its number and that of its salt.
fn record(row: &Row, salted: usize) -> Result<AuditRecord, StoreError> {
    Ok(AuditRecord {
        tenant: tenant_of(row, 1)?,
        at: time(row, 2)?,
        actor: Actor::parse(row.try_get(3)?).ok_or(damaged("actor"))?,
        address: maybe_words(row, 4)?,
        what: words(row, 5)?,
        subject: words(row, 6)?,
        before: maybe_words(row, 7)?,
        after: maybe_words(row, 8)?,
        text: words(row, 9)?,
        salt: salt(row, salted)?,
    })
}

fn salt(row: &Row, column: usize) -> Result<Option<RowSalt>, StoreError> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    let salt = |bytes: &[u8]| bytes.try_into().map(RowSalt::from_random).map_err(|_| damaged("salt"));
    bytes.map(salt).transpose()
}
