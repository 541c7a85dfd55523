//! A home in a temporary directory and the binary to work on it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Desk(TempDir);

impl Desk {
    /// An empty folder with a scope file.
    pub(crate) fn empty() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        fs::write(desk.path("scope.toml"), SCOPE).unwrap();
        desk
    }

    /// A home with the agent `billing` in `agents/billing`.
    pub(crate) fn with_billing() -> Self {
        let desk = Self::empty();
        desk.yes(&["init"]);
        desk.yes(&["agent", "create", "billing", "--scope", "scope.toml", "--out", "agents/billing"]);
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kakunin"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        for name in ["KAKUNIN_HOME", "KAKUNIN_PASSPHRASE", "CREDENTIALS_DIRECTORY"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must say yes, and reads its JSON.
    pub(crate) fn yes(&self, arguments: &[&str]) -> Value {
        self.answer(arguments, 0)
    }

    /// Runs a command that must end with `code`, and reads its JSON.
    pub(crate) fn answer(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
        serde_json::from_str(out.lines().next().unwrap_or("null")).unwrap()
    }
}

pub(crate) fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

const SCOPE: &str = r#"
actions = ["read:*", "payments:send"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
per_day = "20000.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme", "globex"]
"#;
