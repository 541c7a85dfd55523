//! Who names whom across streams, and what that says about when. Within a stream the order of its receipts says as much.
//!
//! While receipts go by, every naming of one that is not near is kept, some hundred octets each. Then the receipts go by a
//! second time, since whoever is named may have gone by before.

use std::collections::{BTreeMap, HashSet};

use super::time::Bracket;
use crate::digest::Digest;
use crate::receipt::ReceiptHash;
use crate::time::UnixTime;

/// Namings, as they are met.
#[derive(Default)]
pub(super) struct Links {
    namings: Vec<Naming>,
}

/// Somebody names a receipt that is not near it in its own stream.
struct Naming {
    parent: ReceiptHash,
    child: ReceiptHash,
    /// By when the one who names was witnessed.
    not_after: Option<UnixTime>,
    /// Whether the one who is named is here; kept at the first of those that name it.
    found: Option<Found>,
}

/// A receipt that somebody names: not before when, by lists of which authority.
#[derive(Clone, Copy)]
struct Found {
    not_before: Option<UnixTime>,
    /// Its place in the graph's issuers.
    issuer: usize,
}

impl Links {
    /// `child` names `parent`, which is not near it in its own stream.
    pub(super) fn name(&mut self, parent: ReceiptHash, child: ReceiptHash, bracket: Bracket) {
        self.namings.push(Naming { parent, child, not_after: bracket.not_after, found: None });
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.namings.is_empty()
    }

    /// The latest time at which somebody was witnessed who names another.
    pub(super) fn latest(&self) -> Option<UnixTime> {
        self.namings.iter().filter_map(|naming| naming.not_after).max()
    }

    /// All of them: receipts may go by again.
    pub(super) fn sorted(mut self) -> Graph {
        self.namings.sort_unstable_by_key(|naming| (naming.parent, naming.child));
        Graph { namings: self.namings, parents: BTreeMap::new(), issuers: Vec::new() }
    }
}

/// What the namings come to.
pub(super) struct Graph {
    /// By the one who is named.
    namings: Vec<Naming>,
    /// Of those who are named and name others who are: places in `namings`.
    parents: BTreeMap<usize, Vec<usize>>,
    /// The keys of authorities.
    issuers: Vec<Digest>,
}

impl Graph {
    /// A receipt goes by: it may be one that somebody names. The authority `issuer` issued its certificate.
    pub(super) fn pass(
        &mut self,
        hash: ReceiptHash,
        not_before: Option<UnixTime>,
        issuer: Digest,
        parents: &[ReceiptHash],
    ) {
        let Some(place) = self.place(&hash) else { return };
        let issuer = self.issuers.iter().position(|known| *known == issuer).unwrap_or_else(|| {
            self.issuers.push(issuer);
            self.issuers.len() - 1
        });
        if let Some(naming) = self.namings.get_mut(place) {
            naming.found = Some(Found { not_before, issuer });
        }
        let named: Vec<usize> = parents.iter().filter_map(|parent| self.place(parent)).collect();
        if !named.is_empty() {
            self.parents.insert(place, named);
        }
    }

    /// Where those begin that name `parent`.
    fn place(&self, parent: &ReceiptHash) -> Option<usize> {
        let place = self.namings.partition_point(|naming| naming.parent < *parent);
        self.namings.get(place).is_some_and(|naming| naming.parent == *parent).then_some(place)
    }

    /// How many receipts are named and were not seen.
    pub(super) fn missing(&self) -> usize {
        let mut last = None;
        let firsts = self.namings.iter().filter(|naming| last.replace(naming.parent) != Some(naming.parent));
        firsts.filter(|naming| naming.found.is_none()).count()
    }

    /// By the lists of each authority: the latest time before which not all of `parents`, and what they follow from, can
    /// have been written.
    pub(super) fn not_before(&self, parents: &[ReceiptHash]) -> BTreeMap<Digest, UnixTime> {
        let mut latest = BTreeMap::new();
        walk(parents.iter().filter_map(|parent| self.place(parent)), |place, open| {
            let Some(found) = self.namings.get(*place).and_then(|naming| naming.found) else { return };
            if let (Some(start), Some(issuer)) = (found.not_before, self.issuers.get(found.issuer)) {
                let known = latest.entry(*issuer).or_insert(start);
                *known = start.max(*known);
            }
            open.extend(self.parents.get(place).into_iter().flatten());
        });
        latest
    }

