//! When a receipt can have been written (WIRE 4).
//!
//! The clock in a receipt is a claim. *Not after* comes from outside: the first witnessed checkpoint of a log that holds
//! the receipt, or a receipt of somebody else that names it and was witnessed itself. *Not before* comes only from what
//! the receipt signs: the list it names is not older than its thisUpdate, and what it follows from was there before.
//!
//! An allowance under a certificate whose revocation is known is INVALID if it is proven to be later, good if it is
//! proven not to be, and TIME-UNPROVEN otherwise. A witness that came late makes nothing INVALID, and neither does
//! another authority, which dates its lists as it likes: *not before* is proven by lists of the one that certified the key.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::links::Graph;
use super::papers::Revoked;
use crate::digest::Digest;
use crate::receipt::ReceiptHash;
use crate::time::UnixTime;

/// What bounds the time of one receipt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bracket {
    pub(super) not_before: Option<UnixTime>,
    pub(super) not_after: Option<UnixTime>,
}

impl Bracket {
    /// The claimed time, or the end of the bracket if it lies behind. An end in front of `start`, before which what the
    /// receipt names was not there, is a clock that is behind, and says nothing.
    pub(super) fn judged(&self, claimed: UnixTime, start: UnixTime) -> UnixTime {
        self.not_after.filter(|_| !self.ends_before(start)).map_or(claimed, |end| claimed.min(end))
    }

    /// Whether the end lies in front of `start`, by more than clocks are allowed to differ.
    pub(super) fn ends_before(&self, start: UnixTime) -> bool {
        self.not_after.is_some_and(|end| end.plus(CLOCK_TOLERANCE) < start)
    }

    /// Whether the claim lies outside, by more than clocks are allowed to differ; outside of nothing lies everything.
    pub(super) fn excludes(&self, claimed: UnixTime) -> bool {
        self.not_before.is_some_and(|start| self.ends_before(start))
            || self.not_after.is_some_and(|end| claimed > end.plus(CLOCK_TOLERANCE))
            || self.not_before.is_some_and(|start| claimed.plus(CLOCK_TOLERANCE) < start)
    }
}

/// The latest thisUpdate that the receipts of one stream named so far, for the key of each authority that signed the lists.
/// What was put together must not date receipts under one authority by the lists of another: tenants of one root are
/// strangers too.
#[derive(Debug, Default)]
pub(super) struct Floor(Vec<(Digest, UnixTime)>);

impl Floor {
    /// A receipt that is proven names a list of `issuer`.
    pub(super) fn raise(&mut self, issuer: Digest, this_update: UnixTime) {
        match self.0.iter_mut().find(|(known, _)| *known == issuer) {
            Some((_, time)) => *time = this_update.max(*time),
            None => self.0.push((issuer, this_update)),
        }
    }

    /// Receipts under `issuer` that come now are not older than this.
    pub(super) fn under(&self, issuer: &Digest) -> Option<UnixTime> {
        self.0.iter().find(|(known, _)| known == issuer).map(|(_, time)| *time)
    }
}

/// An allowance whose certificate was revoked at some time, or that was witnessed after its end.
#[derive(Clone, Debug)]
pub(super) struct Undecided {
    pub(super) hash: ReceiptHash,
    pub(super) claimed: UnixTime,
    /// When its certificate was revoked, if it was.
    pub(super) revoked: Revoked,
    /// When its certificate ends: whoever has its key has it then too, and no list names it any more.
    pub(super) ends: UnixTime,
    pub(super) bracket: Bracket,
    /// What it follows from in other streams.
    pub(super) parents: Vec<ReceiptHash>,
    /// A checkpoint it names: of which log, and how many entries that had.
    pub(super) anchor: Option<(Digest, u64)>,
    /// The key of the authority that issued its certificate.
    pub(super) issuer: Digest,
}

