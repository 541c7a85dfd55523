//! The thread that looks after the world while decisions are made.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::bell::Bell;
use super::open::Inner;

/// The thread that looks.
#[derive(Debug)]
pub(super) struct KeeperThread {
    pub(super) handle: JoinHandle<()>,
    bell: Arc<Bell>,
}

impl KeeperThread {
    /// Starts it; without one, decisions look by themselves once a second.
    pub(super) fn start(inner: &Arc<Inner>) -> Option<Self> {
        let bell = Arc::new(Bell::default());
        inner.source.ring(&bell);
        if let Some(feed) = &inner.feed {
            feed.ring(&bell);
        }
        let (weak, waiting): (Weak<Inner>, _) = (Arc::downgrade(inner), Arc::clone(&bell));
        let run = move || {
            while !waiting.wait(GAP, INTERVAL) {
                let Some(inner) = weak.upgrade() else { return };
                // A panic ends the look and not the thread; the poisoned look begins anew.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| inner.refresh()));
            }
        };
        let handle = std::thread::Builder::new().name("kakunin-keeper".into()).spawn(run).ok()?;
        bell.hang(handle.thread().clone());
        Some(Self { handle, bell })
    }

    pub(super) fn join(self) {
        self.bell.stop();
        // The last owner of a guard may be the keeper itself, which must not wait for itself.
        if self.handle.thread().id() != std::thread::current().id() {
            let _ = self.handle.join();
        }
    }
}

/// WIRE: a guard looks at its source at least this often.
const INTERVAL: Duration = Duration::from_millis(250);
/// However fast changes come, a look takes up all there are at its time.
const GAP: Duration = Duration::from_millis(5);
