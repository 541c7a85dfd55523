//! Certificates and lists beside the receipts: proven paths, checked lists, and when somebody was revoked.
//!
//! A path is proven from what the sources hold to the caller's roots; a list counts when the issuer on such a path signed
//! it. What each certificate's issuers ever said about it is looked up over all lists there are, whichever a receipt names.

use std::collections::HashMap;
use std::sync::Arc;

use super::source::Source;
use crate::certificate::{AgentCertificate, AgentPath, Decoded, TrustAnchors};
use crate::digest::Digest;
use crate::id::SerialNumber;
use crate::key::PublicKey;
use crate::receipt::ListUse;
use crate::revocation::{ListIssuer, ListNumber, RevocationList, Standing, UnverifiedList};
use crate::time::UnixTime;

/// A certificate that signs receipts, its path to a root, and the end of it.
#[derive(Debug)]
pub(super) struct Signatory {
    path: Arc<AgentPath>,
    /// The key of the root: whose word the lists are.
    root: Digest,
    /// The earliest revocation of it or of its issuer on any list there is.
    revoked: Option<UnixTime>,
}

impl Signatory {
    pub(super) const fn path(&self) -> &Arc<AgentPath> {
        &self.path
    }

    pub(super) fn key(&self) -> &PublicKey {
        self.path.agent().decoded().key()
    }

    pub(super) const fn root(&self) -> Digest {
        self.root
    }

    pub(super) const fn revoked(&self) -> Option<UnixTime> {
        self.revoked
    }
}

/// What a list that was verified by its issuer says about one certificate.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckedList {
    pub(super) list: ListUse,
    pub(super) standing: Standing,
}

/// Everything that is known from the sources' certificates and lists.
pub(super) struct Papers<'a> {
    sources: &'a [&'a dyn Source],
    anchors: &'a TrustAnchors,
    /// Lists that the caller brought.
    brought: &'a [Vec<u8>],
    pool: Vec<Vec<u8>>,
    signatories: HashMap<Digest, Option<Arc<Signatory>>>,
    lists: HashMap<(Digest, Digest), Option<CheckedList>>,
}

impl<'a> Papers<'a> {
    pub(super) fn of(
        sources: &'a [&'a dyn Source],
        anchors: &'a TrustAnchors,
        brought: &'a [Vec<u8>],
    ) -> Self {
        let mut pool: Vec<Vec<u8>> = Vec::new();
        for source in sources {
            pool.extend(source.papers().0.iter().filter_map(|name| source.certificate(name)));
        }
        pool.sort_unstable();
        pool.dedup();
        Self { sources, anchors, brought, pool, signatories: HashMap::new(), lists: HashMap::new() }
    }

    /// The certificate named `x5t` with its path. Whether it was valid at some time is judged by what was decided.
    pub(super) fn signatory(&mut self, x5t: &Digest) -> Option<Arc<Signatory>> {
        if let Some(known) = self.signatories.get(x5t) {
            return known.clone();
        }
        let proven = self.prove(x5t).map(Arc::new);
        self.signatories.insert(*x5t, proven.clone());
        proven
    }

    fn prove(&self, x5t: &Digest) -> Option<Signatory> {
        let der = self.sources.iter().find_map(|source| source.certificate(x5t))?;
        let certificate = AgentCertificate::decode(&der).ok()?;
        // Every certificate of the path is valid at the agent's first second, since validity nests.
        let at = certificate.decoded().validity().not_before;
        let issuers = self.pool.iter().map(Vec::as_slice).filter(|other| issued(other, &certificate));
        let path = certificate.clone().verify_path(issuers, self.anchors, at).ok()?;
        let revoked = self.revocation(&path);
        let root = path.root().decoded().key().key_id();
        Some(Signatory { path: Arc::new(path), root, revoked })
    }

    /// The earliest time from which the agent or its issuer was revoked.
    fn revocation(&self, path: &AgentPath) -> Option<UnixTime> {
        let mut agent = Fate::new(path.issuing().list_issuer(), path.agent().decoded());
        let mut issuer = Fate::new(path.root().list_issuer(), path.issuing().decoded());
        for der in self.every_list() {
            agent.read(&der);
            issuer.read(&der);
        }
        [agent.end(), issuer.end()].into_iter().flatten().min()
    }

    fn every_list(&self) -> impl Iterator<Item = Vec<u8>> {
        self.sources
            .iter()
            .flat_map(|source| source.papers().1.into_iter().filter_map(|name| source.list(&name)))
            .chain(self.brought.iter().cloned())
    }

    /// How many of the lists that the caller brought no issuer here signed.
    pub(super) fn foreign_lists(&self) -> usize {
        let issuers = self.issuers();
        let signed = |der: &&Vec<u8>| issuers.iter().any(|issuer| verified(der, issuer).is_some());
        self.brought.len() - self.brought.iter().filter(signed).count()
    }

    /// The issuers of lists on the paths that were proven.
    fn issuers(&self) -> Vec<ListIssuer<'_>> {
        let known = self.signatories.values().flatten();
        known
            .flat_map(|known| [known.path.issuing().list_issuer(), known.path.root().list_issuer()])
            .collect()
    }

    /// The list that a receipt of `signatory` names: here, signed by its issuer, and as described.
    pub(super) fn list(&mut self, named: &ListUse, signatory: &Signatory) -> Option<CheckedList> {
        let path = signatory.path();
        let key = (named.digest, path.agent().decoded().thumbprint());
        let checked = match self.lists.get(&key) {
            Some(known) => *known,
            None => {
                let checked = self.sources.iter().find_map(|source| {
                    let list = verified(&source.list(&named.digest)?, &path.issuing().list_issuer())?;
                    let standing = list.standing(&path.agent().decoded().serial());
                    Some(CheckedList { list: ListUse::of(&list), standing })
                });
                self.lists.insert(key, checked);
                checked
            }
        };
        checked.filter(|checked| checked.list == *named)
    }

    /// Whether everything the sources hold is what its name says, used or not, and signed by its issuer as far as that
    /// issuer signed a certificate here.
    pub(super) fn are_whole(&self) -> bool {
        let issuers = self.issuers();
        let is_list = |source: &dyn Source, name: &Digest| {
            let Some(der) = source.list(name) else { return false };
            UnverifiedList::decode(&der).is_ok_and(|list| {
                let issuer = issuers.iter().find(|issuer| list.names(issuer));
                list.digest() == *name && issuer.is_none_or(|issuer| list.verify(issuer).is_ok())
            })
        };
        self.sources.iter().all(|source| {
            let (certificates, lists) = source.papers();
            !source.has_strangers()
                && certificates
                    .iter()
                    .all(|name| source.certificate(name).is_some_and(|der| Digest::of(&der) == *name))
                && lists.iter().all(|name| is_list(*source, name))
        })
    }
}

