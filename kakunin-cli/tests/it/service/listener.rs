//! A client of the feed, as small as one can be: a socket, the lines of a stream, and the core's follower.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::feed::{Follower, Progress};
use kakunin_core::id::SerialNumber;
use kakunin_core::revocation::Standing;
use kakunin_core::time::UnixTime;
use serde_json::Value;

use super::office::Office;
use super::web::Request;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) id: Option<u64>,
    pub(super) data: String,
}

impl Event {
    /// The certificate that it shows.
    pub(super) fn der(&self) -> Vec<u8> {
        let pem = format!("-----BEGIN X-----\n{}\n-----END X-----\n", wrapped(&self.data));
        der::pem::decode_vec(pem.as_bytes()).unwrap().1
    }
}

/// A stream of events that is open.
pub(super) struct Listener {
    reader: BufReader<Chunks>,
    seen: Vec<Event>,
}

impl Listener {
    pub(super) fn open(office: &Office<'_>, path: &str) -> Self {
        Self::connect(office.url().strip_prefix("http://").unwrap(), path)
    }

    pub(super) fn connect(address: &str, path: &str) -> Self {
        Self::try_connect(address, path).unwrap()
    }

    /// `None` if there is no answer.
    pub(super) fn try_connect(address: &str, path: &str) -> Option<Self> {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").ok()?;
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
        Some(Self { reader: BufReader::new(Chunks { reader, left: 0, ended: false }), seen: Vec::new() })
    }

    /// Waits for so many more events.
    pub(super) fn take(&mut self, many: usize) -> Vec<Event> {
        let events: Vec<Event> = (0..many).map(|_| self.next().unwrap()).collect();
        self.seen.extend(events.iter().cloned());
        events
    }

    /// Everything until it ends.
    pub(super) fn rest(&mut self) -> Vec<Event> {
        while let Some(event) = self.next() {
            self.seen.push(event);
        }
        self.seen.clone()
    }

    pub(super) fn seen(&self) -> &[Event] {
        &self.seen
    }

    fn next(&mut self) -> Option<Event> {
        let mut event = Event { name: String::new(), id: None, data: String::new() };
        loop {
            let mut line = String::new();
            // A connection that breaks is an end, and half a line is none.
            if self.reader.read_line(&mut line).is_err() || !line.ends_with('\n') {
                return None;
            }
            match line.trim_end_matches('\n').split_once(": ") {
                None => return Some(event),
                Some(("event", name)) => event.name = name.into(),
                Some(("id", id)) => event.id = Some(id.parse().unwrap()),
                Some(("data", data)) => event.data = data.into(),
                Some(other) => assert_eq!(other, ("event", ""), "no such field is sent"),
            }
        }
    }
}

/// A chunked body.
struct Chunks {
    reader: BufReader<TcpStream>,
    left: usize,
    ended: bool,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 && !self.ended {
            let mut line = String::new();
            // A connection that is closed is an end, too.
            if self.reader.read_line(&mut line)? == 0 {
                self.ended = true;
            } else if line.trim_end().is_empty() {
                return self.read(buffer);
            } else {
                // What is cut is an end.
                self.left = usize::from_str_radix(line.trim_end(), 16).unwrap_or(0);
                self.ended = self.left == 0 || !line.ends_with('\n');
            }
        }
        if self.ended {
            return Ok(0);
        }
        let most = buffer.len().min(self.left);
        let read = self.reader.by_ref().take(u64::try_from(most).unwrap()).read(buffer)?;
        self.left -= read;
        Ok(read)
    }
}

/// A follower of the feed of one agent's issuing authority.
pub(super) struct Watcher {
    follower: Follower,
    started: Instant,
    begun: bool,
    last: Option<Progress>,
    nonce: [u8; 16],
}

