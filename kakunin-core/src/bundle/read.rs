//! The reading end: a bundle that is canonical in every octet, as a source for the verifier.
//!
//! Opening checks the container, the manifest's digests and the small members; receipts, disclosures and paths stay in the
//! file and are read side by side, line by line. Whatever is not the one spelling is refused before the verifier sees it.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::Path;

use ring::digest::{Context, SHA256};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::form::{DisclosureLine, ErasureLine, Line, ProofLine, TotalLine, read_lines, read_log};
use super::lines::{Beside, Lines, Seals, changed};
use super::manifest::{
    CERTIFICATES, CHECKPOINTS, CONSISTENCY, DISCLOSURES, ERASED, FEED, MANIFEST, MAX_SMALL, Manifest, PROOFS,
    Plan, RECEIPTS, RECIPE, SEALS, TOTALS, is_read_by_line, list_member, list_name, log_member,
};
use super::seals::Sealer;
use super::zip::{Member, Zip, ZipError};
use crate::digest::Digest;
use crate::feed::UnverifiedItem;
use crate::file;
use crate::id::StreamId;
use crate::journal::{Proof, erased_root};
use crate::key::Signature;
use crate::log::Checkpoint;
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
    /// Where each member is, and its SHA-256.
    members: HashMap<String, (usize, Digest)>,
    certificates: HashMap<Digest, Vec<u8>>,
    logs: Vec<(String, String)>,
    totals: HashMap<StreamId, ChainLength>,
    erasures: BTreeMap<Digest, Vec<Digest>>,
    /// How many items of feeds there are.
    items: usize,
}

