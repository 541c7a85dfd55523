//! Signed lists in PostgreSQL.

use super::PostgresStore;
use super::session::Session;
use super::values::{count, number, time};
use crate::store::{IssuerId, ListRecord, Lists, StoreError};

impl Lists for PostgresStore {
    fn next_list_number(&mut self, issuer: IssuerId) -> Result<u64, StoreError> {
        self.write(|session| {
            known(session, issuer)?;
            let sql = "INSERT INTO list_numbers (issuer, number) VALUES ($1, 1)
                       ON CONFLICT (issuer) DO UPDATE SET number = list_numbers.number + 1 RETURNING number";
            let number = session.number(sql, &[&number(issuer)])?;
            u64::try_from(number).map_err(|_| StoreError::Damaged { what: "list number" })
        })
    }

    fn keep_list(&mut self, issuer: IssuerId, list: &ListRecord) -> Result<(), StoreError> {
        // One row for each issuer: an older list has no use once the newer one is durable.
        let sql =
            "INSERT INTO lists (issuer, number, this_update, next_update, der) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (issuer) DO UPDATE SET number = excluded.number, der = excluded.der,
                   this_update = excluded.this_update, next_update = excluded.next_update";
        let nth = i64::try_from(list.number).map_err(|_| StoreError::Damaged { what: "list number" })?;
        let (from, until) = (list.this_update.seconds(), list.next_update.seconds());
        self.write(|session| {
            known(session, issuer)?;
            session.execute(sql, &[&number(issuer), &nth, &from, &until, &list.der])?;
            Ok(())
        })
    }

    fn newest_list(&self, issuer: IssuerId) -> Result<Option<ListRecord>, StoreError> {
        self.read(|session| {
            let sql = "SELECT number, this_update, next_update, der FROM lists WHERE issuer = $1";
            let Some(row) = session.row(sql, &[&number(issuer)])? else { return Ok(None) };
            Ok(Some(ListRecord {
                number: count(&row, 0)?,
                this_update: time(&row, 1)?,
                next_update: time(&row, 2)?,
                der: row.try_get(3)?,
            }))
        })
    }

    fn newest_number(&self, issuer: IssuerId) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT number FROM lists WHERE issuer = $1 ORDER BY number DESC LIMIT 1";
        self.read(|session| session.row(sql, &[&number(issuer)])?.map(|row| count(&row, 0)).transpose())
    }
}

fn known(session: &mut Session, issuer: IssuerId) -> Result<(), StoreError> {
    match session.is_there("SELECT 1 FROM issuers WHERE id = $1", &[&number(issuer)])? {
        true => Ok(()),
        false => Err(StoreError::UnknownIssuer { issuer }),
    }
}
