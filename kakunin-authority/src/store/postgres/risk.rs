//! How agents behave, in PostgreSQL.

use kakunin_core::id::{AgentId, StreamId};
use kakunin_core::risk::RiskLevel;
use kakunin_core::time::UnixTime;
use tokio_postgres::Row;

use super::PostgresStore;
use super::session::Session;
use super::values::{
    agent_id, bytes, count, damaged, digest, maybe_time, maybe_words, sixteen, tenant as tenant_of, time,
    words,
};
use crate::access::{Actor, TenantId};
use crate::store::risk::{MOST_FORKS, kept_number};
use crate::store::{
    ContentCheck, ReceiptPlace, Risk, RiskEvent, RiskEventKind, RiskHead, RiskRecord, RiskSeal, RiskSign,
    SignKind, StoreError, Verdict,
};

impl Risk for PostgresStore {
    fn risk_place(&self, tenant: &TenantId) -> Result<Option<ReceiptPlace>, StoreError> {
        self.read(|session| {
            let sql = "SELECT agent, stream, sequence, hash FROM risk_places WHERE tenant = $1";
            let row = session.row(sql, &[&tenant.as_str()])?;
            row.map(|row| {
                Ok(ReceiptPlace {
                    agent: agent_id(&row, 0)?,
                    stream: StreamId::from_bytes(sixteen(&row, 1)?),
                    sequence: count(&row, 2)?,
                    hash: digest(&row, 3)?,
                })
            })
            .transpose()
        })
    }

