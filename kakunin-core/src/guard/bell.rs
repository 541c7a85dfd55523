//! What wakes a keeper before its time: whoever hands something over rings.
//!
//! Nothing here takes a lock. A source may ring in the child of a fork, where whoever held one no longer exists.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

/// The bell of one keeper.
#[derive(Debug, Default)]
pub(super) struct Bell {
    stopped: AtomicBool,
    rung: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Bell {
    /// Whose thread is woken. What was rung before is not lost.
    pub(super) fn hang(&self, thread: Thread) {
        self.thread.get_or_init(|| thread).unpark();
    }

    /// Ends the waiting for good.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake();
    }

    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Waits until somebody rings, at most for `longest`; whether it was stopped. Rings that follow one another closer than
    /// `gap` wake once: however often somebody rings, the thread looks so often and no more.
    pub(super) fn wait(&self, gap: Duration, longest: Duration) -> bool {
        let begun = Instant::now();
        loop {
            if self.stopped.load(Ordering::Acquire) {
                return true;
            }
            let waited = begun.elapsed();
            let left = longest.saturating_sub(waited);
            if left.is_zero() {
                self.rung.store(false, Ordering::Release);
                return false;
            }
            let early = gap.saturating_sub(waited);
            if early.is_zero() && self.rung.swap(false, Ordering::AcqRel) {
                return false;
            }
            thread::park_timeout(if early.is_zero() { left } else { early.min(left) });
        }
    }
}

/// The bells of every keeper that looks at one source.
#[derive(Debug, Default)]
pub(super) struct Bells(ArcSwap<Vec<Weak<Bell>>>);

impl Bells {
    /// From now on `bell` rings, too.
    pub(super) fn add(&self, bell: &Arc<Bell>) {
        self.0.rcu(|bells| {
            let known = bells.iter().filter(|known| known.strong_count() > 0).cloned();
            known.chain([Arc::downgrade(bell)]).collect::<Vec<_>>()
        });
    }

    pub(super) fn ring(&self) {
        self.0.load().iter().filter_map(Weak::upgrade).for_each(|bell| bell.ring());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn whoever_rings_before_or_while_somebody_waits_is_heard() {
        let (bells, bell) = (Bells::default(), Arc::new(Bell::default()));
        bells.add(&bell);
        bells.add(&Arc::default());
        bells.ring();
        assert!(!bell.wait(Duration::ZERO, LONG));
        let waiting = Arc::clone(&bell);
        let thread =
            thread::spawn(move || [waiting.wait(Duration::ZERO, LONG), waiting.wait(Duration::ZERO, LONG)]);
        bell.hang(thread.thread().clone());
        bells.ring();
        while bell.rung.load(Ordering::Acquire) {
            thread::yield_now();
        }
        bell.stop();
        assert_eq!(thread.join().unwrap(), [false, true]);
        assert_eq!(bells.0.load().len(), 2, "the one that is gone leaves with the next that comes");
        bells.add(&Arc::new(Bell::default()));
        assert_eq!(bells.0.load().len(), 2);
    }

    #[test]
    fn a_bell_that_nobody_rings_waits_as_long_as_it_should_and_one_that_never_stops_wakes_once_in_a_gap() {
        let bell = Arc::new(Bell::default());
        assert!(!bell.wait(Duration::ZERO, Duration::from_millis(1)));
        let (gap, begun) = (Duration::from_millis(20), Instant::now());
        for _ in 0..3 {
            bell.ring();
            assert!(!bell.wait(gap, LONG));
        }
        assert!(begun.elapsed() >= gap * 3);
    }
}
