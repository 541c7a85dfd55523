//! What a guard knows of its authority's feed: handed over by code, held against the list, and kept.
//!
//! Whoever carries items from an authority runs a [`Follower`] and publishes it here. Nothing of it is believed that does not
//! lead back to the list that the guard accepted itself, or that is less than what was known before, by this process or an
//! earlier one. What receipts are going to name is in the journal's archive before anybody decides by it.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::bell::{Bell, Bells};
use super::keeper::Look;
use super::open::Inner;
use super::runtime::Runtime;
use super::state::LockError;
use crate::certificate::{AgentPath, FeedWord};
use crate::decision::DenialReason;
use crate::digest::Digest;
use crate::feed::Follower;
use crate::id::SerialNumber;
use crate::revocation::{Contradiction, FeedHead, ListPolicy, RevocationList, Standing, follows};
use crate::snapshot::Refusal;
use crate::time::{UnixMillis, UnixTime};

/// Where a guard looks for its authority's feed. Code that follows one publishes what it knows.
///
/// The follower's times are [`Clock::boot_millis`](super::Clock::boot_millis) of the guard's clock. Lists go the way of all
/// lists, to the directory or the [`MemorySource`](super::MemorySource), and before the follower that stands on them.
///
/// A guard that was given one decides by a feed and by nothing else (WIRE 3): a list that asks for none allows nothing, however
/// fresh its file is, unless code says so with [`FeedSource::or_lists`].
#[derive(Debug, Default)]
pub struct FeedSource {
    /// One of each issuing authority, the one that was handed over last before the others.
    known: ArcSwap<Vec<Arc<Follower>>>,
    bells: Bells,
    /// Whether a list that asks for no feed decides by itself.
    or_lists: bool,
}

impl FeedSource {
    /// One that knows nothing yet: a guard denies by it `revocation.stale`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for whoever also takes lists that ask for no feed, and decides by their dates.
    #[must_use]
    pub fn or_lists() -> Self {
        Self { or_lists: true, ..Self::default() }
    }

    /// Hands over what is known now of its authority's feed, in the place of what was. Guards look at once.
    ///
    /// What is known of other issuing authorities stays: an agent that moves from one to the next finds the feed of its
    /// certificate on both sides. The latest four are kept.
    pub fn publish(&self, follower: Follower) {
        let follower = Arc::new(follower);
        self.known.rcu(|known| {
            let others =
                known.iter().filter(|known| known.issuer() != follower.issuer()).take(MOST_ISSUERS - 1);
            [&follower].into_iter().chain(others).cloned().collect::<Vec<_>>()
        });
        self.bells.ring();
    }

    /// What was handed over last.
    #[must_use]
    pub fn follower(&self) -> Option<Arc<Follower>> {
        self.known.load().first().cloned()
    }

    /// What was handed over last of the feed of the issuing authority with this key: whoever takes up where another left off goes
    /// on from it.
    #[must_use]
    pub fn follower_of(&self, issuer: &Digest) -> Option<Arc<Follower>> {
        self.known.load().iter().find(|known| known.issuer() == *issuer).cloned()
    }

    /// All that is known at this moment.
    pub(super) fn known(&self) -> Arc<Vec<Arc<Follower>>> {
        self.known.load_full()
    }

    /// Wakes `bell` when something is handed over.
    pub(super) fn ring(&self, bell: &Arc<Bell>) {
        self.bells.add(bell);
    }
}

/// What is known of feeds, by the key of the issuing authority.
#[derive(Debug, Default)]
pub(super) struct FeedLook {
    marks: HashMap<Digest, FeedMark>,
    /// Of which the state directory was asked.
    recalled: Vec<Digest>,
    /// What is in the archive and in the state directory.
    kept: Option<(Digest, FeedMark)>,
}

impl FeedLook {
    /// Another state directory may hold something else, and another journal nothing.
    pub(super) fn forget_recalls(&mut self) {
        self.recalled.clear();
        self.kept = None;
    }
}

/// What a look heard: what the feed says of the agent, and what it says of everybody.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// `None` if the agent's list asks for no feed.
    pub(super) word: Option<FeedWord>,
    /// `None` if nothing that was heard counts.
    pub(super) follower: Option<Arc<Follower>>,
}

impl Heard {
    const fn word(word: FeedWord) -> Self {
        Self { word: Some(word), follower: None }
    }
}

/// How far a feed was known, and which of this agent's certificates it revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FeedMark {
    head: FeedHead,
    /// The certificate of the feed key that signed the last change; `None` where a list said how far the feed is.
    by: Option<SerialNumber>,
    revoked: Vec<SerialNumber>,
}