    fn set_risk_place(&mut self, tenant: &TenantId, place: &ReceiptPlace) -> Result<(), StoreError> {
        let sequence = kept_number(place.sequence)?;
        self.write(|session| {
            has(session, tenant, place.agent)?;
            let sql = "INSERT INTO risk_places (tenant, agent, stream, sequence, hash)
                       VALUES ($1, $2, $3, $4, $5)
                       ON CONFLICT (tenant) DO UPDATE SET agent = excluded.agent, stream = excluded.stream,
                       sequence = excluded.sequence, hash = excluded.hash";
            let (agent, stream) = (&place.agent.as_bytes()[..], &place.stream.as_bytes()[..]);
            let hash = &place.hash.as_bytes()[..];
            session.execute(sql, &[&tenant.as_str(), &agent, &stream, &sequence, &hash])?;
            Ok(())
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
        self.read(|session| {
            let sql = "SELECT sequence FROM receipts WHERE tenant = $1 AND agent = $2 AND stream = $3
                       AND sequence BETWEEN $4 AND $5 GROUP BY sequence HAVING count(*) > 1
                       ORDER BY sequence LIMIT $6";
            let (agent, stream) = (&agent.as_bytes()[..], &stream.as_bytes()[..]);
            let limit = i64::from(MOST_FORKS);
            let rows = session.rows(sql, &[&tenant.as_str(), &agent, &stream, &first, &last, &limit])?;
            rows.iter().map(|row| count(row, 0)).collect()
        })
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
        self.read(|session| {
            let sql = "SELECT count(DISTINCT sequence) FROM receipts WHERE tenant = $1 AND agent = $2
                       AND stream = $3 AND sequence BETWEEN $4 AND $5";
            let (agent, stream) = (&agent.as_bytes()[..], &stream.as_bytes()[..]);
            natural(session.number(sql, &[&tenant.as_str(), &agent, &stream, &first, &last])?)
        })
    }

    fn number_below(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        stream: StreamId,
        number: u64,
    ) -> Result<Option<u64>, StoreError> {
        let number = kept_number(number)?;
        self.read(|session| {
            let sql = "SELECT sequence FROM receipts WHERE tenant = $1 AND agent = $2 AND stream = $3
                       AND sequence < $4 ORDER BY sequence DESC LIMIT 1";
            let (agent, stream) = (&agent.as_bytes()[..], &stream.as_bytes()[..]);
            let row = session.row(sql, &[&tenant.as_str(), &agent, &stream, &number])?;
            row.map(|row| count(&row, 0)).transpose()
        })
    }

    fn risk(&self, tenant: &TenantId, agent: AgentId) -> Result<Option<RiskRecord>, StoreError> {
        self.read(|session| {
            let sql = format!("{RISKS} WHERE tenant = $1 AND agent = $2");
            let row = session.row(&sql, &[&tenant.as_str(), &&agent.as_bytes()[..]])?;
            row.map(|row| record(&row)).transpose()
        })
    }

    fn risk_heads(
        &self,
        tenant: &TenantId,
        after: Option<AgentId>,
        limit: u32,
    ) -> Result<Vec<RiskHead>, StoreError> {
        self.read(|session| {
            let sql = "SELECT agent, level, baseline IS NOT NULL, last, pause, silent, gaps FROM risks
                       WHERE tenant = $1 AND ($2::bytea IS NULL OR agent > $2) ORDER BY agent LIMIT $3";
            let after = after.as_ref().map(|after| &after.as_bytes()[..]);
            let rows = session.rows(sql, &[&tenant.as_str(), &after, &i64::from(limit)])?;
            rows.iter().map(head).collect()
        })
    }

    fn keep_risk(&mut self, record: &RiskRecord) -> Result<(), StoreError> {
        let (calls, tried) = (kept_number(record.calls)?, kept_number(record.tried)?);
        self.write(|session| {
            has(session, &record.tenant, record.agent)?;
            let sql = "INSERT INTO risks (tenant, agent, level, score, policy, baseline, state, calls, first, last,
                       pause, silent, updated, tried, gaps, unlearnt)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
                       ON CONFLICT (tenant, agent) DO UPDATE SET level = excluded.level, score = excluded.score,
                       policy = excluded.policy, baseline = excluded.baseline, state = excluded.state,
                       calls = excluded.calls, first = excluded.first, last = excluded.last,
                       pause = excluded.pause, silent = excluded.silent, updated = excluded.updated,
                       tried = excluded.tried, gaps = excluded.gaps, unlearnt = excluded.unlearnt";
            session.execute(
                sql,
                &[
                    &record.tenant.as_str(),
                    &&record.agent.as_bytes()[..],
                    &record.level.word(),
                    &i64::from(record.score),
                    &bytes(&record.policy),
                    &bytes(&record.baseline),
                    &bytes(&record.state),
                    &calls,
                    &record.first.map(UnixTime::seconds),
                    &record.last.map(UnixTime::seconds),
                    &record.pause,
                    &record.silent,
                    &record.updated.seconds(),
                    &tried,
                    &bytes(&record.gaps),
                    &bytes(&record.unlearnt),
                ],
            )?;
            Ok(())
        })
    }

    fn count_risks(&self) -> Result<Vec<(RiskLevel, u64)>, StoreError> {
        self.read(|session| {
            let rows = session.rows("SELECT level, count(*) FROM risks GROUP BY level", &[])?;
            let counts = rows.iter().map(|row| Ok((level(row, 0)?, count(row, 1)?)));
            let mut counts = counts.collect::<Result<Vec<_>, StoreError>>()?;
            counts.sort_unstable();
            Ok(counts)
        })
    }

    fn hand_in_sign(&mut self, sign: &RiskSign) -> Result<u64, StoreError> {
        self.write(|session| {
            has(session, &sign.tenant, sign.agent)?;
            // INVARIANT: one node leads and writes, so no two rows are given one number. The same holds below.
            let sql = "INSERT INTO risk_signs (number, tenant, agent, kind, weight, sentence, cause, at)
                       SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4, $5, $6, $7 FROM risk_signs
                       RETURNING number";
            session.number(
                sql,
                &[
                    &sign.tenant.as_str(),
                    &&sign.agent.as_bytes()[..],
                    &sign.kind.word(),
                    &i64::from(sign.weight),
                    &sign.sentence.as_bytes(),
                    &sign.cause.as_ref().map(|cause| &cause.as_bytes()[..]),
                    &sign.at.seconds(),
                ],
            )
        })
        .and_then(natural)
    }

    fn signs(&self, tenant: &TenantId, limit: u32) -> Result<Vec<(u64, RiskSign)>, StoreError> {
        self.read(|session| {
            let sql = "SELECT number, tenant, agent, kind, weight, sentence, cause, at FROM risk_signs
                       WHERE tenant = $1 ORDER BY number LIMIT $2";
            let rows = session.rows(sql, &[&tenant.as_str(), &i64::from(limit)])?;
            rows.iter().map(sign).collect()
        })
    }

    fn take_out_sign(&mut self, number: u64) -> Result<bool, StoreError> {
        let number = kept_number(number)?;
        self.write(|session| Ok(session.execute("DELETE FROM risk_signs WHERE number = $1", &[&number])? > 0))
    }

    fn add_risk_event(&mut self, event: &RiskEvent) -> Result<u64, StoreError> {
        self.write(|session| {
            has(session, &event.tenant, event.agent)?;
            let sql = "INSERT INTO risk_events
                       (number, tenant, agent, kind, level, score, actor, text, at, signature, key, sealed)
                       SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
                       FROM risk_events RETURNING number";
            let seal = event.seal.as_ref();
            session.number(
                sql,
                &[
                    &event.tenant.as_str(),
                    &&event.agent.as_bytes()[..],
                    &event.kind.word(),
                    &event.level.word(),
                    &i64::from(event.score),
                    &event.actor.to_string(),
                    &event.text.as_bytes(),
                    &event.at.seconds(),
                    &seal.map(|seal| &seal.signature[..]),
                    &seal.map(|seal| &seal.key.as_bytes()[..]),
                    &seal.map(|seal| seal.at.seconds()),
                ],
            )
        })
        .and_then(natural)
    }

    fn risk_events(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        below: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, RiskEvent)>, StoreError> {
        let below = below.and_then(|below| i64::try_from(below).ok()).unwrap_or(i64::MAX);
        self.read(|session| {
            let sql = format!(
                "{EVENTS} WHERE tenant = $1 AND agent = $2 AND number < $3 ORDER BY number DESC LIMIT $4"
            );
            let agent = &agent.as_bytes()[..];
            let rows = session.rows(&sql, &[&tenant.as_str(), &agent, &below, &i64::from(limit)])?;
            rows.iter().map(event).collect()
        })
    }

    fn open_risk_events(&self, after: u64, limit: u32) -> Result<Vec<(u64, RiskEvent)>, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.read(|session| {
            let sql = format!("{EVENTS} WHERE signature IS NULL AND number > $1 ORDER BY number LIMIT $2");
            session.rows(&sql, &[&after, &i64::from(limit)])?.iter().map(event).collect()
        })
    }

