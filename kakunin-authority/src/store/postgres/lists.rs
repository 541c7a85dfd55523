//! Signed lists in PostgreSQL.

use std::sync::Arc;

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use tokio_postgres::Row;

use super::PostgresStore;
use super::session::{Session, Values};
use super::values::{count, digest, issuer, number, time};
use crate::store::lists::{KeptList, NO_LIST};
use crate::store::{IssuerId, ListHead, ListRecord, Lists, StoreError};

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
        let (by, nth) = (number(issuer), stored(list.number)?);
        if let Some((_, known)) = self.list("WHERE issuer = $1 AND number = $2", &[&by, &nth])? {
            return if known == *list {
                Ok(())
            } else {
                Err(StoreError::ListTaken { issuer, number: list.number })
            };
        }
        let last = self.read(|session| {
            known(session, issuer)?;
            let sql = "SELECT coalesce(base, number), weight FROM signed_lists WHERE issuer = $1
                       ORDER BY number DESC LIMIT 1";
            let row = session.row(sql, &[&by])?;
            row.map(|row| Ok((count(&row, 0)?, count(&row, 1)?))).transpose()
        })?;
        let whole = last.map(|(base, weight)| Ok::<_, StoreError>((base, self.whole(issuer, base)?, weight)));
        let whole = whole.transpose()?;
        let kept = KeptList::of(list, whole.as_ref().map(|(base, der, weight)| (*base, &**der, *weight)))?;
        let name = kept.name.as_ref().map(|name| name.as_bytes().to_vec());
        let (base, weight) = (kept.base.map(stored).transpose()?, stored(kept.weight)?);
        let (from, until) = (list.this_update.seconds(), list.next_update.seconds());
        self.write(|session| {
            let sql = "INSERT INTO signed_lists
                       (issuer, number, name, this_update, next_update, base, weight, body)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
            session.execute(sql, &[&by, &nth, &name, &from, &until, &base, &weight, &kept.body])?;
            Ok(())
        })
    }

    fn newest_list(&self, issuer: IssuerId) -> Result<Option<ListRecord>, StoreError> {
        let found = self.list("WHERE issuer = $1 ORDER BY number DESC LIMIT 1", &[&number(issuer)])?;
        Ok(found.map(|(_, list)| list))
    }

    fn newest_list_head(&self, issuer: IssuerId) -> Result<Option<ListHead>, StoreError> {
        self.read(|session| {
            let sql = "SELECT issuer, number, this_update, next_update FROM signed_lists
                       WHERE issuer = $1 ORDER BY number DESC LIMIT 1";
            session.row(sql, &[&number(issuer)])?.map(|row| head(&row)).transpose()
        })
    }

    fn list_before(&self, issuer: IssuerId, nth: u64) -> Result<Option<ListRecord>, StoreError> {
        let below = "WHERE issuer = $1 AND number < $2 ORDER BY number DESC LIMIT 1";
        let found = self.list(below, &[&number(issuer), &i64::try_from(nth).unwrap_or(i64::MAX)])?;
        Ok(found.map(|(_, list)| list))
    }

    fn list_as_of(&self, issuer: IssuerId, at: UnixTime) -> Result<Option<ListRecord>, StoreError> {
        let by = number(issuer);
        let until = "WHERE issuer = $1 AND this_update <= $2 ORDER BY this_update DESC, number DESC LIMIT 1";
        let found = match self.list(until, &[&by, &at.seconds()])? {
            None => self.list("WHERE issuer = $1 ORDER BY number LIMIT 1", &[&by])?,
            found => found,
        };
        Ok(found.map(|(_, list)| list))
    }

    fn list_named(&self, name: &Digest) -> Result<Option<(IssuerId, ListRecord)>, StoreError> {
        let octets: &[u8] = name.as_bytes();
        if let Some(found) = self.list("WHERE name = $1 ORDER BY issuer, number LIMIT 1", &[&octets])? {
            return Ok(Some(found));
        }
        // At most one of each issuer, from before lists had names.
        let old = self.read(|session| {
            let rows = session.rows("SELECT issuer, number FROM signed_lists WHERE name IS NULL", &[])?;
            rows.iter().map(|row| Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, i64>(1)?))).collect()
        });
        let old: Vec<(i64, i64)> = old?;
        for (by, nth) in old {
            let found = self.list("WHERE issuer = $1 AND number = $2", &[&by, &nth])?;
            if let Some((issuer, list)) = found
                && list.name()? == *name
            {
                return Ok(Some((issuer, list)));
            }
        }
        Ok(None)
    }
}

impl PostgresStore {
    fn list(&self, which: &str, by: Values<'_>) -> Result<Option<(IssuerId, ListRecord)>, StoreError> {
        let sql = format!(
            "SELECT issuer, number, this_update, next_update, name, base, weight, body FROM signed_lists {which}"
        );
        let kept = self.read(|session| {
            let Some(row) = session.row(&sql, by)? else { return Ok(None) };
            let name = row.try_get::<_, Option<&[u8]>>(4)?.map(|_| digest(&row, 4)).transpose()?;
            let base = row.try_get::<_, Option<i64>>(5)?.map(|_| count(&row, 5)).transpose()?;
            let (head, weight, body) = (head(&row)?, count(&row, 6)?, row.try_get(7)?);
            Ok(Some((issuer(&row, 0)?, KeptList { head, name, base, weight, body })))
        })?;
        let Some((issuer, kept)) = kept else { return Ok(None) };
        Ok(Some((issuer, kept.read(|base| self.whole(issuer, base))?)))
    }

    /// The list of this number, which is kept whole.
    fn whole(&self, issuer: IssuerId, nth: u64) -> Result<Arc<[u8]>, StoreError> {
        self.wholes.get((issuer, nth), self.in_batch, || {
            self.read(|session| {
                let sql = "SELECT body FROM signed_lists WHERE issuer = $1 AND number = $2 AND base IS NULL";
                let row = session.row(sql, &[&number(issuer), &stored(nth)?])?.ok_or(NO_LIST)?;
                Ok(row.try_get(0)?)
            })
        })
    }
}

/// The columns issuer, number, this_update, next_update.
fn head(row: &Row) -> Result<ListHead, StoreError> {
    Ok(ListHead { number: count(row, 1)?, this_update: time(row, 2)?, next_update: time(row, 3)? })
}

fn stored(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Damaged { what: "list number" })
}

fn known(session: &mut Session, issuer: IssuerId) -> Result<(), StoreError> {
    match session.is_there("SELECT 1 FROM issuers WHERE id = $1", &[&number(issuer)])? {
        true => Ok(()),
        false => Err(StoreError::UnknownIssuer { issuer }),
    }
}
