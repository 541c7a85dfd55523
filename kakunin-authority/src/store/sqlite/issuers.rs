//! The authorities in SQLite.

use kakunin_core::time::UnixTime;
use rusqlite::params;

use super::{Broken, SqliteStore};
use crate::store::{IssuerId, IssuerRecord, Issuers, StoreError};

impl Issuers for SqliteStore {
    fn add_issuers(&mut self, issuers: &[IssuerRecord]) -> Result<(), StoreError> {
        self.write(|connection| {
            for issuer in issuers {
                let sql = "INSERT INTO issuers (id, der, revoked) VALUES (?1, ?2, ?3)";
                let row = params![issuer.id.number(), issuer.der, issuer.revoked.map(UnixTime::seconds)];
                let added = connection.execute(sql, row);
                if Broken::rule(&added) == Some(Broken::Unique) {
                    return Err(StoreError::IssuerTaken { issuer: issuer.id });
                }
                added?;
            }
            Ok(())
        })
    }

    fn issuers(&self) -> Result<Vec<IssuerRecord>, StoreError> {
        let sql = "SELECT id, der, revoked FROM issuers ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(IssuerRecord {
                id: IssuerId::from_number(row.get(0)?),
                der: row.get(1)?,
                revoked: row.get::<_, Option<i64>>(2)?.map(UnixTime::from_seconds),
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
