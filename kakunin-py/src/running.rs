//! An action that was admitted and runs.

use std::sync::{Mutex, PoisonError};

use kakunin_core::guard;
use pyo3::prelude::*;

/// An admitted action. It ends once; the first word counts. Dropped without one, its result is unknown.
#[pyclass(frozen, module = "kakunin._native")]
pub(crate) struct Running(Mutex<Option<guard::Running>>);

impl Running {
    pub(crate) const fn new(running: guard::Running) -> Self {
        Self(Mutex::new(Some(running)))
    }

    fn take(&self) -> Option<guard::Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl Running {
    /// The body returned.
    fn returned(&self) {
        if let Some(running) = self.take() {
            running.returned();
        }
    }

    /// The body raised.
    fn raised(&self) {
        if let Some(running) = self.take() {
            running.raised();
        }
    }

    /// The body was cancelled.
    fn cancelled(&self) {
        if let Some(running) = self.take() {
            running.cancelled();
        }
    }

    /// The action did not happen.
    fn not_executed(&self) {
        if let Some(running) = self.take() {
            running.not_executed();
        }
    }
}
