//! Somebody else's agent: judged by what this guard accepted, and let in by its own leash.
//!
//! A guard at a gateway answers for agents that are not its own. Of them it believes what its own lists and its own feed say,
//! so there is one freshness and one rollback rule; it records what it answers in its own journal. While its own agent may not
//! act, nobody is let in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::admit::{ENDLESS_LOOK, Held, MOST_VIEWS, Pass, is_waived};
use super::denied::{ActionText, Denied, Note};
use super::keeper::PATIENCE;
use super::ledger::{Ledger, Reservation};
use super::open::{Current, Guard, Inner, View};
use super::runtime::Runtime;
use super::turn::Taken;
use crate::certificate::{AgentPath, FeedWord, PathLists, VerifiedAgent};
use crate::chain::CallContext;
use crate::decision::{Decision, Denial, DenialReason, Permit};
use crate::id::AgentId;
use crate::journal::{CallerUse, DecisionEntry};
use crate::leash::Leash;
use crate::receipt::{Mode, Outcome, ProofOfPossession};
use crate::request::ActionRequest;
use crate::revocation::Standing;
use crate::scope::{NameLists, ProvenNames};
use crate::snapshot::{Refusal, Snapshot};
use crate::time::{UnixMillis, UnixTime};

/// An agent that called, with its leash. How it stands is asked each time: what is remembered of callers is this and no more.
#[derive(Clone, Debug)]
pub struct Leashed {
    path: Arc<AgentPath>,
    leash: Arc<Leash>,
}

impl Leashed {
    /// Compiles the scope of the agent of `path`, whose certificates were verified. Detached lists are found in `names` by their
    /// root; an absent one denies the actions its rule is for.
    ///
    /// # Errors
    /// [`Refusal`] when the scope's time zone is unknown on this machine.
    pub fn new(path: AgentPath, names: &NameLists) -> Result<Self, Refusal> {
        let leash = Leash::of_path(&path, names);
        let leash = leash.map_err(|error| Refusal::new(DenialReason::ScopeHours, error))?;
        Ok(Self { path: Arc::new(path), leash: Arc::new(leash) })
    }

    /// Its certificate and the way to the root.
    #[must_use]
    pub fn path(&self) -> &AgentPath {
        &self.path
    }
}

/// An agent that called, with its leash and its standing by the lists and the feed of one guard.
///
/// Judged is not allowed: an agent that is held or revoked is judged so, and [`Guard::admit_caller`] denies it.
#[derive(Clone, Debug)]
pub struct Judged {
    leashed: Leashed,
    snapshot: Arc<Snapshot>,
    /// What the guard decided by when it judged; with anything newer the caller is judged again.
    by: Arc<Snapshot>,
    /// What it proved of lists that are not here.
    proven: Option<Arc<ProvenNames>>,
}

impl Judged {
    /// Who called.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.path().agent().agent()
    }

    /// Its certificate and the way to the root.
    #[must_use]
    pub fn path(&self) -> &AgentPath {
        self.leashed.path()
    }

    /// The same caller with what it proved of the detached lists that its certificate names, for those that are not at hand here.
    /// It is for one request: names that another one needs are not in it.
    #[must_use]
    pub fn with_names(self, proven: ProvenNames) -> Self {
        Self { proven: Some(Arc::new(proven)), ..self }
    }

    fn decide(&self, request: &ActionRequest<'_>, now: UnixMillis) -> Decision {
        match &self.proven {
            Some(proven) => self.snapshot.decide_proven(request, now, proven),
            None => self.snapshot.decide(request, now),
        }
    }

    /// How it stood when it was judged.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.snapshot.agent().standing()
    }

    /// Whether some request for `action` can ever be allowed by its certificate.
    #[must_use]
    pub fn may_ever(&self, action: &str) -> bool {
        self.leashed.leash.may_ever(action)
    }
}

/// A caller that nobody can judge here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JudgeError {
    /// The guard's own agent may not act.
    #[error("this gateway's own agent: {0}")]
    Guard(Refusal),
    /// The caller's papers.
    #[error(transparent)]
    Caller(Refusal),
}

