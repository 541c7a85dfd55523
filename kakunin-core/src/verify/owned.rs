//! Whose a receipt is: an agent by its name, under a root.
//!
//! The name of an agent is a UUID in a certificate, and whoever has a root that the caller believes can sign one for any
//! UUID. So agents are told apart by the key of the root as well, and one name under two roots is no agent that both know
//! but two agents. Below one root the issuing authorities come and go (`kakunin rotate`), and so do the keys of an agent;
//! what is known of them is held together as long as something joins them, and is a reason where nothing does. A root can
//! also certify the issuing authority of another: then one certificate is under both, and that is a reason as well.

use std::collections::{BTreeMap, BTreeSet};

use super::papers::Signatory;
use super::report::Reason;
use crate::digest::Digest;
use crate::id::AgentId;

/// An agent of an owner. Two owners' agents are never the same, whatever their certificates call them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnedAgent {
    /// The key of the owner's root: SHA-256 of its SubjectPublicKeyInfo.
    pub root: Digest,
    /// The name in the certificate.
    pub agent: AgentId,
}

/// An agent, and the roots that stand for all of its certificates that went by. Nearly always there is one root.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) agent: AgentId,
    roots: Vec<Digest>,
}

impl Owner {
    pub(super) fn of(signatory: &Signatory) -> Self {
        Self { agent: signatory.path().agent().agent(), roots: signatory.roots().to_vec() }
    }

    /// Whether the certificate is the same agent's: some root stands for this one and for those before.
    pub(super) fn is(&self, signatory: &Signatory) -> bool {
        let common = |root: &Digest| signatory.roots().contains(root);
        self.agent == signatory.path().agent().agent() && self.roots.iter().any(common)
    }

    /// Takes note of a certificate; says whether it is the same agent's.
    pub(super) fn meet(&mut self, signatory: &Signatory) -> bool {
        let is_it = self.is(signatory);
        if is_it {
            self.roots.retain(|root| signatory.roots().contains(root));
        }
        is_it
    }
}

/// Who went by under each name.
#[derive(Debug, Default)]
pub(super) struct Bearers {
    known: BTreeMap<AgentId, Vec<Bearer>>,
    /// All roots that stand for certificates of a name.
    roots: BTreeMap<AgentId, BTreeSet<Digest>>,
}

/// Somebody who has a name: certificates that something joins.
#[derive(Debug, Default)]
struct Bearer {
    root: Option<Digest>,
    /// Keys of the authorities that issued the certificates.
    issuers: BTreeSet<Digest>,
    /// Keys of the certificates.
    keys: BTreeSet<Digest>,
}

impl Bearer {
    fn of(signatory: &Signatory) -> Self {
        Self {
            root: Some(signatory.root()),
            issuers: BTreeSet::from([signatory.path().issuing().decoded().key().key_id()]),
            keys: BTreeSet::from([signatory.key().key_id()]),
        }
    }

    /// Whether both are one: under one root, by an authority that knows both or with a key that both have.
    fn is(&self, known: &Self) -> bool {
        let common = |few: &BTreeSet<_>, many: &BTreeSet<_>| few.iter().any(|one| many.contains(one));
        self.root == known.root && (common(&self.issuers, &known.issuers) || common(&self.keys, &known.keys))
    }

    fn join(mut self, other: Self) -> Self {
        self.issuers.extend(other.issuers);
        self.keys.extend(other.keys);
        self
    }
}

impl Bearers {
    /// A certificate signs from here on; `announced` is the one before it in the stream, if that one's key named it.
    pub(super) fn meet(&mut self, signatory: &Signatory, announced: Option<&Signatory>) {
        let mut new = Bearer::of(signatory);
        if let Some(old) = announced.map(Bearer::of).filter(|old| old.root == new.root) {
            new = new.join(old);
        }
        let agent = signatory.path().agent().agent();
        self.roots.entry(agent).or_default().extend(signatory.roots());
        let bearers = self.known.entry(agent).or_default();
        let same: Vec<Bearer> = bearers.extract_if(.., |known| new.is(known)).collect();
        let one = same.into_iter().reduce(Bearer::join);
        bearers.push(match one {
            Some(known) => known.join(new),
            None => new,
        });
    }

    /// The names that several have, or that several roots stand for.
    pub(super) fn ambiguous(&self) -> impl Iterator<Item = Reason> {
        self.known.iter().filter_map(|(agent, bearers)| {
            let (roots, bearers) = (self.roots.get(agent).map_or(0, BTreeSet::len), bearers.len());
            (roots > 1 || bearers > 1).then_some(Reason::AmbiguousAgent { agent: *agent, roots, bearers })
        })
    }
}
