//! The loop: one address after the other, lists before the feed, and what is handed to guards.

use std::time::Duration;

use kakunin_core::certificate::PathLists;
use kakunin_core::feed::Follower;
use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::home::FileVersion;
use tokio::time::Instant;

use super::delta::Newest;
use super::lists::{Loading, RELOAD};
use crate::client::{Shared, Slot, Wakes};
use crate::floor::Floor;
use crate::place::Place;
use crate::status::{Transport, Trouble};
use crate::transport::Transport as Connections;
use crate::wait::{Backoff, share_of};

/// One client's way to its feed.
pub(crate) struct Follow<'a> {
    pub(super) shared: &'a Shared,
    pub(super) wakes: &'a Wakes,
    pub(super) transport: &'a Connections,
    slot: &'a Slot,
    pub(super) place: Place,
    /// How each address carries the feed.
    pub(super) floors: Vec<Floor>,
    pub(super) lists: Option<PathLists>,
    /// What the last answer with lists was called, and whether the lists of that answer are the ones at hand.
    pub(super) tag: Option<String>,
    /// Which version of the file of lists was compared with those at hand.
    pub(super) compared: Option<FileVersion>,
    /// The newest delta list of the issuing authority.
    pub(super) newest_delta: Option<Newest>,
    pub(super) follower: Option<Follower>,
    /// When lists are to be loaded again.
    pub(super) lists_due: Instant,
    /// When they were asked for last.
    pub(super) lists_asked: Option<Instant>,
    /// Those that come while the feed goes on.
    pub(super) loading: Option<Loading>,
    /// Whether they are to be loaded because of how much came after them.
    pub(super) is_heavy: bool,
    /// What was told as an alarm, until something is taken up.
    pub(super) alarmed: Option<String>,
    /// The last item that was taken up, as it came: a heartbeat may have announced what is contradicted later.
    pub(super) last_item: Option<String>,
    /// Events since the last one that changed anything.
    pub(super) vain: u32,
}

/// Why a connection is over, other than by failing.
pub(super) enum Ended {
    /// It said all it had to say.
    Whole,
    /// Changes are missing that only newer lists have.
    NeedsLists,
}

