//! Connections to the records that only read, so that reading never waits for the sequencer.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::error::Refusal;
use crate::home::Home;
use crate::store::{SqliteStore, Store, StoreError};

/// A few open connections, made when they are first needed.
pub(crate) struct Readers {
    home: Home,
    idle: Mutex<Vec<SqliteStore>>,
    room: Semaphore,
}

impl Readers {
    pub(crate) fn new(home: &Home) -> Self {
        Self { home: home.clone(), idle: Mutex::new(Vec::new()), room: Semaphore::new(CONNECTIONS) }
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
                None => SqliteStore::reader(&readers.home.store())?,
            };
            let seen = look(&store)?;
            // A connection that failed is not used again.
            readers.idle().push(store);
            Ok::<T, Refusal>(seen)
        });
        looked.await.map_err(|_| Refusal::internal())?
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SqliteStore>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More readers than this wait for each other on one disk anyway.
const CONNECTIONS: usize = 4;
