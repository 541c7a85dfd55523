//! The real service of an authority, in this process, in a temporary home.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use kakunin_authority::api_key::OwnerKey;
use kakunin_authority::authority::{AnyAction, Certify, Comeback, Days, FeedMode, Hours, OldIssuing};
use kakunin_authority::http::{Doors, ServeOptions, Server, Stop, Strangers, TlsFiles, WebhookOptions};
use kakunin_authority::signer::PassphraseSources;
use kakunin_authority::store::ReceiptFilter;
use kakunin_authority::{AgentName, Authority, Home, Who};
use kakunin_client::{Client, ConnectOptions};
use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::id::AgentId;
use kakunin_core::scope::DraftScope;
use kakunin_core::time::UnixMillis;
use tempfile::TempDir;

use crate::desk::{PATIENCE, now};

pub(crate) struct Office {
    pub(crate) folder: TempDir,
    pub(crate) agent: AgentId,
    pub(crate) key: String,
    address: SocketAddr,
    tls: Option<TlsFiles>,
    running: Option<(Stop, JoinHandle<()>)>,
    /// By how many seconds its clock is wrong.
    pub(crate) shift: Arc<AtomicI64>,
}

impl Office {
    /// A home with the agent `billing` in the directory `agent`, whose certificate was made `age` seconds ago for a day.
    pub(crate) fn new(age: i64) -> Self {
        Self::with(age, None)
    }

    pub(crate) fn with(age: i64, tls: Option<TlsFiles>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let passphrase = folder.path().join("passphrase");
        fs::write(&passphrase, "correct horse\n").unwrap();
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        let begin = now().plus(-age);
        let _ = Authority::init(&home(folder.path()), sources(&passphrase), begin, Hours::default()).unwrap();
        let (agent, key) = {
            let home = home(folder.path());
            let mut authority = Authority::open(&home, sources(&passphrase)).unwrap();
            let scope =
                DraftScope::parse("actions = [\"pay\"]", &|_| Err(std::io::ErrorKind::NotFound.into()));
            let name = AgentName::parse("billing").unwrap();
            let agent = authority.create(&name, &scope.unwrap(), AnyAction::Refuse, begin).unwrap().id;
            let directory = &folder.path().join("agent");
            let order = Certify {
                directory,
                days: Days::DAY,
                request: None,
                comeback: Comeback::Refuse,
                any: AnyAction::Refuse,
            };
            let _ = authority.certify(&Who::Id(agent), &order, Hours::default(), begin).unwrap();
            let key = authority.make_owner_key(OwnerKey::IfNone, now()).unwrap().unwrap();
            (agent, key.to_text().to_string())
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut office = Self { folder, agent, key, address: any, tls, running: None, shift: Arc::default() };
        office.start();
        office
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    /// Serves, at the address of before if there was one.
    pub(crate) fn start(&mut self) {
        let doors = Doors { keyed: self.address, public: None, tls: self.tls.clone() };
        let started = std::time::Instant::now();
        let server = loop {
            match Server::bind(doors.clone(), now()) {
                Ok(server) => break server,
                Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        (self.address, self.running) = (server.address(), None);
        let (stop, place) = (server.handle(), self.folder.path().to_owned());
        let shift = Arc::clone(&self.shift);
        let (tell, ready) = mpsc::channel();
        let handle = std::thread::spawn(move || {
            let (home, passphrase) = (home(&place), place.join("passphrase"));
            let mut authority = Authority::open(&home, sources(&passphrase)).unwrap();
            let options = ServeOptions {
                clock: Arc::new(move || {
                    let right = SystemClock.wall().millis();
                    UnixMillis::from_millis(right + 1000 * shift.load(Ordering::SeqCst))
                }),
                hours: Hours::default(),
                strangers: Strangers::default(),
                names: Vec::new(),
                feed: FeedMode::On,
                webhooks: WebhookOptions::default(),
                risk: kakunin_core::risk::RiskPolicy::default(),
                content: None,
                pipelines: None,
                log: Arc::new(|_| {}),
                logs: Vec::new(),
            };
            server.run(&mut authority, options, || tell.send(()).unwrap()).unwrap();
        });
        ready.recv_timeout(PATIENCE).unwrap();
        self.running = Some((stop, handle));
    }

    pub(crate) fn stop(&mut self) {
        if let Some((stop, handle)) = self.running.take() {
            stop.stop();
            handle.join().unwrap();
        }
    }

    /// The next issuing authority takes over; the old one stays good.
    pub(crate) fn rotate(&mut self) {
        self.stop();
        let (home, passphrase) = (home(self.folder.path()), self.folder.path().join("passphrase"));
        let mut authority = Authority::open(&home, sources(&passphrase)).unwrap();
        let _ = authority.rotate(OldIssuing::Keep, Hours::default(), now()).unwrap();
        drop(authority);
        self.start();
    }

    /// The lines of receipts that the authority keeps, in order; it does not serve meanwhile.
    pub(crate) fn receipts(&mut self) -> Vec<String> {
        self.stop();
        let (home, passphrase) = (home(self.folder.path()), self.folder.path().join("passphrase"));
        let authority = Authority::open(&home, sources(&passphrase)).unwrap();
        let agent = authority.find(&Who::Id(self.agent)).unwrap();
        let mut lines = Vec::new();
        let all = ReceiptFilter::default();
        for stream in authority.records().receipt_streams(&agent.tenant, agent.id, &all).unwrap() {
            let kept = authority.records().stream_receipts(&agent.tenant, agent.id, stream, None, 100_000);
            lines.extend(kept.unwrap().into_iter().map(|receipt| receipt.line));
        }
        drop(authority);
        self.start();
        lines
    }

    /// Lets the owner post; the status and the body.
    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, serde_json::Value) {
        self.ask("POST", path, body)
    }

    /// Up to which change the authority believes the agent to enforce its feed.
    pub(crate) fn epoch_seen(&self) -> Option<u64> {
        let (status, agent) = self.ask("GET", &format!("/v1/agents/{}", self.agent), "");
        assert_eq!(status, 200, "{agent}");
        agent["data"]["epoch_seen"].as_u64()
    }

    /// A text, for anyone.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let (key, length) = (&self.key, body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}",
            self.address
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
    }

    pub(crate) fn order(&self, order: &str) {
        let (status, answer) =
            self.post(&format!("/v1/agents/{}/{order}", self.agent), "{\"reason\":\"drift\"}");
        assert_eq!(status, 200, "{answer}");
    }

    pub(crate) fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new(self.agent.to_string());
        options.urls = vec![self.url()];
        options.directory = Some(self.directory());
        options.timeout = PATIENCE;
        options
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.options()).unwrap()
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        if let Some((stop, _)) = self.running.take() {
            stop.stop();
        }
    }
}

fn home(folder: &Path) -> Home {
    Home::at(&folder.join("home"))
}

fn sources(passphrase: &Path) -> PassphraseSources<'_> {
    PassphraseSources { named: Some(passphrase), own: Path::new("/nonexistent"), ask: &|_| Ok(None) }
}

pub(crate) const HOUR: i64 = 3_600;
