//! Names of counterparties and resources, and the sets they are allowed from.
//!
//! A name is 1 to 128 printable ASCII bytes without outer spaces, compared as bytes. Anything else is replaced by
//! `sha256:<hex of its UTF-8>` on both sides, so that certificates stay readable and no two spellings meet.
//! Sets of more than 32 names live outside the certificate; their Merkle root is inside.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::action::Pattern;
use super::proven;
use crate::digest::Digest;
use crate::tree;

/// A name in the form in which names are compared. Lives on the stack: a decision makes one per name.
#[derive(Clone, Copy)]
pub struct CanonicalName<'a>(Form<'a>);

#[derive(Clone, Copy)]
enum Form<'a> {
    Plain(&'a str),
    // INVARIANT: ASCII only: `sha256:` and 64 hex digits.
    Hashed([u8; 71]),
}

impl<'a> CanonicalName<'a> {
    /// Brings a caller's name into its compared form.
    ///
    /// # Errors
    /// An empty name, or one that spells the hashed form itself.
    pub fn new(name: &'a str) -> Result<Self, NameError> {
        if let Some(plain) = Self::plain(name) {
            return Ok(plain);
        }
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.starts_with(HASHED) {
            return Err(NameError::Hashed);
        }
        Ok(Self::hashed(name))
    }

    /// A name that is compared as it is written; `None` for all others.
    #[inline]
    #[must_use]
    pub fn plain(name: &'a str) -> Option<Self> {
        (is_plain(name) && !name.starts_with(HASHED)).then_some(Self(Form::Plain(name)))
    }

    #[cold]
    fn hashed(name: &str) -> Self {
        let mut form = [0; 71];
        let digest = Digest::of(name.as_bytes());
        let digits = digest.as_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let digits = digits.map(|nibble| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
        for (to, from) in form.iter_mut().zip(HASHED.bytes().chain(digits)) {
            *to = from;
        }
        Self(Form::Hashed(form))
    }

    /// The bytes that are compared.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Plain(name) => name.as_bytes(),
            Form::Hashed(form) => form,
        }
    }
}

/// An entry of an inline set: one name, or everything under a prefix ending in `:`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameEntry(String);

impl NameEntry {
    /// Takes an entry as a scope's author wrote it, hashing names that cannot be written plainly.
    ///
    /// # Errors
    /// An empty name, the hashed form spelled out, or the patterns `*` and `sha256:*`.
    pub fn author(text: &str) -> Result<Self, NameError> {
        if text == "*" || text == ":*" {
            return Err(NameError::Everything);
        }
        if text.ends_with(":*") && !is_plain(text) {
            return Err(NameError::UnplainPrefix);
        }
        let name = CanonicalName::new(text)?;
        Ok(Self(String::from_utf8_lossy(name.as_bytes()).into_owned()))
    }

    /// Takes an entry as a certificate carries it; anything but the one canonical form is `None`.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let canonical = match text.strip_prefix(HASHED) {
            Some(digits) => Digest::from_hex(digits).is_some(),
            None => is_plain(text) && text != "*" && text != ":*",
        };
        canonical.then(|| Self(text.to_owned()))
    }

    /// The entry as the certificate carries it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For `p:*` the prefix `p:`; `None` for a single name.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*').filter(|prefix| prefix.ends_with(':'))
    }

    /// Whether `name` is in this entry.
    #[must_use]
    pub fn covers_name(&self, name: &[u8]) -> bool {
        match self.prefix() {
            Some(prefix) => name.len() > prefix.len() && name.starts_with(prefix.as_bytes()),
            None => self.0.as_bytes() == name,
        }
    }

    /// Whether every name of `other` is in this entry.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self.prefix(), other.prefix()) {
            (Some(mine), Some(theirs)) => theirs.starts_with(mine),
            (None, Some(_)) => false,
            (_, None) => self.covers_name(other.0.as_bytes()),
        }
    }
}

impl fmt::Display for NameEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which names a rule is about.
///
/// ```text
/// NameSet ::= CHOICE { names SEQUENCE SIZE (1..32) OF UTF8String (SIZE (1..128)),
///   detached [0] SEQUENCE { root OCTET STRING (SIZE (32)), count INTEGER (1..1000000) } }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameSet {
    /// Up to 32 entries in the certificate, ascending.
    Inline(Vec<NameEntry>),
    /// A Merkle root (RFC 6962) over the ascending names of a list kept beside the certificate.
    Detached {
        /// The root.
        root: Digest,
        /// How many names the list has.
        count: u32,
    },
}

/// Which names some actions must carry.
///
/// ```text
/// NameRule ::= SEQUENCE { for Patterns, allow NameSet, deny [0] EXPLICIT NameSet OPTIONAL, optional [1] NULL OPTIONAL }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRule {
    /// The actions this rule is mandatory for.
    pub r#for: Vec<Pattern>,
    /// Every name of a request must be in here.
    pub allow: NameSet,
    /// No name of a request may be in here.
    pub deny: Option<NameSet>,
    /// Whether a request may carry no name at all.
    pub optional: bool,
}

