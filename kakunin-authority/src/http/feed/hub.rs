//! Everything that a stream begins with, and everything that goes into open streams.
//!
//! One lock holds the changes, the head and the streams of all feeds together. So a stream begins with exactly what came
//! before it was opened, and gets exactly what comes after. Changes are here once, however many streams there are: each
//! stream is a place among them. Whoever is so slow that the changes after his place are gone ends, and begins anew.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use axum::body::Bytes;
use kakunin_core::digest::Digest;
use kakunin_core::feed::UnverifiedItem;
use kakunin_core::revocation::FeedHead;
use kakunin_core::time::UnixMillis;

use super::frame;
use super::stream::{Kind, Stream};
use crate::authority::{Authority, AuthorityError};
use crate::feed::{FeedKey, FeedKeyError};
use crate::feeding::FeedNews;
use crate::http::error::Refusal;
use crate::store::{FeedItem, StoreError};

/// The feeds that are served.
#[derive(Clone, Default)]
pub(crate) struct Hub(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    ended: bool,
    channels: HashMap<Digest, Channel>,
    /// Streams that were ended because their client was too slow.
    dropped: u64,
    /// How many channels and streams there were so far.
    made: u64,
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.made = self.made.saturating_add(1);
        self.made
    }
}

/// The feed of one issuing authority.
struct Channel {
    /// One that is read anew is another one.
    number: u64,
    key: Arc<FeedKey>,
    certificates: HashMap<Digest, Bytes>,
    head: FeedHead,
    /// The epoch before the first change at hand.
    base: u64,
    changes: VecDeque<Change>,
    bytes: usize,
    beat: Option<Beat>,
    /// The streams that are open, and what wakes those that wait.
    streams: HashMap<u64, Option<Waker>>,
}

struct Change {
    key: Digest,
    event: Bytes,
    /// When it was kept, if that was in the time of this process.
    kept: Option<Instant>,
}

/// The newest heartbeat; nobody needs one before.
struct Beat {
    number: u64,
    epoch: u64,
    key: Digest,
    event: Bytes,
}

/// Where a stream is.
pub(super) struct Place {
    issuer: Digest,
    channel: u64,
    stream: u64,
    /// The next change, and how much of it was taken.
    next: u64,
    offset: usize,
    /// The keys whose certificates the client has.
    keys: Vec<Digest>,
    /// The newest heartbeat that was seen.
    beat: u64,
}

/// What there is for a stream.
pub(super) enum Look {
    /// A piece of what changed.
    Change(Bytes),
    /// A certificate or a heartbeat.
    Beside(Bytes),
    /// Nothing yet; it is woken.
    Nothing,
    /// It ends.
    End,
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
        let (mut state, mut waiting, mut failed) = (self.state(), Vec::new(), None);
        let gone = |issuer: &Digest| !news.iter().any(|feed| feed.issuer == *issuer);
        let over: Vec<_> = state.channels.keys().filter(|issuer| gone(issuer)).copied().collect();
        over.iter().for_each(|issuer| end(state.channels.remove(issuer)));
        for feed in news {
            let known = state.channels.get_mut(&feed.issuer).filter(|channel| channel.continues(&feed));
            if let Some(channel) = known {
                let issuer = feed.issuer;
                match channel.take_up(feed) {
                    Ok(wakers) => waiting.extend(wakers),
                    Err(error) => {
                        // Its heartbeats would say that nothing changed.
                        end(state.channels.remove(&issuer));
                        failed.get_or_insert(error);
                    }
                }
                continue;
            }
            // New, or something is missing in between: what the store has is what counts.
            end(state.channels.remove(&feed.issuer));
            let number = state.next_number();
            // What is wrong with the records of one feed ends no other one.
            match Channel::load(number, &feed, authority) {
                Ok(channel) if !state.ended => drop(state.channels.insert(feed.issuer, channel)),
                Ok(_) => {}
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        failed.map_or(Ok(()), Err)
    }

    /// Whether it has nothing to tell of anybody.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().channels.is_empty()
    }

