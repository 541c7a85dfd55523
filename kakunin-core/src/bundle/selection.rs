//! Which receipts a bundle takes: whole streams, or one chain with what it follows from.
//!
//! Of one chain: every receipt that names it, what those follow from and how that ended, as far as it lies in the given
//! journals, and of each stream that has any of these the opening, the notes and the closing, which its proofs need; so it
//! is with the streams in which erasures of its values are stated. Found by reading the journals until nothing is added;
//! only hashes are kept.

use std::collections::{BTreeSet, HashSet};

use super::export::{ExportError, Found};
use crate::digest::Digest;
use crate::id::{AgentId, ChainId, StreamId};
use crate::journal::{Entry, Erasures, Proof, StreamReader};
use crate::receipt::{Control, Event, ReceiptHash};
use crate::verify::{Extent, is_beside};

/// What is taken.
pub(super) enum Selection {
    Everything(Stated),
    Chain(Chain),
}

/// The erasures that a receipt states: commitments stand in receipts, so a list of them alone is anybody's.
pub(super) struct Stated {
    erasures: Erasures,
    /// Which agent states which root.
    by: HashSet<(AgentId, Digest)>,
}

impl Stated {
    /// Finds the receipts, if there is anything they could state.
    fn of(found: &Found, read: &mut dyn FnMut()) -> Result<Self, ExportError> {
        let kept = found.archives().flat_map(|archive| {
            let kept = archive.erasures().into_iter();
            kept.filter_map(move |root| Some((root, archive.erased(&root)?)))
        });
        let (erasures, mut by) = (Erasures::from_iter(kept), HashSet::new());
        if erasures.is_empty() {
            return Ok(Self { erasures, by });
        }
        for (journal, stream) in found.streams() {
            for entry in StreamReader::open(journal, stream)? {
                read();
                let entry = entry?;
                let statement = entry.receipt().statement();
                if let Event::Control(Control::Erased { count, digest, .. }) = statement.event
                    && entry.proof() != Proof::Unsigned
                    && erasures.size_of(&digest) == Some(count)
                {
                    by.insert((statement.agent, digest));
                }
            }
        }
        Ok(Self { erasures, by })
    }

    /// The roots under which `agent` says that it erased the value of `commitment`.
    pub(super) fn roots_of(&self, agent: AgentId, commitment: &Digest) -> impl Iterator<Item = &Digest> {
        self.erasures.roots_of(commitment).filter(move |root| self.by.contains(&(agent, **root)))
    }
}

/// One chain.
pub(super) struct Chain {
    extent: Extent,
    /// Its receipts and what they need.
    taken: HashSet<ReceiptHash>,
    touched: HashSet<StreamId>,
    stated: Stated,
    /// Erasures of values of the receipts.
    erased: BTreeSet<Digest>,
}

impl Selection {
    /// Finds the receipts of `chain`, or takes everything.
    pub(super) fn of(
        chain: Option<ChainId>,
        found: &Found,
        read: &mut dyn FnMut(),
    ) -> Result<Self, ExportError> {
        let stated = Stated::of(found, read)?;
        let Some(chain) = chain else { return Ok(Self::Everything(stated)) };
        let mut selection = Chain {
            extent: Extent::Chain(chain),
            taken: HashSet::new(),
            touched: HashSet::new(),
            stated,
            erased: BTreeSet::new(),
        };
        let mut wanted: HashSet<ReceiptHash> = HashSet::new();
        loop {
            let mut grown = false;
            for (journal, stream) in found.streams() {
                for entry in StreamReader::open(journal, stream)? {
                    read();
                    grown |= selection.consider(&entry?, chain, &mut wanted);
                }
            }
            if !grown {
                break;
            }
        }
        Ok(Self::Chain(selection))
    }

    /// What agents say was erased.
    pub(super) const fn stated(&self) -> &Stated {
        match self {
            Self::Everything(stated) => stated,
            Self::Chain(chain) => &chain.stated,
        }
    }

    /// The commitments of the erasures that the bundle has to show, ascending by their roots.
    pub(super) fn shown_erasures(&self, found: &Found) -> impl Iterator<Item = Vec<Digest>> {
        let roots: BTreeSet<Digest> = match self {
            Self::Everything(stated) => stated.by.iter().map(|(_, root)| *root).collect(),
            Self::Chain(chain) => chain.erased.clone(),
        };
        roots.into_iter().filter_map(|root| found.archives().find_map(|archive| archive.erased(&root)))
    }

    /// Whether the stream has anything that is taken.
    pub(super) fn touches(&self, stream: StreamId) -> bool {
        match self {
            Self::Everything(_) => true,
            Self::Chain(chain) => chain.touched.contains(&stream),
        }
    }

    /// Whether the receipt, of a stream that is touched, is taken.
    pub(super) fn takes(&self, entry: &Entry) -> bool {
        match self {
            Self::Everything(_) => true,
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
        if let Event::Control(Control::Erased { digest, .. }) = &statement.event
            && self.erased.contains(digest)
        {
            return self.touched.insert(statement.stream);
        }
        let named = statement.chain.is_some_and(|(its, _)| its == chain);
        let ends = match &statement.event {
            Event::Outcome { decision, .. } => self.taken.contains(decision),
            _ => false,
        };
        if !(named || ends || wanted.contains(&hash)) || !self.taken.insert(hash) {
            return false;
        }
        self.touched.insert(statement.stream);
        for (_, commitment) in statement.event.commitments() {
            self.erased.extend(self.stated.roots_of(statement.agent, &commitment));
        }
        if !is_beside(self.extent, statement) {
            wanted.extend(&statement.parents);
        }
        true
    }
}
