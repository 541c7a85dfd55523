//! Certificates and lists beside the receipts: proven paths, checked lists, and when somebody was revoked.
//!
//! A path is proven from what the sources hold to the caller's roots; a list counts when the issuer on such a path signed
//! it. What each certificate's issuers ever said about it is looked up over all lists there are, whichever a receipt names.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::lists::{Issuer, Lists, Said};
use super::source::Source;
use crate::certificate::{AgentCertificate, AgentPath, Decoded, TrustAnchors};
use crate::digest::Digest;
use crate::id::{AgentId, SerialNumber};
use crate::key::PublicKey;
use crate::receipt::ListUse;
use crate::revocation::Standing;
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
    /// Whether it asks for the feed: alone it allows nothing.
    pub(super) wants_feed: bool,
}

/// Everything that is known from the sources' certificates and lists.
pub(super) struct Papers<'a> {
    sources: &'a [&'a dyn Source],
    anchors: &'a TrustAnchors,
    /// Lists that the caller brought.
    brought: &'a [Vec<u8>],
    /// What each source had when its papers were last looked through.
    names: Vec<(Vec<Digest>, Vec<Digest>)>,
    pool: Pool,
    lists: Lists<'a>,
    paths: HashMap<Digest, Option<Arc<AgentPath>>>,
    revoked: HashMap<Bearer, Option<UnixTime>>,
    signatories: HashMap<Digest, Option<Arc<Signatory>>>,
}

impl<'a> Papers<'a> {
    pub(super) fn of(
        sources: &'a [&'a dyn Source],
        anchors: &'a TrustAnchors,
        brought: &'a [Vec<u8>],
    ) -> Self {
        let names: Vec<_> = sources.iter().map(|source| source.papers()).collect();
        let (pool, lists) = (Pool::of(sources, &names), Lists::of(sources, brought, &names));
        let (paths, revoked, signatories) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { sources, anchors, brought, names, pool, lists, paths, revoked, signatories }
    }

    /// Looks through the papers again if a journal got new ones since; says whether it did.
    fn look_again(&mut self) -> bool {
        let names: Vec<_> = self.sources.iter().map(|source| source.papers()).collect();
        if names == self.names {
            return false;
        }
        self.pool = Pool::of(self.sources, &names);
        self.lists = Lists::of(self.sources, self.brought, &names);
        self.names = names;
        self.paths.retain(|_, path| path.is_some());
        self.revoked.clear();
        // What is known of each issuer so far is asked of the new lists.
        let known: Vec<_> =
            self.signatories.values().flatten().map(|known| Arc::clone(&known.path)).collect();
        for path in known {
            self.ask(&path);
        }
        true
    }

    /// The certificate named `x5t` with its path. Whether it was valid at some time is judged by what was decided.
    pub(super) fn signatory(&mut self, x5t: &Digest) -> Option<Arc<Signatory>> {
        if let Some(known) = self.signatories.get(x5t) {
            return known.clone();
        }
        if !self.pool.places.contains_key(x5t) {
            self.look_again();
        }
        let proven = self.path(x5t).map(|path| {
            let (root, revoked) = (path.root().decoded().key().key_id(), self.revocation(&path));
            Arc::new(Signatory { path, root, revoked })
        });
        self.signatories.insert(*x5t, proven.clone());
        proven
    }

    fn path(&mut self, x5t: &Digest) -> Option<Arc<AgentPath>> {
        if let Some(known) = self.paths.get(x5t) {
            return known.clone();
        }
        let path = self.prove(x5t).map(Arc::new);
        self.paths.insert(*x5t, path.clone());
        path
    }

    /// Each candidate by itself: however many authorities bear the name of the issuer, the one that signed is among them.
    fn prove(&self, x5t: &Digest) -> Option<AgentPath> {
        let certificate = AgentCertificate::decode(self.pool.get(x5t)?).ok()?;
        // Every certificate of the path is valid at the agent's first second, since validity nests.
        let at = certificate.decoded().validity().not_before;
        let mut issuers = self.pool.subjects.get(certificate.decoded().issuer()).into_iter().flatten();
        issuers.find_map(|issuer| {
            certificate.clone().verify_path([self.pool.get(issuer)?], self.anchors, at).ok()
        })
    }

    /// The earliest time from which the agent or its issuer was revoked: under any certificate that the same authority gave
    /// the same agent for the same key, since whoever holds the key may sign under each of them.
    fn revocation(&mut self, path: &AgentPath) -> Option<UnixTime> {
        let bearer = Bearer::of(path);
        if let Some(known) = self.revoked.get(&bearer) {
            return *known;
        }
        let beside: Vec<Digest> = self.pool.keys.get(&bearer.key).cloned().unwrap_or_default();
        let (mut agent, mut issuing) = (Ends::default(), Ends::default());
        for beside in beside {
            let Some(beside) = self.path(&beside).filter(|beside| Bearer::of(beside) == bearer) else {
                continue;
            };
            agent.add(beside.agent().decoded());
            issuing.add(beside.issuing().decoded());
        }
        let (of_issuing, of_root) = self.ask(path);
        let ends = [agent.end(&of_issuing), issuing.end(&of_root)];
        let revoked = ends.into_iter().flatten().min();
        self.revoked.insert(bearer, revoked);
        revoked
    }

    /// What the issuing authority and the root of `path` say on their lists.
    fn ask(&mut self, path: &AgentPath) -> (Arc<Said>, Arc<Said>) {
        let serials = &self.pool.serials;
        (
            self.lists.said(&path.issuing().list_issuer(), serials),
            self.lists.said(&path.root().list_issuer(), serials),
        )
    }

    /// How many of the lists that the caller brought no issuer here signed.
    pub(super) fn foreign_lists(&self) -> usize {
        self.lists.foreign()
    }

    /// The list that a receipt of `signatory` names: here, signed by its issuer, and as described.
    pub(super) fn list(&mut self, named: &ListUse, signatory: &Signatory) -> Option<CheckedList> {
        let path = signatory.path();
        let serial = path.agent().decoded().serial();
        let mut checked = self.ask(path).0.list(&named.digest, &serial);
        if checked.is_none() && self.look_again() {
            checked = self.ask(path).0.list(&named.digest, &serial);
        }
        checked.filter(|checked| checked.list == *named)
    }

    /// Whether everything the sources hold is what its name says, used or not, and signed by its issuer as far as that
    /// issuer signed a certificate here.
    pub(super) fn are_whole(&mut self) -> bool {
        self.look_again();
        let certificate = |source: &dyn Source, name: &Digest| {
            source.certificate(name).is_some_and(|der| Digest::of(&der) == *name)
        };
        self.sources.iter().all(|source| !source.has_strangers())
            && self
                .sources
                .iter()
                .zip(&self.names)
                .all(|(source, (certificates, _))| certificates.iter().all(|name| certificate(*source, name)))
            && self.lists.are_whole(&self.names)
    }
}

