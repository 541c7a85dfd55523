//! Everything that a stream begins with, and everything that goes into open streams.
//!
//! One lock holds the changes, the head and the streams of all feeds together. So a stream begins with exactly what came
//! before it was opened, and gets exactly what comes after.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::body::Bytes;
use kakunin_core::digest::Digest;
use kakunin_core::feed::UnverifiedItem;
use kakunin_core::revocation::FeedHead;
use kakunin_core::time::UnixMillis;
use tokio::sync::mpsc::{self, Sender, error::TrySendError};

use super::frame::{self, Event};
use super::stream::{Kind, Stream};
use crate::authority::{Authority, AuthorityError};
use crate::feed::{FeedKey, FeedKeyError};
use crate::feeding::FeedNews;
use crate::http::error::Refusal;
use crate::store::{FeedItem, StoreError};

/// The feeds that are served.
#[derive(Default)]
pub(crate) struct Hub(Mutex<State>);

#[derive(Default)]
struct State {
    ended: bool,
    channels: HashMap<Digest, Channel>,
    /// Streams that were ended because their client was too slow.
    dropped: u64,
}

/// The feed of one issuing authority.
struct Channel {
    key: Arc<FeedKey>,
    certificates: HashMap<Digest, Bytes>,
    head: FeedHead,
    /// The epoch before the first change at hand.
    base: u64,
    changes: VecDeque<Change>,
    bytes: usize,
    streams: Vec<Sender<Event>>,
}

struct Change {
    key: Digest,
    event: Bytes,
    /// When it was kept, if that was in the time of this process.
    kept: Option<Instant>,
}

/// What the metrics show.
pub(crate) struct Numbers {
    /// Issuer, epoch and open streams of each feed.
    pub(crate) feeds: Vec<(Digest, u64, usize)>,
    pub(crate) dropped: u64,
}

impl Hub {
    /// Takes up what the authority has told since the last time, and sends it to the open streams.
    ///
    /// # Errors
    /// [`AuthorityError`] when the records cannot be read; streams of a feed that is not known are ended then, and it is
    /// read again next time.
    pub(crate) fn refresh(&self, authority: &mut Authority<'_>) -> Result<(), AuthorityError> {
        let news = authority.take_feed_news();
        let mut state = self.state();
        state.channels.retain(|issuer, _| news.iter().any(|feed| feed.issuer == *issuer));
        for feed in news {
            let known = state.channels.get_mut(&feed.issuer).filter(|channel| channel.continues(&feed));
            if let Some(channel) = known {
                let issuer = feed.issuer;
                match channel.take_up(feed) {
                    Ok(dropped) => state.dropped = state.dropped.saturating_add(dropped),
                    Err(error) => {
                        // Its heartbeats would say that nothing changed.
                        state.channels.remove(&issuer);
                        return Err(error);
                    }
                }
                continue;
            }
            // New, or something is missing in between: what the store has is what counts.
            state.channels.remove(&feed.issuer);
            let channel = Channel::load(&feed, authority)?;
            if !state.ended {
                state.channels.insert(feed.issuer, channel);
            }
        }
        Ok(())
    }

    /// Sends a heartbeat into every open stream.
    ///
    /// # Errors
    /// [`FeedKeyError`] of the first feed whose key does not sign; its streams get nothing, and guards deny in time.
    pub(crate) fn beat(&self, at: impl Fn() -> UnixMillis) -> Result<(), FeedKeyError> {
        let mut state = self.state();
        let (mut dropped, mut done) = (0, Ok(()));
        for channel in state.channels.values_mut().filter(|channel| !channel.streams.is_empty()) {
            // Signed under the lock: no change comes between the head that it names and the streams.
            match channel.key.heartbeat(channel.head, None, at()) {
                Ok(line) => {
                    let event = Event::Beside(frame::item(channel.head.epoch(), &line));
                    dropped += channel.send(&event);
                }
                Err(error) => done = Err(error),
            }
        }
        state.dropped = state.dropped.saturating_add(dropped);
        done
    }

