//! Renewing the certificate while it is good, by a proof of its key.
//!
//! At two thirds of its life and some chance more, so that a thousand agents of one morning do not ask at once. What fails is tried
//! again, sooner as the end comes near; and whoever renews the directory otherwise is noticed. A certificate of a week meets an
//! authority that gives a day: it is asked again when that day would last longer.

use std::time::Duration;

use kakunin_core::certificate::AgentPath;
use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::home::FileVersion;
use kakunin_core::time::UnixTime;
use tokio::time::Instant;

use crate::alarm::AlarmKind;
use crate::client::{Shared, Slot, Wakes};
use crate::moving;
use crate::papers::{Expected, MAX_PAPERS, NewPapers};
use crate::place::Place;
use crate::proof::Voice;
use crate::scope_change::ScopeChange;
use crate::status::Trouble;
use crate::transport::{self, HEAD, Transport};
use crate::wait::share_of;

/// Renews whenever it is time, until it is dropped.
pub(crate) async fn keep(shared: &Shared, wakes: &Wakes, transport: &Transport, slot: &Slot) {
    let soon = || Instant::now() + share_of(Duration::from_secs(1));
    let (mut told, mut turn, mut again) = (None::<String>, 0, soon());
    // One draw for each certificate: drawn anew at each look, the earliest would win.
    let (mut share, mut of) = (share_of(WHOLE), slot.borrow().path().not_after());
    let mut watch = Watch::new(slot);
    loop {
        watch.look(shared, wakes, slot);
        let place = slot.borrow().clone();
        let (due, end) = term(&place, share);
        if end != of {
            (share, of, told, again) = (share_of(WHOLE), end, None, soon());
            continue;
        }
        let now = SystemClock.wall().to_seconds();
        if now < due || Instant::now() < again {
            let left = Duration::from_secs(u64::try_from(due.seconds() - now.seconds()).unwrap_or(0));
            let left = left.max(again.saturating_duration_since(Instant::now()));
            tokio::time::sleep(left.min(PEEK)).await;
            continue;
        }
        let renewed = match now > end {
            // No proof counts any more.
            true => Err(Trouble::now(
                "certificate.expired",
                format!(
                    "the certificate ended at {end}; certify the agent again, or connect with a token into a new directory"
                ),
            )),
            false => renew(shared, transport, &place, turn).await,
        };
        turn += 1;
        match renewed {
            Ok(place) => {
                of = place.path().not_after();
                (told, share, again) = (None, share_of(WHOLE), soon());
                put(shared, wakes, slot, place);
            }
            Err(trouble) => {
                shared.board.trouble(&trouble);
                // An address that is away is nothing to tell anybody of while there are others and hours.
                let left = end.seconds() - now.seconds();
                let is_late = left < (end.seconds() - due.seconds()) / 2;
                // Nor is another process that renewed the directory first: its papers are taken up at the next look. Nor what
                // comes by itself in time.
                let is_usual = trouble.code.starts_with("transport")
                    || ["directory.moved", EARLY, "renewal.enough"].contains(&trouble.code.as_str());
                let matters = is_late || !is_usual;
                if matters && told.as_deref() != Some(&trouble.code) {
                    told = Some(trouble.code.clone());
                    let text = format!("the certificate is good until {end} and was not renewed: {trouble}");
                    shared.board.alarm(AlarmKind::Renewal, text);
                }
                let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
                again = Instant::now() + pause(trouble.wait, left);
            }
        }
    }
}

/// How long to wait after a failure, `left` before the end: as long as the authority says, but whatever anybody says, half of
/// the time is left to ask again.
fn pause(said: Option<Duration>, left: Duration) -> Duration {
    match said {
        Some(wait) => wait.min((left / 2).max(SOONEST)) + share_of(SOONEST),
        None => share_of((left / 10).clamp(SOONEST, LATEST)) + SOONEST,
    }
}