impl FeedMark {
    fn to_text(&self) -> String {
        let mut text = format!("{FORM}\n{} {}", self.head.epoch(), self.head.digest());
        self.by.iter().for_each(|by| text.push_str(&format!(" {by}")));
        text.push('\n');
        for serial in &self.revoked {
            text.push_str(&format!("{serial}\n"));
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (FORM, head) = (lines.next()?, lines.next()?) else { return None };
        let mut words = head.split(' ');
        let head = FeedHead::new(words.next()?.parse().ok()?, Digest::from_hex(words.next()?)?)?;
        let by = words.next().map(SerialNumber::parse);
        let by = by.map_or(Some(None), |by| by.map(Some))?;
        let mark = Self { head, by, revoked: lines.map(SerialNumber::parse).collect::<Option<_>>()? };
        (mark.to_text() == text).then_some(mark)
    }

    /// This mark, and what `other` knows besides.
    fn joined(mut self, other: &Self) -> Self {
        if other.head.epoch() > self.head.epoch() {
            (self.head, self.by) = (other.head, other.by);
        }
        self.revoked.extend(&other.revoked);
        self.revoked.sort_unstable();
        self.revoked.dedup();
        self
    }

    /// This mark as far as `list` lets it count. Where the list names the key that signed the last change, somebody else had it:
    /// nobody will ever go on from what was signed by that, and the feed is where the list says. What it revoked stays revoked.
    fn by_grace_of(self, list: &RevocationList, listed: FeedHead) -> Self {
        let is_doubted = self.by.is_some_and(|by| list.standing(&by) != Standing::Good);
        if is_doubted { Self { head: listed, by: None, ..self } } else { self }
    }
}

impl Inner {
    /// What the feed says by `known`, published before the lists were looked at.
    pub(super) fn look_at_feed(
        &self,
        look: &mut Look,
        known: Option<Arc<Vec<Arc<Follower>>>>,
    ) -> Result<Heard, Refusal> {
        let Some((path, list)) = look.feed_wanted() else { return Ok(Heard::default()) };
        let policy = list.policy();
        let runtime = look.runtime_of(self);
        let (issuer, own) = (path.issuing().decoded().key().key_id(), path.agent().decoded().serial());
        self.recall_feed(look.feed(), runtime.as_deref(), issuer)?;
        let mark = look.feed().marks.get(&issuer).cloned();
        let revoked = mark.as_ref().is_some_and(|mark| mark.revoked.contains(&own));
        let gone = |standing| if revoked { Standing::Revoked } else { standing };
        let silent = FeedWord { standing: gone(Standing::Good), head: None, until: NEVER };
        let Some(policy) = policy else {
            let is_needed = self.feed.as_ref().is_some_and(|feed| !feed.or_lists);
            return Ok(Heard { word: (revoked || is_needed).then_some(silent), follower: None });
        };
        let mark = mark.map(|mark| mark.by_grace_of(&list, policy.head()));
        let followers = known.iter().flat_map(|known| known.iter());
        let Some(follower) = followers.into_iter().find(|follower| follower.issuer() == issuer) else {
            return Ok(Heard::word(silent));
        };
        let head = match head_by(follower, policy.head(), mark.as_ref()) {
            Ok(head) => head,
            Err(error) => {
                let kept = runtime.as_ref().and_then(|runtime| runtime.state.as_ref());
                let kept = kept.filter(|_| mark.is_some()).map(|state| state.feed_path(&issuer));
                let kept = kept.map_or_else(String::new, |path| {
                    format!("; what is known of it is kept in {}", path.display())
                });
                self.notice(format!("the feed is refused: {error}{kept}"));
                return Ok(Heard::word(silent));
            }
        };
        let standing = gone(follower.standing(&own));
        let revoked = (standing == Standing::Revoked).then_some(own).into_iter().collect();
        let now = FeedMark { head, by: follower.signed_by(head.epoch()), revoked };
        let mark = mark.map_or(now.clone(), |mark| mark.joined(&now));
        if let Some(runtime) = &runtime
            && look.feed().kept != Some((issuer, mark.clone()))
        {
            // What went there before is there, and the list includes the rest.
            let grace = |mark: FeedMark| mark.by_grace_of(&list, policy.head());
            let kept = look.feed().kept.clone().filter(|(of, _)| *of == issuer);
            let listed = policy.head().epoch();
            let from = kept.map_or(listed, |(_, kept)| grace(kept).head.epoch().max(listed));
            keep(runtime, follower, from, issuer, (&mark, &grace))?;
            look.feed().kept = Some((issuer, mark.clone()));
        }
        look.feed().marks.insert(issuer, mark);
        let until = fresh_until(follower, policy).map_or(NEVER, |until| self.deadline(until));
        let word = FeedWord { standing, head: Some(head), until };
        Ok(Heard { word: Some(word), follower: Some(Arc::clone(follower)) })
    }

