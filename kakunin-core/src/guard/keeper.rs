//! Looking after the world: clocks, papers, lists, journal.
//!
//! A thread looks every 250 ms, and at once when code hands something over; a decision that finds the last look older than a second looks by itself. What is
//! accepted replaces the current view as a whole; what is refused leaves the old view and a notice.

use std::sync::Arc;
use std::time::Duration;

use super::anchor::CheckpointLook;
use super::clock::{Audit, TOLERANCE_MILLIS};
use super::feed::{FeedLook, Heard, Wanted};
use super::known::{self, KnownLists};
use super::open::{Current, Inner, View};
use super::runtime::Runtime;
use super::source::{Source, Versions};
use super::state::{LockError, StateDir};
use super::thread::KeeperThread;
use super::turn::Taken;
use crate::certificate::{AgentPath, ListSelectError, PathLists};
use crate::decision::DenialReason;
use crate::digest::Digest;
use crate::home::Papers;
use crate::leash::Leash;
use crate::receipt::Control;
use crate::revocation::Contradiction;
use crate::scope::NameLists;
use crate::snapshot::{self, Refusal, Snapshot};
use crate::time::UnixTime;

/// What the last look saw.
#[derive(Debug, Default)]
pub(super) struct Look {
    seen: Option<Versions>,
    papers: Option<Papers>,
    /// The key of the issuing authority that papers were proven by last: later ones that name none mean it.
    issuer: Option<Digest>,
    /// The proven path and its compiled scope, reused while only lists change.
    proven: Option<(AgentPath, Arc<Leash>)>,
    /// The lists that are decided by, of the issuers of `proven`.
    held: Option<PathLists>,
    /// The newest accepted list of every issuer, by this process or an earlier one.
    known: KnownLists,
    /// Whether the marks of earlier processes were taken up.
    marks_loaded: bool,
    /// Whether `held` is on disk.
    persisted: bool,
    /// The latest thisUpdate ever accepted.
    trusted: Option<UnixTime>,
    /// What the world is refused for, until it changes.
    world: Option<Refusal>,
    /// Whether papers were refused that may be in order without changing: a file nobody could read, a certificate that
    /// is early. They are looked at again every time.
    papers_refused: bool,
    /// The same for lists.
    lists_refused: bool,
    /// Papers and lists that contradict what is known, and why: what is known only grows, so the same are refused again unread.
    contradicts: Option<(Versions, Refusal)>,
    /// What the first decision opened, until what is known there was taken up: nobody decides by less.
    opened: Option<Arc<Runtime>>,
    /// The thread that looks.
    pub(super) keeper: Option<KeeperThread>,
    /// What is known of the owner's log.
    checkpoint: CheckpointLook,
    /// What is known of the feed.
    feed: FeedLook,
}

impl Look {
    /// A look that panicked may have stored half of what it saw: everything is looked at again. Only what was accepted
    /// stays known, or a panic would let a list be taken back.
    fn begin_again(&mut self) {
        let Self { papers, issuer, known, trusted, keeper, checkpoint, feed, .. } = std::mem::take(self);
        *self = Self { papers, issuer, known, trusted, keeper, checkpoint, feed, ..Self::default() };
        self.feed.forget_recalls();
    }

    pub(super) const fn feed(&mut self) -> &mut FeedLook {
        &mut self.feed
    }

    /// The proven path, and the lists of names beside it.
    pub(super) fn names(&self) -> Option<(AgentPath, NameLists)> {
        let ((path, _), papers) = (self.proven.as_ref()?, self.papers.as_ref()?);
        Some((path.clone(), papers.names.clone()))
    }

    /// The path that is decided for, and the list that is decided by.
    pub(super) fn feed_wanted(&self) -> Option<Wanted> {
        let ((path, _), lists) = (self.proven.as_ref()?, self.held.as_ref()?);
        Some((path.clone(), lists.issuing().clone()))
    }

    pub(super) fn runtime_of(&self, inner: &Inner) -> Option<Arc<Runtime>> {
        self.opened.clone().or_else(|| inner.current.load().runtime.clone())
    }
}

