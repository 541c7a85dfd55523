//! Whether new lists say anything new of this agent: asked of the delta list, which is short where lists are long.
//!
//! Guards decide by the lists that are signed whole and nothing else is written, so a delta list frees nobody. All it can do
//! is spare loading lists that say of this agent what those at hand say; whatever is unclear about it loads them.

use std::time::Duration;

use kakunin_core::certificate::{AgentPath, PathLists};
use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::revocation::{DeltaError, UnverifiedDelta};
use kakunin_core::time::UnixTime;
use reqwest::StatusCode;
use reqwest::header::ACCEPT;

use super::run::Follow;
use crate::transport::{self, HEAD, answer};

impl Follow<'_> {
    /// Whether the authority proves that, since the lists at hand, nothing changed for this agent.
    pub(super) async fn is_unchanged_for_us(&self, turn: usize) -> bool {
        let (Some(address), Some(lists)) = (self.shared.addresses.get(turn), &self.lists) else {
            return false;
        };
        // With a feed, lists are loaded when they are due, and then they are wanted whole.
        if self.follower.is_some() || is_half_over(lists, SystemClock.wall().to_seconds()) {
            return false;
        }
        let issuer = self.place.issuer().to_hex();
        let request = self.transport.get(address, "/v1/crl/delta", &[("issuer", &issuer)]);
        let response = match answer(request.header(ACCEPT, "application/pkix-crl"), HEAD).await {
            Ok(response) if response.status() == StatusCode::OK => response,
            _ => return false,
        };
        let Ok(delta) = transport::body(response, MOST, PATIENCE).await else { return false };
        self.is_spared_by(&delta, SystemClock.wall().to_seconds())
    }

    /// Whether `delta` says at `now` nothing new of the certificate that is the agent's at this moment: it may have been
    /// renewed since the lists were loaded, also while the answer was on its way.
    fn is_spared_by(&self, delta: &[u8], now: UnixTime) -> bool {
        let Some(lists) = &self.lists else { return false };
        let place = self.present();
        says_nothing_new(delta, lists, place.path(), now).unwrap_or(false)
    }
}

/// Whether `delta` is of now and says of the agent of `path` what `lists` say.
///
/// # Errors
/// [`DeltaError`] when it is no delta list of its issuing authority, or does not go with the list at hand.
fn says_nothing_new(
    delta: &[u8],
    lists: &PathLists,
    path: &AgentPath,
    now: UnixTime,
) -> Result<bool, DeltaError> {
    let updated = UnverifiedDelta::decode(delta)?.apply(lists.issuing(), &path.issuing().list_issuer())?;
    let is_of_now = updated.this_update() <= now.plus(TOLERANCE) && now < updated.next_update();
    let serial = path.agent().decoded().serial();
    let is_same = updated.standing(&serial) == lists.issuing().standing(&serial);
    // An authority that began a feed is followed from its next list on.
    Ok(is_of_now && is_same && updated.policy().is_none())
}

/// Lists are loaded whole in good time before they end, however little changed.
fn is_half_over(lists: &PathLists, now: UnixTime) -> bool {
    let (begin, end) = (lists.issuing().this_update().seconds(), lists.next_update().seconds());
    now.seconds() >= begin.midpoint(end)
}

/// Longer than any that is worth having: half a list of a million entries.
const MOST: usize = 32 << 20;
const PATIENCE: Duration = Duration::from_secs(30);
/// WIRE 3: clocks may be a little behind.
const TOLERANCE: i64 = 120;

#[cfg(test)]
mod tests {
    use kakunin_authority::Authority;
    use kakunin_authority::authority::{Days, FeedMode, Hours, OldIssuing};
    use kakunin_authority::standing::Order;
    use kakunin_core::home::AgentHome;

    use super::*;
    use crate::client::{Shared, Slot, Wakes};
    use crate::connect::ConnectOptions;
    use crate::place::Place;
    use crate::tested::{answer, certified, judged, now, with_authority};
    use crate::transport::Transport;

