//! Connections to the records that only read, so that reading never waits for the sequencer.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::error::Refusal;
use crate::store::{Place, Store, StoreError};

/// A few open connections, made when they are first needed.
pub(crate) struct Readers {
    place: Place,
    idle: Mutex<Vec<Box<dyn Store + Send>>>,
    room: Semaphore,
}

impl Readers {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, idle: Mutex::new(Vec::new()), room: Semaphore::new(CONNECTIONS) }
    }

    /// Reads from the records as they are now: what was answered before this call is in them.
    ///
    /// # Errors
    /// [`Refusal`] when the records cannot be read.
    pub(crate) async fn read<T: Send + 'static>(
        self: &std::sync::Arc<Self>,
        look: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let _place = self.room.acquire().await.map_err(|_| Refusal::internal())?;
        let readers = std::sync::Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || {
            let store = match readers.idle().pop() {
                Some(store) => store,
                None => readers.place.reader()?,
            };
            let seen = look(store.as_ref())?;
            // A connection that failed is not used again.
            readers.idle().push(store);
            Ok::<T, Refusal>(seen)
        });
        looked.await.map_err(|_| Refusal::internal())?
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Store + Send>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More readers than this wait for each other on one disk anyway.
const CONNECTIONS: usize = 4;
