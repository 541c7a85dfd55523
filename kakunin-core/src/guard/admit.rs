//! The call: before a body runs, and after.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::caller::Judged;
use super::denied::{ActionText, Denied, Note};
use super::ledger::{Reservation, fits};
use super::open::{Current, Guard, Inner, View};
use super::runtime::Runtime;
use crate::chain::{CallContext, ChainLink};
use crate::decision::{Decision, Denial, DenialReason};
use crate::journal::{DecisionEntry, Recorded};
use crate::money::Money;
use crate::receipt::{Mode, Outcome, ReceiptHash};
use crate::request::ActionRequest;
use crate::time::UnixMillis;

/// Leave to run one action, once. Dropped before [`Pass::begin`], what it reserved is room again.
#[derive(Debug)]
#[must_use = "a pass that is dropped lets nothing run"]
pub struct Pass(pub(super) Option<Box<Held>>);

/// An action that is running. Dropped without an outcome, it counts as spent and its result as unknown.
#[derive(Debug)]
#[must_use = "without an outcome the receipt says: authorised, result unknown"]
pub struct Running(Option<Box<Held>>);

#[derive(Debug)]
pub(super) struct Held {
    pub(super) guard: Arc<Inner>,
    pub(super) action: ActionText,
    pub(super) runtime: Arc<Runtime>,
    pub(super) recorded: Option<Recorded>,
    pub(super) reservation: Option<Reservation>,
    /// Who is let in, if it is another agent than the guard's own.
    pub(super) caller: Option<Judged>,
}

impl Guard {
    /// Asks whether an action may run now, and records the answer before giving it.
    ///
    /// # Errors
    /// [`Denied`]: the action must not run. Whatever cannot be decided or recorded is denied too.
    pub fn admit(&self, request: &ActionRequest<'_>) -> Result<Pass, Denied> {
        self.admit_in(request, &CallContext::default())
    }

    /// As [`Guard::admit`], for a call that belongs to a decision chain: the receipts of decision and outcome say so.
    ///
    /// # Errors
    /// [`Denied`], as above; more parents than [`MAX_PARENTS`](crate::receipt::MAX_PARENTS) cannot be recorded.
    pub fn admit_in(&self, request: &ActionRequest<'_>, context: &CallContext<'_>) -> Result<Pass, Denied> {
        // Our own code only: the body runs outside. Nothing half changed is trusted after a panic: the ledger is
        // rebuilt, the look begins anew, the journal refuses.
        let mut refused = Refused::UNKNOWN;
        match catch_unwind(AssertUnwindSafe(|| self.0.admit(request, context, &mut refused))) {
            Ok(Some(pass)) => Ok(pass),
            Ok(None) => Err(refused.of(request)),
            Err(_) => Err(Refused::UNKNOWN.of(request)),
        }
    }

    /// Answers as [`Guard::admit`] would with nothing spent before: by standing, scope and the size of the budgets,
    /// without a receipt and without touching what was spent.
    ///
    /// # Errors
    /// [`Denied`], as above.
    pub fn check(&self, request: &ActionRequest<'_>, at: Option<UnixMillis>) -> Result<(), Denied> {
        let answer = catch_unwind(AssertUnwindSafe(|| {
            self.0.refresh();
            let current = self.0.current.load();
            let now = at.unwrap_or_else(|| self.0.now());
            match current.decide_afresh(request, now) {
                Decision::Allow(_) => Ok(()),
                Decision::Deny(denial) => {
                    let note = self.0.note(&current, denial.reason());
                    Err(Refused { denial, receipt: None, note })
                }
            }
        }));
        answer.unwrap_or(Err(Refused::UNKNOWN)).map_err(|refused| refused.of(request))
    }
}

/// A denial on its way out, before it is joined with what was asked.
struct Refused {
    denial: Denial,
    receipt: Option<ReceiptHash>,
    note: Option<Note>,
}

impl Refused {
    /// The answer until there is another: nobody could say.
    const UNKNOWN: Self = Self { denial: Denial::new(DenialReason::Internal), receipt: None, note: None };

    #[inline(always)]
    fn of(self, request: &ActionRequest<'_>) -> Denied {
        Denied::of(self.denial, ActionText::of(request.action), self.receipt, self.note)
    }
}

