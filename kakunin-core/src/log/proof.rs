//! One proof in one text (C2SP tlog-proof): that an entry is in a log, with the checkpoint that says so.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>                         optional, believed by nobody
//! index <decimal>
//! <hash, base64>                         the path, the leaf's sibling first
//!
//! <checkpoint, a signed note>
//! ```

use std::fmt;

use base64ct::{Base64, Encoding as _};

use super::checkpoint::{OpenedCheckpoint, read_decimal, read_hash};
use super::note::{NoteError, SignedNote};
use super::vkey::VerifierKey;
use crate::digest::Digest;
use crate::tree::InclusionProof;

/// A proof as it was read: believed by nobody yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// What whoever made it added; nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// The place of the entry.
    pub index: u64,
    /// Sibling hashes, the leaf's first.
    pub path: Vec<Digest>,
    /// The checkpoint.
    pub checkpoint: SignedNote,
}

impl TlogProof {
    /// Puts a proof and the checkpoint it was made for into one.
    #[must_use]
    pub fn new(proof: InclusionProof, checkpoint: &OpenedCheckpoint) -> Self {
        let InclusionProof { index, path, .. } = proof;
        Self { extra: None, index, path, checkpoint: checkpoint.note().clone() }
    }

    /// Reads the text. What is written back is what was read, byte for byte.
    ///
    /// # Errors
    /// [`ProofError::Malformed`] when it has not this form, or [`ProofError::Note`].
    pub fn parse(octets: &[u8]) -> Result<Self, ProofError> {
        let wrong = |what| ProofError::Malformed { what };
        let text = std::str::from_utf8(octets).map_err(|_| wrong("it is no UTF-8 text"))?;
        let (proof, note) = text.split_once("\n\n").ok_or(wrong("it has no checkpoint"))?;
        let mut lines = proof.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(wrong("its first line is another"));
        }
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra.map(|line| {
            let octets = line.strip_prefix("extra ").and_then(|text| Base64::decode_vec(text).ok());
            octets.filter(|octets| !octets.is_empty()).ok_or(wrong("its extra data is no base64"))
        });
        let extra = extra.transpose()?;
        let index = lines.next().and_then(|line| read_decimal(line.strip_prefix("index ")?));
        let index = index.ok_or(wrong("it has no index"))?;
        let path: Option<Vec<_>> = lines.by_ref().take(MAX_PATH + 1).map(read_hash).collect();
        let path =
            path.filter(|path| path.len() <= MAX_PATH).ok_or(wrong("its path is no list of hashes"))?;
        let checkpoint = SignedNote::parse(note.as_bytes())?;
        Ok(Self { extra, index, path, checkpoint })
    }

    /// Checks that the entry of leaf hash `leaf` is in the log of `key`, and gives the checkpoint that says so. Whether
    /// enough witnesses saw it is the next question.
    ///
    /// # Errors
    /// [`ProofError`] when the checkpoint does not open or the path does not lead to its root.
    pub fn verify(&self, leaf: Digest, key: &VerifierKey) -> Result<OpenedCheckpoint, ProofError> {
        let opened = self.checkpoint.open(key)?;
        let proof = InclusionProof { index: self.index, size: opened.size(), path: self.path.clone() };
        if proof.root(leaf) == Some(*opened.root()) { Ok(opened) } else { Err(ProofError::NotIncluded) }
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", Base64::encode_string(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", Base64::encode_string(hash.as_bytes()))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

/// A proof that proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Not of the form.
    #[error("no proof: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// Its checkpoint.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The path leads elsewhere.
    #[error("the entry is not in the tree of the checkpoint")]
    NotIncluded,
}

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// The path in a tree of 2^63 leaves.
const MAX_PATH: usize = 63;

#[cfg(test)]
mod tests {
    use super::super::checkpoint::LogKey;
    use super::*;
    use crate::key::{Algorithm, Signer, SoftKey};
    use crate::tree::{leaf_hash, node_hash};

    fn world() -> (LogKey, TlogProof) {
        let log =
            LogKey::new("log.example/a", Signer::soft(SoftKey::generate(Algorithm::Ed25519).unwrap().0));
        let log = log.unwrap();
        let (left, right) = (leaf_hash(b"left"), leaf_hash(b"next"));
        let opened = log.sign(2, node_hash(&left, &right)).unwrap().open(log.verifier()).unwrap();
        let proof = InclusionProof { index: 1, size: 2, path: vec![left] };
        (log, TlogProof::new(proof, &opened))
    }

    #[test]
    fn a_proof_reads_writes_and_verifies_for_its_entry_only() {
        let (log, proof) = world();
        for extra in [None, Some(b"out of band".to_vec())] {
            let proof = TlogProof { extra, ..proof.clone() };
            let text = proof.to_string();
            let read = TlogProof::parse(text.as_bytes()).unwrap();
            assert_eq!((&read, read.to_string()), (&proof, text));
            assert_eq!(read.verify(leaf_hash(b"next"), log.verifier()).unwrap().size(), 2);
            assert_eq!(read.verify(leaf_hash(b"left"), log.verifier()), Err(ProofError::NotIncluded));
            let moved = TlogProof { index: 0, ..read };
            assert_eq!(moved.verify(leaf_hash(b"next"), log.verifier()), Err(ProofError::NotIncluded));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let text = world().1.to_string();
        for (from, to) in [
            ("@v1", "@v2"),
            ("index 1", "index 01"),
            ("index 1\n", ""),
            ("index 1", "extra !\nindex 1"),
            ("index 1", "extra \nindex 1"),
            ("index 1", "index 1\nextra AAAA"),
            ("index 1\n", "index 1\nAAAA\n"),
        ] {
            let wrong = text.replacen(from, to, 1);
            assert_ne!(wrong, text);
            assert!(TlogProof::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let long = text.replacen("index 1\n", &format!("index 1\n{}\n", "A".repeat(43) + "=").repeat(64), 1);
        assert!(TlogProof::parse(long.as_bytes()).is_err());
    }
}
