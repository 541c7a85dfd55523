//! Following a feed: what is known now, since when it is certain, and until when that counts.
//!
//! Takes in one verified list with a policy and the lines of connections, with the times at which they were asked for and
//! received; gives out standings that only ever get worse by what is not certain. It reads no clock and touches no network.
//!
//! Times are milliseconds of one monotonic clock of this machine that goes on while it sleeps. The signed time of items is
//! another machine's: the nonce of a connection fixes how far the two lie apart. The first item was signed after it was asked
//! for, so to take that moment for its time makes every later age too great, by the way there and back, and never too small.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::item::{Content, ItemError, UnverifiedItem, VerifiedItem};
use crate::certificate::{CaCertificate, FeedCertificate, PathError};
use crate::digest::Digest;
use crate::id::SerialNumber;
use crate::revocation::{
    Contradiction, FeedHead, ListError, ListMark, ListPolicy, RevocationList, Standing, UnverifiedList,
    follows,
};
use crate::time::{UnixMillis, UnixTime};

/// What is known of one issuing authority's certificates: a list, and every change since.
#[derive(Clone, Debug)]
pub struct Follower {
    issuing: CaCertificate,
    base: RevocationList,
    policy: ListPolicy,
    /// The age that local settings allow at most.
    longest: u32,
    /// The changes since the list, without a gap.
    changes: Vec<Arc<VerifiedItem>>,
    /// How many of them a key that was valid at the time vouches for, directly or through a later item.
    certain: usize,
    /// What the certain changes say.
    said: HashMap<SerialNumber, Standing>,
    /// Whatever was revoked by a change, certain or not: for good.
    revoked: HashSet<SerialNumber>,
    keys: BTreeMap<Digest, Key>,
    connection: Connection,
    /// A head that is further than the changes at hand.
    ahead: Option<Announced>,
    /// The latest time at which nothing was known to the authority that is not known here.
    proven: Option<i64>,
}

#[derive(Clone, Debug)]
struct Key {
    certificate: FeedCertificate,
    /// When it ends, by the clock of this machine.
    ends: i64,
}

/// What a first item says of changes that are still to come.
#[derive(Clone, Copy, Debug)]
struct Announced {
    head: FeedHead,
    /// When it was the feed's.
    since: i64,
    /// The certificate of the key that says so.
    by: SerialNumber,
}

#[derive(Clone, Copy, Debug)]
enum Connection {
    None,
    /// The first item has to have the nonce.
    Begun {
        nonce: [u8; 16],
        sent: i64,
    },
    /// What to add to a signed time to get one of this machine's clock.
    Open {
        offset: i64,
    },
}

/// What an item did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything that the authority knew when it signed the item is known here.
    Current,
    /// A change was taken up that only a key of before vouches for: it can deny, and nothing more, until a later item
    /// confirms it.
    Unconfirmed,
    /// The connection is open, and changes up to this epoch have to follow.
    Behind {
        /// The epoch of the feed.
        epoch: u64,
    },
    /// The item was known.
    Known,
}

impl Follower {
    /// Begins with `list`, the DER of a list that `issuing` signed and that asks for a feed.
    ///
    /// # Errors
    /// [`Refusal`] when it is no such list. That `issuing` may be believed is the caller's to prove.
    pub fn new(issuing: &CaCertificate, list: &[u8]) -> Result<Self, Refusal> {
        let base = UnverifiedList::decode(list)?.verify(&issuing.list_issuer())?;
        let policy = base.policy().ok_or(Refusal::NoPolicy)?;
        Ok(Self {
            issuing: issuing.clone(),
            base,
            policy,
            longest: u32::MAX,
            changes: Vec::new(),
            certain: 0,
            said: HashMap::new(),
            revoked: HashSet::new(),
            keys: BTreeMap::new(),
            connection: Connection::None,
            ahead: None,
            proven: None,
        })
    }

    /// Lets a signed word count for `seconds` at most, if that is less than the list says.
    pub fn shorten(&mut self, seconds: u32) {
        self.longest = self.longest.min(seconds);
    }