impl Guard {
    /// What is decided by at this moment, if the guard's own agent may act. Looks at the world only if the last look is too old,
    /// as a decision does.
    ///
    /// # Errors
    /// [`Refusal`]: why nothing is allowed.
    pub fn view(&self) -> Result<Arc<Snapshot>, Refusal> {
        let seen = catch_unwind(AssertUnwindSafe(|| {
            let (wall, mono) = self.0.looked()?;
            let current = self.0.current.load();
            let now = self.0.times.now(wall, mono / 1_000_000);
            current.own(now).map(Arc::clone)
        }));
        seen.unwrap_or_else(|_| Err(Refusal::new(DenialReason::Internal, "a look failed")))
    }

    /// The time by which this guard decides.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.0.now()
    }

    /// Judges the agent of `path`, whose certificates were verified and which may be anybody's: its scope with `names`, the
    /// detached lists that are at hand, and its standing by what this guard accepted.
    ///
    /// # Errors
    /// [`JudgeError`]: the guard's own agent may not act, or the caller is of another issuing authority than it is, or its scope
    /// cannot be read here.
    pub fn judge(&self, path: &AgentPath, names: &NameLists) -> Result<Judged, JudgeError> {
        let leashed = catch_unwind(AssertUnwindSafe(|| Leashed::new(path.clone(), names)));
        let leashed = leashed.unwrap_or_else(|_| Err(Refusal::new(DenialReason::Internal, "judging failed")));
        self.judge_leashed(&leashed.map_err(JudgeError::Caller)?)
    }

    /// As [`Guard::judge`], for an agent that was seen before.
    ///
    /// # Errors
    /// [`JudgeError`], as there.
    pub fn judge_leashed(&self, caller: &Leashed) -> Result<Judged, JudgeError> {
        let by = self.view().map_err(JudgeError::Guard)?;
        let judged = catch_unwind(AssertUnwindSafe(|| judge(caller, &by, self.now().to_seconds())));
        let judged = judged.unwrap_or_else(|_| Err(Refusal::new(DenialReason::Internal, "judging failed")));
        judged.map_err(JudgeError::Caller)
    }

    /// Asks whether `caller` may do something here now, and records the answer before giving it, as
    /// [`Guard::admit_in`](Guard::admit_in) does for the guard's own agent: by the caller's leash, and by its standing at this
    /// moment, whenever it was judged. Its windows and rates count what it did at this guard since the process began.
    ///
    /// # Errors
    /// [`Denied`]: it must not happen. [`Denied::is_of_guard`] says whether that is because of the caller.
    pub fn admit_caller(
        &self,
        caller: &Judged,
        how: ProofOfPossession,
        request: &ActionRequest<'_>,
        context: &CallContext<'_>,
    ) -> Result<Pass, Denied> {
        let answer = catch_unwind(AssertUnwindSafe(|| self.0.admit_caller(caller, how, request, context)));
        answer.unwrap_or_else(|_| Err(own(DenialReason::Internal, "a decision failed", request.action)))
    }
}

/// Joins a caller with what `by` stands on.
fn judge(caller: &Leashed, by: &Arc<Snapshot>, now: UnixTime) -> Result<Judged, Refusal> {
    let agent = stand(&caller.path, by, now)?;
    let snapshot = Arc::new(Snapshot::new(agent, Arc::clone(&caller.leash)));
    Ok(Judged { leashed: caller.clone(), snapshot, by: Arc::clone(by), proven: None })
}

/// How a caller stands by the lists and the feed that `by` has.
fn stand(path: &AgentPath, by: &Snapshot, now: UnixTime) -> Result<VerifiedAgent, Refusal> {
    let (ours, lists) = (by.agent().path(), by.agent().lists());
    let key = |path: &AgentPath| path.issuing().decoded().key().key_id();
    if key(path) != key(ours) {
        let what = "the caller's issuing authority is not the one of this guard's own agent";
        return Err(Refusal::new(DenialReason::CertificateUntrusted, what));
    }
    let same = |one: &[u8], other: &[u8]| one == other;
    let known = same(path.issuing().decoded().der(), ours.issuing().decoded().der())
        && same(path.root().decoded().der(), ours.root().decoded().der());
    let lists = if known {
        lists.clone()
    } else {
        // The same authority by another certificate: the lists are held against that one.
        let lists = PathLists::from_der([lists.issuing().der(), lists.root().der()], path);
        lists.map_err(|error| Refusal::new(error.reason(), error))?
    };
    let serial = path.agent().decoded().serial();
    let word = by.agent().feed().map(|word| {
        let standing = by.follower().map_or(Standing::Good, |follower| follower.standing(&serial));
        FeedWord { standing, ..word }
    });
    path.clone().with_feed(lists, word, now).map_err(|error| Refusal::new(error.reason(), error))
}

