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
        let path = self.place.path();
        let issuer = path.issuing().decoded().key().key_id().to_hex();
        let request = self.transport.get(address, "/v1/crl/delta", &[("issuer", &issuer)]);
        let response = match answer(request.header(ACCEPT, "application/pkix-crl"), HEAD).await {
            Ok(response) if response.status() == StatusCode::OK => response,
            _ => return false,
        };
        let Ok(delta) = transport::body(response, MOST, PATIENCE).await else { return false };
        says_nothing_new(&delta, lists, path, SystemClock.wall().to_seconds()).unwrap_or(false)
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
    use kakunin_authority::authority::{AnyAction, Certify, Comeback, Days, FeedMode, Hours, OldIssuing};
    use kakunin_authority::signer::PassphraseSources;
    use kakunin_authority::standing::Order;
    use kakunin_authority::{AgentName, Authority, Home, Who};
    use kakunin_core::home::AgentHome;
    use kakunin_core::scope::DraftScope;

    use super::*;
    use crate::place::Place;
    use crate::tested::now;

    #[test]
    fn lists_are_spared_only_where_the_delta_proves_that_nothing_changed_for_the_agent() {
        let folder = tempfile::tempdir().unwrap();
        let passphrase = folder.path().join("passphrase");
        std::fs::write(&passphrase, "correct horse\n").unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&passphrase, private).unwrap();
        let own = std::path::Path::new("/nonexistent");
        let sources = PassphraseSources { named: Some(&passphrase), own, ask: &|_| Ok(None) };
        let home = Home::at(&folder.path().join("home"));
        let (mut authority, _) = Authority::init(&home, sources, now(), Hours::default()).unwrap();
        authority.sign_deltas();
        let mut agents = Vec::new();
        for name in ["billing", "support"] {
            let scope =
                DraftScope::parse("actions = [\"pay\"]", &|_| Err(std::io::ErrorKind::NotFound.into()));
            let agent_name = AgentName::parse(name).unwrap();
            let agent = authority.create(&agent_name, &scope.unwrap(), AnyAction::Refuse, now()).unwrap().id;
            let directory = &folder.path().join(name);
            let (days, comeback, any) = (Days::DAY, Comeback::Refuse, AnyAction::Refuse);
            let order = Certify { directory, days, request: None, comeback, any };
            let _ = authority.certify(&Who::Id(agent), &order, Hours::default(), now()).unwrap();
            agents.push(Who::Id(agent));
        }
        let home = AgentHome::open(&folder.path().join("billing"), None).unwrap();
        let path = Place::open(&folder.path().join("billing"), now()).unwrap().path().clone();
        let lists = PathLists::from_pem(&home.lists().unwrap(), &path).unwrap();
        let spared = |authority: &Authority<'_>, at| {
            let delta = authority.published().unwrap().delta().unwrap().der.clone();
            says_nothing_new(&delta, &lists, &path, at)
        };
        let order = |authority: &mut Authority<'_>, who: usize, order| {
            authority.order(&agents[who], order, "a drill", Hours::default(), now()).unwrap();
        };
        order(&mut authority, 1, Order::Revoke);
        assert_eq!(spared(&authority, now()), Ok(true), "another agent was revoked");
        assert_eq!(spared(&authority, now().plus(400 * 3600)), Ok(false), "it has ended");
        assert_eq!(spared(&authority, now().plus(-3600)), Ok(false), "it is of a time to come");
        order(&mut authority, 0, Order::Suspend);
        assert_eq!(spared(&authority, now()), Ok(false), "the agent is held");
        order(&mut authority, 0, Order::Resume);
        assert_eq!(spared(&authority, now()), Ok(true), "and good again");
        let full = authority.current_list().unwrap().der;
        assert_eq!(says_nothing_new(&full, &lists, &path, now()), Err(DeltaError::Full));
        let mut forged = authority.published().unwrap().delta().unwrap().der.clone();
        let end = forged.len() - 1;
        forged[end] ^= 1;
        assert!(says_nothing_new(&forged, &lists, &path, now()).is_err(), "nobody signed it");
        authority.set_feed(FeedMode::On);
        let _ = authority.publish(Hours::default(), now()).unwrap();
        assert_eq!(spared(&authority, now()), Ok(false), "there is a feed now");
        // The next issuing authority says nothing of this one's agents.
        let _ = authority.rotate(OldIssuing::Keep, Hours::default(), now()).unwrap();
        let _ = authority.publish(Hours::default(), now()).unwrap();
        assert!(spared(&authority, now()).is_err(), "it is another's");
        assert!(!is_half_over(&lists, now()) && is_half_over(&lists, now().plus(90 * 3600)));
    }
}
