//! Enrolment tokens as they are kept: for one agent, for a while, for one key.

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::time::UnixTime;

use super::{Reservation, StoreError};
use crate::access::{KeyPrefix, TenantId};

/// The enrolment tokens.
pub trait Tokens {
    /// Adds a token.
    ///
    /// # Errors
    /// [`StoreError::KeyTaken`] when a token has its prefix, [`StoreError::UnknownAgent`] when the tenant has no such
    /// agent.
    fn add_token(&mut self, token: &TokenRecord) -> Result<(), StoreError>;

    /// The token with this prefix, ended and redeemed ones too, whatever its tenant: whoever asks knows only the token.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn token(&self, prefix: &KeyPrefix) -> Result<Option<TokenRecord>, StoreError>;

    /// Takes a serial number as [`super::Certificates::reserve`] does, and the token for its key with it: both or neither.
    ///
    /// A token is for the first key it is used with. With the same key it can be used again as long as the certificate
    /// was not signed: whoever crashed in between has not lost it, and no crash gives a second one.
    ///
    /// # Errors
    /// [`StoreError::UnknownToken`] when there is none for this agent or it has ended at `at`,
    /// [`StoreError::TokenUsed`], and what `reserve` says.
    fn redeem(
        &mut self,
        prefix: &KeyPrefix,
        reservation: &Reservation,
        at: UnixTime,
    ) -> Result<(), StoreError>;

    /// Forgets the tokens that have ended at `at`, and says how many.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn forget_tokens(&mut self, at: UnixTime) -> Result<u64, StoreError>;
}

/// An enrolment token. When its agent is revoked it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// By which it is found.
    pub prefix: KeyPrefix,
    /// SHA-256 of its secret, which has 256 random bits and so needs no slow hash.
    pub secret: Digest,
    /// Whose agent's it is.
    pub tenant: TenantId,
    /// For which agent.
    pub agent: AgentId,
    /// When it was made.
    pub created: UnixTime,
    /// From when on it is no good.
    pub expires: UnixTime,
    /// What it was used for.
    pub redeemed: Option<Redemption>,
}

/// What a token was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redemption {
    /// SHA-256 of the SubjectPublicKeyInfo that was certified.
    pub key: Digest,
    /// The certificate's number.
    pub serial: SerialNumber,
    /// When.
    pub at: UnixTime,
}
