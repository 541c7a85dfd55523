//! Forks, and the end: what runs is joined, what waits is signed, and a child begins anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::keeper::{PATIENCE, START_PATIENCE};
use super::open::{Current, Inner, View};
use crate::decision::DenialReason;
use crate::snapshot::Refusal;

impl Inner {
    /// Joins the threads; the next decision starts them again.
    fn rest(&self) {
        let keeper = self.turn(START_PATIENCE).and_then(|mut look| look.keeper.take());
        if let Some(keeper) = keeper {
            keeper.join();
        }
        self.sign_what_waits();
    }

    /// Joins the journal's thread.
    fn sign_what_waits(&self) {
        if let Some(runtime) = &self.current.load().runtime {
            let _ = runtime.journal.quiesce();
        }
    }

    /// Before a fork: no thread of ours runs, and nobody else has what a child could not wait for. The ledger and the
    /// journal are the parent's alone, and know it.
    pub(super) fn begin_fork(&self) {
        // However long a key store takes, calls can look meanwhile.
        self.sign_what_waits();
        self.look.begin_fork(START_PATIENCE);
        let keeper = self.look.of_fork().and_then(|mut look| look.keeper.take());
        if let Some(keeper) = keeper {
            keeper.join();
        }
        self.sign_what_waits();
        self.notices.begin_fork(PATIENCE);
        self.callers.begin_fork(PATIENCE);
    }

    /// After a fork: whoever waited goes on.
    pub(super) fn end_fork(&self) {
        self.callers.end_fork();
        self.notices.end_fork();
        self.look.end_fork();
    }

    /// Ends the stream and forgets the runtime.
    pub(super) fn stop(&self) {
        self.rest();
        // A look in progress would put the closed journal back.
        let _look = self.turn(START_PATIENCE);
        let current = self.current.load_full();
        if let Some(runtime) = &current.runtime {
            let stamp = self.times.stamp(self.clock.wall(), self.clock.mono_nanos());
            if let Err(error) = runtime.journal.close(stamp) {
                self.notice(format!("the journal could not be closed: {error}"));
            }
            self.current.store(Arc::new(Current { view: current.view.clone(), runtime: None }));
        }
        self.proving.store(None);
    }

    /// After a fork: nothing of the parent's is used any more.
    pub(super) fn begin_anew_in_child(&self) {
        self.callers.end_fork();
        self.notices.end_fork();
        self.look.end_fork();
        let look = self.turn(Duration::ZERO);
        // Used or not: every child would have the whole of each budget. And a look that was going on when nobody
        // prepared the fork goes on for ever.
        if self.is_in_memory() || look.is_none() {
            self.forked.store(true, Ordering::Relaxed);
            let refusal = Arc::new(self.forked());
            return self.current.store(Arc::new(Current { view: View::Refused(refusal), runtime: None }));
        }
        // The threads are the parent's; their handles mean nothing here.
        std::mem::forget(look.and_then(|mut look| look.keeper.take()));
        let current = self.current.load_full();
        self.current.store(Arc::new(Current { view: current.view.clone(), runtime: None }));
    }

    pub(super) fn forked(&self) -> Refusal {
        let what = match self.is_in_memory() {
            true => "opened before a fork, with its state in memory",
            false => "forked in the middle of a look, without the call before a fork",
        };
        Refusal::new(DenialReason::AgentForked, what)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.is_forked() {
            self.stop();
        }
    }
}