/// A detached list: exact names, ascending, with the root a certificate refers to.
#[derive(Clone, Debug)]
pub struct NameList {
    names: Vec<String>,
    root: Digest,
    /// 64 octets for each name, once somebody asks for a proof.
    subtrees: OnceLock<Vec<Vec<Digest>>>,
}

impl PartialEq for NameList {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

impl Eq for NameList {}

impl NameList {
    /// Reads a list file: UTF-8, one name a line, LF or CRLF, no comments.
    ///
    /// # Errors
    /// [`NameError::Line`] with the line of an outer space, a duplicate, a pattern or an empty name;
    /// [`NameError::Count`] for no names or more than a million.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut names = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let body = text.strip_suffix('\n').unwrap_or(text);
        if text.is_empty() {
            return Err(NameError::Count(0));
        }
        for (number, line) in (1..).zip(body.split('\n')) {
            let line = line.strip_suffix('\r').unwrap_or(line);
            let refuse = |why: &str| NameError::Line { line: number, why: why.to_owned() };
            if line != line.trim() {
                return Err(refuse("the name has a space before or after it; remove it"));
            }
            if line.ends_with(":*") || line == "*" {
                return Err(refuse("a list holds exact names only; put patterns into the scope file"));
            }
            let name = match line.strip_prefix(HASHED) {
                // Lists that the library wrote carry names it hashed.
                Some(digits) if Digest::from_hex(digits).is_some() => line.to_owned(),
                _ => {
                    let name = CanonicalName::new(line).map_err(|error| refuse(&error.to_string()))?;
                    String::from_utf8_lossy(name.as_bytes()).into_owned()
                }
            };
            if let Some(first) = seen.insert(name.clone(), number) {
                return Err(refuse(&format!("the name stands in line {first} already; remove one")));
            }
            names.push(name);
        }
        Self::from_names(names)
    }

    /// Makes a list of canonical names that are known to differ.
    fn from_names(mut names: Vec<String>) -> Result<Self, NameError> {
        if names.is_empty() || names.len() > MAX_DETACHED {
            return Err(NameError::Count(names.len()));
        }
        names.sort_unstable();
        let root = tree::root(names.iter().map(String::as_bytes));
        Ok(Self { names, root, subtrees: OnceLock::new() })
    }

    /// Makes a list of entries; patterns have no place in it.
    ///
    /// # Errors
    /// A pattern among them, or none at all.
    pub fn from_entries(entries: &[NameEntry]) -> Result<Self, NameError> {
        if entries.iter().any(|entry| entry.prefix().is_some()) {
            return Err(NameError::PatternInList);
        }
        Self::from_names(entries.iter().map(|entry| entry.0.clone()).collect())
    }

    /// The root over the names.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// The names, ascending.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The hashes of the complete subtrees over the names, for proofs; worked out once.
    pub(super) fn subtrees(&self) -> &[Vec<Digest>] {
        self.subtrees.get_or_init(|| proven::subtrees(&self.names))
    }

    /// The set a certificate carries in place of this list.
    #[must_use]
    pub fn to_set(&self) -> NameSet {
        NameSet::Detached { root: self.root, count: u32::try_from(self.names.len()).unwrap_or(u32::MAX) }
    }

    /// The list as a file, one canonical name a line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = self.names.join("\n");
        text.push('\n');
        text
    }
}

/// Detached lists by their root.
#[derive(Clone, Debug, Default)]
pub struct NameLists(HashMap<Digest, Arc<NameList>>);

impl NameLists {
    /// Adds a list under its own root: a list can never stand for another one.
    pub fn insert(&mut self, list: NameList) {
        self.0.insert(list.root, Arc::new(list));
    }

    /// The list with this root.
    #[must_use]
    pub fn get(&self, root: &Digest) -> Option<&NameList> {
        self.0.get(root).map(Arc::as_ref)
    }

    /// All lists, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &NameList> {
        self.0.values().map(Arc::as_ref)
    }
}

/// A name, or a list of names, that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// No text at all.
    #[error("a name is empty")]
    Empty,
    /// The reserved form.
    #[error(
        "a name starts with `sha256:`, which the library keeps for names it hashed; write the name itself"
    )]
    Hashed,
    /// A pattern for every name.
    #[error("`*` would allow every name; leave the rule out, or name a prefix such as `acme:*`")]
    Everything,
    /// A pattern that would be hashed whole: as a denial it would deny nothing.
    #[error("a pattern has letters that only whole names may have; write plain ASCII before `:*`")]
    UnplainPrefix,
    /// A pattern in a detached list.
    #[error(
        "a list of more than 32 names is kept outside the certificate and holds exact names only; remove its patterns"
    )]
    PatternInList,
    /// A bad line of a list file.
    #[error("line {line}: {why}")]
    Line {
        /// The line, counted from one.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Too few or too many.
    #[error("a list has {0} names; it needs 1 to 1,000,000")]
    Count(usize),
}

