//! An authority at work: a home, locked, with its keys opened when they are first needed.
//!
//! Each public method is one order of an operator. It checks the rules, records, signs, publishes and then answers;
//! when it answers, what it says is durable and readable by every guard.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use kakunin_core::certificate::{AgentCertificate, CaCertificate, CaRole, CertificateError};
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::key::{Algorithm, KeyError, PublicKey, SignError, Signer, SoftKey};
use kakunin_core::scope::{DecodeError, DraftScope, Scope, ScopeError};
use kakunin_core::time::{UnixTime, Validity};
use ring::rand::{SecureRandom, SystemRandom};

use crate::agent::{AgentName, Who};
use crate::directory::{AgentDirectory, DirectoryError, Enrolment, NewKey};
use crate::files::{self, FileError, Readers};
use crate::home::{Home, HomeError, HomeLock};
use crate::issue::{IssueError, Issued, Issuer, Order as IssueOrder, Reserved};
use crate::list::ListError;
use crate::profile::{Kind, Subject, signed, to_be_signed};
use crate::publish::{self, Period, Publication, sign_list, to_pem};
use crate::signer::{self, KeyFileError, Passphrase, PassphraseError, PassphraseSources};
use crate::standing::{Order, Reason, Standing, StandingError};
use crate::store::{
    AgentRecord, IssuerId, IssuerRecord, ListRecord, SqliteStore, StandingChange, Store, StoreError,
};
use kakunin_core::genesis::Genesis;

/// A home that is locked for changes.
pub struct Authority<'a> {
    home: Home,
    store: SqliteStore,
    root: CaCertificate,
    issuing: Vec<Issuing>,
    keys: Keys<'a>,
    _lock: HomeLock,
}

/// One of the issuing authorities; the last one that is not revoked is the current one.
#[derive(Debug)]
struct Issuing {
    id: IssuerId,
    certificate: CaCertificate,
    revoked: bool,
}

/// Keys that open when they are first used.
struct Keys<'a> {
    home: Home,
    sources: PassphraseSources<'a>,
    passphrase: Option<Passphrase>,
    open: HashMap<IssuerId, Signer>,
}

impl Keys<'_> {
    fn passphrase(&mut self) -> Result<Passphrase, PassphraseError> {
        let found = match self.passphrase.take() {
            Some(known) => known,
            None => self.sources.find()?,
        };
        Ok(self.passphrase.insert(found).clone())
    }

    fn signer(&mut self, id: IssuerId) -> Result<&Signer, AuthorityError> {
        if !self.open.contains_key(&id) {
            let path = if id == IssuerId::ROOT { self.home.root_key() } else { self.home.issuing_key(id) };
            let passphrase = self.passphrase()?;
            self.open.insert(id, signer::open(&path, &passphrase)?);
        }
        self.open.get(&id).ok_or(AuthorityError::NoIssuer)
    }
}

/// For how many days a certificate is asked to be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(u16);

impl Days {
    /// A week: lists stay short, and a forgotten agent ends by itself.
    pub const WEEK: Self = Self(7);

    /// Takes a number of days.
    ///
    /// # Errors
    /// [`AuthorityError::Days`] outside 1 to 400.
    pub fn new(days: u16) -> Result<Self, AuthorityError> {
        if (1..=MAX_DAYS).contains(&days) { Ok(Self(days)) } else { Err(AuthorityError::Days { days }) }
    }
}

impl Default for Days {
    fn default() -> Self {
        Self::WEEK
    }
}

/// For how many hours a list may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours(u16);

impl Hours {
    /// Takes a number of hours.
    ///
    /// # Errors
    /// [`AuthorityError::Hours`] outside 1 to 9600.
    pub fn new(hours: u16) -> Result<Self, AuthorityError> {
        if (1..=MAX_HOURS).contains(&hours) { Ok(Self(hours)) } else { Err(AuthorityError::Hours { hours }) }
    }
}

