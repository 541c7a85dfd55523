//! The one line in which everything that changes the authority stands, and its two lanes.
//!
//! Orders that take power away from agents have a lane of their own, bounded by itself and emptied first: however
//! many certificates are asked for, a revocation waits for the one order that is being carried out and for other
//! revocations. A full lane refuses at once; nobody waits for a place.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::authority::Authority;

/// Which lane an order takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Suspend, revoke, halt.
    Urgent,
    /// Everything else.
    Ordinary,
}

type Order = Box<dyn FnOnce(&mut Authority<'_>) -> Deliver + Send>;

/// Hands an answer to whoever waits for it.
pub(crate) type Deliver = Box<dyn FnOnce() + Send>;

/// Orders on their way to the thread that has the authority.
#[derive(Default)]
pub(crate) struct Orders {
    lanes: Mutex<Lanes>,
    more: Condvar,
}

#[derive(Default)]
struct Lanes {
    urgent: VecDeque<Order>,
    ordinary: VecDeque<Order>,
    closed: bool,
}

/// What the sequencer does next.
pub(crate) enum Next {
    Order(Order),
    /// Nothing was ordered until the time it asked to be woken.
    Wake,
    /// No order will come any more.
    End,
}

impl Orders {
    /// Gives an order and waits for its answer. It is carried out also if nobody waits any longer.
    ///
    /// # Errors
    /// [`NoAnswer`] when the lane is full, the service is ending, or the order failed without an answer.
    pub(crate) async fn give<T: Send + 'static>(
        &self,
        lane: Lane,
        order: impl FnOnce(&mut Authority<'_>) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        self.enter(
            lane,
            Box::new(move |authority| {
                let done = order(authority);
                // Whoever asked may have gone; what was ordered is done all the same.
                Box::new(move || drop(answer.send(done)))
            }),
        )?;
        answered.await.map_err(|_| NoAnswer::Failed)
    }

    fn enter(&self, lane: Lane, order: Order) -> Result<(), NoAnswer> {
        let mut lanes = self.lanes();
        if lanes.closed {
            return Err(NoAnswer::Ending);
        }
        let (queue, room) = match lane {
            Lane::Urgent => (&mut lanes.urgent, URGENT_ROOM),
            Lane::Ordinary => (&mut lanes.ordinary, ORDINARY_ROOM),
        };
        if queue.len() >= room {
            return Err(NoAnswer::Full);
        }
        queue.push_back(order);
        self.more.notify_one();
        Ok(())
    }

    /// The next order, urgent ones first; [`Next::Wake`] at `wake` if there is none.
    pub(crate) fn next(&self, wake: Instant) -> Next {
        let mut lanes = self.lanes();
        loop {
            if let Some(order) = lanes.urgent.pop_front().or_else(|| lanes.ordinary.pop_front()) {
                return Next::Order(order);
            }
            if lanes.closed {
                return Next::End;
            }
            let left = wake.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Wake;
            }
            let waited = self.more.wait_timeout(lanes, left);
            lanes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes no further orders; those that were taken are still carried out.
    pub(crate) fn close(&self) {
        self.lanes().closed = true;
        self.more.notify_all();
    }

    /// How many orders wait in each lane: urgent, ordinary.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let lanes = self.lanes();
        (lanes.urgent.len(), lanes.ordinary.len())
    }

    // No order runs under this lock, so a panic cannot leave the lanes half changed.
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries out one order, and gives back its answer to be delivered once readers see what it did. After a panic nobody knows what the authority has in memory: the caller ends the service.
pub(crate) fn carry_out(order: Order, authority: &mut Authority<'_>) -> Result<Deliver, Panicked> {
    catch_unwind(AssertUnwindSafe(|| order(authority))).map_err(|_| Panicked)
}

/// An order that ended in a fault of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Why an order has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The lane is full.
    Full,
    /// The service is ending.
    Ending,
    /// It was begun and did not come to its end.
    Failed,
}

/// An order takes about 10 ms with its list: a full lane is emptied in seconds.
const URGENT_ROOM: usize = 1024;
const ORDINARY_ROOM: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Order {
        Box::new(|_| Box::new(|| ()))
    }

    #[test]
    fn urgent_orders_go_first_and_have_room_of_their_own() {
        let orders = Orders::default();
        for _ in 0..ORDINARY_ROOM {
            orders.enter(Lane::Ordinary, nothing()).unwrap();
        }
        assert_eq!(orders.enter(Lane::Ordinary, nothing()), Err(NoAnswer::Full));
        for _ in 0..URGENT_ROOM {
            orders.enter(Lane::Urgent, nothing()).unwrap();
        }
        assert_eq!(orders.enter(Lane::Urgent, nothing()), Err(NoAnswer::Full));
        for left in (0..URGENT_ROOM).rev() {
            assert!(matches!(orders.next(Instant::now()), Next::Order(_)));
            assert_eq!(orders.waiting(), (left, ORDINARY_ROOM));
        }
        assert!(matches!(orders.next(Instant::now()), Next::Order(_)));
        assert_eq!(orders.waiting(), (0, ORDINARY_ROOM - 1));
    }

    #[test]
    fn what_was_taken_is_carried_out_before_the_end() {
        let orders = Orders::default();
        assert!(matches!(orders.next(Instant::now()), Next::Wake));
        orders.enter(Lane::Ordinary, nothing()).unwrap();
        orders.close();
        assert_eq!(orders.enter(Lane::Urgent, nothing()), Err(NoAnswer::Ending));
        assert!(matches!(orders.next(Instant::now()), Next::Order(_)));
        assert!(matches!(orders.next(Instant::now()), Next::End));
    }
}
