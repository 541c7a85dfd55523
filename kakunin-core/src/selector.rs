//! Values of a Rust program as a request reads them: what the selectors of `#[verify_agent_scope(..)]` may give.
//!
//! Takes in borrowed values, gives out the parts of a request. Each role has a trait of its own, so that a float is no
//! amount and bytes are no name before the program runs. `None` and JSON's null were not given. What cannot be read (an
//! `Err`, JSON of another type, a path that is no text) becomes unreadable, which is denied; it never becomes a zero, an
//! empty list or an absent value. Types of your own may say how they are read by the same traits.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use crate::request::{Amount, Names};
use crate::written;

/// An amount in whole units as decimal text. Numbers have none: see [`SelectedMinor`] and [`SelectedWritten`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no amount: `amount` takes decimal text in whole units",
    label = "no decimal text",
    note = "integers of minor units go through `amount_minor = ..`, numbers that a model wrote through `amount = as_written(..)`; other decimals are written out, `amount = total.to_string()`"
)]
pub trait SelectedAmount {
    /// The amount for the request.
    fn amount(&self) -> Amount<'_>;
}

/// An amount in minor units, an integer.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no amount in minor units: `amount_minor` takes an integer",
    label = "no integer",
    note = "decimal text goes through `amount = ..`, numbers that a model wrote through `amount = as_written(..)`"
)]
pub trait SelectedMinor {
    /// The amount for the request.
    fn minor(&self) -> Amount<'_>;
}

/// An amount in whole units that a model wrote as a number; text counts as it stands.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no number that a model wrote: `as_written` takes `f64`, integers and JSON",
    label = "no number of JSON"
)]
pub trait SelectedWritten {
    /// The number in its one spelling.
    fn written(&self) -> Written<'_>;
}

/// What a model wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written<'a> {
    /// A number that has one decimal text, or none that can be known.
    Number(Option<String>),
    /// Anything else, which is an amount as it is, or none.
    Other(Amount<'a>),
}

/// A currency code.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no currency: `currency` takes a literal such as \"EUR\", or text",
    label = "no text"
)]
pub trait SelectedCurrency {
    /// The code; `None` if there is none, and an empty one if it cannot be read.
    fn currency(&self) -> Option<&str>;
}

/// Counterparties or resources: a name, several, or none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` holds no names: `counterparty` and `resource` take text, or a list of texts",
    label = "no text"
)]
pub trait SelectedNames {
    /// Adds the names.
    fn give<'a>(&'a self, names: &mut GivenNames<'a>);
}

/// One name.
#[diagnostic::on_unimplemented(message = "`{Self}` is no name", label = "no text")]
pub trait SelectedName {
    /// The name, `None` if it is no text.
    fn name(&self) -> Option<&str>;
}

/// The names that selectors gave so far.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GivenNames<'a> {
    /// None were given.
    #[default]
    Absent,
    /// One name.
    One(&'a str),
    /// A list.
    Many(Vec<&'a str>),
    /// Something that is no name: it stays so, whatever else is given.
    Unreadable,
}

impl<'a> GivenNames<'a> {
    /// Adds a name; `None` is one that cannot be read.
    #[inline]
    pub fn add(&mut self, name: Option<&'a str>) {
        match (&*self, name) {
            (Self::Absent, Some(name)) => *self = Self::One(name),
            _ => self.add_to_others(name),
        }
    }

    fn add_to_others(&mut self, name: Option<&'a str>) {
        *self = match (std::mem::take(self), name) {
            (Self::Absent, Some(name)) => Self::One(name),
            (Self::One(first), Some(name)) => Self::Many(vec![first, name]),
            (Self::Many(mut names), Some(name)) => {
                names.push(name);
                Self::Many(names)
            }
            (Self::Unreadable, _) | (_, None) => Self::Unreadable,
        };
    }

    /// Says that what follows is a list, which may be empty.
    pub fn list(&mut self) {
        *self = match std::mem::take(self) {
            Self::Absent => Self::Many(Vec::new()),
            Self::One(name) => Self::Many(vec![name]),
            given => given,
        };
    }

    /// The names for a request.
    #[must_use]
    #[inline]
    pub fn names(&self) -> Names<'_> {
        match self {
            Self::Absent => Names::Absent,
            Self::One(name) => Names::One(name),
            Self::Many(names) => Names::Many(names),
            Self::Unreadable => Names::Unreadable,
        }
    }
}

/// Text in each of the types that hold it.
macro_rules! texts {
    ($($text:ty),*) => {$(
        impl SelectedAmount for $text {
            #[inline]
            fn amount(&self) -> Amount<'_> {
                Amount::Decimal(self)
            }
        }
        impl SelectedWritten for $text {
            fn written(&self) -> Written<'_> {
                Written::Other(Amount::Decimal(self))
            }
        }
        impl SelectedCurrency for $text {
            #[inline]
            fn currency(&self) -> Option<&str> {
                Some(self)
            }
        }
        impl SelectedName for $text {
            #[inline]
            fn name(&self) -> Option<&str> {
                Some(self)
            }
        }
        impl SelectedNames for $text {
            #[inline]
            fn give<'a>(&'a self, names: &mut GivenNames<'a>) {
                names.add(Some(self));
            }
        }
    )*};
}