    fn seal_risk_event(&mut self, number: u64, seal: &RiskSeal) -> Result<bool, StoreError> {
        let number = kept_number(number)?;
        self.write(|session| {
            let sql = "UPDATE risk_events SET signature = $2, key = $3, sealed = $4
                       WHERE number = $1 AND signature IS NULL";
            let (signature, key) = (&seal.signature[..], &seal.key.as_bytes()[..]);
            Ok(session.execute(sql, &[&number, &signature, &key, &seal.at.seconds()])? > 0)
        })
    }

    fn add_check(&mut self, check: &ContentCheck) -> Result<u64, StoreError> {
        self.write(|session| {
            has(session, &check.tenant, check.agent)?;
            let sql = "INSERT INTO content_checks
                       (number, tenant, agent, provider, source, message, length, verdict, findings, at, ended)
                       SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
                       FROM content_checks RETURNING number";
            session.number(
                sql,
                &[
                    &check.tenant.as_str(),
                    &&check.agent.as_bytes()[..],
                    &check.provider.as_bytes(),
                    &bytes(&check.source),
                    &bytes(&check.message),
                    &i64::from(check.length),
                    &check.verdict.word(),
                    &check.findings.as_bytes(),
                    &check.at.seconds(),
                    &check.ended.map(UnixTime::seconds),
                ],
            )
        })
        .and_then(natural)
    }

    fn end_check(
        &mut self,
        number: u64,
        verdict: Verdict,
        findings: &str,
        at: UnixTime,
    ) -> Result<bool, StoreError> {
        let number = kept_number(number)?;
        self.write(|session| {
            let sql = "UPDATE content_checks SET verdict = $2, findings = $3, ended = $4
                       WHERE number = $1 AND verdict = 'pending'";
            let row: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&number, &verdict.word(), &findings.as_bytes(), &at.seconds()];
            Ok(session.execute(sql, &row)? > 0)
        })
    }

    fn give_up_checks(&mut self, findings: &str, at: UnixTime) -> Result<u64, StoreError> {
        self.write(|session| {
            let sql = "UPDATE content_checks SET ended = $2,
                       verdict = CASE WHEN findings = $3 THEN 'unknown' ELSE 'found' END,
                       findings = CASE WHEN findings = $3 THEN $1 ELSE findings END
                       WHERE verdict = 'pending'";
            session.execute(sql, &[&findings.as_bytes(), &at.seconds(), &"[]".as_bytes()])
        })
    }

    fn checks(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        since: UnixTime,
        limit: u32,
    ) -> Result<Vec<(u64, ContentCheck)>, StoreError> {
        self.read(|session| {
            let sql = "SELECT number, tenant, agent, provider, source, message, length, verdict, findings, at, ended
                       FROM content_checks WHERE tenant = $1 AND agent = $2 AND at >= $3
                       ORDER BY number DESC LIMIT $4";
            let agent = &agent.as_bytes()[..];
            let of: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&tenant.as_str(), &agent, &since.seconds(), &i64::from(limit)];
            session.rows(sql, &of)?.iter().map(check).collect()
        })
    }

    fn count_checks(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        since: UnixTime,
    ) -> Result<Vec<(Verdict, u64)>, StoreError> {
        self.read(|session| {
            let sql = "SELECT verdict, count(*) FROM content_checks
                       WHERE tenant = $1 AND agent = $2 AND at >= $3 GROUP BY verdict";
            let agent = &agent.as_bytes()[..];
            let rows = session.rows(sql, &[&tenant.as_str(), &agent, &since.seconds()])?;
            let counts = rows.iter().map(|row| Ok((verdict(row, 0)?, count(row, 1)?)));
            let mut counts = counts.collect::<Result<Vec<_>, StoreError>>()?;
            counts.sort_unstable();
            Ok(counts)
        })
    }
}

