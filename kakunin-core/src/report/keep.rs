//! A page on disk: whole or not at all, and never in the place of something else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `page` to `path` in one step. What stands there is replaced if it is a regular file, and nothing else is: no
/// link, folder, pipe or device.
///
/// # Errors
/// [`KeepError`]; what stood there is still there, unless only the last sync failed.
pub fn keep(path: &Path, page: impl AsRef<[u8]>) -> Result<(), KeepError> {
    let fail = |source| KeepError { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(data) if !data.is_file() => {
            return Err(fail(io::Error::other("something that is no regular file stands there")));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    let Some(name) = path.file_name() else {
        return Err(fail(io::Error::other("it does not name a file")));
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A name of this process's own, so that two that write the same page do not write one file.
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = folder.join(temporary);
    let write = || {
        // What a killed process of the same number left goes; a link that somebody put there is not followed.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        file.write_all(page.as_ref())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        fail(error)
    })
}

/// A page that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the page {}: {source}", path.display())]
pub struct KeepError {
    path: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_replaces_a_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.html");
        keep(&path, "one").unwrap();
        keep(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        for other in
            [&link, &pipe, dir.path(), Path::new("/dev/null"), Path::new("/"), &dir.path().join("no/page")]
        {
            assert!(keep(other, "three").is_err(), "{}", other.display());
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 3, "nothing half written is left");
    }

    #[test]
    fn a_page_that_cannot_be_written_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.html");
        keep(&path, "old").unwrap();
        // A folder in the place of the temporary file stands for a disk that takes no more.
        let blocked = dir.path().join(format!(".page.html.{}.tmp", std::process::id()));
        fs::create_dir(&blocked).unwrap();
        assert!(keep(&path, "new").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
}
