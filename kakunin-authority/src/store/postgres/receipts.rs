//! Receipts in PostgreSQL.

use std::collections::HashSet;

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, ChainId, StreamId};
use tokio_postgres::Row;

use super::PostgresStore;
use super::session::Session;
use super::values::{
    agent_id, bytes, count, damaged, digest, maybe_words, sixteen, tenant as tenant_of, time, words,
};
use crate::access::TenantId;
use crate::store::{ReceiptFilter, ReceiptKind, ReceiptPlace, ReceiptRecord, Receipts, StoreError};

impl Receipts for PostgresStore {
    fn keep_receipts(&mut self, receipts: &[ReceiptRecord]) -> Result<u64, StoreError> {
        self.write(|session| {
            let mut known = HashSet::new();
            for receipt in receipts {
                if known.insert((&receipt.tenant, receipt.agent)) {
                    let sql = "SELECT 1 FROM agents WHERE tenant = $1 AND id = $2";
                    let agent = &receipt.agent.as_bytes()[..];
                    if !session.is_there(sql, &[&receipt.tenant.as_str(), &agent])? {
                        return Err(StoreError::UnknownAgent { id: receipt.agent });
                    }
                }
            }
            let mut new = 0;
            for some in receipts.chunks(AT_ONCE) {
                new += keep(session, some)?;
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
        self.filtered(&sql, tenant, agent, filter)?.iter().map(receipt).collect()
    }

    fn count_receipts(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        filter: &ReceiptFilter,
    ) -> Result<Vec<(ReceiptKind, u64)>, StoreError> {
        let sql = format!("SELECT kind, count(*) FROM receipts WHERE {FILTER} GROUP BY kind");
        let rows = self.filtered(&sql, tenant, agent, filter)?;
        let counted = rows.iter().map(|row| Ok((kind(row, 0)?, count(row, 1)?)));
        let mut counts = counted.collect::<Result<Vec<_>, StoreError>>()?;
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
        let rows = self.filtered(&sql, tenant, agent, filter)?;
        rows.iter().map(|row| Ok(StreamId::from_bytes(sixteen(row, 0)?))).collect()
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
            "{RECEIPTS} WHERE tenant = $1 AND agent = $2 AND stream = $3 AND (sequence, hash) > ($4, $5)
             ORDER BY sequence, hash LIMIT $6"
        );
        let (sequence, hash) = match after {
            None => (-1, Digest::from_bytes([0; 32])),
            Some((sequence, hash)) => (number(sequence)?, hash),
        };
        self.read(|session| {
            let rows = session.rows(
                &sql,
                &[
                    &tenant.as_str(),
                    &&agent.as_bytes()[..],
                    &&stream.as_bytes()[..],
                    &sequence,
                    &&hash.as_bytes()[..],
                    &i64::from(limit),
                ],
            )?;
            rows.iter().map(receipt).collect()
        })
    }

    fn receipts_after(
        &self,
        tenant: &TenantId,
        agents: Option<&[AgentId]>,
        after: Option<&ReceiptPlace>,
        limit: u32,
    ) -> Result<Vec<ReceiptRecord>, StoreError> {
        let agents: Option<Vec<&[u8]>> =
            agents.map(|agents| agents.iter().map(|agent| &agent.as_bytes()[..]).collect());
        self.read(|session| {
            let behind: i64 = match after {
                None => -1,
                Some(after) => {
                    let sql = "SELECT number FROM receipts
                               WHERE tenant = $1 AND agent = $2 AND stream = $3 AND sequence = $4 AND hash = $5";
                    let row = session.row(
                        sql,
                        &[
                            &tenant.as_str(),
                            &&after.agent.as_bytes()[..],
                            &&after.stream.as_bytes()[..],
                            &i64::try_from(after.sequence).unwrap_or(-1),
                            &&after.hash.as_bytes()[..],
                        ],
                    )?;
                    row.ok_or(StoreError::UnknownReceipt { hash: after.hash })?.try_get(0)?
                }
            };
            let sql = format!(
                "{RECEIPTS} WHERE tenant = $1 AND number > $2 AND ($3::bytea[] IS NULL OR agent = ANY ($3))
                 ORDER BY number LIMIT $4"
            );
            let rows = session.rows(&sql, &[&tenant.as_str(), &behind, &agents, &i64::from(limit)])?;
            rows.iter().map(receipt).collect()
        })
    }

    fn last_receipt(&self, tenant: &TenantId) -> Result<Option<ReceiptPlace>, StoreError> {
        self.read(|session| {
            let sql = format!("{RECEIPTS} WHERE tenant = $1 ORDER BY number DESC LIMIT 1");
            let row = session.row(&sql, &[&tenant.as_str()])?;
            row.map(|row| Ok(ReceiptPlace::of(&receipt(&row)?))).transpose()
        })
    }
}

impl PostgresStore {
    /// Rows of receipts, with what stands for the places of [`FILTER`].
    fn filtered(
        &self,
        sql: &str,
        tenant: &TenantId,
        agent: AgentId,
        filter: &ReceiptFilter,
    ) -> Result<Vec<Row>, StoreError> {
        self.read(|session| {
            session.rows(
                sql,
                &[
                    &tenant.as_str(),
                    &&agent.as_bytes()[..],
                    &filter.since,
                    &filter.before,
                    &filter.kind.map(ReceiptKind::word),
                    &bytes(&filter.action),
                    &filter.chain.as_ref().map(|chain| &chain.as_bytes()[..]),
                ],
            )
        })
    }
}

/// Keeps some receipts with one trip to the server, and says how many were new.
fn keep(session: &mut Session, some: &[ReceiptRecord]) -> Result<u64, StoreError> {
    let sql = "INSERT INTO receipts
               (tenant, agent, stream, sequence, hash, at, kind, action, code, chain, line, received)
               SELECT tenant, agent, stream, sequence, hash, at, kind, action, code, chain, line, received
               FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::int8[], $5::bytea[], $6::int8[],
                           $7::text[], $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::int8[])
               WITH ORDINALITY AS t (tenant, agent, stream, sequence, hash, at, kind, action, code, chain,
                                     line, received, place) ORDER BY place
               ON CONFLICT (tenant, agent, stream, sequence, hash) DO NOTHING";
    let sequences = some.iter().map(|receipt| number(receipt.sequence)).collect::<Result<Vec<_>, _>>()?;
    let tenants: Vec<&str> = some.iter().map(|receipt| receipt.tenant.as_str()).collect();
    let agents: Vec<&[u8]> = some.iter().map(|receipt| &receipt.agent.as_bytes()[..]).collect();
    let streams: Vec<&[u8]> = some.iter().map(|receipt| &receipt.stream.as_bytes()[..]).collect();
    let hashes: Vec<&[u8]> = some.iter().map(|receipt| &receipt.hash.as_bytes()[..]).collect();
    let times: Vec<i64> = some.iter().map(|receipt| receipt.at).collect();
    let kinds: Vec<&str> = some.iter().map(|receipt| receipt.kind.word()).collect();
    let actions: Vec<Option<&[u8]>> = some.iter().map(|receipt| bytes(&receipt.action)).collect();
    let codes: Vec<Option<&[u8]>> = some.iter().map(|receipt| bytes(&receipt.code)).collect();
    let chain = |receipt: &'_ ReceiptRecord| receipt.chain.as_ref().map(|chain| chain.as_bytes().to_vec());
    let chains: Vec<Option<Vec<u8>>> = some.iter().map(chain).collect();
    let lines: Vec<&[u8]> = some.iter().map(|receipt| receipt.line.as_bytes()).collect();
    let received: Vec<i64> = some.iter().map(|receipt| receipt.received.seconds()).collect();
    session.execute(
        sql,
        &[
            &tenants, &agents, &streams, &sequences, &hashes, &times, &kinds, &actions, &codes, &chains,
            &lines, &received,
        ],
    )
}

fn receipt(row: &Row) -> Result<ReceiptRecord, StoreError> {
    let chain: Option<&[u8]> = row.try_get(9)?;
    let chain = chain.map(|bytes| bytes.try_into().map(ChainId::from_bytes).map_err(|_| damaged("receipt")));
    Ok(ReceiptRecord {
        tenant: tenant_of(row, 0)?,
        agent: agent_id(row, 1)?,
        stream: StreamId::from_bytes(sixteen(row, 2)?),
        sequence: count(row, 3)?,
        hash: digest(row, 4)?,
        at: row.try_get(5)?,
        kind: kind(row, 6)?,
        action: maybe_words(row, 7)?,
        code: maybe_words(row, 8)?,
        chain: chain.transpose()?,
        line: words(row, 10)?,
        received: time(row, 11)?,
    })
}

fn kind(row: &Row, column: usize) -> Result<ReceiptKind, StoreError> {
    ReceiptKind::from_word(row.try_get(column)?).ok_or(damaged("receipt"))
}

/// Numbers of receipts end at 2^53 (WIRE 4); a larger one is no receipt's.
fn number(sequence: u64) -> Result<i64, StoreError> {
    i64::try_from(sequence).map_err(|_| damaged("number of a receipt"))
}

const RECEIPTS: &str = "SELECT tenant, agent, stream, sequence, hash, at, kind, action, code, chain, line, received FROM receipts";
const FILTER: &str = "tenant = $1 AND agent = $2 AND ($3::int8 IS NULL OR at >= $3)
    AND ($4::int8 IS NULL OR at < $4) AND ($5::text IS NULL OR kind = $5)
    AND ($6::bytea IS NULL OR action = $6) AND ($7::bytea IS NULL OR chain = $7)";
/// In one statement.
const AT_ONCE: usize = 1000;
