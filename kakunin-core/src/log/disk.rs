//! Writing so that a crash leaves the old state or the new one.
//!
//! A file that nobody points at yet is put and synced. The one file that points at everything, the head, is committed:
//! it is durable under a second name before it is seen under its own, so nobody ever saw a head that a power cut can take
//! back, and whoever opens after the cut finishes the commit.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::error::LogError;

/// A folder that is written to.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    #[cfg(test)]
    pub(super) faults: super::faults::Faults,
}

impl Disk {
    pub(super) fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            #[cfg(test)]
            faults: super::faults::Faults::default(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Puts a file in place of what has its name, and its octets on the disk. Its name is durable after
    /// [`Disk::sync_folders_of`].
    pub(super) fn put(&self, name: &str, octets: &[u8]) -> Result<(), LogError> {
        let path = self.path(name);
        let put = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            // A copy of the log made of hard links must not change with it, so no file is written a second time.
            remove_if_there(&path)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path)?;
            #[cfg(test)]
            let octets = &self.faults.before_write(&mut file, octets)?;
            file.write_all(octets)?;
            #[cfg(test)]
            self.faults.before_sync()?;
            file.sync_data()
        };
        put().map_err(LogError::io(&path))?;
        #[cfg(test)]
        self.faults.wrote(name, octets);
        Ok(())
    }

    /// Makes the names of files durable, and those of the folders they lie in.
    pub(super) fn sync_folders_of<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), LogError> {
        let mut folders: Vec<PathBuf> = Vec::new();
        for name in names {
            let inside = Path::new(name).ancestors().skip(1).map(|folder| self.folder.join(folder));
            folders.extend(inside);
        }
        folders.sort_unstable();
        folders.dedup();
        folders.iter().try_for_each(|folder| self.sync_folder(folder))
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), LogError> {
        #[cfg(test)]
        self.faults.before_sync().map_err(LogError::io(folder))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(LogError::io(folder))?;
        #[cfg(test)]
        self.faults.synced(folder.strip_prefix(&self.folder).unwrap_or(folder));
        Ok(())
    }

    /// Makes `octets` the content of `name`, durable before it is seen.
    pub(super) fn commit(&self, name: &str, octets: &[u8]) -> Result<(), LogError> {
        let next = next_name(name);
        self.put(&next, octets)?;
        self.sync_folders_of([next.as_str()].into_iter())?;
        self.finish_commit(name)
    }

    /// What a commit of `name` had put on the disk when it was interrupted; it may be torn.
    pub(super) fn interrupted(&self, name: &str) -> Result<Option<Vec<u8>>, LogError> {
        let path = self.path(&next_name(name));
        read_if_there(&path).map_err(LogError::io(&path))
    }

    /// Makes what an interrupted commit had put the content of `name`.
    pub(super) fn finish_commit(&self, name: &str) -> Result<(), LogError> {
        let (from, to) = (self.path(&next_name(name)), self.path(name));
        #[cfg(test)]
        self.faults.before_sync().map_err(LogError::io(&to))?;
        fs::rename(&from, &to).map_err(LogError::io(&to))?;
        #[cfg(test)]
        self.faults.renamed(&next_name(name), name);
        self.sync_folders_of([name].into_iter())
    }

    /// Forgets an interrupted commit of `name`.
    pub(super) fn drop_commit(&self, name: &str) -> Result<(), LogError> {
        let path = self.path(&next_name(name));
        remove_if_there(&path).map_err(LogError::io(&path))
    }

    /// Appends to the end of `name` after cutting it to `length`; a crash may tear what is appended.
    pub(super) fn append(&self, name: &str, length: u64, octets: &[u8]) -> Result<(), LogError> {
        let path = self.path(name);
        let append = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(&path)?;
            file.set_len(length)?;
            io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
            #[cfg(test)]
            let octets = &self.faults.before_write(&mut file, octets)?;
            file.write_all(octets)
        };
        append().map_err(LogError::io(&path))
    }

    /// Removes a folder that nobody needs any more. That it stays after a crash does no harm.
    pub(super) fn remove_folder(&self, name: &str) {
        let _ = fs::remove_dir_all(self.path(name));
    }
}

/// Reads a file of at most [`MAX_FILE`] octets; `None` when there is none.
pub(super) fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match crate::file::read(path, MAX_FILE) {
        Ok(octets) => Ok(Some(octets)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn next_name(name: &str) -> String {
    format!("{name}.next")
}

/// A full bundle of the longest entries: 256 times two octets of length and 65,535 of entry.
const MAX_FILE: u64 = 256 * (2 + 65_535);
