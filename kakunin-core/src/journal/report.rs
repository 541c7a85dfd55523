//! What the verifier found, in words and codes.
//!
//! The verdict never is a bare "valid"; each reason and each fault has a stable code and says where.

use std::fmt;

use crate::id::{AgentId, StreamId};
use crate::time::UnixTime;

/// What was found in a journal.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub(super) streams: Vec<StreamSummary>,
    pub(super) reasons: Vec<Reason>,
    pub(super) invalid: Option<Invalid>,
}

impl Report {
    /// The verdict over all streams.
    #[must_use]
    pub fn verdict(&self) -> Verdict<'_> {
        match self.invalid {
            Some(invalid) => Verdict::Invalid(invalid),
            None if self.streams.iter().all(|stream| stream.receipts == 0) => Verdict::Empty,
            None if self.reasons.is_empty() => Verdict::Complete,
            None => Verdict::AuthenticNotComplete(&self.reasons),
        }
    }

    /// Each stream, in the order of their names.
    #[must_use]
    pub fn streams(&self) -> &[StreamSummary] {
        &self.streams
    }
}

/// The verdict over a journal. There is no bare "valid".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'r> {
    /// Everything is there, and somebody else witnessed the end.
    Complete,
    /// What is there is right; what else there was cannot be told, or something lacks.
    AuthenticNotComplete(&'r [Reason]),
    /// Something is wrong.
    Invalid(Invalid),
    /// No receipt.
    Empty,
}

impl Verdict<'_> {
    /// The exit code of `verify` (WIRE 4): 0 complete, 1 invalid, 3 otherwise.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Invalid(_) => 1,
            Self::AuthenticNotComplete(_) | Self::Empty => 3,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Complete => "COMPLETE",
            Self::AuthenticNotComplete(_) => "AUTHENTIC-NOT-COMPLETE",
            Self::Invalid(_) => "INVALID",
            Self::Empty => "EMPTY",
        }
    }
}

/// What is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// A stable code: `receipt.signature`, `receipt.sequence`, `journal.frame`, ...
    pub code: &'static str,
    /// The stream.
    pub stream: StreamId,
    /// How many receipts of it lie before.
    pub index: u64,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at receipt {} of stream {}", self.code, self.index, self.stream)
    }
}

/// Why a journal that is authentic is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Nobody else confirms the end of the stream, nor its times: both are the writer's claims.
    TailNotWitnessed {
        /// The stream.
        stream: StreamId,
    },
    /// The stream has no closing receipt.
    Open {
        /// The stream.
        stream: StreamId,
    },
    /// The stream ends within a write.
    Torn {
        /// The stream.
        stream: StreamId,
        /// How much of the write is there.
        bytes: u64,
    },
    /// Another process ended the stream.
    Recovered {
        /// The stream.
        stream: StreamId,
        /// Bytes it cut off.
        cut: u64,
        /// Receipts it found without signature.
        unsigned: u64,
    },
    /// Receipts without a signature.
    Unsigned {
        /// The stream.
        stream: StreamId,
        /// Which ones.
        indices: Vec<u64>,
    },
    /// Authorised, result unknown.
    OutcomeMissing {
        /// The stream.
        stream: StreamId,
        /// Which decisions.
        indices: Vec<u64>,
    },
    /// Values that were committed to and are not here any more.
    Redacted {
        /// The stream.
        stream: StreamId,
        /// How many.
        count: u64,
    },
    /// Receipts that others follow from and that are not here.
    DanglingParents {
        /// How many.
        count: usize,
    },
}

impl Reason {
    /// The stable code, for example `tail.not_witnessed`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TailNotWitnessed { .. } => "tail.not_witnessed",
            Self::Open { .. } => "stream.open",
            Self::Torn { .. } => "stream.torn",
            Self::Recovered { .. } => "stream.recovered",
            Self::Unsigned { .. } => "receipt.unsigned",
            Self::OutcomeMissing { .. } => "outcome.missing",
            Self::Redacted { .. } => "disclosure.missing",
            Self::DanglingParents { .. } => "parent.missing",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TailNotWitnessed { stream } => {
                write!(f, "tail and times of stream {stream} are not witnessed")
            }
            Self::Open { stream } => write!(f, "stream {stream} has no closing receipt"),
            Self::Torn { stream, bytes } => {
                write!(f, "stream {stream} ends with {bytes} bytes of a torn write")
            }
            Self::Recovered { stream, cut, unsigned } => write!(
                f,
                "stream {stream} was closed by recovery: {cut} bytes cut, {unsigned} receipts found unsigned"
            ),
            Self::Unsigned { stream, indices } => {
                write!(f, "UNSIGNED receipts in stream {stream}: {}", Indices(indices))
            }
            Self::OutcomeMissing { stream, indices } => {
                write!(f, "authorised, result unknown in stream {stream}: {}", Indices(indices))
            }
            Self::Redacted { stream, count } => write!(f, "{count} values of stream {stream} are redacted"),
            Self::DanglingParents { count } => {
                write!(f, "{count} receipts that others follow from are not here")
            }
        }
    }
}

/// Indices as people read them; a long list is abbreviated.
struct Indices<'a>(&'a [u64]);

impl fmt::Display for Indices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, index) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{index}")?;
        }
        match self.0.len().checked_sub(SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}

/// The counts of one stream. The times are claims.
#[derive(Clone, Debug)]
pub struct StreamSummary {
    /// The stream.
    pub stream: StreamId,
    /// Whose it is, if it holds a receipt.
    pub agent: Option<AgentId>,
    /// All receipts.
    pub receipts: u64,
    /// Decisions that allowed.
    pub allowed: u64,
    /// Decisions that denied.
    pub denied: u64,
    /// Outcomes.
    pub outcomes: u64,
    /// Receipts without a signature.
    pub unsigned: u64,
    /// Whether it ends with a closing receipt.
    pub closed: bool,
    /// First and last second, as claimed.
    pub claimed: Option<(UnixTime, UnixTime)>,
}

/// Indices shown one by one.
const SHOWN: usize = 20;
