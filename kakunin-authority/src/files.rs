//! Files that are there whole or not at all.
//!
//! Writing goes to a temporary name in the same directory, is synced, renamed over the target and the directory
//! synced: a reader sees the old bytes or the new ones, also after a power cut. Secrets are written for their
//! owner alone and not read when others could have.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Everyone: certificates, lists.
    Everyone,
    /// The owner alone: keys, passphrases.
    Owner,
}

/// Puts `bytes` at `path` in one step.
///
/// # Errors
/// [`FileError`] naming the path; the old file is then still there, unless only the last sync failed.
pub fn replace(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), FileError> {
    let fail = |source| FileError::new("write", path, source);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    // One name for all: what a killed process left is taken by the next. Whoever writes here holds the home's lock.
    name.push(".tmp");
    let temporary = directory.join(name);
    let mode = match readers {
        Readers::Everyone => 0o644,
        Readers::Owner => 0o600,
    };
    let write = || {
        // Made anew: what a crash left there goes, and a link that somebody put there is not followed.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        // The mode of `open` passes through the umask.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        fail(error)
    })
}

/// Makes a directory and its parents.
///
/// # Errors
/// [`FileError`] naming the path.
pub fn make_directory(path: &Path, readers: Readers) -> Result<(), FileError> {
    let fail = |source| FileError::new("make the directory", path, source);
    let existed = path.is_dir();
    fs::create_dir_all(path).map_err(fail)?;
    if readers == Readers::Owner && !existed {
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(fail)?;
    }
    Ok(())
}

/// Reads a file.
///
/// # Errors
/// [`FileError`] naming the path.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(|source| FileError::new("read", path, source))
}

/// Reads a file that only its owner may read.
///
/// # Errors
/// [`FileError`] when it cannot be read, or when its mode lets others read or write it.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let fail = |source| FileError::new("read", path, source);
    let mode = fs::metadata(path).map_err(fail)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let why = format!(
            "its mode {mode:03o} lets others in; run chmod 600 on it, and replace the secret if it was shared"
        );
        return Err(fail(io::Error::new(io::ErrorKind::PermissionDenied, why)));
    }
    fs::read(path).map(Zeroizing::new).map_err(fail)
}

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}: {source}", path.display())]
pub struct FileError {
    /// What was tried.
    pub verb: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

impl FileError {
    pub(crate) fn new(verb: &'static str, path: &Path, source: io::Error) -> Self {
        Self { verb, path: path.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_others_can_read_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        replace(&path, b"secret", Readers::Owner).unwrap();
        assert_eq!(*read_secret(&path).unwrap(), b"secret");
        for mode in [0o640, 0o604, 0o644, 0o660] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(read_secret(&path).is_err(), "{mode:o}");
        }
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, victim) = (directory.path().join("agent.pem"), directory.path().join("victim"));
        fs::write(&victim, "untouched").unwrap();
        let temporary = directory.path().join(".agent.pem.tmp");
        std::os::unix::fs::symlink(&victim, &temporary).unwrap();
        replace(&path, b"new", Readers::Everyone).unwrap();
        assert_eq!((read(&victim).unwrap(), read(&path).unwrap()), (b"untouched".to_vec(), b"new".to_vec()));
    }

    #[test]
    fn replacing_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lists.pem");
        replace(&path, b"one", Readers::Everyone).unwrap();
        replace(&path, b"two", Readers::Everyone).unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