    #[test]
    fn lists_are_spared_only_where_the_delta_proves_that_nothing_changed_for_the_agent() {
        with_authority(|folder, authority| {
            let agents = ["billing", "support"].map(|name| certified(authority, folder, name));
            let home = AgentHome::open(&folder.join("billing"), None).unwrap();
            let path = Place::open(&folder.join("billing"), now()).unwrap().path().clone();
            let lists = PathLists::from_pem(&home.lists().unwrap(), &path).unwrap();
            let spared = |authority: &Authority<'_>, at| {
                let delta = authority.published().unwrap().delta().unwrap().der.clone();
                says_nothing_new(&delta, &lists, &path, at)
            };
            let order = |authority: &mut Authority<'_>, who: usize, order| {
                authority.order(&agents[who], order, "a drill", Hours::default(), now()).unwrap();
            };
            order(authority, 1, Order::Revoke);
            assert_eq!(spared(authority, now()), Ok(true), "another agent was revoked");
            assert_eq!(spared(authority, now().plus(400 * 3600)), Ok(false), "it has ended");
            assert_eq!(spared(authority, now().plus(-3600)), Ok(false), "it is of a time to come");
            order(authority, 0, Order::Suspend);
            assert_eq!(spared(authority, now()), Ok(false), "the agent is held");
            order(authority, 0, Order::Resume);
            assert_eq!(spared(authority, now()), Ok(true), "and good again");
            let full = authority.current_list().unwrap().der;
            assert_eq!(says_nothing_new(&full, &lists, &path, now()), Err(DeltaError::Full));
            let mut forged = authority.published().unwrap().delta().unwrap().der.clone();
            let end = forged.len() - 1;
            forged[end] ^= 1;
            assert!(says_nothing_new(&forged, &lists, &path, now()).is_err(), "nobody signed it");
            authority.set_feed(FeedMode::On);
            let _ = authority.publish(Hours::default(), now()).unwrap();
            assert_eq!(spared(authority, now()), Ok(false), "there is a feed now");
            // The next issuing authority says nothing of this one's agents.
            let _ = authority.rotate(OldIssuing::Keep, Hours::default(), now()).unwrap();
            let _ = authority.publish(Hours::default(), now()).unwrap();
            assert!(spared(authority, now()).is_err(), "it is another's");
            assert!(!is_half_over(&lists, now()) && is_half_over(&lists, now().plus(90 * 3600)));
        });
    }

    /// C200: nobody lists a certificate that has ended, so whoever asked about that one would hear for ever that it is good.
    #[test]
    fn a_delta_is_asked_about_the_certificate_that_the_agent_has_now() {
        with_authority(|folder, authority| {
            let agents = ["billing", "support"].map(|name| certified(authority, folder, name));
            let (dir, published) = (folder.join("billing"), folder.join("home/public/lists.pem"));
            std::fs::copy(&published, dir.join("lists.pem")).unwrap();
            let place = Place::open(&dir, now()).unwrap();
            let mut options = ConnectOptions::new("billing");
            options.without_feed = true;
            let (shared, wakes) = (Shared::new(options, Vec::new(), place.agent()), Wakes::default());
            let (transport, slot) = (Transport::new(&[], None).unwrap(), Slot::new(place.clone()));
            let mut follow = Follow::new(&shared, &wakes, &transport, &slot);
            // Renewed in time, by this process or another one; then the first certificate ends.
            let papers = authority.renew_elsewhere(place.path().agent(), Days::WEEK, Hours::default(), now());
            let new = judged(&answer(&papers.unwrap()), &place);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let renewed = runtime.block_on(place.renew(&new)).unwrap();
            assert_eq!(renewed.issuer(), place.issuer());
            slot.replace(renewed.clone());
            let later = now().plus(2 * 86_400);
            assert!(place.path().not_after() < later && later < renewed.path().not_after());
            let mut order = |who: usize, order, at| {
                authority.order(&agents[who], order, "a drill", Hours::default(), at).unwrap();
                authority.published().unwrap().delta().unwrap().der.clone()
            };
            order(1, Order::Suspend, later);
            let lists = std::fs::read(&published).unwrap();
            follow.lists = Some(PathLists::from_pem(&lists, place.path()).unwrap());
            let delta = order(1, Order::Resume, later.plus(1));
            assert!(follow.is_spared_by(&delta, later.plus(1)), "nothing that is about it");
            let delta = order(0, Order::Revoke, later.plus(2));
            assert!(!follow.is_spared_by(&delta, later.plus(2)), "it is revoked");
            assert_eq!(
                says_nothing_new(&delta, follow.lists.as_ref().unwrap(), place.path(), later.plus(2)),
                Ok(true),
                "and the certificate of before is named nowhere"
            );
        });
    }
}
