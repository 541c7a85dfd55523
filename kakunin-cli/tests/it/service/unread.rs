//! A service whose log nobody reads.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::office::Office;
use super::web::Request;
use crate::desk::Desk;

/// A pipe has 64 kB; whoever stopped reading it would stop every thread that says something.
#[test]
fn a_service_whose_log_nobody_reads_goes_on() {
    let desk = Desk::with_billing();
    let mut command = Office::command(&desk, &[]);
    let mut service = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    let ready: Value = loop {
        if let Ok(text) = fs::read_to_string(desk.path("ready.json")) {
            break serde_json::from_str(&text).unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "the service is not ready");
        thread::sleep(Duration::from_millis(10));
    };
    let url = ready["url"].as_str().unwrap().strip_prefix("http://").unwrap();
    // Each is a line of some two hundred octets.
    for number in 0..600 {
        let reply = Request::get("/v1/verify/00").send(url);
        assert!(reply.status < 500, "{number}: {}", reply.text());
    }
    service.kill().unwrap();
    let mut log = Vec::new();
    std::io::Read::read_to_end(&mut service.stderr.take().unwrap(), &mut log).unwrap();
    service.wait().unwrap();
    // What is left in the pipe is what it holds: the writer waits before it.
    assert!(log.len() > 56 * 1024, "the pipe never was full: {}", log.len());
}
