//! What `kakunin.testing` stands on.

use std::sync::Arc;

use kakunin_core::guard;
use kakunin_core::time::UnixMillis;
use pyo3::prelude::*;

/// A clock that moves only when told.
#[pyclass(frozen, module = "kakunin._native")]
pub(crate) struct ManualClock(Arc<guard::ManualClock>);

impl ManualClock {
    /// The clock as a guard takes it.
    pub(crate) fn share(&self) -> Arc<dyn guard::Clock> {
        Arc::clone(&self.0) as Arc<dyn guard::Clock>
    }
}

#[pymethods]
impl ManualClock {
    #[new]
    fn new(millis: i64) -> Self {
        Self(Arc::new(guard::ManualClock::new(UnixMillis::from_millis(millis))))
    }

    /// The wall clock, in Unix milliseconds.
    fn now(&self) -> i64 {
        guard::Clock::wall(&*self.0).millis()
    }

    /// Time passes.
    fn advance(&self, millis: i64) {
        self.0.advance(millis);
    }

    /// Somebody sets the wall clock.
    fn set_wall(&self, millis: i64) {
        self.0.set_wall(UnixMillis::from_millis(millis));
    }

    /// The machine sleeps.
    fn sleep(&self, millis: i64) {
        self.0.sleep(millis);
    }
}
