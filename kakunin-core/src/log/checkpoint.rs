//! Checkpoints (C2SP tlog-checkpoint): how long a log is and what its root is, signed by the log.
//!
//! ```text
//! <origin>
//! <size, decimal>
//! <root, base64>
//! ```
//!
//! A signed note becomes an [`OpenedCheckpoint`] by a key that was trusted before, and by nothing else. Extension lines
//! are refused: nobody could audit them.

use std::fmt;

use base64ct::{Base64, Encoding as _};

use super::note::{NoteError, NoteSignature, SignedNote};
use super::vkey::{KeyKind, VerifierKey, VerifierKeyError};
use crate::digest::Digest;
use crate::key::{SignError, Signer};

/// The head of a log, signed by nobody yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Digest,
}

impl Checkpoint {
    /// Reads the text of a note.
    ///
    /// # Errors
    /// [`NoteError::NoCheckpoint`] when it has not this form, or has extension lines.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let wrong = |what| NoteError::NoCheckpoint { what };
        let mut lines = text.strip_suffix('\n').ok_or(wrong("its last line does not end"))?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(wrong("it has fewer than three lines"));
        };
        if lines.next().is_some() {
            return Err(wrong("it has extension lines"));
        }
        if origin.is_empty() {
            return Err(wrong("it has no origin"));
        }
        let size = read_decimal(size).ok_or(wrong("its size is no decimal number"))?;
        let root = read_hash(root).ok_or(wrong("its root is no SHA-256 in base64"))?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, Base64::encode_string(self.root.as_bytes()))
    }
}

impl SignedNote {
    /// Opens the checkpoint of the log whose key is `key`.
    ///
    /// # Errors
    /// [`NoteError`] when the note is no checkpoint, is another log's, is not signed by `key`, or has any signature in
    /// the key's name that does not match.
    pub fn open(&self, key: &VerifierKey) -> Result<OpenedCheckpoint, NoteError> {
        let name = || key.name().to_owned();
        if key.kind() != KeyKind::Log {
            return Err(NoteError::NotALog { name: name() });
        }
        let checkpoint = Checkpoint::parse(self.text())?;
        if checkpoint.origin != key.name() {
            return Err(NoteError::OtherOrigin { origin: checkpoint.origin, name: name() });
        }
        let mut signed = false;
        for signature in self.by(key) {
            key.verify(self.text().as_bytes(), signature)
                .map_err(|source| NoteError::Signature { name: name(), source })?;
            signed = true;
        }
        if !signed {
            return Err(NoteError::Unsigned { name: name() });
        }
        Ok(OpenedCheckpoint { note: self.clone(), checkpoint, log: key.clone() })
    }
}

/// A checkpoint that its log signed; [`SignedNote::open`] is its only origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedCheckpoint {
    note: SignedNote,
    checkpoint: Checkpoint,
    log: VerifierKey,
}

impl OpenedCheckpoint {
    /// What the log says.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// How many entries the log has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// The root over them.
    #[must_use]
    pub const fn root(&self) -> &Digest {
        &self.checkpoint.root
    }

    /// The note, with whatever cosignatures it carries.
    #[must_use]
    pub const fn note(&self) -> &SignedNote {
        &self.note
    }

    /// The key it was opened with.
    #[must_use]
    pub const fn log(&self) -> &VerifierKey {
        &self.log
    }
}

/// The key of a log: signs its checkpoints.
#[derive(Debug)]
pub struct LogKey {
    signer: Signer,
    verifier: VerifierKey,
}

impl LogKey {
    /// Lets `signer` sign for the log `origin`.
    ///
    /// # Errors
    /// [`VerifierKeyError`] when `origin` is no name or the key is not Ed25519.
    pub fn new(origin: &str, signer: Signer) -> Result<Self, VerifierKeyError> {
        let verifier = VerifierKey::new(origin, KeyKind::Log, signer.public().clone())?;
        Ok(Self { signer, verifier })
    }

    /// What checkpoints are opened with.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs the head of this log. A second head that does not continue the first is a fork and can be shown to anybody:
    /// only the writer of a log calls this.
    pub(super) fn sign(&self, size: u64, root: Digest) -> Result<SignedNote, SignError> {
        let text = Checkpoint { origin: self.verifier.name().to_owned(), size, root }.to_string();
        let signature = self.signer.sign(text.as_bytes())?;
        Ok(SignedNote::new(text, NoteSignature::new(&self.verifier, signature.as_bytes().to_vec())))
    }
}

/// Reads a decimal number in its one spelling.
pub(super) fn read_decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Reads a hash in base64.
pub(super) fn read_hash(text: &str) -> Option<Digest> {
    let mut out = [0; 32];
    let length = Base64::decode(text, &mut out).ok()?.len();
    (length == out.len()).then_some(Digest::from_bytes(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Algorithm, SoftKey};

    /// The example of C2SP tlog-checkpoint.
    const EXAMPLE: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn key(origin: &str) -> LogKey {
        LogKey::new(origin, Signer::soft(SoftKey::generate(Algorithm::Ed25519).unwrap().0)).unwrap()
    }

    #[test]
    fn the_example_of_the_specification_reads_and_writes() {
        let checkpoint = Checkpoint::parse(EXAMPLE).unwrap();
        assert_eq!(
            (checkpoint.origin.as_str(), checkpoint.size),
            ("example.com/behind-the-sofa", 20_852_163)
        );
        assert_eq!(checkpoint.to_string(), EXAMPLE);
    }

    #[test]
    fn other_spellings_are_refused() {
        for (from, to) in [
            ("20852163", "020852163"),
            ("20852163", "+20852163"),
            ("20852163", ""),
            ("20852163", "18446744073709551616"),
            ("example.com/behind-the-sofa", ""),
            ("q2I=\n", "q2I\n"),
            ("q2I=\n", "q2J=\n"),
            ("q2I=\n", "q2I="),
            ("q2I=\n", "q2I=\nextension\n"),
            ("q2I=\n", "q2I=\n\n"),
        ] {
            let wrong = EXAMPLE.replace(from, to);
            assert!(Checkpoint::parse(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_the_key_of_the_log_opens_its_checkpoint() {
        let log = key("log.example/a");
        let note = log.sign(3, Digest::of(b"root")).unwrap();
        let opened = note.open(log.verifier()).unwrap();
        assert_eq!((opened.size(), opened.root()), (3, &Digest::of(b"root")));
        let stranger = key("log.example/a");
        assert!(matches!(note.open(stranger.verifier()), Err(NoteError::Unsigned { .. })));
        let other = key("log.example/b");
        assert!(matches!(note.open(other.verifier()), Err(NoteError::OtherOrigin { .. })));
        let witness =
            VerifierKey::new("log.example/a", KeyKind::Witness, log.verifier().public().clone()).unwrap();
        assert!(matches!(note.open(&witness), Err(NoteError::NotALog { .. })));
    }

    #[test]
    fn no_flipped_bit_of_a_checkpoint_opens() {
        let log = key("log.example/a");
        let note = log.sign(3, Digest::of(b"root")).unwrap().to_string().into_bytes();
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut wrong = note.clone();
                wrong[at] ^= 1 << bit;
                let opened = SignedNote::parse(&wrong).and_then(|note| note.open(log.verifier()));
                assert!(opened.is_err(), "byte {at}, bit {bit}");
            }
        }
    }
}
