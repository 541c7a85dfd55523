//! Signed lists in SQLite.

use std::sync::Arc;

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, ToSql, params};

use super::{Broken, SqliteStore, damaged};
use crate::store::lists::{KeptList, NO_LIST};
use crate::store::{IssuerId, ListHead, ListRecord, Lists, StoreError};

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
        let number = stored(list.number)?;
        if let Some((_, known)) = self.list(AT, &[&issuer.number(), &number])? {
            return if known == *list {
                Ok(())
            } else {
                Err(StoreError::ListTaken { issuer, number: list.number })
            };
        }
        let sql =
            "SELECT number, base, weight FROM signed_lists WHERE issuer = ?1 ORDER BY number DESC LIMIT 1";
        let last = self.connection.query_row(sql, [issuer.number()], |row| {
            Ok((count(row, 0)?, row.get::<_, Option<i64>>(1)?, count(row, 2)?))
        });
        let last = match last.optional()? {
            None => None,
            Some((number, None, _)) => Some((number, 0)),
            Some((_, Some(base), weight)) => Some((u64::try_from(base).map_err(|_| NO_LIST)?, weight)),
        };
        let whole = last.map(|(base, weight)| Ok::<_, StoreError>((base, self.whole(issuer, base)?, weight)));
        let whole = whole.transpose()?;
        let kept = KeptList::of(list, whole.as_ref().map(|(base, der, weight)| (*base, &**der, *weight)))?;
        let sql =
            "INSERT INTO signed_lists (issuer, number, name, this_update, next_update, base, weight, body)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let base = kept.base.map(stored).transpose()?;
        let (from, until) = (list.this_update.seconds(), list.next_update.seconds());
        let name = kept.name.as_ref().map(Digest::as_bytes);
        let row = params![issuer.number(), number, name, from, until, base, stored(kept.weight)?, kept.body];
        self.write(|connection| {
            let added = connection.execute(sql, row);
            match Broken::rule(&added) {
                Some(Broken::Reference) => Err(StoreError::UnknownIssuer { issuer }),
                _ => Ok(added.map(|_| ())?),
            }
        })
    }

    fn newest_list(&self, issuer: IssuerId) -> Result<Option<ListRecord>, StoreError> {
        let found = self.list("WHERE issuer = ?1 ORDER BY number DESC LIMIT 1", &[&issuer.number()])?;
        Ok(found.map(|(_, list)| list))
    }

    fn newest_list_head(&self, issuer: IssuerId) -> Result<Option<ListHead>, StoreError> {
        let sql = "SELECT issuer, number, this_update, next_update FROM signed_lists
                   WHERE issuer = ?1 ORDER BY number DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([issuer.number()], head).optional()?)
    }

    fn list_before(&self, issuer: IssuerId, number: u64) -> Result<Option<ListRecord>, StoreError> {
        let below = "WHERE issuer = ?1 AND number < ?2 ORDER BY number DESC LIMIT 1";
        let found = self.list(below, &[&issuer.number(), &i64::try_from(number).unwrap_or(i64::MAX)])?;
        Ok(found.map(|(_, list)| list))
    }

    fn list_as_of(&self, issuer: IssuerId, at: UnixTime) -> Result<Option<ListRecord>, StoreError> {
        let by = issuer.number();
        let until = "WHERE issuer = ?1 AND this_update <= ?2 ORDER BY this_update DESC, number DESC LIMIT 1";
        let found = match self.list(until, &[&by, &at.seconds()])? {
            None => self.list("WHERE issuer = ?1 ORDER BY number LIMIT 1", &[&by])?,
            found => found,
        };
        Ok(found.map(|(_, list)| list))
    }

    fn list_named(&self, name: &Digest) -> Result<Option<(IssuerId, ListRecord)>, StoreError> {
        let by_name = "WHERE name = ?1 ORDER BY issuer, number LIMIT 1";
        if let Some(found) = self.list(by_name, &[name.as_bytes()])? {
            return Ok(Some(found));
        }
        // At most one of each issuer, from before lists had names.
        let sql = "SELECT issuer, number FROM signed_lists WHERE name IS NULL";
        let mut statement = self.connection.prepare_cached(sql)?;
        let old = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        for place in old.collect::<Result<Vec<_>, _>>()? {
            let found = self.list(AT, &[&place.0, &place.1])?;
            if let Some((issuer, list)) = found
                && list.name()? == *name
            {
                return Ok(Some((issuer, list)));
            }
        }
        Ok(None)
    }
}

impl SqliteStore {
    fn list(&self, which: &str, by: &[&dyn ToSql]) -> Result<Option<(IssuerId, ListRecord)>, StoreError> {
        let sql = format!(
            "SELECT issuer, number, this_update, next_update, name, base, weight, body FROM signed_lists {which}"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let kept = statement.query_row(by, |row| {
            let issuer = IssuerId::from_number(row.get(0)?);
            let name = row.get::<_, Option<[u8; 32]>>(4)?.map(Digest::from_bytes);
            let base = row.get::<_, Option<i64>>(5)?.map(u64::try_from).transpose();
            let base = base.map_err(|_| damaged(5, Type::Integer))?;
            Ok((issuer, KeptList { head: head(row)?, name, base, weight: count(row, 6)?, body: row.get(7)? }))
        });
        let Some((issuer, kept)) = kept.optional()? else { return Ok(None) };
        Ok(Some((issuer, kept.read(|base| self.whole(issuer, base))?)))
    }

    /// The list of this number, which is kept whole.
    fn whole(&self, issuer: IssuerId, number: u64) -> Result<Arc<[u8]>, StoreError> {
        self.wholes.get((issuer, number), self.in_batch, || {
            let sql = "SELECT body FROM signed_lists WHERE issuer = ?1 AND number = ?2 AND base IS NULL";
            let mut statement = self.connection.prepare_cached(sql)?;
            let body = statement.query_row(params![issuer.number(), stored(number)?], |row| row.get(0));
            body.optional()?.ok_or(NO_LIST)
        })
    }
}

/// The columns issuer, number, this_update, next_update.
fn head(row: &Row<'_>) -> rusqlite::Result<ListHead> {
    Ok(ListHead {
        number: count(row, 1)?,
        this_update: UnixTime::from_seconds(row.get(2)?),
        next_update: UnixTime::from_seconds(row.get(3)?),
    })
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| damaged(column, Type::Integer))
}

fn stored(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Damaged { what: "list number" })
}

const AT: &str = "WHERE issuer = ?1 AND number = ?2";
