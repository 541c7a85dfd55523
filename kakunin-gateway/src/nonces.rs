//! Which proofs were used: a trait, and the memory of one process.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::possession::{Nonces, PossessionError};
use kakunin_core::time::UnixTime;

use crate::share::Share;

/// Remembers which proofs were used. Workers that share one take each proof once; workers that do not each take it once.
///
/// It is asked last: what it is given was signed by the key of a certificate that is trusted, over this very request, so a
/// stranger can neither use up a proof nor fill the store.
pub trait NonceStore: fmt::Debug + Send + Sync {
    /// Remembers the proof `mark`, which was made at `created`, unless it is remembered. Of two that ask at once for the same
    /// one, in whatever process, only one is told `Ok`. What is remembered is kept until `created` is
    /// [`KEPT_SECONDS`] past, by a clock that is not behind `now`.
    ///
    /// # Errors
    /// [`NonceError`]. What cannot be remembered must not be taken: [`NonceError::Unavailable`].
    fn remember(&self, mark: &Digest, created: UnixTime, now: UnixTime) -> Result<(), NonceError>;

    /// The same for whoever knows that the proof is `agent`'s: a store with bounded room may keep some of it for others.
    ///
    /// # Errors
    /// As [`NonceStore::remember`], which is what it does unless a store knows better.
    fn remember_of(
        &self,
        agent: &AgentId,
        mark: &Digest,
        created: UnixTime,
        now: UnixTime,
    ) -> Result<(), NonceError> {
        let _ = agent;
        self.remember(mark, created, now)
    }
}

/// For how long a store keeps what it remembers, from the time at which the proof was made: longer than any proof is good.
pub const KEPT_SECONDS: i64 = 2 * Nonces::SECONDS;

/// A proof that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NonceError {
    /// It was used before.
    #[error("the proof was used before")]
    Used,
    /// There is no room to remember it.
    #[error("more proofs came than can be remembered")]
    Full,
    /// It may have been used before the store began.
    #[error("the store began too short a time ago")]
    Starting {
        /// After how many seconds one is taken.
        wait: u32,
    },
    /// It is older than what is remembered.
    #[error("the proof is older than what is remembered")]
    TooOld,
    /// The store cannot be asked.
    #[error("the proofs that were used cannot be asked for: {0}")]
    Unavailable(String),
}

/// The proofs that this process took. After a restart it takes none that may have been used before: for 11 s.
#[derive(Debug)]
pub struct MemoryNonces {
    // INVARIANT: never empty.
    parts: Vec<Mutex<Nonces>>,
    /// Chosen by chance in each process: nobody can aim at one part and fill it.
    places: RandomState,
    room: usize,
    /// By the number of the time in which proofs were made.
    shares: Mutex<BTreeMap<i64, Share>>,
}

impl MemoryNonces {
    /// Begins at `since`, now, with room for `room` proofs of each 90 s.
    #[must_use]
    pub fn new(since: UnixTime, room: usize) -> Self {
        let each = room.div_ceil(PARTS).max(1);
        let parts = (0..PARTS).map(|_| Mutex::new(Nonces::new(since, each))).collect();
        Self { parts, places: RandomState::new(), room, shares: Mutex::default() }
    }

    fn part(&self, mark: &Digest) -> Result<MutexGuard<'_, Nonces>, NonceError> {
        let place = usize::try_from(self.places.hash_one(mark.as_bytes()) % PARTS as u64).ok();
        held(place.and_then(|place| self.parts.get(place)).and_then(in_time))
    }

    /// Changes what is counted of the time in which a proof was made.
    fn share<T>(&self, created: UnixTime, act: impl FnOnce(&mut Share) -> T) -> Result<T, NonceError> {
        let mut shares = held(in_time(&self.shares))?;
        let number = created.seconds().div_euclid(Nonces::SECONDS);
        let share = shares.entry(number).or_default();
        let acted = act(share);
        while shares.len() > TIMES {
            shares.pop_first();
        }
        Ok(acted)
    }
}

/// A lock, unless it is held for too long or damaged.
fn in_time<T>(of: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match of.try_lock() {
            Ok(locked) => return Some(locked),
            // A set that a panic left half changed might take what came before.
            Err(TryLockError::Poisoned(_)) => return None,
            // A thread that had it when the process forked does not give it back in the child.
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return None,
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
}

fn held<T>(locked: Option<T>) -> Result<T, NonceError> {
    locked.ok_or_else(|| NonceError::Unavailable("the memory of this process is held or damaged".to_owned()))
}

impl NonceStore for MemoryNonces {
    fn remember(&self, mark: &Digest, created: UnixTime, now: UnixTime) -> Result<(), NonceError> {
        let mut nonces = self.part(mark)?;
        nonces.remember(*mark, created, None, now).map_err(|error| match error {
            PossessionError::Replayed => NonceError::Used,
            PossessionError::Full => NonceError::Full,
            PossessionError::Starting { wait } => NonceError::Starting { wait },
            PossessionError::Created { .. } => NonceError::TooOld,
            other => NonceError::Unavailable(other.to_string()),
        })
    }

    fn remember_of(
        &self,
        agent: &AgentId,
        mark: &Digest,
        created: UnixTime,
        now: UnixTime,
    ) -> Result<(), NonceError> {
        if !self.share(created, |share| share.has_room(agent, self.room))? {
            return Err(NonceError::Full);
        }
        self.remember(mark, created, now)?;
        self.share(created, |share| share.add(*agent))
    }
}

/// The times of which proofs are good at once, and one more.
const TIMES: usize = 3;
/// Locks that threads share out between them.
const PARTS: usize = 16;
const PATIENCE: Duration = Duration::from_millis(100);
