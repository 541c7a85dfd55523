//! What only benches call: floors, and a clock that a busy machine does not disturb.

use napi_derive::napi;
use rustix::time::{ClockId, clock_gettime};

/// Takes the texts of a call and does nothing with them.
#[napi(catch_unwind)]
pub(crate) fn only_convert(_handle: f64, _number: f64, amount: String, counterparty: String) -> f64 {
    (amount.len() + counterparty.len()) as f64
}

/// The processor time of this thread, in nanoseconds.
#[napi(catch_unwind)]
pub(crate) fn thread_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
