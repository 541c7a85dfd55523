//! Where everything stands: a lane for each agent, the agents of one owner side by side, a row for each receipt.
//!
//! Takes in the steps in their order, which links and numbers prove and no clock; gives out places, and draws nothing.

use std::collections::HashMap;

use crate::certificate::AgentPath;
use crate::digest::Digest;
use crate::id::StreamId;
use crate::receipt::{Answer, Event, Mode, ReceiptHash};
use crate::verify::{OwnedAgent, Step};

/// The plan of a page.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    pub(super) owners: Vec<Owner>,
    /// The lanes from left to right.
    pub(super) lanes: Vec<Lane>,
    /// One for each step.
    pub(super) rows: Vec<Row>,
}

/// Somebody with a root.
#[derive(Debug)]
pub(super) struct Owner {
    /// The name that its root gives itself.
    pub(super) name: String,
    /// SHA-256 of the root.
    pub(super) root: Digest,
    /// The key of the root, by which its agents are known.
    key: Digest,
    /// How many lanes are its own.
    pub(super) lanes: usize,
}

/// An agent, by all its streams.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) agent: OwnedAgent,
    /// The name in its certificate.
    pub(super) name: String,
    /// Its owner's place.
    pub(super) owner: usize,
    pub(super) streams: Vec<StreamId>,
    /// Whether anything in it is proven: otherwise nothing says that the agent did anything.
    pub(super) proven: bool,
}

/// A receipt's place.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) lane: usize,
    /// The lanes that it follows from, other than its own.
    pub(super) edges: Vec<usize>,
    /// Calls that run through this row, or begin or end in it.
    pub(super) bars: Vec<(usize, Bar)>,
    /// What it follows from.
    pub(super) parents: Vec<Parent>,
    /// The row of the outcome of this decision.
    pub(super) ended_by: Option<usize>,
}

/// A receipt that another one follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parent {
    Row(usize),
    /// It is on the page, and nobody signed it.
    Unsigned(usize),
    /// It is not on the page.
    Elsewhere(ReceiptHash),
}

/// A call in one row of its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bar {
    Begins,
    Runs,
    Ends,
}

impl Lanes {
    pub(super) fn of(steps: &[Step]) -> Self {
        let mut plan = Self::default();
        let order = plan.stand(steps);
        plan.place(steps, &order);
        plan.run(steps);
        plan
    }

    /// The row of the decision whose outcome is in the row `place`.
    pub(super) fn ends(&self, place: usize) -> Option<usize> {
        let Some(Parent::Row(decision)) = self.rows.get(place)?.parents.first() else { return None };
        (self.rows.get(*decision)?.ended_by == Some(place)).then_some(*decision)
    }

