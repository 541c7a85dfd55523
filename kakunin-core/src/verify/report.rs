//! What the verifier found, in words and codes.
//!
//! The verdict never is a bare "valid"; each reason and each fault has a stable code and says where.

use std::fmt;

use crate::digest::Digest;
use crate::id::{AgentId, ChainId, StreamId};
use crate::time::UnixTime;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub(super) extent: Extent,
    pub(super) streams: Vec<StreamSummary>,
    /// Proven receipts that name the one chain.
    pub(super) of_the_chain: u64,
    pub(super) reasons: Vec<Reason>,
    pub(super) invalid: Option<Invalid>,
    pub(super) foreign_lists: usize,
    pub(super) replay: Option<ReplayCount>,
    pub(super) values: ValueCount,
}

impl Report {
    /// The report over something that is refused before any receipt of it is read.
    pub(crate) fn refused(invalid: Invalid) -> Self {
        Self { invalid: Some(invalid), ..Self::default() }
    }

    /// One more allowance whose age is not proven; they come in the order of streams.
    pub(super) fn unproven(&mut self, at: StreamId, index: u64, lag: Option<i64>) {
        match self.reasons.last_mut() {
            Some(Reason::TimeUnproven { stream, indices, lag: longest }) if *stream == at => {
                indices.push(index);
                *longest = longest.zip(lag).map(|(one, other)| one.max(other));
            }
            _ => self.reasons.push(Reason::TimeUnproven { stream: at, indices: vec![index], lag }),
        }
    }

    /// One more receipt of another history; they come stream by stream, and of one number there may be several.
    pub(super) fn contradicted(&mut self, at: StreamId, index: u64) {
        match self.reasons.last_mut() {
            Some(Reason::Contradicted { stream, indices }) if *stream == at => {
                if indices.last() != Some(&index) {
                    indices.push(index);
                }
            }
            _ => self.reasons.push(Reason::Contradicted { stream: at, indices: vec![index] }),
        }
    }

    /// The verdict over all streams.
    #[must_use]
    pub fn verdict(&self) -> Verdict<'_> {
        match &self.invalid {
            Some(invalid) => Verdict::Invalid(invalid),
            None if self.is_empty() => Verdict::Empty,
            None if self.reasons.is_empty() => Verdict::Complete,
            None => Verdict::AuthenticNotComplete(&self.reasons),
        }
    }

    /// Whether nobody signed any receipt of what it is about.
    fn is_empty(&self) -> bool {
        let unsigned = self.streams.iter().all(|stream| stream.receipts == stream.unsigned);
        unsigned || (self.extent != Extent::Streams && self.of_the_chain == 0)
    }

    /// What keeps what is authentic from being complete, and what is told of receipts that nobody signed.
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// What the verdict is about.
    #[must_use]
    pub const fn extent(&self) -> Extent {
        self.extent
    }

    /// Each stream, in the order of their names.
    #[must_use]
    pub fn streams(&self) -> &[StreamSummary] {
        &self.streams
    }

    /// What became of the values that receipts commit to. Erased ones keep nothing from being complete.
    #[must_use]
    pub const fn values(&self) -> ValueCount {
        self.values
    }

    /// How many of the lists that the caller brought are signed by no issuer on a path here.
    #[must_use]
    pub const fn foreign_lists(&self) -> usize {
        self.foreign_lists
    }

    /// How many decisions were decided again, if that was asked for.
    #[must_use]
    pub const fn replay(&self) -> Option<ReplayCount> {
        self.replay
    }
}

/// What became of the values that receipts commit to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueCount {
    /// Values that are here, of proven receipts.
    pub disclosed: u64,
    /// Values of proven receipts that were erased, as a proven receipt of their agent says.
    pub erased: u64,
    /// Values that a bundle does not show. Whether they were erased, nothing in it says.
    pub withheld: u64,
    /// Values that a journal does not hold, and no receipt says that they were erased.
    pub missing: u64,
}

/// Whether a source has to show every value that there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// A journal: what it does not hold is missing.
    #[default]
    All,
    /// A bundle: who made it may withhold values.
    Some,
}

/// What a verdict is about: nothing else is claimed by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// Whole streams.
    #[default]
    Streams,
    /// One decision chain, with what its streams need to be judged by.
    Chain(ChainId),
}

/// What deciding again came to. A decision that came out otherwise is no count but INVALID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayCount {
    /// Decisions that came out as recorded.
    pub same: u64,
    /// Decisions that depend on what is not here: erased values, lists of names, budgets, clocks, standing.
    pub open: u64,
}