impl Current {
    #[inline]
    fn decide(&self, request: &ActionRequest<'_>, now: UnixMillis) -> Decision {
        match &self.view {
            View::Ready(snapshot) => snapshot.decide(request, now),
            View::Refused(refusal) => Decision::Deny(Denial::new(refusal.reason())),
        }
    }

    /// As if no budget had been drawn on.
    fn decide_afresh(&self, request: &ActionRequest<'_>, now: UnixMillis) -> Decision {
        let decision = self.decide(request, now);
        let (Decision::Allow(permit), View::Ready(snapshot)) = (&decision, &self.view) else {
            return decision;
        };
        let mut charges = snapshot.leash().charges(permit);
        let over = charges.find_map(|charge| fits(Money::ZERO, charge.quota, charge.cost).err());
        over.map_or(decision, Decision::Deny)
    }
}

impl Inner {
    /// What is known of a denial by `current` beyond its reason.
    fn note(&self, current: &Current, reason: DenialReason) -> Option<Note> {
        let snapshot = match &current.view {
            View::Ready(snapshot) => snapshot,
            View::Refused(refusal) => return Some(Note::Said(refusal.what().to_owned())),
        };
        // Of all that ends, the word of the feed ended first.
        let word = (reason == DenialReason::RevocationStale).then(|| snapshot.agent().feed()).flatten()?;
        let asked = snapshot.agent().lists().issuing().policy().is_some();
        (word.until <= snapshot.agent().good_until()).then_some(match (asked, &self.feed) {
            (_, None) => Note::NoFeed,
            (false, Some(_)) => Note::FeedNotAsked,
            (true, Some(_)) => Note::SilentFeed,
        })
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.times.now(self.clock.wall(), self.clock.mono_nanos() / 1_000_000)
    }

    /// A pass, or `None` and why not in `refused`: a denial is written once, where it stays.
    fn admit(
        self: &Arc<Self>,
        request: &ActionRequest<'_>,
        context: &CallContext<'_>,
        refused: &mut Refused,
    ) -> Option<Pass> {
        for _ in 0..MOST_VIEWS {
            if let Answered::Yes(answer) = self.answer(request, context, refused) {
                return answer;
            }
            self.wait_for_look();
        }
        refused.note = Some(said("lists change faster than decisions are written"));
        None
    }

