//! An authority at work: a home, locked, with its keys opened when they are first needed.
//!
//! Each public method is one order of an operator. It checks the rules, records, signs, publishes and then answers;
//! when it answers, what it says is durable and readable by every guard.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use kakunin_core::certificate::{CaCertificate, CaRole, CertificateError};
use kakunin_core::id::SerialNumber;
use kakunin_core::key::{Algorithm, KeyError, SignError, Signer};
use kakunin_core::scope::{DecodeError, ScopeError};
use kakunin_core::time::{UnixTime, Validity};
use ring::rand::{SecureRandom, SystemRandom};

use crate::access::TenantId;
use crate::agent::{AgentName, Who};
use crate::directory::DirectoryError;
use crate::feed::FeedKeyError;
use crate::feeding::Feeds;
use crate::files::{self, FileError, Readers};
use crate::grouping::Group;
use crate::home::{Home, HomeError, HomeLock};
use crate::hook::HookId;
use crate::issue::IssueError;
use crate::keys::Keys;
use crate::list::ListError;
use crate::listed::Listed;
use crate::marks::Marks;
use crate::profile::{Kind, Subject, signed, to_be_signed};
use crate::publish::{self, NextList, Period, Publication, Published, sign_list, to_pem};
use crate::signer::{self, KeyFileError, Passphrase, PassphraseError, PassphraseSources, SealError};
use crate::standing::{Order, Reason, Standing, StandingError};
use crate::store::{
    AgentRecord, FeedChange, IssuerId, IssuerRecord, ListRecord, StandingChange, Store, StoreError,
};
use crate::term::{MAX_DAYS, MAX_HOURS, MAX_MINUTES};

pub use crate::enrol::{AnyAction, Budgets, Certified, Certify, Comeback, Renew, Renewed};
pub use crate::feeding::{FeedEpoch, FeedMode};
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
    pub(crate) group: Group,
    published: Option<Arc<Published>>,
    _lock: HomeLock,
}

/// One of the issuing authorities; the last one that is not revoked is the current one.
#[derive(Debug)]
pub(crate) struct Issuing {
    pub(crate) id: IssuerId,
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
        let tenant = TenantId::default();
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
            group: Group::default(),
            published: None,
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
                issuing.push(Issuing { id: issuer.id, certificate, revoked: issuer.revoked.is_some() });
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
            group: Group::default(),
            published: None,
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
        self.issuing.iter().rev().find(|issuing| !issuing.revoked).ok_or(AuthorityError::NoIssuer)
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

    /// Changes a standing in the records, and notes for the next lists what that did.
    pub(crate) fn change_standing(
        &mut self,
        change: &StandingChange<'_>,
    ) -> Result<Vec<FeedChange>, AuthorityError> {
        self.group.owe();
        match self.store.change_standing(change) {
            Ok(changes) => {
                for change in &changes {
                    self.listed.note(change);
                    self.feeds.owe(change);
                }
                Ok(changes)
            }
            Err(error) => {
                self.listed.forget();
                Err(error.into())
            }
        }
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
        self.marks.set_list(IssuerId::ROOT, root.number);
        let mut lists = vec![root.der];
        let mut newest = None;
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
            self.marks.set_list(id, list.number);
            self.marks.set_feed(id, self.store.feed_position(id)?);
            lists.push(list.der.clone());
            if id == current {
                newest = Some(list);
            }
        }
        let list = newest.ok_or(AuthorityError::NoIssuer)?;
        let (number, next_update) = (list.number, list.next_update);
        let published = Published::new(&self.root, self.issuing()?, list, &lists)?;
        // Before anything of it leaves: a store that knows less later was restored.
        self.marks.keep(&self.home)?;
        publish::write(&self.home, &published)?;
        // Only what is on the disk is shown.
        self.published = Some(Arc::new(published));
        self.group.is_published();
        let issuer = self.issuing()?.decoded().key().key_id();
        Ok(Publication { number, next_update, path: self.home.lists()?, issuer, feeds: self.feed_epochs() })
    }

    /// What was last published since this home was opened.
    #[must_use]
    pub const fn published(&self) -> Option<&Arc<Published>> {
        self.published.as_ref()
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
        // The new authority has no list yet that would say so.
        self.feed_mode()?;
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
        let next = NextList { id: IssuerId::ROOT, issuer: &self.root, period, policy: None, number: None };
        sign_list(self.store.as_mut(), &mut self.listed, signer, next)
    }

    /// The issuing authorities whose lists someone can still need.
    pub(crate) fn live(&self, now: UnixTime) -> Result<Vec<IssuerId>, AuthorityError> {
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
}

