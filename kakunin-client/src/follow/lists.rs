//! The lists: loaded, judged, put into the directory, and only then decided by.
//!
//! Long lists take their time on a slow line, and so does proving them. Where a feed goes on they come beside it, so that nobody
//! misses its words for them.

use std::future::{Future, pending};
use std::time::Duration;

use kakunin_core::certificate::{ListSelectError, PathLists};
use kakunin_core::feed::{Follower, Refusal};
use kakunin_core::guard::{Clock, SystemClock};
use reqwest::StatusCode;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::refuse::Offered;
use super::run::Follow;
use crate::place::PlaceError;
use crate::status::Trouble;
use crate::transport::{self, HEAD, answer, refusal};
use crate::wait::share_of;

/// Lists on their way beside the feed. Whoever drops it does not wait for them.
#[derive(Debug)]
pub(super) struct Loading(JoinHandle<Answered>);

impl Drop for Loading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What an address answers when it is asked for lists: none, if those at hand are the newest.
type Answered = Result<Option<Brought>, Trouble>;

/// Lists as they came, read and proved on a thread of their own.
#[derive(Debug)]
pub(super) struct Brought {
    pem: Vec<u8>,
    tag: Option<String>,
    read: Result<PathLists, ListSelectError>,
}

/// What is on its way, when it has come; never if nothing is.
pub(super) async fn come(loading: &mut Option<Loading>) -> Answered {
    match loading {
        Some(Loading(task)) => task.await.unwrap_or_else(|error| Err(fault(&error))),
        None => pending().await,
    }
}

fn fault(error: &dyn std::fmt::Display) -> Trouble {
    Trouble::now("internal", format!("the lists were not read: {error}"))
}

