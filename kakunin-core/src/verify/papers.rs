//! Certificates and lists beside the receipts: proven paths, checked lists, and when somebody was revoked.
//!
//! A path is proven from what the sources hold to the caller's roots; a list counts when the issuer on such a path signed
//! it. What each certificate's issuers ever said about it is looked up over all lists there are, whichever a receipt names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::feeds::{Around, Fed, Feeds};
use super::lists::{Issuer, Lists, Said};
use super::paths::Paths;
use super::source::Source;
use crate::certificate::{AgentPath, Decoded, TrustAnchors};
use crate::digest::Digest;
use crate::feed::UnverifiedItem;
use crate::id::{AgentId, SerialNumber};
use crate::key::PublicKey;
use crate::receipt::ListUse;
use crate::revocation::{FeedHead, Standing};
use crate::time::UnixTime;

/// A certificate that signs receipts, its path to a root, and the end of it.
#[derive(Debug)]
pub(super) struct Signatory {
    path: Arc<AgentPath>,
    /// The keys of all the roots that it has a path to, ascending.
    roots: Vec<Digest>,
    revoked: Revoked,
}

/// Since when a certificate is revoked, it or its issuer, on any list there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Revoked {
    /// From when on it is in doubt: where several roots vouch for it, by the one that says the earliest time, and from the
    /// hold that became the revocation.
    pub(super) perhaps: Option<UnixTime>,
    /// From when on it is revoked by what all of them say.
    pub(super) surely: Option<UnixTime>,
}

impl Revoked {
    /// What either says.
    pub(super) fn or(self, other: Self) -> Self {
        let earlier = |one: Option<UnixTime>, other| [one, other].into_iter().flatten().min();
        Self { perhaps: earlier(self.perhaps, other.perhaps), surely: earlier(self.surely, other.surely) }
    }
}

impl Signatory {
    pub(super) const fn path(&self) -> &Arc<AgentPath> {
        &self.path
    }

    pub(super) fn key(&self) -> &PublicKey {
        self.path.agent().decoded().key()
    }

    /// The key of the root of its path.
    pub(super) fn root(&self) -> Digest {
        root_of(&self.path)
    }

    /// The keys of all roots that stand for it, ascending. Nearly always there is one.
    pub(super) fn roots(&self) -> &[Digest] {
        &self.roots
    }

    /// The key of the authority that issued it: whose word its lists are.
    pub(super) fn issuer(&self) -> Digest {
        self.path.issuing().decoded().key().key_id()
    }

    pub(super) const fn revoked(&self) -> Revoked {
        self.revoked
    }
}

fn root_of(path: &AgentPath) -> Digest {
    path.root().decoded().key().key_id()
}

/// What a list that was verified by its issuer says about one certificate.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckedList {
    pub(super) list: ListUse,
    pub(super) standing: Standing,
    /// How far it knows the feed that it asks for: without what came then it allows nothing.
    pub(super) feed: Option<FeedHead>,
}

/// Everything that is known from the sources' certificates and lists.
pub(super) struct Papers<'a> {
    sources: &'a [&'a dyn Source],
    anchors: &'a TrustAnchors,
    /// Lists that the caller brought.
    brought: &'a [Vec<u8>],
    /// What each source had when its papers were last looked through.
    names: Vec<(Vec<Digest>, Vec<Digest>)>,
    paths: Paths<'a>,
    lists: Lists<'a>,
    feeds: Feeds,
    revoked: HashMap<Bearer, Revoked>,
    /// By the source that is read: what others hold changes no path of a certificate that it holds whole.
    signatories: HashMap<(usize, Digest), Option<Arc<Signatory>>>,
}

