//! A witness's folder: its key beside its memory.
//!
//! ```text
//! W/key.pem vkey      cosigns; encrypted like an authority's keys, and the name it cosigns under
//! W/passphrase        only if nobody gave one
//! W/..                the memory, as the core's room `log` lays it out
//! ```
//! It belongs to somebody else than the log it watches, and to a machine that is not restored from a snapshot: a witness
//! that forgets has seen nothing.

use std::fs::File;
use std::io;
use std::path::Path;

use kakunin_core::key::Algorithm;
use kakunin_core::log::{LogError, LogReader, VerifierKeyError, Witness, WitnessError, WitnessKey};

use crate::files::{self, FileError, Readers};
use crate::signer::{self, KeyFileError, PassphraseError, PassphraseSources};

/// Opens the witness in `folder`; the first time, makes its key, to cosign as `name` or under a name made from the key.
///
/// # Errors
/// [`WitnessHomeError`] when its key or memory cannot be used, or it has another name.
pub fn open(
    folder: &Path,
    sources: PassphraseSources<'_>,
    name: Option<&str>,
) -> Result<Witness, WitnessHomeError> {
    files::make_directory(folder, Readers::Everyone)?;
    // Of two first uses, one makes the key and the other finds it.
    let held = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
    let _held = held.map_err(|error| FileError::new("lock", folder, error))?;
    let (path, key) = (folder.join("vkey"), folder.join("key.pem"));
    let signer = match key.exists() {
        true => signer::open(&key, &sources.find()?)?,
        false if path.exists() => return Err(missing(&key).into()),
        false => signer::create(&key, &sources.find_or_make()?, Algorithm::Ed25519)?,
    };
    let name = if path.exists() {
        let known = LogReader::key_beside(folder)?.name().to_owned();
        if let Some(asked) = name.filter(|asked| *asked != known) {
            return Err(WitnessHomeError::OtherName { name: known, asked: asked.to_owned() });
        }
        known
    } else {
        let digits = signer.public().key_id().to_hex();
        let unique = digits.get(..32).unwrap_or(&digits);
        name.map_or_else(|| format!("witness.kakunin.invalid/{unique}"), ToOwned::to_owned)
    };
    let key = WitnessKey::new(&name, signer)?;
    if !path.exists() {
        files::replace(&path, format!("{}\n", key.verifier()).as_bytes(), Readers::Everyone)?;
    }
    Ok(Witness::open(folder, key)?)
}

fn missing(key: &Path) -> FileError {
    let why = "the witness has a name and no key; restore it, or begin another witness in another folder";
    FileError::new("find", key, io::Error::new(io::ErrorKind::NotFound, why))
}

/// A witness that cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessHomeError {
    /// The witness has a name already.
    #[error("the witness's name is `{name}` and cannot become `{asked}`; leave --name out")]
    OtherName {
        /// Its name.
        name: String,
        /// What was asked for.
        asked: String,
    },
    /// A name or key that no witness can have.
    #[error(transparent)]
    Name(#[from] VerifierKeyError),
    /// Its key.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// What opens it.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// Its name.
    #[error(transparent)]
    Vkey(#[from] LogError),
    /// Its memory.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}