impl Watcher {
    /// Begins with the list that the service has now; gives the serial number of the agent's newest certificate, too.
    pub(super) fn of(office: &Office<'_>, agent: &str) -> (Self, SerialNumber) {
        Self::as_of(office, agent, office.owner(), "")
    }

    /// The same by another key, with the lists of whom `whose` names.
    pub(super) fn as_of(office: &Office<'_>, agent: &str, key: &str, whose: &str) -> (Self, SerialNumber) {
        let known = office.send(&Request::get(&format!("/v1/agents/{agent}")).bearer(key)).json();
        let serial = known.pointer("/data/certificates/0/serial_number").and_then(Value::as_str);
        let serial = serial.unwrap().to_lowercase();
        let serial = SerialNumber::parse(&serial).unwrap();
        let directory = office.path(&format!("agents/{agent}/chain.pem"));
        let chain = std::fs::read(directory).unwrap();
        let issuing = CaCertificate::decode(ders(&chain).first().unwrap(), CaRole::Issuing).unwrap();
        let lists = ders(&office.get(&format!("/v1/crl/all{whose}")).body);
        let mut followers = lists.iter().filter_map(|list| Follower::new(&issuing, list).ok());
        let follower = followers.next().unwrap();
        let nonce = [7; 16];
        (Self { follower, started: Instant::now(), begun: false, last: None, nonce }, serial)
    }

    pub(super) fn issuer(&self) -> String {
        self.follower.issuer().to_hex()
    }

    /// The request for what follows on an epoch; the connection is asked for now.
    pub(super) fn question(&self, path: &str, since: u64) -> String {
        let nonce: String = self.nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{path}?issuer={}&since={since}&nonce={nonce}", self.issuer())
    }

    /// Takes up the events of a connection, from its first one on.
    pub(super) fn take_up(&mut self, events: &[Event]) {
        self.follower.begin(self.nonce, 0);
        events.iter().for_each(|event| self.hear(event));
        self.begun = true;
    }

    fn hear(&mut self, event: &Event) {
        let mono = i64::try_from(self.started.elapsed().as_millis()).unwrap();
        match event.name.as_str() {
            "certificate" => self.follower.certify(&event.der(), now(), mono).unwrap(),
            "item" => {
                self.last = Some(self.follower.take(&event.data, mono).unwrap());
                assert!(event.id.is_some());
            }
            other => assert_eq!(other, "item", "no such event is sent"),
        }
    }

    /// Goes on by another connection.
    #[cfg(feature = "postgres")]
    pub(super) fn again(&mut self) {
        self.begun = false;
        self.nonce = [8; 16];
    }

    /// Listens until the epoch is known.
    pub(super) fn listen(&mut self, listener: &mut Listener, epoch: u64) {
        if !self.begun {
            listener.take(2);
            self.take_up(listener.seen());
        }
        while self.follower.head().epoch() < epoch {
            listener.take(1);
            let event = listener.seen().last().unwrap().clone();
            self.hear(&event);
        }
    }

    pub(super) fn last(&self) -> Option<Progress> {
        self.last
    }

    pub(super) fn epoch(&self) -> u64 {
        self.follower.head().epoch()
    }

    pub(super) fn standing(&self, serial: &SerialNumber) -> Standing {
        self.follower.standing(serial)
    }
}

fn wrapped(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(64).map(|line| line.iter().collect::<String>()).collect::<Vec<_>>().join("\n")
}

/// The PEM blocks of a file.
pub(super) fn ders(text: &[u8]) -> Vec<Vec<u8>> {
    let text = std::str::from_utf8(text).unwrap();
    let mut ders = Vec::new();
    let mut block = String::new();
    for line in text.split_inclusive('\n') {
        block.push_str(line);
        if line.starts_with("-----END") {
            ders.push(der::pem::decode_vec(block.as_bytes()).unwrap().1);
            block.clear();
        }
    }
    ders
}

fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixTime::from_seconds(i64::try_from(since.as_secs()).unwrap())
}
