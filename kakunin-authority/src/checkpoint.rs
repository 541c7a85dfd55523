//! Checkpoints of logs that agents were shown, judged against what the authority knows of the same log.
//!
//! An agent tells which head its owner's log had when it looked. Two of them that cannot both be true prove that the log
//! shows different things to different people, whoever signed what in it. [`Offer::read`] opens a note by the key that came
//! with it; [`Offer::judge`] says what it means beside what is kept. Nothing here asks the log itself.
//!
//! * Of one log there is one tree of each size, whichever agent of the tenant was shown it.
//! * To one agent a log only grows. A smaller head is taken if a proof leads from it to one that the agent showed.
//! * A proof that comes has to hold between what is known and what is offered.
//! * An agent has one log: the first one that it shows, or the one that an issuer names for it.

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::log::{KeyKind, NoteError, OpenedCheckpoint, SignedNote, VerifierKey, VerifierKeyError};
use kakunin_core::time::UnixTime;
use kakunin_core::tree::ConsistencyProof;

use crate::access::TenantId;
use crate::store::{CheckpointRecord, ContradictionKind, ContradictionRecord, Store, StoreError};

/// A checkpoint that its log signed, on its way to be kept.
#[derive(Clone, Debug)]
pub struct Offer {
    tenant: TenantId,
    agent: AgentId,
    log: String,
    opened: OpenedCheckpoint,
    proof: Option<ConsistencyProof>,
    received: UnixTime,
}

/// What an agent sends about its log.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    /// The verifier key that the agent has.
    pub log: &'a str,
    /// The signed note.
    pub note: &'a str,
    /// That one of two trees begins with the other.
    pub proof: Option<ConsistencyProof>,
}

impl Offer {
    /// Opens what `agent` was shown.
    ///
    /// # Errors
    /// [`OfferError`] when the key is none of a log, or the note is no checkpoint that it signed.
    pub fn read(
        tenant: &TenantId,
        agent: AgentId,
        shown: Shown<'_>,
        received: UnixTime,
    ) -> Result<Self, OfferError> {
        let key = VerifierKey::parse(shown.log)?;
        if key.kind() != KeyKind::Log {
            return Err(OfferError::NotALog);
        }
        let opened = bare(SignedNote::parse(shown.note.as_bytes())?.open(&key)?);
        let size = opened.size();
        if size > MOST_ENTRIES {
            return Err(OfferError::TooLarge { size });
        }
        if size == 0 && *opened.root() != Digest::of(b"") {
            return Err(OfferError::NotEmpty);
        }
        if let Some(ConsistencyProof { from, to, path }) = &shown.proof {
            let about = *from == size || *to == size;
            if !about || from > to || path.len() > MOST_HASHES {
                return Err(OfferError::Proof { size });
            }
        }
        // In its one spelling: who else has the same key is found by it.
        let log = key.to_string();
        Ok(Self { tenant: tenant.clone(), agent, log, opened, proof: shown.proof, received })
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.opened.log().name()
    }

