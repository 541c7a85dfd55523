//! Following the feed: from an address to a follower that guards can decide by.
//!
//! One address is asked at a time, the next one when it fails. Streams first; where something on the way holds them back,
//! questions that wait, then plain questions. Everything that comes is the follower's to judge: what it refuses ends the
//! connection, and what it knew before goes on counting for as long as it was good for. Lists come first and again when changes are
//! missing: verified, written, and only then is a follower published that stands on them.

use std::time::Duration;

use base64ct::{Base64, Encoding};
use kakunin_core::certificate::PathLists;
use kakunin_core::feed::{Follower, Progress, Refusal};
use kakunin_core::guard::{Clock, SystemClock};
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use tokio::time::Instant;

use crate::alarm::AlarmKind;
use crate::client::{Shared, Slot, Wakes};
use crate::floor::Floor;
use crate::place::Place;
use crate::sse::{Event, NoEvents, Parser};
use crate::status::{Transport, Trouble};
use crate::transport::{self, HEAD, Transport as Connections, answer, refusal, words};
use crate::wait::{Backoff, nonce, share_of};

/// One client's way to its feed.
pub(crate) struct Follow<'a> {
    shared: &'a Shared,
    wakes: &'a Wakes,
    transport: &'a Connections,
    slot: &'a Slot,
    place: Place,
    /// How each address carries the feed.
    floors: Vec<Floor>,
    lists: Option<PathLists>,
    /// What the last answer with lists was called, and whether the lists of that answer are the ones at hand.
    tag: Option<String>,
    follower: Option<Follower>,
    /// When lists are to be loaded again.
    lists_due: Instant,
    /// What was told as an alarm, until something is taken up.
    alarmed: Option<String>,
    /// Events since the last one that changed anything.
    vain: u32,
}