/// The verdict. There is no bare "valid".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'r> {
    /// Everything is there, and somebody else witnessed the end.
    Complete,
    /// What is there is right; what else there was cannot be told, or something lacks.
    AuthenticNotComplete(&'r [Reason]),
    /// Something is wrong.
    Invalid(&'r Invalid),
    /// No receipt that anybody signed.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// A stable code: `receipt.signature`, `receipt.sequence`, `journal.frame`, ...
    pub code: &'static str,
    /// Where.
    pub place: Place,
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// At a receipt.
    Receipt {
        /// The stream.
        stream: StreamId,
        /// Its number there, or where it would be.
        index: u64,
    },
    /// Among the certificates, lists and logs that lie beside the receipts.
    Evidence,
    /// In a member of a bundle.
    Member(String),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code;
        match &self.place {
            Place::Receipt { stream, index } => write!(f, "{code} at receipt {index} of stream {stream}"),
            Place::Evidence => write!(f, "{code} in what lies beside the receipts"),
            // A name in a bundle is anybody's, and may hold what a terminal obeys.
            Place::Member(name) => write!(f, "{code} in member `{}`", name.escape_debug()),
        }
    }
}

/// Why what is authentic is not complete.
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
    /// Authorised, result unknown: no outcome is there, or nobody signed it.
    OutcomeMissing {
        /// The stream.
        stream: StreamId,
        /// Which decisions.
        indices: Vec<u64>,
    },
    /// Another key of the agent signed other receipts of the stream: they lie in a log, in the place of these or behind the
    /// end. That key may have been stolen.
    Contradicted {
        /// The stream.
        stream: StreamId,
        /// Which ones.
        indices: Vec<u64>,
    },
    /// A log holds receipts of one of the agents in a stream that is not here.
    Missing {
        /// The stream.
        stream: StreamId,
    },
    /// Values that were committed to and are not here, and no receipt says that they were erased.
    Redacted {
        /// The stream.
        stream: StreamId,
        /// How many.
        count: u64,
        /// Whether the source would have to show them.
        shown: Shown,
    },
    /// Values that a receipt says were erased, and that are here.
    Lingering {
        /// The stream.
        stream: StreamId,
        /// How many.
        count: u64,
    },
    /// Erasures that proven receipts state and whose commitments are not here: what they erased may be shown as if they had
    /// not.
    ErasureMissing {
        /// The stream of the receipts.
        stream: StreamId,
        /// How many.
        count: u64,
    },
    /// Receipts that others follow from and that are not here, or that nobody signed.
    DanglingParents {
        /// How many.
        count: usize,
    },
    /// Allowances of a certificate that was revoked, or whose issuer was, of which nobody shows that they are older; or that
    /// were witnessed only after their certificate had ended.
    TimeUnproven {
        /// The stream.
        stream: StreamId,
        /// Which ones.
        indices: Vec<u64>,
        /// How long after the revocation or the end the latest of them may be, in seconds: by a witness where there is one, else
        /// as claimed; `None` if nothing bounds it.
        lag: Option<i64>,
    },
    /// Receipts that name how far a feed was, and changes of it up to there are not here.
    FeedMissing {
        /// The stream.
        stream: StreamId,
        /// Which ones.
        indices: Vec<u64>,
    },
    /// Receipts that claim a time at which they cannot have been written.
    TimeOutOfBracket {
        /// The stream.
        stream: StreamId,
        /// Which ones.
        indices: Vec<u64>,
    },
    /// The length of the chain in a stream is not shown.
    ChainLengthUnproven {
        /// The stream.
        stream: StreamId,
    },
    /// Several agents go by one name, which is no one's own: what each did is told by its root and its certificate.
    AmbiguousAgent {
        /// The name.
        agent: AgentId,
        /// Roots under which it stands.
        roots: usize,
        /// Agents that have it, as far as nothing joins them.
        bearers: usize,
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
            Self::Contradicted { .. } => "stream.contradicted",
            Self::Missing { .. } => "stream.missing",
            Self::Unsigned { .. } => "receipt.unsigned",
            Self::OutcomeMissing { .. } => "outcome.missing",
            Self::Redacted { .. } => "disclosure.missing",
            Self::Lingering { .. } => "disclosure.not_erased",
            Self::ErasureMissing { .. } => "erasure.missing",
            Self::DanglingParents { .. } => "parent.missing",
            Self::TimeUnproven { .. } => "time.unproven",
            Self::FeedMissing { .. } => "feed.missing",
            Self::TimeOutOfBracket { .. } => "time.out_of_bracket",
            Self::ChainLengthUnproven { .. } => "chain.length_unproven",
            Self::AmbiguousAgent { .. } => "agent.ambiguous",
        }
    }

    /// The stream it is about; receipts that are not here are of no stream that is, and a name is of several.
    #[must_use]
    pub const fn stream(&self) -> Option<StreamId> {
        match self {
            Self::TailNotWitnessed { stream }
            | Self::Open { stream }
            | Self::Torn { stream, .. }
            | Self::Recovered { stream, .. }
            | Self::Contradicted { stream, .. }
            | Self::Missing { stream }
            | Self::Unsigned { stream, .. }
            | Self::OutcomeMissing { stream, .. }
            | Self::Redacted { stream, .. }
            | Self::Lingering { stream, .. }
            | Self::ErasureMissing { stream, .. }
            | Self::TimeUnproven { stream, .. }
            | Self::FeedMissing { stream, .. }
            | Self::TimeOutOfBracket { stream, .. }
            | Self::ChainLengthUnproven { stream } => Some(*stream),
            Self::DanglingParents { .. } | Self::AmbiguousAgent { .. } => None,
        }
    }

    /// The receipts of that stream it is about, one by one, where it is about some and not about the whole.
    #[must_use]
    pub fn indices(&self) -> &[u64] {
        match self {
            Self::Unsigned { indices, .. }
            | Self::Contradicted { indices, .. }
            | Self::OutcomeMissing { indices, .. }
            | Self::TimeUnproven { indices, .. }
            | Self::FeedMissing { indices, .. }
            | Self::TimeOutOfBracket { indices, .. } => indices,
            _ => &[],
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
            Self::Contradicted { stream, indices } => write!(
                f,
                "the log holds other receipts of stream {stream} by another key of its agent: {}",
                Indices(indices)
            ),
            Self::Missing { stream } => {
                write!(f, "the log holds stream {stream} of an agent of these, which is not here")
            }
            Self::Unsigned { stream, indices } => {
                write!(f, "UNSIGNED receipts in stream {stream}: {}", Indices(indices))
            }
            Self::OutcomeMissing { stream, indices } => {
                write!(f, "authorised, result unknown in stream {stream}: {}", Indices(indices))
            }
            Self::Redacted { stream, count, shown: Shown::All } => write!(
                f,
                "{count} values of stream {stream} are missing, and no receipt says that they were erased"
            ),
            Self::Redacted { stream, count, shown: Shown::Some } => {
                write!(f, "{count} values of stream {stream} are withheld")
            }
            Self::Lingering { stream, count } => write!(
                f,
                "{count} values of stream {stream} are here although a receipt says that they were erased"
            ),
            Self::ErasureMissing { stream, count } => {
                write!(f, "what {count} erasures erased that stream {stream} states is not shown")
            }
            Self::DanglingParents { count } => {
                write!(f, "{count} receipts that others follow from are not here, or nobody signed them")
            }
            Self::TimeUnproven { stream, indices, lag } => {
                write!(
                    f,
                    "TIME-UNPROVEN: allowed under a certificate that was revoked or had ended in stream {stream}: {}; ",
                    Indices(indices)
                )?;
                match lag {
                    Some(lag) => write!(f, "up to {lag} s after that"),
                    None => f.write_str("nobody witnessed when"),
                }
            }
            Self::FeedMissing { stream, indices } => write!(
                f,
                "changes of the feed that receipts of stream {stream} were decided by are not here: {}",
                Indices(indices)
            ),
            Self::TimeOutOfBracket { stream, indices } => write!(
                f,
                "TIME-OUT-OF-BRACKET: cannot be of the time they claim in stream {stream}: {}",
                Indices(indices)
            ),
            Self::ChainLengthUnproven { stream } => {
                write!(f, "how far the chain goes in stream {stream} is not shown")
            }
            Self::AmbiguousAgent { agent, roots: 1, bearers } => write!(
                f,
                "{bearers} issuing authorities of one root call an agent {agent}, and nothing shows that it is the same"
            ),
            Self::AmbiguousAgent { agent, roots, .. } => {
                write!(f, "{roots} roots stand for an agent {agent}, and each is another owner")
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

/// The counts of one stream.
#[derive(Clone, Debug)]
pub struct StreamSummary {
    /// The stream.
    pub stream: StreamId,
    /// Whose it is, if it holds a receipt that is proven.
    pub agent: Option<AgentId>,
    /// The key of the root that this agent is under: SHA-256 of its SubjectPublicKeyInfo.
    pub root: Option<Digest>,
    /// SHA-256 of the certificate that signed the first proven receipt.
    pub certificate: Option<Digest>,
    /// All receipts.
    pub receipts: u64,
    /// Proven decisions that allowed.
    pub allowed: u64,
    /// Proven decisions that denied.
    pub denied: u64,
    /// Proven outcomes.
    pub outcomes: u64,
    /// Receipts without a signature, which count nowhere else.
    pub unsigned: u64,
    /// Receipts that a log holds.
    pub logged: u64,
    /// Receipts of which a witness shows that they are not later than some time.
    pub witnessed: u64,
    /// Proven notes that the clocks jumped.
    pub clock_jumps: u64,
    /// Whether it ends with a proven closing receipt.
    pub closed: bool,
    /// First and last second, as proven receipts claim.
    pub claimed: Option<(UnixTime, UnixTime)>,
}

/// Indices shown one by one.
const SHOWN: usize = 20;
