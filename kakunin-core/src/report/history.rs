//! A history: what an agent did, read from receipts that are verified on the way.
//!
//! Comes from a journal, from a bundle, or from a file of receipts (wire 4.13). Journals and bundles are verified as
//! [`Inquiry`] does it; of the lines of a file each signature is checked by a certificate that leads to a root of the
//! asker. What nobody signed is never among the observations, and what is signed wrongly ends the reading.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use super::inquiry::{Inquiry, InquiryError};
use crate::base64::{push_base64url, read_base64url};
use crate::certificate::{AgentCertificate, AgentPath, TrustAnchors};
use crate::digest::Digest;
use crate::id::{AgentId, StreamId};
use crate::journal::{Archive, Proof, ReadError, StreamReader, locate};
use crate::json::{Object, ObjectWriter, Value};
use crate::receipt::{Disclosure, ReceiptHash, UnverifiedReceipt};
use crate::risk::{Observation, in_order};
use crate::verify::{Seen, Verdict, Watch};

/// Observations of verified receipts, in the order of [`in_order`].
#[derive(Clone, Debug)]
pub struct History {
    observations: Vec<Observation>,
    unsigned: u64,
    verdict: Option<&'static str>,
}

impl History {
    /// Reads what lies at `path`: the directory of an agent, its state or its journal; a bundle; or a file of receipts.
    ///
    /// # Errors
    /// [`HistoryError`]: it cannot be read, or something in it is not proven by `anchors`.
    pub fn read(path: &Path, anchors: &TrustAnchors, watch: &mut dyn Watch) -> Result<Self, HistoryError> {
        let unreadable = |source| HistoryError::Unreadable { path: path.to_owned(), source };
        if path.is_file() && !is_zip(path).map_err(unreadable)? {
            let file = File::open(path).map_err(unreadable)?;
            return Self::of_lines(&mut BufReader::new(file), anchors).map_err(|error| match error {
                LineError::Io(source) => unreadable(source),
                LineError::Line { line, what } => HistoryError::Line { path: path.to_owned(), line, what },
            });
        }
        let mut reader = Reader { observations: Vec::new(), unsigned: 0, watch };
        let account = Inquiry::by(anchors.clone()).of(path, &[], &mut reader)?;
        match account.report().verdict() {
            Verdict::Invalid(invalid) => {
                Err(HistoryError::Invalid { path: path.to_owned(), what: invalid.to_string() })
            }
            verdict => Ok(Self {
                observations: in_order(reader.observations),
                unsigned: reader.unsigned,
                verdict: Some(verdict.word()),
            }),
        }
    }

    /// The agents whose behaviour is in it, ascending.
    #[must_use]
    pub fn agents(&self) -> BTreeSet<AgentId> {
        self.observations.iter().map(Observation::agent).collect()
    }

    /// Receipts that nobody signed, which are not in it.
    #[must_use]
    pub const fn unsigned(&self) -> u64 {
        self.unsigned
    }

    /// The verifier's word on a journal or bundle; a file of receipts has none, because it may be any part of a stream.
    #[must_use]
    pub const fn verdict(&self) -> Option<&'static str> {
        self.verdict
    }

    /// What one agent did; of several agents it has to be said which.
    ///
    /// # Errors
    /// [`HistoryError::Agents`] when there are several and none is named, [`HistoryError::NoCalls`] when there is nothing.
    pub fn of_agent(self, agent: Option<AgentId>) -> Result<Vec<Observation>, HistoryError> {
        let agents = self.agents();
        let agent = match agent {
            Some(agent) => agent,
            None if agents.len() > 1 => {
                let agents: Vec<String> = agents.iter().map(ToString::to_string).collect();
                return Err(HistoryError::Agents { agents: agents.join(", ") });
            }
            None => *agents.first().ok_or(HistoryError::NoCalls)?,
        };
        let mut observations = self.observations;
        observations.retain(|seen| seen.agent() == agent);
        if observations.iter().any(Observation::is_call) {
            Ok(observations)
        } else {
            Err(HistoryError::NoCalls)
        }
    }

    fn of_lines(lines: &mut dyn BufRead, anchors: &TrustAnchors) -> Result<Self, LineError> {
        let mut reading = Lines {
            anchors,
            certificates: BTreeMap::new(),
            paths: BTreeMap::new(),
            streams: BTreeMap::new(),
        };
        let mut observations = Vec::new();
        for number in 1.. {
            let mut line = Vec::new();
            if lines.take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            let read = reading.line(&line);
            observations.extend(read.map_err(|what| LineError::Line { line: number, what })?);
        }
        Ok(Self { observations: in_order(observations), unsigned: 0, verdict: None })
    }
}

