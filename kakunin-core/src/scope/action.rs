//! Action names and the patterns that cover them.
//!
//! Names are lower-case ASCII segments `[a-z0-9][a-z0-9._@-]{0,63}` joined by `:`. A pattern is a name, or ends in
//! `:*` for one or more further segments, or is `*` alone. Names are compared as bytes and never folded, so
//! a look-alike letter is another name.

use std::fmt;

/// Most bytes in a name or pattern (the module's `UTF8String (SIZE (1..128))`).
pub(super) const MAX_ACTION: usize = 128;

/// A well-formed action name, borrowed from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionName<'a>(&'a str);

impl<'a> ActionName<'a> {
    /// Reads a name; anything outside the grammar is `None`.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_ACTION {
            return None;
        }
        // One pass without splitting: this runs for every decision.
        let mut length = 0_u8;
        for byte in text.bytes() {
            length = match byte {
                b':' if length > 0 => 0,
                b'a'..=b'z' | b'0'..=b'9' if length < 64 => length + 1,
                b'.' | b'_' | b'@' | b'-' if (1..64).contains(&length) => length + 1,
                _ => return None,
            };
        }
        (length > 0).then_some(Self(text))
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

/// A set of action names: one name, everything under a prefix, or everything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern; anything outside the grammar is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_suffix(":*").unwrap_or(text);
        let shape = text == "*" || (text.len() <= MAX_ACTION && ActionName::parse(name).is_some());
        shape.then(|| Self(text.to_owned()))
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `*`.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// What stands before `*`, colon included; `None` for a single name. `*` alone has the empty prefix.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }

    /// Whether `name` is in this set.
    #[must_use]
    pub fn covers_name(&self, name: &str) -> bool {
        match self.prefix() {
            Some(prefix) => name.len() > prefix.len() && name.starts_with(prefix),
            None => self.0 == name,
        }
    }

    /// Whether every name of `other` is in this set.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        // `a:*` covers `a:*` and `a:b:*`: the star itself stands for the one further segment.
        self.covers_name(&other.0) || self == other
    }

    /// The names in both sets. In this grammar that is one of the two patterns, or nothing.
    #[must_use]
    pub fn meet<'a>(&'a self, other: &'a Self) -> Option<&'a Self> {
        if self.covers(other) {
            Some(other)
        } else if other.covers(self) {
            Some(self)
        } else {
            None
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_the_grammar_are_refused() {
        for right in ["a", "payments:send", "read:a.b_c@d-e:9", &"a".repeat(64)] {
            assert!(ActionName::parse(right).is_some(), "{right}");
        }
        let long = "a:".repeat(80) + "a";
        for wrong in [
            "",
            ":",
            "a:",
            ":a",
            "a::b",
            "write:*",
            "*",
            "Write:x",
            "write:../x",
            "wrіte:x",
            "write：x",
            "a b",
            "a\u{200b}",
            ".a",
            "a:-b",
            &"a".repeat(65),
            &long,
        ] {
            assert!(ActionName::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_star_stands_for_one_or_more_segments() {
        let write = Pattern::parse("write:*").unwrap();
        assert!(write.covers_name("write:a") && write.covers_name("write:a:b"));
        assert!(
            !write.covers_name("write") && !write.covers_name("writes:x") && !write.covers_name("write:")
        );
        for wrong in ["write*", "write:*:x", "**", ":*", "*:a", ""] {
            assert!(Pattern::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_meet_of_two_patterns_is_the_narrower() {
        let p = |text| Pattern::parse(text).unwrap();
        assert_eq!(p("a:*").meet(&p("a:b:*")), Some(&p("a:b:*")));
        assert_eq!(p("a:b").meet(&p("*")), Some(&p("a:b")));
        assert_eq!(p("a:*").meet(&p("b:*")), None);
        assert_eq!(p("a").meet(&p("a:*")), None);
    }
}
