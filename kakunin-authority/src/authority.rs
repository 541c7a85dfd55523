//! An authority at work: a home, locked, with its keys opened when they are first needed.
//!
//! Each public method is one order of an operator. It checks the rules, records, signs, publishes and then answers;
//! when it answers, what it says is durable and readable by every guard.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::key::{Algorithm, Signer};
use kakunin_core::time::UnixTime;

use crate::access::TenantId;
use crate::agent::Who;
use crate::delta::Deltas;
use crate::feeding::Feeds;
use crate::founding::{new_issuing, new_root};
use crate::grouping::Group;
use crate::home::{Home, HomeError, HomeLock};
use crate::keys::Keys;
use crate::listed::Listed;
use crate::marks::Marks;
use crate::publish::{self, NextList, Period, Publication, Published, sign_list};
use crate::signer::{self, PassphraseSources};
use crate::standing::{Order, Reason, Standing};
use crate::store::{
    AgentRecord, FeedChange, IssuerId, IssuerRecord, ListRecord, StandingChange, Store, StoreError,
};

pub use crate::enrol::{AnyAction, Budgets, Certified, Certify, Comeback, Renew, Renewed};
pub use crate::failure::AuthorityError;
pub use crate::feeding::{FeedEpoch, FeedMode};
pub use crate::tenants::Founded;
pub use crate::term::{Days, Hours, Minutes};

/// A home that is locked for changes.
pub struct Authority<'a> {
    pub(crate) home: Home,
    pub(crate) store: Box<dyn Store + Send>,
    pub(crate) tenant: TenantId,
    pub(crate) root: CaCertificate,
    pub(crate) issuing: Vec<Issuing>,
    pub(crate) keys: Keys<'a>,
    pub(crate) marks: Marks,
    pub(crate) feeds: Feeds,
    listed: Listed,
    pub(crate) deltas: Deltas,
    pub(crate) group: Group,
    published: BTreeMap<TenantId, Arc<Published>>,
    _lock: HomeLock,
}

/// One of the issuing authorities; the last one of a tenant that is not revoked is its current one.
#[derive(Debug)]
pub(crate) struct Issuing {
    pub(crate) id: IssuerId,
    pub(crate) tenant: TenantId,
    pub(crate) certificate: CaCertificate,
    pub(crate) revoked: bool,
}

/// What an order about standing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The agent, as it stands now.
    pub agent: AgentRecord,
    /// How it stood before.
    pub before: Standing,
    /// Where the feed says so, if the lists ask for one: in whose feed, and how far that has come. An order that changed
    /// nothing names the current issuing authority's.
    pub told: Option<FeedEpoch>,
    /// The lists that say so.
    pub publication: Publication,
}

impl<'a> Authority<'a> {
    /// Makes a new authority: a root, an issuing authority below it, and their first lists.
    ///
    /// # Errors
    /// [`HomeError::Exists`] when there is one already; otherwise what could not be made.
    pub fn init(
        home: &Home,
        sources: PassphraseSources<'a>,
        now: UnixTime,
        hours: Hours,
    ) -> Result<(Self, Publication), AuthorityError> {
        sources.check()?;
        home.lay_out()?;
        let lock = home.lock()?;
        let mut store = home.place()?.open().map_err(HomeError::from)?;
        if !store.issuers()?.is_empty() {
            return Err(HomeError::Exists { path: home.path().to_owned() }.into());
        }
        // Until the issuers are recorded nothing has begun: an init that crashed before is simply done again.
        Marks::read(home)?.check(store.as_ref())?;
        let passphrase = sources.find_or_make()?;
        let root_key = signer::create(&home.root_key(), &passphrase, Algorithm::P256)?;
        let root = new_root(home, &root_key, now)?;
        let first = IssuerId::ROOT.next();
        let (issuing, issuing_key) = new_issuing(home, first, &root, &root_key, &passphrase, now)?;
        let record = |id, tenant, certificate: &CaCertificate| IssuerRecord {
            id,
            tenant,
            der: certificate.decoded().der().to_vec(),
            revoked: None,
        };
        let tenant = TenantId::default();
        store.add_issuers(&[
            record(IssuerId::ROOT, None, &root),
            record(first, Some(tenant.clone()), &issuing),
        ])?;
        let open = HashMap::from([(IssuerId::ROOT, root_key), (first, issuing_key)]);
        let keys = Keys { home: home.clone(), sources, passphrase: Some(passphrase), open };
        let issuing =
            vec![Issuing { id: first, tenant: tenant.clone(), certificate: issuing, revoked: false }];
        let mut authority = Self {
            home: home.clone(),
            store,
            tenant,
            root,
            issuing,
            keys,
            marks: Marks::default(),
            feeds: Feeds::default(),
            listed: Listed::default(),
            deltas: Deltas::default(),
            group: Group::default(),
            published: BTreeMap::new(),
            _lock: lock,
        };
        let publication = authority.publish(hours, now)?;
        Ok((authority, publication))
    }

