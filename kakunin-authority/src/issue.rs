//! Issuing, in the only order that leaves no certificate unaccounted for.
//!
//! ```text
//! Order --reserve--> Reserved --build--> Built --lint--> Linted --store--> Stored --sign--> Issued
//! ```
//!
//! Each step consumes the one before, so a certificate cannot be signed twice, signed without a record, or recorded
//! without having passed the reader that every guard uses. After a crash the record is there even if the signature
//! is not: revoking the agent then lists the serial number all the same.

use kakunin_core::certificate::{AgentCertificate, CaCertificate, CertificateError};
use kakunin_core::id::SerialNumber;
use kakunin_core::key::{PublicKey, SignError, Signature, Signer};
use kakunin_core::scope::Scope;
use kakunin_core::time::{UnixTime, Validity};
use ring::rand::{SecureRandom, SystemRandom};

use crate::access::KeyPrefix;
use crate::agent::AgentName;
use crate::profile::{Kind, Subject, signed, to_be_signed};
use crate::store::{IssuerId, Reservation, Store, StoreError};

/// A certificate that is to be issued.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The agent's name.
    pub name: &'a AgentName,
    /// What it may do; names the agent.
    pub scope: &'a Scope,
    /// Its key.
    pub key: &'a PublicKey,
    /// From when to when; already inside the issuer's.
    pub validity: Validity,
}

/// An authority about to issue.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    /// Which one in the store.
    pub id: IssuerId,
    /// Its certificate.
    pub certificate: &'a CaCertificate,
}

/// A certificate whose serial number is taken.
#[derive(Debug)]
#[must_use = "a reserved number serves one certificate"]
pub struct Reserved<'o, 'a> {
    order: Order<'o>,
    issuer: Issuer<'a>,
    serial: SerialNumber,
}

/// A certificate whose bytes are made.
#[derive(Debug)]
#[must_use = "built is not issued"]
pub struct Built<'a> {
    issuer: Issuer<'a>,
    serial: SerialNumber,
    tbs: Vec<u8>,
}

/// A certificate that the reader of every guard accepts.
#[derive(Debug)]
#[must_use = "linted is not issued"]
pub struct Linted<'a>(Built<'a>);

/// A certificate that is recorded and may be signed, once.
#[derive(Debug)]
#[must_use = "a recorded certificate is listed as issued; sign it"]
pub struct Stored<'a>(Built<'a>);

/// A certificate that is signed and not recorded as that.
#[derive(Debug)]
#[must_use = "what is signed is recorded before it is given to anybody"]
pub struct Signed {
    issuer: IssuerId,
    certificate: AgentCertificate,
}

/// A signed and recorded certificate.
#[derive(Debug)]
#[must_use = "an issued certificate belongs to its agent"]
pub struct Issued {
    issuer: IssuerId,
    certificate: AgentCertificate,
}

impl<'o, 'a> Reserved<'o, 'a> {
    /// Takes a fresh serial number for `order`.
    ///
    /// # Errors
    /// [`IssueError`] when there is no randomness or no record can be made.
    pub fn reserve(order: Order<'o>, issuer: Issuer<'a>, store: &mut dyn Store) -> Result<Self, IssueError> {
        let reserved = Self::numbered(order, issuer)?;
        store.reserve(&reserved.reservation())?;
        Ok(reserved)
    }

    /// Takes a fresh serial number for `order`, and the enrolment token for its key with it.
    ///
    /// # Errors
    /// As [`Reserved::reserve`], and [`StoreError::TokenUsed`] or [`StoreError::UnknownToken`].
    pub fn redeem(
        order: Order<'o>,
        issuer: Issuer<'a>,
        token: &KeyPrefix,
        now: UnixTime,
        store: &mut dyn Store,
    ) -> Result<Self, IssueError> {
        let reserved = Self::numbered(order, issuer)?;
        store.redeem(token, &reserved.reservation(), now)?;
        Ok(reserved)
    }

    fn numbered(order: Order<'o>, issuer: Issuer<'a>) -> Result<Self, IssueError> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| IssueError::NoRandomness)?;
        Ok(Self { order, issuer, serial: SerialNumber::from_random(random) })
    }

    fn reservation(&self) -> Reservation {
        Reservation {
            serial: self.serial,
            issuer: self.issuer.id,
            agent: self.order.scope.agent(),
            key: self.order.key.key_id(),
            validity: self.order.validity,
        }
    }

    /// Makes the bytes to be signed.
    ///
    /// # Errors
    /// [`IssueError::Encoding`] when a value has none.
    pub fn build(self) -> Result<Built<'a>, IssueError> {
        let Self { order, issuer, serial } = self;
        let scope = order.scope.to_der();
        let kind = Kind::Agent { issuer: issuer.certificate, id: order.scope.agent(), scope: &scope };
        let Order { name, key, validity, .. } = order;
        let subject = Subject { name: name.as_str(), key, validity, serial };
        let algorithm = issuer.certificate.decoded().key().algorithm();
        Ok(Built { issuer, serial, tbs: to_be_signed(&kind, &subject, algorithm)? })
    }
}

