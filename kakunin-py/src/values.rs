//! Python values as a request reads them.
//!
//! Strings are borrowed from their objects. What has the wrong type becomes `Unreadable`, which the core denies and
//! records; it never becomes a zero, an empty list or an absent value. Only `None` is absent.

use kakunin_core::request::{Amount, Names};
use kakunin_core::written;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyFloat, PyFrozenSet, PyInt, PyIterator, PyList, PySet, PyString, PyTuple, PyType,
};

/// How the amount of a function is given; fixed when it is decorated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AmountKind {
    /// Decimal text or `Decimal`.
    Decimal,
    /// An integer of minor units.
    Minor,
    /// A number that a model wrote, in whole units.
    AsWritten,
}

/// An amount, with what its text is borrowed from.
pub(crate) enum AmountValue<'a, 'py> {
    Absent,
    Text(&'a str),
    Made(Bound<'py, PyString>),
    AsWritten(String),
    Minor(i64),
    Unreadable,
}

impl<'a, 'py> AmountValue<'a, 'py> {
    #[inline]
    pub(crate) fn read(value: &'a Bound<'py, PyAny>, kind: AmountKind) -> Self {
        if kind == AmountKind::Minor {
            return Self::minor(value);
        }
        if let Ok(text) = value.cast::<PyString>() {
            // Text that is no UTF-8 (a lone surrogate) is no amount either.
            return text.to_str().map_or(Self::Unreadable, Self::Text);
        }
        if value.is_none() {
            return Self::Absent;
        }
        match plain_decimal(value) {
            Ok(Some(text)) => Self::Made(text),
            Ok(None) if kind == AmountKind::AsWritten => {
                as_written(value).map_or(Self::Unreadable, Self::AsWritten)
            }
            Ok(None) | Err(_) => Self::Unreadable,
        }
    }

    #[inline]
    pub(crate) fn as_amount(&self) -> Amount<'_> {
        match self {
            Self::Absent => Amount::Absent,
            Self::Text(text) => Amount::Decimal(text),
            Self::Made(text) => text.to_str().map_or(Amount::Unreadable, Amount::Decimal),
            Self::AsWritten(text) => Amount::AsWritten(text),
            Self::Minor(minor) => Amount::Minor(*minor),
            Self::Unreadable => Amount::Unreadable,
        }
    }

    fn minor(value: &Bound<'_, PyAny>) -> Self {
        if value.is_none() {
            return Self::Absent;
        }
        // A boolean is an integer in Python and no amount anywhere.
        if value.is_instance_of::<PyBool>() || !value.is_instance_of::<PyInt>() {
            return Self::Unreadable;
        }
        value.extract().map_or(Self::Unreadable, Self::Minor)
    }
}

/// The plain notation of a `Decimal`; `None` for anything else.
fn plain_decimal<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyString>>> {
    static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = DECIMAL.import(value.py(), "decimal", "Decimal")?;
    // Asked of the class: a subclass may print itself rounded, or with its currency.
    let text = if std::ptr::eq(value.get_type_ptr(), class.as_type_ptr()) {
        value.str()?
    } else if value.is_instance(class)? {
        class.call_method1("__str__", (value,))?.cast_into()?
    } else {
        return Ok(None);
    };
    if text.to_str()?.bytes().any(|byte| byte.eq_ignore_ascii_case(&b'e')) {
        // `1E+2` is 100 in plain notation. An exponent can ask for a billion digits, so its size is looked at first.
        let exponent: i64 = class.call_method1("adjusted", (value,))?.extract()?;
        if exponent.abs() <= MAX_EXPONENT {
            return class.call_method1("__format__", (value, "f"))?.cast_into().map(Some).map_err(Into::into);
        }
    }
    Ok(Some(text))
}

/// The text of an integer or float as the core reads it.
pub(crate) fn as_written(value: &Bound<'_, PyAny>) -> Option<String> {
    if value.is_instance_of::<PyBool>() {
        return None;
    }
    if value.is_instance_of::<PyInt>() {
        // What does not fit has more digits than any amount.
        return value.extract().ok().and_then(written::integer);
    }
    // The number itself, whatever a subclass prints.
    value.cast::<PyFloat>().ok().and_then(|float| written::float(float.value()))
}

/// Names, with what their texts are borrowed from.
pub(crate) enum NamesValue<'a, 'py> {
    Absent,
    One(&'a str),
    Many(Vec<Bound<'py, PyString>>),
    Unreadable,
}

impl<'a, 'py> NamesValue<'a, 'py> {
    #[inline]
    pub(crate) fn read(value: &'a Bound<'py, PyAny>) -> Self {
        if let Ok(text) = value.cast::<PyString>() {
            return text.to_str().map_or(Self::Unreadable, Self::One);
        }
        if value.is_none() { Self::Absent } else { Self::several(value) }
    }

    fn several(value: &Bound<'py, PyAny>) -> Self {
        let name = |item: Bound<'py, PyAny>| item.cast_into::<PyString>().ok();
        // What the object holds, whatever a subclass shows to whoever iterates over it.
        let names: Option<Vec<_>> = if let Ok(list) = value.cast::<PyList>() {
            list.iter().map(name).collect()
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            tuple.iter().map(name).collect()
        } else {
            own_items(value).and_then(|items| items.map(|item| name(item.ok()?)).collect())
        };
        names.map_or(Self::Unreadable, Self::Many)
    }

    /// The texts of several names; empty for none or one.
    #[inline]
    pub(crate) fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::Many(names) => names.iter().map(|name| name.to_str().ok()).collect(),
            _ => Some(Vec::new()),
        }
    }

    #[inline]
    pub(crate) fn as_names<'b>(&self, texts: Option<&'b [&'b str]>) -> Names<'b>
    where
        'a: 'b,
    {
        match (self, texts) {
            (Self::Absent, _) => Names::Absent,
            (Self::One(name), _) => Names::One(name),
            (Self::Many(_), Some(texts)) => Names::Many(texts),
            (Self::Many(_), None) | (Self::Unreadable, _) => Names::Unreadable,
        }
    }
}

/// The items of a set, by the method of `set` itself.
fn own_items<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyIterator>> {
    let py = value.py();
    let class = if value.is_instance_of::<PySet>() {
        py.get_type::<PySet>()
    } else if value.is_instance_of::<PyFrozenSet>() {
        py.get_type::<PyFrozenSet>()
    } else {
        return None;
    };
    class.call_method1(intern!(py, "__iter__"), (value,)).ok()?.cast_into().ok()
}

/// A currency: absent, or text. What is no text is malformed, and so is the empty one.
#[inline]
pub(crate) fn currency<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    if value.is_none() {
        return None;
    }
    Some(value.cast::<PyString>().ok().and_then(|text| text.to_str().ok()).unwrap_or(""))
}

/// No amount has more digits than this before or after its point (WIRE: 19 and 18).
const MAX_EXPONENT: i64 = 40;
