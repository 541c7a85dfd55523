//! The lists that are being read, and how much memory they may take.
//!
//! Lists are megabytes, everyone may ask for them, and each revocation makes new ones. An answer therefore has none of
//! them in its hands: it copies the next piece when the client has taken the one before. The shelf alone keeps lists, the
//! newest ones and, as long as somebody reads them, as many older ones as fit. Whoever reads so slowly that the list was
//! taken off the shelf meanwhile is cut off, and asks again for a newer one.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::publish::Published;

/// Lists by age, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<VecDeque<Arc<Published>>>);

impl Shelf {
    /// Puts the newest lists there, and takes off what nobody reads or does not fit any more.
    pub(crate) fn put(&self, newest: Arc<Published>) {
        self.put_beside(newest, 1);
    }

    /// The same where so many shelves, this one among them, share the room for older lists: each tenant has one, and
    /// strangers can read all of them.
    pub(crate) fn put_beside(&self, newest: Arc<Published>, shelves: usize) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = room(newest.octets(), shelves);
        let mut kept = VecDeque::from([newest]);
        while let Some(older) = lists.pop_back() {
            // Readers have a weak reference each.
            if Arc::weak_count(&older) == 0 {
                continue;
            }
            let Some(rest) = left.checked_sub(older.octets()) else { break };
            left = rest;
            kept.push_front(older);
        }
        *lists = kept;
    }

    /// The newest lists.
    pub(crate) fn newest(&self) -> Option<Arc<Published>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).back().cloned()
    }

    /// The newest lists and a reader of them. Made here in one step, so that no newer ones come in between and cut it off.
    pub(crate) fn open(&self, part: Part) -> Option<(Arc<Published>, Reading)> {
        let lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.back().map(|newest| (Arc::clone(newest), Reading::new(newest, part)))
    }

    /// How many octets are kept here, for however many readers.
    pub(crate) fn octets(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|lists| lists.octets()).sum()
    }
}

/// How much older lists may take beside newest ones of so many octets: a download must not be cut off by each revocation.
fn room(newest: usize, shelves: usize) -> usize {
    newest.saturating_mul(2).max(OLDER / shelves.max(1))
}

/// Which part of the lists an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// That of the current issuing authority, in DER.
    Der,
    /// The same in PEM.
    Pem,
    /// All of them in PEM.
    All,
    /// The delta list beside that of the current issuing authority, in DER; nothing where there is none.
    Delta,
    /// The same in PEM.
    DeltaPem,
}

impl Part {
    /// Whether it is of a delta list.
    pub(crate) const fn is_delta(self) -> bool {
        matches!(self, Self::Delta | Self::DeltaPem)
    }

    fn of(self, lists: &Published) -> &[u8] {
        match self {
            Self::Der => &lists.list().der,
            Self::Pem => lists.list_pem().as_bytes(),
            Self::All => lists.lists_pem().as_bytes(),
            Self::Delta => lists.delta().map_or(&[], |delta| &delta.der),
            Self::DeltaPem => lists.delta_pem().map_or(&[], str::as_bytes),
        }
    }
}

/// The body of an answer with lists.
#[derive(Debug)]
pub(crate) struct Reading {
    lists: Weak<Published>,
    part: Part,
    at: usize,
    end: usize,
}

impl Reading {
    fn new(lists: &Arc<Published>, part: Part) -> Self {
        Self { lists: Arc::downgrade(lists), part, at: 0, end: part.of(lists).len() }
    }
}

impl Body for Reading {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.at >= self.end {
            return Poll::Ready(None);
        }
        let Some(lists) = self.lists.upgrade() else {
            return Poll::Ready(Some(Err(io::Error::other("newer lists have taken the place of these"))));
        };
        let to = self.at.saturating_add(PIECE).min(self.end);
        let piece = self.part.of(&lists).get(self.at..to).unwrap_or_default();
        let piece = Bytes::copy_from_slice(piece);
        self.at = to;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end.saturating_sub(self.at) as u64)
    }
}

