//! Logs that are read over the network: the files of C2SP tlog-tiles as they lie there, and no other file.
//!
//! A path is understood before anything is opened: what is no name that a log gives its files is no file. The folder is
//! walked a name at a time without following links, and of a regular file at most a bound is read, a piece when the one
//! before was taken. So many are open at a time, and no more.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use kakunin_core::log::{LogError, LogReader};
use rustix::fs::{Mode, OFlags, open, openat};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Refusal;
use super::filed::Filed;
use super::peer::Origin;
use super::shares::{Share, Shares};

/// What is wrong with a folder that was named with `--log`, and what to do where it is the wrong one.
fn said(error: &LogError) -> String {
    match error {
        LogError::NoLog { .. } => format!("--log: {error}; begin one with `kakunin log`, or name its folder"),
        _ => format!("--log: {error}"),
    }
}

/// The logs that are served, in their order.
pub(crate) struct Logs {
    logs: Vec<ServedLog>,
    room: Arc<Semaphore>,
    open: Arc<Semaphore>,
    /// Who reads those that are open.
    readers: Shares<Origin>,
}

/// A place for a file that is open.
struct Reading {
    _open: OwnedSemaphorePermit,
    _share: Share<Origin>,
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
            let key = LogReader::key_beside(folder).map_err(|error| said(&error))?;
            // Opened once, so that what is no log is told at the start and not to clients.
            LogReader::open(folder, &key).map_err(|error| said(&error))?;
            if logs.iter().any(|known| known.origin == key.name()) {
                return Err(format!("{}: another log has the name `{}`", folder.display(), key.name()));
            }
            let folder =
                std::path::absolute(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            logs.push(ServedLog { origin: key.name().to_owned(), key: key.to_string(), folder });
        }
        Ok(Self::of(logs))
    }

    fn of(logs: Vec<ServedLog>) -> Self {
        let [room, open] = [READERS, OPEN].map(|places| Arc::new(Semaphore::new(places)));
        Self { logs, room, open, readers: Shares::default() }
    }

    /// Takes a place for one open file.
    fn enter(&self, origin: Option<Origin>) -> Result<Reading, Refusal> {
        let networks = origin.into_iter().flat_map(Origin::networks);
        let from = networks.map(|(network, times)| (network, (FROM_ONE * times as usize).min(OPEN / 2)));
        let share = self.readers.take(from).ok_or_else(|| {
            let text =
                "too many files of logs are being read from this address; take some to their end first";
            Refusal { retry_after: Some(1), ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, "busy", text) }
        })?;
        let open = Arc::clone(&self.open).try_acquire_owned();
        let busy = |_| Refusal::unavailable("busy", "too many files of logs are being read; try again");
        Ok(Reading { _open: open.map_err(busy)?, _share: share })
    }

    pub(crate) fn all(&self) -> &[ServedLog] {
        &self.logs
    }

    /// The log that a path means: by its place from 0, or by its name.
    pub(crate) fn find(&self, named: &str) -> Option<&ServedLog> {
        let by_place = named.parse().ok().and_then(|place: usize| self.logs.get(place));
        by_place.or_else(|| self.logs.iter().find(|log| log.origin == named))
    }

    /// A file of a log as a body, with its size. It has a place as long as it is open, however slowly it is read.
    ///
    /// # Errors
    /// [`Refusal`] when there is none, it cannot be read, or too many are open (503), or read from there (429).
    pub(crate) async fn file(
        &self,
        log: &ServedLog,
        name: Vec<String>,
        origin: Option<Origin>,
    ) -> Result<(Body, u64), Refusal> {
        let turn = Arc::clone(&self.room).acquire_owned().await.map_err(|_| Refusal::internal())?;
        let place = self.enter(origin)?;
        let folder = log.folder.clone();
        // Whoever asked may be gone before it is open.
        let opened = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            opened(&folder, &name)
                .map(|found| found.map(|(file, size)| (Filed::new(file, size, place), size)))
        });
        match opened.await.map_err(|_| Refusal::internal())? {
            Ok(Some((file, size))) => Ok((Body::new(file), size)),
            Ok(None) => Err(Refusal::missing()),
            Err(error) => Err(Refusal { cause: Some(error.to_string()), ..Refusal::internal() }),
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
/// Files that are being opened.
const READERS: usize = 8;
/// Files that are open.
const OPEN: usize = 256;
/// Those that are read from one address.
const FROM_ONE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::filed::tests::{next, run};

    #[test]
    fn a_file_that_is_read_slowly_has_a_place_until_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("checkpoint"), vec![7; 200_000]).unwrap();
        let (origin, key) = ("log.example".to_owned(), String::new());
        let logs = Logs::of(vec![ServedLog { origin, key, folder: folder.path().to_owned() }]);
        let log = logs.find("0").unwrap();
        let ask = |from: Option<Origin>| logs.file(log, vec!["checkpoint".into()], from);
        let one = Some(Origin::of([203, 0, 113, 1].into()));
        run(async {
            let mut slow = Vec::new();
            for _ in 0..FROM_ONE {
                let (mut body, _) = ask(one).await.unwrap();
                assert_eq!(next(&mut body).await.unwrap().unwrap(), vec![7; 65_536]);
                slow.push(body);
            }
            let refused = ask(one).await.err().unwrap();
            assert_eq!((refused.status.as_u16(), refused.code, refused.retry_after), (429, "busy", Some(1)));
            // Others have their places, as long as there are any.
            for _ in FROM_ONE..OPEN {
                slow.push(ask(None).await.unwrap().0);
            }
            for from in [None, Some(Origin::of([203, 0, 113, 2].into()))] {
                let refused = ask(from).await.err().unwrap();
                assert_eq!(
                    (refused.status.as_u16(), refused.code, refused.retry_after),
                    (503, "busy", Some(1))
                );
            }
            // One that is gone, and one that was read to its end.
            slow.pop();
            let mut body = ask(None).await.unwrap().0;
            let mut octets = 0;
            while let Some(piece) = next(&mut body).await {
                octets += piece.unwrap().len();
            }
            assert_eq!(octets, 200_000);
            assert!(ask(None).await.is_err());
            drop(body);
            slow.push(ask(None).await.unwrap().0);
            // What is not there, or was refused, has no place afterwards.
            slow.clear();
            assert_eq!(logs.file(log, vec!["none".into()], one).await.err().unwrap().status.as_u16(), 404);
            assert!(logs.open.available_permits() == OPEN && logs.readers.are_free());
        });
    }

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
