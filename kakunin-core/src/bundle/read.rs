//! The reading end: a bundle that is canonical in every octet, as a source for the verifier.
//!
//! Opening checks the container, the manifest's digests and the small members; receipts, disclosures and paths stay in the
//! file and are read side by side, line by line. Whatever is not the one spelling is refused before the verifier sees it.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use ring::digest::{Context, SHA256};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::form::{DisclosureLine, ErasureLine, Line, ProofLine, SealLine, TotalLine, read_lines, read_log};
use super::manifest::{
    CERTIFICATES, CHECKPOINTS, CONSISTENCY, DISCLOSURES, ERASED, MANIFEST, Manifest, PROOFS, Plan, RECEIPTS,
    RECIPE, SEALS, TOTALS, list_member, list_name, log_member,
};
use super::seals::Sealer;
use super::zip::{Member, MemberReader, Zip, ZipError};
use crate::digest::Digest;
use crate::file;
use crate::id::StreamId;
use crate::journal::{Proof, erased_root};
use crate::key::Signature;
use crate::receipt::{Disclosure, UnverifiedReceipt};
use crate::verify::{
    ChainLength, Extent, Invalid, Item, Logged, Next, Place, Report, Shown, ShownLog, Source, Stop,
    Verification, Visitor, Watch,
};

/// A bundle whose form is right. What is in it, nobody believes yet.
#[derive(Debug)]
pub struct Bundle {
    zip: Zip,
    plan: Plan,
    certificates: HashMap<Digest, Vec<u8>>,
    logs: Vec<(String, String)>,
    seals: HashMap<(StreamId, u64), Vec<Digest>>,
    totals: HashMap<StreamId, ChainLength>,
    erasures: BTreeMap<Digest, Vec<Digest>>,
}

impl Bundle {
    /// Reads the bundle at `path`.
    ///
    /// # Errors
    /// [`BundleError::Io`] when the file cannot be read, [`BundleError::Invalid`] when it is any other file than the
    /// canonical one of what it holds.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let zip = Zip::open(file::open(path)?).map_err(|error| match error {
            ZipError::Io(error) => BundleError::Io(error),
            ZipError::Form(what) => BundleError::refuse("bundle.zip", "", what),
        })?;
        let plan = read_plan(&zip)?;
        let bundle = |text: &str| read_text(&zip, text);
        if bundle(RECIPE)? != super::export::RECIPE_TEXT {
            return Err(refuse(RECIPE));
        }
        let certificates = read_certificates(&bundle(CERTIFICATES)?).ok_or_else(|| refuse(CERTIFICATES))?;
        let mut logs = Vec::with_capacity(plan.logs.len());
        for log in 0..plan.logs.len() {
            let checkpoints = log_member(log, CHECKPOINTS);
            let parts = (bundle(&checkpoints)?, bundle(&log_member(log, CONSISTENCY))?);
            read_log(&parts.0, &parts.1).ok_or_else(|| refuse(&checkpoints))?;
            logs.push(parts);
        }
        let seals = read_lines::<SealLine>(&bundle(SEALS)?).ok_or_else(|| refuse(SEALS))?;
        let totals = read_lines::<TotalLine>(&bundle(TOTALS)?).ok_or_else(|| refuse(TOTALS))?;
        let ascends =
            seals.iter().zip(seals.iter().skip(1)).all(|(a, b)| (a.stream, a.seal) < (b.stream, b.seal));
        let ordered = totals.iter().zip(totals.iter().skip(1)).all(|(a, b)| a.stream < b.stream);
        // Whole streams have all hashes and all counters in them.
        if !ascends || !ordered || (plan.chain.is_none() && !(seals.is_empty() && totals.is_empty())) {
            return Err(refuse(if ascends { TOTALS } else { SEALS }));
        }
        Ok(Self {
            certificates,
            logs,
            seals: seals.into_iter().map(|line| ((line.stream, line.seal), line.hashes)).collect(),
            totals: totals.into_iter().map(|line| (line.stream, line.length)).collect(),
            erasures: read_erasures(&zip)?,
            plan,
            zip,
        })
    }

    /// The names of the logs that hold its receipts: whose keys a verifier may want.
    #[must_use]
    pub fn logs(&self) -> &[String] {
        &self.plan.logs
    }

    /// How many receipts it says it holds.
    #[must_use]
    pub fn receipts(&self) -> u64 {
        self.plan
            .streams
            .iter()
            .map(|(_, receipts)| receipts)
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Verifies everything in it by `terms`.
    ///
    /// # Errors
    /// Only when it cannot be read on; everything else is in the report.
    pub fn verify(&self, terms: &Verification<'_>, watch: &mut dyn Watch) -> io::Result<Report> {
        terms.run(&[self], watch)
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.zip.members().iter().find(|member| member.name == name)
    }

    fn lines(&self, name: &str) -> Result<Lines, Stop> {
        let member = self.member(name).ok_or_else(|| invalid("bundle.member", name))?;
        Ok(Lines {
            reader: BufReader::with_capacity(BUFFER, self.zip.reader(member, 0)),
            name: name.to_owned(),
        })
    }

    /// Reads one stream; its lines begin at line `first`.
    fn stream(
        &self,
        stream: StreamId,
        lines: std::ops::Range<u64>,
        cursors: &mut Cursors,
        visitor: &mut dyn Visitor,
    ) -> Result<(), Stop> {
        visitor.begin(stream);
        let mut sealer = Sealer::new(stream, &self.seals, self.plan.chain.is_none());
        let (mut fault, mut next) = (None, Next::Receipt);
        for line in lines {
            let text = cursors.receipts.next()?.ok_or_else(|| invalid("bundle.receipts", RECEIPTS))?;
            let disclosures = cursors.disclosures.at(line, |found: &DisclosureLine| found.line)?;
            let mut logged = Vec::new();
            for (log, proofs) in cursors.proofs.iter_mut().enumerate() {
                let found: Option<ProofLine> = proofs.at(line, |found: &ProofLine| found.line)?;
                logged.extend(found.map(|found| Logged { log, index: found.index, path: Some(found.path) }));
            }
            if next == Next::Stream || fault.is_some() {
                continue;
            }
            match item(&text, disclosures, logged) {
                Ok(item) => match sealer.push(item) {
                    Ok(()) => {}
                    Err(code) => fault = Some(code),
                },
                Err(code) => fault = Some(code),
            }
            while let Some(item) = sealer.pop().filter(|_| next == Next::Receipt) {
                next = visitor.item(item);
            }
        }
        if next == Next::Receipt && fault.is_none() && !sealer.is_empty() {
            fault = Some("receipt.seal");
        }
        visitor.end(0, fault);
        Ok(())
    }
}

