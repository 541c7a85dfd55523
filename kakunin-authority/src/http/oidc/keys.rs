//! An issuer's keys, a JWK set (RFC 7517) in a file: RSA for RS256, P-256 for ES256, and no others.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

use crate::files::{self, FileError};

/// The keys of an issuer, by which it signs now.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: String,
    key: PublicKey,
}

#[derive(Debug)]
enum PublicKey {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
}

/// By which rule a token is signed. `none` and what is keyed with a secret are no rules here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Rs256,
    Es256,
}

impl Rule {
    pub(super) fn from_word(word: &str) -> Option<Self> {
        match word {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

impl Keys {
    pub(super) fn read(path: &Path) -> Result<Self, IssuerKeysError> {
        let octets = files::read(path)?;
        // What an issuer withdrew stays good here for as long as nobody fetches its keys anew.
        let now = SystemTime::now();
        let written = std::fs::metadata(path).and_then(|about| about.modified()).ok();
        // A date to come would keep them young for as long as somebody likes.
        let is_young = written.is_some_and(|written| match now.duration_since(written) {
            Ok(age) => age <= MOST_AGE,
            Err(ahead) => ahead.duration() <= CLOCKS,
        });
        if !is_young {
            let what = "it was written more than 24 hours ago, or is dated ahead; have it fetched every hour"
                .to_owned();
            return Err(IssuerKeysError::Form { path: path.to_owned(), what });
        }
        let set: WrittenSet = serde_json::from_slice(&octets)
            .map_err(|error| IssuerKeysError::Form { path: path.to_owned(), what: error.to_string() })?;
        // Others may be there for other uses; what cannot be read proves nothing.
        let keys: Vec<_> = set.keys.into_iter().filter_map(WrittenKey::read).collect();
        if keys.is_empty() {
            let what = "there is no key of RSA or P-256 with a `kid` in it".to_owned();
            return Err(IssuerKeysError::Form { path: path.to_owned(), what });
        }
        Ok(Self(keys))
    }

    /// Whether the key of this id, and the only one, signed it by this rule.
    pub(super) fn verify(&self, id: &str, rule: Rule, message: &[u8], signature: &[u8]) -> bool {
        let mut named = self.0.iter().filter(|key| key.id == id);
        let (Some(key), None) = (named.next(), named.next()) else { return false };
        match (&key.key, rule) {
            (PublicKey::Rsa { n, e }, Rule::Rs256) => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            (PublicKey::P256(point), Rule::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

#[derive(Deserialize)]
struct WrittenSet {
    keys: Vec<WrittenKey>,
}

#[derive(Deserialize)]
struct WrittenKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    used: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl WrittenKey {
    fn read(self) -> Option<Key> {
        let octets = |text: &Option<String>| Base64UrlUnpadded::decode_vec(text.as_deref()?).ok();
        if self.used.as_deref().is_some_and(|used| used != "sig") {
            return None;
        }
        let named = |rule: &str| self.alg.as_deref().is_none_or(|alg| alg == rule);
        let key = match self.kty.as_str() {
            "RSA" if named("RS256") => PublicKey::Rsa { n: octets(&self.n)?, e: octets(&self.e)? },
            "EC" if named("ES256") && self.crv.as_deref() == Some("P-256") => {
                let (x, y) = (octets(&self.x)?, octets(&self.y)?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                PublicKey::P256([&[4_u8][..], &x, &y].concat())
            }
            _ => return None,
        };
        Some(Key { id: self.kid?, key })
    }
}

/// Why an issuer's keys are not read.
#[derive(Debug)]
pub enum IssuerKeysError {
    /// The file cannot be read.
    File(FileError),
    /// It is no JWK set.
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl From<FileError> for IssuerKeysError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl fmt::Display for IssuerKeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Form { path, what } => {
                write!(f, "{} is no set of keys as an issuer shows it: {what}", path.display())
            }
        }
    }
}

impl std::error::Error for IssuerKeysError {}

/// Issuers change keys within days, and a leaked one at once.
const MOST_AGE: Duration = Duration::from_secs(24 * 3600);

/// By how much the clock of whoever fetched them may be ahead.
const CLOCKS: Duration = Duration::from_secs(60);
