//! Which proofs were used: a trait, and the memory of one process.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use kakunin_core::digest::Digest;
use kakunin_core::possession::{Nonces, PossessionError};
use kakunin_core::time::UnixTime;

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
}

impl MemoryNonces {
    /// Begins at `since`, now, with room for `room` proofs of each 90 s.
    #[must_use]
    pub fn new(since: UnixTime, room: usize) -> Self {
        let each = room.div_ceil(PARTS).max(1);
        let parts = (0..PARTS).map(|_| Mutex::new(Nonces::new(since, each))).collect();
        Self { parts, places: RandomState::new() }
    }

    fn part(&self, mark: &Digest) -> Option<MutexGuard<'_, Nonces>> {
        let place = usize::try_from(self.places.hash_one(mark.as_bytes()) % PARTS as u64).ok()?;
        let part = self.parts.get(place)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match part.try_lock() {
                Ok(nonces) => return Some(nonces),
                // A set that a panic left half changed might take what came before.
                Err(TryLockError::Poisoned(_)) => return None,
                // A thread that had it when the process forked does not give it back in the child.
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return None,
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            }
        }
    }
}

impl NonceStore for MemoryNonces {
    fn remember(&self, mark: &Digest, created: UnixTime, now: UnixTime) -> Result<(), NonceError> {
        let unavailable =
            || NonceError::Unavailable("the memory of this process is held or damaged".to_owned());
        let mut nonces = self.part(mark).ok_or_else(unavailable)?;
        nonces.remember(*mark, created, None, now).map_err(|error| match error {
            PossessionError::Replayed => NonceError::Used,
            PossessionError::Full => NonceError::Full,
            PossessionError::Starting { wait } => NonceError::Starting { wait },
            PossessionError::Created { .. } => NonceError::TooOld,
            other => NonceError::Unavailable(other.to_string()),
        })
    }
}

/// Locks that threads share out between them.
const PARTS: usize = 16;
const PATIENCE: Duration = Duration::from_millis(100);
