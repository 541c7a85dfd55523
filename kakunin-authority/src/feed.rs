//! The signing side of a feed: a key for a day, certified by the issuing authority, that signs changes and heartbeats.
//!
//! The issuing key is asked once for each feed key and never for an item, so a key store that is slow or gone stops no
//! guard. The same order as in `issue`: whoever makes a feed key records [`PreparedFeed::serial`] and its bytes before they are
//! signed, so that it can be revoked. Epochs and items are the store's; nothing here remembers any.

use kakunin_core::certificate::{CaCertificate, FeedCertificate, PathError};
use kakunin_core::digest::Digest;
use kakunin_core::feed::{Content, Entry, Item, ItemSignError, MAX_ENTRIES, UnverifiedItem};
use kakunin_core::id::SerialNumber;
use kakunin_core::key::{Algorithm, KeyError, SignError, Signer, SoftKey};
use kakunin_core::revocation::{FeedHead, Standing};
use kakunin_core::time::{UnixMillis, UnixTime, Validity};
use ring::rand::{SecureRandom, SystemRandom};

use crate::profile::{Kind, Subject, signed, to_be_signed};
use crate::standing::Reason;

/// A feed key whose certificate is made, linted, and not signed.
#[derive(Debug)]
#[must_use = "prepared is not certified: record it, then sign it"]
pub struct PreparedFeed {
    issuing: CaCertificate,
    signer: Signer,
    serial: SerialNumber,
    validity: Validity,
    tbs: Vec<u8>,
}

impl PreparedFeed {
    /// Makes a P-256 key and the bytes of its certificate, for 24 hours from 60 seconds before `now` or until `issuing` ends.
    ///
    /// # Errors
    /// [`FeedKeyError`] when there is no randomness, or no such certificate can be.
    pub fn make(issuing: &CaCertificate, now: UnixTime) -> Result<Self, FeedKeyError> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| FeedKeyError::NoRandomness)?;
        let serial = SerialNumber::from_random(random);
        let signer = Signer::soft(SoftKey::generate(Algorithm::P256)?.0);
        let issuers = issuing.decoded().validity();
        let not_before = now.plus(-BACKDATE).max(issuers.not_before);
        let validity = Validity { not_before, not_after: not_before.plus(LIFETIME).min(issuers.not_after) };
        if validity.not_after < now {
            return Err(FeedKeyError::Outlives);
        }
        let subject = Subject { name: NAME, key: signer.public(), validity, serial };
        let kind = Kind::Feed { issuer: issuing };
        let tbs = to_be_signed(&kind, &subject, issuing.decoded().key().algorithm())?;
        Ok(Self { issuing: issuing.clone(), signer, serial, validity, tbs })
    }

    /// The serial number of the certificate.
    #[must_use]
    pub const fn serial(&self) -> SerialNumber {
        self.serial
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the key.
    #[must_use]
    pub fn key_id(&self) -> Digest {
        self.signer.public().key_id()
    }

    /// From when to when the certificate is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The bytes that are going to be signed.
    #[must_use]
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// Lets the issuing authority sign, and reads the certificate as every guard will.
    ///
    /// # Errors
    /// [`FeedKeyError`] when `issuing` is another key, does not sign, or the certificate would be refused.
    pub fn sign(self, issuing: &Signer) -> Result<FeedKey, FeedKeyError> {
        if issuing.spki() != self.issuing.decoded().key().spki() {
            return Err(FeedKeyError::OtherKey);
        }
        let der = signed(&self.tbs, issuing.algorithm(), &issuing.sign(&self.tbs)?)?;
        let certificate = FeedCertificate::verify(&der, &self.issuing).map_err(FeedKeyError::Refused)?;
        let issuer = self.issuing.decoded().key().key_id();
        Ok(FeedKey { issuer, certificate, signer: self.signer })
    }
}

/// A certified feed key. It lives in memory only: a process that starts again makes another one.
#[derive(Debug)]
pub struct FeedKey {
    issuer: Digest,
    certificate: FeedCertificate,
    signer: Signer,
}

/// A change that is signed and not yet sent: it is kept before anybody sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a signed change belongs into the store, then into the feed"]
pub struct SignedChange {
    /// The line.
    pub line: String,
    /// How far the feed is with it.
    pub head: FeedHead,
}

impl FeedKey {
    /// Its certificate, which travels to every guard.
    #[must_use]
    pub const fn certificate(&self) -> &FeedCertificate {
        &self.certificate
    }

