//! An authority in memory behind a socket, which answers rightly or as a test tells it.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use kakunin_authority::MemoryAuthority;
use kakunin_authority::feed::{FeedKey, entry};
use kakunin_authority::memory::Enrolled;
use kakunin_authority::standing::{Order, Reason};
use kakunin_client::{Client, ConnectOptions};
use kakunin_core::certificate::AgentCertificate;
use kakunin_core::digest::unhex;
use kakunin_core::guard::{Clock, Guard, SystemClock};
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::request::ActionRequest;
use kakunin_core::revocation::{FeedHead, ListPolicy};
use kakunin_core::scope::DraftScope;
use kakunin_core::time::UnixTime;

pub(crate) fn now() -> UnixTime {
    SystemClock.wall().to_seconds()
}

/// What the authority knows.
pub(crate) struct Books {
    pub(crate) authority: MemoryAuthority,
    pub(crate) key: FeedKey,
    pub(crate) enrolled: Enrolled,
    /// The changes after epoch `before`.
    pub(crate) changes: Vec<String>,
    pub(crate) before: u64,
    pub(crate) head: FeedHead,
    pub(crate) lists: String,
    pub(crate) max_age: u32,
    /// What it does in place of the right thing, by route; `None` again when that was done so often.
    pub(crate) manners: HashMap<String, Manner>,
    /// Every request line.
    pub(crate) asked: Vec<String>,
    /// What every proof says it is over and when it was made.
    pub(crate) proofs: Vec<String>,
}

/// How it answers a route. What is not told here is answered rightly.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Exactly these bytes, and the end of the connection.
    Say(Vec<u8>),
    /// Nothing at all, and the connection stays open.
    Silent,
    /// The right head of a stream, then these bytes, and then nothing.
    Begin(Vec<u8>),
    /// A right stream whose nonce is another.
    OtherNonce,
    /// A right stream without heartbeats after the first, and a comment every few milliseconds.
    Drip,
    /// A right stream, and the first item again and again.
    Repeat,
}

