//! Declared events and their chains in PostgreSQL.

use kakunin_core::id::{AgentId, ChainId, SerialNumber};
use kakunin_core::time::UnixTime;
use tokio_postgres::Row;

use super::PostgresStore;
use super::access::is_tenant;
use super::session::Session;
use super::values::{
    agent_id, bytes, count, damaged, digest, maybe_time, maybe_words, serial, sixteen, tenant as tenant_of,
    time, words,
};
use crate::access::TenantId;
use crate::store::{
    ChainPage, ChainRecord, DayCount, Declaration, Declared, DeclaredEvent, DeclaredFilter, EventId,
    NewChain, StoreError,
};

impl Declared for PostgresStore {
    fn declare(&mut self, event: &Declaration) -> Result<DeclaredEvent, StoreError> {
        self.write(|session| {
            let (whose, agent) = (event.tenant.as_str(), &event.agent.as_bytes()[..]);
            let sql = "SELECT 1 FROM agents WHERE tenant = $1 AND id = $2";
            if !session.is_there(sql, &[&whose, &agent])? {
                return Err(StoreError::UnknownAgent { id: event.agent });
            }
            let id = &event.id.as_bytes()[..];
            if session.is_there("SELECT 1 FROM declared WHERE id = $1", &[&id])? {
                return Err(StoreError::EventTaken { id: event.id });
            }
            let link = match event.chain {
                None => None,
                Some(id) => {
                    let chain = open_chain(session, &event.tenant, id)?;
                    let place = chain.events.saturating_add(1);
                    Some((place, event.link(place, chain.hash)))
                }
            };
            let place = link.map(|(place, _)| number(place)).transpose()?;
            let chain = event.chain.as_ref().map(|chain| &chain.as_bytes()[..]);
            let hash = link.as_ref().map(|(_, hash)| &hash.as_bytes()[..]);
            let sql = "INSERT INTO declared (id, tenant, agent, action, score, occurred, received, session,
                       details, address, certificate, chain, place, hash)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
            session.execute(
                sql,
                &[
                    &id,
                    &whose,
                    &agent,
                    &event.action.as_bytes(),
                    &i64::from(event.score),
                    &event.occurred.seconds(),
                    &event.received.seconds(),
                    &bytes(&event.session),
                    &bytes(&event.details),
                    &bytes(&event.address),
                    &event.certificate.as_ref().map(SerialNumber::as_bytes),
                    &chain,
                    &place,
                    &hash,
                ],
            )?;
            if chain.is_some() {
                let sql = "UPDATE chains SET events = $2, hash = $3 WHERE id = $1";
                session.execute(sql, &[&chain, &place, &hash])?;
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
        self.read(|session| {
            // Divided so that the days before 1970 are days, too.
            let sql = "SELECT (received - ((received % 86400) + 86400) % 86400) / 86400 AS day, action, score, count(*)
                       FROM declared WHERE tenant = $1 AND agent = $2 AND received >= $3
                       GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
            let place: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                [&tenant.as_str(), &&agent.as_bytes()[..], &since.seconds()];
            let rows = session.rows(sql, &place)?;
            let day = |row: &Row| {
                Ok(DayCount {
                    day: row.try_get(0)?,
                    action: words(row, 1)?,
                    score: score(row, 2)?,
                    count: count(row, 3)?,
                })
            };
            rows.iter().map(day).collect()
        })
    }

    fn add_chain(&mut self, chain: &NewChain) -> Result<ChainRecord, StoreError> {
        self.write(|session| {
            let (id, hash) = (&chain.id.as_bytes()[..], chain.start());
            if session.is_there("SELECT 1 FROM chains WHERE id = $1", &[&id])? {
                return Err(StoreError::ChainTaken { id: chain.id });
            }
            if !is_tenant(session, &chain.tenant)? {
                return Err(StoreError::UnknownTenant { tenant: chain.tenant.clone() });
            }
            let sql = "INSERT INTO chains (id, tenant, name, description, metadata, created, events, hash)
                       VALUES ($1, $2, $3, $4, $5, $6, 0, $7)";
            session.execute(
                sql,
                &[
                    &id,
                    &chain.tenant.as_str(),
                    &chain.name.as_bytes(),
                    &bytes(&chain.description),
                    &bytes(&chain.metadata),
                    &chain.created.seconds(),
                    &&hash.as_bytes()[..],
                ],
            )?;
            Ok(ChainRecord { chain: chain.clone(), closed: None, events: 0, hash })
        })
    }

    fn chain(&self, tenant: &TenantId, id: ChainId) -> Result<Option<ChainRecord>, StoreError> {
        Ok(self.any_chain(id)?.filter(|record| record.chain.tenant == *tenant))
    }

    fn any_chain(&self, id: ChainId) -> Result<Option<ChainRecord>, StoreError> {
        self.read(|session| {
            let sql = format!("{CHAINS} WHERE id = $1");
            session.row(&sql, &[&&id.as_bytes()[..]])?.as_ref().map(chain).transpose()
        })
    }

    fn chains(&self, tenant: &TenantId, page: &ChainPage) -> Result<Vec<ChainRecord>, StoreError> {
        self.read(|session| {
            let below = match page.after {
                None => i64::MAX,
                Some(id) => {
                    let sql = "SELECT number FROM chains WHERE tenant = $1 AND id = $2";
                    let row = session.row(sql, &[&tenant.as_str(), &&id.as_bytes()[..]])?;
                    row.ok_or(StoreError::UnknownChain { id })?.try_get(0)?
                }
            };
            let sql = format!(
                "{CHAINS} WHERE tenant = $1 AND number < $2 AND ($3::bool IS NULL OR (closed IS NULL) = $3)
                 ORDER BY number DESC LIMIT $4 OFFSET $5"
            );
            let (limit, offset) = (i64::from(page.limit), i64::from(page.offset));
            let rows = session.rows(&sql, &[&tenant.as_str(), &below, &page.open, &limit, &offset])?;
            rows.iter().map(chain).collect()
        })
    }

    fn count_chains(&self, tenant: &TenantId, open: Option<bool>) -> Result<u64, StoreError> {
        self.read(|session| {
            let sql = "SELECT count(*) FROM chains
                       WHERE tenant = $1 AND ($2::bool IS NULL OR (closed IS NULL) = $2)";
            let many = session.number(sql, &[&tenant.as_str(), &open])?;
            u64::try_from(many).map_err(|_| damaged("count"))
        })
    }

    fn chain_events(&self, tenant: &TenantId, chain: ChainId) -> Result<Vec<DeclaredEvent>, StoreError> {
        self.read(|session| {
            let sql = format!("{DECLARED} WHERE tenant = $1 AND chain = $2 ORDER BY place");
            let rows = session.rows(&sql, &[&tenant.as_str(), &&chain.as_bytes()[..]])?;
            rows.iter().map(declared).collect()
        })
    }

    fn close_chain(
        &mut self,
        tenant: &TenantId,
        id: ChainId,
        at: UnixTime,
    ) -> Result<ChainRecord, StoreError> {
        self.write(|session| {
            let chain = open_chain(session, tenant, id)?;
            let sql = "UPDATE chains SET closed = $2 WHERE id = $1";
            session.execute(sql, &[&&id.as_bytes()[..], &at.seconds()])?;
            Ok(ChainRecord { closed: Some(at), ..chain })
        })
    }
}

impl PostgresStore {
    fn declared_between(
        &self,
        tenant: &TenantId,
        filter: &DeclaredFilter,
        above: Option<EventId>,
        order: &'static str,
        limit: u32,
    ) -> Result<Vec<DeclaredEvent>, StoreError> {
        self.read(|session| {
            let mut place_of = |id: Option<EventId>, none: i64| -> Result<i64, StoreError> {
                let Some(id) = id else { return Ok(none) };
                let sql = "SELECT number FROM declared WHERE tenant = $1 AND id = $2";
                let row = session.row(sql, &[&tenant.as_str(), &&id.as_bytes()[..]])?;
                Ok(row.ok_or(StoreError::UnknownEvent { id })?.try_get(0)?)
            };
            let (below, above) = (place_of(filter.below, i64::MAX)?, place_of(above, -1)?);
            let agents: Option<Vec<&[u8]>> = filter
                .agents
                .as_ref()
                .map(|agents| agents.iter().map(|agent| &agent.as_bytes()[..]).collect());
            let sql = format!(
                "{DECLARED} WHERE tenant = $1 AND number < $2 AND ($3::bytea IS NULL OR action = $3)
                 AND ($4::int8 IS NULL OR score >= $4) AND ($5::int8 IS NULL OR score < $5)
                 AND ($6::int8 IS NULL OR received >= $6) AND ($7::int8 IS NULL OR received < $7)
                 AND ($8::bytea[] IS NULL OR agent = ANY ($8)) AND number > $10
                 ORDER BY number {order} LIMIT $9"
            );
            let rows = session.rows(
                &sql,
                &[
                    &tenant.as_str(),
                    &below,
                    &bytes(&filter.action),
                    &filter.least.map(i64::from),
                    &filter.under.map(i64::from),
                    &filter.since.map(UnixTime::seconds),
                    &filter.before.map(UnixTime::seconds),
                    &agents,
                    &i64::from(limit),
                    &above,
                ],
            )?;
            rows.iter().map(declared).collect()
        })
    }
}

fn open_chain(session: &mut Session, whose: &TenantId, id: ChainId) -> Result<ChainRecord, StoreError> {
    let sql = format!("{CHAINS} WHERE tenant = $1 AND id = $2");
    let row = session.row(&sql, &[&whose.as_str(), &&id.as_bytes()[..]])?;
    let chain = chain(&row.ok_or(StoreError::UnknownChain { id })?)?;
    if chain.closed.is_some() { Err(StoreError::ChainClosed { id }) } else { Ok(chain) }
}

fn chain(row: &Row) -> Result<ChainRecord, StoreError> {
    Ok(ChainRecord {
        chain: NewChain {
            id: ChainId::from_bytes(sixteen(row, 0)?),
            tenant: tenant_of(row, 1)?,
            name: words(row, 2)?,
            description: maybe_words(row, 3)?,
            metadata: maybe_words(row, 4)?,
            created: time(row, 5)?,
        },
        closed: maybe_time(row, 6)?,
        events: count(row, 7)?,
        hash: digest(row, 8)?,
    })
}

fn declared(row: &Row) -> Result<DeclaredEvent, StoreError> {
    let is_there = |column| Ok::<_, StoreError>(row.try_get::<_, Option<&[u8]>>(column)?.is_some());
    let link = if is_there(13)? { Some((count(row, 12)?, digest(row, 13)?)) } else { None };
    let chain = if is_there(11)? { Some(ChainId::from_bytes(sixteen(row, 11)?)) } else { None };
    Ok(DeclaredEvent {
        event: Declaration {
            id: EventId::from_bytes(sixteen(row, 0)?),
            tenant: tenant_of(row, 1)?,
            agent: agent_id(row, 2)?,
            action: words(row, 3)?,
            score: score(row, 4)?,
            occurred: time(row, 5)?,
            received: time(row, 6)?,
            session: maybe_words(row, 7)?,
            details: maybe_words(row, 8)?,
            address: maybe_words(row, 9)?,
            certificate: if is_there(10)? { Some(serial(row, 10)?) } else { None },
            chain,
        },
        link,
    })
}

fn score(row: &Row, column: usize) -> Result<u8, StoreError> {
    u8::try_from(row.try_get::<_, i64>(column)?).map_err(|_| damaged("score"))
}

fn number(place: u64) -> Result<i64, StoreError> {
    i64::try_from(place).map_err(|_| damaged("place in a chain"))
}

const CHAINS: &str =
    "SELECT id, tenant, name, description, metadata, created, closed, events, hash FROM chains";
const DECLARED: &str =
    "SELECT id, tenant, agent, action, score, occurred, received, session, details, address,
                        certificate, chain, place, hash FROM declared";
