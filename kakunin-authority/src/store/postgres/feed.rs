//! The feeds in PostgreSQL: a row for each epoch, its entries, and its item once that is signed.

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};

use super::PostgresStore;
use super::session::Session;
use super::values::{count, damaged, digest, issuer as issuer_of, number, reason, serial, standing, time};
use crate::access::TenantId;
use crate::store::{
    Feed, FeedChange, FeedEntry, FeedItem, FeedPosition, IssuerId, StandingChange, StoreError,
};

impl Feed for PostgresStore {
    fn waiting_changes(&self, issuer: IssuerId) -> Result<Vec<FeedChange>, StoreError> {
        self.read(|session| {
            // One statement is one snapshot, also for a reader beside the writer.
            let sql = "SELECT epoch, serial, e.standing, e.since, e.reason
                       FROM feed JOIN feed_entries e USING (issuer, epoch)
                       WHERE issuer = $1 AND item IS NULL ORDER BY epoch, serial";
            let mut changes: Vec<FeedChange> = Vec::new();
            for row in &session.rows(sql, &[&number(issuer)])? {
                let epoch = count(row, 0)?;
                let entry = FeedEntry {
                    serial: serial(row, 1)?,
                    standing: standing(row, 2)?,
                    since: time(row, 3)?,
                    reason: reason(row, 4)?,
                };
                match changes.last_mut().filter(|last| last.epoch == epoch) {
                    Some(last) => last.entries.push(entry),
                    None => changes.push(FeedChange { issuer, epoch, entries: vec![entry] }),
                }
            }
            Ok(changes)
        })
    }

    fn keep_change(
        &mut self,
        issuer: IssuerId,
        epoch: u64,
        item: &str,
        head: Digest,
    ) -> Result<(), StoreError> {
        let next = || StoreError::NotNext { issuer, epoch };
        let nth = i64::try_from(epoch).map_err(|_| next())?;
        self.write(|session| {
            let sql = "UPDATE feed SET item = $3, head = $4 WHERE issuer = $1 AND epoch = $2
                       AND epoch = (SELECT min(epoch) FROM feed WHERE issuer = $1 AND item IS NULL)";
            let head = &head.as_bytes()[..];
            let kept = session.execute(sql, &[&number(issuer), &nth, &item, &head])?;
            if kept == 1 { Ok(()) } else { Err(next()) }
        })
    }

    fn feed_position(&self, issuer: IssuerId) -> Result<FeedPosition, StoreError> {
        self.read(|session| {
            let sql = "SELECT epoch, head FROM feed WHERE issuer = $1 AND item IS NOT NULL
                       ORDER BY epoch DESC LIMIT 1";
            match session.row(sql, &[&number(issuer)])? {
                Some(row) => Ok(FeedPosition { epoch: count(&row, 0)?, head: digest(&row, 1)? }),
                None => Ok(FeedPosition::START),
            }
        })
    }

    fn changes_since(&self, issuer: IssuerId, epoch: u64, limit: u32) -> Result<Vec<FeedItem>, StoreError> {
        self.read(|session| {
            // INVARIANT: items are kept in order, so those with an item are a beginning of the feed.
            let sql = "SELECT epoch, item, head FROM feed WHERE issuer = $1 AND epoch > $2
                       AND item IS NOT NULL ORDER BY epoch LIMIT $3";
            let since = i64::try_from(epoch).unwrap_or(i64::MAX);
            let rows = session.rows(sql, &[&number(issuer), &since, &i64::from(limit)])?;
            let item = |row: &tokio_postgres::Row| {
                Ok(FeedItem { epoch: count(row, 0)?, item: row.try_get(1)?, head: digest(row, 2)? })
            };
            rows.iter().map(item).collect()
        })
    }

    fn standings(
        &self,
        tenant: &TenantId,
        agent: AgentId,
    ) -> Result<Vec<(IssuerId, u64, FeedEntry)>, StoreError> {
        self.read(|session| {
            let sql = "SELECT e.issuer, e.epoch, e.serial, e.standing, e.since, e.reason
                       FROM certificates c JOIN feed_entries e ON e.serial = c.serial AND e.issuer = c.issuer
                       WHERE c.tenant = $1 AND c.agent = $2 ORDER BY e.issuer, e.epoch, e.serial";
            let rows = session.rows(sql, &[&tenant.as_str(), &&agent.as_bytes()[..]])?;
            let entry = |row: &tokio_postgres::Row| {
                let entry = FeedEntry {
                    serial: serial(row, 2)?,
                    standing: standing(row, 3)?,
                    since: time(row, 4)?,
                    reason: reason(row, 5)?,
                };
                Ok((issuer_of(row, 0)?, count(row, 1)?, entry))
            };
            rows.iter().map(entry).collect()
        })
    }
}

/// Changes the certificates that follow their agent, under the next epochs of their issuers.
pub(super) fn change(
    session: &mut Session,
    change: &StandingChange<'_>,
) -> Result<Vec<FeedChange>, StoreError> {
    // INVARIANT: a revoked certificate keeps its standing whatever happens to the agent later.
    let sql = "UPDATE certificates SET standing = $3, since = $4, reason = $5
               WHERE tenant = $1 AND agent = $2 AND standing <> 'revoked' AND standing <> $3
               RETURNING issuer, serial, tbs IS NOT NULL AND not_after >= $4";
    let (at, standing, reason) = (change.at, change.to, change.reason);
    let rows = session.rows(
        sql,
        &[
            &change.tenant.as_str(),
            &&change.agent.as_bytes()[..],
            &standing.word(),
            &at.seconds(),
            &i16::from(reason.code()),
        ],
    )?;
    let mut told: Vec<(IssuerId, SerialNumber)> = Vec::new();
    for row in &rows {
        if row.try_get(2)? {
            told.push((issuer_of(row, 0)?, serial(row, 1)?));
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
            changes.push(append(session, *issuer, some.iter().map(entry).collect())?);
        }
    }
    Ok(changes)
}

/// Writes the next epoch of a feed, as one step of several.
pub(super) fn append(
    session: &mut Session,
    issuer: IssuerId,
    entries: Vec<FeedEntry>,
) -> Result<FeedChange, StoreError> {
    let sql = "INSERT INTO feed (issuer, epoch)
               SELECT $1, coalesce(max(epoch), 0) + 1 FROM feed WHERE issuer = $1 RETURNING epoch";
    let nth = session.number(sql, &[&number(issuer)])?;
    let epoch = u64::try_from(nth).map_err(|_| damaged("epoch"))?;
    // One statement for all of them: one for each would be one trip to the server for each.
    let sql = "INSERT INTO feed_entries (issuer, epoch, serial, standing, since, reason)
               SELECT $1, $2, * FROM unnest($3::bytea[], $4::text[], $5::int8[], $6::int2[])";
    let serials: Vec<&[u8]> = entries.iter().map(|entry| entry.serial.as_bytes()).collect();
    let standings: Vec<&str> = entries.iter().map(|entry| entry.standing.word()).collect();
    let since: Vec<i64> = entries.iter().map(|entry| entry.since.seconds()).collect();
    let reasons: Vec<i16> = entries.iter().map(|entry| i16::from(entry.reason.code())).collect();
    session.execute(sql, &[&number(issuer), &nth, &serials, &standings, &since, &reasons])?;
    Ok(FeedChange { issuer, epoch, entries })
}
