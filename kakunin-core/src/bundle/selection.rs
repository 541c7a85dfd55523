//! Which receipts a bundle takes: whole streams, or one chain with what it follows from.
//!
//! Of one chain: every receipt that names it, what those follow from and how that ended, as far as it lies in the given
//! journals, and of each stream that has any of these the opening, the notes and the closing, which its proofs need. Found
//! by reading the journals until nothing is added; only hashes are kept.

use std::collections::HashSet;

use super::export::{ExportError, Found};
use crate::id::{ChainId, StreamId};
use crate::journal::{Entry, StreamReader};
use crate::receipt::{Event, ReceiptHash};
use crate::verify::{Extent, is_beside};

/// What is taken.
pub(super) enum Selection {
    Everything,
    Chain(Chain),
}

/// One chain.
pub(super) struct Chain {
    extent: Extent,
    /// Its receipts and what they need.
    taken: HashSet<ReceiptHash>,
    touched: HashSet<StreamId>,
}

impl Selection {
    /// Finds the receipts of `chain`, or takes everything.
    pub(super) fn of(chain: Option<ChainId>, found: &Found) -> Result<Self, ExportError> {
        let Some(chain) = chain else { return Ok(Self::Everything) };
        let mut selection =
            Chain { extent: Extent::Chain(chain), taken: HashSet::new(), touched: HashSet::new() };
        let mut wanted: HashSet<ReceiptHash> = HashSet::new();
        loop {
            let mut grown = false;
            for (journal, stream) in found.streams() {
                for entry in StreamReader::open(journal, stream)? {
                    grown |= selection.consider(&entry?, chain, &mut wanted);
                }
            }
            if !grown {
                break;
            }
        }
        Ok(Self::Chain(selection))
    }

    /// Whether the stream has anything that is taken.
    pub(super) fn touches(&self, stream: StreamId) -> bool {
        match self {
            Self::Everything => true,
            Self::Chain(chain) => chain.touched.contains(&stream),
        }
    }

    /// Whether the receipt, of a stream that is touched, is taken.
    pub(super) fn takes(&self, entry: &Entry) -> bool {
        match self {
            Self::Everything => true,
            Self::Chain(chain) => {
                let frame = |event: &Event| {
                    matches!(event, Event::Open { .. } | Event::Control(_) | Event::Close { .. })
                };
                frame(&entry.receipt().statement().event) || chain.taken.contains(&entry.receipt().hash())
            }
        }
    }
}

impl Chain {
    /// Takes the receipt if it belongs here; says whether that may bring others.
    fn consider(&mut self, entry: &Entry, chain: ChainId, wanted: &mut HashSet<ReceiptHash>) -> bool {
        let (statement, hash) = (entry.receipt().statement(), entry.receipt().hash());
        let named = statement.chain.is_some_and(|(its, _)| its == chain);
        let ends = match &statement.event {
            Event::Outcome { decision, .. } => self.taken.contains(decision),
            _ => false,
        };
        if !(named || ends || wanted.contains(&hash)) || !self.taken.insert(hash) {
            return false;
        }
        self.touched.insert(statement.stream);
        if !is_beside(self.extent, statement) {
            wanted.extend(&statement.parents);
        }
        true
    }
}
