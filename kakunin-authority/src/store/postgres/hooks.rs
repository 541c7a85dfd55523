//! Webhooks in PostgreSQL: a row for each, its secrets, and a row for each delivery.

use kakunin_core::time::UnixTime;
use tokio_postgres::Row;

use super::PostgresStore;
use super::access::is_tenant;
use super::session::Session;
use super::values::{
    bytes, count, damaged, maybe_time, maybe_words, sixteen, tenant as tenant_of, time, words,
};
use crate::access::TenantId;
use crate::hook::{HookEvent, HookId, SignatureForm};
use crate::store::{
    Attempt, Backlog, DeliveryRecord, DeliveryState, HookChange, HookRecord, Hooks, Notice, ReceiverAnswer,
    SealedSecret, StoreError,
};

impl Hooks for PostgresStore {
    fn add_hook(&mut self, hook: &HookRecord, secret: &SealedSecret) -> Result<(), StoreError> {
        self.write(|session| {
            let id = &hook.id.as_bytes()[..];
            if session.is_there("SELECT 1 FROM webhooks WHERE id = $1", &[&id])? {
                return Err(StoreError::HookTaken { id: hook.id });
            }
            if !is_tenant(session, &hook.tenant)? {
                return Err(StoreError::UnknownTenant { tenant: hook.tenant.clone() });
            }
            let sql = "INSERT INTO webhooks
                       (id, tenant, url, events, form, active, created, updated, sequence)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)";
            session.execute(
                sql,
                &[
                    &id,
                    &hook.tenant.as_str(),
                    &hook.url.as_bytes(),
                    &joined(&hook.events),
                    &hook.form.word(),
                    &hook.active,
                    &hook.created.seconds(),
                    &hook.updated.seconds(),
                ],
            )?;
            keep_secret(session, hook.id, secret)
        })
    }

    fn hooks(&self, tenant: &TenantId) -> Result<Vec<HookRecord>, StoreError> {
        self.read(|session| {
            let sql = format!("{HOOKS} WHERE tenant = $1 ORDER BY number");
            session.rows(&sql, &[&tenant.as_str()])?.iter().map(hook).collect()
        })
    }

    fn hook(&self, tenant: &TenantId, id: HookId) -> Result<Option<HookRecord>, StoreError> {
        self.read(|session| {
            let sql = format!("{HOOKS} WHERE tenant = $1 AND id = $2");
            session.row(&sql, &[&tenant.as_str(), &&id.as_bytes()[..]])?.as_ref().map(hook).transpose()
        })
    }

    fn set_hook(
        &mut self,
        tenant: &TenantId,
        id: HookId,
        change: &HookChange,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(|session| {
            let sql = "UPDATE webhooks SET url = coalesce($3, url), events = coalesce($4, events),
                       form = coalesce($5, form), active = coalesce($6, active), updated = $7
                       WHERE tenant = $1 AND id = $2";
            let changed = session.execute(
                sql,
                &[
                    &tenant.as_str(),
                    &&id.as_bytes()[..],
                    &bytes(&change.url),
                    &change.events.as_deref().map(joined),
                    &change.form.map(SignatureForm::word),
                    &change.active,
                    &at.seconds(),
                ],
            )?;
            found(changed, id)
        })
    }

    fn remove_hook(&mut self, tenant: &TenantId, id: HookId) -> Result<(), StoreError> {
        self.write(|session| {
            let sql = "DELETE FROM webhooks WHERE tenant = $1 AND id = $2";
            found(session.execute(sql, &[&tenant.as_str(), &&id.as_bytes()[..]])?, id)
        })
    }

    fn rotate_secret(
        &mut self,
        tenant: &TenantId,
        id: HookId,
        secret: &SealedSecret,
        until: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(|session| {
            let webhook = &id.as_bytes()[..];
            let sql = "UPDATE webhooks SET updated = $3 WHERE tenant = $1 AND id = $2";
            let created = secret.created.seconds();
            found(session.execute(sql, &[&tenant.as_str(), &webhook, &created])?, id)?;
            let sql = "DELETE FROM webhook_secrets WHERE webhook = $1 AND until IS NOT NULL";
            session.execute(sql, &[&webhook])?;
            let sql = "UPDATE webhook_secrets SET until = $2 WHERE webhook = $1";
            session.execute(sql, &[&webhook, &until.seconds()])?;
            keep_secret(session, id, secret)
        })
    }

    fn secrets(&self, id: HookId, now: UnixTime) -> Result<Vec<SealedSecret>, StoreError> {
        self.read(|session| {
            let sql = "SELECT sealed, hint, created, until FROM webhook_secrets
                       WHERE webhook = $1 AND (until IS NULL OR until > $2) ORDER BY number DESC";
            let rows = session.rows(sql, &[&&id.as_bytes()[..], &now.seconds()])?;
            let secret = |row: &Row| {
                Ok(SealedSecret {
                    sealed: row.try_get(0)?,
                    hint: words(row, 1)?,
                    created: time(row, 2)?,
                    until: maybe_time(row, 3)?,
                })
            };
            rows.iter().map(secret).collect()
        })
    }

    fn announce(&mut self, notice: &Notice) -> Result<u64, StoreError> {
        self.write(|session| announce(session, notice))
    }

    fn announce_to(&mut self, id: HookId, notice: &Notice) -> Result<u64, StoreError> {
        self.write(|session| {
            let sql = "UPDATE webhooks SET sequence = sequence + 1 WHERE tenant = $1 AND id = $2
                       RETURNING sequence";
            let row = session.row(sql, &[&notice.tenant.as_str(), &&id.as_bytes()[..]])?;
            let number: i64 = row.ok_or(StoreError::UnknownHook { id })?.try_get(0)?;
            keep_delivery(session, &id.as_bytes()[..], number, notice)?;
            u64::try_from(number).map_err(|_| damaged("number of a delivery"))
        })
    }

    fn hooks_due(&self, now: UnixTime) -> Result<Vec<HookRecord>, StoreError> {
        self.read(|session| {
            let sql = format!(
                "{HOOKS} WHERE active AND EXISTS
                 (SELECT 1 FROM deliveries WHERE webhook = id AND {WAITS} AND due <= $1) ORDER BY number"
            );
            session.rows(&sql, &[&now.seconds()])?.iter().map(hook).collect()
        })
    }

    fn due(&self, id: HookId, now: UnixTime, limit: u32) -> Result<Vec<DeliveryRecord>, StoreError> {
        self.read(|session| {
            let sql = format!(
                "{DELIVERIES} WHERE webhook = $1 AND {WAITS} AND due <= $2 ORDER BY due, sequence LIMIT $3"
            );
            let rows = session.rows(&sql, &[&&id.as_bytes()[..], &now.seconds(), &i64::from(limit)])?;
            rows.iter().map(delivery).collect()
        })
    }

    fn settle(&mut self, id: HookId, sequence: u64, attempt: &Attempt) -> Result<bool, StoreError> {
        let Ok(sequence) = i64::try_from(sequence) else { return Ok(false) };
        self.write(|session| {
            let sql = format!(
                "UPDATE deliveries SET state = $3, attempts = attempts + 1, due = coalesce($4, due),
                 tried = $5, status = $6, body = $7, error = $8 WHERE webhook = $1 AND sequence = $2 AND {WAITS}"
            );
            let answer = attempt.answer.as_ref();
            let settled = session.execute(
                &sql,
                &[
                    &&id.as_bytes()[..],
                    &sequence,
                    &attempt.then.state().word(),
                    &attempt.then.due().map(UnixTime::seconds),
                    &attempt.at.seconds(),
                    &answer.map(|answer| i32::from(answer.status)),
                    &answer.map(|answer| &answer.body[..]),
                    &bytes(&attempt.error),
                ],
            )?;
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
        self.read(|session| {
            let sql =
                format!("{DELIVERIES} WHERE webhook = $1 AND sequence < $2 ORDER BY sequence DESC LIMIT $3");
            let rows = session.rows(&sql, &[&&id.as_bytes()[..], &below, &i64::from(limit)])?;
            rows.iter().map(delivery).collect()
        })
    }

    fn backlog(&self) -> Result<Backlog, StoreError> {
        self.read(|session| {
            // Each half by an index of its own: what was delivered is most, and is not counted.
            let sql = format!(
                "SELECT state, count(*) FROM deliveries WHERE {WAITS} GROUP BY state
                 UNION ALL SELECT 'dead', count(*) FROM deliveries WHERE state = 'dead'"
            );
            let mut backlog = Backlog::default();
            for row in &session.rows(&sql, &[])? {
                let count = count(row, 1)?;
                match state(row, 0)? {
                    DeliveryState::Pending => backlog.pending = count,
                    DeliveryState::Failed => backlog.failed = count,
                    DeliveryState::Dead => backlog.dead = count,
                    DeliveryState::Delivered => {}
                }
            }
            let sql = format!(
                "SELECT min(at) FROM deliveries JOIN webhooks ON webhook = id WHERE active AND {WAITS}"
            );
            if let Some(row) = session.row(&sql, &[])? {
                backlog.oldest = maybe_time(&row, 0)?;
            }
            Ok(backlog)
        })
    }

    fn forget_deliveries(&mut self, at: UnixTime) -> Result<u64, StoreError> {
        self.write(|session| {
            let sql = "DELETE FROM deliveries WHERE state IN ('delivered', 'dead') AND tried < $1";
            session.execute(sql, &[&at.seconds()])
        })
    }
}

/// Writes a delivery for each active webhook of the tenant that wants the event.
pub(super) fn announce(session: &mut Session, notice: &Notice) -> Result<u64, StoreError> {
    let sql = "UPDATE webhooks SET sequence = sequence + 1
               WHERE tenant = $1 AND active AND strpos(' ' || events || ' ', ' ' || $2 || ' ') > 0
               RETURNING id, sequence";
    let wanted = session.rows(sql, &[&notice.tenant.as_str(), &notice.event.word()])?;
    for row in &wanted {
        keep_delivery(session, row.try_get(0)?, row.try_get(1)?, notice)?;
    }
    Ok(u64::try_from(wanted.len()).unwrap_or(u64::MAX))
}

fn keep_delivery(
    session: &mut Session,
    webhook: &[u8],
    number: i64,
    notice: &Notice,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO deliveries (webhook, sequence, event, at, data, state, attempts, due)
               VALUES ($1, $2, $3, $4, $5, 'pending', 0, $4)";
    let (event, at) = (notice.event.word(), notice.at.seconds());
    session.execute(sql, &[&webhook, &number, &event, &at, &notice.data.as_bytes()])?;
    Ok(())
}

fn keep_secret(session: &mut Session, id: HookId, secret: &SealedSecret) -> Result<(), StoreError> {
    let sql = "INSERT INTO webhook_secrets (webhook, sealed, hint, created, until)
               VALUES ($1, $2, $3, $4, $5)";
    session.execute(
        sql,
        &[
            &&id.as_bytes()[..],
            &secret.sealed,
            &secret.hint.as_bytes(),
            &secret.created.seconds(),
            &secret.until.map(UnixTime::seconds),
        ],
    )?;
    Ok(())
}

fn hook(row: &Row) -> Result<HookRecord, StoreError> {
    let (events, form): (&str, &str) = (row.try_get(3)?, row.try_get(4)?);
    let events = events.split_whitespace().map(HookEvent::from_word).collect::<Option<_>>();
    Ok(HookRecord {
        id: HookId::from_bytes(sixteen(row, 0)?),
        tenant: tenant_of(row, 1)?,
        url: words(row, 2)?,
        events: events.ok_or(damaged("webhook"))?,
        form: SignatureForm::from_word(form).ok_or(damaged("webhook"))?,
        active: row.try_get(5)?,
        created: time(row, 6)?,
        updated: time(row, 7)?,
    })
}

fn delivery(row: &Row) -> Result<DeliveryRecord, StoreError> {
    let answer = match row.try_get::<_, Option<i32>>(9)? {
        None => None,
        Some(status) => {
            let status = u16::try_from(status).map_err(|_| damaged("delivery"))?;
            Some(ReceiverAnswer { status, body: row.try_get(10)? })
        }
    };
    let attempts: i64 = row.try_get(6)?;
    Ok(DeliveryRecord {
        hook: HookId::from_bytes(sixteen(row, 0)?),
        sequence: count(row, 1)?,
        event: HookEvent::from_word(row.try_get(2)?).ok_or(damaged("delivery"))?,
        at: time(row, 3)?,
        data: words(row, 4)?,
        state: state(row, 5)?,
        attempts: u32::try_from(attempts).map_err(|_| damaged("delivery"))?,
        due: time(row, 7)?,
        tried: maybe_time(row, 8)?,
        answer,
        error: maybe_words(row, 11)?,
    })
}

fn state(row: &Row, column: usize) -> Result<DeliveryState, StoreError> {
    DeliveryState::from_word(row.try_get(column)?).ok_or(damaged("delivery"))
}

fn joined(events: &[HookEvent]) -> String {
    events.iter().map(|event| event.word()).collect::<Vec<_>>().join(" ")
}

fn found(rows: u64, id: HookId) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::UnknownHook { id }) } else { Ok(()) }
}

const HOOKS: &str = "SELECT id, tenant, url, events, form, active, created, updated FROM webhooks";
const DELIVERIES: &str =
    "SELECT webhook, sequence, event, at, data, state, attempts, due, tried, status, body,
    error FROM deliveries";
/// Word for word what the index of waiting deliveries says.
const WAITS: &str = "state IN ('pending', 'failed')";