impl Undecided {
    /// What is proven about it, with what others and the logs add to its bracket.
    pub(super) fn decide(&self, links: &Graph, strata: &Strata) -> Age {
        let anchored = self.anchor.and_then(|(log, size)| strata.not_before(&(log, self.issuer), size));
        let follows = links.not_before(&self.parents);
        let own = follows.get(&self.issuer).copied();
        let not_before = self.bracket.not_before.max(own).max(anchored);
        if self.revoked.surely.is_some_and(|revoked| not_before.is_some_and(|start| start > revoked)) {
            return Age::AfterRevocation;
        }
        let since = |what: UnixTime, end: UnixTime| end.seconds().saturating_sub(what.seconds());
        if let Some(end) = self.not_after(links) {
            let revoked = self.revoked.perhaps.filter(|revoked| end > *revoked);
            let over = revoked.or(Some(self.ends).filter(|ends| is_late(end, *ends)));
            return over.map_or(Age::BeforeRevocation, |over| Age::Unproven { lag: since(over, end) });
        }
        let Some(revoked) = self.revoked.perhaps else { return Age::BeforeRevocation };
        // Nobody saw it: the claim is all there is, and another authority may contradict it.
        let latest = follows.into_values().chain(not_before).fold(self.claimed, UnixTime::max);
        if latest <= revoked { Age::ClaimedBefore } else { Age::Unproven { lag: since(revoked, latest) } }
    }

    /// By when it existed, as a witness of it or of one that follows from it says.
    fn not_after(&self, links: &Graph) -> Option<UnixTime> {
        [self.bracket.not_after, links.not_after(&self.hash)].into_iter().flatten().min()
    }

    /// Whether anything puts it into doubt: a revocation, or that it was witnessed only after its end.
    pub(super) fn is_doubtful(&self, links: &Graph) -> bool {
        let in_time = self.bracket.not_after.is_some_and(|end| !is_late(end, self.ends));
        self.revoked.perhaps.is_some()
            || (!in_time && self.not_after(links).is_some_and(|end| is_late(end, self.ends)))
    }
}

/// Whether what was witnessed at `end` may be younger than the end of its certificate.
pub(super) fn is_late(end: UnixTime, ends: UnixTime) -> bool {
    end > ends.plus(CLOCK_TOLERANCE)
}

/// What is proven about the age of an allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// Older than revocation and end.
    BeforeRevocation,
    AfterRevocation,
    /// It says so, and nobody saw it.
    ClaimedBefore,
    /// It may be up to `lag` seconds younger than the revocation.
    Unproven {
        lag: i64,
    },
}

/// How a log grew: a checkpoint of it is not older than any entry it covers. The time of its cosignatures says nothing
/// here, since whoever names a checkpoint may have known it before a witness did.
#[derive(Default)]
pub(super) struct Strata {
    /// For each log, and each authority whose agents have entries there: places, with a time that no entry above can be older
    /// than. Both ascend; a list lasts for hours, so they are few.
    logs: HashMap<(Digest, Digest), BTreeMap<u64, UnixTime>>,
}

impl Strata {
    /// By a list of the authority that is `log`'s second part, the entry at `index` is not older than `not_before`.
    pub(super) fn lay(&mut self, log: (Digest, Digest), index: u64, not_before: UnixTime) {
        let steps = self.logs.entry(log).or_default();
        if steps.range(..=index).next_back().is_some_and(|(_, known)| *known >= not_before) {
            return;
        }
        let covered: Vec<u64> =
            steps.range(index..).take_while(|(_, known)| **known <= not_before).map(|(at, _)| *at).collect();
        for at in covered {
            steps.remove(&at);
        }
        steps.insert(index, not_before);
    }

    /// The time before which the first `size` entries cannot all have been there.
    fn not_before(&self, log: &(Digest, Digest), size: u64) -> Option<UnixTime> {
        self.logs.get(log)?.range(..size).next_back().map(|(_, time)| *time)
    }
}

/// The receipts of a stream that were read last: links to them are settled at once and kept nowhere.
#[derive(Default)]
pub(super) struct Recent {
    known: HashSet<ReceiptHash>,
    order: VecDeque<ReceiptHash>,
}

impl Recent {
    pub(super) fn push(&mut self, hash: ReceiptHash) {
        if self.order.len() >= RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(hash);
        self.known.insert(hash);
    }

    pub(super) fn holds(&self, hash: &ReceiptHash) -> bool {
        self.known.contains(hash)
    }
}

/// notBefore and thisUpdate tolerate clocks that lag by this many seconds (WIRE 3).
pub(super) const CLOCK_TOLERANCE: i64 = 120;

