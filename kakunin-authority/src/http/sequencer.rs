//! The one line in which everything that changes the authority stands, and its four lanes.
//!
//! Orders that take power away from agents have a lane of their own, bounded by itself and emptied first: however
//! many certificates are asked for, a revocation waits for the one order that is being carried out and for other
//! revocations. What agents send is kept by parts of a transaction: many parts that wait become one, so that they
//! share one write to the disk, and of one only so many that a revocation does not wait for long. Certificates that are
//! asked for go together in the same way (`together`). They, parts and ordinary orders take turns. A full lane refuses at once; nobody waits for a place.
//!
//! Tenants share the urgent lane, and none of them can fill it: one that waits in as many places as are left gets no
//! further one, so that there is always a place for whoever has none.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::error::Refusal;
use super::room::is_full;
use super::together::{Ask, Waiting};
use crate::access::TenantId;
use crate::authority::Authority;
use crate::papers::Papers;
use crate::store::{Store, StoreError};

/// Which lane an order takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Suspend, revoke, halt.
    Urgent,
    /// Everything else.
    Ordinary,
}

pub(crate) type Order = Box<dyn FnOnce(&mut Authority<'_>) -> Deliver + Send>;

type Work = Box<dyn FnOnce(&mut dyn Store) -> Result<Deliver, StoreError> + Send>;

/// A part of a transaction: something to keep, and about how many rows that is.
pub(crate) struct Part {
    rows: usize,
    work: Work,
}

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
    /// With the tenant in whose share of the lane it is.
    urgent: VecDeque<(Option<TenantId>, Order)>,
    /// How many of them each tenant has.
    shares: HashMap<TenantId, usize>,
    ordinary: VecDeque<Order>,
    parts: VecDeque<Part>,
    asks: VecDeque<Waiting>,
    /// Whose turn it is of what is not urgent.
    turn: Turn,
    closed: bool,
}

/// Ordinary orders, parts and asks for certificates take turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Turn {
    #[default]
    Order,
    Parts,
    Asks,
}

impl Turn {
    const fn after(self) -> Self {
        match self {
            Self::Order => Self::Parts,
            Self::Parts => Self::Asks,
            Self::Asks => Self::Order,
        }
    }
}

/// What the sequencer does next.
pub(crate) enum Next {
    Order(Order),
    /// Parts of one transaction.
    Parts(Vec<Part>),
    /// Certificates that are issued together.
    Asks(Vec<Waiting>),
    /// Nothing was ordered until the time it asked to be woken.
    Wake,
    /// No order will come any more.
    End,
}

impl Orders {
    /// Gives an order of the service itself and waits for its answer. It is carried out also if nobody waits any longer.
    ///
    /// # Errors
    /// [`NoAnswer`] when the lane is full, the service is ending, or the order failed without an answer.
    pub(crate) async fn give<T: Send + 'static>(
        &self,
        lane: Lane,
        order: impl FnOnce(&mut Authority<'_>) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        self.give_of(None, lane, order).await
    }

