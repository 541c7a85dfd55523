//! A private key in this process, read from PKCS#8 (RFC 5208, RFC 5958).

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::public::{Algorithm, KeyError, PublicKey, Signature};
use super::signer::{SignError, SignInput};

/// A P-256 or Ed25519 private key held in memory.
pub struct SoftKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SoftKey {
    /// Makes a new key; the second value is its PKCS#8 DER, wiped when dropped.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`] when the system gives none.
    pub fn generate(algorithm: Algorithm) -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let random = SystemRandom::new();
        let pkcs8 = match algorithm {
            Algorithm::P256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
            Algorithm::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
        }
        .map_err(|_| KeyError::NoRandomness)?;
        let der = Zeroizing::new(pkcs8.as_ref().to_vec());
        Ok((Self::from_pkcs8(&der)?, der))
    }

    /// Reads an unencrypted PKCS#8 key.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] when it is no P-256 or Ed25519 key in that form, or its halves do not match.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(pair) =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new())
        {
            let public = PublicKey::from_raw(Algorithm::P256, pair.public_key().as_ref())?;
            return Ok(Self { pair: Pair::P256(pair), public });
        }
        // RFC 5958 makes the public half optional and OpenSSL leaves it out.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| KeyError::Malformed)?;
        let public = PublicKey::from_raw(Algorithm::Ed25519, pair.public_key().as_ref())?;
        Ok(Self { pair: Pair::Ed25519(pair), public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `input`; digests are not signed, since a key in memory can hash for itself.
    ///
    /// # Errors
    /// [`SignError`] when the input is a digest or the system gives no randomness.
    pub(super) fn sign(&self, input: SignInput<'_>) -> Result<Signature, SignError> {
        let SignInput::Raw(message) = input else { return Err(SignError::Unsupported) };
        let out = match &self.pair {
            Pair::P256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map_err(|_| SignError::Provider("no randomness for a signature".into()))?,
            Pair::Ed25519(pair) => pair.sign(message),
        };
        let bytes = out.as_ref().try_into().map_err(|_| SignError::WrongKey)?;
        Ok(Signature::from_bytes(bytes))
    }
}

impl fmt::Debug for SoftKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftKey({})", self.public.key_id())
    }
}