impl<'a> Papers<'a> {
    pub(super) fn of(
        sources: &'a [&'a dyn Source],
        anchors: &'a TrustAnchors,
        brought: &'a [Vec<u8>],
    ) -> Self {
        let names: Vec<_> = sources.iter().map(|source| source.papers()).collect();
        let (paths, lists) = (Paths::of(sources, anchors, &names), Lists::of(sources, brought, &names));
        let (revoked, signatories) = (HashMap::new(), HashMap::new());
        let mut feeds = Feeds::default();
        feeds.look_again(sources);
        Self { sources, anchors, brought, names, paths, lists, feeds, revoked, signatories }
    }

    /// Looks through the papers again if a journal got new ones since; says whether it did.
    fn look_again(&mut self) -> bool {
        let names: Vec<_> = self.sources.iter().map(|source| source.papers()).collect();
        let more_items = self.feeds.look_again(self.sources);
        if names == self.names {
            if more_items {
                self.revoked.clear();
            }
            return more_items;
        }
        self.paths = Paths::of(self.sources, self.anchors, &names);
        self.lists = Lists::of(self.sources, self.brought, &names);
        self.names = names;
        self.revoked.clear();
        // What is known of each issuer so far is asked of the new lists.
        let known: Vec<_> =
            self.signatories.values().flatten().map(|known| Arc::clone(&known.path)).collect();
        for path in known {
            self.ask(&path);
        }
        true
    }

    /// The certificate named `x5t`, as the source number `source` has it, with its path. Whether it was valid at some time is
    /// judged by what was decided.
    pub(super) fn signatory(&mut self, source: usize, x5t: &Digest) -> Option<Arc<Signatory>> {
        if let Some(known) = self.signatories.get(&(source, *x5t)) {
            return known.clone();
        }
        if !self.paths.has(x5t) {
            self.look_again();
        }
        let proven = self.prove(source, x5t).map(Arc::new);
        self.signatories.insert((source, *x5t), proven.clone());
        proven
    }

    /// Everybody that the source number `source` has a certificate of; only those of `agent`, where the source is one agent's:
    /// a gateway's archive holds its callers' too, and they sign nothing in its name.
    pub(super) fn signatories(&mut self, source: usize, agent: Option<AgentId>) -> Vec<Arc<Signatory>> {
        let names = self.names.get(source).map(|(certificates, _)| certificates.clone()).unwrap_or_default();
        let all = names.iter().filter_map(|x5t| self.signatory(source, x5t));
        all.filter(|known| agent.is_none_or(|agent| known.path().agent().agent() == agent)).collect()
    }

    fn prove(&mut self, source: usize, x5t: &Digest) -> Option<Signatory> {
        let paths = self.paths.from(Some(source), x5t);
        // Under each root: since when it is revoked, and the path. Lists are asked for in either case.
        let mut roots: BTreeMap<Digest, (Revoked, Arc<AgentPath>)> = BTreeMap::new();
        for path in paths.iter() {
            let revoked = self.revocation(path);
            let (known, its) = roots.entry(root_of(path)).or_insert_with(|| (revoked, Arc::clone(path)));
            *known = known.or(revoked);
            if !its.issuing().list_issuer().may_sign_lists {
                *its = Arc::clone(path);
            }
        }
        let perhaps = roots.values().filter_map(|(revoked, _)| revoked.perhaps).min();
        // No root speaks against what another one stands for: that one's word is the path.
        let last = |(revoked, _): &&(Revoked, _)| (revoked.surely.is_none(), revoked.surely);
        let (Revoked { surely, .. }, path) = roots.values().max_by_key(last).cloned()?;
        Some(Signatory { path, roots: roots.into_keys().collect(), revoked: Revoked { perhaps, surely } })
    }

    /// The earliest time from which the agent or its issuer was revoked: under any certificate that the same authority gave
    /// the same agent for the same key, since whoever holds the key may sign under each of them.
    fn revocation(&mut self, path: &AgentPath) -> Revoked {
        let bearer = Bearer::of(path);
        if let Some(known) = self.revoked.get(&bearer) {
            return *known;
        }
        let (mut agent, mut issuing) = (Ends::default(), Ends::default());
        for beside in self.paths.of_key(&bearer.key) {
            for beside in self.paths.from(None, &beside).iter().filter(|beside| Bearer::of(beside) == bearer)
            {
                agent.add(beside.agent().decoded());
                issuing.add(beside.issuing().decoded());
            }
        }
        let (of_issuing, of_root) = self.ask(path);
        let by_feed =
            self.fed(path, &of_issuing, |feeds, sources, around| feeds.end(sources, around, &agent.serials));
        let revoked = agent.end(&of_issuing).or(by_feed).or(issuing.end(&of_root));
        self.revoked.insert(bearer, revoked);
        revoked
    }

    /// What the issuing authority and the root of `path` say on their lists.
    fn ask(&mut self, path: &AgentPath) -> (Arc<Said>, Arc<Said>) {
        let serials = self.paths.serials();
        (
            self.lists.said(&path.issuing().list_issuer(), serials),
            self.lists.said(&path.root().list_issuer(), serials),
        )
    }

    /// Asks the feed of the issuing authority of `path`.
    fn fed<T>(
        &mut self,
        path: &AgentPath,
        said: &Said,
        ask: impl FnOnce(&mut Feeds, &[&dyn Source], &Around<'_>) -> T,
    ) -> T {
        let Self { sources, paths, feeds, .. } = self;
        let certificates = |key: &Digest| paths.ders_of_key(key);
        let (issuing, serials) = (path.issuing(), paths.serials());
        ask(feeds, sources, &Around { issuing, said, serials, certificates: &certificates })
    }

    /// What the feed up to `head` makes of the certificate of `signatory`, decided by `list`, which knew the feed up to `base`.
    pub(super) fn feed(
        &mut self,
        list: &CheckedList,
        heads: (FeedHead, FeedHead),
        signatory: &Signatory,
    ) -> Fed {
        let path = signatory.path();
        let serial = path.agent().decoded().serial();
        let ask = |papers: &mut Self| {
            let said = papers.ask(path).0;
            papers.fed(path, &said, |feeds, sources, around| {
                feeds.standing(sources, around, heads, (&serial, list.standing))
            })
        };
        match ask(self) {
            Fed::Missing if self.look_again() => ask(self),
            fed => fed,
        }
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
        // The feed is told apart from it.
        checked.filter(|checked| checked.list == ListUse { feed: None, ..*named })
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
            && self.sources.iter().all(|source| items_are_whole(*source))
    }
}

/// Whether each item of a feed is one, and what its name says.
fn items_are_whole(source: &dyn Source) -> bool {
    let mut whole = true;
    source.each_item(&mut |name, line| {
        let item = UnverifiedItem::parse(line);
        whole &= item.is_ok_and(|item| name.is_none_or(|name| item.digest() == *name));
    });
    whole
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

    fn end(&self, said: &Said) -> Revoked {
        self.not_after.map_or_else(Revoked::default, |not_after| said.end(&self.serials, not_after))
    }
}
