//! What a gate promoted, by its own journal.
//!
//! A certificate that lies in a file says that somebody was certified, and not that a gate let it pass: any wide certificate
//! would do. What counts is a decision of the gate's own agent to promote, signed, towards this agent, that ended well.

use std::collections::BTreeMap;

use serde_json::Value;

use super::statement::PROMOTE;
use crate::digest::Digest;
use crate::id::AgentId;
use crate::journal::Proof;
use crate::receipt::{Answer, Event, Mode, Outcome, ReceiptHash, Statement};
use crate::verify::{Seen, Watch};

/// Looks on while the journal of a gate's agent is verified. What it kept counts only if the report says that the receipts are
/// right.
#[derive(Clone, Debug)]
pub struct Promotions {
    gate: AgentId,
    urn: String,
    begun: BTreeMap<ReceiptHash, Begun>,
    last: Option<Begun>,
}

/// A promotion that the gate decided upon. Which scope, or whose, is not known where its values were erased.
#[derive(Clone, Copy, Debug)]
struct Begun {
    place: (i64, u64),
    scope: Option<Digest>,
}

impl Promotions {
    /// None yet, by `gate` of `agent`.
    #[must_use]
    pub fn of(gate: AgentId, agent: AgentId) -> Self {
        Self { gate, urn: agent.to_urn(), begun: BTreeMap::new(), last: None }
    }

    /// The scope that was promoted last, by its digest. Nothing is known if the values of a later promotion are gone, which may
    /// have been this agent's.
    #[must_use]
    pub fn last(&self) -> Option<Digest> {
        self.last?.scope
    }

    fn begin(&mut self, seen: &Seen<'_>, statement: &Statement) {
        let value = |name: &str| {
            let commitment = statement.event.commitments().find(|(its, _)| *its == name)?.1;
            let opened = seen.disclosures().iter();
            let mut opened = opened.filter(|its| its.name() == name && *its.digest() == commitment);
            Some(texts(opened.next()?.value()))
        };
        let about = value("counterparties");
        if about.as_ref().is_some_and(|names| *names != [self.urn.as_str()]) {
            return;
        }
        let scope = about.and_then(|_| {
            let names = value("resources")?;
            names.iter().find_map(|name| Digest::from_hex(name.strip_prefix("scope:")?))
        });
        let place = (statement.stamp.micros, statement.sequence);
        self.begun.insert(seen.hash(), Begun { place, scope });
    }
}

impl Watch for Promotions {
    fn receipt(&mut self, seen: &Seen<'_>) {
        let statement = seen.statement();
        if statement.agent != self.gate || seen.proof() == Proof::Unsigned {
            return;
        }
        match &statement.event {
            Event::Decision { caller: None, action: Some(action), mode, answer, .. }
                if action.as_str() == PROMOTE && *mode == Mode::Enforce && *answer == Answer::Allow =>
            {
                self.begin(seen, statement);
            }
            Event::Outcome { decision, outcome: Outcome::Returned, .. } => {
                let done = self.begun.remove(decision);
                let newer = |done: &Begun| self.last.is_none_or(|last| last.place <= done.place);
                self.last = done.filter(newer).or(self.last);
            }
            _ => {}
        }
    }
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        value => value.as_str().into_iter().collect(),
    }
}
