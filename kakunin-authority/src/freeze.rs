//! Freezing: no certificate is signed any more, by one order, until it is thawed.
//!
//! It is what comes first when certificates were issued that should not have been: before it is known which, no further one
//! follows. Who is certified already goes on, lists and feeds are signed, agents are suspended and revoked, and what they send
//! is kept. The issuing authority is still replaced (`kakunin rotate`), for that may be what puts things right; no tenant is
//! made while all of them are frozen.
//!
//! Certificates are signed by the thread that carries out this order, or by the process that holds the lock of the home or
//! leads its database, and each step of issuing looks for a freeze in its own transaction. So none is being signed when the
//! order is answered, and what a node has signed that was paused meanwhile is kept by no store and given to nobody.

use kakunin_core::time::UnixTime;

use crate::access::Actor;
use crate::authority::{Authority, AuthorityError};
use crate::deed::Deed;
use crate::store::{Extent, FreezeRecord, Hand, frozen};

/// What became of an order to freeze or to thaw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Froze {
    /// Whether it changed anything.
    pub is_new: bool,
    /// What stands now.
    pub freezes: Vec<FreezeRecord>,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cold {
    /// No certificate is signed from now on.
    Freeze,
    /// Certificates are signed again.
    Thaw,
}

impl Cold {
    /// The order in the audit log.
    #[must_use]
    pub const fn deed(self) -> &'static str {
        match self {
            Self::Freeze => "issuance.freeze",
            Self::Thaw => "issuance.thaw",
        }
    }

    /// What issuing is after it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Freeze => "frozen",
            Self::Thaw => "open",
        }
    }
}

impl Authority<'_> {
    /// The freeze that keeps certificates of the tenant in whose name it acts from being signed.
    ///
    /// # Errors
    /// [`AuthorityError`] when the records cannot be read.
    pub fn frozen(&self) -> Result<Option<FreezeRecord>, AuthorityError> {
        Ok(frozen(&self.store.freezes()?, &self.tenant).cloned())
    }

    /// Says no to issuing before anything is changed for it. The store says it again at each step.
    pub(crate) fn refuse_frozen(&self) -> Result<(), AuthorityError> {
        self.frozen()?.map_or(Ok(()), |freeze| Err(freeze.refusal().into()))
    }

    /// Freezes or thaws by order of the local operator, with its two entries in the audit log.
    ///
    /// # Errors
    /// [`AuthorityError`]: a tenant that nobody is, or what could not be recorded.
    pub fn cool(
        &mut self,
        cold: Cold,
        extent: Extent,
        text: &str,
        now: UnixTime,
    ) -> Result<Froze, AuthorityError> {
        if let Extent::Tenant(tenant) = &extent
            && !self.tenants().contains(tenant)
        {
            return Err(AuthorityError::UnknownTenant { tenant: tenant.clone() });
        }
        let deed = Deed {
            what: cold.deed(),
            subject: extent.word().to_owned(),
            before: Some(self.word_of(&extent, Hand::Operator)?.into()),
            after: Some(cold.word().into()),
            text: text.into(),
        };
        let (hand, actor) = (Hand::Operator, Actor::Local);
        let order = FreezeRecord { extent, hand, at: now, actor, text: text.into() };
        let done = self.locally(deed, now, |authority| authority.cooled(cold, &order));
        // A store that forgets the order is an older one.
        self.remember_orders()?;
        done
    }

    /// Carries the order out. The operator thaws its own freeze first, and a tenant's own where no other stands: so none of
    /// the two is lifted by an order that was meant for the other.
    pub(crate) fn cooled(&mut self, cold: Cold, order: &FreezeRecord) -> Result<Froze, AuthorityError> {
        let is_new = match cold {
            Cold::Freeze => self.store.freeze(order)?,
            Cold::Thaw => {
                let theirs = FreezeRecord { hand: Hand::Tenant, ..order.clone() };
                self.store.thaw(order)? || (order.hand == Hand::Operator && self.store.thaw(&theirs)?)
            }
        };
        Ok(Froze { is_new, freezes: self.store.freezes()? })
    }

    /// What issuing there is for orders by this hand, in a word: a tenant's own does not count what the operator froze, and
    /// what all tenants together are does not count for one of them.
    pub(crate) fn word_of(&self, extent: &Extent, hand: Hand) -> Result<&'static str, AuthorityError> {
        let counts = |freeze: &FreezeRecord| {
            freeze.extent == *extent && (hand == Hand::Operator || freeze.hand == Hand::Tenant)
        };
        let is_frozen = self.store.freezes()?.iter().any(counts);
        Ok(if is_frozen { Cold::Freeze.word() } else { Cold::Thaw.word() })
    }

    /// Whether only the operator can let the issuing of this extent go on: it froze it, and the tenant itself did not.
    #[cfg(feature = "http")]
    pub(crate) fn is_the_operators_alone(&self, extent: &Extent) -> Result<bool, AuthorityError> {
        let freezes = self.store.freezes()?;
        let mut hands = freezes.iter().filter(|freeze| freeze.extent == *extent).map(|freeze| freeze.hand);
        Ok(hands.clone().count() > 0 && hands.all(|hand| hand == Hand::Operator))
    }
}
