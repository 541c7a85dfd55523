//! Declared events and their chains in SQLite.

use std::fmt::Write as _;

use kakunin_core::digest::{Digest, hex};
use kakunin_core::id::{AgentId, ChainId, SerialNumber};
use kakunin_core::time::UnixTime;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Broken, SqliteStore, damaged, tenant};
use crate::access::TenantId;
use crate::store::{
    ChainPage, ChainRecord, DayCount, Declaration, Declared, DeclaredEvent, DeclaredFilter, EventId,
    NewChain, StoreError,
};

impl Declared for SqliteStore {
    fn declare(&mut self, event: &Declaration) -> Result<DeclaredEvent, StoreError> {
        self.write(|connection| {
            let sql = "SELECT 1 FROM agents WHERE tenant = ?1 AND id = ?2";
            let whose = params![event.tenant.as_str(), event.agent.as_bytes()];
            if !connection.prepare_cached(sql)?.exists(whose)? {
                return Err(StoreError::UnknownAgent { id: event.agent });
            }
            let sql = "SELECT 1 FROM declared WHERE id = ?1";
            if connection.prepare_cached(sql)?.exists([event.id.as_bytes()])? {
                return Err(StoreError::EventTaken { id: event.id });
            }
            let link = match event.chain {
                None => None,
                Some(id) => {
                    let chain = open_chain(connection, &event.tenant, id)?;
                    let place = chain.events.saturating_add(1);
                    Some((place, event.link(place, chain.hash)))
                }
            };
            let sql = "INSERT INTO declared (id, tenant, agent, action, score, occurred, received, session,
                       details, address, certificate, chain, place, hash)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
            let place = link.map(|(place, _)| number(place)).transpose()?;
            connection.prepare_cached(sql)?.execute(params![
                event.id.as_bytes(),
                event.tenant.as_str(),
                event.agent.as_bytes(),
                event.action,
                event.score,
                event.occurred.seconds(),
                event.received.seconds(),
                event.session,
                event.details,
                event.address,
                event.certificate.as_ref().map(SerialNumber::as_bytes),
                event.chain.as_ref().map(ChainId::as_bytes),
                place,
                link.as_ref().map(|(_, hash)| hash.as_bytes()),
            ])?;
            if let (Some(id), Some((_, hash))) = (event.chain, link) {
                let sql = "UPDATE chains SET events = ?2, hash = ?3 WHERE id = ?1";
                connection.prepare_cached(sql)?.execute(params![id.as_bytes(), place, hash.as_bytes()])?;
            }
            Ok(DeclaredEvent { event: event.clone(), link })
        })
    }

    fn declared(
        &self,
        tenant: &TenantId,
        filter: &DeclaredFilter,
        limit: u32,
    ) -> Result<Vec<DeclaredEvent>, StoreError> {
        self.declared_between(tenant, filter, None, "DESC", limit)
    }

    fn declared_after(
        &self,
        tenant: &TenantId,
        filter: &DeclaredFilter,
        after: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<DeclaredEvent>, StoreError> {
        self.declared_between(tenant, filter, after, "ASC", limit)
    }

    fn declared_days(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        since: UnixTime,
    ) -> Result<Vec<DayCount>, StoreError> {
        // Divided so that the days before 1970 are days, too.
        let sql =
            "SELECT (received - ((received % 86400) + 86400) % 86400) / 86400 AS day, action, score, count(*)
                   FROM declared WHERE tenant = ?1 AND agent = ?2 AND received >= ?3
                   GROUP BY day, action, score ORDER BY day, action, score";
        let mut statement = self.connection.prepare_cached(sql)?;
        let place = params![tenant.as_str(), agent.as_bytes(), since.seconds()];
        let rows = statement.query_map(place, |row| {
            Ok(DayCount { day: row.get(0)?, action: row.get(1)?, score: row.get(2)?, count: count(row, 3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn add_chain(&mut self, chain: &NewChain) -> Result<ChainRecord, StoreError> {
        self.write(|connection| {
            let hash = chain.start();
            let sql = "INSERT INTO chains (id, tenant, name, description, metadata, created, events, hash)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7)";
            let added = connection.prepare_cached(sql)?.execute(params![
                chain.id.as_bytes(),
                chain.tenant.as_str(),
                chain.name,
                chain.description,
                chain.metadata,
                chain.created.seconds(),
                hash.as_bytes(),
            ]);
            match Broken::rule(&added) {
                Some(Broken::Unique) => Err(StoreError::ChainTaken { id: chain.id }),
                Some(Broken::Reference) => Err(StoreError::UnknownTenant { tenant: chain.tenant.clone() }),
                None => {
                    added?;
                    Ok(ChainRecord { chain: chain.clone(), closed: None, events: 0, hash })
                }
            }
        })
    }

    fn chain(&self, tenant: &TenantId, id: ChainId) -> Result<Option<ChainRecord>, StoreError> {
        Ok(self.any_chain(id)?.filter(|record| record.chain.tenant == *tenant))
    }

    fn any_chain(&self, id: ChainId) -> Result<Option<ChainRecord>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!("{CHAINS} WHERE id = ?1"))?;
        Ok(statement.query_row([id.as_bytes()], chain).optional()?)
    }

    fn chains(&self, tenant: &TenantId, page: &ChainPage) -> Result<Vec<ChainRecord>, StoreError> {
        let below = match page.after {
            None => i64::MAX,
            Some(id) => {
                let sql = "SELECT number FROM chains WHERE tenant = ?1 AND id = ?2";
                let mut statement = self.connection.prepare_cached(sql)?;
                let place = params![tenant.as_str(), id.as_bytes()];
                let found = statement.query_row(place, |row| row.get(0)).optional()?;
                found.ok_or(StoreError::UnknownChain { id })?
            }
        };
        let sql = format!(
            "{CHAINS} WHERE tenant = ?1 AND number < ?2 AND (?3 IS NULL OR (closed IS NULL) = ?3)
             ORDER BY number DESC LIMIT ?4 OFFSET ?5"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let row = params![tenant.as_str(), below, page.open, page.limit, page.offset];
        let rows = statement.query_map(row, chain)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn count_chains(&self, tenant: &TenantId, open: Option<bool>) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM chains WHERE tenant = ?1 AND (?2 IS NULL OR (closed IS NULL) = ?2)";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row(params![tenant.as_str(), open], |row| count(row, 0))?)
    }

    fn chain_events(&self, tenant: &TenantId, chain: ChainId) -> Result<Vec<DeclaredEvent>, StoreError> {
        let sql = format!("{DECLARED} WHERE tenant = ?1 AND chain = ?2 ORDER BY place");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![tenant.as_str(), chain.as_bytes()], declared)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn close_chain(
        &mut self,
        tenant: &TenantId,
        id: ChainId,
        at: UnixTime,
    ) -> Result<ChainRecord, StoreError> {
        self.write(|connection| {
            let chain = open_chain(connection, tenant, id)?;
            let sql = "UPDATE chains SET closed = ?2 WHERE id = ?1";
            connection.prepare_cached(sql)?.execute(params![id.as_bytes(), at.seconds()])?;
            Ok(ChainRecord { closed: Some(at), ..chain })
        })
    }
}

impl SqliteStore {
    fn declared_between(
        &self,
        tenant: &TenantId,
        filter: &DeclaredFilter,
        above: Option<EventId>,
        order: &'static str,
        limit: u32,
    ) -> Result<Vec<DeclaredEvent>, StoreError> {
        let place_of = |id: Option<EventId>, none: i64| {
            let Some(id) = id else { return Ok(none) };
            let sql = "SELECT number FROM declared WHERE tenant = ?1 AND id = ?2";
            let mut statement = self.connection.prepare_cached(sql)?;
            let place = params![tenant.as_str(), id.as_bytes()];
            let found: Option<i64> = statement.query_row(place, |row| row.get(0)).optional()?;
            found.ok_or(StoreError::UnknownEvent { id })
        };
        let (below, above) = (place_of(filter.below, i64::MAX)?, place_of(above, -1)?);
        let mut sql = format!(
            "{DECLARED} WHERE tenant = ?1 AND number < ?2 AND (?3 IS NULL OR action = ?3)
             AND (?4 IS NULL OR score >= ?4) AND (?5 IS NULL OR score < ?5)
             AND (?6 IS NULL OR received >= ?6) AND (?7 IS NULL OR received < ?7) AND number > ?8"
        );
        if let Some(agents) = &filter.agents {
            // Octets as hexadecimal digits are nothing that a statement could be made of.
            let list: Vec<String> =
                agents.iter().map(|agent| format!("x'{}'", hex(agent.as_bytes()))).collect();
            let _ = write!(sql, " AND agent IN ({})", list.join(", "));
        }
        let _ = write!(sql, " ORDER BY number {order} LIMIT {limit}");
        let mut statement = self.connection.prepare(&sql)?;
        let rows = statement.query_map(
            params![
                tenant.as_str(),
                below,
                filter.action,
                filter.least,
                filter.under,
                filter.since.map(UnixTime::seconds),
                filter.before.map(UnixTime::seconds),
                above,
            ],
            declared,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn open_chain(connection: &Connection, whose: &TenantId, id: ChainId) -> Result<ChainRecord, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{CHAINS} WHERE tenant = ?1 AND id = ?2"))?;
    let found = statement.query_row(params![whose.as_str(), id.as_bytes()], chain).optional()?;
    let chain = found.ok_or(StoreError::UnknownChain { id })?;
    if chain.closed.is_some() { Err(StoreError::ChainClosed { id }) } else { Ok(chain) }
}

fn chain(row: &Row<'_>) -> rusqlite::Result<ChainRecord> {
    Ok(ChainRecord {
        chain: NewChain {
            id: ChainId::from_bytes(row.get(0)?),
            tenant: tenant(row, 1)?,
            name: row.get(2)?,
            description: row.get(3)?,
            metadata: row.get(4)?,
            created: UnixTime::from_seconds(row.get(5)?),
        },
        closed: row.get::<_, Option<i64>>(6)?.map(UnixTime::from_seconds),
        events: count(row, 7)?,
        hash: Digest::from_bytes(row.get(8)?),
    })
}

fn declared(row: &Row<'_>) -> rusqlite::Result<DeclaredEvent> {
    let serial =
        |bytes: Vec<u8>| SerialNumber::from_der_content(&bytes).ok_or_else(|| damaged(10, Type::Blob));
    let link = match row.get::<_, Option<[u8; 32]>>(13)? {
        None => None,
        Some(hash) => Some((count(row, 12)?, Digest::from_bytes(hash))),
    };
    Ok(DeclaredEvent {
        event: Declaration {
            id: EventId::from_bytes(row.get(0)?),
            tenant: tenant(row, 1)?,
            agent: AgentId::from_bytes(row.get(2)?),
            action: row.get(3)?,
            score: row.get(4)?,
            occurred: UnixTime::from_seconds(row.get(5)?),
            received: UnixTime::from_seconds(row.get(6)?),
            session: row.get(7)?,
            details: row.get(8)?,
            address: row.get(9)?,
            certificate: row.get::<_, Option<Vec<u8>>>(10)?.map(serial).transpose()?,
            chain: row.get::<_, Option<[u8; 16]>>(11)?.map(ChainId::from_bytes),
        },
        link,
    })
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| damaged(column, Type::Integer))
}

fn number(place: u64) -> Result<i64, StoreError> {
    i64::try_from(place).map_err(|_| StoreError::Damaged { what: "place in a chain" })
}

const CHAINS: &str =
    "SELECT id, tenant, name, description, metadata, created, closed, events, hash FROM chains";
const DECLARED: &str =
    "SELECT id, tenant, agent, action, score, occurred, received, session, details, address,
                        certificate, chain, place, hash FROM declared";