/// What all lists of one issuer say about one certificate.
struct Fate<'a> {
    issuer: ListIssuer<'a>,
    serial: SerialNumber,
    not_after: UnixTime,
    /// The lowest number of a list that revokes it, and the earliest date on any of them.
    revoked: Option<(ListNumber, UnixTime)>,
    good: Vec<(ListNumber, UnixTime)>,
}

impl<'a> Fate<'a> {
    fn new(issuer: ListIssuer<'a>, certificate: &Decoded) -> Self {
        let (serial, not_after) = (certificate.serial(), certificate.validity().not_after);
        Self { issuer, serial, not_after, revoked: None, good: Vec::new() }
    }

    fn read(&mut self, der: &[u8]) {
        let Some(list) = verified(der, &self.issuer) else { return };
        let number = list.number().clone();
        match list.revoked_at(&self.serial) {
            Some(date) => {
                self.revoked = Some(match self.revoked.take() {
                    Some((first, known)) => (first.min(number), known.min(date)),
                    None => (number, date),
                });
            }
            // A list of after the end of the certificate need not name it any more, so it calls nothing good.
            None if list.standing(&self.serial) == Standing::Good && list.this_update() <= self.not_after => {
                self.good.push((number, list.this_update()));
            }
            None => {}
        }
    }

    /// Since when it was revoked. A date that the issuer set back counts from the last list that still called it good:
    /// whoever acted by that list was right. Later lists without the entry forgot it: a revocation is final.
    fn end(&self) -> Option<UnixTime> {
        let (first, date) = self.revoked.as_ref()?;
        let good = self.good.iter().filter(|(number, _)| number < first).map(|(_, at)| *at);
        Some(good.fold(*date, UnixTime::max))
    }
}

fn verified(der: &[u8], issuer: &ListIssuer<'_>) -> Option<RevocationList> {
    UnverifiedList::decode(der).ok()?.verify(issuer).ok()
}

/// Candidates for the issuer, so that a long-lived archive stays within the bounds of path building.
fn issued(other: &[u8], certificate: &AgentCertificate) -> bool {
    Decoded::from_der(other).is_ok_and(|other| other.subject() == certificate.decoded().issuer())
}
