//! Connections to the records that only read, so that reading never waits for the sequencer.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::error::Refusal;
use crate::store::{Place, Store, StoreError};

/// A few open connections, made when they are first needed.
pub(crate) struct Readers {
    place: Place,
    idle: Mutex<Vec<Box<dyn Store + Send>>>,
    room: Semaphore,
    anyone: Semaphore,
    long: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(place: Place) -> Self {
        let (room, anyone) = (Semaphore::new(CONNECTIONS), Semaphore::new(ANYONE));
        Self { place, idle: Mutex::new(Vec::new()), room, anyone, long: Arc::new(Semaphore::new(1)) }
    }

    /// Reads from the records as they are now: what was answered before this call is in them.
    ///
    /// # Errors
    /// [`Refusal`] when the records cannot be read.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let _place = self.room.acquire().await.map_err(|_| Refusal::internal())?;
        let readers = Arc::clone(self);
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

    /// The same for somebody who showed no key. They have half of the connections among themselves, so that a flood of
    /// them waits for itself and whoever has a key waits for two of them at most.
    ///
    /// # Errors
    /// [`Refusal`] when the records cannot be read.
    pub(crate) async fn read_for_anyone<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let _turn = self.anyone.acquire().await.map_err(|_| Refusal::internal())?;
        self.read(look).await
    }

    /// The same for what takes long and much memory: one at a time.
    ///
    /// # Errors
    /// [`Refusal`] when the records cannot be read.
    pub(crate) async fn read_at_length<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        // Whoever asked may be gone before it ends.
        let turn = Arc::clone(&self.long).acquire_owned().await.map_err(|_| Refusal::internal())?;
        self.read(move |store| {
            let _turn = turn;
            look(store)
        })
        .await
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Store + Send>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More readers than this wait for each other on one disk anyway.
const CONNECTIONS: usize = 4;
const ANYONE: usize = 2;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_flood_of_anyones_leaves_room_for_whoever_has_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::File(folder.path().join("store.sqlite"));
        drop(place.open().unwrap());
        let readers = Arc::new(Readers::new(place));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (entered, inside) = channel();
        let mut gates = Vec::new();
        let mut flood = Vec::new();
        for _ in 0..50 {
            let (gate, closed) = channel::<()>();
            let (readers, entered) = (Arc::clone(&readers), entered.clone());
            gates.push(gate);
            flood.push(runtime.spawn(async move {
                let look = move |_: &dyn Store| {
                    let _ = entered.send(());
                    // Until its gate is opened.
                    let _ = closed.recv();
                    Ok(())
                };
                readers.read_for_anyone(look).await.is_ok()
            }));
        }
        for _ in 0..ANYONE {
            inside.recv().unwrap();
        }
        // They are inside and stay there; whoever has a key reads all the same, as often as he likes.
        for _ in 0..20 {
            assert!(runtime.block_on(readers.read(|store| store.issuers())).is_ok());
        }
        assert!(inside.try_recv().is_err(), "no third one is inside");
        drop(gates);
        for one in flood {
            assert!(runtime.block_on(one).unwrap());
        }
    }
}
