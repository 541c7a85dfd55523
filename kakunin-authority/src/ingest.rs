//! What agents send: lines of receipts, read strictly and proved before anything is kept.
//!
//! [`Upload::read`] understands the form, [`Part::prove`] checks signatures, which can be done on several threads, and
//! [`records`] joins the parts, where one signature may stand for many receipts. A receipt is proved by a certificate
//! of its agent that the store knows, whether that is good, has ended or was revoked since: a receipt of before stays
//! evidence, and what it is worth is for a verifier to say. Of an upload everything is proved or nothing is kept.

use std::collections::{BTreeMap, HashMap};

use kakunin_core::certificate::AgentCertificate;
use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, StreamId};
use kakunin_core::key::{PublicKey, Signature};
use kakunin_core::receipt::{Answer, Control, Event, UnverifiedReceipt};
use kakunin_core::time::UnixTime;

use crate::access::TenantId;
use crate::store::{CertificateRecord, ReceiptKind, ReceiptRecord};

/// Lines whose form is understood. Nobody has checked a signature.
#[derive(Debug)]
pub struct Upload(Vec<Line>);

#[derive(Debug)]
struct Line {
    /// Where it stood, from 1.
    number: usize,
    receipt: UnverifiedReceipt,
    /// None for a receipt whose seal signs for it.
    signature: Option<Signature>,
    text: String,
}

impl Upload {
    /// Reads lines, each an entry as a log has it (WIRE 4.1), with a line feed after each or between them.
    ///
    /// # Errors
    /// [`UploadError`] `receipt.malformed` for the first line that is none, or when there is none at all.
    pub fn read(body: &[u8]) -> Result<Self, UploadError> {
        let malformed = |line, text: String| UploadError { line, code: "receipt.malformed", text };
        let body = body.strip_suffix(b"\n").unwrap_or(body);
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(body.split(|octet| *octet == b'\n')) {
            let text =
                std::str::from_utf8(line).map_err(|_| malformed(number, "the line is no text".into()))?;
            let (receipt, signature) = UnverifiedReceipt::from_log_entry(text)
                .map_err(|error| malformed(number, error.to_string()))?;
            lines.push(Line { number, receipt, signature, text: text.to_owned() });
        }
        Ok(Self(lines))
    }

    /// The certificates that are said to have signed, each with the agent of the first receipt that names it.
    #[must_use]
    pub fn signers(&self) -> BTreeMap<Digest, AgentId> {
        let mut signers = BTreeMap::new();
        for line in &self.0 {
            signers.entry(*line.receipt.certificate()).or_insert(line.receipt.statement().agent);
        }
        signers
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Cuts it into `many` parts of about one size, to be proved on as many threads.
    #[must_use]
    pub fn into_parts(self, many: usize) -> Vec<Part> {
        let size = self.0.len().div_ceil(many.max(1)).max(1);
        let mut lines = self.0.into_iter().peekable();
        let mut parts = Vec::new();
        while lines.peek().is_some() {
            parts.push(Part(lines.by_ref().take(size).collect()));
        }
        parts
    }
}

/// Some lines of an upload.
#[derive(Debug)]
pub struct Part(Vec<Line>);

impl Part {
    /// Checks every signature by the certificates of `known`, which go by their SHA-256.
    ///
    /// # Errors
    /// [`UploadError`] `receipt.certificate` when the named certificate is not in `known` or is another agent's,
    /// `receipt.signature` when the signature does not match.
    pub fn prove(self, known: &HashMap<Digest, KnownCertificate>) -> Result<Proved, UploadError> {
        let mut proved = Vec::with_capacity(self.0.len());
        for Line { number, receipt, signature, text } in self.0 {
            let (x5t, agent) = (*receipt.certificate(), receipt.statement().agent);
            let signer = known.get(&x5t).filter(|signer| signer.agent == agent);
            let Some(signer) = signer else {
                let text = format!("no certificate {x5t} of agent {agent} is known here");
                return Err(UploadError { line: number, code: "receipt.certificate", text });
            };
            let is_signed = signature.is_some();
            let receipt = match signature {
                None => receipt,
                Some(signature) => {
                    let plain = receipt.clone();
                    receipt.verify(&x5t, &signer.key, &signature).map_err(|error| UploadError {
                        line: number,
                        code: "receipt.signature",
                        text: error.to_string(),
                    })?;
                    plain
                }
            };
            proved.push(ProvedLine { number, receipt, tenant: signer.tenant.clone(), text, is_signed });
        }
        Ok(Proved(proved))
    }
}

/// Whom a certificate speaks for, and by which key.
#[derive(Clone, Debug)]
pub struct KnownCertificate {
    tenant: TenantId,
    agent: AgentId,
    key: PublicKey,
}

impl KnownCertificate {
    /// What a certificate that was signed says, with its SHA-256. How it stands does not matter here.
    #[must_use]
    pub fn of(record: &CertificateRecord) -> Option<(Digest, Self)> {
        let der = record.der.as_deref()?;
        let certificate = AgentCertificate::decode(der).ok()?;
        let key = certificate.decoded().key().clone();
        Some((Digest::of(der), Self { tenant: record.tenant.clone(), agent: record.agent, key }))
    }

