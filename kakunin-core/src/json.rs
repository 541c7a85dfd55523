//! The one spelling of JSON that is signed here: flat, sorted, exact.
//!
//! No white space, no escapes, no null, no false, no float, no negative number, keys ascending by their octets and
//! never twice, text in printable ASCII, integers that a double holds. The reader refuses everything else, so there
//! is nothing a second implementation could understand differently. Both borrow; neither knows any receipt or item of a feed.

use crate::base64::push_base64url;
use crate::digest::Digest;

/// Writes one object; members must come in ascending order, which the reader of every test insists on.
pub(crate) struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl<'a> ObjectWriter<'a> {
    pub(crate) const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, separator: b'{' }
    }

    fn key(&mut self, key: &str) {
        self.out.push(self.separator);
        self.separator = b',';
        self.quoted(key.as_bytes());
        self.out.push(b':');
    }

    fn quoted(&mut self, text: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(text);
        self.out.push(b'"');
    }

    fn quoted_digest(&mut self, digest: &Digest) {
        self.out.push(b'"');
        push_base64url(self.out, digest.as_bytes());
        self.out.push(b'"');
    }

    fn hexadecimal(&mut self, bytes: &[u8]) {
        for byte in bytes {
            for nibble in [byte >> 4, byte & 15] {
                self.out.push(hex_digit(nibble));
            }
        }
    }

    fn decimal(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
            used += 1;
            if number == 0 {
                break;
            }
        }
        self.out.extend(digits.iter().skip(digits.len() - used));
    }

    /// A text member; the caller brings [`is_plain`] text.
    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.quoted(value.as_bytes());
    }

    pub(crate) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.decimal(value.min(MAX_NUMBER));
    }

    pub(crate) fn digest(&mut self, key: &str, value: &Digest) {
        self.key(key);
        self.quoted_digest(value);
    }

    pub(crate) fn digests<'d>(&mut self, key: &str, values: impl Iterator<Item = &'d Digest>) {
        self.key(key);
        self.out.push(b'[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.quoted_digest(value);
        }
        self.out.push(b']');
    }

    pub(crate) fn hex(&mut self, key: &str, bytes: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        self.hexadecimal(bytes);
        self.out.push(b'"');
    }

    /// Sixteen bytes in hexadecimal, a colon and a decimal number: `mono`.
    pub(crate) fn hex_and_number(&mut self, key: &str, bytes: &[u8], number: u64) {
        self.key(key);
        self.out.push(b'"');
        self.hexadecimal(bytes);
        self.out.push(b':');
        self.decimal(number);
        self.out.push(b'"');
    }

    /// A big-endian number in hexadecimal without leading zeros.
    pub(crate) fn hex_number(&mut self, key: &str, octets: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        let nibbles = octets.iter().flat_map(|octet| [octet >> 4, octet & 15]);
        let mut digits = nibbles.skip_while(|nibble| *nibble == 0).peekable();
        if digits.peek().is_none() {
            self.out.push(b'0');
        }
        for digit in digits {
            self.out.push(hex_digit(digit));
        }
        self.out.push(b'"');
    }

    pub(crate) fn yes(&mut self, key: &str) {
        self.key(key);
        self.out.extend_from_slice(b"true");
    }

    pub(crate) fn object(&mut self, key: &str, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.key(key);
        let mut inner = ObjectWriter::new(self.out);
        fill(&mut inner);
        inner.close();
    }

    /// A list of objects, one filled for each of `items`.
    pub(crate) fn objects<I>(
        &mut self,
        key: &str,
        items: impl Iterator<Item = I>,
        fill: impl Fn(&mut ObjectWriter<'_>, I),
    ) {
        self.key(key);
        self.out.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            let mut inner = ObjectWriter::new(self.out);
            fill(&mut inner, item);
            inner.close();
        }
        self.out.push(b']');
    }

    pub(crate) fn close(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}

/// One value of the exact form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Number(u64),
    Yes,
    List(Vec<Self>),
    Object(Object<'a>),
}

/// The members of an object; taking them one by one shows in the end whether it held any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object<'a>(Vec<(&'a str, Value<'a>)>);

impl<'a> Object<'a> {
    /// Reads `text` wholly: a payload, an object in it, a list or text in that.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, NotExact> {
        Self::parse_within(text, DEPTH)
    }

    /// Reads `text` wholly, with values in `depth` layers.
    pub(crate) fn parse_within(text: &'a [u8], depth: u8) -> Result<Self, NotExact> {
        let mut reader = Reader { text, at: 0 };
        match reader.value(depth)? {
            Value::Object(object) if reader.at == text.len() => Ok(object),
            _ => Err(reader.refuse()),
        }
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<Value<'a>> {
        let index = self.0.iter().position(|(name, _)| *name == key)?;
        Some(self.0.remove(index).1)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was not taken, where the keys are names and not known before.
    pub(crate) fn into_members(self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.0.into_iter()
    }
}

