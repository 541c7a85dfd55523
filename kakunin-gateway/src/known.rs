//! Chains that were proven before: the costly part of a request that an agent sends again and again.
//!
//! Found by the agent's certificate and by whom it was proven to, and the same only if every octet of the chain came as it did
//! before. What is remembered is how a path was built and a scope compiled, and nothing of standing: that is asked of the guard
//! each time. So a hit can allow nothing that a miss would not, no revocation has to find its way here, and no old list is kept
//! alive.

use std::borrow::Cow;
use std::sync::Arc;

use kakunin_core::digest::Digest;
use kakunin_core::guard::Leashed;
use kakunin_core::scope::{NameSet, Scope};
use kakunin_core::time::UnixTime;
use moka::sync::Cache;

/// The callers that were seen.
#[derive(Debug)]
pub(crate) struct KnownChains {
    callers: Cache<ChainKey, Arc<Known>>,
}

#[derive(Debug)]
struct Known {
    sent: AsSent<'static>,
    caller: Leashed,
}

/// A chain as it came. Both forms have one spelling for the same certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AsSent<'a> {
    /// In the field of a signed request.
    Field(Cow<'a, str>),
    /// From a connection, a proxy or a folder: each certificate in DER.
    Octets(Cow<'a, [Vec<u8>]>),
}

impl AsSent<'_> {
    pub(crate) fn into_owned(self) -> AsSent<'static> {
        match self {
            Self::Field(text) => AsSent::Field(Cow::Owned(text.into_owned())),
            Self::Octets(links) => AsSent::Octets(Cow::Owned(links.into_owned())),
        }
    }

    fn octets(&self) -> usize {
        match self {
            Self::Field(text) => text.len(),
            Self::Octets(links) => links.iter().map(Vec::len).sum(),
        }
    }
}

/// Under which the chain of an agent is remembered, one in each form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChainKey {
    agent: Digest,
    is_field: bool,
    issuer: Digest,
    root: Digest,
}

impl ChainKey {
    /// The key of what was `sent` for the agent's certificate with the digest `agent`, to whoever trusts the issuing authority
    /// with the key `issuer`, under the root with the digest `root`.
    pub(crate) const fn of(sent: &AsSent<'_>, agent: Digest, issuer: Digest, root: Digest) -> Self {
        Self { agent, is_field: matches!(sent, AsSent::Field(_)), issuer, root }
    }
}

impl KnownChains {
    pub(crate) fn new() -> Self {
        let weigh = |_: &ChainKey, known: &Arc<Known>| weight(known);
        Self { callers: Cache::builder().max_capacity(ROOM).weigher(weigh).build() }
    }

    /// The caller with this chain, unless its certificate is not valid at `now`: then its path has to say so.
    pub(crate) fn get(&self, key: &ChainKey, sent: &AsSent<'_>, now: UnixTime) -> Option<Leashed> {
        let known = self.callers.get(key).filter(|known| known.sent == *sent)?;
        let path = known.caller.path();
        let valid = path.agent().decoded().validity().not_before <= now && now <= path.not_after();
        valid.then(|| known.caller.clone())
    }

    pub(crate) fn insert(&self, key: ChainKey, sent: AsSent<'static>, caller: Leashed) {
        self.callers.insert(key, Arc::new(Known { sent, caller }));
    }
}

/// How much of the room a caller takes.
fn weight(known: &Known) -> u32 {
    let sent = u32::try_from(known.sent.octets() / OCTETS).unwrap_or(u32::MAX);
    sent.saturating_add(weight_of_scope(known.caller.path().agent().scope()))
}

/// A compiled scope is some kilobytes, and more with long lists of names.
fn weight_of_scope(scope: &Scope) -> u32 {
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
/// As many of a chain weigh as much as a scope without names.
const OCTETS: usize = 8 << 10;
/// How many names weigh as much as a scope without any.
const NAMES: u32 = 100;