impl Bundle {
    /// Reads the bundle at `path`.
    ///
    /// # Errors
    /// [`BundleError::Io`] when the file cannot be read, [`BundleError::NoBundle`] when it is no ZIP or only a part of one,
    /// [`BundleError::Invalid`] when it is any other file than the canonical one of what it holds.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let zip = Zip::open(file::open(path)?).map_err(|error| match error {
            ZipError::Io(error) => BundleError::Io(error),
            ZipError::NoEnd => BundleError::NoBundle,
            ZipError::Form(what) => BundleError::refuse("bundle.zip", "", what),
        })?;
        let plan = read_plan(&zip)?;
        let bundle = |text: &str| read_text(&zip, &plan, text);
        if bundle(RECIPE)? != super::export::RECIPE_TEXT {
            return Err(refuse(RECIPE));
        }
        let certificates = read_certificates(&bundle(CERTIFICATES)?).ok_or_else(|| refuse(CERTIFICATES))?;
        let mut logs = Vec::with_capacity(plan.logs.len());
        for log in 0..plan.logs.len() {
            let checkpoints = log_member(log, CHECKPOINTS);
            let parts = (bundle(&checkpoints)?, bundle(&log_member(log, CONSISTENCY))?);
            let shown = read_log(&parts.0, &parts.1).ok_or_else(|| refuse(&checkpoints))?;
            // Whoever verifies is asked for keys by these names, before anybody has checked a signature.
            let last = shown.checkpoints.last().and_then(|note| Checkpoint::parse(note.text()).ok());
            let same = |last: &Checkpoint| {
                plan.logs.get(log) == Some(&last.origin) && plan.sizes.get(log) == Some(&last.size)
            };
            if !last.as_ref().is_some_and(same) {
                let what = "its last checkpoint is of another log or size than the manifest says";
                return Err(BundleError::refuse("bundle.manifest", &checkpoints, what));
            }
            logs.push(parts);
        }
        let totals = read_lines::<TotalLine>(&bundle(TOTALS)?).ok_or_else(|| refuse(TOTALS))?;
        let ordered = totals.iter().zip(totals.iter().skip(1)).all(|(a, b)| a.stream < b.stream);
        // Whole streams have all hashes and all counters in them.
        if !ordered || (plan.chain.is_none() && !totals.is_empty()) {
            return Err(refuse(TOTALS));
        }
        let totals = totals.into_iter().map(|line| (line.stream, line.length)).collect();
        let places: HashMap<&str, usize> =
            zip.members().iter().enumerate().map(|(at, member)| (member.name.as_str(), at)).collect();
        let members = plan.members.iter();
        let members = members
            .filter_map(|(name, digest, _)| Some((name.clone(), (*places.get(name.as_str())?, *digest))))
            .collect();
        let mut bundle =
            Self { members, certificates, logs, totals, erasures: BTreeMap::new(), items: 0, plan, zip };
        bundle.erasures = bundle.read_erasures()?;
        bundle.items = bundle.read_items(&mut |_| ())?;
        let seals = bundle.lines(SEALS).and_then(|lines| Seals::new(lines)?.end())?;
        if bundle.plan.chain.is_none() && seals > 0 { Err(refuse(SEALS)) } else { Ok(bundle) }
    }

    /// The names of the logs that hold its receipts: whose keys a verifier may want.
    #[must_use]
    pub fn logs(&self) -> &[String] {
        &self.plan.logs
    }

    /// What it says it is about.
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.plan.chain.map_or(Extent::Streams, Extent::Chain)
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

    /// The certificates that go along, in DER, ascending by their SHA-256. Nobody believes them yet.
    #[must_use]
    pub fn certificates(&self) -> Vec<&[u8]> {
        let mut certificates: Vec<_> = self.certificates.iter().collect();
        certificates.sort_unstable_by_key(|(name, _)| **name);
        certificates.into_iter().map(|(_, der)| der.as_slice()).collect()
    }

    /// The revocation lists that go along, in DER, ascending by their names. Nobody believes them yet.
    ///
    /// # Errors
    /// One cannot be read, or is not what it was when the bundle was opened.
    pub fn lists(&self) -> io::Result<Vec<Vec<u8>>> {
        let names = self.zip.members().iter().filter_map(|member| list_name(&member.name));
        names.map(|name| self.list(&name).ok_or_else(changed)).collect()
    }

    /// Verifies everything in it by `terms`.
    ///
    /// # Errors
    /// Only when it cannot be read on; everything else is in the report.
    pub fn verify(&self, terms: &Verification<'_>, watch: &mut dyn Watch) -> io::Result<Report> {
        terms.run(&[self], watch)
    }

    /// A member that the manifest lists, and the SHA-256 that it must have.
    fn member(&self, name: &str) -> Option<(&Member, Digest)> {
        let (at, digest) = *self.members.get(name)?;
        Some((self.zip.members().get(at)?, digest))
    }

    fn lines(&self, name: &str) -> Result<Lines, Stop> {
        let (member, digest) = self.member(name).ok_or_else(|| invalid("bundle.member", name))?;
        Ok(Lines::of(name, self.zip.reader(member, 0), digest))
    }

    /// The erasures, each under its root, ascending; a bundle without any has no such member.
    fn read_erasures(&self) -> Result<BTreeMap<Digest, Vec<Digest>>, BundleError> {
        let mut erasures = BTreeMap::new();
        if self.member(ERASED).is_none() {
            return Ok(erasures);
        }
        let mut lines = self.lines(ERASED)?;
        while let Some(line) = lines.next()? {
            let ErasureLine { commitments } = ErasureLine::read(&line).ok_or_else(|| refuse(ERASED))?;
            let root = erased_root(&commitments);
            if erasures.last_key_value().is_some_and(|(last, _)| *last >= root) {
                return Err(refuse(ERASED));
            }
            erasures.insert(root, commitments);
        }
        lines.end()?;
        if erasures.is_empty() { Err(refuse(ERASED)) } else { Ok(erasures) }
    }

    /// Reads the items of feeds, ascending by their hashes; a bundle without any has no such member. Gives how many there are.
    fn read_items(&self, each: &mut dyn FnMut(&str)) -> Result<usize, BundleError> {
        let (mut items, mut last) = (0, None);
        if self.member(FEED).is_none() {
            return Ok(items);
        }
        let mut lines = self.lines(FEED)?;
        while let Some(line) = lines.next()? {
            let name = UnverifiedItem::parse(&line).map_err(|_| refuse(FEED))?.digest();
            if last.is_some_and(|last| last >= name) {
                return Err(refuse(FEED));
            }
            (last, items) = (Some(name), items + 1);
            each(&line);
        }
        lines.end()?;
        if items == 0 { Err(refuse(FEED)) } else { Ok(items) }
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
        let mut sealer = Sealer::default();
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
            let pushed = match item(&text, disclosures, logged) {
                Ok(item) => {
                    let listed = match sealer.seal_of(&item) {
                        Some(seal) => cursors.seals.under(stream, seal)?,
                        None => None,
                    };
                    sealer.push(item, listed)
                }
                Err(code) => Err(code),
            };
            fault = pushed.err();
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
    let disclosures = disclosures.map_err(|_| "journal.disclosure")?;
    Ok(Item { receipt, proof, disclosures, logged })
}

