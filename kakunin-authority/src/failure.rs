//! What keeps an order from being carried out: a rule that says no, or something that is broken or out of reach.

use std::path::PathBuf;

use kakunin_core::certificate::CertificateError;
use kakunin_core::key::{KeyError, SignError};
use kakunin_core::scope::{DecodeError, ScopeError};
use kakunin_core::time::UnixTime;

use crate::access::TenantId;
use crate::agent::{AgentName, Who};
use crate::directory::DirectoryError;
use crate::feed::FeedKeyError;
use crate::files::FileError;
use crate::home::HomeError;
use crate::hook::HookId;
use crate::issue::IssueError;
use crate::list::ListError;
use crate::signer::{KeyFileError, PassphraseError, SealError};
use crate::standing::StandingError;
use crate::store::{IssuerId, StoreError};
use crate::term::{MAX_DAYS, MAX_HOURS, MAX_MINUTES};

/// An order that was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// No agent of that name or id.
    #[error("there is no agent `{who}` here; see `kakunin agent list`")]
    UnknownAgent {
        /// What was asked for.
        who: Who,
    },
    /// No tenant of that name has an issuing authority here.
    #[error("there is no tenant `{tenant}` here; see `kakunin tenant list`")]
    UnknownTenant {
        /// What was asked for.
        tenant: TenantId,
    },
    /// A tenant that is there already.
    #[error("there is a tenant `{tenant}` already; choose another name, or see `kakunin tenant list`")]
    TenantTaken {
        /// Its name.
        tenant: TenantId,
    },
    /// Without the root's key there is no new issuing authority.
    #[error(
        "a tenant needs an issuing authority, and the root's key that would sign it does not open here: {cause}; stop the service and run `kakunin tenant create {tenant}` where that key is"
    )]
    RootClosed {
        /// The tenant that was to be made.
        tenant: TenantId,
        /// Why the key does not open.
        #[source]
        cause: Box<AuthorityError>,
    },
    /// Every action, without the order to allow that.
    #[error("the scope allows every action (`*`); name the actions, or pass --allow-any if that is meant")]
    AnyAction,
    /// Outside what a certificate may be valid for.
    #[error("{days} days are not possible; ask for 1 to {MAX_DAYS}")]
    Days {
        /// What was asked for.
        days: u16,
    },
    /// Outside what a list may be valid for.
    #[error("{hours} hours are not possible; ask for 1 to {MAX_HOURS}")]
    Hours {
        /// What was asked for.
        hours: u16,
    },
    /// Outside what a token may be good for.
    #[error("{minutes} minutes are not possible; ask for 1 to {MAX_MINUTES}")]
    Minutes {
        /// What was asked for.
        minutes: u16,
    },
    /// The issuer ended, or ends too soon.
    #[error("the authority's certificate ended at {at}; run `kakunin rotate`")]
    IssuerEnded {
        /// When.
        at: UnixTime,
    },
    /// No issuing authority is left.
    #[error("every issuing authority is revoked; run `kakunin rotate`")]
    NoIssuer,
    /// The wall clock runs behind.
    #[error(
        "the clock says {now}, but the last list was signed at {last}; set the clock, or, if it was ahead when it signed, wait until it says that time"
    )]
    ClockBehind {
        /// What the clock says.
        now: UnixTime,
        /// When the last list was signed.
        last: UnixTime,
    },
    /// No directory to renew.
    #[error("`{name}` has no directory to renew{}; pass --out DIR, or certify it first", gone(missing))]
    NowhereToRenew {
        /// The agent.
        name: AgentName,
        /// Directories that are gone.
        missing: Vec<PathBuf>,
    },
    /// Renewals that follow each other too fast.
    #[error("the key was certified {most} times in the last 12 hours; it can be renewed again at {until}")]
    RenewedEnough {
        /// How many times it may be.
        most: u32,
        /// When there is room again.
        until: UnixTime,
        /// How many seconds that is away.
        left: u64,
    },
    /// Feed keys that were replaced a moment ago.
    #[error(
        "the keys of the feeds were replaced less than a minute ago; those of now can be replaced in {left} s"
    )]
    FeedReplaced {
        /// In how many seconds they can be replaced again.
        left: u64,
    },
    /// A certificate request that proves nothing.
    #[error("the certificate request cannot be used: {0}")]
    Request(&'static str),
    /// No randomness.
    #[error("the system gives no randomness")]
    NoRandomness,
    /// The store knows less than was published: it was restored from a backup, or is another one.
    #[error(
        "the records are behind what was published: authority {issuer} had published {what} {published}, and they end with {found}; put the newest records back, or, if they are lost, run `kakunin restore --accept-loss`"
    )]
    RolledBack {
        /// What is behind.
        what: &'static str,
        /// Whose.
        issuer: IssuerId,
        /// Where the store ends.
        found: u64,
        /// What was published.
        published: u64,
    },
    /// The store knows fewer orders than were given: it was restored from a backup, or is another one.
    #[error(
        "the records are behind what was ordered: the audit log had {known} rows, and the one here ends with {found} or goes another way; put the newest records back, or, if they are lost, run `kakunin restore --accept-loss`"
    )]
    OrdersLost {
        /// How many rows the store has.
        found: u64,
        /// How many there were.
        known: u64,
    },
    /// A sweep that means more or fewer agents than whoever ordered it expected.
    #[error("{found} agents are meant and not {expected}; nobody was revoked, look again with a dry run")]
    SweepExpected {
        /// How many meet the conditions.
        found: usize,
        /// How many the order names.
        expected: usize,
    },
    /// Nothing to accept.
    #[error("the records are not behind what was published: nothing is lost")]
    NothingLost,
    /// An authority that the records lost, and of which no certificate is here.
    #[error("the records do not know authority {issuer}, and {} is not here: put it back, so that it can be revoked", path.display())]
    LostIssuer {
        /// Which one.
        issuer: IssuerId,
        /// Its certificate.
        path: PathBuf,
    },
    /// What was published last is not to be read.
    #[error("{} is not as it was written: restore it, or delete it if the records are surely the newest", path.display())]
    Marks {
        /// The file.
        path: PathBuf,
    },
    /// A value without an encoding.
    #[error("a value cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
    /// The agent's standing forbids it.
    #[error(transparent)]
    Standing(#[from] StandingError),
    /// The scope breaks a rule.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The recorded scope cannot be read.
    #[error("the recorded scope cannot be read: {0}")]
    RecordedScope(#[from] DecodeError),
    /// A directory of an agent.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The feed.
    #[error("the feed: {0}")]
    Feed(#[source] Box<FeedKeyError>),
    /// A certificate that was not issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A list that was not signed.
    #[error(transparent)]
    List(#[from] ListError),
    /// An authority's own certificate.
    #[error("the authority's own certificate cannot be used: {0}")]
    Certificate(#[from] CertificateError),
    /// A key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// A secret that does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No webhook of that id.
    #[error("there is no webhook {id} here")]
    UnknownHook {
        /// What was asked for.
        id: HookId,
    },
    /// More webhooks than there may be.
    #[error("there are {most} webhooks already, which is the most a tenant may have; delete one first")]
    TooManyHooks {
        /// How many there may be.
        most: usize,
    },
    /// A key store.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// What somebody else writes for it.
    #[error("it cannot be written: {0}")]
    Written(#[source] std::io::Error),
}

impl AuthorityError {
    /// Whether the records are older than what this home has seen.
    #[must_use]
    pub const fn is_loss(&self) -> bool {
        matches!(self, Self::RolledBack { .. } | Self::OrdersLost { .. })
    }

    /// Whether a rule said no, rather than something being broken or out of reach.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::UnknownAgent { .. }
                | Self::UnknownTenant { .. }
                | Self::TenantTaken { .. }
                | Self::RootClosed { .. }
                | Self::AnyAction
                | Self::Days { .. }
                | Self::Hours { .. }
                | Self::Minutes { .. }
                | Self::NowhereToRenew { .. }
                | Self::NothingLost
                | Self::SweepExpected { .. }
                | Self::RenewedEnough { .. }
                | Self::FeedReplaced { .. }
                | Self::Request(_)
                | Self::UnknownHook { .. }
                | Self::TooManyHooks { .. }
                | Self::Standing(_)
                | Self::Scope(_)
                | Self::Home(HomeError::Exists { .. })
                | Self::Store(
                    StoreError::NameTaken { .. }
                        | StoreError::Overtaken
                        | StoreError::UnknownChain { .. }
                        | StoreError::ChainClosed { .. }
                        | StoreError::UnknownToken { .. }
                        | StoreError::TokenUsed { .. }
                        | StoreError::Frozen { .. }
                )
                | Self::Issue(IssueError::Store(
                    StoreError::UnknownToken { .. }
                        | StoreError::TokenUsed { .. }
                        | StoreError::Frozen { .. }
                ))
                | Self::Directory(
                    DirectoryError::OtherAgent { .. }
                        | DirectoryError::NoAgent { .. }
                        | DirectoryError::NotOurs { .. }
                        | DirectoryError::KeyInTheWay { .. }
                )
        )
    }
}

fn gone(missing: &[PathBuf]) -> String {
    let list: Vec<String> = missing.iter().map(|path| path.display().to_string()).collect();
    if list.is_empty() { String::new() } else { format!(" (gone: {})", list.join(", ")) }
}
