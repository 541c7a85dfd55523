//! From a listening socket to answers: connections, their limits, and the end.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use kakunin_core::time::UnixTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::intake::Intake;
use super::rate::Rates;
use super::readers::Readers;
use super::sequencer::{Next, Orders, carry_out, carry_out_parts};
use super::service::Service;
use super::table::router;
use super::wire::Peer;
use crate::authority::{Authority, AuthorityError};
use crate::term::Hours;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> UnixTime + Send + Sync>;

/// How to serve.
pub struct ServeOptions {
    /// What time it is.
    pub clock: Clock,
    /// For how long each list may be used. It is signed anew when half of that is over.
    pub hours: Hours,
    /// Takes one line of the log, in JSON.
    pub log: Arc<dyn Fn(&str) + Send + Sync>,
}

/// An address that connections already arrive at. They wait until it runs.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    stop: watch::Sender<bool>,
}

/// Ends a server from another thread.
#[derive(Clone)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// Takes no more connections and orders; what was begun is ended.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Server {
    /// Listens at `address`.
    ///
    /// # Errors
    /// [`ServeError::Listen`] when that is not possible.
    pub fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        let fail = |error| ServeError::Listen { address, error };
        let listener = TcpListener::bind(address).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        Ok(Self { listener, address, stop: watch::Sender::new(false) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The handle that ends it.
    #[must_use]
    pub fn handle(&self) -> Stop {
        Stop(self.stop.clone())
    }

    /// Publishes the lists, calls `ready`, and answers until [`Stop::stop`], SIGTERM or SIGINT.
    ///
    /// The calling thread is the sequencer: all that changes the authority happens on it, one order after the other.
    ///
    /// # Errors
    /// [`ServeError`] when the first lists cannot be published, the runtime fails, or an order ended in a fault.
    pub fn run(
        self,
        authority: &mut Authority<'_>,
        options: ServeOptions,
        ready: impl FnOnce(),
    ) -> Result<(), ServeError> {
        let published = watch::Sender::new(None);
        let readers = Arc::new(Readers::new(authority.home().place().map_err(AuthorityError::from)?));
        let ServeOptions { clock, hours, log } = options;
        let _ = authority.publish(hours, clock())?;
        let service = Arc::new(Service {
            orders: Orders::default(),
            published,
            readers,
            clock,
            hours,
            rates: Rates::default(),
            intake: Intake::default(),
            held: authority.held_keys()?,
            opened: std::sync::Mutex::default(),
            derivations: Semaphore::new(DERIVATIONS),
            log,
        });
        show(&service, authority);

        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("kakunin-http").build();
        let runtime = runtime.map_err(ServeError::Runtime)?;
        let net = runtime.spawn(accept(self.listener, Arc::clone(&service), self.stop.clone()));
        ready();
        let ended = sequence(&service, authority, hours);
        self.stop.send_replace(true);
        service.orders.close();
        // Connections end by themselves within GRACE; after that they are dropped.
        let _ = runtime.block_on(net);
        runtime.shutdown_timeout(Duration::from_secs(1));
        ended
    }
}

/// Carries out orders until there are no more, and signs the lists anew in time.
fn sequence(service: &Service, authority: &mut Authority<'_>, hours: Hours) -> Result<(), ServeError> {
    let mut wake = Instant::now() + LOOK;
    loop {
        match service.orders.next(wake) {
            Next::Order(order) => {
                let deliver = carry_out(order, authority).map_err(|_| ServeError::Fault)?;
                // INVARIANT: an answer means published, so whoever has it and asks for the list gets that one.
                show(service, authority);
                deliver();
            }
            Next::Parts(parts) => match carry_out_parts(parts, authority).map_err(|_| ServeError::Fault)? {
                Ok(answers) => answers.into_iter().for_each(|deliver| deliver()),
                // Whoever waits is told that it failed when its part is dropped.
                Err(error) => tell(service, "parts.not_kept", &error.to_string()),
            },
            Next::Wake => {
                wake = Instant::now() + LOOK;
                if let Err(error) = renew(service, authority, hours) {
                    tell(service, "lists.not_renewed", &error.to_string());
                }
            }
            Next::End => return Ok(()),
        }
    }
}

/// Writes a line of the log about the service itself.
fn tell(service: &Service, event: &str, cause: &str) {
    let line = serde_json::json!({ "at": (service.clock)().to_string(), "event": event, "cause": cause });
    (service.log)(&line.to_string());
}

/// Signs the lists anew when half of their time is over, so that a night of failures does not end them.
fn renew(service: &Service, authority: &mut Authority<'_>, hours: Hours) -> Result<(), AuthorityError> {
    let now = (service.clock)();
    let due = authority.published().is_none_or(|published| {
        let list = published.list();
        let half = (list.next_update.seconds() - list.this_update.seconds()) / 2;
        now >= list.this_update.plus(half)
    });
    if due {
        let _ = authority.publish(hours, now)?;
        show(service, authority);
    }
    Ok(())
}

/// Lets readers see what the authority published last.
fn show(service: &Service, authority: &Authority<'_>) {
    service.published.send_if_modified(|shown| {
        let newest = authority.published();
        let same = match (shown.as_ref(), newest) {
            (Some(shown), Some(newest)) => Arc::ptr_eq(shown, newest),
            (None, None) => true,
            _ => false,
        };
        *shown = newest.cloned();
        !same
    });
}

async fn accept(listener: TcpListener, service: Arc<Service>, stop: watch::Sender<bool>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let app = router(&service);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let open = GracefulShutdown::new();
    let mut stopped = stop.subscribe();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    loop {
        let (place, stream, peer) = tokio::select! {
            next = arrival(&listener, &room) => next,
            _ = stopped.wait_for(|stop| *stop) => break,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let _ = stream.set_nodelay(true);
        let app = app.clone();
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(Peer(peer));
            let app = app.clone();
            async move { Ok::<_, Infallible>(answer(app, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_buf_size(HEADER_ROOM)
            .serve_connection(TokioIo::new(stream), answer);
        let connection = open.watch(connection);
        tokio::spawn(async move {
            // A connection that breaks is the client's business.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    // Orders first: whoever is waiting gets an answer, and then connections close between two requests.
    service.orders.close();
    let _ = tokio::time::timeout(GRACE, open.shutdown()).await;
    Ok(())
}

/// A connection with its place. The place comes first: when all are taken, new connections wait in the kernel's queue
/// and not in our memory.
async fn arrival(
    listener: &tokio::net::TcpListener,
    room: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, tokio::net::TcpStream, SocketAddr) {
    // INVARIANT: the semaphore is never closed, so there is always a permit to wait for.
    let place = Arc::clone(room).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (place, stream, peer),
            // Out of file descriptors, as a rule. Asking again at once would only burn the processor.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn answer(app: axum::Router, request: axum::extract::Request) -> axum::response::Response {
    use hyper::service::Service as _;
    let service = hyper_util::service::TowerToHyperService::new(app);
    match service.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// A service that could not be started, or that ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// No runtime.
    #[error("cannot start the threads of the service: {0}")]
    Runtime(#[source] io::Error),
    /// A fault of this program.
    #[error(
        "an order ended in a fault of this program; the service stopped, its records are as the last answer said"
    )]
    Fault,
    /// The authority itself.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// How often the sequencer looks whether a list is due.
const LOOK: Duration = Duration::from_secs(1);
/// Each holds at most [`HEADER_ROOM`] and one body.
const CONNECTIONS: usize = 4096;
const HEADER_TIME: Duration = Duration::from_secs(10);
/// Above the 8 kB that proxies allow for one field.
const HEADER_ROOM: usize = 32 * 1024;
const GRACE: Duration = Duration::from_secs(10);
const DERIVATIONS: usize = 2;