    /// How many entries it had.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.opened.size()
    }

    /// Says what it means beside what is kept.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    pub fn judge(&self, store: &dyn Store) -> Result<Judged, StoreError> {
        let Self { tenant, agent, log, .. } = self;
        let pin = store.log_pin(tenant, *agent)?;
        let is_first = pin.is_none();
        if let Some((pinned, _)) = pin.filter(|(pinned, _)| pinned != log) {
            let before = store.largest_checkpoint(tenant, *agent, &pinned)?;
            return Ok(self.against(ContradictionKind::OtherKey, before));
        }
        let (size, root) = (self.opened.size(), *self.opened.root());
        let same = store.checkpoint_of_size(tenant, None, log, size)?;
        if same.as_ref().is_some_and(|known| known.root != root) {
            return Ok(self.against(ContradictionKind::Fork, same));
        }
        let proven = match &self.proof {
            None => None,
            Some(proof) => {
                let other = if proof.to == size { proof.from } else { proof.to };
                match store.checkpoint_of_size(tenant, None, log, other)? {
                    // Of a tree that nobody here knows it says nothing.
                    None => None,
                    Some(known) if self.holds(proof, &known) => Some(other),
                    known => return Ok(self.against(ContradictionKind::Inconsistent, known)),
                }
            }
        };
        let largest = store.largest_checkpoint(tenant, *agent, log)?;
        let record = CheckpointRecord {
            tenant: tenant.clone(),
            agent: *agent,
            log: log.clone(),
            size,
            root,
            note: self.opened.note().to_string(),
            proven,
            received: self.received,
        };
        match largest.filter(|largest| size < largest.size && proven != Some(largest.size)) {
            None => Ok(Judged::Fits { record, is_first }),
            // Sent again: an answer was lost.
            Some(_) if store.checkpoint_of_size(tenant, Some(*agent), log, size)?.is_some() => {
                Ok(Judged::Fits { record, is_first })
            }
            largest => Ok(self.against(ContradictionKind::Shrunk, largest)),
        }
    }

    fn holds(&self, proof: &ConsistencyProof, known: &CheckpointRecord) -> bool {
        let (size, root) = (self.opened.size(), *self.opened.root());
        let (earlier, later) = if proof.to == size { (known.root, root) } else { (root, known.root) };
        proof.verify(earlier, later).is_ok()
    }

    fn against(&self, kind: ContradictionKind, known: Option<CheckpointRecord>) -> Judged {
        Judged::Contradicts(ContradictionRecord {
            tenant: self.tenant.clone(),
            agent: self.agent,
            kind,
            log: self.log.clone(),
            known: known.map(|known| known.note),
            offered: self.opened.note().to_string(),
            received: self.received,
        })
    }
}

/// The same with one line alone, by which its log signed it: nobody here has verified what others wrote below, and it
/// would be kept, and make one note as many as whoever sends it likes.
fn bare(opened: OpenedCheckpoint) -> OpenedCheckpoint {
    let (note, log) = (opened.note(), opened.log());
    let by_log = note.signatures().iter().filter(|signature| signature.name() == log.name());
    let alone =
        |line| SignedNote::parse(format!("{}\n{line}\n", note.text()).as_bytes()).ok()?.open(log).ok();
    let found = by_log.map(ToString::to_string).find_map(alone);
    found.unwrap_or(opened)
}

/// What an offer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It goes with everything that is known.
    Fits {
        /// What is to be kept.
        record: CheckpointRecord,
        /// Whether its log is the agent's from now on.
        is_first: bool,
    },
    /// It cannot be true beside what is known.
    Contradicts(ContradictionRecord),
}

/// What is no checkpoint that could be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// The key.
    #[error("`log`: {0}")]
    Key(#[from] VerifierKeyError),
    /// A witness's key.
    #[error("`log` is a witness's key; send the key that the log itself signs with")]
    NotALog,
    /// The note.
    #[error("`checkpoint`: {0}")]
    Note(#[from] NoteError),
    /// More entries than a receipt could name.
    #[error("a log of {size} entries is larger than any receipt could name")]
    TooLarge {
        /// How many entries it says.
        size: u64,
    },
    /// No entries, and a root over some.
    #[error("a log without entries has the SHA-256 of nothing as its root")]
    NotEmpty,
    /// A proof about other trees.
    #[error(
        "`consistency` has to lead from a tree to a later one, and one of the two has to be that of {size} entries"
    )]
    Proof {
        /// How many entries the checkpoint has.
        size: u64,
    },
}

impl OfferError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Note(NoteError::Unsigned { .. } | NoteError::Signature { .. }) => "checkpoint.signature",
            _ => "checkpoint.malformed",
        }
    }
}

/// Numbers in receipts end there (WIRE 4).
const MOST_ENTRIES: u64 = (1 << 53) - 1;
/// RFC 6962: a proof between trees of 2^63 leaves has no more.
const MOST_HASHES: usize = 65;
