//! Used proofs that the processes of one host share through a folder: no server is needed.
//!
//! `state` says since when the folder remembers, in which run of the machine, and which of two times is the older one; each time has
//! a file of records, the mark of a proof and whose it was. One lock goes around each question, and what others wrote meanwhile is read
//! then. A process that is killed loses nothing that it answered. What was not synced when power was lost may be gone, so after a
//! start of the machine the folder begins anew, as a memory does: it takes no proof that may have been used before.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, TryLockError as TryMutexError};
use std::time::{Duration, Instant};

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::possession::{Nonces, PossessionError};
use kakunin_core::time::UnixTime;

use crate::nonces::{NonceError, NonceStore};
use crate::share::Share;

/// The proofs that were used at any gateway of this host that is given the same folder, in whatever process, thread or language.
///
/// Whoever can write into the folder can have a proof taken twice: it is this service's own, `/run/shop/nonces` for example. It must
/// be on a file system of this host.
#[derive(Debug)]
pub struct FolderNonces {
    folder: PathBuf,
    room: usize,
    run: String,
    seen: Mutex<Seen>,
}

/// What this process read of the folder.
#[derive(Debug)]
struct Seen {
    /// A lock belongs to whoever opened the file, and a child of a fork would have its parent's.
    process: u32,
    /// Since when the folder remembers: what was read before is of no use after a beginning.
    since: i64,
    state: File,
    times: BTreeMap<i64, Time>,
}

/// The proofs that were made in the same 90 s.
#[derive(Debug)]
struct Time {
    file: File,
    read: u64,
    marks: HashSet<Digest>,
    share: Share,
}

/// What stands in `state`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    since: i64,
    older: i64,
    run: String,
}

impl FolderNonces {
    /// Shares `folder`, which is made if it is not there, with room for 200,000 proofs of each 90 s.
    ///
    /// # Errors
    /// What the system says when it cannot be written there, or does not say which run of the machine this is.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        Self::with_room(folder, ROOM)
    }

    /// The same with room for `room` proofs of each 90 s.
    ///
    /// # Errors
    /// As there.
    pub fn with_room(folder: impl Into<PathBuf>, room: usize) -> io::Result<Self> {
        let folder = folder.into();
        let none =
            || io::Error::new(io::ErrorKind::Unsupported, "the system does not say when it was started");
        let run = this_run().ok_or_else(none)?;
        fs::create_dir_all(&folder)?;
        let seen = Mutex::new(Seen::of(&folder)?);
        Ok(Self { folder, room, run, seen })
    }

    fn ask(
        &self,
        agent: Option<&AgentId>,
        mark: &Digest,
        created: UnixTime,
        now: UnixTime,
    ) -> Result<(), NonceError> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = loop {
            match self.seen.try_lock() {
                Ok(seen) => break seen,
                Err(TryMutexError::Poisoned(_)) => return Err(held()),
                // A thread that had it when the process forked does not give it back in the child.
                Err(TryMutexError::WouldBlock) if Instant::now() >= deadline => return Err(held()),
                Err(TryMutexError::WouldBlock) => std::thread::yield_now(),
            }
        };
        if seen.process != std::process::id() {
            *seen = Seen::of(&self.folder).map_err(|error| unavailable(&error))?;
        }
        lock(&seen.state, deadline)?;
        let asked = self.locked(&mut seen, agent, mark, created, now);
        // The system ends a lock that cannot be given back with the file.
        let _ = seen.state.unlock();
        asked
    }

    fn locked(
        &self,
        seen: &mut Seen,
        agent: Option<&AgentId>,
        mark: &Digest,
        created: UnixTime,
        now: UnixTime,
    ) -> Result<(), NonceError> {
        let state = self.state(seen, now).map_err(|error| unavailable(&error))?;
        // Which proofs may have been used before a beginning is the memory's rule.
        let begun = Nonces::new(UnixTime::from_seconds(state.since), 1).remember(*mark, created, None, now);
        if let Err(PossessionError::Starting { wait }) = begun {
            return Err(NonceError::Starting { wait });
        }
        let number = created.seconds().div_euclid(Nonces::SECONDS);
        if number < state.older {
            return Err(NonceError::TooOld);
        }
        if number > state.older + 1 {
            let next = State { older: number - 1, ..state };
            next.write(&seen.state).map_err(|error| unavailable(&error))?;
            self.forget(seen, |time| time < number - 1).map_err(|error| unavailable(&error))?;
        }
        let time = self.time(seen, number).map_err(|error| unavailable(&error))?;
        if time.marks.contains(mark) {
            return Err(NonceError::Used);
        }
        let has_room =
            time.marks.len() < self.room && agent.is_none_or(|agent| time.share.has_room(agent, self.room));
        if !has_room {
            return Err(NonceError::Full);
        }
        let whose = agent.copied().unwrap_or(AgentId::from_bytes([0; 16]));
        time.add(*mark, whose).map_err(|error| unavailable(&error))
    }

    /// The state that holds, or a new one: of an earlier run of the machine, and of what cannot be read, nothing is believed.
    fn state(&self, seen: &mut Seen, now: UnixTime) -> io::Result<State> {
        let known = State::read(&seen.state)?;
        let state = match known.filter(|state| state.run == self.run) {
            Some(state) => state,
            None => {
                self.forget(seen, |_| true)?;
                let since = now.seconds();
                let older = since.div_euclid(Nonces::SECONDS) - 1;
                let begun = State { since, older, run: self.run.clone() };
                begun.write(&seen.state)?;
                begun
            }
        };
        if state.since != seen.since {
            seen.times.clear();
            seen.since = state.since;
        }
        Ok(state)
    }

    /// Forgets the times of which that is said.
    fn forget(&self, seen: &mut Seen, is_over: impl Fn(i64) -> bool) -> io::Result<()> {
        seen.times.retain(|time, _| !is_over(*time));
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(SUFFIX)?.parse().ok());
            if number.is_some_and(&is_over) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// What is known of a time by now, also by others.
    fn time<'s>(&self, seen: &'s mut Seen, number: i64) -> io::Result<&'s mut Time> {
        let time = match seen.times.entry(number) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let file = open(&self.folder.join(format!("{number}{SUFFIX}")))?;
                place.insert(Time { file, read: 0, marks: HashSet::new(), share: Share::default() })
            }
        };
        time.catch_up()?;
        Ok(time)
    }
}

