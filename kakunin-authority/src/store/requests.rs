//! Requests that may come twice: whoever sends one with a key of its own gets one effect and one answer.

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;

use super::StoreError;
use crate::access::TenantId;

/// The requests that were made under a key of their sender's.
pub trait Requests {
    /// Takes `key` for a request with the hash `request`, or says what is known of it.
    ///
    /// # Errors
    /// [`StoreError::UnknownTenant`] when it is nobody's.
    fn begin_request(
        &mut self,
        tenant: &TenantId,
        key: &str,
        request: Digest,
        at: UnixTime,
    ) -> Result<Begun, StoreError>;

    /// Keeps the answer to a request that was begun. An answer with a secret in it does not belong here.
    ///
    /// # Errors
    /// [`StoreError::UnknownRequest`] when it was not begun or has an answer.
    fn answer_request(&mut self, tenant: &TenantId, key: &str, answer: &Answer) -> Result<(), StoreError>;

    /// Forgets requests that were begun before `at`, and says how many.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn forget_requests(&mut self, at: UnixTime) -> Result<u64, StoreError>;
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nothing: it is to be carried out.
    New,
    /// It was begun; whether it had an effect is in the audit log.
    Unfinished,
    /// It was carried out, and this is the answer.
    Answered(Answer),
    /// Another request has this key.
    Another,
}

/// An answer as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its HTTP status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}