/// Writes the receipts of a journal as a file of receipts: the certificates it has, then stream after stream with what is
/// disclosed. Of each stream what is signed, up to the first receipt that is not; the number of receipts.
///
/// # Errors
/// [`HistoryError`]: there is no journal, it is damaged, or it holds receipts under seals, which only a bundle can show.
pub fn write_receipts(path: &Path, out: &mut dyn Write) -> Result<u64, HistoryError> {
    let unreadable = |source| HistoryError::Unreadable { path: path.to_owned(), source };
    let missing = || unreadable(io::Error::new(io::ErrorKind::NotFound, "no journal is there"));
    let folder = locate(path).ok_or_else(missing)?;
    for certificate in Archive::of(&folder).certificates() {
        let mut text = Vec::new();
        push_base64url(&mut text, &certificate);
        let mut line = Vec::new();
        let mut object = ObjectWriter::new(&mut line);
        // INVARIANT: base64url is ASCII.
        object.text("certificate", std::str::from_utf8(&text).unwrap_or_default());
        object.close();
        line.push(b'\n');
        out.write_all(&line).map_err(unreadable)?;
    }
    let mut written = 0;
    for stream in StreamReader::streams(&folder).map_err(unreadable)? {
        for entry in stream {
            let entry = entry.map_err(|error| match error {
                ReadError::Io(source) => unreadable(source),
                ReadError::Fault { code, .. } => {
                    HistoryError::Invalid { path: path.to_owned(), what: code.to_owned() }
                }
            })?;
            let token = match (entry.to_jws(), entry.proof()) {
                (Some(token), _) => token,
                (None, Proof::Unsigned) => break,
                (None, _) => return Err(HistoryError::Sealed { path: path.to_owned() }),
            };
            let shown: Vec<&str> = entry.disclosures().iter().map(Disclosure::as_str).collect();
            let line = serde_json::json!({ "disclosures": shown, "receipt": token });
            writeln!(out, "{line}").map_err(unreadable)?;
            written += 1;
        }
    }
    Ok(written)
}

/// A file of receipts on the way through.
struct Lines<'a> {
    anchors: &'a TrustAnchors,
    certificates: BTreeMap<Digest, Vec<u8>>,
    paths: BTreeMap<Digest, AgentPath>,
    /// By stream: the number of its last receipt and its name.
    streams: BTreeMap<StreamId, (u64, ReceiptHash)>,
}

