//! Which agent a call acts as: its own, else the context's, else the process's.

use std::sync::atomic::{AtomicBool, Ordering};

use kakunin_core::decision::DenialReason;
use pyo3::exceptions::{PyImportError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::agent::NativeAgent;

/// The agent of the process, set once.
static DEFAULT: PyOnceLock<Py<NativeAgent>> = PyOnceLock::new();
/// The `get` of the context variable: `None`, an agent, or anything else for no agent at all.
static CONTEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
/// Until a context was entered once, no context can hold an agent, and none is asked for.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// Runs `act` with the agent of this call, or the reason why there is none.
#[inline]
pub(crate) fn with_agent<T>(
    py: Python<'_>,
    explicit: Option<&Py<NativeAgent>>,
    act: impl FnOnce(Result<&NativeAgent, DenialReason>) -> T,
) -> T {
    if let Some(agent) = explicit {
        return act(Ok(agent.get()));
    }
    if ENTERED.load(Ordering::Relaxed) {
        return match of_context(py) {
            Ok(Context::Unset) => act(of_process(py)),
            Ok(Context::Agent(agent)) => act(Ok(agent.get())),
            Ok(Context::Nobody) => act(Err(DenialReason::AgentMissing)),
            Err(_) => act(Err(DenialReason::Internal)),
        };
    }
    act(of_process(py))
}

fn of_process(py: Python<'_>) -> Result<&NativeAgent, DenialReason> {
    DEFAULT.get(py).map(Py::get).ok_or(DenialReason::AgentMissing)
}

enum Context {
    Unset,
    Agent(Py<NativeAgent>),
    Nobody,
}

fn of_context(py: Python<'_>) -> PyResult<Context> {
    let Some(get) = CONTEXT.get(py) else { return Ok(Context::Unset) };
    let value = get.bind(py).call0()?;
    if value.is_none() {
        return Ok(Context::Unset);
    }
    Ok(value.cast_into::<NativeAgent>().map_or(Context::Nobody, |agent| Context::Agent(agent.unbind())))
}

/// Names the context variable, once.
#[pyfunction]
pub(crate) fn set_context(variable: &Bound<'_, PyAny>) -> PyResult<()> {
    let get = variable.getattr("get")?.unbind();
    CONTEXT.set(variable.py(), get).map_err(|_| imported_twice())
}

/// Only some interpreters are refused by PyO3 itself, so the second import finds what the first has set.
pub(crate) fn imported_twice() -> PyErr {
    PyImportError::new_err(
        "kakunin is imported in this process already, by another interpreter or before a reload; it serves one import",
    )
}

/// Says that the context variable is used from here on.
#[pyfunction]
pub(crate) fn context_entered() {
    ENTERED.store(true, Ordering::Relaxed);
}

/// Sets the agent of the process: whether it is new. Another one than before is refused.
#[pyfunction]
pub(crate) fn set_default(py: Python<'_>, agent: Py<NativeAgent>) -> PyResult<bool> {
    let Err(agent) = DEFAULT.set(py, agent) else { return Ok(true) };
    match DEFAULT.get(py) {
        Some(known) if known.is(&agent) => Ok(false),
        _ => Err(PyRuntimeError::new_err(
            "another agent is in use in this process; use() sets one, agent_context() and agent= take others",
        )),
    }
}

/// The agent of the process.
#[pyfunction]
pub(crate) fn default(py: Python<'_>) -> Option<Py<NativeAgent>> {
    DEFAULT.get(py).map(|agent| agent.clone_ref(py))
}

/// The agent of the context, else of the process.
#[pyfunction]
pub(crate) fn current(py: Python<'_>) -> PyResult<Option<Py<NativeAgent>>> {
    match of_context(py)? {
        Context::Unset => Ok(default(py)),
        Context::Agent(agent) => Ok(Some(agent)),
        Context::Nobody => Ok(None),
    }
}
