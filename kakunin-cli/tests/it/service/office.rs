//! A service that is running, and how it is started and ended.

use std::fs;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::web::{Reply, Request};
use crate::desk::Desk;

pub(super) struct Office<'a> {
    desk: &'a Desk,
    process: Child,
    /// What the ready file says.
    pub(super) ready: Value,
}

impl<'a> Office<'a> {
    /// Serves the desk's home, which is made if it does not exist.
    pub(super) fn open(desk: &'a Desk) -> Self {
        Self::open_with(desk, &[])
    }

    /// The same with more arguments, of which an address to listen at counts in place of the usual one.
    pub(super) fn open_with(desk: &'a Desk, more: &[&str]) -> Self {
        Self::open_by(desk, Self::command(desk, more))
    }

    /// The command that serves.
    pub(super) fn command(desk: &Desk, more: &[&str]) -> Command {
        let mut arguments = vec!["serve", "--ready-file", "ready.json"];
        if !more.contains(&"--listen") {
            arguments.extend(["--listen", "127.0.0.1:0"]);
        }
        desk.command(&[&arguments, more].concat())
    }

    /// By a command that becomes the service.
    pub(super) fn open_by(desk: &'a Desk, command: Command) -> Self {
        Self::try_open_by(desk, command).unwrap()
    }

    /// The same; what it said if it ended.
    pub(super) fn try_open_by(desk: &'a Desk, mut command: Command) -> Result<Self, String> {
        let file = desk.path("ready.json");
        let _ = fs::remove_file(&file);
        let log = fs::File::create(desk.path("service.log")).unwrap();
        let mut process =
            command.stdout(fs::File::create(desk.path("service.out")).unwrap()).stderr(log).spawn().unwrap();
        let start = Instant::now();
        let ready = loop {
            // The file appears whole, by a rename.
            if let Ok(text) = fs::read_to_string(&file) {
                break serde_json::from_str(&text).unwrap();
            }
            let log = || fs::read_to_string(desk.path("service.log")).unwrap();
            if process.try_wait().unwrap().is_some() {
                return Err(log());
            }
            assert!(start.elapsed() < Duration::from_secs(120), "the service is not ready: {:?}", log());
            thread::sleep(Duration::from_millis(10));
        };
        Ok(Self { desk, process, ready })
    }

    pub(super) fn url(&self) -> &str {
        self.ready.get("url").and_then(Value::as_str).unwrap()
    }

    /// Where it listens for everyone.
    pub(super) fn public_url(&self) -> &str {
        self.ready.get("public_url").and_then(Value::as_str).unwrap()
    }

    /// What the system tells of the process under this name.
    pub(super) fn status(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.process.id())
    }

    /// A file of the desk, as the service sees it.
    pub(super) fn inside(&self, name: &str) -> std::path::PathBuf {
        let root = format!("/proc/{}/root", self.process.id());
        std::path::Path::new(&root).join(self.desk.path(name).strip_prefix("/").unwrap())
    }

    /// A file of the desk.
    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.desk.path(name)
    }

    pub(super) fn get(&self, path: &str) -> Reply {
        self.send(&Request::get(path))
    }

    pub(super) fn send(&self, request: &Request) -> Reply {
        request.send(self.url().strip_prefix("http://").unwrap())
    }

    /// The owner's key, which the first start made.
    pub(super) fn owner(&self) -> &str {
        self.ready.get("owner_key").and_then(Value::as_str).unwrap()
    }

    pub(super) fn get_as_owner(&self, path: &str) -> Reply {
        self.send(&Request::get(path).bearer(self.owner()))
    }

    /// As the owner.
    pub(super) fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(&Request::post(path, body).bearer(self.owner()))
    }

    /// Makes another key.
    pub(super) fn key(&self, order: &Value) -> String {
        let made = self.post("/v1/keys", order).json();
        made.pointer("/data/key").and_then(Value::as_str).unwrap().to_owned()
    }

    /// What it logged so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.desk.path("service.log")).unwrap()
    }

    /// Waits for a line of its log that says all of these: lines are written beside the answers.
    pub(super) fn logs(&self, said: &[&str]) {
        let start = Instant::now();
        while !self.log().lines().any(|line| said.iter().all(|word| line.contains(word))) {
            assert!(start.elapsed() < Duration::from_secs(60), "{said:?} in {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end, and waits until it did.
    pub(super) fn end(mut self) -> Option<i32> {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.process.wait().unwrap().code()
    }

    /// Sends it a signal, such as `STOP`.
    #[cfg(feature = "postgres")]
    pub(super) fn signal(&self, name: &str) {
        let (name, id) = (format!("-{name}"), self.process.id().to_string());
        assert!(Command::new("kill").args([name, id]).status().unwrap().success());
    }

    /// Waits for its end, and says with which code.
    #[cfg(feature = "postgres")]
    pub(super) fn ended(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < Duration::from_secs(60), "it goes on: {:?}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it.
    pub(super) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Office<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Looks again and again until there is something to see.
pub(super) fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{what}: not within two minutes");
        thread::sleep(Duration::from_millis(5));
    }
}
