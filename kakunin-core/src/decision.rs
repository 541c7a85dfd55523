//! The answer to a request.
//!
//! Takes in nothing by itself: the leash makes a [`Permit`], any room makes a [`Denial`]. A permit has no other
//! origin than a leash that let every rule pass.

use crate::money::{Currency, Decimal, Money};
pub use crate::reason::DenialReason;
use crate::time::UnixTime;

/// The answer to one request. Complete by definition: there is no third answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an unread decision enforces nothing"]
pub enum Decision {
    /// The action may run, once, with what was asked.
    Allow(Permit),
    /// The action must not run.
    Deny(Denial),
}

impl Decision {
    /// `allow` or `deny`, as receipts and tools print it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Deny(_) => "deny",
        }
    }

    /// Why it was denied, if it was.
    #[must_use]
    pub const fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Allow(_) => None,
            Self::Deny(denial) => Some(denial),
        }
    }
}

/// Evidence that a leash allowed one request. It cannot be made outside this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a permit that is dropped lets nothing run"]
pub struct Permit {
    plan: u32,
    spend: Option<Spend>,
}

impl Permit {
    /// The one origin of permits: the leash, after every rule passed.
    pub(crate) const fn granted(plan: u32, spend: Option<Spend>) -> Self {
        Self { plan, spend }
    }

    /// Which compiled plan allowed it; only the leash that granted the permit can read this.
    pub(crate) const fn plan(&self) -> u32 {
        self.plan
    }

    /// The money this permit moves, if a budget counts it.
    pub(crate) const fn spend(&self) -> Option<&Spend> {
        self.spend.as_ref()
    }
}

/// Money as a permitted request named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spend {
    pub(crate) amount: Quantity,
    /// One of the limits it passed; its currency is that of the money.
    pub(crate) limit: u32,
}

/// An amount whose scale is its own or a limit's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    Decimal(Decimal),
    Minor(Money),
}

impl Quantity {
    /// The amount in minor units of `scale`, if it is exact there.
    pub(crate) fn at_scale(self, scale: u8) -> Option<Money> {
        match self {
            Self::Decimal(decimal) => decimal.at_scale(scale),
            Self::Minor(money) => Some(money),
        }
    }
}

/// A refusal: the reason, and the numbers behind it for the operator's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    reason: DenialReason,
    detail: Detail,
}

impl Denial {
    /// A refusal without numbers.
    #[must_use]
    pub const fn new(reason: DenialReason) -> Self {
        Self { reason, detail: Detail::None }
    }

    /// A refusal with the limit it ran into.
    #[must_use]
    pub const fn with_detail(reason: DenialReason, detail: Detail) -> Self {
        Self { reason, detail }
    }

    /// The reason.
    #[must_use]
    pub const fn reason(&self) -> DenialReason {
        self.reason
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.reason.code()
    }

    /// The numbers.
    #[must_use]
    pub const fn detail(&self) -> &Detail {
        &self.detail
    }
}

impl From<DenialReason> for Denial {
    fn from(reason: DenialReason) -> Self {
        Self::new(reason)
    }
}

/// The numbers of a refusal. Operators see them; text for a model never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detail {
    /// Nothing to add.
    None,
    /// An amount over a limit for each action.
    PerAction {
        /// The limit.
        limit: Money,
        /// What was asked.
        actual: Money,
        /// Decimals of both.
        scale: u8,
        /// Their currency.
        currency: Currency,
    },
    /// An amount over what a window still holds.
    Window {
        /// The window's sum.
        limit: Money,
        /// Already spent or reserved.
        spent: Money,
        /// What was asked.
        actual: Money,
        /// Decimals of the three.
        scale: u8,
        /// Their currency.
        currency: Currency,
        /// The window's length.
        seconds: u32,
    },
    /// An action too many in a window.
    Rate {
        /// How many are allowed.
        limit: i64,
        /// The window's length.
        seconds: u32,
    },
    /// Something ended at this time.
    Since(UnixTime),
}
