//! Files that somebody else wrote, read without trusting them to be files.
//!
//! Whoever may write into a directory can put a pipe, a device or a terabyte where a certificate was. Takes in a path
//! and the most that can be of use, gives out bytes; whatever would wait, or never end, is an error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens the regular file at `path` for reading.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Opening a device can do things by itself, so its kind is asked for before and, of what was opened, after.
    regular(&fs::metadata(path)?)?;
    let file = OpenOptions::new().read(true).custom_flags(without_waiting()).open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Everything in the regular file at `path`, of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_into(&open(path)?, limit, &mut bytes)?;
    Ok(bytes)
}

/// As [`read`], for text.
pub(crate) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// Appends what is in `file`, of at most `limit` bytes, to `bytes`.
pub(crate) fn read_into(file: &File, limit: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    // Beyond the limit nothing is read, however large the file says it is or becomes.
    let read = file.take(limit.saturating_add(1)).read_to_end(bytes)?;
    let within = u64::try_from(read).is_ok_and(|read| read <= limit);
    if within { Ok(()) } else { Err(io::Error::other(format!("it has more than {limit} bytes"))) }
}

/// Nothing but a regular file.
pub(crate) fn regular(data: &fs::Metadata) -> io::Result<()> {
    if data.is_file() { Ok(()) } else { Err(io::Error::other("it is not a regular file")) }
}

/// The flags of `open(2)` that make a pipe or terminal answer at once and leave this process without a new terminal.
pub(crate) fn without_waiting() -> i32 {
    (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_not_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert!(read(&path, 3).unwrap_err().to_string().contains("more than 3"));
        let huge = File::create(dir.path().join("huge")).unwrap();
        huge.set_len(1 << 40).unwrap();
        assert!(read(&dir.path().join("huge"), 1 << 10).is_err());
    }

    #[test]
    fn nothing_but_a_regular_file_is_read_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for path in [&pipe, &link, dir.path(), Path::new("/dev/zero")] {
            assert!(read(path, 1 << 10).is_err(), "{}", path.display());
        }
    }
}
