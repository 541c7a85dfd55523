//! Gates: what was signed about agents by others that may do nothing else.
//!
//! A name of an action is anybody's to choose, so a receipt that says `gate:promote` is a verdict only if the leash of who
//! signed it is for nothing but `gate:*`, if it is that agent's own decision and was enforced, and if its outcome says that
//! the promotion was made. Whom it is about is a value that has to be shown; an agent does not promote itself.

use std::collections::BTreeMap;

use kakunin_core::digest::Digest;
use kakunin_core::gate::{PROMOTE, REFUSE};
use kakunin_core::id::{AgentId, StreamId};
use kakunin_core::receipt::{Answer, Event, Mode, Outcome, Statement};
use kakunin_core::scope::Scope;
use kakunin_core::verify::Seen;

use crate::finding::Pointer;

/// What a gate found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GateVerdict {
    /// Who signed it.
    pub(crate) gate: AgentId,
    /// The key of the root that the gate is under: its word counts for agents of that root.
    pub(crate) root: Digest,
    /// Whom it is about, where that is shown.
    pub(crate) subject: Option<AgentId>,
    /// Whether it lets the agent pass.
    pub(crate) promotes: bool,
}

/// A decision of a gate whose outcome is to come.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    verdict: GateVerdict,
    stream: StreamId,
    pointer: Pointer,
}

/// Decisions of gates on their way to an outcome.
#[derive(Debug, Default)]
pub(crate) struct Gates(BTreeMap<Digest, Pending>);

impl Gates {
    /// A decision of the period that may be the verdict of a gate. Says whether it is named like one and is none.
    pub(crate) fn decided(&mut self, seen: &Seen<'_>, pointer: &Pointer) -> bool {
        let statement = seen.statement();
        let Event::Decision { caller, action, answer: Answer::Allow, mode, .. } = &statement.event else {
            return false;
        };
        let promotes = match action.as_deref() {
            Some(PROMOTE) => true,
            Some(REFUSE) => false,
            _ => return false,
        };
        let subject = subject(seen);
        let is_verdict = *mode == Mode::Enforce
            && caller.is_none()
            && is_gate(seen.path().agent().scope())
            && subject != Some(statement.agent);
        if is_verdict {
            let root = seen.path().root().decoded().key().key_id();
            let verdict = GateVerdict { gate: statement.agent, root, subject, promotes };
            let pending = Pending { verdict, stream: statement.stream, pointer: pointer.clone() };
            self.0.insert(*seen.hash().digest(), pending);
        }
        !is_verdict
    }

    /// The verdict that this outcome makes one.
    pub(crate) fn ended(&mut self, statement: &Statement) -> Option<(GateVerdict, Pointer)> {
        let Event::Outcome { decision, outcome, .. } = &statement.event else { return None };
        let of =
            |pending: &Pending| pending.stream == statement.stream && pending.verdict.gate == statement.agent;
        let key = *decision.digest();
        let known = self.0.get(&key).is_some_and(of);
        let pending = if known { self.0.remove(&key)? } else { return None };
        (*outcome == Outcome::Returned).then_some((pending.verdict, pending.pointer))
    }
}

/// Whether an agent of this scope is a gate and nothing else.
pub(crate) fn is_gate(scope: &Scope) -> bool {
    let actions = &scope.parts().actions;
    !actions.is_empty() && actions.iter().all(|action| action.as_str().starts_with("gate:"))
}

/// The agent that a receipt names as its counterparty, where that is shown.
fn subject(seen: &Seen<'_>) -> Option<AgentId> {
    let mut commitments = seen.statement().event.commitments();
    let commitment = commitments.find(|(name, _)| *name == "counterparties")?.1;
    let mut disclosures = seen.disclosures().iter();
    let shown = disclosures.find(|it| it.name() == "counterparties" && *it.digest() == commitment)?;
    let name = match shown.value().as_array() {
        Some(names) => match names.as_slice() {
            [only] => only.as_str()?,
            _ => return None,
        },
        None => shown.value().as_str()?,
    };
    AgentId::from_urn(name)
}
