//! Public keys and signatures over them.
//!
//! Takes in a SubjectPublicKeyInfo, gives out a key that can check signatures. The algorithm is always read
//! from the key and never from the message that claims to be signed.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Sequence};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use crate::digest::Digest;

/// The two signature algorithms of this project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256 (`ES256`): every key store has it.
    P256,
    /// Ed25519 (`EdDSA`): log keys, and agents that want it.
    Ed25519,
}

impl Algorithm {
    /// The JOSE name (RFC 7518 section 3.1, RFC 8037 section 3.1).
    #[must_use]
    pub const fn jose_name(self) -> &'static str {
        match self {
            Self::P256 => "ES256",
            Self::Ed25519 => "EdDSA",
        }
    }

    /// The object identifier of the X.509 `signatureAlgorithm`.
    #[must_use]
    pub const fn signature_oid(self) -> ObjectIdentifier {
        match self {
            Self::P256 => ECDSA_WITH_SHA256,
            Self::Ed25519 => ED25519,
        }
    }
}

/// A P-256 or Ed25519 public key with the exact SubjectPublicKeyInfo bytes it came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey {
    spki: Vec<u8>,
    raw: Vec<u8>,
    algorithm: Algorithm,
    /// Worked out once: a gateway compares it with every request.
    id: Digest,
}

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo (RFC 5480 section 2, RFC 8410 section 4).
    ///
    /// # Errors
    /// Bytes that are not DER, another algorithm or curve, parameters where none belong, a point that is not
    /// uncompressed or of the wrong length.
    pub fn from_spki(spki: &[u8]) -> Result<Self, KeyError> {
        let info = Spki::from_der(spki).map_err(|_| KeyError::Malformed)?;
        let raw = info.key.as_bytes().ok_or(KeyError::Malformed)?;
        let curve = info.algorithm.parameters.map(|p| p.decode_as::<ObjectIdentifier>());
        let algorithm = match (info.algorithm.oid, curve) {
            (EC_PUBLIC_KEY, Some(Ok(P256_CURVE))) if raw.len() == 65 && raw.first() == Some(&4) => {
                Algorithm::P256
            }
            (ED25519, None) if raw.len() == 32 && !has_small_order(raw) => Algorithm::Ed25519,
            _ => return Err(KeyError::Unsupported),
        };
        Ok(Self { spki: spki.to_vec(), raw: raw.to_vec(), algorithm, id: Digest::of(spki) })
    }

    /// Wraps the raw public bytes a private key names (uncompressed point, or 32 bytes of Ed25519).
    ///
    /// # Errors
    /// Bytes of another length.
    pub fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Result<Self, KeyError> {
        let parameters = match algorithm {
            Algorithm::P256 => Some(AnyRef::from(&P256_CURVE)),
            Algorithm::Ed25519 => None,
        };
        let info = Spki {
            algorithm: SpkiAlgorithm {
                oid: match algorithm {
                    Algorithm::P256 => EC_PUBLIC_KEY,
                    Algorithm::Ed25519 => ED25519,
                },
                parameters,
            },
            key: BitStringRef::from_bytes(raw).map_err(|_| KeyError::Malformed)?,
        };
        Self::from_spki(&info.to_der().map_err(|_| KeyError::Malformed)?)
    }

    /// The SubjectPublicKeyInfo, byte for byte as read.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the SubjectPublicKeyInfo: the name of a key in pins, sessions and lists.
    #[must_use]
    pub const fn key_id(&self) -> Digest {
        self.id
    }

    /// The raw public bytes: an uncompressed point, or 32 bytes of Ed25519.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Which algorithm this key signs with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Checks `signature` over `message`.
    ///
    /// # Errors
    /// [`InvalidSignature`] when it is not a signature of this key over these bytes.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), InvalidSignature> {
        let algorithm: &dyn VerificationAlgorithm = match self.algorithm {
            Algorithm::P256 => &signature::ECDSA_P256_SHA256_FIXED,
            Algorithm::Ed25519 => &signature::ED25519,
        };
        UnparsedPublicKey::new(algorithm, &self.raw)
            .verify(message, &signature.0)
            .map_err(|_| InvalidSignature)
    }

    /// Checks the signature of an X.509 structure, where ECDSA values are a DER SEQUENCE (RFC 3279 section 2.2.3).
    ///
    /// # Errors
    /// [`InvalidSignature`] when it is malformed or not a signature of this key over these bytes.
    pub fn verify_x509(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let algorithm: &dyn VerificationAlgorithm = match self.algorithm {
            Algorithm::P256 => &signature::ECDSA_P256_SHA256_ASN1,
            Algorithm::Ed25519 => &signature::ED25519,
        };
        UnparsedPublicKey::new(algorithm, &self.raw).verify(message, signature).map_err(|_| InvalidSignature)
    }
}

