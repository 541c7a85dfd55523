//! Clients of the feed, each with a connection and a thread of its own, that come again when the service went away.
//!
//! One that checks has a follower of its own: it verifies every certificate, signature and hash, takes the lists when it is
//! told to, and knows an epoch only when all of that was good. One that takes reads each event to its end and looks at its
//! number: what a service costs when its clients are other machines, without their work being done here.
//! They wait as `kakunin-client` does.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::digest::hex;
use kakunin_core::feed::Follower;
use kakunin_core::time::UnixTime;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::Outcome;
use crate::desk::Desk;

/// What a client does with what it hears.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ear {
    Checks,
    Takes,
}

/// Clients that listen until this is dropped.
pub(crate) struct Crowd {
    heard: mpsc::Receiver<Heard>,
    known: Vec<Option<u64>>,
    common: Arc<Common>,
}

struct Common {
    over: AtomicBool,
    /// The connection of each client, to be ended from here.
    streams: Vec<Mutex<Option<TcpStream>>>,
    connections: AtomicU64,
    /// Of each client, how often it took the lists.
    snapshots: Vec<AtomicU64>,
    /// The processor time of each client's thread, in nanoseconds, when it knew something new the last time.
    processor: Vec<AtomicU64>,
    wall: (UnixTime, Instant),
}

/// A client knows an epoch, or will never know one.
struct Heard {
    client: usize,
    word: Result<(u64, Instant), String>,
}

impl Crowd {
    /// Opens `clients` connections, of which the first `checking` check, and waits for the first signed word of each. `now`
    /// is what their clocks say.
    pub(crate) fn open<'scope>(
        scope: &'scope thread::Scope<'scope, '_>,
        desk: &Desk,
        now: UnixTime,
        clients: usize,
        checking: usize,
    ) -> Outcome<Self> {
        let issuing = issuing(desk)?;
        let lists = desk.ask("GET", "/v1/crl/all", b"")?;
        let base = lists_in(&lists).find_map(|list| Follower::new(&issuing, &list).ok()).ok_or("no list")?;
        let common = Arc::new(Common {
            over: AtomicBool::new(false),
            streams: (0..clients).map(|_| Mutex::new(None)).collect(),
            connections: AtomicU64::new(0),
            snapshots: (0..clients).map(|_| AtomicU64::new(0)).collect(),
            processor: (0..clients).map(|_| AtomicU64::new(0)).collect(),
            wall: (now, Instant::now()),
        });
        let (say, heard) = mpsc::channel();
        for client in 0..clients {
            let ear = if client < checking { Ear::Checks } else { Ear::Takes };
            let (base, common, say) = (base.clone(), Arc::clone(&common), say.clone());
            let desk = desk.clone();
            let builder = thread::Builder::new().stack_size(256 * 1024);
            builder.spawn_scoped(scope, move || {
                let mut listener = Listener { client, ear, desk, follower: base, known: None, common, say };
                if let Err(error) = listener.listen() {
                    let _ = listener.say.send(Heard { client, word: Err(error.to_string()) });
                }
            })?;
        }
        let mut crowd = Self { heard, known: vec![None; clients], common };
        let _ = crowd.until(base.head().epoch())?;
        Ok(crowd)
    }

    /// When each client knew of `epoch`: those that have known it since the last time do not count.
    pub(crate) fn until(&mut self, epoch: u64) -> Outcome<Vec<Instant>> {
        let lacks = |known: &Option<u64>| known.is_none_or(|known| known < epoch);
        let mut missing = self.known.iter().filter(|known| lacks(known)).count();
        let mut times = Vec::with_capacity(missing);
        while missing > 0 {
            let Heard { client, word } = self.heard.recv_timeout(PATIENCE).map_err(|_| {
                format!(
                    "{missing} of {} clients do not know epoch {epoch} after {PATIENCE:?}",
                    self.known.len()
                )
            })?;
            let (knows, at) = word?;
            let Some(known) = self.known.get_mut(client) else { continue };
            if lacks(known) && knows >= epoch {
                times.push(at);
                missing -= 1;
            }
            *known = Some(knows).max(*known);
        }
        Ok(times)
    }

    /// How many connections there were in all, and the most lists that one client took.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let snapshots = self.common.snapshots.iter().map(|count| count.load(Ordering::Relaxed));
        (self.common.connections.load(Ordering::Relaxed), snapshots.max().unwrap_or(0))
    }

    /// The processor time of the first `clients` together, as far as they said something.
    pub(crate) fn processor(&self, clients: usize) -> Duration {
        let each = self.common.processor.iter().take(clients);
        Duration::from_nanos(each.map(|nanos| nanos.load(Ordering::Relaxed)).sum())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.common.over.store(true, Ordering::SeqCst);
        for stream in &self.common.streams {
            if let Some(stream) = stream.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        }
    }
}

struct Listener {
    client: usize,
    ear: Ear,
    desk: Desk,
    follower: Follower,
    /// What was said last.
    known: Option<u64>,
    common: Arc<Common>,
    say: mpsc::Sender<Heard>,
}

/// How a connection ended.
enum Ended {
    /// By going away, or never being there.
    Broken,
    /// The service said to take the lists.
    Snapshot,
}

impl Listener {
    fn listen(&mut self) -> Outcome<()> {
        let mut failures = 0_u32;
        while !self.common.over.load(Ordering::SeqCst) {
            let before = self.known;
            match self.once()? {
                Ended::Snapshot => self.take_lists()?,
                Ended::Broken if self.known > before => {
                    failures = 0;
                    thread::sleep(share_of(PAUSE));
                }
                Ended::Broken => {
                    thread::sleep(share_of(FIRST.saturating_mul(1 << failures.min(8)).min(MOST)));
                    failures += 1;
                }
            }
        }
        Ok(())
    }

