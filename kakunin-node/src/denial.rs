//! Denials as plain objects. The classes are JavaScript.

use kakunin_core::guard::Denied;
use napi::{Env, Result};
use napi_derive::napi;

use crate::room::within;

/// Why an action was not allowed.
#[napi(object)]
pub(crate) struct Denial {
    /// The group of the code.
    pub group: String,
    /// The stable code.
    pub code: String,
    /// The operator's text.
    pub message: String,
    /// The model's text.
    pub model_text: String,
    /// What was asked for.
    pub action: String,
    /// The limit in the way, in words.
    pub limit: Option<String>,
    /// What was asked for, in words.
    pub actual: Option<String>,
    /// The short name of the recorded decision.
    pub decision_id: Option<String>,
    /// The hash of its receipt.
    pub receipt: Option<String>,
    /// What the operator can do about it.
    pub fix: String,
}

/// The denial that `check` or `decide` just spoke of.
#[napi(catch_unwind)]
pub(crate) fn denial(env: Env) -> Result<Option<Denial>> {
    within(&env, |room| Ok(room.denied.take().as_ref().map(plain)))
}

pub(crate) fn plain(denied: &Denied) -> Denial {
    Denial {
        group: denied.reason().group().to_owned(),
        code: denied.code().to_owned(),
        message: denied.to_string(),
        model_text: denied.for_model(),
        action: denied.action().to_owned(),
        limit: denied.limit(),
        actual: denied.actual(),
        decision_id: denied.decision_id(),
        receipt: denied.receipt().map(|receipt| receipt.to_string()),
        fix: denied.fix().to_owned(),
    }
}