impl Default for Hours {
    /// A week, as long as a certificate: a machine that renews daily never meets the end.
    fn default() -> Self {
        Self(168)
    }
}

/// What to do with a scope that allows every action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyAction {
    /// Say no.
    Refuse,
    /// Issue it.
    Allow,
}

/// Whether a revoked agent is to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comeback {
    /// A revoked agent gets nothing.
    Refuse,
    /// It is revoked, and may act again with a new key.
    AfterRevocation,
}

/// Whether a renewed directory begins again with nothing spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budgets {
    /// What was spent stays spent.
    Keep,
    /// The directory begins anew.
    Reset,
}

/// How to certify an agent into a directory.
#[derive(Clone, Copy, Debug)]
pub struct Certify<'a> {
    /// The agent's directory.
    pub directory: &'a Path,
    /// For how long.
    pub days: Days,
    /// A PKCS#10 request in PEM whose key is certified; a new key is made without one.
    pub request: Option<&'a [u8]>,
    /// Whether a revoked agent comes back.
    pub comeback: Comeback,
    /// Whether `*` may be issued.
    pub any: AnyAction,
}

/// How to renew an agent.
#[derive(Clone, Copy, Debug)]
pub struct Renew<'a> {
    /// One directory; all that the agent was certified into without one.
    pub directory: Option<&'a Path>,
    /// For how long.
    pub days: Days,
    /// Another scope.
    pub scope: Option<&'a DraftScope>,
    /// Whether `*` may be issued by another scope.
    pub any: AnyAction,
    /// Whether spending starts anew.
    pub budgets: Budgets,
}

/// A certificate in its directory.
#[derive(Debug)]
pub struct Certified {
    /// The agent.
    pub agent: AgentRecord,
    /// Its certificate.
    pub certificate: AgentCertificate,
    /// The directory, absolute.
    pub directory: PathBuf,
}

/// What renewing did.
#[derive(Debug)]
pub struct Renewed {
    /// The agent.
    pub agent: AgentRecord,
    /// The new certificates.
    pub certificates: Vec<Certified>,
    /// The scope's lines that left (`- `) and came (`+ `).
    pub scope_diff: Vec<String>,
    /// Directories it was once certified into that are gone.
    pub missing: Vec<PathBuf>,
    /// The lists, signed anew.
    pub publication: Publication,
}

