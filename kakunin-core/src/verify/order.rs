//! The order in which receipts are told: each after those it follows from and after those before it in its stream.
//!
//! Links leave much of it open. What they leave open is told as calls nest: what a call made others do comes before the
//! call's own outcome. Clocks take no part, so that a wrong one cannot tell another story.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::id::StreamId;
use crate::receipt::ReceiptHash;

/// What the order needs to know of a receipt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    pub(super) hash: ReceiptHash,
    pub(super) stream: StreamId,
    pub(super) parents: &'a [ReceiptHash],
    pub(super) part: Part,
}

/// What part it has in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Decision,
    /// Of the decision that is its first parent.
    Outcome,
    Neither,
}

/// Puts `nodes`, which stand by stream and number, in the order in which they are told. Each comes once, whatever their
/// links say.
pub(super) fn order(nodes: &[Node<'_>]) -> Vec<usize> {
    let mut telling = Telling::of(nodes);
    let known = |node: &Node<'_>| node.parents.iter().any(|hash| telling.places.contains_key(hash));
    // A story begins in a stream whose first call nobody here made.
    let mut begins: HashMap<StreamId, bool> = HashMap::new();
    for node in nodes.iter().filter(|node| node.part == Part::Decision) {
        begins.entry(node.stream).or_insert_with(|| !known(node));
    }
    let in_such = |place: &usize| {
        nodes.get(*place).is_some_and(|node| begins.get(&node.stream).is_some_and(|begins| *begins))
    };
    let (first, rest): (Vec<usize>, Vec<usize>) = (0..nodes.len()).partition(in_such);
    for place in first.into_iter().chain(rest) {
        telling.tell(place);
    }
    telling.order
}

struct Telling {
    places: HashMap<ReceiptHash, usize>,
    /// For each: what must come before.
    before: Vec<Vec<usize>>,
    /// For each decision: its outcome, then what it made others decide, the last one first.
    within: Vec<Vec<usize>>,
    state: Vec<State>,
    order: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// It waits for what must come before.
    Waiting,
    Told,
}

impl Telling {
    fn of(nodes: &[Node<'_>]) -> Self {
        let places: HashMap<ReceiptHash, usize> =
            nodes.iter().enumerate().map(|(place, node)| (node.hash, place)).collect();
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
        let (mut outcomes, mut calls) = (vec![Vec::new(); nodes.len()], vec![Vec::new(); nodes.len()]);
        let mut last: BTreeMap<StreamId, usize> = BTreeMap::new();
        for (place, node) in nodes.iter().enumerate() {
            let earlier = last.insert(node.stream, place);
            let parents = node.parents.iter().filter_map(|hash| places.get(hash).copied());
            let parents: Vec<usize> = parents.filter(|parent| *parent != place).collect();
            for parent in &parents {
                let within: &mut Vec<Vec<usize>> = match node.part {
                    Part::Outcome => &mut outcomes,
                    Part::Decision if nodes.get(*parent).is_some_and(|it| it.stream != node.stream) => {
                        &mut calls
                    }
                    _ => continue,
                };
                if let Some(within) = within.get_mut(*parent) {
                    within.push(place);
                }
            }
            if let Some(before) = before.get_mut(place) {
                before.extend(parents.into_iter().chain(earlier));
            }
        }
        let within = outcomes.into_iter().zip(calls).map(|(mut outcome, calls): (Vec<usize>, Vec<usize>)| {
            outcome.extend(calls.into_iter().rev());
            outcome
        });
        let (within, state) = (within.collect(), vec![State::Open; nodes.len()]);
        Self { places, before, within, state, order: Vec::with_capacity(nodes.len()) }
    }

    fn state(&self, place: usize) -> State {
        self.state.get(place).copied().unwrap_or(State::Told)
    }

    fn set(&mut self, place: usize, state: State) {
        if let Some(its) = self.state.get_mut(place) {
            *its = state;
        }
    }

    /// Tells `place` with what must come before it and what belongs into its call.
    fn tell(&mut self, place: usize) {
        let mut goals = vec![Goal::Due(place)];
        while let Some(goal) = goals.pop() {
            let place = match goal {
                Goal::Due(place) => place,
                // Its turn comes later, in its stream.
                Goal::Within(place) if !self.is_free(place) => continue,
                Goal::Within(place) => place,
            };
            if self.state(place) == State::Told {
                continue;
            }
            // What waits is waiting for this one: links that go round in a circle are not followed.
            let missing: Vec<usize> = self.open_before(place).collect();
            if missing.is_empty() {
                self.set(place, State::Told);
                self.order.push(place);
                goals.extend(self.within.get(place).into_iter().flatten().copied().map(Goal::Within));
            } else {
                self.set(place, State::Waiting);
                goals.push(Goal::Due(place));
                goals.extend(missing.into_iter().map(Goal::Due));
            }
        }
    }

    fn open_before(&self, place: usize) -> impl Iterator<Item = usize> {
        let before = self.before.get(place).into_iter().flatten().copied();
        before.filter(|place| self.state(*place) == State::Open)
    }

    /// Whether nothing that must come before `place` is waiting, however far back.
    fn is_free(&self, place: usize) -> bool {
        let (mut open, mut seen) = (vec![place], HashSet::from([place]));
        while let Some(place) = open.pop() {
            if self.before.get(place).into_iter().flatten().any(|it| self.state(*it) == State::Waiting) {
                return false;
            }
            open.extend(self.open_before(place).filter(|it| seen.insert(*it)));
        }
        true
    }
}

/// What is to be told next.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// Something else needs it.
    Due(usize),
    /// It belongs into the call that was just told, if it can come now.
    Within(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(name: &str) -> ReceiptHash {
        ReceiptHash::of(name.as_bytes())
    }

    /// Receipts as `stream: name <- parents`; a name that begins with `d` decides, one with `o` is an outcome.
    fn told(receipts: &[(u8, &str, &[&str])]) -> Vec<String> {
        let parents: Vec<Vec<ReceiptHash>> =
            receipts.iter().map(|(_, _, parents)| parents.iter().map(|it| hash(it)).collect()).collect();
        let nodes: Vec<Node<'_>> = receipts
            .iter()
            .zip(&parents)
            .map(|((stream, name, _), parents)| Node {
                hash: hash(name),
                stream: StreamId::from_bytes([*stream; 16]),
                parents,
                part: match name.chars().next() {
                    Some('d') => Part::Decision,
                    Some('o') => Part::Outcome,
                    _ => Part::Neither,
                },
            })
            .collect();
        order(&nodes).into_iter().map(|place| receipts[place].1.to_owned()).collect()
    }

    #[test]
    fn what_a_call_made_others_do_is_told_within_it() {
        let bank: &[(u8, &str, &[&str])] =
            &[(1, "begin1", &[]), (1, "d1", &["d3"]), (1, "o1", &["d1"]), (1, "end1", &[])];
        let shop: &[(u8, &str, &[&str])] = &[
            (2, "begin2", &[]),
            (2, "d2", &[]),
            (2, "o2", &["d2"]),
            (2, "d3", &[]),
            (2, "o3", &["d3"]),
            (2, "end2", &[]),
        ];
        assert_eq!(
            told(&[bank, shop].concat()),
            ["begin2", "d2", "o2", "d3", "begin1", "d1", "o1", "o3", "end2", "end1"]
        );
    }

    #[test]
    fn one_stream_is_told_by_its_numbers() {
        let stream: &[(u8, &str, &[&str])] = &[
            (1, "begin", &[]),
            (1, "d1", &[]),
            (1, "d2", &[]),
            (1, "note", &[]),
            (1, "o1", &["d1"]),
            (1, "o2", &["d2"]),
        ];
        let names: Vec<&str> = stream.iter().map(|(_, name, _)| *name).collect();
        assert_eq!(told(stream), names);
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_links_each_receipt_comes_once_and_after_what_it_names(
            receipts in proptest::collection::vec((0_u8..4, 0_u8..3, 0_usize..64, 0_usize..64), 1..60),
        ) {
            // Whoever names something came later: so it is wherever nothing is left out.
            let hashes: Vec<ReceiptHash> = (0..receipts.len()).map(|place| hash(&place.to_string())).collect();
            let parents: Vec<Vec<ReceiptHash>> = receipts
                .iter()
                .enumerate()
                .map(|(place, (_, _, one, other))| {
                    [one, other].into_iter().filter(|at| **at < place).map(|at| hashes[*at]).collect()
                })
                .collect();
            let mut shuffled: Vec<usize> = (0..receipts.len()).collect();
            shuffled.sort_by_key(|place| receipts[*place].0);
            let nodes: Vec<Node<'_>> = shuffled
                .iter()
                .map(|place| Node {
                    hash: hashes[*place],
                    stream: StreamId::from_bytes([receipts[*place].0; 16]),
                    parents: &parents[*place],
                    part: [Part::Decision, Part::Outcome, Part::Neither][usize::from(receipts[*place].1)],
                })
                .collect();
            let told: Vec<usize> = order(&nodes).into_iter().map(|at| shuffled[at]).collect();
            let mut each = told.clone();
            each.sort_unstable();
            proptest::prop_assert_eq!(each, (0..receipts.len()).collect::<Vec<_>>());
            let at = |place: usize| told.iter().position(|it| *it == place).unwrap();
            for place in 0..receipts.len() {
                for parent in &parents[place] {
                    let parent = hashes.iter().position(|it| it == parent).unwrap();
                    proptest::prop_assert!(at(parent) < at(place), "{} before {}", place, parent);
                }
                for later in (place + 1..receipts.len()).filter(|later| receipts[*later].0 == receipts[place].0) {
                    proptest::prop_assert!(at(place) < at(later), "stream: {} before {}", later, place);
                }
            }
        }
    }

    #[test]
    fn links_in_a_circle_lose_no_receipt() {
        // Of one chain a stream shows some receipts only, so an earlier one can name a later one.
        let receipts: &[(u8, &str, &[&str])] =
            &[(1, "d1", &["d2", "d1"]), (1, "d2", &["d3"]), (2, "d3", &["d1"]), (2, "o3", &["gone"])];
        let mut told = told(receipts);
        told.sort_unstable();
        assert_eq!(told, ["d1", "d2", "d3", "o3"]);
    }

    #[test]
    fn a_deep_chain_needs_no_deep_stack() {
        let names: Vec<String> = (0..5_000).map(|n| format!("d{n}")).collect();
        let parents: Vec<Vec<ReceiptHash>> = (0..5_000_usize)
            .map(|n| n.checked_sub(1).map(|n| hash(&names[n])).into_iter().collect())
            .collect();
        let nodes: Vec<Node<'_>> = (0..5_000)
            .map(|n| Node {
                hash: hash(&names[n]),
                stream: StreamId::from_bytes((n as u128).to_be_bytes()),
                parents: &parents[n],
                part: Part::Decision,
            })
            .collect();
        assert_eq!(order(&nodes), (0..5_000).collect::<Vec<_>>());
    }
}