/// Octets of older lists that somebody still reads.
const OLDER: usize = 128 << 20;
/// What an answer has in its hands at a time.
const PIECE: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use axum::http::HeaderMap;
    use kakunin_core::time::UnixTime;

    use super::*;
    use crate::authority::Authority;
    use crate::delta::Delta;
    use crate::home::Home;
    use crate::http::route::crl::answered;
    use crate::signer::PassphraseSources;
    use crate::store::ListRecord;
    use crate::term::Hours;

    /// Lists of so many octets of DER, filled with `fill`, and a delta list of half as many.
    fn lists(authority: &Authority<'_>, octets: usize, fill: u8) -> Arc<Published> {
        let (this_update, next_update) = (UnixTime::from_seconds(1), UnixTime::from_seconds(2));
        let list = ListRecord { number: u64::from(fill), this_update, next_update, der: vec![fill; octets] };
        let delta = Delta { base: 0, der: vec![fill; octets / 2] };
        let lists = Published::new(authority.root(), authority.issuing().unwrap(), list, &[]).unwrap();
        Arc::new(lists.with_delta(Some(delta)))
    }

    fn piece(reading: &mut Reading) -> Option<Result<Bytes, io::Error>> {
        next(reading)
    }

    fn next<B: Body<Data = Bytes> + Unpin>(reading: &mut B) -> Option<Result<Bytes, B::Error>> {
        match Pin::new(reading).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(frame) => frame.map(|frame| frame.map(|frame| frame.into_data().ok().unwrap())),
            Poll::Pending => panic!("lists never wait"),
        }
    }

    fn with_authority(work: impl FnOnce(&Authority<'_>)) {
        let folder = tempfile::tempdir().unwrap();
        let ask = |_: &str| Err(io::Error::other("nobody"));
        let own = folder.path().join("passphrase");
        std::fs::write(&own, "correct horse\n").unwrap();
        rustix::fs::chmod(&own, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let home = Home::at(&folder.path().join("home"));
        let sources = PassphraseSources { named: None, own: &own, ask: &ask };
        let now = UnixTime::from_seconds(1_800_000_000);
        work(&Authority::init(&home, sources, now, Hours::default()).unwrap().0);
    }

    const LISTS: u8 = 24;
    const PARTS: [Part; 5] = [Part::Der, Part::Pem, Part::All, Part::Delta, Part::DeltaPem];

    #[test]
    fn however_many_read_slowly_the_lists_are_in_memory_once_and_older_ones_within_bounds() {
        with_authority(|authority| {
            let shelf = Shelf::default();
            let mut slow = Vec::new();
            for fill in 1..=LISTS {
                let newest = lists(authority, 5 << 20, fill);
                let each = newest.octets();
                shelf.put(Arc::clone(&newest));
                // A hundred clients take the first piece of each part of each, and then no more.
                for at in 0..500_usize {
                    let part = *PARTS.get(at % PARTS.len()).unwrap();
                    let mut reading = Reading::new(&newest, part);
                    let first = piece(&mut reading).unwrap().unwrap();
                    assert!(first.len() <= PIECE);
                    slow.push((fill, reading));
                }
                drop(newest);
                assert!(shelf.octets() <= OLDER + each, "{}", shelf.octets());
            }
            // Nobody else keeps lists: not the answers, of which there are thousands.
            let kept = shelf.0.lock().unwrap().len();
            assert!((2..usize::from(LISTS)).contains(&kept));
            for (fill, reading) in &mut slow {
                let on_shelf = usize::from(*fill) > usize::from(LISTS) - kept;
                let mut octets = 0;
                let whole = loop {
                    match piece(reading) {
                        Some(Ok(piece)) => octets += piece.len(),
                        Some(Err(_)) => break false,
                        None => break true,
                    }
                };
                assert_eq!(whole, on_shelf, "{fill}");
                // What was cut off does not look like the end.
                assert!(whole || (octets == 0 && !reading.is_end_stream()));
                if whole && *fill < LISTS {
                    break;
                }
            }
        });
    }

    #[test]
    fn whatever_is_read_counts_and_an_answer_has_none_of_it_in_its_hands() {
        with_authority(|authority| {
            for part in PARTS {
                let shelf = Shelf::default();
                shelf.put(lists(authority, 300_000, 1));
                let (published, reading) = shelf.open(part).unwrap();
                let kept = [&published.list().der, &published.delta().unwrap().der].map(Vec::len);
                let text = published.lists_pem().len() + published.delta_pem().unwrap().len();
                assert_eq!(shelf.octets(), kept.iter().sum::<usize>() + text);
                let response = answered(&HeaderMap::new(), &published, reading, part).unwrap();
                assert_eq!(response.headers().contains_key("x-crl-base"), part.is_delta());
                let mut body = response.into_body();
                let first = next(&mut body).unwrap().unwrap();
                assert!(!first.is_empty() && first.len() <= PIECE, "{part:?}");
                // Nobody has the lists any more, the answer neither.
                drop((shelf, published));
                assert!(next(&mut body).unwrap().is_err(), "{part:?}");
            }
        });
    }

    #[test]
    fn where_there_is_no_delta_list_its_answer_says_so() {
        with_authority(|authority| {
            let list = lists(authority, 100, 1).list().clone();
            let alone = Published::new(authority.root(), authority.issuing().unwrap(), list, &[]).unwrap();
            let shelf = Shelf::default();
            shelf.put(Arc::new(alone));
            for part in [Part::Delta, Part::DeltaPem] {
                let (published, reading) = shelf.open(part).unwrap();
                let refused = answered(&HeaderMap::new(), &published, reading, part).unwrap_err();
                assert_eq!((refused.status.as_u16(), refused.code), (404, "crl.no_delta"));
            }
        });
    }

    #[test]
    fn shelves_share_the_room_for_older_lists_and_a_download_has_its_own() {
        with_authority(|authority| {
            let (shared, alone) = (Shelf::default(), Shelf::default());
            let mut slow = Vec::new();
            for fill in 1..=9 {
                let newest = lists(authority, 5 << 20, fill);
                slow.push(Reading::new(&newest, Part::All));
                alone.put(Arc::clone(&newest));
                shared.put_beside(newest, 100);
            }
            let each = alone.newest().unwrap().octets();
            // What was read when two newer ones came is still there.
            assert!((2 * each..=3 * each).contains(&shared.octets()), "{}", shared.octets());
            assert!(alone.octets() > 2 * shared.octets());
            drop(slow);
        });
    }

    #[test]
    fn what_nobody_reads_goes_at_once_and_a_reader_gets_exactly_his_list() {
        with_authority(|authority| {
            let shelf = Shelf::default();
            shelf.put(lists(authority, 100_000, 1));
            let (old, mut reading) = shelf.open(Part::All).unwrap();
            let (wanted, length) = (old.lists_pem().to_owned(), reading.size_hint().exact());
            drop(old);
            shelf.put(lists(authority, 100_000, 2));
            assert_eq!(shelf.0.lock().unwrap().len(), 2, "one is being read");
            let mut read = Vec::new();
            while let Some(piece) = piece(&mut reading) {
                read.extend_from_slice(&piece.unwrap());
            }
            assert_eq!((read, length), (wanted.clone().into_bytes(), Some(wanted.len() as u64)));
            drop(reading);
            shelf.put(lists(authority, 100_000, 3));
            assert_eq!(shelf.0.lock().unwrap().len(), 1);
        });
    }
}
