//! What single members of a receipt say: clocks, the list used, the mode, how it ended.

use super::payload::read_hex_number;
use crate::digest::Digest;
use crate::id::AgentId;
use crate::json::MAX_NUMBER;
use crate::revocation::{FeedHead, RevocationList};
use crate::time::UnixTime;

/// The clocks at the moment of a receipt, read by whoever owns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Microseconds since the Unix epoch, as this machine claims.
    pub micros: i64,
    /// The kernel's boot identifier.
    pub boot: [u8; 16],
    /// Nanoseconds of the monotonic clock since that boot.
    pub mono_nanos: u64,
}

impl Stamp {
    /// The claimed second.
    #[must_use]
    pub const fn time(&self) -> UnixTime {
        UnixTime::from_seconds(self.micros.div_euclid(1_000_000))
    }
}

/// The revocation list a decision was made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListUse {
    /// Its CRLNumber, big-endian and right-aligned, so that comparing arrays compares numbers.
    pub number: [u8; 20],
    /// SHA-256 of its TBSCertList, which is also its name in the archive.
    pub digest: Digest,
    /// Its thisUpdate.
    pub this_update: UnixTime,
    /// Its nextUpdate.
    pub next_update: UnixTime,
    /// How far the feed beside it was known, if it asks for one.
    pub feed: Option<FeedHead>,
}

impl ListUse {
    /// The use of `list`; make it once when the list is taken up, not for each decision.
    #[must_use]
    pub fn of(list: &RevocationList) -> Self {
        Self {
            // INVARIANT: a number has at most 20 octets and is its own hexadecimal text.
            number: read_hex_number(&list.number().to_hex()).unwrap_or([0; 20]),
            digest: list.digest(),
            this_update: list.this_update(),
            next_update: list.next_update(),
            feed: None,
        }
    }

    /// The use of the list together with its feed up to `head`.
    #[must_use]
    pub const fn with_feed(self, head: FeedHead) -> Self {
        Self { feed: Some(head), ..self }
    }
}

/// What a decision was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A denial stops the action.
    Enforce,
    /// A denial is recorded and the action runs all the same.
    Observe,
    /// A question; no action follows.
    Check,
}

impl Mode {
    /// The word in receipts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
            Self::Check => "check",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Enforce, Self::Observe, Self::Check].into_iter().find(|mode| mode.word() == word)
    }
}

/// The other agent that a gateway's decision is about: who asked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// SHA-256 of its certificate, which is also its name in the archive.
    pub certificate: Digest,
    /// How the gateway knows that it was this agent.
    pub possession: ProofOfPossession,
    /// Who it is, as in that certificate.
    pub agent: AgentId,
}

/// How somebody who asks a gateway shows that it has the key of its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProofOfPossession {
    /// By a signature over the request (RFC 9421).
    Signature,
    /// By the TLS connection, which ended in the gateway.
    Tls,
    /// By the word of a proxy that the deployer trusts.
    Proxy,
    /// Not at all: whoever knows the serial number could have asked.
    None,
}

impl ProofOfPossession {
    /// The word in receipts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::None => "none",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Signature, Self::Tls, Self::Proxy, Self::None].into_iter().find(|how| how.word() == word)
    }
}

/// How an action ended, as the guard saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The body returned.
    Returned,
    /// The body raised or returned an error.
    Raised,
    /// The body was cancelled.
    Cancelled,
    /// The body says that nothing was done.
    NotExecuted,
    /// Nobody can say.
    Unknown,
}

impl Outcome {
    /// The word in receipts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Raised => "raised",
            Self::Cancelled => "cancelled",
            Self::NotExecuted => "not_executed",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Returned, Self::Raised, Self::Cancelled, Self::NotExecuted, Self::Unknown]
            .into_iter()
            .find(|outcome| outcome.word() == word)
    }
}

/// A salted commitment to the bytes of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// The commitment.
    pub digest: Digest,
    /// How many bytes the result has.
    pub length: u64,
}

/// A checkpoint of a log that the writer knew: what names it was written after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The size of the tree.
    pub size: u64,
    /// The first 16 octets of its root.
    pub root: [u8; 16],
}

impl Anchor {
    /// What a receipt says of a checkpoint; `None` for a tree that is larger than a receipt can say.
    #[must_use]
    pub fn of(size: u64, root: &Digest) -> Option<Self> {
        let root = root.as_bytes().first_chunk()?;
        (size <= MAX_NUMBER).then_some(Self { size, root: *root })
    }
}
