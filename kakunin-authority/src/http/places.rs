//! Places for what is under way for long: so many in all, so many for each tenant and for each key or agent.
//!
//! Keys cost a tenant nothing, so a bound by key alone is none for a tenant. Where there are several, one that has as many
//! places as are left gets no further one: there is always a place for whoever has none, as in the lane of what is urgent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;

use super::access::Caller;
use super::error::Refusal;
use super::shown::Shown;
use crate::access::TenantId;

/// Places of one kind.
pub(crate) struct Places {
    kind: Kind,
    taken: Arc<Mutex<Taken>>,
}

/// How many places there are, and what is told to whoever gets none.
pub(crate) struct Kind {
    pub(crate) most: usize,
    pub(crate) each: usize,
    /// When one has as many as one may have.
    pub(crate) yours: &'static str,
    /// When there is none.
    pub(crate) full: &'static str,
}

type Taken = HashMap<(TenantId, String), usize>;

/// A place, free again when it is dropped.
pub(crate) struct Place {
    taken: Arc<Mutex<Taken>>,
    who: (TenantId, String),
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        match taken.get_mut(&self.who) {
            Some(here) if *here > 1 => *here -= 1,
            _ => drop(taken.remove(&self.who)),
        }
    }
}

impl Places {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, taken: Arc::default() }
    }

    /// Takes a place for `caller`.
    ///
    /// # Errors
    /// [`Refusal`] when it or its tenant has as many as one may have (429), or there is none (503).
    pub(crate) fn enter(&self, caller: &Caller, shown: &Shown) -> Result<Place, Refusal> {
        self.take((caller.tenant().clone(), caller.actor().to_string()), shown.is_divided())
    }

    /// `divided` says whether there are other tenants.
    fn take(&self, who: (TenantId, String), divided: bool) -> Result<Place, Refusal> {
        let Kind { most, each, yours, full } = self.kind;
        let mut taken = lock(&self.taken);
        let too_many =
            || Refusal { retry_after: Some(1), ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, "busy", yours) };
        if taken.get(&who).is_some_and(|here| *here >= each) {
            return Err(too_many());
        }
        let left = most.saturating_sub(taken.values().sum());
        if left == 0 {
            return Err(Refusal::unavailable("busy", full));
        }
        let own = taken.iter().filter(|((tenant, _), _)| *tenant == who.0).map(|(_, places)| places);
        if divided && own.sum::<usize>() >= left {
            return Err(too_many());
        }
        *taken.entry(who.clone()).or_default() += 1;
        Ok(Place { taken: Arc::clone(&self.taken), who })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        lock(&self.taken).values().sum()
    }

    /// Takes one for somebody of the only tenant.
    #[cfg(test)]
    pub(crate) fn enter_as(&self, who: &str) -> Result<Place, Refusal> {
        self.take((TenantId::default(), who.to_owned()), false)
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(most: usize, each: usize) -> Places {
        Places::new(Kind { most, each, yours: "yours", full: "full" })
    }

    fn told(refused: Result<Place, Refusal>) -> (u16, String) {
        let refusal = refused.err().unwrap();
        assert!(refusal.code == "busy" && refusal.retry_after.is_some(), "{refusal:?}");
        (refusal.status.as_u16(), refusal.text)
    }

    #[test]
    fn places_are_bounded_for_each_and_for_all_and_given_back() {
        let places = places(8, 2);
        let mut taken = Vec::new();
        for who in ["a", "b", "c", "d"] {
            taken.extend([places.enter_as(who).ok().unwrap(), places.enter_as(who).ok().unwrap()]);
            assert_eq!(told(places.enter_as(who)), (429, "yours".into()));
        }
        assert_eq!((places.taken(), told(places.enter_as("new"))), (8, (503, "full".into())));
        taken.pop();
        assert!(places.enter_as("new").is_ok());
        taken.clear();
        assert!(lock(&places.taken).is_empty());
    }

    #[test]
    fn a_tenant_with_many_keys_leaves_places_for_the_others() {
        let places = places(8, 8);
        let enter =
            |tenant: &str, key: usize| places.take((TenantId::parse(tenant).unwrap(), key.to_string()), true);
        let mut taken: Vec<_> = (0..4).map(|key| enter("loud", key).ok().unwrap()).collect();
        assert_eq!(told(enter("loud", 4)), (429, "yours".into()));
        taken.extend((0..2).map(|key| enter("quiet", key).ok().unwrap()));
        assert_eq!(told(enter("quiet", 2)), (429, "yours".into()));
        taken.push(enter("new", 0).ok().unwrap());
        assert!(told(enter("loud", 0)).0 == 429 && enter("last", 0).is_ok());
        taken.clear();
        // Nobody who is alone is held back for anybody.
        let alone: Vec<_> = (0..8).map(|key| places.enter_as(&key.to_string()).ok().unwrap()).collect();
        assert_eq!(alone.len(), 8);
    }
}