    /// Whether it is time for the next key: two thirds of this one's life are over.
    #[must_use]
    pub fn is_due(&self, now: UnixTime) -> bool {
        let Validity { not_before, not_after } = self.certificate.decoded().validity();
        let life = not_after.seconds().saturating_sub(not_before.seconds());
        now >= not_before.plus(life / 3 * 2)
    }

    /// Whether what it signs now is taken.
    #[must_use]
    pub fn is_valid(&self, now: UnixTime) -> bool {
        let Validity { not_before, not_after } = self.certificate.decoded().validity();
        (not_before..=not_after).contains(&now)
    }

    /// Signs what follows on `head`: as many changes as the entries take, in order. `entries` may come in any order; of
    /// one certificate only one.
    ///
    /// # Errors
    /// [`FeedKeyError`] when the key has ended, there is nothing to say, or entries are twice or do not fit.
    pub fn sign_changes(
        &self,
        head: FeedHead,
        mut entries: Vec<Entry>,
        at: UnixMillis,
    ) -> Result<Vec<SignedChange>, FeedKeyError> {
        entries.sort_unstable_by_key(|entry| entry.serial);
        if entries.is_empty() || entries.windows(2).any(|pair| matches!(pair, [a, b] if a.serial == b.serial))
        {
            return Err(FeedKeyError::Entries);
        }
        let (mut head, mut changes) = (head, Vec::new());
        for part in entries.chunks(MAX_ENTRIES) {
            let line = self.sign(head, Content::Change(part.to_vec()), at)?;
            // Read back as every guard will, which also says what the next one follows on.
            let read = UnverifiedItem::parse(&line).and_then(|item| item.verify(self.signer.public()));
            head = read.map_err(|_| FeedKeyError::Unreadable)?.head();
            changes.push(SignedChange { line, head });
        }
        Ok(changes)
    }

    /// Signs that nothing has changed since `head`; with the nonce of a client as the first item of its connection.
    ///
    /// # Errors
    /// [`FeedKeyError`] when the key has ended or does not sign.
    pub fn heartbeat(
        &self,
        head: FeedHead,
        nonce: Option<[u8; 16]>,
        at: UnixMillis,
    ) -> Result<String, FeedKeyError> {
        self.sign(head, Content::Heartbeat { nonce }, at)
    }

    fn sign(&self, head: FeedHead, content: Content, at: UnixMillis) -> Result<String, FeedKeyError> {
        let Validity { not_before, not_after } = self.certificate.decoded().validity();
        if at.to_seconds() < not_before || at.to_seconds() > not_after {
            return Err(FeedKeyError::Ended { not_after });
        }
        let item = Item { issuer: self.issuer, head, at, due: at.plus_millis(HEARTBEAT_MILLIS), content };
        Ok(item.sign(&self.signer)?)
    }
}

/// What a change says of one certificate: held or revoked for `reason` since `since`, or good again without one.
#[must_use]
pub fn entry(serial: SerialNumber, reason: Option<Reason>, since: UnixTime) -> Entry {
    let standing = match reason {
        None => Standing::Good,
        Some(Reason::CertificateHold) => Standing::Held,
        Some(_) => Standing::Revoked,
    };
    Entry { serial, standing, at: since, reason: reason.map(Reason::code) }
}

/// No feed key, or no item.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedKeyError {
    /// No randomness for a serial number.
    #[error("no randomness for a serial number")]
    NoRandomness,
    /// The key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A value without an encoding.
    #[error("the feed certificate cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
    /// The issuing authority has ended.
    #[error("the issuing authority has ended; run `kakunin rotate`")]
    Outlives,
    /// The key is another issuer's.
    #[error("the key is not the issuing authority's; restore the issuing folder from a backup")]
    OtherKey,
    /// No guard would take the certificate.
    #[error("the feed certificate would not be accepted: {0}")]
    Refused(#[source] PathError),
    /// The issuing key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Too late, or too early, for this key.
    #[error("the feed key is good until {not_after}; the next one is needed")]
    Ended {
        /// Its last second.
        not_after: UnixTime,
    },
    /// Nothing to say, or two things of one certificate.
    #[error("a change names one certificate at least, and each once")]
    Entries,
    /// The item was not signed.
    #[error(transparent)]
    Item(#[from] ItemSignError),
    /// What was signed cannot be read: never sent.
    #[error("the change that was signed cannot be read again; this is a bug, and it was not sent")]
    Unreadable,
}

/// WIRE 3: something comes every 5 seconds.
pub const HEARTBEAT_MILLIS: i64 = 5_000;
/// A day, with the time before now in it.
const LIFETIME: i64 = 24 * 3600;
/// As all certificates here: clocks of guards may be a little behind.
const BACKDATE: i64 = 60;
const NAME: &str = "Kakunin Feed";
