//! The records in memory: what the verbs mean, without a database.
//!
//! Plain collections and loops, as slow as they are plain. The conformance suite holds every database against this
//! store, and a program that keeps nothing can use it.

mod access;
mod agents;
mod audit;
mod certificates;
mod checkpoints;
mod declared;
mod feed;
mod feed_keys;
mod freezes;
mod hooks;
mod lists;
mod receipts;
mod risk;
mod tokens;

use std::collections::BTreeMap;
use std::path::PathBuf;

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;

use super::{
    AgentRecord, Answer, ApiKeyRecord, AuditSaid, CertificateRecord, ChainRecord, CheckpointRecord,
    ContradictionRecord, DeclaredEvent, DeliveryRecord, EventRecord, FeedEntry, FreezeRecord, HookRecord,
    IssuerId, IssuerRecord, ListRecord, ReceiptRecord, SealedSecret, Store, StoreError, TokenRecord,
};
use crate::access::{KeyPrefix, TenantId};

/// A store that is gone when it is dropped.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    now: State,
    in_batch: bool,
}

/// All there is.
#[derive(Clone, Debug)]
struct State {
    issuers: BTreeMap<IssuerId, IssuerRecord>,
    tenants: BTreeMap<TenantId, UnixTime>,
    keys: Vec<ApiKeyRecord>,
    /// In the order they were added, like everything in a `Vec` here.
    agents: Vec<AgentRecord>,
    events: Vec<(AgentId, EventRecord)>,
    directories: Vec<(PathBuf, AgentId)>,
    names: BTreeMap<Digest, String>,
    certificates: Vec<Kept>,
    list_numbers: BTreeMap<IssuerId, u64>,
    lists: BTreeMap<(IssuerId, u64), ListRecord>,
    feeds: BTreeMap<IssuerId, Vec<Epoch>>,
    feed_keys: Vec<feed_keys::KeptKey>,
    audit: Vec<(AuditSaid, Digest)>,
    requests: BTreeMap<(TenantId, String), Request>,
    hooks: Vec<Hook>,
    receipts: Vec<ReceiptRecord>,
    tokens: BTreeMap<KeyPrefix, TokenRecord>,
    chains: Vec<ChainRecord>,
    declared: Vec<DeclaredEvent>,
    log_pins: BTreeMap<(TenantId, AgentId), (String, UnixTime)>,
    /// Each with its number, in their order.
    checkpoints: Vec<(u64, CheckpointRecord)>,
    contradictions: Vec<ContradictionRecord>,
    /// By whom they are about.
    freezes: Vec<FreezeRecord>,
    behaviour: risk::Behaviour,
}

/// A certificate and what is signed of it.
#[derive(Clone, Debug)]
struct Kept {
    record: CertificateRecord,
    tbs: Option<Vec<u8>>,
}

/// A change of a feed; the first one has the epoch 1.
#[derive(Clone, Debug)]
struct Epoch {
    entries: Vec<FeedEntry>,
    item: Option<(String, Digest)>,
}
/// A webhook with all that belongs to it.
#[derive(Clone, Debug)]
struct Hook {
    record: HookRecord,
    secrets: Vec<SealedSecret>,
    /// The number of the last delivery.
    sequence: u64,
    deliveries: Vec<DeliveryRecord>,
}

#[derive(Clone, Debug)]
struct Request {
    hash: Digest,
    at: UnixTime,
    answer: Option<Answer>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        let now = State {
            issuers: BTreeMap::new(),
            tenants: BTreeMap::from([(TenantId::default(), UnixTime::from_seconds(0))]),
            keys: Vec::new(),
            agents: Vec::new(),
            events: Vec::new(),
            directories: Vec::new(),
            names: BTreeMap::new(),
            certificates: Vec::new(),
            list_numbers: BTreeMap::new(),
            lists: BTreeMap::new(),
            feeds: BTreeMap::new(),
            feed_keys: Vec::new(),
            audit: Vec::new(),
            requests: BTreeMap::new(),
            hooks: Vec::new(),
            receipts: Vec::new(),
            tokens: BTreeMap::new(),
            chains: Vec::new(),
            declared: Vec::new(),
            log_pins: BTreeMap::new(),
            checkpoints: Vec::new(),
            contradictions: Vec::new(),
            freezes: Vec::new(),
            behaviour: risk::Behaviour::default(),
        };
        Self { now, in_batch: false }
    }
}

impl Store for MemoryStore {
    fn batch(
        &mut self,
        work: &mut dyn FnMut(&mut dyn Store) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.in_batch {
            return Err(StoreError::BatchInBatch);
        }
        // The work is done on a copy, so whatever ends it early leaves nothing.
        let mut copy = Self { now: self.now.clone(), in_batch: true };
        work(&mut copy)?;
        self.now = copy.now;
        Ok(())
    }

    fn confirm(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn term(&self) -> Result<i64, StoreError> {
        Ok(0)
    }
}

impl State {
    fn has_tenant(&self, tenant: &TenantId) -> Result<(), StoreError> {
        if self.tenants.contains_key(tenant) {
            return Ok(());
        }
        Err(StoreError::UnknownTenant { tenant: tenant.clone() })
    }

    fn has_issuer(&self, issuer: IssuerId) -> Result<(), StoreError> {
        if self.issuers.contains_key(&issuer) { Ok(()) } else { Err(StoreError::UnknownIssuer { issuer }) }
    }

    fn agent(&self, tenant: &TenantId, id: AgentId) -> Option<&AgentRecord> {
        self.agents.iter().find(|agent| agent.tenant == *tenant && agent.id == id)
    }

    fn agent_mut(&mut self, tenant: &TenantId, id: AgentId) -> Result<&mut AgentRecord, StoreError> {
        let mut agents = self.agents.iter_mut();
        let found = agents.find(|agent| agent.tenant == *tenant && agent.id == id);
        found.ok_or(StoreError::UnknownAgent { id })
    }
}

fn most(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
