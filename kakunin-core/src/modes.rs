//! What the modes of files and folders let other users do.
//!
//! Takes in paths, gives out what is wrong with them and makes what lets nobody else in. Budgets, known lists and receipts
//! are only as good as the folder they lie in: whoever can write there can take them away, or put others in their place.
//! Owners are not compared: who owns a folder may be root, a volume's driver or the user on the other side of a mount.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, StatVfsMountFlags};

use crate::file;

/// A file or folder into which others than its owner can write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` has mode {mode:03o}, so others can write into it; run chmod {} on it{}",
    path.display(),
    if *folder { "700" } else { "600" },
    if *folder { ", or name a folder inside it, which is made with that mode" } else { "" }
)]
pub struct Loose {
    path: PathBuf,
    mode: u32,
    folder: bool,
}

impl Loose {
    /// Which one.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its permission bits.
    #[must_use]
    pub const fn mode(&self) -> u32 {
        self.mode
    }
}

/// Refuses what others can write into. What is not there, or cannot be asked, is in nobody's way yet; a mount that is
/// read-only lets nobody write, whatever the modes on it say.
///
/// # Errors
/// [`Loose`] names it.
pub fn refuse_loose(path: &Path) -> Result<(), Loose> {
    let Ok(data) = std::fs::metadata(path) else { return Ok(()) };
    let mode = data.mode() & 0o7777;
    if mode & 0o022 == 0 || is_on_read_only_mount(path) {
        return Ok(());
    }
    Err(Loose { path: path.to_owned(), mode, folder: data.is_dir() })
}

/// Whether others than the owner can do anything at all with a file.
#[must_use]
pub(crate) fn lets_others_in(data: &Metadata) -> bool {
    data.mode() & 0o077 != 0
}

pub(crate) fn is_on_read_only_mount(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Makes a folder, and the folders above it that are missing, for their owner alone.
pub(crate) fn make_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a folder that must not be there yet, for its owner alone.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Makes a file for its owner alone, in the place of the one that is there. What lies there is not emptied: it may be a link
/// to another file, put there by whoever owns the folder, and this process may be root's.
pub(crate) fn make_file(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => OpenOptions::new().write(true).create_new(true).mode(0o600).open(path),
    }
}

/// Opens a file that is only locked, making it if it is not there: no link is followed, no pipe waited for.
///
/// # Errors
/// What `open(2)` says, and whatever is no regular file.
pub fn open_lock(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed() | file::without_waiting();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let opened = options.open(path)?;
    file::regular(&opened.metadata()?)?;
    Ok(opened)
}

/// Refuses a folder that is a link to another one.
pub(crate) fn refuse_link(folder: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(folder)?.is_dir() {
        return Ok(());
    }
    Err(io::Error::other("it is no folder, or a link to one"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_others_can_write_into_is_refused_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, file) = (dir.path().join("folder"), dir.path().join("file"));
        make_folder(&folder).unwrap();
        make_file(&file).unwrap();
        for path in [&folder, &file] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o077, 0);
            for (mode, loose) in
                [(0o700, false), (0o755, false), (0o770, true), (0o702, true), (0o1777, true), (0o2775, true)]
            {
                fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
                let answer = refuse_loose(path);
                assert_eq!(answer.is_err(), loose, "{mode:o}");
                if let Err(error) = answer {
                    assert_eq!((error.path(), error.mode()), (path.as_path(), mode));
                    assert!(error.to_string().contains(&format!("has mode {mode:03o}")), "{error}");
                }
            }
        }
        assert!(refuse_loose(&file).unwrap_err().to_string().ends_with("run chmod 600 on it"));
        assert!(refuse_loose(&dir.path().join("missing")).is_ok());
    }
}
