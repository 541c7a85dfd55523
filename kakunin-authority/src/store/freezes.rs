//! Where no certificate is signed: of one tenant, or of all of them.
//!
//! A freeze is a record and not a state of a process, so it holds after a restart and on whichever node leads. Each step of
//! issuing looks for it in its own transaction: once [`Freezes::freeze`] has returned, no number is taken, nothing is kept
//! to be signed and no signed certificate is kept, and what is not kept is given to nobody.

use std::fmt;

use kakunin_core::time::UnixTime;
use serde_json::json;

use super::StoreError;
use super::hooks::Notice;
use crate::access::{Actor, TenantId};
use crate::hook::HookEvent;

/// What is frozen.
pub trait Freezes {
    /// Stops issuing, tells the webhooks of whom it is about, and says whether that is new. A freeze by the same hand that
    /// stands stays as it came first; one by the other hand stands beside it.
    ///
    /// # Errors
    /// [`StoreError::UnknownTenant`] when it is about nobody.
    fn freeze(&mut self, freeze: &FreezeRecord) -> Result<bool, StoreError>;

    /// Lifts the freeze by this hand, tells the webhooks of whom it is about, and says whether there was one. What the other
    /// hand froze stays so, and what is frozen for all tenants stays so for each of them.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn thaw(&mut self, thaw: &FreezeRecord) -> Result<bool, StoreError>;

    /// Every freeze that stands: that of all tenants first, then by tenant, the operator's before the tenant's own.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn freezes(&self) -> Result<Vec<FreezeRecord>, StoreError>;
}

/// Whose issuing is meant. That of all tenants comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extent {
    /// That of every tenant, also of those that are made later.
    Everyone,
    /// That of one.
    Tenant(TenantId),
}

impl Extent {
    /// Whether issuing for `tenant` is a part of it.
    #[must_use]
    pub fn covers(&self, tenant: &TenantId) -> bool {
        match self {
            Self::Everyone => true,
            Self::Tenant(one) => one == tenant,
        }
    }

    /// How it is written in records: `*` for every tenant, which is the name of none.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Everyone => "*",
            Self::Tenant(tenant) => tenant.as_str(),
        }
    }

    pub(super) fn read(word: &str) -> Option<Self> {
        match word {
            "*" => Some(Self::Everyone),
            name => TenantId::parse(name).map(Self::Tenant),
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("every tenant"),
            Self::Tenant(tenant) => write!(f, "the tenant `{tenant}`"),
        }
    }
}

/// Who stops issuing. What one of them stopped the other does not let go on, so the two are kept side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hand {
    /// Whoever operates the authority: at its home, or by a key of the tenant `default`.
    Operator,
    /// The tenant itself.
    Tenant,
}

impl Hand {
    /// How it is written in records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Tenant => "tenant",
        }
    }

    pub(super) fn read(word: &str) -> Option<Self> {
        [Self::Operator, Self::Tenant].into_iter().find(|hand| hand.word() == word)
    }
}

/// An order to stop issuing, or to let it go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeRecord {
    /// Whose.
    pub extent: Extent,
    /// On whose side whoever orders it stands.
    pub hand: Hand,
    /// When.
    pub at: UnixTime,
    /// By whom.
    pub actor: Actor,
    /// Why.
    pub text: String,
}

impl FreezeRecord {
    /// What a step of issuing for one of its tenants ends in.
    #[must_use]
    pub fn refusal(&self) -> StoreError {
        StoreError::Frozen { extent: self.extent.clone(), at: self.at, text: self.text.clone() }
    }

    /// What it tells the webhooks of `tenant`.
    pub(super) fn notice(&self, tenant: &TenantId, event: HookEvent) -> Notice {
        let data = json!({
            "everyone": self.extent == Extent::Everyone,
            "operator": self.hand == Hand::Operator,
            "by": self.actor.kind().word(),
            // Why somebody else's issuing stops with theirs is the business of whoever operates the authority.
            "reason": (self.extent != Extent::Everyone).then_some(&self.text),
        });
        Notice { tenant: tenant.clone(), event, at: self.at, data: data.to_string() }
    }
}

/// The freeze that keeps a certificate of `tenant` from being signed, if one of these does.
#[must_use]
pub fn frozen<'a>(freezes: &'a [FreezeRecord], tenant: &TenantId) -> Option<&'a FreezeRecord> {
    freezes.iter().find(|freeze| freeze.extent.covers(tenant))
}
