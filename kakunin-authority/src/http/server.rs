//! A service from its start to its end: the doors, the sequencer, and what is done in time.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kakunin_core::risk::RiskPolicy;
use kakunin_core::time::{UnixMillis, UnixTime};
use tokio::sync::{Semaphore, watch};

use super::content::{ContentJudge, ContentJudgeError, Desk, Judge, Remote};
use super::deliver::reach::Reach;
use super::deliver::{Deliveries, Post, SystemNames, sender};
use super::door::{Connections, Counts, Door, Each, Plane};
use super::exports::{bundles, exports};
use super::feed::{Acks, Hub};
use super::happenings::Happenings;
use super::intake::Intake;
use super::logs::Logs;
use super::oidc::Pipelines;
use super::once::Repeats;
use super::peer::Proxies;
use super::proof::Proofs;
use super::rate::Rates;
use super::readers::Readers;
use super::room::Room;
use super::sequencer::{Next, Orders, carry_out, carry_out_parts};
use super::service::Service;
use super::shown::Shown;
use super::table::router;
use super::throttle::Throttle;
use super::tls::{Tls, TlsError, TlsFiles};
use super::together::issue;
use super::watching::{self, Watch};
use crate::authority::{Authority, AuthorityError, FeedMode};
use crate::feeding::MAX_AGE;
use crate::store::StoreError;
use crate::term::Hours;
use crate::watch::Terms;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// How to serve.
pub struct ServeOptions {
    /// What time it is.
    pub clock: Clock,
    /// For how long each list may be used. It is signed anew when half of that is over.
    pub hours: Hours,
    /// What strangers may do.
    pub strangers: Strangers,
    /// By which names clients reach it, with the port unless it is their scheme's default, beside those of the address.
    pub names: Vec<String>,
    /// Whether the feed is served, and the lists ask for it.
    pub feed: FeedMode,
    /// How webhooks are sent.
    pub webhooks: WebhookOptions,
    /// By what agents are judged that have no policy of their own.
    pub risk: RiskPolicy,
    /// Who checks texts beside this machine.
    pub content: Option<ContentJudge>,
    /// Pipelines that are believed by tokens of their host, and what they may do.
    pub pipelines: Option<Arc<Pipelines>>,
    /// Folders of logs, as `kakunin log` writes them, that everyone may read.
    pub logs: Vec<PathBuf>,
    /// Takes one line of the log, in JSON.
    pub log: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What those may do whom nobody knows yet.
#[derive(Clone, Debug)]
pub struct Strangers {
    /// Proxies whose word about clients is taken.
    pub proxies: Proxies,
    /// How many connections one address may have at a door. `None` is 256, and does not hold for this machine.
    pub connections: Option<usize>,
    /// How many requests a second of one address are answered for what everyone may read, after ten times as many at
    /// once.
    pub requests: u32,
}

impl Default for Strangers {
    fn default() -> Self {
        Self { proxies: Proxies::default(), connections: None, requests: 200 }
    }
}

/// Where to listen, and with which certificate.
#[derive(Clone, Debug)]
pub struct Doors {
    /// Every route.
    pub keyed: SocketAddr,
    /// A second address with the routes for everyone alone, and with connections of its own: no flood there takes
    /// places here.
    pub public: Option<SocketAddr>,
    /// TLS at both; without it they speak plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// Addresses that connections already arrive at. They wait until it runs.
/// How webhooks are sent.
#[derive(Clone, Debug, Default)]
pub struct WebhookOptions {
    /// Which addresses they may reach.
    pub reach: Reach,
    /// The only authorities that receivers' certificates may be of, in PEM; those of the system if there are none.
    pub ca: Option<Vec<u8>>,
}

/// An address that connections already arrive at. They wait until it runs.
pub struct Server {
    pub(super) listeners: Vec<(Plane, TcpListener)>,
    address: SocketAddr,
    public: Option<SocketAddr>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) stop: watch::Sender<bool>,
    /// What listens to signals since this node stood by.
    pub(super) waiting: Option<tokio::runtime::Runtime>,
}

/// Says whether these folders hold logs that can be served: before anything is made for a service that cannot start.
///
/// # Errors
/// [`ServeError::Log`] with the first that cannot.
pub fn check_logs(folders: &[PathBuf]) -> Result<(), ServeError> {
    Logs::open(folders).map(drop).map_err(|what| ServeError::Log { what })
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
    /// Reads certificate and key, and listens.
    ///
    /// # Errors
    /// [`ServeError::Tls`] and [`ServeError::Listen`].
    pub fn bind(doors: Doors, now: UnixTime) -> Result<Self, ServeError> {
        let tls = doors.tls.map(|files| Tls::open(files, now).map(Arc::new)).transpose()?;
        let (address, keyed) = listen(doors.keyed)?;
        let mut listeners = vec![(Plane::Keyed, keyed)];
        let mut public = None;
        if let Some(wanted) = doors.public {
            let (address, listener) = listen(wanted)?;
            public = Some(address);
            listeners.push((Plane::Public, listener));
        }
        Ok(Self { listeners, address, public, tls, stop: watch::Sender::new(false), waiting: None })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for everyone.
    #[must_use]
    pub const fn public_address(&self) -> Option<SocketAddr> {
        self.public
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
        self.run_after(authority, options, |_| Ok(()), |()| ready())
    }

    /// The same with a last order, carried out when nothing can keep it from answering any more: what that makes can be
    /// shown to somebody, and is handed to `ready`.
    ///
    /// # Errors
    /// As [`Server::run`], and that order's.
    pub fn run_after<T>(
        self,
        authority: &mut Authority<'_>,
        options: ServeOptions,
        last: impl FnOnce(&mut Authority<'_>) -> Result<T, AuthorityError>,
        ready: impl FnOnce(T),
    ) -> Result<(), ServeError> {
        let readers = Arc::new(Readers::new(authority.home().place().map_err(AuthorityError::from)?));
        let ServeOptions {
            clock: millis,
            hours,
            strangers,
            names,
            feed,
            webhooks,
            risk,
            content,
            pipelines,
            logs,
            log,
        } = options;
        let logs = Logs::open(&logs).map_err(|what| ServeError::Log { what })?;
        let seconds = Arc::clone(&millis);
        let clock = Arc::new(move || seconds().to_seconds());
        authority.set_feed(feed);
        authority.sign_deltas();
        let proofs = Proofs::new(authority, self.address, &names, clock())?;
        let term = authority.store.term().map_err(AuthorityError::from)?;
        authority.store.confirm().map_err(AuthorityError::from)?;
        let room = Arc::new(Room::of(authority.home()));
        room.for_urgent();
        let missing = begin(authority, hours, clock())?;
        let judge = content.map(|judge| Remote::new(judge, &webhooks.reach, webhooks.ca.as_deref()));
        let judge = judge.transpose()?.map(|judge| Arc::new(judge) as Arc<dyn Judge>);
        let (content, texts) = Desk::of(judge.as_deref());
        let (heard, listed) = (i64::from(MAX_AGE), i64::from(hours.0) * 3600);
        let watch = Watch::new(Terms { policy: risk, heard, listed, clocks: 2 * CLOCKS });
        let service = Arc::new(Service {
            orders: Orders::default(),
            shown: Shown::default(),
            readers,
            clock,
            millis,
            feeds: Hub::default(),
            acks: Acks::default(),
            term,
            hours,
            room,
            rates: Rates::default(),
            intake: Intake::default(),
            exports: exports(),
            bundles: bundles(),
            logs,
            happenings: Happenings::default(),
            repeats: Repeats::default(),
            throttle: Throttle::new(strangers.requests),
            doors: self.listeners.iter().map(|(plane, _)| (*plane, Arc::<Counts>::default())).collect(),
            proofs,
            hooks: Deliveries::new(webhooks.reach, authority.seals()?),
            watch,
            pipelines,
            content,
            held: authority.held_keys()?,
            opened: std::sync::Mutex::default(),
            derivations: Semaphore::new(DERIVATIONS),
            log,
        });
        missing.iter().for_each(|(event, cause)| service.note(event, cause));
        keep_room(&service);
        service.shown.take_up(authority);
        if let Err(error) = service.feeds.refresh(authority) {
            // A service that tells nobody anything would only look like one; of several feeds the others are told.
            if service.feeds.is_empty() {
                return Err(error.into());
            }
            service.note("feed.not_sent", &error);
        }
        let post = Post::new(service.hooks.reach.clone(), Arc::new(SystemNames), webhooks.ca.as_deref());
        let post = post.map_err(ServeError::Webhooks)?;
        let sender = sender::start(Arc::clone(&service), post, self.stop.subscribe());
        let sender = sender.map_err(ServeError::Runtime)?;
        let watching = watching::start(Arc::clone(&service), judge.zip(texts), self.stop.subscribe());
        let watching = watching.map_err(ServeError::Runtime)?;

        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("kakunin-http").build();
        let runtime = runtime.map_err(ServeError::Runtime)?;
        let room = connections(self.listeners.len());
        let each = strangers.connections.map_or(Each::Others(CONNECTIONS_EACH), Each::Everyone);
        let proxies = Arc::new(strangers.proxies);
        let doors = self.listeners.into_iter().zip(&service.doors).map(|((plane, listener), (_, counts))| {
            let (tls, proxies, counts) = (self.tls.clone(), Arc::clone(&proxies), Arc::clone(counts));
            (Door { plane, tls, proxies, places: Connections::new(room, each), counts }, listener)
        });
        let doors = doors.collect();
        let made = last(authority)?;
        authority.remember_orders()?;
        let net = runtime.spawn(attend(doors, Arc::clone(&service), self.tls, self.stop.clone()));
        let _beats = runtime.spawn(beat(Arc::clone(&service)));
        ready(made);
        let ended = sequence(&service, authority, hours);
        self.stop.send_replace(true);
        // A sequencer that ended by an error leaves orders behind.
        service.orders.abandon();
        // Connections end by themselves within GRACE; after that they are dropped.
        let _ = runtime.block_on(net);
        runtime.shutdown_timeout(Duration::from_secs(1));
        // It waits for nothing that only the sequencer could do: its orders were dropped with the others.
        let _ = watching.join();
        // What was sent while there was no sequencer any more; what cannot be recorded is sent again at the next start.
        for settlement in sender.join().unwrap_or_default() {
            if let Err(error) = settlement.record(authority.store.as_mut()) {
                service.note("webhook.not_recorded", &error);
            }
        }
        ended
    }
}

/// Publishes the first lists of each tenant and sees to the keys of its feed. Gives what failed, as the log tells it: one
/// tenant that cannot be served is no reason to serve nobody, and what is due is tried again every second.
fn begin(
    authority: &mut Authority<'_>,
    hours: Hours,
    now: UnixTime,
) -> Result<Vec<(&'static str, String)>, ServeError> {
    let all = authority.tenants().len();
    let failed = authority.publish_each(hours, now);
    let (none, mut told) = (failed.len() == all, Vec::new());
    for (tenant, error) in failed {
        if none || ends_all(&error) {
            return Err(error.into());
        }
        told.push(("lists.not_published", format!("tenant `{tenant}`: {error}")));
    }
    if let Err(error) = authority.renew_feed_keys(now) {
        if all == 1 || ends_all(&error) {
            return Err(error.into());
        }
        told.push(("feed.key_not_renewed", error.to_string()));
    }
    Ok(told)
}

/// Whether it is about the records, which are everybody's.
const fn ends_all(error: &AuthorityError) -> bool {
    error.is_loss() || matches!(error, AuthorityError::Store(StoreError::Fenced { .. }))
}

fn listen(address: SocketAddr) -> Result<(SocketAddr, TcpListener), ServeError> {
    let fail = |error| ServeError::Listen { address, error };
    let listener = TcpListener::bind(address).map_err(fail)?;
    // The standard library asks for 128 places to wait at. Everyone comes back at once after a restart, and whoever finds none
    // tries again after a second, then three, then seven.
    rustix::net::listen(&listener, WAITING).map_err(|error| fail(error.into()))?;
    listener.set_nonblocking(true).map_err(fail)?;
    Ok((listener.local_addr().map_err(fail)?, listener))
}

/// Carries out orders until there are no more, and signs the lists anew in time.
fn sequence(service: &Service, authority: &mut Authority<'_>, hours: Hours) -> Result<(), ServeError> {
    let mut wake = Instant::now() + LOOK;
    let mut confirmed = Instant::now();
    let mut unsure = Unsure::default();
    loop {
        if confirmed.elapsed() >= LOOK {
            confirmed = Instant::now();
            match authority.store.confirm() {
                // What this process has in memory, another one has changed since.
                Err(error @ StoreError::Fenced { .. }) => return Err(AuthorityError::from(error).into()),
                Err(error) => {
                    service.note("store.not_confirmed", &error);
                    if unsure.too_long(Instant::now()) {
                        return Err(AuthorityError::from(error).into());
                    }
                }
                Ok(()) => {
                    unsure = Unsure::default();
                    end_if_gone_back(authority.check_orders())?;
                }
            }
        }
        match service.orders.next(wake) {
            Next::Order(order) => {
                // Orders that take power away and wait together share a list.
                authority.begin_group();
                let (mut done, mut next) = (Vec::new(), Some(order));
                while let Some(order) = next {
                    let asking = authority.asking();
                    let deliver = carry_out(order, authority).map_err(|_| ServeError::Fault)?;
                    let asked = (authority.asking() > asking).then(|| authority.tenant().clone());
                    done.push((deliver, asked));
                    next = (done.len() < TOGETHER).then(|| service.orders.urgent()).flatten();
                }
                let unpublished = authority.end_group();
                // Before anybody is told: whoever puts older records in the place of these is found out by that.
                let remembered = authority.remember_orders();
                // INVARIANT: an answer means published, so whoever has it and asks for the list gets that one, and
                // whoever listens has been told.
                service.shown.take_up(authority);
                send_out(service, authority);
                for error in unpublished.values() {
                    service.note("orders.not_published", error);
                }
                if let Err(error) = &remembered {
                    service.note("orders.not_remembered", error);
                }
                for (deliver, asked) in done {
                    // Whoever is dropped is told that it failed, though it is recorded; it is published as soon as possible.
                    if remembered.is_ok() && asked.is_none_or(|tenant| !unpublished.contains_key(&tenant)) {
                        deliver();
                    }
                }
                for came in unpublished.into_values().map(Err).chain([remembered]) {
                    end_if_gone_back(came)?;
                }
                service.hooks.wake.notify_one();
            }
            Next::Parts(parts) => match carry_out_parts(parts, authority, &|error| service.room.heard(error))
                .map_err(|_| ServeError::Fault)?
            {
                Ok(answers) => {
                    service.room.kept();
                    answers.into_iter().for_each(|deliver| deliver());
                    service.hooks.wake.notify_one();
                }
                // Whoever waits is told that it failed when its part is dropped.
                Err(error) => service.note("parts.not_kept", &error),
            },
            Next::Asks(asks) => {
                let (room, now) = (service.room.for_others(), (service.clock)());
                let issued = issue(asks, authority, room, now, &|error| service.room.heard(error))
                    .map_err(|_| ServeError::Fault)?;
                if issued.is_ok() {
                    service.room.kept();
                }
                let remembered = authority.remember_orders();
                match (issued, &remembered) {
                    (Ok(answers), Ok(())) => {
                        answers.into_iter().for_each(|deliver| deliver());
                        service.hooks.wake.notify_one();
                    }
                    // Whoever waits is told that it failed when its answer is dropped.
                    (Err(error), _) => service.note("certificates.not_kept", &error),
                    (_, Err(error)) => service.note("orders.not_remembered", error),
                }
                end_if_gone_back(remembered)?;
            }
            Next::Wake => {
                wake = Instant::now() + LOOK;
                renew(service, authority, hours);
                if let Err(error) = service.repeats.sweep(&mut *authority.store, (service.clock)()) {
                    service.note("requests.not_forgotten", &error);
                }
                if let Err(error) = authority.renew_feed_keys((service.clock)()) {
                    service.note("feed.key_not_renewed", &error);
                }
                send_out(service, authority);
                keep_room(service);
            }
            Next::End => return Ok(()),
        }
    }
}

/// Since when nobody knows whether this node still leads.
#[derive(Default)]
struct Unsure(Option<Instant>);

impl Unsure {
    /// Its records do not answer: whether that has lasted so long that no guard believes this node any more.
    fn too_long(&mut self, now: Instant) -> bool {
        now.saturating_duration_since(*self.0.get_or_insert(now)) > STEP_DOWN
    }
}

/// Ends the service when its records are older than they were: somebody put a backup in their place.
fn end_if_gone_back(checked: Result<(), AuthorityError>) -> Result<(), ServeError> {
    match checked {
        Err(error) if error.is_loss() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Signs the lists of each tenant anew when half of their time is over, so that a night of failures does not end them, and
/// when one could not be published before. What fails for one tenant fails for no other.
fn renew(service: &Service, authority: &mut Authority<'_>, hours: Hours) {
    let now = (service.clock)();
    for tenant in authority.tenants() {
        let due = authority.all_published().get(&tenant).is_none_or(|published| {
            let list = published.list();
            let half = (list.next_update.seconds() - list.this_update.seconds()) / 2;
            now >= list.this_update.plus(half)
        });
        if due || authority.owes_of(&tenant) {
            service.room.for_urgent();
            if let Err(error) = authority.in_name_of(&tenant, |authority| authority.publish(hours, now)) {
                service.note("lists.not_renewed", &format!("tenant `{tenant}`: {error}"));
            }
            service.shown.take_up(authority);
        }
    }
}

/// Takes the reserve back when there is room again.
fn keep_room(service: &Service) {
    if let Err(error) = service.room.keep() {
        service.note("reserve.not_kept", &error);
    }
}

/// Tells the streams what changed.
fn send_out(service: &Service, authority: &mut Authority<'_>) {
    if let Err(error) = service.feeds.refresh(authority) {
        service.note("feed.not_sent", &error);
    }
}

/// Says again and again that nothing changed.
async fn beat(service: Arc<Service>) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // The time comes first: that nothing else was known by then is what a heartbeat says.
        let now = (service.millis)();
        if let Err(refusal) = service.still_leads().await {
            service.note("feed.no_heartbeat", &refusal.text);
            continue;
        }
        if let Err(error) = service.feeds.beat(|| now) {
            service.note("feed.no_heartbeat", &error);
        }
    }
}

/// Keeps the doors until somebody ends the service.
async fn attend(
    doors: Vec<(Door, TcpListener)>,
    service: Arc<Service>,
    tls: Option<Arc<Tls>>,
    stop: watch::Sender<bool>,
) -> io::Result<()> {
    let mut stopped = stop.subscribe();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut kept = tokio::task::JoinSet::new();
    for (door, listener) in doors {
        let app = router(&service, door.plane);
        kept.spawn(Arc::new(door).keep(listener, app, stop.subscribe()));
    }
    let renewing = tls.map(|tls| tokio::spawn(look_at_tls(tls, Arc::clone(&service))));
    tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        // A door that closes by itself failed.
        _ = kept.join_next() => {}
    }
    stop.send_replace(true);
    // Streams have no end of their own that anybody would wait for.
    service.feeds.end();
    service.happenings.end();
    // Orders first: whoever is waiting gets an answer, and then connections close between two requests.
    service.orders.close();
    while kept.join_next().await.is_some() {}
    if let Some(renewing) = renewing {
        renewing.abort();
    }
    Ok(())
}

/// Takes another certificate as soon as its files are there and good.
async fn look_at_tls(tls: Arc<Tls>, service: Arc<Service>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let (looking, now) = (Arc::clone(&tls), (service.clock)());
        let Ok(looked) = tokio::task::spawn_blocking(move || looking.look(now)).await else { continue };
        let line = match looked {
            Ok(None) => continue,
            Ok(Some(ends)) => {
                serde_json::json!({ "at": now.to_string(), "event": "tls.renewed", "ends": ends.to_string() })
            }
            Err(error) => serde_json::json!({
                "at": now.to_string(),
                "event": "tls.not_renewed",
                "cause": error.to_string(),
            }),
        };
        (service.log)(&line.to_string());
    }
}

/// Lets no core of this process be written: keys that are open stand in its memory. For programs that do nothing else
/// than serve.
pub fn without_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Where the system says no there is nothing more to do about it.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// How many connections each of `doors` may have, so that all together leave descriptors for the records: half of
/// what the system allows, after asking it for what it allows at most.
pub(super) fn connections(doors: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(4 * CONNECTIONS as u64);
    if limit.current.is_some_and(|current| current < wanted) {
        // If it says no, fewer connections it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = usize::try_from(allowed / 2).unwrap_or(usize::MAX) / doors.max(1);
    room.clamp(1, CONNECTIONS)
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
    /// A folder that is to be served and holds no log.
    #[error("{what}")]
    Log {
        /// Which one, and what is wrong with it.
        what: String,
    },
    /// Certificate and key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No runtime.
    #[error("cannot start the threads of the service: {0}")]
    Runtime(#[source] io::Error),
    /// No client for webhooks.
    #[error("webhooks cannot be sent: {0}; check --webhook-ca, or the system's certificates")]
    Webhooks(String),
    /// No other judge of texts.
    #[error(transparent)]
    Content(#[from] ContentJudgeError),
    /// A fault of this program.
    #[error(
        "an order ended in a fault of this program; the service stopped, its records are as the last answer said"
    )]
    Fault,
    /// The authority itself.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// Below the 5 s that an item promises: the next one is there when it is due.
const HEARTBEAT: Duration = Duration::from_millis(4_500);
/// As long as a signed word of the feed counts. After that other nodes are asked, and this one stands by when its
/// supervisor has started it again.
const STEP_DOWN: Duration = Duration::from_secs(60);
/// By how much clocks may differ.
const CLOCKS: i64 = 120;
/// How often the sequencer looks whether a list is due.
const LOOK: Duration = Duration::from_secs(1);
/// At each door. One holds at most 32 kB of head and one body.
const CONNECTIONS: usize = 4096;
/// Connections that wait to be taken up; the system has a bound of its own, 4096 as a rule.
const WAITING: i32 = 4096;
/// A house behind one address.
pub(super) const CONNECTIONS_EACH: usize = 256;
const DERIVATIONS: usize = 2;
/// Orders that share a list at most: the first of them waits for the last.
const TOGETHER: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_whose_records_do_not_answer_steps_down_after_a_while_and_not_before() {
        let (mut unsure, start) = (Unsure::default(), Instant::now());
        assert!(!unsure.too_long(start) && !unsure.too_long(start + STEP_DOWN));
        assert!(unsure.too_long(start + STEP_DOWN + LOOK));
        unsure = Unsure::default();
        assert!(!unsure.too_long(start + STEP_DOWN * 2));
    }
}
