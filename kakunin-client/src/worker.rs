//! The client's thread: one runtime, and everything that goes on at the same time.
//!
//! A fault in here ends what was going on and not the thread: it begins again with what is in the directory. Should it not come
//! back, nobody hears anything new, and guards deny when the last word has ended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::id::AgentId;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::acks;
use crate::alarm::{self, AlarmKind};
use crate::client::{Connected, Shared, Slot, Wakes};
use crate::connect::{ConnectError, ConnectOptions};
use crate::enrol::{Token, enrol};
use crate::follow::Follow;
use crate::gossip;
use crate::place::Place;
use crate::renewal;
use crate::status::Trouble;
use crate::transport::{Address, Transport};
use crate::upload;

/// Who is told when a client is connected, or why not.
pub(crate) type Report = Box<dyn FnOnce(Result<Connected, ConnectError>) + Send>;

/// The thread, and how to end it.
#[derive(Debug)]
pub(crate) struct Worker {
    stop: oneshot::Sender<()>,
    handle: JoinHandle<()>,
    process: u32,
}

impl Worker {
    /// Starts with options, and reports.
    pub(crate) fn connect(options: ConnectOptions, report: Report) -> Result<Self, ConnectError> {
        let judged = options.judge()?;
        Self::start(move |stop| {
            let begun = Begun::default();
            let beginning = Beginning { options, judged, begun: Arc::clone(&begun) };
            let first = guarded(stop, |runtime, stop| {
                runtime.block_on(async {
                    tokio::select! {
                        () = begin(beginning, report) => Over::Stopped,
                        _ = stop => Over::Stopped,
                    }
                })
            });
            let begun = begun.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let (Over::Fault, Some((shared, dir))) = (first, begun) {
                again(&shared, &dir, stop);
            }
        })
    }

    /// Goes on with what is known: after a fork.
    pub(crate) fn resume(shared: Arc<Shared>, dir: PathBuf) -> Result<Self, ConnectError> {
        Self::start(move |stop| again(&shared, &dir, stop))
    }

    fn start(run: impl FnOnce(&mut oneshot::Receiver<()>) + Send + 'static) -> Result<Self, ConnectError> {
        let (stop, mut stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name(NAME.into());
        let handle = thread.spawn(move || run(&mut stopped)).map_err(ConnectError::Thread)?;
        Ok(Self { stop, handle, process: std::process::id() })
    }

    /// Ends it, and waits until it has ended.
    pub(crate) fn join(self) {
        // In a child of a fork there is nothing to wait for, for ever.
        if self.process != std::process::id() {
            return self.forget();
        }
        let _ = self.stop.send(());
        // Whoever is told of an alarm may own the client, and is on this thread.
        if self.handle.thread().id() != std::thread::current().id() {
            let _ = self.handle.join();
        }
    }

    /// Forgets a thread that is another process's.
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }
}

enum Over {
    Stopped,
    Fault,
}

/// Runs `work` on a runtime of its own; a panic is its answer, too.
fn guarded(
    stop: &mut oneshot::Receiver<()>,
    work: impl FnOnce(&Runtime, &mut oneshot::Receiver<()>) -> Over,
) -> Over {
    let run = || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return Over::Fault;
        };
        let over = work(&runtime, stop);
        // A journal that is read is let go of, so that the next one to send it finds its lock free. A look-up of a name may wait
        // for an answer for longer; nobody waits for that.
        runtime.shutdown_timeout(LEAVE);
        over
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Over::Fault)
}

/// Works until it is stopped, beginning again after every fault.
fn again(shared: &Arc<Shared>, dir: &Path, stop: &mut oneshot::Receiver<()>) {
    loop {
        let over = guarded(stop, |runtime, stop| {
            runtime.block_on(async {
                tokio::select! {
                    _ = stop => Over::Stopped,
                    () = resume(shared, dir) => Over::Fault,
                }
            })
        });
        let Over::Fault = over else { return };
        std::thread::sleep(REST);
        if stop.try_recv() != Err(oneshot::error::TryRecvError::Empty) {
            return;
        }
    }
}