    /// Opens a stream of what follows on epoch `since` in the feed of `issuer`.
    ///
    /// # Errors
    /// [`Refusal`] when there is no such feed, it is not that far, `since` is too long ago, or too many streams are open.
    pub(crate) fn open(
        &self,
        issuer: Digest,
        since: u64,
        nonce: [u8; 16],
        kind: Kind,
        now: impl Fn() -> UnixMillis,
    ) -> Result<Stream, Refusal> {
        let (key, head, at, mut first, changes, live) = {
            let mut state = self.state();
            if state.ended {
                return Err(ending());
            }
            let open: usize = state.channels.values_mut().map(Channel::count).sum();
            if state.channels.is_empty() {
                return Err(none());
            }
            let channel = state.channels.get_mut(&issuer).ok_or_else(unknown)?;
            channel.can_begin(since)?;
            if open >= STREAMS {
                return Err(Refusal::unavailable("feed.full", "too many streams are open; try again"));
            }
            // INVARIANT: `can_begin` says that `since` lies between base and head.
            let known = usize::try_from(since.saturating_sub(channel.base)).unwrap_or(usize::MAX);
            let mut first = Vec::new();
            let mut keys = Vec::new();
            let changes: Vec<Bytes> = channel
                .changes
                .iter()
                .skip(known)
                .map(|change| {
                    if keys.last() != Some(&change.key) && !keys.contains(&change.key) {
                        keys.push(change.key);
                    }
                    change.event.clone()
                })
                .collect();
            let present = channel.key.certificate().key().key_id();
            keys.retain(|key| *key != present);
            if keys.len() >= KEYS {
                return Err(snapshot());
            }
            keys.push(present);
            first.extend(keys.iter().filter_map(|key| channel.certificates.get(key)).cloned());
            let (send, live) = mpsc::channel(QUEUE);
            channel.streams.push(send);
            // The time is that of the head: whatever comes later is sent after it.
            (Arc::clone(&channel.key), channel.head, now(), first, changes, live)
        };
        let refused = |error: FeedKeyError| Refusal {
            cause: Some(error.to_string()),
            ..Refusal::unavailable("feed.key", "the feed has no key that is good; see the log")
        };
        let opening = key.heartbeat(head, Some(nonce), at).map_err(refused)?;
        first.push(frame::item(head.epoch(), &opening));
        let has_changes = !changes.is_empty();
        Ok(Stream::new(first.into_iter().chain(changes), has_changes, live, kind, nonce))
    }

    /// When the changes after `since` up to `epoch` were kept: the newest ones of those that came while this process served.
    ///
    /// # Errors
    /// [`Refusal`] when there is no such feed, or it is not that far.
    pub(crate) fn kept(
        &self,
        issuer: Digest,
        since: Option<u64>,
        epoch: u64,
    ) -> Result<Vec<Instant>, Refusal> {
        let state = self.state();
        if state.channels.is_empty() {
            return Err(if state.ended { ending() } else { none() });
        }
        let channel = state.channels.get(&issuer).ok_or_else(unknown)?;
        let head = channel.head.epoch();
        if epoch > head {
            let text =
                format!("the feed is at epoch {head}, and {epoch} is later: nobody can enforce that yet");
            return Err(Refusal::new(axum::http::StatusCode::CONFLICT, "feed.ahead", text));
        }
        let Some(since) = since else { return Ok(Vec::new()) };
        let first = since.max(channel.base).max(epoch.saturating_sub(TIMED));
        let place = |epoch: u64| usize::try_from(epoch.saturating_sub(channel.base)).unwrap_or(usize::MAX);
        let count = place(epoch).saturating_sub(place(first));
        Ok(channel.changes.iter().skip(place(first)).take(count).filter_map(|change| change.kept).collect())
    }

