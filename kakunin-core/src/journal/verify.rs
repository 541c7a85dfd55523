//! The verifier of a journal folder: offline, from pinned roots, with nothing but what lies in it.
//!
//! Each receipt is checked as written: place in its stream, certificate and path, signature, the list its decision
//! names, and what it says about other receipts. The answer never is a bare "valid": a local journal cannot show that
//! its end was not cut off, so the best it reaches is "authentic, not complete" with the reasons. Times are the
//! writer's claims and are reported as such.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use super::archive::Archive;
use super::pen::genesis;
use super::read::{Entry, Proof, ReadError, StreamReader, locate};
use super::report::{Invalid, Reason, Report, StreamSummary};
use super::writer::chains_root;
use crate::certificate::{AgentCertificate, AgentPath, Decoded, TrustAnchors};
use crate::digest::Digest;
use crate::id::{AgentId, ChainId};
use crate::receipt::{Answer, Control, Event, ListUse, Mode, ReceiptHash, Statement, Totals};
use crate::revocation::{Standing, UnverifiedList};
use crate::time::UnixTime;
use crate::tree;

/// Verifies the journal of an agent's directory, of its state directory, or the journal folder itself.
///
/// # Errors
/// Only when nothing can be judged, because a file cannot be read; everything else is in the report.
pub fn verify(path: &Path, anchors: &TrustAnchors) -> io::Result<Report> {
    let no_journal = || io::Error::new(io::ErrorKind::NotFound, "no journal is there");
    let journal = locate(path).ok_or_else(no_journal)?;
    let mut verifier = Verifier {
        archive: Archive::of(&journal),
        anchors,
        pool: Vec::new(),
        paths: HashMap::new(),
        lists: HashMap::new(),
        seen: HashSet::new(),
        agent: None,
        parents: HashSet::new(),
        report: Report::default(),
    };
    verifier.pool = verifier.archive.certificates();
    for reader in StreamReader::streams(&journal)? {
        let mut stream = StreamCheck::new(&reader);
        match verifier.stream(reader, &mut stream) {
            Ok(()) => {}
            Err(Stop::Io(error)) => return Err(error),
            Err(Stop::Invalid(invalid)) => {
                verifier.report.invalid.get_or_insert(invalid);
            }
        }
        verifier.report.streams.push(stream.summary);
    }
    if verifier.report.invalid.is_none() {
        verifier.archive();
        let dangling = verifier.parents.difference(&verifier.seen).count();
        if dangling > 0 {
            verifier.report.reasons.push(Reason::DanglingParents { count: dangling });
        }
    }
    Ok(verifier.report)
}

struct Verifier<'a> {
    archive: Archive,
    anchors: &'a TrustAnchors,
    pool: Vec<Vec<u8>>,
    paths: HashMap<Digest, Option<AgentPath>>,
    lists: HashMap<(Digest, Digest), Option<CheckedList>>,
    seen: HashSet<ReceiptHash>,
    parents: HashSet<ReceiptHash>,
    agent: Option<AgentId>,
    report: Report,
}

/// What a list that was verified by its issuer says about one certificate.
#[derive(Clone, Copy)]
struct CheckedList {
    list: ListUse,
    standing: Standing,
}

enum Stop {
    Io(io::Error),
    Invalid(Invalid),
}

/// The state of one stream while it is read.
struct StreamCheck {
    summary: StreamSummary,
    next: u64,
    previous: Digest,
    certificate: Option<Digest>,
    last_list: Option<ListUse>,
    chains: HashMap<ChainId, u64>,
    waiting: HashMap<ReceiptHash, u64>,
    unsigned: Vec<(u64, ReceiptHash)>,
    redacted: u64,
    reasons: Vec<Reason>,
}

impl StreamCheck {
    fn new(reader: &StreamReader) -> Self {
        Self {
            summary: StreamSummary {
                stream: reader.stream(),
                agent: None,
                receipts: 0,
                allowed: 0,
                denied: 0,
                outcomes: 0,
                unsigned: 0,
                closed: false,
                claimed: None,
            },
            next: 0,
            previous: Digest::from_bytes([0; 32]),
            certificate: None,
            last_list: None,
            chains: HashMap::new(),
            waiting: HashMap::new(),
            unsigned: Vec::new(),
            redacted: 0,
            reasons: Vec::new(),
        }
    }

