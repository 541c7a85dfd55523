//! Keys that were given up: what they sign is kept, and says nothing about an agent that goes on by another one.
//!
//! After a leak an agent is revoked and certified anew. Whoever has the old key still signs with it, and is heard, so that what
//! the agent did before comes home; but no fact, no gap and no habit of the new agent is made of that.

use std::collections::{BTreeMap, BTreeSet};

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, StreamId};
use kakunin_core::receipt::UnverifiedReceipt;

use crate::access::TenantId;
use crate::standing::Standing;
use crate::store::{Store, StoreError};

/// The certificates that agents gave up, as far as they were asked for.
pub(crate) struct Keys<'a> {
    store: &'a dyn Store,
    tenant: &'a TenantId,
    given_up: BTreeMap<AgentId, BTreeSet<Digest>>,
}

impl<'a> Keys<'a> {
    pub(crate) const fn of(store: &'a dyn Store, tenant: &'a TenantId) -> Self {
        Self { store, tenant, given_up: BTreeMap::new() }
    }

    /// Whether a certificate of an agent is revoked, and the agent itself is not: it was certified anew.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    pub(crate) fn is_given_up(&mut self, agent: AgentId, certificate: &Digest) -> Result<bool, StoreError> {
        if let Some(known) = self.given_up.get(&agent) {
            return Ok(known.contains(certificate));
        }
        let stands = self.store.agent(self.tenant, agent)?.map(|agent| agent.standing);
        let mut given_up = BTreeSet::new();
        if stands.is_some_and(|standing| standing != Standing::Revoked) {
            let known = self.store.certificates(self.tenant, agent)?;
            let revoked = known.iter().filter(|known| known.standing == Standing::Revoked);
            given_up.extend(revoked.filter_map(|known| known.der.as_deref()).map(Digest::of));
        }
        let found = given_up.contains(certificate);
        self.given_up.insert(agent, given_up);
        Ok(found)
    }

    /// Whether two receipts for one place of a stream are signed by keys that the agent did not give up.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    pub(super) fn signed_twice(
        &mut self,
        agent: AgentId,
        stream: StreamId,
        number: u64,
    ) -> Result<bool, StoreError> {
        let after = number.checked_sub(1).map(|before| (before, Digest::from_bytes([0xff; 32])));
        let there = self.store.stream_receipts(self.tenant, agent, stream, after, MOST)?;
        let mut signed = 0;
        for kept in there.iter().filter(|kept| kept.sequence == number) {
            let Ok((receipt, _)) = UnverifiedReceipt::from_log_entry(&kept.line) else { continue };
            if !self.is_given_up(agent, receipt.certificate())? {
                signed += 1;
            }
        }
        Ok(signed > 1)
    }
}

/// Receipts for one place that are looked at.
const MOST: u32 = 256;