impl Follow<'_> {
    /// Loads the lists, and takes them up if they are genuine and newer.
    pub(super) async fn load_lists(&mut self, turn: usize) -> Result<(), Trouble> {
        self.loading = None;
        let Some(asked) = self.ask_lists(turn, LISTS_TIME) else { return Ok(()) };
        let brought = asked.await?;
        self.take_up(brought).await.map(drop)
    }

    /// Has lists loaded while the feed goes on, if they are due and not on their way.
    pub(super) fn load_beside(&mut self, turn: usize) {
        if self.loading.is_none() && Instant::now() >= self.lists_due {
            self.loading = self.ask_lists(turn, BESIDE).map(|asked| Loading(tokio::spawn(asked)));
        }
    }

    /// Takes up what was loaded beside the feed, if it has come by now.
    pub(super) async fn take_up_loaded(&mut self) {
        if self.loading.as_ref().is_some_and(|loading| loading.0.is_finished()) {
            let answered = come(&mut self.loading).await;
            self.loaded(answered).await;
        }
    }

    /// Takes up what came beside the feed, and says whether there are other lists now. If none came, those at hand are good for a
    /// while, and the feed goes on.
    pub(super) async fn loaded(&mut self, answered: Answered) -> bool {
        self.loading = None;
        let taken = match answered {
            Ok(brought) => self.take_up(brought).await,
            Err(trouble) => Err(trouble),
        };
        taken.unwrap_or_else(|trouble| {
            self.lists_due = Instant::now() + RELOAD + share_of(RELOAD);
            self.shared.board.trouble(&trouble);
            false
        })
    }

    /// The question for lists, and what is answered.
    fn ask_lists(
        &mut self,
        turn: usize,
        patience: Duration,
    ) -> Option<impl Future<Output = Answered> + Send + use<>> {
        let address = self.shared.addresses.get(turn)?;
        // Whose lists: an authority may have several tenants, and only those of this agent's say anything about it.
        let issuer = self.place.path().issuing().decoded().key().key_id().to_hex();
        let mut request = self.transport.get(address, "/v1/crl/all", &[("issuer", &issuer)]);
        if let Some(tag) = self.tag.as_ref().filter(|_| self.lists.is_some()) {
            request = request.header(IF_NONE_MATCH, tag);
        }
        self.lists_asked = Some(Instant::now());
        let (has_lists, path) = (self.lists.is_some(), self.place.path().clone());
        Some(async move {
            let response = answer(request, HEAD).await?;
            match response.status() {
                StatusCode::NOT_MODIFIED if has_lists => return Ok(None),
                StatusCode::OK => {}
                _ => return Err(refusal(response).await),
            }
            let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
            let pem = transport::body(response, MAX_LISTS, patience).await?;
            let read = move || {
                let read = PathLists::from_pem(&pem, &path);
                Some(Brought { pem, tag, read })
            };
            tokio::task::spawn_blocking(read).await.map_err(|error| fault(&error))
        })
    }

    /// Takes up lists if they are genuine and may follow those at hand, and says whether there are any.
    async fn take_up(&mut self, brought: Option<Brought>) -> Result<bool, Trouble> {
        let Some(Brought { pem, tag, read }) = brought else {
            self.lists_taken();
            return Ok(false);
        };
        let lists = self.judge(&pem, read).await?;
        let follower = match self.standing_on(&lists) {
            Ok(follower) => follower,
            Err(refusal) => return Err(self.refused(&refusal, Offered::Lists(&pem)).await),
        };
        match self.place.put_lists(lists).await {
            Ok(kept) => self.lists = Some(kept),
            // Another process has taken up others, which say something else under the same number.
            Err(PlaceError::Lists(ListSelectError::Contradiction(error))) => {
                return Err(self.contradicted("revocation.rollback", &error, Offered::Lists(&pem)).await);
            }
            Err(error) => return Err(Trouble::now(error.code(), error.to_string())),
        }
        (self.tag, self.follower) = (tag, follower);
        self.lists_taken();
        self.shared.board.write(|status| status.snapshots += 1);
        // Only now: a guard that sees this follower finds its list, or a newer one.
        self.publish();
        Ok(true)
    }

    /// A follower that goes on from `lists`; none if they ask for no feed.
    fn standing_on(&self, lists: &PathLists) -> Result<Option<Follower>, Refusal> {
        let der = lists.issuing().der();
        match (&self.follower, lists.issuing().policy()) {
            (_, None) => Ok(None),
            (Some(follower), Some(_)) => {
                let mut follower = follower.clone();
                follower.rebase(der)?;
                Ok(Some(follower))
            }
            (None, Some(_)) => {
                let mut follower = Follower::new(self.place.path().issuing(), der)?;
                self.shared.shorten(&mut follower);
                Ok(Some(follower))
            }
        }
    }

    /// The lists of this agent that were read of `pem`, if they are genuine and may follow those at hand.
    pub(super) async fn judge(
        &mut self,
        pem: &[u8],
        read: Result<PathLists, ListSelectError>,
    ) -> Result<PathLists, Trouble> {
        let path = self.place.path().clone();
        let lists = match read {
            Ok(lists) => lists,
            Err(ListSelectError::Contradiction(error)) => {
                return Err(self.contradicted("revocation.rollback", &error, Offered::Lists(pem)).await);
            }
            Err(error) => return Err(self.refuse(error.reason().code(), &error)),
        };
        let now = SystemClock.wall().to_seconds();
        if lists.this_update() > now.plus(TOLERANCE) {
            let what = format!("the lists are dated {}, and here it is {now}", lists.this_update());
            return Err(self.refuse("revocation.invalid", &what));
        }
        if let Some(Err(error)) = self.lists.as_ref().map(|known| lists.may_follow(known, &path)) {
            return Err(self.contradicted("revocation.rollback", &error, Offered::Lists(pem)).await);
        }
        if let Some(newest) = self.newest_delta.as_ref().filter(|newest| !newest.is_in(&lists)) {
            let (offered, seen) = (lists.issuing().number(), newest.number());
            let what = format!("list number {offered} is offered after delta list {seen} was signed");
            return Err(self.refuse("revocation.rollback", &what));
        }
        if !self.is_wanted(&lists) {
            let what =
                "the lists of this authority ask for no feed; start it with one, or connect without_feed";
            return Err(self.refuse("feed.none", &what));
        }
        Ok(lists)
    }
}

/// The longest list of the core, in PEM, and smaller ones beside it.
const MAX_LISTS: usize = 96 << 20;
const LISTS_TIME: Duration = Duration::from_secs(60);
/// Nobody waits for those that come beside the feed: 100,000 revoked certificates in 5 MB, on a line of 100 kbit a second.
const BESIDE: Duration = Duration::from_secs(600);
/// Between two attempts to find newer lists.
pub(super) const RELOAD: Duration = Duration::from_secs(60);
/// WIRE 3: clocks may be a little behind.
const TOLERANCE: i64 = 120;
