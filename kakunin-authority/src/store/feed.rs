//! The feed of each issuer: changes of standing under gap-free epochs, and the signed items that tell them.
//!
//! An epoch is taken in the transaction that changes a standing ([`super::Agents::change_standing`]), so there is no
//! change without an epoch and none twice. Its item is signed afterwards and kept before it is sent. A crash in
//! between leaves changes that wait; whoever opens the store signs them first.

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::time::UnixTime;

use super::{IssuerId, StoreError};
use crate::access::TenantId;
use crate::standing::{Reason, Standing};

/// The feeds.
pub trait Feed {
    /// The changes that have no signed item yet, in the order in which they have to be signed.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn waiting_changes(&self, issuer: IssuerId) -> Result<Vec<FeedChange>, StoreError>;

    /// Keeps the signed item of the first change that waits, with its head: the SHA-256 of its signing input.
    ///
    /// # Errors
    /// [`StoreError::NotNext`] when `epoch` is another one.
    fn keep_change(
        &mut self,
        issuer: IssuerId,
        epoch: u64,
        item: &str,
        head: Digest,
    ) -> Result<(), StoreError>;

    /// How far the signed items go.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn feed_position(&self, issuer: IssuerId) -> Result<FeedPosition, StoreError>;

    /// The first `limit` signed items after `epoch`, without a gap.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn changes_since(&self, issuer: IssuerId, epoch: u64, limit: u32) -> Result<Vec<FeedItem>, StoreError>;

    /// How the standing of the certificates of an agent changed, each time with the epoch of the issuer's feed, in their order.
    /// What changed before there were feeds, or after a certificate had ended, is not among it.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn standings(
        &self,
        tenant: &TenantId,
        agent: AgentId,
    ) -> Result<Vec<(IssuerId, u64, FeedEntry)>, StoreError>;
}

/// What one epoch changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedChange {
    /// In whose feed.
    pub issuer: IssuerId,
    /// Its number; the first is 1.
    pub epoch: u64,
    /// Whose standing changed.
    pub entries: Vec<FeedEntry>,
}

impl FeedChange {
    /// As many entries as fit into an item of 1 MiB with room to spare: each takes less than 120 octets of JSON, and
    /// base64url makes 160 of them.
    pub const MOST_ENTRIES: usize = 4096;
}

/// A certificate whose standing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Which one.
    pub serial: SerialNumber,
    /// How it stands now.
    pub standing: Standing,
    /// Since when.
    pub since: UnixTime,
    /// Why.
    pub reason: Reason,
}

/// How far a feed goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedPosition {
    /// The last epoch with a signed item; 0 when there is none.
    pub epoch: u64,
    /// The head of that item; zeros when there is none.
    pub head: Digest,
}

impl FeedPosition {
    /// Before the first change.
    pub const START: Self = Self { epoch: 0, head: Digest::from_bytes([0; 32]) };
}

/// A signed change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedItem {
    /// Its epoch.
    pub epoch: u64,
    /// The compact JWS.
    pub item: String,
    /// SHA-256 of its signing input.
    pub head: Digest,
}