    /// What keeps this stream from being complete.
    fn reasons(&mut self, torn: u64) -> Vec<Reason> {
        let stream = self.summary.stream;
        let mut reasons = vec![Reason::TailNotWitnessed { stream }];
        if !self.summary.closed {
            reasons.push(Reason::Open { stream });
        }
        if torn > 0 {
            reasons.push(Reason::Torn { stream, bytes: torn });
        }
        reasons.append(&mut self.reasons);
        if !self.unsigned.is_empty() {
            let indices = self.unsigned.iter().map(|(index, _)| *index).collect();
            reasons.push(Reason::Unsigned { stream, indices });
        }
        if !self.waiting.is_empty() {
            let mut indices: Vec<u64> = self.waiting.values().copied().collect();
            indices.sort_unstable();
            reasons.push(Reason::OutcomeMissing { stream, indices });
        }
        if self.redacted > 0 {
            reasons.push(Reason::Redacted { stream, count: self.redacted });
        }
        reasons
    }
}

impl Verifier<'_> {
    fn stream(&mut self, mut reader: StreamReader, check: &mut StreamCheck) -> Result<(), Stop> {
        for entry in reader.by_ref() {
            let entry = entry.map_err(|error| match error {
                ReadError::Io(error) => Stop::Io(error),
                ReadError::Fault { code, stream, index } => Stop::Invalid(Invalid { code, stream, index }),
            })?;
            let index = check.next;
            self.entry(entry, check)
                .map_err(|code| Stop::Invalid(Invalid { code, stream: check.summary.stream, index }))?;
        }
        if check.next > 0 {
            let reasons = check.reasons(reader.torn());
            self.report.reasons.extend(reasons);
        }
        Ok(())
    }

    /// One receipt; the error is a code.
    fn entry(&mut self, entry: Entry, check: &mut StreamCheck) -> Result<(), Code> {
        let statement = entry.receipt().statement().clone();
        let (hash, x5t) = (entry.receipt().hash(), *entry.receipt().certificate());
        self.place(&statement, hash, check)?;
        let redacted = disclosures(&entry)?;
        let (receipt, proof) = entry.into_receipt();
        self.signer(&statement, &x5t, check)?;
        let path = self.path(&x5t, statement.stamp.time()).ok_or("receipt.certificate")?;
        if path.agent().agent() != statement.agent {
            return Err("receipt.subject");
        }
        if statement.sequence == 0 && !opens(&statement, path.agent().decoded().der()) {
            return Err("receipt.previous");
        }
        let index = check.next;
        match proof {
            Proof::Signed(signature) => {
                let key = path.agent().decoded().key();
                receipt.verify(&x5t, key, &signature).map_err(|_| "receipt.signature")?;
            }
            // The reader compared certificate and root with those of a seal that is signed, and whose signature is
            // checked in its turn: if it does not match, nothing of the journal counts.
            Proof::Sealed(_) => {}
            Proof::Unsigned => {
                check.summary.unsigned += 1;
                check.unsigned.push((index, hash));
            }
        }
        self.event(&statement, hash, &path, check)?;
        self.seen.insert(hash);
        check.redacted += redacted;
        check.previous = *hash.digest();
        check.next = index.saturating_add(1);
        count(&mut check.summary, &statement);
        Ok(())
    }

    /// Stream, sequence and previous hash.
    fn place(&mut self, statement: &Statement, hash: ReceiptHash, check: &StreamCheck) -> Result<(), Code> {
        if statement.stream != check.summary.stream {
            return Err("receipt.stream");
        }
        if self.seen.contains(&hash) {
            return Err("journal.duplicate_receipt");
        }
        if statement.sequence < check.next {
            return Err("journal.duplicate_sequence");
        }
        if statement.sequence > check.next {
            return Err("receipt.sequence");
        }
        if statement.sequence > 0 && statement.previous != check.previous {
            return Err("receipt.previous");
        }
        // A journal is one agent's; another's streams were put in from elsewhere.
        if *self.agent.get_or_insert(statement.agent) != statement.agent {
            return Err("journal.merged");
        }
        let recovered = matches!(statement.event, Event::Control(Control::Recovered { .. }));
        let opens = matches!(statement.event, Event::Open { .. });
        if opens != (check.next == 0) || (check.summary.closed && !recovered) {
            return Err("receipt.phase");
        }
        Ok(())
    }

    /// The certificate may change where the old key announced it, or where a recovery took over.
    fn signer(&self, statement: &Statement, x5t: &Digest, check: &mut StreamCheck) -> Result<(), Code> {
        let recovered = matches!(statement.event, Event::Control(Control::Recovered { .. }));
        let expected = check.certificate.get_or_insert(*x5t);
        if expected != x5t && !recovered {
            return Err("receipt.certificate");
        }
        *expected = *x5t;
        if let Event::Control(Control::Rotate { next }) = &statement.event {
            *expected = *next;
        }
        Ok(())
    }

    /// The proven path of an archived certificate. Whether it was valid at the time is judged by what was decided.
    fn path(&mut self, x5t: &Digest, at: UnixTime) -> Option<AgentPath> {
        if let Some(known) = self.paths.get(x5t) {
            return known.clone();
        }
        let path = self.archive.certificate(x5t).and_then(|der| {
            let certificate = AgentCertificate::decode(&der).ok()?;
            let validity = certificate.decoded().validity();
            let at = at.max(validity.not_before).min(validity.not_after);
            let issuers = self.pool.iter().map(Vec::as_slice).filter(|other| issued(other, &certificate));
            certificate.clone().verify_path(issuers, self.anchors, at).ok()
        });
        self.paths.insert(*x5t, path.clone());
        path
    }

    fn event(
        &mut self,
        statement: &Statement,
        hash: ReceiptHash,
        path: &AgentPath,
        check: &mut StreamCheck,
    ) -> Result<(), Code> {
        if let Some((chain, Some(counter))) = statement.chain {
            let next = check.chains.get(&chain).map_or(0, |last| last + 1);
            if counter != next {
                return Err("receipt.chain");
            }
            check.chains.insert(chain, counter);
        }
        match &statement.event {
            Event::Open { .. } => {}
            Event::Decision { answer, mode, list, .. } => {
                self.parents.extend(statement.parents.iter().copied());
                let list = list.as_ref().map(|list| self.list(list, path, check)).transpose()?;
                if *answer == Answer::Allow {
                    may_allow(statement.stamp.time(), path, list)?;
                }
                // A denial that was enforced has no outcome, nor has a question.
                if *mode == Mode::Observe || (*mode == Mode::Enforce && *answer == Answer::Allow) {
                    check.waiting.insert(hash, check.next);
                }
            }
            Event::Outcome { decision, .. } => {
                check.waiting.remove(decision).ok_or("receipt.outcome")?;
            }
            Event::Control(Control::Recovered { cut, unsigned, digest }) => {
                let found = tree::root(check.unsigned.iter().map(|(_, hash)| &hash.digest().as_bytes()[..]));
                if *unsigned != check.unsigned.len() as u64 || *digest != found {
                    return Err("receipt.recovered");
                }
                let (stream, cut, unsigned) = (statement.stream, *cut, *unsigned);
                check.reasons.push(Reason::Recovered { stream, cut, unsigned });
            }
            Event::Control(Control::List(list)) => {
                self.list(list, path, check)?;
            }
            Event::Control(Control::Join) => self.parents.extend(statement.parents.iter().copied()),
            Event::Control(
                Control::Rotate { .. } | Control::Clock { .. } | Control::Erased { .. } | Control::Seal(_),
            ) => {}
            Event::Close { totals: Some(totals) } => {
                if *totals != counted(check) {
                    return Err("receipt.close");
                }
            }
            Event::Close { totals: None } => {
                // Only recovery cannot count.
                if !check.reasons.iter().any(|reason| matches!(reason, Reason::Recovered { .. })) {
                    return Err("receipt.close");
                }
            }
        }
        Ok(())
    }

    /// The list a receipt names: kept here, signed by the agent's authority, as described, and no older than the last.
    fn list(
        &mut self,
        named: &ListUse,
        path: &AgentPath,
        check: &mut StreamCheck,
    ) -> Result<CheckedList, Code> {
        let key = (named.digest, path.agent().decoded().thumbprint());
        let checked = match self.lists.get(&key) {
            Some(known) => *known,
            None => {
                let checked = self.archive.list(&named.digest).and_then(|der| check_list(&der, path));
                self.lists.insert(key, checked);
                checked
            }
        };
        let checked = checked.filter(|checked| checked.list == *named).ok_or("receipt.list")?;
        if let Some(last) = check.last_list {
            if named.number < last.number {
                return Err("receipt.list_number");
            }
            if named.number == last.number && named.digest != last.digest {
                return Err("receipt.list");
            }
        }
        check.last_list = Some(*named);
        Ok(checked)
    }

    /// Everything kept must be what its name says, used or not.
    fn archive(&mut self) {
        let Some(stream) = self.report.streams.first().map(|summary| summary.stream) else { return };
        let paths: Vec<&AgentPath> = self.paths.values().flatten().collect();
        let issuers: Vec<_> =
            paths.iter().flat_map(|path| [path.issuing().list_issuer(), path.root().list_issuer()]).collect();
        let is_list = |der: &[u8], name: &Digest| {
            UnverifiedList::decode(der).is_ok_and(|list| {
                // A list whose issuer signed no certificate here served nothing here.
                let issuer = issuers.iter().find(|issuer| list.names(issuer));
                list.digest() == *name && issuer.is_none_or(|issuer| list.verify(issuer).is_ok())
            })
        };
        if !self.archive.is_whole(is_list) {
            self.report.invalid = Some(Invalid { code: "journal.archive", stream, index: 0 });
        }
    }
}

