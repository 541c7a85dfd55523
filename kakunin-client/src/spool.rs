//! The journal as a spool: which receipts the authority has acknowledged, and which go next.
//!
//! ```text
//! STATE/uploaded   "kakunin-uploaded-v1" | a line for each stream: its name, the number of the next receipt, "open" or "closed"
//! ```
//!
//! Receipts lie in the journal anyway, so nothing is copied: the cursor is all there is, and it moves when the authority has
//! answered that it keeps them. If the cursor is lost, everything is sent again, which the authority knows by its hash.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kakunin_core::id::StreamId;
use kakunin_core::journal::StreamReader;
use kakunin_core::modes;

use crate::body::{Collected, MAX_BODY};
use crate::files::{self, Readers};

/// The journal of one state directory, while this process is the one that sends it.
#[derive(Debug)]
pub(crate) struct Spool {
    state: PathBuf,
    places: BTreeMap<StreamId, Reached>,
    /// What a stream looked like when there was nothing more to send of it.
    quiet: BTreeMap<StreamId, u64>,
    _lock: File,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The number of the first receipt that is not acknowledged.
    pub(crate) next: u64,
    /// Nothing comes any more.
    pub(crate) closed: bool,
}

/// Lines to send at once, and where the stream is when they are acknowledged.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) body: Vec<u8>,
    pub(crate) lines: u64,
    pub(crate) stream: StreamId,
    pub(crate) reached: Reached,
}

impl Spool {
    /// Opens the spool of `state`; `None` while another process sends it, or there is none yet.
    pub(crate) fn open(state: &Path) -> io::Result<Option<Self>> {
        if !state.join("journal").is_dir() {
            return Ok(None);
        }
        let lock = modes::open_lock(&state.join("upload.lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let text = match files::read_text(&state.join(CURSOR), MAX_CURSOR) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        // One that is damaged costs sending again what is known.
        let places = parse(&text).unwrap_or_default();
        Ok(Some(Self { state: state.to_owned(), places, quiet: BTreeMap::new(), _lock: lock }))
    }

    /// The next lines to send, if there are any: at most [`MAX_BODY`] octets, of one stream, on the disk.
    pub(crate) fn next(&mut self) -> io::Result<Option<Batch>> {
        let journal = self.state.join("journal");
        let mut too_large = None;
        for stream in StreamReader::names(&journal)? {
            let reached = self.places.get(&stream).copied().unwrap_or_default();
            let size = size_of(&journal.join(stream.to_string()));
            if reached.closed || self.quiet.get(&stream) == Some(&size) {
                continue;
            }
            match read_batch(&journal, stream, reached, MAX_BODY) {
                Ok(Some(batch)) => return Ok(Some(batch)),
                // No body takes what has to go together: told, when the others have gone.
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => too_large = Some(error),
                // A stream that cannot be read, or is damaged, keeps nobody else's receipts here.
                Ok(None) | Err(_) => {}
            }
            self.quiet.insert(stream, size);
        }
        too_large.map_or(Ok(None), Err)
    }

    /// The authority keeps what was sent.
    pub(crate) fn acknowledged(&mut self, batch: &Batch) -> io::Result<()> {
        self.places.insert(batch.stream, batch.reached);
        let mut text = format!("{FORM}\n");
        for (stream, reached) in &self.places {
            let closed = if reached.closed { "closed" } else { "open" };
            text.push_str(&format!("{stream} {} {closed}\n", reached.next));
        }
        files::replace(&self.state.join(CURSOR), text.as_bytes(), Readers::Owner)
            .map_err(|error| error.source)
    }

    /// The authority does not take what the stream of `batch` has to say; the others go on. Asked again when it grows.
    pub(crate) fn pass_over(&mut self, batch: &Batch) {
        let folder = self.state.join("journal").join(batch.stream.to_string());
        self.quiet.insert(batch.stream, size_of(&folder));
    }

    /// Forgets which streams had nothing to say.
    pub(crate) fn look_again(&mut self) {
        self.quiet.clear();
    }
}

fn parse(text: &str) -> Option<BTreeMap<StreamId, Reached>> {
    let mut lines = text.lines();
    if lines.next() != Some(FORM) {
        return None;
    }
    let read = |line: &str| {
        let mut parts = line.split(' ');
        let (stream, next, word) = (parts.next()?, parts.next()?, parts.next()?);
        let closed = match word {
            "closed" => true,
            "open" => false,
            _ => return None,
        };
        let reached = Reached { next: next.parse().ok()?, closed };
        parts.next().is_none().then_some((StreamId::parse(stream)?, reached))
    };
    lines.map(read).collect()
}

/// How many octets the segments of a stream have: it only grows, but for what is erased in place.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|data| data.size()).sum()
}

/// What comes next of one stream.
///
/// # Errors
/// What cannot be read; [`io::ErrorKind::FileTooLarge`] when `most` octets do not take what has to go together.
pub(crate) fn read_batch(
    journal: &Path,
    stream: StreamId,
    from: Reached,
    most: usize,
) -> io::Result<Option<Batch>> {
    let reader = StreamReader::open(journal, stream)?;
    // Whoever tells others of a receipt does this before (see `sync`).
    reader.sync()?;
    let mut collected = Collected::new(stream, from, most);
    for entry in reader {
        // A torn or damaged end: what lies before it is told all the same.
        let Ok(entry) = entry else { break };
        if entry.receipt().statement().sequence >= from.next && !collected.take(&entry) {
            break;
        }
    }
    collected.batch()
}

/// A line for each of a million streams.
const MAX_CURSOR: u64 = 64 << 20;
const CURSOR: &str = "uploaded";
const FORM: &str = "kakunin-uploaded-v1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written_and_otherwise_not_at_all() {
        let stream = "00112233445566778899aabbccddeeff";
        let text = format!("{FORM}\n{stream} 7 open\n");
        let places = parse(&text).unwrap();
        assert_eq!(places.values().collect::<Vec<_>>(), [&Reached { next: 7, closed: false }]);
        for wrong in [
            "",
            "x\n",
            &text.replace('7', "x"),
            &text.replace("open", "opened"),
            &format!("{text}{stream}\n"),
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