    /// Sends a heartbeat into every open stream.
    ///
    /// # Errors
    /// [`FeedKeyError`] of the first feed whose key does not sign; its streams get nothing, and guards deny in time.
    pub(crate) fn beat(&self, at: impl Fn() -> UnixMillis) -> Result<(), FeedKeyError> {
        let mut guard = self.state();
        let state = &mut *guard;
        let (mut waiting, mut done) = (Vec::new(), Ok(()));
        for channel in state.channels.values_mut().filter(|channel| !channel.streams.is_empty()) {
            // Signed under the lock: no change comes between the head that it names and the streams.
            match channel.key.heartbeat(channel.head, None, at()) {
                Ok(line) => {
                    state.made = state.made.saturating_add(1);
                    let (number, epoch) = (state.made, channel.head.epoch());
                    let key = channel.key.certificate().key().key_id();
                    channel.beat = Some(Beat { number, epoch, key, event: frame::item(epoch, &line) });
                    waiting.extend(channel.waiting());
                }
                Err(error) => done = Err(error),
            }
        }
        drop(guard);
        waiting.into_iter().for_each(Waker::wake);
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
        let (key, head, at, mut first, place) = {
            let mut state = self.state();
            if state.ended {
                return Err(ending());
            }
            let open: usize = state.channels.values().map(|channel| channel.streams.len()).sum();
            let stream = state.next_number();
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
            let mut keys: Vec<Digest> = Vec::new();
            for change in channel.changes.iter().skip(known) {
                if keys.last() != Some(&change.key) && !keys.contains(&change.key) {
                    keys.push(change.key);
                }
            }
            let present = channel.key.certificate().key().key_id();
            keys.retain(|key| *key != present);
            if keys.len() >= KEYS {
                return Err(snapshot());
            }
            keys.push(present);
            let first: VecDeque<_> =
                keys.iter().filter_map(|key| channel.certificates.get(key)).cloned().collect();
            channel.streams.insert(stream, None);
            let beat = channel.beat.as_ref().map_or(0, |beat| beat.number);
            let (channel_number, next) = (channel.number, since.saturating_add(1));
            let place = Place { issuer, channel: channel_number, stream, next, offset: 0, keys, beat };
            // The time is that of the head: whatever comes later is sent after it.
            (Arc::clone(&channel.key), channel.head, now(), first, place)
        };
        let refused = |error: FeedKeyError| Refusal {
            cause: Some(error.to_string()),
            ..Refusal::unavailable("feed.key", "the feed has no key that is good; see the log")
        };
        let opening = match key.heartbeat(head, Some(nonce), at) {
            Ok(opening) => opening,
            Err(error) => {
                self.leave(&place);
                return Err(refused(error));
            }
        };
        first.push_back(frame::item(head.epoch(), &opening));
        Ok(Stream::new(self.clone(), place, first, kind, nonce))
    }

    /// The next piece for a stream; if there is none, `waker` is woken when there is.
    pub(super) fn look(&self, place: &mut Place, waker: &Waker) -> Look {
        let mut guard = self.state();
        let state = &mut *guard;
        let channel = state.channels.get_mut(&place.issuer).filter(|channel| channel.number == place.channel);
        let Some(channel) = channel else { return Look::End };
        if place.next <= channel.base {
            // What comes after its place is gone.
            state.dropped = state.dropped.saturating_add(1);
            return Look::End;
        }
        if let Some(look) = channel.piece(place) {
            return look;
        }
        channel.streams.insert(place.stream, Some(waker.clone()));
        Look::Nothing
    }

    /// A stream ended.
    pub(super) fn leave(&self, place: &Place) {
        let mut state = self.state();
        let channel = state.channels.get_mut(&place.issuer).filter(|channel| channel.number == place.channel);
        if let Some(channel) = channel {
            channel.streams.remove(&place.stream);
        }
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
        state.channels.drain().for_each(|(_, channel)| end(Some(channel)));
    }

    pub(crate) fn numbers(&self) -> Numbers {
        let state = self.state();
        let feeds = state.channels.iter();
        let mut feeds: Vec<_> =
            feeds.map(|(issuer, channel)| (*issuer, channel.head.epoch(), channel.streams.len())).collect();
        feeds.sort_unstable_by_key(|(issuer, ..)| *issuer.as_bytes());
        Numbers { feeds, dropped: state.dropped }
    }