/// One receipt from its line, and from those about it.
fn item(text: &str, disclosures: Option<DisclosureLine>, logged: Vec<Logged>) -> Result<Item, &'static str> {
    let malformed = |_| "receipt.malformed";
    let (receipt, proof) = match text.matches('.').count() {
        // Nothing after the payload: nobody signed it.
        1 => {
            let receipt = UnverifiedReceipt::from_signing_input(text.as_bytes()).map_err(malformed)?;
            (receipt, Proof::Unsigned)
        }
        _ => {
            let (receipt, signature): (_, Option<Signature>) =
                UnverifiedReceipt::from_log_entry(text).map_err(malformed)?;
            // Which seal it is under, the seal says when it comes; until then it is its own.
            let sealed = Proof::Sealed(receipt.hash());
            (receipt, signature.map_or(sealed, Proof::Signed))
        }
    };
    let texts = disclosures.map(|line| line.disclosures).unwrap_or_default();
    let disclosures: Result<Vec<_>, _> =
        texts.iter().map(|text| Disclosure::parse(text.as_bytes())).collect();
    Ok(Item { receipt, proof, disclosures: disclosures.map_err(|_| "journal.disclosure")?, logged })
}

impl Source for Bundle {
    fn extent(&self) -> Extent {
        self.plan.chain.map_or(Extent::Streams, Extent::Chain)
    }

    fn is_of_one_agent(&self) -> bool {
        false
    }

    fn logs(&self) -> Result<Vec<ShownLog>, Stop> {
        let read = |(checkpoints, consistency): &(String, String)| read_log(checkpoints, consistency);
        let logs: Option<Vec<_>> = self.logs.iter().map(read).collect();
        logs.ok_or_else(|| invalid("bundle.form", CHECKPOINTS))
    }

    fn chain_length(&self, stream: StreamId) -> Option<ChainLength> {
        self.totals.get(&stream).cloned()
    }

    fn walk(&self, visitor: &mut dyn Visitor) -> Result<(), Stop> {
        let mut cursors = Cursors {
            receipts: self.lines(RECEIPTS)?,
            disclosures: Beside::new(self.lines(DISCLOSURES)?),
            proofs: (0..self.plan.logs.len())
                .map(|log| Ok(Beside::new(self.lines(&log_member(log, PROOFS))?)))
                .collect::<Result<_, Stop>>()?,
        };
        let mut first: u64 = 0;
        for (stream, receipts) in &self.plan.streams {
            let end = first.checked_add(*receipts).ok_or_else(|| invalid("bundle.manifest", MANIFEST))?;
            self.stream(*stream, first..end, &mut cursors, visitor)?;
            first = end;
        }
        cursors.end()
    }