    /// Decides by the view there is now, and records it unless there is another by then.
    #[inline]
    fn answer(
        self: &Arc<Self>,
        request: &ActionRequest<'_>,
        context: &CallContext<'_>,
        refused: &mut Refused,
    ) -> Answered {
        let (mut wall, mut mono) = (self.clock.wall(), self.clock.mono_nanos());
        let mut current = self.current.load();
        if current.runtime.is_none() || !self.times.is_current(wall, mono / 1_000_000) {
            drop(current);
            if !self.prepare() {
                refused.note = Some(said(ENDLESS_LOOK));
                return Answered::Yes(None);
            }
            (wall, mono) = (self.clock.wall(), self.clock.mono_nanos());
            current = self.current.load();
        }
        let now = self.times.now(wall, mono / 1_000_000);
        let mut decision = current.decide(request, now);
        let Some(runtime) = &current.runtime else {
            // No journal, no leave: there is a refusal to name unless opening it failed without one.
            refused.denial = match decision {
                Decision::Allow(_) => DenialReason::JournalUnavailable.into(),
                Decision::Deny(denial) => denial,
            };
            refused.note = self.note(&current, refused.denial.reason());
            return Answered::Yes(None);
        };
        let mut reservation = None;
        if let (Decision::Allow(permit), View::Ready(snapshot)) = (&decision, &current.view)
            && snapshot.leash().has_charges(permit)
        {
            let earliest = self.times.earliest(wall, mono / 1_000_000);
            match runtime.reserve(snapshot.leash().charges(permit), now, earliest) {
                Ok(reserved) => reservation = Some(reserved),
                Err(denial) => decision = Decision::Deny(denial),
            }
        }
        #[cfg(feature = "null-journal")]
        if self.null_journal {
            return Answered::Yes(match &decision {
                Decision::Allow(_) if reservation.is_none() => Some(Pass(None)),
                Decision::Allow(_) => Some(self.pass(runtime, request.action, None, reservation)),
                Decision::Deny(denial) => {
                    refused.note = self.note(&current, denial.reason());
                    drop(current);
                    refused.denial = *denial;
                    None
                }
            });
        }
        let entry = DecisionEntry {
            caller: None,
            decision: &decision,
            request,
            list: match &current.view {
                View::Ready(snapshot) => Some(*snapshot.list()),
                View::Refused(_) => None,
            },
            mode: self.mode,
            chain: context.chain,
            parents: context.parents,
            trace: context.trace,
            stamp: self.times.stamp(wall, mono),
        };
        let still =
            |signs_as: &[u8]| Arc::ptr_eq(&current, &self.current.load()) && current.is_signed_as(signs_as);
        let recorded = match runtime.journal.decision_if(&entry, still) {
            Ok(Some(recorded)) => Ok(recorded),
            Ok(None) => {
                if let Some(reservation) = reservation {
                    runtime.release(reservation);
                }
                return Answered::Outdated;
            }
            Err(reason) => Err(reason),
        };
        Answered::Yes(match (&decision, recorded) {
            (Decision::Allow(_), Ok(recorded)) => {
                Some(self.pass(runtime, request.action, Some(recorded), reservation))
            }
            (Decision::Allow(_), Err(reason)) => {
                if let Some(reservation) = reservation {
                    runtime.release(reservation);
                }
                (refused.denial, refused.note) = (reason.into(), self.note(&current, reason));
                None
            }
            (Decision::Deny(denial), Ok(recorded))
                if self.mode == Mode::Observe && is_waived(denial.reason()) =>
            {
                Some(self.pass(runtime, request.action, Some(recorded), reservation))
            }
            (Decision::Deny(denial), recorded) => {
                refused.receipt = recorded.ok().map(|recorded| recorded.hash());
                refused.note = self.note(&current, denial.reason());
                // What was written a moment ago is slow to copy; giving the view back takes longer than that moment.
                drop(current);
                refused.denial = *denial;
                None
            }
        })
    }

    fn pass(
        self: &Arc<Self>,
        runtime: &Arc<Runtime>,
        action: &str,
        recorded: Option<Recorded>,
        reservation: Option<Reservation>,
    ) -> Pass {
        let (guard, runtime, action) = (Arc::clone(self), Arc::clone(runtime), ActionText::of(action));
        Pass(Some(Box::new(Held { guard, action, runtime, recorded, reservation, caller: None })))
    }

    /// Whether the agent may still act, now that the body is about to run; `decided` is where the decision was recorded.
    pub(super) fn may_begin(
        self: &Arc<Self>,
        decided: &Arc<Runtime>,
    ) -> Result<(), (DenialReason, Option<Note>)> {
        let (mut wall, mut mono) = (self.clock.wall(), self.clock.mono_nanos());
        if !self.times.is_current(wall, mono / 1_000_000) {
            if !self.prepare() {
                return Err((DenialReason::Internal, Some(said(ENDLESS_LOOK))));
            }
            (wall, mono) = (self.clock.wall(), self.clock.mono_nanos());
        }
        let current = self.current.load();
        let reason = match (&current.view, &current.runtime) {
            (View::Refused(refusal), _) => Some(refusal.reason()),
            (View::Ready(_), None) => Some(DenialReason::JournalUnavailable),
            // The agent was closed, or forked: nobody could say in that stream how the body ended, and the child of a fork
            // has a copy of a pass that its parent begins.
            (View::Ready(_), Some(now)) if !Arc::ptr_eq(now, decided) => {
                return Err((DenialReason::JournalUnavailable, Some(said(ENDED_STREAM))));
            }
            (View::Ready(snapshot), Some(_)) => snapshot.denial(self.times.now(wall, mono / 1_000_000)),
        };
        reason.map_or(Ok(()), |reason| Err((reason, self.note(&current, reason))))
    }
}

fn said(what: &str) -> Note {
    Note::Said(what.to_owned())
}

/// Whether there is an answer, or the view that it was made by has been followed by another.
enum Answered {
    Yes(Option<Pass>),
    Outdated,
}

/// A view follows another when a list or certificate was taken up, four times a second at most.
pub(super) const MOST_VIEWS: usize = 8;