fn has(session: &mut Session, tenant: &TenantId, agent: AgentId) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM agents WHERE tenant = $1 AND id = $2";
    let known = session.is_there(sql, &[&tenant.as_str(), &&agent.as_bytes()[..]])?;
    if known { Ok(()) } else { Err(StoreError::UnknownAgent { id: agent }) }
}

fn record(row: &Row) -> Result<RiskRecord, StoreError> {
    let score: i64 = row.try_get(3)?;
    Ok(RiskRecord {
        tenant: tenant_of(row, 0)?,
        agent: agent_id(row, 1)?,
        level: level(row, 2)?,
        score: u16::try_from(score).map_err(|_| damaged("score"))?,
        policy: maybe_words(row, 4)?,
        baseline: maybe_words(row, 5)?,
        state: maybe_words(row, 6)?,
        calls: count(row, 7)?,
        first: maybe_time(row, 8)?,
        last: maybe_time(row, 9)?,
        pause: row.try_get(10)?,
        silent: row.try_get(11)?,
        updated: time(row, 12)?,
        tried: count(row, 13)?,
        gaps: maybe_words(row, 14)?,
        unlearnt: maybe_words(row, 15)?,
    })
}

fn head(row: &Row) -> Result<RiskHead, StoreError> {
    Ok(RiskHead {
        agent: agent_id(row, 0)?,
        level: level(row, 1)?,
        has_baseline: row.try_get(2)?,
        last: maybe_time(row, 3)?,
        pause: row.try_get(4)?,
        silent: row.try_get(5)?,
        gaps: maybe_words(row, 6)?,
    })
}

fn sign(row: &Row) -> Result<(u64, RiskSign), StoreError> {
    let (weight, cause): (i64, Option<&[u8]>) = (row.try_get(4)?, row.try_get(6)?);
    let sign = RiskSign {
        tenant: tenant_of(row, 1)?,
        agent: agent_id(row, 2)?,
        kind: SignKind::from_word(row.try_get(3)?).ok_or(damaged("sign"))?,
        weight: u8::try_from(weight).map_err(|_| damaged("weight"))?,
        sentence: words(row, 5)?,
        cause: cause.is_some().then(|| digest(row, 6)).transpose()?,
        at: time(row, 7)?,
    };
    Ok((count(row, 0)?, sign))
}

fn event(row: &Row) -> Result<(u64, RiskEvent), StoreError> {
    let (score, signature): (i64, Option<Vec<u8>>) = (row.try_get(5)?, row.try_get(9)?);
    let seal = signature
        .map(|signature| {
            Ok::<_, StoreError>(RiskSeal { signature, key: digest(row, 10)?, at: time(row, 11)? })
        })
        .transpose()?;
    let event = RiskEvent {
        tenant: tenant_of(row, 1)?,
        agent: agent_id(row, 2)?,
        kind: RiskEventKind::from_word(row.try_get(3)?).ok_or(damaged("risk event"))?,
        level: level(row, 4)?,
        score: u16::try_from(score).map_err(|_| damaged("score"))?,
        actor: Actor::parse(row.try_get(6)?).ok_or(damaged("actor"))?,
        text: words(row, 7)?,
        at: time(row, 8)?,
        seal,
    };
    Ok((count(row, 0)?, event))
}

fn check(row: &Row) -> Result<(u64, ContentCheck), StoreError> {
    let length: i64 = row.try_get(6)?;
    let check = ContentCheck {
        tenant: tenant_of(row, 1)?,
        agent: agent_id(row, 2)?,
        provider: words(row, 3)?,
        source: maybe_words(row, 4)?,
        message: maybe_words(row, 5)?,
        length: u32::try_from(length).map_err(|_| damaged("length"))?,
        verdict: verdict(row, 7)?,
        findings: words(row, 8)?,
        at: time(row, 9)?,
        ended: maybe_time(row, 10)?,
    };
    Ok((count(row, 0)?, check))
}

fn level(row: &Row, column: usize) -> Result<RiskLevel, StoreError> {
    RiskLevel::from_word(row.try_get(column)?).ok_or_else(|| damaged("level"))
}

fn verdict(row: &Row, column: usize) -> Result<Verdict, StoreError> {
    Verdict::from_word(row.try_get(column)?).ok_or_else(|| damaged("verdict"))
}

fn natural(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| damaged("number"))
}

const RISKS: &str =
    "SELECT tenant, agent, level, score, policy, baseline, state, calls, first, last, pause, silent,
                     updated, tried, gaps, unlearnt FROM risks";
const EVENTS: &str =
    "SELECT number, tenant, agent, kind, level, score, actor, text, at, signature, key, sealed
                      FROM risk_events";
