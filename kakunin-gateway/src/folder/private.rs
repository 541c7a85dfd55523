//! A folder that belongs to this service alone. Its files are reached by its handle and never by its path: what is put in its place
//! is another folder, and what it holds is not mixed up with what that one holds.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::process::geteuid;

/// Which file or folder something is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(u64, u64);

/// A folder that nobody else may write in.
#[derive(Debug)]
pub(super) struct Private {
    handle: OwnedFd,
    id: Id,
}

/// Makes the folder, for its owner alone, if it is not there.
pub(super) fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

impl Private {
    /// Opens the folder that is at this path: no link, this user's own, and nobody else may write there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Without a `/` at its end, behind which a link would be followed.
        let path: PathBuf = path.components().collect();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = File::from(rustix::fs::open(&path, flags, Mode::empty())?);
        let known = folder.metadata()?;
        belongs_to_us(&known, "the folder")?;
        Ok(Self { handle: folder.into(), id: Id::of(&known) })
    }

    /// Whether it is still the one at this path.
    pub(super) fn is_at(&self, path: &Path) -> io::Result<bool> {
        let path: PathBuf = path.components().collect();
        match fs::symlink_metadata(path) {
            Ok(known) => Ok(Id::of(&known) == self.id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens one of its files to read and write, and makes it if it is not there. A link is followed nowhere.
    pub(super) fn file(&self, name: &str) -> io::Result<(File, Id)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR)?);
        let known = file.metadata()?;
        if !known.is_file() || known.nlink() > 1 {
            return Err(io::Error::other(format!("`{name}` in it is no file of its own; remove it")));
        }
        belongs_to_us(&known, &format!("`{name}` in it"))?;
        Ok((file, Id::of(&known)))
    }

    /// Which file is there under this name; `None` if none is.
    pub(super) fn id(&self, name: &str) -> io::Result<Option<Id>> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(known) => Ok(Some(Id(known.st_dev, known.st_ino))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the files whose names are such.
    pub(super) fn remove(&self, is_such: impl Fn(&str) -> bool) -> io::Result<()> {
        for entry in Dir::read_from(&self.handle)? {
            let entry = entry?;
            if entry.file_name().to_str().is_ok_and(&is_such) {
                rustix::fs::unlinkat(&self.handle, entry.file_name(), AtFlags::empty())?;
            }
        }
        Ok(())
    }
}

impl Id {
    fn of(known: &fs::Metadata) -> Self {
        Self(known.dev(), known.ino())
    }
}

fn belongs_to_us(known: &fs::Metadata, what: &str) -> io::Result<()> {
    let owner = geteuid().as_raw();
    if known.uid() != owner {
        let said = format!("{what} belongs to user {}; this service is user {owner}", known.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, said));
    }
    if known.mode() & OTHERS_WRITE != 0 {
        let said = format!("others may write to {what}, and could have a proof taken twice; `chmod go-w`");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, said));
    }
    Ok(())
}

const OTHERS_WRITE: u32 = 0o022;
