//! Freezes in PostgreSQL.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::access::is_tenant;
use super::session::Session;
use super::values::{damaged, tenant as tenant_of, time, words};
use super::{PostgresStore, hooks};
use crate::access::{Actor, TenantId};
use crate::hook::HookEvent;
use crate::store::{Extent, FreezeRecord, Freezes, Hand, StoreError};

impl Freezes for PostgresStore {
    fn freeze(&mut self, freeze: &FreezeRecord) -> Result<bool, StoreError> {
        self.write(|session| {
            if let Extent::Tenant(tenant) = &freeze.extent
                && !is_tenant(session, tenant)?
            {
                return Err(StoreError::UnknownTenant { tenant: tenant.clone() });
            }
            let sql = "INSERT INTO freezes (extent, hand, at, actor, text) VALUES ($1, $2, $3, $4, $5)
                       ON CONFLICT (extent, hand) DO NOTHING";
            let FreezeRecord { extent, hand, at, actor, text } = freeze;
            let (at, actor) = (at.seconds(), actor.to_string());
            let row: [&(dyn ToSql + Sync); 5] = [&extent.word(), &hand.word(), &at, &actor, &text.as_bytes()];
            let is_new = session.execute(sql, &row)? > 0;
            if is_new {
                tell(session, freeze, HookEvent::IssuanceFrozen)?;
            }
            Ok(is_new)
        })
    }

    fn thaw(&mut self, thaw: &FreezeRecord) -> Result<bool, StoreError> {
        self.write(|session| {
            let sql = "DELETE FROM freezes WHERE extent = $1 AND hand = $2";
            let was = session.execute(sql, &[&thaw.extent.word(), &thaw.hand.word()])? > 0;
            if was {
                tell(session, thaw, HookEvent::IssuanceThawed)?;
            }
            Ok(was)
        })
    }

    fn freezes(&self) -> Result<Vec<FreezeRecord>, StoreError> {
        self.read(|session| {
            let rows = session
                .rows("SELECT extent, hand, at, actor, text FROM freezes ORDER BY extent, hand", &[])?;
            rows.iter().map(freeze).collect()
        })
    }
}

/// Says no to a step of issuing for a tenant whose issuing is frozen, in the transaction of that step.
pub(super) fn refuse_frozen(session: &mut Session, tenant: &TenantId) -> Result<(), StoreError> {
    let sql = "SELECT extent, hand, at, actor, text FROM freezes WHERE extent IN ('*', $1) ORDER BY extent, hand LIMIT 1";
    match session.row(sql, &[&tenant.as_str()])? {
        Some(row) => Err(freeze(&row)?.refusal()),
        None => Ok(()),
    }
}

fn tell(session: &mut Session, freeze: &FreezeRecord, event: HookEvent) -> Result<(), StoreError> {
    for row in session.rows("SELECT id FROM tenants ORDER BY id", &[])? {
        let tenant = tenant_of(&row, 0)?;
        if freeze.extent.covers(&tenant) {
            hooks::announce(session, &freeze.notice(&tenant, event))?;
        }
    }
    Ok(())
}

fn freeze(row: &Row) -> Result<FreezeRecord, StoreError> {
    Ok(FreezeRecord {
        extent: Extent::read(row.try_get(0)?).ok_or(damaged("freeze"))?,
        hand: Hand::read(row.try_get(1)?).ok_or(damaged("freeze"))?,
        at: time(row, 2)?,
        actor: Actor::parse(row.try_get(3)?).ok_or(damaged("actor"))?,
        text: words(row, 4)?,
    })
}
