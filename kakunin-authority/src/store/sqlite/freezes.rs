//! Freezes in SQLite.

use kakunin_core::time::UnixTime;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, damaged, hooks, tenant};
use crate::access::{Actor, TenantId};
use crate::hook::HookEvent;
use crate::store::{Extent, FreezeRecord, Freezes, Hand, StoreError};

impl Freezes for SqliteStore {
    fn freeze(&mut self, freeze: &FreezeRecord) -> Result<bool, StoreError> {
        self.write(|connection| {
            if let Extent::Tenant(tenant) = &freeze.extent {
                let sql = "SELECT 1 FROM tenants WHERE id = ?1";
                if !connection.prepare_cached(sql)?.exists([tenant.as_str()])? {
                    return Err(StoreError::UnknownTenant { tenant: tenant.clone() });
                }
            }
            let sql = "INSERT INTO freezes (extent, hand, at, actor, text) VALUES (?1, ?2, ?3, ?4, ?5)
                       ON CONFLICT (extent, hand) DO NOTHING";
            let FreezeRecord { extent, hand, at, actor, text } = freeze;
            let row = params![extent.word(), hand.word(), at.seconds(), actor.to_string(), text];
            let is_new = connection.execute(sql, row)? > 0;
            if is_new {
                tell(connection, freeze, HookEvent::IssuanceFrozen)?;
            }
            Ok(is_new)
        })
    }

    fn thaw(&mut self, thaw: &FreezeRecord) -> Result<bool, StoreError> {
        self.write(|connection| {
            let sql = "DELETE FROM freezes WHERE extent = ?1 AND hand = ?2";
            let was = connection.execute(sql, [thaw.extent.word(), thaw.hand.word()])? > 0;
            if was {
                tell(connection, thaw, HookEvent::IssuanceThawed)?;
            }
            Ok(was)
        })
    }

    fn freezes(&self) -> Result<Vec<FreezeRecord>, StoreError> {
        let sql = format!("{FREEZES} ORDER BY extent, hand");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([], freeze)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Says no to a step of issuing for a tenant whose issuing is frozen, in the transaction of that step.
pub(super) fn refuse_frozen(connection: &Connection, tenant: &TenantId) -> Result<(), StoreError> {
    let sql = format!("{FREEZES} WHERE extent IN ('*', ?1) ORDER BY extent, hand LIMIT 1");
    let found = connection.prepare_cached(&sql)?.query_row([tenant.as_str()], freeze).optional()?;
    found.map_or(Ok(()), |freeze| Err(freeze.refusal()))
}

fn tell(connection: &Connection, freeze: &FreezeRecord, event: HookEvent) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("SELECT id FROM tenants ORDER BY id")?;
    let tenants = statement.query_map([], |row| tenant(row, 0))?.collect::<Result<Vec<_>, _>>()?;
    for tenant in tenants.iter().filter(|tenant| freeze.extent.covers(tenant)) {
        hooks::announce(connection, &freeze.notice(tenant, event))?;
    }
    Ok(())
}

fn freeze(row: &Row<'_>) -> rusqlite::Result<FreezeRecord> {
    let (extent, hand, actor): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
    Ok(FreezeRecord {
        extent: Extent::read(&extent).ok_or_else(|| damaged(0, Type::Text))?,
        hand: Hand::read(&hand).ok_or_else(|| damaged(1, Type::Text))?,
        at: UnixTime::from_seconds(row.get(2)?),
        actor: Actor::parse(&actor).ok_or_else(|| damaged(3, Type::Text))?,
        text: row.get(4)?,
    })
}

const FREEZES: &str = "SELECT extent, hand, at, actor, text FROM freezes";
