//! One certificate, read strictly and believed by nobody.
//!
//! Takes in DER, gives out the fields a profile judges. What two readers could understand differently is refused:
//! bytes that do not encode back to themselves, an extension twice, differing algorithms, times in the wrong encoding.

use der::asn1::{BitStringRef, ObjectIdentifier};
use der::{Decode, Encode, Reader, SliceReader};
use x509_cert::name::Name;
use x509_cert::time::Time;
use x509_cert::{Certificate, Version};

use crate::digest::Digest;
use crate::id::SerialNumber;
use crate::key::{KeyError, PublicKey};
use crate::time::{UnixTime, Validity};

/// A decoded certificate with the exact bytes it came in.
#[derive(Clone, Debug)]
pub struct Decoded {
    der: Vec<u8>,
    /// Worked out once: whoever asks for it asks with every call.
    thumbprint: Digest,
    serial: SerialNumber,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    validity: Validity,
    key: PublicKey,
    extensions: Vec<DecodedExtension>,
}

#[derive(Clone, Debug)]
pub(super) struct DecodedExtension {
    pub(super) oid: ObjectIdentifier,
    pub(super) critical: bool,
    pub(super) value: Vec<u8>,
}

impl Decoded {
    /// Reads one DER certificate (RFC 5280 section 4.1).
    ///
    /// # Errors
    /// [`CertificateError`] with kind and position of what is not DER, or the field that breaks the RFC.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE {
            return Err(CertificateError::TooLarge { bytes: der.len() });
        }
        let certificate = Certificate::from_der(der)?;
        if certificate.to_der()? != der {
            return Err(CertificateError::Field("encoding"));
        }
        let tbs = certificate.tbs_certificate();
        let refuse = |holds: bool, field| if holds { Ok(()) } else { Err(CertificateError::Field(field)) };
        refuse(tbs.version() == Version::V3, "version")?;
        refuse(tbs.signature() == certificate.signature_algorithm(), "signatureAlgorithm")?;
        refuse(tbs.signature().parameters.is_none(), "signatureAlgorithm parameters")?;
        refuse(certificate.signature().unused_bits() == 0, "signature")?;
        refuse(tbs.issuer_unique_id().is_none() && tbs.subject_unique_id().is_none(), "unique identifier")?;
        refuse(!tbs.issuer().is_empty() && !tbs.subject().is_empty(), "name")?;
        let serial = SerialNumber::from_der_content(tbs.serial_number().as_bytes())
            .ok_or(CertificateError::Field("serialNumber"))?;
        let validity = Validity {
            not_before: time(&tbs.validity().not_before)?,
            not_after: time(&tbs.validity().not_after)?,
        };
        refuse(validity.not_before <= validity.not_after, "validity")?;

        let mut extensions: Vec<DecodedExtension> = Vec::new();
        for extension in tbs.extensions().map(Vec::as_slice).unwrap_or_default() {
            if extensions.iter().any(|known| known.oid == extension.extn_id) {
                return Err(CertificateError::DuplicateExtension { oid: extension.extn_id });
            }
            extensions.push(DecodedExtension {
                oid: extension.extn_id,
                critical: extension.critical,
                value: extension.extn_value.as_bytes().to_vec(),
            });
        }
        let Spelled { issuer, subject, key } = Spelled::find(der)?;
        Ok(Self {
            der: der.to_vec(),
            thumbprint: Digest::of(der),
            serial,
            issuer: issuer.to_vec(),
            subject: subject.to_vec(),
            validity,
            key: PublicKey::from_spki(key)?,
            extensions,
        })
    }

    /// The bytes, as read.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the bytes: the `x5t#S256` of receipts.
    #[must_use]
    pub const fn thumbprint(&self) -> Digest {
        self.thumbprint
    }

    /// The serial number.
    #[must_use]
    pub const fn serial(&self) -> SerialNumber {
        self.serial
    }

    /// DER of the issuer's name.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// DER of the subject's name.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The subject's name as text (RFC 4514).
    #[must_use]
    pub fn subject_text(&self) -> String {
        // INVARIANT: these bytes were encoded from a name.
        Name::from_der(&self.subject).map_or_else(|_| String::new(), |name| name.to_string())
    }

    /// When it is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The certified key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whether the key `signer` signed it.
    pub(super) fn is_signed_by(&self, signer: &PublicKey) -> bool {
        let parts = SliceReader::new(&self.der).and_then(|mut outer| {
            outer.sequence(|certificate: &mut SliceReader<'_>| {
                let (tbs, _algorithm) = (certificate.tlv_bytes()?, certificate.tlv_bytes()?);
                let signature: BitStringRef<'_> = certificate.decode()?;
                Ok::<_, der::Error>((tbs, signature))
            })
        });
        parts.is_ok_and(|(tbs, signature)| {
            signature.as_bytes().is_some_and(|octets| signer.verify_x509(tbs, octets).is_ok())
        })
    }

    pub(super) fn extensions(&self) -> &[DecodedExtension] {
        &self.extensions
    }
}

