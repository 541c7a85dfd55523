//! How an agent stands, and which changes are allowed.
//!
//! Standing belongs to the agent: a change reaches every certificate of it that has not ended. A revoked
//! certificate stays revoked for good; an agent may come back, but only with a new key and by an explicit order.

use std::fmt;

use kakunin_core::id::SerialNumber;
pub use kakunin_core::revocation::Standing;
use kakunin_core::time::UnixTime;

/// An order about an agent's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Hold it back until further notice.
    Suspend,
    /// Let it act again.
    Resume,
    /// End it.
    Revoke,
    /// End it by the kill switch: the same, and told to receivers under a name of its own.
    Halt,
}

impl Order {
    /// What this order makes of `standing`.
    ///
    /// # Errors
    /// [`StandingError`] when it does not apply.
    pub const fn applied_to(self, standing: Standing) -> Result<Standing, StandingError> {
        match (standing, self) {
            // Saying it twice is fine: the second time publishes again what a crash may have kept back.
            (Standing::Good | Standing::Held, Self::Suspend) => Ok(Standing::Held),
            (Standing::Good | Standing::Held, Self::Resume) => Ok(Standing::Good),
            (_, Self::Revoke | Self::Halt) => Ok(Standing::Revoked),
            (Standing::Revoked, Self::Suspend | Self::Resume) => Err(StandingError::Revoked { order: self }),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Suspend => "suspended",
            Self::Resume => "resumed",
            Self::Revoke | Self::Halt => "revoked",
        })
    }
}

/// What a list says about why a certificate is on it (RFC 5280 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing said; a list then carries no reason.
    Unspecified,
    /// The key may be in other hands.
    KeyCompromise,
    /// The agent changed hands.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// It is not needed any more.
    CessationOfOperation,
    /// Held, not revoked.
    CertificateHold,
    /// It may not do this any more.
    PrivilegeWithdrawn,
}

impl Reason {
    /// The code of the standard.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::PrivilegeWithdrawn => 9,
        }
    }

    /// The word of the standard.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
        }
    }

    /// Finds a reason by its code.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        ALL_REASONS.into_iter().find(|reason| reason.code() == code)
    }

    /// The reason a revoker's text stands for: the standard's own names are understood, any other text says nothing.
    #[must_use]
    pub fn for_revocation(text: &str) -> Self {
        match text.to_ascii_lowercase().replace([' ', '-', '_'], "").as_str() {
            "keycompromise" => Self::KeyCompromise,
            "affiliationchanged" => Self::AffiliationChanged,
            "superseded" => Self::Superseded,
            "cessationofoperation" => Self::CessationOfOperation,
            "privilegewithdrawn" => Self::PrivilegeWithdrawn,
            _ => Self::Unspecified,
        }
    }
}

/// An order that does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StandingError {
    /// Revoked is final.
    #[error(
        "a revoked agent cannot be {order}; certify it anew with `kakunin agent certify --after-revocation`"
    )]
    Revoked {
        /// What was ordered.
        order: Order,
    },
    /// No certificates while held.
    #[error("the agent is suspended and gets no certificate; run `kakunin resume` first")]
    Held,
    /// Coming back needs an explicit order.
    #[error(
        "the agent is revoked; if it may act again, run `kakunin agent certify --after-revocation` with a new directory"
    )]
    NeedsAfterRevocation,
    /// The order to come back for an agent that never left.
    #[error("the agent is not revoked; leave --after-revocation out")]
    NotRevoked,
    /// A key that was revoked once.
    #[error("this key was revoked with an earlier certificate; make a new one")]
    RevokedKey,
}

const ALL_REASONS: [Reason; 7] = [
    Reason::Unspecified,
    Reason::KeyCompromise,
    Reason::AffiliationChanged,
    Reason::Superseded,
    Reason::CessationOfOperation,
    Reason::CertificateHold,
    Reason::PrivilegeWithdrawn,
];

/// A certificate as a list names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedCertificate {
    /// Its serial number.
    pub serial: SerialNumber,
    /// Since when it is not good.
    pub since: UnixTime,
    /// Why.
    pub reason: Reason,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revoked_is_final_and_orders_can_be_repeated() {
        assert_eq!(Order::Suspend.applied_to(Standing::Held), Ok(Standing::Held));
        assert_eq!(Order::Resume.applied_to(Standing::Held), Ok(Standing::Good));
        assert_eq!(Order::Revoke.applied_to(Standing::Held), Ok(Standing::Revoked));
        assert_eq!(Order::Halt.applied_to(Standing::Good), Ok(Standing::Revoked));
        for order in [Order::Suspend, Order::Resume] {
            assert_eq!(order.applied_to(Standing::Revoked), Err(StandingError::Revoked { order }));
        }
    }
}
