//! Where receipts come from: streams of items, with what lies beside them.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::logs::{KnownLogs, OpenedLog, Sight};
use super::report::{Extent, Invalid, Shown};
use crate::certificate::AgentPath;
use crate::digest::Digest;
use crate::id::StreamId;
use crate::journal::{Archive, Entry, Proof, ReadError, StreamReader};
use crate::log::{LogError, LogReader, OpenedCheckpoint, SignedNote};
use crate::receipt::{Disclosure, ReceiptHash, Statement, UnverifiedReceipt, to_jws};
use crate::time::UnixTime;
use crate::tree::{ConsistencyProof, InclusionProof};

/// One receipt with everything its source shows about it. Nobody has checked any of it.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) receipt: UnverifiedReceipt,
    pub(crate) proof: Proof,
    pub(crate) disclosures: Vec<Disclosure>,
    /// Where it lies in the source's logs.
    pub(crate) logged: Vec<Logged>,
}

impl Item {
    /// Whether there is anything to prove it by. What nobody signed takes nothing away: it ends no call, fills no gap, closes
    /// nothing and is not there for whoever names it. What speaks against it is told all the same.
    pub(crate) fn is_proven(&self) -> bool {
        self.proof != Proof::Unsigned
    }
}

/// What a log holds for a receipt (WIRE 4.1); nothing for one that nothing proves.
pub(crate) fn log_entry(receipt: &UnverifiedReceipt, proof: &Proof) -> Option<String> {
    match proof {
        Proof::Signed(signature) => Some(to_jws(receipt.signing_input(), signature)),
        Proof::Sealed(_) => Some(receipt.to_sealed_entry()),
        Proof::Unsigned => None,
    }
}

/// The place of a receipt in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    /// Which of the source's logs.
    pub(crate) log: usize,
    /// The place there.
    pub(crate) index: u64,
    /// The path to the root of its last checkpoint; none where the source read the very entry from the log and compared
    /// that with the root.
    pub(crate) path: Option<Vec<Digest>>,
}

/// A log as a source shows it. Nobody has checked any of it.
#[derive(Debug)]
pub(crate) struct ShownLog {
    /// Ascending; every path of a receipt leads to the last.
    pub(crate) checkpoints: Vec<SignedNote>,
    /// From each to the next.
    pub(crate) consistency: Vec<ConsistencyProof>,
}

/// How far a chain goes in a stream, with the path to the root in the stream's closing receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChainLength {
    pub(crate) last: u64,
    pub(crate) proof: InclusionProof,
}

/// A folder or a bundle. What it gives is in the order of streams, and in each stream ascending.
pub(crate) trait Source {
    /// What it claims to hold.
    fn extent(&self) -> Extent;

    /// Whether all its streams must be one agent's.
    fn is_of_one_agent(&self) -> bool;

    /// The logs it shows.
    ///
    /// # Errors
    /// They cannot be read.
    fn logs(&self) -> Result<Vec<ShownLog>, Stop>;

    /// How far the chain it is about goes in `stream`.
    fn chain_length(&self, stream: StreamId) -> Option<ChainLength>;

    /// Hands everything to `visitor`, as often as it is called.
    ///
    /// # Errors
    /// It cannot be read, or is not what it must be apart from the receipts.
    fn walk(&self, visitor: &mut dyn Visitor) -> Result<(), Stop>;

    /// Hands what its logs hold of streams that are not among `shown` to `each`, stream by stream, whoever put it there.
    /// [`Next::Stream`] says that nothing more of this stream is wanted.
    ///
    /// # Errors
    /// A log cannot be read.
    fn unshown(
        &self,
        _shown: &HashSet<StreamId>,
        _each: &mut dyn FnMut(StreamId, &[u8]) -> Next,
    ) -> Result<(), Stop> {
        Ok(())
    }

    /// The names of the certificates and of the lists it has.
    fn papers(&self) -> (Vec<Digest>, Vec<Digest>);

    /// The certificate whose SHA-256 is `name`, or what lies under this name.
    fn certificate(&self, name: &Digest) -> Option<Vec<u8>>;

    /// The list whose TBSCertList has the SHA-256 `name`, or what lies under this name.
    fn list(&self, name: &Digest) -> Option<Vec<u8>>;

    /// How many items of feeds it has by now.
    fn items(&self) -> usize;

    /// Every item of a feed that it has, with the name it lies under, if each has one of its own.
    fn each_item(&self, each: &mut dyn FnMut(Option<&Digest>, &str));

    /// Whether it has to show every value that there is.
    fn shown(&self) -> Shown;

    /// The roots of the erasures whose commitments it has.
    fn erasures(&self) -> Vec<Digest>;

    /// The commitments of the erasure `root`, strictly ascending; `None` if what lies under this name is something else.
    fn erased(&self, root: &Digest) -> Option<Vec<Digest>>;

    /// Whether something lies among certificates and lists that is neither.
    fn has_strangers(&self) -> bool;
}

/// Who is led through a source.
pub(crate) trait Visitor {
    /// A stream begins.
    fn begin(&mut self, stream: StreamId);