/// Who holds a key: the agent it was certified for, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Bearer {
    key: Digest,
    agent: AgentId,
    issuing: Issuer,
    root: Issuer,
}

impl Bearer {
    fn of(path: &AgentPath) -> Self {
        Self {
            key: path.agent().decoded().key().key_id(),
            agent: path.agent().agent(),
            issuing: Issuer::of(&path.issuing().list_issuer()),
            root: Issuer::of(&path.root().list_issuer()),
        }
    }
}

/// The certificates of one key, and the last second of any.
#[derive(Default)]
struct Ends {
    serials: HashSet<SerialNumber>,
    not_after: Option<UnixTime>,
}

impl Ends {
    fn add(&mut self, certificate: &Decoded) {
        self.serials.insert(certificate.serial());
        self.not_after = self.not_after.max(Some(certificate.validity().not_after));
    }

    fn end(&self, said: &Said) -> Option<UnixTime> {
        said.end(&self.serials, self.not_after?)
    }
}

/// The certificates of all sources, each once, and where those of a subject and of a key are.
struct Pool {
    ders: Vec<Vec<u8>>,
    places: HashMap<Digest, usize>,
    subjects: HashMap<Vec<u8>, Vec<Digest>>,
    keys: HashMap<Digest, Vec<Digest>>,
    serials: HashSet<SerialNumber>,
}

impl Pool {
    fn of(sources: &[&dyn Source], names: &[(Vec<Digest>, Vec<Digest>)]) -> Self {
        let mut ders: Vec<Vec<u8>> = Vec::new();
        for (source, (certificates, _)) in sources.iter().zip(names) {
            ders.extend(certificates.iter().filter_map(|name| source.certificate(name)));
        }
        ders.sort_unstable();
        ders.dedup();
        let places = ders.iter().enumerate().map(|(at, der)| (Digest::of(der), at)).collect();
        let (subjects, keys, serials) = (HashMap::new(), HashMap::new(), HashSet::new());
        let mut pool = Self { ders, places, subjects, keys, serials };
        for der in &pool.ders {
            let Ok(certificate) = Decoded::from_der(der) else { continue };
            let name = certificate.thumbprint();
            pool.subjects.entry(certificate.subject().to_vec()).or_default().push(name);
            pool.keys.entry(certificate.key().key_id()).or_default().push(name);
            pool.serials.insert(certificate.serial());
        }
        pool
    }

    fn get(&self, name: &Digest) -> Option<&[u8]> {
        self.ders.get(*self.places.get(name)?).map(Vec::as_slice)
    }
}
