//! A lock that can be held over a fork.
//!
//! A child of a fork has one thread. What another thread of its parent had locked stays locked there for ever, so whoever
//! forks takes our locks before and gives them back after, on both sides. A `MutexGuard` cannot be put aside between
//! two hooks; a flag can. It is the lock, and the mutex behind it, which makes the value safe to share, is
//! entered by its holder only. Waiting has an end: a holder that is stuck must not hang its host.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A value that one thread has at a time, or a fork.
#[derive(Debug, Default)]
pub(super) struct Turn<T> {
    taken: AtomicBool,
    /// Whether a fork waits for it; nobody else takes it then.
    wanted: AtomicBool,
    /// Whether it is a fork that has it.
    forking: AtomicBool,
    value: Mutex<T>,
}

/// The value is this thread's while this lives.
pub(super) struct Taken<'a, T> {
    // INVARIANT: given up in this order, or the next holder would meet a locked mutex.
    value: MutexGuard<'a, T>,
    _turn: End<'a>,
}

struct End<'a>(&'a AtomicBool);

impl<T: Default> Turn<T> {
    pub(super) fn with(value: T) -> Self {
        Self { value: Mutex::new(value), ..Self::default() }
    }
}

impl<T> Turn<T> {
    /// Waits for the value. A holder that panicked left it half changed: `repair` is called first then.
    pub(super) fn take(&self, patience: Duration, repair: impl FnOnce(&mut T)) -> Option<Taken<'_, T>> {
        self.wait(patience, || !self.wanted.load(Ordering::Acquire)).then(|| {
            let turn = End(&self.taken);
            let value = self.value.lock().unwrap_or_else(|poisoned| {
                let mut value = poisoned.into_inner();
                repair(&mut value);
                self.value.clear_poison();
                value
            });
            Taken { value, _turn: turn }
        })
    }

    /// Takes the value for a fork, until [`Turn::end_fork`]. False if somebody did not give it up in time.
    pub(super) fn begin_fork(&self, patience: Duration) -> bool {
        if self.forking.load(Ordering::Acquire) {
            return true;
        }
        self.wanted.store(true, Ordering::Release);
        let held = self.wait(patience, || true);
        self.forking.store(held, Ordering::Release);
        self.wanted.store(false, Ordering::Release);
        held
    }

    /// The value, for the fork that has it.
    pub(super) fn of_fork(&self) -> Option<MutexGuard<'_, T>> {
        if self.forking.load(Ordering::Acquire) { self.value.lock().ok() } else { None }
    }

    /// Gives it back, in parent or child. False if somebody else has it: in a child, nobody who lives.
    pub(super) fn end_fork(&self) -> bool {
        // In the child of a fork that waited in vain, nobody waits any more.
        self.wanted.store(false, Ordering::Release);
        if self.forking.swap(false, Ordering::AcqRel) {
            self.taken.store(false, Ordering::Release);
        }
        !self.taken.load(Ordering::Acquire)
    }

    fn wait(&self, patience: Duration, may: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + patience;
        let mut tries = 0_u32;
        while !may() || self.taken.swap(true, Ordering::AcqRel) {
            if Instant::now() >= deadline {
                return false;
            }
            // What is held for a sum is given back at once.
            tries += 1;
            if tries < 50 { std::thread::yield_now() } else { std::thread::sleep(Duration::from_millis(1)) }
        }
        true
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    #[test]
    fn a_fork_has_it_alone_and_ends_once() {
        let turn = Turn::<u8>::default();
        let taken = turn.take(AT_ONCE, |_| {}).unwrap();
        assert!(!turn.begin_fork(AT_ONCE));
        assert!(!turn.end_fork(), "the other one goes on having it");
        drop(taken);
        assert!(turn.begin_fork(AT_ONCE) && turn.begin_fork(AT_ONCE));
        assert!(turn.take(AT_ONCE, |_| {}).is_none());
        assert!(turn.end_fork());
        assert!(turn.take(AT_ONCE, |_| {}).is_some());
    }

    #[test]
    fn what_a_panic_left_is_repaired_once() {
        let turn = Turn::<u8>::default();
        let fault = std::panic::AssertUnwindSafe(|| {
            let mut taken = turn.take(AT_ONCE, |_| {}).unwrap();
            *taken = 3;
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(std::panic::catch_unwind(fault).is_err());
        assert_eq!(*turn.take(AT_ONCE, |value| *value = 7).unwrap(), 7);
        assert_eq!(*turn.take(AT_ONCE, |value| *value = 9).unwrap(), 7);
    }
}
