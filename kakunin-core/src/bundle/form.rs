//! The lines of a bundle's smaller members, each with one spelling: numbers and hashes between single spaces.

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};

use crate::base64::read_base64_hash;
use crate::digest::Digest;
use crate::id::StreamId;
use crate::log::SignedNote;
use crate::receipt::Disclosure;
use crate::tree::{ConsistencyProof, InclusionProof};
use crate::verify::{ChainLength, ShownLog};

/// A line that has one spelling: reading gives a value only if writing it gives the line again.
pub(super) trait Line: Sized {
    fn write(&self) -> String;

    fn parse(line: &str) -> Option<Self>;

    fn read(line: &str) -> Option<Self> {
        Self::parse(line).filter(|value| value.write() == line)
    }
}

/// A line of `logs/<k>/proofs`: the line of the receipt, its place in the log, the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProofLine {
    pub(super) line: u64,
    pub(super) index: u64,
    pub(super) path: Vec<Digest>,
}

impl Line for ProofLine {
    fn write(&self) -> String {
        format!("{} {}{}", self.line, self.index, hashes(&self.path))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (line, index) = (number(words.next()?)?, number(words.next()?)?);
        Some(Self { line, index, path: read_hashes(words)? })
    }

    /// There are as many as receipts. Every word is read in its one spelling only, and an empty one is none.
    fn read(line: &str) -> Option<Self> {
        Self::parse(line)
    }
}

/// A line of `logs/<k>/consistency`: from, to, the path.
impl Line for ConsistencyProof {
    fn write(&self) -> String {
        format!("{} {}{}", self.from, self.to, hashes(&self.path))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (from, to) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { from, to, path: read_hashes(words)? })
    }
}

/// A line of `seals`: the stream, the number of the seal, the hashes under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SealLine {
    pub(super) stream: StreamId,
    pub(super) seal: u64,
    pub(super) hashes: Vec<Digest>,
}

impl Line for SealLine {
    fn write(&self) -> String {
        format!("{} {}{}", self.stream, self.seal, hashes(&self.hashes))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (stream, seal) = (StreamId::parse(words.next()?)?, words.next()?.parse().ok()?);
        Some(Self { stream, seal, hashes: read_hashes(words)? })
    }
}

/// A line of `totals`: the stream, the last counter of the chain in it, and where that is among how many chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TotalLine {
    pub(super) stream: StreamId,
    pub(super) length: ChainLength,
}

impl Line for TotalLine {
    fn write(&self) -> String {
        let ChainLength { last, proof } = &self.length;
        format!("{} {last} {} {}{}", self.stream, proof.index, proof.size, hashes(&proof.path))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let stream = StreamId::parse(words.next()?)?;
        let mut number = || words.next()?.parse().ok();
        let (last, index, size) = (number()?, number()?, number()?);
        let proof = InclusionProof { index, size, path: read_hashes(words)? };
        Some(Self { stream, length: ChainLength { last, proof } })
    }
}

/// A line of `erased`: the commitments to the values of one erasure, strictly ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ErasureLine {
    pub(super) commitments: Vec<Digest>,
}

impl Line for ErasureLine {
    fn write(&self) -> String {
        let words: Vec<String> =
            self.commitments.iter().map(|hash| Base64::encode_string(hash.as_bytes())).collect();
        words.join(" ")
    }

    fn parse(line: &str) -> Option<Self> {
        let commitments = read_hashes(line.split(' '))?;
        let ascends = commitments.iter().zip(commitments.iter().skip(1)).all(|(one, next)| one < next);
        ascends.then_some(Self { commitments })
    }
}

/// A line of `disclosures.jsonl`: the line of the receipt, and its disclosures.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DisclosureLine {
    pub(super) disclosures: Vec<String>,
    pub(super) line: u64,
}

impl DisclosureLine {
    pub(super) fn of(line: u64, disclosures: &[&Disclosure]) -> Self {
        Self { disclosures: disclosures.iter().map(|it| it.as_str().to_owned()).collect(), line }
    }
}

impl Line for DisclosureLine {
    fn write(&self) -> String {
        // INVARIANT: texts and numbers can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok().filter(|line: &Self| !line.disclosures.is_empty())
    }
}

/// `logs/<k>/checkpoints`: notes, an empty line between them.
pub(super) fn write_checkpoints(notes: &[SignedNote]) -> String {
    let notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
    notes.join("\n")
}