    /// Locks the authority in `home`; its keys stay closed until they are needed.
    ///
    /// # Errors
    /// [`HomeError::NoAuthority`] when there is none; otherwise what could not be read.
    pub fn open(home: &Home, sources: PassphraseSources<'a>) -> Result<Self, AuthorityError> {
        home.records()?;
        let lock = home.lock()?;
        let store = home.place()?.open().map_err(HomeError::from)?;
        let authority = Self::with(home, sources, lock, store)?;
        authority.marks.check(authority.store.as_ref())?;
        Ok(authority)
    }

    /// The same although its records may be behind what was published: for [`Authority::accept_loss`].
    ///
    /// # Errors
    /// As [`Authority::open`], but for [`AuthorityError::RolledBack`].
    pub fn open_behind(home: &Home, sources: PassphraseSources<'a>) -> Result<Self, AuthorityError> {
        home.records()?;
        let lock = home.lock()?;
        let store = home.place()?.open().map_err(HomeError::from)?;
        Self::with(home, sources, lock, store)
    }

    /// The same with records that were opened to be changed already: a node's, whose turn has come.
    ///
    /// # Errors
    /// [`HomeError::NoAuthority`] when there is none; otherwise what could not be read.
    pub fn take_over(
        home: &Home,
        sources: PassphraseSources<'a>,
        store: Box<dyn Store + Send>,
    ) -> Result<Self, AuthorityError> {
        let lock = home.lock()?;
        let authority = Self::with(home, sources, lock, store)?;
        authority.marks.check(authority.store.as_ref())?;
        Ok(authority)
    }

    fn with(
        home: &Home,
        sources: PassphraseSources<'a>,
        lock: HomeLock,
        store: Box<dyn Store + Send>,
    ) -> Result<Self, AuthorityError> {
        let (mut root, mut issuing) = (None, Vec::new());
        for issuer in store.issuers()? {
            if issuer.id == IssuerId::ROOT {
                root = Some(CaCertificate::decode(&issuer.der, CaRole::Root)?);
            } else {
                let certificate = CaCertificate::decode(&issuer.der, CaRole::Issuing)?;
                let tenant = issuer.tenant.ok_or(StoreError::Damaged { what: "issuing authority" })?;
                let revoked = issuer.revoked.is_some();
                issuing.push(Issuing { id: issuer.id, tenant, certificate, revoked });
            }
        }
        let root = root.ok_or_else(|| HomeError::NoAuthority { path: home.path().to_owned() })?;
        let keys = Keys { home: home.clone(), sources, passphrase: None, open: HashMap::new() };
        Ok(Self {
            home: home.clone(),
            store,
            tenant: TenantId::default(),
            root,
            issuing,
            keys,
            marks: Marks::read(home)?,
            feeds: Feeds::default(),
            listed: Listed::default(),
            deltas: Deltas::default(),
            group: Group::default(),
            published: BTreeMap::new(),
            _lock: lock,
        })
    }