texts!(str, String, Cow<'_, str>);

/// Paths as text, for resources; one that is no UTF-8 is no name.
macro_rules! paths {
    ($($path:ty),*) => {$(
        impl SelectedName for $path {
            fn name(&self) -> Option<&str> {
                <$path as AsRef<OsStr>>::as_ref(self).to_str()
            }
        }
        impl SelectedNames for $path {
            fn give<'a>(&'a self, names: &mut GivenNames<'a>) {
                names.add(self.name());
            }
        }
    )*};
}

paths!(Path, PathBuf, OsStr, OsString);

/// Integers of minor units; what does not fit is no amount.
macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl SelectedMinor for $integer {
            #[inline]
            fn minor(&self) -> Amount<'_> {
                i64::try_from(*self).map_or(Amount::Unreadable, Amount::Minor)
            }
        }
        impl SelectedWritten for $integer {
            fn written(&self) -> Written<'_> {
                Written::Number(i64::try_from(*self).ok().and_then(written::integer))
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);

impl SelectedWritten for f64 {
    fn written(&self) -> Written<'_> {
        Written::Number(written::float(*self))
    }
}

/// A pointer gives what it points at, an `Option` or `Result` what it holds.
macro_rules! held {
    ($role:ident, $method:ident, $given:ty, $absent:expr, $unreadable:expr) => {
        held!(pointer $role, $method, $given, [&T, Box<T>, Arc<T>, Rc<T>]);
        impl<T: $role> $role for Option<T> {
            #[inline]
            fn $method(&self) -> $given {
                self.as_ref().map_or($absent, T::$method)
            }
        }
        impl<T: $role, E> $role for Result<T, E> {
            #[inline]
            fn $method(&self) -> $given {
                self.as_ref().map_or($unreadable, T::$method)
            }
        }
    };
    (pointer $role:ident, $method:ident, $given:ty, [$($pointer:ty),*]) => {$(
        impl<T: $role + ?Sized> $role for $pointer {
            #[inline]
            fn $method(&self) -> $given {
                (**self).$method()
            }
        }
    )*};
}

held!(SelectedAmount, amount, Amount<'_>, Amount::Absent, Amount::Unreadable);
held!(SelectedMinor, minor, Amount<'_>, Amount::Absent, Amount::Unreadable);
held!(
    SelectedWritten,
    written,
    Written<'_>,
    Written::Other(Amount::Absent),
    Written::Other(Amount::Unreadable)
);
held!(SelectedCurrency, currency, Option<&str>, None, UNREADABLE_CURRENCY);
held!(pointer SelectedName, name, Option<&str>, [&T, Box<T>, Arc<T>, Rc<T>]);

macro_rules! pointers_to_names {
    ($($pointer:ty),*) => {$(
        impl<T: SelectedNames + ?Sized> SelectedNames for $pointer {
            #[inline]
            fn give<'a>(&'a self, names: &mut GivenNames<'a>) {
                (**self).give(names);
            }
        }
    )*};
}

pointers_to_names!(&T, Box<T>, Arc<T>, Rc<T>);

impl<T: SelectedNames> SelectedNames for Option<T> {
    fn give<'a>(&'a self, names: &mut GivenNames<'a>) {
        if let Some(given) = self {
            given.give(names);
        }
    }
}

impl<T: SelectedNames, E> SelectedNames for Result<T, E> {
    fn give<'a>(&'a self, names: &mut GivenNames<'a>) {
        match self {
            Ok(given) => given.give(names),
            Err(_) => names.add(None),
        }
    }
}

fn give_all<'a, T: SelectedName + 'a>(list: impl IntoIterator<Item = &'a T>, names: &mut GivenNames<'a>) {
    names.list();
    for item in list {
        names.add(item.name());
    }
}

macro_rules! lists {
    ($([$($parameter:tt)*] $list:ty),*) => {$(
        impl<T: SelectedName, $($parameter)*> SelectedNames for $list {
            fn give<'a>(&'a self, names: &mut GivenNames<'a>) {
                give_all(self.iter(), names);
            }
        }
    )*};
}

lists!([] [T], [] Vec<T>, [] VecDeque<T>, [] BTreeSet<T>, [S] HashSet<T, S>, [const N: usize] [T; N]);

impl SelectedAmount for Value {
    fn amount(&self) -> Amount<'_> {
        match self {
            Self::Null => Amount::Absent,
            Self::String(text) => Amount::Decimal(text),
            _ => Amount::Unreadable,
        }
    }
}

impl SelectedMinor for Value {
    fn minor(&self) -> Amount<'_> {
        match self {
            Self::Null => Amount::Absent,
            other => other.as_i64().map_or(Amount::Unreadable, Amount::Minor),
        }
    }
}