impl<'a> Follow<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        wakes: &'a Wakes,
        transport: &'a Connections,
        slot: &'a Slot,
    ) -> Self {
        let mut follow = Self {
            shared,
            wakes,
            transport,
            slot,
            place: slot.borrow().clone(),
            floors: vec![Floor::default(); shared.addresses.len()],
            lists: None,
            tag: None,
            compared: None,
            newest_delta: None,
            follower: None,
            lists_due: Instant::now(),
            lists_asked: None,
            loading: None,
            is_heavy: false,
            alarmed: None,
            last_item: None,
            vain: 0,
        };
        follow.take_up_directory();
        follow
    }

    /// Follows until it is dropped.
    pub(crate) async fn run(mut self) {
        let (mut turn, mut backoff, mut failures) = (0, Backoff::default(), 0);
        loop {
            let trouble = match self.once(turn).await {
                Ok(()) => {
                    (backoff, failures) = (Backoff::default(), 0);
                    // Whoever is sent away by a server that ends comes back spread out.
                    tokio::time::sleep(share_of(PAUSE)).await;
                    continue;
                }
                Err(trouble) => trouble,
            };
            let address = self.shared.addresses.get(turn).map(ToString::to_string).unwrap_or_default();
            self.shared.board.trouble(&trouble.clone().about(&address));
            self.shared.board.write(|status| (status.url, status.transport) = (None, None));
            (turn, failures) = ((turn + 1) % self.floors.len().max(1), failures + 1);
            // The others may know better; when all were asked, they are left alone for a while. Whoever listened to one that ends
            // comes to the next with all the others, and a little spread out.
            if failures % self.floors.len().max(1) == 0 {
                tokio::time::sleep(backoff.next(trouble.wait)).await;
            } else {
                tokio::time::sleep(share_of(SPREAD)).await;
            }
        }
    }

    /// The papers that are the agent's at this moment.
    pub(super) fn present(&self) -> Place {
        self.slot.borrow().clone()
    }

    /// Begins with the lists in the directory, if they serve.
    fn take_up_directory(&mut self) {
        self.place = self.present();
        (self.lists, self.follower, self.tag) = (None, None, None);
        (self.compared, self.newest_delta, self.loading) = (None, None, None);
        let end = self.place.path().not_after();
        self.shared.board.write(|status| status.certificate_until = Some(end));
        if let Some(lists) = self.place.lists().filter(|lists| self.is_wanted(lists)) {
            // A guard denies by it until something is heard.
            self.begin(lists);
        }
    }

    /// One connection to one address, with lists before it if they are due.
    async fn once(&mut self, turn: usize) -> Result<(), Trouble> {
        let present = self.present();
        if present.issuer() == self.place.issuer() {
            // Lists and feed are the same ones; the certificate that they are asked about may be another.
            self.place = present;
        } else {
            self.take_up_directory();
        }
        if self.lists.is_none() {
            self.load_lists(turn).await?;
        } else if self.follower.is_some() {
            self.load_beside(turn);
            self.take_up_loaded().await;
        } else if Instant::now() >= self.lists_due
            && !self.is_unchanged(turn).await
            && let Err(trouble) = self.load_lists(turn).await
        {
            // Those at hand are good for a while.
            self.lists_due = Instant::now() + RELOAD + share_of(RELOAD);
            return Err(trouble);
        }
        if self.follower.is_none() {
            return self.without_feed(turn).await;
        }
        match self.connection(turn).await? {
            Ended::Whole => Ok(()),
            Ended::NeedsLists => {
                let before = self.follower.as_ref().map(|follower| follower.head().epoch());
                self.load_lists(turn).await?;
                let after = self.follower.as_ref().map(|follower| follower.head().epoch());
                // Lists that are no newer do not help; asking for them again at once would not either.
                if after > before {
                    Ok(())
                } else {
                    Err(Trouble::now("feed.gap", "changes are missing, and the lists do not have them yet"))
                }
            }
        }
    }

    /// Lists that ask for no feed, where code allows that: loaded again every minute.
    async fn without_feed(&mut self, turn: usize) -> Result<(), Trouble> {
        let url = self.shared.addresses.get(turn).map(ToString::to_string);
        self.shared.board.write(|status| {
            (status.url, status.transport) = (url.clone(), Some(Transport::Files));
            status.last_error = None;
        });
        self.wakes.settled.notify_one();
        let minute = tokio::time::sleep(MINUTE - share_of(MINUTE / 10));
        tokio::select! {
            () = minute => {}
            () = self.wakes.moved.notified() => {}
        }
        self.lists_due = Instant::now();
        Ok(())
    }

    pub(super) fn is_wanted(&self, lists: &PathLists) -> bool {
        lists.issuing().policy().is_some() || self.shared.options.without_feed
    }

    /// Takes up verified lists, with a follower that stands on them.
    fn begin(&mut self, lists: PathLists) {
        // After a fork guards know something already, and go on deciding by it until there is more.
        // So do those of an agent that moves to the feed of the next authority: its first word was heard before it moved.
        let known = self.shared.feed.follower_of(&self.place.issuer()).and_then(|known| {
            let mut follower = Follower::clone(&known);
            follower.rebase(lists.issuing().der()).ok()?;
            Some(follower)
        });
        let made = || {
            let follower = Follower::new(self.place.path().issuing(), lists.issuing().der());
            follower.ok().map(|mut follower| {
                self.shared.shorten(&mut follower);
                follower
            })
        };
        let follower = known.or_else(made);
        if let Some(follower) = &follower {
            self.shared.feed.publish(follower.clone());
            self.shared.board.heard(follower);
        }
        (self.follower, self.lists) = (follower, Some(lists));
        self.lists_taken();
    }

    pub(super) fn lists_taken(&mut self) {
        let Some(lists) = &self.lists else { return };
        let (begin, end) = (lists.issuing().this_update(), lists.next_update());
        let now = SystemClock.wall().to_seconds();
        // The authority signs the next one at half time; a tenth of the whole is left to find out.
        let life = u64::try_from(end.seconds() - begin.seconds()).unwrap_or(0);
        let age = u64::try_from(now.seconds() - begin.seconds()).unwrap_or(0);
        let jitter = share_of(Duration::from_secs(life / 10));
        let due = Duration::from_secs(life / 2) + jitter;
        let left = due.saturating_sub(Duration::from_secs(age)).max(RELOAD + share_of(RELOAD));
        (self.lists_due, self.is_heavy) = (Instant::now() + left, false);
        self.shared.board.write(|status| status.lists_until = Some(end));
    }

    /// Has lists loaded soon when much came after those at hand: a change takes several times the memory that it takes in a
    /// list, in every process. A mass revocation is much for all of them at once, so they come spread out.
    fn lighten(&mut self) {
        let Some(follower) = self.follower.as_ref().filter(|_| !self.is_heavy) else { return };
        let octets: usize = follower.changes().map(|item| item.token().len()).sum();
        if octets > MUCH {
            (self.is_heavy, self.lists_due) = (true, self.lists_due.min(Instant::now() + share_of(LIGHTEN)));
        }
    }

    /// Hands what is known to guards.
    pub(super) fn publish(&mut self) {
        self.lighten();
        let Some(follower) = &self.follower else { return };
        self.shared.feed.publish(follower.clone());
        self.shared.board.heard(follower);
        self.wakes.heard.notify_one();
        let until = follower.fresh_until();
        if until.is_some_and(|until| until > SystemClock.boot_millis()) {
            self.alarmed = None;
            self.shared.board.write(|status| status.last_error = None);
            self.wakes.settled.notify_one();
        }
    }
}