    /// Whose agent it speaks for.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Which agent it speaks for.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.agent
    }
}

/// Lines whose own signatures are good.
#[derive(Debug)]
pub struct Proved(Vec<ProvedLine>);

#[derive(Debug)]
struct ProvedLine {
    number: usize,
    receipt: UnverifiedReceipt,
    tenant: TenantId,
    text: String,
    is_signed: bool,
}

/// What is to be kept of all the parts of an upload, in their order.
///
/// # Errors
/// [`UploadError`] `receipt.seal` for a receipt without a signature unless a seal in the same upload, of the same stream
/// and certificate, signs for it and for everything between.
pub fn records(parts: Vec<Proved>, received: UnixTime) -> Result<Vec<ReceiptRecord>, UploadError> {
    let lines: Vec<ProvedLine> = parts.into_iter().flat_map(|part| part.0).collect();
    let mut open: BTreeMap<Place, Sealable> = BTreeMap::new();
    if lines.iter().any(|line| !line.is_signed) {
        for line in &lines {
            let sealable = Sealable {
                line: line.number,
                certificate: *line.receipt.certificate(),
                may_be: line.receipt.statement().event.may_be_sealed(),
                hash: line.receipt.hash(),
                is_proved: line.is_signed,
            };
            open.entry(place(&line.receipt)).or_insert(sealable);
        }
        for line in lines.iter().filter(|line| line.is_signed) {
            apply(&line.receipt, &mut open);
        }
        // The second of two for one place is not in the table, so no seal speaks for it.
        for line in lines.iter().filter(|line| !line.is_signed) {
            let entry = open.get(&place(&line.receipt));
            if !entry.is_some_and(|entry| entry.is_proved && entry.line == line.number) {
                let text = "nothing signs for it: send its seal, and all that the seal covers, in one upload";
                return Err(UploadError { line: line.number, code: "receipt.seal", text: text.into() });
            }
        }
    }
    Ok(lines.into_iter().map(|line| record(line, received)).collect())
}

type Place = (AgentId, StreamId, u64);

fn place(receipt: &UnverifiedReceipt) -> Place {
    let statement = receipt.statement();
    (statement.agent, statement.stream, statement.sequence)
}

/// A receipt as a seal sees it.
struct Sealable {
    line: usize,
    certificate: Digest,
    may_be: bool,
    hash: kakunin_core::receipt::ReceiptHash,
    is_proved: bool,
}

/// If a receipt whose signature is good is a seal over receipts that are all here, they are proved.
fn apply(receipt: &UnverifiedReceipt, open: &mut BTreeMap<Place, Sealable>) {
    let Event::Control(Control::Seal(seal)) = receipt.statement().event else { return };
    let (agent, stream, _) = place(receipt);
    let Some(end) = seal.first.checked_add(seal.count) else { return };
    let (first, end) = ((agent, stream, seal.first), (agent, stream, end));
    // The first under a seal has no signature of its own; one that is proved was looked at before.
    if open.get(&first).is_none_or(|first| first.is_proved) {
        return;
    }
    let whole = open.range(first..end).map(|(_, entry)| &entry.hash);
    if !seal.holds(whole) {
        return;
    }
    for (_, entry) in open.range_mut(first..end).filter(|(_, entry)| !entry.is_proved) {
        entry.is_proved = entry.may_be && entry.certificate == *receipt.certificate();
    }
}

fn record(line: ProvedLine, received: UnixTime) -> ReceiptRecord {
    let statement = line.receipt.statement();
    let (kind, action, code) = match &statement.event {
        Event::Open { .. } => (ReceiptKind::Open, None, None),
        Event::Decision { action, answer: Answer::Allow, .. } => (ReceiptKind::Allow, action.clone(), None),
        Event::Decision { action, answer: Answer::Deny(code), .. } => {
            (ReceiptKind::Deny, action.clone(), Some(code.clone()))
        }
        Event::Outcome { outcome, .. } => (ReceiptKind::Outcome, None, Some(outcome.word().to_owned())),
        Event::Close { .. } => (ReceiptKind::Close, None, None),
        // A phase that a later version knows is not read at all.
        _ => (ReceiptKind::Control, None, None),
    };
    ReceiptRecord {
        tenant: line.tenant,
        agent: statement.agent,
        stream: statement.stream,
        sequence: statement.sequence,
        hash: *line.receipt.hash().digest(),
        at: statement.stamp.micros,
        kind,
        action,
        code,
        chain: statement.chain.map(|(chain, _)| chain),
        line: line.text,
        received,
    }
}

/// An upload of which nothing is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text} [{code}]; nothing of the upload was kept")]
pub struct UploadError {
    /// The first line that is refused, from 1.
    pub line: usize,
    /// Why, as a stable code.
    pub code: &'static str,
    /// Why, for people.
    pub text: String,
}
