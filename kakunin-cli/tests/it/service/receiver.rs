//! A receiver of webhooks at this machine, in plain HTTP: what it was sent, and what it answers.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) head: String,
    pub(super) body: Value,
    pub(super) bytes: Vec<u8>,
}

impl Heard {
    pub(super) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map_or("", |(_, value)| value)
    }

    pub(super) fn event(&self) -> &str {
        self.body.get("event").and_then(Value::as_str).unwrap()
    }
}

/// What it does with a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Does {
    /// Answers with this status.
    Answer(u16),
    /// Reads it and never answers.
    Hang,
}

pub(super) struct Receiver {
    pub(super) port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    next: Arc<Mutex<VecDeque<Does>>>,
}

impl Receiver {
    /// Answers 200 unless it was told otherwise.
    pub(super) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let receiver = Self { port, heard: Arc::default(), next: Arc::default() };
        let (heard, next) = (Arc::clone(&receiver.heard), Arc::clone(&receiver.next));
        thread::spawn(move || {
            // Kept open: a connection that closes is an answer, too.
            let mut hung = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read(&stream) else { continue };
                heard.lock().unwrap().push(request);
                match next.lock().unwrap().pop_front().unwrap_or(Does::Answer(200)) {
                    Does::Hang => hung.push(stream),
                    Does::Answer(status) => {
                        let body = "no \u{1b}[2J<b>&\"";
                        let length = body.len();
                        let answer =
                            format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\n\r\n{body}");
                        // Whoever sent it may be gone.
                        let _ = stream.write_all(answer.as_bytes());
                    }
                }
            }
        });
        receiver
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// What it does with the next requests.
    pub(super) fn then(&self, does: &[Does]) {
        self.next.lock().unwrap().extend(does);
    }

    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until it heard that many.
    pub(super) fn wait_for(&self, many: usize) -> Vec<Heard> {
        let start = Instant::now();
        loop {
            let heard = self.heard();
            if heard.len() >= many {
                return heard;
            }
            assert!(start.elapsed() < Duration::from_secs(120), "{many} expected: {heard:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn read(stream: &TcpStream) -> Option<Heard> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut bytes = vec![0; length?];
    reader.read_exact(&mut bytes).ok()?;
    Some(Heard { head, body: serde_json::from_slice(&bytes).ok()?, bytes })
}
