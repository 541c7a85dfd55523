//! What happened: receipts collected while they are verified, in the order that they prove.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::order::{Node, Part, order};
use super::owned::OwnedAgent;
use super::source::{LogPlace, Seen};
use super::verification::Watch;
use crate::certificate::AgentPath;
use crate::digest::Digest;
use crate::id::StreamId;
use crate::journal::Proof;
use crate::receipt::{Disclosure, Event, ReceiptHash, Statement};
use crate::time::UnixTime;

/// Collects receipts while they are verified, up to a number: of each stream the first ones, and of no stream many more
/// than of another.
#[derive(Debug)]
pub struct Timeline {
    streams: BTreeMap<StreamId, Vec<Step>>,
    most: usize,
    kept: usize,
    seen: u64,
    /// The stream of which no more is collected.
    full: Option<StreamId>,
}

/// One receipt of the story.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name.
    pub hash: ReceiptHash,
    /// What it states.
    pub statement: Statement,
    /// SHA-256 of the certificate that signed it.
    pub certificate: Digest,
    /// That certificate with its path to a root of the caller.
    pub path: Arc<AgentPath>,
    /// The values it commits to, as far as they are here.
    pub disclosures: Vec<Disclosure>,
    /// What there is to prove it by.
    pub proof: Proof,
    /// Whether a log of the caller's keys holds it.
    pub logged: bool,
    /// Where these logs hold it.
    pub places: Vec<LogPlace>,
    /// The latest time before which it cannot have been written, by the lists that it and its stream name.
    pub not_before: Option<UnixTime>,
    /// The time at which it existed, by a witness.
    pub not_after: Option<UnixTime>,
    /// The token, or what would be signed.
    pub token: String,
}

impl Step {
    /// Whether there is anything to prove it by. What nobody signed is told, and is part of no call.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proof != Proof::Unsigned
    }

    /// Whose it is.
    #[must_use]
    pub fn agent(&self) -> OwnedAgent {
        OwnedAgent { root: self.path.root().decoded().key().key_id(), agent: self.statement.agent }
    }
}

impl Timeline {
    /// Collects at most `most` receipts.
    #[must_use]
    pub const fn of_at_most(most: usize) -> Self {
        Self { streams: BTreeMap::new(), most, kept: 0, seen: 0, full: None }
    }

    /// How many receipts went by that are not here.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.seen.saturating_sub(self.kept as u64)
    }

    /// Whether one more of `stream` is collected, at the expense of the longest stream if need be.
    fn has_room(&mut self, stream: StreamId) -> bool {
        if self.full == Some(stream) {
            return false;
        }
        if self.kept < self.most {
            return true;
        }
        let own = self.streams.get(&stream).map_or(0, Vec::len);
        let longest = self.streams.values_mut().max_by_key(|steps| steps.len());
        match longest.filter(|steps| steps.len() > own + 1) {
            Some(longest) => {
                longest.pop();
                self.kept -= 1;
                true
            }
            // Only the first ones, so that whoever reads knows where the stream breaks off.
            None => {
                self.full = Some(stream);
                false
            }
        }
    }

    /// The receipts in an order that their links prove; what they leave open is told as calls nest.
    #[must_use]
    pub fn into_steps(self) -> Vec<Step> {
        let steps: Vec<Step> = self.streams.into_values().flatten().collect();
        let order = order(&steps.iter().map(node).collect::<Vec<_>>());
        let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
        order.into_iter().filter_map(|place| steps.get_mut(place)?.take()).collect()
    }
}

/// What nobody signed stands where its stream has it, and says nothing about the place of others.
fn node(step: &Step) -> Node<'_> {
    let (hash, stream) = (step.hash, step.statement.stream);
    let part = match &step.statement.event {
        _ if !step.is_proven() => return Node { hash, stream, parents: &[], part: Part::Neither },
        Event::Decision { .. } => Part::Decision,
        Event::Outcome { .. } => Part::Outcome,
        _ => Part::Neither,
    };
    Node { hash, stream, parents: &step.statement.parents, part }
}

impl Watch for Timeline {
    fn receipt(&mut self, seen: &Seen<'_>) {
        self.seen += 1;
        let stream = seen.statement().stream;
        if !self.has_room(stream) {
            return;
        }
        self.kept += 1;
        self.streams.entry(stream).or_default().push(Step {
            hash: seen.hash(),
            statement: seen.statement().clone(),
            certificate: *seen.certificate(),
            path: Arc::clone(seen.path()),
            disclosures: seen.disclosures().to_vec(),
            proof: seen.proof(),
            logged: seen.is_logged(),
            places: seen.places().collect(),
            not_before: seen.not_before(),
            not_after: seen.not_after(),
            token: seen.token(),
        });
    }
}
