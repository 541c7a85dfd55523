//! Tells the authority which checkpoints of its owner's log this agent was shown: at least once, in their order.
//!
//! No decision waits for it. What cannot be sent stays in the state directory and is sent later, also by a later process.

use std::time::Duration;

use kakunin_core::digest::Digest;
use tokio::time::Instant;

use crate::alarm::AlarmKind;
use crate::checkpoints::{Checkpoints, Waiting};
use crate::client::{Shared, Slot};
use crate::place::Place;
use crate::proof::Voice;
use crate::status::Trouble;
use crate::transport::{self, HEAD, Transport};
use crate::upload::aside;
use crate::wait::{Backoff, share_of};

/// Looks and sends until it is dropped.
pub(crate) async fn keep(shared: &Shared, transport: &Transport, slot: &Slot) {
    if !shared.options.uploads {
        return std::future::pending().await;
    }
    let mut kept = None;
    let (mut backoff, mut turn) = (Backoff::default(), 0);
    // Since when something is wrong, and what was told of it.
    let mut told: Option<(Instant, Option<String>)> = None;
    loop {
        match step(shared, transport, slot, &mut kept, turn).await {
            Ok(sent) => {
                (backoff, told) = (Backoff::default(), None);
                if !sent {
                    tokio::time::sleep(LOOK).await;
                }
            }
            Err(trouble) => {
                turn += 1;
                let (since, last) = told.get_or_insert((Instant::now(), None));
                let away = trouble.code.starts_with("transport") || trouble.wait.is_some();
                if last.as_deref() != Some(&trouble.code) && (!away || since.elapsed() >= PATIENCE) {
                    *last = Some(trouble.code.clone());
                    let text = format!("checkpoints of the log are not sent: {trouble}");
                    shared.board.alarm(AlarmKind::Uploads, text);
                }
                tokio::time::sleep(backoff.next(trouble.wait) + share_of(LOOK)).await;
            }
        }
    }
}

/// Looks, and sends the next one; false when there is none.
async fn step(
    shared: &Shared,
    transport: &Transport,
    slot: &Slot,
    kept: &mut Option<Checkpoints>,
    turn: usize,
) -> Result<bool, Trouble> {
    let place = slot.borrow().clone();
    let dir = place.dir().to_owned();
    let state = shared.options.state.clone().unwrap_or_else(|| dir.join("state"));
    let before = kept.take();
    let looked = aside(move || {
        let opened = match before {
            Some(before) => Some(before),
            None => Checkpoints::open(&state)?,
        };
        // What is wrong with a file keeps nothing back that was taken up before.
        Ok(opened.map(|mut opened| {
            let looked = opened.look(&dir);
            (opened, looked)
        }))
    });
    let Some((opened, looked)) = looked.await? else { return Ok(false) };
    let (next, behind) = opened.next();
    *kept = Some(opened);
    shared.board.write(|status| status.checkpoints_behind = behind);
    let looked = looked.map_err(|error| Trouble::now("uploads.checkpoint", error.to_string()));
    let Some(next) = next else { return looked.map(|()| false) };
    match post(shared, transport, &place, turn, &next).await {
        Ok(()) => {}
        // It was judged, and would be judged like that again.
        Err(trouble) if trouble.code.starts_with("checkpoint.") => {
            let refused = ["checkpoint.malformed", "checkpoint.signature"].contains(&trouble.code.as_str());
            let kind = if refused { AlarmKind::Uploads } else { AlarmKind::Log };
            let text = format!("the log's checkpoint of {} entries: {trouble}", next.size());
            shared.board.alarm(kind, text);
        }
        Err(trouble) => return Err(trouble),
    }
    let Some(mut opened) = kept.take() else { return Ok(true) };
    let answered = aside(move || opened.answered(&next).map(|()| opened));
    let opened = answered.await?;
    shared.board.write(|status| status.checkpoints_behind = opened.next().1);
    *kept = Some(opened);
    looked.map(|()| true)
}

async fn post(
    shared: &Shared,
    transport: &Transport,
    place: &Place,
    turn: usize,
    next: &Waiting,
) -> Result<(), Trouble> {
    let index = turn % shared.addresses.len().max(1);
    let Some(address) = shared.addresses.get(index) else { return Ok(()) };
    // A key is read from a disk that may be slow; this thread has to hear what is revoked meanwhile.
    let keeper = place.clone();
    let read = tokio::task::spawn_blocking(move || keeper.signer());
    let signer = read.await.map_err(|fault| Trouble::now("internal", fault.to_string()))?;
    let signer = signer.map_err(|error| Trouble::now(error.code(), error.to_string()))?;
    let voice = Voice::new(&shared.feed, signer, place.path())?;
    let body = next.body();
    let key = Digest::of(body.as_bytes()).to_hex();
    let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
    let response = voice.post(transport, address, "/v1/checkpoints", &headers, body.as_bytes()).await;
    let response = response.map_err(|trouble| trouble.about(address))?;
    let text = transport::body(response, MAX_ANSWER, HEAD).await?;
    // Anybody else's 200 is no acknowledgement.
    let answer: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let size = answer.get("data").and_then(|data| data.get("size")?.as_u64());
    match size == Some(next.size()) {
        true => Ok(()),
        false => {
            Err(Trouble::now("uploads.answer", "what was answered is no acknowledgement of what was sent"))
        }
    }
}

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// An authority that is away for less is nothing to tell anybody of.
const PATIENCE: Duration = Duration::from_secs(600);
const MAX_ANSWER: usize = 64 << 10;
