//! The seam between us and whatever keeps a private key.
//!
//! A [`KeyProvider`] is a file, an HSM or a cloud key store; a [`Signer`] wraps one, and no provider can reach a
//! caller without it. Signatures that come from outside this process are checked against the pinned public key
//! before anyone sees them, so a confused store can cost a signature but never put a wrong one on paper.

use std::fmt;

use super::public::{Algorithm, PublicKey, Signature};
use super::soft::SoftKey;
use crate::digest::Digest;

/// What is to be signed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SignInput<'a> {
    /// The message itself; the provider hashes it.
    Raw(&'a [u8]),
    /// SHA-256 of the message, for stores that sign digests only.
    Prehashed(Digest),
}

/// A place that holds one private key and signs with it.
pub trait KeyProvider: Send + Sync {
    /// The public half.
    fn public(&self) -> &PublicKey;

    /// Signs `input`.
    ///
    /// # Errors
    /// [`SignError`] when the store refuses, is unreachable or does not know this form of input.
    fn sign(&self, input: SignInput<'_>) -> Result<Signature, SignError>;
}

/// Anything that signs with a key it does not show.
pub struct Signer(Source);

enum Source {
    /// In this process: the library derived the public half from the private one, so signatures match by construction.
    Soft(Box<SoftKey>),
    Foreign(Box<dyn KeyProvider>),
}

impl Signer {
    /// Signs with a key held in this process.
    #[must_use]
    pub fn soft(key: SoftKey) -> Self {
        Self(Source::Soft(Box::new(key)))
    }

    /// Signs with a key held elsewhere; every signature is checked before it is handed on.
    #[must_use]
    pub fn provider(provider: Box<dyn KeyProvider>) -> Self {
        Self(Source::Foreign(provider))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        match &self.0 {
            Source::Soft(key) => key.public(),
            Source::Foreign(provider) => provider.public(),
        }
    }

    /// The public half as SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        self.public().spki()
    }

    /// The algorithm of the key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.public().algorithm()
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// [`SignError`] when the key store fails, or answers with a signature that is not its key's.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        match &self.0 {
            Source::Soft(key) => key.sign(SignInput::Raw(message)),
            Source::Foreign(provider) => {
                let signature = provider.sign(SignInput::Raw(message))?;
                provider.public().verify(message, &signature).map_err(|_| SignError::WrongKey)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public().key_id())
    }
}

/// A signature that could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The store answered with a signature that the pinned public key does not confirm.
    #[error("the key store answered with a signature of another key")]
    WrongKey,
    /// The provider does not sign this form of input.
    #[error("this key store cannot sign that form of input")]
    Unsupported,
    /// The store refused or could not be reached.
    #[error("the key store failed: {0}")]
    Provider(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store whose key is not the one it says: what a mislabelled cloud key looks like.
    struct Liar {
        says: SoftKey,
        signs: SoftKey,
    }

    impl KeyProvider for Liar {
        fn public(&self) -> &PublicKey {
            self.says.public()
        }

        fn sign(&self, input: SignInput<'_>) -> Result<Signature, SignError> {
            self.signs.sign(input)
        }
    }

    #[test]
    fn a_store_that_signs_with_another_key_is_caught() {
        let key = || SoftKey::generate(Algorithm::P256).unwrap().0;
        let liar = Signer::provider(Box::new(Liar { says: key(), signs: key() }));
        assert_eq!(liar.sign(b"m"), Err(SignError::WrongKey));
    }

    #[test]
    fn signatures_verify_in_both_encodings() {
        for algorithm in [Algorithm::P256, Algorithm::Ed25519] {
            let signer = Signer::soft(SoftKey::generate(algorithm).unwrap().0);
            let signature = signer.sign(b"m").unwrap();
            signer.public().verify(b"m", &signature).unwrap();
            assert!(signer.public().verify(b"n", &signature).is_err());
            let x509 = signature.to_x509(algorithm);
            signer.public().verify_x509(b"m", &x509).unwrap();
            assert_eq!(Signature::from_x509(algorithm, &x509), Ok(signature));
        }
    }
}
