//! What closes secrets that have to be read again: those of webhooks, which sign with them.
//!
//! The key is a file beside the others, encrypted as they are, so whoever has the store alone has no secret. It is an
//! Ed25519 key because stock tools open and write such files; nothing is ever signed with it. A closed secret is one
//! octet of version, a nonce, and AES-256-GCM over the secret with the place it belongs to: moved to another place it
//! does not open. Names that only this service may give are marked by the same key, in a use of its own.

use std::path::Path;

use kakunin_core::key::{Algorithm, KeyError, SoftKey};
use pkcs8::PrivateKeyInfoRef;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::file::{KeyFileError, read_closed, write_closed};
use super::passphrase::Passphrase;

/// A key that closes and opens secrets, and marks names.
#[derive(Debug)]
pub struct SealingKey {
    closing: LessSafeKey,
    marking: hmac::Key,
}

impl SealingKey {
    /// Makes a new key and writes it, encrypted, to `path` (mode 0600).
    ///
    /// # Errors
    /// [`KeyFileError`] when there is no randomness or the file cannot be written.
    pub fn create(path: &Path, passphrase: &Passphrase) -> Result<Self, KeyFileError> {
        let (_, pkcs8) = SoftKey::generate(Algorithm::Ed25519)?;
        write_closed(path, &pkcs8, passphrase)?;
        Self::from_pkcs8(&pkcs8)
    }

    /// Opens the key file at `path`.
    ///
    /// # Errors
    /// [`KeyFileError`] when it cannot be read, others could read it, or the passphrase does not open it.
    pub fn open(path: &Path, passphrase: &Passphrase) -> Result<Self, KeyFileError> {
        Self::from_pkcs8(read_closed(path, passphrase)?.as_bytes())
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyFileError> {
        // The private part alone: tools that write the file anew may leave out the public one.
        let key = PrivateKeyInfoRef::try_from(pkcs8).map_err(|_| KeyError::Malformed)?;
        let secret = Salt::new(HKDF_SHA256, USE).extract(key.private_key.as_bytes());
        let derived = secret.expand(&[b"aes-256-gcm"], &AES_256_GCM).map_err(|_| KeyError::Malformed)?;
        let marking = secret.expand(&[b"hmac-sha256"], hmac::HMAC_SHA256).map_err(|_| KeyError::Malformed)?;
        Ok(Self { closing: LessSafeKey::new(UnboundKey::from(derived)), marking: hmac::Key::from(marking) })
    }

    /// The mark of a name that belongs to `place`: nobody without the key makes it.
    #[must_use]
    pub fn mark(&self, place: &[u8], name: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.marking, &marked(place, name));
        // INVARIANT: a tag of HMAC-SHA256 has 32 octets.
        tag.as_ref().try_into().unwrap_or([0; 32])
    }

    /// Whether `mark` is the one of this name in this place.
    #[must_use]
    pub fn is_marked(&self, place: &[u8], name: &[u8], mark: &[u8; 32]) -> bool {
        hmac::verify(&self.marking, &marked(place, name), mark).is_ok()
    }

    /// Closes a secret that belongs to `place`.
    ///
    /// # Errors
    /// [`SealError`] when there is no randomness.
    pub fn close(&self, place: &[u8], secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError)?;
        let mut sealed = secret.to_vec();
        let aad = Aad::from([USE, place].concat());
        let unique = Nonce::assume_unique_for_key(nonce);
        self.closing.seal_in_place_append_tag(unique, aad, &mut sealed).map_err(|_| SealError)?;
        Ok([&[VERSION][..], &nonce, &sealed].concat())
    }

    /// Opens a secret that belongs to `place`.
    ///
    /// # Errors
    /// [`SealError`] when it was closed by another key, for another place, or changed since.
    pub fn open_secret(&self, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let [VERSION, rest @ ..] = sealed else { return Err(SealError) };
        let (nonce, closed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError)?;
        let mut opened = Zeroizing::new(closed.to_vec());
        let aad = Aad::from([USE, place].concat());
        let unique = Nonce::assume_unique_for_key(*nonce);
        let length = self.closing.open_in_place(unique, aad, &mut opened).map_err(|_| SealError)?.len();
        opened.truncate(length);
        Ok(opened)
    }
}

/// What is marked: the length in front lets no name begin in its place.
fn marked(place: &[u8], name: &[u8]) -> Vec<u8> {
    [MARK, &(place.len() as u64).to_be_bytes(), place, name].concat()
}

/// A secret that was not closed or does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a kept secret does not open; restore sealing.key.pem from the backup that belongs to the store")]
pub struct SealError;

const USE: &[u8] = b"kakunin sealed secret 1\n";
const MARK: &[u8] = b"kakunin marked name 1\n";
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_marked_in_its_place_and_by_this_key_only() {
        let directory = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::new("correct horse");
        let key = |name: &str| SealingKey::create(&directory.path().join(name), &passphrase).unwrap();
        let (made, other) = (key("key.pem"), key("other.pem"));
        let mark = made.mark(b"place", b"name");
        let opened = SealingKey::open(&directory.path().join("key.pem"), &passphrase).unwrap();
        assert!(opened.is_marked(b"place", b"name", &mark));
        for (place, name) in [(&b"plac"[..], &b"ename"[..]), (b"place", b"nam"), (b"", b"placename")] {
            assert!(!made.is_marked(place, name, &mark), "{place:?} {name:?}");
        }
        assert!(!other.is_marked(b"place", b"name", &mark));
        let mut changed = mark;
        changed[31] ^= 1;
        assert!(!made.is_marked(b"place", b"name", &changed));
    }

    #[test]
    fn a_secret_opens_in_its_place_by_its_key_and_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let (path, passphrase) = (directory.path().join("key.pem"), Passphrase::new("correct horse"));
        let made = SealingKey::create(&path, &passphrase).unwrap();
        let opened = SealingKey::open(&path, &passphrase).unwrap();
        let sealed = made.close(b"place", b"whsec_abc").unwrap();
        assert_eq!(*opened.open_secret(b"place", &sealed).unwrap(), b"whsec_abc");
        assert_ne!(sealed, made.close(b"place", b"whsec_abc").unwrap(), "a nonce is not used twice");
        assert_eq!(opened.open_secret(b"another", &sealed).unwrap_err(), SealError);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(opened.open_secret(b"place", &changed).is_err(), "{at}");
            assert!(opened.open_secret(b"place", &sealed[..at]).is_err(), "{at}");
        }
        let other = SealingKey::create(&directory.path().join("other.pem"), &passphrase).unwrap();
        assert!(other.open_secret(b"place", &sealed).is_err());
        assert!(matches!(
            SealingKey::open(&path, &Passphrase::new("wrong")),
            Err(KeyFileError::WrongPassphrase { .. })
        ));
    }
}