    /// Ends every stream. None is opened any more.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.channels.clear();
    }

    pub(crate) fn numbers(&self) -> Numbers {
        let mut state = self.state();
        let dropped = state.dropped;
        let feeds = state.channels.iter_mut();
        let mut feeds: Vec<_> =
            feeds.map(|(issuer, channel)| (*issuer, channel.head.epoch(), channel.count())).collect();
        feeds.sort_unstable_by_key(|(issuer, ..)| *issuer.as_bytes());
        Numbers { feeds, dropped }
    }

    // INVARIANT: nothing under this lock leaves a channel half changed but a panic in an allocation, after which streams
    // may lack something: a follower sees a gap and asks again.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channel {
    /// Reads the end of a feed, as far as a client may be behind.
    fn load(feed: &FeedNews, authority: &Authority<'_>) -> Result<Self, AuthorityError> {
        let store = &authority.store;
        let mut channel = Self {
            key: Arc::clone(&feed.key),
            certificates: HashMap::new(),
            head: feed.head,
            base: feed.head.epoch().saturating_sub(CHANGES),
            changes: VecDeque::new(),
            bytes: 0,
            streams: Vec::new(),
        };
        channel.certify(&feed.key);
        let mut at = channel.base;
        while at < feed.head.epoch() {
            let items = store.changes_since(feed.id, at, PAGE)?;
            let Some(last) = items.last() else { break };
            at = last.epoch;
            for item in items {
                let certificate = |key| Ok(store.feed_key(feed.id, key)?.map(|known| known.der));
                channel.push(&item, None, certificate)?;
            }
        }
        if at == feed.head.epoch() {
            return Ok(channel);
        }
        Err(StoreError::Damaged { what: "feed: changes are missing" }.into())
    }

    /// Whether `feed` begins where this one is.
    fn continues(&self, feed: &FeedNews) -> bool {
        let new = u64::try_from(feed.changes.len()).unwrap_or(u64::MAX);
        let first = feed.changes.first().map_or(feed.head.epoch(), |kept| kept.item.epoch.saturating_sub(1));
        first == self.head.epoch() && self.head.epoch().saturating_add(new) == feed.head.epoch()
    }

    /// Takes up what is new and sends it. Says how many streams were too slow for it.
    fn take_up(&mut self, feed: FeedNews) -> Result<u64, AuthorityError> {
        let mut dropped = 0;
        if feed.key.certificate().key().key_id() != self.key.certificate().key().key_id() {
            let event = self.certify(&feed.key);
            self.key = feed.key;
            dropped += self.send(&Event::Beside(event));
        }
        for kept in &feed.changes {
            // Every key that signs came by here when it was new.
            let event = self.push(&kept.item, Some(kept.at), |_| Ok(None))?;
            dropped += self.send(&Event::Change(event));
        }
        self.head = feed.head;
        Ok(dropped)
    }

    fn certify(&mut self, key: &FeedKey) -> Bytes {
        let certificate = key.certificate();
        let event = frame::certificate(certificate.decoded().der());
        self.certificates.insert(certificate.key().key_id(), event.clone());
        event
    }

    /// Adds a change, and forgets the oldest ones that nobody gets any more.
    fn push(
        &mut self,
        item: &FeedItem,
        kept: Option<Instant>,
        certificate: impl FnOnce(Digest) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Bytes, AuthorityError> {
        let damaged = || StoreError::Damaged { what: "item of a feed" };
        let key = UnverifiedItem::key_named(&item.item).map_err(|_| damaged())?;
        if let Entry::Vacant(place) = self.certificates.entry(key) {
            let der = certificate(key)?.ok_or(StoreError::Damaged { what: "certificate of a feed key" })?;
            place.insert(frame::certificate(&der));
        }
        let event = frame::item(item.epoch, &item.item);
        self.bytes = self.bytes.saturating_add(event.len());
        self.changes.push_back(Change { key, event: event.clone(), kept });
        let most = usize::try_from(CHANGES).unwrap_or(usize::MAX);
        while self.changes.len() > most || self.bytes > BYTES {
            let Some(old) = self.changes.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(old.event.len());
            self.base = self.base.saturating_add(1);
        }
        Ok(event)
    }

    fn can_begin(&self, since: u64) -> Result<(), Refusal> {
        if since > self.head.epoch() {
            let text = format!(
                "this node knows the feed up to epoch {}, and {since} is later; ask again, or another node",
                self.head.epoch()
            );
            let behind = Refusal::new(axum::http::StatusCode::CONFLICT, "feed.behind", text);
            return Err(Refusal { retry_after: Some(1), ..behind });
        }
        if since < self.base { Err(snapshot()) } else { Ok(()) }
    }

    /// How many streams are open; those whose client went away are forgotten.
    fn count(&mut self) -> usize {
        self.streams.retain(|stream| !stream.is_closed());
        self.streams.len()
    }

    /// Hands `event` to every stream. One whose client does not keep up ends; says how many did.
    fn send(&mut self, event: &Event) -> u64 {
        let mut dropped = 0;
        self.streams.retain(|stream| match stream.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                dropped += 1;
                false
            }
            Err(TrySendError::Closed(_)) => false,
        });
        dropped
    }
}

fn ending() -> Refusal {
    Refusal::unavailable("ending", "the authority is being stopped; try again")
}

pub(crate) fn unknown() -> Refusal {
    let text = "there is no feed of that issuing authority here; `issuer` is the SHA-256 of its SubjectPublicKeyInfo, in hex";
    Refusal::new(axum::http::StatusCode::NOT_FOUND, "feed.issuer", text)
}

fn none() -> Refusal {
    let text = "this authority serves no feed: its lists are read as files";
    Refusal::new(axum::http::StatusCode::NOT_FOUND, "feed.none", text)
}

