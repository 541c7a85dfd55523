//! Requests that may come twice, in PostgreSQL.

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;

use super::PostgresStore;
use super::access::is_tenant;
use super::values::{damaged, digest};
use crate::access::TenantId;
use crate::store::{Answer, Begun, Requests, StoreError};

impl Requests for PostgresStore {
    fn begin_request(
        &mut self,
        tenant: &TenantId,
        key: &str,
        request: Digest,
        at: UnixTime,
    ) -> Result<Begun, StoreError> {
        self.write(|session| {
            let sql = "SELECT request, status, body FROM requests WHERE tenant = $1 AND key = $2";
            if let Some(row) = session.row(sql, &[&tenant.as_str(), &key.as_bytes()])? {
                if digest(&row, 0)? != request {
                    return Ok(Begun::Another);
                }
                return Ok(match row.try_get::<_, Option<i32>>(1)? {
                    None => Begun::Unfinished,
                    Some(status) => {
                        let status = u16::try_from(status).map_err(|_| damaged("answer"))?;
                        Begun::Answered(Answer { status, body: row.try_get(2)? })
                    }
                });
            }
            if !is_tenant(session, tenant)? {
                return Err(StoreError::UnknownTenant { tenant: tenant.clone() });
            }
            let sql = "INSERT INTO requests (tenant, key, request, at) VALUES ($1, $2, $3, $4)";
            let request = &request.as_bytes()[..];
            session.execute(sql, &[&tenant.as_str(), &key.as_bytes(), &request, &at.seconds()])?;
            Ok(Begun::New)
        })
    }

    fn answer_request(&mut self, tenant: &TenantId, key: &str, answer: &Answer) -> Result<(), StoreError> {
        self.write(|session| {
            let sql = "UPDATE requests SET status = $3, body = $4
                       WHERE tenant = $1 AND key = $2 AND status IS NULL";
            let status = i32::from(answer.status);
            match session.execute(sql, &[&tenant.as_str(), &key.as_bytes(), &status, &answer.body])? {
                0 => Err(StoreError::UnknownRequest { key: key.to_owned() }),
                _ => Ok(()),
            }
        })
    }

    fn forget_requests(&mut self, at: UnixTime) -> Result<u64, StoreError> {
        self.write(|session| session.execute("DELETE FROM requests WHERE at < $1", &[&at.seconds()]))
    }
}
