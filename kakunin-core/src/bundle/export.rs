//! The writing end: collects receipts and what belongs to them, and writes one canonical file.
//!
//! Nothing is judged here: what is collected is what the journals hold, and whoever opens the bundle verifies it. The
//! bundle appears under its own name only when it is whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};

use super::around::Around;
use super::form::{
    DisclosureLine, ErasureLine, Line, ProofLine, SealLine, TotalLine, write_checkpoints, write_lines,
};
use super::manifest::{
    CERTIFICATES, CHECKPOINTS, CONSISTENCY, DISCLOSURES, ERASED, FEED, MANIFEST, Manifest, ManifestLog,
    ManifestStream, PROOFS, RECEIPTS, RECIPE, SEALS, TOTALS, VERSION, list_member, log_member,
};
use super::papers;
use super::part::{Part, Spool, write_file};
use super::selection::{Selection, Stated};
use super::zip::TOO_MUCH;
use crate::digest::Digest;
use crate::id::{ChainId, StreamId};
use crate::journal::{Archive, Entry, ReadError, StreamReader, locate};
use crate::log::{LogError, LogReader};
use crate::receipt::{Control, Disclosure, Event};
use crate::verify::show;

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Receipts in the bundle.
    pub receipts: u64,
    /// Of these, the ones that a log holds.
    pub logged: u64,
    /// Streams.
    pub streams: usize,
    /// Octets of the file.
    pub size: u64,
}

/// Writes the bundle `out` from `journals`, each the directory of an agent, its state or the journal itself: of the one
/// `chain`, or of everything. `logs` may hold the receipts; their proofs come along.
///
/// # Errors
/// [`ExportError`]: a journal is missing or damaged, there is nothing to export, or a file cannot be written.
pub fn export(
    journals: &[&Path],
    logs: &mut [LogReader],
    chain: Option<ChainId>,
    out: &Path,
) -> Result<Exported, ExportError> {
    export_watched(journals, logs, chain, out, &mut || ())
}

/// As [`export`]; `read` is called for each receipt that was read, for whoever shows that it goes on. Of one chain some are
/// read more than once.
///
/// # Errors
/// As [`export`].
pub fn export_watched(
    journals: &[&Path],
    logs: &mut [LogReader],
    chain: Option<ChainId>,
    out: &Path,
    read: &mut dyn FnMut(),
) -> Result<Exported, ExportError> {
    for (place, log) in logs.iter().enumerate() {
        let key = log.checkpoint().log();
        if logs.iter().take(place).any(|other| other.checkpoint().log() == key) {
            return Err(ExportError::LogTwice { name: key.name().to_owned() });
        }
    }
    let found = Found::in_journals(journals)?;
    let selection = Selection::of(chain, &found, read)?;
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut collected = Collected::new(folder, logs.len())?;
    for (journal, stream) in found.streams() {
        if selection.touches(stream) {
            let reader = StreamReader::open(journal, stream)?.inspect(|_| read());
            collected.stream(stream, reader, chain, &selection, logs)?;
        }
    }
    if collected.receipts.lines == 0 {
        return Err(ExportError::Nothing);
    }
    for commitments in selection.shown_erasures(&found) {
        collected.erased.line(&ErasureLine { commitments }.write())?;
    }
    let (receipts, logged, streams) =
        (collected.receipts.lines, collected.logged, collected.manifest.streams.len());
    let size = collected.write(&found, logs, chain, out)?;
    Ok(Exported { receipts, logged, streams, size })
}

/// The journals, and where each stream is.
pub(super) struct Found {
    journals: Vec<PathBuf>,
    streams: BTreeMap<StreamId, usize>,
}

impl Found {
    fn in_journals(paths: &[&Path]) -> Result<Self, ExportError> {
        let mut found = Self { journals: Vec::new(), streams: BTreeMap::new() };
        for path in paths {
            let missing = || ExportError::NoJournal { path: (*path).to_owned() };
            let journal = locate(path).ok_or_else(missing)?;
            for reader in StreamReader::streams(&journal)? {
                if found.streams.insert(reader.stream(), found.journals.len()).is_some() {
                    return Err(ExportError::Twice { stream: reader.stream() });
                }
            }
            found.journals.push(journal);
        }
        Ok(found)
    }

