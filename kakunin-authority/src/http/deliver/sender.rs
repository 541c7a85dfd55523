//! The thread that sends: it looks what is due, sends it, and has the sequencer record what came of it.
//!
//! Each webhook has one turn at a time, so a receiver that takes its time holds up nobody else, and turns go round.
//! What was sent and not recorded is sent again: by this thread, or by the next service after a crash.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use super::backoff::after_failure;
use super::post::{Post, Sent};
use crate::hook::HookId;
use crate::hook::order::open_secrets;
use crate::hook::secret::HookSecret;
use crate::http::error::Refusal;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::store::{Attempt, DeliveryRecord, HookRecord, Store, Then};

/// What came of an attempt, for the records.
#[derive(Clone, Debug)]
pub(crate) struct Settlement {
    hook: HookId,
    sequence: u64,
    attempt: Attempt,
}

impl Settlement {
    pub(crate) fn record(&self, store: &mut dyn Store) -> Result<bool, crate::store::StoreError> {
        store.settle(self.hook, self.sequence, &self.attempt)
    }
}

/// Starts the thread. It ends with `stop` and gives back what nobody took down any more.
pub(crate) fn start(
    service: Arc<Service>,
    post: Post,
    stop: watch::Receiver<bool>,
) -> io::Result<JoinHandle<Vec<Settlement>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sender = Arc::new(Sender { service, post, stop, left: Mutex::default() });
    thread::Builder::new().name("kakunin-hooks".into()).spawn(move || {
        runtime.block_on(attend(&sender));
        let mut left = sender.left.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *left)
    })
}

struct Sender {
    service: Arc<Service>,
    post: Post,
    stop: watch::Receiver<bool>,
    left: Mutex<Vec<Settlement>>,
}

/// Gives turns until the service stops; those under way then have a little time to end.
async fn attend(sender: &Arc<Sender>) {
    let mut stop = sender.stop.clone();
    let mut turns: JoinSet<()> = JoinSet::new();
    let mut busy: HashMap<Id, HookId> = HashMap::new();
    // When each webhook had its last turn: the one that waited longest is next.
    let mut served: HashMap<HookId, u64> = HashMap::new();
    let (mut round, mut cleaned) = (0_u64, None);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(ended) = turns.join_next_with_id(), if !turns.is_empty() => {
                let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, ())| *id);
                busy.remove(&id);
            }
            () = sender.service.hooks.wake.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        sender.clean(&mut cleaned).await;
        let now = (sender.service.clock)();
        let Ok(mut due) = sender.service.readers.read(move |store| store.hooks_due(now)).await else {
            // A store that cannot be read is not asked again at once.
            tokio::time::sleep(LOOK).await;
            continue;
        };
        due.sort_by_key(|hook| served.get(&hook.id).copied().unwrap_or(0));
        for hook in due {
            if turns.len() >= TURNS || busy.values().any(|id| *id == hook.id) {
                continue;
            }
            round = round.saturating_add(1);
            served.insert(hook.id, round);
            let (id, sender) = (hook.id, Arc::clone(sender));
            let turn = turns.spawn(async move { sender.turn(&hook).await });
            busy.insert(turn.id(), id);
        }
    }
    let all = async { while turns.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, all).await;
}

impl Sender {
    /// Sends a few of what is due to one webhook, one after the other.
    async fn turn(&self, hook: &HookRecord) {
        let (id, now) = (hook.id, (self.service.clock)());
        let due =
            self.service.readers.read(move |store| Ok((store.due(id, now, EACH)?, store.secrets(id, now)?)));
        let Ok((due, sealed)) = due.await else { return };
        let secrets = match self.service.sealing_key().await {
            Ok(Some(key)) => open_secrets(&key, id, &sealed).map_err(Refusal::from),
            Ok(None) => Err(Refusal::internal()),
            Err(refusal) => Err(refusal),
        };
        for delivery in due {
            if *self.stop.borrow() {
                return;
            }
            let sent = match &secrets {
                Ok(secrets) => self.send(hook, &delivery, secrets).await,
                Err(refusal) => {
                    let cause = refusal.cause.as_deref().unwrap_or("there is no sealing.key.pem");
                    self.service.note("webhook.secret", &cause);
                    Sent { answer: None, error: Some("its secret does not open".into()) }
                }
            };
            self.settle(&delivery, sent).await;
        }
    }

    async fn send(&self, hook: &HookRecord, delivery: &DeliveryRecord, secrets: &[HookSecret]) -> Sent {
        self.post.send(hook, delivery, secrets, (self.service.clock)()).await
    }

    /// Has it recorded, and waits until it is: what is due is read again afterwards.
    async fn settle(&self, delivery: &DeliveryRecord, sent: Sent) {
        let at = (self.service.clock)();
        let then = match &sent.error {
            None => Then::Delivered,
            Some(_) => after_failure(delivery, at, chance()),
        };
        let counts = &self.service.hooks.counts;
        match then {
            Then::Delivered => counts.delivered.add(),
            Then::Again(_) => counts.failed.add(),
            Then::GiveUp => counts.given_up.add(),
        }
        let attempt = Attempt { at, then, answer: sent.answer, error: sent.error };
        let settlement = Settlement { hook: delivery.hook, sequence: delivery.sequence, attempt };
        loop {
            let recorded = settlement.clone();
            let order = move |authority: &mut crate::authority::Authority<'_>| {
                recorded.record(authority.store.as_mut())
            };
            match self.service.orders.give(Lane::Ordinary, order).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => self.service.note("webhook.not_recorded", &error),
                // A full lane is emptied in seconds, and a service that ends takes no more orders.
                Err(_) => {}
            }
            if *self.stop.borrow() {
                self.left.lock().unwrap_or_else(PoisonError::into_inner).push(settlement);
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Forgets once an hour what came to its end long ago.
    async fn clean(&self, cleaned: &mut Option<tokio::time::Instant>) {
        if cleaned.is_some_and(|at| at.elapsed() < CLEAN) {
            return;
        }
        *cleaned = Some(tokio::time::Instant::now());
        let before = (self.service.clock)().plus(-KEPT);
        let order =
            move |authority: &mut crate::authority::Authority<'_>| authority.store.forget_deliveries(before);
        if let Ok(Err(error)) = self.service.orders.give(Lane::Ordinary, order).await {
            self.service.note("webhook.not_cleaned", &error);
        }
    }
}

/// An octet that spreads attempts. Without randomness they come together, which is no reason not to make them.
fn chance() -> u8 {
    let mut octet = [128];
    let _ = SystemRandom::new().fill(&mut octet);
    octet.first().copied().unwrap_or(128)
}

/// How often it looks what is due; a change wakes it at once.
const LOOK: Duration = Duration::from_secs(1);
/// Turns at once, each of a webhook of its own.
const TURNS: usize = 64;
/// Deliveries in a turn.
const EACH: u32 = 8;
/// For turns under way when the service stops.
const GRACE: Duration = Duration::from_secs(5);
const CLEAN: Duration = Duration::from_secs(3600);
/// Thirty days.
const KEPT: i64 = 30 * 86_400;