    /// Its next receipt.
    fn item(&mut self, item: Item) -> Next;

    /// It is read to its end, and a log of the source holds this entry under its name, whoever put it there; `shown` is the
    /// receipt of that number here, if there is one. Asks for more of them or not.
    fn other(&mut self, _entry: &[u8], _shown: Option<ReceiptHash>) -> Next {
        Next::Stream
    }

    /// It ends: after `torn` bytes of a torn write, or where a fault lies.
    fn end(&mut self, torn: u64, fault: Option<&'static str>);
}

/// Why a walk ends before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    Io(io::Error),
    Invalid(Invalid),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Invalid> for Stop {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<LogError> for Stop {
    fn from(error: LogError) -> Self {
        Self::Io(io::Error::other(error))
    }
}

/// What a visitor wants to see after a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Receipt,
    Stream,
}

/// An entry of a log under the stream and number of a receipt that is `shown`.
struct Other {
    log: usize,
    index: u64,
    shown: ReceiptHash,
}

/// A journal folder, and logs that may hold its receipts.
pub(crate) struct JournalSource {
    folder: PathBuf,
    archive: Archive,
    logs: Rc<RefCell<Vec<LogReader>>>,
}

impl JournalSource {
    /// The journal in `folder`, which was found by [`crate::journal::locate`].
    pub(crate) fn at(folder: &Path, logs: Rc<RefCell<Vec<LogReader>>>) -> Self {
        Self { archive: Archive::of(folder), folder: folder.to_owned(), logs }
    }

    /// Where the logs hold a receipt, compared with what they hold there. What else they hold in its name goes to `others`.
    fn places(&self, entry: &Entry, others: &mut Vec<Other>) -> Result<Vec<Logged>, LogError> {
        let mut places = Vec::new();
        let mut logs = self.logs.borrow_mut();
        if logs.is_empty() {
            return Ok(places);
        }
        let (text, shown) = (entry.to_log_entry(), entry.receipt().hash());
        let (stream, sequence) = (entry.receipt().statement().stream, entry.receipt().statement().sequence);
        for (log, reader) in logs.iter_mut().enumerate() {
            let claims = reader.claims(stream, sequence)?;
            let own = match &text {
                Some(text) if !claims.is_empty() => reader.index_of(text.as_bytes())?,
                _ => None,
            };
            places.extend(own.map(|index| Logged { log, index, path: None }));
            // Nearly always there is one place.
            let claims = claims.into_iter().filter(|index| Some(*index) != own);
            others.extend(claims.map(|index| Other { log, index, shown }));
        }
        Ok(places)
    }

