//! An open agent.

use std::path::PathBuf;
use std::sync::Arc;

use kakunin_core::digest::Digest;
use kakunin_core::guard::{Guard, GuardOptions, MemorySource, StateChoice};
use kakunin_core::home::{AgentHome, Papers};
use kakunin_core::journal::{JournalOptions, Sealing};
use kakunin_core::level::Levels;
use kakunin_core::receipt::Mode;
use kakunin_core::scope::{NameList, NameLists};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::testing::ManualClock;

/// A guard on its way into an agent.
#[pyclass(frozen, module = "kakunin._native")]
pub(crate) struct Opened {
    guard: Guard,
    memory: Option<Arc<MemorySource>>,
}

impl Opened {
    /// One that reads its directory.
    pub(crate) const fn of(guard: Guard) -> Self {
        Self { guard, memory: None }
    }
}

/// The native half of `kakunin.Agent`.
#[pyclass(frozen, subclass, module = "kakunin._native")]
pub(crate) struct NativeAgent {
    guard: Guard,
    memory: Option<Arc<MemorySource>>,
}

impl NativeAgent {
    #[inline]
    pub(crate) const fn guard(&self) -> &Guard {
        &self.guard
    }
}

#[pymethods]
impl NativeAgent {
    #[new]
    fn new(opened: &Opened) -> Self {
        Self { guard: opened.guard.clone(), memory: opened.memory.clone() }
    }

    /// The agent's id.
    #[getter]
    fn agent_id(&self) -> String {
        self.guard.agent().to_string()
    }

    /// `enforce` or `observe`.
    #[getter]
    fn mode(&self) -> &'static str {
        match self.guard.mode() {
            Mode::Observe => "observe",
            _ => "enforce",
        }
    }

    /// Whether some request for the action can ever be allowed.
    fn may_ever(&self, py: Python<'_>, action: &str) -> bool {
        py.detach(|| {
            self.guard.refresh();
            self.guard.may_ever(action)
        })
    }

    /// Looks at clocks, papers and lists now instead of within 250 ms. False if it could not: another look, or a fork, was in
    /// the way for 100 ms.
    fn refresh(&self, py: Python<'_>) -> bool {
        py.detach(|| self.guard.refresh())
    }

    /// What happened since the last call and an operator should know.
    fn take_notices(&self) -> Vec<String> {
        self.guard.take_notices()
    }

    /// Brings newer lists to an agent that was opened from texts.
    fn replace_lists(&self, py: Python<'_>, lists: &str) -> PyResult<()> {
        let memory =
            self.memory.as_ref().ok_or_else(|| error(py, "this agent reads its lists from a file"))?;
        memory.publish(lists.as_bytes().to_vec());
        py.detach(|| self.guard.refresh());
        Ok(())
    }

    /// Signs what waits, ends the stream of receipts and joins all threads.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.guard.close());
    }

    /// Prepares for a fork.
    fn before_fork(&self, py: Python<'_>) {
        py.detach(|| self.guard.before_fork());
    }

    /// Goes on in the parent of a fork.
    fn after_fork_in_parent(&self, py: Python<'_>) {
        py.detach(|| self.guard.after_fork_in_parent());
    }

    /// Goes on in the child of a fork.
    fn after_fork_in_child(&self) {
        self.guard.after_fork_in_child();
    }
}

/// Opens an agent's directory.
#[pyfunction]
#[pyo3(signature = (directory, *, lists=None, state=None, mode="enforce", levels=None, sealed=None, clock=None))]
#[expect(clippy::too_many_arguments, reason = "the options of an agent, called from one place")]
pub(crate) fn open_directory(
    py: Python<'_>,
    directory: PathBuf,
    lists: Option<PathBuf>,
    state: Option<PathBuf>,
    mode: &str,
    levels: Option<Vec<(String, String)>>,
    sealed: Option<bool>,
    clock: Option<&ManualClock>,
) -> PyResult<Opened> {
    let mut options = GuardOptions {
        state: state_choice(state),
        mode: parse_mode(mode)?,
        journal: journal_options(&levels.unwrap_or_default(), sealed)?,
        ..GuardOptions::default()
    };
    if let Some(clock) = clock {
        options.clock = clock.share();
    }
    let guard = py.detach(|| -> Result<Guard, String> {
        let home = AgentHome::open(&directory, lists.as_deref()).map_err(|error| error.to_string())?;
        Guard::open(home, options).map_err(|error| error.to_string())
    });
    Ok(Opened::of(guard.map_err(|text| error(py, &text))?))
}