/// Bytes that are not in the exact form, and where they leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotExact {
    pub(crate) at: usize,
}

/// Whether `text` may stand in a signed text member as it is.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'\\')
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + (nibble & 15) - 10 }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    const fn refuse(&self) -> NotExact {
        NotExact { at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotExact> {
        if self.peek() != Some(byte) {
            return Err(self.refuse());
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, depth: u8) -> Result<Value<'a>, NotExact> {
        let deeper = depth.checked_sub(1).ok_or(self.refuse())?;
        match self.peek() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => {
                for byte in b"true" {
                    self.expect(*byte)?;
                }
                Ok(Value::Yes)
            }
            Some(b'[') => self.list(deeper),
            Some(b'{') => self.members(deeper),
            _ => Err(self.refuse()),
        }
    }

    fn string(&mut self) -> Result<&'a str, NotExact> {
        self.expect(b'"')?;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|b| *b == b'"').ok_or(self.refuse())?;
        let text = rest.get(..length).and_then(|t| std::str::from_utf8(t).ok()).filter(|t| is_plain(t));
        let text = text.ok_or(self.refuse())?;
        self.at += length + 1;
        Ok(text)
    }

    fn number(&mut self) -> Result<u64, NotExact> {
        let start = self.at;
        let mut number: u64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let grown = number.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit - b'0')));
            number = grown.filter(|n| *n <= MAX_NUMBER).ok_or(self.refuse())?;
            self.at += 1;
        }
        if self.at - start > 1 && self.text.get(start) == Some(&b'0') {
            return Err(NotExact { at: start });
        }
        Ok(number)
    }

    fn list(&mut self, depth: u8) -> Result<Value<'a>, NotExact> {
        self.expect(b'[')?;
        let mut items = Vec::new();
        if self.peek() != Some(b']') {
            items.push(self.value(depth)?);
            while self.peek() == Some(b',') {
                self.at += 1;
                items.push(self.value(depth)?);
            }
        }
        self.expect(b']')?;
        Ok(Value::List(items))
    }

    fn members(&mut self, depth: u8) -> Result<Value<'a>, NotExact> {
        self.expect(b'{')?;
        let mut members: Vec<(&'a str, Value<'a>)> = Vec::new();
        if self.peek() != Some(b'}') {
            loop {
                let at = self.at;
                let key = self.string()?;
                if members.last().is_some_and(|(last, _)| *last >= key) {
                    return Err(NotExact { at });
                }
                self.expect(b':')?;
                members.push((key, self.value(depth)?));
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
            }
        }
        self.expect(b'}')?;
        Ok(Value::Object(Object(members)))
    }
}

/// The largest integer that every JSON reader keeps exact (RFC 8259 section 6).
pub(crate) const MAX_NUMBER: u64 = (1 << 53) - 1;

/// A payload, an object in it, a list or text in that.
const DEPTH: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_form_is_read() {
        for right in [r"{}", r#"{"a":0,"b":"x","c":true,"d":[1,"y"],"e":{"f":9007199254740991}}"#] {
            assert!(Object::parse(right.as_bytes()).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "[]",
            "1",
            r#"{"a":1} "#,
            r#" {"a":1}"#,
            r#"{"a": 1}"#,
            r#"{"b":1,"a":2}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":-1}"#,
            r#"{"a":01}"#,
            r#"{"a":null}"#,
            r#"{"a":false}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":99999999999999999999999}"#,
            r#"{"a":"\u0041"}"#,
            r#"{"a":"é"}"#,
            "{\"a\":\"\u{0}\"}",
            r#"{"a":1,}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":[[[1]]]}"#,
            r#"{"a""#,
            "\u{feff}{}",
        ] {
            assert!(Object::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut out = Vec::new();
        let mut object = ObjectWriter::new(&mut out);
        object.number("a", u64::MAX);
        object.hex_and_number("b", &[0xab; 2], 10);
        object.digests("c", [Digest::of(b"x")].iter());
        object.object("d", |_| {});
        object.hex_number("e", &[0, 0x1, 0xf0]);
        object.yes("f");
        object.close();
        let mut read = Object::parse(&out).unwrap();
        assert_eq!(read.take("a"), Some(Value::Number(MAX_NUMBER)));
        assert_eq!(read.take("b"), Some(Value::Text("abab:10")));
        assert_eq!(read.take("e"), Some(Value::Text("1f0")));
        assert!(read.take("c").is_some() && read.take("d").is_some() && read.take("f").is_some());
        assert!(read.is_empty());
    }
}
