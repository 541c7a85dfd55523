//! Telling the authority how far its feed is enforced here, so that its operator sees how far a revocation got.
//!
//! One request at a time, beside the stream and never before it: only the newest epoch is said, some moments after guards were
//! handed it. Whether anybody hears it decides nothing, so what fails is counted and said again with the next change or soon.

use std::time::Duration;

use kakunin_core::digest::Digest;
use kakunin_core::revocation::Standing;
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::{Shared, Slot, Wakes};
use crate::place::Place;
use crate::proof::Voice;
use crate::status::{Transport as Way, Trouble};
use crate::transport::{self, HEAD, Transport};
use crate::wait::share_of;

/// What can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    issuer: Digest,
    epoch: u64,
    /// Which stream it came by: an authority that begins anew knows nothing of before. Questions have no such number.
    stream: Option<u64>,
}

/// Says it until it is dropped.
pub(crate) async fn keep(shared: &Shared, wakes: &Wakes, transport: &Transport, slot: &Slot) {
    // What was said or tried last, and when the same is said again.
    let mut last: Option<(Word, Instant)> = None;
    let mut turn = 0;
    loop {
        let Some(word) = word(shared, slot) else {
            wakes.heard.notified().await;
            continue;
        };
        if let Some((said, again)) = &mut last
            && (said.issuer, said.epoch) == (word.issuer, word.epoch)
        {
            if word.stream.is_some() && said.stream != word.stream {
                (said.stream, *again) = (word.stream, (*again).min(Instant::now() + share_of(AFRESH)));
            }
            if Instant::now() < *again {
                let again = *again;
                tokio::select! {
                    () = sleep_until(again) => {}
                    () = wakes.heard.notified() => {}
                }
                continue;
            }
        } else {
            // Guards look in the meantime, agents do not come all at once, and what comes is said with it.
            sleep(SETTLE + share_of(SPREAD)).await;
        }
        let Some(word) = self::word(shared, slot) else { continue };
        let place = slot.borrow().clone();
        let begun = Instant::now();
        let next = match say(shared, transport, place, turn, word).await {
            Ok(()) => {
                shared.board.write(|status| status.acknowledged = Some(word.epoch));
                Instant::now() + RENEW + share_of(RENEW)
            }
            Err(trouble) => {
                turn += 1;
                shared.board.write(|status| status.acknowledgements_failed += 1);
                // A service that just began says when it takes proofs.
                let asked = trouble.wait.filter(|wait| *wait <= RETRY).map(|wait| wait + share_of(AFRESH));
                Instant::now() + asked.unwrap_or_else(|| RETRY + share_of(RETRY))
            }
        };
        last = Some((word, next));
        // In a flood of changes some of them are said together.
        sleep_until(begun + GAP).await;
    }
}

/// What guards of this process were handed, if it is theirs and the agent can prove itself.
fn word(shared: &Shared, slot: &Slot) -> Option<Word> {
    let place = slot.borrow();
    let follower = shared.feed.follower_of(&place.issuer())?;
    // Without a word that counts guards deny, whatever they know.
    follower.proven()?;
    let own = place.path().agent().decoded().serial();
    // One that is held would be refused, and a refused proof counts against everybody at its address.
    if follower.standing(&own) != Standing::Good {
        return None;
    }
    let status = shared.board.read();
    let stream = (status.transport == Some(Way::Stream)).then_some(status.connections);
    Some(Word { issuer: follower.issuer(), epoch: follower.certain_head().epoch(), stream })
}

async fn say(
    shared: &Shared,
    transport: &Transport,
    place: Place,
    turn: usize,
    word: Word,
) -> Result<(), Trouble> {
    // Where the feed comes from, if that is said; the others in turn when it does not take it.
    let heard = shared.board.read().url;
    let from = shared.addresses.iter().position(|address| Some(address.to_string()) == heard).unwrap_or(0);
    let index = (from + turn) % shared.addresses.len().max(1);
    let Some(address) = shared.addresses.get(index) else { return Ok(()) };
    // A key is read from a disk that may be slow; this thread has to hear what is revoked meanwhile.
    let read = tokio::task::spawn_blocking(move || place.signer().map(|signer| (signer, place)));
    let read = read.await.map_err(|fault| Trouble::now("internal", fault.to_string()))?;
    let (signer, place) = read.map_err(|error| Trouble::now(error.code(), error.to_string()))?;
    let voice = Voice::new(&shared.feed, signer, place.path())?;
    let body = format!("{{\"issuer\":\"{}\",\"epoch\":{}}}", word.issuer, word.epoch);
    // Kept open it would take the place of somebody's stream.
    let headers = [("content-type", "application/json"), ("connection", "close")];
    let response = voice.post(transport, address, "/v1/feed/ack", &headers, body.as_bytes()).await?;
    transport::body(response, MAX_ANSWER, HEAD).await.map(drop)
}

const SETTLE: Duration = Duration::from_millis(50);
const SPREAD: Duration = Duration::from_millis(200);
/// When a service begins anew, everybody comes at once.
const AFRESH: Duration = Duration::from_secs(5);
const GAP: Duration = Duration::from_secs(1);
/// What failed waits that long, and by chance up to twice of it.
const RETRY: Duration = Duration::from_secs(30);
/// Twice of it is less than the hour after which the authority forgets.
const RENEW: Duration = Duration::from_secs(900);
const MAX_ANSWER: usize = 64 << 10;