/// What becomes of the issuing authorities that a new one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldIssuing {
    /// Their certificates stay good until they end.
    Keep,
    /// They are revoked, and everything they issued with them.
    Revoke,
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

fn new_issuing(
    home: &Home,
    id: IssuerId,
    root: &CaCertificate,
    root_key: &Signer,
    passphrase: &Passphrase,
    now: UnixTime,
) -> Result<(CaCertificate, Signer), AuthorityError> {
    let key = signer::create(&home.issuing_key(id), passphrase, Algorithm::P256)?;
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
    /// Outside what a token may be good for.
    #[error("{minutes} minutes are not possible; ask for 1 to {MAX_MINUTES}")]
    Minutes {
        /// What was asked for.
        minutes: u16,
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
    /// The store knows less than was published: it was restored from a backup, or is another one.
    #[error(
        "the records are behind what was published: authority {issuer} had published {what} {published}, and they end with {found}; put the newest records back, or, if they are lost, run `kakunin restore --accept-loss`"
    )]
    RolledBack {
        /// What is behind.
        what: &'static str,
        /// Whose.
        issuer: IssuerId,
        /// Where the store ends.
        found: u64,
        /// What was published.
        published: u64,
    },
    /// Nothing to accept.
    #[error("the records are not behind what was published: nothing is lost")]
    NothingLost,
    /// An authority that the records lost, and of which no certificate is here.
    #[error("the records do not know authority {issuer}, and {} is not here: put it back, so that it can be revoked", path.display())]
    LostIssuer {
        /// Which one.
        issuer: IssuerId,
        /// Its certificate.
        path: PathBuf,
    },
    /// What was published last is not to be read.
    #[error("{} is not as it was written: restore it, or delete it if the records are surely the newest", path.display())]
    Marks {
        /// The file.
        path: PathBuf,
    },
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
    /// The feed.
    #[error("the feed: {0}")]
    Feed(#[source] Box<FeedKeyError>),
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
    /// A secret that does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No webhook of that id.
    #[error("there is no webhook {id} here")]
    UnknownHook {
        /// What was asked for.
        id: HookId,
    },
    /// More webhooks than there may be.
    #[error("there are {most} webhooks already, which is the most a tenant may have; delete one first")]
    TooManyHooks {
        /// How many there may be.
        most: usize,
    },
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
                | Self::Minutes { .. }
                | Self::NowhereToRenew { .. }
                | Self::NothingLost
                | Self::Request(_)
                | Self::UnknownHook { .. }
                | Self::TooManyHooks { .. }
                | Self::Standing(_)
                | Self::Scope(_)
                | Self::Home(HomeError::Exists { .. })
                | Self::Store(
                    StoreError::NameTaken { .. }
                        | StoreError::UnknownChain { .. }
                        | StoreError::ChainClosed { .. }
                        | StoreError::UnknownToken { .. }
                        | StoreError::TokenUsed { .. }
                )
                | Self::Issue(IssueError::Store(
                    StoreError::UnknownToken { .. } | StoreError::TokenUsed { .. }
                ))
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

pub(crate) const DAY: i64 = 86_400;
/// Twenty years, with their leap days.
const ROOT_DAYS: i64 = 7_305;
/// Five years.
const ISSUING_DAYS: i64 = 1_826;
const ROOT_LIST_DAYS: i64 = 400;
/// Clocks lag; guards tolerate 120 s, and a certificate made now must work now.
pub(crate) const BACKDATE: i64 = 60;
