//! One address that is listened at: who comes in, how many at once, and for how long.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::pace::{Arriving, Leaving, Pace, Paced, Slow};
use super::peer::{Origin, Peer, Proxies};
use super::shares::{Share, Shares};
use super::tls::{ClientChain, Tls};

/// Which routes there are behind a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plane {
    /// All of them.
    Keyed,
    /// Those for everyone. No key is looked at.
    Public,
}

impl Plane {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Keyed => "keyed",
            Self::Public => "public",
        }
    }
}

/// A door, with what was counted at it.
pub(crate) struct Door {
    pub(crate) plane: Plane,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) places: Connections,
    pub(crate) counts: Arc<Counts>,
}

/// What happened at a door so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connections: AtomicU64,
    pub(crate) turned_away: AtomicU64,
    pub(crate) handshakes_failed: AtomicU64,
}

impl Door {
    /// Lets clients in until it is told to stop, and then waits for those inside.
    pub(crate) async fn keep(
        self: Arc<Self>,
        listener: TcpListener,
        app: axum::Router,
        mut stopped: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let open = GracefulShutdown::new();
        loop {
            let (room, stream, socket) = tokio::select! {
                next = arrival(&listener, &self.places.room) => next,
                _ = stopped.wait_for(|stop| *stop) => break,
            };
            let exempt = self.proxies.trust(socket.ip());
            let Some(place) = self.places.take(socket, exempt, room) else {
                // Without a word: words cost, and whoever has that many connections knows why.
                self.counts.turned_away.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            self.counts.connections.fetch_add(1, Ordering::Relaxed);
            let _ = stream.set_nodelay(true);
            let (door, app, watcher) = (Arc::clone(&self), app.clone(), open.watcher());
            tokio::spawn(async move {
                door.receive(stream, socket, app, watcher).await;
                drop(place);
            });
        }
        drop(listener);
        let _ = tokio::time::timeout(GRACE, open.shutdown()).await;
        Ok(())
    }

    async fn receive(&self, stream: TcpStream, socket: SocketAddr, app: axum::Router, watcher: Watcher) {
        let Some(tls) = &self.tls else {
            return self.serve(stream, socket, None, app, watcher).await;
        };
        let config = match self.plane {
            Plane::Keyed => tls.keyed(),
            Plane::Public => tls.public(),
        };
        match tokio::time::timeout(HANDSHAKE_TIME, shake(config, stream)).await {
            Ok(Ok(stream)) => {
                let chain = stream.get_ref().1.peer_certificates().and_then(ClientChain::new);
                self.serve(stream, socket, chain, app, watcher).await;
            }
            Ok(Err(_)) | Err(_) => {
                self.counts.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        socket: SocketAddr,
        chain: Option<ClientChain>,
        app: axum::Router,
        watcher: Watcher,
    ) {
        let (pace, began) = (Pace::new(), Instant::now());
        let (proxies, timing) = (Arc::clone(&self.proxies), Arc::clone(&pace));
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            timing.begin();
            let slow = Slow::default();
            let mut request = request.map(|body| axum::body::Body::new(Arriving::new(body, slow.clone())));
            let peer = Peer::new(socket, request.headers(), &proxies);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(slow);
            if let Some(chain) = &chain {
                request.extensions_mut().insert(chain.clone());
            }
            let (app, pace) = (app.clone(), Arc::clone(&timing));
            async move {
                let mut response = answer(app, request).await;
                if began.elapsed() > AGE {
                    // Balancers spread connections, not requests: none lives for ever.
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| Leaving::new(body, pace)))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // The stream itself keeps the time, of this and of everything else.
            .header_read_timeout(None)
            .max_buf_size(HEADER_ROOM)
            .serve_connection(TokioIo::new(Paced::new(stream, pace)), answer);
        // A connection that breaks is the client's business.
        let _ = watcher.watch(connection).await;
    }
}

/// A handshake, or a word to whoever speaks plain HTTP to this door.
async fn shake(
    config: Arc<rustls::ServerConfig>,
    mut stream: TcpStream,
) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first.iter().all(u8::is_ascii_uppercase) {
        // What was sent is taken off the line, or the system would throw the answer away with it.
        let _ = stream.try_read(&mut [0; HEADER_ROOM]);
        stream.write_all(plain().as_bytes()).await?;
        stream.shutdown().await?;
        return Err(io::ErrorKind::InvalidData.into());
    }
    TlsAcceptor::from(config).accept(stream).await
}

fn plain() -> String {
    let text = "this port speaks TLS; use https, and replace the key if one was sent just now";
    let body = serde_json::json!({ "error": text, "code": "tls.plain" }).to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// A connection with its place. The place comes first: when all are taken, new connections wait in the kernel's queue
/// and not in our memory.
async fn arrival(
    listener: &tokio::net::TcpListener,
    room: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, TcpStream, SocketAddr) {
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

/// Room for connections, and how much of it each origin may take.
pub(crate) struct Connections {
    room: Arc<Semaphore>,
    each: Each,
    held: Shares<Origin>,
}

/// How many connections one origin may have; a network around it may have as many times as much as [`Origin::networks`]
/// says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Each {
    /// As many, this machine itself included.
    Everyone(usize),
    /// As many, this machine itself not counted.
    Others(usize),
}

/// A place that is free again when this is dropped.
struct Place {
    _room: Option<OwnedSemaphorePermit>,
    _held: Option<Share<Origin>>,
}

impl Connections {
    pub(crate) fn new(room: usize, each: Each) -> Self {
        Self { room: Arc::new(Semaphore::new(room)), each, held: Shares::default() }
    }

    fn take(&self, socket: SocketAddr, exempt: bool, room: Option<OwnedSemaphorePermit>) -> Option<Place> {
        let most = match self.each {
            Each::Everyone(most) => Some(most),
            Each::Others(most) => Some(most).filter(|_| !socket.ip().to_canonical().is_loopback()),
        };
        let Some(most) = most.filter(|_| !exempt) else {
            return Some(Place { _room: room, _held: None });
        };
        let networks = Origin::of(socket.ip()).networks();
        let held =
            self.held.take(networks.map(|(origin, times)| (origin, most.saturating_mul(times as usize))))?;
        Some(Place { _room: room, _held: Some(held) })
    }
}

/// From the first octet of a connection to the end of its handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Above the 8 kB that proxies allow for one field.
const HEADER_ROOM: usize = 32 * 1024;
const AGE: Duration = Duration::from_secs(3600);
const GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_takes_so_many_places_and_a_trusted_proxy_as_many_as_there_are() {
        let places = Connections::new(9, Each::Others(2));
        let take = |from: &str, exempt| places.take(from.parse().unwrap(), exempt, None);
        let (one, two) = (take("203.0.113.1:1", false), take("203.0.113.1:2", false));
        assert!(one.is_some() && two.is_some());
        assert!(take("203.0.113.1:3", false).is_none());
        assert!(take("203.0.113.2:3", false).is_some());
        assert!(take("203.0.113.1:3", true).is_some());
        drop(one);
        let again = take("203.0.113.1:4", false);
        assert!(again.is_some() && take("203.0.113.1:5", false).is_none());
        let local: Vec<_> = (0..5).map(|_| take("127.0.0.1:1", false)).collect();
        assert!(local.iter().all(Option::is_some));
        drop((two, again));
        assert!(places.held.are_free());
        let strict = Connections::new(9, Each::Everyone(1));
        let local = strict.take("127.0.0.1:1".parse().unwrap(), false, None);
        assert!(local.is_some() && strict.take("127.0.0.1:2".parse().unwrap(), false, None).is_none());
    }
    #[test]
    fn whoever_has_a_network_of_many_networks_takes_no_more_than_a_few_of_them() {
        let places = Connections::new(1000, Each::Others(2));
        let take = |from: String| places.take(from.parse().unwrap(), false, None);
        // Every connection from a network of its own: of one /56, then of one /48.
        let near: Vec<_> = (0..20).filter_map(|n| take(format!("[2001:db8:1:{n:x}::1]:1"))).collect();
        assert_eq!(near.len(), 4);
        let far: Vec<_> = (1..20).filter_map(|n| take(format!("[2001:db8:1:{n:x}00::1]:1"))).collect();
        assert_eq!(near.len() + far.len(), 8);
        assert!(take("[2001:db8:2:1::1]:1".into()).is_some(), "another customer has his own");
        drop((near, far));
        assert!(places.held.are_free());
    }
}