/// Whether the certificate of `new` takes the place of that of `old`.
///
/// One that was issued before it never does: it is good as well, and may allow what this one does not any more. One that says the
/// same and ends sooner is no gain.
fn allow(old: &AgentPath, new: &AgentPath) -> Result<(), Trouble> {
    let begins = |path: &AgentPath| path.agent().decoded().validity().not_before;
    if begins(new) <= begins(old) {
        let (new, old) = (begins(new), begins(old));
        let what = format!("the certificate that came was issued at {new}, and the one at hand at {old}");
        return Err(Trouble::now("papers.refused", what));
    }
    let (ends, end) = (new.not_after(), old.not_after());
    if ends > end || new.agent().scope().to_der() != old.agent().scope().to_der() {
        return Ok(());
    }
    let sooner = u64::try_from(end.seconds() - ends.seconds()).unwrap_or(0);
    let what = format!("a certificate of now would end at {ends}, and the one at hand is good until {end}");
    Err(Trouble { wait: Some(Duration::from_secs(sooner)), ..Trouble::now(EARLY, what) })
}

/// When to renew, and when it ends. `share` is of [`WHOLE`].
fn term(place: &Place, share: Duration) -> (UnixTime, UnixTime) {
    let begin = place.path().agent().decoded().validity().not_before;
    // The authorities above may end first; then nothing is renewed, and the alarm says so.
    let end = place.path().not_after();
    let life = end.seconds().saturating_sub(begin.seconds());
    let chance = i64::try_from(share.as_secs()).unwrap_or(0);
    (begin.plus(life / 3 * 2 + life / 12 * chance / 1_000), end)
}

/// Notices papers that somebody else put into the directory.
struct Watch {
    /// The certificate's file as it was when the papers with it were taken up, or given up for good.
    seen: FileVersion,
    /// What was tried in vain, and when it is tried again: somebody may be in the middle of writing it.
    tried: Option<(FileVersion, Instant, Duration)>,
}

impl Watch {
    fn new(slot: &Slot) -> Self {
        Self { seen: FileVersion::of(&slot.borrow().certificate_file()), tried: None }
    }

    fn look(&mut self, shared: &Shared, wakes: &Wakes, slot: &Slot) {
        let version = FileVersion::of(&slot.borrow().certificate_file());
        if version == self.seen {
            return;
        }
        // Reading all of them again may be much: names come by the million.
        let rest = match self.tried {
            Some((tried, again, _)) if tried == version && Instant::now() < again => return,
            Some((tried, _, rest)) if tried == version => (rest * 2).min(LOOK),
            _ => PEEK,
        };
        match take_up(shared, wakes, slot) {
            Ok(()) => (self.seen, self.tried) = (version, None),
            Err(trouble) => {
                if self.tried.is_none_or(|(tried, ..)| tried != version) {
                    shared.board.trouble(&trouble);
                }
                self.tried = Some((version, Instant::now() + rest, rest));
            }
        }
    }
}

/// Takes up what is in the directory.
fn take_up(shared: &Shared, wakes: &Wakes, slot: &Slot) -> Result<(), Trouble> {
    let dir = slot.borrow().dir().to_owned();
    let there = Place::open(&dir, SystemClock.wall().to_seconds());
    let there = there.map_err(|error| Trouble::now(error.code(), error.to_string()))?;
    if there.agent() != slot.borrow().agent() || there.root() != slot.borrow().root() {
        let what = "the directory holds the papers of another agent, or of one under another root";
        return Err(Trouble::now("agent.mismatch", what));
    }
    if there.path().agent().decoded().der() != slot.borrow().path().agent().decoded().der() {
        put(shared, wakes, slot, there);
    }
    Ok(())
}

fn put(shared: &Shared, wakes: &Wakes, slot: &Slot, place: Place) {
    let (end, issuer) = (place.path().not_after(), place.issuer());
    shared.board.write(|status| status.certificate_until = Some(end));
    if slot.replace(place).issuer() != issuer {
        wakes.moved.notify_one();
    }
}