    /// Takes up the certificate of a feed key, in DER: the present one, and those that signed changes which are still to come.
    /// `now` is the wall clock, `mono` the other one at the same moment.
    ///
    /// # Errors
    /// [`Refusal::Certificate`] for what is no feed certificate of this authority, is not valid yet, or is held or revoked.
    pub fn certify(&mut self, der: &[u8], now: UnixTime, mono: i64) -> Result<(), Refusal> {
        let certificate = FeedCertificate::verify(der, &self.issuing)?;
        match certificate.valid_at(now) {
            // It signed changes of before, and nothing new.
            Ok(()) | Err(PathError::Expired { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.good(&certificate)?;
        let id = certificate.key().key_id();
        if self.keys.len() >= MAX_KEYS && !self.keys.contains_key(&id) {
            // The one that ended first makes room: what it signed is in the lists of today.
            let first = self.keys.iter().min_by_key(|(_, key)| key.ends);
            let ended = first.filter(|(_, key)| key.ends <= mono).map(|(id, _)| *id);
            self.keys.remove(&ended.ok_or(Refusal::TooManyKeys)?);
        }
        // The second of notAfter is its last.
        let left = certificate.decoded().validity().not_after.seconds() + 1 - now.seconds();
        let ends = mono.saturating_add(left.saturating_mul(1000));
        self.keys.insert(id, Key { certificate, ends });
        Ok(())
    }

    /// A connection is asked for at `sent`, with a nonce that was never used before. Until its first item is here, with the
    /// nonce, nothing else counts.
    pub fn begin(&mut self, nonce: [u8; 16], sent: i64) {
        self.connection = Connection::Begun { nonce, sent };
    }

    /// Takes up a line that was received at `received`.
    ///
    /// # Errors
    /// [`Refusal`]; nothing of the item counts then. After [`Refusal::Gap`] a newer list is needed
    /// ([`Follower::rebase`]), after [`Refusal::Clock`] a new connection.
    pub fn take(&mut self, line: &str, received: i64) -> Result<Progress, Refusal> {
        let unverified = UnverifiedItem::parse(line)?;
        let key = self.keys.get(unverified.key()).ok_or(Refusal::UnknownKey)?;
        let (is_present, certificate) = (received < key.ends, key.certificate.clone());
        let item = unverified.verify(certificate.key())?;
        if item.item().issuer != self.issuing.decoded().key().key_id() {
            return Err(Refusal::OtherIssuer);
        }
        certificate.valid_at(item.item().at.to_seconds())?;
        self.good(&certificate)?;
        match &item.item().content {
            Content::Heartbeat { .. } if !is_present => Err(Refusal::Expired),
            Content::Heartbeat { nonce } => {
                self.heartbeat(&item, *nonce, certificate.decoded().serial(), received)
            }
            Content::Change(_) => self.change(item, is_present, received),
        }
    }

    fn heartbeat(
        &mut self,
        item: &VerifiedItem,
        nonce: Option<[u8; 16]>,
        by: SerialNumber,
        received: i64,
    ) -> Result<Progress, Refusal> {
        let head = item.head();
        let opened = match (self.connection, nonce) {
            (Connection::Begun { nonce, sent }, Some(answered)) if nonce == answered && sent <= received => {
                Some(sent.saturating_sub(item.item().at.millis()))
            }
            (Connection::Open { .. }, None) => None,
            _ => return Err(Refusal::Nonce),
        };
        follows(self.head(), head)?;
        // What was announced is the feed's, also if it never came: one that does not know it any more went back.
        if let Some(ahead) = self.ahead {
            follows(ahead.head, head)?;
        }
        if head.epoch() > self.head().epoch() && opened.is_none() {
            return Err(Refusal::Gap { known: self.head().epoch(), offered: head.epoch() });
        }
        if let Some(offset) = opened {
            self.connection = Connection::Open { offset };
        }
        let signed = self.signed_at(item, received)?;
        if head == self.head() {
            self.confirm(signed);
            return Ok(Progress::Current);
        }
        self.ahead = Some(Announced { head, since: signed, by });
        Ok(Progress::Behind { epoch: head.epoch() })
    }

    fn change(&mut self, item: VerifiedItem, is_present: bool, received: i64) -> Result<Progress, Refusal> {
        let (known, head) = (self.head(), item.head());
        // Only a connection that is open has a time.
        let signed = self.signed_at(&item, received)?;
        if head.epoch() <= known.epoch() {
            let at =
                self.head_at(head.epoch()).ok_or(Refusal::Contradiction(Contradiction::FeedRollback {
                    offered: head.epoch(),
                    seen: known.epoch(),
                }))?;
            follows(at, head)?;
            return Ok(Progress::Known);
        }
        if item.item().head.epoch() > known.epoch() {
            return Err(Refusal::Gap { known: known.epoch(), offered: head.epoch() });
        }
        follows(known, item.item().head)?;
        // The first item of the connection named another change of this number.
        if let Some(ahead) = self.ahead.filter(|ahead| ahead.head.epoch() == head.epoch()) {
            follows(ahead.head, head)?;
        }
        if let Content::Change(entries) = &item.item().content {
            let gone = entries.iter().filter(|entry| entry.standing == Standing::Revoked);
            self.revoked.extend(gone.map(|entry| entry.serial));
        }
        self.changes.push(Arc::new(item));
        if is_present {
            self.confirm(signed);
        }
        match self.ahead {
            Some(ahead) if ahead.head == head => {
                self.ahead = None;
                self.confirm(ahead.since);
                Ok(Progress::Current)
            }
            Some(ahead) => Ok(Progress::Behind { epoch: ahead.head.epoch() }),
            None if is_present => Ok(Progress::Current),
            None => Ok(Progress::Unconfirmed),
        }
    }

    /// Everything up to the present head is vouched for, and was all there was at `signed`.
    fn confirm(&mut self, signed: i64) {
        for item in self.changes.get(self.certain..).unwrap_or_default() {
            if let Content::Change(entries) = &item.item().content {
                self.said.extend(entries.iter().map(|entry| (entry.serial, entry.standing)));
            }
        }
        self.certain = self.changes.len();
        self.proven = self.proven.max(Some(signed));
    }

    /// When an item was signed, by the clock of this machine, and never later than that.
    fn signed_at(&self, item: &VerifiedItem, received: i64) -> Result<i64, Refusal> {
        let Connection::Open { offset } = self.connection else { return Err(Refusal::Nonce) };
        let signed = item.item().at.millis().saturating_add(offset);
        // Clocks drift apart slowly; one that was set ahead would make what is old look new.
        if signed > received.saturating_add(DRIFT) { Err(Refusal::Clock) } else { Ok(signed.min(received)) }
    }

    /// Goes on from a newer list of the same authority, given in DER.
    ///
    /// Where the list contradicts a change whose key it names, the list is believed: somebody else had that key. What came
    /// from there on counts for nothing then, but that whatever it revoked stays revoked, and neither does the connection:
    /// this is stale until a new one says what is so. The same where such a key announced changes that never came: nobody
    /// else would ever go on from them.
    ///
    /// # Errors
    /// [`Refusal`] when it is none, asks for no feed, or contradicts what is known; everything stays as it was then.
    pub fn rebase(&mut self, list: &[u8]) -> Result<(), Refusal> {
        let base = UnverifiedList::decode(list)?.verify(&self.issuing.list_issuer())?;
        let policy = base.policy().ok_or(Refusal::NoPolicy)?;
        ListMark::of(&self.base).allows(&base)?;
        let head = policy.head();
        if let Some(at) = self.certain_head_at(head.epoch())
            && let Err(contradiction) = follows(at, head)
        {
            if !self.doubts_by(&base, head.epoch()) {
                return Err(contradiction.into());
            }
            self.changes.clear();
            self.certain = 0;
            self.disconnect();
        }
        if self.ahead.is_some_and(|ahead| base.standing(&ahead.by) != Standing::Good) {
            self.disconnect();
        }
        // What nobody vouched for goes; what it revoked stays revoked.
        self.changes.truncate(self.certain);
        self.changes.retain(|item| item.head().epoch() > head.epoch());
        self.certain = 0;
        self.said.clear();
        self.revoked.retain(|serial| base.standing(serial) != Standing::Revoked);
        self.ahead = self.ahead.filter(|ahead| ahead.head.epoch() > head.epoch());
        (self.base, self.policy) = (base, policy);
        let proven = self.proven;
        self.confirm(i64::MIN);
        self.proven = proven;
        self.free_keys();
        Ok(())
    }

    /// Forgets what a connection said of times and of what is to come: nothing is fresh until there is another.
    const fn disconnect(&mut self) {
        (self.connection, self.ahead, self.proven) = (Connection::None, None, None);
    }

    /// Whether a change up to `epoch` is by a key that `list` holds or revokes.
    fn doubts_by(&self, list: &RevocationList, epoch: u64) -> bool {
        let mut told = self.changes.iter().filter(|item| item.head().epoch() <= epoch);
        told.any(|item| {
            let key = self.keys.get(item.key());
            key.is_some_and(|key| list.standing(&key.certificate.decoded().serial()) != Standing::Good)
        })
    }

    /// Lets go of the keys that nobody needs: what they signed is in the list, and the present key is one of the newest.
    fn free_keys(&mut self) {
        let begins = |key: &Key| key.certificate.decoded().validity().not_before;
        let mut newest: Vec<_> = self.keys.values().map(begins).collect();
        newest.sort_unstable_by(|one, other| other.cmp(one));
        let since = newest.get(NEWEST_KEYS - 1).copied();
        let signed: HashSet<Digest> = self.changes.iter().map(|item| *item.key()).collect();
        self.keys.retain(|id, key| signed.contains(id) || since.is_none_or(|since| begins(key) >= since));
    }

    /// The list it stands on.
    #[must_use]
    pub const fn base(&self) -> &RevocationList {
        &self.base
    }

    /// How far the feed is known, certain or not.
    #[must_use]
    pub fn head(&self) -> FeedHead {
        self.changes.last().map_or(self.policy.head(), |last| last.head())
    }

    /// How far the feed is known for certain: what receipts name.
    #[must_use]
    pub fn certain_head(&self) -> FeedHead {
        let last = self.certain.checked_sub(1).and_then(|last| self.changes.get(last));
        last.map_or(self.policy.head(), |last| last.head())
    }

    /// The head of `epoch`, if it is that of the list or of a change since.
    #[must_use]
    pub fn head_at(&self, epoch: u64) -> Option<FeedHead> {
        let base = self.policy.head();
        let after = epoch.checked_sub(base.epoch())?;
        let Some(index) = after.checked_sub(1) else { return Some(base) };
        self.changes.get(usize::try_from(index).ok()?).map(|item| item.head())
    }

    /// The serial number of the certificate whose key signed the change of `epoch`; `None` for what the list says, or nobody.
    #[must_use]
    pub fn signed_by(&self, epoch: u64) -> Option<SerialNumber> {
        let change = self.changes.iter().find(|item| item.head().epoch() == epoch)?;
        self.keys.get(change.key()).map(|key| key.certificate.decoded().serial())
    }

    fn certain_head_at(&self, epoch: u64) -> Option<FeedHead> {
        self.head_at(epoch).filter(|head| head.epoch() <= self.certain_head().epoch())
    }

    /// The changes since the list that are certain, in order: what a verifier needs beside the list.
    pub fn changes(&self) -> impl Iterator<Item = &VerifiedItem> {
        self.changes.iter().take(self.certain).map(Arc::as_ref)
    }

    /// The certificates of feed keys at hand.
    pub fn certificates(&self) -> impl Iterator<Item = &FeedCertificate> {
        self.keys.values().map(|key| &key.certificate)
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the issuing authority.
    #[must_use]
    pub fn issuer(&self) -> Digest {
        self.issuing.decoded().key().key_id()
    }

    /// How the certificate `serial` stands: what the list and the certain changes say, and worse if any change says so. Once
    /// revoked, always revoked.
    #[must_use]
    pub fn standing(&self, serial: &SerialNumber) -> Standing {
        let listed = self.base.standing(serial);
        if listed == Standing::Revoked || self.revoked.contains(serial) {
            return Standing::Revoked;
        }
        let certain = self.said.get(serial).copied().unwrap_or(listed);
        let open = self.changes.get(self.certain..).unwrap_or_default().iter();
        let named = open.filter_map(|item| match &item.item().content {
            Content::Change(entries) => {
                let at = entries.binary_search_by(|entry| entry.serial.cmp(serial)).ok()?;
                entries.get(at).map(|entry| entry.standing)
            }
            Content::Heartbeat { .. } => None,
        });
        named.fold(certain, Standing::max)
    }

    /// The time, by the clock of this machine, at which nothing was known to the authority that is not known here: when its last
    /// word was signed, or a little before. `None` before the first one.
    #[must_use]
    pub const fn proven(&self) -> Option<i64> {
        self.proven
    }

    /// What the authority's clock says at `mono`, as far as the connection has fixed it: by the signed first item of it, so
    /// nobody on the way can move it. A little ahead, by as long as that item took. `None` without an open connection.
    #[must_use]
    pub const fn authority_time(&self, mono: i64) -> Option<UnixMillis> {
        match self.connection {
            Connection::Open { offset } => Some(UnixMillis::from_millis(mono.saturating_sub(offset))),
            Connection::None | Connection::Begun { .. } => None,
        }
    }

    /// For how many seconds a word counts: what the list says, or less by local settings.
    #[must_use]
    pub fn max_age(&self) -> u32 {
        self.policy.max_age().min(self.longest)
    }

    /// The time, by the clock of this machine, from which on this counts for nothing; `None` before the first signed word.
    #[must_use]
    pub fn fresh_until(&self) -> Option<i64> {
        let age = i64::from(self.max_age()).saturating_mul(1000);
        self.proven.map(|proven| proven.saturating_add(age))
    }

    fn good(&self, certificate: &FeedCertificate) -> Result<(), Refusal> {
        match self.standing(&certificate.decoded().serial()) {
            Standing::Good => Ok(()),
            standing => Err(Refusal::KeyStanding { standing }),
        }
    }
}

/// What a follower does not take.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The list cannot be used.
    #[error(transparent)]
    List(#[from] ListError),
    /// The list asks for no feed.
    #[error("the list asks for no feed")]
    NoPolicy,
    /// The certificate of the feed key is none, or not valid.
    #[error("the certificate of the feed key: {0}")]
    Certificate(#[from] PathError),
    /// The feed key was held or revoked.
    #[error("the feed key is {standing}")]
    KeyStanding {
        /// How it stands.
        standing: Standing,
    },
    /// More feed keys than anybody needs between two lists.
    #[error("there are {MAX_KEYS} certificates of feed keys already, all of them valid")]
    TooManyKeys,
    /// Nobody showed a certificate for this key.
    #[error("there is no certificate for the key of the item")]
    UnknownKey,
    /// The certificate has ended, so its key says nothing new.
    #[error("the certificate of the feed key has ended")]
    Expired,
    /// The line is no item of that key.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// Another authority's item.
    #[error("the item is of another issuing authority")]
    OtherIssuer,
    /// Not the nonce of this connection, or one where none belongs.
    #[error("the item is not of this connection: its nonce is missing, another, or out of place")]
    Nonce,
    /// Changes are missing.
    #[error("epoch {offered} follows on epoch {known}: what lies between is missing")]
    Gap {
        /// The epoch that is known.
        known: u64,
        /// That of the item.
        offered: u64,
    },
    /// It says something else than what is known, or less.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// The authority's clock was set ahead since the connection began.
    #[error("the item is dated ahead of this connection; a new one is needed")]
    Clock,
}

impl Refusal {
    /// The stable code, for logs and alarms.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::List(_) | Self::NoPolicy => "feed.list",
            Self::Certificate(_)
            | Self::KeyStanding { .. }
            | Self::TooManyKeys
            | Self::UnknownKey
            | Self::Expired => "feed.certificate",
            Self::Item(_) => "feed.item",
            Self::OtherIssuer => "feed.issuer",
            Self::Nonce => "feed.nonce",
            Self::Gap { .. } => "feed.gap",
            Self::Contradiction(
                Contradiction::FeedEquivocation { .. } | Contradiction::Equivocation { .. },
            ) => "feed.equivocation",
            Self::Contradiction(_) => "feed.rollback",
            Self::Clock => "feed.clock",
        }
    }
}

/// How far the clocks of two machines may drift apart while a connection lasts, in milliseconds; then a new one is needed.
const DRIFT: i64 = 2_000;
/// A key a day for two months.
const MAX_KEYS: usize = 64;
/// Nodes that take turns may have signed at once; the present key is among so many.
const NEWEST_KEYS: usize = 8;
