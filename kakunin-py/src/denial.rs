//! Denials as Python sees them. The classes are Python; this finds them.

use kakunin_core::guard::Denied;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The exception for a denial. If even that cannot be made, the failure is an exception too.
#[cold]
pub(crate) fn error(py: Python<'_>, denied: &Denied) -> PyErr {
    // What the client or the guard noticed may be why: the next call tells it.
    #[cfg(feature = "connect")]
    if denied.reason().group() == "revocation" {
        crate::connect::ask_to_tell();
    }
    static DENIED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = DENIED.import(py, "kakunin.errors", "denied").and_then(|make| {
        make.call1((
            denied.reason().group(),
            denied.code(),
            denied.to_string(),
            denied.for_model(),
            denied.action(),
            denied.limit(),
            denied.actual(),
            denied.decision_id(),
            denied.receipt().map(|receipt| receipt.to_string()),
            denied.fix(),
        ))
    });
    made.map_or_else(|error| error, PyErr::from_value)
}

/// A dry decision.
pub(crate) fn decision(py: Python<'_>, action: &str, denied: Option<&Denied>) -> PyResult<Py<PyAny>> {
    static DECISION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = DECISION.import(py, "kakunin.errors", "Decision")?;
    let made = match denied {
        None => make.call1((true, action)),
        Some(denied) => make.call1((
            false,
            denied.action(),
            denied.code(),
            denied.limit(),
            denied.actual(),
            denied.fix(),
            denied.to_string(),
        )),
    };
    made.map(Bound::unbind)
}