    // INVARIANT: nothing under this lock leaves a channel half changed but a panic in an allocation, after which streams
    // may lack something: a follower sees a gap and asks again.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channel {
    /// Reads the end of a feed, as far as a client may be behind.
    fn load(number: u64, feed: &FeedNews, authority: &Authority<'_>) -> Result<Self, AuthorityError> {
        let store = &authority.store;
        let mut channel = Self {
            number,
            key: Arc::clone(&feed.key),
            certificates: HashMap::new(),
            head: feed.head,
            base: feed.head.epoch().saturating_sub(CHANGES),
            changes: VecDeque::new(),
            bytes: 0,
            beat: None,
            streams: HashMap::new(),
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

    /// Takes up what is new, and says whom to wake.
    fn take_up(&mut self, feed: FeedNews) -> Result<Vec<Waker>, AuthorityError> {
        if feed.key.certificate().key().key_id() != self.key.certificate().key().key_id() {
            self.certify(&feed.key);
            self.key = feed.key;
        }
        for kept in &feed.changes {
            // Every key that signs came by here when it was new.
            self.push(&kept.item, Some(kept.at), |_| Ok(None))?;
        }
        self.head = feed.head;
        Ok(if feed.changes.is_empty() { Vec::new() } else { self.waiting().collect() })
    }

    fn certify(&mut self, key: &FeedKey) {
        let certificate = key.certificate();
        let event = frame::certificate(certificate.decoded().der());
        self.certificates.insert(certificate.key().key_id(), event);
    }

    /// What wakes the streams that wait.
    fn waiting(&mut self) -> impl Iterator<Item = Waker> {
        self.streams.values_mut().filter_map(Option::take)
    }

    /// The next piece of what is for `place`: what changed, up to some size, and then a heartbeat that says no less.
    fn piece(&self, place: &mut Place) -> Option<Look> {
        // INVARIANT: whoever calls looked that `next` is above `base`.
        let at =
            usize::try_from(place.next.saturating_sub(self.base).saturating_sub(1)).unwrap_or(usize::MAX);
        let mut piece = Vec::new();
        for change in self.changes.iter().skip(at) {
            if let Some(certificate) = self.certificate_for(place, change.key) {
                piece.extend_from_slice(certificate);
            }
            let rest = change.event.get(place.offset..).unwrap_or_default();
            let some = rest.get(..PIECE.saturating_sub(piece.len()).max(1)).unwrap_or(rest);
            piece.extend_from_slice(some);
            match some.len() == rest.len() {
                true => (place.next, place.offset) = (place.next.saturating_add(1), 0),
                false => place.offset = place.offset.saturating_add(some.len()),
            }
            if piece.len() >= PIECE {
                break;
            }
        }
        if !piece.is_empty() {
            return Some(Look::Change(piece.into()));
        }
        let beat = self.beat.as_ref().filter(|beat| beat.number > place.beat)?;
        place.beat = beat.number;
        // One over a head of before says less than the changes that were sent since.
        if beat.epoch != self.head.epoch() {
            return None;
        }
        Some(Look::Beside(match self.certificate_for(place, beat.key) {
            Some(certificate) => [certificate.as_ref(), &beat.event].concat().into(),
            None => beat.event.clone(),
        }))
    }

    /// The certificate of a key, if the client of `place` lacks it. From here on it has it.
    fn certificate_for(&self, place: &mut Place, key: Digest) -> Option<&Bytes> {
        if place.keys.contains(&key) {
            return None;
        }
        place.keys.push(key);
        self.certificates.get(&key)
    }

    /// Adds a change, and forgets the oldest ones that nobody gets any more.
    fn push(
        &mut self,
        item: &FeedItem,
        kept: Option<Instant>,
        certificate: impl FnOnce(Digest) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<(), AuthorityError> {
        let damaged = || StoreError::Damaged { what: "item of a feed" };
        let key = UnverifiedItem::key_named(&item.item).map_err(|_| damaged())?;
        if let Entry::Vacant(place) = self.certificates.entry(key) {
            let der = certificate(key)?.ok_or(StoreError::Damaged { what: "certificate of a feed key" })?;
            place.insert(frame::certificate(&der));
        }
        let event = frame::item(item.epoch, &item.item);
        self.bytes = self.bytes.saturating_add(event.len());
        self.changes.push_back(Change { key, event, kept });
        let most = usize::try_from(CHANGES).unwrap_or(usize::MAX);
        while self.changes.len() > most || self.bytes > BYTES {
            let Some(old) = self.changes.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(old.event.len());
            self.base = self.base.saturating_add(1);
        }
        Ok(())
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
}

/// Wakes the streams of a feed that is over, so that they end.
fn end(channel: Option<Channel>) {
    let streams = channel.into_iter().flat_map(|channel| channel.streams.into_values());
    streams.flatten().for_each(Waker::wake);
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
/// What an answer has in its hands at a time; certificates of keys come on top.
const PIECE: usize = 32 * 1024;
/// Rows read at a time.
const PAGE: u32 = 512;

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Body;
    use kakunin_core::time::UnixTime;

    use super::*;
    use crate::authority::FeedMode;
    use crate::home::Home;
    use crate::signer::PassphraseSources;
    use crate::term::Hours;

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

    /// How long the next piece is that a stream has; `None` when it has none now.
    fn piece(stream: &mut Stream) -> Option<usize> {
        match Pin::new(stream).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(frame)) => Some(frame.unwrap().into_data().unwrap().len()),
            _ => None,
        }
    }

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
        for _ in 0..2000 {
            hub.beat(at).unwrap();
            assert_eq!(taken(&mut quick).unwrap().matches("event: item\nid: 0\n").count(), 1);
        }
        // The slow one lacks nothing by it: of all heartbeats the newest says the most.
        assert_eq!(taken(&mut slow).unwrap().matches("event: item").count(), 2);
        // It takes a piece of what changed; then that is gone, and so is its stream.
        let changes = |hub: &Hub, octets: &[usize]| {
            let mut state = hub.state();
            let channel = state.channels.get_mut(&issuer).unwrap();
            let key = channel.key.certificate().key().key_id();
            for octets in octets {
                let event = Bytes::from(vec![b'#'; *octets]);
                channel.changes.push_back(Change { key, event, kept: None });
                let epoch = channel.head.epoch() + 1;
                channel.head = FeedHead::new(epoch, Digest::of(&epoch.to_be_bytes())).unwrap();
            }
            let waiting: Vec<_> = channel.waiting().collect();
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        };
        changes(&hub, &[10, 3 * PIECE, 20]);
        hub.beat(at).unwrap();
        assert_eq!(piece(&mut slow).unwrap(), PIECE);
        assert_eq!(taken(&mut quick).unwrap().matches('#').count(), 3 * PIECE + 30);
        {
            let mut state = hub.state();
            let channel = state.channels.get_mut(&issuer).unwrap();
            channel.changes.clear();
            channel.base = channel.head.epoch();
        }
        assert_eq!(taken(&mut slow), None);
        assert_eq!(hub.numbers().dropped, 1);
        drop(slow);
        assert_eq!(hub.numbers().feeds, [(issuer, 3, 1)]);
        changes(&hub, &[30]);
        assert_eq!(taken(&mut quick).unwrap().matches('#').count(), 30, "it goes on");
        // A heartbeat over a head of before is not sent after what changed since.
        hub.beat(at).unwrap();
        changes(&hub, &[40]);
        let both = taken(&mut quick).unwrap();
        assert_eq!((both.matches('#').count(), both.contains("event")), (40, false));
        // One that went away is forgotten.
        drop(quick);
        assert_eq!(hub.numbers().feeds, [(issuer, 5, 0)]);

        // A client may be as far behind as there are changes at hand.
        assert_eq!(open(&hub, 2).err().unwrap().code, "feed.snapshot");
        assert_eq!(open(&hub, 6).err().unwrap().code, "feed.behind");

        // However many are behind and read slowly, what they lack is in memory once.
        changes(&hub, &[PIECE; 100]);
        let mut crowd: Vec<_> = (0..500).map(|_| open(&hub, 3).unwrap()).collect();
        for stream in &mut crowd {
            while piece(stream).unwrap() < PIECE {}
        }
        let held = |hub: &Hub| {
            let state = hub.state();
            let channel = &state.channels[&issuer];
            assert_eq!(channel.changes.len(), 102);
            channel.changes.iter().filter(|change| !change.event.is_unique()).count()
        };
        assert_eq!(held(&hub), 0, "no stream has any of it");
        let rest = taken(crowd.first_mut().unwrap()).unwrap();
        assert_eq!(rest.matches('#').count(), 100 * PIECE + 70 - PIECE);
        hub.end();
        assert_eq!(open(&hub, 0).err().unwrap().code, "ending");
        hub.refresh(&mut authority).unwrap();
        assert!(hub.numbers().feeds.is_empty(), "what has ended does not begin again");
    }
}