async fn renew(shared: &Shared, transport: &Transport, place: &Place, turn: usize) -> Result<Place, Trouble> {
    let index = turn % shared.addresses.len().max(1);
    let Some(address) = shared.addresses.get(index) else { return Ok(place.clone()) };
    let of_place = |error: crate::place::PlaceError| Trouble::now(error.code(), error.to_string());
    let signer = place.signer().map_err(of_place)?;
    let voice = Voice::new(&shared.feed, std::sync::Arc::clone(&signer), place.path())?;
    let route = format!("/v1/agents/{}/renew", place.agent());
    let headers = [("content-type", "application/json")];
    let response = voice.post(transport, address, &route, &headers, b"{}").await;
    let response = response.map_err(|trouble| trouble.about(address))?;
    let bytes = transport::body(response, MAX_PAPERS, HEAD).await?;
    let expected = Expected {
        key: signer.public(),
        root: place.root(),
        issuer: None,
        agent: Some(place.agent()),
        without_feed: shared.options.without_feed,
    };
    let papers = NewPapers::judge(&bytes, &expected, SystemClock.wall().to_seconds())?;
    allow(place.path(), &papers.path)?;
    let moves = papers.path.issuing().decoded().key() != place.path().issuing().decoded().key();
    if moves {
        moving::allow(&shared.options, place, &papers)?;
        // Guards load the new certificate a moment after it is there, and find that its feed was heard.
        moving::listen(shared, transport, address, &papers)
            .await
            .map_err(|trouble| trouble.about(address))?;
    }
    // Of the two certificates themselves: what an answer says of them is anybody's word.
    let before = place.names().map_err(of_place)?;
    let change =
        ScopeChange::between(place.path().agent().scope(), papers.path.agent().scope(), before, &papers);
    let renewed = place.renew(&papers).await.map_err(of_place)?;
    if moves {
        let (from, to) = (place.issuer(), renewed.issuer());
        let text = format!("the agent stands under the issuing authority {to} now, which follows {from}");
        shared.board.alarm(AlarmKind::Moved, text);
    }
    if let Some((kind, text)) = change.told() {
        shared.board.alarm(kind, text);
    }
    Ok(renewed)
}

const WHOLE: Duration = Duration::from_secs(1_000);
/// How often the directory is looked at; that is one question about a file.
const PEEK: Duration = Duration::from_secs(1);
/// How often papers are read again that could not be taken up.
const LOOK: Duration = Duration::from_secs(30);
const SOONEST: Duration = Duration::from_secs(2);
const LATEST: Duration = Duration::from_secs(120);
/// A renewal that would shorten the time.
const EARLY: &str = "renewal.early";

#[cfg(test)]
mod tests {
    use kakunin_authority::authority::{AnyAction, Budgets, Days, Hours, OldIssuing, Renew};
    use kakunin_core::scope::DraftScope;

    use super::*;
    use crate::connect::ConnectOptions;
    use crate::tested::{Rotated, answer, certified, judged, now, with_authority};

