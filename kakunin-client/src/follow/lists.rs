//! The lists: loaded, judged, put into the directory, and only then decided by.

use kakunin_core::certificate::{ListSelectError, PathLists};
use kakunin_core::feed::{Follower, Refusal};
use kakunin_core::guard::{Clock, SystemClock};
use reqwest::StatusCode;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use std::time::Duration;

use super::refuse::Offered;
use super::run::Follow;
use crate::place::PlaceError;
use crate::status::Trouble;
use crate::transport::{self, HEAD, answer, refusal};

impl Follow<'_> {
    /// Loads the lists, and takes them up if they are genuine and newer.
    pub(super) async fn load_lists(&mut self, turn: usize) -> Result<(), Trouble> {
        let Some(address) = self.shared.addresses.get(turn) else { return Ok(()) };
        // Whose lists: an authority may have several tenants, and only those of this agent's say anything about it.
        let issuer = self.place.path().issuing().decoded().key().key_id().to_hex();
        let mut request = self.transport.get(address, "/v1/crl/all", &[("issuer", &issuer)]);
        if let Some(tag) = self.tag.as_ref().filter(|_| self.lists.is_some()) {
            request = request.header(IF_NONE_MATCH, tag);
        }
        self.lists_asked = Some(tokio::time::Instant::now());
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
        let lists = self.judge(&pem).await?;
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
        Ok(())
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

    /// The lists of this agent in `pem`, if they are genuine and may follow those at hand.
    pub(super) async fn judge(&mut self, pem: &[u8]) -> Result<PathLists, Trouble> {
        let path = self.place.path().clone();
        let lists = match PathLists::from_pem(pem, &path) {
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
/// WIRE 3: clocks may be a little behind.
const TOLERANCE: i64 = 120;
