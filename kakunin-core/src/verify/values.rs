//! Values that receipts commit to: which are shown, which were erased and a receipt says so, which are not here.
//!
//! What an erasure erased is known by its commitments, which lie beside the receipts under the root that the receipt of the
//! erasure states; they count only if that receipt is proven, of the same agent under the same root, and of as many. It may
//! lie anywhere in the source, so what is missing is counted by the erasures that name it while receipts go by, and judged at
//! the end.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::owned::OwnedAgent;
use super::report::{Extent, Reason, Shown, ValueCount};
use super::source::{Item, Source};
use super::stream::Code;
use crate::digest::Digest;
use crate::id::StreamId;
use crate::journal::Erasures;
use crate::receipt::{Control, Event};

/// What the erasures of one source erased, and what became of the values that went by.
#[derive(Default)]
pub(super) struct Values {
    erasures: Erasures,
    /// Erasures that a proven receipt states.
    stated: HashSet<(OwnedAgent, Digest)>,
    /// Proven receipts of erasures whose commitments are not shown, where all have to be.
    unshown: BTreeMap<StreamId, u64>,
    streams: Vec<Tally>,
    shown: Shown,
    /// Of one chain only the erasures of its own values are shown.
    is_whole: bool,
}

/// The values of one stream, by erasure.
struct Tally {
    stream: StreamId,
    agent: OwnedAgent,
    disclosed: u64,
    missing: u64,
    /// Not here, and still here, by the roots of the erasures that name them and by whether their receipt is proven.
    of: HashMap<(Vec<Digest>, bool), (u64, u64)>,
}

impl Values {
    /// The erasures that `source` shows.
    ///
    /// # Errors
    /// One of them is not what its name says.
    pub(super) fn of(source: &dyn Source) -> Result<Self, Code> {
        let shown = source.erasures().into_iter();
        let erasures: Option<Erasures> = shown.map(|root| Some((root, source.erased(&root)?))).collect();
        let erasures = erasures.ok_or("journal.archive")?;
        let is_whole = source.extent() == Extent::Streams;
        Ok(Self { erasures, shown: source.shown(), is_whole, ..Self::default() })
    }

    /// Takes note of a receipt whose values and proof were looked at; `missing` are the commitments without a value.
    pub(super) fn pass(&mut self, item: &Item, agent: OwnedAgent, missing: &[Digest]) {
        let (statement, proven) = (item.receipt.statement(), item.is_proven());
        if let Event::Control(Control::Erased { digest, count, .. }) = statement.event
            && proven
        {
            if self.erasures.size_of(&digest) == Some(count) {
                self.stated.insert((agent, digest));
            } else if self.is_whole {
                *self.unshown.entry(statement.stream).or_default() += 1;
            }
        }
        if missing.is_empty() && item.disclosures.is_empty() {
            return;
        }
        let erasure = |commitment| -> Vec<Digest> { self.erasures.roots_of(commitment).copied().collect() };
        let here = item.disclosures.iter().map(|disclosure| (erasure(disclosure.digest()), true));
        let gone = missing.iter().map(|commitment| (erasure(commitment), false));
        let counted: Vec<_> = here.chain(gone).collect();
        let Some(tally) = self.tally(statement.stream, agent) else { return };
        for (erasures, here) in counted {
            let (absent, present) = if erasures.is_empty() {
                if here && !proven {
                    continue;
                }
                (&mut tally.missing, &mut tally.disclosed)
            } else {
                let (absent, present) = tally.of.entry((erasures, proven)).or_default();
                (absent, present)
            };
            *(if here { present } else { absent }) += 1;
        }
    }

    /// Streams come one after another.
    fn tally(&mut self, stream: StreamId, agent: OwnedAgent) -> Option<&mut Tally> {
        if self.streams.last().is_none_or(|tally| tally.stream != stream) {
            let of = HashMap::new();
            self.streams.push(Tally { stream, agent, disclosed: 0, missing: 0, of });
        }
        self.streams.last_mut()
    }

    /// Adds up what became of the values, and says why it keeps what is authentic from being complete.
    pub(super) fn judge(self, count: &mut ValueCount, reasons: &mut Vec<Reason>) {
        for mut tally in self.streams {
            let (mut lingering, stream) = (0, tally.stream);
            for ((roots, proven), (absent, present)) in tally.of {
                let stated = roots.into_iter().any(|root| self.stated.contains(&(tally.agent, root)));
                if proven {
                    tally.disclosed += present;
                }
                if stated {
                    count.erased += if proven { absent } else { 0 };
                    lingering += present;
                } else {
                    tally.missing += absent;
                }
            }
            count.disclosed += tally.disclosed;
            match self.shown {
                Shown::All => count.missing += tally.missing,
                Shown::Some => count.withheld += tally.missing,
            }
            if tally.missing > 0 {
                reasons.push(Reason::Redacted { stream, count: tally.missing, shown: self.shown });
            }
            if lingering > 0 {
                reasons.push(Reason::Lingering { stream, count: lingering });
            }
        }
        reasons
            .extend(self.unshown.into_iter().map(|(stream, count)| Reason::ErasureMissing { stream, count }));
    }
}
