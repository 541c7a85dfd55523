//! What every handler sees of the authority: its orders, what it published, its records to read.

use std::sync::Arc;

use kakunin_core::digest::Digest;
use kakunin_core::key::PublicKey;
use tokio::sync::{Semaphore, watch};

use super::error::Refusal;
use super::rate::Rates;
use super::readers::Readers;
use super::sequencer::Orders;
use super::server::Clock;
use crate::authority::AuthorityError;
use crate::grant::HeldKeys;
use crate::publish::Published;
use crate::term::Hours;

/// The shared half of a running service.
pub(crate) struct Service {
    pub(crate) orders: Orders,
    pub(crate) published: watch::Sender<Option<Arc<Published>>>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) clock: Clock,
    /// For how long each list may be used.
    pub(crate) hours: Hours,
    pub(crate) rates: Rates,
    pub(crate) held: HeldKeys,
    /// Each key derivation takes 16 MiB and a core.
    pub(crate) derivations: Semaphore,
    /// Writes one line of the log.
    pub(crate) log: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Service {
    /// What everyone may read, as it was last published.
    ///
    /// # Errors
    /// [`Refusal`] before the first publication.
    pub(crate) fn published(&self) -> Result<Arc<Published>, Refusal> {
        let none = || Refusal::unavailable("starting", "the authority has not published its lists yet");
        self.published.borrow().clone().ok_or_else(none)
    }

    /// Makes a key that stays here.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be made or written.
    pub(crate) async fn make_held_key(&self) -> Result<PublicKey, Refusal> {
        let _place = self.derivations.acquire().await.map_err(|_| Refusal::internal())?;
        let held = self.held.clone();
        let made = tokio::task::spawn_blocking(move || held.make()).await.map_err(|_| Refusal::internal())?;
        Ok(made.map_err(AuthorityError::from)?)
    }

    /// Forgets a key that no certificate was issued for.
    pub(crate) async fn forget_held_key(&self, key_id: Digest) {
        let held = self.held.clone();
        let _ = tokio::task::spawn_blocking(move || held.forget(key_id)).await;
    }
}
