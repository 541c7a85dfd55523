//! How long certificates and lists are asked to last.

use crate::authority::AuthorityError;

/// For how many days a certificate is asked to be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(pub(crate) u16);

impl Days {
    /// A week: lists stay short, and a forgotten agent ends by itself.
    pub const WEEK: Self = Self(7);
    /// A day, for agents that renew by themselves.
    pub const DAY: Self = Self(1);

    /// Takes a number of days.
    ///
    /// # Errors
    /// [`AuthorityError::Days`] outside 1 to 400.
    pub fn new(days: u16) -> Result<Self, AuthorityError> {
        if (1..=MAX_DAYS).contains(&days) { Ok(Self(days)) } else { Err(AuthorityError::Days { days }) }
    }
}

impl Default for Days {
    fn default() -> Self {
        Self::WEEK
    }
}

/// For how many hours a list may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours(pub(crate) u16);

impl Hours {
    /// Takes a number of hours.
    ///
    /// # Errors
    /// [`AuthorityError::Hours`] outside 1 to 9600.
    pub fn new(hours: u16) -> Result<Self, AuthorityError> {
        if (1..=MAX_HOURS).contains(&hours) { Ok(Self(hours)) } else { Err(AuthorityError::Hours { hours }) }
    }
}

impl Default for Hours {
    /// A week, as long as a certificate: a machine that renews daily never meets the end.
    fn default() -> Self {
        Self(168)
    }
}

/// For how many minutes an enrolment token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minutes(pub(crate) u16);

impl Minutes {
    /// Takes a number of minutes.
    ///
    /// # Errors
    /// [`AuthorityError::Minutes`] outside 1 to 60.
    pub fn new(minutes: u16) -> Result<Self, AuthorityError> {
        if (1..=MAX_MINUTES).contains(&minutes) {
            Ok(Self(minutes))
        } else {
            Err(AuthorityError::Minutes { minutes })
        }
    }
}

impl Default for Minutes {
    /// A quarter of an hour: long enough to paste it somewhere and start an agent.
    fn default() -> Self {
        Self(15)
    }
}

pub(crate) const MAX_DAYS: u16 = 400;
pub(crate) const MAX_MINUTES: u16 = 60;
/// The 400 days of the root's list.
pub(crate) const MAX_HOURS: u16 = 9_600;