/// One to 128 printable ASCII bytes without outer spaces. Eight bytes at a time: this runs for every name of a decision.
#[inline]
fn is_plain(name: &str) -> bool {
    let bytes = name.as_bytes();
    let printable = match bytes.last_chunk::<8>() {
        // The last eight overlap the word before them: gathering a rest byte by byte takes longer.
        Some(last) => {
            let (words, _) = bytes.as_chunks::<8>();
            words.iter().chain([last]).all(|word| is_printable(u64::from_le_bytes(*word)))
        }
        None => bytes.iter().all(|byte| (0x20..=0x7e).contains(byte)),
    };
    printable
        && (1..=MAX_NAME).contains(&bytes.len())
        && bytes.first() != Some(&b' ')
        && bytes.last() != Some(&b' ')
}

/// Whether each of eight bytes lies within 0x20..=0x7e.
#[inline]
const fn is_printable(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    // With its top bit set a byte lends nothing to its neighbour, and keeps that bit if it was 0x20 or more. Without it,
    // only 0x7f gains it by adding one.
    word & HIGH == 0 && ((word | HIGH) - 0x20 * ONES) & HIGH == HIGH && (word + ONES) & HIGH == 0
}

const HASHED: &str = "sha256:";
const MAX_NAME: usize = 128;
pub(super) const MAX_DETACHED: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hex;

    fn hashed_name(name: &str) -> String {
        format!("{HASHED}{}", hex(Digest::of(name.as_bytes()).as_bytes()))
    }

    #[test]
    fn names_that_cannot_be_written_plainly_are_hashed_on_both_sides() {
        for name in ["Müller", "acme ", " acme", "a\u{200b}cme", "tab\t", &"x".repeat(129)] {
            let asked = CanonicalName::new(name).unwrap();
            assert_eq!(asked.as_bytes(), hashed_name(name).as_bytes(), "{name}");
            assert!(NameEntry::author(name).unwrap().covers_name(asked.as_bytes()), "{name}");
        }
        assert_eq!(CanonicalName::new("acme").unwrap().as_bytes(), b"acme");
    }

    #[test]
    fn a_name_is_plain_exactly_if_each_byte_is_printable() {
        for byte in 0..=0x7f_u8 {
            for (length, at) in (1..20).flat_map(|length| (0..length).map(move |at| (length, at))) {
                let mut name = vec![b'a'; length];
                name[at] = byte;
                let outer = at == 0 || at == length - 1;
                let plain = (0x21..=0x7e).contains(&byte) || (byte == b' ' && !outer);
                assert_eq!(
                    is_plain(std::str::from_utf8(&name).unwrap()),
                    plain,
                    "{byte:#x} at {at} of {length}"
                );
            }
        }
        for foreign in ["é", "aaaaaaaé", "aaaaaaaaé", "\u{7f}", "aaaaaaaa\u{7f}a"] {
            assert!(!is_plain(foreign), "{foreign:?}");
        }
        assert!(is_plain(&"x".repeat(128)) && !is_plain(&"x".repeat(129)) && !is_plain(""));
    }

    #[test]
    fn empty_and_reserved_names_are_refused() {
        assert!(CanonicalName::new("").is_err());
        assert!(CanonicalName::new(&hashed_name("x")).is_err());
        for wrong in ["", "*", ":*", "sha256:*", "sha256:abc", "Müller:*", " acme:*"] {
            assert!(NameEntry::author(wrong).is_err(), "{wrong}");
        }
        assert!(NameEntry::decode("sha256:*").is_none());
        assert!(NameEntry::decode("Müller").is_none());
        assert!(NameEntry::decode(&hashed_name("x")).is_some());
    }

    #[test]
    fn a_prefix_needs_at_least_one_byte_more() {
        let entry = NameEntry::author("acme:*").unwrap();
        assert!(entry.covers_name(b"acme:eu") && !entry.covers_name(b"acme:") && !entry.covers_name(b"acme"));
        let literal = NameEntry::author("ac*me").unwrap();
        assert!(literal.covers_name(b"ac*me") && !literal.covers_name(b"acXme"));
        assert!(entry.covers(&NameEntry::author("acme:eu:*").unwrap()));
        assert!(!NameEntry::author("acme:eu:*").unwrap().covers(&entry));
    }

    #[test]
    fn list_files_name_the_line_that_is_wrong() {
        assert_eq!(NameList::parse("b\r\na\r\n").unwrap().names(), ["a", "b"]);
        let at = |text| match NameList::parse(text) {
            Err(NameError::Line { line, .. }) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(at("a\nb\na\n"), 3);
        assert_eq!(at("a\n b\n"), 2);
        assert_eq!(at("a\n\nb\n"), 2);
        assert_eq!(at("acme:*\n"), 1);
        assert_eq!(NameList::parse(""), Err(NameError::Count(0)));
    }

    #[test]
    fn a_written_list_reads_back_to_the_same_root() {
        let list = NameList::parse("Müller\nacme\n").unwrap();
        assert_eq!(NameList::parse(&list.to_text()).unwrap().root(), list.root());
    }
}
