//! Certificates of agents: a number is taken first, then what is signed is kept, then the signed one.

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::time::{UnixTime, Validity};

use super::{IssuerId, StoreError};
use crate::access::TenantId;
use crate::standing::{ListedCertificate, Reason, Standing};

/// The certificates.
pub trait Certificates {
    /// When the last certificate of each agent of a tenant ends, by agent; agents without one are left out. One question for
    /// all of them.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn ends_of_agents(&self, tenant: &TenantId) -> Result<Vec<(AgentId, UnixTime)>, StoreError>;

    /// Takes a serial number for a good agent: the first step of issuing.
    ///
    /// # Errors
    /// [`StoreError::NotGood`] when there is no such agent in good standing, [`StoreError::UnknownIssuer`] when the
    /// agent's tenant has no such issuer, [`StoreError::SerialTaken`] when the number was taken before.
    fn reserve(&mut self, reservation: &Reservation) -> Result<(), StoreError>;

    /// Keeps what is about to be signed. From here on the certificate counts as issued.
    ///
    /// # Errors
    /// [`StoreError::OutOfTurn`] unless the number was taken, nothing is kept under it and it is in good standing
    /// still: an agent that was revoked in between gets nothing.
    fn keep_tbs(&mut self, serial: SerialNumber, tbs: &[u8]) -> Result<(), StoreError>;

    /// Keeps the signed certificate, with the deliveries to the webhooks that want to be told.
    ///
    /// # Errors
    /// [`StoreError::OutOfTurn`] unless what is signed is kept and the signed one is not yet.
    fn keep_certificate(&mut self, serial: SerialNumber, der: &[u8]) -> Result<(), StoreError>;

    /// The certificate with this number, whatever its tenant, if it was or may have been signed.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn certificate(&self, serial: SerialNumber) -> Result<Option<CertificateRecord>, StoreError>;

    /// The certificates of an agent that were or may have been signed, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn certificates(&self, tenant: &TenantId, agent: AgentId) -> Result<Vec<CertificateRecord>, StoreError>;

    /// The newest `limit` certificates of an agent by one key that were signed, newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn newest_of_key(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        key: Digest,
        limit: u32,
    ) -> Result<Vec<CertificateRecord>, StoreError>;

    /// Whether a certificate of an agent by this key was revoked: the key is no good to it then.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn is_revoked_key(&self, tenant: &TenantId, agent: AgentId, key: Digest) -> Result<bool, StoreError>;

    /// From when the certificate is valid whose number was taken last, if it was or may have been signed.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn newest_begin(&self) -> Result<Option<UnixTime>, StoreError>;

    /// The latest end of any certificate of an issuer.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn last_end(&self, issuer: IssuerId) -> Result<Option<UnixTime>, StoreError>;

    /// Hands every certificate of `issuer` that is not good and ends at or after `since` to `each`, by number.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn each_listed(
        &self,
        issuer: IssuerId,
        since: UnixTime,
        each: &mut dyn FnMut(ListedCertificate),
    ) -> Result<(), StoreError>;
}

/// A serial number that is taken for a certificate to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The number.
    pub serial: SerialNumber,
    /// Who will sign.
    pub issuer: IssuerId,
    /// Whose it will be.
    pub agent: AgentId,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Digest,
    /// From when to when.
    pub validity: Validity,
}

/// A certificate of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRecord {
    /// Its serial number.
    pub serial: SerialNumber,
    /// Who signed it.
    pub issuer: IssuerId,
    /// Whose agent's it is.
    pub tenant: TenantId,
    /// Whose it is.
    pub agent: AgentId,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Digest,
    /// From when to when.
    pub validity: Validity,
    /// How it stands.
    pub standing: Standing,
    /// Since when it stands so.
    pub since: UnixTime,
    /// What a list says about why, if it is on one.
    pub reason: Reason,
    /// The certificate, once signed.
    pub der: Option<Vec<u8>>,
}
