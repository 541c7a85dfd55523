//! A whole service on this machine, for as long as something is measured at it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use kakunin_authority::api_key::OwnerKey;
use kakunin_authority::authority::{FeedMode, Hours};
use kakunin_authority::http::{Doors, ServeOptions, Server, Strangers, WebhookOptions};
use kakunin_authority::signer::PassphraseSources;
use kakunin_authority::{Authority, Home};
use kakunin_core::time::UnixTime;

use crate::Outcome;

/// The service as its clients see it.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) address: SocketAddr,
    key: String,
}

impl Desk {
    /// A service that is there already, and the key of its owner.
    pub(crate) fn at(address: SocketAddr, key: &str) -> Self {
        Self { address, key: key.to_owned() }
    }

    /// Serves the authority in `home` until `work` ends. Its clock begins at `now`.
    pub(crate) fn open<T: Send>(
        home: &Home,
        now: UnixTime,
        work: impl FnOnce(&Self) -> Outcome<T> + Send,
    ) -> Outcome<T> {
        let own = home.passphrase();
        let sources = PassphraseSources { named: None, own: &own, ask: &|_| Ok(None) };
        let mut authority = Authority::open(home, sources)?;
        let key = authority.make_owner_key(OwnerKey::Another, now)?.ok_or("no key")?.to_text();
        let server = Server::bind(Doors { keyed: "127.0.0.1:0".parse()?, public: None, tls: None }, now)?;
        let desk = Self { address: server.address(), key: key.to_string() };
        let (stop, began) = (server.handle(), Instant::now());
        let options = ServeOptions {
            clock: Arc::new(move || {
                now.to_millis().plus_millis(i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX))
            }),
            hours: Hours::default(),
            strangers: Strangers::default(),
            names: Vec::new(),
            feed: FeedMode::On,
            webhooks: WebhookOptions::default(),
            risk: kakunin_core::risk::RiskPolicy::default(),
            content: None,
            pipelines: None,
            logs: Vec::new(),
            log: Arc::new(|_| ()),
        };
        thread::scope(|scope| {
            let (ready, is_ready) = mpsc::channel::<()>();
            let worker = scope.spawn(move || {
                let done = match is_ready.recv() {
                    Ok(()) => work(&desk).map_err(|error| error.to_string()),
                    Err(_) => Err("the service did not begin".to_owned()),
                };
                stop.stop();
                done
            });
            let served = server.run(&mut authority, options, || {
                // The worker waits for it.
                let _ = ready.send(());
            });
            let done = worker.join().map_err(|_| "the work at the service ended in a fault")?;
            served?;
            Ok(done?)
        })
    }

    /// Sends one request on a connection of its own; gives the body of an answer that is no refusal.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Outcome<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        let Self { address, key } = self;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no answer")?;
        let body = answer.split_off(end + 4);
        if answer.starts_with(b"HTTP/1.1 2") {
            return Ok(body);
        }
        Err(format!("{method} {path}: {}", String::from_utf8_lossy(&[answer, body].concat())).into())
    }

    /// Opens a stream of the feed that is not cut into pieces, with its head read.
    pub(crate) fn listen(&self, query: &str) -> Outcome<std::io::BufReader<TcpStream>> {
        use std::io::BufRead as _;
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /v1/feed?{query} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address)?;
        let mut reader = std::io::BufReader::with_capacity(32 * 1024, stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Err(format!("the stream ended at its head: {head}").into());
            }
        }
        if head.contains(" 200 ") { Ok(reader) } else { Err(format!("no stream: {head}").into()) }
    }
}

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);