    fn papers(&self) -> (Vec<Digest>, Vec<Digest>) {
        let mut certificates: Vec<Digest> = self.certificates.keys().copied().collect();
        certificates.sort_unstable();
        (certificates, self.zip.members().iter().filter_map(|member| list_name(&member.name)).collect())
    }

    fn certificate(&self, name: &Digest) -> Option<Vec<u8>> {
        self.certificates.get(name).cloned()
    }

    fn list(&self, name: &Digest) -> Option<Vec<u8>> {
        let member = self.member(&list_member(name))?;
        let mut der = Vec::new();
        self.zip.reader(member, 0).read_to_end(&mut der).ok()?;
        Some(der)
    }

    fn shown(&self) -> Shown {
        Shown::Some
    }

    fn erasures(&self) -> Vec<Digest> {
        self.erasures.keys().copied().collect()
    }

    fn erased(&self, root: &Digest) -> Option<Vec<Digest>> {
        self.erasures.get(root).cloned()
    }

    fn has_strangers(&self) -> bool {
        false
    }
}

/// The members that are read side by side.
struct Cursors {
    receipts: Lines,
    disclosures: Beside<DisclosureLine>,
    proofs: Vec<Beside<ProofLine>>,
}

impl Cursors {
    /// Nothing may be left in any of them.
    fn end(mut self) -> Result<(), Stop> {
        if self.receipts.next()?.is_some() {
            return Err(invalid("bundle.receipts", RECEIPTS));
        }
        self.disclosures.end()?;
        self.proofs.into_iter().try_for_each(Beside::end)
    }
}

/// The lines of a member, each of a length that no real one passes.
struct Lines {
    reader: BufReader<MemberReader>,
    name: String,
}

impl Lines {
    fn next(&mut self) -> Result<Option<String>, Stop> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        let text = String::from_utf8(line).ok();
        let text = text.and_then(|text| text.strip_suffix('\n').map(str::to_owned));
        text.map(Some).ok_or_else(|| invalid("bundle.form", &self.name))
    }
}

/// Lines about some of the receipts, in their order.
struct Beside<T> {
    lines: Lines,
    waiting: Option<T>,
    started: bool,
}

impl<T: Line> Beside<T> {
    const fn new(lines: Lines) -> Self {
        Self { lines, waiting: None, started: false }
    }

    /// The line about the receipt on line `wanted`, if there is one.
    fn at(&mut self, wanted: u64, line_of: impl Fn(&T) -> u64) -> Result<Option<T>, Stop> {
        if !self.started {
            self.started = true;
            self.advance()?;
        }
        match self.waiting.take_if(|found| line_of(found) == wanted) {
            Some(found) => {
                self.advance()?;
                Ok(Some(found))
            }
            None if self.waiting.as_ref().is_some_and(|found| line_of(found) < wanted) => Err(self.refuse()),
            None => Ok(None),
        }
    }

    fn advance(&mut self) -> Result<(), Stop> {
        self.waiting = match self.lines.next()? {
            None => None,
            Some(line) => Some(T::read(&line).ok_or_else(|| self.refuse())?),
        };
        Ok(())
    }

    fn end(mut self) -> Result<(), Stop> {
        if !self.started {
            self.advance()?;
        }
        if self.waiting.is_some() { Err(self.refuse()) } else { Ok(()) }
    }

    fn refuse(&self) -> Stop {
        invalid("bundle.form", &self.lines.name)
    }
}

/// Reads the manifest and holds every member against it.
fn read_plan(zip: &Zip) -> Result<Plan, BundleError> {
    let wrong = |what| BundleError::refuse("bundle.manifest", MANIFEST, what);
    let mut members = zip.members().iter();
    let first = members.next().filter(|member| member.name == MANIFEST);
    let manifest = read_member(zip, first.ok_or_else(|| wrong("it is not the first member"))?, MAX_MANIFEST)?;
    let plan = Manifest::read(&manifest).ok_or_else(|| wrong("it is not in its one spelling"))?;
    let found: Vec<&Member> = members.collect();
    if plan.expected(found.iter().map(|member| member.name.as_str()))
        != found.iter().map(|member| member.name.clone()).collect::<Vec<_>>()
    {
        let stranger =
            found.iter().find(|member| !plan.members.iter().any(|(name, ..)| *name == member.name));
        let name = stranger.map_or(MANIFEST, |member| member.name.as_str());
        return Err(BundleError::refuse(
            "bundle.member",
            name,
            "other members than a bundle has, or in another order",
        ));
    }
    if found.len() != plan.members.len() {
        return Err(wrong("it lists other members"));
    }
    for (member, (name, digest, size)) in found.into_iter().zip(&plan.members) {
        let mut hash = Context::new(&SHA256);
        let whole = zip.check(member, &mut |octets| hash.update(octets))?;
        if !whole
            || member.name != *name
            || u64::from(member.size) != *size
            || hash.finish().as_ref() != digest.as_bytes()
        {
            return Err(BundleError::refuse(
                "bundle.digest",
                &member.name,
                "it is not what the manifest says",
            ));
        }
    }
    if !zip.members().first().is_some_and(|member| zip.check(member, &mut |_| {}).unwrap_or(false)) {
        return Err(wrong("its checksum is another"));
    }
    Ok(plan)
}

