//! Logs that are read over the network: the files of C2SP tlog-tiles as they lie there, and no other file.
//!
//! A path is understood before anything is opened: what is no name that a log gives its files is no file. The folder is
//! walked a name at a time without following links, and of a regular file at most a bound is read, a piece when the one
//! before was taken.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use kakunin_core::log::LogReader;
use rustix::fs::{Mode, OFlags, open, openat};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Sender, channel};

use super::error::Refusal;
use super::exports::pages;

/// The logs that are served, in their order.
pub(crate) struct Logs {
    logs: Vec<ServedLog>,
    room: Arc<Semaphore>,
}

/// A log.
pub(crate) struct ServedLog {
    pub(crate) origin: String,
    /// Its verifier key, as it lies beside it: for whoever copies, never for a verifier.
    pub(crate) key: String,
    folder: PathBuf,
}

impl Logs {
    /// Takes logs as `kakunin log` writes them.
    ///
    /// # Errors
    /// What is wrong with the first folder that has none, and a name that two of them have.
    pub(crate) fn open(folders: &[PathBuf]) -> Result<Self, String> {
        let mut logs: Vec<ServedLog> = Vec::new();
        for folder in folders {
            let key =
                LogReader::key_beside(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            // Opened once, so that what is no log is told at the start and not to clients.
            LogReader::open(folder, &key).map_err(|error| format!("{}: {error}", folder.display()))?;
            if logs.iter().any(|known| known.origin == key.name()) {
                return Err(format!("{}: another log has the name `{}`", folder.display(), key.name()));
            }
            let folder =
                std::path::absolute(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            logs.push(ServedLog { origin: key.name().to_owned(), key: key.to_string(), folder });
        }
        Ok(Self { logs, room: Arc::new(Semaphore::new(READERS)) })
    }

    pub(crate) fn all(&self) -> &[ServedLog] {
        &self.logs
    }

    /// The log that a path means: by its place from 0, or by its name.
    pub(crate) fn find(&self, named: &str) -> Option<&ServedLog> {
        let by_place = named.parse().ok().and_then(|place: usize| self.logs.get(place));
        by_place.or_else(|| self.logs.iter().find(|log| log.origin == named))
    }

    /// A file of a log as a body, with its size.
    ///
    /// # Errors
    /// [`Refusal`] when there is none, or it cannot be read.
    pub(crate) async fn file(&self, log: &ServedLog, name: Vec<String>) -> Result<(Body, u64), Refusal> {
        let permit = Arc::clone(&self.room).acquire_owned().await.map_err(|_| Refusal::internal())?;
        let folder = log.folder.clone();
        let opened = tokio::task::spawn_blocking(move || opened(&folder, &name)).await;
        let opened = opened.map_err(|_| Refusal::internal())?;
        // Open files are few; those who wait for a slow client read no further and need no place.
        drop(permit);
        let (file, size) = match opened {
            Ok(Some(found)) => found,
            Ok(None) => return Err(Refusal::missing()),
            Err(error) => return Err(Refusal { cause: Some(error.to_string()), ..Refusal::internal() }),
        };
        let (sender, pieces) = channel(1);
        tokio::spawn(send(file, size, sender));
        Ok((pages(pieces), size))
    }
}

async fn send(mut file: File, size: u64, sender: Sender<Result<Bytes, io::Error>>) {
    let mut left = size;
    while left > 0 {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::new();
            let read = (&mut file).take(left.min(PIECE)).read_to_end(&mut piece);
            read.map(|_| (file, piece))
        });
        let piece = match read.await {
            Ok(Ok((open, piece))) if !piece.is_empty() => {
                file = open;
                piece
            }
            // Shorter than it was: the answer breaks off, and whoever reads it knows.
            _ => {
                let _ = sender.send(Err(io::Error::other("the file could not be read to its end"))).await;
                return;
            }
        };
        left = left.saturating_sub(piece.len() as u64);
        if sender.send(Ok(piece.into())).await.is_err() {
            return;
        }
    }
}