impl Inner {
    /// Looks now, waiting for another look in progress; `false` if that took too long.
    pub(super) fn refresh(self: &Arc<Self>) -> bool {
        let Some(mut look) = self.turn(PATIENCE) else { return false };
        self.look(&mut look);
        true
    }

    /// Waits for a while only: a stuck look must end in a denial, not in a hanging host.
    pub(super) fn turn(&self, patience: Duration) -> Option<Taken<'_, Look>> {
        self.look.take(patience, Look::begin_again)
    }

    /// Waits until a look in progress has stored what it saw.
    pub(super) fn wait_for_look(&self) {
        drop(self.turn(PATIENCE));
    }

    /// Looks, and starts whatever a decision needs: the journal, the ledger, the keeper's thread.
    pub(super) fn prepare(self: &Arc<Self>) -> bool {
        if self.is_forked() {
            return true;
        }
        let starting = self.current.load().runtime.is_none();
        let look = self.turn(if starting { START_PATIENCE } else { PATIENCE });
        // Somebody else may have looked while this call waited.
        if self.is_ready() {
            return true;
        }
        let Some(mut look) = look else { return false };
        self.look(&mut look);
        if self.current.load().runtime.is_none() {
            // Why it did not start is the answer; another look would only see that the papers are in order.
            let Some(runtime) = self.start_runtime(&mut look) else { return true };
            look.opened = Some(Arc::new(runtime));
            // Lists accepted before there was a state directory are compared with those known there, kept and archived.
            look.seen = None;
            self.look(&mut look);
            let view = self.current.load().view.clone();
            self.current.store(Arc::new(Current { view, runtime: look.opened.take() }));
        }
        // Starts the thread if it is not running.
        if look.keeper.as_ref().is_none_or(|thread| thread.handle.is_finished()) {
            look.keeper = KeeperThread::start(self);
        }
        true
    }

    /// Whether decisions can be made without another look.
    fn is_ready(&self) -> bool {
        let current = self.times.is_current(self.clock.wall(), self.clock.mono_nanos() / 1_000_000);
        current && self.current.load().runtime.is_some()
    }

    fn start_runtime(&self, look: &mut Look) -> Option<Runtime> {
        let papers = look.papers.as_ref()?;
        match Runtime::start(self, papers, look.proven.as_ref().map(|(path, _)| path)) {
            Ok(runtime) => {
                (look.marks_loaded, look.persisted) = (false, false);
                // There is a place for evidence now.
                look.contradicts = None;
                look.known.forget_recalls();
                look.feed.forget_recalls();
                Some(runtime)
            }
            Err(refusal) => {
                self.store_view(View::Refused(Arc::new(refusal)));
                None
            }
        }
    }

    fn look(&self, look: &mut Look) {
        let begun = self.clock.mono_nanos() / 1_000_000;
        self.look_around(look);
        self.look_at_log(look);
        self.times.looked(begun);
    }

    fn look_around(&self, look: &mut Look) {
        let audit = self.times.audit(&*self.clock);
        if let Some(jump) = audit.jump {
            self.note_jump(look, jump);
        }
        let wall = self.clock.wall();
        let now = self.times.now(wall, self.clock.mono_nanos() / 1_000_000).to_seconds();
        if self.is_forked() {
            return self.store_view(View::Refused(Arc::new(self.forked())));
        }
        // Before the lists: whoever publishes a follower has written the list it stands on, so what is read from here on is
        // that list or a newer one.
        let known = self.feed.as_ref().map(|feed| feed.known());
        let versions = self.source.versions();
        let unchanged = look.seen == Some(versions)
            && look.world.is_none()
            && !look.papers_refused
            && !look.lists_refused;
        if !unchanged {
            let result = self.take_up(look, versions, now);
            look.world = result.err();
        }
        // At every look: time passes, and others hand over what they heard.
        let (heard, unkept) = match self.look_at_feed(look, known) {
            Ok(heard) => (heard, None),
            Err(refusal) => (Heard::default(), Some(refusal)),
        };
        let broken = self.broken_runtime().or(unkept);
        // Judged after the marks of earlier processes were read, named before everything a wrong clock explains.
        let refusal = self.distrust(audit, look, wall.to_seconds()).or(broken).or_else(|| look.world.clone());
        match (refusal, &look.proven) {
            (Some(refusal), _) => self.store_view(View::Refused(Arc::new(refusal))),
            (None, Some((path, leash))) => {
                let Some(lists) = &look.held else { return };
                let Heard { word, follower } = heard;
                // A follower of the same head may know of somebody else's revocation that is not certain yet.
                let fresh = !matches!(&self.current.load().view, View::Ready(held)
                    if held.agent().lists().same_as(lists)
                        && held.agent().feed() == word
                        && held.follower().map(Arc::as_ptr) == follower.as_ref().map(Arc::as_ptr)
                        && Arc::ptr_eq(held.leash(), leash));
                if fresh {
                    match path.clone().with_feed(lists.clone(), word, now) {
                        Ok(agent) => {
                            let snapshot = Snapshot::new(agent, Arc::clone(leash)).following(follower);
                            self.store_view(View::Ready(Arc::new(snapshot)));
                        }
                        Err(error) => {
                            let refusal = Refusal::new(error.reason(), error);
                            self.store_view(View::Refused(Arc::new(refusal)));
                        }
                    }
                }
            }
            (None, None) => {}
        }
    }

    /// States in the stream that the clocks of its receipts moved against one another. A note that cannot be written denies what
    /// follows, as any receipt does.
    fn note_jump(&self, look: &Look, millis: i64) {
        let runtime = look.opened.clone().or_else(|| self.current.load().runtime.clone());
        let stamp = self.times.stamp(self.clock.wall(), self.clock.mono_nanos());
        let control = Control::Clock { forward: millis > 0, millis: millis.unsigned_abs() };
        // Before the first decision there is no stream yet whose clocks could have moved.
        let _ = runtime.map(|runtime| runtime.journal.control(control, stamp));
    }

    /// Tells the journal of the latest checkpoint of the owner's log.
    fn look_at_log(&self, look: &mut Look) {
        let (Source::Directory(home), Some(log)) = (&self.source, &self.log) else { return };
        match look.checkpoint.look(home, log) {
            Err(notice) => self.notice(notice),
            Ok(None) => {}
            Ok(Some(anchor)) => {
                let runtime = look.opened.clone().or_else(|| self.current.load().runtime.clone());
                // In a child of a fork the next stream is told.
                let _ = runtime.map(|runtime| runtime.journal.know(anchor));
            }
        }
    }

    /// Whether the clock is behind what is proven.
    fn distrust(&self, audit: Audit, look: &Look, wall: UnixTime) -> Option<Refusal> {
        let tolerance = TOLERANCE_MILLIS / 1000;
        if let Some(trusted) = look.trusted.filter(|trusted| wall.plus(tolerance) < *trusted) {
            let what = format!("it says {wall}, but a list of {trusted} was accepted");
            return Some(Refusal::new(DenialReason::ClockUntrusted, what));
        }
        let what = "it was set back by more than 120 s while this process ran";
        audit.behind.then(|| Refusal::new(DenialReason::ClockUntrusted, what))
    }

    fn broken_runtime(&self) -> Option<Refusal> {
        let current = self.current.load();
        let runtime = current.runtime.as_ref()?;
        if runtime.journal.still_in_place() {
            // Somebody may let others in later, too.
            let loose = runtime.state.as_ref().and_then(|state| state.refuse_loose().err());
            return loose.map(|loose| Refusal::new(DenialReason::JournalUnavailable, loose));
        }
        let what = "the journal is no longer where it was opened";
        Some(Refusal::new(DenialReason::JournalUnavailable, what))
    }

    /// Reads papers and lists and accepts them, or says why not.
    fn take_up(&self, look: &mut Look, versions: Versions, now: UnixTime) -> Result<(), Refusal> {
        let runtime = look.opened.clone().or_else(|| self.current.load().runtime.clone());
        let state = runtime.as_ref().and_then(|runtime| runtime.state.as_ref());
        let papers_changed = look.seen.is_none_or(|seen| seen.papers != versions.papers)
            || look.proven.is_none()
            || look.papers_refused;
        (look.papers_refused, look.lists_refused) = (false, false);
        if papers_changed && let Err(refusal) = self.take_up_papers(look, runtime.as_deref(), now) {
            // A broken renewal does not end the certificate that is still good.
            if look.proven.is_none() {
                return Err(refusal);
            }
            look.papers_refused = true;
            self.notice(format!("the agent's papers changed and are refused: {refusal}"));
        }
        let Some((path, _)) = &look.proven else { return Ok(()) };
        let path = path.clone();
        if let Some(state) = state {
            recall(look, state, &path)?;
            look.trusted.iter().for_each(|trusted| self.times.prove(*trusted));
        }
        let contradicts = look.contradicts.take().filter(|(of, _)| *of == versions);
        let accepted = match contradicts {
            Some((_, refusal)) => Err(refusal),
            None => self.accept_lists(look, &path, now),
        };
        if let Err(refusal) = accepted.as_ref()
            && refusal.reason() == DenialReason::RevocationRollback
        {
            look.contradicts = Some((versions, refusal.clone()));
        }
        match accepted {
            Ok(lists) => {
                let same = look.held.as_ref().is_some_and(|held| lists.same_as(held));
                look.trusted = look.trusted.max(Some(lists.this_update()));
                self.times.prove(lists.this_update());
                look.known.accept(&lists, &path);
                if let Some(runtime) = runtime.as_ref().filter(|_| !same || !look.persisted) {
                    look.persisted = false;
                    keep(runtime, &lists, &path)?;
                    look.persisted = true;
                }
                look.held = Some(lists);
            }
            // At the start there is nothing else to decide by; later the list that is held goes on until its end.
            Err(refusal) if look.seen.is_none() || look.held.is_none() => return Err(refusal),
            Err(refusal) => {
                look.lists_refused = true;
                self.notice(format!("the revocation lists changed and are refused: {refusal}"));
            }
        }
        look.seen = Some(versions);
        Ok(())
    }

    fn take_up_papers(
        &self,
        look: &mut Look,
        runtime: Option<&Runtime>,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let papers = self.source.papers();
        let mut papers = papers.map_err(|error| Refusal::new(DenialReason::CertificateMalformed, error))?;
        papers.issuer = papers.issuer.or(look.issuer).or(self.issuer);
        look.papers.get_or_insert_with(|| papers.clone());
        let path = snapshot::prove(&papers, now)?;
        if path.agent().agent() != self.agent {
            return Err(Refusal::new(
                DenialReason::AgentMismatch,
                "the certificate names another agent than before",
            ));
        }
        // Against what the journal signs as, which an expired certificate can do and not prove.
        let renewed = look.papers.as_ref().is_some_and(|held| held.agent != papers.agent);
        let leash = Leash::of_path(&path, &papers.names);
        let leash = leash.map_err(|error| Refusal::new(DenialReason::ScopeHours, error))?;
        if let (true, Some(runtime)) = (renewed, runtime) {
            runtime.renew(self, &papers)?;
        }
        if renewed {
            // Nobody is judged by the lists of another issuing authority; what is known of each issuer stays.
            look.held = look.held.take().filter(|lists| {
                PathLists::from_der([lists.issuing().der(), lists.root().der()], &path).is_ok()
            });
        }
        look.issuer = Some(path.issuing().decoded().key().key_id());
        look.papers = Some(papers);
        look.proven = Some((path, Arc::new(leash)));
        Ok(())
    }

    /// Reads the source's lists and checks that they may follow the ones that are known.
    fn accept_lists(&self, look: &Look, path: &AgentPath, now: UnixTime) -> Result<PathLists, Refusal> {
        let pem = self.source.lists().map_err(|what| Refusal::new(DenialReason::RevocationMissing, what))?;
        let state = look.runtime_of(self);
        let state = state.as_ref().and_then(|runtime| runtime.state.as_ref());
        let lists = PathLists::from_pem(&pem, path).map_err(|error| match error {
            ListSelectError::Contradiction(error) => contradicted(state, &error, &[("offered.pem", &pem)]),
            error => Refusal::new(error.reason(), error),
        })?;
        look.known.allow(&lists, path).map_err(|(error, known, offered)| {
            contradicted(state, &error, &[("known.crl", known.der()), ("offered.crl", offered.der())])
        })?;
        // Dates are judged now as well: a list from the future must not raise the trusted time.
        let verified =
            path.clone().with_lists(lists, now).map_err(|error| Refusal::new(error.reason(), error))?;
        Ok(verified.lists().clone())
    }

    pub(super) fn store_view(&self, view: View) {
        let current = self.current.load();
        let same = match (&view, &current.view) {
            (View::Refused(new), View::Refused(old)) => new == old,
            _ => false,
        };
        if !same {
            self.current.store(Arc::new(Current { view, runtime: current.runtime.clone() }));
        }
    }
}