/// Whether `raw` spells a point of order 1, 2, 4 or 8 (RFC 7748 section 6.1 explains the class). Under such a key
/// one signature fits every message, and ring does not refuse it.
fn has_small_order(raw: &[u8]) -> bool {
    let same = |low: &[u8; 32]| {
        raw.iter().zip(low).enumerate().all(|(at, (a, b))| if at == 31 { a & 0x7f == *b } else { a == b })
    };
    SMALL_ORDER.iter().any(same)
}

/// 64 bytes: `r || s` of ECDSA P-256 (RFC 7518 section 3.4), or an Ed25519 signature (RFC 8032).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Takes the 64 bytes as they are; nothing is checked yet.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes, as a JWS carries them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// The octets an X.509 `signatureValue` carries for `algorithm`.
    #[must_use]
    pub fn to_x509(&self, algorithm: Algorithm) -> Vec<u8> {
        match algorithm {
            Algorithm::Ed25519 => self.0.to_vec(),
            Algorithm::P256 => {
                let (r, s) = self.0.split_at(32);
                let integers = |r, s| EcdsaValue { r: UintRef::new(r)?, s: UintRef::new(s)? }.to_der();
                // INVARIANT: two 32-byte integers always encode; an empty value would fail every check.
                integers(r, s).unwrap_or_default()
            }
        }
    }

    /// Reads the octets of an X.509 `signatureValue` made by `algorithm`, as hardware and cloud keys answer.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] when they are not such a value.
    pub fn from_x509(algorithm: Algorithm, octets: &[u8]) -> Result<Self, KeyError> {
        if algorithm == Algorithm::Ed25519 {
            return Ok(Self(octets.try_into().map_err(|_| KeyError::Malformed)?));
        }
        let value = EcdsaValue::from_der(octets).map_err(|_| KeyError::Malformed)?;
        let mut out = [0; 64];
        let (r_half, s_half) = out.split_at_mut(32);
        for (half, integer) in [(r_half, value.r), (s_half, value.s)] {
            let bytes = integer.as_bytes();
            let start = half.len().checked_sub(bytes.len()).ok_or(KeyError::Malformed)?;
            for (to, from) in half.iter_mut().skip(start).zip(bytes) {
                *to = *from;
            }
        }
        Ok(Self(out))
    }
}

/// A signature that does not belong to the key and the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not match the key and the signed bytes")]
pub struct InvalidSignature;

/// A key that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not the DER or PEM structure it should be.
    #[error("malformed key")]
    Malformed,
    /// Neither P-256 nor Ed25519 in their standard encodings.
    #[error("unsupported key: only P-256 (named curve, uncompressed) and Ed25519 are accepted")]
    Unsupported,
    /// The random number generator failed.
    #[error("no randomness for a new key")]
    NoRandomness,
}

#[derive(Sequence)]
struct SpkiAlgorithm<'a> {
    oid: ObjectIdentifier,
    #[asn1(optional = "true")]
    parameters: Option<AnyRef<'a>>,
}

#[derive(Sequence)]
struct Spki<'a> {
    algorithm: SpkiAlgorithm<'a>,
    key: BitStringRef<'a>,
}

#[derive(Sequence)]
struct EcdsaValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// The y coordinates of the points of small order, sign bit cleared: 0, 1, the two of order 8, then p - 1, p and
/// p + 1, the last two being second spellings of 0 and 1 (the blocklist of libsodium).
const SMALL_ORDER: [[u8; 32]; 7] = [
    near(0, 0),
    near(1, 0),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    near(0xec, 0xff),
    near(0xed, 0xff),
    near(0xee, 0xff),
];

/// `low` followed by thirty bytes of `fill` and its seven lower bits.
const fn near(low: u8, fill: u8) -> [u8; 32] {
    let mut bytes = [fill; 32];
    bytes[0] = low;
    bytes[31] = fill & 0x7f;
    bytes
}
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
