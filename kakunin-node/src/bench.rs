//! What only benches call: floors, and a clock that a busy machine does not disturb.

use napi::{Error, Result};
use napi_derive::napi;
use rustix::time::{ClockId, clock_gettime};

use crate::plan::decide;

/// Takes the texts of a call and does nothing with them.
#[napi(catch_unwind)]
pub(crate) fn only_convert(_handle: f64, _number: f64, amount: String, counterparty: String) -> f64 {
    (amount.len() + counterparty.len()) as f64
}

/// Crosses, and does nothing.
#[napi(catch_unwind)]
pub(crate) fn only_cross() -> f64 {
    0.0
}

/// Decides so many times about the call that stands in the scratch buffer, without crossing in between.
#[napi(catch_unwind)]
pub(crate) fn only_decide(times: u32) -> Result<()> {
    for _ in 0..times {
        if decide()? != 0.0 {
            return Err(Error::from_reason("the call in the scratch buffer is not allowed"));
        }
    }
    Ok(())
}

/// The processor time of this thread, in nanoseconds.
#[napi(catch_unwind)]
pub(crate) fn thread_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