const ENDED_STREAM: &str = "the stream that holds the decision has ended";
pub(super) const ENDLESS_LOOK: &str = "another look at clocks and lists does not end";

/// What observing lets pass: what the scope or a budget says about a request. A revoked agent, a clock that lies or a
/// journal that is gone stop it all the same.
pub(super) fn is_waived(reason: DenialReason) -> bool {
    matches!(reason.group(), "request" | "scope" | "approval")
        || matches!(reason, DenialReason::BudgetWindow | DenialReason::BudgetRate)
}

impl Pass {
    /// The receipt of the decision.
    #[must_use]
    pub fn receipt(&self) -> Option<ReceiptHash> {
        self.0.as_ref()?.recorded.as_ref().map(Recorded::hash)
    }

    /// Whether somebody must be told how the action ends: always, but for guards that only benchmarks build.
    #[must_use]
    pub const fn needs_outcome(&self) -> bool {
        self.0.is_some()
    }

    /// The body runs from here on, if the agent may still act: a process can be stopped, or a machine sleep, between the
    /// decision and this. Standing, clocks and lists are asked again, and the scope is not, because it cannot have changed.
    ///
    /// # Errors
    /// [`Denied`], by the receipt of the decision: the agent was revoked or suspended meanwhile, its certificate or list
    /// ended, or nobody can say. The outcome is recorded as not executed, and what was reserved is room again.
    pub fn begin(mut self) -> Result<Running, Denied> {
        let Some(held) = self.0.take() else { return Ok(Running(None)) };
        let may = catch_unwind(AssertUnwindSafe(|| match &held.caller {
            None => held.guard.may_begin(&held.runtime),
            Some(caller) => held.guard.caller_may_begin(&held.runtime, caller),
        }));
        match may.unwrap_or(Err((DenialReason::Internal, None))) {
            Ok(()) => Ok(Running(Some(held))),
            Err((reason, note)) => {
                let receipt = held.recorded.as_ref().map(Recorded::hash);
                let denied = Denied::of(reason.into(), held.action.clone(), receipt, note);
                held.end(Outcome::NotExecuted);
                Err(denied)
            }
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            held.end(Outcome::NotExecuted);
        }
    }
}

impl Running {
    /// The receipt of the decision.
    #[must_use]
    pub fn receipt(&self) -> Option<ReceiptHash> {
        self.0.as_ref()?.recorded.as_ref().map(Recorded::hash)
    }

    /// What the body hands to whomever it calls, if the action belongs to a chain.
    #[must_use]
    pub fn link(&self) -> Option<ChainLink> {
        let recorded = self.0.as_ref()?.recorded.as_ref()?;
        Some(ChainLink::new(recorded.chain()?, recorded.hash()))
    }

    /// The body returned.
    pub fn returned(self) {
        self.end(Outcome::Returned);
    }

    /// The body ended with an exception or error.
    pub fn raised(self) {
        self.end(Outcome::Raised);
    }

    /// The body was cancelled from outside.
    pub fn cancelled(self) {
        self.end(Outcome::Cancelled);
    }

    /// The body says that the action did not happen: what was reserved is room again.
    pub fn not_executed(self) {
        self.end(Outcome::NotExecuted);
    }

    fn end(mut self, outcome: Outcome) {
        if let Some(held) = self.0.take() {
            held.end(outcome);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            held.end(Outcome::Unknown);
        }
    }
}

impl Held {
    /// Settles the budgets and records the outcome. The action is done: what fails here denies the next one.
    fn end(mut self, outcome: Outcome) {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            match (self.reservation.take(), outcome) {
                (Some(reservation), _) if self.caller.is_some() => {
                    self.guard.settle_caller(reservation, outcome)
                }
                (Some(reservation), Outcome::NotExecuted) => self.runtime.release(reservation),
                (Some(reservation), _) => self.runtime.settle(reservation),
                (None, _) => {}
            }
            if let Some(recorded) = self.recorded.take() {
                let (wall, mono) = (self.guard.clock.wall(), self.guard.clock.mono_nanos());
                let written =
                    self.runtime.journal.outcome(recorded, outcome, None, self.guard.times.stamp(wall, mono));
                if let Err(reason) = written {
                    self.guard.notice(format!("an outcome could not be recorded [{}]", reason.code()));
                }
            }
        }));
    }
}
