//! Proofs that were used, remembered for as long as they would be good.
//!
//! They are kept by the time at which they were made, in two buckets: what is older than both is too old to be used
//! again, also for a clock that is set back. Nothing is ever dropped for want of room; without room nothing is admitted.

use std::collections::HashSet;

use super::present::{AHEAD, LONGEST, PossessionError, SignedRequest};
use crate::certificate::AgentPath;
use crate::chain::ChainLink;
use crate::digest::Digest;
use crate::id::AgentId;
use crate::time::UnixTime;

/// The proofs that one verifier admitted. Verifiers that do not share it can each be shown a proof once.
#[derive(Debug)]
pub struct Nonces {
    since: UnixTime,
    room: usize,
    /// The number of the older bucket.
    first: i64,
    older: HashSet<Digest>,
    newer: HashSet<Digest>,
}

impl Nonces {
    /// Remembers from `since`, now, at most `room` proofs of each [`SECONDS`](Self::SECONDS).
    #[must_use]
    pub fn new(since: UnixTime, room: usize) -> Self {
        let first = bucket(since.plus(-LONGEST));
        Self { since, room, first, older: HashSet::new(), newer: HashSet::new() }
    }

    /// Admits a request if it did not come before.
    ///
    /// Of what was admitted before `since` nothing is known. A certificate that was issued after it, at `issued` by the
    /// verifier's own records, cannot have been used before it; every other one is admitted from the second on which no
    /// proof of before can carry.
    ///
    /// # Errors
    /// [`PossessionError::Replayed`], [`PossessionError::Full`], [`PossessionError::Starting`], or
    /// [`PossessionError::Created`] when it is older than what is remembered.
    pub fn admit(
        &mut self,
        request: SignedRequest,
        issued: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<Possession, PossessionError> {
        self.remember(request.mark(), request.created(), issued, now)?;
        let (path, link) = request.into_parts();
        Ok(Possession { path, link })
    }

    /// As [`Nonces::admit`], for whoever has of a proof only what is remembered: its [`mark`](SignedRequest::mark), and when it was
    /// made.
    ///
    /// # Errors
    /// As there.
    pub fn remember(
        &mut self,
        mark: Digest,
        created: UnixTime,
        issued: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<(), PossessionError> {
        let first = self.since.plus(AHEAD + 1);
        if issued.is_none_or(|at| at <= self.since) && created < first {
            let wait = first.seconds().saturating_sub(created.seconds());
            return Err(PossessionError::Starting { wait: u32::try_from(wait).unwrap_or(u32::MAX) });
        }
        let number = bucket(created);
        if number < self.first {
            return Err(PossessionError::Created { created, now });
        }
        if number > self.first + 1 {
            let kept = std::mem::take(&mut self.newer);
            self.older = if number == self.first + 2 { kept } else { HashSet::new() };
            self.first = number - 1;
        }
        let kept = if number == self.first { &mut self.older } else { &mut self.newer };
        if kept.contains(&mark) {
            return Err(PossessionError::Replayed);
        }
        if kept.len() >= self.room {
            return Err(PossessionError::Full);
        }
        kept.insert(mark);
        Ok(())
    }

    /// How long a bucket is: longer than the time in which a proof is good, so that two hold every one that is.
    pub const SECONDS: i64 = 90;
}

fn bucket(created: UnixTime) -> i64 {
    created.seconds().div_euclid(Nonces::SECONDS)
}

/// Whoever sent this request, once, has the key of the agent's certificate. Whether the agent is in good standing is
/// another question.
#[derive(Clone, Debug)]
#[must_use = "who asked decides what is answered"]
pub struct Possession {
    path: AgentPath,
    link: Option<ChainLink>,
}

impl Possession {
    /// The agent.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.path.agent().agent()
    }

    /// Its certificate and path.
    #[must_use]
    pub const fn path(&self) -> &AgentPath {
        &self.path
    }

    /// What the call follows from, as the agent signed it.
    #[must_use]
    pub const fn link(&self) -> Option<&ChainLink> {
        self.link.as_ref()
    }
}

const _: () = assert!(Nonces::SECONDS > LONGEST + AHEAD, "two buckets hold every proof that is good");