    /// C188: whoever writes a directory by hand may put the certificate before what belongs to it.
    #[tokio::test]
    async fn papers_that_could_not_be_taken_up_at_once_are_taken_up_later() {
        let rotated = Rotated::new(OldIssuing::Keep);
        let (place, new) = (rotated.place(), rotated.papers(None));
        let (slot, wakes) = (Slot::new(place.clone()), Wakes::default());
        let shared = Shared::new(ConnectOptions::new("billing"), Vec::new(), place.agent());
        let mut watch = Watch::new(&slot);
        let kept = ["chain.pem", "agent.toml"].map(|name| place.dir().join(name));
        let old = kept.clone().map(|path| std::fs::read(path).unwrap());
        place.renew(&new).await.unwrap();
        let whole = kept.clone().map(|path| std::fs::read(path).unwrap());
        let put = |all: &[Vec<u8>; 2]| {
            kept.iter().zip(all).for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap())
        };
        put(&old);
        watch.look(&shared, &wakes, &slot);
        assert_eq!(slot.borrow().issuer(), place.issuer(), "nothing to be proven yet");
        assert!(shared.board.read().last_error.is_some());
        put(&whole);
        // The certificate's own file does not change any more.
        let begun = Instant::now();
        while slot.borrow().issuer() == place.issuer() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            watch.look(&shared, &wakes, &slot);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(slot.borrow().issuer(), new.path.issuing().decoded().key().key_id());
    }

    /// C235: a certificate of a week, and an authority that gives a day; and whoever kept an old certificate shows it again.
    #[test]
    fn a_shorter_certificate_is_taken_for_what_it_says_and_an_older_one_never() {
        with_authority(|folder, authority| {
            let agent = certified(authority, folder, "billing");
            let (dir, begin) = (folder.join("billing"), now());
            let place = Place::open(&dir, begin).unwrap();
            let mut at = |days: Days, seconds: i64| {
                let now = begin.plus(seconds);
                let papers = authority.renew_elsewhere(place.path().agent(), days, Hours::default(), now);
                judged(&answer(&papers.unwrap()), &place).path
            };
            let (week, day) = (at(Days::WEEK, 2), at(Days::DAY, 4));
            assert!(allow(place.path(), &week).is_ok());
            let early = allow(&week, &day).unwrap_err();
            let sooner = week.not_after().seconds() - day.not_after().seconds();
            assert_eq!((early.code.as_str(), early.wait), (EARLY, Some(Duration::from_secs(sooner as u64))));
            let none = |_: &str| Err(std::io::ErrorKind::NotFound.into());
            let scope = DraftScope::parse("actions = [\"pay:small\"]", &none).unwrap();
            let order = Renew {
                directory: Some(&dir),
                days: Days::DAY,
                scope: Some(&scope),
                any: AnyAction::Refuse,
                budgets: Budgets::Keep,
            };
            let _ = authority.renew(&agent, &order, Hours::default(), begin.plus(6)).unwrap();
            let narrow = Place::open(&dir, now()).unwrap().path().clone();
            assert!(allow(&week, &narrow).is_ok(), "the owner changed what it may do");
            // The week is longer and allows more, and was issued before.
            for (new, old) in [(&week, &narrow), (&week, &day), (&week, &week), (place.path(), &day)] {
                assert_eq!(allow(old, new).unwrap_err().code, "papers.refused");
            }
        });
    }

    /// C235
    #[test]
    fn the_authority_says_when_to_come_again_and_half_of_the_time_is_left_whatever_it_says() {
        let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(86_400));
        for (said, left, least) in [(hour, day, hour), (day, day, day / 2), (day * 3_650, hour, hour / 2)] {
            let pause = pause(Some(said), left);
            assert!(least <= pause && pause <= least + SOONEST, "{pause:?}");
        }
        assert!(pause(Some(day), Duration::ZERO) <= SOONEST * 2);
        assert!(pause(None, day) <= LATEST + SOONEST);
    }

    /// C203: two processes keep one directory, and both renew.
    #[tokio::test]
    async fn papers_that_were_judged_against_others_than_those_there_do_not_take_their_place() {
        let rotated = Rotated::new(OldIssuing::Keep);
        let (one, other, new) = (rotated.place(), rotated.place(), rotated.papers(None));
        let (slot, wakes) = (Slot::new(other.clone()), Wakes::default());
        let shared = Shared::new(ConnectOptions::new("billing"), Vec::new(), other.agent());
        let mut watch = Watch::new(&slot);
        let renewed = one.renew(&new).await.unwrap();
        let files = ["agent.pem", "chain.pem", "agent.toml", "lists.pem"].map(|name| one.dir().join(name));
        let read = || files.clone().map(|path| FileVersion::of(&path));
        let there = read();
        assert_eq!(other.renew(&new).await.unwrap_err().code(), "directory.moved");
        assert_eq!(read(), there, "no file was written");
        // What is there is what this process goes on with.
        watch.look(&shared, &wakes, &slot);
        let taken = slot.borrow().clone();
        assert_eq!(taken.path().agent().decoded().der(), new.path.agent().decoded().der());
        for place in [renewed, taken] {
            place.renew(&new).await.unwrap();
        }
    }
}
