//! Bodies of requests: strict JSON, and members taken one by one.
//!
//! A member that stands twice is refused, because two readers would see two requests, and so is one that nobody
//! knows: what a client believes to have set must not be dropped without a word.

use std::fmt;

use axum::body::Bytes;
use kakunin_core::time::UnixTime;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::error::Refusal;

/// The members of a body that were not taken yet.
#[derive(Debug)]
pub(crate) struct Members(Map<String, Value>);

impl Members {
    /// Reads a body. An empty one has no members: some clients send nothing where nothing is needed.
    ///
    /// # Errors
    /// [`Refusal`] when it is no JSON object, nests too deep, or names a member twice.
    pub(crate) fn read(body: &Bytes) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Ok(Self(Map::new()));
        }
        match read(body)? {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(Refusal::invalid(
                "the body is no JSON object; send one, with `content-type: application/json`",
            )),
        }
    }

    /// Takes the first of `names` that is there; `null` counts as not there. Two spellings at once are refused.
    ///
    /// # Errors
    /// [`Refusal`] when two of the names are there.
    pub(crate) fn take(&mut self, names: &[&str]) -> Result<Option<Value>, Refusal> {
        let mut found = None;
        for name in names {
            match self.0.remove(*name) {
                None | Some(Value::Null) => {}
                Some(_) if found.is_some() => {
                    let text = format!("`{}` is there in two spellings; send one", names.join("` and `"));
                    return Err(Refusal::invalid(text));
                }
                value => found = value,
            }
        }
        Ok(found)
    }

    /// Takes a text of 1 to `most` characters.
    ///
    /// # Errors
    /// [`Refusal`] when it is something else.
    pub(crate) fn text(&mut self, names: &[&str], most: usize) -> Result<Option<String>, Refusal> {
        let name = names.first().unwrap_or(&"");
        match self.take(names)? {
            None => Ok(None),
            Some(Value::String(text)) if (1..=most).contains(&text.chars().count()) => Ok(Some(text)),
            Some(_) => Err(Refusal::invalid(format!("`{name}` has to be a text of 1 to {most} characters"))),
        }
    }

    /// Takes a whole number from `least` to `most`.
    ///
    /// # Errors
    /// [`Refusal`] when it is something else.
    pub(crate) fn number(&mut self, name: &str, least: u16, most: u16) -> Result<Option<u16>, Refusal> {
        match self.take(&[name])? {
            None => Ok(None),
            Some(value) => {
                let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
                let number = number.filter(|number| (least..=most).contains(number));
                let wrong =
                    || Refusal::invalid(format!("`{name}` has to be a whole number from {least} to {most}"));
                number.map(Some).ok_or_else(wrong)
            }
        }
    }

    /// Takes `true` or `false`; not there is `false`.
    ///
    /// # Errors
    /// [`Refusal`] when it is something else.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.take(&[name])? {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(Refusal::invalid(format!("`{name}` has to be true or false"))),
        }
    }

    /// Takes an instant.
    ///
    /// # Errors
    /// [`Refusal`] when it is something else.
    pub(crate) fn time(&mut self, name: &str) -> Result<Option<UnixTime>, Refusal> {
        let wrong =
            || Refusal::invalid(format!("`{name}` has to be an instant such as 2026-11-23T09:30:00Z"));
        match self.take(&[name])? {
            None => Ok(None),
            Some(Value::String(text)) => UnixTime::parse_rfc3339(&text).map(Some).map_err(|_| wrong()),
            Some(_) => Err(wrong()),
        }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// [`Refusal`] naming what is.
    pub(crate) fn end(self) -> Result<(), Refusal> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Refusal::invalid(format!("`{name}` is not known here; leave it out"))),
        }
    }
}

/// Reads one JSON document.
fn read(bytes: &[u8]) -> Result<Value, Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: MAX_DEPTH }.deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| Refusal::invalid(format!("the body is no JSON that can be used: {error}")))
}

/// Reads a value with at most `depth` levels below it.
#[derive(Clone, Copy)]
struct Strict {
    depth: u8,
}

impl Strict {
    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("it nests too deep"))?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number is out of range"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut members = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format_args!("`{name}` is there twice")));
            }
            let value = entries.next_value_seed(below)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

/// A scope has five levels; metadata of an agent may have more.
const MAX_DEPTH: u8 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Result<Members, Refusal> {
        Members::read(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for good in [
            "",
            "{}",
            r#"{"a":1.5,"b":[true,null,-1,"x"]}"#,
            &format!("{{\"a\":{}", "[".repeat(31) + &"]".repeat(31) + "}"),
        ] {
            assert!(members(good).is_ok(), "{good}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(32), "]".repeat(32));
        let deeper = "[".repeat(60_000);
        for wrong in [
            r#"{"a":1,"a":2}"#,
            r#"{"b":{"a":1,"\u0061":2}}"#,
            "[]",
            "1",
            "{} {}",
            "{\"a\":1e999}",
            "\u{feff}{}",
            &deep,
            &deeper,
        ] {
            assert_eq!(members(wrong).unwrap_err().code, "request.invalid", "{wrong}");
        }
    }

    #[test]
    fn a_member_has_one_spelling_and_none_is_left_unread() {
        let mut both = members(r#"{"modelHash":"a","model_hash":"b"}"#).unwrap();
        assert!(both.text(&["model_hash", "modelHash"], 9).is_err());
        let mut one = members(r#"{"modelHash":"a","model_hash":null}"#).unwrap();
        assert_eq!(one.text(&["model_hash", "modelHash"], 9).unwrap().as_deref(), Some("a"));
        one.end().unwrap();
        assert!(members(r#"{"status":"active"}"#).unwrap().end().is_err());
        assert!(members(r#"{"a":""}"#).unwrap().text(&["a"], 9).is_err());
        assert!(members(r#"{"a":2.0}"#).unwrap().number("a", 1, 9).is_err());
    }
}
