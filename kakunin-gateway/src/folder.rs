//! Used proofs that the processes of one host share through a folder: no server is needed.
//!
//! `state` says since when the folder remembers, in which run of the machine, and which of two times is the older one; each of the two
//! has a file of records, the mark of a proof and whose it was. One lock goes around each question, and what others wrote meanwhile is
//! read then. A process that is killed loses nothing that it answered. What was not synced when power was lost may be gone, so after a
//! start of the machine the folder begins anew, as a memory does: it takes no proof that may have been used before. So it does when
//! somebody removed it or one of its files, and when the clock that wrote it went back.

mod private;
mod state;

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError as TryMutexError};
use std::time::{Duration, Instant};

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::possession::{Nonces, PossessionError};
use kakunin_core::time::UnixTime;

use crate::nonces::{NonceError, NonceStore};
use crate::share::Share;
use private::{Id, Private};
use state::{State, time_of};

/// The proofs that were used at any gateway of this host that is given the same folder, in whatever process, thread or language.
///
/// Whoever can write into the folder can have a proof taken twice: it is this service's own, `/run/shop/nonces` for example, and is
/// refused if it belongs to another user, if others may write there, or if it is a link. It must be on a file system of this host.
///
/// A question waits 100 ms for the lock. When that was in vain, the questions of the next second wait 5 ms each: a worker that was
/// stopped with the lock denies what the others are asked, and does not stop them.
#[derive(Debug)]
pub struct FolderNonces {
    folder: PathBuf,
    room: usize,
    run: String,
    seen: Mutex<Seen>,
    opened: Instant,
    /// Until when nobody waits for long, in milliseconds since it was opened.
    hurried: AtomicU64,
}

/// What this process read of the folder.
#[derive(Debug)]
struct Seen {
    /// A lock belongs to whoever opened the file, and a child of a fork would have its parent's.
    process: u32,
    folder: Private,
    /// Since when the folder remembers: what was read before is of no use after a beginning.
    since: i64,
    state: File,
    id: Id,
    times: BTreeMap<i64, Time>,
}

/// The proofs that were made in the same 90 s.
#[derive(Debug)]
struct Time {
    file: File,
    id: Id,
    read: u64,
    marks: HashSet<Digest>,
    share: Share,
}