/// 65,536 hashes are 4 MiB; calls that are open in one process at a time are fewer.
const RECENT: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::super::links::Links;
    use super::*;

    const fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    fn hash(name: &str) -> ReceiptHash {
        ReceiptHash::of(name.as_bytes())
    }

    fn allowance(bracket: Bracket) -> Undecided {
        Undecided {
            hash: hash("allowance"),
            claimed: at(90),
            revoked: since(100),
            ends: at(2_000_000),
            bracket,
            parents: vec![hash("parent")],
            anchor: None,
            issuer: ours(),
        }
    }

    fn ours() -> Digest {
        Digest::of(b"our authority")
    }

    fn theirs() -> Digest {
        Digest::of(b"their authority")
    }

    const fn since(seconds: i64) -> Revoked {
        Revoked { perhaps: Some(at(seconds)), surely: Some(at(seconds)) }
    }

    fn ends(not_before: Option<i64>, not_after: Option<i64>) -> Bracket {
        Bracket { not_before: not_before.map(at), not_after: not_after.map(at) }
    }

    #[test]
    fn the_rule_is_a_table_of_the_two_ends() {
        let none = Links::default().sorted();
        for (bracket, age) in [
            (ends(Some(101), None), Age::AfterRevocation),
            (ends(Some(101), Some(500)), Age::AfterRevocation),
            (ends(Some(100), Some(100)), Age::BeforeRevocation),
            (ends(None, Some(100)), Age::BeforeRevocation),
            (ends(Some(50), Some(101)), Age::Unproven { lag: 1 }),
            // However late a witness was, it makes nothing invalid.
            (ends(Some(50), Some(1_000_000)), Age::Unproven { lag: 999_900 }),
            (ends(Some(50), None), Age::ClaimedBefore),
        ] {
            assert_eq!(allowance(bracket).decide(&none, &Strata::default()), age, "{bracket:?}");
        }
        let late = Undecided { claimed: at(130), ..allowance(ends(Some(50), None)) };
        assert_eq!(late.decide(&none, &Strata::default()), Age::Unproven { lag: 30 });
        // The end of a certificate puts into doubt what was seen later, and makes nothing invalid.
        for (revoked, end, age) in [
            (None, Some(320), Age::BeforeRevocation),
            (None, Some(321), Age::Unproven { lag: 121 }),
            (None, None, Age::BeforeRevocation),
            (Some(100), Some(321), Age::AfterRevocation),
            (Some(400), Some(390), Age::Unproven { lag: 190 }),
        ] {
            let bracket = ends(Some(150), end);
            let revoked_since = revoked.map_or_else(Revoked::default, since);
            let ended = Undecided { revoked: revoked_since, ends: at(200), ..allowance(bracket) };
            assert_eq!(ended.decide(&none, &Strata::default()), age, "{revoked:?} {end:?}");
        }
    }

    #[test]
    fn what_others_say_about_a_receipt_bounds_it_from_both_sides() {
        let (allowance, child, grandchild) = (allowance(ends(Some(50), Some(500))), hash("b"), hash("c"));
        let mut links = vec![(allowance.hash, child, Bracket::default())];
        let decide = |links: &[_], here: &[_]| allowance.decide(&graph(links, here), &Strata::default());
        assert_eq!(decide(&links, &[]), Age::Unproven { lag: 400 });
        // The child was not witnessed itself, but whoever follows from it was.
        links.push((child, grandchild, ends(None, Some(99))));
        assert_eq!(decide(&links, &[]), Age::BeforeRevocation);
        // A parent elsewhere, which follows from one that names a list of after the revocation.
        links.push((hash("parent"), allowance.hash, Bracket::default()));
        links.push((hash("grandparent"), hash("parent"), Bracket::default()));
        let parent = (hash("parent"), 40, theirs(), hash("grandparent"));
        assert_eq!(decide(&links, &[parent]), Age::BeforeRevocation);
        let grandparent = (hash("grandparent"), 101, ours(), hash("nobody"));
        assert_eq!(decide(&links, &[parent, grandparent]), Age::AfterRevocation);
    }

    /// Who names whom, and who of those is here: not before when, under which authority, and whom it names.
    fn graph(
        links: &[(ReceiptHash, ReceiptHash, Bracket)],
        here: &[(ReceiptHash, i64, Digest, ReceiptHash)],
    ) -> Graph {
        let mut all = Links::default();
        for (parent, child, bracket) in links {
            all.name(*parent, *child, *bracket);
        }
        let mut graph = all.sorted();
        for (hash, start, issuer, parent) in here {
            graph.pass(*hash, Some(at(*start)), *issuer, &[*parent]);
        }
        graph
    }

    #[test]
    fn a_floor_is_of_one_authority() {
        let mut floor = Floor::default();
        for (root, time) in [(theirs(), 300), (ours(), 50), (ours(), 40)] {
            floor.raise(root, at(time));
        }
        let nobody = Digest::of(b"nobody");
        assert_eq!(
            [ours(), theirs(), nobody].map(|root| floor.under(&root)),
            [Some(at(50)), Some(at(300)), None]
        );
    }

    #[test]
    fn another_owner_dates_nothing_of_ours() {
        let parent = hash("parent");
        let links = graph(
            &[(parent, hash("allowance"), Bracket::default())],
            &[(parent, 101, theirs(), hash("nobody"))],
        );
        for (bracket, age) in [
            (ends(None, Some(100)), Age::BeforeRevocation),
            (ends(None, Some(500)), Age::Unproven { lag: 400 }),
            (ends(None, None), Age::Unproven { lag: 1 }),
            (ends(Some(101), None), Age::AfterRevocation),
        ] {
            assert_eq!(allowance(bracket).decide(&links, &Strata::default()), age, "{bracket:?}");
        }
    }

    #[test]
    fn a_claim_behind_its_bracket_is_judged_at_the_end_and_told() {
        let bracket = ends(Some(1000), Some(2000));
        let judged = |claimed| bracket.judged(at(claimed), at(1000));
        assert_eq!([500, 1500, 2500].map(judged), [500, 1500, 2000].map(at));
        assert_eq!(Bracket::default().judged(at(7), at(0)), at(7));
        for (claimed, outside) in [(879, true), (880, false), (2120, false), (2121, true)] {
            assert_eq!(bracket.excludes(at(claimed)), outside, "{claimed}");
        }
    }

    #[test]
    fn an_end_in_front_of_the_beginning_is_told_and_judges_nothing() {
        for (end, contradicts) in [(880, false), (879, true)] {
            let bracket = ends(Some(1000), Some(end));
            assert_eq!(bracket.judged(at(1010), at(1000)), if contradicts { at(1010) } else { at(end) });
            assert_eq!(bracket.excludes(at(995)), contradicts, "{end}");
        }
    }

    #[test]
    fn a_checkpoint_is_no_older_than_what_it_covers() {
        let (mut strata, name) = (Strata::default(), Digest::of(b"log"));
        let log = (name, ours());
        for (index, time) in [(10, 50), (30, 101), (20, 60), (25, 40), (40, 101)] {
            strata.lay(log, index, at(time));
        }
        let bound = |size| strata.not_before(&log, size).map(UnixTime::seconds);
        assert_eq!(
            [10, 11, 21, 30, 31, 99].map(bound),
            [None, Some(50), Some(60), Some(60), Some(101), Some(101)]
        );
        let none = Links::default().sorted();
        let named = |size| Undecided { anchor: Some((name, size)), ..allowance(Bracket::default()) };
        assert_eq!(named(31).decide(&none, &strata), Age::AfterRevocation);
        assert_eq!(named(30).decide(&none, &strata), Age::ClaimedBefore);
        // What another owner's agents have in the log says nothing about ours.
        strata.lay((name, theirs()), 5, at(300));
        assert_eq!(named(30).decide(&none, &strata), Age::ClaimedBefore);
        strata.lay(log, 0, at(200));
        assert_eq!(strata.logs.get(&log).map(BTreeMap::len), Some(1));
    }

    #[test]
    fn recent_receipts_are_forgotten_in_their_order() {
        let mut recent = Recent::default();
        for n in 0..=RECENT as u64 {
            recent.push(ReceiptHash::of(&n.to_be_bytes()));
        }
        assert!(!recent.holds(&ReceiptHash::of(&0_u64.to_be_bytes())));
        assert!(recent.holds(&ReceiptHash::of(&1_u64.to_be_bytes())));
    }
}