/// A number of JSON counts as `serde_json` has read it, which is what the function is given, too.
impl SelectedWritten for Value {
    fn written(&self) -> Written<'_> {
        let Self::Number(number) = self else { return Written::Other(self.amount()) };
        Written::Number(match number.as_i64() {
            Some(integer) => written::integer(integer),
            None if number.is_u64() => None,
            None => number.as_f64().and_then(written::float),
        })
    }
}

impl SelectedCurrency for Value {
    fn currency(&self) -> Option<&str> {
        if self.is_null() { None } else { self.as_str().or(UNREADABLE_CURRENCY) }
    }
}

impl SelectedName for Value {
    fn name(&self) -> Option<&str> {
        self.as_str()
    }
}

impl SelectedNames for Value {
    fn give<'a>(&'a self, names: &mut GivenNames<'a>) {
        match self {
            Self::Null => {}
            Self::Array(list) => give_all(list, names),
            other => names.add(other.as_str()),
        }
    }
}

/// Malformed, so it is denied as such; an absent one might be another case.
const UNREADABLE_CURRENCY: Option<&str> = Some("");

#[cfg(test)]
mod tests {
    use super::*;

    fn names<T: SelectedNames + ?Sized>(value: &T) -> GivenNames<'_> {
        let mut given = GivenNames::default();
        value.give(&mut given);
        given
    }

    #[test]
    fn only_none_and_null_were_not_given() {
        let none = None::<String>;
        assert_eq!(
            (none.amount(), none.currency(), names(&none)),
            (Amount::Absent, None, GivenNames::Absent)
        );
        let null = Value::Null;
        assert_eq!((null.amount(), null.minor()), (Amount::Absent, Amount::Absent));
        assert_eq!((null.currency(), names(&null)), (None, GivenNames::Absent));
        assert_eq!(null.written(), Written::Other(Amount::Absent));
        assert_eq!(names(&Vec::<String>::new()), GivenNames::Many(Vec::new()));
        assert_eq!(names(&serde_json::json!([])), GivenNames::Many(Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_is_never_absent() {
        let wrong = Err::<String, ()>(());
        assert_eq!((wrong.amount(), wrong.currency()), (Amount::Unreadable, Some("")));
        assert_eq!(
            (wrong.written(), names(&wrong)),
            (Written::Other(Amount::Unreadable), GivenNames::Unreadable)
        );
        for json in [serde_json::json!(true), serde_json::json!({"a": "b"}), serde_json::json!(["12.50"])] {
            assert_eq!((json.amount(), json.minor()), (Amount::Unreadable, Amount::Unreadable), "{json}");
            assert_eq!(
                (json.written(), json.currency()),
                (Written::Other(Amount::Unreadable), Some("")),
                "{json}"
            );
        }
        for json in [
            serde_json::json!(true),
            serde_json::json!({"a": "b"}),
            serde_json::json!(["acme", 7]),
            serde_json::json!(["acme", null]),
        ] {
            assert_eq!(names(&json), GivenNames::Unreadable, "{json}");
        }
        assert_eq!(serde_json::json!(12.5).amount(), Amount::Unreadable);
        assert_eq!(serde_json::json!(12.5).minor(), Amount::Unreadable);
        assert_eq!(serde_json::json!(u64::MAX).minor(), Amount::Unreadable);
        assert_eq!(serde_json::json!(u64::MAX).written(), Written::Number(None));
        assert_eq!((u64::MAX.minor(), i128::MIN.minor()), (Amount::Unreadable, Amount::Unreadable));
        assert_eq!((f64::NAN.written(), 1e300.written()), (Written::Number(None), Written::Number(None)));
        use std::os::unix::ffi::OsStrExt as _;
        assert_eq!(names(Path::new(OsStr::from_bytes(b"/a/\xff"))), GivenNames::Unreadable);
    }

    #[test]
    fn several_selectors_are_one_list_and_a_stranger_to_text_spoils_it() {
        let mut given = GivenNames::default();
        None::<&str>.give(&mut given);
        "acme".give(&mut given);
        assert_eq!(given, GivenNames::One("acme"));
        let more = ["b", "c"].map(String::from);
        let some = Some(&more);
        some.give(&mut given);
        assert_eq!(given.names(), Names::Many(&["acme", "b", "c"]));
        Err::<&str, ()>(()).give(&mut given);
        "d".give(&mut given);
        more.give(&mut given);
        assert_eq!(given, GivenNames::Unreadable);
    }

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let number = |text: &str| Written::Number(Some(text.to_owned()));
        assert_eq!(serde_json::json!(12.5).written(), number("12.5"));
        assert_eq!(serde_json::json!(125).written(), number("125"));
        assert_eq!((7_u8.written(), 0.1.written()), (number("7"), number("0.1")));
        assert_eq!(serde_json::json!("1.50").written(), Written::Other(Amount::Decimal("1.50")));
        assert_eq!((5_u32.minor(), Some(&-5_i64).minor()), (Amount::Minor(5), Amount::Minor(-5)));
    }
}
