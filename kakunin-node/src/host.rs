//! What the core says about this host: its codes, its environment, and its numbers.

use kakunin_core::decision::DenialReason;
use kakunin_core::{environment, written};
use napi_derive::napi;

/// Every code of a denial.
#[napi(catch_unwind)]
pub(crate) fn denial_codes() -> Vec<&'static str> {
    DenialReason::ALL.iter().map(|reason| reason.code()).collect()
}

/// The denial of something that nobody could decide: its text for operators, and what they can do about it.
#[napi(catch_unwind)]
pub(crate) fn internal_denial() -> Vec<&'static str> {
    vec![DenialReason::Internal.what(), DenialReason::Internal.fix()]
}

/// The variables of the environment that could be meant to loosen the leash.
#[napi(catch_unwind)]
pub(crate) fn loosening_variables() -> Vec<&'static str> {
    environment::VARIABLES.to_vec()
}

/// Whether a variable of the environment asks for less enforcement.
#[napi(catch_unwind)]
pub(crate) fn asks_for_less(name: String, value: String) -> bool {
    environment::asks_for_less(&name, &value)
}

/// The warning that it is ignored.
#[napi(catch_unwind)]
pub(crate) fn ignored(name: String, value: String) -> String {
    environment::warning(&name, &value)
}

/// What `asWritten` makes of a number, or nothing if it is refused: for tests.
#[napi(catch_unwind)]
pub(crate) fn written_text(number: f64) -> Option<String> {
    written::float(number)
}

/// The version of the package.
#[napi(catch_unwind)]
pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
