//! The client: a handle on the thread that speaks to the authority, and what it hands to guards.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, mpsc};

use kakunin_core::feed::Follower;
use kakunin_core::guard::{FeedSource, Guard, GuardOptions, OpenError, StateChoice};
use kakunin_core::home::{AgentHome, HomeError};
use kakunin_core::id::AgentId;
use tokio::sync::{Notify, oneshot};

use crate::alarm::Alarm;
use crate::connect::{ConnectError, ConnectOptions};
use crate::place::Place;
use crate::status::{Board, Status};
use crate::transport::{Address, Transport};
use crate::worker::{Report, Worker};

/// An agent's line to its authority. Cheap to clone; all clones are one, and the last one that is dropped ends it.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    directory: PathBuf,
    lists: PathBuf,
    worker: Mutex<Option<Worker>>,
    /// Whether code ended it: a fork does not begin it again.
    closed: AtomicBool,
}

/// What the client and its thread share, over forks too: nothing in here waits for anybody.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: ConnectOptions,
    pub(crate) addresses: Vec<Address>,
    pub(crate) board: Board,
    pub(crate) feed: Arc<FeedSource>,
}

impl Shared {
    pub(crate) fn new(options: ConnectOptions, addresses: Vec<Address>, agent: AgentId) -> Self {
        let board = Board::new(agent, options.alarm.clone());
        let feed = if options.without_feed { FeedSource::or_lists() } else { FeedSource::new() };
        Self { options, addresses, board, feed: Arc::new(feed) }
    }

    /// Lets a word count for no longer than code says.
    pub(crate) fn shorten(&self, follower: &mut Follower) {
        if let Some(seconds) = self.options.max_age {
            follower.shorten(seconds);
        }
    }

    /// Connections of one thread: a child of a fork must not use its parent's.
    pub(crate) fn transport(&self) -> Result<Transport, ConnectError> {
        Ok(Transport::new(&self.addresses, self.options.ca_file.as_deref())?)
    }
}

/// What one run of the thread wakes itself with.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    /// The first signed word was taken.
    pub(crate) settled: Notify,
    /// The papers are of another issuing authority than before, which has a feed of its own.
    pub(crate) moved: Notify,
    /// Guards were handed something new.
    pub(crate) heard: Notify,
}

/// The papers of today: a renewal replaces them.
pub(crate) type Slot = RefCell<Place>;

/// What a thread reports when it is connected.
pub(crate) struct Connected {
    pub(crate) shared: Arc<Shared>,
    pub(crate) place: Place,
}

