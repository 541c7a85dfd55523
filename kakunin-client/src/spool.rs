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
use kakunin_core::journal::{Entry, Proof, StreamReader};
use kakunin_core::modes;
use kakunin_core::receipt::{Event, ReceiptHash};

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
struct Reached {
    /// The number of the first receipt that is not acknowledged.
    next: u64,
    /// Nothing comes any more.
    closed: bool,
}

/// Lines to send at once, and where the stream is when they are acknowledged.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) body: Vec<u8>,
    pub(crate) lines: u64,
    stream: StreamId,
    reached: Reached,
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
        for stream in StreamReader::names(&journal)? {
            let reached = self.places.get(&stream).copied().unwrap_or_default();
            let size = size_of(&journal.join(stream.to_string()));
            if reached.closed || self.quiet.get(&stream) == Some(&size) {
                continue;
            }
            // A stream that cannot be read, or is damaged, keeps nobody else's receipts here.
            if let Ok(Some(batch)) = batch(&journal, stream, reached) {
                return Ok(Some(batch));
            }
            self.quiet.insert(stream, size);
        }
        Ok(None)
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
fn batch(journal: &Path, stream: StreamId, from: Reached) -> io::Result<Option<Batch>> {
    let reader = StreamReader::open(journal, stream)?;
    // Whoever tells others of a receipt does this before (see `sync`).
    reader.sync()?;
    let mut collected = Collected::new(stream, from);
    // Those at hand are in memory together while it is not known whether the stream has ended.
    for entry in reader {
        // A torn or damaged end: what lies before it is told all the same.
        let Ok(entry) = entry else { break };
        if entry.receipt().statement().sequence < from.next {
            continue;
        }
        if !collected.take(&entry) {
            break;
        }
    }
    Ok(collected.batch())
}

/// Lines so far, and how many of them can be sent: a seal goes with the receipts it is over.
struct Collected {
    stream: StreamId,
    body: Vec<u8>,
    lines: u64,
    /// What of the lines is whole.
    whole: (usize, u64, Reached),
    /// The seal that those behind it wait for.
    waiting: Option<ReceiptHash>,
    /// Without a proof: sent never, and passed only if the stream has ended.
    unproven: bool,
}

impl Collected {
    fn new(stream: StreamId, from: Reached) -> Self {
        Self { stream, body: Vec::new(), lines: 0, whole: (0, 0, from), waiting: None, unproven: false }
    }

    /// Takes an entry up; false when no more are to be read.
    fn take(&mut self, entry: &Entry) -> bool {
        let statement = entry.receipt().statement();
        let Some(line) = entry.to_log_entry() else {
            // Its signature may still come, as long as its process lives; until then nothing goes past it.
            self.unproven = true;
            return true;
        };
        if self.body.len().saturating_add(line.len()).saturating_add(1) > MAX_BODY {
            return false;
        }
        self.body.extend_from_slice(line.as_bytes());
        self.body.push(b'\n');
        self.lines += 1;
        match (entry.proof(), self.waiting) {
            (Proof::Sealed(by), _) => self.waiting = Some(by),
            (_, Some(by)) if entry.receipt().hash() == by => self.waiting = None,
            _ => {}
        }
        let closed = matches!(statement.event, Event::Close { .. });
        // An end says that no proof comes any more for those that have none.
        self.unproven &= !closed;
        if self.waiting.is_none() && !self.unproven {
            let reached = Reached { next: statement.sequence.saturating_add(1), closed };
            self.whole = (self.body.len(), self.lines, reached);
        }
        !closed
    }

    fn batch(mut self) -> Option<Batch> {
        let (length, lines, reached) = self.whole;
        self.body.truncate(length);
        (lines > 0).then_some(Batch { body: self.body, lines, stream: self.stream, reached })
    }
}

/// What the authority takes at once.
pub(crate) const MAX_BODY: usize = 1 << 20;
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
