//! The owner's log: one for each home, its key encrypted like the others.
//!
//! ```text
//! H/log/key.pem     signs checkpoints; Ed25519, as witnesses expect it
//! H/log/..          the log itself, as the core's room `log` lays it out; everyone may read it
//! ```

use std::path::PathBuf;

use kakunin_core::key::Algorithm;
use kakunin_core::log::{Log, LogError, LogKey, LogReader, VerifierKeyError};

use crate::authority::{Authority, AuthorityError};
use crate::files::{self, Readers};
use crate::home::{Home, HomeError};
use crate::signer::{self, KeyFileError, PassphraseError, PassphraseSources};

impl Home {
    /// The folder of the owner's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    fn log_key(&self) -> PathBuf {
        self.log().join("key.pem")
    }
}

/// Opens the owner's log to continue it; the first time, makes its key and begins it under the name `origin`, or under
/// one made from the root's thumbprint.
///
/// # Errors
/// [`OwnerLogError`] when there is no authority, the log is not as it was signed, its key is gone, or it has another name.
pub fn open(home: &Home, sources: PassphraseSources<'_>, origin: Option<&str>) -> Result<Log, OwnerLogError> {
    // Held while the log is opened: of two first uses, one makes the key and the other finds it.
    let authority = Authority::open(home, sources)?;
    let (folder, key) = (home.log(), home.log_key());
    let begun = ["checkpoint", "tile"].iter().any(|name| folder.join(name).exists());
    if begun {
        let known = LogReader::key_beside(&folder)?;
        if let Some(origin) = origin.filter(|origin| *origin != known.name()) {
            return Err(OwnerLogError::OtherName { name: known.name().to_owned(), asked: origin.to_owned() });
        }
        let signer = signer::open(&key, &sources.find()?)?;
        return Ok(Log::open(&folder, LogKey::new(known.name(), signer)?)?);
    }
    let thumbprint = authority.root().decoded().thumbprint().to_hex();
    let unique = thumbprint.get(..32).unwrap_or(&thumbprint);
    let origin = origin.map_or_else(|| format!("log.kakunin.invalid/{unique}"), ToOwned::to_owned);
    files::make_directory(&folder, Readers::Everyone).map_err(AuthorityError::from)?;
    let passphrase = sources.find()?;
    // A key without a log is what a crash left; it signed nothing yet.
    let signer = match key.exists() {
        true => signer::open(&key, &passphrase)?,
        false => signer::create(&key, &passphrase, Algorithm::Ed25519)?,
    };
    Ok(Log::create(&folder, LogKey::new(&origin, signer)?)?)
}

/// An owner's log that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnerLogError {
    /// The log has a name already.
    #[error("the log's name is `{name}` and cannot become `{asked}`; leave --origin out")]
    OtherName {
        /// Its name.
        name: String,
        /// What was asked for.
        asked: String,
    },
    /// A name or key that no log can have.
    #[error(transparent)]
    Name(#[from] VerifierKeyError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log's key.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// What opens it.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl From<HomeError> for OwnerLogError {
    fn from(error: HomeError) -> Self {
        AuthorityError::from(error).into()
    }
}
