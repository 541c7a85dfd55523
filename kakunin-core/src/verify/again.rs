//! Looking again: what one pass cannot say, because it depends on receipts that come later.
//!
//! The first pass leaves a trail, one hash for each stream. Who looks again follows it: he sees the receipts that the first
//! pass saw, what a live stream has grown by since is not looked at, and what was changed meanwhile ends everything. So
//! nothing needs to be held in memory for the second look.

use std::io;

use ring::digest::{Context, SHA256};

use super::source::{Item, Next, Source, Stop, Visitor};
use super::stream::Code;
use crate::digest::Digest;
use crate::id::StreamId;

/// What the first pass saw, stream by stream.
#[derive(Default)]
pub(super) struct Trail {
    streams: Vec<Trace>,
    open: Option<Trace<Context>>,
}

/// How many receipts of a stream were seen, and the hash over their names.
struct Trace<H = Digest> {
    stream: StreamId,
    receipts: u64,
    names: H,
}

impl Trace<Context> {
    fn begin(stream: StreamId) -> Self {
        Self { stream, receipts: 0, names: Context::new(&SHA256) }
    }

    fn pass(&mut self, item: &Item) {
        self.receipts += 1;
        self.names.update(item.receipt.hash().digest().as_bytes());
    }

    fn end(self) -> Trace {
        let mut octets = [0; 32];
        // INVARIANT: SHA-256 gives 32 octets.
        for (to, from) in octets.iter_mut().zip(self.names.finish().as_ref()) {
            *to = *from;
        }
        Trace { stream: self.stream, receipts: self.receipts, names: Digest::from_bytes(octets) }
    }
}

impl Trail {
    pub(super) fn begin(&mut self, stream: StreamId) {
        self.end();
        self.open = Some(Trace::begin(stream));
    }

    pub(super) fn pass(&mut self, item: &Item) {
        if let Some(open) = &mut self.open {
            open.pass(item);
        }
    }

    pub(super) fn end(&mut self) {
        self.streams.extend(self.open.take().map(Trace::end));
    }

    /// Leads `look` through `sources` as the first pass went.
    ///
    /// # Errors
    /// A source cannot be read, or is not what it was.
    pub(super) fn follow(&self, sources: &[&dyn Source], look: &mut dyn Look) -> io::Result<()> {
        let mut follower =
            Follower { left: self.streams.iter(), expected: None, seen: None, look, changed: false };
        for (number, source) in sources.iter().enumerate() {
            follower.look.source(number);
            // What is wrong apart from the receipts, the first pass has said.
            if let Err(Stop::Io(error)) = source.walk(&mut follower) {
                return Err(error);
            }
            follower.settle();
        }
        if follower.changed || follower.left.any(|trace| trace.receipts > 0) {
            return Err(io::Error::other("it was changed while it was verified; verify a copy"));
        }
        Ok(())
    }
}

/// Who looks again.
pub(super) trait Look {
    /// What comes is of the source `number`.
    fn source(&mut self, _number: usize) {}

    /// A stream begins.
    fn begin(&mut self);

    /// The next receipt.
    fn item(&mut self, item: &Item);
}

struct Follower<'t, 'l> {
    left: std::slice::Iter<'t, Trace>,
    expected: Option<&'t Trace>,
    seen: Option<Trace<Context>>,
    look: &'l mut dyn Look,
    changed: bool,
}

impl Follower<'_, '_> {
    /// A stream ends, or reading it did.
    fn settle(&mut self) {
        if let (Some(expected), Some(seen)) = (self.expected.take(), self.seen.take()) {
            let seen = seen.end();
            self.changed |= (seen.receipts, seen.names) != (expected.receipts, expected.names);
        }
    }
}

impl Visitor for Follower<'_, '_> {
    fn begin(&mut self, stream: StreamId) {
        // A stream that the first pass did not see has begun since then.
        self.expected = self.left.as_slice().first().filter(|trace| trace.stream == stream);
        if self.expected.is_some() {
            self.left.next();
        }
        self.seen = Some(Trace::begin(stream));
        self.look.begin();
    }

    fn item(&mut self, item: Item) -> Next {
        let (Some(expected), Some(seen)) = (self.expected, &mut self.seen) else { return Next::Stream };
        if seen.receipts >= expected.receipts {
            return Next::Stream;
        }
        seen.pass(&item);
        self.look.item(&item);
        if seen.receipts < expected.receipts { Next::Receipt } else { Next::Stream }
    }

    fn end(&mut self, _: u64, _: Option<Code>) {
        self.settle();
    }
}
