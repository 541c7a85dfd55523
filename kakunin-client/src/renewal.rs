//! Renewing the certificate while it is good, by a proof of its key.
//!
//! At two thirds of its life and some chance more, so that a thousand agents of one morning do not ask at once. What fails is tried
//! again, sooner as the end comes near; and whoever renews the directory otherwise is noticed.

use std::time::Duration;

use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::home::FileVersion;
use kakunin_core::time::UnixTime;

use crate::alarm::AlarmKind;
use crate::client::{Shared, Slot, Wakes};
use crate::papers::{Expected, MAX_PAPERS, NewPapers};
use crate::place::Place;
use crate::proof::Voice;
use crate::status::Trouble;
use crate::transport::{self, HEAD, Transport};
use crate::wait::share_of;

/// Renews whenever it is time, until it is dropped.
pub(crate) async fn keep(shared: &Shared, wakes: &Wakes, transport: &Transport, slot: &Slot) {
    let (mut told, mut turn, mut late) = (None::<String>, 0, share_of(Duration::from_secs(1)));
    // One draw for each certificate: drawn anew at each look, the earliest would win.
    let (mut share, mut of) = (share_of(WHOLE), slot.borrow().path().not_after());
    let mut seen = FileVersion::of(&slot.borrow().certificate_file());
    loop {
        // Reading all of them again may be much: names come by the million.
        let version = FileVersion::of(&slot.borrow().certificate_file());
        if version != seen {
            seen = version;
            take_up(shared, wakes, slot);
        }
        let place = slot.borrow().clone();
        let (due, end) = term(&place, share);
        if end != of {
            (share, of, told) = (share_of(WHOLE), end, None);
            continue;
        }
        let now = SystemClock.wall().to_seconds();
        if now < due {
            let left = Duration::from_secs(u64::try_from(due.seconds() - now.seconds()).unwrap_or(0));
            tokio::time::sleep(left.min(LOOK)).await;
            continue;
        }
        tokio::time::sleep(late).await;
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
                (told, share, late) = (None, share_of(WHOLE), share_of(Duration::from_secs(1)));
                put(shared, wakes, slot, place);
            }
            Err(trouble) => {
                shared.board.trouble(&trouble);
                // An address that is away is nothing to tell anybody of while there are others and hours.
                let left = end.seconds() - now.seconds();
                let is_late = left < (end.seconds() - due.seconds()) / 2;
                let matters = is_late || !trouble.code.starts_with("transport");
                if matters && told.as_deref() != Some(&trouble.code) {
                    told = Some(trouble.code.clone());
                    let text = format!("the certificate is good until {end} and was not renewed: {trouble}");
                    shared.board.alarm(AlarmKind::Renewal, text);
                }
                let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
                late = match trouble.wait {
                    // A service that began a moment ago says when it believes proofs again.
                    Some(wait) => wait.min(LOOK) + share_of(SOONEST),
                    None => share_of((left / 10).clamp(SOONEST, LATEST)) + SOONEST,
                };
            }
        }
    }
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
fn take_up(shared: &Shared, wakes: &Wakes, slot: &Slot) {
    let dir = slot.borrow().dir().to_owned();
    let Ok(there) = Place::open(&dir, SystemClock.wall().to_seconds()) else { return };
    let same = there.path().agent().decoded().der() == slot.borrow().path().agent().decoded().der();
    if !same && there.agent() == slot.borrow().agent() && there.root() == slot.borrow().root() {
        put(shared, wakes, slot, there);
    }
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
    let voice = Voice::new(std::sync::Arc::clone(&signer), place.path())?;
    let route = format!("/v1/agents/{}/renew", place.agent());
    let headers = [("content-type", "application/json")];
    let response = voice.post(transport, address, &route, &headers, b"{}").await;
    let response = response.map_err(|trouble| trouble.about(address))?;
    let bytes = transport::body(response, MAX_PAPERS, HEAD).await?;
    let expected = Expected {
        key: signer.public(),
        root: place.root(),
        agent: Some(place.agent()),
        without_feed: shared.options.without_feed,
    };
    let papers = NewPapers::judge(&bytes, &expected, SystemClock.wall().to_seconds())?;
    if papers.path.not_after() <= place.path().not_after() {
        return Err(Trouble::now("papers.refused", "the new certificate ends no later than the old one"));
    }
    let renewed = place.renew(&papers).await.map_err(of_place)?;
    if !papers.scope_diff.is_empty() {
        let text = format!("the scope was renewed as well: {}", papers.scope_diff.join("; "));
        shared.board.alarm(AlarmKind::Scope, text);
    }
    Ok(renewed)
}

const WHOLE: Duration = Duration::from_secs(1_000);
const LOOK: Duration = Duration::from_secs(30);
const SOONEST: Duration = Duration::from_secs(2);
const LATEST: Duration = Duration::from_secs(120);