/// Reads what [`write_checkpoints`] wrote.
pub(super) fn read_log(checkpoints: &str, consistency: &str) -> Option<ShownLog> {
    let mut notes = Vec::new();
    let mut parts = checkpoints.split("\n\n").peekable();
    while let (Some(text), Some(signatures)) = (parts.next(), parts.next()) {
        // Only the last note keeps the end of its last line.
        let end = if parts.peek().is_some() { "\n" } else { "" };
        notes.push(SignedNote::parse(format!("{text}\n\n{signatures}{end}").as_bytes()).ok()?);
    }
    if notes.is_empty() || write_checkpoints(&notes) != checkpoints {
        return None;
    }
    Some(ShownLog { checkpoints: notes, consistency: read_lines(consistency)? })
}

/// Reads all lines of a member.
pub(super) fn read_lines<T: Line>(text: &str) -> Option<Vec<T>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.strip_suffix('\n')?.split('\n').map(T::read).collect()
}

/// Writes all lines of a member.
pub(super) fn write_lines<'a, T: Line + 'a>(lines: impl IntoIterator<Item = &'a T>) -> String {
    lines.into_iter().map(|line| format!("{}\n", line.write())).collect()
}

fn hashes(hashes: &[Digest]) -> String {
    hashes.iter().map(|hash| format!(" {}", Base64::encode_string(hash.as_bytes()))).collect()
}

fn read_hashes<'a>(words: impl Iterator<Item = &'a str>) -> Option<Vec<Digest>> {
    words.map(|word| read_base64_hash(word.as_bytes()).map(Digest::from_bytes)).collect()
}

/// A number without sign and without zeros in front.
fn number(word: &str) -> Option<u64> {
    let one_spelling = word == "0" || !word.starts_with(['0', '+']);
    word.parse().ok().filter(|_| one_spelling)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_one_spelling() {
        let hash = Digest::of(b"x");
        let proof = ProofLine { line: 3, index: 17, path: vec![hash, hash] };
        assert_eq!(ProofLine::read(&proof.write()), Some(proof.clone()));
        let text = proof.write();
        for wrong in [
            format!(" {text}"),
            format!("{text} "),
            text.replace("3 17", "3  17"),
            text.replace("3 17", "03 17"),
            text.replace("3 17", "+3 17"),
            text.replace("3 17", "3"),
            text.replace('=', ""),
        ] {
            assert_eq!(ProofLine::read(&wrong), None, "{wrong}");
        }
        let stream = StreamId::from_bytes([7; 16]);
        let seal = SealLine { stream, seal: 9, hashes: vec![hash] };
        assert_eq!(SealLine::read(&seal.write()), Some(seal));
        let mut two = vec![hash, Digest::of(b"y")];
        two.sort_unstable();
        let erasure = ErasureLine { commitments: two.clone() };
        assert_eq!(ErasureLine::read(&erasure.write()), Some(erasure));
        two.reverse();
        assert_eq!(ErasureLine::read(&ErasureLine { commitments: two }.write()), None);
        assert_eq!(ErasureLine::read(""), None);
        let proof = InclusionProof { index: 0, size: 1, path: Vec::new() };
        let total = TotalLine { stream, length: ChainLength { last: 4, proof } };
        assert_eq!(TotalLine::read(&total.write()), Some(total));
        assert!(DisclosureLine::read(r#"{"disclosures":["a"],"line":1}"#).is_some());
        assert!(DisclosureLine::read(r#"{"disclosures":[],"line":1}"#).is_none());
        assert!(DisclosureLine::read(r#"{"line":1,"disclosures":["a"]}"#).is_none());
    }

    #[test]
    fn notes_are_parted_by_an_empty_line() {
        let note = |origin: &str| {
            let text = format!("{origin}\n1\nAAAA\n\n— a AAAAAAA=\n— b AAAAAAA=\n");
            SignedNote::parse(text.as_bytes()).unwrap()
        };
        let notes = [note("one"), note("two"), note("three")];
        let text = write_checkpoints(&notes);
        assert_eq!(read_log(&text, "").unwrap().checkpoints, notes);
        for wrong in ["", "\n", &format!("{text}\n"), &format!("{text}\nmore"), text.trim_end()] {
            assert!(read_log(wrong, "").is_none(), "{wrong}");
        }
    }
}