impl NonceStore for FolderNonces {
    fn remember(&self, mark: &Digest, created: UnixTime, now: UnixTime) -> Result<(), NonceError> {
        self.ask(None, mark, created, now)
    }

    fn remember_of(
        &self,
        agent: &AgentId,
        mark: &Digest,
        created: UnixTime,
        now: UnixTime,
    ) -> Result<(), NonceError> {
        self.ask(Some(agent), mark, created, now)
    }
}

impl Seen {
    fn of(folder: &Path) -> io::Result<Self> {
        let state = open(&folder.join("state"))?;
        Ok(Self { process: std::process::id(), since: i64::MIN, state, times: BTreeMap::new() })
    }
}

impl Time {
    fn catch_up(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        // A record that a killed process did not finish was never answered for.
        let whole = length - length % RECORD as u64;
        if whole < length {
            self.file.set_len(whole)?;
        }
        let Some(more) = whole.checked_sub(self.read) else {
            return Err(io::Error::other("somebody made the records shorter"));
        };
        let mut records = vec![0; usize::try_from(more).map_err(io::Error::other)?];
        self.file.seek(SeekFrom::Start(self.read))?;
        self.file.read_exact(&mut records)?;
        for record in records.as_chunks::<RECORD>().0 {
            if let Some((mark, agent)) = record.split_first_chunk::<32>() {
                let agent = agent.first_chunk::<16>().copied().unwrap_or_default();
                self.note(Digest::from_bytes(*mark), AgentId::from_bytes(agent));
            }
        }
        self.read = whole;
        Ok(())
    }

    fn note(&mut self, mark: Digest, agent: AgentId) {
        self.marks.insert(mark);
        self.share.add(agent);
    }

    fn add(&mut self, mark: Digest, agent: AgentId) -> io::Result<()> {
        let record = [mark.as_bytes().as_slice(), agent.as_bytes()].concat();
        self.file.seek(SeekFrom::Start(self.read))?;
        self.file.write_all(&record)?;
        self.read += RECORD as u64;
        self.note(mark, agent);
        Ok(())
    }
}

impl State {
    /// What the file says; `None` if that is nothing.
    fn read(mut file: &File) -> io::Result<Option<Self>> {
        let mut text = String::new();
        file.seek(SeekFrom::Start(0))?;
        let _ = file.take(MAX_STATE).read_to_string(&mut text);
        let mut words = text.strip_suffix('\n').unwrap_or_default().split(' ');
        let (Some(FORM), Some(since), Some(older), Some(run), None) =
            (words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            return Ok(None);
        };
        let numbers = since.parse().ok().zip(older.parse().ok());
        Ok(numbers.map(|(since, older)| Self { since, older, run: run.to_owned() }))
    }

    fn write(&self, mut file: &File) -> io::Result<()> {
        let text = format!("{FORM} {} {} {}\n", self.since, self.older, self.run);
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())
    }
}

/// Which run of the machine this is; where the system does not say, none is another one's.
fn this_run() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty() && !text.contains(' '))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn lock(file: &File, deadline: Instant) -> Result<(), NonceError> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(unavailable(&error)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Err(held()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_micros(50)),
        }
    }
}

fn held() -> NonceError {
    NonceError::Unavailable(
        "the folder of used proofs is held by somebody, or this process's view of it is damaged".to_owned(),
    )
}

fn unavailable(error: &io::Error) -> NonceError {
    NonceError::Unavailable(format!("the folder of used proofs: {error}"))
}

/// Of each 90 s, as in memory.
const ROOM: usize = 200_000;
/// A mark, and whose it was.
const RECORD: usize = 48;
const FORM: &str = "kakunin-nonces-1";
const MAX_STATE: u64 = 256;
const SUFFIX: &str = ".used";
const PATIENCE: Duration = Duration::from_secs(1);
