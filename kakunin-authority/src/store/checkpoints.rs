//! Checkpoints of logs that agents were shown: who saw which tree when, and what cannot be true together.
//!
//! A log is named by its verifier key, and everything here is of one tenant. What is kept is a signed note as it came, so
//! that it proves something without this store; whoever keeps one has opened it (`checkpoint`).

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;

use super::StoreError;
use crate::access::TenantId;

/// What agents were shown of logs.
pub trait Checkpoints {
    /// Says which log an agent's checkpoints have to be of, in the place of what was said before.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when the tenant has no such agent.
    fn pin_log(
        &mut self,
        tenant: &TenantId,
        agent: AgentId,
        log: &str,
        at: UnixTime,
    ) -> Result<(), StoreError>;

    /// Which log that is, and since when.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn log_pin(&self, tenant: &TenantId, agent: AgentId) -> Result<Option<(String, UnixTime)>, StoreError>;

    /// Keeps a checkpoint, and says whether it is new. One that its agent showed before stays as it came first.
    ///
    /// Of what an agent showed of one log the first, the largest and the newest 1,024 stay, and a new one puts the others
    /// out: an agent makes as many as it likes, by a key of its own.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when the tenant has no such agent.
    fn keep_checkpoint(&mut self, checkpoint: &CheckpointRecord) -> Result<bool, StoreError>;

    /// The largest checkpoint of a log that an agent showed.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn largest_checkpoint(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        log: &str,
    ) -> Result<Option<CheckpointRecord>, StoreError>;

    /// The first checkpoint of this size of a log that `agent` showed, or whoever of the tenant if nobody is named.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn checkpoint_of_size(
        &self,
        tenant: &TenantId,
        agent: Option<AgentId>,
        log: &str,
        size: u64,
    ) -> Result<Option<CheckpointRecord>, StoreError>;

    /// Checkpoints that agents of a tenant showed, the last that came first, each with its number.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn checkpoints(
        &self,
        tenant: &TenantId,
        filter: &ShownFilter,
        limit: u32,
    ) -> Result<Vec<(u64, CheckpointRecord)>, StoreError>;

    /// Keeps two notes that cannot both be true, and says whether that is new: one note is told once of an agent.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when the tenant has no such agent.
    fn keep_contradiction(&mut self, contradiction: &ContradictionRecord) -> Result<bool, StoreError>;

    /// Contradictions of a tenant, the last that came first, each with its number.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn contradictions(
        &self,
        tenant: &TenantId,
        filter: &ShownFilter,
        limit: u32,
    ) -> Result<Vec<(u64, ContradictionRecord)>, StoreError>;

    /// How many contradictions there are, over all tenants.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn count_contradictions(&self) -> Result<u64, StoreError>;
}

/// A checkpoint that an agent was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// Whose agent it was.
    pub tenant: TenantId,
    /// Who was shown it.
    pub agent: AgentId,
    /// The verifier key of the log.
    pub log: String,
    /// How many entries the log had.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// The signed note.
    pub note: String,
    /// The size of another checkpoint that is kept, with which a proof came that one continues the other.
    pub proven: Option<u64>,
    /// When it came.
    pub received: UnixTime,
}

/// Two notes of logs that cannot both be true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContradictionRecord {
    /// Whose agent it was.
    pub tenant: TenantId,
    /// Who was shown the second.
    pub agent: AgentId,
    /// What is wrong with them.
    pub kind: ContradictionKind,
    /// The verifier key that opens the second.
    pub log: String,
    /// The note that was known; none where only a key was.
    pub known: Option<String>,
    /// The note that was shown.
    pub offered: String,
    /// When it came.
    pub received: UnixTime,
}

/// Why two checkpoints cannot both be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContradictionKind {
    /// Two trees of one size.
    Fork,
    /// The log has become shorter than this agent saw it, and nothing proves that it was once so short.
    Shrunk,
    /// The proof that came does not lead from one to the other.
    Inconsistent,
    /// It is of another log than the agent's.
    OtherKey,
}

impl ContradictionKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Fork, Self::Shrunk, Self::Inconsistent, Self::OtherKey];

    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Fork => "checkpoint.fork",
            Self::Shrunk => "checkpoint.shrunk",
            Self::Inconsistent => "checkpoint.inconsistent",
            Self::OtherKey => "checkpoint.other_key",
        }
    }

    /// The kind with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Which of what was shown; what is `None` lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownFilter {
    /// To one of these agents.
    pub agents: Option<Vec<AgentId>>,
    /// With a smaller number than this.
    pub below: Option<u64>,
}

/// How many of the newest checkpoints that an agent showed of a log stay.
pub(crate) const NEWEST: u32 = 1_024;

/// SHA-256 of what one contradiction is told once by.
pub(crate) fn mark_of(contradiction: &ContradictionRecord) -> Digest {
    // Neither a code nor a key has a line feed.
    let ContradictionRecord { kind, log, offered, .. } = contradiction;
    Digest::of_parts(&[kind.code().as_bytes(), b"\n", log.as_bytes(), b"\n", offered.as_bytes()])
}

/// A size as the databases keep it; larger ones no receipt can name either (WIRE 4).
pub(crate) fn kept_size(size: u64) -> Result<i64, StoreError> {
    i64::try_from(size).map_err(|_| StoreError::Damaged { what: "size of a log" })
}