/// Refuses lists that contradict, and keeps both sides: each is signed, so together they prove that one key said two things.
fn contradicted(state: Option<&StateDir>, error: &Contradiction, sides: &[(&str, &[u8])]) -> Refusal {
    // What is older was true once, and proves nothing.
    let proves = !matches!(error, Contradiction::Rollback { .. });
    let kept = match state.filter(|_| proves).map(|state| state.keep_evidence(sides)) {
        Some(Ok(Some(place))) => format!("; both are kept in {}", place.display()),
        Some(Ok(None)) => "; there is as much evidence as is kept".to_owned(),
        Some(Err(error)) => format!("; it could not be kept: {error}"),
        None => String::new(),
    };
    Refusal::new(DenialReason::RevocationRollback, format!("{error}{kept}"))
}

/// Takes up what earlier processes knew of the issuers of `path`, and the trusted time they had reached.
fn recall(look: &mut Look, state: &StateDir, path: &AgentPath) -> Result<(), Refusal> {
    if !look.marks_loaded {
        let marks = state.marks().map_err(|error| Refusal::new(DenialReason::JournalUnavailable, error))?;
        look.trusted = look.trusted.max(Some(marks.trusted));
        look.marks_loaded = true;
    }
    if look.known.recall(state, path)? {
        // What is held was accepted without knowing this.
        look.seen = None;
    }
    Ok(())
}

