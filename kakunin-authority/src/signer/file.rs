//! Key files: PKCS#8 encrypted with PBES2, scrypt and AES-256-CBC (RFC 8018, RFC 7914).
//!
//! The cost is N = 2^14, r = 8, p = 5: one of the equivalent settings of the OWASP password storage sheet, and
//! the largest N that `openssl pkey` opens with its default memory limit. Whoever has the passphrase can
//! therefore get at the keys with stock tools, should this program be gone.

use std::path::Path;

use kakunin_core::key::{Algorithm, KeyError, Signer, SoftKey};
use pkcs8::der::pem::{LineEnding, PemLabel};
use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::passphrase::Passphrase;
use crate::files::{self, FileError, Readers};

/// Makes a new key and writes it, encrypted, to `path` (mode 0600).
///
/// # Errors
/// [`KeyFileError`] when there is no randomness or the file cannot be written.
pub fn create(path: &Path, passphrase: &Passphrase, algorithm: Algorithm) -> Result<Signer, KeyFileError> {
    let (key, pkcs8) = SoftKey::generate(algorithm)?;
    write_closed(path, &pkcs8, passphrase)?;
    Ok(Signer::soft(key))
}

/// Opens the key file at `path`.
///
/// # Errors
/// [`KeyFileError`] when it cannot be read, others could read it, or the passphrase does not open it.
pub fn open(path: &Path, passphrase: &Passphrase) -> Result<Signer, KeyFileError> {
    Ok(Signer::soft(SoftKey::from_pkcs8(read_closed(path, passphrase)?.as_bytes())?))
}

/// Writes a PKCS#8 key, encrypted, to `path` (mode 0600).
pub(super) fn write_closed(path: &Path, pkcs8: &[u8], passphrase: &Passphrase) -> Result<(), KeyFileError> {
    let pem = encrypt(pkcs8, passphrase)?;
    Ok(files::replace(path, pem.as_bytes(), Readers::Owner)?)
}

/// The PKCS#8 key in the file at `path`.
pub(super) fn read_closed(path: &Path, passphrase: &Passphrase) -> Result<SecretDocument, KeyFileError> {
    let bytes = files::read_secret(path)?;
    let malformed = || KeyFileError::Malformed { path: path.display().to_string() };
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed())?;
    let (label, document) = SecretDocument::from_pem(text).map_err(|_| malformed())?;
    if label != EncryptedPrivateKeyInfoRef::PEM_LABEL {
        return Err(malformed());
    }
    let sealed = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| malformed())?;
    let wrong = || KeyFileError::WrongPassphrase { path: path.display().to_string() };
    sealed.decrypt(passphrase.as_bytes()).map_err(|_| wrong())
}

/// An unencrypted key as PEM: what an agent's directory holds.
///
/// # Errors
/// [`KeyFileError::Key`] when `pkcs8` is no key.
pub fn plain_pem(pkcs8: &[u8]) -> Result<Zeroizing<String>, KeyFileError> {
    let document = SecretDocument::try_from(pkcs8).map_err(|_| KeyError::Malformed)?;
    Ok(document.to_pem(PrivateKeyInfoRef::PEM_LABEL, LineEnding::LF).map_err(|_| KeyError::Malformed)?)
}

fn encrypt(pkcs8: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<String>, KeyFileError> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    let random = SystemRandom::new();
    random.fill(&mut salt).and_then(|()| random.fill(&mut iv)).map_err(|_| KeyError::NoRandomness)?;
    let cost = scrypt::Params::new(LOG_N, R, P).map_err(|_| KeyError::Malformed)?;
    let parameters = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv);
    let parameters = parameters.map_err(|_| KeyError::Malformed)?;
    let key = PrivateKeyInfoRef::try_from(pkcs8).map_err(|_| KeyError::Malformed)?;
    let sealed = key.encrypt_with_params(parameters, passphrase.as_bytes());
    let sealed = sealed.map_err(|_| KeyError::Malformed)?;
    let pem = sealed.to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF);
    Ok(pem.map_err(|_| KeyError::Malformed)?)
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no encrypted PKCS#8 file.
    #[error("{path} is no encrypted key (PEM, ENCRYPTED PRIVATE KEY); restore it from a backup")]
    Malformed {
        /// The file.
        path: String,
    },
    /// The passphrase is another one's.
    #[error(
        "the passphrase does not open {path}; pass the right one with --passphrase-file or KAKUNIN_PASSPHRASE"
    )]
    WrongPassphrase {
        /// The file.
        path: String,
    },
    /// The key inside cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

const LOG_N: u8 = 14;
const R: u32 = 8;
const P: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_with_its_passphrase_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        for algorithm in [Algorithm::P256, Algorithm::Ed25519] {
            let made = create(&path, &Passphrase::new("correct horse"), algorithm).unwrap();
            let opened = open(&path, &Passphrase::new("correct horse")).unwrap();
            assert_eq!((opened.spki(), opened.algorithm()), (made.spki(), algorithm));
            assert!(matches!(
                open(&path, &Passphrase::new("correct hors")),
                Err(KeyFileError::WrongPassphrase { .. })
            ));
        }
    }
}
