//! What an agent wants to do, as its caller said it.
//!
//! Takes in borrowed plain values, gives them to the leash unchanged. Nothing is checked, trimmed or folded here:
//! a value that cannot be read is kept as such, because a malformed request must become a recorded denial and
//! not an exception on the way to the decision.

/// One wish of an agent, put before its leash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionRequest<'a> {
    /// The action, for example `payments:send`.
    pub action: &'a str,
    /// How much money it moves.
    pub amount: Amount<'a>,
    /// The currency of `amount`; not looked at without one.
    pub currency: Option<&'a str>,
    /// Everyone who receives something: all must be allowed.
    pub counterparties: Names<'a>,
    /// Everything that is touched: all must be allowed.
    pub resources: Names<'a>,
}

impl<'a> ActionRequest<'a> {
    /// A request that carries an action and nothing else.
    #[must_use]
    pub const fn new(action: &'a str) -> Self {
        Self {
            action,
            amount: Amount::Absent,
            currency: None,
            counterparties: Names::Absent,
            resources: Names::Absent,
        }
    }

    /// The same request moving `amount`, decimal text, of `currency`.
    #[must_use]
    pub const fn amount(mut self, amount: &'a str, currency: &'a str) -> Self {
        self.amount = Amount::Decimal(amount);
        self.currency = Some(currency);
        self
    }

    /// The same request moving `minor` minor units of `currency`, counted at the scale of the matching limits.
    #[must_use]
    pub const fn amount_minor(mut self, minor: i64, currency: &'a str) -> Self {
        self.amount = Amount::Minor(minor);
        self.currency = Some(currency);
        self
    }

    /// The same request towards one counterparty.
    #[must_use]
    pub const fn counterparty(mut self, name: &'a str) -> Self {
        self.counterparties = Names::One(name);
        self
    }

    /// The same request towards several counterparties.
    #[must_use]
    pub const fn counterparties(mut self, names: &'a [&'a str]) -> Self {
        self.counterparties = Names::Many(names);
        self
    }

    /// The same request touching one resource.
    #[must_use]
    pub const fn resource(mut self, name: &'a str) -> Self {
        self.resources = Names::One(name);
        self
    }

    /// The same request touching several resources.
    #[must_use]
    pub const fn resources(mut self, names: &'a [&'a str]) -> Self {
        self.resources = Names::Many(names);
        self
    }
}

/// The amount of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Amount<'a> {
    /// None was given.
    Absent,
    /// Decimal text in whole units, for example `12.50`.
    Decimal(&'a str),
    /// Decimal text made from a host number by `as_written`; judged like `Decimal`, stamped into the receipt.
    AsWritten(&'a str),
    /// An integer of minor units.
    Minor(i64),
    /// A value that is no amount at all (float, boolean, wrong type): always denied.
    Unreadable,
}

/// The counterparties or resources of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Names<'a> {
    /// None were given.
    Absent,
    /// One name.
    One(&'a str),
    /// A list; an empty one passes optional rules only.
    Many(&'a [&'a str]),
    /// A value that is no name at all (wrong type): always denied.
    Unreadable,
}

impl<'a> Names<'a> {
    /// The names, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (one, many): (Option<&'a str>, &'a [&'a str]) = match *self {
            Self::Absent | Self::Unreadable => (None, &[]),
            Self::One(name) => (Some(name), &[]),
            Self::Many(names) => (None, names),
        };
        one.into_iter().chain(many.iter().copied())
    }
}