/// Opens an agent from PEM texts.
#[pyfunction]
#[pyo3(signature = (certificate, key, chain, ca, lists, *, issuer=None, names, state=None, mode="enforce", levels=None, sealed=None))]
#[expect(clippy::too_many_arguments, reason = "the parts of an agent's directory, called from one place")]
pub(crate) fn open_pem(
    py: Python<'_>,
    certificate: &str,
    key: &str,
    chain: &str,
    ca: &str,
    lists: &str,
    issuer: Option<&str>,
    names: Vec<String>,
    state: Option<PathBuf>,
    mode: &str,
    levels: Option<Vec<(String, String)>>,
    sealed: Option<bool>,
) -> PyResult<Opened> {
    let options = GuardOptions {
        state: state_choice(state),
        mode: parse_mode(mode)?,
        journal: journal_options(&levels.unwrap_or_default(), sealed)?,
        ..GuardOptions::default()
    };
    let opened = py.detach(|| {
        let papers = papers(certificate, chain, ca, issuer, &names)?;
        open_memory(memory_source(papers, key, lists)?, options)
    });
    opened.map_err(|text| error(py, &text))
}

/// As `open_pem`, without receipts: only benchmarks measure with it.
#[cfg(feature = "null-journal")]
#[pyfunction]
pub(crate) fn open_pem_without_receipts(
    py: Python<'_>,
    certificate: &str,
    key: &str,
    chain: &str,
    ca: &str,
    lists: &str,
) -> PyResult<Opened> {
    let papers = papers(certificate, chain, ca, None, &[]);
    let opened = papers.and_then(|papers| memory_source(papers, key, lists)).and_then(|source| {
        let guard = Guard::without_receipts(Arc::clone(&source), GuardOptions::default());
        Ok(Opened { guard: guard.map_err(|error| error.to_string())?, memory: Some(source) })
    });
    opened.map_err(|text| error(py, &text))
}

fn memory_source(papers: Papers, key: &str, lists: &str) -> Result<Arc<MemorySource>, String> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "the key is no PKCS#8 PEM")?;
    let key = Zeroizing::new(key.secret_pkcs8_der().to_vec());
    Ok(Arc::new(MemorySource::new(papers, lists.as_bytes().to_vec(), key)))
}

/// The papers in PEM texts, believed by nobody.
pub(crate) fn papers(
    certificate: &str,
    chain: &str,
    ca: &str,
    issuer: Option<&str>,
    names: &[String],
) -> Result<Papers, String> {
    let digest = |text| Digest::from_hex(text).ok_or("`issuer` is no SHA-256 in lower-case hexadecimal");
    let mut known = NameLists::default();
    for text in names {
        known.insert(NameList::parse(text).map_err(|error| error.to_string())?);
    }
    let agent = certificates("certificate", certificate)?.into_iter().next();
    Ok(Papers {
        agent: agent.ok_or("`certificate` holds no PEM certificate")?,
        chain: certificates("chain", chain)?,
        roots: certificates("ca", ca)?,
        issuer: issuer.map(digest).transpose()?,
        names: known,
    })
}

fn certificates(part: &str, pem: &str) -> Result<Vec<Vec<u8>>, String> {
    let blocks = CertificateDer::pem_slice_iter(pem.as_bytes()).map(|block| block.map(|der| der.to_vec()));
    let ders: Result<Vec<_>, _> = blocks.collect();
    ders.map_err(|_| format!("`{part}` holds a PEM block that is broken"))
}

/// Opens an agent whose papers are in memory.
pub(crate) fn open_memory(source: Arc<MemorySource>, options: GuardOptions) -> Result<Opened, String> {
    let guard = Guard::in_memory(Arc::clone(&source), options).map_err(|error| error.to_string())?;
    Ok(Opened { guard, memory: Some(source) })
}

/// `enforce` or `observe`.
pub(crate) fn parse_mode(mode: &str) -> PyResult<Mode> {
    match mode {
        "enforce" => Ok(Mode::Enforce),
        "observe" => Ok(Mode::Observe),
        other => Err(PyValueError::new_err(format!("mode is \"enforce\" or \"observe\", not `{other}`"))),
    }
}

pub(crate) fn journal_options(levels: &[(String, String)], sealed: Option<bool>) -> PyResult<JournalOptions> {
    let pairs = levels.iter().map(|(pattern, level)| (pattern.as_str(), level.as_str()));
    let levels = Levels::parse(pairs).map_err(|error| PyValueError::new_err(format!("journal: {error}")))?;
    let sealing = sealed.map(|sealed| if sealed { Sealing::Groups } else { Sealing::Each });
    Ok(JournalOptions { levels, sealing })
}

pub(crate) fn state_choice(state: Option<PathBuf>) -> StateChoice {
    match state {
        None => StateChoice::Default,
        Some(path) if path.as_os_str() == "memory" => StateChoice::Memory,
        Some(path) => StateChoice::Path(path),
    }
}

/// `kakunin.KakuninError`.
pub(crate) fn error(py: Python<'_>, text: &str) -> PyErr {
    static ERROR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = ERROR.import(py, "kakunin.errors", "KakuninError").and_then(|class| class.call1((text,)));
    made.map_or_else(|error| error, PyErr::from_value)
}