    /// The same of a caller: an urgent one takes a place of its tenant's share.
    ///
    /// # Errors
    /// As [`Orders::give`]; the lane is full also when the tenant has its share of it.
    pub(crate) async fn give_of<T: Send + 'static>(
        &self,
        tenant: Option<TenantId>,
        lane: Lane,
        order: impl FnOnce(&mut Authority<'_>) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        self.enter_of(
            tenant,
            lane,
            Box::new(move |authority| {
                begins.store(true, Ordering::Release);
                let done = order(authority);
                // Whoever asked may have gone; what was ordered is done all the same.
                Box::new(move || drop(answer.send(done)))
            }),
        )?;
        // One that was never begun is none that failed.
        answered
            .await
            .map_err(|_| if begun.load(Ordering::Acquire) { NoAnswer::Failed } else { NoAnswer::Ending })
    }

    /// Gives a part of a transaction, of about `rows` rows, and waits until that is durable. Other parts share it: what
    /// `work` cannot do for a reason of its own is a part of its answer, and an error ends the transaction for all.
    ///
    /// # Errors
    /// [`NoAnswer`] when the lane is full, the service is ending, or the transaction was not made durable.
    pub(crate) async fn give_part<T: Send + 'static>(
        &self,
        rows: usize,
        work: impl FnOnce(&mut dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        self.enter_part(Part {
            rows,
            work: Box::new(move |store| match work(store) {
                Ok(done) => {
                    let deliver: Deliver = Box::new(move || drop(answer.send(Ok(done))));
                    Ok(deliver)
                }
                Err(error) => {
                    let why = if is_full(&error) { NoAnswer::NoRoom } else { NoAnswer::Failed };
                    let _ = answer.send(Err(why));
                    Err(error)
                }
            }),
        })?;
        answered.await.unwrap_or(Err(NoAnswer::Failed))
    }

    /// Asks for a certificate and waits until it is durable.
    ///
    /// # Errors
    /// [`NoAnswer`] when the lane is full, the service is ending, or it was not made durable.
    pub(crate) async fn give_ask(&self, ask: Ask) -> Result<Result<Papers, Refusal>, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        self.enter_ask(Waiting { ask, answer })?;
        answered.await.map_err(|_| NoAnswer::Failed)
    }

    pub(crate) fn enter_ask(&self, ask: Waiting) -> Result<(), NoAnswer> {
        let mut lanes = self.lanes();
        if lanes.closed {
            return Err(NoAnswer::Ending);
        }
        if lanes.asks.len() >= ASKS_ROOM {
            return Err(NoAnswer::Full);
        }
        lanes.asks.push_back(ask);
        self.more.notify_one();
        Ok(())
    }

    fn enter_part(&self, part: Part) -> Result<(), NoAnswer> {
        let mut lanes = self.lanes();
        if lanes.closed {
            return Err(NoAnswer::Ending);
        }
        if lanes.parts.len() >= PARTS_ROOM {
            return Err(NoAnswer::Full);
        }
        lanes.parts.push_back(part);
        self.more.notify_one();
        Ok(())
    }

    fn enter_of(&self, tenant: Option<TenantId>, lane: Lane, order: Order) -> Result<(), NoAnswer> {
        let mut lanes = self.lanes();
        if lanes.closed {
            return Err(NoAnswer::Ending);
        }
        match lane {
            Lane::Urgent => lanes.enter_urgent(tenant, order)?,
            Lane::Ordinary if lanes.ordinary.len() >= ORDINARY_ROOM => return Err(NoAnswer::Full),
            Lane::Ordinary => lanes.ordinary.push_back(order),
        }
        self.more.notify_one();
        Ok(())
    }

    /// The next order, urgent ones first; [`Next::Wake`] from `wake` on, before anything that is not urgent, so that a
    /// flood of that does not keep the lists from being signed anew.
    pub(crate) fn next(&self, wake: Instant) -> Next {
        let mut lanes = self.lanes();
        loop {
            if let Some(order) = lanes.next_urgent() {
                return Next::Order(order);
            }
            let left = wake.saturating_duration_since(Instant::now());
            if left.is_zero() && !lanes.closed {
                return Next::Wake;
            }
            if let Some(next) = lanes.next() {
                return next;
            }
            if lanes.closed {
                return Next::End;
            }
            let waited = self.more.wait_timeout(lanes, left);
            lanes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next urgent order, if one waits.
    pub(crate) fn urgent(&self) -> Option<Order> {
        self.lanes().next_urgent()
    }

    /// Drops whatever waits, when nobody is there any more to carry it out: whoever waits for an answer is told, and
    /// does not wait for ever.
    pub(crate) fn abandon(&self) {
        self.close();
        let left = {
            let mut lanes = self.lanes();
            lanes.shares.clear();
            let Lanes { urgent, ordinary, parts, asks, .. } = &mut *lanes;
            (take(urgent), take(ordinary), take(parts), take(asks))
        };
        // Not under the lock: what is dropped may be anything.
        drop(left);
    }

    /// Takes no further orders; those that were taken are still carried out.
    pub(crate) fn close(&self) {
        self.lanes().closed = true;
        self.more.notify_all();
    }

    /// How many orders wait in each lane: urgent, ordinary, parts of transactions, certificates.
    pub(crate) fn waiting(&self) -> (usize, usize, usize, usize) {
        let lanes = self.lanes();
        (lanes.urgent.len(), lanes.ordinary.len(), lanes.parts.len(), lanes.asks.len())
    }

    // No order runs under this lock, so a panic cannot leave the lanes half changed.
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn enter_urgent(&mut self, tenant: Option<TenantId>, order: Order) -> Result<(), NoAnswer> {
        let left = URGENT_ROOM.saturating_sub(self.urgent.len());
        let has = tenant.as_ref().and_then(|tenant| self.shares.get(tenant)).copied().unwrap_or(0);
        if has >= left {
            return Err(NoAnswer::Full);
        }
        if let Some(tenant) = &tenant {
            *self.shares.entry(tenant.clone()).or_insert(0) += 1;
        }
        self.urgent.push_back((tenant, order));
        Ok(())
    }

    fn next_urgent(&mut self) -> Option<Order> {
        let (tenant, order) = self.urgent.pop_front()?;
        if let Some(tenant) = tenant
            && let Entry::Occupied(mut share) = self.shares.entry(tenant)
        {
            *share.get_mut() -= 1;
            if *share.get() == 0 {
                share.remove();
            }
        }
        Some(order)
    }

    /// The next of what is not urgent.
    fn next(&mut self) -> Option<Next> {
        for _ in 0..3 {
            let turn = self.turn;
            self.turn = turn.after();
            let next = match turn {
                Turn::Order => self.ordinary.pop_front().map(Next::Order),
                Turn::Parts => self.some_parts().map(Next::Parts),
                Turn::Asks => self.some_asks().map(Next::Asks),
            };
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// As many parts as make one transaction.
    fn some_parts(&mut self) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        let mut rows = 0;
        while let Some(part) = self.parts.pop_front() {
            if rows > 0 && rows + part.rows > MOST_ROWS {
                self.parts.push_front(part);
                break;
            }
            rows += part.rows.max(1);
            parts.push(part);
        }
        Some(parts).filter(|parts| !parts.is_empty())
    }

    /// As many asks as go together.
    fn some_asks(&mut self) -> Option<Vec<Waiting>> {
        let (mut asks, mut keys) = (Vec::new(), HashSet::new());
        while asks.len() < MOST_ASKS
            && let Some(ask) = self.asks.pop_front()
        {
            if !keys.insert(ask.key()) {
                self.asks.push_front(ask);
                break;
            }
            asks.push(ask);
        }
        Some(asks).filter(|asks| !asks.is_empty())
    }
}

/// Carries out parts as one transaction, and gives back the answers; none when it was not made durable, in which case
/// nobody is told that anything was kept.
pub(crate) fn carry_out_parts(
    parts: Vec<Part>,
    authority: &mut Authority<'_>,
    heard: &dyn Fn(&StoreError),
) -> Result<Result<Vec<Deliver>, StoreError>, Panicked> {
    catch_unwind(AssertUnwindSafe(|| keep(parts, &mut *authority.store, heard))).map_err(|_| Panicked)
}

fn keep(
    parts: Vec<Part>,
    store: &mut dyn Store,
    heard: &dyn Fn(&StoreError),
) -> Result<Vec<Deliver>, StoreError> {
    let (mut parts, mut delivers) = (parts.into_iter(), Vec::new());
    let kept = store.batch(&mut |store| {
        for part in parts.by_ref() {
            delivers.push((part.work)(store)?);
        }
        Ok(())
    });
    // Whoever waits asks why as soon as its part is dropped: that has to be known by then.
    kept.inspect_err(|error| heard(error))?;
    Ok(delivers)
}

/// Carries out one order, and gives back its answer to be delivered once readers see what it did. After a panic nobody knows what the authority has in memory: the caller ends the service.
pub(crate) fn carry_out(order: Order, authority: &mut Authority<'_>) -> Result<Deliver, Panicked> {
    // Whoever ordered it says in whose name: nothing is left of the one before.
    authority.tenant = TenantId::default();
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
    /// The same, for want of room on the disk of the records.
    NoRoom,
}

/// An order takes about 10 ms with its list: a full lane is emptied in seconds.
const URGENT_ROOM: usize = 1024;
const ORDINARY_ROOM: usize = 256;
const PARTS_ROOM: usize = 1024;
const ASKS_ROOM: usize = 1024;
/// A revocation waits for one of these groups at most, some 10 ms on one core.
const MOST_ASKS: usize = 32;
/// Some 20 ms of work on one core.
const MOST_ROWS: usize = 4096;

#[cfg(test)]
mod tests {
    use kakunin_core::scope::DraftScope;
    use kakunin_core::time::UnixTime;

    use super::*;
    use crate::agent::{AgentName, Who};
    use crate::authority::AnyAction;
    use crate::standing::Order::Revoke;
    use crate::term::Hours;

    fn nothing() -> Order {
        Box::new(|_| Box::new(|| ()))
    }

    impl Orders {
        fn enter(&self, lane: Lane, order: Order) -> Result<(), NoAnswer> {
            self.enter_of(None, lane, order)
        }
    }

    fn later() -> Instant {
        Instant::now() + std::time::Duration::from_secs(3600)
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
            assert!(matches!(orders.next(later()), Next::Order(_)));
            assert_eq!(orders.waiting(), (left, ORDINARY_ROOM, 0, 0));
        }
        assert!(matches!(orders.next(later()), Next::Order(_)));
        assert_eq!(orders.waiting(), (0, ORDINARY_ROOM - 1, 0, 0));
    }

    #[test]
    fn no_tenant_fills_the_lane_of_what_is_urgent() {
        let orders = Orders::default();
        let [first, second, third] = ["one", "two", "three"].map(|name| TenantId::parse(name).unwrap());
        let enter = |tenant: &TenantId| orders.enter_of(Some(tenant.clone()), Lane::Urgent, nothing());
        let fill = |tenant: &TenantId| (0..=URGENT_ROOM).take_while(|_| enter(tenant).is_ok()).count();
        assert_eq!(fill(&first), URGENT_ROOM / 2);
        // It alone is told to come again, and nobody has what the others had.
        assert_eq!((enter(&first), enter(&second)), (Err(NoAnswer::Full), Ok(())));
        assert_eq!(fill(&second), URGENT_ROOM / 4 - 1);
        assert_eq!(fill(&third), URGENT_ROOM / 8);
        assert_eq!([&first, &second, &third].map(enter), [Err(NoAnswer::Full); 3]);
        // Places come back one by one: what the first had goes first.
        for _ in 0..URGENT_ROOM / 2 {
            assert!(orders.urgent().is_some());
        }
        assert!(!orders.lanes().shares.contains_key(&first));
        assert_eq!(enter(&first), Ok(()));
        while orders.urgent().is_some() {}
        assert!(orders.lanes().shares.is_empty());
        assert_eq!(fill(&first), URGENT_ROOM / 2);
        orders.abandon();
        assert!(orders.lanes().shares.is_empty());
    }

    fn part(rows: usize) -> Part {
        Part { rows, work: Box::new(|_| Ok(Box::new(|| ()))) }
    }

    #[test]
    fn parts_that_wait_become_one_transaction_up_to_a_size() {
        let orders = Orders::default();
        for rows in [1, 2, MOST_ROWS - 3, 1, 2 * MOST_ROWS, 1] {
            orders.enter_part(part(rows)).unwrap();
        }
        let mut sizes = Vec::new();
        while orders.waiting().2 > 0
            && let Next::Parts(parts) = orders.next(later())
        {
            sizes.push(parts.iter().map(|part| part.rows).collect::<Vec<_>>());
        }
        assert_eq!(sizes, [vec![1, 2, MOST_ROWS - 3], vec![1], vec![2 * MOST_ROWS], vec![1]]);
        for _ in 0..PARTS_ROOM {
            orders.enter_part(part(1)).unwrap();
        }
        assert_eq!(orders.enter_part(part(1)), Err(NoAnswer::Full));
    }

    #[test]
    fn a_flood_of_parts_goes_behind_what_is_urgent_and_takes_turns_with_the_rest() {
        let orders = Orders::default();
        for _ in 0..8 {
            orders.enter_part(part(MOST_ROWS)).unwrap();
            orders.enter(Lane::Ordinary, nothing()).unwrap();
        }
        let mut seen = String::new();
        for _ in 0..4 {
            orders.enter(Lane::Urgent, nothing()).unwrap();
            for _ in 0..3 {
                let before = orders.waiting();
                seen.push(match orders.next(later()) {
                    Next::Order(_) if orders.waiting().0 < before.0 => 'u',
                    Next::Order(_) => 'o',
                    Next::Parts(_) => 'p',
                    _ => '-',
                });
            }
        }
        assert_eq!(seen, "uopuopuopuop");
        assert_eq!(orders.waiting(), (0, 4, 4, 0));
    }

    #[test]
    fn a_revocation_ordered_in_a_flood_is_published_while_the_flood_still_waits() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |_: &str| Err(std::io::Error::other("nobody"));
        let own = folder.path().join("passphrase");
        let sources = crate::signer::PassphraseSources { named: None, own: &own, ask: &ask };
        std::fs::write(&own, "correct horse\n").unwrap();
        rustix::fs::chmod(&own, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let (home, now) =
            (crate::home::Home::at(&folder.path().join("home")), UnixTime::from_seconds(1_800_000_000));
        let mut authority = Authority::init(&home, sources, now, Hours::default()).unwrap().0;
        let draft =
            DraftScope::parse("actions = [\"read:*\"]", &|_| Err(std::io::Error::other("none"))).unwrap();
        let name = AgentName::parse("billing").unwrap();
        let agent = authority.create(&name, &draft, AnyAction::Refuse, now).unwrap();

        let orders = std::sync::Arc::new(Orders::default());
        let revoked = std::sync::Arc::new(Mutex::new(None));
        let (line, seen) = (std::sync::Arc::clone(&orders), std::sync::Arc::clone(&revoked));
        // The first of the flood has somebody revoke the agent while it is being kept.
        let first = Part {
            rows: MOST_ROWS,
            work: Box::new(move |_| {
                let (ahead, seen) = (std::sync::Arc::clone(&line), std::sync::Arc::clone(&seen));
                let revoke: Order = Box::new(move |authority| {
                    let who = Who::Id(agent.id);
                    let ordered = authority.order(&who, Revoke, "drill", Hours::default(), now.plus(1));
                    let number = ordered.unwrap().publication.number;
                    Box::new(move || *seen.lock().unwrap() = Some((number, ahead.waiting().2)))
                });
                line.enter(Lane::Urgent, revoke).unwrap();
                Ok(Box::new(|| ()))
            }),
        };
        orders.enter_part(first).unwrap();
        for _ in 1..PARTS_ROOM {
            orders.enter_part(part(MOST_ROWS)).unwrap();
        }
        let before = authority.published().unwrap().list().number;
        for _ in 0..2 {
            match orders.next(later()) {
                Next::Order(order) => carry_out(order, &mut authority).unwrap()(),
                Next::Parts(parts) => {
                    let kept = carry_out_parts(parts, &mut authority, &|_| ()).unwrap().unwrap();
                    kept.into_iter().for_each(|deliver| deliver());
                }
                _ => panic!("nothing to do"),
            }
        }
        let seen = *revoked.lock().unwrap();
        assert_eq!(seen, Some((before + 1, PARTS_ROOM - 1)));
    }

    #[test]
    fn a_transaction_that_fails_is_answered_by_nobody() {
        let orders = Orders::default();
        let failing = || Part { rows: 1, work: Box::new(|_| Err(StoreError::BatchLost)) };
        orders.enter_part(part(1)).unwrap();
        orders.enter_part(failing()).unwrap();
        let Next::Parts(parts) = orders.next(later()) else { panic!("parts wait") };
        assert_eq!(parts.len(), 2);
        let mut store = crate::store::MemoryStore::default();
        let answered = std::sync::Arc::new(Mutex::new(0));
        let heard = std::cell::Cell::new(0);
        assert!(keep(parts, &mut store, &|_| heard.set(heard.get() + 1)).is_err());
        assert_eq!(heard.get(), 1);
        assert_eq!(*answered.lock().unwrap(), 0);
        let count = std::sync::Arc::clone(&answered);
        let told =
            Part { rows: 1, work: Box::new(move |_| Ok(Box::new(move || *count.lock().unwrap() += 1))) };
        for deliver in keep(vec![told], &mut store, &|_| ()).unwrap() {
            deliver();
        }
        assert_eq!(*answered.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn an_order_that_nobody_will_carry_out_is_answered() {
        let orders = Arc::new(Orders::default());
        let waiting: Vec<_> = [Lane::Urgent, Lane::Ordinary]
            .into_iter()
            .map(|lane| {
                let orders = Arc::clone(&orders);
                tokio::spawn(async move { orders.give(lane, |_| ()).await })
            })
            .collect();
        while orders.waiting() != (1, 1, 0, 0) {
            tokio::task::yield_now().await;
        }
        orders.abandon();
        for answer in waiting {
            assert_eq!(answer.await.unwrap(), Err(NoAnswer::Ending));
        }
        assert_eq!(orders.give(Lane::Urgent, |_| ()).await, Err(NoAnswer::Ending));
    }

    #[test]
    fn what_was_taken_is_carried_out_before_the_end() {
        let orders = Orders::default();
        assert!(matches!(orders.next(Instant::now()), Next::Wake));
        orders.enter(Lane::Ordinary, nothing()).unwrap();
        assert!(
            matches!(orders.next(Instant::now()), Next::Wake),
            "what is not urgent waits for what is due"
        );
        orders.enter(Lane::Urgent, nothing()).unwrap();
        assert!(matches!(orders.next(Instant::now()), Next::Order(_)), "what is urgent does not");
        orders.close();
        assert_eq!(orders.enter(Lane::Urgent, nothing()), Err(NoAnswer::Ending));
        assert!(matches!(orders.next(later()), Next::Order(_)));
        assert!(matches!(orders.next(later()), Next::End));
    }
}