    /// One connection.
    fn once(&mut self) -> Outcome<Ended> {
        let nonce = nonce()?;
        let since = match self.ear {
            Ear::Checks => self.follower.head().epoch(),
            Ear::Takes => self.known.unwrap_or_else(|| self.follower.head().epoch()),
        };
        let query = format!("issuer={}&since={since}&nonce={}", self.follower.issuer().to_hex(), hex(&nonce));
        self.follower.begin(nonce, self.mono());
        let reader = match self.desk.listen(&query) {
            Ok(reader) => reader,
            Err(error) if error.to_string().contains(" 410 ") => return Ok(Ended::Snapshot),
            Err(_) => return Ok(Ended::Broken),
        };
        self.common.connections.fetch_add(1, Ordering::Relaxed);
        if let Some(place) = self.common.streams.get(self.client) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader.get_ref().try_clone()?);
        }
        match self.ear {
            Ear::Checks => self.check(reader),
            Ear::Takes => Ok(self.take(reader, since)),
        }
    }

    /// Follows, and says when the first word and each change was taken up.
    fn check(&mut self, mut reader: BufReader<TcpStream>) -> Outcome<Ended> {
        let (mut line, mut kind) = (String::new(), String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return Ok(Ended::Broken);
            }
            // What the end of a service leaves of a line is none.
            let Some(line) = line.strip_suffix('\n') else { return Ok(Ended::Broken) };
            match line.split_once(": ") {
                Some(("event", event)) => event.clone_into(&mut kind),
                Some(("data", data)) if kind == "certificate" => {
                    let der = Base64::decode_vec(data).map_err(|_| "a certificate is no base64")?;
                    self.follower.certify(&der, self.now(), self.mono())?;
                }
                Some(("data", data)) => {
                    let _ = self.follower.take(data, self.mono())?;
                    self.knows(self.follower.head().epoch());
                }
                _ => {}
            }
        }
    }

    /// Takes events, and says when each was there to its end.
    fn take(&mut self, mut reader: BufReader<TcpStream>, since: u64) -> Ended {
        let (mut line, mut epoch, mut is_first) = (Vec::new(), None, true);
        // `event: item`, `id: EPOCH`, `data: …` and an empty line.
        loop {
            line.clear();
            if reader.read_until(b' ', &mut line).unwrap_or(0) == 0 {
                return Ended::Broken;
            }
            match line.trim_ascii() {
                b"id:" => {
                    line.clear();
                    if reader.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
                        return Ended::Broken;
                    }
                    epoch = std::str::from_utf8(&line).ok().and_then(|text| text.trim().parse().ok());
                }
                b"data:" => {
                    if reader.skip_until(b'\n').unwrap_or(0) == 0 {
                        return Ended::Broken;
                    }
                    // The first item names the head, and what it lacks of that comes after.
                    let opens = is_first && epoch.is_some();
                    is_first &= !opens;
                    if let Some(epoch) = epoch.take().filter(|epoch| !opens || *epoch == since) {
                        self.knows(epoch);
                    }
                }
                _ => {
                    if reader.skip_until(b'\n').unwrap_or(0) == 0 {
                        return Ended::Broken;
                    }
                }
            }
        }
    }

    fn knows(&mut self, epoch: u64) {
        if self.known.is_none_or(|known| known < epoch) {
            self.known = Some(epoch);
            if let Some(processor) = self.common.processor.get(self.client) {
                let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
                let nanos = spent.tv_sec.saturating_mul(1_000_000_000).saturating_add(spent.tv_nsec);
                processor.store(u64::try_from(nanos).unwrap_or(0), Ordering::Relaxed);
            }
            let _ = self.say.send(Heard { client: self.client, word: Ok((epoch, Instant::now())) });
        }
    }

    fn take_lists(&mut self) -> Outcome<()> {
        let lists = self.desk.ask("GET", "/v1/crl/all", b"")?;
        if let Some(count) = self.common.snapshots.get(self.client) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if !lists_in(&lists).any(|list| self.follower.rebase(&list).is_ok()) {
            return Err("the lists do not go on from those at hand".into());
        }
        self.knows(self.follower.head().epoch());
        Ok(())
    }

    fn now(&self) -> UnixTime {
        let (wall, began) = self.common.wall;
        wall.plus(i64::try_from(began.elapsed().as_secs()).unwrap_or(0))
    }

    fn mono(&self) -> i64 {
        i64::try_from(self.common.wall.1.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// The issuing authority of the service.
fn issuing(desk: &Desk) -> Outcome<CaCertificate> {
    let chain = desk.ask("GET", "/v1/ca/chain", b"")?;
    let chain: serde_json::Value = serde_json::from_slice(&chain)?;
    let chain = chain.pointer("/data/chain_pem").and_then(|pem| pem.as_str()).ok_or("no chain")?;
    let issuing = CertificateDer::pem_slice_iter(chain.as_bytes()).next().ok_or("no issuer")?;
    Ok(CaCertificate::decode(&issuing.map_err(|_| "the chain is no PEM")?, CaRole::Issuing)?)
}

fn lists_in(pem: &[u8]) -> impl Iterator<Item = CertificateRevocationListDer<'static>> {
    CertificateRevocationListDer::pem_slice_iter(pem).flatten()
}

fn nonce() -> Outcome<[u8; 16]> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "no randomness")?;
    Ok(bytes)
}

fn share_of(span: Duration) -> Duration {
    let drawn = nonce().map_or(u32::MAX, |[a, b, c, d, ..]| u32::from_le_bytes([a, b, c, d]));
    span.mul_f64(f64::from(drawn) / f64::from(u32::MAX))
}

// As kakunin-client waits: src/wait.rs and src/follow.rs.
const FIRST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(120);
