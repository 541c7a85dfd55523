//! The feeds of an authority: what changed is signed and kept before the list that includes it.
//!
//! Whether there is a feed stands in the lists themselves. A home whose newest list asks for one keeps it, whoever
//! gives the next order: a change that a feed does not tell would be missing in every later one.

use std::collections::BTreeMap;
use std::sync::Arc;
#[cfg(feature = "http")]
use std::time::Instant;

use kakunin_core::digest::Digest;
use kakunin_core::feed::Entry;
use kakunin_core::id::SerialNumber;
use kakunin_core::revocation::{FeedHead, ListPolicy, UnverifiedList};
use kakunin_core::time::UnixTime;

use crate::access::TenantId;
use crate::authority::{Authority, AuthorityError, Issuing};
use crate::feed::{FeedKey, FeedKeyError, PreparedFeed, SignedChange, entry};
use crate::publish::Publication;
use crate::standing::{Reason, Standing};
#[cfg(feature = "http")]
use crate::store::FeedItem;
use crate::store::{FeedChange, FeedEntry, FeedPosition, IssuerId, NewFeedKey, Store, StoreError};
use crate::term::Hours;

/// Whether the lists of an authority ask for its feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedMode {
    /// Guards decide with the feed: somebody has to serve it.
    On,
    /// Guards decide by the lists alone.
    Off,
}

/// How far the feed of an issuing authority is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedEpoch {
    /// SHA-256 of the SubjectPublicKeyInfo of the issuing authority.
    pub issuer: Digest,
    /// The number of the last change; 0 before the first.
    pub epoch: u64,
}

/// What an authority has in memory of its feeds.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    /// What somebody said.
    mode: Option<FeedMode>,
    /// What the newest list of a tenant says, once somebody asked.
    found: BTreeMap<TenantId, FeedMode>,
    live: BTreeMap<IssuerId, LiveFeed>,
}

#[derive(Debug)]
struct LiveFeed {
    issuer: Digest,
    key: Option<Arc<FeedKey>>,
    head: FeedHead,
    /// When its key was last taken out of use by an order.
    replaced: Option<UnixTime>,
    /// The last change that is recorded, also if it is not signed yet.
    owed: u64,
    /// Kept, and not yet taken by whoever sends it.
    #[cfg(feature = "http")]
    fresh: Vec<Kept>,
}

impl LiveFeed {
    const fn at(issuer: Digest, head: FeedHead) -> Self {
        Self {
            issuer,
            key: None,
            replaced: None,
            head,
            owed: head.epoch(),
            #[cfg(feature = "http")]
            fresh: Vec::new(),
        }
    }
}

/// A change, and when it was kept in the store.
#[cfg(feature = "http")]
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) item: FeedItem,
    pub(crate) at: Instant,
}

/// A feed as whoever serves it needs it.
#[cfg(feature = "http")]
#[derive(Clone, Debug)]
pub(crate) struct FeedNews {
    pub(crate) id: IssuerId,
    /// SHA-256 of the SubjectPublicKeyInfo of the issuing authority.
    pub(crate) issuer: Digest,
    /// What signs heartbeats.
    pub(crate) key: Arc<FeedKey>,
    pub(crate) head: FeedHead,
    /// The changes since it was asked for the last time, in order.
    pub(crate) changes: Vec<Kept>,
}

impl Feeds {
    /// A change is recorded; whoever publishes next signs it.
    pub(crate) fn owe(&mut self, change: &FeedChange) {
        if let Some(live) = self.live.get_mut(&change.issuer) {
            live.owed = live.owed.max(change.epoch);
        }
    }
}