    /// Its records.
    #[must_use]
    pub fn records(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The anchor.
    #[must_use]
    pub const fn root(&self) -> &CaCertificate {
        &self.root
    }

    /// The current issuing authority's certificate.
    ///
    /// # Errors
    /// [`AuthorityError::NoIssuer`] when every one is revoked.
    pub fn issuing(&self) -> Result<&CaCertificate, AuthorityError> {
        Ok(&self.current()?.certificate)
    }

    pub(crate) fn current(&self) -> Result<&Issuing, AuthorityError> {
        current(&self.issuing, &self.tenant)
    }

    /// The issuing authorities of the tenant in whose name it acts, oldest first.
    pub(crate) fn own(&self) -> impl DoubleEndedIterator<Item = &Issuing> {
        self.issuing.iter().filter(|issuing| issuing.tenant == self.tenant)
    }

    /// The agent that `who` means.
    ///
    /// # Errors
    /// [`AuthorityError::UnknownAgent`] when there is none.
    pub fn find(&self, who: &Who) -> Result<AgentRecord, AuthorityError> {
        find(self.store.as_ref(), &self.tenant, who)
    }

    /// Suspends, resumes or revokes an agent with every certificate of it, and publishes the list that says so.
    ///
    /// # Errors
    /// [`AuthorityError::Standing`] when the order does not apply; otherwise what could not be recorded or published,
    /// in which case the same order given again publishes it.
    pub fn order(
        &mut self,
        who: &Who,
        order: Order,
        text: &str,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Ordered, AuthorityError> {
        let agent = self.find(who)?;
        let to = order.applied_to(agent.standing)?;
        // The keys open before anything is recorded: what is answered must also be published.
        for id in self.live(now)? {
            self.keys.signer(id)?;
        }
        let reason = match order {
            Order::Suspend => Reason::CertificateHold,
            Order::Resume => Reason::Unspecified,
            Order::Revoke | Order::Halt => Reason::for_revocation(text),
        };
        // Taking power away is recorded and told by the feed all the same; giving it back can wait for the clock.
        if order == Order::Resume {
            self.trust_clock(now)?;
        }
        let mut told = None;
        if to != agent.standing {
            let tenant = &self.tenant.clone();
            let halt = order == Order::Halt;
            let change = StandingChange { tenant, agent: agent.id, to, reason, text, halt, at: now };
            told = self.change_standing(&change)?.last().map(|change| change.issuer);
        }
        let told = self.issuing.iter().find(|issuing| Some(issuing.id) == told);
        let told = told.map(|issuing| issuing.certificate.decoded().key().key_id());
        let publication = self.publish_with_others(hours, now)?;
        let issuer = told.or(Some(publication.issuer));
        Ok(Ordered {
            agent: self.find(&Who::Id(agent.id))?,
            before: agent.standing,
            told: publication.feeds.iter().find(|feed| Some(feed.issuer) == issuer).copied(),
            publication,
        })
    }

    /// Says whether the clock is not behind what was signed last.
    ///
    /// # Errors
    /// [`AuthorityError::ClockBehind`] when it is.
    pub(crate) fn trust_clock(&self, now: UnixTime) -> Result<(), AuthorityError> {
        match self.signed_after(now)? {
            Some(last) => Err(AuthorityError::ClockBehind { now, last }),
            None => Ok(()),
        }
    }

    /// When the last list was signed, if the clock is behind that.
    ///
    /// # Errors
    /// [`StoreError`] when the records do not say when that was; then nobody may go by this clock.
    pub(crate) fn signed_after(&self, now: UnixTime) -> Result<Option<UnixTime>, StoreError> {
        for issuing in &self.issuing {
            if let Some(last) = self.store.newest_list_head(issuing.id)?
                && publish::is_past(now, last.this_update)
            {
                return Ok(Some(last.this_update));
            }
        }
        Ok(None)
    }

    /// Changes a standing in the records, and notes for the next lists what that did.
    pub(crate) fn change_standing(
        &mut self,
        change: &StandingChange<'_>,
    ) -> Result<Vec<FeedChange>, AuthorityError> {
        self.group.owe(change.tenant);
        match self.store.change_standing(change) {
            Ok(changes) => {
                self.take_up(&changes);
                Ok(changes)
            }
            Err(error) => {
                self.listed.forget();
                Err(error.into())
            }
        }
    }

    /// Notes for the next lists and feeds what was recorded.
    pub(crate) fn take_up(&mut self, changes: &[FeedChange]) {
        for change in changes {
            self.listed.note(change);
            self.feeds.owe(change);
        }
    }

    /// Signs the next lists of the tenant in whose name it acts, and writes everything of it that is public.
    ///
    /// # Errors
    /// [`AuthorityError`] when the clock is behind the last list, a key does not open, or nothing can be written.
    pub fn publish(&mut self, hours: Hours, now: UnixTime) -> Result<Publication, AuthorityError> {
        let root = match self.store.newest_list(IssuerId::ROOT)? {
            Some(list) => list,
            None => self.sign_root_list(now)?,
        };
        let current = self.current()?.id;
        self.marks.set_list(IssuerId::ROOT, root.number)?;
        let mut lists = vec![root.der];
        let (mut newest, mut delta) = (None, None);
        let live = self.live(now)?;
        self.end_feeds(&live);
        for id in live {
            // Kept first: the list says how far the feed was known when it was signed.
            let policy = self.tell_changes(id, now)?;
            let Some(issuing) = self.issuing.iter().find(|issuing| issuing.id == id) else { continue };
            let period = Period { now, seconds: i64::from(hours.0) * 3600 };
            let (signer, number) = (self.keys.signer(id)?, self.group.take_number(id));
            let next = NextList { id, issuer: &issuing.certificate, period, policy, number };
            let list = sign_list(self.store.as_mut(), &mut self.listed, signer, next)?;
            self.marks.set_list(id, list.number)?;
            self.marks.set_feed(id, self.store.feed_position(id)?)?;
            if id == current {
                delta = self.delta_beside(id, &list, policy);
            }
            match id == current {
                true => newest = Some(list),
                false => lists.push(list.der),
            }
        }
        let list = newest.ok_or(AuthorityError::NoIssuer)?;
        let (number, next_update) = (list.number, list.next_update);
        let published = Published::new(&self.root, self.issuing()?, list, &lists)?.with_delta(delta);
        // Before anything of it leaves: a store that knows less later was restored.
        self.marks.check_orders(self.store.as_ref())?;
        self.marks.set_orders(self.store.audit_head()?);
        self.marks.keep(&self.home)?;
        self.home.make_public_of(&self.tenant)?;
        publish::write(&self.home.public_of(&self.tenant), &published)?;
        // Only what is on the disk is shown.
        self.published.insert(self.tenant.clone(), Arc::new(published));
        self.group.is_published(&self.tenant);
        let (path, issuer) = (self.home.lists_of(&self.tenant)?, self.issuing()?.decoded().key().key_id());
        Ok(Publication { number, next_update, path, issuer, feeds: self.feed_epochs() })
    }

    /// Holds the log of orders against what this home remembers of it.
    ///
    /// # Errors
    /// [`AuthorityError::OrdersLost`] when it is shorter or another one.
    #[cfg(feature = "http")]
    pub(crate) fn check_orders(&self) -> Result<(), AuthorityError> {
        self.marks.check_orders(self.store.as_ref())
    }

    /// Remembers outside the records how far their log of orders goes. Before this no order is answered as carried out.
    ///
    /// # Errors
    /// [`AuthorityError::OrdersLost`] when the log is shorter than it was, or what cannot be read or written.
    pub(crate) fn remember_orders(&mut self) -> Result<(), AuthorityError> {
        let head = self.store.audit_head()?;
        if self.marks.orders() == head {
            return Ok(());
        }
        self.marks.check_orders(self.store.as_ref())?;
        self.marks.set_orders(head);
        self.marks.keep(&self.home)
    }

    /// What was last published since this home was opened, for the tenant in whose name it acts.
    #[must_use]
    pub fn published(&self) -> Option<&Arc<Published>> {
        self.published.get(&self.tenant)
    }

    /// The same for each tenant.
    #[cfg(feature = "http")]
    pub(crate) const fn all_published(&self) -> &BTreeMap<TenantId, Arc<Published>> {
        &self.published
    }

    /// The directory it works in.
    #[must_use]
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// The newest list of the current issuing authority.
    ///
    /// # Errors
    /// [`AuthorityError::NoIssuer`] when there is none.
    pub fn current_list(&self) -> Result<ListRecord, AuthorityError> {
        self.store.newest_list(self.current()?.id)?.ok_or(AuthorityError::NoIssuer)
    }

    /// Replaces the issuing authority of the tenant in whose name it acts by a new one, and signs the root's list anew,
    /// and with it the lists of every tenant.
    ///
    /// Certificates of the old one stay good until they end, unless `old` says otherwise.
    ///
    /// # Errors
    /// [`AuthorityError`] when the root's key is not there or does not open, or nothing can be recorded.
    pub fn rotate(
        &mut self,
        old: OldIssuing,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Publication, AuthorityError> {
        self.replace(old, now)?;
        self.sign_root_list(now)?;
        self.keys.close_root();
        self.publish_all(hours, now)
    }

    /// Makes the next issuing authority of the tenant in whose name it acts; the root's list and everyone's have still to
    /// be signed.
    pub(crate) fn replace(&mut self, old: OldIssuing, now: UnixTime) -> Result<(), AuthorityError> {
        // The new authority has no list yet that would say so.
        self.feed_mode()?;
        let tenant = self.tenant.clone();
        let (record, certificate, key) = self.next_issuing(&tenant, now)?;
        let id = record.id;
        self.store.add_issuers(&[record])?;
        self.keys.open.insert(id, key);
        if old == OldIssuing::Revoke {
            for issuing in self.issuing.iter_mut().filter(|issuing| issuing.tenant == tenant) {
                self.store.revoke_issuer(issuing.id, now)?;
                issuing.revoked = true;
            }
        }
        self.issuing.push(Issuing { id, tenant, certificate, revoked: false });
        Ok(())
    }

    /// Makes key and certificate of one more issuing authority; nothing of it is recorded yet.
    pub(crate) fn next_issuing(
        &mut self,
        tenant: &TenantId,
        now: UnixTime,
    ) -> Result<(IssuerRecord, CaCertificate, Signer), AuthorityError> {
        let passphrase = self.keys.passphrase()?;
        let root_key = self.keys.signer(IssuerId::ROOT)?;
        let last = self.issuing.iter().map(|issuing| issuing.id).max().unwrap_or(IssuerId::ROOT);
        let id = last.next();
        let (certificate, key) = new_issuing(&self.home, id, &self.root, root_key, &passphrase, now)?;
        let der = certificate.decoded().der().to_vec();
        Ok((IssuerRecord { id, tenant: Some(tenant.clone()), der, revoked: None }, certificate, key))
    }

    pub(crate) fn sign_root_list(&mut self, now: UnixTime) -> Result<ListRecord, AuthorityError> {
        let signer = self.keys.signer(IssuerId::ROOT)?;
        let period = Period { now, seconds: ROOT_LIST_DAYS * DAY };
        let next = NextList { id: IssuerId::ROOT, issuer: &self.root, period, policy: None, number: None };
        sign_list(self.store.as_mut(), &mut self.listed, signer, next)
    }

    /// The issuing authorities of the tenant in whose name it acts whose lists someone can still need.
    pub(crate) fn live(&self, now: UnixTime) -> Result<Vec<IssuerId>, AuthorityError> {
        let current = self.current()?.id;
        let mut live = Vec::new();
        for issuing in self.own() {
            let needed = self.store.last_end(issuing.id)?.is_some_and(|end| end >= now);
            if issuing.id == current || needed {
                live.push(issuing.id);
            }
        }
        Ok(live)
    }
}

/// What becomes of the issuing authorities that a new one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldIssuing {
    /// Their certificates stay good until they end.
    Keep,
    /// They are revoked, and everything they issued with them.
    Revoke,
}

/// The newest of a tenant's that is not revoked.
pub(crate) fn current<'a>(issuing: &'a [Issuing], tenant: &TenantId) -> Result<&'a Issuing, AuthorityError> {
    let mut own = issuing.iter().rev().filter(|issuing| issuing.tenant == *tenant);
    own.find(|issuing| !issuing.revoked).ok_or(AuthorityError::NoIssuer)
}

/// The agent of `tenant` that `who` means.
///
/// # Errors
/// [`AuthorityError::UnknownAgent`] when there is none.
pub fn find(store: &dyn Store, tenant: &TenantId, who: &Who) -> Result<AgentRecord, AuthorityError> {
    let found = match who {
        Who::Id(id) => store.agent(tenant, *id)?,
        Who::Name(name) => store.agent_named(tenant, name)?,
    };
    found.ok_or_else(|| AuthorityError::UnknownAgent { who: who.clone() })
}

pub(crate) const DAY: i64 = 86_400;
const ROOT_LIST_DAYS: i64 = 400;
/// Clocks lag; guards tolerate 120 s, and a certificate made now must work now.
pub(crate) const BACKDATE: i64 = 60;
