//! Values that a receipt only commits to, so that they can be forgotten without breaking it.
//!
//! In the manner of SD-JWT (RFC 9901 section 4.2): a disclosure is base64url of the JSON array `[salt, name, value]`,
//! the commitment is SHA-256 of that text. Salt and value lie beside the receipt and never in it; deleting
//! them leaves every signature intact and nothing to guess from.

use serde_json::Value;

use crate::base64::{push_base64url, read_base64url};
use crate::digest::Digest;
use crate::request::{Amount, Names};

/// A value that a receipt commits to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Member<'a> {
    Amount(Amount<'a>),
    Currency(&'a str),
    Counterparties(Names<'a>),
    Resources(Names<'a>),
    Output(Digest),
}

impl Member<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Amount(_) => "amount",
            Self::Currency(_) => "currency",
            Self::Counterparties(_) => "counterparties",
            Self::Resources(_) => "resources",
            Self::Output(_) => "output",
        }
    }

    /// Appends the value as JSON: text as given, minor units as a number, `false` for a value that was none.
    fn write_value(&self, out: &mut Vec<u8>) {
        match self {
            Self::Amount(Amount::Decimal(text) | Amount::AsWritten(text)) | Self::Currency(text) => {
                write_text(out, text);
            }
            Self::Amount(Amount::Minor(minor)) => out.extend_from_slice(minor.to_string().as_bytes()),
            Self::Amount(Amount::Unreadable | Amount::Absent) => out.extend_from_slice(b"false"),
            Self::Counterparties(names) | Self::Resources(names) => match names {
                Names::Absent | Names::Unreadable => out.extend_from_slice(b"false"),
                Names::One(name) => write_text(out, name),
                Names::Many(names) => {
                    out.push(b'[');
                    for (index, name) in names.iter().enumerate() {
                        if index > 0 {
                            out.push(b',');
                        }
                        write_text(out, name);
                        if out.len() > 2 * MAX_VALUE {
                            break;
                        }
                    }
                    out.push(b']');
                }
            },
            Self::Output(digest) => write_text(out, &digest.to_hex()),
        }
    }
}