impl Lines<'_> {
    fn line(&mut self, line: &[u8]) -> Result<Option<Observation>, String> {
        let what = |error: crate::json::NotExact| format!("it is not exact JSON, from byte {} on", error.at);
        let mut object = Object::parse(line).map_err(what)?;
        if let Some(Value::Text(certificate)) = object.take("certificate") {
            let der = read_base64url(certificate.as_bytes()).filter(|_| object.is_empty());
            let der =
                der.ok_or("the certificate is no canonical base64url, or something stands beside it")?;
            if self.certificates.len() >= MAX_CERTIFICATES {
                return Err(format!("more than {MAX_CERTIFICATES} certificates"));
            }
            self.certificates.insert(Digest::of(&der), der);
            return Ok(None);
        }
        let (Some(Value::Text(token)), Some(Value::List(shown)), true) =
            (object.take("receipt"), object.take("disclosures"), object.is_empty())
        else {
            return Err("it is neither {\"certificate\"} nor {\"disclosures\",\"receipt\"}".to_owned());
        };
        let disclosures = shown.iter().map(|shown| match shown {
            Value::Text(text) => Disclosure::parse(text.as_bytes()).map_err(|error| error.to_string()),
            _ => Err("a disclosure is text".to_owned()),
        });
        let disclosures: Vec<Disclosure> = disclosures.collect::<Result<_, _>>()?;
        self.receipt(token, &disclosures)
    }

    fn receipt(&mut self, token: &str, disclosures: &[Disclosure]) -> Result<Option<Observation>, String> {
        if token.ends_with('.') {
            return Err("a receipt under a seal has no signature of its own; export a bundle".to_owned());
        }
        let (receipt, signature) = UnverifiedReceipt::from_jws(token).map_err(|error| error.to_string())?;
        let name = *receipt.certificate();
        let at = receipt.statement().stamp.time();
        if !self.paths.contains_key(&name) {
            let der = self.certificates.get(&name).ok_or("no line before it has its certificate")?;
            let certificate = AgentCertificate::decode(der).map_err(|error| error.to_string())?;
            let pool = self.certificates.values().map(Vec::as_slice);
            let path = certificate.verify_path(pool, self.anchors, at);
            self.paths.insert(name, path.map_err(|error| format!("its certificate is not proven: {error}"))?);
        }
        let path = self.paths.get(&name).ok_or("its certificate is not proven")?;
        let certificate = path.agent();
        let validity = certificate.decoded().validity();
        if at < validity.not_before.plus(-TOLERANCE) || at > validity.not_after {
            return Err(format!("it claims {at}, when its certificate is not valid"));
        }
        let receipt = receipt
            .verify(&name, certificate.decoded().key(), &signature)
            .map_err(|error| error.to_string())?;
        let statement = receipt.statement();
        if statement.agent != certificate.agent() {
            return Err("its certificate is another agent's".to_owned());
        }
        // A part of a stream may be shown, and no hole in it: what is left out would be what speaks against the agent.
        if let Some((sequence, before)) = self.streams.get(&statement.stream)
            && (sequence.checked_add(1) != Some(statement.sequence) || statement.previous != *before.digest())
        {
            return Err(format!(
                "receipt {} does not follow receipt {sequence} of its stream",
                statement.sequence
            ));
        }
        self.streams.insert(statement.stream, (statement.sequence, receipt.hash()));
        Ok(Observation::of(receipt.hash(), statement, disclosures, Some(certificate.scope())))
    }
}

enum LineError {
    Io(io::Error),
    Line { line: u64, what: String },
}

impl From<io::Error> for LineError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// It cannot be read, or written where it goes.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A journal or a bundle that is not what it must be; nothing of it is judged.
    #[error("{}: INVALID: {what}; nothing of it is judged", path.display())]
    Invalid {
        /// What.
        path: PathBuf,
        /// The verifier's word.
        what: String,
    },
    /// A line of a file of receipts that is not proven; nothing of the file is judged.
    #[error("{}, line {line}: {what}; nothing of it is judged", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// Receipts that share a signature.
    #[error("{}: receipts under a seal have no signature of their own; use `kakunin export` and the bundle", path.display())]
    Sealed {
        /// The journal.
        path: PathBuf,
    },
    /// Receipts of several agents.
    #[error("receipts of several agents are here: {agents}; say whose behaviour is meant with --agent")]
    Agents {
        /// Which.
        agents: String,
    },
    /// Nothing that an agent did.
    #[error("no signed receipt of a call is here")]
    NoCalls,
    /// It cannot be judged.
    #[error(transparent)]
    Inquiry(#[from] InquiryError),
}

/// Collects while somebody else watches.
struct Reader<'w> {
    observations: Vec<Observation>,
    unsigned: u64,
    watch: &'w mut dyn Watch,
}

impl Watch for Reader<'_> {
    fn expect(&mut self, receipts: u64) {
        self.watch.expect(receipts);
    }

    fn receipt(&mut self, seen: &Seen<'_>) {
        if seen.proof() == Proof::Unsigned {
            self.unsigned += 1;
        } else {
            let scope = seen.path().agent().scope();
            let seen = Observation::of(seen.hash(), seen.statement(), seen.disclosures(), Some(scope));
            self.observations.extend(seen);
        }
        self.watch.receipt(seen);
    }
}

/// Whether a file begins as a ZIP does, and so is to be read as a bundle.
fn is_zip(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(2).read_to_end(&mut start)?;
    Ok(start == b"PK")
}

/// A receipt is at most 88 KB and four disclosures of 20 KiB each are some 110 KB (bundles, wire 4.10).
const MAX_LINE: u64 = 1 << 20;

/// A year of daily certificates with their issuers.
const MAX_CERTIFICATES: usize = 1_024;

/// What clocks are allowed to differ by (wire 3.5), in seconds.
const TOLERANCE: i64 = 120;
