//! Agents: who they are, how they stand, what happened to them.

use std::path::{Path, PathBuf};

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;

use super::{FeedChange, StoreError};
use crate::access::TenantId;
use crate::agent::AgentName;
use crate::standing::{Reason, Standing};

/// The agents, each of one tenant: asked for in the name of another tenant, there is none.
pub trait Agents {
    /// Adds an agent.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] when another agent of the tenant has its name, [`StoreError::AgentTaken`] when an
    /// agent of any tenant has its id.
    fn add_agent(&mut self, agent: &AgentRecord) -> Result<(), StoreError>;

    /// Every agent of a tenant, by name.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn agents(&self, tenant: &TenantId) -> Result<Vec<AgentRecord>, StoreError>;

    /// Some agents of a tenant, newest first.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when the page is to begin after an agent that the tenant does not have.
    fn agents_page(&self, tenant: &TenantId, page: &AgentPage) -> Result<Vec<AgentRecord>, StoreError>;

    /// How many agents of a tenant `filter` lets through.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn count_agents(&self, tenant: &TenantId, filter: AgentFilter) -> Result<u64, StoreError>;

    /// The agent of a tenant with this id.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn agent(&self, tenant: &TenantId, id: AgentId) -> Result<Option<AgentRecord>, StoreError>;

    /// The agent of a tenant with this name.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn agent_named(&self, tenant: &TenantId, name: &AgentName) -> Result<Option<AgentRecord>, StoreError>;

    /// Gives an agent another scope for its next certificate.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when the tenant has no such agent.
    fn set_scope(
        &mut self,
        tenant: &TenantId,
        id: AgentId,
        scope: &[u8],
        at: UnixTime,
    ) -> Result<(), StoreError>;

    /// Replaces what is said about an agent.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when the tenant has no such agent.
    fn set_details(
        &mut self,
        tenant: &TenantId,
        id: AgentId,
        details: &AgentDetails,
        at: UnixTime,
    ) -> Result<(), StoreError>;

    /// Records a change of standing for the agent and for those of its certificates that follow it, and takes the
    /// epochs of the feeds that have to tell: one after the other for each issuer, with
    /// [`FeedChange::MOST_ENTRIES`] certificates at most in each. What is given back here waits in the store until
    /// [`super::Feed::keep_change`] has it signed.
    ///
    /// A revoked certificate keeps its standing whatever happens to the agent later, and one that ended is told to
    /// nobody. The enrolment tokens of an agent that is revoked are gone. Webhooks of the tenant that want to be told have their deliveries by the same transaction.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when the tenant has no such agent.
    fn change_standing(&mut self, change: &StandingChange<'_>) -> Result<Vec<FeedChange>, StoreError>;

    /// What happened to an agent, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn events(&self, tenant: &TenantId, agent: AgentId) -> Result<Vec<EventRecord>, StoreError>;

    /// Remembers a directory that an agent was certified into, so that renewing finds it again.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when the tenant has no such agent.
    fn keep_directory(&mut self, tenant: &TenantId, agent: AgentId, path: &Path) -> Result<(), StoreError>;

    /// The directories of an agent, in the order they were first used.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn directories(&self, tenant: &TenantId, agent: AgentId) -> Result<Vec<PathBuf>, StoreError>;

    /// Whether any agent of any tenant was certified into a directory.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn has_directories(&self) -> Result<bool, StoreError>;

    /// Keeps a detached list of names under its root, which is its hash: whoever knows it knows the names.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn keep_names(&mut self, root: Digest, text: &str) -> Result<(), StoreError>;

    /// The detached list with this root.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn names(&self, root: Digest) -> Result<Option<String>, StoreError>;
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRecord {
    /// Its identity.
    pub id: AgentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name, unique in its tenant.
    pub name: AgentName,
    /// When it was created.
    pub created: UnixTime,
    /// When its scope or its details were last changed.
    pub updated: UnixTime,
    /// How it stands.
    pub standing: Standing,
    /// The scope of its next certificate, as DER.
    pub scope: Vec<u8>,
    /// What is said about it.
    pub details: AgentDetails,
}

/// What is said about an agent. None of it is signed, and nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentDetails {
    /// What its owner calls it, where that is no name.
    pub title: Option<String>,
    /// Which model it runs.
    pub model: Option<String>,
    /// A hash of the model, as its owner writes it.
    pub model_hash: Option<String>,
    /// Which version of it.
    pub version: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Anything else, as the text of a JSON object.
    pub metadata: Option<String>,
}

/// Which agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentFilter {
    /// Those of this standing.
    pub standing: Option<Standing>,
    /// Those that have a signed certificate, good or not, or those that have none.
    pub certified: Option<bool>,
}

/// Some of the agents, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentPage {
    /// Which ones.
    pub filter: AgentFilter,
    /// Those that were added before this one: where a page ended, the next one begins.
    pub after: Option<AgentId>,
    /// Leaves out that many.
    pub offset: u32,
    /// No more than that.
    pub limit: u32,
}

/// A change of an agent's standing.
#[derive(Clone, Copy, Debug)]
pub struct StandingChange<'a> {
    /// In whose name.
    pub tenant: &'a TenantId,
    /// Whose.
    pub agent: AgentId,
    /// To what.
    pub to: Standing,
    /// What a list says about its certificates.
    pub reason: Reason,
    /// In the words of whoever ordered it.
    pub text: &'a str,
    /// Whether it is the kill switch, which receivers are told under a name of its own.
    pub halt: bool,
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