impl Judged {
    /// The same caller by what `by` stands on.
    fn by(&self, by: &Arc<Snapshot>, now: UnixTime) -> Result<Self, Refusal> {
        if Arc::ptr_eq(&self.by, by) {
            return Ok(self.clone());
        }
        Ok(Self { proven: self.proven.clone(), ..judge(&self.leashed, by, now)? })
    }
}

impl Current {
    /// What the guard's own agent decides by, if it may act at `now`.
    fn own(&self, now: UnixMillis) -> Result<&Arc<Snapshot>, Refusal> {
        match &self.view {
            View::Refused(refusal) => Err((**refusal).clone()),
            View::Ready(snapshot) => match snapshot.denial(now) {
                Some(reason) => Err(Refusal::new(reason, reason.what())),
                None => Ok(snapshot),
            },
        }
    }
}

fn own(reason: DenialReason, what: impl ToString, action: &str) -> Denied {
    let note = Note::Own(format!("this gateway's own agent: {}", what.to_string()));
    Denied::of(reason.into(), ActionText::of(action), None, Some(note))
}

impl Inner {
    /// The clocks, after another look if the last one is too old.
    fn looked(self: &Arc<Self>) -> Result<(UnixMillis, i64), Refusal> {
        let (wall, mono) = (self.clock.wall(), self.clock.mono_nanos());
        let opened = self.current.load().runtime.is_some();
        if opened && self.times.is_current(wall, mono / 1_000_000) {
            return Ok((wall, mono));
        }
        if !self.prepare() {
            return Err(Refusal::new(DenialReason::Internal, ENDLESS_LOOK));
        }
        Ok((self.clock.wall(), self.clock.mono_nanos()))
    }

    fn admit_caller(
        self: &Arc<Self>,
        caller: &Judged,
        how: ProofOfPossession,
        request: &ActionRequest<'_>,
        context: &CallContext<'_>,
    ) -> Result<Pass, Denied> {
        for _ in 0..MOST_VIEWS {
            if let Some(answer) = self.answer_caller(caller, how, request, context) {
                return answer;
            }
            self.wait_for_look();
        }
        let what = "lists change faster than decisions are written";
        Err(own(DenialReason::Internal, what, request.action))
    }

