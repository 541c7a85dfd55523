//! The four certificates of this authority, extension for extension.
//!
//! The tables here are the mirror of the core's: that one says what is accepted, these say what is written. Every
//! certificate is read back through the core before it is signed, so the two cannot drift apart.

use std::time::{Duration, UNIX_EPOCH};

use der::asn1::{Any, BitString, Ia5String, Int, ObjectIdentifier, OctetString};
use der::flagset::FlagSet;
use der::{Decode, Encode, Sequence};
use kakunin_core::certificate::{CaCertificate, oids};
use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::key::{Algorithm, PublicKey, Signature};
use kakunin_core::time::{UnixTime, Validity};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::time::Time;

/// What a certificate says, apart from its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its common name.
    pub name: &'a str,
    /// Its key.
    pub key: &'a PublicKey,
    /// From when to when.
    pub validity: Validity,
    /// Its serial number.
    pub serial: SerialNumber,
}

/// What kind of certificate it is.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// The anchor.
    Root,
    /// An authority for agents below `issuer`.
    Issuing {
        /// The root.
        issuer: &'a CaCertificate,
    },
    /// An agent below `issuer`.
    Agent {
        /// The issuing authority.
        issuer: &'a CaCertificate,
        /// Who it is.
        id: AgentId,
        /// Its scope, as DER.
        scope: &'a [u8],
    },
    /// The key that signs the feed of `issuer`.
    Feed {
        /// The issuing authority.
        issuer: &'a CaCertificate,
    },
}

impl Kind<'_> {
    const fn issuer(&self) -> Option<&CaCertificate> {
        match self {
            Self::Root => None,
            Self::Issuing { issuer } | Self::Agent { issuer, .. } | Self::Feed { issuer } => Some(issuer),
        }
    }

    /// The rows of the profile, in the order they are written.
    fn extensions(&self, key: &PublicKey) -> der::Result<Vec<Extension>> {
        let authority = |path_len| BasicConstraints { ca: true, path_len_constraint: path_len };
        let nobody = BasicConstraints { ca: false, path_len_constraint: None };
        let signs = KeyUsages::KeyCertSign | KeyUsages::CRLSign;
        let usages = ExtendedKeyUsage(vec![oids::EKU_CLIENT_AUTH, oids::EKU_AGENT]);
        let mut rows = match self {
            Self::Root => vec![row(&authority(None), true)?, key_usage(signs)?],
            Self::Issuing { .. } => {
                vec![row(&authority(Some(0)), true)?, key_usage(signs)?, row(&usages, false)?]
            }
            Self::Feed { .. } => vec![
                row(&nobody, true)?,
                key_usage(KeyUsages::DigitalSignature)?,
                row(&ExtendedKeyUsage(vec![oids::EKU_FEED]), true)?,
            ],
            Self::Agent { id, scope, .. } => vec![
                row(&nobody, true)?,
                key_usage(KeyUsages::DigitalSignature)?,
                row(&usages, false)?,
                row(
                    &SubjectAltName(vec![GeneralName::UniformResourceIdentifier(Ia5String::new(
                        &id.to_urn(),
                    )?)]),
                    false,
                )?,
                Extension {
                    extn_id: oids::AGENT_SCOPE,
                    critical: false,
                    extn_value: OctetString::new(*scope)?,
                },
            ],
        };
        rows.push(row(&SubjectKeyIdentifier(OctetString::new(key_id(key))?), false)?);
        if let Some(issuer) = self.issuer() {
            let id = OctetString::new(issuer.list_issuer().key_id)?;
            rows.push(row(
                &AuthorityKeyIdentifier { key_identifier: Some(id), ..Default::default() },
                false,
            )?);
        }
        Ok(rows)
    }
}

fn key_usage(usages: impl Into<FlagSet<KeyUsages>>) -> der::Result<Extension> {
    row(&KeyUsage(usages.into()), true)
}

fn row<T: Encode + der::oid::AssociatedOid>(value: &T, critical: bool) -> der::Result<Extension> {
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// The key identifier of RFC 7093 section 2, method 1: the leftmost 160 bits of SHA-256 of the public key bits.
fn key_id(key: &PublicKey) -> [u8; 20] {
    let mut id = [0; 20];
    for (to, from) in id.iter_mut().zip(Digest::of(key.raw()).as_bytes()) {
        *to = *from;
    }
    id
}

/// The DER of the `TBSCertificate` (RFC 5280 section 4.1), to be signed by a key of `algorithm`.
///
/// # Errors
/// [`der::Error`] when a value has no encoding, such as a year after 9999.
pub fn to_be_signed(kind: &Kind<'_>, subject: &Subject<'_>, algorithm: Algorithm) -> der::Result<Vec<u8>> {
    let name = common_name(subject.name)?;
    let issuer = match kind.issuer() {
        Some(issuer) => Name::from_der(issuer.decoded().subject())?,
        None => name.clone(),
    };
    TbsCertificate {
        version: 2,
        serial: Int::new(&subject.serial.to_der_content())?,
        signature: SignatureAlgorithm { oid: algorithm.signature_oid() },
        issuer,
        validity: TbsValidity {
            not_before: encode_time(subject.validity.not_before)?,
            not_after: encode_time(subject.validity.not_after)?,
        },
        subject: name,
        key: Any::from_der(subject.key.spki())?,
        extensions: kind.extensions(subject.key)?,
    }
    .to_der()
}

/// Joins signed bytes with their signature: a certificate or a list.
///
/// # Errors
/// [`der::Error`] when the parts are too long to be counted.
pub fn signed(tbs: &[u8], algorithm: Algorithm, signature: &Signature) -> der::Result<Vec<u8>> {
    // Not decoded again: what was signed is what stands there, byte for byte.
    let tail = [
        SignatureAlgorithm { oid: algorithm.signature_oid() }.to_der()?,
        BitString::from_bytes(&signature.to_x509(algorithm))?.to_der()?,
    ]
    .concat();
    let length = der::Length::try_from(tbs.len().saturating_add(tail.len()))?;
    let mut out = Vec::with_capacity(tbs.len().saturating_add(tail.len()).saturating_add(8));
    out.push(SEQUENCE);
    length.encode_to_vec(&mut out)?;
    out.extend_from_slice(tbs);
    out.extend_from_slice(&tail);
    Ok(out)
}

/// A time as RFC 5280 section 4.1.2.5 wants it: UTCTime through 2049, GeneralizedTime from 2050.
pub(crate) fn encode_time(time: UnixTime) -> der::Result<Time> {
    let seconds = u64::try_from(time.seconds()).map_err(|_| der::ErrorKind::DateTime)?;
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(der::ErrorKind::DateTime)?;
    Time::try_from(time)
}

fn common_name(text: &str) -> der::Result<Name> {
    // INVARIANT: names are an agent's name or our own text: no character that RFC 4514 would have to escape.
    format!("CN={text}").parse()
}

#[derive(Sequence)]
struct SignatureAlgorithm {
    // Both algorithms carry no parameters (RFC 5758 section 3.2, RFC 8410 section 3).
    oid: ObjectIdentifier,
}

#[derive(Sequence)]
struct TbsValidity {
    not_before: Time,
    not_after: Time,
}

#[derive(Sequence)]
struct TbsCertificate {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: Int,
    signature: SignatureAlgorithm,
    issuer: Name,
    validity: TbsValidity,
    subject: Name,
    key: Any,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

const SEQUENCE: u8 = 0x30;
