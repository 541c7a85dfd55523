//! JSON of a request, read once and in one way: a name that stands twice in an object means two things to two readers.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads `body`, and nothing behind it, refusing objects in which a name stands twice.
///
/// # Errors
/// [`JsonError`]: where it is no such JSON.
pub fn strict(body: &[u8]) -> Result<Value, JsonError> {
    serde_json::from_slice(body).map(|Strict(value)| value).map_err(|error| JsonError(error.to_string()))
}

/// The text at `path`, names with dots between them; anything else that stands there is no text.
///
/// # Errors
/// [`JsonError`] when there is none.
pub fn text<'v>(value: &'v Value, path: &str) -> Result<&'v str, JsonError> {
    let found = path.split('.').try_fold(value, |value, name| value.as_object()?.get(name));
    found.and_then(Value::as_str).ok_or_else(|| JsonError(format!("there is no text `{path}`")))
}

/// A body that cannot be read, or has not what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Reader)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Reader)?;
            if object.insert(name.clone(), value).is_some() {
                return Err(serde::de::Error::custom(format!("`{name}` stands there twice")));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_twice_is_refused_at_any_depth_and_in_any_spelling() {
        let good = strict(br#"{"a":{"b":"1.50","c":[1,-2,3.5,null,true]}}"#).unwrap();
        assert_eq!(text(&good, "a.b"), Ok("1.50"));
        assert_eq!(serde_json::from_slice::<Value>(&serde_json::to_vec(&good).unwrap()).unwrap(), good);
        for path in ["", "a", "b", "a.c", "a.b.x", "a..b"] {
            assert!(text(&good, path).is_err(), "{path}");
        }
        for wrong in [
            &br#"{"a":1,"a":1}"#[..],
            br#"{"x":[{"a":1,"\u0061":2}]}"#,
            br#"{"a":1} {"a":2}"#,
            br#"{"a":1,}"#,
            b"{\"a\":\"\xff\"}",
            b"",
        ] {
            assert!(strict(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
