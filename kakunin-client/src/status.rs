//! How a client is doing: what it heard, from where, and what went wrong last.
//!
//! One thread writes, anybody reads at any time without waiting: also the child of a fork, which may have been made in the middle
//! of a write.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kakunin_core::feed::Follower;
use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;

use crate::alarm::{Alarm, AlarmFn, AlarmKind};

/// How the feed is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// Server-sent events: what changes is here at once.
    Stream,
    /// A question that waits for its answer, again and again: where something on the way holds streams back.
    LongPoll,
    /// A question every few seconds.
    Poll,
    /// No feed: the lists are fetched again every minute.
    Files,
}

impl Transport {
    /// One word for logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::LongPoll => "long-poll",
            Self::Poll => "poll",
            Self::Files => "files",
        }
    }
}

/// Something that did not work, and is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trouble {
    /// When.
    pub at: UnixTime,
    /// A stable code: the authority's own, or one of `docs/client.md`.
    pub code: String,
    /// What happened, for an operator.
    pub text: String,
    /// How long the authority asks to be left alone.
    pub(crate) wait: Option<Duration>,
}

impl Trouble {
    pub(crate) fn now(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { at: SystemClock.wall().to_seconds(), code: code.into(), text: text.into(), wait: None }
    }

    pub(crate) fn about(mut self, what: &dyn std::fmt::Display) -> Self {
        self.text = format!("{what}: {}", self.text);
        self
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]", self.text, self.code)
    }
}

/// How a client is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Whose client it is.
    pub agent: AgentId,
    /// The address it is connected to.
    pub url: Option<String>,
    /// How the feed is carried at present.
    pub transport: Option<Transport>,
    /// How far the feed is known.
    pub epoch: Option<u64>,
    /// Since when nothing new is known, by the signed time of the last word; `None` before the first.
    pub age: Option<Duration>,
    /// For how long the last word still counts. Zero: it has ended, and the guard denies `revocation.stale`.
    pub fresh_for: Option<Duration>,
    /// For how long a word counts.
    pub max_age: Option<Duration>,
    /// When the certificate ends.
    pub certificate_until: Option<UnixTime>,
    /// When the list that ends first has to be replaced.
    pub lists_until: Option<UnixTime>,
    /// What went wrong last, until something of its kind works again.
    pub last_error: Option<Trouble>,
    /// Receipts that were sent, or are next, and that the authority has not acknowledged; those behind them are not counted.
    pub uploads_behind: u64,
    /// Checkpoints of the owner's log that were seen and that the authority has not answered.
    pub checkpoints_behind: u64,
    /// The last change of which the authority knows that it is enforced here; `None` before the first.
    pub acknowledged: Option<u64>,
    /// How often that could not be said. It is said again, and nothing depends on it.
    pub acknowledgements_failed: u64,
    /// How often lists were loaded.
    pub snapshots: u64,
    /// How often a feed was connected to.
    pub connections: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) status: Status,
    /// When the last word was signed, by the boot clock, in milliseconds.
    pub(crate) proven: Option<i64>,
    /// From when silence is counted while nothing was heard.
    pub(crate) since: i64,
}

/// Where the client's thread writes.
pub(crate) struct Board {
    state: ArcSwap<State>,
    alarms: ArcSwap<Vec<Alarm>>,
    tell: Option<AlarmFn>,
}

impl Board {
    pub(crate) fn new(agent: AgentId, tell: Option<AlarmFn>) -> Self {
        let status = Status {
            agent,
            url: None,
            transport: None,
            epoch: None,
            age: None,
            fresh_for: None,
            max_age: None,
            certificate_until: None,
            lists_until: None,
            last_error: None,
            uploads_behind: 0,
            checkpoints_behind: 0,
            acknowledged: None,
            acknowledgements_failed: 0,
            snapshots: 0,
            connections: 0,
        };
        let state = State { status, proven: None, since: SystemClock.boot_millis() };
        Self { state: ArcSwap::from_pointee(state), alarms: ArcSwap::default(), tell }
    }

    pub(crate) fn write(&self, change: impl Fn(&mut Status)) {
        self.rewrite(|state| change(&mut state.status));
    }

    fn rewrite(&self, change: impl Fn(&mut State)) {
        self.state.rcu(|state| {
            let mut state = State::clone(state);
            change(&mut state);
            Arc::new(state)
        });
    }

    /// Takes down what `follower` knows.
    pub(crate) fn heard(&self, follower: &Follower) {
        self.rewrite(|state| {
            state.proven = follower.proven();
            state.status.epoch = Some(follower.certain_head().epoch());
            state.status.max_age = Some(Duration::from_secs(follower.max_age().into()));
        });
    }

    pub(crate) fn trouble(&self, trouble: &Trouble) {
        self.write(|status| status.last_error = Some(trouble.clone()));
    }

    /// Raises an alarm: kept for [`crate::Client::take_alarms`], and told to whoever asked for that.
    pub(crate) fn alarm(&self, kind: AlarmKind, text: String) {
        let alarm = Alarm { at: SystemClock.wall().to_seconds(), kind, text };
        self.alarms.rcu(|alarms| {
            // Enough to see what repeats; the newest are kept.
            let skip = (alarms.len() + 1).saturating_sub(MOST_ALARMS);
            let mut alarms: Vec<Alarm> = alarms.iter().skip(skip).cloned().collect();
            alarms.push(alarm.clone());
            alarms
        });
        if let Some(tell) = &self.tell {
            // A fault in there must not end the thread that everybody's freshness depends on.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tell(&alarm)));
        }
    }

    pub(crate) fn take_alarms(&self) -> Vec<Alarm> {
        let taken = self.alarms.swap(Arc::default());
        Arc::unwrap_or_clone(taken)
    }

    /// Lets `proven` be when the last word was signed.
    #[cfg(test)]
    pub(crate) fn pretend(&self, proven: i64) {
        self.rewrite(|state| (state.proven, state.since) = (None, proven));
    }

    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// The status as of now: ages go on while nobody writes.
    pub(crate) fn read(&self) -> Status {
        let state = self.state();
        let now = SystemClock.boot_millis();
        let span = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        let mut status = state.status.clone();
        status.age = state.proven.map(|proven| span(now.saturating_sub(proven)));
        status.fresh_for = status.age.zip(status.max_age).map(|(age, most)| most.saturating_sub(age));
        status
    }
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Board({:?})", self.read())
    }
}

const MOST_ALARMS: usize = 64;