pub(crate) struct Desk {
    pub(crate) books: Arc<Mutex<Books>>,
    pub(crate) url: String,
    address: std::net::SocketAddr,
    /// Streams of an earlier generation end.
    generation: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
    pub(crate) temp: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with_max_age(60)
    }

    pub(crate) fn with_max_age(max_age: u32) -> Self {
        let authority = MemoryAuthority::new(now()).unwrap();
        let scope = DraftScope::parse("actions = [\"pay\"]", &|_| Err(std::io::ErrorKind::NotFound.into()));
        let enrolled = authority.certify("billing", &scope.unwrap(), now(), 7).unwrap();
        let policy = ListPolicy::new(max_age, FeedHead::START).unwrap();
        let books = Books {
            key: authority.feed_key(now()).unwrap(),
            lists: authority.lists_with_feed(now(), 24, policy).unwrap(),
            authority,
            enrolled,
            changes: Vec::new(),
            before: 0,
            head: FeedHead::START,
            max_age,
            manners: HashMap::new(),
            asked: Vec::new(),
            proofs: Vec::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Self {
            books: Arc::new(Mutex::new(books)),
            url: format!("http://{address}"),
            address,
            generation: Arc::default(),
            closed: Arc::default(),
            temp: tempfile::tempdir().unwrap(),
        };
        desk.serve(listener);
        desk
    }

    fn serve(&self, listener: TcpListener) {
        let (books, generation, closed) =
            (Arc::clone(&self.books), Arc::clone(&self.generation), Arc::clone(&self.closed));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (books, generation) = (Arc::clone(&books), Arc::clone(&generation));
                // A connection that breaks is the client's business.
                thread::spawn(move || drop(answer(stream, &books, &generation)));
            }
        });
    }

    /// The service goes away, with all connections.
    pub(crate) fn stop(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.generation.fetch_add(1, Ordering::SeqCst);
        // Wakes whoever accepts, so that the listener is closed.
        drop(TcpStream::connect(self.address));
        while TcpStream::connect(self.address).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// It is back, at the same address.
    pub(crate) fn start(&self) {
        self.closed.store(false, Ordering::SeqCst);
        let started = Instant::now();
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
            }
            thread::sleep(Duration::from_millis(10));
        };
        self.serve(listener);
    }

    /// Ends the connections of now.
    pub(crate) fn hang_up(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on `route` is answered like that.
    pub(crate) fn behave(&self, route: &str, manner: Manner) {
        self.books().manners.insert(route.to_owned(), manner);
    }

    pub(crate) fn behave_well(&self) {
        self.books().manners.clear();
    }

    /// How often `route` was asked for.
    pub(crate) fn asked(&self, route: &str) -> usize {
        let asked = &self.books().asked;
        asked.iter().filter(|line| line.split(['?', ' ']).nth(1) == Some(route)).count()
    }

    pub(crate) fn agent(&self) -> AgentId {
        AgentCertificate::decode(&self.books().enrolled.papers.agent).unwrap().agent()
    }

    /// Writes the agent's directory as `kakunin agent certify --out` does.
    pub(crate) fn directory(&self) -> PathBuf {
        let dir = self.temp.path().join("agent");
        fs::create_dir_all(&dir).unwrap();
        let books = self.books();
        let papers = &books.enrolled.papers;
        let put = |name: &str, label, der: &[u8]| {
            fs::write(dir.join(name), der::pem::encode_string(label, der::pem::LineEnding::LF, der).unwrap())
                .unwrap();
        };
        put("key.pem", "PRIVATE KEY", &books.enrolled.key);
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(dir.join("key.pem"), private).unwrap();
        put("chain.pem", "CERTIFICATE", &papers.chain[0]);
        put("ca.pem", "CERTIFICATE", &papers.roots[0]);
        put("agent.pem", "CERTIFICATE", &papers.agent);
        let settings = format!("lists = \"/nowhere/lists.pem\"\nissuer = \"{}\"\n", papers.issuer.unwrap());
        fs::write(dir.join("agent.toml"), settings).unwrap();
        dir
    }

    pub(crate) fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new(self.agent().to_string());
        options.urls = vec![self.url.clone()];
        options.directory = Some(self.directory());
        options.timeout = PATIENCE;
        options
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.options()).unwrap()
    }

    pub(crate) fn order(&self, order: Order) {
        let serial = AgentCertificate::decode(&self.books().enrolled.papers.agent).unwrap();
        let (agent, serial) = (serial.agent(), serial.decoded().serial());
        self.books().authority.order(agent, order, "drift", now()).unwrap();
        let reason = match order {
            Order::Suspend => Some(Reason::CertificateHold),
            Order::Resume => None,
            _ => Some(Reason::Unspecified),
        };
        self.say(serial, reason);
    }

    /// Changes of certificates that nobody here has.
    pub(crate) fn change(&self, count: u32) {
        for number in 0..count {
            let mut random = [0; 16];
            random[..4].copy_from_slice(&number.to_be_bytes());
            random[8..].copy_from_slice(&self.books().head.epoch().to_be_bytes());
            self.say(SerialNumber::from_random(random), Some(Reason::Unspecified));
        }
    }

    fn say(&self, serial: SerialNumber, reason: Option<Reason>) {
        let mut books = self.books();
        let change =
            books.key.sign_changes(books.head, vec![entry(serial, reason, now())], SystemClock.wall());
        let change = change.unwrap().remove(0);
        books.head = change.head;
        books.changes.push(change.line);
    }

    /// Signs the next lists, which know the whole feed.
    pub(crate) fn publish(&self) {
        let mut books = self.books();
        let policy = ListPolicy::new(books.max_age, books.head).unwrap();
        books.lists = books.authority.lists_with_feed(now(), 24, policy).unwrap();
    }

    /// Forgets all changes that the lists have.
    pub(crate) fn forget(&self) {
        let mut books = self.books();
        books.before = books.head.epoch();
        books.changes.clear();
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        self.generation.fetch_add(1, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

/// The code of the guard's answer: `allow`, or why not. Looks first, so that no answer is of a quarter of a second ago.
pub(crate) fn ask(guard: &Guard) -> &'static str {
    guard.refresh();
    match guard.admit(&ActionRequest::new("pay")) {
        Ok(pass) => pass.begin().map_or("late", |running| {
            running.returned();
            "allow"
        }),
        Err(denied) => denied.code(),
    }
}

/// Waits until `is` is so.
pub(crate) fn until(what: &str, is: impl Fn() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the guard answers `code`.
pub(crate) fn becomes(guard: &Guard, code: &str) {
    let started = Instant::now();
    while ask(guard) != code {
        assert!(started.elapsed() < PATIENCE, "{} instead of {code}", ask(guard));
        thread::sleep(Duration::from_millis(10));
    }
}

fn answer(mut stream: TcpStream, books: &Mutex<Books>, generation: &AtomicUsize) -> std::io::Result<()> {
    let mine = generation.load(Ordering::SeqCst);
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if line.to_ascii_lowercase().starts_with("signature-input:") {
            books.lock().unwrap_or_else(PoisonError::into_inner).proofs.push(line);
        }
    }
    let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let (route, query) = target.split_once('?').unwrap_or((&target, ""));
    let query: HashMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let (manner, lists) = {
        let mut books = books.lock().unwrap_or_else(PoisonError::into_inner);
        books.asked.push(request.trim().to_owned());
        (books.manners.get(route).cloned(), books.lists.clone())
    };
    let live = || generation.load(Ordering::SeqCst) == mine;
    match (route, &manner) {
        (_, Some(Manner::Say(bytes))) => stream.write_all(bytes),
        (_, Some(Manner::Silent)) => {
            while live() {
                thread::sleep(TICK);
            }
            Ok(())
        }
        (_, Some(Manner::Begin(bytes))) => {
            stream.write_all(STREAM.as_bytes())?;
            stream.write_all(bytes)?;
            while live() {
                thread::sleep(TICK);
            }
            Ok(())
        }
        ("/v1/crl/all", _) => stream.write_all(whole("200 OK", "application/x-pem-file", &lists).as_bytes()),
        ("/v1/feed" | "/v1/feed/poll", _) => feed(&mut stream, books, route, &query, manner.as_ref(), &live),
        _ => {
            stream.write_all(whole("404 Not Found", "application/json", "{\"code\":\"missing\"}").as_bytes())
        }
    }
}

fn feed(
    stream: &mut TcpStream,
    books: &Mutex<Books>,
    route: &str,
    query: &HashMap<&str, &str>,
    manner: Option<&Manner>,
    live: &dyn Fn() -> bool,
) -> std::io::Result<()> {
    let open = || books.lock().unwrap_or_else(PoisonError::into_inner);
    let mut since: u64 = query["since"].parse().unwrap();
    let mut nonce: [u8; 16] = unhex(query["nonce"]).unwrap();
    if matches!(manner, Some(Manner::OtherNonce)) {
        nonce[0] ^= 1;
    }
    let (epoch, before) = {
        let books = open();
        (books.head.epoch(), books.before)
    };
    let refuse =
        |status: &str, code: &str| whole(status, "application/json", &format!("{{\"code\":\"{code}\"}}"));
    if since > epoch {
        return stream.write_all(refuse("409 Conflict", "feed.behind").as_bytes());
    }
    if since < before {
        return stream.write_all(refuse("410 Gone", "feed.snapshot").as_bytes());
    }
    let mut text = STREAM.to_owned();
    let first = {
        let books = open();
        let certificate = Base64::encode_string(books.key.certificate().decoded().der());
        text.push_str(&format!("event: certificate\ndata: {certificate}\n\n"));
        let beat = books.key.heartbeat(books.head, Some(nonce), SystemClock.wall()).unwrap();
        item(books.head.epoch(), &beat)
    };
    text.push_str(&first);
    stream.write_all(text.as_bytes())?;
    let begun = Instant::now();
    let wait = query.get("wait").map(|wait| Duration::from_secs(wait.parse().unwrap()));
    let mut beaten = Instant::now();
    while live() {
        let news: Vec<(u64, String)> = {
            let books = open();
            let skip = usize::try_from(since - books.before).unwrap();
            let lines = books.changes.iter().skip(skip).zip(since + 1..);
            lines.map(|(line, epoch)| (epoch, line.clone())).collect()
        };
        for (epoch, line) in &news {
            stream.write_all(item(*epoch, line).as_bytes())?;
            since = *epoch;
        }
        if route.ends_with("/poll") && (!news.is_empty() || wait.is_some_and(|wait| begun.elapsed() >= wait))
        {
            return Ok(());
        }
        match manner {
            Some(Manner::Drip) => stream.write_all(b":\n")?,
            Some(Manner::Repeat) => stream.write_all(first.as_bytes())?,
            _ if beaten.elapsed() >= BEAT && !route.ends_with("/poll") => {
                beaten = Instant::now();
                let beat = {
                    let books = open();
                    // Only what this stream has told.
                    (books.head.epoch() == since)
                        .then(|| books.key.heartbeat(books.head, None, SystemClock.wall()).unwrap())
                };
                if let Some(beat) = beat {
                    stream.write_all(item(since, &beat).as_bytes())?;
                }
            }
            _ => {}
        }
        thread::sleep(TICK);
    }
    Ok(())
}

pub(crate) fn item(epoch: u64, line: &str) -> String {
    format!("event: item\nid: {epoch}\ndata: {line}\n\n")
}

pub(crate) fn whole(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The bytes of the lists in a client's directory.
pub(crate) fn lists_in(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("lists.pem")).unwrap_or_default()
}

pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const TICK: Duration = Duration::from_millis(10);
const BEAT: Duration = Duration::from_millis(200);
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
