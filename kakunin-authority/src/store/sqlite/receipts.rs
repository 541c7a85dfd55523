//! Receipts in SQLite.
//!
//! What makes a receipt one of its kind begins with agent, stream and number, so that a stream that is sent on
//! writes to the end of each index and not all over it.

use std::fmt::Write as _;

use kakunin_core::digest::{Digest, hex};
use kakunin_core::id::{AgentId, ChainId, StreamId};
use kakunin_core::time::UnixTime;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};

use super::{Broken, SqliteStore, damaged, tenant};
use crate::access::TenantId;
use crate::store::{ReceiptFilter, ReceiptKind, ReceiptPlace, ReceiptRecord, Receipts, StoreError};

/// What stands for the places of [`FILTER`].
macro_rules! through {
    ($tenant:expr, $agent:expr, $filter:expr) => {
        params![
            $tenant.as_str(),
            $agent.as_bytes(),
            $filter.since,
            $filter.before,
            $filter.kind.map(ReceiptKind::word),
            $filter.action,
            $filter.chain.as_ref().map(ChainId::as_bytes),
        ]
    };
}

impl Receipts for SqliteStore {
    fn keep_receipts(&mut self, receipts: &[ReceiptRecord]) -> Result<u64, StoreError> {
        self.write(|connection| {
            let sql = "INSERT INTO receipts
                       (tenant, agent, stream, sequence, hash, at, kind, action, code, chain, line, received)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
                       ON CONFLICT (tenant, agent, stream, sequence, hash) DO NOTHING";
            let mut insert = connection.prepare_cached(sql)?;
            let mut new = 0;
            for receipt in receipts {
                let kept = insert.execute(params![
                    receipt.tenant.as_str(),
                    receipt.agent.as_bytes(),
                    receipt.stream.as_bytes(),
                    number(receipt.sequence)?,
                    receipt.hash.as_bytes(),
                    receipt.at,
                    receipt.kind.word(),
                    receipt.action,
                    receipt.code,
                    receipt.chain.as_ref().map(ChainId::as_bytes),
                    receipt.line,
                    receipt.received.seconds(),
                ]);
                match Broken::rule(&kept) {
                    Some(_) => return Err(StoreError::UnknownAgent { id: receipt.agent }),
                    None => new += u64::from(kept? > 0),
                }
            }
            Ok(new)
        })
    }

