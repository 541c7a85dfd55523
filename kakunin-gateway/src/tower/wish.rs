//! What a request asks for, taken out of its head and its proven body.

use kakunin_core::request::{ActionRequest, Amount, Names};

/// What a request asks for, with what it was taken from gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "what is asked for has to be admitted"]
pub struct Wish {
    action: String,
    amount: Sum,
    currency: Option<String>,
    counterparties: Option<Vec<String>>,
    resources: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sum {
    Absent,
    Decimal(String),
    Minor(i64),
    Unreadable,
}

impl Wish {
    /// A wish to do `action`, and nothing more.
    pub fn new(action: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            amount: Sum::Absent,
            currency: None,
            counterparties: None,
            resources: None,
        }
    }

    /// The same moving `amount`, decimal text, of `currency`.
    pub fn amount(self, amount: impl Into<String>, currency: impl Into<String>) -> Self {
        Self { amount: Sum::Decimal(amount.into()), currency: Some(currency.into()), ..self }
    }

    /// The same moving `minor` minor units of `currency`.
    pub fn amount_minor(self, minor: i64, currency: impl Into<String>) -> Self {
        Self { amount: Sum::Minor(minor), currency: Some(currency.into()), ..self }
    }

    /// The same towards one more counterparty.
    pub fn counterparty(mut self, name: impl Into<String>) -> Self {
        self.counterparties.get_or_insert_default().push(name.into());
        self
    }

    /// The same touching one more resource.
    pub fn resource(mut self, name: impl Into<String>) -> Self {
        self.resources.get_or_insert_default().push(name.into());
        self
    }

    /// The same for another action.
    pub(super) fn of(self, action: &str) -> Self {
        Self { action: action.to_owned(), ..self }
    }

    /// A wish that could not be read: it is denied and recorded, whatever the scope says.
    pub(super) fn unreadable(action: &str) -> Self {
        Self { amount: Sum::Unreadable, ..Self::new(action) }
    }

    /// Puts it before whoever decides.
    pub(super) fn put<'w, T>(&'w self, to: impl FnOnce(&ActionRequest<'_>) -> T) -> T {
        let texts = |names: &'w Option<Vec<String>>| -> Option<Vec<&'w str>> {
            Some(names.as_ref()?.iter().map(String::as_str).collect())
        };
        let (parties, resources) = (texts(&self.counterparties), texts(&self.resources));
        to(&ActionRequest {
            action: &self.action,
            amount: match &self.amount {
                Sum::Absent => Amount::Absent,
                Sum::Decimal(text) => Amount::Decimal(text),
                Sum::Minor(minor) => Amount::Minor(*minor),
                Sum::Unreadable => Amount::Unreadable,
            },
            currency: self.currency.as_deref(),
            counterparties: parties.as_deref().map_or(Names::Absent, Names::Many),
            resources: resources.as_deref().map_or(Names::Absent, Names::Many),
        })
    }
}
