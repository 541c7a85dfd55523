//! A stream written anew from the entries that somebody else kept of it, for whoever has them and not the agent's directory.
//!
//! What comes out is read like any journal, and judged like one: nothing is checked here, nothing signed, and no value that
//! receipts commit to comes back.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::segment::{
    FrameKind, SEGMENT_SIZE, push_frame, push_segment_header, push_signature, segment_name,
};
use crate::id::StreamId;
use crate::modes;
use crate::receipt::{ReceiptError, Statement, UnverifiedReceipt};

/// A stream that is being written.
#[derive(Debug)]
pub struct Restoring {
    folder: PathBuf,
    stream: StreamId,
    index: u32,
    file: BufWriter<File>,
    length: u64,
}

impl Restoring {
    /// Begins the stream `stream` in the folder `journal`, where it must not be yet.
    ///
    /// # Errors
    /// [`RestoreError::Io`] when the folder is there or cannot be made.
    pub fn begin(journal: &Path, stream: StreamId) -> Result<Self, RestoreError> {
        modes::make_folders(journal)?;
        let folder = journal.join(stream.to_string());
        if folder.exists() {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
        }
        modes::make_folder(&folder)?;
        let (file, length) = segment(&folder, stream, 1)?;
        Ok(Self { folder, stream, index: 1, file, length })
    }

    /// Writes the next receipt, an entry as a log has it (WIRE 4.1), and gives what it says.
    ///
    /// # Errors
    /// [`RestoreError::Receipt`] when the line is none, [`RestoreError::Stream`] when it is of another stream.
    pub fn entry(&mut self, line: &str) -> Result<Statement, RestoreError> {
        let (receipt, signature) = UnverifiedReceipt::from_log_entry(line)?;
        let statement = receipt.statement();
        if statement.stream != self.stream {
            return Err(RestoreError::Stream { stream: statement.stream });
        }
        let mut frames = Vec::with_capacity(line.len() + 128);
        push_frame(&mut frames, FrameKind::Receipt, |out| out.extend_from_slice(receipt.signing_input()));
        if let Some(signature) = signature {
            push_signature(&mut frames, statement.sequence, signature.as_bytes());
        }
        let added = frames.len() as u64;
        if self.length + added > SEGMENT_SIZE {
            self.file.flush()?;
            self.index = self.index.saturating_add(1);
            (self.file, self.length) = segment(&self.folder, self.stream, self.index)?;
        }
        self.file.write_all(&frames)?;
        self.length += added;
        Ok(receipt.statement().clone())
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`RestoreError::Io`] when the last of it cannot be written.
    pub fn end(mut self) -> Result<(), RestoreError> {
        Ok(self.file.flush()?)
    }
}

fn segment(folder: &Path, stream: StreamId, index: u32) -> io::Result<(BufWriter<File>, u64)> {
    let mut head = Vec::new();
    push_segment_header(&mut head, &stream, index);
    let mut file = BufWriter::new(File::create_new(folder.join(segment_name(index)))?);
    file.write_all(&head)?;
    Ok((file, head.len() as u64))
}

/// A stream that cannot be written anew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// A line is no entry of a log.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// A line of another stream.
    #[error("a receipt of stream {stream} is no part of this one")]
    Stream {
        /// Which one it is of.
        stream: StreamId,
    },
    /// The system refuses.
    #[error("cannot write the stream anew: {0}")]
    Io(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::id::AgentId;
    use crate::journal::{Identity, Journal, JournalOptions, Sealing, StreamReader};
    use crate::key::{Algorithm, Signer, SoftKey};
    use crate::receipt::{Control, Stamp};

    #[test]
    fn a_stream_that_was_written_anew_is_read_as_the_first_one() {
        for sealing in [Sealing::Each, Sealing::Groups] {
            let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let identity = Identity {
                agent: AgentId::from_random([1; 16]),
                certificate: b"certificate".to_vec(),
                chain: Vec::new(),
                signer: Arc::new(Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0)),
            };
            let stamp = Stamp { micros: 1, boot: [1; 16], mono_nanos: 1 };
            let options = JournalOptions { sealing: Some(sealing), ..JournalOptions::default() };
            let journal = Journal::open_with(first.path(), identity, stamp, options).unwrap();
            for millis in 0..14 {
                journal.control(Control::Clock { forward: true, millis }, stamp).unwrap();
            }
            journal.close(stamp).unwrap();
            let stream = journal.stream().unwrap();
            let read = |journal: &Path| {
                let entries = StreamReader::open(journal, stream).unwrap().map(Result::unwrap);
                entries.map(|entry| entry.to_log_entry().unwrap()).collect::<Vec<_>>()
            };
            let lines = read(first.path());
            let journal = second.path().join("journal");
            let mut restoring = Restoring::begin(&journal, stream).unwrap();
            for line in &lines {
                restoring.entry(line).unwrap();
            }
            restoring.end().unwrap();
            assert_eq!(read(&journal), lines);
            assert!(matches!(Restoring::begin(&journal, stream), Err(RestoreError::Io(_))));
            let mut other = Restoring::begin(&journal, StreamId::from_bytes([9; 16])).unwrap();
            assert!(matches!(other.entry(&lines[0]), Err(RestoreError::Stream { .. })));
            assert!(matches!(other.entry("{}"), Err(RestoreError::Receipt(_))));
        }
    }
}
