//! What belongs to the code that runs: a value of this thread for as long as a block runs, or a future is polled.
//!
//! No runtime is asked: a future brings its value along and puts it in place for each poll, on whichever thread that is,
//! and while it is dropped. What ran before on the thread has its own value back afterwards, also after a panic.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread::LocalKey;

use pin_project_lite::pin_project;

/// Where each thread keeps the value of the code that runs. It is borrowed only to be exchanged or copied.
pub(super) struct Slot<T: 'static> {
    held: &'static LocalKey<RefCell<Option<T>>>,
    /// Until something was put into it once, on whichever thread, nothing is in it, and no thread has to be asked.
    used: AtomicBool,
}

impl<T> Slot<T> {
    pub(super) const fn new(held: &'static LocalKey<RefCell<Option<T>>>) -> Self {
        Self { held, used: AtomicBool::new(false) }
    }
}

/// The value stands in the slot while this lives, and what stood there before in `value`.
pub(super) struct Entered<'a, T: 'static> {
    slot: &'static Slot<T>,
    value: &'a mut Option<T>,
    entered: bool,
}

/// Puts `value` into the slot. A thread that ends has no slots any more, and [`read`] says so.
pub(super) fn enter<'a, T>(slot: &'static Slot<T>, value: &'a mut Option<T>) -> Entered<'a, T> {
    slot.used.store(true, Ordering::Relaxed);
    let entered = exchange(slot, value);
    Entered { slot, value, entered }
}

/// A copy of what stands in the slot; an error where there is no slot, because then nobody knows.
#[inline]
pub(super) fn read<T: Clone>(slot: &'static Slot<T>) -> Result<Option<T>, Unknown> {
    // Whoever put something into this thread's slot did so on this thread, before.
    if slot.used.load(Ordering::Relaxed) { copy(slot) } else { Ok(None) }
}

fn copy<T: Clone>(slot: &'static Slot<T>) -> Result<Option<T>, Unknown> {
    let copied = slot.held.try_with(|held| held.try_borrow().map(|held| held.clone()).map_err(|_| Unknown));
    copied.unwrap_or(Err(Unknown))
}

/// Nobody can say what the code that runs belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

fn exchange<T>(slot: &'static Slot<T>, value: &mut Option<T>) -> bool {
    let exchange = |held: &RefCell<Option<T>>| {
        held.try_borrow_mut().map(|mut held| std::mem::swap(&mut *held, value)).is_ok()
    };
    slot.held.try_with(exchange).unwrap_or(false)
}

impl<T: 'static> Drop for Entered<'_, T> {
    fn drop(&mut self) {
        if self.entered {
            exchange(self.slot, self.value);
        }
    }
}

pin_project! {
    /// A future with a value of its own in the slot.
    pub(super) struct Within<F, T: 'static> {
        #[pin]
        future: Option<F>,
        value: Option<T>,
        slot: &'static Slot<T>,
    }

    impl<F, T> PinnedDrop for Within<F, T> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = enter(this.slot, this.value);
            // What is dropped in it may act, too.
            this.future.set(None);
        }
    }
}

pub(super) const fn within<F, T>(slot: &'static Slot<T>, value: T, future: F) -> Within<F, T> {
    Within { future: Some(future), value: Some(value), slot }
}

impl<F: Future, T> Future for Within<F, T> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = enter(this.slot, this.value);
        // INVARIANT: there is a future until this is dropped.
        this.future.as_pin_mut().map_or(Poll::Pending, |future| future.poll(context))
    }
}