impl Client {
    /// Connects: the agent's directory is complete and its authority was heard, or the time is over.
    ///
    /// While the authority is away, an agent with a complete directory is connected all the same: the guard denies
    /// `revocation.stale` until the feed is heard, which the client goes on trying.
    ///
    /// # Errors
    /// [`ConnectError`]: options that are none, a directory that cannot be kept, or lists that were never there and cannot be had.
    pub fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        let (tell, told) = mpsc::sync_channel(1);
        let report: Report = Box::new(move |connected| {
            let _ = tell.send(connected);
        });
        let worker = Worker::connect(options, report)?;
        Self::of(told.recv().unwrap_or(Err(ConnectError::Fault)), worker)
    }

    /// The same from asynchronous code, on any executor. Dropping the future ends the attempt.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_async(options: ConnectOptions) -> Result<Self, ConnectError> {
        let (tell, told) = oneshot::channel();
        let report: Report = Box::new(move |connected| {
            let _ = tell.send(connected);
        });
        let worker = Worker::connect(options, report)?;
        Self::of(told.await.unwrap_or(Err(ConnectError::Fault)), worker)
    }

    fn of(connected: Result<Connected, ConnectError>, worker: Worker) -> Result<Self, ConnectError> {
        let Connected { shared, place } = match connected {
            Ok(connected) => connected,
            Err(error) => {
                worker.join();
                return Err(error);
            }
        };
        Ok(Self(Arc::new(Inner {
            shared,
            directory: place.dir().to_owned(),
            lists: place.lists_path().to_owned(),
            worker: Mutex::new(Some(worker)),
            closed: AtomicBool::new(false),
        })))
    }

    /// Whose client it is.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.0.shared.board.read().agent
    }

    /// The agent's directory, absolute.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// The file of lists that the client keeps, in the directory. It stands over what `agent.toml` names.
    #[must_use]
    pub fn lists(&self) -> &Path {
        &self.0.lists
    }

    /// The directory with the client's lists, for whoever opens the guard by hand.
    ///
    /// # Errors
    /// [`HomeError`] when it cannot be read any more.
    pub fn home(&self) -> Result<AgentHome, HomeError> {
        AgentHome::open(self.directory(), Some(self.lists()))
    }

    /// What the authority's feed says, for [`GuardOptions::feed`].
    #[must_use]
    pub fn feed(&self) -> Arc<FeedSource> {
        Arc::clone(&self.0.shared.feed)
    }

    /// The usual options of a guard, with this client's feed and the state's place.
    #[must_use]
    pub fn guard_options(&self) -> GuardOptions {
        let state = self.0.shared.options.state.clone();
        GuardOptions {
            feed: Some(self.feed()),
            state: state.map_or(StateChoice::Default, StateChoice::Path),
            ..GuardOptions::default()
        }
    }

    /// Opens the agent's guard.
    ///
    /// # Errors
    /// [`OpenError`] as [`Guard::open`].
    pub fn guard(&self) -> Result<Guard, OpenError> {
        Guard::open(self.home()?, self.guard_options())
    }

    /// Opens the agent's guard with `options`; the feed is this client's in any case.
    ///
    /// # Errors
    /// [`OpenError`] as [`Guard::open`].
    pub fn guard_with(&self, options: GuardOptions) -> Result<Guard, OpenError> {
        let usual = self.guard_options();
        let state = if options.state == StateChoice::Default { usual.state } else { options.state };
        Guard::open(self.home()?, GuardOptions { feed: usual.feed, state, ..options })
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.shared.board.read()
    }

    /// Takes the alarms since the last call, the newest 64.
    #[must_use]
    pub fn take_alarms(&self) -> Vec<Alarm> {
        self.0.shared.board.take_alarms()
    }

    /// Ends the thread. What guards heard goes on counting until it has ended; then they deny.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Relaxed);
        self.0.end();
    }

    /// Prepares for a fork: ends the thread and its connections, neither of which a child could use.
    pub fn before_fork(&self) {
        self.0.end();
    }

    /// Goes on in the parent of a fork, or after one that failed.
    pub fn after_fork_in_parent(&self) {
        self.0.resume(Found::Ours);
    }

    /// Goes on in the child of a fork, with a thread of its own. Also right where nobody prepared the fork: the parent's thread
    /// is not here, and nothing of it is touched.
    pub fn after_fork_in_child(&self) {
        self.0.resume(Found::Parents);
    }
}

/// Whose a thread is that was not ended before a fork.
#[derive(PartialEq, Eq)]
enum Found {
    Ours,
    Parents,
}

impl Inner {
    fn end(&self) {
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            worker.join();
        }
    }

    fn resume(&self, found: Found) {
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        let slot = match self.worker.try_lock() {
            Ok(slot) => Some(slot),
            Err(TryLockError::Poisoned(slot)) => Some(slot.into_inner()),
            // Somebody of the parent had it when the process was copied: it stays locked for ever here.
            Err(TryLockError::WouldBlock) => None,
        };
        let Some(mut slot) = slot else { return };
        match slot.take() {
            Some(worker) if found == Found::Ours => return *slot = Some(worker),
            Some(worker) => worker.forget(),
            None => {}
        }
        match Worker::resume(Arc::clone(&self.shared), self.directory.clone()) {
            Ok(worker) => *slot = Some(worker),
            Err(error) => {
                let trouble = crate::status::Trouble::now(error.code(), error.to_string());
                self.shared.board.trouble(&trouble);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let worker = self.worker.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            worker.join();
        }
    }
}
