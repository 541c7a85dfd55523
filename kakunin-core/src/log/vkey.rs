//! Verifier keys (C2SP signed-note, "Verifier keys"): a name and a public key in one line of text.
//!
//! ```text
//! <name>+<key id, 8 hex digits>+<base64 of: kind octet || 32 octets of Ed25519 key>
//! key id = SHA-256(name || 0x0A || kind octet || key)[..4]
//! ```
//!
//! Takes in such a line, gives out a key that checks signatures of notes. The kind is part of the key: a log's key
//! never stands for a witness, nor the other way round.

use std::fmt;

use base64ct::{Base64, Encoding as _};

use crate::digest::{Digest, hex, unhex};
use crate::key::{Algorithm, InvalidSignature, KeyError, PublicKey, Signature};

/// What a key signs: the signature type of its notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// 0x01: Ed25519 over the text of a note; a log's checkpoints.
    Log,
    /// 0x04: timestamped Ed25519 over a checkpoint; a witness's cosignatures.
    Witness,
}

impl KeyKind {
    const fn octet(self) -> u8 {
        match self {
            Self::Log => 0x01,
            Self::Witness => 0x04,
        }
    }
}

/// Who signs notes: a name, what for, and an Ed25519 public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    id: [u8; 4],
    key: PublicKey,
}

impl VerifierKey {
    /// Names `key`.
    ///
    /// # Errors
    /// [`VerifierKeyError`] when the name is none or the key is not Ed25519.
    pub fn new(name: &str, kind: KeyKind, key: PublicKey) -> Result<Self, VerifierKeyError> {
        if !is_key_name(name) {
            return Err(VerifierKeyError::Name { name: name.to_owned() });
        }
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(VerifierKeyError::Key(KeyError::Unsupported));
        }
        let digest = Digest::of_parts(&[name.as_bytes(), b"\n", &[kind.octet()], key.raw()]);
        let [a, b, c, d, ..] = *digest.as_bytes();
        Ok(Self { name: name.to_owned(), kind, id: [a, b, c, d], key })
    }

    /// Reads the line of text.
    ///
    /// # Errors
    /// [`VerifierKeyError`] when it is malformed, of another signature type, or its key id is not the one of its key.
    pub fn parse(text: &str) -> Result<Self, VerifierKeyError> {
        let malformed = || VerifierKeyError::Malformed { text: text.to_owned() };
        // The base64 part may itself hold a plus sign, a name cannot.
        let (name, rest) = text.split_once('+').ok_or_else(malformed)?;
        let (id, key) = rest.split_once('+').ok_or_else(malformed)?;
        let id = unhex::<4>(id).ok_or_else(malformed)?;
        let key = Base64::decode_vec(key).map_err(|_| malformed())?;
        let (kind, raw) = match key.split_first().ok_or_else(malformed)? {
            (0x01, raw) => (KeyKind::Log, raw),
            (0x04, raw) => (KeyKind::Witness, raw),
            (other, _) => return Err(VerifierKeyError::Kind { kind: *other }),
        };
        let key = Self::new(name, kind, PublicKey::from_raw(Algorithm::Ed25519, raw)?)?;
        if key.id == id { Ok(key) } else { Err(VerifierKeyError::Id { text: text.to_owned() }) }
    }

    /// The name; a log's is the origin of its checkpoints.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The four octets that name the key in a signature line. They tell keys apart and prove nothing.
    #[must_use]
    pub const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The key.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.key
    }

    /// SHA-256 of the line of text: what an `open` receipt names an agent's own log by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_string().as_bytes())
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let signature = signature.try_into().map_err(|_| InvalidSignature)?;
        self.key.verify(message, &Signature::from_bytes(signature))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind.octet()];
        key.extend_from_slice(self.key.raw());
        write!(f, "{}+{}+{}", self.name, hex(&self.id), Base64::encode_string(&key))
    }
}

/// Whether `name` may stand in a signature line: not empty, no space, no plus, no control character, and no longer
/// than a cosignature can carry (C2SP tlog-cosignature: at most 255 octets).
pub(super) fn is_key_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// A line that is no verifier key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierKeyError {
    /// Not of the form.
    #[error("`{text}` is no verifier key; it reads NAME+8 hexadecimal digits+base64")]
    Malformed {
        /// The text.
        text: String,
    },
    /// No name for a key.
    #[error(
        "`{name}` is no name for a key; use one without spaces and plus signs, for example log.example/2026"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A signature type that is neither a log's nor a witness's Ed25519.
    #[error("signature type {kind:#04x} is not supported; logs sign with 0x01 and witnesses with 0x04")]
    Kind {
        /// The type octet.
        kind: u8,
    },
    /// The id is another key's.
    #[error("`{text}` has the id of another key; copy it again whole")]
    Id {
        /// The text.
        text: String,
    },
    /// The key cannot be used.
    #[error("{0}")]
    Key(#[from] KeyError),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of C2SP signed-note, "Verifier keys".
    const EXAMPLE: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

    #[test]
    fn the_example_of_the_specification_reads_and_writes() {
        let key = VerifierKey::parse(EXAMPLE).unwrap();
        assert_eq!((key.name(), key.kind()), ("example.com/foo", KeyKind::Log));
        assert_eq!(key.to_string(), EXAMPLE);
    }

    #[test]
    fn one_key_has_another_id_as_a_witness() {
        let log = VerifierKey::parse(EXAMPLE).unwrap();
        let witness = VerifierKey::new(log.name(), KeyKind::Witness, log.public().clone()).unwrap();
        assert_ne!(witness.id(), log.id());
        assert_eq!(VerifierKey::parse(&witness.to_string()), Ok(witness));
    }

    #[test]
    fn other_spellings_are_refused() {
        for wrong in [
            "",
            "example.com/foo",
            "example.com/foo+530d903a",
            "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2",
            "example.com/foo+530d903a+BukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/ foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        ] {
            assert!(VerifierKey::parse(wrong).is_err(), "{wrong}");
        }
    }
}
