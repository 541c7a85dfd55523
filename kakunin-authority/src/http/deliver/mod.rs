//! Deliveries to webhooks: from the outbox to whoever wants to be told.

mod backoff;
mod names;
mod post;
pub(crate) mod reach;
pub(crate) mod sender;
pub(crate) mod target;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use names::SystemNames;
pub(crate) use post::{Post, client};
use tokio::sync::{Mutex, Notify, OnceCell};

use self::reach::Reach;
use crate::hook::order::Seals;
use crate::signer::SealingKey;

/// What routes, the sequencer and the sender share about webhooks.
pub(crate) struct Deliveries {
    pub(crate) reach: Reach,
    pub(crate) seals: Seals,
    /// The key that closes secrets, once it is open.
    pub(crate) sealing: OnceCell<Arc<SealingKey>>,
    /// Held by whoever makes it.
    pub(crate) making: Mutex<()>,
    /// Something may have to be sent.
    pub(crate) wake: Notify,
    pub(crate) counts: Counts,
}

impl Deliveries {
    pub(crate) fn new(reach: Reach, seals: Seals) -> Self {
        Self {
            reach,
            seals,
            sealing: OnceCell::new(),
            making: Mutex::new(()),
            wake: Notify::new(),
            counts: Counts::default(),
        }
    }
}

/// Attempts since the service began.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) delivered: Count,
    pub(crate) failed: Count,
    pub(crate) given_up: Count,
}

#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
