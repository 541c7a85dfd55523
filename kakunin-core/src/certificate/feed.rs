//! The certificate of a feed key: short, of the issuing authority itself, and good for nothing else.

use rustls_pki_types::CertificateDer;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::decode::{CertificateError, Decoded};
use super::path::PathError;
use super::profile::{CaCertificate, inspect_feed};
use crate::key::{Algorithm, PublicKey};
use crate::time::UnixTime;

/// A certificate of a feed key that its issuing authority signed. Whether it is valid now, or revoked, is asked with each use.
#[derive(Clone, Debug)]
pub struct FeedCertificate {
    decoded: Decoded,
}

impl FeedCertificate {
    /// Reads one DER certificate, inspects it against the profile of a feed key and checks that `issuing` signed it.
    ///
    /// # Errors
    /// [`PathError`]: what of the profile it breaks, or that it is not under this authority.
    pub fn verify(der: &[u8], issuing: &CaCertificate) -> Result<Self, PathError> {
        let profile = |error| PathError::Certificate { which: "feed", error };
        let decoded = Decoded::from_der(der).map_err(profile)?;
        let authority_key_id = inspect_feed(&decoded).map_err(profile)?;
        let validity = decoded.validity();
        if validity.not_after.seconds().saturating_sub(validity.not_before.seconds()) > LONGEST {
            return Err(profile(CertificateError::Field("notAfter")));
        }
        if decoded.key().algorithm() != Algorithm::P256 {
            return Err(profile(CertificateError::Field("subjectPublicKeyInfo")));
        }
        if authority_key_id != issuing.key_id() {
            return Err(PathError::KeyId);
        }
        if !issuing.decoded().validity().contains(&validity) {
            return Err(PathError::Outlives);
        }
        signed_by(&decoded, issuing)?;
        Ok(Self { decoded })
    }

    /// The decoded fields.
    #[must_use]
    pub const fn decoded(&self) -> &Decoded {
        &self.decoded
    }

    /// The key that signs items.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        self.decoded.key()
    }

    /// Checks that it is valid at `now`.
    ///
    /// # Errors
    /// [`PathError::NotYetValid`] more than 120 s before its first second, [`PathError::Expired`] after its last.
    pub fn valid_at(&self, now: UnixTime) -> Result<(), PathError> {
        super::path::valid_at("feed", &self.decoded, now)
    }
}

/// Signature, issuer's name and usage, by rustls-webpki; the issuing authority was proven elsewhere and is the anchor.
fn signed_by(decoded: &Decoded, issuing: &CaCertificate) -> Result<(), PathError> {
    let anchor = CertificateDer::from(issuing.decoded().der());
    let anchors = [anchor_from_trusted_cert(&anchor).map_err(PathError::NoPath)?];
    let leaf = CertificateDer::from(decoded.der());
    let leaf = EndEntityCert::try_from(&leaf).map_err(PathError::NoPath)?;
    // Time is judged with each use, by its tolerance and its codes.
    let seconds = u64::try_from(decoded.validity().not_before.seconds()).unwrap_or(0);
    let time = rustls_pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let algorithms = [webpki::ring::ECDSA_P256_SHA256, webpki::ring::ED25519];
    let usage = KeyUsage::required(super::oids::EKU_FEED.as_bytes());
    let path = leaf.verify_for_usage(&algorithms, &anchors, &[], time, usage, None, None);
    path.map(|_| ()).map_err(PathError::NoPath)
}

/// WIRE 3: a feed key lives for a day at most.
const LONGEST: i64 = 24 * 3600;
