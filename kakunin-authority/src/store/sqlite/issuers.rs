//! The authorities in SQLite.

use kakunin_core::time::UnixTime;
use rusqlite::params;
use rusqlite::types::Type;

use super::{Broken, SqliteStore, damaged};
use crate::access::TenantId;
use crate::store::{IssuerId, IssuerRecord, Issuers, StoreError};

impl Issuers for SqliteStore {
    fn add_issuers(&mut self, issuers: &[IssuerRecord]) -> Result<(), StoreError> {
        self.write(|connection| {
            for issuer in issuers {
                let sql = "INSERT INTO issuers (id, tenant, der, revoked) VALUES (?1, ?2, ?3, ?4)";
                let tenant = issuer.tenant.as_ref();
                let added = connection.execute(
                    sql,
                    params![
                        issuer.id.number(),
                        tenant.map(TenantId::as_str),
                        issuer.der,
                        issuer.revoked.map(UnixTime::seconds)
                    ],
                );
                match (Broken::rule(&added), tenant) {
                    (Some(Broken::Reference), Some(tenant)) => {
                        return Err(StoreError::UnknownTenant { tenant: tenant.clone() });
                    }
                    (Some(_), _) => return Err(StoreError::IssuerTaken { issuer: issuer.id }),
                    (None, _) => drop(added?),
                }
            }
            Ok(())
        })
    }

    fn issuers(&self) -> Result<Vec<IssuerRecord>, StoreError> {
        let sql = "SELECT id, der, revoked, tenant FROM issuers ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(IssuerRecord {
                id: IssuerId::from_number(row.get(0)?),
                der: row.get(1)?,
                revoked: row.get::<_, Option<i64>>(2)?.map(UnixTime::from_seconds),
                tenant: row
                    .get::<_, Option<String>>(3)?
                    .map(|text| TenantId::parse(&text).ok_or_else(|| damaged(3, Type::Text)))
                    .transpose()?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn revoke_issuer(&mut self, issuer: IssuerId, at: UnixTime) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "UPDATE issuers SET revoked = coalesce(revoked, ?2) WHERE id = ?1";
            match connection.execute(sql, params![issuer.number(), at.seconds()])? {
                0 => Err(StoreError::UnknownIssuer { issuer }),
                _ => Ok(()),
            }
        })
    }
}
