//! Many questions to a bucket at once: each takes round trips, and there may be tens of thousands.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Asks about every item side by side and settles the answers one by one, as they come; on a break nothing more is asked,
/// and what is under way is settled still.
pub(super) fn each<T: Sync, R: Send>(
    items: &[T],
    ask: &(dyn Fn(&T) -> R + Sync),
    settle: &mut dyn FnMut(&T, R) -> ControlFlow<()>,
) {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..WORKERS.min(items.len()) {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                    if sender.send((item, ask(item))).is_err() {
                        return;
                    }
                }
            });
        }
        // The workers' copies keep the channel open for as long as they run.
        drop(sender);
        for (item, answer) in receiver {
            if settle(item, answer).is_break() {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
}

/// As many as a push has under way.
const WORKERS: usize = 16;