/// What an order about standing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The agent, as it stands now.
    pub agent: AgentRecord,
    /// How it stood before.
    pub before: Standing,
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
        home.lay_out()?;
        let lock = home.lock()?;
        let mut store = SqliteStore::open(&home.store()).map_err(HomeError::from)?;
        if !store.issuers()?.is_empty() {
            return Err(HomeError::Exists { path: home.path().to_owned() }.into());
        }
        // Until the issuers are recorded nothing has begun: an init that crashed before is simply done again.
        let passphrase = sources.find_or_make()?;
        let root_key = signer::create(&home.root_key(), &passphrase)?;
        let not_before = now.plus(-BACKDATE);
        let validity = Validity { not_before, not_after: now.plus(ROOT_DAYS * DAY) };
        let root = authority_certificate(&Kind::Root, &root_key, &root_key, validity)?;
        let root = CaCertificate::decode(&root, CaRole::Root)?;
        files::replace(&home.root_certificate(), certificate_pem(&root)?.as_bytes(), Readers::Everyone)?;

        let first = IssuerId::ROOT.next();
        let (issuing, issuing_key) = new_issuing(home, first, &root, &root_key, &passphrase, now)?;
        let record = |id, certificate: &CaCertificate| IssuerRecord {
            id,
            der: certificate.decoded().der().to_vec(),
            revoked: None,
        };
        store.add_issuers(&[record(IssuerId::ROOT, &root), record(first, &issuing)])?;
        let open = HashMap::from([(IssuerId::ROOT, root_key), (first, issuing_key)]);
        let keys = Keys { home: home.clone(), sources, passphrase: Some(passphrase), open };
        let issuing = vec![Issuing { id: first, certificate: issuing, revoked: false }];
        let mut authority = Self { home: home.clone(), store, root, issuing, keys, _lock: lock };
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
        let store = home.records()?;
        let (mut root, mut issuing) = (None, Vec::new());
        for issuer in store.issuers()? {
            if issuer.id == IssuerId::ROOT {
                root = Some(CaCertificate::decode(&issuer.der, CaRole::Root)?);
            } else {
                let certificate = CaCertificate::decode(&issuer.der, CaRole::Issuing)?;
                issuing.push(Issuing { id: issuer.id, certificate, revoked: issuer.revoked.is_some() });
            }
        }
        let root = root.ok_or_else(|| HomeError::NoAuthority { path: home.path().to_owned() })?;
        let keys = Keys { home: home.clone(), sources, passphrase: None, open: HashMap::new() };
        Ok(Self { home: home.clone(), store, root, issuing, keys, _lock: lock })
    }

    /// Its records.
    #[must_use]
    pub fn records(&self) -> &dyn Store {
        &self.store
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

    fn current(&self) -> Result<&Issuing, AuthorityError> {
        self.issuing.iter().rev().find(|issuing| !issuing.revoked).ok_or(AuthorityError::NoIssuer)
    }

    /// Adds an agent. It gets no certificate yet.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], a scope that breaks a rule or allows everything, or no randomness.
    pub fn create(
        &mut self,
        name: &AgentName,
        draft: &DraftScope,
        any: AnyAction,
        now: UnixTime,
    ) -> Result<AgentRecord, AuthorityError> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| AuthorityError::NoRandomness)?;
        let scope = draft.for_agent(AgentId::from_random(random))?;
        refuse_any(&scope, any)?;
        self.keep_lists(draft)?;
        let (id, standing) = (scope.agent(), Standing::Good);
        let agent = AgentRecord { id, name: name.clone(), created: now, standing, scope: scope.to_der() };
        self.store.add_agent(&agent)?;
        Ok(agent)
    }

    /// The agent that `who` means.
    ///
    /// # Errors
    /// [`AuthorityError::UnknownAgent`] when there is none.
    pub fn find(&self, who: &Who) -> Result<AgentRecord, AuthorityError> {
        find(&self.store, who)
    }

    /// Certifies an agent into a directory and publishes the next list.
    ///
    /// # Errors
    /// [`AuthorityError`]: the agent's standing, a directory that is another's, a request that proves no key, or
    /// what could not be written.
    pub fn certify(
        &mut self,
        who: &Who,
        order: &Certify<'_>,
        hours: Hours,
        now: UnixTime,
    ) -> Result<(Certified, Publication), AuthorityError> {
        let agent = self.find(who)?;
        let scope = Scope::from_der(&agent.scope)?;
        refuse_any(&scope, order.any)?;
        match (agent.standing, order.comeback) {
            (Standing::Held, _) => return Err(StandingError::Held.into()),
            (Standing::Revoked, Comeback::Refuse) => return Err(StandingError::NeedsAfterRevocation.into()),
            (Standing::Good, Comeback::AfterRevocation) => return Err(StandingError::NotRevoked.into()),
            _ => {}
        }
        let directory = AgentDirectory::make(order.directory)?;
        let holder = directory.holder()?;
        if let Some(other) = holder.as_ref().map(AgentCertificate::agent).filter(|id| *id != agent.id) {
            return Err(DirectoryError::OtherAgent { path: directory.path().to_owned(), agent: other }.into());
        }
        let (public, key) = match order.request {
            Some(pem) => (read_request(pem)?, NewKey::Elsewhere),
            None => {
                if holder.is_none() {
                    directory.refuse_key()?;
                }
                let (key, pkcs8) = SoftKey::generate(Algorithm::P256)?;
                (key.public().clone(), NewKey::Made(pkcs8))
            }
        };
        self.refuse_revoked_key(agent.id, &public)?;

        // The key opens first: a wrong passphrase must not bring anyone back.
        let current = self.current()?.id;
        self.keys.signer(current)?;
        if agent.standing == Standing::Revoked {
            self.store.change_standing(&StandingChange {
                agent: agent.id,
                to: Standing::Good,
                reason: Reason::Unspecified,
                text: "certified after revocation",
                at: now,
            })?;
        }
        let agent = self.find(&Who::Id(agent.id))?;
        let issued = self.issue(&agent.name, &scope, &public, order.days, now)?;
        directory.write_names(&self.names_of(&scope)?)?;
        let publication = self.publish(hours, now)?;
        let genesis = match holder {
            Some(_) => None,
            None => Some(self.mark(&issued)?),
        };
        directory.enrol(&Enrolment {
            certificate: issued.certificate(),
            issuing: self.issuing()?,
            root: &self.root,
            name: &agent.name,
            lists: &self.home.lists()?,
            key,
            genesis,
        })?;
        self.store.keep_directory(agent.id, directory.path())?;
        let certificate = issued.certificate().clone();
        Ok((Certified { agent, certificate, directory: directory.path().to_owned() }, publication))
    }

    /// Renews an agent where it was certified, keeping its keys, and publishes the next list.
    ///
    /// # Errors
    /// [`AuthorityError`]: the agent's standing, a directory without its certificate, or what could not be written.
    pub fn renew(
        &mut self,
        who: &Who,
        order: &Renew<'_>,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Renewed, AuthorityError> {
        let mut agent = self.find(who)?;
        match agent.standing {
            Standing::Good => {}
            Standing::Held => return Err(StandingError::Held.into()),
            Standing::Revoked => return Err(StandingError::NeedsAfterRevocation.into()),
        }
        let before = Scope::from_der(&agent.scope)?;
        let scope = match order.scope {
            Some(draft) => {
                let scope = draft.for_agent(agent.id)?;
                refuse_any(&scope, order.any)?;
                scope
            }
            None => before.clone(),
        };
        let (present, missing): (Vec<PathBuf>, Vec<PathBuf>) = match order.directory {
            Some(path) => (vec![path.to_owned()], Vec::new()),
            None => self
                .store
                .directories(agent.id)?
                .into_iter()
                .partition(|path| path.join("agent.pem").exists()),
        };
        if present.is_empty() {
            return Err(AuthorityError::NowhereToRenew { name: agent.name, missing });
        }
        // Every directory is looked at before anything is changed.
        let mut places = Vec::new();
        for path in &present {
            let directory = AgentDirectory::at(path)?;
            let old = self.own_certificate(&directory, &agent)?;
            self.refuse_revoked_key(agent.id, old.decoded().key())?;
            places.push((directory, old));
        }
        // The key opens first: a wrong passphrase must not change the scope.
        let current = self.current()?.id;
        self.keys.signer(current)?;
        if let Some(draft) = order.scope {
            self.keep_lists(draft)?;
            self.store.set_scope(agent.id, &scope.to_der())?;
            agent = self.find(&Who::Id(agent.id))?;
        }
        let mut renewals = Vec::new();
        let names = self.names_of(&scope)?;
        for (directory, old) in places {
            let issued = self.issue(&agent.name, &scope, old.decoded().key(), order.days, now)?;
            directory.write_names(&names)?;
            renewals.push((directory, old, issued));
        }
        let publication = self.publish(hours, now)?;
        let mut certificates = Vec::new();
        for (directory, old, issued) in renewals {
            let genesis = match order.budgets {
                Budgets::Keep => None,
                Budgets::Reset => Some(self.mark(&issued)?),
            };
            directory.renew(
                &old,
                &Enrolment {
                    certificate: issued.certificate(),
                    issuing: self.issuing()?,
                    root: &self.root,
                    name: &agent.name,
                    lists: &self.home.lists()?,
                    key: NewKey::Elsewhere,
                    genesis,
                },
            )?;
            self.store.keep_directory(agent.id, directory.path())?;
            let (certificate, directory) = (issued.certificate().clone(), directory.path().to_owned());
            certificates.push(Certified { agent: agent.clone(), certificate, directory });
        }
        let scope_diff = scope_diff(&before, &scope);
        Ok(Renewed { agent, certificates, scope_diff, missing, publication })
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
            Order::Revoke => Reason::for_revocation(text),
        };
        if to != agent.standing {
            self.store.change_standing(&StandingChange { agent: agent.id, to, reason, text, at: now })?;
        }
        let publication = self.publish(hours, now)?;
        Ok(Ordered { agent: self.find(&Who::Id(agent.id))?, before: agent.standing, publication })
    }

    /// Signs the next lists and writes everything that is public.
    ///
    /// # Errors
    /// [`AuthorityError`] when the clock is behind the last list, a key does not open, or nothing can be written.
    pub fn publish(&mut self, hours: Hours, now: UnixTime) -> Result<Publication, AuthorityError> {
        let root = match self.store.newest_list(IssuerId::ROOT)? {
            Some(list) => list,
            None => self.sign_root_list(now)?,
        };
        let current = self.current()?.id;
        let mut lists = vec![root.der];
        let mut publication = None;
        for id in self.live(now)? {
            let Some(issuing) = self.issuing.iter().find(|issuing| issuing.id == id) else { continue };
            let period = Period { now, seconds: i64::from(hours.0) * 3600 };
            let signer = self.keys.signer(id)?;
            let list = sign_list(&mut self.store, id, &issuing.certificate, signer, period)?;
            if id == current {
                publication = Some((list.number, list.next_update));
            }
            lists.push(list.der);
        }
        publish::write(&self.home, self.root.decoded().der(), self.issuing()?.decoded().der(), &lists)?;
        let (number, next_update) = publication.ok_or(AuthorityError::NoIssuer)?;
        Ok(Publication { number, next_update, path: self.home.lists()? })
    }

    /// The newest list of the current issuing authority.
    ///
    /// # Errors
    /// [`AuthorityError::NoIssuer`] when there is none.
    pub fn current_list(&self) -> Result<ListRecord, AuthorityError> {
        self.store.newest_list(self.current()?.id)?.ok_or(AuthorityError::NoIssuer)
    }

    /// Replaces the issuing authority by a new one, and signs the root's list anew.
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
        let passphrase = self.keys.passphrase()?;
        let root_key = self.keys.signer(IssuerId::ROOT)?;
        let last = self.issuing.iter().map(|issuing| issuing.id).max().unwrap_or(IssuerId::ROOT);
        let id = last.next();
        let (certificate, key) = new_issuing(&self.home, id, &self.root, root_key, &passphrase, now)?;
        let der = certificate.decoded().der().to_vec();
        self.store.add_issuers(&[IssuerRecord { id, der, revoked: None }])?;
        self.keys.open.insert(id, key);
        if old == OldIssuing::Revoke {
            for issuing in &mut self.issuing {
                self.store.revoke_issuer(issuing.id, now)?;
                issuing.revoked = true;
            }
        }
        self.issuing.push(Issuing { id, certificate, revoked: false });
        self.sign_root_list(now)?;
        self.publish(hours, now)
    }

    fn sign_root_list(&mut self, now: UnixTime) -> Result<ListRecord, AuthorityError> {
        let signer = self.keys.signer(IssuerId::ROOT)?;
        let period = Period { now, seconds: ROOT_LIST_DAYS * DAY };
        sign_list(&mut self.store, IssuerId::ROOT, &self.root, signer, period)
    }

    /// The issuing authorities whose lists someone can still need.
    fn live(&self, now: UnixTime) -> Result<Vec<IssuerId>, AuthorityError> {
        let current = self.current()?.id;
        let mut live = Vec::new();
        for issuing in &self.issuing {
            let needed = self.store.last_end(issuing.id)?.is_some_and(|end| end >= now);
            if issuing.id == current || needed {
                live.push(issuing.id);
            }
        }
        Ok(live)
    }

    fn issue(
        &mut self,
        name: &AgentName,
        scope: &Scope,
        key: &PublicKey,
        days: Days,
        now: UnixTime,
    ) -> Result<Issued, AuthorityError> {
        let current = self.current()?.id;
        let issuing =
            self.issuing.iter().find(|issuing| issuing.id == current).ok_or(AuthorityError::NoIssuer)?;
        let outer = issuing.certificate.decoded().validity();
        // No certificate outlives its issuer: the last ones of an authority are shorter than asked for.
        let validity = Validity {
            not_before: now.plus(-BACKDATE).max(outer.not_before),
            not_after: now.plus(i64::from(days.0) * DAY).min(outer.not_after),
        };
        if validity.not_after <= now {
            return Err(AuthorityError::IssuerEnded { at: outer.not_after });
        }
        let signer = self.keys.signer(current)?;
        let issuer = Issuer { id: current, certificate: &issuing.certificate };
        let reserved = Reserved::reserve(IssueOrder { name, scope, key, validity }, issuer, &mut self.store)?;
        let stored = reserved.build()?.lint()?.store(&mut self.store)?;
        Ok(stored.sign(signer, &mut self.store)?)
    }

    fn mark(&mut self, issued: &Issued) -> Result<Genesis, AuthorityError> {
        let current = self.current()?.id;
        let certificate = issued.certificate();
        let thumbprint = certificate.decoded().thumbprint();
        Ok(Genesis::sign(certificate.agent(), thumbprint, self.keys.signer(current)?)?)
    }

    fn keep_lists(&mut self, draft: &DraftScope) -> Result<(), AuthorityError> {
        for list in draft.lists().iter() {
            self.store.keep_names(list.root(), &list.to_text())?;
        }
        Ok(())
    }

    fn names_of(&self, scope: &Scope) -> Result<Vec<(kakunin_core::digest::Digest, String)>, AuthorityError> {
        let mut lists = Vec::new();
        for root in scope.detached_roots() {
            let text = self.store.names(root)?.ok_or(StoreError::Damaged { what: "list of names" })?;
            lists.push((root, text));
        }
        Ok(lists)
    }

    fn refuse_revoked_key(&self, agent: AgentId, key: &PublicKey) -> Result<(), AuthorityError> {
        let key = key.key_id();
        let revoked = self.store.certificates(agent)?;
        let revoked = revoked.iter().any(|known| known.standing == Standing::Revoked && known.key == key);
        if revoked { Err(StandingError::RevokedKey.into()) } else { Ok(()) }
    }

    /// The certificate in `directory`, if this authority issued it to `agent`.
    fn own_certificate(
        &self,
        directory: &AgentDirectory,
        agent: &AgentRecord,
    ) -> Result<AgentCertificate, AuthorityError> {
        let path = || directory.path().to_owned();
        let held = directory.holder()?.ok_or_else(|| DirectoryError::NoAgent { path: path() })?;
        if held.agent() != agent.id {
            return Err(DirectoryError::OtherAgent { path: path(), agent: held.agent() }.into());
        }
        let known = self.store.certificates(agent.id)?;
        let known = known.iter().any(|known| known.der.as_deref() == Some(held.decoded().der()));
        if known { Ok(held) } else { Err(DirectoryError::NotOurs { path: path() }.into()) }
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

/// The agent that `who` means.
///
/// # Errors
/// [`AuthorityError::UnknownAgent`] when there is none.
pub fn find(store: &dyn Store, who: &Who) -> Result<AgentRecord, AuthorityError> {
    let found = match who {
        Who::Id(id) => store.agent(*id)?,
        Who::Name(name) => store.agent_named(name)?,
    };
    found.ok_or_else(|| AuthorityError::UnknownAgent { who: who.clone() })
}

fn new_issuing(
    home: &Home,
    id: IssuerId,
    root: &CaCertificate,
    root_key: &Signer,
    passphrase: &Passphrase,
    now: UnixTime,
) -> Result<(CaCertificate, Signer), AuthorityError> {
    let key = signer::create(&home.issuing_key(id), passphrase)?;
    let outer = root.decoded().validity();
    let validity = Validity {
        not_before: now.plus(-BACKDATE).max(outer.not_before),
        not_after: now.plus(ISSUING_DAYS * DAY).min(outer.not_after),
    };
    if validity.not_after <= now {
        return Err(AuthorityError::IssuerEnded { at: outer.not_after });
    }
    let der = authority_certificate(&Kind::Issuing { issuer: root }, &key, root_key, validity)?;
    let certificate = CaCertificate::decode(&der, CaRole::Issuing)?;
    files::replace(
        &home.issuing_certificate(id),
        certificate_pem(&certificate)?.as_bytes(),
        Readers::Everyone,
    )?;
    Ok((certificate, key))
}

fn authority_certificate(
    kind: &Kind<'_>,
    key: &Signer,
    issuer_key: &Signer,
    validity: Validity,
) -> Result<Vec<u8>, AuthorityError> {
    let mut random = [0; 16];
    SystemRandom::new().fill(&mut random).map_err(|_| AuthorityError::NoRandomness)?;
    // Two homes must not have authorities of one name, so each carries a piece of its key.
    let piece: String = key.public().key_id().to_hex().chars().take(8).collect();
    let name = match kind {
        Kind::Root => format!("Kakunin root {piece}"),
        _ => format!("Kakunin issuing authority {piece}"),
    };
    let serial = SerialNumber::from_random(random);
    let subject = Subject { name: &name, key: key.public(), validity, serial };
    let tbs = to_be_signed(kind, &subject, issuer_key.algorithm())?;
    Ok(signed(&tbs, issuer_key.algorithm(), &issuer_key.sign(&tbs)?)?)
}

fn certificate_pem(certificate: &CaCertificate) -> Result<String, AuthorityError> {
    to_pem("CERTIFICATE", certificate.decoded().der())
}

fn refuse_any(scope: &Scope, any: AnyAction) -> Result<(), AuthorityError> {
    let refused = scope.allows_any_action() && any == AnyAction::Refuse;
    if refused { Err(AuthorityError::AnyAction) } else { Ok(()) }
}

/// Reads a request, checking that whoever made it has the key. Nothing else in it is used.
fn read_request(pem: &[u8]) -> Result<PublicKey, AuthorityError> {
    use der::{Decode, DecodePem, Encode};
    use x509_cert::request::CertReq;

    let text = std::str::from_utf8(pem).map_err(|_| AuthorityError::Request("it is not PEM"))?;
    let request =
        CertReq::from_pem(text).map_err(|_| AuthorityError::Request("it is no PEM CERTIFICATE REQUEST"))?;
    let encode = |_| AuthorityError::Request("it is not in DER");
    let key = PublicKey::from_spki(&request.info.public_key.to_der().map_err(encode)?)?;
    if request.algorithm.oid != key.algorithm().signature_oid() {
        return Err(AuthorityError::Request("it is signed with another algorithm than its key's"));
    }
    // The signed bytes are taken from the document, not encoded anew.
    let (_, der) = der::pem::decode_vec(pem).map_err(|_| AuthorityError::Request("it is not PEM"))?;
    let outer = <Vec<der::asn1::Any>>::from_der(&der).map_err(encode)?;
    let info = outer.first().ok_or(AuthorityError::Request("it is empty"))?.to_der().map_err(encode)?;
    let signature =
        request.signature.as_bytes().ok_or(AuthorityError::Request("its signature has loose bits"))?;
    key.verify_x509(&info, signature)
        .map_err(|_| AuthorityError::Request("its signature is not its key's"))?;
    Ok(key)
}

fn scope_diff(before: &Scope, after: &Scope) -> Vec<String> {
    let (old, new) = (before.to_words(), after.to_words());
    let left = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}"));
    let came = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}"));
    left.chain(came).collect()
}