impl Authority<'_> {
    /// Says whether the lists to come ask for the feed. Without it they say what the newest one said.
    pub fn set_feed(&mut self, mode: FeedMode) {
        self.feeds.mode = Some(mode);
        if mode == FeedMode::Off {
            self.feeds.live.clear();
        }
    }

    /// Whether the lists ask for the feed.
    ///
    /// # Errors
    /// [`AuthorityError`] when the newest list cannot be read.
    pub fn feed_mode(&mut self) -> Result<FeedMode, AuthorityError> {
        if let Some(mode) = self.feeds.mode {
            return Ok(mode);
        }
        if let Some(mode) = self.feeds.found.get(&self.tenant) {
            return Ok(*mode);
        }
        let mut mode = FeedMode::Off;
        // All lists of a tenant are signed together; an authority that is new has none yet, and the one before it says it.
        // A tenant that is new begins as the others are.
        let others = self.issuing.iter().filter(|issuing| issuing.tenant != self.tenant).rev();
        for issuing in self.own().rev().chain(others) {
            if let Some(list) = self.store.newest_list(issuing.id)? {
                let list = UnverifiedList::decode(&list.der)
                    .and_then(|list| list.verify(&issuing.certificate.list_issuer()))
                    .map_err(|_| StoreError::Damaged { what: "signed list" })?;
                if list.policy().is_some() {
                    mode = FeedMode::On;
                }
                break;
            }
        }
        self.feeds.found.insert(self.tenant.clone(), mode);
        Ok(mode)
    }

    /// Sees that every feed has a key that is good for a while; what is good stays. Whoever serves a feed asks for this
    /// before the key of today has ended.
    ///
    /// # Errors
    /// [`AuthorityError`] when a key cannot be made, signed or recorded; a key that has not ended is used on.
    pub fn renew_feed_keys(&mut self, now: UnixTime) -> Result<(), AuthorityError> {
        let mut done = Ok(());
        for tenant in self.tenants() {
            // What fails for one tenant fails for no other.
            done = done.and(self.in_name_of(&tenant, |authority| authority.renew_own_feed_keys(now)));
        }
        done
    }

    /// The same for the tenant in whose name it acts.
    pub(crate) fn renew_own_feed_keys(&mut self, now: UnixTime) -> Result<(), AuthorityError> {
        if self.feed_mode()? == FeedMode::Off {
            return Ok(());
        }
        for id in self.live(now)? {
            self.feed_head(id)?;
            self.feed_key(id, now)?;
        }
        Ok(())
    }

    /// Takes every feed key of the tenant in whose name it acts out of use at once: the feeds tell it by a new key, and the lists name the old ones. Says how
    /// many they were.
    ///
    /// # Errors
    /// [`AuthorityError::FeedReplaced`] when that was done within the last minute and the keys of after it sign: each time
    /// costs a key, a list, and a line on every later list for a day. Otherwise when a key does not open, or nothing can be recorded or published; the same order given again
    /// publishes what was recorded.
    pub fn replace_feed_keys(
        &mut self,
        hours: Hours,
        now: UnixTime,
    ) -> Result<(Publication, usize), AuthorityError> {
        let live = self.live(now)?;
        // Where no key signs yet, the last order is not told, and the same given again costs nothing.
        let signs = |live: &LiveFeed| live.key.as_ref().and(live.replaced);
        let last = live.iter().filter_map(|id| self.feeds.live.get(id).and_then(signs)).max();
        if let Some(left) = last.and_then(|last| too_soon(last, now)) {
            return Err(AuthorityError::FeedReplaced { left });
        }
        // What is recorded must also be signed.
        for id in &live {
            self.keys.signer(*id)?;
        }
        let (mut revoked, tenant) = (0, self.tenant.clone());
        self.group.owe(&tenant);
        for id in live {
            let changes = self.store.revoke_feed_keys(id, now)?;
            revoked += changes.iter().map(|change| change.entries.len()).sum::<usize>();
            self.take_up(&changes);
            if let Some(live) = self.feeds.live.get_mut(&id) {
                live.key = None;
                live.replaced = Some(now);
            }
        }
        Ok((self.publish_with_others(hours, now)?, revoked))
    }

    /// Signs what changed and is not told yet, and says what the next list of `id` has to say about the feed.
    pub(crate) fn tell_changes(
        &mut self,
        id: IssuerId,
        now: UnixTime,
    ) -> Result<Option<ListPolicy>, AuthorityError> {
        if self.feed_mode()? == FeedMode::Off {
            return Ok(None);
        }
        let mut head = self.feed_head(id)?;
        let waiting = self.store.waiting_changes(id)?;
        for some in waiting.chunks(TOGETHER) {
            let key = self.feed_key(id, now)?;
            let mut signed = Vec::with_capacity(some.len());
            for change in some {
                let entries = change.entries.iter().map(|entry| told(entry, now)).collect();
                let [one] =
                    <[SignedChange; 1]>::try_from(key.sign_changes(head, entries, now.to_millis())?)
                        .map_err(|_| StoreError::Damaged { what: "change of a feed" })?;
                if one.head.epoch() != change.epoch {
                    return Err(StoreError::NotNext { issuer: id, epoch: change.epoch }.into());
                }
                head = one.head;
                signed.push(one);
            }
            let keep = |store: &mut dyn Store| {
                let mut all = signed.iter();
                all.try_for_each(|one| store.keep_change(id, one.head.epoch(), &one.line, one.head.digest()))
            };
            match signed.len() {
                1 => keep(self.store.as_mut())?,
                _ => self.store.batch(&mut |store| keep(store))?,
            }
            if let Some(live) = self.feeds.live.get_mut(&id) {
                live.head = head;
                #[cfg(feature = "http")]
                live.fresh.extend(kept_now(signed));
            }
        }
        Ok(ListPolicy::new(MAX_AGE, head))
    }

    /// How far the feeds of the authorities of this tenant whose lists are still signed are.
    pub(crate) fn feed_epochs(&self) -> Vec<FeedEpoch> {
        let epoch =
            |live: &LiveFeed| FeedEpoch { issuer: live.issuer, epoch: live.owed.max(live.head.epoch()) };
        self.own().filter_map(|own| self.feeds.live.get(&own.id)).map(epoch).collect()
    }

    /// What is new in every feed that has a key.
    #[cfg(feature = "http")]
    pub(crate) fn take_feed_news(&mut self) -> Vec<FeedNews> {
        let news = |(id, live): (&IssuerId, &mut LiveFeed)| {
            let key = Arc::clone(live.key.as_ref()?);
            let changes = std::mem::take(&mut live.fresh);
            Some(FeedNews { id: *id, issuer: live.issuer, key, head: live.head, changes })
        };
        self.feeds.live.iter_mut().filter_map(news).collect()
    }

    /// Forgets the feeds of authorities of this tenant whose lists nobody needs any more.
    pub(crate) fn end_feeds(&mut self, live: &[IssuerId]) {
        let (issuing, tenant) = (&self.issuing, &self.tenant);
        let ours = |id| issuing.iter().any(|one| one.id == id && one.tenant == *tenant);
        self.feeds.live.retain(|id, _| live.contains(id) || !ours(*id));
    }

    fn feed_head(&mut self, id: IssuerId) -> Result<FeedHead, AuthorityError> {
        if let Some(live) = self.feeds.live.get(&id) {
            return Ok(live.head);
        }
        let FeedPosition { epoch, head } = self.store.feed_position(id)?;
        let head = FeedHead::new(epoch, head).ok_or(StoreError::Damaged { what: "head of a feed" })?;
        let issuer = self.issuer(id)?.certificate.decoded().key().key_id();
        self.feeds.live.insert(id, LiveFeed::at(issuer, head));
        Ok(head)
    }

    /// The key that signs now; made, recorded and certified if there is none or its time is nearly over.
    fn feed_key(&mut self, id: IssuerId, now: UnixTime) -> Result<Arc<FeedKey>, AuthorityError> {
        let present = self.feeds.live.get(&id).and_then(|live| live.key.clone());
        // Not one of a clock that went back since: it is of no use before it was made.
        if let Some(key) = present.as_ref().filter(|key| key.is_valid(now) && !key.is_due(now)) {
            return Ok(Arc::clone(key));
        }
        match (self.make_feed_key(id, now), present) {
            (Ok(key), _) => {
                if let Some(live) = self.feeds.live.get_mut(&id) {
                    live.key = Some(Arc::clone(&key));
                }
                Ok(key)
            }
            // A key store that is out of reach stops no feed before its key has ended.
            (Err(_), Some(key)) if key.is_valid(now) => Ok(key),
            (Err(error), _) => Err(error),
        }
    }

    fn make_feed_key(&mut self, id: IssuerId, now: UnixTime) -> Result<Arc<FeedKey>, AuthorityError> {
        let prepared = PreparedFeed::make(&self.issuer(id)?.certificate, now)?;
        // The same order as for every certificate: recorded, signed, kept.
        self.store.add_feed_key(&NewFeedKey {
            serial: prepared.serial(),
            issuer: id,
            key: prepared.key_id(),
            validity: prepared.validity(),
            tbs: prepared.tbs(),
        })?;
        let serial: SerialNumber = prepared.serial();
        let key = prepared.sign(self.keys.signer(id)?)?;
        self.store.keep_feed_certificate(serial, key.certificate().decoded().der())?;
        Ok(Arc::new(key))
    }

    fn issuer(&self, id: IssuerId) -> Result<&Issuing, AuthorityError> {
        self.issuing.iter().find(|issuing| issuing.id == id).ok_or(AuthorityError::NoIssuer)
    }
}