/// A stable code of what is wrong.
type Code = &'static str;

/// Each disclosure must be one the receipt commits to; gives how many commitments have none.
fn disclosures(entry: &Entry) -> Result<u64, Code> {
    let mut open: Vec<(&str, Digest)> = Vec::new();
    match &entry.receipt().statement().event {
        Event::Decision { amount, currency, counterparties, resources, .. } => {
            let names = ["amount", "currency", "counterparties", "resources"];
            let digests = [amount, currency, counterparties, resources];
            open.extend(names.into_iter().zip(digests).filter_map(|(name, digest)| Some((name, (*digest)?))));
        }
        Event::Outcome { output: Some(output), .. } => open.push(("output", output.digest)),
        _ => {}
    }
    for disclosure in entry.disclosures() {
        let matching =
            |(name, digest): &(&str, Digest)| *name == disclosure.name() && digest == disclosure.digest();
        let place = open.iter().position(matching).ok_or("journal.disclosure")?;
        open.swap_remove(place);
    }
    Ok(open.len() as u64)
}

/// Whether the first receipt names this certificate and its own nonce as what came before.
fn opens(statement: &Statement, certificate: &[u8]) -> bool {
    match statement.event {
        Event::Open { nonce, .. } => statement.previous == genesis(certificate, &nonce),
        _ => false,
    }
}