/// An order that was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// No agent of that name or id.
    #[error("there is no agent `{who}` here; see `kakunin agent list`")]
    UnknownAgent {
        /// What was asked for.
        who: Who,
    },
    /// Every action, without the order to allow that.
    #[error("the scope allows every action (`*`); name the actions, or pass --allow-any if that is meant")]
    AnyAction,
    /// Outside what a certificate may be valid for.
    #[error("{days} days are not possible; ask for 1 to {MAX_DAYS}")]
    Days {
        /// What was asked for.
        days: u16,
    },
    /// Outside what a list may be valid for.
    #[error("{hours} hours are not possible; ask for 1 to {MAX_HOURS}")]
    Hours {
        /// What was asked for.
        hours: u16,
    },
    /// The issuer ended, or ends too soon.
    #[error("the authority's certificate ended at {at}; run `kakunin rotate`")]
    IssuerEnded {
        /// When.
        at: UnixTime,
    },
    /// No issuing authority is left.
    #[error("every issuing authority is revoked; run `kakunin rotate`")]
    NoIssuer,
    /// The wall clock runs behind.
    #[error("the clock says {now}, but the last list was signed at {last}; set the clock")]
    ClockBehind {
        /// What the clock says.
        now: UnixTime,
        /// When the last list was signed.
        last: UnixTime,
    },
    /// No directory to renew.
    #[error("`{name}` has no directory to renew{}; pass --out DIR, or certify it first", gone(missing))]
    NowhereToRenew {
        /// The agent.
        name: AgentName,
        /// Directories that are gone.
        missing: Vec<PathBuf>,
    },
    /// A certificate request that proves nothing.
    #[error("the certificate request cannot be used: {0}")]
    Request(&'static str),
    /// No randomness.
    #[error("the system gives no randomness")]
    NoRandomness,
    /// A value without an encoding.
    #[error("a value cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
    /// The agent's standing forbids it.
    #[error(transparent)]
    Standing(#[from] StandingError),
    /// The scope breaks a rule.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The recorded scope cannot be read.
    #[error("the recorded scope cannot be read: {0}")]
    RecordedScope(#[from] DecodeError),
    /// A directory of an agent.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A certificate that was not issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A list that was not signed.
    #[error(transparent)]
    List(#[from] ListError),
    /// An authority's own certificate.
    #[error("the authority's own certificate cannot be used: {0}")]
    Certificate(#[from] CertificateError),
    /// A key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// A key store.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl AuthorityError {
    /// Whether a rule said no, rather than something being broken or out of reach.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::UnknownAgent { .. }
                | Self::AnyAction
                | Self::Days { .. }
                | Self::Hours { .. }
                | Self::NowhereToRenew { .. }
                | Self::Request(_)
                | Self::Standing(_)
                | Self::Scope(_)
                | Self::Home(HomeError::Exists { .. })
                | Self::Store(StoreError::NameTaken { .. })
                | Self::Directory(
                    DirectoryError::OtherAgent { .. }
                        | DirectoryError::NoAgent { .. }
                        | DirectoryError::NotOurs { .. }
                        | DirectoryError::KeyInTheWay { .. }
                )
        )
    }
}

fn gone(missing: &[PathBuf]) -> String {
    let list: Vec<String> = missing.iter().map(|path| path.display().to_string()).collect();
    if list.is_empty() { String::new() } else { format!(" (gone: {})", list.join(", ")) }
}

const DAY: i64 = 86_400;
/// Twenty years, with their leap days.
const ROOT_DAYS: i64 = 7_305;
/// Five years.
const ISSUING_DAYS: i64 = 1_826;
const ROOT_LIST_DAYS: i64 = 400;
const MAX_DAYS: u16 = 400;
/// The 400 days of the root's list.
const MAX_HOURS: u16 = 9_600;
/// Clocks lag; guards tolerate 120 s, and a certificate made now must work now.
const BACKDATE: i64 = 60;
