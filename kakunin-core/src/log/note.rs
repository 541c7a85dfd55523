//! Signed notes (C2SP signed-note): text, an empty line, signature lines.
//!
//! ```text
//! <text, ending in a newline>
//!
//! — <name> <base64 of: 4 octets of key id || signature>
//! ```
//!
//! Takes in bytes, gives out their parts in one spelling. Nothing here says that a note is true: only
//! [`SignedNote::open`] does, with a key that is trusted already.

use std::fmt;

use base64ct::{Base64, Encoding as _};

use super::vkey::{VerifierKey, is_key_name};
use crate::key::InvalidSignature;

/// A note as it was read: its text is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Reads a note. What is written back is what was read, byte for byte.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] with the place.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let wrong = |what| NoteError::Malformed { what };
        if bytes.len() as u64 > MAX_NOTE {
            return Err(wrong("it is longer than a note may be"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| wrong("it is no UTF-8 text"))?;
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(wrong("it has a control character"));
        }
        let (text, lines) =
            note.rsplit_once("\n\n").ok_or(wrong("no empty line stands before signatures"))?;
        let lines = lines.strip_suffix('\n').ok_or(wrong("its last line does not end"))?;
        if text.is_empty() {
            return Err(wrong("it has no text"));
        }
        let signatures: Vec<_> = lines
            .split('\n')
            .map(NoteSignature::parse)
            .collect::<Option<_>>()
            .ok_or(wrong("a line after the text is no signature"))?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(wrong("it has more signatures than a note may"));
        }
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    pub(super) fn new(text: String, signature: NoteSignature) -> Self {
        Self { text, signatures: vec![signature] }
    }

    /// The text, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures in their order, also those of strangers.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The same note with the signatures of `other`, each in place of one here by the same name and key; nothing when the
    /// texts differ. No key has two lines, which some verifiers refuse.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Option<Self> {
        let signer = |signature: &NoteSignature| (signature.name.clone(), signature.id);
        (self.text == other.text).then(|| {
            let theirs: Vec<_> = other.signatures.iter().map(signer).collect();
            let ours = self.signatures.iter().filter(|ours| !theirs.contains(&signer(ours)));
            let signatures = ours.chain(&other.signatures).cloned().collect();
            Self { text: self.text.clone(), signatures }
        })
    }

    /// Whether a reader takes it, written out: joined notes may have become too long.
    pub(super) fn can_be_read(&self) -> bool {
        self.signatures.len() <= MAX_SIGNATURES && self.to_string().len() as u64 <= MAX_NOTE
    }

    /// The signatures that say they are by `key`.
    pub(super) fn by<'a>(&'a self, key: &'a VerifierKey) -> impl Iterator<Item = &'a [u8]> {
        let says = |signature: &&NoteSignature| signature.name == key.name() && signature.id == key.id();
        self.signatures.iter().filter(says).map(|signature| signature.bytes.as_slice())
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl NoteSignature {
    pub(super) fn new(key: &VerifierKey, bytes: Vec<u8>) -> Self {
        Self { name: key.name().to_owned(), id: key.id(), bytes }
    }

    /// Whose it says it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a line without its newline.
    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
        let octets = Base64::decode_vec(signature).ok()?;
        let (id, bytes) = octets.split_first_chunk::<4>()?;
        (is_key_name(name) && !bytes.is_empty()).then(|| Self {
            name: name.to_owned(),
            id: *id,
            bytes: bytes.to_vec(),
        })
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = [self.id.as_slice(), self.bytes.as_slice()].concat();
        write!(f, "— {} {}", self.name, Base64::encode_string(&octets))
    }
}

/// A note that is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// It is no note.
    #[error("no signed note: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// Its text is no checkpoint.
    #[error("the note is no checkpoint: {what}")]
    NoCheckpoint {
        /// What is wrong.
        what: &'static str,
    },
    /// The key given is not a log's.
    #[error("`{name}` is a witness's key; a checkpoint is opened with its log's")]
    NotALog {
        /// The key's name.
        name: String,
    },
    /// It is about another log.
    #[error("the checkpoint is of `{origin}` and not of `{name}`")]
    OtherOrigin {
        /// Which log it is of.
        origin: String,
        /// The key's name.
        name: String,
    },
    /// No signature of the key.
    #[error("the note is not signed by `{name}`")]
    Unsigned {
        /// The key's name.
        name: String,
    },
    /// A signature that says it is of the key, and is not.
    #[error("a signature in the name of `{name}` does not match")]
    Signature {
        /// The key's name.
        name: String,
        /// Why.
        source: InvalidSignature,
    },
}

/// Octets of a note. Sixteen signatures must be accepted, and the largest kind takes some 3,300 characters.
pub(super) const MAX_NOTE: u64 = 256 << 10;

/// Four times what must be accepted.
const MAX_SIGNATURES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of C2SP signed-note, "Format".
    const VERSES: &str = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n\
        — quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";

    #[test]
    fn the_text_may_have_empty_lines_and_is_written_back_as_it_was() {
        let note = SignedNote::parse(VERSES.as_bytes()).unwrap();
        assert_eq!(note.text().lines().count(), 4);
        assert_eq!(note.signatures()[0].name(), "quasimodo.example/salvatore");
        assert_eq!(note.to_string(), VERSES);
    }

    #[test]
    fn other_spellings_are_refused() {
        let line = "— a AAAAAAA=\n";
        assert!(SignedNote::parse(format!("text\n\n{line}").as_bytes()).is_ok());
        for wrong in [
            String::new(),
            "text\n".to_owned(),
            format!("text\n{line}"),
            format!("\n\n{line}"),
            format!("text\n\n{}", line.trim_end()),
            format!("text\n\n{line}\n"),
            format!("text\n\n{line}more\n"),
            format!("text\r\n\r\n{line}"),
            format!("te\txt\n\n{line}"),
            "text\n\n- a AAAAAAA=\n".to_owned(),
            "text\n\n— a+b AAAAAAA=\n".to_owned(),
            "text\n\n—  AAAAAAA=\n".to_owned(),
            "text\n\n— a  AAAAAAA=\n".to_owned(),
            "text\n\n— a AAAAAA==\n".to_owned(),
            "text\n\n— a AAAAAAB=\n".to_owned(),
            "text\n\n— a AAAAAAA\n".to_owned(),
            format!("text\n\n{}", line.repeat(MAX_SIGNATURES + 1)),
        ] {
            assert!(SignedNote::parse(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(SignedNote::parse(b"te\xffxt\n\n\xe2\x80\x94 a AAAAAAA=\n").is_err());
    }

    #[test]
    fn joined_notes_have_one_line_of_each_key() {
        let [one, two] = ["— a AAAAAAA=", "— b AAAAAAA="]
            .map(|line| SignedNote::parse(format!("text\n\n{line}\n").as_bytes()).unwrap());
        let joined = one.joined(&two).unwrap();
        assert_eq!(joined.signatures().len(), 2);
        assert_eq!(joined.joined(&two).as_ref(), Some(&joined));
        let newer = SignedNote::parse("text\n\n— b AAAAAAE=\n".as_bytes()).unwrap();
        assert_eq!(
            joined.joined(&newer).unwrap().signatures(),
            [one.signatures(), newer.signatures()].concat()
        );
        let other = SignedNote::parse("other\n\n— b AAAAAAA=\n".as_bytes()).unwrap();
        assert_eq!(one.joined(&other), None);
    }
}
