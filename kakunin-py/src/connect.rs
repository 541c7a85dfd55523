//! The line to an authority: how to connect comes in, a client and an open agent go out.
//!
//! Everything that waits does so without the interpreter's lock. The client's thread never asks for it: an alarm only raises a
//! flag, and the next guarded call writes it into the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kakunin_client::{Client, ConnectError, ConnectOptions, Token};
use kakunin_core::digest::Digest;
use kakunin_core::guard::GuardOptions;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::agent::{self, Opened, journal_options, parse_mode, state_choice};

/// The native half of what connects a `kakunin.Agent`.
#[pyclass(frozen, module = "kakunin._native")]
pub(crate) struct NativeClient {
    client: Client,
}

#[pymethods]
impl NativeClient {
    /// The agent's directory, absolute.
    #[getter]
    fn directory(&self) -> &Path {
        self.client.directory()
    }

    /// A `kakunin.Status`.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static STATUS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let status = py.detach(|| self.client.status());
        let seconds = |span: Option<Duration>| span.map(|span| span.as_secs_f64());
        let fields = PyDict::new(py);
        fields.set_item("agent_id", status.agent.to_string())?;
        fields.set_item("url", status.url)?;
        fields.set_item("transport", status.transport.map(|transport| transport.word()))?;
        fields.set_item("epoch", status.epoch)?;
        fields.set_item("age", seconds(status.age))?;
        fields.set_item("fresh_for", seconds(status.fresh_for))?;
        fields.set_item("max_age", seconds(status.max_age))?;
        fields.set_item("certificate_until", status.certificate_until.map(|until| until.seconds()))?;
        fields.set_item("lists_until", status.lists_until.map(|until| until.seconds()))?;
        let trouble = status.last_error.map(|trouble| (trouble.at.seconds(), trouble.code, trouble.text));
        fields.set_item("last_error", trouble)?;
        fields.set_item("uploads_behind", status.uploads_behind)?;
        fields.set_item("checkpoints_behind", status.checkpoints_behind)?;
        fields.set_item("acknowledged", status.acknowledged)?;
        fields.set_item("acknowledgements_failed", status.acknowledgements_failed)?;
        fields.set_item("snapshots", status.snapshots)?;
        fields.set_item("connections", status.connections)?;
        STATUS.import(py, "kakunin._status", "of_native")?.call((), Some(&fields))
    }

    /// Code and text of the alarms since the last call.
    fn take_alarms(&self) -> Vec<(&'static str, String)> {
        self.client.take_alarms().into_iter().map(|alarm| (alarm.kind.code(), alarm.text)).collect()
    }

    /// Ends the client's thread.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.client.close());
    }

    /// Prepares for a fork.
    fn before_fork(&self, py: Python<'_>) {
        py.detach(|| self.client.before_fork());
    }

    /// Goes on in the parent of a fork.
    fn after_fork_in_parent(&self, py: Python<'_>) {
        py.detach(|| self.client.after_fork_in_parent());
    }

    /// Goes on in the child of a fork.
    fn after_fork_in_child(&self) {
        self.client.after_fork_in_child();
    }
}

/// Connects an agent and opens it.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the options of a connected agent, called from one place")]
#[pyo3(signature = (urls, agent, *, token, directory, state, ca_file, root, issuer, max_age, without_feed, timeout, mode, levels, sealed))]
pub(crate) fn connect(
    py: Python<'_>,
    urls: Vec<String>,
    agent: String,
    token: Option<&str>,
    directory: PathBuf,
    state: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    root: Option<&str>,
    issuer: Option<&str>,
    max_age: Option<u32>,
    without_feed: bool,
    timeout: f64,
    mode: &str,
    levels: Vec<(String, String)>,
    sealed: Option<bool>,
) -> PyResult<(NativeClient, Opened)> {
    let guarding = GuardOptions {
        state: state_choice(state.clone()),
        mode: parse_mode(mode)?,
        journal: journal_options(&levels, sealed)?,
        ..GuardOptions::default()
    };
    let mut options = ConnectOptions::new(agent);
    options.urls = urls;
    options.token = token.map(Token::parse).transpose().map_err(|error| refused(py, &error))?;
    options.directory = Some(directory);
    // Nowhere is no place: the guard alone is told.
    options.state = state.filter(|state| state.as_os_str() != "memory");
    options.ca_file = ca_file;
    options.root = digest("root", root)?;
    options.issuer = digest("issuer", issuer)?;
    options.max_age = max_age;
    options.without_feed = without_feed;
    let no_time = |_| PyValueError::new_err("`timeout` is no number of seconds");
    options.timeout = Duration::try_from_secs_f64(timeout).map_err(no_time)?;
    options.alarm = Some(Arc::new(|_| ask_to_tell()));
    let connected = py.detach(|| Client::connect(options));
    let client = connected.map_err(|error| refused(py, &error))?;
    match py.detach(|| client.guard_with(guarding)) {
        Ok(guard) => Ok((NativeClient { client }, Opened::of(guard))),
        Err(error) => {
            py.detach(|| drop(client));
            Err(agent::error(py, &error.to_string()))
        }
    }
}

fn digest(name: &str, text: Option<&str>) -> PyResult<Option<Digest>> {
    let none = || PyValueError::new_err(format!("`{name}` is no SHA-256 in lower-case hexadecimal"));
    text.map(|text| Digest::from_hex(text).ok_or_else(none)).transpose()
}

/// `kakunin.ConnectError`.
fn refused(py: Python<'_>, error: &ConnectError) -> PyErr {
    static REFUSED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = REFUSED
        .import(py, "kakunin.errors", "ConnectError")
        .and_then(|class| class.call1((error.to_string(), error.code(), error.fix())));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// Whether something waits to be written into the log.
static WAITING: AtomicBool = AtomicBool::new(false);

/// From any thread: has the next guarded call look for what an operator should hear.
pub(crate) fn ask_to_tell() {
    WAITING.store(true, Ordering::Relaxed);
}

/// Writes what waits into the log `kakunin`. A handler that fails is its own affair; a signal ends the call that is about to be made.
#[inline]
pub(crate) fn tell_what_waits(py: Python<'_>) -> PyResult<()> {
    if WAITING.load(Ordering::Relaxed) { tell(py) } else { Ok(()) }
}

#[cold]
fn tell(py: Python<'_>) -> PyResult<()> {
    static TELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    WAITING.store(false, Ordering::Relaxed);
    TELL.import(py, "kakunin._agent", "tell_what_waits")?.call0().map(drop)
}
