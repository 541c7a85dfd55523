//! Whether new lists say anything new: asked of the delta list, which is short where lists are long.
//!
//! Guards decide by the lists that are signed whole and nothing else is written, so a delta list frees nobody. All it can do
//! is spare loading lists that say of every agent what those in the directory say; whatever is unclear about it loads them.
//! Of every agent, not of this one alone: a gateway judges whoever calls by the lists of its own agent.
//! Of the root's list it says nothing. That one changes when an issuing authority is revoked, and another one's delta list is
//! served from then on, which spares nobody; otherwise it comes with the others, at half of their time.

use std::time::Duration;

use kakunin_core::certificate::{AgentPath, PathLists};
use kakunin_core::digest::Digest;
use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::home::FileVersion;
use kakunin_core::revocation::{DeltaError, ListNumber, UnverifiedDelta, UpdatedList};
use kakunin_core::time::UnixTime;
use reqwest::StatusCode;
use reqwest::header::ACCEPT;

use super::run::Follow;
use crate::transport::{self, HEAD, answer};

/// The newest delta list that the authority signed, as far as this client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    number: ListNumber,
    digest: Digest,
}

impl Newest {
    /// Whether `lists` know no less than it: whoever shows older ones keeps something back.
    pub(super) fn is_in(&self, lists: &PathLists) -> bool {
        *lists.issuing().number() >= self.number
    }

    pub(super) const fn number(&self) -> &ListNumber {
        &self.number
    }

    /// Whether `delta` may come after this one: it is later, or the same.
    fn allows(&self, number: &ListNumber, digest: Digest) -> bool {
        *number > self.number || (*number == self.number && digest == self.digest)
    }
}