async fn resume(shared: &Arc<Shared>, dir: &Path) {
    let ready = async {
        let place = Place::open(dir, SystemClock.wall().to_seconds())?;
        place.settle().await?;
        Ok::<_, ConnectError>((place, shared.transport()?))
    };
    match ready.await {
        Ok((place, transport)) => work(shared, &Wakes::default(), &transport, &Slot::new(place)).await,
        Err(error) => {
            let trouble = Trouble::now(error.code(), error.to_string());
            shared.board.trouble(&trouble);
            shared.board.alarm(AlarmKind::Refused, trouble.to_string());
        }
    }
}

struct Beginning {
    options: ConnectOptions,
    judged: (Vec<Address>, PathBuf),
    /// What to go on with after a fault.
    begun: Begun,
}

type Begun = Arc<Mutex<Option<(Arc<Shared>, PathBuf)>>>;

async fn begin(beginning: Beginning, report: Report) {
    let deadline = Instant::now() + beginning.options.timeout;
    let begun = beginning.begun;
    let (shared, transport, place) = match settle(beginning.options, beginning.judged, deadline).await {
        Ok(settled) => settled,
        Err(error) => return report(Err(error)),
    };
    let wakes = Wakes::default();
    let slot = Slot::new(place.clone());
    let connected = async {
        let in_time = tokio::time::timeout_at(deadline, wakes.settled.notified()).await.is_ok();
        let kept = place.lists();
        let complete =
            kept.is_some_and(|lists| lists.issuing().policy().is_some() || shared.options.without_feed);
        if in_time || complete {
            return Ok(Connected { shared: Arc::clone(&shared), place: place.clone() });
        }
        Err(match shared.board.read().last_error {
            Some(trouble) if !trouble.code.starts_with("transport") => ConnectError::Refused(trouble),
            Some(trouble) => ConnectError::Unreachable(trouble),
            None => ConnectError::Unreachable(Trouble::now("transport.silent", "nothing answered")),
        })
    };
    let work = work(&shared, &wakes, &transport, &slot);
    tokio::pin!(work);
    let connected = tokio::select! {
        connected = connected => connected,
        () = &mut work => Err(ConnectError::Fault),
    };
    let failed = connected.is_err();
    *begun.lock().unwrap_or_else(PoisonError::into_inner) =
        (!failed).then(|| (Arc::clone(&shared), place.dir().to_owned()));
    report(connected);
    if !failed {
        work.await;
    }
}

/// Finds the agent's directory in order.
async fn settle(
    mut options: ConnectOptions,
    (addresses, directory): (Vec<Address>, PathBuf),
    deadline: Instant,
) -> Result<(Arc<Shared>, Transport, Place), ConnectError> {
    let transport = Transport::new(&addresses, options.ca_file.as_deref())?;
    let place = match Place::is_taken(&directory) {
        true => Place::open(&directory, SystemClock.wall().to_seconds())?,
        false => enrol(&options, &transport, &addresses, &directory, deadline).await?,
    };
    place.settle().await?;
    let found = place.agent();
    // A name is not in the certificate. What the directory says of itself keeps agents apart that one variable sends there.
    let is_another = match AgentId::parse(&options.agent) {
        Some(asked) => asked != found,
        None => place.name().is_some_and(|name| name != options.agent),
    };
    if is_another {
        return Err(ConnectError::OtherAgent { directory, found, asked: options.agent });
    }
    let root = place.root();
    if options.root.is_some_and(|asked| asked != root) {
        return Err(ConnectError::OtherRoot { found: root });
    }
    // A token that is fresh, and papers that are not: of an authority that was begun anew nobody here would ever hear.
    if let Some(named) = options.token.as_ref().and_then(Token::root).filter(|named| *named != root) {
        return Err(ConnectError::OldDirectory { directory, found: root, named });
    }
    // It has done what it is for; nothing keeps it for the life of this process.
    options.token = None;
    Ok((Arc::new(Shared::new(options, addresses, found)), transport, place))
}

/// Everything that goes on. It ends only by being dropped.
async fn work(shared: &Shared, wakes: &Wakes, transport: &Transport, slot: &Slot) {
    let follow = Follow::new(shared, wakes, transport, slot);
    tokio::join!(
        follow.run(),
        alarm::watch(&shared.board),
        acks::keep(shared, wakes, transport, slot),
        renewal::keep(shared, wakes, transport, slot),
        upload::keep(shared, transport, slot),
        gossip::keep(shared, transport, slot)
    );
}

const NAME: &str = "kakunin-client";
const LEAVE: Duration = Duration::from_millis(500);
/// Before beginning again after a fault.
const REST: Duration = Duration::from_secs(1);
