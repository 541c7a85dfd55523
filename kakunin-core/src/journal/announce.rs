//! The signed receipt of an erasure: writing it, and finding it again.

use std::path::{Path, PathBuf};

use super::erase::{EraseError, io_at, step};
use super::erasing::Record;
use super::handle::{Identity, Journal, JournalError};
use super::read::{Proof, ReadError, StreamReader};
use crate::reason::DenialReason;
use crate::receipt::{Control, Event, ReceiptHash, Stamp};

/// Writes receipts of erasures, all into one stream that is opened for the first.
pub(super) struct Announcer<'a> {
    journal: &'a Path,
    pub(super) identity: &'a Identity,
    pub(super) stamp: &'a dyn Fn() -> Stamp,
    open: Option<Journal>,
}

impl<'a> Announcer<'a> {
    pub(super) fn new(journal: &'a Path, identity: &'a Identity, stamp: &'a dyn Fn() -> Stamp) -> Self {
        Self { journal, identity, stamp, open: None }
    }

    /// The stream, opened when it is first wanted.
    pub(super) fn open(&mut self) -> Result<&Journal, EraseError> {
        let journal = match self.open.take() {
            Some(journal) => journal,
            None => Journal::open(self.journal, self.identity.clone(), (self.stamp)())?,
        };
        Ok(self.open.insert(journal))
    }

    /// The receipt is signed and on the disk when this returns.
    pub(super) fn announce(&mut self, record: &Record) -> Result<Option<ReceiptHash>, EraseError> {
        let stamp = (self.stamp)();
        let journal = self.open()?;
        let Record { count, root, reason, .. } = *record;
        let control = Control::Erased { count, digest: root, reason };
        journal.control(control, stamp).map_err(EraseError::Refused)?;
        step();
        journal.quiesce().map_err(EraseError::Refused)?;
        let health = journal.health();
        if let Some(reason) = health.failed {
            return Err(EraseError::Refused(reason));
        }
        if health.unsigned > 0 {
            return Err(JournalError::Unsigned(health.unsigned).into());
        }
        journal.persist().map_err(EraseError::Refused)?;
        let stream = journal.stream();
        let reader = stream.map(|stream| StreamReader::open(self.journal, stream)).transpose();
        let reader = reader.map_err(|source| io_at(self.journal, source))?;
        // What was just written is read back before anything is destroyed.
        match reader.map(|reader| announced_in(reader, record)).transpose()?.flatten() {
            Some(receipt) => Ok(Some(receipt)),
            None => Err(EraseError::Refused(DenialReason::JournalUnavailable)),
        }
    }

    pub(super) fn close(self) -> Result<(), EraseError> {
        let Some(journal) = self.open else { return Ok(()) };
        Ok(journal.close((self.stamp)())?)
    }
}

/// The signed receipt of the erasure that `record` is about, if it was written.
pub(super) fn announced(journal: &Path, record: &Record) -> Result<Option<ReceiptHash>, EraseError> {
    for reader in StreamReader::streams(journal).map_err(|source| io_at(journal, source))? {
        if let Some(receipt) = announced_in(reader, record)? {
            return Ok(Some(receipt));
        }
    }
    Ok(None)
}

fn announced_in(reader: StreamReader, record: &Record) -> Result<Option<ReceiptHash>, EraseError> {
    let folder = PathBuf::from(reader.stream().to_string());
    for entry in reader {
        let entry = match entry {
            Ok(entry) => entry,
            Err(ReadError::Io(source)) => return Err(io_at(&folder, source)),
            Err(ReadError::Fault { .. }) => break,
        };
        let Event::Control(Control::Erased { count, digest, .. }) = entry.receipt().statement().event else {
            continue;
        };
        if (count, digest) == (record.count, record.root) && entry.proof() != Proof::Unsigned {
            return Ok(Some(entry.receipt().hash()));
        }
    }
    Ok(None)
}
