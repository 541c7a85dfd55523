//! The authorities of a home: the root and the issuing ones.

use std::fmt;

use kakunin_core::time::UnixTime;

use super::StoreError;
use crate::access::TenantId;

/// The authorities.
pub trait Issuers {
    /// Adds authorities, all or none; the root is [`IssuerId::ROOT`], the others follow in order.
    ///
    /// # Errors
    /// [`StoreError::IssuerTaken`] when one exists, [`StoreError::UnknownTenant`] when one is nobody's.
    fn add_issuers(&mut self, issuers: &[IssuerRecord]) -> Result<(), StoreError>;

    /// Every authority, root first, newest last.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn issuers(&self) -> Result<Vec<IssuerRecord>, StoreError>;

    /// Marks an issuing authority as revoked; the first time counts.
    ///
    /// # Errors
    /// [`StoreError::UnknownIssuer`] when there is none.
    fn revoke_issuer(&mut self, issuer: IssuerId, at: UnixTime) -> Result<(), StoreError>;
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
    /// Whose agents it certifies; nobody's, for the root, which certifies none.
    pub tenant: Option<TenantId>,
    /// Its certificate.
    pub der: Vec<u8>,
    /// When it was revoked.
    pub revoked: Option<UnixTime>,
}