    /// Every stream, ascending, with its journal.
    pub(super) fn streams(&self) -> impl Iterator<Item = (&Path, StreamId)> {
        self.streams
            .iter()
            .filter_map(|(stream, journal)| Some((self.journals.get(*journal)?.as_path(), *stream)))
    }

    pub(super) fn archives(&self) -> impl Iterator<Item = Archive> {
        self.journals.iter().map(|journal| Archive::of(journal))
    }
}

/// The parts of a bundle while they are collected.
struct Collected {
    manifest: Manifest,
    receipts: Spool,
    disclosures: Spool,
    erased: Spool,
    feed: Spool,
    /// For each log: paths, and the least place of a receipt in it.
    proofs: Vec<(Spool, Option<u64>)>,
    seals: Vec<SealLine>,
    totals: Vec<TotalLine>,
    certificates: HashSet<Digest>,
    lists: HashSet<Digest>,
    logged: u64,
}

impl Collected {
    fn new(folder: &Path, logs: usize) -> io::Result<Self> {
        let proofs: io::Result<Vec<_>> = (0..logs).map(|_| Ok((Spool::in_folder(folder)?, None))).collect();
        Ok(Self {
            manifest: Manifest { v: VERSION, ..Manifest::default() },
            receipts: Spool::in_folder(folder)?,
            disclosures: Spool::in_folder(folder)?,
            erased: Spool::in_folder(folder)?,
            feed: Spool::in_folder(folder)?,
            proofs: proofs?,
            seals: Vec::new(),
            totals: Vec::new(),
            certificates: HashSet::new(),
            lists: HashSet::new(),
            logged: 0,
        })
    }

