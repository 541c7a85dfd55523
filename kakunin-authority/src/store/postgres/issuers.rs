//! The authorities in PostgreSQL.

use kakunin_core::time::UnixTime;

use super::PostgresStore;
use super::values::{issuer, maybe_time, number};
use crate::store::{IssuerId, IssuerRecord, Issuers, StoreError};

impl Issuers for PostgresStore {
    fn add_issuers(&mut self, issuers: &[IssuerRecord]) -> Result<(), StoreError> {
        self.write(|session| {
            for issuer in issuers {
                let sql =
                    "INSERT INTO issuers (id, der, revoked) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
                let revoked = issuer.revoked.map(UnixTime::seconds);
                if session.execute(sql, &[&number(issuer.id), &issuer.der, &revoked])? == 0 {
                    return Err(StoreError::IssuerTaken { issuer: issuer.id });
                }
            }
            Ok(())
        })
    }

    fn issuers(&self) -> Result<Vec<IssuerRecord>, StoreError> {
        self.read(|session| {
            let rows = session.rows("SELECT id, der, revoked FROM issuers ORDER BY id", &[])?;
            let record = |row: &postgres::Row| {
                Ok(IssuerRecord { id: issuer(row, 0)?, der: row.try_get(1)?, revoked: maybe_time(row, 2)? })
            };
            rows.iter().map(record).collect()
        })
    }

    fn revoke_issuer(&mut self, issuer: IssuerId, at: UnixTime) -> Result<(), StoreError> {
        self.write(|session| {
            let sql = "UPDATE issuers SET revoked = coalesce(revoked, $2) WHERE id = $1";
            match session.execute(sql, &[&number(issuer), &at.seconds()])? {
                0 => Err(StoreError::UnknownIssuer { issuer }),
                _ => Ok(()),
            }
        })
    }
}
