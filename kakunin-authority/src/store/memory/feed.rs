//! The feeds in memory.

use std::collections::{BTreeMap, BTreeSet};

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;

use super::{Epoch, MemoryStore, State, most};
use crate::access::TenantId;
use crate::standing::Standing;
use crate::store::{
    Feed, FeedChange, FeedEntry, FeedItem, FeedPosition, IssuerId, StandingChange, StoreError,
};

impl Feed for MemoryStore {
    fn waiting_changes(&self, issuer: IssuerId) -> Result<Vec<FeedChange>, StoreError> {
        let waiting = self.epochs(issuer).filter(|(_, change)| change.item.is_none());
        Ok(waiting
            .map(|(epoch, change)| FeedChange { issuer, epoch, entries: change.entries.clone() })
            .collect())
    }

    fn keep_change(
        &mut self,
        issuer: IssuerId,
        epoch: u64,
        item: &str,
        head: Digest,
    ) -> Result<(), StoreError> {
        let changes = self.now.feeds.entry(issuer).or_default();
        let next = (1..).zip(changes).find(|(_, change)| change.item.is_none());
        match next {
            Some((number, change)) if number == epoch => {
                change.item = Some((item.to_owned(), head));
                Ok(())
            }
            _ => Err(StoreError::NotNext { issuer, epoch }),
        }
    }

    fn feed_position(&self, issuer: IssuerId) -> Result<FeedPosition, StoreError> {
        let last = self.items(issuer).last();
        Ok(last.map_or(FeedPosition::START, |item| FeedPosition { epoch: item.epoch, head: item.head }))
    }

    fn changes_since(&self, issuer: IssuerId, epoch: u64, limit: u32) -> Result<Vec<FeedItem>, StoreError> {
        Ok(self.items(issuer).filter(|item| item.epoch > epoch).take(most(limit)).collect())
    }

    fn standings(
        &self,
        tenant: &TenantId,
        agent: AgentId,
    ) -> Result<Vec<(IssuerId, u64, FeedEntry)>, StoreError> {
        let records = self.now.certificates.iter().map(|kept| &kept.record);
        let its: BTreeSet<_> = records
            .filter(|record| record.tenant == *tenant && record.agent == agent)
            .map(|record| (record.issuer, record.serial))
            .collect();
        let mut changes = Vec::new();
        for issuer in self.now.feeds.keys().copied() {
            for (epoch, change) in self.epochs(issuer) {
                let of_agent = change.entries.iter().filter(|entry| its.contains(&(issuer, entry.serial)));
                changes.extend(of_agent.map(|entry| (issuer, epoch, *entry)));
            }
        }
        Ok(changes)
    }
}

impl MemoryStore {
    fn epochs(&self, issuer: IssuerId) -> impl Iterator<Item = (u64, &Epoch)> {
        (1..).zip(self.now.feeds.get(&issuer).into_iter().flatten())
    }

    fn items(&self, issuer: IssuerId) -> impl Iterator<Item = FeedItem> {
        self.epochs(issuer).filter_map(|(epoch, change)| {
            let (item, head) = change.item.clone()?;
            Some(FeedItem { epoch, item, head })
        })
    }
}

impl State {
    /// Changes the certificates that follow their agent, under the next epochs of their issuers.
    pub(super) fn change(&mut self, change: &StandingChange<'_>) -> Vec<FeedChange> {
        let mut told: BTreeMap<IssuerId, Vec<FeedEntry>> = BTreeMap::new();
        for kept in &mut self.certificates {
            let record = &mut kept.record;
            let follows = record.agent == change.agent
                && record.standing != Standing::Revoked
                && record.standing != change.to;
            if !follows {
                continue;
            }
            (record.standing, record.since, record.reason) = (change.to, change.at, change.reason);
            if kept.tbs.is_some() && record.validity.not_after >= change.at {
                told.entry(record.issuer).or_default().push(FeedEntry {
                    serial: record.serial,
                    standing: record.standing,
                    since: record.since,
                    reason: record.reason,
                });
            }
        }
        let mut changes = Vec::new();
        for (issuer, mut entries) in told {
            entries.sort_by_key(|entry| entry.serial);
            for entries in entries.chunks(FeedChange::MOST_ENTRIES) {
                changes.push(self.append(issuer, entries.to_vec()));
            }
        }
        changes
    }

    /// Writes the next epoch of a feed.
    pub(super) fn append(&mut self, issuer: IssuerId, entries: Vec<FeedEntry>) -> FeedChange {
        let feed = self.feeds.entry(issuer).or_default();
        feed.push(Epoch { entries: entries.clone(), item: None });
        let epoch = u64::try_from(feed.len()).unwrap_or(u64::MAX);
        FeedChange { issuer, epoch, entries }
    }
}