/// Why a connection is over, other than by failing.
enum Ended {
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
            follower: None,
            lists_due: Instant::now(),
            alarmed: None,
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
            // The others may know better; when all were asked, they are left alone for a while.
            if failures % self.floors.len().max(1) == 0 {
                tokio::time::sleep(backoff.next(trouble.wait)).await;
            }
        }
    }

    /// Begins with the lists in the directory, if they serve.
    fn take_up_directory(&mut self) {
        self.place = self.slot.borrow().clone();
        (self.lists, self.follower, self.tag) = (None, None, None);
        let end = self.place.path().not_after();
        self.shared.board.write(|status| status.certificate_until = Some(end));
        if let Some(lists) = self.place.lists().filter(|lists| self.is_wanted(lists)) {
            // A guard denies by it until something is heard.
            self.begin(lists);
        }
    }

    /// One connection to one address, with lists before it if they are due.
    async fn once(&mut self, turn: usize) -> Result<(), Trouble> {
        if self.slot.borrow().issuer() != self.place.issuer() {
            self.take_up_directory();
        }
        if self.lists.is_none() {
            self.load_lists(turn).await?;
        } else if Instant::now() >= self.lists_due
            && let Err(trouble) = self.load_lists(turn).await
        {
            // Those at hand are good for a while; the feed is worth more meanwhile.
            self.lists_due = Instant::now() + RELOAD + share_of(RELOAD);
            if self.follower.is_none() {
                return Err(trouble);
            }
            self.shared.board.trouble(&trouble);
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

    fn is_wanted(&self, lists: &PathLists) -> bool {
        lists.issuing().policy().is_some() || self.shared.options.without_feed
    }

    /// Takes up verified lists, with a follower that stands on them.
    fn begin(&mut self, lists: PathLists) {
        // After a fork guards know something already, and go on deciding by it until there is more.
        let known = self.shared.feed.follower().and_then(|known| {
            let mut follower = Follower::clone(&known);
            follower.rebase(lists.issuing().der()).ok()?;
            Some(follower)
        });
        let made = || {
            let follower = Follower::new(self.place.path().issuing(), lists.issuing().der());
            follower.ok().map(|mut follower| {
                self.shorten(&mut follower);
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

    fn shorten(&self, follower: &mut Follower) {
        if let Some(seconds) = self.shared.options.max_age {
            follower.shorten(seconds);
        }
    }

    fn lists_taken(&mut self) {
        let Some(lists) = &self.lists else { return };
        let (begin, end) = (lists.issuing().this_update(), lists.next_update());
        let now = SystemClock.wall().to_seconds();
        // The authority signs the next one at half time; a tenth of the whole is left to find out.
        let life = u64::try_from(end.seconds() - begin.seconds()).unwrap_or(0);
        let age = u64::try_from(now.seconds() - begin.seconds()).unwrap_or(0);
        let jitter = share_of(Duration::from_secs(life / 10));
        let due = Duration::from_secs(life / 2) + jitter;
        let left = due.saturating_sub(Duration::from_secs(age)).max(RELOAD + share_of(RELOAD));
        self.lists_due = Instant::now() + left;
        self.shared.board.write(|status| status.lists_until = Some(end));
    }

    /// Loads the lists, and takes them up if they are genuine and newer.
    async fn load_lists(&mut self, turn: usize) -> Result<(), Trouble> {
        let Some(address) = self.shared.addresses.get(turn) else { return Ok(()) };
        let mut request = self.transport.get(address, "/v1/crl/all", &[]);
        if let Some(tag) = self.tag.as_ref().filter(|_| self.lists.is_some()) {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let response = answer(request, HEAD).await?;
        if response.status() == StatusCode::NOT_MODIFIED && self.lists.is_some() {
            self.lists_taken();
            return Ok(());
        }
        if response.status() != StatusCode::OK {
            return Err(refusal(response).await);
        }
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let pem = transport::body(response, MAX_LISTS, LISTS_TIME).await?;
        let lists = self.judge(&pem)?;
        let follower = match (&self.follower, lists.issuing().policy()) {
            (_, None) => None,
            (Some(follower), Some(_)) => {
                let mut follower = follower.clone();
                follower.rebase(lists.issuing().der()).map_err(|refusal| self.refused(&refusal))?;
                Some(follower)
            }
            (None, Some(_)) => {
                let made = Follower::new(self.place.path().issuing(), lists.issuing().der());
                let mut follower = made.map_err(|refusal| self.refused(&refusal))?;
                self.shorten(&mut follower);
                Some(follower)
            }
        };
        let kept = self.place.put_lists(lists).await;
        self.lists = Some(kept.map_err(|error| Trouble::now(error.code(), error.to_string()))?);
        (self.tag, self.follower) = (tag, follower);
        self.lists_taken();
        self.shared.board.write(|status| status.snapshots += 1);
        // Only now: a guard that sees this follower finds its list, or a newer one.
        self.publish();
        Ok(())
    }

    /// The lists of this agent in `pem`, if they are genuine and may follow those at hand.
    fn judge(&mut self, pem: &[u8]) -> Result<PathLists, Trouble> {
        let path = self.place.path().clone();
        let lists = PathLists::from_pem(pem, &path);
        let lists = lists.map_err(|error| self.refuse(error.reason().code(), &error))?;
        let now = SystemClock.wall().to_seconds();
        if lists.this_update() > now.plus(TOLERANCE) {
            let what = format!("the lists are dated {}, and here it is {now}", lists.this_update());
            return Err(self.refuse("revocation.invalid", &what));
        }
        if let Some(known) = &self.lists {
            let follows = lists.may_follow(known, &path);
            follows.map_err(|error| self.refuse("revocation.rollback", &error))?;
        }
        if !self.is_wanted(&lists) {
            let what =
                "the lists of this authority ask for no feed; start it with one, or connect without_feed";
            return Err(self.refuse("feed.none", &what));
        }
        Ok(lists)
    }

    /// One connection: asks, judges the answer, reads what comes.
    async fn connection(&mut self, turn: usize) -> Result<Ended, Trouble> {
        let Some(address) = self.shared.addresses.get(turn) else { return Ok(Ended::Whole) };
        let carried = self.floors.get_mut(turn).map_or(Transport::Stream, Floor::choose);
        let nonce = nonce().ok_or_else(|| Trouble::now("internal", "the system gives no randomness"))?;
        self.vain = 0;
        let Some(follower) = &mut self.follower else { return Ok(Ended::Whole) };
        let wait = wait(follower.max_age());
        // Before it is asked for: the age of what comes is counted from here.
        follower.begin(nonce, SystemClock.boot_millis());
        let (issuer, since) = (follower.issuer().to_hex(), follower.head().epoch().to_string());
        let (non, seconds) = (kakunin_core::digest::hex(&nonce), wait.as_secs().to_string());
        let mut pairs = vec![("issuer", issuer.as_str()), ("since", &since), ("nonce", &non)];
        let (route, patience) = match carried {
            Transport::Stream | Transport::Files => ("/v1/feed", HEAD),
            Transport::LongPoll => {
                pairs.push(("wait", &seconds));
                ("/v1/feed/poll", HEAD + wait)
            }
            Transport::Poll => {
                pairs.push(("wait", "0"));
                ("/v1/feed/poll", HEAD)
            }
        };
        let request = self.transport.get(address, route, &pairs);
        let request = request.header(reqwest::header::ACCEPT, EVENTS);
        let response = answer(request, patience).await?;
        match response.status() {
            StatusCode::OK if is_events(&response) => {}
            StatusCode::GONE => return Ok(Ended::NeedsLists),
            StatusCode::OK => {
                self.floors.get_mut(turn).map(Floor::failed);
                return Err(Trouble::now("feed.transport", "the answer is no stream of events"));
            }
            status => {
                let wait =
                    response.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
                let mut trouble = refusal(response).await;
                trouble.wait = wait.map(Duration::from_secs);
                // Nobody of ours says these: something on the way does not know the route.
                let foreign = trouble.code.starts_with("http.");
                if foreign && (status == StatusCode::NOT_FOUND || status == StatusCode::NOT_IMPLEMENTED) {
                    self.floors.get_mut(turn).map(Floor::failed);
                }
                return Err(trouble);
            }
        }
        let url = address.to_string();
        self.shared.board.write(|status| {
            (status.url, status.transport) = (Some(url.clone()), Some(carried));
            status.connections += 1;
        });
        let read = self.read(response, carried).await;
        let Some(floor) = self.floors.get_mut(turn) else { return Ok(Ended::Whole) };
        match read {
            Ok((heard, ended)) => {
                if heard {
                    floor.worked();
                } else if matches!(ended, Ended::Whole) {
                    floor.failed();
                    return Err(Trouble::now("feed.cut", "the connection ended before it said anything"));
                }
                if carried == Transport::Poll && matches!(ended, Ended::Whole) {
                    tokio::time::sleep(wait / 2 + share_of(wait / 2)).await;
                }
                Ok(ended)
            }
            Err(trouble) => {
                // Held back on the way, as far as anybody can see from here.
                if matches!(trouble.code.as_str(), "feed.silent" | "feed.late") {
                    floor.failed();
                }
                Err(trouble)
            }
        }
    }

    /// Reads events until there are no more. Says whether any word counted.
    async fn read(&mut self, mut response: Response, carried: Transport) -> Result<(bool, Ended), Trouble> {
        let silence = match carried {
            Transport::LongPoll => {
                HEAD + self.follower.as_ref().map_or(HEAD, |follower| wait(follower.max_age()))
            }
            _ => SILENCE,
        };
        let (mut parser, mut heard, mut last) = (Parser::default(), false, Instant::now());
        loop {
            let piece = tokio::select! {
                piece = tokio::time::timeout_at(last + silence, response.chunk()) => piece,
                // The connection is given up for it; what is known goes on counting meanwhile.
                () = tokio::time::sleep_until(self.lists_due) => return Ok((true, Ended::Whole)),
                // This is the feed of yesterday's authority.
                () = self.wakes.moved.notified() => return Ok((true, Ended::Whole)),
            };
            let piece = match piece {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return Ok((heard, Ended::Whole)),
                Ok(Err(error)) => return Err(Trouble::now("transport", words(&error))),
                Err(_) => {
                    let seconds = silence.as_secs();
                    let what = format!("no signed word within {seconds} s, whatever else came");
                    return Err(Trouble::now("feed.silent", what));
                }
            };
            let received = SystemClock.boot_millis();
            let before = self.reached();
            let taken = parser.push(&piece, |event| self.event(&event, received));
            // What came before a fault counts as much as what came before a pause.
            if self.reached() > before {
                (heard, last, self.vain) = (true, Instant::now(), 0);
                self.publish();
            }
            match taken {
                Ok(()) => {}
                Err(Halt::Gap) => return Ok((heard, Ended::NeedsLists)),
                Err(Halt::Refused(refusal)) => return Err(self.refused(&refusal)),
                Err(Halt::NoEvents(error)) => return Err(self.refuse("feed.transport", &error)),
                Err(Halt::Vain) => {
                    let what = "more events than any feed has between two that say something new";
                    return Err(self.refuse("feed.transport", &what));
                }
            }
            if heard {
                self.in_time(received)?;
            }
        }
    }

    /// How much is known: both only grow with what is new, whoever repeats what.
    fn reached(&self) -> Option<(u64, Option<i64>)> {
        self.follower.as_ref().map(|follower| (follower.head().epoch(), follower.proven()))
    }

    /// A connection whose words arrive long after they were signed is no good one.
    fn in_time(&self, now: i64) -> Result<(), Trouble> {
        let Some(follower) = &self.follower else { return Ok(()) };
        let most = i64::from(follower.max_age()) * 1000 / 2;
        let age = follower.proven().map_or(0, |proven| now.saturating_sub(proven));
        if age <= most {
            return Ok(());
        }
        Err(Trouble::now("feed.late", format!("words arrive {} s after they were signed", age / 1000)))
    }

    fn event(&mut self, event: &Event, received: i64) -> Result<(), Halt> {
        self.vain += 1;
        if self.vain > MAX_VAIN {
            return Err(Halt::Vain);
        }
        let Some(follower) = &mut self.follower else { return Ok(()) };
        match event.name.as_str() {
            "certificate" => {
                let der = Base64::decode_vec(&event.data).unwrap_or_default();
                // A key that is held, or not valid yet, speaks for nobody; the items of the others still count.
                if let Err(refusal) = follower.certify(&der, SystemClock.wall().to_seconds(), received) {
                    self.shared.board.trouble(&Trouble::now(refusal.code(), refusal.to_string()));
                }
                Ok(())
            }
            "item" => match follower.take(&event.data, received) {
                Ok(Progress::Current | Progress::Unconfirmed | Progress::Behind { .. } | Progress::Known) => {
                    Ok(())
                }
                Err(Refusal::Gap { .. }) => Err(Halt::Gap),
                Err(refusal) => Err(Halt::Refused(refusal)),
            },
            // From an authority that knows more kinds.
            _ => Ok(()),
        }
    }

    /// Hands what is known to guards.
    fn publish(&mut self) {
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

    fn refused(&mut self, refusal: &Refusal) -> Trouble {
        // The clock of the authority was set; a new connection is all it takes.
        if matches!(refusal, Refusal::Clock) {
            return Trouble::now(refusal.code(), refusal.to_string());
        }
        self.refuse(refusal.code(), refusal)
    }

    /// Something that came is not believed: an alarm once, until something else is.
    fn refuse(&mut self, code: &str, what: &dyn std::fmt::Display) -> Trouble {
        let trouble = Trouble::now(code, what.to_string());
        if self.alarmed.as_deref() != Some(code) {
            self.alarmed = Some(code.to_owned());
            self.shared.board.alarm(AlarmKind::Refused, trouble.to_string());
        }
        trouble
    }
}

enum Halt {
    Gap,
    Refused(Refusal),
    NoEvents(NoEvents),
    Vain,
}

impl From<NoEvents> for Halt {
    fn from(error: NoEvents) -> Self {
        Self::NoEvents(error)
    }
}

fn is_events(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(EVENTS))
}

/// How long a question waits: an answer that is held back until its end is still young then.
fn wait(max_age: u32) -> Duration {
    Duration::from_secs(u64::from(max_age / 6).clamp(1, 10))
}

const EVENTS: &str = "text/event-stream";
/// Three heartbeats.
const SILENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(500);
const MINUTE: Duration = Duration::from_secs(60);
/// Between two attempts to find newer lists.
const RELOAD: Duration = Duration::from_secs(60);
/// The longest list of the core, in PEM, and smaller ones beside it.
const MAX_LISTS: usize = 96 << 20;
const LISTS_TIME: Duration = Duration::from_secs(60);
/// The certificates of two months, and a page of an old stream that came twice.
const MAX_VAIN: u32 = 1_000;
/// WIRE 3: clocks may be a little behind.
const TOLERANCE: i64 = 120;
