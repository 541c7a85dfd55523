//! The authorities in PostgreSQL.

use kakunin_core::time::UnixTime;

use super::PostgresStore;
use super::access::is_tenant;
use super::values::{issuer, maybe_tenant, maybe_time, number};
use crate::access::TenantId;
use crate::store::{IssuerId, IssuerRecord, Issuers, StoreError};

impl Issuers for PostgresStore {
    fn add_issuers(&mut self, issuers: &[IssuerRecord]) -> Result<(), StoreError> {
        self.write(|session| {
            for issuer in issuers {
                if session.is_there("SELECT 1 FROM issuers WHERE id = $1", &[&number(issuer.id)])? {
                    return Err(StoreError::IssuerTaken { issuer: issuer.id });
                }
                let tenant = issuer.tenant.as_ref();
                if let Some(tenant) = tenant
                    && !is_tenant(session, tenant)?
                {
                    return Err(StoreError::UnknownTenant { tenant: tenant.clone() });
                }
                let sql = "INSERT INTO issuers (id, tenant, der, revoked) VALUES ($1, $2, $3, $4)";
                let (tenant, revoked) = (tenant.map(TenantId::as_str), issuer.revoked.map(UnixTime::seconds));
                session.execute(sql, &[&number(issuer.id), &tenant, &issuer.der, &revoked])?;
            }
            Ok(())
        })
    }

    fn issuers(&self) -> Result<Vec<IssuerRecord>, StoreError> {
        self.read(|session| {
            let rows = session.rows("SELECT id, der, revoked, tenant FROM issuers ORDER BY id", &[])?;
            let record = |row: &tokio_postgres::Row| {
                Ok(IssuerRecord {
                    id: issuer(row, 0)?,
                    tenant: maybe_tenant(row, 3)?,
                    der: row.try_get(1)?,
                    revoked: maybe_time(row, 2)?,
                })
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