    fn receipts(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        filter: &ReceiptFilter,
        limit: u32,
    ) -> Result<Vec<ReceiptRecord>, StoreError> {
        let sql = format!("{RECEIPTS} WHERE {FILTER} ORDER BY at DESC, number DESC LIMIT {limit}");
        let mut statement = self.connection.prepare(&sql)?;
        let rows = statement.query_map(through!(tenant, agent, filter), receipt)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn count_receipts(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        filter: &ReceiptFilter,
    ) -> Result<Vec<(ReceiptKind, u64)>, StoreError> {
        let sql = format!("SELECT kind, count(*) FROM receipts WHERE {FILTER} GROUP BY kind");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(through!(tenant, agent, filter), |row| {
            let count: i64 = row.get(1)?;
            Ok((kind(row, 0)?, u64::try_from(count).map_err(|_| damaged(1, Type::Integer))?))
        })?;
        let mut counts = rows.collect::<Result<Vec<_>, _>>()?;
        counts.sort_unstable();
        Ok(counts)
    }

    fn receipt_streams(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        filter: &ReceiptFilter,
    ) -> Result<Vec<StreamId>, StoreError> {
        let sql = format!("SELECT DISTINCT stream FROM receipts WHERE {FILTER} ORDER BY stream");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(through!(tenant, agent, filter), |row| row.get(0))?;
        Ok(rows.map(|stream| stream.map(StreamId::from_bytes)).collect::<Result<_, _>>()?)
    }

    fn stream_receipts(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        stream: StreamId,
        after: Option<(u64, Digest)>,
        limit: u32,
    ) -> Result<Vec<ReceiptRecord>, StoreError> {
        let sql = format!(
            "{RECEIPTS} WHERE tenant = ?1 AND agent = ?2 AND stream = ?3 AND (sequence, hash) > (?4, ?5)
             ORDER BY sequence, hash LIMIT ?6"
        );
        let (sequence, hash) = match after {
            None => (-1, Digest::from_bytes([0; 32])),
            Some((sequence, hash)) => (number(sequence)?, hash),
        };
        let mut statement = self.connection.prepare_cached(&sql)?;
        let place =
            params![tenant.as_str(), agent.as_bytes(), stream.as_bytes(), sequence, hash.as_bytes(), limit];
        let rows = statement.query_map(place, receipt)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn receipts_after(
        &self,
        tenant: &TenantId,
        agents: Option<&[AgentId]>,
        after: Option<&ReceiptPlace>,
        limit: u32,
    ) -> Result<Vec<ReceiptRecord>, StoreError> {
        let behind: i64 = match after {
            None => -1,
            Some(after) => {
                let sql = "SELECT number FROM receipts
                           WHERE tenant = ?1 AND agent = ?2 AND stream = ?3 AND sequence = ?4 AND hash = ?5";
                let mut statement = self.connection.prepare_cached(sql)?;
                let place = params![
                    tenant.as_str(),
                    after.agent.as_bytes(),
                    after.stream.as_bytes(),
                    i64::try_from(after.sequence).unwrap_or(-1),
                    after.hash.as_bytes(),
                ];
                let found = statement.query_row(place, |row| row.get(0)).optional()?;
                found.ok_or(StoreError::UnknownReceipt { hash: after.hash })?
            }
        };
        let mut sql = format!("{RECEIPTS} WHERE tenant = ?1 AND number > ?2");
        if let Some(agents) = agents {
            // Octets as hexadecimal digits are nothing that a statement could be made of.
            let list: Vec<String> =
                agents.iter().map(|agent| format!("x'{}'", hex(agent.as_bytes()))).collect();
            let _ = write!(sql, " AND agent IN ({})", list.join(", "));
        }
        let _ = write!(sql, " ORDER BY number LIMIT {limit}");
        let mut statement = self.connection.prepare(&sql)?;
        let rows = statement.query_map(params![tenant.as_str(), behind], receipt)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn last_receipt(&self, tenant: &TenantId) -> Result<Option<ReceiptPlace>, StoreError> {
        let sql = format!("{RECEIPTS} WHERE tenant = ?1 ORDER BY number DESC LIMIT 1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let found = statement.query_row([tenant.as_str()], receipt).optional()?;
        Ok(found.as_ref().map(ReceiptPlace::of))
    }
}

fn receipt(row: &Row<'_>) -> rusqlite::Result<ReceiptRecord> {
    let sequence: i64 = row.get(3)?;
    Ok(ReceiptRecord {
        tenant: tenant(row, 0)?,
        agent: AgentId::from_bytes(row.get(1)?),
        stream: StreamId::from_bytes(row.get(2)?),
        sequence: u64::try_from(sequence).map_err(|_| damaged(3, Type::Integer))?,
        hash: Digest::from_bytes(row.get(4)?),
        at: row.get(5)?,
        kind: kind(row, 6)?,
        action: row.get(7)?,
        code: row.get(8)?,
        chain: row.get::<_, Option<[u8; 16]>>(9)?.map(ChainId::from_bytes),
        line: row.get(10)?,
        received: UnixTime::from_seconds(row.get(11)?),
    })
}

fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<ReceiptKind> {
    let word: String = row.get(column)?;
    ReceiptKind::from_word(&word).ok_or_else(|| damaged(column, Type::Text))
}

/// Numbers of receipts end at 2^53 (WIRE 4); a larger one is no receipt's.
fn number(sequence: u64) -> Result<i64, StoreError> {
    i64::try_from(sequence).map_err(|_| StoreError::Damaged { what: "number of a receipt" })
}

const RECEIPTS: &str =
    "SELECT tenant, agent, stream, sequence, hash, at, kind, action, code, chain, line, received
                        FROM receipts";
const FILTER: &str = "tenant = ?1 AND agent = ?2 AND (?3 IS NULL OR at >= ?3) AND (?4 IS NULL OR at < ?4)
                      AND (?5 IS NULL OR kind = ?5) AND (?6 IS NULL OR action = ?6)
                      AND (?7 IS NULL OR chain = ?7)";
