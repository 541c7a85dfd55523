//! Files that are there whole or not at all.
//!
//! Written beside their place, synced, renamed over it, and the folder synced: a guard that watches sees the old bytes or the
//! new ones, also after a power cut.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Everyone: certificates, lists.
    Everyone,
    /// The owner alone: keys.
    Owner,
}

/// Puts `bytes` at `path` in one step. Whoever calls holds the directory's lock: all use one name beside it.
///
/// # Errors
/// [`FileError`]; the old file is then still there, unless only the last sync failed.
pub(crate) fn replace(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), FileError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    let beside = folder.join(name);
    let mode = match readers {
        Readers::Everyone => 0o644,
        Readers::Owner => 0o600,
    };
    let write = || {
        // Made anew: what a killed process left goes, and a link that somebody put there is not followed.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        // The mode of `open` passes through the umask.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&beside);
        FileError { verb: "write", path: path.to_owned(), source }
    })
}

/// Makes a folder and those above it.
///
/// # Errors
/// [`FileError`].
pub(crate) fn make_folder(path: &Path) -> Result<(), FileError> {
    let fail = |source| FileError { verb: "make the folder", path: path.to_owned(), source };
    fs::create_dir_all(path).map_err(fail)
}

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}: {source}", path.display())]
pub struct FileError {
    pub(crate) verb: &'static str,
    pub(crate) path: PathBuf,
    #[source]
    pub(crate) source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_a_planted_link_is_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let (path, victim) = (temp.path().join("lists.pem"), temp.path().join("victim"));
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, temp.path().join(".lists.pem.tmp")).unwrap();
        replace(&path, b"one", Readers::Owner).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        replace(&path, b"two", Readers::Everyone).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 2);
    }
}
