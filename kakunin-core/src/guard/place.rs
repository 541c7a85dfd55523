//! Where in a decision chain code runs: the receipts that whatever is called there follows from.
//!
//! A chain is begun, or picked up from a caller's link, for a block or a future. Guarded functions in it say so in their
//! receipts, and each is the place of what its body calls. What is handed to another agent is [`Place::link`].

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;

use super::context::{Entered, Slot, Unknown, enter, read, within};
use super::open::Guard;
use crate::chain::{CallContext, ChainLink, TraceParent};
use crate::id::ChainId;
use crate::receipt::ReceiptHash;

/// A place in a decision chain. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Arc<Inside>);

#[derive(Debug, PartialEq, Eq)]
struct Inside {
    chain: ChainId,
    from: Option<ReceiptHash>,
    trace: Option<TraceParent>,
}

impl Place {
    /// The beginning of a new chain; `None` when the system gives no randomness.
    #[must_use]
    pub fn begin() -> Option<Self> {
        Guard::new_chain().map(|chain| Self::of(chain, None, None))
    }

    /// The same place within a trace.
    #[must_use]
    pub fn with_trace(&self, trace: TraceParent) -> Self {
        Self::of(self.0.chain, self.0.from, Some(trace))
    }

    /// The chain.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.0.chain
    }

    /// What is handed to another agent from here; `None` where nothing was decided yet that it could follow from.
    #[must_use]
    pub fn link(&self) -> Option<ChainLink> {
        let link = ChainLink::new(self.0.chain, self.0.from?);
        Some(match &self.0.trace {
            Some(trace) => link.with_trace(trace.clone()),
            None => link,
        })
    }

    /// What a guard writes into a receipt here.
    #[must_use]
    pub fn context(&self) -> CallContext<'_> {
        let trace = self.0.trace.as_ref().map(TraceParent::as_str);
        CallContext { chain: Some(self.0.chain), parents: self.0.from.as_slice(), trace }
    }

    /// The place of a body, behind its decision.
    pub(super) fn after(&self, receipt: ReceiptHash) -> Self {
        Self::of(self.0.chain, Some(receipt), self.0.trace.clone())
    }

    fn of(chain: ChainId, from: Option<ReceiptHash>, trace: Option<TraceParent>) -> Self {
        Self(Arc::new(Inside { chain, from, trace }))
    }
}

/// Where a caller is, by its own word: it says where to look and allows nothing.
impl From<ChainLink> for Place {
    fn from(link: ChainLink) -> Self {
        Self::of(link.chain(), Some(link.from()), link.trace().cloned())
    }
}

/// Runs `act` at `place`: guarded functions that it calls on this thread belong to its chain.
///
/// Receipts that come together are joined with [`Guard::join`]; what follows runs at the link to its answer.
///
/// ```
/// # use kakunin_core::chain::ChainLink;
/// # use kakunin_core::guard::{Place, with_chain};
/// # fn example(received: Option<ChainLink>) -> Option<()> {
/// let place = match received {
///     Some(link) => link.into(),  // a caller's incident goes on here
///     None => Place::begin()?,    // one begins here
/// };
/// with_chain(&place, || { /* call guarded functions */ });
/// # Some(())
/// # }
/// ```
pub fn with_chain<T>(place: &Place, act: impl FnOnce() -> T) -> T {
    let mut place = Some(place.clone());
    let _entered = enter(&CURRENT, &mut place);
    act()
}

/// As [`with_chain`], for a future: whichever thread polls or drops it.
pub fn in_chain<F: Future>(place: &Place, future: F) -> impl Future<Output = F::Output> + use<F> {
    within(&CURRENT, place.clone(), future)
}

/// Where this code runs; `None` outside of any chain. Its [`Place::link`] goes out with a request to another agent.
#[must_use]
pub fn current_place() -> Option<Place> {
    read(&CURRENT).ok().flatten()
}

#[inline]
pub(super) fn known_place() -> Result<Option<Place>, Unknown> {
    read(&CURRENT)
}

/// Goes to `place` for as long as what is given lives; nowhere else than before without one.
#[inline]
pub(super) fn stay(place: &mut Option<Place>) -> Option<Entered<'_, Place>> {
    place.is_some().then(|| enter(&CURRENT, place))
}

static CURRENT: Slot<Place> = Slot::new(&HELD);

thread_local! {
    static HELD: RefCell<Option<Place>> = const { RefCell::new(None) };
}