impl<'a> Built<'a> {
    /// Reads the bytes as every guard will, under a signature of zeros.
    ///
    /// # Errors
    /// [`IssueError::Refused`] when they break the profile, [`IssueError::Outlives`] when they outlive the issuer.
    pub fn lint(self) -> Result<Linted<'a>, IssueError> {
        let issuer = self.issuer.certificate.decoded();
        let unsigned = signed(&self.tbs, issuer.key().algorithm(), &Signature::from_bytes([0; 64]))?;
        let certificate = AgentCertificate::decode(&unsigned).map_err(IssueError::Refused)?;
        if !issuer.validity().contains(&certificate.decoded().validity()) {
            return Err(IssueError::Outlives);
        }
        Ok(Linted(self))
    }
}

impl<'a> Linted<'a> {
    /// Records the bytes; from here on the certificate counts as issued.
    ///
    /// # Errors
    /// [`IssueError::Store`] when they cannot be made durable.
    pub fn store(self, store: &mut dyn Store) -> Result<Stored<'a>, IssueError> {
        store.keep_tbs(self.0.serial, &self.0.tbs)?;
        Ok(Stored(self.0))
    }
}

impl Stored<'_> {
    /// Signs the recorded bytes and records the certificate.
    ///
    /// # Errors
    /// [`IssueError`] when the key store fails, holds another key than the issuer's, or the record cannot be made.
    pub fn sign(self, signer: &Signer, store: &mut dyn Store) -> Result<Issued, IssueError> {
        self.signed(signer)?.keep(store)
    }

    /// Signs the recorded bytes.
    ///
    /// # Errors
    /// [`IssueError`] when the key store fails or holds another key than the issuer's.
    pub fn signed(self, signer: &Signer) -> Result<Signed, IssueError> {
        if signer.spki() != self.0.issuer.certificate.decoded().key().spki() {
            return Err(IssueError::OtherKey);
        }
        let signature = signer.sign(&self.0.tbs)?;
        let der = signed(&self.0.tbs, signer.algorithm(), &signature)?;
        let certificate = AgentCertificate::decode(&der).map_err(IssueError::Refused)?;
        Ok(Signed { issuer: self.0.issuer.id, certificate })
    }

    /// Who has to sign.
    #[must_use]
    pub const fn issuer(&self) -> IssuerId {
        self.0.issuer.id
    }
}

impl Signed {
    /// Records the certificate. Before that it leaves for nowhere.
    ///
    /// # Errors
    /// [`IssueError::Store`] when the record cannot be made.
    pub fn keep(self, store: &mut dyn Store) -> Result<Issued, IssueError> {
        let Self { issuer, certificate } = self;
        store.keep_certificate(certificate.decoded().serial(), certificate.decoded().der())?;
        Ok(Issued { issuer, certificate })
    }

    /// Its agent, and SHA-256 of it: what a mark of a new directory names.
    #[cfg(feature = "http")]
    pub(crate) fn named(&self) -> (kakunin_core::id::AgentId, kakunin_core::digest::Digest) {
        (self.certificate.agent(), self.certificate.decoded().thumbprint())
    }
}

impl Issued {
    /// Who signed it.
    #[must_use]
    pub const fn issuer(&self) -> IssuerId {
        self.issuer
    }

    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &AgentCertificate {
        &self.certificate
    }

    /// Its DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.certificate.decoded().der()
    }
}

/// A certificate that was not issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// No randomness for a serial number.
    #[error("no randomness for a serial number")]
    NoRandomness,
    /// A value without an encoding.
    #[error("the certificate cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
    /// The reader refuses it.
    #[error("the certificate would not be accepted: {0}")]
    Refused(#[source] CertificateError),
    /// It ends after its issuer.
    #[error("the certificate would outlive its issuer; ask for fewer days, or run `kakunin rotate`")]
    Outlives,
    /// The key file is another issuer's.
    #[error("the key is not the issuing authority's; restore the issuing folder from a backup")]
    OtherKey,
    /// The key store failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The records failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
