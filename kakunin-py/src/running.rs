//! An action that was admitted and runs.

use std::sync::{Mutex, PoisonError};

use kakunin_core::guard;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::chain::Stay;

/// An admitted action. It ends once; the first word counts. Dropped without one, its result is unknown.
#[pyclass(frozen, module = "kakunin._native")]
pub(crate) struct Running {
    running: Mutex<Option<guard::Running>>,
    /// Where in a decision chain the body is, if it is in one.
    stay: Option<Box<Stay>>,
}

impl Running {
    pub(crate) fn new(running: guard::Running, stay: Option<Stay>) -> Self {
        Self { running: Mutex::new(Some(running)), stay: stay.map(Box::new) }
    }

    fn end(&self, py: Python<'_>, outcome: impl FnOnce(guard::Running)) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            outcome(running);
        }
        self.suspend(py);
    }
}

#[pymethods]
impl Running {
    /// The body returned.
    fn returned(&self, py: Python<'_>) {
        self.end(py, guard::Running::returned);
    }

    /// The body raised.
    fn raised(&self, py: Python<'_>) {
        self.end(py, guard::Running::raised);
    }

    /// The body was cancelled.
    fn cancelled(&self, py: Python<'_>) {
        self.end(py, guard::Running::cancelled);
    }

    /// The action did not happen.
    fn not_executed(&self, py: Python<'_>) {
        self.end(py, guard::Running::not_executed);
    }

    /// Nobody will know.
    fn unknown(&self, py: Python<'_>) {
        self.end(py, drop);
    }

    /// Whether it was said how it ended.
    #[getter]
    fn ended(&self) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Whether the body is in a decision chain, so that a generator has to say when it is left and entered.
    #[getter]
    fn in_chain(&self) -> bool {
        self.stay.is_some()
    }

    /// The body hands a value out and waits: its caller is elsewhere in the chain.
    fn suspend(&self, py: Python<'_>) {
        if let Some(stay) = &self.stay {
            stay.leave(py);
        }
    }

    /// The body goes on.
    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        self.stay.as_ref().map_or(Ok(()), |stay| stay.enter(py))
    }
}

/// Whether what a plain function returned may only be the beginning: something to await or to iterate, or a future.
///
/// Asked after each call, so what is plain is told by its type alone.
#[pyfunction]
pub(crate) fn defers(result: &Bound<'_, PyAny>) -> bool {
    let plain = result.is_exact_instance_of::<PyString>()
        || result.is_exact_instance_of::<PyDict>()
        || result.is_exact_instance_of::<PyBool>()
        || result.is_exact_instance_of::<PyInt>()
        || result.is_exact_instance_of::<PyList>()
        || result.is_exact_instance_of::<PyTuple>()
        || result.is_exact_instance_of::<PyFloat>()
        || result.is_exact_instance_of::<PyBytes>();
    if plain {
        return false;
    }
    // The interpreter remembers its answer for a class: a name that is missing costs an exception here.
    static MAY_DEFER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let (py, kind) = (result.py(), result.get_type());
    let known = MAY_DEFER.import(py, "kakunin._outcome", "may_defer");
    let known = known.and_then(|may_defer| may_defer.call1((&kind,))?.is_truthy());
    known.unwrap_or_else(|_| {
        let has = |name| kind.hasattr(name).unwrap_or(false);
        ["__await__", "add_done_callback", "gi_code", "ag_code"].into_iter().any(has)
    })
}
