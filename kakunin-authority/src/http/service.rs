//! What every handler sees of the authority: its orders, what it published, its records to read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kakunin_core::digest::Digest;
use kakunin_core::key::{PublicKey, Signer};
use kakunin_core::time::UnixTime;
use tokio::sync::Semaphore;

use super::answer::tame;
use super::content::Desk;
use super::deliver::Deliveries;
use super::door::{Counts, Plane};
use super::error::Refusal;
use super::feed::{Acks, Hub};
use super::happenings::Happenings;
use super::intake::Intake;
use super::logs::Logs;
use super::oidc::Pipelines;
use super::once::Repeats;
use super::places::Places;
use super::proof::Proofs;
use super::rate::Rates;
use super::readers::Readers;
use super::room::{Room, full};
use super::sequencer::{NoAnswer, Orders};
use super::server::Clock;
use super::shelf::{Part, Reading};
use super::shown::{Shown, Whose};
use super::throttle::Throttle;
use super::watching::Watch;
use crate::access::TenantId;
use crate::authority::AuthorityError;
use crate::grant::HeldKeys;
use crate::hook::order::has_hooks;
use crate::publish::Published;
use crate::signer::{SealError, SealingKey};
use crate::store::StoreError;
use crate::term::Hours;

/// The shared half of a running service.
pub(crate) struct Service {
    pub(crate) orders: Orders,
    pub(crate) shown: Shown,
    pub(crate) readers: Arc<Readers>,
    /// In which term this node leads.
    pub(crate) term: i64,
    /// What time it is, in whole seconds.
    pub(crate) clock: Arc<dyn Fn() -> UnixTime + Send + Sync>,
    /// The same, as the feed needs it.
    pub(crate) millis: Clock,
    pub(crate) feeds: Hub,
    /// How far agents say that they enforce them.
    pub(crate) acks: Acks,
    /// For how long each list may be used.
    pub(crate) hours: Hours,
    /// Room on the disk.
    pub(crate) room: Arc<Room>,
    pub(crate) rates: Rates,
    pub(crate) intake: Intake,
    pub(crate) exports: Places,
    /// Bundles of evidence that are made or read.
    pub(crate) bundles: Places,
    /// Logs of receipts that are read here.
    pub(crate) logs: Logs,
    /// Who listens to declared events.
    pub(crate) happenings: Happenings,
    pub(crate) throttle: Throttle,
    pub(crate) repeats: Repeats,
    /// What was counted at each door.
    pub(crate) doors: Vec<(Plane, Arc<Counts>)>,
    pub(crate) proofs: Proofs,
    pub(crate) held: HeldKeys,
    pub(crate) opened: Mutex<HashMap<Digest, Arc<Signer>>>,
    pub(crate) hooks: Deliveries,
    pub(crate) watch: Watch,
    /// Pipelines that may exchange a token for a key.
    pub(crate) pipelines: Option<Arc<Pipelines>>,
    /// Where texts are checked.
    pub(crate) content: Desk,
    /// Each key derivation takes 16 MiB and a core.
    pub(crate) derivations: Semaphore,
    /// Writes one line of the log.
    pub(crate) log: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Service {
    /// Looks whether this node still leads: a process that was paused while another one took over does not know that by
    /// itself.
    ///
    /// # Errors
    /// [`Refusal`] when it does not, or that cannot be found out.
    pub(crate) async fn still_leads(&self) -> Result<(), Refusal> {
        let term = self.term;
        match self.readers.newest_term().await? {
            newest if newest == term => Ok(()),
            newest => Err(StoreError::Fenced { term, newest }.into()),
        }
    }

    /// Writes into the log that something of the service's own did not go well.
    pub(crate) fn note(&self, event: &str, cause: &dyn std::fmt::Display) {
        let line = serde_json::json!({
            "at": (self.clock)().to_string(),
            "event": event,
            "cause": cause.to_string(),
        });
        (self.log)(&tame(line.to_string()));
    }

    /// Why an order that was begun did not come to its end: there was no room, or something else, which the log tells.
    pub(crate) fn failure(&self, none: NoAnswer) -> Refusal {
        if none == NoAnswer::Failed && self.room.was_missing() { full() } else { none.into() }
    }

    /// What everyone may read, as it was last published for whom nobody names.
    ///
    /// # Errors
    /// [`Refusal`] before the first publication.
    pub(crate) fn published(&self) -> Result<Arc<Published>, Refusal> {
        self.shown.asked(&Whose::default())
    }

    /// What was published for whom somebody names, with a reader of a part of it.
    ///
    /// # Errors
    /// [`Refusal`] as for [`Shown::asked`].
    pub(crate) fn reading(&self, whose: &Whose, part: Part) -> Result<(Arc<Published>, Reading), Refusal> {
        self.shown.shelf(whose)?.open(part).ok_or_else(Refusal::missing)
    }

    /// The same for a tenant that asks in its own name.
    ///
    /// # Errors
    /// [`Refusal`] when this authority has no such tenant.
    pub(crate) fn published_of(&self, tenant: &TenantId) -> Result<Arc<Published>, Refusal> {
        self.shown.newest(tenant).ok_or_else(Refusal::missing)
    }

    /// Makes a key that stays here.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be made or written.
    pub(crate) async fn make_held_key(&self) -> Result<PublicKey, Refusal> {
        self.room.for_others()?;
        let _place = self.derivations.acquire().await.map_err(|_| Refusal::internal())?;
        let held = self.held.clone();
        let made = tokio::task::spawn_blocking(move || held.make()).await.map_err(|_| Refusal::internal())?;
        Ok(made.map_err(AuthorityError::from)?)
    }

    /// The key with this id, if it is held here; opened once, and kept open as long as few are.
    ///
    /// # Errors
    /// [`Refusal`] when it is here and does not open.
    pub(crate) async fn held_signer(&self, key_id: Digest) -> Result<Option<Arc<Signer>>, Refusal> {
        if let Some(signer) = self.opened().get(&key_id) {
            return Ok(Some(Arc::clone(signer)));
        }
        let _place = self.derivations.acquire().await.map_err(|_| Refusal::internal())?;
        let held = self.held.clone();
        let opened = tokio::task::spawn_blocking(move || held.open(key_id)).await;
        let opened = opened.map_err(|_| Refusal::internal())?.map_err(AuthorityError::from)?;
        if let Some(signer) = &opened {
            let mut known = self.opened();
            if known.len() >= OPENED {
                known.clear();
            }
            known.insert(key_id, Arc::clone(signer));
        }
        Ok(opened)
    }

    /// The key that closes secrets of webhooks; `None` when there never was one.
    ///
    /// # Errors
    /// [`Refusal`] when it is there and does not open.
    pub(crate) async fn sealing_key(&self) -> Result<Option<Arc<SealingKey>>, Refusal> {
        if let Some(key) = self.hooks.sealing.get() {
            return Ok(Some(Arc::clone(key)));
        }
        let _place = self.derivations.acquire().await.map_err(|_| Refusal::internal())?;
        let seals = self.hooks.seals.clone();
        let opened = tokio::task::spawn_blocking(move || seals.open()).await;
        let Some(key) = opened.map_err(|_| Refusal::internal())?.map_err(AuthorityError::from)? else {
            return Ok(None);
        };
        Ok(Some(Arc::clone(self.hooks.sealing.get_or_init(|| async { Arc::new(key) }).await)))
    }

    /// The same, made for the first webhook of all.
    ///
    /// # Errors
    /// [`Refusal`] when it does not open, cannot be made, or is missing though there are webhooks.
    pub(crate) async fn sealing_key_or_new(&self) -> Result<Arc<SealingKey>, Refusal> {
        // Two first webhooks at once make one key.
        let _turn = self.hooks.making.lock().await;
        if let Some(key) = self.sealing_key().await? {
            return Ok(key);
        }
        if self.readers.read(has_hooks).await? {
            return Err(AuthorityError::from(SealError).into());
        }
        let seals = self.hooks.seals.clone();
        let made = tokio::task::spawn_blocking(move || seals.make()).await;
        let made = made.map_err(|_| Refusal::internal())?.map_err(AuthorityError::from)?;
        Ok(Arc::clone(self.hooks.sealing.get_or_init(|| async { Arc::new(made) }).await))
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Signer>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a key that no certificate was issued for.
    pub(crate) async fn forget_held_key(&self, key_id: Digest) {
        let held = self.held.clone();
        let _ = tokio::task::spawn_blocking(move || held.forget(key_id)).await;
    }
}

/// Keys that are kept open; one more, and all are opened anew when they are needed.
const OPENED: usize = 1024;