    /// Leads `visitor` through what the logs hold in the name of a stream that has `receipts` receipts here, beside them.
    fn others(
        &self,
        stream: StreamId,
        receipts: u64,
        others: &[Other],
        visitor: &mut dyn Visitor,
    ) -> Result<(), LogError> {
        let mut logs = self.logs.borrow_mut();
        for Other { log, index, shown } in others {
            let Some(reader) = logs.get_mut(*log) else { continue };
            if visitor.other(reader.entry(*index)?, Some(*shown)) == Next::Stream {
                return Ok(());
            }
        }
        for reader in logs.iter_mut() {
            for index in reader.claims_from(stream, receipts)? {
                if visitor.other(reader.entry(index)?, None) == Next::Stream {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl Source for JournalSource {
    fn extent(&self) -> Extent {
        Extent::Streams
    }

    fn is_of_one_agent(&self) -> bool {
        true
    }

    fn logs(&self) -> Result<Vec<ShownLog>, Stop> {
        let shown = |reader: &mut LogReader| {
            reader.read_through()?;
            Ok(show(reader, 0)?)
        };
        self.logs.borrow_mut().iter_mut().map(shown).collect()
    }

    fn chain_length(&self, _: StreamId) -> Option<ChainLength> {
        None
    }

    fn walk(&self, visitor: &mut dyn Visitor) -> Result<(), Stop> {
        for mut reader in StreamReader::streams(&self.folder)? {
            visitor.begin(reader.stream());
            let (mut fault, mut receipts, mut others) = (None, 0, Vec::new());
            for entry in reader.by_ref() {
                match entry {
                    Ok(entry) => {
                        let logged = self.places(&entry, &mut others)?;
                        let (receipt, proof, disclosures) = entry.into_parts();
                        if visitor.item(Item { receipt, proof, disclosures, logged }) == Next::Stream {
                            break;
                        }
                        receipts += 1;
                    }
                    Err(ReadError::Io(error)) => return Err(error.into()),
                    Err(ReadError::Fault { code, .. }) => fault = Some(code),
                }
            }
            if fault.is_none() {
                self.others(reader.stream(), receipts, &others, visitor)?;
            }
            visitor.end(reader.torn(), fault);
        }
        Ok(())
    }

    fn unshown(
        &self,
        shown: &HashSet<StreamId>,
        each: &mut dyn FnMut(StreamId, &[u8]) -> Next,
    ) -> Result<(), Stop> {
        for reader in self.logs.borrow_mut().iter_mut() {
            for stream in reader.streams()?.into_iter().filter(|stream| !shown.contains(stream)) {
                for index in reader.claims_from(stream, 0)? {
                    if each(stream, reader.entry(index)?) == Next::Stream {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn papers(&self) -> (Vec<Digest>, Vec<Digest>) {
        self.archive.names()
    }

    fn certificate(&self, name: &Digest) -> Option<Vec<u8>> {
        self.archive.certificate(name)
    }

    fn list(&self, name: &Digest) -> Option<Vec<u8>> {
        self.archive.list(name)
    }

    fn items(&self) -> usize {
        self.archive.items().len()
    }

    fn each_item(&self, each: &mut dyn FnMut(Option<&Digest>, &str)) {
        for name in self.archive.items() {
            // What cannot be read is no item, and told as such.
            each(Some(&name), &self.archive.item(&name).unwrap_or_default());
        }
    }

    fn shown(&self) -> Shown {
        Shown::All
    }

    fn erasures(&self) -> Vec<Digest> {
        self.archive.erasures()
    }

    fn erased(&self, root: &Digest) -> Option<Vec<Digest>> {
        self.archive.erased(root)
    }

    fn has_strangers(&self) -> bool {
        self.archive.has_strangers()
    }
}

/// The checkpoints of a log that cover more than `least` entries, with what joins them.
pub(crate) fn show(reader: &mut LogReader, least: u64) -> Result<ShownLog, LogError> {
    let head = reader.checkpoint().clone();
    let mut opened = reader.witnessed()?;
    opened.retain(|checkpoint| checkpoint.size() > least && checkpoint.size() <= head.size());
    if opened.last().is_none_or(|last| last.size() < head.size()) {
        opened.push(head);
    }
    let sizes: Vec<u64> = opened.iter().map(OpenedCheckpoint::size).collect();
    let steps = sizes.iter().zip(sizes.iter().skip(1));
    let consistency = steps.map(|(from, to)| reader.consistency(*from, *to)).collect::<Result<_, _>>()?;
    Ok(ShownLog { checkpoints: opened.iter().map(|seen| seen.note().clone()).collect(), consistency })
}

/// A receipt as it passes by, for who wants to show it. Only the verdict says what it is worth.
#[derive(Debug)]
pub struct Seen<'a> {
    pub(super) item: &'a Item,
    pub(super) sight: Sight,
    pub(super) not_before: Option<UnixTime>,
    pub(super) path: &'a Arc<AgentPath>,
    pub(super) logs: &'a KnownLogs,
}

/// Where a log of the caller's keys holds a receipt.
#[derive(Clone, Debug)]
pub struct LogPlace {
    /// The log.
    pub log: Arc<OpenedLog>,
    /// The place there.
    pub index: u64,
    /// The path from the receipt to the root of the log's last checkpoint; none where the log itself was read and its
    /// entry compared.
    pub path: Option<Vec<Digest>>,
}

impl Seen<'_> {
    /// Its name.
    #[must_use]
    pub const fn hash(&self) -> ReceiptHash {
        self.item.receipt.hash()
    }

    /// What it states.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        self.item.receipt.statement()
    }

    /// SHA-256 of the certificate that is said to have signed.
    #[must_use]
    pub const fn certificate(&self) -> &Digest {
        self.item.receipt.certificate()
    }

    /// What there is to prove it by.
    #[must_use]
    pub const fn proof(&self) -> Proof {
        self.item.proof
    }

    /// The values it commits to, as far as they are here.
    #[must_use]
    pub fn disclosures(&self) -> &[Disclosure] {
        &self.item.disclosures
    }

    /// Whether a log of the caller's keys holds it.
    #[must_use]
    pub const fn is_logged(&self) -> bool {
        self.sight.logged
    }

    /// The latest time before which it cannot have been written, by the lists that it and its stream name.
    #[must_use]
    pub const fn not_before(&self) -> Option<UnixTime> {
        self.not_before
    }

    /// The certificate that is said to have signed, proven up to a root of the caller.
    #[must_use]
    pub const fn path(&self) -> &Arc<AgentPath> {
        self.path
    }

    /// Where the logs of the caller's keys hold it.
    pub fn places(&self) -> impl Iterator<Item = LogPlace> {
        self.item.logged.iter().filter_map(|place| {
            let log = Arc::clone(&self.logs.get(place.log)?.opened);
            Some(LogPlace { log, index: place.index, path: place.path.clone() })
        })
    }

    /// The time at which it existed, by a witness.
    #[must_use]
    pub const fn not_after(&self) -> Option<UnixTime> {
        self.sight.not_after
    }

    /// The token; of a receipt without signature of its own, what would be signed.
    #[must_use]
    pub fn token(&self) -> String {
        match &self.item.proof {
            Proof::Signed(signature) => to_jws(self.item.receipt.signing_input(), signature),
            Proof::Sealed(_) | Proof::Unsigned => {
                String::from_utf8_lossy(self.item.receipt.signing_input()).into_owned()
            }
        }
    }
}
