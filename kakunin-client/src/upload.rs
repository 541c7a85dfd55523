//! Receipts sent home: at least once, in their order, until the authority says that it keeps them.
//!
//! What cannot be sent stays in the journal, where it is anyway, and is sent later; no decision waits for it. A body that is sent
//! again has the key it had, so that a lost answer does no harm.

use std::path::PathBuf;
use std::time::Duration;

use kakunin_core::digest::Digest;
use tokio::time::Instant;

use crate::alarm::AlarmKind;
use crate::client::{Shared, Slot};
use crate::place::Place;
use crate::proof::Voice;
use crate::spool::{Batch, Spool};
use crate::status::Trouble;
use crate::transport::{self, HEAD, Transport};
use crate::wait::{Backoff, share_of};

/// Sends until it is dropped.
pub(crate) async fn keep(shared: &Shared, transport: &Transport, slot: &Slot) {
    if !shared.options.uploads {
        return std::future::pending().await;
    }
    let state = shared.options.state.clone().unwrap_or_else(|| slot.borrow().dir().join("state"));
    let mut sender = Sender { shared, transport, slot, state, spool: None, turn: 0, told: None };
    let mut backoff = Backoff::default();
    let mut looked = Instant::now();
    loop {
        let begun = Instant::now();
        if begun.duration_since(looked) > AGAIN {
            looked = begun;
            sender.spool.as_mut().map(Spool::look_again);
        }
        match sender.send().await {
            Ok(true) => backoff = Backoff::default(),
            // A journal is read from its beginning: a large one takes a while, and a twentieth of the time is enough.
            Ok(false) => tokio::time::sleep(REST.max(begun.elapsed() * 20)).await,
            Err(trouble) => {
                sender.tell(&trouble);
                tokio::time::sleep(backoff.next(trouble.wait) + share_of(REST)).await;
            }
        }
    }
}

struct Sender<'a> {
    shared: &'a Shared,
    transport: &'a Transport,
    slot: &'a Slot,
    state: PathBuf,
    spool: Option<Spool>,
    turn: usize,
    /// Since when something is wrong, and what was told of it.
    told: Option<(Instant, Option<String>)>,
}

impl Sender<'_> {
    /// Sends the next lines; false when there are none.
    async fn send(&mut self) -> Result<bool, Trouble> {
        let (spool, state) = (self.spool.take(), self.state.clone());
        let found = aside(move || {
            let spool = match spool {
                Some(spool) => Some(spool),
                None => Spool::open(&state)?,
            };
            let Some(mut spool) = spool else { return Ok(None) };
            let batch = spool.next()?;
            Ok(Some((spool, batch)))
        });
        let Some((spool, batch)) = found.await? else { return Ok(false) };
        let Some(batch) = batch else {
            self.spool = Some(spool);
            self.shared.board.write(|status| status.uploads_behind = 0);
            self.told = None;
            return Ok(false);
        };
        self.shared.board.write(|status| status.uploads_behind = batch.lines);
        let place = self.slot.borrow().clone();
        let posted = post(self.shared, self.transport, &place, self.turn, &batch).await;
        let mut spool = spool;
        match posted {
            Ok(()) => {
                let kept = aside(move || spool.acknowledged(&batch).map(|()| spool));
                self.spool = Some(kept.await?);
            }
            Err(trouble) => {
                self.turn += 1;
                // What this stream says is refused, and would be again; those of the others may be in order.
                if trouble.code.starts_with("receipt.") {
                    spool.pass_over(&batch);
                }
                self.spool = Some(spool);
                return Err(trouble);
            }
        }
        self.told = None;
        Ok(true)
    }

    /// An alarm, once, for what time alone does not heal.
    fn tell(&mut self, trouble: &Trouble) {
        let (since, told) = self.told.get_or_insert((Instant::now(), None));
        let away = trouble.code.starts_with("transport") || trouble.wait.is_some();
        if told.as_deref() == Some(&trouble.code) || (away && since.elapsed() < PATIENCE) {
            return;
        }
        *told = Some(trouble.code.clone());
        let text = format!("receipts stay in the journal and are not sent: {trouble}");
        self.shared.board.alarm(AlarmKind::Uploads, text);
    }
}

/// Reads and syncs on another thread: this one has to hear what is revoked meanwhile, however large a journal is.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| Trouble::now("uploads.journal", error.to_string())),
        Err(fault) => Err(Trouble::now("internal", fault.to_string())),
    }
}

async fn post(
    shared: &Shared,
    transport: &Transport,
    place: &Place,
    turn: usize,
    batch: &Batch,
) -> Result<(), Trouble> {
    let index = turn % shared.addresses.len().max(1);
    let Some(address) = shared.addresses.get(index) else { return Ok(()) };
    let signer = place.signer().map_err(|error| Trouble::now(error.code(), error.to_string()))?;
    let voice = Voice::new(&shared.feed, signer, place.path())?;
    let key = Digest::of(&batch.body).to_hex();
    let headers = [("content-type", "text/plain"), ("idempotency-key", key.as_str())];
    let response = voice.post(transport, address, "/v1/receipts", &headers, &batch.body).await;
    let response = response.map_err(|trouble| trouble.about(address))?;
    let text = transport::body(response, MAX_ANSWER, HEAD).await?;
    // Kept are as many as were sent, new ones and known ones: anybody else's 200 is no acknowledgement.
    let answer: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let count = |name: &str| answer.get("data").and_then(|data| data.get(name)?.as_u64());
    let kept = count("accepted").zip(count("known")).map(|(new, known)| new.saturating_add(known));
    match kept == Some(batch.lines) {
        true => Ok(()),
        false => {
            Err(Trouble::now("uploads.answer", "what was answered is no acknowledgement of what was sent"))
        }
    }
}

/// Between two looks at a journal that had nothing new. A watch stops an agent by receipts that it has, so this is a part of
/// the second in which that is promised.
const REST: Duration = Duration::from_millis(200);
/// Streams that said nothing, or were refused, are looked at again.
const AGAIN: Duration = Duration::from_secs(600);
/// An authority that is away for less is nothing to tell anybody of.
const PATIENCE: Duration = Duration::from_secs(600);
const MAX_ANSWER: usize = 64 << 10;