    fn stream(
        &mut self,
        stream: StreamId,
        reader: impl Iterator<Item = Result<Entry, ReadError>>,
        chain: Option<ChainId>,
        selection: &Selection,
        logs: &mut [LogReader],
    ) -> Result<(), ExportError> {
        let before = self.receipts.lines;
        let mut around = Around::default();
        for entry in reader {
            let entry = entry?;
            around.pass(&entry);
            if selection.takes(&entry) {
                around.take(&entry);
                self.entry(&entry, selection.stated(), logs)?;
                if let Some(chain) = chain {
                    self.seals.extend(around.seal_line(&entry));
                    self.totals.extend(around.total_line(&entry, chain));
                }
            }
        }
        let receipts = self.receipts.lines - before;
        if receipts > 0 {
            self.manifest.streams.push(ManifestStream { receipts, stream: stream.to_string() });
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, stated: &Stated, logs: &mut [LogReader]) -> Result<(), ExportError> {
        let line = self.receipts.lines;
        let text = match entry.to_log_entry() {
            Some(text) => {
                self.prove(line, &text, logs)?;
                text
            }
            // Nobody signed it: the line ends with its payload.
            None => String::from_utf8_lossy(entry.receipt().signing_input()).into_owned(),
        };
        self.receipts.line(&text)?;
        // An erasure that is not finished yet is meant all the same.
        let agent = entry.receipt().statement().agent;
        let is_meant = |it: &&Disclosure| stated.roots_of(agent, it.digest()).next().is_none();
        let disclosures: Vec<&Disclosure> = entry.disclosures().iter().filter(is_meant).collect();
        if !disclosures.is_empty() {
            self.disclosures.line(&DisclosureLine::of(line, &disclosures).write())?;
        }
        self.certificates.insert(*entry.receipt().certificate());
        self.certificates.extend(entry.receipt().statement().event.caller().map(|caller| caller.certificate));
        match &entry.receipt().statement().event {
            Event::Decision { list: Some(list), .. } | Event::Control(Control::List(list)) => {
                self.lists.insert(list.digest);
            }
            Event::Control(Control::Rotate { next }) => {
                self.certificates.insert(*next);
            }
            _ => {}
        }
        Ok(())
    }

    fn prove(&mut self, line: u64, text: &str, logs: &mut [LogReader]) -> Result<(), ExportError> {
        let mut held = false;
        for (reader, (proofs, least)) in logs.iter_mut().zip(&mut self.proofs) {
            let Some(index) = reader.index_of(text.as_bytes())? else { continue };
            let path = reader.prove(index)?.path;
            proofs.line(&ProofLine { line, index, path }.write())?;
            *least = Some(least.map_or(index, |known| known.min(index)));
            held = true;
        }
        self.logged += u64::from(held);
        Ok(())
    }

    /// Puts everything into one file.
    fn write(
        mut self,
        found: &Found,
        logs: &mut [LogReader],
        chain: Option<ChainId>,
        out: &Path,
    ) -> Result<u64, ExportError> {
        let mut certificates = papers::certificates(found, &self.certificates);
        let items = papers::items(found, &certificates);
        papers::add_feed_keys(found, &items, &mut certificates);
        let mut parts =
            vec![self.receipts.part(RECEIPTS)?, Part::of(CERTIFICATES, certificates_pem(&certificates))];
        for (name, der) in papers::lists(found, &self.lists, &certificates) {
            parts.push(Part::of(&list_member(&name), der));
        }
        parts.push(self.disclosures.part(DISCLOSURES)?);
        if self.erased.lines > 0 {
            parts.push(self.erased.part(ERASED)?);
        }
        if !items.is_empty() {
            papers::each_line(found, &items, |line| self.feed.line(line))?;
            parts.push(self.feed.part(FEED)?);
        }
        for (reader, (proofs, least)) in logs.iter_mut().zip(self.proofs) {
            // A log that holds none of the receipts has nothing to say.
            let Some(least) = least else { continue };
            let (shown, log) = (show(reader, least)?, self.manifest.logs.len());
            let part = |name, text: String| Part::of(&log_member(log, name), text);
            parts.push(part(CHECKPOINTS, write_checkpoints(&shown.checkpoints)));
            parts.push(part(CONSISTENCY, write_lines(&shown.consistency)));
            parts.push(proofs.part(&log_member(log, PROOFS))?);
            let origin = reader.checkpoint().checkpoint().origin.clone();
            self.manifest.logs.push(ManifestLog { origin, size: reader.size() });
        }
        parts.push(Part::of(SEALS, write_lines(&self.seals)));
        parts.push(Part::of(TOTALS, write_lines(&self.totals)));
        parts.push(Part::of(RECIPE, RECIPE_TEXT));
        self.manifest.chain = chain.map(|chain| chain.to_string());
        self.manifest.members = parts.iter().map(Part::listed).collect();
        parts.insert(0, Part::of(MANIFEST, self.manifest.to_json()));

        if let Some(part) = parts.iter().find(|part| part.is_too_large()) {
            let source = io::Error::other(format!("{}: {TOO_MUCH}", part.name));
            return Err(ExportError::Write { path: out.to_owned(), source });
        }
        let temporary = out.with_extension(format!("{}.tmp", std::process::id()));
        let written = write_file(&temporary, parts).and_then(|size| {
            fs::rename(&temporary, out)?;
            Ok(size)
        });
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(|source| ExportError::Write { path: out.to_owned(), source })
    }
}

/// Certificates ascending by hash, in the one spelling of PEM (RFC 7468): 64 characters a line.
pub(super) fn certificates_pem(certificates: &HashMap<Digest, Vec<u8>>) -> String {
    let mut sorted: Vec<_> = certificates.iter().collect();
    sorted.sort_unstable();
    let mut pem = String::new();
    for (_, der) in sorted {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = Base64::encode_string(der);
        for (place, letter) in text.chars().enumerate() {
            if place > 0 && place % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    pem
}

/// A bundle that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// No journal is there.
    #[error("{} holds no journal", path.display())]
    NoJournal {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Two journals have one stream: one is a copy of the other.
    #[error("stream {stream} lies in two of the journals; one of them is a copy, leave it out")]
    Twice {
        /// The stream.
        stream: StreamId,
    },
    /// Two logs have one key: one is a copy of the other, or a fork.
    #[error("the log `{name}` is given twice; one of them is a copy, leave it out")]
    LogTwice {
        /// The log's name.
        name: String,
    },
    /// A journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Nothing is to be exported.
    #[error("no receipt is there to export; check the chain's id and the journals")]
    Nothing,
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bundle cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How to check a bundle with tools of others. Part of the format: a bundle with another text is refused, so that nobody
/// can put his own instructions there.
pub(super) const RECIPE_TEXT: &str = include_str!("VERIFY.md");