fn snapshot() -> Refusal {
    let text = "too much has changed since that epoch; take /v1/crl/all and go on from there";
    Refusal::new(axum::http::StatusCode::GONE, "feed.snapshot", text)
}

/// So many changes may a client be behind; the list says the same in fewer bytes beyond that.
const CHANGES: u64 = 10_000;
/// Of so many, the newest, it is asked how long they took.
const TIMED: u64 = 1_000;
/// And so many bytes of them.
const BYTES: usize = 64 << 20;
/// A follower holds 64 keys, and some of them may be of before.
const KEYS: usize = 32;
/// Below the number of connections, so that orders find a place beside the streams.
const STREAMS: usize = 3072;
/// Events that wait for one client: minutes of heartbeats, or a burst of changes.
const QUEUE: usize = 1024;
/// Rows read at a time.
const PAGE: u32 = 512;

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use hyper::body::Body;
    use kakunin_core::time::UnixTime;

    use super::*;
    use crate::authority::FeedMode;
    use crate::home::Home;
    use crate::signer::PassphraseSources;
    use crate::term::Hours;

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

    /// Whatever a stream has now; `None` when it has ended.
    fn taken(stream: &mut Stream) -> Option<String> {
        let mut text = String::new();
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match Pin::new(&mut *stream).poll_frame(&mut context) {
                Poll::Ready(Some(frame)) => {
                    let bytes = frame.unwrap().into_data().unwrap();
                    text.push_str(std::str::from_utf8(&bytes).unwrap());
                }
                Poll::Ready(None) => return Some(text).filter(|text| !text.is_empty()),
                Poll::Pending => return Some(text),
            }
        }
    }

    #[test]
    fn whoever_reads_too_slowly_is_dropped_and_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |_: &str| Err(std::io::Error::other("nobody"));
        let own = folder.path().join("passphrase");
        std::fs::write(&own, "correct horse\n").unwrap();
        rustix::fs::chmod(&own, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let home = Home::at(&folder.path().join("home"));
        let sources = PassphraseSources { named: None, own: &own, ask: &ask };
        let mut authority = Authority::init(&home, sources, NOW, Hours::default()).unwrap().0;
        let hub = Hub::default();
        hub.refresh(&mut authority).unwrap();
        let at = || NOW.to_millis();
        let issuer = authority.issuing().unwrap().decoded().key().key_id();
        let open = |hub: &Hub, since| hub.open(issuer, since, [7; 16], Kind::Events, at);
        assert_eq!(open(&hub, 0).err().unwrap().code, "feed.none");
        authority.set_feed(FeedMode::On);
        let _ = authority.publish(Hours::default(), NOW).unwrap();
        authority.renew_feed_keys(NOW).unwrap();
        hub.refresh(&mut authority).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let (mut slow, mut quick) = (open(&hub, 0).unwrap(), open(&hub, 0).unwrap());
        assert_eq!(hub.numbers().feeds, [(issuer, 0, 2)]);
        let first = taken(&mut quick).unwrap();
        assert!(first.starts_with("event: certificate\ndata: MII") && first.contains("event: item\nid: 0\n"));
        for _ in 0..QUEUE {
            hub.beat(at).unwrap();
            assert!(taken(&mut quick).unwrap().starts_with("event: item\nid: 0\n"));
        }
        assert_eq!(hub.numbers().dropped, 0);
        hub.beat(at).unwrap();
        let numbers = hub.numbers();
        assert_eq!((numbers.dropped, numbers.feeds), (1, vec![(issuer, 0, 1)]));
        assert!(taken(&mut quick).is_some_and(|text| !text.is_empty()), "it goes on");
        // The slow one gets in order what was meant for it before, and then its end.
        assert_eq!(taken(&mut slow).unwrap().matches("event: item").count(), QUEUE + 1);
        assert_eq!(taken(&mut slow), None);
        // One that went away is forgotten.
        drop(quick);
        assert_eq!(hub.numbers().feeds, [(issuer, 0, 0)]);

        // A client may be as far behind as there are changes at hand.
        hub.state().channels.get_mut(&issuer).unwrap().base = 1;
        assert_eq!(open(&hub, 0).err().unwrap().code, "feed.snapshot");
        assert_eq!(open(&hub, 2).err().unwrap().code, "feed.behind");
        hub.end();
        assert_eq!(open(&hub, 0).err().unwrap().code, "ending");
        hub.refresh(&mut authority).unwrap();
        assert!(hub.numbers().feeds.is_empty(), "what has ended does not begin again");
    }
}