impl Source for Bundle {
    fn extent(&self) -> Extent {
        self.extent()
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
            disclosures: Beside::new(self.lines(DISCLOSURES)?)?,
            seals: Seals::new(self.lines(SEALS)?)?,
            proofs: (0..self.plan.logs.len())
                .map(|log| Beside::new(self.lines(&log_member(log, PROOFS))?))
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
        let (member, digest) = self.member(&list_member(name))?;
        let mut der = Vec::new();
        self.zip.reader(member, 0).read_to_end(&mut der).ok()?;
        // What was changed since the bundle was opened is not there.
        Some(der).filter(|der| digest == Digest::of(der))
    }

    fn items(&self) -> usize {
        self.items
    }

    fn each_item(&self, each: &mut dyn FnMut(Option<&Digest>, &str)) {
        // What was changed since the bundle was opened is told as no item.
        if self.read_items(&mut |line| each(None, line)).is_err() {
            each(None, "");
        }
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
    seals: Seals,
    proofs: Vec<Beside<ProofLine>>,
}

impl Cursors {
    /// Nothing may be left in any of them.
    fn end(mut self) -> Result<(), Stop> {
        if self.receipts.next()?.is_some() {
            return Err(invalid("bundle.receipts", RECEIPTS));
        }
        self.receipts.end()?;
        self.disclosures.end()?;
        self.seals.end()?;
        self.proofs.into_iter().try_for_each(Beside::end)
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
        if member.size > MAX_SMALL && !is_read_by_line(&member.name) {
            return Err(BundleError::refuse("bundle.member", &member.name, TOO_LARGE));
        }
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
        return Err(BundleError::refuse("bundle.member", &member.name, TOO_LARGE));
    }
    let mut octets = Vec::new();
    zip.reader(member, 0).read_to_end(&mut octets)?;
    Ok(octets)
}

fn read_text(zip: &Zip, plan: &Plan, name: &str) -> Result<String, BundleError> {
    let member = zip.members().iter().find(|member| member.name == name).ok_or_else(|| refuse(name))?;
    let octets = read_member(zip, member, MAX_SMALL)?;
    if plan.digest(name) != Some(Digest::of(&octets)) {
        return Err(BundleError::Io(changed()));
    }
    String::from_utf8(octets).map_err(|_| refuse(name))
}

/// Certificates ascending by hash, in the one spelling of PEM.
fn read_certificates(pem: &str) -> Option<HashMap<Digest, Vec<u8>>> {
    let found: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates: HashMap<Digest, Vec<u8>> =
        found.ok()?.iter().map(|der| (Digest::of(der), der.to_vec())).collect();
    (super::export::certificates_pem(&certificates) == pem).then_some(certificates)
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
    /// No ZIP ends there: it is something else, or a part of a bundle. That accuses nobody.
    #[error("no bundle, for no ZIP ends there; was it copied whole? `kakunin export` writes one")]
    NoBundle,
    /// It was changed, or another program packed it.
    #[error("{invalid}: {what}")]
    Invalid {
        /// The code, and where.
        invalid: Invalid,
        /// What is wrong.
        what: &'static str,
    },
}

impl From<Stop> for BundleError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Io(error) => Self::Io(error),
            Stop::Invalid(invalid) => Self::Invalid { invalid, what: "it is not in its one spelling" },
        }
    }
}

impl BundleError {
    fn refuse(code: &'static str, member: &str, what: &'static str) -> Self {
        let place = if member.is_empty() { Place::Evidence } else { Place::Member(member.to_owned()) };
        Self::Invalid { invalid: Invalid { code, place }, what }
    }

    /// The report of a bundle that is refused before anything in it is judged.
    ///
    /// # Errors
    /// The system's refusal, or that there is no bundle, which is no judgement.
    pub fn into_report(self) -> io::Result<Report> {
        match self {
            Self::Io(error) => Err(error),
            Self::NoBundle => Err(io::Error::new(io::ErrorKind::InvalidData, self.to_string())),
            Self::Invalid { invalid, .. } => Ok(Report::refused(invalid)),
        }
    }
}

/// 16,384 members at less than 200 octets each, and as many streams.
const MAX_MANIFEST: u32 = 8 << 20;

const TOO_LARGE: &str = "it is larger than it may be";