    /// The lane of a stream.
    pub(super) fn of_stream(&self, stream: StreamId) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.streams.contains(&stream))
    }

    /// Gives every agent a lane; of one owner they stand together, in the order in which each first appears.
    fn stand(&mut self, steps: &[Step]) -> HashMap<OwnedAgent, usize> {
        let mut met: HashMap<OwnedAgent, usize> = HashMap::new();
        let mut lanes: Vec<Lane> = Vec::new();
        let mut streams: HashMap<StreamId, usize> = HashMap::new();
        for step in steps {
            let (agent, stream) = (step.agent(), step.statement.stream);
            let lane = *met.entry(agent).or_insert_with(|| {
                let owner = self.owner(&step.path);
                let name = name_of(&step.path);
                lanes.push(Lane { agent, name, owner, streams: Vec::new(), proven: false });
                lanes.len() - 1
            });
            if let Some(lane) = lanes.get_mut(lane) {
                lane.proven |= step.is_proven();
            }
            if streams.insert(stream, lane).is_none()
                && let Some(lane) = lanes.get_mut(lane)
            {
                lane.streams.push(stream);
            }
        }
        lanes.sort_by_key(|lane| lane.owner);
        for lane in &lanes {
            if let Some(owner) = self.owners.get_mut(lane.owner) {
                owner.lanes += 1;
            }
        }
        self.lanes = lanes;
        self.lanes.iter().enumerate().map(|(place, lane)| (lane.agent, place)).collect()
    }

    fn owner(&mut self, path: &AgentPath) -> usize {
        let root = path.root().decoded();
        let key = root.key().key_id();
        self.owners.iter().position(|owner| owner.key == key).unwrap_or_else(|| {
            let name = plain(&root.subject_text());
            self.owners.push(Owner { name, root: root.thumbprint(), key, lanes: 0 });
            self.owners.len() - 1
        })
    }

    fn place(&mut self, steps: &[Step], order: &HashMap<OwnedAgent, usize>) {
        let mut rows: HashMap<ReceiptHash, usize> = HashMap::new();
        for (place, step) in steps.iter().enumerate() {
            rows.insert(step.hash, place);
        }
        for (place, step) in steps.iter().enumerate() {
            let lane = order.get(&step.agent()).copied().unwrap_or(0);
            let mut row = Row { lane, ..Row::default() };
            let proven = |row: &usize| steps.get(*row).is_some_and(Step::is_proven);
            for hash in &step.statement.parents {
                row.parents.push(match rows.get(hash).copied() {
                    Some(parent) if proven(&parent) => Parent::Row(parent),
                    Some(parent) => Parent::Unsigned(parent),
                    None => Parent::Elsewhere(*hash),
                });
            }
            // What nobody signed follows from nothing and ends nothing, whatever it states.
            for parent in row.parents.iter().filter(|_| step.is_proven()) {
                let Parent::Row(parent) = parent else { continue };
                let from = steps.get(*parent).and_then(|from| order.get(&from.agent())).copied();
                if let Some(from) = from.filter(|from| *from != lane && !row.edges.contains(from)) {
                    row.edges.push(from);
                }
            }
            self.rows.push(row);
            if let Event::Outcome { decision, .. } = &step.statement.event
                && let Some(decided) = rows.get(decision).filter(|row| proven(row) && step.is_proven())
                && let Some(decided) = self.rows.get_mut(*decided)
            {
                decided.ended_by = Some(place);
            }
        }
    }

    /// Draws how long each call runs: from its decision to its outcome.
    fn run(&mut self, steps: &[Step]) {
        let mut running = vec![0_usize; self.lanes.len()];
        for (place, step) in steps.iter().enumerate() {
            let begins = match &step.statement.event {
                Event::Decision { answer, mode, .. } => {
                    let runs = *answer == Answer::Allow || *mode == Mode::Observe;
                    runs && self.rows.get(place).is_some_and(|row| row.ended_by.is_some())
                }
                _ => false,
            };
            let ends = matches!(step.statement.event, Event::Outcome { .. }) && self.ends(place).is_some();
            let own = self.rows.get(place).map_or(0, |row| row.lane);
            let before = running.clone();
            if let Some(count) = running.get_mut(own) {
                *count = (*count + usize::from(begins)).saturating_sub(usize::from(ends));
            }
            let lanes = before.iter().zip(&running).enumerate();
            let bars = lanes.filter_map(|(lane, (before, after))| match (before, after) {
                (0, 0) => None,
                (0, _) => Some((lane, Bar::Begins)),
                (_, 0) => Some((lane, Bar::Ends)),
                _ => Some((lane, Bar::Runs)),
            });
            let bars = bars.collect();
            if let Some(row) = self.rows.get_mut(place) {
                row.bars = bars;
            }
        }
    }
}

fn name_of(path: &AgentPath) -> String {
    plain(&path.agent().decoded().subject_text())
}

/// A name of the form `CN=..` and nothing else is that name.
pub(super) fn plain(subject: &str) -> String {
    match subject.strip_prefix("CN=") {
        Some(name) if !name.contains(['=', ',', '+']) && !name.is_empty() => name.to_owned(),
        _ => subject.to_owned(),
    }
}