/// What is needed as it is spelled, found again in bytes that are a certificate: encoding it anew takes ten times as long.
struct Spelled<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    key: &'a [u8],
}

impl<'a> Spelled<'a> {
    /// ```text
    /// TBSCertificate ::= SEQUENCE { [0] version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, .. }
    /// ```
    fn find(der: &'a [u8]) -> der::Result<Self> {
        SliceReader::new(der)?.sequence(|certificate: &mut SliceReader<'a>| {
            let spelled = certificate.sequence(|tbs: &mut SliceReader<'a>| {
                for _ in ["version", "serialNumber", "signature"] {
                    tbs.tlv_bytes()?;
                }
                let issuer = tbs.tlv_bytes()?;
                let _validity = tbs.tlv_bytes()?;
                let spelled = Self { issuer, subject: tbs.tlv_bytes()?, key: tbs.tlv_bytes()? };
                pass_over(tbs)?;
                Ok::<_, der::Error>(spelled)
            })?;
            pass_over(certificate)?;
            Ok(spelled)
        })
    }
}

fn pass_over(rest: &mut SliceReader<'_>) -> der::Result<()> {
    while !rest.is_finished() {
        rest.tlv_bytes()?;
    }
    Ok(())
}

fn time(time: &Time) -> Result<UnixTime, CertificateError> {
    // RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050.
    let (date, utc) = match time {
        Time::UtcTime(utc) => (utc.to_date_time(), true),
        Time::GeneralTime(general) => (general.to_date_time(), false),
    };
    let seconds = i64::try_from(date.unix_duration().as_secs()).ok().filter(|_| utc == (date.year() < 2050));
    seconds.map(UnixTime::from_seconds).ok_or(CertificateError::Field("validity encoding"))
}

/// A certificate that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not DER, or not this structure: kind and byte position.
    #[error("malformed certificate: {0}")]
    Der(#[from] der::Error),
    /// A field that breaks RFC 5280 or the profile.
    #[error("certificate field `{0}` is not allowed as it stands")]
    Field(&'static str),
    /// The certified key.
    #[error("certificate key: {0}")]
    Key(#[from] KeyError),
    /// The same extension twice.
    #[error("certificate extension {oid} stands there twice")]
    DuplicateExtension {
        /// Which one.
        oid: ObjectIdentifier,
    },
    /// An extension that the profile's table refuses.
    #[error("certificate extension `{name}` {problem}")]
    Extension {
        /// Its name, or its identifier if it has none here.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The scope.
    #[error(transparent)]
    Scope(#[from] crate::scope::DecodeError),
    /// More bytes than any certificate of the profile has.
    #[error("the certificate has {bytes} bytes, at most {MAX_CERTIFICATE} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// A scope takes at most 16 kB and the rest of the profile below 2 kB.
const MAX_CERTIFICATE: usize = 32 << 10;
