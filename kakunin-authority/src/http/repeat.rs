//! Requests that may come twice: under a key of its sender's, one has one effect and one answer.
//!
//! Key, effect and answer are one transaction, so a request that was begun and has no answer had no effect: it was
//! refused, and may come again.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;

use super::access::Caller;
use super::answer::json_text;
use super::error::Refusal;
use crate::access::TenantId;
use crate::store::{Answer, Begun, Store, StoreError};

/// A request under a key: its sender's own and nobody else's.
pub(crate) struct Repeat {
    tenant: TenantId,
    key: Option<String>,
    request: Digest,
}

impl Repeat {
    /// The request `what` with `body`, under its key if it has one.
    ///
    /// # Errors
    /// [`Refusal`] for a key that is none.
    pub(crate) fn of(caller: &Caller, what: &str, headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        Ok(Self {
            tenant: caller.tenant().clone(),
            key: key(caller, what, headers)?,
            request: Digest::of_parts(&[what.as_bytes(), b" ", body]),
        })
    }

    /// Carries it out, or gives the answer that it had.
    ///
    /// # Errors
    /// [`StoreError`] of the records; what `make` refuses is the inner answer.
    pub(crate) fn once(
        self,
        store: &mut dyn Store,
        now: UnixTime,
        make: impl FnOnce(&mut dyn Store) -> Result<Result<Answer, Refusal>, StoreError>,
    ) -> Result<Result<Answer, Refusal>, StoreError> {
        let Some(key) = &self.key else { return make(store) };
        match store.begin_request(&self.tenant, key, self.request, now)? {
            Begun::New | Begun::Unfinished => {}
            Begun::Answered(answer) => return Ok(Ok(answer)),
            Begun::Another => {
                return Ok(Err(Refusal::new(
                    StatusCode::CONFLICT,
                    "idempotency.reused",
                    "this `idempotency-key` came with another body before; take a new one for each body",
                )));
            }
        }
        let made = make(store)?;
        if let Ok(answer) = &made {
            store.answer_request(&self.tenant, key, answer)?;
        }
        Ok(made)
    }
}

/// The answer as it is sent.
///
/// # Errors
/// [`Refusal`] when what was kept is no answer.
pub(crate) fn reply(answer: Answer) -> Result<Response, Refusal> {
    let status = StatusCode::from_u16(answer.status).map_err(|_| Refusal::internal())?;
    Ok(json_text(status, String::from_utf8(answer.body).map_err(|_| Refusal::internal())?))
}

/// Whether the key is one, for whoever asks before the body is there.
///
/// # Errors
/// [`Refusal`] for a key that is none.
pub(crate) fn key(caller: &Caller, what: &str, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=128).contains(&text.len()));
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(format!("{what} {} {text}", caller.actor()))),
        _ => Err(Refusal::invalid(
            "`idempotency-key` has to be there once, with 1 to 128 printable characters",
        )),
    }
}
