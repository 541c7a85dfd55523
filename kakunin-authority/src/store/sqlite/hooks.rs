//! Webhooks in SQLite: a row for each, its secrets, and a row for each delivery.

use kakunin_core::time::UnixTime;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Broken, SqliteStore, damaged, tenant};
use crate::access::TenantId;
use crate::hook::{HookEvent, HookId, SignatureForm};
use crate::store::{
    Attempt, Backlog, DeliveryRecord, DeliveryState, HookChange, HookRecord, Hooks, Notice, ReceiverAnswer,
    SealedSecret, StoreError,
};

impl Hooks for SqliteStore {
    fn add_hook(&mut self, hook: &HookRecord, secret: &SealedSecret) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "INSERT INTO webhooks
                       (id, tenant, url, events, form, active, created, updated, sequence)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)";
            let added = connection.execute(
                sql,
                params![
                    hook.id.as_bytes(),
                    hook.tenant.as_str(),
                    hook.url,
                    words(&hook.events),
                    hook.form.word(),
                    hook.active,
                    hook.created.seconds(),
                    hook.updated.seconds(),
                ],
            );
            match Broken::rule(&added) {
                Some(Broken::Unique) => Err(StoreError::HookTaken { id: hook.id }),
                Some(Broken::Reference) => Err(StoreError::UnknownTenant { tenant: hook.tenant.clone() }),
                None => {
                    added?;
                    keep_secret(connection, hook.id, secret)
                }
            }
        })
    }

    fn hooks(&self, tenant: &TenantId) -> Result<Vec<HookRecord>, StoreError> {
        let sql = format!("{HOOKS} WHERE tenant = ?1 ORDER BY number");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([tenant.as_str()], hook)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn hook(&self, tenant: &TenantId, id: HookId) -> Result<Option<HookRecord>, StoreError> {
        let sql = format!("{HOOKS} WHERE tenant = ?1 AND id = ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row(params![tenant.as_str(), id.as_bytes()], hook).optional()?)
    }

    fn set_hook(
        &mut self,
        tenant: &TenantId,
        id: HookId,
        change: &HookChange,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "UPDATE webhooks SET url = coalesce(?3, url), events = coalesce(?4, events),
                       form = coalesce(?5, form), active = coalesce(?6, active), updated = ?7
                       WHERE tenant = ?1 AND id = ?2";
            let row = params![
                tenant.as_str(),
                id.as_bytes(),
                change.url,
                change.events.as_deref().map(words),
                change.form.map(SignatureForm::word),
                change.active,
                at.seconds(),
            ];
            found(connection.execute(sql, row)?, id)
        })
    }

    fn remove_hook(&mut self, tenant: &TenantId, id: HookId) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "DELETE FROM webhooks WHERE tenant = ?1 AND id = ?2";
            found(connection.execute(sql, params![tenant.as_str(), id.as_bytes()])?, id)
        })
    }

    fn rotate_secret(
        &mut self,
        tenant: &TenantId,
        id: HookId,
        secret: &SealedSecret,
        until: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "UPDATE webhooks SET updated = ?3 WHERE tenant = ?1 AND id = ?2";
            let row = params![tenant.as_str(), id.as_bytes(), secret.created.seconds()];
            found(connection.execute(sql, row)?, id)?;
            let sql = "DELETE FROM webhook_secrets WHERE webhook = ?1 AND until IS NOT NULL";
            connection.execute(sql, [id.as_bytes()])?;
            let sql = "UPDATE webhook_secrets SET until = ?2 WHERE webhook = ?1";
            connection.execute(sql, params![id.as_bytes(), until.seconds()])?;
            keep_secret(connection, id, secret)
        })
    }

    fn secrets(&self, id: HookId, now: UnixTime) -> Result<Vec<SealedSecret>, StoreError> {
        let sql = "SELECT sealed, hint, created, until FROM webhook_secrets
                   WHERE webhook = ?1 AND (until IS NULL OR until > ?2) ORDER BY number DESC";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![id.as_bytes(), now.seconds()], |row| {
            Ok(SealedSecret {
                sealed: row.get(0)?,
                hint: row.get(1)?,
                created: UnixTime::from_seconds(row.get(2)?),
                until: row.get::<_, Option<i64>>(3)?.map(UnixTime::from_seconds),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn announce(&mut self, notice: &Notice) -> Result<u64, StoreError> {
        self.write(|connection| announce(connection, notice))
    }

    fn announce_to(&mut self, id: HookId, notice: &Notice) -> Result<u64, StoreError> {
        self.write(|connection| {
            let sql = "UPDATE webhooks SET sequence = sequence + 1 WHERE tenant = ?1 AND id = ?2
                       RETURNING sequence";
            let row = params![notice.tenant.as_str(), id.as_bytes()];
            let number = connection.prepare_cached(sql)?.query_row(row, |row| row.get(0)).optional()?;
            let number: i64 = number.ok_or(StoreError::UnknownHook { id })?;
            keep_delivery(connection, *id.as_bytes(), number, notice)?;
            u64::try_from(number).map_err(|_| StoreError::Damaged { what: "number of a delivery" })
        })
    }

    fn hooks_due(&self, now: UnixTime) -> Result<Vec<HookRecord>, StoreError> {
        let sql = format!(
            "{HOOKS} WHERE active AND EXISTS (SELECT 1 FROM deliveries WHERE webhook = id AND {WAITS} AND due <= ?1)
             ORDER BY number"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([now.seconds()], hook)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn due(&self, id: HookId, now: UnixTime, limit: u32) -> Result<Vec<DeliveryRecord>, StoreError> {
        let sql = format!(
            "{DELIVERIES} WHERE webhook = ?1 AND {WAITS} AND due <= ?2 ORDER BY due, sequence LIMIT ?3"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![id.as_bytes(), now.seconds(), limit], delivery)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn settle(&mut self, id: HookId, sequence: u64, attempt: &Attempt) -> Result<bool, StoreError> {
        let Ok(sequence) = i64::try_from(sequence) else { return Ok(false) };
        self.write(|connection| {
            let sql = format!(
                "UPDATE deliveries SET state = ?3, attempts = attempts + 1, due = coalesce(?4, due),
                 tried = ?5, status = ?6, body = ?7, error = ?8 WHERE webhook = ?1 AND sequence = ?2 AND {WAITS}"
            );
            let answer = attempt.answer.as_ref();
            let settled = connection.prepare_cached(&sql)?.execute(params![
                id.as_bytes(),
                sequence,
                attempt.then.state().word(),
                attempt.then.due().map(UnixTime::seconds),
                attempt.at.seconds(),
                answer.map(|answer| answer.status),
                answer.map(|answer| &answer.body),
                attempt.error,
            ])?;
            Ok(settled == 1)
        })
    }

    fn deliveries(
        &self,
        tenant: &TenantId,
        id: HookId,
        below: Option<u64>,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        if self.hook(tenant, id)?.is_none() {
            return Err(StoreError::UnknownHook { id });
        }
        let below = below.and_then(|below| i64::try_from(below).ok()).unwrap_or(i64::MAX);
        let sql =
            format!("{DELIVERIES} WHERE webhook = ?1 AND sequence < ?2 ORDER BY sequence DESC LIMIT ?3");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![id.as_bytes(), below, limit], delivery)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn backlog(&self) -> Result<Backlog, StoreError> {
        // Each half by an index of its own: what was delivered is most, and is not counted.
        let sql = format!(
            "SELECT state, count(*) FROM deliveries WHERE {WAITS} GROUP BY state
             UNION ALL SELECT 'dead', count(*) FROM deliveries WHERE state = 'dead'"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        let mut backlog = Backlog::default();
        while let Some(row) = rows.next()? {
            let count = row.get::<_, i64>(1)?.unsigned_abs();
            match state(row, 0)? {
                DeliveryState::Pending => backlog.pending = count,
                DeliveryState::Failed => backlog.failed = count,
                DeliveryState::Dead => backlog.dead = count,
                DeliveryState::Delivered => {}
            }
        }
        let sql =
            format!("SELECT min(at) FROM deliveries JOIN webhooks ON webhook = id WHERE active AND {WAITS}");
        let oldest: Option<i64> = self.connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
        backlog.oldest = oldest.map(UnixTime::from_seconds);
        Ok(backlog)
    }

    fn forget_deliveries(&mut self, at: UnixTime) -> Result<u64, StoreError> {
        self.write(|connection| {
            let sql = "DELETE FROM deliveries WHERE state IN ('delivered', 'dead') AND tried < ?1";
            let gone = connection.execute(sql, [at.seconds()])?;
            Ok(u64::try_from(gone).unwrap_or(u64::MAX))
        })
    }
}

/// Writes a delivery for each active webhook of the tenant that wants the event.
pub(super) fn announce(connection: &Connection, notice: &Notice) -> Result<u64, StoreError> {
    let sql = "UPDATE webhooks SET sequence = sequence + 1
               WHERE tenant = ?1 AND active AND instr(' ' || events || ' ', ' ' || ?2 || ' ')
               RETURNING id, sequence";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![notice.tenant.as_str(), notice.event.word()], |row| {
        Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, i64>(1)?))
    })?;
    let wanted: Vec<_> = rows.collect::<Result<_, _>>()?;
    for (webhook, number) in &wanted {
        keep_delivery(connection, *webhook, *number, notice)?;
    }
    Ok(u64::try_from(wanted.len()).unwrap_or(u64::MAX))
}

fn keep_delivery(
    connection: &Connection,
    webhook: [u8; 16],
    number: i64,
    notice: &Notice,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO deliveries (webhook, sequence, event, at, data, state, attempts, due)
               VALUES (?1, ?2, ?3, ?4, ?5, 'pending', 0, ?4)";
    let row = params![webhook, number, notice.event.word(), notice.at.seconds(), notice.data];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn keep_secret(connection: &Connection, id: HookId, secret: &SealedSecret) -> Result<(), StoreError> {
    let sql = "INSERT INTO webhook_secrets (webhook, sealed, hint, created, until)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.execute(
        sql,
        params![
            id.as_bytes(),
            secret.sealed,
            secret.hint,
            secret.created.seconds(),
            secret.until.map(UnixTime::seconds)
        ],
    )?;
    Ok(())
}

fn hook(row: &Row<'_>) -> rusqlite::Result<HookRecord> {
    let (events, form): (String, String) = (row.get(3)?, row.get(4)?);
    let events = events.split_whitespace().map(HookEvent::from_word).collect::<Option<_>>();
    Ok(HookRecord {
        id: HookId::from_bytes(row.get(0)?),
        tenant: tenant(row, 1)?,
        url: row.get(2)?,
        events: events.ok_or_else(|| damaged(3, Type::Text))?,
        form: SignatureForm::from_word(&form).ok_or_else(|| damaged(4, Type::Text))?,
        active: row.get(5)?,
        created: UnixTime::from_seconds(row.get(6)?),
        updated: UnixTime::from_seconds(row.get(7)?),
    })
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<DeliveryRecord> {
    let event: String = row.get(2)?;
    let answer = match row.get(9)? {
        None => None,
        Some(status) => Some(ReceiverAnswer { status, body: row.get(10)? }),
    };
    Ok(DeliveryRecord {
        hook: HookId::from_bytes(row.get(0)?),
        sequence: u64::try_from(row.get::<_, i64>(1)?).map_err(|_| damaged(1, Type::Integer))?,
        event: HookEvent::from_word(&event).ok_or_else(|| damaged(2, Type::Text))?,
        at: UnixTime::from_seconds(row.get(3)?),
        data: row.get(4)?,
        state: state(row, 5)?,
        attempts: row.get(6)?,
        due: UnixTime::from_seconds(row.get(7)?),
        tried: row.get::<_, Option<i64>>(8)?.map(UnixTime::from_seconds),
        answer,
        error: row.get(11)?,
    })
}

fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<DeliveryState> {
    let word: String = row.get(column)?;
    DeliveryState::from_word(&word).ok_or_else(|| damaged(column, Type::Text))
}

fn words(events: &[HookEvent]) -> String {
    events.iter().map(|event| event.word()).collect::<Vec<_>>().join(" ")
}

fn found(rows: usize, id: HookId) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::UnknownHook { id }) } else { Ok(()) }
}

const HOOKS: &str = "SELECT id, tenant, url, events, form, active, created, updated FROM webhooks";
const DELIVERIES: &str =
    "SELECT webhook, sequence, event, at, data, state, attempts, due, tried, status, body,
                          error FROM deliveries";
/// Word for word what the index of waiting deliveries says.
const WAITS: &str = "state IN ('pending', 'failed')";