    /// The last second that lies before `until`, a time of the boot clock, as a whole.
    fn deadline(&self, until: i64) -> UnixTime {
        let now = self.times.now(self.clock.wall(), self.clock.mono_nanos() / 1_000_000);
        let left = until.saturating_sub(self.clock.boot_millis());
        UnixMillis::from_millis(now.millis().saturating_add(left)).to_seconds().plus(-1)
    }

    fn recall_feed(
        &self,
        feed: &mut FeedLook,
        runtime: Option<&Runtime>,
        issuer: Digest,
    ) -> Result<(), Refusal> {
        let Some(state) = runtime.and_then(|runtime| runtime.state.as_ref()) else { return Ok(()) };
        if feed.recalled.contains(&issuer) {
            return Ok(());
        }
        let kept = state.feed(&issuer);
        let kept = kept.map_err(|error| Refusal::new(DenialReason::JournalUnavailable, error))?;
        if let Some(text) = kept {
            // It was in order when it was kept. What it said is not known now, and might be a revocation.
            let kept = FeedMark::parse(&text).ok_or_else(|| {
                let what = "what is kept of the feed in the state directory is damaged";
                Refusal::new(DenialReason::RevocationInvalid, what)
            })?;
            let known = feed.marks.remove(&issuer);
            feed.marks.insert(issuer, known.map_or(kept.clone(), |known| known.joined(&kept)));
        }
        feed.recalled.push(issuer);
        Ok(())
    }
}

/// Until when the word of `follower` counts: as long as its own list says, and no longer than the one that is decided by does.
fn fresh_until(follower: &Follower, policy: ListPolicy) -> Option<i64> {
    let age = i64::from(policy.max_age()).saturating_mul(1000);
    let by_list = follower.proven()?.saturating_add(age);
    Some(follower.fresh_until()?.min(by_list))
}

/// How far `follower` and the list, which knows the feed up to `listed`, know it together, if neither contradicts the other nor
/// what was known before.
fn head_by(
    follower: &Follower,
    listed: FeedHead,
    mark: Option<&FeedMark>,
) -> Result<FeedHead, Contradiction> {
    let certain = follower.certain_head();
    let at = |epoch| follower.head_at(epoch).filter(|head| head.epoch() <= certain.epoch());
    let head = if certain.epoch() < listed.epoch() {
        listed
    } else {
        // It has to lead back to this list: receipts name both.
        let rollback = Contradiction::FeedRollback { offered: listed.epoch(), seen: certain.epoch() };
        follows(listed, at(listed.epoch()).ok_or(rollback)?)?;
        certain
    };
    if let Some(mark) = mark {
        follows(mark.head, head)?;
        if let Some(at) = at(mark.head.epoch()) {
            follows(mark.head, at)?;
        }
    }
    Ok(head)
}

/// Keeps what receipts will name for verifiers, and the mark for later processes.
fn keep(
    runtime: &Runtime,
    follower: &Follower,
    from: u64,
    issuer: Digest,
    (mark, grace): (&FeedMark, &dyn Fn(FeedMark) -> FeedMark),
) -> Result<(), Refusal> {
    let unavailable = |error: &dyn std::fmt::Display| Refusal::new(DenialReason::JournalUnavailable, error);
    for certificate in follower.certificates() {
        runtime.journal.archive_feed_key(certificate).map_err(|error| unavailable(&error))?;
    }
    for item in follower.changes().filter(|item| item.head().epoch() > from) {
        runtime.journal.archive_item(item).map_err(|error| unavailable(&error))?;
    }
    let Some(state) = &runtime.state else { return Ok(()) };
    let mut ledger = runtime.ledger().map_err(|reason| Refusal::new(reason, reason.what()))?;
    let kept = ledger.with_lock(|lock| {
        // Never lower, as far as it counts: another process may know more.
        let known = state.feed(&issuer)?.and_then(|text| FeedMark::parse(&text));
        let next = known.clone().map_or(mark.clone(), |known| mark.clone().joined(&grace(known)));
        if known.as_ref() == Some(&next) { Ok(()) } else { state.keep_feed(lock, &issuer, &next.to_text()) }
    });
    kept.map(|_| ()).map_err(|error| match error {
        LockError::Busy => Refusal::new(DenialReason::JournalLocked, error),
        LockError::Io(_) => unavailable(&error),
    })
}

/// An agent has one, and for a moment two.
const MOST_ISSUERS: usize = 4;
const FORM: &str = "kakunin-feed-v1";
/// Before every decision.
const NEVER: UnixTime = UnixTime::from_seconds(0);

/// Who is decided for, and by which list: what it asks of the feed is how far it knows it, and for how long a word of it counts.
pub(super) type Wanted = (AgentPath, RevocationList);