/// Appends the disclosure of `member` to `out` and gives the commitment to it; `scratch` is overwritten.
pub(crate) fn write_disclosure(
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    salt: &[u8; SALT_LENGTH],
    member: &Member<'_>,
) -> Digest {
    scratch.clear();
    scratch.extend_from_slice(b"[\"");
    push_base64url(scratch, salt);
    scratch.extend_from_slice(b"\",\"");
    scratch.extend_from_slice(member.name().as_bytes());
    scratch.extend_from_slice(b"\",");
    let value = scratch.len();
    member.write_value(scratch);
    if scratch.len() - value > MAX_VALUE {
        // Such a request is denied in any case; its digest still tells two of them apart.
        let digest = Digest::of(scratch.get(value..).unwrap_or_default());
        scratch.truncate(value);
        scratch.extend_from_slice(format!(r#"{{"sha256":"{digest}"}}"#).as_bytes());
    }
    scratch.push(b']');
    let start = out.len();
    push_base64url(out, scratch);
    Digest::of(out.get(start..).unwrap_or_default())
}

/// A value with the salt that hid it.
#[derive(Clone, Debug, PartialEq)]
pub struct Disclosure {
    text: String,
    digest: Digest,
    name: String,
    value: Value,
}

impl Disclosure {
    /// Reads the base64url text of a disclosure.
    ///
    /// # Errors
    /// [`DisclosureError`] when it is not an array of a 16-byte salt, a name and a value.
    pub fn parse(text: &[u8]) -> Result<Self, DisclosureError> {
        let digest = Digest::of(text);
        let text = std::str::from_utf8(text).map_err(|_| DisclosureError)?;
        let json = read_base64url(text.as_bytes()).ok_or(DisclosureError)?;
        let (salt, name, value): (String, String, Value) =
            serde_json::from_slice(&json).map_err(|_| DisclosureError)?;
        let salt = read_base64url(salt.as_bytes()).ok_or(DisclosureError)?;
        if salt.len() != SALT_LENGTH {
            return Err(DisclosureError);
        }
        Ok(Self { text: text.to_owned(), digest, name, value })
    }

    /// The base64url text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The commitment a receipt must carry for this disclosure to belong to it.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What the value is: `amount`, `currency`, `counterparties`, `resources` or `output`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value: text, a list of texts, an integer of minor units, `false` for a value that was none, or an object
    /// with the SHA-256 of a value that was too long to keep.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }
}

/// Text that is no disclosure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a disclosure")]
pub struct DisclosureError;

fn write_text(out: &mut Vec<u8>, text: &str) {
    // INVARIANT: writing text into a vector cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// RFC 9901 section 9.3 recommends 128 bits.
pub(crate) const SALT_LENGTH: usize = 16;

/// Longer values are replaced by their digest: 1,000 names of 16 bytes still fit.
const MAX_VALUE: usize = 20 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn disclose(member: Member<'_>) -> Disclosure {
        let (mut out, mut scratch) = (Vec::new(), Vec::new());
        let digest = write_disclosure(&mut out, &mut scratch, &[7; SALT_LENGTH], &member);
        let disclosure = Disclosure::parse(&out).unwrap();
        assert_eq!(disclosure.digest(), &digest);
        disclosure
    }

    #[test]
    fn values_are_kept_exactly_as_the_caller_said_them() {
        let value = |member| disclose(member).value().clone();
        assert_eq!(value(Member::Amount(Amount::Decimal("12.50"))), "12.50");
        assert_eq!(value(Member::Amount(Amount::Minor(-1))), -1);
        assert_eq!(value(Member::Amount(Amount::Unreadable)), false);
        assert_eq!(value(Member::Currency("E\"U\u{0}R\\")), "E\"U\u{0}R\\");
        assert_eq!(value(Member::Counterparties(Names::One("é"))), "é");
        assert_eq!(value(Member::Resources(Names::Many(&["a", "b"]))), serde_json::json!(["a", "b"]));
        assert_eq!(value(Member::Resources(Names::Many(&[]))), serde_json::json!([]));
    }

    /// The table that every language has to agree on; wire 4.2 says how it is made.
    #[test]
    fn values_are_committed_to_as_in_every_language() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/values.json");
        let table: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let values = table.get("values").unwrap().as_array().unwrap();
        assert!(values.len() > 20);
        for vector in values {
            let text = |member: &str| vector.get(member).unwrap().as_str().unwrap();
            let salt = read_base64url(text("salt").as_bytes()).unwrap().try_into().unwrap();
            let value = vector.get("value").unwrap();
            let several: Vec<&str> =
                value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let names = value.as_str().map_or(Names::Many(&several), Names::One);
            let (mut out, mut scratch) = (Vec::new(), Vec::new());
            let digest = write_disclosure(&mut out, &mut scratch, &salt, &Member::Counterparties(names));
            assert_eq!(out, text("disclosure").as_bytes(), "{}", text("name"));
            assert_eq!(digest.to_base64url(), text("commitment"), "{}", text("name"));
            assert_eq!(Disclosure::parse(&out).unwrap().value(), value);
        }
    }

    #[test]
    fn a_value_too_long_to_keep_becomes_its_digest() {
        let long = "x".repeat(1_000_000);
        let disclosure = disclose(Member::Counterparties(Names::One(&long)));
        assert!(disclosure.value().get("sha256").is_some());
        let many = vec!["name"; 1_000_000];
        assert!(disclose(Member::Resources(Names::Many(&many))).value().get("sha256").is_some());
    }

    #[test]
    fn the_same_value_under_another_salt_is_another_commitment() {
        let (mut out, mut scratch) = (Vec::new(), Vec::new());
        let member = Member::Currency("EUR");
        let one = write_disclosure(&mut out, &mut scratch, &[1; SALT_LENGTH], &member);
        assert_ne!(one, write_disclosure(&mut out, &mut scratch, &[2; SALT_LENGTH], &member));
    }
}
