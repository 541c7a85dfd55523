//! Room on the disk of the home, of which some is kept for taking power away.
//!
//! A full disk must not keep an agent from being suspended. So a service keeps a file of zeros in its home, and gives it
//! up when room is short and an agent is to be suspended or revoked, or a list to be signed. Everything else is refused
//! before it begins as long as room is short, reads go on, and the file comes back as soon as there is room for it.
//! What others write on the same disk in between can take that room, too: then an order fails, and says so.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::error::Refusal;
use crate::files::FileError;
use crate::home::Home;
use crate::store::{NoRoom, StoreError};

/// The disk of a home.
pub(crate) struct Room {
    home: PathBuf,
    reserve: PathBuf,
    /// The records could not be kept for want of room, on whichever disk they are.
    records_full: AtomicBool,
}

impl Room {
    pub(crate) fn of(home: &Home) -> Self {
        Self {
            home: home.path().to_owned(),
            reserve: home.path().join("reserve"),
            records_full: AtomicBool::new(false),
        }
    }

    /// Makes the reserve, unless it is there or there is no room for it.
    ///
    /// # Errors
    /// [`FileError`] when there seemed to be room and it could not be made.
    pub(crate) fn keep(&self) -> Result<(), FileError> {
        if self.is_kept() || self.free() < RESERVE + SPARE {
            return Ok(());
        }
        self.make().map_err(|error| {
            let _ = fs::remove_file(&self.reserve);
            FileError::new("write", &self.reserve, error)
        })
    }

    fn make(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&self.reserve)?;
        if fallocate(&file, FallocateFlags::empty(), 0, RESERVE).is_err() {
            // Not every file system has it.
            let zeros = [0; 1 << 16];
            for _ in 0..RESERVE / (1 << 16) {
                file.write_all(&zeros)?;
            }
        }
        file.sync_all()?;
        File::open(&self.home)?.sync_all()
    }

    /// Gives the reserve up if room is short: something urgent is about to be written.
    pub(crate) fn for_urgent(&self) {
        if self.free() < SPARE {
            let _ = fs::remove_file(&self.reserve);
        }
    }

    /// Says whether there is room for what is not urgent.
    ///
    /// # Errors
    /// [`Refusal`] when there is not.
    pub(crate) fn for_others(&self) -> Result<(), Refusal> {
        if self.is_short() { Err(full()) } else { Ok(()) }
    }

    /// Whether room is short: little is left, or the reserve was given up and did not come back yet.
    pub(crate) fn is_short(&self) -> bool {
        self.free() < SPARE || !self.is_kept()
    }

    /// Records were not kept: whoever waited for them is told that there was no room, if that is why.
    pub(crate) fn heard(&self, error: &StoreError) {
        if is_full(error) {
            self.records_full.store(true, Ordering::Relaxed);
        }
    }

    /// Records were kept.
    pub(crate) fn kept(&self) {
        self.records_full.store(false, Ordering::Relaxed);
    }

    /// Whether what could not be kept was not kept for want of room.
    pub(crate) fn was_missing(&self) -> bool {
        self.is_short() || self.records_full.load(Ordering::Relaxed)
    }

    /// How many octets may be written. Where that cannot be found out, writing will tell.
    pub(crate) fn free(&self) -> u64 {
        statvfs(&self.home).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn is_kept(&self) -> bool {
        fs::metadata(&self.reserve).is_ok_and(|file| file.len() == RESERVE)
    }
}

/// The refusal of what needs room.
pub(crate) fn full() -> Refusal {
    let text =
        "the authority's disk is nearly full: only suspending and revoking goes on; make room, or try later";
    Refusal { retry_after: Some(10), ..Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "store.full", text) }
}

/// Whether an error is that of a disk without room.
pub(crate) fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let file = error.downcast_ref::<io::Error>().map(io::Error::kind);
        let store = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
        if matches!(file, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
            || store == Some(rusqlite::ErrorCode::DiskFull)
            || error.is::<NoRoom>()
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// A revocation writes a list of up to 5 MB three times: into the write-ahead log, into the records, into `lists.pem`.
const RESERVE: u64 = 32 << 20;
/// What is not urgent stops here, so that what is under way ends well.
const SPARE: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_full_disk_are_known_by_what_caused_them() {
        let full = || FileError::new("write", "x".as_ref(), io::ErrorKind::StorageFull.into());
        let failure = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        let store = crate::store::StoreError::from(rusqlite::Error::SqliteFailure(failure, None));
        let issue = crate::issue::IssueError::from(store);
        // A database on another machine has a disk of its own.
        let elsewhere = || StoreError::NoRoom(NoRoom("could not extend file (SQLSTATE 53100)".into()));
        for error in [
            crate::authority::AuthorityError::from(full()),
            crate::authority::AuthorityError::from(crate::store::StoreError::from(full())),
            crate::authority::AuthorityError::from(issue),
            crate::authority::AuthorityError::from(elsewhere()),
            crate::issue::IssueError::from(elsewhere()).into(),
        ] {
            assert!(is_full(&error), "{error}");
            assert_eq!(Refusal::from(error).code, "store.full");
        }
        assert!(!is_full(&FileError::new("write", "x".as_ref(), io::ErrorKind::NotFound.into())));
        let refused = StoreError::Server { text: "could not extend file".into() };
        assert!(!is_full(&refused) && is_full(&elsewhere()));
        // Whoever waited for parts of a transaction is told so, too, until one is kept again.
        let folder = tempfile::tempdir().unwrap();
        let room = Room::of(&Home::at(folder.path()));
        room.keep().unwrap();
        for (error, missing) in [(Some(refused), false), (Some(elsewhere()), true), (None, false)] {
            error.as_ref().map_or_else(|| room.kept(), |error| room.heard(error));
            assert_eq!(room.was_missing(), missing, "{error:?}");
        }
    }

    #[test]
    fn the_reserve_is_made_where_there_is_room_and_kept_as_long_as_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::of(&Home::at(folder.path()));
        assert!(room.is_short() && room.for_others().is_err());
        room.keep().unwrap();
        assert!(!room.is_short() && room.for_others().is_ok());
        room.for_urgent();
        assert!(!room.is_short());
        // Half a one is none.
        fs::write(folder.path().join("reserve"), "half").unwrap();
        assert!(room.is_short());
        room.keep().unwrap();
        assert!(!room.is_short());
    }
}
