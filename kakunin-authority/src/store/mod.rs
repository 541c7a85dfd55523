//! What the authority remembers, at the level of its own words.
//!
//! [`Store`] is the seam: agents, certificates, numbers of lists; [`Access`] and [`AuditLog`] are parts of it. Each
//! method is one transaction and durable when it returns. SQLite is the first store behind it.

mod access;
mod audit;
mod sqlite;

use std::fmt;
use std::path::PathBuf;

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::time::{UnixTime, Validity};

use crate::access::{KeyPrefix, TenantId};
use crate::agent::AgentName;
use crate::files::FileError;
pub use crate::standing::ListedCertificate;
use crate::standing::{Reason, Standing};

pub use access::{Access, ApiKeyRecord};
pub use audit::{AuditEntry, AuditFilter, AuditHead, AuditId, AuditLog, AuditRecord, Outcome};
pub use sqlite::SqliteStore;

/// The durable records of one authority.
pub trait Store: Access + AuditLog {
    /// Adds authorities, all or none; the root is [`IssuerId::ROOT`], the others follow in order.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be made durable.
    fn add_issuers(&mut self, issuers: &[IssuerRecord]) -> Result<(), StoreError>;

    /// Every authority, root first, newest last.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn issuers(&self) -> Result<Vec<IssuerRecord>, StoreError>;

    /// Marks an issuing authority as revoked.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn revoke_issuer(&mut self, issuer: IssuerId, at: UnixTime) -> Result<(), StoreError>;

    /// Adds an agent.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] when another agent has its name.
    fn add_agent(&mut self, agent: &AgentRecord) -> Result<(), StoreError>;

    /// Every agent, by name.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn agents(&self) -> Result<Vec<AgentRecord>, StoreError>;

    /// The agent with this id.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn agent(&self, id: AgentId) -> Result<Option<AgentRecord>, StoreError>;

    /// The agent with this name.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn agent_named(&self, name: &AgentName) -> Result<Option<AgentRecord>, StoreError>;

    /// Gives an agent another scope for its next certificate.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn set_scope(&mut self, id: AgentId, scope: &[u8]) -> Result<(), StoreError>;

    /// Keeps a detached list of names under its root.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn keep_names(&mut self, root: Digest, text: &str) -> Result<(), StoreError>;

    /// The detached list with this root.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn names(&self, root: Digest) -> Result<Option<String>, StoreError>;

    /// Records a change of standing for the agent and for those of its certificates that follow it.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn change_standing(&mut self, change: &StandingChange<'_>) -> Result<(), StoreError>;

    /// Takes a serial number: the first step of issuing.
    ///
    /// # Errors
    /// [`StoreError`] when the number was taken before.
    fn reserve(&mut self, certificate: &CertificateRecord) -> Result<(), StoreError>;

    /// Keeps what is about to be signed. From here on the certificate counts as issued.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn keep_tbs(&mut self, serial: SerialNumber, tbs: &[u8]) -> Result<(), StoreError>;

    /// Keeps the signed certificate.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn keep_certificate(&mut self, serial: SerialNumber, der: &[u8]) -> Result<(), StoreError>;

    /// The certificates of an agent that were or may have been signed, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn certificates(&self, agent: AgentId) -> Result<Vec<CertificateRecord>, StoreError>;

    /// The latest end of any certificate of an issuer.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn last_end(&self, issuer: IssuerId) -> Result<Option<UnixTime>, StoreError>;

    /// Hands every certificate of `issuer` that is not good and ends at or after `since` to `each`.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn each_listed(
        &self,
        issuer: IssuerId,
        since: UnixTime,
        each: &mut dyn FnMut(ListedCertificate),
    ) -> Result<(), StoreError>;

    /// Takes the next number of an issuer's list, never the same twice.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn next_list_number(&mut self, issuer: IssuerId) -> Result<u64, StoreError>;

    /// Keeps a signed list.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn keep_list(&mut self, issuer: IssuerId, list: &ListRecord) -> Result<(), StoreError>;

    /// The newest signed list of an issuer.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn newest_list(&self, issuer: IssuerId) -> Result<Option<ListRecord>, StoreError>;

    /// Remembers a directory that an agent was certified into, so that renewing finds it again.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn keep_directory(&mut self, agent: AgentId, path: &std::path::Path) -> Result<(), StoreError>;

    /// The directories of an agent, in the order they were first used.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn directories(&self, agent: AgentId) -> Result<Vec<PathBuf>, StoreError>;

    /// What happened to an agent, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn events(&self, agent: AgentId) -> Result<Vec<EventRecord>, StoreError>;
}

/// Which authority of a home: the root or one of the issuing ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerId(u32);

impl IssuerId {
    /// The root.
    pub const ROOT: Self = Self(0);

    /// The one that follows this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

impl fmt::Display for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An authority's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerRecord {
    /// Which one.
    pub id: IssuerId,
    /// Its certificate.
    pub der: Vec<u8>,
    /// When it was revoked.
    pub revoked: Option<UnixTime>,
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRecord {
    /// Its identity.
    pub id: AgentId,
    /// Its name in this home.
    pub name: AgentName,
    /// When it was created.
    pub created: UnixTime,
    /// How it stands.
    pub standing: Standing,
    /// The scope of its next certificate, as DER.
    pub scope: Vec<u8>,
}

/// A certificate of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRecord {
    /// Its serial number.
    pub serial: SerialNumber,
    /// Who signed it.
    pub issuer: IssuerId,
    /// Whose it is.
    pub agent: AgentId,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Digest,
    /// From when to when.
    pub validity: Validity,
    /// How it stands.
    pub standing: Standing,
    /// The certificate, once signed.
    pub der: Option<Vec<u8>>,
}

/// A signed list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRecord {
    /// Its number.
    pub number: u64,
    /// From when it speaks.
    pub this_update: UnixTime,
    /// Until when it may be used.
    pub next_update: UnixTime,
    /// The list.
    pub der: Vec<u8>,
}

/// A change of an agent's standing.
#[derive(Clone, Copy, Debug)]
pub struct StandingChange<'a> {
    /// Whose.
    pub agent: AgentId,
    /// To what.
    pub to: Standing,
    /// What a list says about its certificates.
    pub reason: Reason,
    /// In the words of whoever ordered it.
    pub text: &'a str,
    /// When.
    pub at: UnixTime,
}

/// Something that happened to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// When.
    pub at: UnixTime,
    /// What, in one word.
    pub what: String,
    /// Why, in the words of whoever ordered it.
    pub text: String,
}

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
    /// The file cannot be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// The database failed.
    #[error("the store failed: {0}")]
    Database(#[from] rusqlite::Error),
}