/// Keeps accepted lists for later processes and for verifiers.
fn keep(runtime: &Runtime, lists: &PathLists, path: &AgentPath) -> Result<(), Refusal> {
    archive(runtime, lists)?;
    let Some(state) = &runtime.state else { return Ok(()) };
    let mut ledger = runtime.ledger().map_err(|reason| Refusal::new(reason, reason.what()))?;
    let kept = ledger.with_lock(|lock| {
        known::keep(state, lock, lists, path)?;
        state.keep_marks(lock, &state.marks()?.raised(lists.this_update(), 0))
    });
    kept.map(|_| ()).map_err(|error| match error {
        LockError::Busy => Refusal::new(DenialReason::JournalLocked, error),
        LockError::Io(_) => Refusal::new(DenialReason::JournalUnavailable, error),
    })
}

fn archive(runtime: &Runtime, lists: &PathLists) -> Result<(), Refusal> {
    for list in [lists.issuing(), lists.root()] {
        let kept = runtime.journal.archive_list(list.der(), &list.digest());
        kept.map_err(|error| Refusal::new(DenialReason::JournalUnavailable, error))?;
    }
    Ok(())
}

pub(super) const PATIENCE: Duration = Duration::from_millis(100);
/// The first decision makes folders and waits for disks; the others wait for it.
pub(super) const START_PATIENCE: Duration = Duration::from_secs(5);
