//! What opens the key files, and where it is looked for.
//!
//! In this order: a file that was named, the service manager's credential `$CREDENTIALS_DIRECTORY/kakunin`, the
//! variable `KAKUNIN_PASSPHRASE`, the home's own `passphrase` file, a prompt. The first that exists is used;
//! a wrong one is an error and never a reason to try the next.

use std::env;
use std::fmt;
use std::io;
use std::path::Path;

use kakunin_core::digest::hex;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, Zeroizing};

use crate::files::{self, FileError, Readers};

/// A passphrase, wiped when dropped and never printed.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes the text as it is.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Takes a file's first line, without its line end.
    fn from_file(path: &Path, mut bytes: Zeroizing<Vec<u8>>) -> Result<Self, PassphraseError> {
        let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
        let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default());
        let made = match text {
            Ok(text) if !text.is_empty() => Ok(Self::new(text)),
            _ => Err(PassphraseError::Empty { place: path.display().to_string() }),
        };
        bytes.zeroize();
        made
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Asks a person; `None` where there is nobody to ask.
pub(crate) type Ask<'a> = &'a dyn Fn(&str) -> io::Result<Option<Zeroizing<String>>>;

/// Where to look for the passphrase of one home.
#[derive(Clone, Copy)]
pub struct PassphraseSources<'a> {
    /// A file that was named by the caller.
    pub named: Option<&'a Path>,
    /// The home's own file; looked at if it exists.
    pub own: &'a Path,
    /// How to ask.
    pub ask: Ask<'a>,
}

impl PassphraseSources<'_> {
    /// Finds the passphrase of a home that exists.
    ///
    /// # Errors
    /// [`PassphraseError`] when a source cannot be read or there is none.
    pub fn find(&self) -> Result<Passphrase, PassphraseError> {
        if let Some(found) = self.written()? {
            return Ok(found);
        }
        let asked = (self.ask)("passphrase of the authority's keys: ").map_err(PassphraseError::Prompt)?;
        asked.map(Passphrase).ok_or(PassphraseError::Missing)
    }

    /// Finds or makes the passphrase of a new home: with nobody to ask, a random one is written to its own file.
    ///
    /// # Errors
    /// [`PassphraseError`] when a source cannot be read, the two answers differ or the file cannot be written.
    pub fn find_or_make(&self) -> Result<Passphrase, PassphraseError> {
        if let Some(found) = self.written()? {
            return Ok(found);
        }
        let first =
            (self.ask)("new passphrase for the authority's keys (empty: a random one, kept in a file): ");
        match first.map_err(PassphraseError::Prompt)? {
            Some(text) if !text.is_empty() => {
                let again = (self.ask)("the same again: ").map_err(PassphraseError::Prompt)?;
                if again.as_deref() != Some(&*text) {
                    return Err(PassphraseError::Differ);
                }
                Ok(Passphrase(text))
            }
            _ => {
                let mut random = [0; 32];
                SystemRandom::new().fill(&mut random).map_err(|_| PassphraseError::NoRandomness)?;
                let made = Passphrase(Zeroizing::new(hex(&random)));
                random.zeroize();
                files::replace(self.own, format!("{}\n", *made.0).as_bytes(), Readers::Owner)?;
                Ok(made)
            }
        }
    }

    /// Looks whether what was written down can be read, without asking anybody: before a home is made.
    ///
    /// # Errors
    /// [`PassphraseError`] when the first source that exists cannot be read.
    pub(crate) fn check(&self) -> Result<(), PassphraseError> {
        self.written().map(drop)
    }

    fn written(&self) -> Result<Option<Passphrase>, PassphraseError> {
        if let Some(path) = self.named {
            return Passphrase::from_file(path, files::read_secret(path)?).map(Some);
        }
        if let Some(directory) = env::var_os("CREDENTIALS_DIRECTORY") {
            let path = Path::new(&directory).join("kakunin");
            if path.exists() {
                return Passphrase::from_file(&path, Zeroizing::new(files::read(&path)?)).map(Some);
            }
        }
        match env::var("KAKUNIN_PASSPHRASE") {
            Ok(text) if !text.is_empty() => return Ok(Some(Passphrase(Zeroizing::new(text)))),
            Ok(_) => return Err(PassphraseError::Empty { place: "KAKUNIN_PASSPHRASE".into() }),
            Err(env::VarError::NotUnicode(_)) => {
                return Err(PassphraseError::Empty { place: "KAKUNIN_PASSPHRASE".into() });
            }
            Err(env::VarError::NotPresent) => {}
        }
        if self.own.exists() {
            return Passphrase::from_file(self.own, files::read_secret(self.own)?).map(Some);
        }
        Ok(None)
    }
}

/// A passphrase that could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A source that holds no text.
    #[error("{place} holds no passphrase; write one line of text into it")]
    Empty {
        /// Which source.
        place: String,
    },
    /// No source at all, and nobody to ask.
    #[error("no passphrase for the authority's keys; pass --passphrase-file or set KAKUNIN_PASSPHRASE")]
    Missing,
    /// Two different answers.
    #[error("the two passphrases differ; start again")]
    Differ,
    /// The terminal failed.
    #[error("cannot ask for the passphrase: {0}")]
    Prompt(#[source] io::Error),
    /// The random number generator failed.
    #[error("no randomness for a passphrase")]
    NoRandomness,
}
