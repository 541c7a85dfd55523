//! Receipts that agents sent, as they sent them: evidence, which nobody changes.
//!
//! Whoever keeps one has checked its signature ([`crate::ingest`]). What is taken out of a receipt beside its line is
//! there to find it by; what it says is in the line.

use std::fmt;

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, ChainId, StreamId};
use kakunin_core::time::UnixTime;

use super::StoreError;
use crate::access::TenantId;

/// The receipts.
pub trait Receipts {
    /// Keeps receipts, and says how many of them were not known yet. One that is known stays as it came first. Two
    /// different ones for the same place of a stream are both kept: that is evidence, too.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when one is of an agent that its tenant does not have; then none is kept.
    fn keep_receipts(&mut self, receipts: &[ReceiptRecord]) -> Result<u64, StoreError>;

    /// The latest `limit` receipts of an agent that `filter` lets through, by the agent's own clock, latest first.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn receipts(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        filter: &ReceiptFilter,
        limit: u32,
    ) -> Result<Vec<ReceiptRecord>, StoreError>;

    /// How many receipts of each kind an agent has that `filter` lets through, by kind; kinds without any are left out.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn count_receipts(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        filter: &ReceiptFilter,
    ) -> Result<Vec<(ReceiptKind, u64)>, StoreError>;

    /// The streams of an agent that have a receipt that `filter` lets through, ascending.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn receipt_streams(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        filter: &ReceiptFilter,
    ) -> Result<Vec<StreamId>, StoreError>;

    /// Receipts of one stream in the order of their numbers, and of their hashes where two have one: at most `limit`, beginning
    /// behind the place `after`.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn stream_receipts(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        stream: StreamId,
        after: Option<(u64, Digest)>,
        limit: u32,
    ) -> Result<Vec<ReceiptRecord>, StoreError>;

    /// Receipts of a tenant in the order in which they came, of `agents` or of all: at most `limit`, behind the one at `after`
    /// or from the first on.
    ///
    /// # Errors
    /// [`StoreError::UnknownReceipt`] when there is none at `after`.
    fn receipts_after(
        &self,
        tenant: &TenantId,
        agents: Option<&[AgentId]>,
        after: Option<&ReceiptPlace>,
        limit: u32,
    ) -> Result<Vec<ReceiptRecord>, StoreError>;

    /// The receipt of a tenant that came last.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn last_receipt(&self, tenant: &TenantId) -> Result<Option<ReceiptPlace>, StoreError>;
}

/// What makes a receipt one of its kind within a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptPlace {
    /// Whose it is.
    pub agent: AgentId,
    /// The stream it stands in.
    pub stream: StreamId,
    /// Its number there.
    pub sequence: u64,
    /// SHA-256 of its signing input.
    pub hash: Digest,
}

impl ReceiptPlace {
    /// The place of a receipt.
    #[must_use]
    pub const fn of(receipt: &ReceiptRecord) -> Self {
        let ReceiptRecord { agent, stream, sequence, hash, .. } = receipt;
        Self { agent: *agent, stream: *stream, sequence: *sequence, hash: *hash }
    }

    /// Reads what [`fmt::Display`] writes; any other spelling is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (agent, stream) = (AgentId::parse(parts.next()?)?, StreamId::parse(parts.next()?)?);
        let (sequence, hash) = (parts.next()?.parse().ok()?, Digest::from_hex(parts.next()?)?);
        let place = Self { agent, stream, sequence, hash };
        (parts.next().is_none() && place.to_string() == text).then_some(place)
    }
}

impl fmt::Display for ReceiptPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.agent, self.stream, self.sequence, self.hash.to_hex())
    }
}

/// A receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRecord {
    /// Whose agent's it is.
    pub tenant: TenantId,
    /// Whose it is.
    pub agent: AgentId,
    /// The stream it stands in.
    pub stream: StreamId,
    /// Its number there.
    pub sequence: u64,
    /// SHA-256 of its signing input.
    pub hash: Digest,
    /// When, in microseconds of Unix time, as the agent's clock says.
    pub at: i64,
    /// What it records.
    pub kind: ReceiptKind,
    /// The action that was decided about.
    pub action: Option<String>,
    /// Why it was denied, or how it ended.
    pub code: Option<String>,
    /// The decision chain it stands in.
    pub chain: Option<ChainId>,
    /// The entry as a log has it (WIRE 4.1): a compact JWS, whose third part is empty if a seal signs for it.
    pub line: String,
    /// When it came.
    pub received: UnixTime,
}

/// What a receipt records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReceiptKind {
    /// A stream began.
    Open,
    /// A request was allowed.
    Allow,
    /// A request was denied.
    Deny,
    /// An action ended.
    Outcome,
    /// Something about the stream.
    Control,
    /// A stream ended.
    Close,
}

impl ReceiptKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Allow, Self::Deny, Self::Outcome, Self::Control, Self::Close];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Outcome => "outcome",
            Self::Control => "control",
            Self::Close => "close",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Which receipts; what is `None` lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiptFilter {
    /// At or after, in microseconds of Unix time by the agent's clock.
    pub since: Option<i64>,
    /// Before.
    pub before: Option<i64>,
    /// Of this kind.
    pub kind: Option<ReceiptKind>,
    /// About this action.
    pub action: Option<String>,
    /// In this chain.
    pub chain: Option<ChainId>,
}