    /// Decides by the view there is now, and records it; `None` if there is another by then.
    fn answer_caller(
        self: &Arc<Self>,
        caller: &Judged,
        how: ProofOfPossession,
        request: &ActionRequest<'_>,
        context: &CallContext<'_>,
    ) -> Option<Result<Pass, Denied>> {
        let refuse = |refusal: Refusal| Some(Err(own(refusal.reason(), refusal.what(), request.action)));
        let (wall, mono) = match self.looked() {
            Ok(clocks) => clocks,
            Err(refusal) => return refuse(refusal),
        };
        let current = self.current.load();
        let now = self.times.now(wall, mono / 1_000_000);
        let by = match current.own(now) {
            Ok(by) => by,
            Err(refusal) => return refuse(refusal),
        };
        let Some(runtime) = &current.runtime else {
            let reason = DenialReason::JournalUnavailable;
            return Some(Err(own(reason, reason.what(), request.action)));
        };
        let denied = |denial: Denial, receipt, note| {
            Some(Err(Denied::of(denial, ActionText::of(request.action), receipt, note)))
        };
        let judged = match caller.by(by, now.to_seconds()) {
            Ok(judged) => judged,
            Err(refusal) => {
                return denied(refusal.reason().into(), None, Some(Note::Said(refusal.what().to_owned())));
            }
        };
        let mut decision = judged.decide(request, now);
        let mut reservation = None;
        if let Decision::Allow(permit) = &decision
            && judged.snapshot.leash().has_charges(permit)
        {
            let earliest = self.times.earliest(wall, mono / 1_000_000);
            match self.reserve_for_caller(&judged, permit, now, earliest) {
                Ok(reserved) => reservation = Some(reserved),
                Err(denial) => decision = Decision::Deny(denial),
            }
        }
        let entry = DecisionEntry {
            caller: Some(CallerUse::of(judged.path(), how)),
            decision: &decision,
            request,
            list: Some(*judged.snapshot.list()),
            mode: self.mode,
            chain: context.chain,
            parents: context.parents,
            trace: context.trace,
            stamp: self.times.stamp(wall, mono),
        };
        let still =
            |signs_as: &[u8]| Arc::ptr_eq(&current, &self.current.load()) && current.is_signed_as(signs_as);
        let recorded = runtime.journal.decision_if(&entry, still);
        let lets_in = match &decision {
            Decision::Allow(_) => true,
            Decision::Deny(denial) => self.mode == Mode::Observe && is_waived(denial.reason()),
        };
        match (recorded, &decision) {
            (Ok(Some(recorded)), _) if lets_in => Some(Ok(Pass(Some(Box::new(Held {
                guard: Arc::clone(self),
                action: ActionText::of(request.action),
                runtime: Arc::clone(runtime),
                recorded: Some(recorded),
                reservation,
                caller: Some(judged),
            }))))),
            (Ok(Some(recorded)), Decision::Deny(denial)) => denied(*denial, Some(recorded.hash()), None),
            (recorded, decision) => {
                if let Some(reservation) = reservation {
                    self.settle_caller(reservation, Outcome::NotExecuted);
                }
                match (recorded, decision) {
                    (Ok(None), _) => None,
                    (Err(_), Decision::Deny(denial)) if !lets_in => denied(*denial, None, None),
                    (Err(reason), _) => Some(Err(own(reason, reason.what(), request.action))),
                    (Ok(Some(_)), _) => {
                        Some(Err(own(DenialReason::Internal, "an answer is missing", request.action)))
                    }
                }
            }
        }
    }

    /// Whether the caller may still be let in, now that the body is about to run.
    pub(super) fn caller_may_begin(
        self: &Arc<Self>,
        decided: &Arc<Runtime>,
        caller: &Judged,
    ) -> Result<(), (DenialReason, Option<Note>)> {
        let ours = |reason: DenialReason| {
            let what = format!("this gateway's own agent: {}", reason.what());
            (reason, Some(Note::Own(what)))
        };
        self.may_begin(decided).map_err(|(reason, _)| ours(reason))?;
        let (current, now) = (self.current.load(), self.now());
        let by = current.own(now).map_err(|refusal| ours(refusal.reason()))?;
        let judged = caller.by(by, now.to_seconds());
        let judged =
            judged.map_err(|refusal| (refusal.reason(), Some(Note::Said(refusal.what().to_owned()))))?;
        judged.snapshot.denial(now).map_or(Ok(()), |reason| Err((reason, None)))
    }

    fn reserve_for_caller(
        &self,
        judged: &Judged,
        permit: &Permit,
        at: UnixMillis,
        earliest: UnixMillis,
    ) -> Result<Reservation, Denial> {
        let mut ledger = self.callers().ok_or(DenialReason::BudgetBusy)?;
        ledger.tidy(earliest);
        ledger.reserve(judged.snapshot.leash().charges(permit), at, earliest)
    }

    /// What a caller reserved is spent, or room again. Where nobody can say so it stays spent.
    pub(super) fn settle_caller(&self, reservation: Reservation, outcome: Outcome) {
        let Some(mut ledger) = self.callers() else { return };
        match outcome {
            Outcome::NotExecuted => ledger.release(reservation),
            _ => ledger.settle(reservation),
        }
    }

    fn callers(&self) -> Option<Taken<'_, Ledger>> {
        // Sums in memory cannot be built again; what a panic left of them is no ground to allow anything.
        self.callers.take(PATIENCE, |ledger| ledger.lose(self.now()))
    }
}