impl Follow<'_> {
    /// Whether the authority proves that, since the lists at hand, nothing changed for any agent.
    pub(super) async fn is_unchanged(&mut self, turn: usize) -> bool {
        // With a feed, lists are loaded when they are due, and then they are wanted whole.
        if self.follower.is_some() {
            return false;
        }
        self.look_into_directory();
        let (Some(address), Some(lists)) = (self.shared.addresses.get(turn), &self.lists) else {
            return false;
        };
        if is_half_over(lists, SystemClock.wall().to_seconds()) {
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

    /// Takes up the lists that are in the directory now: guards decide by those, and another process may have put others there.
    fn look_into_directory(&mut self) {
        let there = FileVersion::of(self.place.lists_path());
        if self.compared == Some(there) {
            return;
        }
        // Where they cannot be read nothing is spared.
        let lists = self.place.lists();
        let same = matches!((&self.lists, &lists), (Some(known), Some(lists)) if known.same_as(lists));
        // The last answer had others, and is no answer to a question about these.
        self.tag = self.tag.take().filter(|_| same);
        (self.lists, self.compared) = (lists, Some(there));
    }

    /// Whether `delta` says nothing new at `now`. It has to be of the authority that is the agent's at this moment: papers may
    /// have been renewed while the answer was on its way.
    fn is_spared_by(&mut self, delta: &[u8], now: UnixTime) -> bool {
        let Some(lists) = &self.lists else { return false };
        let place = self.present();
        let Ok(updated) = joined(delta, lists, place.path()) else { return false };
        let digest = Digest::of(delta);
        // One that was kept and is shown again would hide what came after it.
        if self.newest_delta.as_ref().is_some_and(|newest| !newest.allows(updated.number(), digest)) {
            return false;
        }
        let is_nothing_new = says_nothing_new(&updated, now);
        self.newest_delta = Some(Newest { number: updated.number().clone(), digest });
        is_nothing_new
    }
}

/// What `lists` and `delta` say together.
///
/// # Errors
/// [`DeltaError`] when it is no delta list of its issuing authority, or does not go with the list at hand.
fn joined(delta: &[u8], lists: &PathLists, path: &AgentPath) -> Result<UpdatedList, DeltaError> {
    UnverifiedDelta::decode(delta)?.apply(lists.issuing(), &path.issuing().list_issuer())
}

/// Whether what a delta list and the lists at hand say together is of now, and is what those lists say.
fn says_nothing_new(updated: &UpdatedList, now: UnixTime) -> bool {
    let is_of_now = updated.this_update() <= now.plus(TOLERANCE) && now < updated.next_update();
    // An authority that began a feed is followed from its next list on.
    is_of_now && updated.is_nothing_new() && updated.policy().is_none()
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
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::path::Path;
    use std::sync::mpsc;

    use kakunin_authority::Authority;
    use kakunin_authority::authority::{Days, FeedMode, Hours, OldIssuing};
    use kakunin_authority::standing::Order;
    use kakunin_core::home::AgentHome;
    use kakunin_core::revocation::Standing;

    use super::*;
    use crate::client::{Shared, Slot, Wakes};
    use crate::connect::ConnectOptions;
    use crate::place::Place;
    use crate::tested::{answer, certified, judged, now, with_authority};
    use crate::transport::{Address, Transport};

    #[test]
    fn lists_are_spared_only_where_the_delta_proves_that_nothing_changed() {
        with_authority(|folder, authority| {
            let agents = ["billing", "support"].map(|name| certified(authority, folder, name));
            let home = AgentHome::open(&folder.join("billing"), None).unwrap();
            let path = Place::open(&folder.join("billing"), now()).unwrap().path().clone();
            let lists = PathLists::from_pem(&home.lists().unwrap(), &path).unwrap();
            let spared = |authority: &Authority<'_>, at| {
                let delta = authority.published().unwrap().delta().unwrap().der.clone();
                joined(&delta, &lists, &path).map(|updated| says_nothing_new(&updated, at))
            };
            let order = |authority: &mut Authority<'_>, who: usize, order| {
                authority.order(&agents[who], order, "a drill", Hours::default(), now()).unwrap();
            };
            // C288: a gateway judges this one by the lists of its own agent.
            order(authority, 1, Order::Suspend);
            assert_eq!(spared(authority, now()), Ok(false), "another agent is held");
            order(authority, 1, Order::Resume);
            assert_eq!(spared(authority, now()), Ok(true), "nobody is another than before");
            assert_eq!(spared(authority, now().plus(400 * 3600)), Ok(false), "it has ended");
            assert_eq!(spared(authority, now().plus(-3600)), Ok(false), "it is of a time to come");
            order(authority, 0, Order::Suspend);
            assert_eq!(spared(authority, now()), Ok(false), "the agent is held");
            order(authority, 0, Order::Resume);
            assert_eq!(spared(authority, now()), Ok(true), "and good again");
            order(authority, 1, Order::Revoke);
            assert_eq!(spared(authority, now()), Ok(false), "another agent was revoked");
            let full = authority.current_list().unwrap().der;
            assert_eq!(joined(&full, &lists, &path).unwrap_err(), DeltaError::Full);
            let mut forged = authority.published().unwrap().delta().unwrap().der.clone();
            let end = forged.len() - 1;
            forged[end] ^= 1;
            assert!(joined(&forged, &lists, &path).is_err(), "nobody signed it");
            authority.set_feed(FeedMode::On);
            let _ = authority.publish(Hours::default(), now()).unwrap();
            assert_eq!(spared(authority, now()), Ok(false), "there is a feed now");
            // The next issuing authority says nothing of this one's agents, nor of the root's list that revokes this one.
            for old in [OldIssuing::Keep, OldIssuing::Revoke] {
                let _ = authority.rotate(old, Hours::default(), now()).unwrap();
                let _ = authority.publish(Hours::default(), now()).unwrap();
                assert!(spared(authority, now()).is_err(), "it is another's");
            }
            assert!(!is_half_over(&lists, now()) && is_half_over(&lists, now().plus(90 * 3600)));
        });
    }

    /// C200: nobody lists a certificate that has ended, so whoever asked about the first one would hear for ever that it is good.
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
            order(1, Order::Resume, later.plus(1));
            let lists = std::fs::read(&published).unwrap();
            follow.lists = Some(PathLists::from_pem(&lists, place.path()).unwrap());
            order(1, Order::Suspend, later.plus(2));
            let delta = order(1, Order::Resume, later.plus(3));
            assert!(follow.is_spared_by(&delta, later.plus(3)), "nobody is another than before");
            let delta = order(0, Order::Revoke, later.plus(4));
            assert!(!follow.is_spared_by(&delta, later.plus(4)), "it is revoked");
            let updated = joined(&delta, follow.lists.as_ref().unwrap(), place.path()).unwrap();
            let first = place.path().agent().decoded().serial();
            assert_eq!(
                updated.standing(&first),
                Standing::Good,
                "and its first certificate is named nowhere"
            );
        });
    }

    /// A client of an authority without a feed, orders about its agent and another one, and the file of lists.
    fn following(test: impl FnOnce(&mut Follow<'_>, &mut dyn FnMut(usize, Order) -> Vec<u8>, &Path)) {
        following_at(Vec::new(), test);
    }

    fn following_at(
        addresses: Vec<Address>,
        test: impl FnOnce(&mut Follow<'_>, &mut dyn FnMut(usize, Order) -> Vec<u8>, &Path),
    ) {
        with_authority(|folder, authority| {
            let agents = ["billing", "support"].map(|name| certified(authority, folder, name));
            let (dir, published) = (folder.join("billing"), folder.join("home/public/lists.pem"));
            std::fs::copy(&published, dir.join("lists.pem")).unwrap();
            let place = Place::open(&dir, now()).unwrap();
            let mut options = ConnectOptions::new("billing");
            options.without_feed = true;
            let transport = Transport::new(&addresses, None).unwrap();
            let (shared, wakes) = (Shared::new(options, addresses, place.agent()), Wakes::default());
            let slot = Slot::new(place);
            let mut order = |who: usize, order| {
                authority.order(&agents[who], order, "a drill", Hours::default(), now()).unwrap();
                authority.published().unwrap().delta().unwrap().der.clone()
            };
            test(&mut Follow::new(&shared, &wakes, &transport, &slot), &mut order, &published);
        });
    }

    /// C230
    #[test]
    fn a_delta_that_was_kept_and_is_shown_again_spares_nothing_nor_do_older_lists_come_after_it() {
        following(|follow, order, published| {
            let old = std::fs::read(published).unwrap();
            let _ = order(1, Order::Suspend);
            let first = order(1, Order::Resume);
            assert!(follow.is_spared_by(&first, now()) && follow.is_spared_by(&first, now()));
            let _ = order(1, Order::Suspend);
            let second = order(1, Order::Resume);
            assert!(follow.is_spared_by(&second, now()));
            assert!(!follow.is_spared_by(&first, now()), "it says nothing of what came after it");
            // What says something new is remembered as well.
            let held = order(0, Order::Suspend);
            assert!(!follow.is_spared_by(&held, now()));
            assert!(!follow.is_spared_by(&second, now()), "it hides that the agent is held");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let path = follow.place.path().clone();
            let mut judged =
                |pem: &[u8]| runtime.block_on(follow.judge(pem, PathLists::from_pem(pem, &path)));
            assert_eq!(judged(&old).unwrap_err().code, "revocation.rollback");
            assert!(judged(&std::fs::read(published).unwrap()).is_ok());
        });
    }

    #[test]
    fn a_delta_is_asked_of_the_authority_and_whatever_else_it_answers_spares_nothing() {
        let answer = |status: &str, length: usize, body: &[u8]| {
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            [head.as_bytes(), body].concat()
        };
        // What is signed is known only when the authority is there, which comes after the address.
        let (say, said) = mpsc::channel::<Vec<u8>>();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (hear, asked) = mpsc::channel();
        std::thread::spawn(move || {
            for answer in said {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                hear.send(lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>()).unwrap();
                stream.write_all(&answer).unwrap();
            }
        });
        following_at(vec![address], |follow, order, _| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _ = order(1, Order::Suspend);
            let delta = order(1, Order::Resume);
            let mut ask = |bytes: Vec<u8>| {
                say.send(bytes).unwrap();
                (runtime.block_on(follow.is_unchanged(0)), asked.recv().unwrap())
            };
            let (spared, head) = ask(answer("200 OK", delta.len(), &delta));
            assert!(spared);
            assert!(head[0].starts_with("GET /v1/crl/delta?issuer="), "{head:?}");
            assert!(
                head.iter().any(|line| line.eq_ignore_ascii_case("accept: application/pkix-crl")),
                "{head:?}"
            );
            let mut forged = delta.clone();
            *forged.last_mut().unwrap() ^= 1;
            for wrong in [
                answer("404 Not Found", 0, b""),
                answer("206 Partial Content", delta.len(), &delta),
                answer("200 OK", delta.len() + 1, &delta),
                answer("200 OK", delta.len() - 1, &delta[..delta.len() - 1]),
                answer("200 OK", forged.len(), &forged),
                answer("200 OK", 0, b""),
                Vec::new(),
            ] {
                assert!(!ask(wrong.clone()).0, "{}", String::from_utf8_lossy(&wrong));
            }
            assert!(ask(answer("200 OK", delta.len(), &delta)).0, "and it goes on");
            // There is no second address, and none is asked.
            assert!(!runtime.block_on(follow.is_unchanged(1)));
        });
    }

    /// C233: whoever compared with what it loaded itself would leave a guard with lists that another process put there.
    #[test]
    fn what_is_spared_is_compared_with_the_lists_that_guards_decide_by() {
        following(|follow, order, published| {
            // The agent is held when this process loads its lists, and good in those that another one writes.
            let _ = order(0, Order::Suspend);
            let held = PathLists::from_pem(&std::fs::read(published).unwrap(), follow.place.path()).unwrap();
            let _ = order(0, Order::Resume);
            std::fs::copy(published, follow.place.lists_path()).unwrap();
            follow.lists = Some(held);
            let delta = order(0, Order::Suspend);
            follow.look_into_directory();
            assert!(!follow.is_spared_by(&delta, now()), "by the file it is good");
            // Files that are gone spare nothing either.
            std::fs::remove_file(follow.place.lists_path()).unwrap();
            follow.look_into_directory();
            assert!(follow.lists.is_none());
        });
    }
}
