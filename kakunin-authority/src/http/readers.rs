//! Connections to the records that only read, so that reading never waits for the sequencer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

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
    term: tokio::sync::Mutex<Term>,
}

/// What was found last about who leads, and by what it is found out.
#[derive(Default)]
struct Term {
    found: Option<(Instant, i64)>,
    store: Option<Box<dyn Store + Send>>,
}

impl Readers {
    pub(crate) fn new(place: Place) -> Self {
        let (room, anyone) = (Semaphore::new(CONNECTIONS), Semaphore::new(ANYONE));
        let (long, term) = (Arc::new(Semaphore::new(1)), tokio::sync::Mutex::default());
        Self { place, idle: Mutex::new(Vec::new()), room, anyone, long, term }
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

    /// The newest term, as it is after this call. It has a connection of its own, so that strangers who open streams take
    /// none from whoever has a key, and the other way round; and whoever waits meanwhile shares what is found then.
    ///
    /// # Errors
    /// [`Refusal`] when the records cannot be read.
    pub(crate) async fn newest_term(self: &Arc<Self>) -> Result<i64, Refusal> {
        let asked = Instant::now();
        let mut term = self.term.lock().await;
        if let Some((_, newest)) = term.found.filter(|(began, _)| *began >= asked) {
            return Ok(newest);
        }
        let (began, store) = (Instant::now(), term.store.take());
        let readers = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || {
            let store = match store {
                Some(store) => store,
                None => readers.place.reader()?,
            };
            Ok::<_, Refusal>((store.term()?, store))
        });
        let (newest, store) = looked.await.map_err(|_| Refusal::internal())??;
        *term = Term { found: Some((began, newest)), store: Some(store) };
        Ok(newest)
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
        // Nor does whoever has a key keep a stream from being opened, nor whoever opens one keep him from reading.
        for _ in ANYONE..CONNECTIONS {
            let (gate, closed) = channel::<()>();
            let (readers, entered) = (Arc::clone(&readers), entered.clone());
            gates.push(gate);
            flood.push(runtime.spawn(async move {
                let look = move |_: &dyn Store| {
                    let _ = entered.send(());
                    let _ = closed.recv();
                    Ok(())
                };
                readers.read(look).await.is_ok()
            }));
            inside.recv().unwrap();
        }
        let opened: Vec<_> = (0..50)
            .map(|_| {
                let readers = Arc::clone(&readers);
                runtime.spawn(async move { readers.newest_term().await.ok() })
            })
            .collect();
        for opened in opened {
            assert_eq!(runtime.block_on(opened).unwrap(), Some(0));
        }
        drop(gates);
        for one in flood {
            assert!(runtime.block_on(one).unwrap());
        }
    }
}