/// How many seconds it is until keys may be replaced again. By a clock that went back nobody can tell, so they may.
fn too_soon(last: UnixTime, now: UnixTime) -> Option<u64> {
    let left = (now >= last).then(|| last.plus(REPLACED).seconds().saturating_sub(now.seconds()))?;
    u64::try_from(left).ok().filter(|left| *left > 0)
}

/// Signed changes that were kept this moment.
#[cfg(feature = "http")]
fn kept_now(signed: Vec<SignedChange>) -> impl Iterator<Item = Kept> {
    let at = Instant::now();
    signed.into_iter().map(move |one| {
        let (epoch, head) = (one.head.epoch(), one.head.digest());
        Kept { item: FeedItem { epoch, head, item: one.line }, at }
    })
}

/// What the feed says of a certificate.
fn told(changed: &FeedEntry, now: UnixTime) -> Entry {
    let reason = match (changed.standing, changed.reason) {
        (Standing::Good, _) => None,
        (Standing::Held, _) => Some(Reason::CertificateHold),
        (Standing::Revoked, Reason::CertificateHold) => Some(Reason::Unspecified),
        (Standing::Revoked, reason) => Some(reason),
    };
    // An item dates nothing after itself; a clock that was set back in between must not keep a revocation back.
    entry(changed.serial, reason, changed.since.min(now))
}

impl From<FeedKeyError> for AuthorityError {
    fn from(error: FeedKeyError) -> Self {
        Self::Feed(Box::new(error))
    }
}

/// WIRE 3: for so many seconds a signed word of the feed counts.
pub(crate) const MAX_AGE: u32 = 60;
/// So many seconds lie between two orders that replace the keys of a tenant's feeds.
const REPLACED: i64 = 60;
/// Changes that wait are signed in pieces of this size, each one write to the disk.
const TOGETHER: usize = 512;