impl FolderNonces {
    /// Shares `folder`, which is made for its owner alone if it is not there, with room for 200,000 proofs of each 90 s.
    ///
    /// # Errors
    /// What the system says when it cannot be written there, or does not say which run of the machine this is; a folder that is not
    /// this user's own, that others may write in, or that is a link.
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
        private::make(&folder)?;
        let seen = Mutex::new(Seen::of(&folder)?);
        Ok(Self { folder, room, run, seen, opened: Instant::now(), hurried: AtomicU64::new(0) })
    }

    fn ask(
        &self,
        agent: Option<&AgentId>,
        mark: &Digest,
        created: UnixTime,
        now: UnixTime,
    ) -> Result<(), NonceError> {
        let deadline = Instant::now() + self.patience();
        let mut seen = self.alone(deadline)?;
        if seen.process != std::process::id() {
            *seen = Seen::of(&self.folder).map_err(|error| unavailable(&error))?;
        }
        loop {
            self.lock(&seen.state, deadline)?;
            let is_at = seen.is_at(&self.folder);
            if matches!(is_at, Ok(true)) {
                break;
            }
            // It may come back to its place, and then others wait for this lock.
            let _ = seen.state.unlock();
            is_at.map_err(|error| unavailable(&error))?;
            // Whoever comes now has another folder, or another lock, in this place: what this one says is nothing to them.
            *seen = Seen::of(&self.folder).map_err(|error| unavailable(&error))?;
            if Instant::now() >= deadline {
                return Err(held());
            }
        }
        let asked = self.locked(&mut seen, agent, mark, created, now);
        // The system ends a lock that cannot be given back with the file.
        let _ = seen.state.unlock();
        asked
    }

    /// What this process knows, for one thread.
    fn alone(&self, deadline: Instant) -> Result<MutexGuard<'_, Seen>, NonceError> {
        loop {
            match self.seen.try_lock() {
                Ok(seen) => return Ok(seen),
                Err(TryMutexError::Poisoned(_)) => return Err(held()),
                // A thread that had it when the process forked does not give it back in the child.
                Err(TryMutexError::WouldBlock) if Instant::now() >= deadline => return Err(held()),
                Err(TryMutexError::WouldBlock) => std::thread::sleep(PAUSE),
            }
        }
    }

    fn lock(&self, file: &File, deadline: Instant) -> Result<(), NonceError> {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(unavailable(&error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    let until = self.opened.elapsed() + HURRY;
                    let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
                    self.hurried.store(until, Ordering::Relaxed);
                    return Err(held());
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// How long a question may wait: others wait behind it, in an event loop everything does.
    fn patience(&self) -> Duration {
        let hurried = Duration::from_millis(self.hurried.load(Ordering::Relaxed));
        if self.opened.elapsed() < hurried { IMPATIENCE } else { PATIENCE }
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
        let number = time_of(created);
        if state.is_shut(number) {
            return Err(NonceError::Unavailable(
                "the clock of this host went back, and which proofs of this time it took before is not known; it is over when that time is, or when the folder of used proofs was removed"
                    .to_owned(),
            ));
        }
        if number < state.older {
            return Err(NonceError::TooOld);
        }
        if number > state.older + 1 {
            self.move_to(seen, &state, number).map_err(|error| unavailable(&error))?;
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

    /// The state that holds, or a new one: of an earlier run of the machine, of a clock that went back, of what cannot be read and of
    /// what is not whole any more, nothing is believed.
    fn state(&self, seen: &mut Seen, now: UnixTime) -> io::Result<State> {
        let known = State::read(&seen.state)?;
        if let Some(state) = known.as_ref().filter(|state| state.is_of(&self.run)) {
            seen.follow(state);
            if !state.is_ahead_of(now) && seen.is_whole(state)? {
                return Ok(state.clone());
            }
        }
        let begun = State::begun(now, &self.run, known.as_ref());
        seen.forget(|_| true)?;
        for number in [begun.older, begun.older + 1] {
            seen.folder.file(&name_of(number))?;
        }
        begun.write(&seen.state)?;
        seen.follow(&begun);
        Ok(begun)
    }

    /// Makes `number` the later one of the two times. Files first: a state without them is not believed.
    fn move_to(&self, seen: &mut Seen, state: &State, number: i64) -> io::Result<()> {
        for number in [number - 1, number] {
            seen.folder.file(&name_of(number))?;
        }
        state.moved_to(number).write(&seen.state)?;
        seen.forget(|time| time < number - 1)
    }

    /// What is known of a time by now, also by others.
    fn time<'s>(&self, seen: &'s mut Seen, number: i64) -> io::Result<&'s mut Time> {
        let Seen { folder, times, .. } = seen;
        let time = match times.entry(number) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let (file, id) = folder.file(&name_of(number))?;
                place.insert(Time { file, id, read: 0, marks: HashSet::new(), share: Share::default() })
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
        let folder = Private::open(folder)?;
        let (state, id) = folder.file(STATE)?;
        let process = std::process::id();
        Ok(Self { process, folder, since: i64::MIN, state, id, times: BTreeMap::new() })
    }

    /// Whether this is still what everybody finds at that path.
    fn is_at(&self, folder: &Path) -> io::Result<bool> {
        Ok(self.folder.is_at(folder)? && self.folder.id(STATE)? == Some(self.id))
    }

    /// Whether the files of both times are there, and are those that were read.
    fn is_whole(&self, state: &State) -> io::Result<bool> {
        for number in [state.older, state.older + 1] {
            let there = self.folder.id(&name_of(number))?;
            let read = self.times.get(&number).map(|time| time.id);
            if there.is_none() || read.is_some_and(|read| there != Some(read)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Nothing of what was read before a beginning counts after it.
    fn follow(&mut self, state: &State) {
        if state.since != self.since {
            self.times.clear();
            self.since = state.since;
        }
    }

    /// Forgets the times of which that is said.
    fn forget(&mut self, is_over: impl Fn(i64) -> bool) -> io::Result<()> {
        self.times.retain(|time, _| !is_over(*time));
        self.folder.remove(|name| {
            let number = name.strip_suffix(SUFFIX).and_then(|number| number.parse().ok());
            number.is_some_and(&is_over)
        })
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

/// Which run of the machine this is; where the system does not say, none is another one's.
fn this_run() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty() && !text.contains(' '))
}

fn name_of(number: i64) -> String {
    format!("{number}{SUFFIX}")
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
const STATE: &str = "state";
const SUFFIX: &str = ".used";
const PATIENCE: Duration = Duration::from_millis(100);
/// As long as the lock of somebody who runs is waited for at most, and not that of somebody who stands still.
const IMPATIENCE: Duration = Duration::from_millis(5);
const HURRY: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_micros(50);
