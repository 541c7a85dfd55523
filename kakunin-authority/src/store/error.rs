//! What a store says when it does not do what it is told.

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, ChainId, SerialNumber};
use kakunin_core::time::UnixTime;

use super::{AuditId, EventId, Extent, IssuerId};
use crate::access::{KeyPrefix, TenantId};
use crate::agent::AgentName;
use crate::files::FileError;
use crate::hook::HookId;

/// Records that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The name is another agent's.
    #[error("the name `{name}` is taken; choose another, or see `kakunin agent show {name}`")]
    NameTaken {
        /// The name.
        name: AgentName,
    },
    /// The id is another agent's.
    #[error("there is an agent with the id {id} already")]
    AgentTaken {
        /// The id.
        id: AgentId,
    },
    /// The tenant has no such agent.
    #[error("there is no agent {id}")]
    UnknownAgent {
        /// Who was meant.
        id: AgentId,
    },
    /// The number is another authority's.
    #[error("there is an authority {issuer} already")]
    IssuerTaken {
        /// The number.
        issuer: IssuerId,
    },
    /// A number is of one list.
    #[error("authority {issuer} has another list with the number {number}")]
    ListTaken {
        /// Whose lists.
        issuer: IssuerId,
        /// The number.
        number: u64,
    },
    /// No authority has this number.
    #[error("there is no authority {issuer}")]
    UnknownIssuer {
        /// The number.
        issuer: IssuerId,
    },
    /// A serial number is taken once.
    #[error("the serial number {serial} is taken")]
    SerialTaken {
        /// The number.
        serial: SerialNumber,
    },
    /// No certificate for an agent that is not good.
    #[error("the agent {id} is not in good standing and gets no certificate")]
    NotGood {
        /// Whose it would have been.
        id: AgentId,
    },
    /// Nothing is issued where it is frozen.
    #[error(
        "issuing for {extent} is frozen since {at} ({text}); no certificate is signed until `kakunin thaw`"
    )]
    Frozen {
        /// Whose issuing.
        extent: Extent,
        /// Since when.
        at: UnixTime,
        /// Why.
        text: String,
    },
    /// A step of issuing that is not the next one.
    #[error("the certificate {serial} is not at this step of issuing, or its agent is not good any more")]
    OutOfTurn {
        /// The certificate's number.
        serial: SerialNumber,
    },
    /// An item of a feed that is not the next one.
    #[error("epoch {epoch} of the feed of authority {issuer} is not the next to be signed")]
    NotNext {
        /// In whose feed.
        issuer: IssuerId,
        /// Which one.
        epoch: u64,
    },
    /// The tenant has no such chain.
    #[error("there is no chain {id}")]
    UnknownChain {
        /// Which one was meant.
        id: ChainId,
    },
    /// A closed chain stays closed.
    #[error("the chain {id} is closed; nothing is added to it, and it is not closed again")]
    ChainClosed {
        /// Which one.
        id: ChainId,
    },
    /// The id is another chain's.
    #[error("there is a chain {id} already")]
    ChainTaken {
        /// Which one.
        id: ChainId,
    },
    /// The tenant has no such event.
    #[error("there is no event {id}")]
    UnknownEvent {
        /// Which one was meant.
        id: EventId,
    },
    /// The tenant has no such receipt.
    #[error("there is no receipt {hash}")]
    UnknownReceipt {
        /// Which one was meant.
        hash: Digest,
    },
    /// The id is another event's.
    #[error("there is an event {id} already")]
    EventTaken {
        /// Which one.
        id: EventId,
    },
    /// What was looked at is not in the records as it was.
    #[error("it was changed while it was looked at; try again")]
    Overtaken,
    /// No randomness for a salt.
    #[error("the system gives no randomness")]
    NoRandomness,
    /// Batches do not nest.
    #[error("a batch is under way already")]
    BatchInBatch,
    /// The database ended the batch, for example because the disk is full.
    #[error("the store ended the batch; nothing of it was kept")]
    BatchLost,
    /// The tenant exists.
    #[error("there is a tenant `{tenant}` already")]
    TenantTaken {
        /// Who was meant.
        tenant: TenantId,
    },
    /// The id is another webhook's.
    #[error("there is a webhook {id} already")]
    HookTaken {
        /// The id.
        id: HookId,
    },
    /// The tenant has no such webhook.
    #[error("there is no webhook {id}")]
    UnknownHook {
        /// Which was meant.
        id: HookId,
    },
    /// A request that nobody made, or that has its answer.
    #[error("no request waits for an answer under the key `{key}`")]
    UnknownRequest {
        /// The key.
        key: String,
    },
    /// The store was written by a newer version.
    #[error("the store has version {found}, this program knows up to {known}; upgrade it")]
    TooNew {
        /// The store's version.
        found: u32,
        /// This program's.
        known: u32,
    },
    /// The store was not brought up to this program's version yet.
    #[error(
        "the store has version {found}, this program needs {known}; run any `kakunin` command on its home once"
    )]
    TooOld {
        /// The store's version.
        found: u32,
        /// This program's.
        known: u32,
    },
    /// The store was made by other instructions than this program's.
    #[error(
        "migration {number} of the store is another one than this program's; use the program that made it"
    )]
    ChangedMigration {
        /// The first one that differs.
        number: u32,
    },
    /// The prefix is another API key's.
    #[error("an API key with the prefix `{prefix}` exists already; make another one")]
    KeyTaken {
        /// The prefix.
        prefix: KeyPrefix,
    },
    /// No such token, or one that has ended.
    #[error("there is no enrolment token `{prefix}` that is good for this agent; have another one made")]
    UnknownToken {
        /// Its prefix.
        prefix: KeyPrefix,
    },
    /// It was used before.
    #[error("the enrolment token `{prefix}` was used for a certificate already; have another one made")]
    TokenUsed {
        /// Its prefix.
        prefix: KeyPrefix,
    },
    /// Nobody's.
    #[error("there is no tenant `{tenant}`")]
    UnknownTenant {
        /// Who was meant.
        tenant: TenantId,
    },
    /// No intent has this number.
    #[error("the audit log has no order {id}")]
    UnknownIntent {
        /// The number.
        id: AuditId,
    },
    /// An order has one outcome.
    #[error("the audit log has the outcome of order {id} already")]
    OutcomeKnown {
        /// The number.
        id: AuditId,
    },
    /// The chain of the audit log does not hold.
    #[error(
        "the audit log was changed: row {row} is missing or not as it was written; keep the file as evidence"
    )]
    AuditBroken {
        /// The first row that is wrong.
        row: u64,
    },
    /// A record that makes no sense.
    #[error("the store holds a damaged {what}; restore it from a backup")]
    Damaged {
        /// Which kind of record.
        what: &'static str,
    },
    /// Another node took over.
    #[error(
        "another node leads this store since term {newest}, this one led in term {term}; it writes nothing any more, start it again to stand by"
    )]
    Fenced {
        /// This node's term.
        term: i64,
        /// The newest one.
        newest: i64,
    },
    /// Another process leads.
    #[error("another process writes to this store{}", elsewhere(url))]
    LedElsewhere {
        /// Where it answers, if it does.
        url: Option<String>,
    },
    /// A connection that was opened to read.
    #[error("this connection to the store only reads")]
    OnlyReads,
    /// The database server is away. What was being committed then may have come to pass or not.
    #[error("the database server does not answer: {text}")]
    Unreachable {
        /// What was seen of it.
        text: String,
    },
    /// The disk of the database server is full.
    #[error("the database server has no room: {0}; make some on its disk")]
    NoRoom(#[source] NoRoom),
    /// The database server does not do it.
    #[error("the database server refused: {text}")]
    Server {
        /// Its words.
        text: String,
    },
    /// No address of a store.
    #[error("the store cannot be used at this address: {text}")]
    Address {
        /// What is wrong with it; not the address, which has a password in it.
        text: String,
    },
    /// The file cannot be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// The database failed.
    #[error("the store failed: {0}")]
    Database(#[from] rusqlite::Error),
}

/// What a database server says when its disk is full.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoRoom(pub(crate) String);

fn elsewhere(url: &Option<String>) -> String {
    match url {
        Some(url) => format!("; it answers at {url}: pass --url {url}, or stop it first"),
        None => "; wait for it to end".into(),
    }
}
