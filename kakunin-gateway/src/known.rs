//! Chains that were proven before: the costly part of a request that an agent sends again and again.
//!
//! Remembered by the SHA-256 of the whole chain and of whom it was proven to. What is remembered is how a path was built and a
//! scope compiled, and nothing of standing: that is asked of the guard each time. So a hit can allow nothing that a miss would
//! not, no revocation has to find its way here, and no old list is kept alive.

use std::sync::Arc;

use kakunin_core::digest::Digest;
use kakunin_core::guard::Leashed;
use kakunin_core::scope::{NameSet, Scope};
use kakunin_core::time::UnixTime;
use moka::sync::Cache;

/// The callers that were seen.
#[derive(Debug)]
pub(crate) struct KnownChains {
    callers: Cache<Digest, Arc<Leashed>>,
}

/// Under which a chain is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainKey(Digest);

impl ChainKey {
    /// The key of these certificates for whoever trusts the issuing authority with this key, under the root with this digest.
    pub(crate) fn of<'a>(
        certificates: impl IntoIterator<Item = &'a [u8]>,
        issuer: &Digest,
        root: &Digest,
    ) -> Self {
        // Digests have one length, so that no two chains are one text.
        let links = certificates.into_iter().map(Digest::of);
        let octets: Vec<u8> = links.flat_map(|digest| *digest.as_bytes()).collect();
        Self(Digest::of_parts(&[issuer.as_bytes(), root.as_bytes(), &octets]))
    }
}

impl KnownChains {
    pub(crate) fn new() -> Self {
        let weigh = |_: &Digest, caller: &Arc<Leashed>| weight(caller.path().agent().scope());
        Self { callers: Cache::builder().max_capacity(ROOM).weigher(weigh).build() }
    }

    /// The caller with this chain, unless its certificate is not valid at `now`: then its path has to say so.
    pub(crate) fn get(&self, key: ChainKey, now: UnixTime) -> Option<Arc<Leashed>> {
        let caller = self.callers.get(&key.0)?;
        let validity = caller.path().agent().decoded().validity();
        (validity.not_before <= now && now <= caller.path().not_after()).then_some(caller)
    }

    pub(crate) fn insert(&self, key: ChainKey, caller: Arc<Leashed>) {
        self.callers.insert(key.0, caller);
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