/// An allowance needs a certificate and a list that were good at the claimed time, and that list's word.
fn may_allow(at: UnixTime, path: &AgentPath, list: Option<CheckedList>) -> Result<(), Code> {
    let validity = path.agent().decoded().validity();
    if at.plus(CLOCK_TOLERANCE) < validity.not_before || at > validity.not_after {
        return Err("receipt.validity");
    }
    let checked = list.ok_or("receipt.list")?;
    if at.plus(CLOCK_TOLERANCE) < checked.list.this_update || at >= checked.list.next_update {
        return Err("receipt.list_stale");
    }
    if checked.standing == Standing::Good { Ok(()) } else { Err("receipt.standing") }
}

fn check_list(der: &[u8], path: &AgentPath) -> Option<CheckedList> {
    let list = UnverifiedList::decode(der).ok()?.verify(&path.issuing().list_issuer()).ok()?;
    let standing = list.standing(&path.agent().decoded().serial());
    Some(CheckedList { list: ListUse::of(&list), standing })
}

/// Candidates for the issuer, so that a long-lived archive stays within the bounds of path building.
fn issued(other: &[u8], certificate: &AgentCertificate) -> bool {
    Decoded::from_der(other).is_ok_and(|other| other.subject() == certificate.decoded().issuer())
}

fn counted(check: &StreamCheck) -> Totals {
    Totals {
        allow: check.summary.allowed,
        deny: check.summary.denied,
        outcome: check.summary.outcomes,
        chains: check.chains.len() as u64,
        chains_root: chains_root(&check.chains),
    }
}

fn count(summary: &mut StreamSummary, statement: &Statement) {
    let at = statement.stamp.time();
    let (first, last) = summary.claimed.unwrap_or((at, at));
    summary.claimed = Some((first.min(at), last.max(at)));
    summary.agent = Some(statement.agent);
    summary.receipts += 1;
    summary.closed = matches!(statement.event, Event::Close { .. });
    match &statement.event {
        Event::Decision { answer: Answer::Allow, .. } => summary.allowed += 1,
        Event::Decision { answer: Answer::Deny(_), .. } => summary.denied += 1,
        Event::Outcome { .. } => summary.outcomes += 1,
        _ => {}
    }
}

/// notBefore and thisUpdate tolerate clocks that lag by this many seconds (WIRE 3).
const CLOCK_TOLERANCE: i64 = 120;
