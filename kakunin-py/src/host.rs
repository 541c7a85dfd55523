//! What the core says about this host: its environment, and its numbers.

use kakunin_core::environment;
use pyo3::prelude::*;

use crate::values;

/// Whether a variable of the environment asks for less enforcement.
#[pyfunction]
pub(crate) fn asks_for_less(name: &str, value: &str) -> bool {
    environment::asks_for_less(name, value)
}

/// The warning that it is ignored.
#[pyfunction]
pub(crate) fn ignored(name: &str, value: &str) -> String {
    environment::warning(name, value)
}

/// What `as_written` makes of a number, or `None` if it is refused: for tests.
#[pyfunction]
pub(crate) fn written_text(number: &Bound<'_, PyAny>) -> Option<String> {
    values::as_written(number)
}