const PAUSE: Duration = Duration::from_millis(500);
const SPREAD: Duration = Duration::from_millis(200);
/// Changes of some ten thousand certificates, as they came.
const MUCH: usize = 1 << 20;
const LIGHTEN: Duration = Duration::from_secs(600);
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use kakunin_authority::MemoryAuthority;
    use kakunin_authority::feed::{FeedKey, entry};
    use kakunin_authority::standing::Reason;
    use kakunin_core::certificate::{CaCertificate, CaRole};
    use kakunin_core::digest::unhex;
    use kakunin_core::id::SerialNumber;
    use kakunin_core::revocation::{FeedHead, ListPolicy};
    use kakunin_core::scope::DraftScope;

    use super::*;
    use crate::connect::ConnectOptions;
    use crate::tested::{certified, now, with_authority};
    use crate::transport::Address;

    /// A follower that nothing was said to yet, and the key that speaks to it.
    fn followed() -> (Follower, FeedKey) {
        let house = MemoryAuthority::new(now()).unwrap();
        let none = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        let scope = DraftScope::parse("actions = [\"pay\"]", &none).unwrap();
        let papers = house.certify("other", &scope, now(), 1).unwrap().papers;
        let issuing = CaCertificate::decode(&papers.chain[0], CaRole::Issuing).unwrap();
        let policy = ListPolicy::new(60, FeedHead::START).unwrap();
        let pem = house.lists_with_feed(now(), 24, policy).unwrap();
        let list =
            der::pem::decode_vec(pem.split_inclusive("-----END X509 CRL-----\n").next().unwrap().as_bytes());
        let key = house.feed_key(now()).unwrap();
        let mut follower = Follower::new(&issuing, &list.unwrap().1).unwrap();
        follower.certify(key.certificate().decoded().der(), now(), SystemClock.boot_millis()).unwrap();
        (follower, key)
    }

    /// C236
    #[test]
    fn after_a_mass_revocation_lists_are_loaded_within_minutes_and_once() {
        with_authority(|folder, authority| {
            let _ = certified(authority, folder, "billing");
            let place = Place::open(&folder.join("billing"), now()).unwrap();
            let shared = Shared::new(ConnectOptions::new("billing"), Vec::new(), place.agent());
            let (wakes, transport) = (Wakes::default(), Connections::new(&[], None).unwrap());
            let slot = Slot::new(place);
            let mut follow = Follow::new(&shared, &wakes, &transport, &slot);
            let (mut follower, key) = followed();
            let mono = SystemClock.boot_millis();
            follower.begin([1; 16], mono);
            let first = key.heartbeat(FeedHead::START, Some([1; 16]), SystemClock.wall()).unwrap();
            follower.take(&first, mono).unwrap();
            let revoke = |follower: &mut Follower, serials: std::ops::Range<u32>| {
                let named = serials.map(|number| {
                    let mut random = [0; 16];
                    random[..4].copy_from_slice(&number.to_be_bytes());
                    entry(SerialNumber::from_random(random), Some(Reason::Unspecified), now())
                });
                let named = named.collect();
                for change in key.sign_changes(follower.head(), named, SystemClock.wall()).unwrap() {
                    follower.take(&change.line, SystemClock.boot_millis()).unwrap();
                }
            };
            let late = Instant::now() + Duration::from_secs(40_000);
            follow.lists_due = late;
            revoke(&mut follower, 0..100);
            follow.follower = Some(follower.clone());
            follow.publish();
            assert_eq!((follow.is_heavy, follow.lists_due), (false, late), "a hundred are few");
            revoke(&mut follower, 100..30_000);
            follow.follower = Some(follower);
            follow.publish();
            let due = follow.lists_due;
            assert!(follow.is_heavy && due <= Instant::now() + LIGHTEN, "and thirty thousand are many");
            // One draw: drawn anew with each word, the earliest would win.
            (0..5).for_each(|_| follow.publish());
            assert_eq!(follow.lists_due, due);
        });
    }

    /// C348: on a slow line the lists of a hundred thousand certificates took longer than the feed's last word was good for.
    #[test]
    fn lists_that_do_not_come_hold_up_no_word_of_the_feed() {
        with_authority(|folder, authority| {
            let _ = certified(authority, folder, "billing");
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = Address::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
            let place = Place::open(&folder.join("billing"), now()).unwrap();
            let transport = Connections::new(std::slice::from_ref(&address), None).unwrap();
            let shared = Shared::new(ConnectOptions::new("billing"), vec![address], place.agent());
            let (wakes, slot) = (Wakes::default(), Slot::new(place));
            let mut follow = Follow::new(&shared, &wakes, &transport, &slot);
            let (follower, key) = followed();
            follow.follower = Some(follower);
            follow.lists_due = Instant::now();
            std::thread::scope(|scope| {
                let asked = || {
                    let (stream, _) = listener.accept().unwrap();
                    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                    (stream, head[0].clone())
                };
                let answering = scope.spawn(move || {
                    let (mut feed, line) = asked();
                    let nonce = line.split("nonce=").nth(1).and_then(|rest| rest.get(..32)).unwrap();
                    feed.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").unwrap();
                    let (lists, line) = asked();
                    assert!(line.starts_with("GET /v1/crl/all?"), "{line}");
                    // The first word comes when the lists are awaited already, and they never come.
                    let nonce = Some(unhex(nonce).unwrap());
                    let word = key.heartbeat(FeedHead::START, nonce, SystemClock.wall()).unwrap();
                    feed.write_all(format!("event: item\ndata: {word}\n\n").as_bytes()).unwrap();
                    lists
                });
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let ended = runtime.block_on(follow.connection(0)).unwrap();
                assert!(matches!(ended, Ended::Whole));
                assert!(follow.follower.as_ref().unwrap().fresh_until().is_some(), "the word was heard");
                assert!(follow.loading.is_some(), "and the lists are on their way");
                drop(answering.join().unwrap());
            });
        });
    }
}
