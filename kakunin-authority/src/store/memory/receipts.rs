//! Receipts in memory.

use std::collections::{BTreeMap, BTreeSet};

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, StreamId};

use super::{MemoryStore, most};
use crate::access::TenantId;
use crate::store::{ReceiptFilter, ReceiptKind, ReceiptPlace, ReceiptRecord, Receipts, StoreError};

impl Receipts for MemoryStore {
    fn keep_receipts(&mut self, receipts: &[ReceiptRecord]) -> Result<u64, StoreError> {
        for receipt in receipts {
            if self.now.agent(&receipt.tenant, receipt.agent).is_none() {
                return Err(StoreError::UnknownAgent { id: receipt.agent });
            }
        }
        let mut new = 0;
        for receipt in receipts {
            if !self.now.receipts.iter().any(|known| place(known) == place(receipt)) {
                self.now.receipts.push(receipt.clone());
                new += 1;
            }
        }
        Ok(new)
    }

    fn receipts(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        filter: &ReceiptFilter,
        limit: u32,
    ) -> Result<Vec<ReceiptRecord>, StoreError> {
        let mut found: Vec<_> = self.through(tenant, agent, filter).cloned().collect();
        // Of one instant the one that came last is the latest: the order of arrival is kept by the sort.
        found.sort_by_key(|receipt| receipt.at);
        found.reverse();
        found.truncate(most(limit));
        Ok(found)
    }

    fn count_receipts(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        filter: &ReceiptFilter,
    ) -> Result<Vec<(ReceiptKind, u64)>, StoreError> {
        let mut counts = BTreeMap::new();
        for receipt in self.through(tenant, agent, filter) {
            *counts.entry(receipt.kind).or_insert(0_u64) += 1;
        }
        Ok(counts.into_iter().collect())
    }

    fn receipt_streams(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        filter: &ReceiptFilter,
    ) -> Result<Vec<StreamId>, StoreError> {
        let streams: BTreeSet<_> =
            self.through(tenant, agent, filter).map(|receipt| receipt.stream).collect();
        Ok(streams.into_iter().collect())
    }

    fn stream_receipts(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        stream: StreamId,
        after: Option<(u64, Digest)>,
        limit: u32,
    ) -> Result<Vec<ReceiptRecord>, StoreError> {
        let all = ReceiptFilter::default();
        let of_stream = self.through(tenant, agent, &all).filter(|receipt| receipt.stream == stream);
        let mut found: Vec<_> = of_stream.cloned().collect();
        found.sort_by_key(|receipt| (receipt.sequence, receipt.hash));
        found.retain(|receipt| after.is_none_or(|after| (receipt.sequence, receipt.hash) > after));
        found.truncate(most(limit));
        Ok(found)
    }

    fn receipts_after(
        &self,
        tenant: &TenantId,
        agents: Option<&[AgentId]>,
        after: Option<&ReceiptPlace>,
        limit: u32,
    ) -> Result<Vec<ReceiptRecord>, StoreError> {
        let of_tenant = || self.now.receipts.iter().filter(|receipt| receipt.tenant == *tenant);
        let behind = match after {
            None => 0,
            Some(after) => {
                let at = of_tenant().position(|receipt| ReceiptPlace::of(receipt) == *after);
                at.ok_or(StoreError::UnknownReceipt { hash: after.hash })? + 1
            }
        };
        let wanted = |receipt: &&ReceiptRecord| agents.is_none_or(|agents| agents.contains(&receipt.agent));
        Ok(of_tenant().skip(behind).filter(wanted).take(most(limit)).cloned().collect())
    }

    fn last_receipt(&self, tenant: &TenantId) -> Result<Option<ReceiptPlace>, StoreError> {
        let mut of_tenant = self.now.receipts.iter().filter(|receipt| receipt.tenant == *tenant);
        Ok(of_tenant.next_back().map(ReceiptPlace::of))
    }
}

impl MemoryStore {
    fn through(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        filter: &ReceiptFilter,
    ) -> impl Iterator<Item = &ReceiptRecord> {
        self.now.receipts.iter().filter(move |receipt| {
            receipt.tenant == *tenant
                && receipt.agent == agent
                && filter.since.is_none_or(|since| receipt.at >= since)
                && filter.before.is_none_or(|before| receipt.at < before)
                && filter.kind.is_none_or(|kind| receipt.kind == kind)
                && filter.action.as_ref().is_none_or(|action| receipt.action.as_ref() == Some(action))
                && filter.chain.is_none_or(|chain| receipt.chain == Some(chain))
        })
    }
}

fn place(receipt: &ReceiptRecord) -> (&TenantId, AgentId, StreamId, u64, Digest) {
    (&receipt.tenant, receipt.agent, receipt.stream, receipt.sequence, receipt.hash)
}
