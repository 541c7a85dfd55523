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

/// What the fields of a request say of its content. Nobody signs them, and a parser behind the gateway may go by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// That it is JSON of UTF-8, in the one way that everybody reads alike.
    Json,
    /// That it is something else, or nothing at all.
    Other,
    /// Something of which one parser makes this JSON and another one that, or none: it cannot be judged.
    Doubtful,
}

impl Said {
    /// Goes through the fields of a request: names in any case, each line on its own.
    ///
    /// It is JSON if there is one `content-type`, `application/json` or `application/..+json`, alone or with `charset=utf-8`, and no
    /// `content-encoding` but `identity`. A type in which `json` stands in any other way, or that is encoded, is doubtful.
    pub fn of<'f>(fields: impl IntoIterator<Item = (&'f str, &'f [u8])>) -> Self {
        let (mut types, mut like, mut plain, mut encoded) = (0, false, false, false);
        for (name, value) in fields {
            if name.eq_ignore_ascii_case("content-type") {
                types += 1;
                like |= value.to_ascii_lowercase().windows(4).any(|word| word == b"json");
                plain = std::str::from_utf8(value).is_ok_and(is_plain);
            } else if name.eq_ignore_ascii_case("content-encoding") {
                encoded |= !value.trim_ascii().eq_ignore_ascii_case(b"identity");
            }
        }
        match (like, plain && types == 1 && !encoded) {
            (_, true) => Self::Json,
            (true, false) => Self::Doubtful,
            (false, false) => Self::Other,
        }
    }

    /// One word for other languages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Other => "other",
            Self::Doubtful => "doubtful",
        }
    }
}

/// Whether a type is matched whole by `application/json` or `application/..+json`, alone or with `charset=utf-8`.
fn is_plain(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let (kind, parameter) = match text.split_once(';') {
        Some((kind, parameter)) => (kind.trim_end_matches([' ', '\t']), Some(parameter)),
        None => (text.as_str(), None),
    };
    let Some(subtype) = kind.strip_prefix("application/") else { return false };
    let is_token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.-".contains(&byte))
    };
    let is_json = subtype == "json" || subtype.strip_suffix("+json").is_some_and(is_token);
    is_json
        && parameter.is_none_or(|parameter| {
            let parameter = parameter.trim_start_matches([' ', '\t']);
            let charset = parameter.strip_prefix("charset=");
            charset.is_some_and(|charset| matches!(charset, "utf-8" | "utf8" | "\"utf-8\"" | "\"utf8\""))
        })
}

/// A body that cannot be read, or has not what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

impl JsonError {
    /// A body whose fields do not say plainly what it is.
    #[cfg(feature = "tower")]
    pub(crate) fn no_json() -> Self {
        Self("the content type does not say plainly that this is JSON".to_owned())
    }
}

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
    fn a_content_is_json_where_its_type_says_so_in_one_way_and_doubtful_where_it_nearly_does() {
        let said = |types: &[&str]| Said::of(types.iter().map(|text| ("Content-Type", text.as_bytes())));
        for plain in [
            "application/json",
            "Application/JSON",
            "application/problem+json",
            "application/vnd.acme.pay-v1+json",
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
            "application/json \t; \tcharset=\"utf-8\"",
            "application/json;charset=utf8",
        ] {
            assert_eq!(said(&[plain]), Said::Json, "{plain}");
        }
        for doubtful in [
            "text/json",
            "application/x-json",
            "application/json;",
            "application/json; charset=utf-7",
            "application/json; charset=utf-16",
            "application/json; charset = utf-8",
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; charset=utf-8; v=1",
            "application/json; v=\"; charset=utf-7\"",
            "application/json; charset='utf-8'",
            "application/json; charset=\"utf-8",
            "application/json, text/plain",
            "application/json ",
            " application/json",
            "application/+json",
            "application/a b+json",
            "application/json+zip",
            "multipart/form-data; boundary=json",
            "text/plain; x=application/json",
        ] {
            assert_eq!(said(&[doubtful]), Said::Doubtful, "{doubtful}");
        }
        for other in
            ["", "text/plain", "application/x-www-form-urlencoded", "application/jso", "application/cbor"]
        {
            assert_eq!(said(&[other]), Said::Other, "{other}");
        }
        assert_eq!(said(&[]), Said::Other);
        assert_eq!(said(&["application/json", "application/json"]), Said::Doubtful);
        assert_eq!(said(&["text/plain", "application/json"]), Said::Doubtful);
        let of = |pairs: &[(&str, &[u8])]| Said::of(pairs.iter().copied());
        let json: (&str, &[u8]) = ("content-type", b"application/json");
        assert_eq!(of(&[json, ("CONTENT-ENCODING", b" Identity ")]), Said::Json);
        assert_eq!(of(&[json, ("content-encoding", b"gzip")]), Said::Doubtful);
        assert_eq!(of(&[json, ("content-encoding", b"identity, br")]), Said::Doubtful);
        assert_eq!(of(&[("content-encoding", b"gzip")]), Said::Other);
        assert_eq!(of(&[("content-type", b"application/json\xff")]), Said::Doubtful);
    }

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
