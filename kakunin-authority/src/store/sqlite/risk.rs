//! How agents behave, in SQLite.

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, StreamId};
use kakunin_core::risk::RiskLevel;
use kakunin_core::time::UnixTime;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};

use super::{Broken, SqliteStore, damaged, tenant};
use crate::access::{Actor, TenantId};
use crate::store::risk::{MOST_FORKS, kept_number};
use crate::store::{
    ContentCheck, ReceiptPlace, Risk, RiskEvent, RiskEventKind, RiskHead, RiskRecord, RiskSeal, RiskSign,
    SignKind, StoreError, Verdict,
};

impl Risk for SqliteStore {
    fn risk_place(&self, tenant: &TenantId) -> Result<Option<ReceiptPlace>, StoreError> {
        let sql = "SELECT agent, stream, sequence, hash FROM risk_places WHERE tenant = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row([tenant.as_str()], |row| {
            Ok(ReceiptPlace {
                agent: AgentId::from_bytes(row.get(0)?),
                stream: StreamId::from_bytes(row.get(1)?),
                sequence: natural(row, 2)?,
                hash: Digest::from_bytes(row.get(3)?),
            })
        });
        Ok(found.optional()?)
    }

    fn set_risk_place(&mut self, tenant: &TenantId, place: &ReceiptPlace) -> Result<(), StoreError> {
        let sequence = kept_number(place.sequence)?;
        self.write(|connection| {
            let sql = "INSERT INTO risk_places (tenant, agent, stream, sequence, hash)
                       VALUES (?1, ?2, ?3, ?4, ?5)
                       ON CONFLICT (tenant) DO UPDATE SET agent = excluded.agent, stream = excluded.stream,
                       sequence = excluded.sequence, hash = excluded.hash";
            let row = params![
                tenant.as_str(),
                place.agent.as_bytes(),
                place.stream.as_bytes(),
                sequence,
                place.hash.as_bytes(),
            ];
            known(connection.prepare_cached(sql)?.execute(row), place.agent)
        })
    }

    fn forks(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        stream: StreamId,
        first: u64,
        last: u64,
    ) -> Result<Vec<u64>, StoreError> {
        let (first, last) = (kept_number(first)?, kept_number(last)?);
        let sql = "SELECT sequence FROM receipts WHERE tenant = ?1 AND agent = ?2 AND stream = ?3
                   AND sequence BETWEEN ?4 AND ?5 GROUP BY sequence HAVING count(*) > 1
                   ORDER BY sequence LIMIT ?6";
        let mut statement = self.connection.prepare_cached(sql)?;
        let of = params![tenant.as_str(), agent.as_bytes(), stream.as_bytes(), first, last, MOST_FORKS];
        let rows = statement.query_map(of, |row| natural(row, 0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn count_numbers(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        stream: StreamId,
        first: u64,
        last: u64,
    ) -> Result<u64, StoreError> {
        let (first, last) = (kept_number(first)?, kept_number(last)?);
        let sql = "SELECT count(DISTINCT sequence) FROM receipts WHERE tenant = ?1 AND agent = ?2
                   AND stream = ?3 AND sequence BETWEEN ?4 AND ?5";
        let mut statement = self.connection.prepare_cached(sql)?;
        let of = params![tenant.as_str(), agent.as_bytes(), stream.as_bytes(), first, last];
        Ok(statement.query_row(of, |row| natural(row, 0))?)
    }

    fn number_below(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        stream: StreamId,
        number: u64,
    ) -> Result<Option<u64>, StoreError> {
        let number = kept_number(number)?;
        let sql = "SELECT sequence FROM receipts WHERE tenant = ?1 AND agent = ?2 AND stream = ?3
                   AND sequence < ?4 ORDER BY sequence DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let of = params![tenant.as_str(), agent.as_bytes(), stream.as_bytes(), number];
        Ok(statement.query_row(of, |row| natural(row, 0)).optional()?)
    }

    fn risk(&self, tenant: &TenantId, agent: AgentId) -> Result<Option<RiskRecord>, StoreError> {
        let sql = format!("{RISKS} WHERE tenant = ?1 AND agent = ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row(params![tenant.as_str(), agent.as_bytes()], record).optional()?)
    }

    fn risk_heads(
        &self,
        tenant: &TenantId,
        after: Option<AgentId>,
        limit: u32,
    ) -> Result<Vec<RiskHead>, StoreError> {
        let sql = format!(
            "SELECT agent, level, baseline IS NOT NULL, last, pause, silent, gaps FROM risks
             WHERE tenant = ?1 AND (?2 IS NULL OR agent > ?2) ORDER BY agent LIMIT {limit}"
        );
        let mut statement = self.connection.prepare(&sql)?;
        let after = after.as_ref().map(AgentId::as_bytes);
        let rows = statement.query_map(params![tenant.as_str(), after], head)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn keep_risk(&mut self, record: &RiskRecord) -> Result<(), StoreError> {
        let (calls, tried) = (kept_number(record.calls)?, kept_number(record.tried)?);
        self.write(|connection| {
            let sql = "INSERT INTO risks (tenant, agent, level, score, policy, baseline, state, calls, first, last,
                       pause, silent, updated, tried, gaps, unlearnt)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
                       ON CONFLICT (tenant, agent) DO UPDATE SET level = excluded.level, score = excluded.score,
                       policy = excluded.policy, baseline = excluded.baseline, state = excluded.state,
                       calls = excluded.calls, first = excluded.first, last = excluded.last,
                       pause = excluded.pause, silent = excluded.silent, updated = excluded.updated,
                       tried = excluded.tried, gaps = excluded.gaps, unlearnt = excluded.unlearnt";
            let row = params![
                record.tenant.as_str(),
                record.agent.as_bytes(),
                record.level.word(),
                record.score,
                record.policy,
                record.baseline,
                record.state,
                calls,
                record.first.map(UnixTime::seconds),
                record.last.map(UnixTime::seconds),
                record.pause,
                record.silent,
                record.updated.seconds(),
                tried,
                record.gaps,
                record.unlearnt,
            ];
            known(connection.prepare_cached(sql)?.execute(row), record.agent)
        })
    }

    fn count_risks(&self) -> Result<Vec<(RiskLevel, u64)>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT level, count(*) FROM risks GROUP BY level")?;
        let rows = statement.query_map([], |row| Ok((level(row, 0)?, natural(row, 1)?)))?;
        let mut counts = rows.collect::<Result<Vec<_>, _>>()?;
        counts.sort_unstable();
        Ok(counts)
    }

    fn hand_in_sign(&mut self, sign: &RiskSign) -> Result<u64, StoreError> {
        self.write(|connection| {
            let sql = "INSERT INTO risk_signs (number, tenant, agent, kind, weight, sentence, cause, at)
                       SELECT coalesce(max(number), 0) + 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7 FROM risk_signs
                       WHERE true RETURNING number";
            let row = params![
                sign.tenant.as_str(),
                sign.agent.as_bytes(),
                sign.kind.word(),
                sign.weight,
                sign.sentence,
                sign.cause.as_ref().map(Digest::as_bytes),
                sign.at.seconds(),
            ];
            numbered(connection.prepare_cached(sql)?.query_row(row, |row| natural(row, 0)), sign.agent)
        })
    }

    fn signs(&self, tenant: &TenantId, limit: u32) -> Result<Vec<(u64, RiskSign)>, StoreError> {
        let sql = format!(
            "SELECT number, tenant, agent, kind, weight, sentence, cause, at FROM risk_signs
             WHERE tenant = ?1 ORDER BY number LIMIT {limit}"
        );
        let mut statement = self.connection.prepare(&sql)?;
        let rows = statement.query_map([tenant.as_str()], sign)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn take_out_sign(&mut self, number: u64) -> Result<bool, StoreError> {
        let number = kept_number(number)?;
        self.write(|connection| {
            Ok(connection.execute("DELETE FROM risk_signs WHERE number = ?1", [number])? > 0)
        })
    }

    fn add_risk_event(&mut self, event: &RiskEvent) -> Result<u64, StoreError> {
        self.write(|connection| {
            let sql = "INSERT INTO risk_events
                       (number, tenant, agent, kind, level, score, actor, text, at, signature, key, sealed)
                       SELECT coalesce(max(number), 0) + 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
                       FROM risk_events WHERE true RETURNING number";
            let seal = event.seal.as_ref();
            let row = params![
                event.tenant.as_str(),
                event.agent.as_bytes(),
                event.kind.word(),
                event.level.word(),
                event.score,
                event.actor.to_string(),
                event.text,
                event.at.seconds(),
                seal.map(|seal| &seal.signature),
                seal.map(|seal| seal.key.as_bytes()),
                seal.map(|seal| seal.at.seconds()),
            ];
            numbered(connection.prepare_cached(sql)?.query_row(row, |row| natural(row, 0)), event.agent)
        })
    }

    fn risk_events(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        below: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, RiskEvent)>, StoreError> {
        let sql = format!(
            "{EVENTS} WHERE tenant = ?1 AND agent = ?2 AND number < ?3 ORDER BY number DESC LIMIT {limit}"
        );
        let below = below.and_then(|below| i64::try_from(below).ok()).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare(&sql)?;
        let rows = statement.query_map(params![tenant.as_str(), agent.as_bytes(), below], event)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn open_risk_events(&self, after: u64, limit: u32) -> Result<Vec<(u64, RiskEvent)>, StoreError> {
        let sql = format!("{EVENTS} WHERE signature IS NULL AND number > ?1 ORDER BY number LIMIT {limit}");
        let mut statement = self.connection.prepare(&sql)?;
        let rows = statement.query_map([i64::try_from(after).unwrap_or(i64::MAX)], event)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn seal_risk_event(&mut self, number: u64, seal: &RiskSeal) -> Result<bool, StoreError> {
        let number = kept_number(number)?;
        self.write(|connection| {
            let sql = "UPDATE risk_events SET signature = ?2, key = ?3, sealed = ?4
                       WHERE number = ?1 AND signature IS NULL";
            let row = params![number, seal.signature, seal.key.as_bytes(), seal.at.seconds()];
            Ok(connection.execute(sql, row)? > 0)
        })
    }

    fn add_check(&mut self, check: &ContentCheck) -> Result<u64, StoreError> {
        self.write(|connection| {
            let sql = "INSERT INTO content_checks
                       (number, tenant, agent, provider, source, message, length, verdict, findings, at, ended)
                       SELECT coalesce(max(number), 0) + 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10
                       FROM content_checks WHERE true RETURNING number";
            let row = params![
                check.tenant.as_str(),
                check.agent.as_bytes(),
                check.provider,
                check.source,
                check.message,
                check.length,
                check.verdict.word(),
                check.findings,
                check.at.seconds(),
                check.ended.map(UnixTime::seconds),
            ];
            numbered(connection.prepare_cached(sql)?.query_row(row, |row| natural(row, 0)), check.agent)
        })
    }

    fn end_check(
        &mut self,
        number: u64,
        verdict: Verdict,
        findings: &str,
        at: UnixTime,
    ) -> Result<bool, StoreError> {
        let number = kept_number(number)?;
        self.write(|connection| {
            let sql = "UPDATE content_checks SET verdict = ?2, findings = ?3, ended = ?4
                       WHERE number = ?1 AND verdict = 'pending'";
            Ok(connection.execute(sql, params![number, verdict.word(), findings, at.seconds()])? > 0)
        })
    }

    fn give_up_checks(&mut self, findings: &str, at: UnixTime) -> Result<u64, StoreError> {
        self.write(|connection| {
            let sql = "UPDATE content_checks SET ended = ?2,
                       verdict = CASE WHEN findings = '[]' THEN 'unknown' ELSE 'found' END,
                       findings = CASE WHEN findings = '[]' THEN ?1 ELSE findings END
                       WHERE verdict = 'pending'";
            Ok(connection.execute(sql, params![findings, at.seconds()])? as u64)
        })
    }

    fn checks(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        since: UnixTime,
        limit: u32,
    ) -> Result<Vec<(u64, ContentCheck)>, StoreError> {
        let sql = format!(
            "SELECT number, tenant, agent, provider, source, message, length, verdict, findings, at, ended
             FROM content_checks WHERE tenant = ?1 AND agent = ?2 AND at >= ?3
             ORDER BY number DESC LIMIT {limit}"
        );
        let mut statement = self.connection.prepare(&sql)?;
        let of = params![tenant.as_str(), agent.as_bytes(), since.seconds()];
        let rows = statement.query_map(of, check)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn count_checks(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        since: UnixTime,
    ) -> Result<Vec<(Verdict, u64)>, StoreError> {
        let sql = "SELECT verdict, count(*) FROM content_checks
                   WHERE tenant = ?1 AND agent = ?2 AND at >= ?3 GROUP BY verdict";
        let mut statement = self.connection.prepare_cached(sql)?;
        let of = params![tenant.as_str(), agent.as_bytes(), since.seconds()];
        let rows = statement.query_map(of, |row| Ok((verdict(row, 0)?, natural(row, 1)?)))?;
        let mut counts = rows.collect::<Result<Vec<_>, _>>()?;
        counts.sort_unstable();
        Ok(counts)
    }
}

/// Nothing, unless the agent is none of the tenant's.
fn known(added: rusqlite::Result<usize>, agent: AgentId) -> Result<(), StoreError> {
    match Broken::rule(&added) {
        Some(Broken::Reference) => Err(StoreError::UnknownAgent { id: agent }),
        _ => Ok(added.map(drop)?),
    }
}

/// The number, unless the agent is none of the tenant's.
fn numbered(added: rusqlite::Result<u64>, agent: AgentId) -> Result<u64, StoreError> {
    match Broken::rule(&added) {
        Some(Broken::Reference) => Err(StoreError::UnknownAgent { id: agent }),
        _ => Ok(added?),
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<RiskRecord> {
    Ok(RiskRecord {
        tenant: tenant(row, 0)?,
        agent: AgentId::from_bytes(row.get(1)?),
        level: level(row, 2)?,
        score: row.get(3)?,
        policy: row.get(4)?,
        baseline: row.get(5)?,
        state: row.get(6)?,
        calls: natural(row, 7)?,
        first: maybe_time(row, 8)?,
        last: maybe_time(row, 9)?,
        pause: row.get(10)?,
        silent: row.get(11)?,
        updated: UnixTime::from_seconds(row.get(12)?),
        tried: natural(row, 13)?,
        gaps: row.get(14)?,
        unlearnt: row.get(15)?,
    })
}

fn head(row: &Row<'_>) -> rusqlite::Result<RiskHead> {
    Ok(RiskHead {
        agent: AgentId::from_bytes(row.get(0)?),
        level: level(row, 1)?,
        has_baseline: row.get(2)?,
        last: maybe_time(row, 3)?,
        pause: row.get(4)?,
        silent: row.get(5)?,
        gaps: row.get(6)?,
    })
}

fn sign(row: &Row<'_>) -> rusqlite::Result<(u64, RiskSign)> {
    let kind: String = row.get(3)?;
    let sign = RiskSign {
        tenant: tenant(row, 1)?,
        agent: AgentId::from_bytes(row.get(2)?),
        kind: SignKind::from_word(&kind).ok_or_else(|| damaged(3, Type::Text))?,
        weight: row.get(4)?,
        sentence: row.get(5)?,
        cause: row.get::<_, Option<[u8; 32]>>(6)?.map(Digest::from_bytes),
        at: UnixTime::from_seconds(row.get(7)?),
    };
    Ok((natural(row, 0)?, sign))
}

fn event(row: &Row<'_>) -> rusqlite::Result<(u64, RiskEvent)> {
    let (kind, actor): (String, String) = (row.get(3)?, row.get(6)?);
    let seal = match (row.get::<_, Option<Vec<u8>>>(9)?, row.get::<_, Option<[u8; 32]>>(10)?) {
        (Some(signature), Some(key)) => Some(RiskSeal {
            signature,
            key: Digest::from_bytes(key),
            at: UnixTime::from_seconds(row.get(11)?),
        }),
        _ => None,
    };
    let event = RiskEvent {
        tenant: tenant(row, 1)?,
        agent: AgentId::from_bytes(row.get(2)?),
        kind: RiskEventKind::from_word(&kind).ok_or_else(|| damaged(3, Type::Text))?,
        level: level(row, 4)?,
        score: row.get(5)?,
        actor: Actor::parse(&actor).ok_or_else(|| damaged(6, Type::Text))?,
        text: row.get(7)?,
        at: UnixTime::from_seconds(row.get(8)?),
        seal,
    };
    Ok((natural(row, 0)?, event))
}

fn check(row: &Row<'_>) -> rusqlite::Result<(u64, ContentCheck)> {
    let check = ContentCheck {
        tenant: tenant(row, 1)?,
        agent: AgentId::from_bytes(row.get(2)?),
        provider: row.get(3)?,
        source: row.get(4)?,
        message: row.get(5)?,
        length: row.get(6)?,
        verdict: verdict(row, 7)?,
        findings: row.get(8)?,
        at: UnixTime::from_seconds(row.get(9)?),
        ended: maybe_time(row, 10)?,
    };
    Ok((natural(row, 0)?, check))
}

fn level(row: &Row<'_>, column: usize) -> rusqlite::Result<RiskLevel> {
    let word: String = row.get(column)?;
    RiskLevel::from_word(&word).ok_or_else(|| damaged(column, Type::Text))
}

fn verdict(row: &Row<'_>, column: usize) -> rusqlite::Result<Verdict> {
    let word: String = row.get(column)?;
    Verdict::from_word(&word).ok_or_else(|| damaged(column, Type::Text))
}

fn maybe_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<UnixTime>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(UnixTime::from_seconds))
}

fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| damaged(column, Type::Integer))
}

const RISKS: &str =
    "SELECT tenant, agent, level, score, policy, baseline, state, calls, first, last, pause, silent,
                     updated, tried, gaps, unlearnt FROM risks";
const EVENTS: &str =
    "SELECT number, tenant, agent, kind, level, score, actor, text, at, signature, key, sealed
                      FROM risk_events";
