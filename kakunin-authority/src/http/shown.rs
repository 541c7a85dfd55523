//! What everyone may read, by whose it is.
//!
//! Each tenant has its own lists and its own issuing authority. Whoever names neither a tenant nor an issuing authority
//! reads what is of the tenant `default`, as in a home that nobody divided.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use serde::Deserialize;

use super::error::Refusal;
use super::shelf::{Part, Reading, Shelf};
use super::table::Named;
use crate::access::TenantId;
use crate::authority::{Authority, Issuing};
use crate::publish::Published;

/// What was published last.
#[derive(Debug, Default)]
pub(crate) struct Shown(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    of: BTreeMap<TenantId, Arc<Shelf>>,
    /// Whose each issuing authority is, by the SHA-256 of its SubjectPublicKeyInfo.
    whose: HashMap<Digest, TenantId>,
}

impl Shown {
    /// Lets readers see what the authority published last.
    pub(crate) fn take_up(&self, authority: &Authority<'_>) {
        let all = authority.all_published();
        for (tenant, newest) in all {
            match self.of(tenant) {
                Some(shelf) if shelf.newest().is_some_and(|shown| Arc::ptr_eq(&shown, newest)) => {}
                Some(shelf) => shelf.put_beside(Arc::clone(newest), all.len()),
                None => {
                    let shelf = Arc::<Shelf>::default();
                    shelf.put(Arc::clone(newest));
                    self.write().of.insert(tenant.clone(), shelf);
                }
            }
        }
        if self.read().whose.len() != authority.issuing.len() {
            let whose = |one: &Issuing| (one.certificate.decoded().key().key_id(), one.tenant.clone());
            self.write().whose = authority.issuing.iter().map(whose).collect();
        }
    }

    /// Whether something was published for a tenant: this authority has it.
    pub(crate) fn has(&self, tenant: &TenantId) -> bool {
        self.read().of.contains_key(tenant)
    }

    /// Whether there are several tenants.
    pub(crate) fn is_divided(&self) -> bool {
        self.read().of.len() > 1
    }

    /// What was published for a tenant; `None` when this authority has no such tenant.
    pub(crate) fn newest(&self, tenant: &TenantId) -> Option<Arc<Published>> {
        self.of(tenant)?.newest()
    }

    /// The same, and a reader of all of it.
    pub(crate) fn open(&self, tenant: &TenantId) -> Option<(Arc<Published>, Reading)> {
        self.of(tenant)?.open(Part::All)
    }

    /// Whose issuing authority that is.
    pub(crate) fn whose(&self, issuer: Digest) -> Option<TenantId> {
        self.read().whose.get(&issuer).cloned()
    }

    /// How many tenants have no list that counts at `now`, and how many have one.
    pub(crate) fn served(&self, now: UnixTime) -> (usize, usize) {
        let state = self.read();
        let counts = |tenant: &TenantId| {
            let newest = state.of.get(tenant).and_then(|shelf| shelf.newest());
            newest.is_some_and(|shown| now < shown.next_update())
        };
        let tenants: BTreeSet<_> = state.whose.values().collect();
        let served = tenants.iter().filter(|tenant| counts(tenant)).count();
        (tenants.len() - served, served)
    }

    /// When the newest of all lists was signed.
    pub(crate) fn last_signed(&self) -> Option<UnixTime> {
        let shelves: Vec<_> = self.read().of.values().cloned().collect();
        shelves.iter().filter_map(|shelf| Some(shelf.newest()?.list().this_update)).max()
    }

    /// Whether this authority has such a tenant, published or not.
    pub(crate) fn knows(&self, tenant: &TenantId) -> bool {
        let state = self.read();
        state.of.contains_key(tenant) || state.whose.values().any(|known| known == tenant)
    }

    /// How many octets of lists are kept, for however many readers.
    pub(crate) fn octets(&self) -> usize {
        self.read().of.values().map(|shelf| shelf.octets()).sum()
    }

    /// The lists of whom somebody names.
    ///
    /// # Errors
    /// [`Refusal`] when two are named, or one that is not here.
    pub(crate) fn shelf(&self, whose: &Whose) -> Result<Arc<Shelf>, Refusal> {
        let tenant = match (&whose.tenant, &whose.issuer) {
            (None, None) => TenantId::default(),
            (Some(tenant), None) => TenantId::parse(tenant).ok_or_else(Refusal::missing)?,
            (None, Some(issuer)) => {
                let wrong = || Refusal::invalid("`issuer` has to be 64 hex digits");
                let issuer = Digest::from_hex(issuer).ok_or_else(wrong)?;
                self.whose(issuer).ok_or_else(Refusal::missing)?
            }
            (Some(_), Some(_)) => {
                return Err(Refusal::invalid("name a `tenant` or an `issuer`, not both"));
            }
        };
        let none = || match tenant == TenantId::default() {
            true => Refusal::unavailable("starting", "the authority has not published its lists yet"),
            false => Refusal::missing(),
        };
        self.of(&tenant).ok_or_else(none)
    }

    /// What was published for whom somebody names.
    ///
    /// # Errors
    /// As [`Shown::shelf`].
    pub(crate) fn asked(&self, whose: &Whose) -> Result<Arc<Published>, Refusal> {
        self.shelf(whose)?.newest().ok_or_else(Refusal::missing)
    }

    fn of(&self, tenant: &TenantId) -> Option<Arc<Shelf>> {
        self.read().of.get(tenant).cloned()
    }

    // Nothing that could panic happens under this lock.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose things somebody asks for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Whose {
    tenant: Option<String>,
    issuer: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Whose {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(Query::try_from_uri(&parts.uri)?.0)
    }
}

/// What may stand behind the `?` where everyone may read what is a tenant's.
pub(crate) const WHOSE: &[Named] = &[
    Named::new("tenant", "string", "Whose; `default` if nobody is named"),
    Named::new(
        "issuer",
        "string",
        "The same by any issuing authority of the tenant: SHA-256 of its SubjectPublicKeyInfo, hex",
    ),
];
