//! Requests that may come twice, in SQLite.

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use rusqlite::{OptionalExtension, params};

use super::{Broken, SqliteStore};
use crate::access::TenantId;
use crate::store::{Answer, Begun, Requests, StoreError};

impl Requests for SqliteStore {
    fn begin_request(
        &mut self,
        tenant: &TenantId,
        key: &str,
        request: Digest,
        at: UnixTime,
    ) -> Result<Begun, StoreError> {
        self.write(|connection| {
            let sql = "SELECT request, status, body FROM requests WHERE tenant = ?1 AND key = ?2";
            let known = connection.prepare_cached(sql)?.query_row(params![tenant.as_str(), key], |row| {
                let answer = match row.get(1)? {
                    None => Begun::Unfinished,
                    Some(status) => Begun::Answered(Answer { status, body: row.get(2)? }),
                };
                Ok((Digest::from_bytes(row.get(0)?), answer))
            });
            match known.optional()? {
                Some((same, begun)) if same == request => return Ok(begun),
                Some(_) => return Ok(Begun::Another),
                None => {}
            }
            let sql = "INSERT INTO requests (tenant, key, request, at) VALUES (?1, ?2, ?3, ?4)";
            let row = params![tenant.as_str(), key, request.as_bytes(), at.seconds()];
            let taken = connection.prepare_cached(sql)?.execute(row);
            match Broken::rule(&taken) {
                Some(_) => Err(StoreError::UnknownTenant { tenant: tenant.clone() }),
                None => Ok(taken.map(|_| Begun::New)?),
            }
        })
    }

    fn answer_request(&mut self, tenant: &TenantId, key: &str, answer: &Answer) -> Result<(), StoreError> {
        self.write(|connection| {
            let sql = "UPDATE requests SET status = ?3, body = ?4
                       WHERE tenant = ?1 AND key = ?2 AND status IS NULL";
            let row = params![tenant.as_str(), key, answer.status, answer.body];
            match connection.prepare_cached(sql)?.execute(row)? {
                0 => Err(StoreError::UnknownRequest { key: key.to_owned() }),
                _ => Ok(()),
            }
        })
    }

    fn forget_requests(&mut self, at: UnixTime) -> Result<u64, StoreError> {
        self.write(|connection| {
            let gone = connection.execute("DELETE FROM requests WHERE at < ?1", [at.seconds()])?;
            Ok(u64::try_from(gone).unwrap_or(u64::MAX))
        })
    }
}