    /// The earliest time at which somebody was witnessed who follows from `hash`.
    pub(super) fn not_after(&self, hash: &ReceiptHash) -> Option<UnixTime> {
        let mut earliest: Option<UnixTime> = None;
        walk([*hash], |hash, open| {
            let children = self.place(hash).and_then(|place| self.namings.get(place..));
            let children = children.into_iter().flatten().take_while(|naming| naming.parent == *hash);
            for naming in children.take(LONGEST_WALK) {
                earliest = [earliest, naming.not_after].into_iter().flatten().min();
                open.push(naming.child);
            }
        });
        earliest
    }
}

/// Visits each once, from `start` on; `visit` adds where to go next.
fn walk<T: Copy + Eq + std::hash::Hash>(
    start: impl IntoIterator<Item = T>,
    mut visit: impl FnMut(&T, &mut Vec<T>),
) {
    let (mut open, mut seen): (Vec<T>, _) = (start.into_iter().collect(), HashSet::new());
    while let Some(next) = open.pop() {
        if seen.len() >= LONGEST_WALK {
            // What was not walked to bounds nothing: the answer stays true and becomes less sharp.
            return;
        }
        if seen.insert(next) {
            visit(&next, &mut open);
        }
    }
}

/// Receipts of one incident that one bound is sought over. Chains of agents are a few calls deep.
const LONGEST_WALK: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(name: &str) -> ReceiptHash {
        ReceiptHash::of(name.as_bytes())
    }

    const fn at(seconds: i64) -> Option<UnixTime> {
        Some(UnixTime::from_seconds(seconds))
    }

    #[test]
    fn a_bound_is_sought_over_everybody_who_follows_and_everybody_followed() {
        let mut links = Links::default();
        for (parent, child, not_after) in
            [("a", "b", None), ("b", "c", at(99)), ("a", "d", at(200)), ("gone", "a", None)]
        {
            links.name(hash(parent), hash(child), Bracket { not_before: None, not_after });
        }
        let mut graph = links.sorted();
        assert_eq!(graph.missing(), 3);
        assert_eq!([hash("a"), hash("b"), hash("c")].map(|it| graph.not_after(&it)), [at(99), at(99), None]);
        // What nobody names is not looked at, and what is not here bounds nothing.
        let (ours, theirs) = (Digest::of(b"ours"), Digest::of(b"theirs"));
        graph.pass(hash("c"), at(500), ours, &[hash("b")]);
        assert!(graph.not_before(&[hash("c"), hash("b"), hash("gone")]).is_empty());
        graph.pass(hash("b"), at(40), ours, &[hash("a")]);
        graph.pass(hash("a"), at(70), theirs, &[hash("gone")]);
        let bounds = |graph: &Graph| {
            let bounds = graph.not_before(&[hash("b")]);
            [ours, theirs].map(|root| bounds.get(&root).copied())
        };
        assert_eq!(bounds(&graph), [at(40), at(70)]);
        assert_eq!(graph.missing(), 1);
        graph.pass(hash("gone"), at(101), ours, &[]);
        assert_eq!((bounds(&graph), graph.missing()), ([at(101), at(70)], 0));
    }

    #[test]
    fn circles_and_crowds_come_to_an_end() {
        let mut links = Links::default();
        links.name(hash("a"), hash("b"), Bracket::default());
        links.name(hash("b"), hash("a"), Bracket { not_before: None, not_after: at(7) });
        for child in 0..2 * LONGEST_WALK {
            links.name(hash("a"), hash(&child.to_string()), Bracket::default());
        }
        let mut graph = links.sorted();
        let root = Digest::of(b"root");
        graph.pass(hash("a"), at(1), root, &[hash("b")]);
        graph.pass(hash("b"), at(2), root, &[hash("a")]);
        assert_eq!(graph.not_before(&[hash("a")]).get(&root).copied(), at(2));
        assert_eq!(graph.not_after(&hash("b")), at(7));
    }
}
