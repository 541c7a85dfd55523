//! What the authority remembers, at the level of its own words.
//!
//! [`Store`] is the seam, and each of its parts is one subject: [`Issuers`], [`Agents`], [`Certificates`], [`Lists`],
//! [`Feed`], [`FeedKeys`], [`Access`], [`AuditLog`], [`Requests`], [`Hooks`], [`Receipts`], [`Tokens`],
//! [`Declared`], [`Checkpoints`], [`Freezes`], [`Risk`]. Each method is one
//! transaction and durable when it returns.
//! SQLite is the first store behind it; [`MemoryStore`] says in plain collections what the verbs mean.

mod access;
mod agents;
mod audit;
mod certificates;
pub(crate) mod checkpoints;
pub(crate) mod declared;
mod error;
mod feed;
mod feed_keys;
mod freezes;
mod hooks;
mod issuers;
pub(crate) mod list_patch;
mod lists;
mod memory;
mod place;
#[cfg(feature = "postgres")]
mod postgres;
mod receipts;
mod requests;
pub(crate) mod risk;
pub(crate) mod salted;
mod sqlite;
mod tokens;

pub use access::{Access, ApiKeyRecord};
pub use agents::{AgentDetails, AgentFilter, AgentPage, AgentRecord, Agents, EventRecord, StandingChange};
pub(crate) use audit::START as AUDIT_START;
pub use audit::{
    AuditEntry, AuditFilter, AuditHead, AuditId, AuditLog, AuditRecord, AuditRow, AuditSaid, Outcome,
};
pub use certificates::{CertificateRecord, Certificates, Reservation};
pub use checkpoints::{CheckpointRecord, Checkpoints, ContradictionKind, ContradictionRecord, ShownFilter};
pub use declared::{
    ChainPage, ChainRecord, DayCount, Declaration, Declared, DeclaredEvent, DeclaredFilter, EventId,
    NewChain, chain_holds,
};
pub use error::{NoRoom, StoreError};
pub use feed::{Feed, FeedChange, FeedEntry, FeedItem, FeedPosition};
pub use feed_keys::{FeedKeyRecord, FeedKeys, NewFeedKey};
pub use freezes::{Extent, FreezeRecord, Freezes, Hand, frozen};
pub use hooks::{
    Attempt, Backlog, DeliveryRecord, DeliveryState, HookChange, HookRecord, Hooks, Notice, ReceiverAnswer,
    SealedSecret, Then,
};
pub use issuers::{IssuerId, IssuerRecord, Issuers};
pub use lists::{ListHead, ListRecord, Lists};
pub use memory::MemoryStore;
pub use place::Place;
#[cfg(feature = "postgres")]
pub use postgres::{Address, Looked, PostgresStore, Standby};
pub use receipts::{ReceiptFilter, ReceiptKind, ReceiptPlace, ReceiptRecord, Receipts};
pub use requests::{Answer, Begun, Requests};
pub use risk::{
    ContentCheck, Risk, RiskEvent, RiskEventKind, RiskHead, RiskRecord, RiskSeal, RiskSign, SignKind, Verdict,
};
pub use salted::{AuditValue, RowSalt};
pub use sqlite::{Rehearsal, SqliteStore};
pub use tokens::{Redemption, TokenRecord, Tokens};

pub use crate::standing::ListedCertificate;

/// The durable records of one authority.
pub trait Store:
    Issuers
    + Agents
    + Certificates
    + Lists
    + Feed
    + FeedKeys
    + Access
    + AuditLog
    + Requests
    + Hooks
    + Receipts
    + Tokens
    + Declared
    + Checkpoints
    + Freezes
    + Risk
{
    /// Does the work of many verbs in one transaction, which costs one write to the disk instead of many: what the
    /// verbs answer is durable only when this returns `Ok`, and if it fails nothing of it happened.
    ///
    /// A verb that fails within it did nothing; whether the rest goes on is up to `work`.
    ///
    /// # Errors
    /// What `work` gives back, or [`StoreError`] when nothing of it can be made durable. A batch has no batches in it:
    /// [`StoreError::BatchInBatch`].
    fn batch(
        &mut self,
        work: &mut dyn FnMut(&mut dyn Store) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;

    /// Says whether this is still the one writer of these records. To be asked after the time was taken and before
    /// anything is signed that says "as of now": a node that was paused while another one took over knows nothing of
    /// that by itself.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when another node took over, or [`StoreError`] when that cannot be found out.
    fn confirm(&self) -> Result<(), StoreError>;

    /// The newest term in which a node leads, whichever node's; always 0 where there is only one node.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    fn term(&self) -> Result<i64, StoreError>;
}
