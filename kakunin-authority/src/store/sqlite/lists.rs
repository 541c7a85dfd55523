//! Signed lists in SQLite.

use kakunin_core::time::UnixTime;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, params};

use super::{Broken, SqliteStore, damaged};
use crate::store::{IssuerId, ListRecord, Lists, StoreError};

impl Lists for SqliteStore {
    fn next_list_number(&mut self, issuer: IssuerId) -> Result<u64, StoreError> {
        self.write(|connection| {
            let sql = "INSERT INTO list_numbers (issuer, number) VALUES (?1, 1)
                       ON CONFLICT (issuer) DO UPDATE SET number = number + 1 RETURNING number";
            let number = connection.query_row(sql, [issuer.number()], |row| row.get::<_, i64>(0));
            if Broken::rule(&number).is_some() {
                return Err(StoreError::UnknownIssuer { issuer });
            }
            u64::try_from(number?).map_err(|_| StoreError::Damaged { what: "list number" })
        })
    }

    fn keep_list(&mut self, issuer: IssuerId, list: &ListRecord) -> Result<(), StoreError> {
        // One row for each issuer: an older list has no use once the newer one is durable.
        let sql =
            "INSERT INTO lists (issuer, number, this_update, next_update, der) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (issuer) DO UPDATE SET number = excluded.number, der = excluded.der,
                   this_update = excluded.this_update, next_update = excluded.next_update";
        let number = i64::try_from(list.number).map_err(|_| StoreError::Damaged { what: "list number" })?;
        let (from, until) = (list.this_update.seconds(), list.next_update.seconds());
        self.write(|connection| {
            let kept = connection.execute(sql, params![issuer.number(), number, from, until, list.der]);
            match Broken::rule(&kept) {
                Some(_) => Err(StoreError::UnknownIssuer { issuer }),
                None => Ok(kept.map(|_| ())?),
            }
        })
    }

    fn newest_list(&self, issuer: IssuerId) -> Result<Option<ListRecord>, StoreError> {
        let sql = "SELECT number, this_update, next_update, der FROM lists WHERE issuer = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let list = statement.query_row([issuer.number()], |row| {
            Ok(ListRecord {
                number: u64::try_from(row.get::<_, i64>(0)?).map_err(|_| damaged(0, Type::Integer))?,
                this_update: UnixTime::from_seconds(row.get(1)?),
                next_update: UnixTime::from_seconds(row.get(2)?),
                der: row.get(3)?,
            })
        });
        Ok(list.optional()?)
    }

    fn newest_number(&self, issuer: IssuerId) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT number FROM lists WHERE issuer = ?1 ORDER BY number DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let number = statement.query_row([issuer.number()], |row| {
            u64::try_from(row.get::<_, i64>(0)?).map_err(|_| damaged(0, Type::Integer))
        });
        Ok(number.optional()?)
    }
}
