//! Files that are there whole or not at all.
//!
//! Written beside their place, synced, renamed over it, and the folder synced: a guard that watches sees the old bytes or the
//! new ones, also after a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

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

/// Makes a folder, and those above it that are missing, for their owner alone.
///
/// # Errors
/// [`FileError`].
pub(crate) fn make_folder(path: &Path) -> Result<(), FileError> {
    let fail = |source| FileError { verb: "make the folder", path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)
}

/// The text at `path` itself, of at most `limit` bytes: of what is behind a link nothing is copied.
pub(crate) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let as_it_is = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(as_it_is).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    let read = file.take(limit.saturating_add(1)).read_to_string(&mut text)?;
    let within = u64::try_from(read).is_ok_and(|read| read <= limit);
    if within { Ok(text) } else { Err(io::Error::other(format!("it has more than {limit} bytes"))) }
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
    use kakunin_core::modes::open_lock;

    use super::*;

    /// C182
    #[test]
    fn a_link_or_a_pipe_in_the_place_of_a_file_is_neither_followed_nor_waited_for() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        fs::write(at("victim"), "secret").unwrap();
        std::os::unix::fs::symlink(at("victim"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("nothing"), at("dangling")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).unwrap();
        for name in ["link", "dangling", "pipe"] {
            assert!(open_lock(&at(name)).is_err(), "{name}");
            assert!(read_text(&at(name), 100).is_err(), "{name}");
        }
        assert!(!at("nothing").exists());
        open_lock(&at("lock")).unwrap();
        assert_eq!(read_text(&at("victim"), 6).unwrap(), "secret");
        assert!(read_text(&at("victim"), 5).is_err());
        make_folder(&at("one/two")).unwrap();
        for folder in ["one", "one/two"] {
            assert_eq!(fs::metadata(at(folder)).unwrap().permissions().mode() & 0o077, 0, "{folder}");
        }
    }

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
