//! The feeds in SQLite: a row for each epoch, its entries, and its item once that is signed.

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::time::UnixTime;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, damaged, reason, serial, standing};
use crate::access::TenantId;
use crate::store::{
    Feed, FeedChange, FeedEntry, FeedItem, FeedPosition, IssuerId, StandingChange, StoreError,
};

impl Feed for SqliteStore {
    fn waiting_changes(&self, issuer: IssuerId) -> Result<Vec<FeedChange>, StoreError> {
        // One statement is one snapshot, also for a reader beside the writer.
        let sql =
            "SELECT epoch, serial, standing, since, reason FROM feed JOIN feed_entries USING (issuer, epoch)
                   WHERE issuer = ?1 AND item IS NULL ORDER BY epoch, serial";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([issuer.number()])?;
        let mut changes: Vec<FeedChange> = Vec::new();
        while let Some(row) = rows.next()? {
            let epoch = epoch(row, 0)?;
            let entry = FeedEntry {
                serial: serial(row, 1)?,
                standing: standing(row, 2)?,
                since: UnixTime::from_seconds(row.get(3)?),
                reason: reason(row, 4)?,
            };
            match changes.last_mut().filter(|last| last.epoch == epoch) {
                Some(last) => last.entries.push(entry),
                None => changes.push(FeedChange { issuer, epoch, entries: vec![entry] }),
            }
        }
        Ok(changes)
    }

    fn keep_change(
        &mut self,
        issuer: IssuerId,
        epoch: u64,
        item: &str,
        head: Digest,
    ) -> Result<(), StoreError> {
        let next = StoreError::NotNext { issuer, epoch };
        let Ok(epoch) = i64::try_from(epoch) else { return Err(next) };
        self.write(|connection| {
            let sql = "UPDATE feed SET item = ?3, head = ?4 WHERE issuer = ?1 AND epoch = ?2
                       AND epoch = (SELECT min(epoch) FROM feed WHERE issuer = ?1 AND item IS NULL)";
            let row = params![issuer.number(), epoch, item, head.as_bytes()];
            let kept = connection.prepare_cached(sql)?.execute(row)?;
            if kept == 1 { Ok(()) } else { Err(next) }
        })
    }

    fn feed_position(&self, issuer: IssuerId) -> Result<FeedPosition, StoreError> {
        let sql = "SELECT epoch, head FROM feed WHERE issuer = ?1 AND item IS NOT NULL
                   ORDER BY epoch DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let position = statement.query_row([issuer.number()], |row| {
            Ok(FeedPosition { epoch: epoch(row, 0)?, head: Digest::from_bytes(row.get(1)?) })
        });
        Ok(position.optional()?.unwrap_or(FeedPosition::START))
    }

    fn changes_since(&self, issuer: IssuerId, epoch: u64, limit: u32) -> Result<Vec<FeedItem>, StoreError> {
        // INVARIANT: items are kept in order, so those with an item are a beginning of the feed.
        let sql = "SELECT epoch, item, head FROM feed WHERE issuer = ?1 AND epoch > ?2 AND item IS NOT NULL
                   ORDER BY epoch LIMIT ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let since = i64::try_from(epoch).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![issuer.number(), since, limit], |row| {
            Ok(FeedItem {
                epoch: self::epoch(row, 0)?,
                item: row.get(1)?,
                head: Digest::from_bytes(row.get(2)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn standings(
        &self,
        tenant: &TenantId,
        agent: AgentId,
    ) -> Result<Vec<(IssuerId, u64, FeedEntry)>, StoreError> {
        let sql = "SELECT e.issuer, e.epoch, e.serial, e.standing, e.since, e.reason
                   FROM certificates c JOIN feed_entries e ON e.serial = c.serial AND e.issuer = c.issuer
                   WHERE c.tenant = ?1 AND c.agent = ?2 ORDER BY e.issuer, e.epoch, e.serial";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![tenant.as_str(), agent.as_bytes()], |row| {
            let entry = FeedEntry {
                serial: serial(row, 2)?,
                standing: standing(row, 3)?,
                since: UnixTime::from_seconds(row.get(4)?),
                reason: reason(row, 5)?,
            };
            Ok((IssuerId::from_number(row.get(0)?), epoch(row, 1)?, entry))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Changes the certificates that follow their agent, under the next epochs of their issuers.
pub(super) fn change(
    connection: &Connection,
    change: &StandingChange<'_>,
) -> Result<Vec<FeedChange>, StoreError> {
    // INVARIANT: a revoked certificate keeps its standing whatever happens to the agent later.
    let sql = "UPDATE certificates SET standing = ?3, since = ?4, reason = ?5
               WHERE tenant = ?1 AND agent = ?2 AND standing <> 'revoked' AND standing <> ?3
               RETURNING issuer, serial, tbs IS NOT NULL AND not_after >= ?4";
    let (at, standing, reason) = (change.at, change.to, change.reason);
    let row = params![
        change.tenant.as_str(),
        change.agent.as_bytes(),
        standing.word(),
        at.seconds(),
        reason.code()
    ];
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(row, |row| {
        Ok((IssuerId::from_number(row.get(0)?), serial(row, 1)?, row.get::<_, bool>(2)?))
    })?;
    let mut told: Vec<(IssuerId, SerialNumber)> = Vec::new();
    for row in rows {
        let (issuer, serial, is_told) = row?;
        if is_told {
            told.push((issuer, serial));
        }
    }
    told.sort_unstable();
    let mut changes = Vec::new();
    for of_one in told.chunk_by(|(one, _), (other, _)| one == other) {
        for some in of_one.chunks(FeedChange::MOST_ENTRIES) {
            let Some((issuer, _)) = some.first() else { continue };
            let entry = |(_, serial): &(IssuerId, SerialNumber)| FeedEntry {
                serial: *serial,
                standing,
                since: at,
                reason,
            };
            changes.push(append(connection, *issuer, some.iter().map(entry).collect())?);
        }
    }
    Ok(changes)
}

/// Writes the next epoch of a feed, as one step of several.
pub(super) fn append(
    connection: &Connection,
    issuer: IssuerId,
    entries: Vec<FeedEntry>,
) -> Result<FeedChange, StoreError> {
    let sql = "INSERT INTO feed (issuer, epoch)
               SELECT ?1, coalesce(max(epoch), 0) + 1 FROM feed WHERE issuer = ?1 RETURNING epoch";
    let number: i64 = connection.prepare_cached(sql)?.query_row([issuer.number()], |row| row.get(0))?;
    let sql = "INSERT INTO feed_entries (issuer, epoch, serial, standing, since, reason)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut statement = connection.prepare_cached(sql)?;
    for entry in &entries {
        statement.execute(params![
            issuer.number(),
            number,
            entry.serial.as_bytes(),
            entry.standing.word(),
            entry.since.seconds(),
            entry.reason.code(),
        ])?;
    }
    let epoch = u64::try_from(number).map_err(|_| StoreError::Damaged { what: "epoch" })?;
    Ok(FeedChange { issuer, epoch, entries })
}

fn epoch(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| damaged(column, Type::Integer))
}