fn read_member(zip: &Zip, member: &Member, most: u32) -> Result<Vec<u8>, BundleError> {
    if member.size > most {
        return Err(BundleError::refuse("bundle.member", &member.name, "it is larger than it may be"));
    }
    let mut octets = Vec::new();
    zip.reader(member, 0).read_to_end(&mut octets)?;
    Ok(octets)
}

fn read_text(zip: &Zip, name: &str) -> Result<String, BundleError> {
    let member = zip.members().iter().find(|member| member.name == name).ok_or_else(|| refuse(name))?;
    String::from_utf8(read_member(zip, member, MAX_SMALL)?).map_err(|_| refuse(name))
}

/// Certificates ascending by hash, in the one spelling of PEM.
fn read_certificates(pem: &str) -> Option<HashMap<Digest, Vec<u8>>> {
    let found: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates: HashMap<Digest, Vec<u8>> =
        found.ok()?.iter().map(|der| (Digest::of(der), der.to_vec())).collect();
    (super::export::certificates_pem(&certificates) == pem).then_some(certificates)
}

/// The erasures, each under its root, ascending; a bundle without any has no such member.
fn read_erasures(zip: &Zip) -> Result<BTreeMap<Digest, Vec<Digest>>, BundleError> {
    let mut erasures = BTreeMap::new();
    let Some(member) = zip.members().iter().find(|member| member.name == ERASED) else { return Ok(erasures) };
    let reader = BufReader::with_capacity(BUFFER, zip.reader(member, 0));
    let mut lines = Lines { reader, name: ERASED.to_owned() };
    let form = |stop| match stop {
        Stop::Io(error) => BundleError::Io(error),
        Stop::Invalid(_) => refuse(ERASED),
    };
    while let Some(line) = lines.next().map_err(form)? {
        let ErasureLine { commitments } = ErasureLine::read(&line).ok_or_else(|| refuse(ERASED))?;
        let root = erased_root(&commitments);
        if erasures.last_key_value().is_some_and(|(last, _)| *last >= root) {
            return Err(refuse(ERASED));
        }
        erasures.insert(root, commitments);
    }
    if erasures.is_empty() { Err(refuse(ERASED)) } else { Ok(erasures) }
}

fn refuse(name: &str) -> BundleError {
    BundleError::refuse("bundle.form", name, "it is not in its one spelling")
}

fn invalid(code: &'static str, member: &str) -> Stop {
    Stop::Invalid(Invalid { code, place: Place::Member(member.to_owned()) })
}

/// A bundle that is refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The system refuses.
    #[error("cannot read the bundle: {0}")]
    Io(#[from] io::Error),
    /// It is no bundle, or was changed.
    #[error("{invalid}: {what}")]
    Invalid {
        /// The code, and where.
        invalid: Invalid,
        /// What is wrong.
        what: &'static str,
    },
}

impl BundleError {
    fn refuse(code: &'static str, member: &str, what: &'static str) -> Self {
        let place = if member.is_empty() { Place::Evidence } else { Place::Member(member.to_owned()) };
        Self::Invalid { invalid: Invalid { code, place }, what }
    }

    /// The report of a bundle that is refused before anything in it is judged.
    ///
    /// # Errors
    /// The system's refusal, which is no judgement.
    pub fn into_report(self) -> io::Result<Report> {
        match self {
            Self::Io(error) => Err(error),
            Self::Invalid { invalid, .. } => Ok(Report::refused(invalid)),
        }
    }
}

const BUFFER: usize = 1 << 16;

/// A receipt's line is at most 88 KB, a line of four disclosures of 20 KiB each some 110 KB, one of an erasure 740 KB.
const MAX_LINE: u64 = 1 << 20;

/// 16,384 members at less than 200 octets each, and as many streams.
const MAX_MANIFEST: u32 = 8 << 20;

/// Certificates, checkpoints and seals of one incident stay far below.
const MAX_SMALL: u32 = 64 << 20;
