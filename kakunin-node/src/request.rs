//! The values of a call as they cross: kinds as numbers, texts as texts.
//!
//! JavaScript says of what type a value was and hands over its text or number. What was of a wrong type is `Unreadable`, which
//! the core denies and records; it never becomes a zero, an empty list or an absent value.

use kakunin_core::request::{ActionRequest, Amount, Names};
use kakunin_core::written;
use napi::bindgen_prelude::Either;

/// A name, or several.
pub(crate) type NameValue = Option<Either<String, Vec<String>>>;

/// What a guarded call asks.
pub(crate) struct Values {
    /// How to read amount and names, see [`Values::kind`].
    pub(crate) shape: u32,
    pub(crate) number: f64,
    pub(crate) amount: Option<String>,
    pub(crate) currency: Option<String>,
    pub(crate) counterparty: NameValue,
    pub(crate) resource: NameValue,
}

impl Values {
    /// The request, put to `act`.
    pub(crate) fn request<T>(
        &self,
        action: &str,
        currency: Option<&str>,
        act: impl FnOnce(&ActionRequest<'_>) -> T,
    ) -> T {
        let written = (self.kind() == WRITTEN).then(|| written::float(self.number)).flatten();
        let (parties, resources) = (texts(&self.counterparty), texts(&self.resource));
        let mut request = ActionRequest::new(action);
        request.amount = match (self.kind(), &self.amount, &written) {
            (ABSENT, None, _) => Amount::Absent,
            (TEXT, Some(text), _) => Amount::Decimal(text),
            (WRITTEN, None, Some(text)) => Amount::AsWritten(text),
            (MINOR, None, _) => minor(self.number),
            (MINOR, Some(text), _) => text.parse().map_or(Amount::Unreadable, Amount::Minor),
            _ => Amount::Unreadable,
        };
        request.currency = currency.or(self.currency.as_deref());
        request.counterparties = self.names(UNREADABLE_PARTY, &self.counterparty, &parties);
        request.resources = self.names(UNREADABLE_RESOURCE, &self.resource, &resources);
        act(&request)
    }

    const fn kind(&self) -> u32 {
        self.shape & KIND
    }

    fn names<'a>(&self, unreadable: u32, value: &'a NameValue, several: &'a [&'a str]) -> Names<'a> {
        match value {
            _ if self.shape & unreadable != 0 => Names::Unreadable,
            None => Names::Absent,
            Some(Either::A(name)) => Names::One(name),
            Some(Either::B(_)) => Names::Many(several),
        }
    }
}

fn texts(value: &NameValue) -> Vec<&str> {
    match value {
        Some(Either::B(names)) => names.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// An integer of minor units that a number of JavaScript holds exactly.
#[inline]
pub(crate) fn minor(number: f64) -> Amount<'static> {
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE {
        Amount::Minor(number as i64)
    } else {
        Amount::Unreadable
    }
}

/// `Number.MAX_SAFE_INTEGER`.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// The bits of a shape that say what the amount is; every other kind is unreadable.
pub(crate) const KIND: u32 = 0b111;
pub(crate) const ABSENT: u32 = 0;
pub(crate) const TEXT: u32 = 1;
pub(crate) const WRITTEN: u32 = 2;
pub(crate) const MINOR: u32 = 3;
/// The counterparty was neither a text nor a list of texts.
const UNREADABLE_PARTY: u32 = 1 << 3;
/// The same of the resource.
const UNREADABLE_RESOURCE: u32 = 1 << 4;
