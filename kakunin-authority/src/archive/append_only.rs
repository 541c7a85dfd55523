//! The append-only attribute of a file, as `chattr +a` sets it: an advisory layer under the archive.
//!
//! A file that has it can be read and appended to. Nobody, root included, can overwrite, cut, rename or remove it until root
//! takes the attribute off again, so it stops accidents and a compromised account, and not the machine's owner. It is
//! given to files that will not change any more: full tiles, full bundles of entries, closed segments of a journal. Only
//! some file systems know it, and only a process with CAP_LINUX_IMMUTABLE may set it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{IFlags, OFlags, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;

use crate::files::FileError;

/// What to do with the attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Give it.
    Protect,
    /// Take it off.
    Release,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "says how many files have it"]
pub struct Changed {
    /// Files that were changed.
    pub changed: u64,
    /// Files that had it already, or had it not.
    pub as_before: u64,
}

/// Changes the attribute of every closed file of a log and of journals.
///
/// # Errors
/// [`AppendOnlyError`] at the first file that cannot be changed, naming what is missing.
pub fn apply(log: &Path, journals: &[PathBuf], change: Change) -> Result<Changed, AppendOnlyError> {
    let mut changed = Changed::default();
    let mut files = full_tiles(log)?;
    for journal in journals {
        files.extend(closed_segments(journal)?);
    }
    for path in files {
        match set(&path, change)? {
            true => changed.changed += 1,
            false => changed.as_before += 1,
        }
    }
    Ok(changed)
}

/// Whether the attribute can be set on files in `folder`, tried on a file of its own.
#[must_use]
pub fn is_possible(folder: &Path) -> bool {
    let path = folder.join(format!(".append-only.{}", std::process::id()));
    let possible = File::create(&path).is_ok() && matches!(set(&path, Change::Protect), Ok(true));
    if possible {
        let _ = set(&path, Change::Release);
    }
    let _ = fs::remove_file(&path);
    possible
}

/// Sets or clears it on one file; says whether anything changed.
fn set(path: &Path, change: Change) -> Result<bool, AppendOnlyError> {
    // Root does this in folders of others: a link there must not choose another file, nor a pipe wait for somebody.
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| FileError::new("open", path, error))?;
    let meta = file.metadata().map_err(|error| FileError::new("open", path, error))?;
    if !meta.is_file() {
        return Err(FileError::new("protect", path, io::Error::other("it is no regular file")).into());
    }
    let fail = |errno: Errno| match errno {
        Errno::PERM | Errno::ACCESS => AppendOnlyError::NotAllowed { path: path.to_owned() },
        Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL => {
            AppendOnlyError::NotKnown { path: path.to_owned() }
        }
        other => FileError::new("change the attributes of", path, other.into()).into(),
    };
    let before = ioctl_getflags(&file).map_err(fail)?;
    let mut after = before;
    after.set(IFlags::APPEND, change == Change::Protect);
    if after == before {
        return Ok(false);
    }
    ioctl_setflags(&file, after).map_err(fail)?;
    Ok(true)
}

/// Tiles and bundles that are full: the files whose path does not go through a `.p` folder.
fn full_tiles(log: &Path) -> Result<Vec<PathBuf>, AppendOnlyError> {
    let (mut files, mut folders) = (Vec::new(), vec![log.join("tile")]);
    while let Some(folder) = folders.pop() {
        for (path, is_folder) in children(&folder)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            match is_folder {
                true if name.ends_with(".p") => {}
                true => folders.push(path),
                false if name.len() == 3 && name.bytes().all(|byte| byte.is_ascii_digit()) => {
                    files.push(path)
                }
                false => {}
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The segments of streams that are closed.
fn closed_segments(journal: &Path) -> Result<Vec<PathBuf>, AppendOnlyError> {
    let mut files = Vec::new();
    for (stream, is_folder) in children(journal)? {
        if is_folder && stream.join("closed").exists() {
            let segments = children(&stream)?.into_iter().map(|(path, _)| path);
            files.extend(segments.filter(|path| path.extension().is_some_and(|ending| ending == "seg")));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn children(folder: &Path) -> Result<Vec<(PathBuf, bool)>, AppendOnlyError> {
    let fail = |error| FileError::new("read", folder, error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error).into()),
    };
    let mut children = Vec::new();
    for entry in entries {
        let entry = entry.map_err(fail)?;
        children.push((entry.path(), entry.file_type().map_err(fail)?.is_dir()));
    }
    Ok(children)
}

/// An attribute that could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendOnlyError {
    /// The file system has no such attribute.
    #[error("the file system of {} knows no append-only files; ext4, xfs and btrfs do, tmpfs, overlayfs and network mounts often do not", path.display())]
    NotKnown {
        /// The file.
        path: PathBuf,
    },
    /// Not ours to change.
    #[error("{} may be made append-only, or released, by root alone (CAP_LINUX_IMMUTABLE); run the command with sudo", path.display())]
    NotAllowed {
        /// The file.
        path: PathBuf,
    },
    /// Something else.
    #[error(transparent)]
    File(#[from] FileError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_closed_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (log, journal) = (folder.path().join("log"), folder.path().join("journal"));
        let write = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        for path in [
            "log/tile/0/000",
            "log/tile/0/x001/000",
            "log/tile/0/001.p/17",
            "log/tile/entries/000",
            "log/tile/entries/001.p/17",
            "log/tile/0/.002.tmp",
            "log/checkpoint",
            "journal/aa/0001.seg",
            "journal/aa/closed",
            "journal/bb/0001.seg",
        ] {
            write(path);
        }
        let names = |files: Vec<PathBuf>| -> Vec<String> {
            let relative = |path: PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
            files.into_iter().map(relative).collect()
        };
        let tiles = ["log/tile/0/000", "log/tile/0/x001/000", "log/tile/entries/000"];
        assert_eq!(names(full_tiles(&log).unwrap()), tiles);
        assert_eq!(names(closed_segments(&journal).unwrap()), ["journal/aa/0001.seg"]);
    }

    #[test]
    fn a_file_system_that_knows_no_attribute_says_so() {
        let refused = set(Path::new("/proc/self/status"), Change::Protect);
        assert!(matches!(refused, Err(AppendOnlyError::NotKnown { .. })), "{refused:?}");
    }

    #[test]
    fn nothing_is_followed_or_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, pipe) =
            (folder.path().join("file"), folder.path().join("link"), folder.path().join("pipe"));
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        for other in [&link, &pipe] {
            assert!(matches!(set(other, Change::Protect), Err(AppendOnlyError::File(_))), "{other:?}");
        }
        fs::write(&file, "y").unwrap();
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_protected_file_can_be_read_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let tiles = folder.path().join("tile/0");
        fs::create_dir_all(&tiles).unwrap();
        if !is_possible(&tiles) {
            eprintln!("skipped: this account or file system has no append-only files");
            return;
        }
        let path = tiles.join("000");
        fs::write(&path, "hashes").unwrap();
        let once = Changed { changed: 1, as_before: 0 };
        assert_eq!(apply(folder.path(), &[], Change::Protect).unwrap(), once);
        assert_eq!(apply(folder.path(), &[], Change::Protect).unwrap(), Changed { changed: 0, as_before: 1 });
        assert!(fs::write(&path, "others").is_err());
        assert!(fs::remove_file(&path).is_err());
        assert!(fs::rename(&path, tiles.join("001")).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"hashes");
        assert_eq!(apply(folder.path(), &[], Change::Release).unwrap(), once);
        fs::remove_file(&path).unwrap();
    }
}
