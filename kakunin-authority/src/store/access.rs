//! API keys as they are kept: a public prefix to find them by, and the hash of a secret nobody can read back.

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;

use super::StoreError;
use crate::access::{KeyPrefix, Role, TenantId};

/// The tenants of an authority, and the keys to it.
pub trait Access {
    /// Adds a tenant. The tenant `default` exists from the beginning.
    ///
    /// # Errors
    /// [`StoreError::TenantTaken`] when it exists.
    fn add_tenant(&mut self, tenant: &TenantId, at: UnixTime) -> Result<(), StoreError>;

    /// Every tenant, by id.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn tenants(&self) -> Result<Vec<TenantId>, StoreError>;

    /// When a tenant was added; `None` when there is no such tenant. The tenant `default` was at the beginning of time.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn tenant_since(&self, tenant: &TenantId) -> Result<Option<UnixTime>, StoreError>;

    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::KeyTaken`] when a key of any tenant has its prefix, [`StoreError::UnknownTenant`] when it is
    /// nobody's.
    fn add_key(&mut self, key: &ApiKeyRecord) -> Result<(), StoreError>;

    /// The key with this prefix, revoked and expired ones too, whatever its tenant: whoever asks knows only the key.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn key(&self, prefix: &KeyPrefix) -> Result<Option<ApiKeyRecord>, StoreError>;

    /// Every key of a tenant, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn keys(&self, tenant: &TenantId) -> Result<Vec<ApiKeyRecord>, StoreError>;

    /// Revokes a key of a tenant, and says since when it is revoked: the first time counts. `None` when this tenant
    /// has no such key.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn revoke_key(
        &mut self,
        tenant: &TenantId,
        prefix: &KeyPrefix,
        at: UnixTime,
    ) -> Result<Option<UnixTime>, StoreError>;
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// By which it is found.
    pub prefix: KeyPrefix,
    /// SHA-256 of its secret, which has 256 random bits and so needs no slow hash.
    pub secret: Digest,
    /// What it may be used for.
    pub role: Role,
    /// Whose it is.
    pub tenant: TenantId,
    /// The only agents it may be used for; `None` is all of the tenant, an empty list is none.
    pub agents: Option<Vec<AgentId>>,
    /// The only networks it may be used from, such as `10.0.0.0/8`; `None` is from anywhere, an empty list is from nowhere.
    pub networks: Option<Vec<String>>,
    /// What its owner calls it.
    pub label: String,
    /// When it was made.
    pub created: UnixTime,
    /// From when on it is no good.
    pub expires: Option<UnixTime>,
    /// Since when it is revoked.
    pub revoked: Option<UnixTime>,
}

impl ApiKeyRecord {
    /// Whether it is good for anything at `now`.
    #[must_use]
    pub fn stands(&self, now: UnixTime) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether it may be used for everything at `now`: an owner's, of no certain agents and from anywhere.
    #[must_use]
    pub fn is_whole_owner(&self, now: UnixTime) -> bool {
        self.role == Role::Owner && self.agents.is_none() && self.networks.is_none() && self.stands(now)
    }

    /// Whether it may be used for this agent, as far as it is bound to agents.
    #[must_use]
    pub fn reaches(&self, agent: AgentId) -> bool {
        self.agents.as_ref().is_none_or(|agents| agents.contains(&agent))
    }
}