fn opened(folder: &Path, name: &[String]) -> io::Result<Option<(File, u64)>> {
    let folders = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = open(folder, folders, Mode::empty())?;
    let Some((last, before)) = name.split_last() else { return Ok(None) };
    for part in before {
        match openat(&here, part.as_str(), folders | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(next) => here = next,
            Err(error) => return missing(error),
        }
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(&here, last.as_str(), flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(error) => return missing(error),
    };
    let about = file.metadata()?;
    Ok((about.is_file() && about.len() <= LARGEST).then_some((file, about.len())))
}

/// A link, or something else in the place of a folder, is as good as nothing.
fn missing<T>(error: rustix::io::Errno) -> io::Result<Option<T>> {
    use rustix::io::Errno;
    match error {
        Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::MLINK | Errno::NXIO => Ok(None),
        other => Err(other.into()),
    }
}

/// The parts of the name of a tile or bundle, and whether it is a full one; `None` for what is no such name
/// (C2SP tlog-tiles): a level from 0 to 63 or `entries`, a place in groups of three digits of which all but the last
/// begin with `x` and the first is not zero, and a width from 1 to 255 behind `.p/`.
pub(crate) fn tile(path: &str) -> Option<(Vec<String>, bool)> {
    let mut parts = path.split('/');
    let level = parts.next()?;
    let is_level = level.parse::<u8>().is_ok_and(|number| number < 64 && number.to_string() == level);
    if !is_level && level != "entries" {
        return None;
    }
    let mut rest: Vec<&str> = parts.collect();
    let width =
        rest.len().checked_sub(2).and_then(|at| rest.get(at)).filter(|part| part.ends_with(".p")).is_some();
    if width {
        let width = rest.pop()?;
        let fits = width.parse::<u8>().is_ok_and(|number| number > 0 && number.to_string() == width);
        if !fits {
            return None;
        }
    }
    let (last, before) = rest.split_last()?;
    let last = if width { last.strip_suffix(".p")? } else { last };
    let three = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let groups = before.iter().all(|group| group.strip_prefix('x').is_some_and(three));
    if !three(last) || !groups || before.len() > 6 || before.first() == Some(&"x000") {
        return None;
    }
    let name = ["tile"].into_iter().chain(path.split('/')).map(str::to_owned).collect();
    Some((name, !width))
}

/// 256 entries of 64 kB each.
const LARGEST: u64 = 17 * 1024 * 1024;
const PIECE: u64 = 64 * 1024;
const READERS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_name_that_a_log_gives_or_nothing() {
        for (path, full) in [
            ("0/000", true),
            ("63/999", true),
            ("entries/000", true),
            ("entries/x001/067", true),
            ("0/x001/x234/067", true),
            ("0/000.p/1", false),
            ("entries/x001/x000/067.p/255", false),
        ] {
            let (name, is_full) = tile(path).unwrap();
            assert_eq!((name.join("/"), is_full), (format!("tile/{path}"), full));
        }
        for wrong in [
            "",
            "0",
            "0/",
            "/0/000",
            "0//000",
            "0/00",
            "0/0000",
            "64/000",
            "00/000",
            "-1/000",
            "+1/000",
            "entries",
            "Entries/000",
            "0/000/",
            "0/x000/001",
            "0/x001",
            "0/001/001",
            "0/000.p",
            "0/000.p/",
            "0/000.p/0",
            "0/000.p/01",
            "0/000.p/256",
            "0/000.p/1/2",
            "0/000.P/1",
            "0/../checkpoint",
            "0/..",
            "../key.pem",
            "0/00.",
            "0/0\u{661}0",
            "entries/x001/x0",
            "0/x001/x001/x001/x001/x001/x001/x001/001",
        ] {
            assert_eq!(tile(wrong), None, "{wrong}");
        }
    }
}
