//! Chains that were proven before: the costly part of a request that an agent sends again and again.
//!
//! Remembered by the SHA-256 of the whole chain, the list and the epoch that were decided by. What is remembered is how a
//! path was built and a scope compiled; how its agent stands is asked of the guard at every action, so a hit can allow nothing
//! that a miss would not.

use std::sync::Arc;

use kakunin_core::digest::Digest;
use kakunin_core::guard::Judged;
use kakunin_core::scope::{NameSet, Scope};
use kakunin_core::snapshot::Snapshot;
use kakunin_core::time::UnixTime;
use moka::sync::Cache;

/// The callers that were judged.
#[derive(Debug)]
pub(crate) struct KnownChains {
    judged: Cache<Digest, Arc<Judged>>,
}

/// Under which a chain is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainKey(Digest);

impl ChainKey {
    /// The key of these certificates for whoever decides by `view`.
    pub(crate) fn of<'a>(certificates: impl IntoIterator<Item = &'a [u8]>, view: &Snapshot) -> Self {
        let mut octets = Vec::new();
        for der in certificates {
            octets.extend_from_slice(&der.len().to_le_bytes());
            octets.extend_from_slice(der);
        }
        let lists = view.agent().lists();
        let epoch = view.list().feed.map_or(0, |head| head.epoch()).to_le_bytes();
        let feed = view.list().feed.map_or_else(|| Digest::from_bytes([0; 32]), |head| head.digest());
        let (issuing, root) = (lists.issuing().digest(), lists.root().digest());
        let view: [&[u8]; 4] = [issuing.as_bytes(), root.as_bytes(), &epoch, feed.as_bytes()];
        Self(Digest::of_parts(&[Digest::of(&octets).as_bytes(), &view.concat()]))
    }
}

impl KnownChains {
    pub(crate) fn new() -> Self {
        let weigh = |_: &Digest, judged: &Arc<Judged>| weight(judged.path().agent().scope());
        Self { judged: Cache::builder().max_capacity(ROOM).weigher(weigh).build() }
    }

    /// The caller with this chain, unless its certificate is not valid at `now`: then its path has to say so.
    pub(crate) fn get(&self, key: ChainKey, now: UnixTime) -> Option<Arc<Judged>> {
        let judged = self.judged.get(&key.0)?;
        let validity = judged.path().agent().decoded().validity();
        (validity.not_before <= now && now <= judged.path().not_after()).then_some(judged)
    }

    pub(crate) fn insert(&self, key: ChainKey, judged: Arc<Judged>) {
        self.judged.insert(key.0, judged);
    }
}

/// A compiled scope is some kilobytes, and more with long lists of names.
fn weight(scope: &Scope) -> u32 {
    let parts = scope.parts();
    let rules = parts.parties.iter().chain(&parts.resources);
    let sets = rules.flat_map(|rule| std::iter::once(&rule.allow).chain(&rule.deny));
    let names = sets.map(|set| match set {
        NameSet::Inline(_) => 0,
        NameSet::Detached { count, .. } => count / NAMES,
    });
    names.fold(1, u32::saturating_add)
}

/// Of about 8 kB each.
const ROOM: u64 = 10_000;
/// How many names weigh as much as a scope without any.
const NAMES: u32 = 100;
