//! Actions that were admitted and run.

use napi::{Env, Result};
use napi_derive::napi;

use crate::room::within;

/// Says how an action ended. It ends once, the first word counts, and any other word than these means that nobody knows.
#[napi(catch_unwind)]
pub(crate) fn finish(env: Env, running: f64, how: u32) -> Result<()> {
    within(&env, |room| {
        let Some(running) = room.running.take(running) else { return Ok(()) };
        match how {
            RETURNED => running.returned(),
            RAISED => running.raised(),
            CANCELLED => running.cancelled(),
            NOT_EXECUTED => running.not_executed(),
            _ => drop(running),
        }
        Ok(())
    })
}

/// The receipt of a running action's decision.
#[napi(catch_unwind)]
pub(crate) fn receipt_of(env: Env, running: f64) -> Result<Option<String>> {
    within(&env, |room| {
        Ok(room.running.get(running).and_then(|running| running.receipt()).map(|receipt| receipt.to_string()))
    })
}

/// How many actions run: for tests.
#[napi(catch_unwind)]
pub(crate) fn count_running(env: Env) -> Result<u32> {
    within(&env, |room| Ok(u32::try_from(room.running.len()).unwrap_or(u32::MAX)))
}

const RETURNED: u32 = 0;
const RAISED: u32 = 1;
const CANCELLED: u32 = 2;
const NOT_EXECUTED: u32 = 3;
